"""Paired differences between arms, with intervals that know what was drawn at random.

A difference is averaged over paired seeds and test tracks. Its interval comes from a bootstrap
that draws both again: whole tracks (a track's clips rise and fall together), and seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from classifiers import vote_by_track
from features import Clips

RESAMPLES = 4000
POWER_FACTOR = 2.8  # standard errors that a two-sided 5 % test finds with 80 % power

Metric = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Difference:
    """A mean difference, its 95 % interval, and the smallest one that could have been shown.

    ``detectable`` is None where the arms agree on everything: such data say nothing of how much
    chance would move them.
    """

    mean: float
    ci95: tuple[float, float]
    detectable: float | None

    def interval(self) -> dict[str, Any]:
        """The mean and its interval, as results hold them."""
        return {"mean": self.mean, "ci95": list(self.ci95)}

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
    metric: Metric,
    *,
    groups: np.ndarray | None = None,
    seed: int = 0,
) -> Difference:
    """``arm`` minus ``against`` in ``metric``, over paired runs.

    Parameters
    ----------
    truth : (n,) labels.
    arm, against : (runs, n) predicted labels; row i of both belongs to the same seeds.
    cluster : (n,) what is resampled as a whole: the track, or artist, of each clip.
    metric : `accuracy`, `macro_f1` or `recall_of` a label.
    groups : (runs,) the GAN seed of each run: they are resampled, then the runs within.
    seed : of the bootstrap.
    """
    if arm.shape != against.shape or arm.shape[1:] != truth.shape:
        raise ValueError(f"predictions {arm.shape}, {against.shape} do not pair on {truth.shape}")
    rng = np.random.default_rng(seed)
    _, member = np.unique(cluster, return_inverse=True)
    drawn = _draws(rng, np.full(RESAMPLES, member.max() + 1), member.max() + 1)
    weights = np.concatenate([np.ones((1, len(truth))), drawn[:, member]])
    paired = zip(arm, against, strict=True)
    per_run = np.stack([metric(truth, a, weights) - metric(truth, b, weights) for a, b in paired])
    shares = _run_shares(rng, np.zeros(len(arm)) if groups is None else groups)
    resampled = (shares.T * per_run[:, 1:]).sum(0)  # of (runs, 1 + resamples)
    low, high = np.nanpercentile(resampled, [2.5, 97.5])
    error = np.nanstd(resampled, ddof=1)
    return Difference(
        float(per_run[:, 0].mean()),
        (float(low), float(high)),
        float(POWER_FACTOR * error) if error > 0 else None,
    )


def compare_arms(
    arms: Mapping[str, Sequence[tuple[np.ndarray, Clips]]],
    pairs: Sequence[tuple[str, str]],
    *,
    cluster: Mapping[str, str],
    groups: np.ndarray,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The paired differences of arms in every metric, and class by class in recall.

    Parameters
    ----------
    arms : of each run its probabilities (n, K) and the test clips, the same in all runs.
    pairs : each arm, and the one that it is held against.
    cluster : of each test track, what is resampled as a whole.
    groups : (runs,) the GAN seed of each run.

    Returns
    -------
    list of dict, list of dict
        Rows with ``arm``, ``against``, ``mean`` and ``ci95``; the first have a ``metric``,
        ``verdict`` and ``detectable``, the second a ``label``.
    """
    differences: list[dict[str, Any]] = []
    per_label: list[dict[str, Any]] = []
    if not pairs:
        return differences, per_label
    test = arms[pairs[0][0]][0][1]
    first = np.sort(np.unique(test.track_ids, return_index=True)[1])  # in the votes' order
    units = np.array([cluster[track] for track in test.track_ids])
    clips = {name: np.stack([p.argmax(1) for p, _ in runs]) for name, runs in arms.items()}
    tracks = {
        name: np.stack([vote_by_track(p, test.track_ids)[1].argmax(1) for p, _ in runs])
        for name, runs in arms.items()
    }
    for arm, against in pairs:
        named = {"arm": arm, "against": against}
        by_track = (test.labels[first], tracks[arm], tracks[against], units[first])
        by_clip = (test.labels, clips[arm], clips[against], units)
        for name, data, metric in (
            ("track_accuracy", by_track, accuracy),
            ("accuracy", by_clip, accuracy),
            ("macro_f1", by_clip, macro_f1),
        ):
            found = paired_difference(*data, metric, groups=groups)
            more = {"verdict": found.verdict, "detectable": found.detectable}
            differences.append({**named, "metric": name, **found.interval(), **more})
        for label, name in enumerate(test.label_names):
            found = paired_difference(*by_clip, recall_of(label), groups=groups)
            per_label.append({**named, "label": name, **found.interval()})
    return differences, per_label


def _run_shares(rng: np.random.Generator, groups: np.ndarray) -> np.ndarray:
    """How much each run counts in each resample (resamples, runs): groups first, then runs."""
    names, member = np.unique(groups, return_inverse=True)
    times = _draws(rng, np.full(RESAMPLES, len(names)), len(names))
    counts = np.zeros((RESAMPLES, len(groups)))
    for group in range(len(names)):
        runs = np.flatnonzero(member == group)
        counts[:, runs] = _draws(rng, times[:, group] * len(runs), len(runs))
    return counts / counts.sum(1, keepdims=True)


def _draws(rng: np.random.Generator, total: np.ndarray, choices: int) -> np.ndarray:
    """Each row: how often each of ``choices`` comes in so many draws with replacement."""
    return rng.multinomial(total, np.full(choices, 1 / choices))


def accuracy(truth: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Share of right predictions under each row of ``weights`` (b, n) → (b,)."""
    return weights @ (truth == predicted) / weights.sum(1)


def macro_f1(truth: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean of F1 over the labels that have weight in ``truth``, → (b,)."""
    total, present = np.zeros((2, len(weights)))
    for label in np.unique(truth):
        true, said = truth == label, predicted == label
        there = weights @ true > 0
        both = weights @ true + weights @ said
        total += there * 2 * (weights @ (true & said)) / np.where(both > 0, both, 1)
        present += there
    return total / present


def recall_of(label: int) -> Metric:
    """A metric: the share of the clips of ``label`` that are recognised; NaN where none is."""

    def recall(truth: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> np.ndarray:
        of_label = weights[:, truth == label]
        hits, total = of_label @ (predicted[truth == label] == label), of_label.sum(1)
        return np.divide(hits, total, out=np.full(len(total), np.nan), where=total > 0)

    return recall
