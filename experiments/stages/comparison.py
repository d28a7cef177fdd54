"""The arms of a comparison trained for one budget, and what their difference is worth."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from classifiers import FitConfig
from experiments import scores, statistics, verdicts
from experiments.stages.arms import Arm, held_against, pairs, questioned
from experiments.stages.budget import (
    CONVERGED,
    DOUBLINGS,
    FACTOR,
    READINGS,
    Budget,
    late_arms,
    steps_needed,
)
from experiments.stages.examples import Material
from experiments.stages.trials import Outcome, Trial, run_trial
from features.augmentation import FeatureAugmentation


@dataclass(frozen=True)
class TrainedArms:
    """The arms of a comparison after their training.

    Attributes
    ----------
    arms : all of them, the first the one that the others are held against.
    ratio : further clips for each real one, where an arm says none itself.
    budget : the steps of all.
    outcomes : the runs of each arm that did not fail.
    failed : why the others did.
    """

    arms: tuple[Arm, ...]
    ratio: float
    budget: Budget
    outcomes: dict[str, list[Outcome]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


def run_arms(
    arms: tuple[Arm, ...],
    material: Material,
    settings: FitConfig,
    *,
    split: str,
    seeds: int,
    fixed: bool,
    batches: FeatureAugmentation | None,
    should_stop: Callable[[], bool] | None,
) -> TrainedArms:
    """Train every arm with every seed, all for the same steps.

    Unless they are ``fixed``, those are chosen by the validation tracks: `FACTOR` times what the
    first arm needs, doubled where an arm does not come to its end.

    Parameters
    ----------
    settings : of every fit; its steps are the budget to begin with.
    split : the name of the split.
    batches : augmentation of the batches of the arms that have any.
    """

    def run(arm: Arm, budget: Budget) -> list[Outcome]:
        read_at = sorted({*_readings(arm, budget, material.ratio).values()})
        return [
            run_trial(
                Trial(split, arm.name, seed),
                material,
                arm.training(material, seed),
                replace(settings, steps=budget.steps),
                augment=batches if arm.alters_batches else None,
                read_at=read_at,
                task=f"{arm.name} {seed + 1}/{seeds}",
                should_stop=should_stop,
            )
            for seed in range(seeds)
        ]

    def run_all(budget: Budget) -> TrainedArms:
        found = TrainedArms(arms, material.ratio, budget)
        for arm in arms:
            try:
                found.outcomes[arm.name] = run(arm, budget)
            except FloatingPointError as error:  # a failed arm stays in the report
                found.failed[arm.name] = str(error)
                material.progress.say(f"{arm.name} failed: {error}")
        best = {name: _best_steps(runs) for name, runs in found.outcomes.items()}
        return replace(found, budget=replace(budget, late=late_arms(best, budget.steps)))

    steps = settings.steps or 1
    if fixed:
        return run_all(Budget(steps))
    try:
        needed = steps_needed(lambda tried: _best_steps(run(arms[0], Budget(tried))), steps)
    except FloatingPointError:  # which the arm's own run tells
        return run_all(Budget(steps))
    budget = Budget(FACTOR * needed, needed)
    for _ in range(DOUBLINGS):
        material.progress.say(f"budget of every arm: {budget.steps} steps, by validation tracks")
        found = run_all(budget)
        if not found.budget.late:
            return found
        budget = Budget(2 * budget.steps, needed)
    return run_all(budget)


def _readings(arm: Arm, budget: Budget, ratio: float) -> dict[str, int]:
    """Steps at which an arm is tested beside its best one; in phases no step is like another's."""
    return budget.readings(arm.exposure(ratio)) if len(arm.phases) == 1 else {}


def _best_steps(runs: Sequence[Outcome]) -> list[int]:
    return [run.history["best_step"] for run in runs]


# --- what comes of it ----------------------------------------------------------------------------


