"""The arms of a comparison: what each trains its classifier on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from features import Standardizer


class Rows:
    """Rows of several arrays under one index, standardised as they are read.

    Parameters
    ----------
    parts : arrays (N_i, ...) of one shape, memory-mapped ones too.
    index : row of the parts laid end to end for each row here; None takes all.
    scaler : applied to what is read.
    """

    def __init__(
        self,
        parts: Sequence[np.ndarray | Rows],
        index: np.ndarray | None = None,
        scaler: Standardizer | None = None,
    ):
        self._parts = tuple(parts)
        self._ends = np.cumsum([len(part) for part in parts])
        self._index = np.arange(self._ends[-1]) if index is None else index
        self._scaler = scaler
        self.shape: tuple[int, ...] = (len(self._index), *self._parts[0].shape[1:])

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, rows) -> np.ndarray:
        rows = self._index[rows]
        part = np.searchsorted(self._ends, rows, side="right")
        out = np.empty((len(rows), *self.shape[1:]), np.float32)
        for i in np.unique(part):
            here = part == i
            out[here] = self._parts[i][rows[here] - (self._ends[i] - len(self._parts[i]))]
        return np.asarray(self._scaler.apply(out)) if self._scaler else out


@dataclass(frozen=True)
class Examples:
    """Features (N, ...) and labels (N,) that a classifier trains on."""

    features: np.ndarray | Rows
    labels: np.ndarray


Training = tuple[list[np.ndarray | Rows], np.ndarray, np.ndarray]  # parts, index, labels


@dataclass(frozen=True)
class Arm:
    """``build`` lays out the training set from real and synthetic examples.

    ``synthetic`` says whether the arm depends on the generated clips themselves.
    """

    build: Callable[[Examples, Examples], Training]
    synthetic: bool


def _real(real: Examples, synthetic: Examples) -> Training:
    return [real.features], np.arange(len(real.labels)), real.labels


def _oversampled(real: Examples, synthetic: Examples) -> Training:
    """The real clips repeated, class by class, to the number that the augmented arm has."""
    extra = [
        np.resize(np.flatnonzero(real.labels == label), int((synthetic.labels == label).sum()))
        for label in np.unique(synthetic.labels)
    ]
    index = np.concatenate([np.arange(len(real.labels)), *extra])
    return [real.features], index, real.labels[index]


def _augmented(real: Examples, synthetic: Examples) -> Training:
    labels = np.concatenate([real.labels, synthetic.labels])
    return [real.features, synthetic.features], np.arange(len(labels)), labels


ARMS: Mapping[str, Arm] = {
    "real": Arm(_real, synthetic=False),
    "real-oversampled": Arm(_oversampled, synthetic=False),
    "real+synthetic": Arm(_augmented, synthetic=True),
}
