"""Paired differences between arms, with intervals that know what was drawn at random.

A difference is averaged over paired seeds and test tracks. Its interval comes from a bootstrap
that draws both again: whole tracks (a track's clips rise and fall together), and seeds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

RESAMPLES = 4000
POWER_FACTOR = 2.8  # standard errors that a two-sided 5 % test finds with 80 % power


@dataclass(frozen=True)
class Difference:
    """A mean difference, its 95 % interval, and the smallest one that could have been shown."""

    mean: float
    ci95: tuple[float, float]
    detectable: float

    @property
    def verdict(self) -> str:
        """What the interval allows to say."""
        low, high = self.ci95
        if low > 0:
            return "benefit"
        return "harm" if high < 0 else "no evidence of a benefit"


def paired_difference(
    truth: np.ndarray,
    arm: np.ndarray,
    against: np.ndarray,
    cluster: np.ndarray,
    metric: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray],
    *,
    seed: int = 0,
) -> Difference:
    """``arm`` minus ``against`` in ``metric``, over paired runs.

    Parameters
    ----------
    truth : (n,) labels.
    arm, against : (runs, n) predicted labels; row i of both belongs to the same seeds.
    cluster : (n,) what is resampled as a whole: the track of each clip.
    metric : `accuracy`, `macro_f1` or `recall_of` a label.
    seed : of the bootstrap.
    """
    if arm.shape != against.shape or arm.shape[1:] != truth.shape:
        raise ValueError(f"predictions {arm.shape}, {against.shape} do not pair on {truth.shape}")
    rng = np.random.default_rng(seed)
    _, member = np.unique(cluster, return_inverse=True)
    clusters = member.max() + 1
    drawn = rng.multinomial(clusters, np.full(clusters, 1 / clusters), size=RESAMPLES)
    weights = np.concatenate([np.ones((1, len(truth))), drawn[:, member]])
    per_run = np.stack(
        [
            metric(truth, a, weights) - metric(truth, b, weights)
            for a, b in zip(arm, against, strict=True)
        ]
    )  # (runs, 1 + resamples)
    runs = len(arm)
    shares = rng.multinomial(runs, np.full(runs, 1 / runs), size=RESAMPLES) / runs
    resampled = (shares.T * per_run[:, 1:]).sum(0)
    low, high = np.percentile(resampled, [2.5, 97.5])
    detectable = POWER_FACTOR * resampled.std(ddof=1)
    return Difference(float(per_run[:, 0].mean()), (float(low), float(high)), float(detectable))


def accuracy(truth: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Share of right predictions under each row of ``weights`` (b, n) → (b,)."""
    return weights @ (truth == predicted) / weights.sum(1)


def macro_f1(truth: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean over the labels of F1, 0 where a label is neither there nor predicted, → (b,)."""
    scores = []
    for label in np.unique(truth):
        true, said = truth == label, predicted == label
        total = weights @ true + weights @ said
        scores.append(2 * (weights @ (true & said)) / np.where(total > 0, total, 1))
    return np.mean(scores, axis=0)


def recall_of(label: int) -> Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]:
    """A metric: the share of the clips of ``label`` that are recognised; 0 where there are none."""

    def recall(truth: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> np.ndarray:
        of_label = weights[:, truth == label]
        total = of_label.sum(1)
        return of_label @ (predicted[truth == label] == label) / np.where(total > 0, total, 1)

    return recall
