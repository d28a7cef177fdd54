"""Other tests of a question, on answers whose result is known or computed by hand."""

import numpy as np
import pytest
from scipy import stats

from experiments.opinions import bayes, improvement, mcnemar, otherwise, resampled


def right(*counts: int) -> np.ndarray:
    """Which answers are right: so many are, then so many are not, and so on."""
    return np.repeat(np.arange(len(counts)) % 2 == 0, counts)


def test_mcnemar_by_hand():
    """Six tracks that one arm alone got, one that the other did: 2 × (1 + 7) of 2⁷ ways."""
    arm, against = right(16, 4), np.concatenate([right(10), ~right(6), right(1), ~right(3)])
    assert mcnemar(arm, against) == pytest.approx(2 * (1 + 7) / 2**7)
    assert mcnemar(arm, arm) == 1.0


def test_a_run_is_better_in_as_many_pairs_as_counted():
    assert improvement(np.array([0.5, 0.7]), np.array([0.6, 0.5])) == (0 + 0.5 + 1 + 1) / 4
    assert improvement(np.array([0.3]), np.array([0.3])) == 0.5


def test_the_resampled_test_by_its_formula():
    """Nadeau and Bengio's variance: of J differences 1 / J + tested / trained times their own."""
    found = np.random.default_rng(0).normal(0.02, 0.05, (3, 5))
    t = found.mean() / np.sqrt((1 / 15 + 1 / 4) * found.var(ddof=1))
    assert resampled(found) == pytest.approx(2 * stats.t.sf(abs(t), 14))
    plain = stats.ttest_1samp(found.ravel(), 0).pvalue
    assert resampled(found) > plain  # folds that share their training tracks say less
    assert resampled(np.zeros((3, 5))) == 1.0
    assert resampled(np.full((3, 5), 0.1)) == 2 / 2**5


def test_bayes_is_sure_of_what_is_plain():
    rng = np.random.default_rng(1)
    base = rng.normal(0.5, 0.05, (4, 10))
    better = bayes(base + 0.2 + rng.normal(0, 0.01, base.shape), base)
    same = bayes(base + rng.normal(0, 0.01, base.shape), base)
    assert better["better"] > 0.99
    assert same["equivalent"] > 0.99
    mirrored = bayes(base, base + 0.2)
    assert mirrored["worse"] > 0.99
    assert sum(same.values()) == pytest.approx(1)


def test_folds_bring_two_more():
    rng = np.random.default_rng(2)
    arm, against = rng.random((2, 3, 60)) < 0.6
    alone = otherwise(arm, against, np.zeros(60, int))
    assert alone.keys() == {"mcnemar", "improvement"}
    assert len(alone["mcnemar"]) == 3
    fold = np.arange(60) % 6
    found = otherwise(arm, against, fold)
    by_fold = [arm[:, fold == i].mean(1) - against[:, fold == i].mean(1) for i in range(6)]
    assert found["resampled"] == resampled(np.stack(by_fold, 1))
    assert found["mcnemar"] == alone["mcnemar"]


@pytest.mark.parametrize("name", ["mcnemar", "resampled"])
def test_they_claim_little_where_nothing_is(name):
    rng, low = np.random.default_rng(3), 0
    for _ in range(300):
        arm, against = rng.random((2, 1, 60)) < 0.6
        found = otherwise(arm, against, np.arange(60) % 6)[name]
        low += np.min(found) < 0.05
    assert low / 300 < 0.09
