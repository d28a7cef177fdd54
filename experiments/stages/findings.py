"""What comes of a comparison's trained arms: differences, verdicts, readings, curves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from experiments import claims, scores, statistics, verdicts
from experiments.opinions import otherwise
from experiments.report.formats import counted
from experiments.stages.arms import Arm, expected, held_against, pairs, questioned
from experiments.stages.comparison import (
    CONVERGED,
    READINGS,
    TrainedArms,
    best_rate,
    first_of,
    readings_of,
    validated_by,
)
from experiments.stages.trials import Outcome, scored, votes
from features import Clips


def told(
    amounts: Sequence[TrainedArms],
    *,
    groups: Mapping[str, str],
    gans: np.ndarray,
    draws: np.ndarray,
    question: str | None = None,
) -> dict[str, Any]:
    """What ``results.json`` holds of arms, their budget and their differences.

    Parameters
    ----------
    amounts : the arms, trained on each amount of training tracks; the first is what the comparison
        is about.
    groups : of each test track its artist or speaker, or itself.
    gans, draws : (runs,) the GAN seed of each run, and the draw of its training tracks.
    question : the arm that the comparison is about, if not the usual one.
    """
    trained = amounts[0]
    primary = _primary(trained, question)
    made = [arm.name for arm in trained.arms if arm.needs("gans")]
    folds = _folds(trained, groups)
    known: dict[str, Any] = {"groups": folds or groups, "gans": gans, "draws": draws}
    # What is asked is no check.
    wanted = {p: to for p, to in expected(trained.arms).items() if p[0] != (primary or [""])[0]}
    known |= {"generated": made, "primary": primary}
    known["positive_controls"] = [pair for pair, helps in wanted.items() if helps]
    held = dict.fromkeys([*pairs(trained.arms), *([primary] if primary else [])])
    tested = [_tested(of) for of in amounts]
    judged = claims.compare_arms(tested, list(held), **known)
    arms = [{arm.name: _told(arm, of, gans, draws) for arm in of.arms} for of in amounts]
    varied = {"varies_with": "folds" if folds else "groups", "split": {"draws": len({*draws})}}
    once = scores.ran_once({"arms": arms[0], **varied})
    parts: list[dict[str, Any]] = [
        {
            "amount": of.cells[0].data.amount,
            "arms": told_of,
            "budget": {**asdict(of.budget), "late": list(of.budget.late)},
            "differences": verdicts.limited(differences, *limits, once=once),
            "per_label": verdicts.limited(per_label, *limits, once=once),
        }
        for of, told_of, (differences, per_label) in zip(amounts, arms, judged, strict=True)
        for limits in [(of.budget.late, of.failed)]
    ]
    curves = _over_ratios(trained, parts[0]["arms"], len(groups))
    curves += _over_amounts(amounts, parts, len(groups))
    found = {**parts[0], "answer": None, "readings": [], "missing_readings": []}
    found |= {"amounts": parts[1:], "curves": curves}
    found["controls"] = verdicts.controls(found["differences"], wanted)
    found["varies_with"] = varied["varies_with"]
    if (asked := scores.question(found)) and primary:
        found["readings"] = _read(trained, primary, known)
        found["missing_readings"] = _missing(trained, primary)
        late, rows = trained.budget.late, scores.beside(found, asked)
        found["answer"] = verdicts.answer(
            asked, rows, found["readings"], found["arms"], late, once=once
        )
        asked["verdict"] = found["answer"]["verdict"]
        arm, against = (_right(tested[0][name]) for name in primary)
        both = sorted(arm.keys() & against.keys())
        one, other = (np.stack([right[seed] for seed in both]) for right in (arm, against))
        fold = np.array([*_fold_of(trained).values()])
        found["otherwise"] = otherwise(one, other, fold)
    return found


def _folds(trained: TrainedArms, groups: Mapping[str, str]) -> dict[str, str]:
    """What differences vary with where folds are enough: theirs, told by trainings of their own.

    None where an artist or speaker is in two: then folds are not drawn independently. Those that
    trained on the same tracks are one.
    """
    fold_of, heard = _fold_of(trained), dict[int, list[bytes]]()
    for cell in trained.cells:
        heard.setdefault(cell.data.fold, []).append(cell.material.rows["train"].tobytes())
    first = {fold: [*heard.values()].index(rows) for fold, rows in heard.items()}
    units = {track: f"fold {first[fold]}" for track, fold in fold_of.items()}
    pairs = {(groups[track], fold) for track, fold in fold_of.items()}
    parted = len(pairs) > len({*groups.values()})
    return {} if parted or len({*units.values()}) < statistics.FEWEST_CLUSTERS else units


def _fold_of(trained: TrainedArms) -> dict[str, int]:
    """The fold of each test track, in the order in which they are told."""
    tests = (
        (c.data.fold, c.material.clips.track_ids[c.material.rows["test"]]) for c in trained.cells
    )
    return {str(track): fold for fold, tracks in tests for track in tracks}


def _right(runs: claims.Runs) -> dict[int, np.ndarray]:
    """Whether each run, by its seed, told each test track (n,) right, by the vote of its clips."""

    def right(probabilities: np.ndarray, test: Clips) -> np.ndarray:
        _, by_track, labels = votes(probabilities, test)
        return by_track.argmax(1) == labels

    return {seed: right(*run) for seed, run in runs.items()}


def validated(amounts: Sequence[TrainedArms]) -> dict[str, Any]:
    """What the validation tracks say of each arm's runs at their best steps, and of the budget."""
    found = [
        {
            "amount": trained.cells[0].data.amount,
            "validation": {
                name: [
                    dict(zip(("accuracy", "loss"), validated_by([fit]), strict=True))
                    for fit in fits
                ]
                for name, fits in trained.outcomes.items()
            },
            "budget": asdict(trained.budget),
            "failed": {
                name: {str(seed): why for seed, why in runs.items()}
                for name, runs in trained.failed.items()
            },
        }
        for trained in amounts
    ]
    return {"sealed": True, **found[0], "amounts": found[1:]}


