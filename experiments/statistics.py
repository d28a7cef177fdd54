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

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from classifiers import vote_by_track
from features import Clips

LEVEL = 0.05  # of the question, of the positive controls together, and of all others together
POWER = 0.8
EQUIVALENT = 0.02  # a difference within which arms are called equivalent
FEWEST_CLUSTERS = 6  # from which a claim about others than these is made
FEWEST_GANS = 5  # the same
TOO_FEW = "too few tracks"  # in place of a verdict on a class
NOTHING = 1e-12  # of rounding
_DIGITS = 12  # of which that is the last
_SURE = 0.8  # that the stated detectable difference is no smaller than the true one

Metric = Callable[[np.ndarray], np.ndarray]  # of counts (..., K, 3)
HITS, TRUE, SAID = range(3)
_Answers = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # as `paired_difference` takes


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
    half, changes = standard_errors(freedom) * error, _variance_of_changes(table, sizes)
    # Were the true difference `EQUIVALENT`, so few answers would change that the error seen of
    # those that happened to do may be far too small.
    least = max(error, (EQUIVALENT * changes) ** 0.5)
    return Difference(
        mean,
        (max(mean - half, -1.0), min(mean + half, 1.0)),
        float(2 * stats.t.sf(abs(mean) / error, freedom)),
        float(stats.t.sf((EQUIVALENT - abs(mean)) / least, freedom)),
        _detectable(error, freedom, level, changes),
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
    weights = sizes.astype(float)
    row_freedom, column_freedom = rows - 1, weights.sum() ** 2 / (weights**2).sum() - 1
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


def _variance_of_changes(table: np.ndarray, sizes: np.ndarray) -> float:
    """What a true difference adds to the variance of the mean, over that difference.

    Of a table (rows, columns) whose cells would change by as much as those do that changed, and in
    the same columns of all rows as far as they do: a gain is answers that change, too.
    """
    rows, columns = table.shape
    changed = (table**2).sum() / np.abs(table).sum()
    in_all = 1.0  # share of the cells' variance that is of columns
    if rows > 1 and columns > 1:
        of_column = table.mean(0)
        rest = table - table.mean(1, keepdims=True) - of_column + table.mean()
        cell = (rest**2).sum() / ((rows - 1) * (columns - 1))
        column = max(of_column.var(ddof=1) - cell / rows, 0.0)
        in_all = column / (column + cell) if cell else 1.0
    equal_columns = sizes.sum() ** 2 / (sizes**2).sum()
    return float(changed * (in_all + (1 - in_all) / rows) / equal_columns)


def _detectable(error: float, freedom: float, level: float, changes: float) -> float:
    """The difference that a test with such an error finds with `POWER`, an upper bound of it.

    The difference itself widens the error, by ``changes`` (`_variance_of_changes`).
    """
    from scipy import optimize, stats

    bound = error * (freedom / stats.chi2.ppf(1 - _SURE, freedom)) ** 0.5
    critical = stats.t.ppf(1 - level / 2, freedom)

    def missing(shift: float) -> float:
        return stats.nct.sf(critical, freedom, shift) - POWER

    shift = optimize.brentq(missing, 0, 4 * critical + 10)
    own = shift**2 * changes / 2  # of d² = shift² · (bound² + changes · d)
    return min(1.0, float(own + (own**2 + (shift * bound) ** 2) ** 0.5))


# Of each run, by its seed, its probabilities (n, K) and the test clips.
Runs = Mapping[int, tuple[np.ndarray, Clips]]


def compare_arms(
    sets: Sequence[Mapping[str, Runs]],
    pairs: Sequence[tuple[str, str]],
    *,
    groups: Mapping[str, str],
    gans: np.ndarray,
    draws: np.ndarray | None = None,
    generated: Collection[str],
    primary: tuple[str, str] | None,
    positive_controls: Collection[tuple[str, str]] = (),
) -> list[tuple[list[dict[str, Any]], list[dict[str, Any]]]]:
    """The paired differences of arms in every metric, and in the first set in recall by class.

    One of them, the primary pair's in track accuracy in the first set, is claimed at `LEVEL`. Those
    of positive controls, of the same metric and set, together are, by Holm's procedure, and so are
    all others: whether a study can see what is known is not one of its findings. Of a class with
    under `FEWEST_CLUSTERS` test tracks (or artists, speakers) nothing is claimed.

    Parameters
    ----------
    sets : arms that may be held against each other, such as those that had equally many training
        tracks; of each arm its runs, with the same test clips in all. Two arms are held against
        each other by the runs that both have.
    pairs : each arm, and the one that it is held against; those that a set lacks are left out.
    groups : of each test track its artist or speaker, or where none is known the track: what
        differences vary with; under `FEWEST_CLUSTERS` of them, the tracks.
    gans : (runs,) the GAN seed of each run, by the seed of the run.
    draws : (runs,) the draw of the training tracks of each run, which GANs differ within; where
        there are several, those are what varies.
    generated : arms with generated clips: where there are several GANs, those are what varies.
    primary : the pair that the comparison is about, fixed before it ran.
    positive_controls : pairs of which the first is known beforehand to be better.

    Returns
    -------
    list of (list of dict, list of dict)
        Of each set rows with ``arm``, ``against``, ``mean``, ``ci95``, ``p``, ``p_equivalent`` and
        ``verdict``; the first have a ``metric``, ``detectable``, ``primary`` and
        ``positive_control``, the second a ``label`` that was tested.
    """
    asked: list[tuple[int, list[int], dict[str, Any], _Answers, Metric]] = []
    for number, arms in enumerate(sets):
        held = [pair for pair in pairs if _shared(arms, *pair)]
        for row, answers, metric in _asked(arms, held, groups, by_class=not number):
            if "metric" in row:
                pair = row["arm"], row["against"]
                first = not number and row["metric"] == "track_accuracy"
                row["primary"] = first and pair == primary
                checks = first and pair in positive_controls and pair != primary
                row["positive_control"] = checks
            seeds = _shared(arms, row["arm"], row["against"])
            asked.append((number, seeds, row, answers, metric))
    families = [_family(row, data[-1]) for *_, row, data, _ in asked]
    judged = []
    for (_, seeds, row, data, metric), family in zip(asked, families, strict=True):
        by_gan = len({*gans}) > 1 and {row["arm"], row["against"]} & {*generated}
        rows = draws if draws is not None and len({*draws}) > 1 else gans if by_gan else None
        level = LEVEL / (families.count(family) if family else families.count(_OTHERS) or 1)
        of_runs = None if rows is None else rows[seeds]
        judged.append(paired_difference(*data, metric, groups=of_runs, level=level))
    found: list[tuple[list[dict[str, Any]], list[dict[str, Any]]]] = [([], []) for _ in sets]
    said = _verdicts(judged, families)
    for (number, _, row, *_), difference, verdict in zip(asked, judged, said, strict=True):
        chances = {"p": difference.p, "p_equivalent": difference.p_equivalent}
        row |= {**difference.interval(), **chances, "verdict": verdict}
        if "label" in row:
            found[number][1].append(row)
        else:
            found[number][0].append(row | {"detectable": difference.detectable})
    return found


def _asked(
    arms: Mapping[str, Runs],
    pairs: Sequence[tuple[str, str]],
    groups: Mapping[str, str],
    *,
    by_class: bool,
) -> Iterator[tuple[dict[str, Any], _Answers, Metric]]:
    """Of each pair its difference in every metric: what it is of, the answers, and the metric."""
    if not pairs:
        return
    _, test = next(iter(arms[pairs[0][0]].values()))
    first = np.sort(np.unique(test.track_ids, return_index=True)[1])  # in the votes' order
    units = clusters(test.track_ids, groups)
    clips, tracks = dict[str, dict[int, np.ndarray]](), dict[str, dict[int, np.ndarray]]()
    for name, runs in arms.items():
        clips[name], tracks[name] = {}, {}
        for seed, (probabilities, _) in runs.items():
            votes = vote_by_track(probabilities, test.track_ids)[1]
            clips[name][seed] = probabilities.argmax(1).astype(np.int16)
            tracks[name][seed] = votes.argmax(1).astype(np.int16)
    for arm, against in pairs:
        named, seeds = {"arm": arm, "against": against}, _shared(arms, arm, against)
        own, other = (np.stack([tracks[name][seed] for seed in seeds]) for name in (arm, against))
        by_track = (test.labels[first], own, other, units[first])
        own, other = (np.stack([clips[name][seed] for seed in seeds]) for name in (arm, against))
        by_clip = (test.labels, own, other, units)
        yield {**named, "metric": "track_accuracy"}, by_track, accuracy
        yield {**named, "metric": "accuracy"}, by_clip, accuracy
        yield {**named, "metric": "macro_f1"}, by_clip, macro_f1
        for label in np.unique(test.labels) if by_class else ():
            truth, one, two, unit = (part[..., test.labels == label] for part in by_clip)
            yield {**named, "label": test.label_names[label]}, (truth, one, two, unit), accuracy


def clusters(track_ids: Iterable[str], groups: Mapping[str, str]) -> np.ndarray:
    """Of each test clip's track what was drawn as a whole (n,): under too few groups, the track."""
    tracks = [*track_ids]
    few = len({groups[track] for track in tracks}) < FEWEST_CLUSTERS
    return np.array([track if few else groups[track] for track in tracks])


def _shared(arms: Mapping[str, Runs], arm: str, against: str) -> list[int]:
    """The seeds of the runs that two arms have, in order."""
    return sorted(arms.get(arm, {}).keys() & arms.get(against, {}).keys())


_QUESTION, _CONTROLS, _OTHERS = "question", "positive controls", "others"


def _family(row: Mapping[str, Any], units: np.ndarray) -> str | None:
    """With which others a difference is judged; None of a class too small to be judged."""
    if "label" in row:
        return _OTHERS if len({*units.tolist()}) >= FEWEST_CLUSTERS else None
    return _QUESTION if row["primary"] else _CONTROLS if row["positive_control"] else _OTHERS


def _verdicts(differences: Sequence[Difference], families: Sequence[str | None]) -> list[str]:
    """What may be claimed of each, those of a family together by Holm (1979); None claims none.

    Differences first, then equivalence among the rest: were both steps of one, many that are
    equivalent would let pass as a difference what chance alone makes of so many.
    """
    said = [TOO_FEW if family is None else "undecided" for family in families]
    for family in {*families} - {None}:
        among = {i for i, own in enumerate(families) if own == family}
        differ = _passed({i: differences[i].p for i in among})
        alike = _passed({i: differences[i].p_equivalent for i in among - differ})
        said = [
            differences[i].verdict() if i in differ else "equivalent" if i in alike else one
            for i, one in enumerate(said)
        ]
    return said


def _passed(p: Mapping[int, float]) -> set[int]:
    """Which of so many tests pass Holm's steps."""
    order = sorted(p, key=p.__getitem__)
    steps = (step for step, i in enumerate(order) if p[i] * (len(order) - step) >= LEVEL)
    return set(order[: next(steps, len(order))])


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
