"""How a recipe cuts tracks into clips, and what it refuses before any training."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from experiments.config import DataConfig
from experiments.recipes import RECIPES
from experiments.report.terminal import Progress
from experiments.stages.data import Dataset, check_input, cut, open_dataset, shared_groups
from features import LeakError, decode_tracks, save_audio, scan_tracks
from features.extractors import LogMelPicture
from features.synthetic import synthesize

RATE = 4000


def cut_recordings(recipe, recordings, *, skip_short, progress=None):
    """The clips alone."""
    dataset = Dataset("tracks", ("a", "b"), tuple(recordings), (), ())
    progress = progress or Progress(quiet=True)
    return cut(dataset, recipe, skip_short=skip_short, progress=progress)[1]


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """Four tracks, of 2, 2, 3 and 0.5 s."""
    root = tmp_path_factory.mktemp("tracks")
    lengths = {"a/x": 2.0, "a/y": 2.0, "b/z": 3.0, "b/short": 0.5}
    for i, (name, seconds) in enumerate(lengths.items()):
        audio = synthesize("techno", i, seconds=seconds, sample_rate=RATE)
        save_audio(root / f"{name}.wav", audio, RATE)
    return decode_tracks(scan_tracks(root), sample_rate=RATE, cache_dir=root / "cache").recordings


@pytest.fixture
def whole(recordings):
    """The recordings without the short one."""
    return [r for r in recordings if r.num_samples > RATE]


def test_end_to_end(small_recipe, whole):
    clips = cut_recordings(small_recipe, whole, skip_short=False)
    assert clips.num_samples == 1024
    assert dict(zip(*np.unique(clips.track_ids, return_counts=True), strict=True)) == {
        "x": 8000 // 1024,
        "y": 8000 // 1024,
        "z": 12000 // 1024,
    }


@pytest.fixture
def per_track(small_recipe):
    return replace(
        small_recipe,
        architecture="final_eff",
        options={},
        input=LogMelPicture(n_fft=256),
        per_track=4,
        num_samples=5000,
    )


def test_so_many_a_track_follow_the_shortest(per_track, whole, capsys):
    clips = cut_recordings(per_track, whole, skip_short=False, progress=Progress())
    assert clips.num_samples == 8000 // 4
    assert len(clips) == 12  # of the long track the first four
    assert "clips of 0.50 s instead of 1.25 s" in capsys.readouterr().err


def test_long_enough_tracks_give_the_recipes_length(per_track, whole):
    clips = cut_recordings(replace(per_track, num_samples=1800), whole, skip_short=False)
    assert clips.num_samples == 1800


def test_one_short_track_does_not_shorten_all(per_track, recordings):
    with pytest.raises(ValueError, match=r"1 tracks are less than half.*short.wav has 0.50 s"):
        cut_recordings(per_track, recordings, skip_short=False)
    clips = cut_recordings(per_track, recordings, skip_short=True)
    assert "short" not in clips.track_ids
    assert clips.num_samples == 2000


def test_tracks_too_short_for_a_clip(small_recipe, recordings):
    longer = replace(small_recipe, num_samples=RATE, silence="frames")
    said = r"1 tracks are shorter than a clip of 1.00 s.*short.wav.*--skip-short.*without silence"
    with pytest.raises(ValueError, match=said):
        cut_recordings(longer, recordings, skip_short=False)
    assert "short" not in cut_recordings(longer, recordings, skip_short=True).track_ids
    with pytest.raises(ValueError, match=r"4 tracks are shorter than a clip of 5.00 s"):
        cut_recordings(replace(longer, num_samples=5 * RATE), recordings, skip_short=True)


@pytest.mark.parametrize("by", ["samples", "frames"])
def test_silence_is_taken_out_first(small_recipe, whole, by):
    clips = cut_recordings(replace(small_recipe, silence=by), whole, skip_short=False)
    kept = cut_recordings(small_recipe, whole, skip_short=False)
    assert 0 < len(clips) <= len(kept)
    if by == "samples":
        assert len(clips) < len(kept)
        assert np.abs(clips.audio[:]).min() > 0


@pytest.mark.parametrize(
    ("name", "num_samples", "said"),
    [
        ("cnn1", 1, "does not fit the recipe cnn1, whose own clips have 3 s: .*layer"),
        ("final_eff", 60, "does not fit the recipe final_eff, whose own clips have 1.99 s"),
    ],
)
def test_a_clip_too_short_for_the_recipe(name, num_samples, said):
    with pytest.raises(ValueError, match=said):
        check_input(RECIPES[name], num_samples, 10)


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_fits_its_own_clips(name):
    recipe = RECIPES[name]
    check_input(recipe, recipe.num_samples, 10)


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
    return open_dataset(config, sample_rate=RATE, progress=progress), said, config


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