def _over_amounts(
    amounts: Sequence[TrainedArms], found: Sequence[Mapping[str, Any]], tests: int
) -> list[dict[str, Any]]:
    """Track accuracy over how many tracks train, of each arm."""
    if len(amounts) < 2:
        return []
    data, metric = [trained.cells[0].data for trained in amounts], "track_accuracy"
    xs = [one.shots or 100 * one.train_share for one in data]
    over = "training tracks of each class" if data[0].shots else "percent of the training tracks"
    series = []
    for name in (arm.name for arm in amounts[0].arms):
        at = sorted((x, i) for i, x in enumerate(xs) if found[i]["arms"][name]["runs"])
        points = [_point(x, found[i]["arms"][name], metric, tests) for x, i in at]
        series.append({"name": name, "points": points})
    return [{"over": over, "metric": metric, "series": series}]


def _point(x: float, arm: Mapping[str, Any], metric: str, tests: int) -> dict[str, Any]:
    """A point of a curve: an arm's mean and its interval."""
    ends = scores.interval(arm, metric, tests)
    return {"x": x, "mean": scores.average(arm, metric), "ci95": list(ends or ())}


def _over_ratios(
    trained: TrainedArms, arms: Mapping[str, Mapping[str, Any]], tests: int
) -> list[dict[str, Any]]:
    """Track accuracy over how many clips are added, of what there are several ratios of."""
    real = arms.get("real")
    series: dict[str, dict[float, Mapping[str, Any]]] = {}
    for arm in trained.arms:
        if (told := arm.ratios(trained.ratio)) and arm.name in trained.outcomes:
            name, ratio = told
            series.setdefault(name, {0.0: real} if real else {})[ratio] = arms[arm.name]
    metric = "track_accuracy"
    found = [
        {"name": name, "points": [_point(x, points[x], metric, tests) for x in sorted(points)]}
        for name, points in series.items()
        if len(points) > 2
    ]
    over = "further clips for each real one"
    return [{"over": over, "metric": metric, "series": found}] if found else []


def _primary(trained: TrainedArms, wanted: str | None) -> tuple[str, str] | None:
    """The pair that the comparison is about; against the best by validation of the classical."""
    asked = questioned(trained.arms, wanted)
    if asked is None:
        return None
    among = [name for name in held_against(asked, trained.arms) if name in trained.outcomes]
    best = max(among, key=lambda name: _score(trained.outcomes[name]), default=None)
    return asked.name, best or trained.arms[0].name


def _score(runs: Sequence[Outcome]) -> tuple[float, float]:
    """By which the best of several arms is chosen: the accuracy, of equal ones the loss."""
    accuracy, loss = validated_by(runs)
    return accuracy, -loss


