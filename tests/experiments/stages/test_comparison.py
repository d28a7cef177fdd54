"""All arms for one budget, on trainings whose course is known."""

from types import SimpleNamespace

import pytest

from classifiers import FitConfig
from experiments.stages import comparison
from experiments.stages.arms import Arm, declared
from experiments.stages.comparison import Cell, run_arms


@pytest.fixture
def trials(monkeypatch):
    """Each training as (arm, steps, rate): a low rate is slower, and better in the end."""
    seen = []

    def trained(trial, material, phases, settings, **_):
        steps, rate = settings.steps, settings.learning_rate
        seen.append((trial.arm, steps, rate))
        accuracy = 0.60 if rate == 1 else 0.70 if steps > 100 else 0.55
        best = min(steps, 50 if rate == 1 else 180)
        history = {"best_step": best, "steps": [best], "valid_accuracy": [accuracy]}
        return SimpleNamespace(history=history | {"valid_loss": [1 - accuracy]}, trial=trial)

    monkeypatch.setattr(comparison, "run_trial", trained)
    monkeypatch.setattr(Arm, "training", lambda *_: [])
    return seen


def test_every_arm_is_tuned_in_the_same_budget(trials):
    progress = SimpleNamespace(say=lambda _: None)
    data = SimpleNamespace(name="track", amount="")
    cell = Cell(data, [0], SimpleNamespace(ratio=1.0, progress=progress))
    arms = declared(("real", "oversampled"), ())
    found = run_arms(
        arms, [cell], FitConfig(steps=100, epochs=None, learning_rate=1.0),
        seeds=1, fixed=False, batches=None, rates=(0.3, 1.0), should_stop=None,
    )  # fmt: skip
    assert found.rates["real"] == found.rates["oversampled"] == {0.3: 0.7, 1.0: 0.6}
    assert trials[0] == ("real", 100, 0.3)
    assert all(run.history["valid_accuracy"] == [0.7] for (run,) in found.outcomes.values())
