"""What an estimator is given: each row a track, in its order, and what is none."""

import numpy as np
import pytest

from experiments.given_tracks import checked_labels, given_tracks, held_out, of_clips
from features import cut_clips, scan_tracks

RATE = 4000


@pytest.fixture(scope="module")
def paths(music):
    return [track.path for track in scan_tracks(music)]


def test_a_row_is_a_track_also_where_a_path_comes_twice(paths):
    rows = [paths[3], str(paths[0]), paths[3]]
    found = given_tracks(rows, ["a", "b", "c"], sample_rate=RATE)
    assert [r.track.track_id for r in found] == ["X[0]", "X[1]", "X[2]"]
    assert [r.track.label for r in found] == ["a", "b", "c"]
    assert [r.track.path for r in found] == [paths[3], paths[0], paths[3]]
    assert found[0].digest == found[2].digest == found[2].track.group != found[1].digest
    (one,) = given_tracks(np.array(rows[1:2]), "all", sample_rate=2000)
    assert (one.track.label, one.sample_rate) == ("all", 2000)


def test_tables_and_columns_are_rows():
    class Table:  # as pandas has it
        def __init__(self, values):
            self.values = values

        def to_numpy(self):
            return self.values

    audio = np.random.default_rng(0).normal(size=(2, 50))
    found = given_tracks(Table(audio), "a", sample_rate=RATE)
    np.testing.assert_allclose(np.stack([r.samples[:, 0] for r in found]), audio, rtol=1e-6)
    ragged = np.empty(2, object)
    ragged[:] = [audio[0], audio[1, :20]]
    assert [r.num_samples for r in given_tracks(ragged, "a", sample_rate=RATE)] == [50, 20]


def test_every_file_that_cannot_be_used_is_named(paths, tmp_path):
    for i in range(7):
        (tmp_path / f"{i}.wav").write_bytes(b"RIFF nothing")
    bad = sorted(tmp_path.glob("*.wav"))
    with pytest.raises(ValueError, match=r"7 of 8 files of X cannot be used: .*0\.wav: unre.* …"):
        given_tracks([*bad, paths[0]], "a", sample_rate=RATE)
    with pytest.raises(ValueError, match="none of the 7 tracks can be used"):
        given_tracks(bad, "a", sample_rate=RATE)


@pytest.mark.parametrize(
    ("X", "said"),
    [
        ("song.wav", r"X is one path, song\.wav: give a list of paths"),
        (3, "X is int; give paths"),
        ([], "X has no rows"),
        (np.zeros((0, 9)), "X has no rows"),
        (np.zeros(9), r"X has the shape \(9,\).*Reshape your data"),
        (np.zeros((2, 2, 2, 2)), "X has the shape"),
        ([np.zeros(9), "song.wav"], r"X\[1\] is a path and X\[0\] is none"),
        ([["a", "b"]], r"X\[0\] is of type <U1"),
        ([{"a": 1}], r"X\[0\] is of type object"),
    ],
)
def test_what_is_no_tracks(X, said):
    with pytest.raises(ValueError, match=said):
        given_tracks(X, "a", sample_rate=RATE)


def test_labels_and_their_places():
    classes, codes = checked_labels([0, 1, 2, 3], np.array([9, 3, 9, 10]))
    assert (classes.tolist(), codes.tolist()) == ([3, 9, 10], [1, 0, 1, 2])
    with pytest.raises(ValueError, match="1 class"):
        checked_labels([0, 1], ["a", "a"])


def clips_of(lengths):
    rng = np.random.default_rng(0)
    tracks = given_tracks([rng.normal(size=n) for n in lengths], "a", sample_rate=RATE)
    return cut_clips(tracks, num_samples=10)


def test_clips_have_the_weight_of_their_track():
    clips = clips_of([25, 10, 30])
    assert of_clips(None, clips, 3) is None
    assert of_clips([5, 6, 7.5], clips, 3).tolist() == [5, 5, 6, 7.5, 7.5, 7.5]
    with pytest.raises(ValueError, match="one number for each of the 3 rows of X, not 2"):
        of_clips([5, 6], clips, 3)


def test_tracks_are_held_out_whole():
    clips = clips_of([30] * 12)
    train, held = held_out(clips, 0.25, seed=0)
    assert sorted([*train, *held]) == list(range(36))
    left, out = ({*clips.track_ids[rows]} for rows in (train, held))
    assert (len(left), len(out), left & out) == (9, 3, set())
    again, _ = held_out(clips, 0.25, seed=0)
    np.testing.assert_array_equal(again, train)
    assert {*held_out(clips, 0.25, seed=1)[1]} != {*held}
    everything, nothing = held_out(clips, 0.0, seed=0)
    assert (len(everything), len(nothing)) == (36, 0)
