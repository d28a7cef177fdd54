"""What an estimator is given: X as tracks, y as classes, weights, and a validation side of it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, column_or_1d

from features import Clips, Recording, Track, decode_tracks, split_tracks
from features.in_memory import InMemory, in_memory
from features.soundness import QUIET


def given_tracks(
    X: Any,
    labels: Sequence[str] | str,
    *,
    sample_rate: int,
    on_progress: Callable[[int, int, str], object] | None = None,
) -> tuple[Recording | InMemory, ...]:
    """A track for each row of X, in their order, with the ids "X[0]", "X[1]", ….

    Nothing is left out: a path that comes twice is two tracks.

    Parameters
    ----------
    X : paths of audio files; or an array (N, L) or (N, L, C), or arrays (L,) or (L, C) of unequal
        lengths.
    labels : one a row, or one for all of them.
    sample_rate : Hz; files get it, arrays have it.
    on_progress : of decoding, as `features.decode_tracks` has it.

    Raises
    ------
    ValueError
        X is something else, or a row of it cannot be used; the row or the file is named. Those
        that are quiet are named in a warning.
    """
    rows = _rows(X)
    labels = [labels] * len(rows) if isinstance(labels, str) else labels
    paths = [isinstance(row, str | os.PathLike) for row in rows]
    if all(paths):
        return _heard(_decoded(rows, labels, sample_rate, on_progress))
    if any(paths):
        raise ValueError(
            f"X[{paths.index(True)}] is a path and X[{paths.index(False)}] is none: give one kind"
        )
    return _heard(
        in_memory(np.asarray(row), label=label, name=f"X[{i}]", sample_rate=sample_rate)
        for i, (row, label) in enumerate(zip(rows, labels, strict=True))
    )


def _heard(found: Iterable[Recording | InMemory]) -> tuple[Recording | InMemory, ...]:
    """The tracks, with a warning that names those that are too quiet."""
    tracks = tuple(found)
    if quiet := [str(one.track.path) for one in tracks if one.quiet]:
        shown = ", ".join(quiet[:5]) + (" …" if len(quiet) > 5 else "")
        warnings.warn(
            f"{len(quiet)} of {len(tracks)} tracks are quiet, {shown}: {QUIET}; take a louder "
            "copy, or scale arrays to [-1, 1]",
            stacklevel=2,
        )
    return tracks


def _rows(X: Any) -> list[Any]:
    kinds = "paths, an array (N, L) or (N, L, C), or a list of arrays"
    if isinstance(X, str | os.PathLike):
        raise ValueError(f"X is one path, {X}: give a list of {kinds}")
    if hasattr(X, "to_numpy"):  # a table or a column of pandas
        X = X.to_numpy()
    numbers = hasattr(X, "shape") and np.asarray(X).dtype.kind in "biufc"
    if numbers and len(X.shape) not in (2, 3):
        raise ValueError(
            f"X has the shape {X.shape}; give {kinds}. Reshape your data: one track (L,) is "
            "X.reshape(1, -1)"
        )
    try:
        rows = list(X)
    except TypeError:
        raise ValueError(f"X is {type(X).__name__}; give {kinds}") from None
    if not rows:
        raise ValueError(f"X has no rows; give {kinds}")
    return rows


def _decoded(
    rows: Sequence[Any],
    labels: Sequence[str],
    sample_rate: int,
    on_progress: Callable[[int, int, str], object] | None,
) -> tuple[Recording, ...]:
    files = [Path(row) for row in rows]
    first = {file: Track(file, "", str(file), str(file)) for file in files}
    decoded = decode_tracks(
        first.values(), sample_rate=sample_rate, keep_twins=True, on_progress=on_progress
    )
    if bad := decoded.quarantined:
        shown = "; ".join(f"{entry.track.path}: {entry.reason}" for entry in bad[:5])
        more = " …" if len(bad) > 5 else ""
        raise ValueError(
            f"{len(bad)} of {len(first)} files of X cannot be used: {shown}{more}; repair them, or "
            "leave them out"
        )
    by_file = {recording.track.path: recording for recording in decoded.recordings}
    return tuple(
        replace(found := by_file[file], track=Track(file, label, f"X[{i}]", found.digest))
        for i, (file, label) in enumerate(zip(files, labels, strict=True))
    )


def checked_labels(X: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
    """The classes of y, sorted, and the place of each row's among them."""
    y = column_or_1d(y, warn=True)
    check_classification_targets(y)
    check_consistent_length(X, y)
    classes, codes = np.unique(y, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(f"y has 1 class, {classes.tolist()}: give tracks of two or more")
    return classes, codes


def of_clips(sample_weight: Any, clips: Clips, count: int) -> np.ndarray | None:
    """The weight of each clip, which is that of its track."""
    if sample_weight is None:
        return None
    weights = column_or_1d(sample_weight)
    if len(weights) != count:
        raise ValueError(
            f"sample_weight is one number for each of the {count} rows of X, not {len(weights)}"
        )
    place = {f"X[{row}]": row for row in range(count)}
    return weights[[place[name] for name in clips.track_ids.tolist()]]


def held_out(clips: Clips, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of clips without ``share`` of the tracks, class by class, and the rows of these.

    Tracks of the same content are on one side.
    """
    every = np.arange(len(clips))
    if not share:
        return every, every[:0]
    first = np.unique(clips.track_ids, return_index=True)[1]
    labels = np.array(clips.label_names)[clips.labels[first]]
    told = zip(labels, clips.track_ids[first], clips.digests[first], strict=True)
    tracks = [Track(Path(name), label, name, digest) for label, name, digest in told]
    held = split_tracks(tracks, fractions=(1 - share, 0.0, share), seed=seed, by="group").test
    out = np.isin(clips.track_ids, [track.track_id for track in held])
    return every[~out], every[out]
