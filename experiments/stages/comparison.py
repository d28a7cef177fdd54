"""The arms of a comparison, all trained for one budget on the sides of each fold and draw."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import StatisticsError, median

import numpy as np

from classifiers import FitConfig
from experiments.config import DataConfig
from experiments.report.formats import counted
from experiments.stages.arms import Arm
from experiments.stages.examples import Material
from experiments.stages.trials import Outcome, Trial, run_trial
from experiments.statistics import without_rounding
from features.augmentation import FeatureAugmentation

FACTOR = 3  # of the steps that the first arm needs: what every arm gets
DOUBLINGS = 3  # at most, of a budget that is too small
_LATE, _FEW = 0.9, 0.1  # share of the budget after which a best step is late, and of runs that may
CONVERGED, EQUAL_STEPS, EQUAL_EXPOSURES = "convergence", "equal steps", "equal exposures"
READINGS = {
    CONVERGED: "each run at its best step, by the validation tracks",
    EQUAL_STEPS: "all runs after the steps that the first arm needs",
    EQUAL_EXPOSURES: "all runs after each real clip was met as often as then",
}


@dataclass(frozen=True)
class Budget:
    """The steps of every run of every arm.

    Attributes
    ----------
    steps : of each run.
    needed : the median best step of the first arm; None where a person fixed the steps, or where
        no run of it came to its end.
    late : arms of which more than a tenth of the runs had their best step in the last tenth:
        they may not have come to their end, and the comparison is limited by its budget.
    """

    steps: int
    needed: int | None = None
    late: tuple[str, ...] = ()

    def readings(self, exposure: float | None) -> dict[str, int]:
        """Steps at which an arm is tested beside its best one.

        Parameters
        ----------
        exposure : clips that it trains on for each real one, itself among them; None where real
            clips are not what it trains on all the time.
        """
        if self.needed is None:
            return {}
        steps = {EQUAL_STEPS: self.needed}
        if exposure is not None:
            steps[EQUAL_EXPOSURES] = round(self.needed * exposure)
        return {name: step for name, step in steps.items() if step <= self.steps}


@dataclass(frozen=True)
class Cell:
    """A part of a comparison: the runs on the same sides of the data.

    Attributes
    ----------
    data : which sides those are.
    seeds : of its runs.
    material : what the arms are made from there.
    """

    data: DataConfig
    seeds: Sequence[int]
    material: Material


@dataclass(frozen=True)
class TrainedArms:
    """The arms of a comparison after their training on as many training tracks.

    Attributes
    ----------
    arms : all of them, the first the one that the others are held against.
    cells : folds and draws; a run of an arm has a fit in each fold.
    seeds : of the runs.
    budget : the steps of all.
    outcomes : of each arm the fits of the runs that came to their end, those of a run one after
        another; an arm without any is not among them.
    failed : of each arm why runs of it did not, by their seeds.
    rates : of each arm the learning rate, as a multiple of the recipe's, and the accuracy by
        which it was chosen among others on the validation tracks.
    """

    arms: tuple[Arm, ...]
    cells: Sequence[Cell]
    seeds: int
    budget: Budget
    outcomes: dict[str, list[Outcome]] = field(default_factory=dict)
    failed: dict[str, dict[int, str]] = field(default_factory=dict)
    rates: dict[str, dict[float, float]] = field(default_factory=dict)

    @property
    def ratio(self) -> float:
        """Further clips for each real one, where an arm says none itself."""
        return self.cells[0].material.ratio

    @property
    def fits(self) -> list[tuple[int, Cell]]:
        """The seed and the cell of each of an arm's fits."""
        return [(seed, c) for seed in range(self.seeds) for c in self.cells if seed in c.seeds]

    @property
    def folds(self) -> int:
        """Fits of a run."""
        return len(self.fits) // self.seeds

    def seeds_of(self, arm: str) -> list[int]:
        """Of the runs of an arm that came to their end."""
        return [seed for seed in range(self.seeds) if seed not in self.failed.get(arm, {})]

    def fits_of(self, arm: str) -> list[tuple[Outcome, int, Cell]]:
        """The fits of an arm, each with its seed and cell; none of one that failed."""
        kept = self.seeds_of(arm)
        places = [(seed, cell) for seed, cell in self.fits if seed in kept]
        fits = self.outcomes.get(arm, [])
        return [(fit, *at) for fit, at in zip(fits, places, strict=True)] if fits else []

    def of(self, cell: Cell, arm: str) -> list[Outcome]:
        """The fits of an arm in a cell."""
        return [fit for fit, _, c in self.fits_of(arm) if c is cell]


