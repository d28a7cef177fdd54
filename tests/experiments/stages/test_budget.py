"""The budget on learning curves whose right answer is known."""

import pytest

from experiments.stages.comparison import Budget, late_arms, steps_needed


def learner(needs):
    """Runs of an arm that come to their best after ``needs`` steps, or at their budget's end."""
    tried = []

    def best_steps(budget):
        tried.append(budget)
        return [min(step, budget) for step in needs]

    return best_steps, tried


@pytest.mark.parametrize(
    ("needs", "found", "tried"),
    [
        ([30, 40, 50], 40, [100]),
        ([90, 95, 100], 95, [100, 200]),
        ([10, 300, 310], 300, [100, 200, 400, 800]),
        (
            [9000] * 3,
            800,
            [100, 200, 400, 800],
        ),  # it never comes to its end: the last that is tried
        ([0, 0], 1, [100]),
    ],
)
def test_the_first_arm_shows_how_many_steps_it_needs(needs, found, tried):
    best_steps, asked = learner(needs)
    assert steps_needed(best_steps, 100) == found
    assert asked == tried


def test_an_arm_is_late_where_more_than_a_tenth_of_its_runs_are():
    best = {
        "done": [50] * 10,
        "one of ten": [50] * 9 + [100],
        "two of ten": [50] * 8 + [91, 100],
        "at the edge": [90] * 10,
        "one of three": [10, 10, 100],
    }
    assert late_arms(best, 100) == ("two of ten", "one of three")


def test_readings_are_at_steps_that_were_trained():
    budget = Budget(300, needed=100)
    assert budget.readings(2.0) == {"equal steps": 100, "equal exposures": 200}
    assert budget.readings(1.0) == {"equal steps": 100, "equal exposures": 100}
    assert budget.readings(5.0) == {"equal steps": 100}  # beyond the budget
    assert budget.readings(None) == {"equal steps": 100}
    assert Budget(300).readings(2.0) == {}
