"""All differences that a comparison tells of, and which of them may be claimed together.

A page shows many. One of them, fixed before it ran, is its question and is judged by itself; so
are positive controls, of which it is known beforehand that they help; all others are judged
together, since of many that chance alone makes a few are large.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from classifiers import vote_by_track
from experiments.statistics import (
    FEWEST_CLUSTERS,
    LEVEL,
    Difference,
    Metric,
    accuracy,
    macro_f1,
    paired_difference,
)
from features import Clips

TOO_FEW = "too few tracks"  # in place of a verdict on a class
_Answers = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # as `paired_difference` takes

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