@dataclass(frozen=True)
class Fit:
    """A fit of an arm in plain values, so that another process can do it, too.

    Attributes
    ----------
    recipe : name of that whose classifier is fitted.
    batches : augmentation of its batches.
    read_at : as in `run_trial`, and ``task``.
    """

    trial: Trial
    recipe: str
    settings: FitConfig
    batches: FeatureAugmentation | None
    read_at: tuple[int, ...]
    task: str

    def run(
        self, arms: Sequence[Arm], material: Material, should_stop: Callable[[], bool] | None
    ) -> Outcome:
        """Do it with the material of its cell; errors are those of `run_trial`."""
        arm = next(arm for arm in arms if arm.name == self.trial.arm)
        return run_trial(
            self.trial,
            material,
            arm.training(material, self.trial.seed),
            self.settings,
            augment=self.batches,
            read_at=self.read_at,
            task=self.task,
            should_stop=should_stop,
        )


Elsewhere = Callable[[Sequence[Fit]], Mapping[Fit, str]]
"""Has fits done by others, side by side, and says of those that failed why."""


def run_arms(
    arms: tuple[Arm, ...],
    cells: Sequence[Cell],
    settings: FitConfig,
    *,
    seeds: int,
    fixed: bool,
    batches: FeatureAugmentation | None,
    rates: Sequence[float] = (),
    should_stop: Callable[[], bool] | None,
    elsewhere: Elsewhere | None = None,
) -> TrainedArms:
    """Train every arm with every seed, all for the same steps.

    Unless they are ``fixed``, those are chosen by the validation tracks: `FACTOR` times what the
    first arm needs, doubled where an arm does not come to its end.

    Parameters
    ----------
    settings : of every fit; its steps are the budget to begin with.
    batches : augmentation of the batches of the arms that have any.
    rates : multiples of the learning rate, of which each arm takes the one that is best by the
        validation tracks, in the first budget that all are trained for; none takes it as it is.
    elsewhere : does the fits before they are asked for here, where there are others to do them.
    """
    empty, progress = TrainedArms(arms, cells, seeds, Budget(0)), cells[0].material.progress
    tried: dict[str, dict[float, float]] = {}
    no_gan = dict[int, str]()  # why runs have no generated clips
    if any(arm.needs("gans") for arm in arms):
        said = ((seed, cell.material.lost(seed)) for seed, cell in reversed(empty.fits))
        no_gan = {seed: why for seed, why in said if why}
    lost = {arm.name: no_gan if arm.needs("gans") else {} for arm in arms}

    def cells_of(arm: Arm, budget: Budget, rate: float) -> list[tuple[Fit, Cell]]:
        """The fits of an arm that can be, each with its cell."""
        read_at = tuple(sorted({*readings_of(arm, budget, empty.ratio).values()}))
        steps = replace(settings, steps=budget.steps, learning_rate=rate * settings.learning_rate)
        amount = cells[0].data.amount
        of = (f", {amount}" if amount else "") + (
            f", {rate:g} of the learning rate" if rate != 1 else ""
        )
        return [
            (
                Fit(
                    Trial(cell.data.name, arm.name, seed),
                    cells[0].material.recipe.name,
                    steps,
                    batches if arm.alters_batches else None,
                    read_at,
                    f"{arm.name} {number}/{len(empty.fits)}{of}",
                ),
                cell,
            )
            for number, (seed, cell) in enumerate(empty.fits, 1)
            if seed not in lost[arm.name]
        ]

    def run(arm: Arm, budget: Budget, rate: float) -> tuple[list[Outcome], dict[int, str]]:
        """The fits of the runs that come to their end, and why others do not."""
        fits = dict(cells_of(arm, budget, rate))
        said = elsewhere([*fits]) if elsewhere else {}
        failed = {fit.trial.seed: why for fit, why in reversed([*said.items()])}
        done = list[tuple[int, Outcome]]()
        for fit, cell in fits.items():
            if (seed := fit.trial.seed) not in failed:
                try:
                    done.append((seed, fit.run(arms, cell.material, should_stop)))
                except FloatingPointError as error:
                    failed[seed] = str(error)
        return [fit for seed, fit in done if seed not in failed], lost[arm.name] | failed

    def tuned(arm: Arm, budget: Budget) -> tuple[list[Outcome], dict[int, str]]:
        if not rates:
            return run(arm, budget, 1.0)
        if arm.name not in tried:
            found, fewest = dict[float, float](), seeds
            for rate in rates:
                fits, said = run(arm, budget, rate)
                if new := {seed: said[seed] for seed in said if seed not in lost[arm.name]}:
                    why = first_of(new)  # of too high a rate
                    progress.say(f"{arm.name}, {rate:g} of the learning rate: {why}")
                if len(said) < fewest:  # runs that fail count more than an accuracy
                    found, fewest = {}, len(said)
                if fits and len(said) == fewest:
                    found[rate], _ = validated_by(fits)
            if not found:
                return [], said
            tried[arm.name] = found
        return run(arm, budget, best_rate(tried[arm.name]))

    def run_all(budget: Budget) -> TrainedArms:
        found = replace(empty, budget=budget, outcomes={}, failed={}, rates=tried)
        if elsewhere:  # all at once, so that nobody waits at the end of each arm
            rates_of = {arm: [best_rate(tried[arm.name])] if arm.name in tried else rates or [1.0]
                        for arm in arms}  # fmt: skip
            elsewhere([fit for a in arms for r in rates_of[a] for fit, _ in cells_of(a, budget, r)])
        for arm in arms:
            fits, failed = tuned(arm, budget)
            if fits:
                found.outcomes[arm.name] = fits
            if failed:  # what failed stays in the report
                found.failed[arm.name] = dict(sorted(failed.items()))
                runs = f", {len(failed)} of {counted(seeds, 'run')}" if fits else ""
                progress.say(f"{arm.name} failed{runs}: {first_of(failed)}")
        best = {name: _best_steps(runs) for name, runs in found.outcomes.items()}
        return replace(found, budget=replace(budget, late=late_arms(best, budget.steps)))

    steps = settings.steps or 1
    if fixed:
        return run_all(Budget(steps))
    try:
        needed = steps_needed(lambda given: _best_steps(tuned(arms[0], Budget(given))[0]), steps)
    except StatisticsError:  # all runs of the arm failed, which its own run tells
        return run_all(Budget(steps))
    tried.clear()  # the first arm's own: in other steps other rates are best
    budget = Budget(FACTOR * needed, needed)
    for _ in range(DOUBLINGS):
        progress.say(f"budget of every arm: {budget.steps} steps, by validation tracks")
        found = run_all(budget)
        if not found.budget.late:
            return found
        budget = Budget(2 * budget.steps, needed)
    return run_all(budget)


