"""Rows of several arrays as one, read when they are asked for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import DTypeLike

from features.clips import Index
from features.scaling import Standardizer


class Rows:
    """Rows of several arrays under one index, standardised as they are read.

    Indexing takes an integer, a slice, an array of integers or a mask, along the first axis only,
    and gives float32; ``np.asarray(rows)`` reads them all.

    Parameters
    ----------
    parts : arrays (N_i, ...) of one shape, memory-mapped ones too, or other rows.
    index : rows of the parts laid end to end, in the order wanted here; None takes all.
    scaler : applied to what is read.

    Raises
    ------
    ValueError
        No parts, or parts of different shapes.
    IndexError
        A row that the parts have not.
    """

    dtype = np.dtype(np.float32)

    def __init__(
        self,
        parts: Sequence[np.ndarray | Rows],
        index: np.ndarray | None = None,
        scaler: Standardizer | None = None,
    ) -> None:
        shapes = {tuple(part.shape[1:]) for part in parts}
        if len(shapes) != 1:
            raise ValueError(f"parts have rows of shapes {sorted(shapes)}; give parts of one shape")
        self._parts = tuple(parts)
        self._ends = np.cumsum([len(part) for part in parts])
        self._starts = self._ends - [len(part) for part in parts]
        every = np.arange(self._ends[-1])
        self._index = every if index is None else every[index]
        self._scaler = scaler
        self.shape: tuple[int, ...] = (len(self._index), *shapes.pop())

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        scaled = ", standardised" if self._scaler else ""
        return f"Rows(shape={self.shape} of float32, {len(self._parts)} parts{scaled})"

    def __getitem__(self, index: Index) -> np.ndarray:
        wanted = self._index[index]
        rows = wanted.ravel()
        part = np.searchsorted(self._ends, rows, side="right")
        rows = rows - self._starts[part]
        if len(self._parts) == 1:  # read straight into the result, without a copy
            out = np.asarray(self._parts[0][rows], np.float32)
        else:
            out = np.empty((len(rows), *self.shape[1:]), np.float32)
            for i in np.unique(part):
                here = part == i
                out[here] = self._parts[i][rows[here]]
        out = out.reshape(*wanted.shape, *self.shape[1:])
        return np.asarray(self._scaler.apply(out)) if self._scaler else out

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("rows that are read when asked for have no array to share")
        return self[:].astype(dtype or np.float32, copy=False)
