"""The arms of a comparison: what each trains its classifier on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from features import Rows

# What joins the real clips in each arm, each as many as there are generated clips.
ARMS: Mapping[str, tuple[str, ...]] = {
    "real": (),
    "real-oversampled": ("repeated",),
    "real+classical": ("classical",),
    "real+synthetic": ("synthetic",),
    "real+classical+synthetic": ("classical", "synthetic"),
}

# Beside the first arm, what an arm is held against where both are there: what else the same
# number of further clips, or of training steps, would have brought.
_CONTROLS: Mapping[str, tuple[str, ...]] = {
    "real+classical": ("real-oversampled",),
    "real+synthetic": ("real-oversampled", "real+classical"),
    "real+classical+synthetic": ("real+classical",),
}


@dataclass(frozen=True)
class Examples:
    """What a classifier trains on.

    Attributes
    ----------
    features, labels : (N, ...) and (N,).
    key : tells these examples from others.
    """

    features: np.ndarray | Rows
    labels: np.ndarray
    key: str


def joined(parts: Sequence[Examples]) -> Examples:
    """Several examples as one, in their order."""
    return Examples(
        Rows([part.features for part in parts]),
        np.concatenate([part.labels for part in parts]),
        " + ".join(part.key for part in parts),
    )


def repeated(labels: np.ndarray, counts: Mapping[int, int]) -> Iterator[np.ndarray]:
    """Rows of ``labels`` (N,) that are ``counts[label]`` of each label, spread evenly over them.

    Yields
    ------
    Rows in which none comes twice; most labels are in the first of them, and in further ones
    where more of a label is asked for than there is.
    """
    rows = {label: np.flatnonzero(labels == label) for label in counts}
    done = dict.fromkeys(counts, 0)
    while done != counts:
        taken = {n: rows[n][: counts[n] - done[n]] for n in counts}
        done = {n: done[n] + len(taken[n]) for n in counts}
        yield np.concatenate(list(taken.values()))


def pairs(arms: Sequence[str]) -> list[tuple[str, str]]:
    """Each difference to be estimated: an arm, and the one that it is held against."""
    baseline, *others = arms
    against_first = [(arm, baseline) for arm in others]
    controls = [(arm, control) for arm in others for control in _CONTROLS.get(arm, ())]
    return against_first + [pair for pair in controls if pair[1] in others]
