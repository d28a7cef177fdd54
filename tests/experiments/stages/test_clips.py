"""A recipe's clips: their lengths, silence taken out, what is too short."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from experiments.config import DataConfig
from experiments.recipes import RECIPES
from experiments.report.terminal import Progress
from experiments.stages.clips import check_input, cut, one_by_one, with_copies, with_embeddings
from experiments.stages.data import Dataset
from features import decode_tracks, save_audio, scan_tracks
from features.augmentation import WaveformAugmentation
from features.embeddings import Embeddings
from features.extractors import LogMelPicture, Supplied
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
@pytest.mark.filterwarnings("ignore:n_fft=2048 is too large")
def test_a_clip_too_short_for_the_recipe(name, num_samples, said):
    with pytest.raises(ValueError, match=said):
        check_input(RECIPES[name], num_samples, 10)


@pytest.mark.parametrize("name", [name for name, one in RECIPES.items() if not one.needs])
def test_every_recipe_fits_its_own_clips(name):
    recipe = RECIPES[name]
    check_input(recipe, recipe.num_samples, 10)


class _Loudest:
    """An extractor in NumPy: the seven loudest samples, which asks for their values."""

    standardize = True

    def __call__(self, audio, sample_rate):
        return np.sort(np.abs(audio[..., 0]))[:, -7:] if audio.any() else np.zeros((len(audio), 7))


def test_an_extractor_in_numpy_has_a_shape(small_recipe):
    assert replace(small_recipe, input=_Loudest()).input_shape(100) == (7,)
    assert replace(RECIPES["tempo"], sample_rate=RATE).input_shape(RATE) == (6401,)


def test_a_recipe_without_the_file_that_it_needs():
    with pytest.raises(ValueError, match="probe is fitted on embeddings that you supply: give"):
        check_input(RECIPES["probe"], 66_150, 10)


def embeddings(recordings, *more):
    """Two vectors of the first track, one of each other, numbered in the file's order."""
    tracks = [recordings[0].track.track_id, *(r.track.track_id for r in recordings), *more]
    vectors = np.arange(3 * len(tracks), dtype=np.float32).reshape(-1, 3)
    return Embeddings(Path("e.npz"), np.array(tracks)[::-1], vectors[::-1])


def test_a_clip_for_each_embedding_of_a_track(whole, capsys):
    dataset = Dataset("tracks", ("a", "b"), tuple(whole), (), ())
    given = embeddings(whole, "nowhere")
    recipe, clips, rows = with_embeddings(dataset, RECIPES["probe"], given, Progress())
    assert clips.track_ids.tolist() == ["x", "x", "y", "z"]
    assert clips.labels.tolist() == [0, 0, 0, 1]
    assert clips.starts.tolist() == [0, RATE, 0, 0]
    assert clips.digests.tolist() == [whole[i].digest for i in (0, 0, 1, 2)]
    assert clips.num_samples == RATE  # half of the shortest, of which there are two
    np.testing.assert_array_equal(clips.audio[1], whole[0].read(RATE, 2 * RATE) / np.float32(2**15))
    np.testing.assert_array_equal(rows[:], [[3, 4, 5], [0, 1, 2], [6, 7, 8], [9, 10, 11]])
    assert (recipe.input, recipe.per_track) == (Supplied(3, given.digest), None)
    assert "e.npz: 1 further tracks are not in the data" in capsys.readouterr().err
    one = Embeddings(Path("e.npz"), given.tracks[:-1], given.vectors[:-1])
    assert with_embeddings(dataset, RECIPES["probe"], one, Progress(quiet=True))[0].per_track == 1


def test_tracks_without_an_embedding_are_named(whole):
    dataset = Dataset("tracks", ("a", "b"), tuple(whole), (), ())
    some = embeddings(whole[:1])
    with pytest.raises(ValueError, match=r"e.npz has no embedding of 2 of 3 tracks \(y, z\); "):
        with_embeddings(dataset, RECIPES["probe"], some, Progress(quiet=True))


def test_copies_made_before_the_split_are_clips_that_are_dealt_out_by_themselves(whole):
    """Each alteration by itself: what a silent change leaves, another one changes."""
    clips = cut_recordings(replace(RECIPES["demo"], sample_rate=RATE, num_samples=RATE), whole,
                           skip_short=False)  # fmt: skip
    to = WaveformAugmentation(["noise", "gain"], gain_db=(6.0, 6.0))
    every = with_copies(clips, to)
    assert len(every) == 3 * len(clips)
    assert every.track_ids.tolist()[:: len(clips)] == ["x", "x+noise", "x+gain"]
    assert len({*zip(every.digests.tolist(), every.starts.tolist(), strict=True)}) == len(every)
    np.testing.assert_array_equal(every.labels, np.tile(clips.labels, 3))
    np.testing.assert_array_equal(every.audio[len(clips)], clips.audio[0])
    dataset = Dataset("tracks", ("a", "b"), tuple(whole), (), ())
    sides = dataset.sides(every, DataConfig(split="chunk", fractions=(0.5, 0.2, 0.3)))
    assert sorted(np.concatenate([*sides.values()])) == [*range(len(every))]
    of = {row % len(clips): side for side in ("train",) for row in sides[side].tolist()}
    assert {row % len(clips) for row in sides["test"].tolist()} & {*of}  # which is the leak

    plain = np.abs(clips.audio[:]).max((1, 2))
    made = {n: make(clips.audio[:], RATE)[:, -1] for n, make in one_by_one(_Loudest(), to).items()}
    np.testing.assert_allclose(made["gain"], 10 ** (6 / 20) * plain, rtol=1e-5)
    assert 0 < np.abs(made["noise"] - plain).max() < 0.5 * plain.max()