def first_of(failed: Mapping[int, str]) -> str:
    """Why the first of the runs that failed did."""
    return failed[min(failed)]


def best_rate(tried: Mapping[float, float]) -> float:
    """The learning rate of the best accuracy; of several the one nearest to the recipe's own."""
    return max(tried, key=lambda rate: (tried[rate], -abs(np.log(rate))))


def readings_of(arm: Arm, budget: Budget, ratio: float) -> dict[str, int]:
    """Steps at which an arm is tested beside its best one; in phases no step is like another's."""
    return budget.readings(arm.exposure(ratio)) if len(arm.phases) == 1 else {}


def _best_steps(runs: Sequence[Outcome]) -> list[int]:
    return [run.history["best_step"] for run in runs]


def validated_by(runs: Sequence[Outcome]) -> tuple[float, float]:
    """Mean accuracy and loss of the validation clips at the best steps."""
    found = []
    for run in runs:
        at = run.history["steps"].index(run.history["best_step"])
        found.append([run.history["valid_accuracy"][at], run.history["valid_loss"][at]])
    accuracy, loss = np.mean(found, 0).tolist()
    return without_rounding(accuracy), loss


# --- how long every arm trains: chosen by validation tracks alone, and whether it was enough -----


def steps_needed(best_steps: Callable[[int], Sequence[int]], start: int) -> int:
    """The median best step of the first arm, in a budget that shows it.

    Parameters
    ----------
    best_steps : trains the arm for a budget, and gives the best step of each run.
    start : the first budget; it is doubled until the median lies in its first half.
    """
    for doubled in range(DOUBLINGS + 1):
        budget = start * 2**doubled
        needed = round(median(best_steps(budget)))
        if 2 * needed <= budget:
            break
    return max(1, needed)


def late_arms(best_steps: Mapping[str, Sequence[int]], steps: int) -> tuple[str, ...]:
    """The arms that may not have come to their end within ``steps``."""
    return tuple(
        name
        for name, found in best_steps.items()
        if sum(step > _LATE * steps for step in found) > _FEW * len(found)
    )
