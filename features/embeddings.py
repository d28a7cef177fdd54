"""Embeddings that a user's file supplies: vectors of tracks, which any network may have made."""

from __future__ import annotations

import hashlib
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import read_array

from features.array_files import PARSING

_FORMATS = (
    ".npz with the arrays track (N,) and embedding (N, D), .npy of rows with the fields track and "
    "embedding, or .parquet with the column track and either embedding, of lists, or a column for "
    "each number"
)


@dataclass(frozen=True, eq=False)
class Embeddings:
    """Vectors of tracks, one or several of each, in the order of a file.

    Attributes
    ----------
    path : the file.
    tracks : (N,) str, the track of each row.
    vectors : (N, D) float32.
    """

    path: Path
    tracks: np.ndarray
    vectors: np.ndarray

    @cached_property
    def rows(self) -> dict[str, np.ndarray]:
        """The rows of each track, in their order."""
        found = defaultdict[str, list[int]](list)
        for row, track in enumerate(self.tracks.tolist()):
            found[track].append(row)
        return {track: np.array(rows) for track, rows in found.items()}

    @cached_property
    def digest(self) -> str:
        """Hash of the tracks and their vectors, 32 digits."""
        total = hashlib.blake2b("\n".join(self.tracks.tolist()).encode(), digest_size=16)
        total.update(f"{self.vectors.shape}".encode() + self.vectors.tobytes())
        return total.hexdigest()

    def check_tracks(self, track_ids: Iterable[str]) -> None:
        """Raise ValueError unless each of these tracks has a row."""
        wanted = list(track_ids)
        if missing := [track for track in wanted if track not in self.rows]:
            shown = ", ".join(missing[:5]) + (", …" if len(missing) > 5 else "")
            raise ValueError(
                f"{self.path} has no embedding of {len(missing)} of {len(wanted)} tracks "
                f"({shown}); its own are named as {str(self.tracks[0])!r}: add what is missing, or "
                "take those tracks out of the data"
            )


def read_embeddings(path: str | Path) -> Embeddings:
    """The embeddings in a file; nothing in it is run.

    Parameters
    ----------
    path : an ``.npz`` with the arrays ``track`` (N,) of names and ``embedding`` (N, D), as
        ``numpy.savez(path, track=…, embedding=…)`` writes it; an ``.npy`` of one array (N,) with
        the fields ``track`` and ``embedding`` (D,); or a ``.parquet`` table with the column
        ``track`` and either a column ``embedding`` of lists of numbers, or D columns of numbers.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ImportError
        A ``.parquet`` table, and no pyarrow.
    ValueError
        Another kind of file, a damaged one, vectors of several lengths, or a number that is none
        (whose is said).
    """
    path = Path(path)
    if path.suffix not in _READERS:
        raise ValueError(f"{path} is no file of embeddings: give an {_FORMATS}")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        tracks, vectors = _READERS[path.suffix](path)
    except ImportError:
        raise ImportError(
            f"{path} is read by pyarrow, which is not installed: pip install 'wavegan[parquet]', "
            "or save it as .npz"
        ) from None
    except Exception as error:  # what the parsers raise at damage has many types
        said = "it has objects of Python" if "pickle" in str(error) else error
        raise ValueError(f"{path}: {said}; give an {_FORMATS}") from None
    return _checked(path, tracks, vectors)


def _checked(path: Path, tracks: np.ndarray, vectors: np.ndarray) -> Embeddings:
    if tracks.dtype.kind == "S":
        tracks = np.array([name.decode(errors="replace") for name in tracks.ravel().tolist()])
    if tracks.dtype.kind != "U" or tracks.ndim != 1 or not tracks.nbytes:
        raise ValueError(
            f"{path}: track is {tracks.dtype} of shape {tracks.shape}; a name for each row is "
            "needed"
        )
    tracks = np.ascontiguousarray(tracks, tracks.dtype.newbyteorder("="))
    codes = tracks.view(np.uint32)  # of a damaged file, which numpy would trip over
    if ((codes > 0x10FFFF) | ((codes >= 0xD800) & (codes < 0xE000))).any():
        raise ValueError(f"{path} is damaged: a name of a track is no text")
    if vectors.ndim != 2 or len(vectors) != len(tracks) or not vectors.shape[1]:
        raise ValueError(
            f"{path}: embedding has the shape {vectors.shape}; for {len(tracks)} rows of tracks "
            f"({len(tracks)}, D) is needed"
        )
    if vectors.dtype.kind not in "fiu":
        raise ValueError(f"{path}: embedding is {vectors.dtype}; real numbers are needed")
    with np.errstate(over="ignore"):  # which is found below
        vectors = np.ascontiguousarray(vectors, np.float32)
    if not (sound := np.isfinite(vectors).all(1)).all():
        row = int(np.argmin(sound))
        raise ValueError(
            f"{path}: the embedding of {tracks[row]} (row {row}) has a NaN, an infinity or a "
            "number too large for float32: compute it again, or take that track out"
        )
    return Embeddings(path, tracks, vectors)


def _npz(path: Path) -> tuple[np.ndarray, np.ndarray]:
    # Opened here, since numpy leaves a broken archive open.
    if not zipfile.is_zipfile(path):  # which numpy would take for a pickle
        raise ValueError("it is no archive of arrays")
    with PARSING, path.open("rb") as file, np.load(file, allow_pickle=False) as found:
        if lacking := {"track", "embedding"} - {*found}:
            raise ValueError(f"it has no {' and no '.join(sorted(lacking))}")
        return found["track"], found["embedding"]


def _npy(path: Path) -> tuple[np.ndarray, np.ndarray]:
    with PARSING, path.open("rb") as file:
        found = read_array(file, allow_pickle=False)
    if not {"track", "embedding"} <= {*(found.dtype.names or ())}:
        raise ValueError("it does not say of which track each row is")
    return found["track"], found["embedding"]


def _parquet(path: Path) -> tuple[np.ndarray, np.ndarray]:
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(path)
    names = table.column_names
    if "track" not in names or len(names) < 2:
        raise ValueError(f"it has the columns {', '.join(names)[:200] or 'none'}")
    if empty := [name for name in names if table[name].null_count]:
        raise ValueError(f"the column {empty[0]} has empty cells")
    tracks = np.array(table["track"].to_pylist())
    if "embedding" in names:
        return tracks, np.stack(table["embedding"].to_numpy())
    return tracks, np.stack([table[name].to_numpy() for name in names if name != "track"], 1)


_Reader = Callable[[Path], tuple[Any, Any]]
_READERS: dict[str, _Reader] = {".npz": _npz, ".npy": _npy, ".parquet": _parquet}
