"""The question of a comparison put to other tests, whose answers decide nothing.

A verdict is by one test that was fixed before (`experiments.statistics`). Readers who know others
find here what those say of the same runs.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from experiments.statistics import EQUIVALENT, NOTHING


def otherwise(arm: np.ndarray, against: np.ndarray, fold: np.ndarray) -> dict[str, Any]:
    """What other tests say of two arms.

    Parameters
    ----------
    arm, against : (runs, n) whether each test track was told right; row i of both belongs to the
        same seeds.
    fold : (n,) of the tracks.

    Returns
    -------
    dict
        ``mcnemar`` : p of McNemar's exact test of each run (1947): of the tracks that one arm
        alone told right, are half each arm's? ``improvement`` : of all pairs of runs the share in
        which the arm is the better one, ties counted half (Agarwal et al. 2021). Of several folds
        also ``resampled``, p of the t test whose variance knows that folds share their training
        tracks (Nadeau and Bengio 2003), and ``bayes``, the probabilities that the arm is better,
        equivalent (within `EQUIVALENT`) and worse, of the same correlation (Corani and Benavoli
        2015, by baycomp).
    """
    found: dict[str, Any] = {
        "mcnemar": [mcnemar(*run) for run in zip(arm, against, strict=True)],
        "improvement": improvement(arm.mean(1), against.mean(1)),
    }
    if len(folds := np.unique(fold)) > 1:
        mine, others = (
            np.stack([right[:, fold == one].mean(1) for one in folds], axis=1)
            for right in (arm, against)
        )
        found |= {"resampled": resampled(mine - others), "bayes": bayes(mine, others)}
    return found


def mcnemar(arm: np.ndarray, against: np.ndarray) -> float:
    """p of McNemar's exact test of which answers (n,) are right; 1 where none differ."""
    from scipy import stats

    alone, other = int(np.sum(arm > against)), int(np.sum(against > arm))
    return float(stats.binomtest(alone, alone + other).pvalue) if alone + other else 1.0


def improvement(arm: np.ndarray, against: np.ndarray) -> float:
    """Probability that one of the arm's values is above one of the other's; ties count half."""
    from scipy import stats

    return float(stats.mannwhitneyu(arm, against).statistic / (len(arm) * len(against)))


def resampled(differences: np.ndarray) -> float:
    """p of the corrected resampled t test of differences (runs, folds); of equal ones, coins'."""
    from scipy import stats

    count, folds = differences.size, differences.shape[1]
    variance = (1 / count + 1 / (folds - 1)) * differences.var(ddof=1)
    if np.ptp(differences) < NOTHING:
        return min(1.0, 2 * 0.5**folds) if abs(differences.mean()) > NOTHING else 1.0
    return float(2 * stats.t.sf(abs(differences.mean()) / variance**0.5, count - 1))


def bayes(arm: np.ndarray, against: np.ndarray) -> dict[str, float]:
    """Probabilities that accuracies (runs, folds) are better, equivalent and worse."""
    import baycomp

    found = baycomp.two_on_single(against.ravel(), arm.ravel(), rope=EQUIVALENT, runs=len(arm))
    return dict(zip(("worse", "equivalent", "better"), map(float, found), strict=True))
