"""How long every arm trains: chosen by validation tracks alone, and whether it was enough."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

FACTOR = 3  # of the steps that the first arm needs: what every arm gets
DOUBLINGS = 3  # at most, of a budget that is too small
_LATE, _FEW = 0.9, 0.1  # share of the budget after which a best step is late, and of runs that may


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


CONVERGED, EQUAL_STEPS, EQUAL_EXPOSURES = "convergence", "equal steps", "equal exposures"
READINGS = {
    CONVERGED: "each run at its best step, by the validation tracks",
    EQUAL_STEPS: "all runs after the steps that the first arm needs",
    EQUAL_EXPOSURES: "all runs after each real clip was met as often as then",
}


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
