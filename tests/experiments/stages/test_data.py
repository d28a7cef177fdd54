"""Which tracks a data set has, and on which side each is: speakers, artists, twins."""

import shutil
from dataclasses import replace
from itertools import product

import pytest

from experiments.config import DataConfig
from experiments.report.terminal import Progress
from experiments.stages.data import open_dataset, shared_groups
from features import LeakError

# --- artists and speakers ------------------------------------------------------------------------


@pytest.fixture
def spoken(music, tmp_path):
    """Nine takes a class by three speakers, whose names the files have."""
    for source in sorted(music.glob("*/*.wav")):
        genre, i = source.parent.name, int(source.stem[-5:])
        target = tmp_path / "spoken" / genre / f"{'abc'[i % 3]}_{i}.wav"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
    return tmp_path / "spoken"


def opened(root, **settings):
    """Its data set, what was said, and the configuration."""
    config = DataConfig(str(root), fractions=(0.4, 0.2, 0.4), **settings)
    said = []
    progress = Progress()
    progress.say = said.append
    return open_dataset(config, sample_rate=4000, progress=progress), said, config


def test_speakers_on_two_sides_are_refused(spoken):
    dataset, _, config = opened(spoken)
    with pytest.raises(
        LeakError, match=r"3 artists or speakers on two sides \(a, b, c\).*--split g"
    ):
        dataset.split(config)
    split = dataset.split(replace(config, allow_shared_groups=True))
    assert shared_groups(split) == ["a", "b", "c"]
    assert shared_groups(dataset.split(replace(config, split="group"))) == []


def test_tracks_whose_speakers_nobody_knows_are_split(music):
    dataset, said, config = opened(music)
    assert shared_groups(dataset.split(config)) == []
    assert said == []


@pytest.fixture
def gtzan(music, tmp_path):
    """Tracks with GTZAN's names."""
    for i, source in enumerate(sorted(music.glob("*/*.wav"))):
        genre = ("blues", "rock", "hip-hop")[i // 5]
        target = tmp_path / "all" / "genres" / genre / f"{genre.replace('-', '')}.{i % 5:05d}.wav"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
    return tmp_path / "all" / "genres"


def test_gtzans_artists_are_found_near_its_tracks(gtzan):
    _, said, _ = opened(gtzan)
    assert said == [
        "these are GTZAN's tracks, whose artists no GTZANindex.txt near them names: without "
        "--artist-index an artist may be on two sides, and nothing tells"
    ]
    lines = [f"blues.{i:05d}.wav ::: one artist ::: title {i}" for i in range(5)]
    for place in (gtzan / "GTZANindex.txt", gtzan.parent / "lists" / "GTZANindex.txt"):
        place.parent.mkdir(exist_ok=True)
        place.write_text("\n".join(lines))
        dataset, said, config = opened(gtzan)
        assert said == [f"artists of GTZAN's tracks: {place}"]
        with pytest.raises(LeakError, match=r"1 artists or speakers on two sides \(one artist\)"):
            dataset.split(config)
        place.unlink()


def test_sides_are_those_of_the_tracks_that_are_left(small_config):
    """Which are drawn once, and anew for other tracks."""
    data = small_config.data
    dataset = open_dataset(data, sample_rate=4000)
    before = dataset.split(data)
    assert dataset.split(replace(data, train_share=0.5)).test == before.test
    fewer = dataset.only({r.track.track_id for r in dataset.recordings[1:]})
    names = {t.track_id for t in (*fewer.split(data).train, *fewer.split(data).test)}
    assert dataset.recordings[0].track.track_id not in names


def test_few_tracks_are_drawn_anew_in_each_fold_and_draw(render, tmp_path):
    """The first of the split's own order would be the same few in nearly every fold."""
    dataset, *_ = opened(render(tmp_path / "many", tracks=20, seconds=0.1))
    places = product(range(4), range(3))
    trained = [
        dataset.split(
            DataConfig(dataset.name, fractions=(0.5, 0.25, 0.25), shots=4, folds=4, fold=f, draw=d)
        ).train
        for f, d in places
    ]
    assert len({frozenset(tracks) for tracks in trained}) == 12


# --- classes -------------------------------------------------------------------------------------


def test_some_of_the_classes_are_a_data_set_like_one_that_has_no_others(music, tmp_path):
    for name in ("drone", "techno"):
        shutil.copytree(music / name, tmp_path / "two" / name)
    some, _, config = opened(music, classes=("techno", "drone"))
    alone, _, _ = opened(tmp_path / "two")
    assert some.labels == alone.labels == ("drone", "techno")
    assert some.digest == alone.digest
    ids = [[track.track_id for track in one.split(config).train] for one in (some, alone)]
    assert ids[0] == ids[1]


def test_classes_in_gtzans_spellings_and_those_that_are_not_there(music, tmp_path):
    shutil.copytree(music / "drone", tmp_path / "genres" / "hiphop")
    shutil.copytree(music / "march", tmp_path / "genres" / "rock")
    shutil.copytree(music / "techno", tmp_path / "genres" / "pop")
    assert opened(tmp_path / "genres", classes=("hip-hop", "pop"))[0].labels == ("hiphop", "pop")
    with pytest.raises(ValueError, match=r"has no rok: try rock; its classes are hiphop, pop, ro"):
        opened(tmp_path / "genres", classes=("rok", "pop"))
    for few in ((), ("pop",), ("pop", "pop")):
        with pytest.raises(ValueError, match="--classes takes two or more, each once"):
            opened(music, classes=few)
