"""Paired differences between arms, with intervals that know what was drawn at random.

Two things were drawn: the test tracks (or artists, speakers) and the runs, GANs where there are
several. Every test clip is answered in every run, so that the two are crossed: a difference is the
mean of a table of GANs × tracks, and the variance of its mean is that of rows and columns less
that of cells (two-way random effects; degrees of freedom by Satterthwaite, 1946). What is no mean,
as macro-F1, becomes one of the jackknife's pseudo-values (Tukey, 1958).

Two things keep false claims below their level with few GANs and unequal artists: the variance of
rows is unbiased by its median, not its mean, since that of three is too small more often than not;
and columns count as many as equal ones would (Kish, 1965).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

LEVEL = 0.05  # of the question, of the positive controls together, and of all others together
POWER = 0.8
EQUIVALENT = 0.02  # a difference within which arms are called equivalent
FEWEST_CLUSTERS = 6  # from which a claim about others than these is made
FEWEST_GANS = 5  # the same
NOTHING = 1e-12  # of rounding
_DIGITS = 12  # of which that is the last
_SURE = 0.8  # that the stated detectable difference is no smaller than the true one

Metric = Callable[[np.ndarray], np.ndarray]  # of counts (..., K, 3)
HITS, TRUE, SAID = range(3)


@dataclass(frozen=True)
class Difference:
    """A mean difference and what may be said of it.

    Attributes
    ----------
    mean, ci95 : with its 95 % interval, of shares, so within ±1.
    p : of a difference at least so large by chance alone, were there none.
    p_equivalent : of one at least so small, were the true one `EQUIVALENT` or more.
    detectable : a true difference that such a test finds with `POWER`, an upper bound; None
        where the arms agree on everything: such data say nothing of how much chance moves them.
    """

    mean: float
    ci95: tuple[float, float]
    p: float
    p_equivalent: float
    detectable: float | None

    def interval(self) -> dict[str, Any]:
        """The mean and its interval, as results hold them."""
        return {"mean": self.mean, "ci95": list(self.ci95)}

    def verdict(self) -> str:
        """What may be claimed where this is the one comparison that is made."""
        if self.p < LEVEL:
            return "benefit" if self.mean > 0 else "harm"
        return "equivalent" if self.p_equivalent < LEVEL else "undecided"


def paired_difference(
    truth: np.ndarray,
    arm: np.ndarray,
    against: np.ndarray,
    cluster: np.ndarray,
    metric: Metric,
    *,
    groups: np.ndarray | None = None,
    level: float = LEVEL,
) -> Difference:
    """``arm`` minus ``against`` in ``metric``, over paired runs.

    Parameters
    ----------
    truth : (n,) labels, from 0 on.
    arm, against : (runs, n) predicted labels; row i of both belongs to the same seeds.
    cluster : (n,) what was drawn as a whole: the artist, speaker or track of each.
    metric : `accuracy` or `macro_f1`.
    groups : (runs,) which runs were drawn together: those of a GAN; None takes each for itself.
    level : of the test that ``detectable`` is about.
    """
    if arm.shape != against.shape or arm.shape[1:] != truth.shape:
        raise ValueError(f"predictions {arm.shape}, {against.shape} do not pair on {truth.shape}")
    _, column = np.unique(cluster, return_inverse=True)
    _, row = np.unique(np.arange(len(arm)) if groups is None else groups, return_inverse=True)

    def of_rows(values: np.ndarray) -> np.ndarray:
        return np.stack([values[row == i].mean(0) for i in range(row.max() + 1)])

    whole, table = _values(truth, arm, column, metric)
    other, without = _values(truth, against, column, metric)
    mean = without_rounding(of_rows(whole - other).mean())
    return _judged(mean, of_rows(table - without), np.bincount(column), level)


def _judged(mean: float, table: np.ndarray, sizes: np.ndarray, level: float) -> Difference:
    """A mean that varies as a table (rows, columns) whose rows, and columns of such sizes, do."""
    from scipy import stats

    variance, freedom = _variance_of_mean(table, sizes)
    if not freedom:  # one track in one run
        return Difference(mean, (-1.0, 1.0), 1.0, 1.0, None)
    error = variance**0.5
    if error < NOTHING:  # all agree: as likely as that many fair coins
        rows, columns = table.shape
        p = min(1.0, 2 * 0.5 ** (columns if columns > 1 else rows)) if mean else 1.0
        return Difference(mean, (mean, mean), p, 1.0, None)
    half, shared = standard_errors(freedom) * error, _shared(table)
    # Were the true difference `EQUIVALENT`, so few columns might change, each by as much as those
    # that did, that the error seen of these is far too small.
    change = (table**2).sum() / np.abs(table).sum()
    least = max(error, (EQUIVALENT * change * shared / _equal_ones(sizes)) ** 0.5)
    return Difference(
        mean,
        (max(mean - half, -1.0), min(mean + half, 1.0)),
        float(2 * stats.t.sf(abs(mean) / error, freedom)),
        float(stats.t.sf((EQUIVALENT - abs(mean)) / least, freedom)),
        _detectable(error, freedom, level, shared / sizes.sum()),
    )


def without_rounding(share: float) -> float:
    """A share, or a difference of two, in the digits that are not of rounding: ties are ties."""
    return round(float(share), _DIGITS) + 0.0  # and no -0.0


def crossed_mean(
    table: np.ndarray, *, within: tuple[float, float]
) -> tuple[float, tuple[float, float]]:
    """The mean of a table (rows, columns) and its 95 % interval for other rows and columns.

    Such as listeners and the clips that each of them heard: both were drawn. Of a single row the
    interval is for other columns alone, of a single column for other rows.

    Right and wrong answers, or values that are all the same, may agree by luck, those on a clip
    all at once: their interval is no narrower than if one more of them, or one more column, said
    the contrary.

    Parameters
    ----------
    within : the least and the most that a value can be; of a single value they are the interval.
    """
    least, most = within
    mean = float(table.mean())
    if table.size < 2:
        return mean, within
    tables = [table]
    if np.ptp(table) < NOTHING or np.isin(table, within).all():
        tables += _contradicted(table, most if mean < (least + most) / 2 else least)
    half = max(_half_interval(one) for one in tables)
    return mean, (max(mean - half, least), min(mean + half, most))


def _contradicted(table: np.ndarray, end: float) -> list[np.ndarray]:
    """Two tables of which a value, or the column that is farthest from it, is at the end."""
    column = np.abs(table.mean(0) - end).argmax()
    row = np.abs(table[:, column] - end).argmax()
    value, whole = table.copy(), table.copy()
    value[row, column] = whole[:, column] = end
    return [value, whole]


def _half_interval(table: np.ndarray) -> float:
    """Half of the 95 % interval of the mean of a table (rows, columns) of crossed effects."""
    variance, freedom = _variance_of_mean(table, np.ones(table.shape[1]))
    return standard_errors(freedom) * variance**0.5


def standard_errors(freedom: float) -> float:
    """Half of a 95 % interval, in standard errors: 12.7 with one degree of freedom, 2.8 with 4."""
    from scipy import stats

    return float(stats.t.ppf(0.975, freedom))


def _variance_of_mean(table: np.ndarray, sizes: np.ndarray) -> tuple[float, float]:
    """Of a table (rows, columns) of crossed random effects, and its degrees of freedom."""
    from scipy import stats

    (rows, columns), mean = table.shape, table.mean()
    of_row, of_column = table.mean(1), table.mean(0)
    rest = table - of_row[:, None] - of_column + mean
    row_freedom, column_freedom = rows - 1, _equal_ones(sizes) - 1
    by_row = by_column = by_cell = 0.0  # mean squares; a single row, or column, is no sample
    freedoms = []
    if rows > 1:
        by_row = columns * np.sum((of_row - mean) ** 2) / stats.chi2.median(row_freedom)
        freedoms.append((by_row, row_freedom))
    if columns > 1:
        by_column = rows * np.sum((of_column - mean) ** 2) / (columns - 1)
        freedoms.append((by_column, column_freedom))
    if len(freedoms) == 2:
        cells = row_freedom * (columns - 1)
        by_cell = np.sum(rest**2) / cells
        freedoms.append((by_cell, cells))
    total = max(by_row + by_column - by_cell, by_row, by_column)  # no component is below 0
    spread = sum(square**2 / freedom for square, freedom in freedoms if freedom > 0)
    freedom = max(total**2 / spread, 1.0) if spread else float(len(freedoms) > 0)
    return total / table.size, freedom


def _shared(table: np.ndarray) -> float:
    """How much of a column's change is left in the mean over rows: 1 where all rows change alike.

    Of a table (rows, columns) whose rows have nothing in common it is 1/rows.
    """
    rows, columns = table.shape
    in_all = 1.0  # share of the cells' variance that is of columns
    if rows > 1 and columns > 1:
        of_column = table.mean(0)
        rest = table - table.mean(1, keepdims=True) - of_column + table.mean()
        cell = (rest**2).sum() / ((rows - 1) * (columns - 1))
        column = max(of_column.var(ddof=1) - cell / rows, 0.0)
        in_all = column / (column + cell) if cell else 1.0
    return float(in_all + (1 - in_all) / rows)


def _equal_ones(sizes: np.ndarray) -> float:
    """As many columns of one size say as much as those of such sizes (Kish, 1965)."""
    weights = sizes.astype(float)
    return float(weights.sum() ** 2 / (weights**2).sum())


def _detectable(error: float, freedom: float, level: float, changes: float) -> float:
    """The difference that a test with such an error finds with `POWER`, an upper bound of it.

    The difference is answers that change, too, and adds that many ``changes`` times itself to the
    variance.
    """
    from scipy import optimize, stats

    bound = error * (freedom / stats.chi2.ppf(1 - _SURE, freedom)) ** 0.5
    critical = stats.t.ppf(1 - level / 2, freedom)

    def missing(shift: float) -> float:
        return stats.nct.sf(critical, freedom, shift) - POWER

    shift = optimize.brentq(missing, 0, 4 * critical + 10)
    own = shift**2 * changes / 2  # of d² = shift² · (bound² + changes · d)
    return min(1.0, float(own + (own**2 + (shift * bound) ** 2) ** 0.5))


# --- metrics -------------------------------------------------------------------------------------


def _values(
    truth: np.ndarray, predicted: np.ndarray, column: np.ndarray, metric: Metric
) -> tuple[np.ndarray, np.ndarray]:
    """The metric of each run (runs,), and its pseudo-values (runs, columns)."""
    columns, labels = column.max() + 1, int(max(truth.max(), predicted.max())) + 1

    def counted(label: np.ndarray, among: np.ndarray | slice = slice(None)) -> np.ndarray:
        index = (column * labels + label)[among]
        return np.bincount(index, minlength=columns * labels).reshape(columns, labels)

    there, whole, without = counted(truth), list[np.ndarray](), list[np.ndarray]()
    for said in predicted:  # one by one: the counts of all take more than the answers
        counts = np.stack([counted(truth, truth == said), there, counted(said)], axis=-1)
        whole.append(metric(counts.sum(0)))  # of (columns, K, 3)
        without.append(metric(counts.sum(0) - counts) if columns > 1 else np.zeros(1))
    each = np.array(whole)
    return each, columns * each[:, None] - (columns - 1) * np.stack(without)


def accuracy(counts: np.ndarray) -> np.ndarray:
    """Share of right predictions, of counts (..., K, 3) of hits, truth and predictions → (...)."""
    return counts[..., HITS].sum(-1) / counts[..., TRUE].sum(-1)


def macro_f1(counts: np.ndarray) -> np.ndarray:
    """Mean F1 over the true labels, as in `classifiers.Report`, of counts (..., K, 3) → (...)."""
    there = counts[..., TRUE] > 0
    both = counts[..., TRUE] + counts[..., SAID]
    return (2 * counts[..., HITS] / np.where(both > 0, both, 1) * there).sum(-1) / there.sum(-1)