def _read(
    trained: TrainedArms, primary: tuple[str, str], known: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """The question's difference at each of `READINGS` that both arms have."""
    arms = [arm for arm in trained.arms if arm.name in primary]
    steps = {arm.name: readings_of(arm, trained.budget, trained.ratio) for arm in arms}
    found = []
    for reading, about in READINGS.items():
        at = {name: None if reading == CONVERGED else steps[name].get(reading) for name in primary}
        if reading != CONVERGED and None in at.values():
            continue
        two = replace(trained, outcomes={name: trained.outcomes[name] for name in primary})
        ((row, *_), _), *_ = claims.compare_arms([_tested(two, at)], [primary], **known)
        found.append({"reading": reading, "about": about, "steps": at, **row})
    return found


def _missing(trained: TrainedArms, primary: tuple[str, str]) -> list[dict[str, str]]:
    """Of `READINGS` those that an arm of the question can't have, and why (``because``)."""
    whys = [_unread(trained, arm) for arm in trained.arms if arm.name in primary]
    because = {
        reading: dict.fromkeys(why[reading] for why in whys if reading in why)
        for reading in READINGS
    }
    return [{"reading": name, "because": "; ".join(said)} for name, said in because.items() if said]


def _unread(trained: TrainedArms, arm: Arm) -> dict[str, str]:
    """Why an arm has not all of `READINGS`, by those that it lacks."""
    budget, exposure, first = trained.budget, arm.exposure(trained.ratio), trained.arms[0].name
    if len(arm.phases) > 1:
        why = f"{arm.name} trains in phases, no step of which is like one of another arm"
    elif budget.needed is None:
        given = first in trained.outcomes
        why = "--steps was given" if given else f"no run of {first} finished"
        why = f"how many steps {first} needs is not known, since {why}"
    elif exposure is None:
        why = f"{arm.name} trains on no real clips"
    else:
        steps = counted(round(budget.needed * exposure), "step")
        why = f"{arm.name} would take {steps}, of {budget.steps} that there are"
    made = {CONVERGED, *readings_of(arm, budget, trained.ratio)}
    return {reading: why for reading in READINGS if reading not in made}


def _tested(
    trained: TrainedArms, at: Mapping[str, int | None] | None = None
) -> dict[str, claims.Runs]:
    """The answers of each arm's runs at a step, or at their best one, with the test clips."""
    return {
        name: _Answers(
            dict(zip(trained.seeds_of(name), _batched(fits, trained.folds), strict=True)),
            (at or {}).get(name),
        )
        for name, fits in trained.outcomes.items()
    }


@dataclass(frozen=True)
class _Answers(Mapping[int, tuple[np.ndarray, Clips]]):
    """Those of an arm's runs, by their seeds, read when they are asked for: all take gigabytes."""

    fits: Mapping[int, Sequence[Outcome]]
    step: int | None

    def __getitem__(self, seed: int) -> tuple[np.ndarray, Clips]:
        run, step = self.fits[seed], self.step
        answers = [one.probabilities if step is None else one.reading(step) for one in run]
        rows = np.concatenate([one.rows["test"] for one in run])
        return np.concatenate(answers), run[0].clips.select(rows)

    def __iter__(self) -> Iterator[int]:
        return iter(self.fits)

    def __len__(self) -> int:
        return len(self.fits)


def _told(arm: Arm, trained: TrainedArms, gans: np.ndarray, draws: np.ndarray) -> dict[str, Any]:
    about: dict[str, Any] = {"about": arm.about, "subject": arm.subject, "role": arm.role}
    about |= {"sources": list(arm.sources), "generated": arm.needs("gans")}
    if failed := trained.failed.get(arm.name):
        about["failed_runs"] = [
            {"classifier_seed": seed, "gan_seed": int(gans[seed]), "error": why}
            for seed, why in failed.items()
        ]
    if arm.name not in trained.outcomes:
        return {**about, "runs": [], "error": first_of(failed or {0: "no run finished"})}
    if tried := trained.rates.get(arm.name):
        about["learning_rate"] = best_rate(tried)
        about["tried"] = {f"{rate:g}": accuracy for rate, accuracy in tried.items()}
    runs = []
    for outcome, seed, cell in trained.fits_of(arm.name):
        seeds = {"classifier_seed": seed, "gan_seed": int(gans[seed])}
        place = {"fold": cell.data.fold, "draw": int(draws[seed])}
        runs.append({**seeds, **place, **outcome.record()})
    if trained.folds > 1:
        own = replace(trained, outcomes={arm.name: trained.outcomes[arm.name]})
        about["pooled"] = _pooled(_tested(own)[arm.name])
    return {**about, "runs": runs}


def _pooled(runs: claims.Runs) -> dict[str, list[float]]:
    """The scores of each run over the test tracks of all folds."""
    found = [scored(probabilities, test) for probabilities, test in runs.values()]
    return {metric: [one[metric] for one in found] for metric in scores.METRICS}


def _batched(items: Sequence[Any], size: int) -> list[Sequence[Any]]:
    """The items, so many at a time."""
    return [items[i : i + size] for i in range(0, len(items), size)]