def told(
    trained: TrainedArms,
    *,
    groups: Mapping[str, str],
    gans: np.ndarray,
    question: str | None = None,
) -> dict[str, Any]:
    """What ``results.json`` holds of arms, their budget and their differences.

    Parameters
    ----------
    groups : of each test track its artist or speaker, or itself.
    gans : (runs,) the GAN seed of each run.
    question : the arm that the comparison is about, if not the usual one.
    """
    late, primary = trained.budget.late, _primary(trained, question)
    made = [arm.name for arm in trained.arms if arm.needs("gans")]
    known: dict[str, Any] = {"groups": groups, "gans": gans, "generated": made}
    held = dict.fromkeys([*pairs(trained.arms), *([primary] if primary else [])])
    finished = [pair for pair in held if trained.outcomes.keys() >= set(pair)]
    differences, per_label = statistics.compare_arms(
        _tested(trained.outcomes), finished, primary=primary, **known
    )
    found: dict[str, Any] = {
        "arms": {arm.name: _told(arm, trained, gans) for arm in trained.arms},
        "budget": {**asdict(trained.budget), "late": list(late)},
        "differences": verdicts.limited(differences, late),
        "per_label": verdicts.limited(per_label, late),
        "answer": None,
        "readings": [],
    }
    found["curves"] = _over_ratios(trained, found["arms"], len(groups))
    if (asked := scores.question(found)) and primary:
        found["readings"] = _read(trained, primary, known)
        found["answer"] = verdicts.answer(
            asked, scores.beside(found, asked), found["readings"], found["arms"], late
        )
        asked["verdict"] = found["answer"]["verdict"]
    return found


def validated(trained: TrainedArms) -> dict[str, Any]:
    """What the validation tracks say of each arm's runs at their best steps, and of the budget."""
    arms = {
        name: [dict(zip(("accuracy", "loss"), _validated([run]), strict=True)) for run in runs]
        for name, runs in trained.outcomes.items()
    }
    return {"sealed": True, "validation": arms, "budget": asdict(trained.budget)}


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

    def point(x: float, arm: Mapping[str, Any]) -> dict[str, Any]:
        ends = scores.interval(arm, metric, tests)
        return {"x": x, "mean": scores.average(arm, metric), "ci95": list(ends or ())}

    found = [
        {"name": name, "points": [point(x, points[x]) for x in sorted(points)]}
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


def _validated(runs: Sequence[Outcome]) -> tuple[float, float]:
    """Mean accuracy and loss of the validation clips at the best steps."""
    found = []
    for run in runs:
        at = run.history["steps"].index(run.history["best_step"])
        found.append([run.history["valid_accuracy"][at], run.history["valid_loss"][at]])
    accuracy, loss = np.mean(found, 0).tolist()
    return accuracy, loss


def _score(runs: Sequence[Outcome]) -> tuple[float, float]:
    """By which the best of several arms is chosen: the accuracy, of equal ones the loss."""
    accuracy, loss = _validated(runs)
    return accuracy, -loss


def _read(
    trained: TrainedArms, primary: tuple[str, str], known: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """The question's difference at each of `READINGS` that both arms have."""
    arms = [arm for arm in trained.arms if arm.name in primary]
    steps = {arm.name: _readings(arm, trained.budget, trained.ratio) for arm in arms}
    found = []
    for reading, about in READINGS.items():
        at = {name: None if reading == CONVERGED else steps[name].get(reading) for name in primary}
        if reading != CONVERGED and None in at.values():
            continue
        tested = _tested({name: trained.outcomes[name] for name in primary}, at)
        (row, *_), _ = statistics.compare_arms(tested, [primary], primary=primary, **known)
        found.append({"reading": reading, "about": about, "steps": at, **row})
    return found


def _tested(
    outcomes: Mapping[str, Sequence[Outcome]], at: Mapping[str, int | None] | None = None
) -> dict[str, list[tuple[np.ndarray, Any]]]:
    """The answers of each arm's runs at a step, or at their best one, with the test clips."""

    def answers(run: Outcome, step: int | None) -> np.ndarray:
        return run.probabilities if step is None else run.readings[step]

    at = at or {}
    return {
        name: [(answers(run, at.get(name)), run.test) for run in runs]
        for name, runs in outcomes.items()
    }


def _told(arm: Arm, trained: TrainedArms, gans: np.ndarray) -> dict[str, Any]:
    about: dict[str, Any] = {"about": arm.about, "subject": arm.subject, "role": arm.role}
    about |= {"sources": list(arm.sources), "generated": arm.needs("gans")}
    if arm.name in trained.failed:
        return {**about, "runs": [], "error": trained.failed[arm.name]}
    runs = []
    for outcome in trained.outcomes[arm.name]:
        seed = outcome.trial.seed
        runs.append({"classifier_seed": seed, "gan_seed": int(gans[seed]), **outcome.record()})
    return {**about, "runs": runs}
