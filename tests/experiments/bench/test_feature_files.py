"""The benchmark compares like with like: both sides end in the same features on disk."""

import numpy as np
import pytest

from experiments.bench import features as bench


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(bench, "_TRACKS", 4)
    monkeypatch.setattr(bench, "_SECONDS", 2)


@pytest.mark.parametrize(
    ("what", "make"), [("mfcc", bench._Mfcc()), ("log_mel", bench._LogMel())], ids=["mfcc", "mel"]
)
def test_both_sides_come_to_the_same_features(small, tmp_path, what, make):
    paths = bench._write_tracks(tmp_path / "tracks")
    assert [path.suffix for path in paths] == [".flac", ".flac", ".wav", ".wav"]
    rows = bench._ours(tmp_path, make)
    theirs = []
    for path in sorted(paths, key=lambda path: (path.parent, path.name)):
        bench._librosa(path, out=tmp_path, what=what)
        theirs.append(np.load(tmp_path / f"{path.stem}.npy"))
    expected = np.concatenate(theirs).swapaxes(1, 2)
    assert len(expected) == 8
    np.testing.assert_allclose(rows[:], expected, rtol=1e-3, atol=1e-2)


@pytest.mark.slow
def test_rows_of_the_table(small):
    rows = bench.file_cases(repeats=1, hardware="this")
    assert [row["case"] for row in rows] == [
        "4 files x 2 s to cached mfcc",
        "4 files x 2 s to cached log_mel",
    ]
    assert all(row["ratio"] == row["peer_seconds"] / row["ours_seconds"] > 0 for row in rows)
