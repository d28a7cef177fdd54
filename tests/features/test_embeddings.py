"""Embeddings from files of three kinds, and what is none."""

import sys

import numpy as np
import pytest

from features.embeddings import read_embeddings

TRACKS = np.array(["a", "b", "a"])
VECTORS = np.array([[1, 2], [3, 4.5], [-5, 6]])


def npz(path, tracks=TRACKS, vectors=VECTORS):
    np.savez(path, track=tracks, embedding=vectors)


def npy(path, tracks=TRACKS, vectors=VECTORS):
    kinds = [("track", tracks.dtype), ("embedding", vectors.dtype, vectors.shape[1:])]
    rows = np.empty(len(tracks), kinds)
    rows["track"], rows["embedding"] = tracks, vectors
    np.save(path, rows)


def parquet(path, tracks=TRACKS, **columns):
    pyarrow = pytest.importorskip("pyarrow", reason="tables are read by pyarrow")
    import pyarrow.parquet as files

    columns = columns or {"embedding": VECTORS.tolist()}
    files.write_table(pyarrow.table({"track": np.asarray(tracks).tolist(), **columns}), path)


def columns(path):
    parquet(path, one=VECTORS[:, 0], two=VECTORS[:, 1].tolist())


@pytest.mark.parametrize(
    ("name", "write"),
    [("e.npz", npz), ("e.npy", npy), ("lists.parquet", parquet), ("columns.parquet", columns)],
)
def test_every_kind_of_file_holds_the_same(tmp_path, name, write):
    write(tmp_path / name)
    found = read_embeddings(tmp_path / name)
    assert found.tracks.tolist() == ["a", "b", "a"]
    np.testing.assert_array_equal(found.vectors, VECTORS)
    assert found.vectors.dtype == np.float32
    assert {track: rows.tolist() for track, rows in found.rows.items()} == {"a": [0, 2], "b": [1]}
    npz(tmp_path / "same.npz", TRACKS.astype("S9"), VECTORS.astype(np.float16))
    assert read_embeddings(tmp_path / "same.npz").digest == found.digest
    npz(tmp_path / "swapped.npz", TRACKS.astype(">U3"), VECTORS.astype(">f8"))
    assert read_embeddings(tmp_path / "swapped.npz").digest == found.digest
    npz(tmp_path / "other.npz", TRACKS[::-1], VECTORS)
    assert read_embeddings(tmp_path / "other.npz").digest == found.digest  # a, b, a again
    npz(tmp_path / "other.npz", TRACKS, VECTORS + 1)
    assert read_embeddings(tmp_path / "other.npz").digest != found.digest


def test_missing_tracks_are_named_the_first_of_many(tmp_path):
    npz(tmp_path / "e.npz")
    found = read_embeddings(tmp_path / "e.npz")
    found.check_tracks(["b", "a"])
    with pytest.raises(ValueError, match=r"embedding of 6 of 7 tracks \(c, d, e, f, g, …\).*'a'"):
        found.check_tracks("acdefgh")


def some(value):
    vectors = VECTORS.copy()
    vectors[1, 0] = value
    return vectors


@pytest.mark.parametrize(
    ("name", "write", "said"),
    [
        ("e.csv", None, r"e.csv is no file of embeddings: give an .npz with the arrays track"),
        ("e.npz", None, "e.npz: no such file"),
        ("e.npy", lambda p: np.save(p, VECTORS), "does not say of which track each row is; give"),
        ("e.npz", lambda p: np.savez(p, embedding=VECTORS), "it has no track; give an .npz"),
        ("e.npz", lambda p: np.savez(p, a=VECTORS), "it has no embedding and no track"),
        ("e.npz", lambda p: p.write_bytes(b"PK nothing"), "e.npz: .*; give an .npz"),
        ("e.npz", lambda p: p.write_bytes(b"x"), "e.npz: it is no archive of arrays; give an .npz"),
        ("e.npz", lambda p: npz(p, TRACKS.astype(object)), "it has objects of Python"),
        ("e.npz", lambda p: npz(p, np.arange(3)), r"track is int64 of shape \(3,\)"),
        ("e.npz", lambda p: npz(p, TRACKS[:0], VECTORS[:0]), r"track is .* of shape \(0,\)"),
        ("e.npy", lambda p: npy(p, np.array([97, 0x110000, 98], "u4").view("U1")), "is no text"),
        ("e.npy", lambda p: npy(p, np.array([97, 0xD800, 98], "u4").view("U1")), "is no text"),
        ("e.npz", lambda p: npz(p, TRACKS[:2]), r"\(3, 2\); for 2 rows of tracks \(2, D\) is"),
        ("e.npz", lambda p: npz(p, vectors=VECTORS[:, :0]), r"shape \(3, 0\); for 3 rows"),
        ("e.npz", lambda p: npz(p, vectors=VECTORS * 1j), "embedding is complex128; real numbers"),
        ("e.npz", lambda p: npz(p, vectors=some(np.nan)), r"of b \(row 1\) has a NaN"),
        ("e.npz", lambda p: npz(p, vectors=some(1e39)), r"of b \(row 1\) .* too large for"),
        ("e.parquet", lambda p: parquet(p, a=["x", "y", "z"]), r"embedding is .*; real numbers"),
        ("e.parquet", lambda p: parquet(p, a=[1, None, 3]), "the column a has empty cells"),
        ("e.parquet", lambda p: parquet(p, embedding=[[1], [2, 3], [4]]), "same shape; give an"),
        ("e.parquet", lambda p: p.write_bytes(b"PAR1"), r"e.parquet: .*; give an .npz"),
    ],
)  # fmt: skip
def test_what_is_no_file_of_embeddings(tmp_path, name, write, said):
    if write is not None:
        write(tmp_path / name)
    with pytest.raises((ValueError, FileNotFoundError), match=said):
        read_embeddings(tmp_path / name)


def test_a_table_without_pyarrow(tmp_path, monkeypatch):
    (tmp_path / "e.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(ImportError, match=r"pip install 'wavegan\[parquet\]', or save it as .npz"):
        read_embeddings(tmp_path / "e.parquet")
