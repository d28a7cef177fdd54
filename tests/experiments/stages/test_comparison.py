"""All arms for one budget, on trainings whose course is known."""

import gc
import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest

from classifiers import FitConfig
from experiments.stages import comparison
from experiments.stages.arms import Arm, declared
from experiments.stages.comparison import Cell, best_rate, run_arms, validated_by
from experiments.stages.trials import PROBABILITIES, Outcome


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


def test_of_rates_that_validate_equally_well_the_nearest_is_taken_whatever_the_order():
    """In folds of other sizes: .1 + .2 + .3 and .3 + .2 + .1 are rounded otherwise."""

    def validated(*accuracies):
        runs = [{"best_step": 1, "steps": [1], "valid_accuracy": [x], "valid_loss": [0.5]}
                for x in accuracies]  # fmt: skip
        return validated_by([SimpleNamespace(history=run) for run in runs])[0]

    tried = {3.0: validated(0.1, 0.2, 0.3), 1.0: validated(0.3, 0.2, 0.1)}
    assert best_rate(tried) == 1.0


RECIPE = SimpleNamespace(name="small")


def test_every_arm_is_tuned_in_the_same_budget(trials):
    progress = SimpleNamespace(say=lambda _: None)
    data = SimpleNamespace(name="track", amount="")
    cell = Cell(data, [0], SimpleNamespace(ratio=1.0, progress=progress, recipe=RECIPE))
    arms = declared(("real", "oversampled"), ())
    found = run_arms(
        arms, [cell], FitConfig(steps=100, epochs=None, learning_rate=1.0),
        seeds=1, fixed=False, batches=None, rates=(0.3, 1.0), should_stop=None,
    )  # fmt: skip
    assert found.rates["real"] == found.rates["oversampled"] == {0.3: 0.7, 1.0: 0.6}
    assert trials[0] == ("real", 100, 0.3)
    assert all(run.history["valid_accuracy"] == [0.7] for (run,) in found.outcomes.values())


def test_the_rate_of_the_fewest_failures_is_taken_and_the_others_stay(monkeypatch):
    """At each rate another run fails: the arm keeps two of three."""

    def trained(trial, material, phases, settings, **_):
        if trial.seed == {1.0: 0, 3.0: 1, 10.0: 1}[settings.learning_rate] or (
            settings.learning_rate == 10 and trial.seed == 2
        ):
            raise FloatingPointError(f"loss is NaN at {settings.learning_rate:g}")
        accuracy = 0.5 + settings.learning_rate / 100
        history = {"best_step": 5, "steps": [5], "valid_accuracy": [accuracy], "valid_loss": [1.0]}
        return SimpleNamespace(history=history, trial=trial)

    monkeypatch.setattr(comparison, "run_trial", trained)
    monkeypatch.setattr(Arm, "training", lambda *_: [])
    progress = SimpleNamespace(say=lambda _: None)
    cell = Cell(SimpleNamespace(name="track", amount=""), [0, 1, 2],
                SimpleNamespace(ratio=1.0, progress=progress, recipe=RECIPE))  # fmt: skip
    found = run_arms(
        declared(("real", "oversampled"), ()), [cell],
        FitConfig(steps=100, epochs=None, learning_rate=1.0),
        seeds=3, fixed=True, batches=None, rates=(1.0, 3.0, 10.0), should_stop=None,
    )  # fmt: skip
    for arm in ("real", "oversampled"):
        assert found.rates[arm].keys() == {1.0, 3.0}
        assert found.failed[arm] == {1: "loss is NaN at 3"}
        assert found.seeds_of(arm) == [0, 2]
        assert len(found.fits_of(arm)) == 2


def test_others_do_the_fits_of_all_arms_before_they_are_asked_for(trials):
    said = list[str]()
    cell = Cell(
        SimpleNamespace(name="track", amount=""),
        [0, 1],
        SimpleNamespace(ratio=1.0, progress=SimpleNamespace(say=said.append), recipe=RECIPE),
    )
    asked = []

    def elsewhere(fits):
        asked.append([(fit.trial.arm, fit.trial.seed, fit.settings.steps) for fit in fits])
        return {fit: f"no number in {fit.trial.name}" for fit in fits if fit.trial.arm == "noise"}

    found = run_arms(
        declared(("real", "noise", "oversampled"), ()), [cell],
        FitConfig(steps=100, epochs=None, learning_rate=1.0),
        seeds=2, fixed=True, batches=None, should_stop=None, elsewhere=elsewhere,
    )  # fmt: skip
    everything, *each = asked
    assert everything == [
        (arm, seed, 100) for arm in ("real", "noise", "oversampled") for seed in (0, 1)
    ]
    assert [fit for fits in each for fit in fits] == everything
    assert found.failed == {"noise": {seed: f"no number in track-noise-{seed}" for seed in (0, 1)}}
    assert set(found.outcomes) == {"real", "oversampled"}
    assert {arm for arm, *_ in trials} == {"real", "oversampled"}
    assert said == ["noise failed: no number in track-noise-0"]


def test_a_run_that_fails_leaves_the_others_of_its_arm(trials):
    """In one of two folds the second of three runs fails, in the other the third has no GAN."""
    said = list[str]()
    why = {(0, 2): "the GAN of all classes is silent"}
    cells = [
        Cell(
            SimpleNamespace(name=f"track-fold{fold}", amount=""),
            [0, 1, 2],
            SimpleNamespace(
                ratio=1.0,
                progress=SimpleNamespace(say=said.append),
                recipe=RECIPE,
                lost=lambda seed, fold=fold: why.get((fold, seed), ""),
            ),
        )
        for fold in (0, 1)
    ]
    asked = []

    def elsewhere(fits):
        asked.extend(fits)
        failing = ("track-fold1", "real+synthetic", 1)
        named = {fit: (fit.trial.split, fit.trial.arm, fit.trial.seed) for fit in fits}
        return {fit: "no number" for fit in fits if named[fit] == failing}

    found = run_arms(
        declared(("real", "real+synthetic"), ()), cells,
        FitConfig(steps=100, epochs=None, learning_rate=1.0),
        seeds=3, fixed=True, batches=None, should_stop=None, elsewhere=elsewhere,
    )  # fmt: skip
    assert found.failed == {"real+synthetic": {1: "no number", 2: why[0, 2]}}
    assert not [f for f in asked if (f.trial.arm, f.trial.seed) == ("real+synthetic", 2)]
    assert found.seeds_of("real") == [0, 1, 2]
    assert found.seeds_of("real+synthetic") == [0]
    kept = [(fit.trial.seed, fit.trial.split) for fit, *_ in found.fits_of("real+synthetic")]
    assert kept == [(0, "track-fold0"), (0, "track-fold1")]
    assert [len(found.of(cell, "real+synthetic")) for cell in cells] == [1, 1]
    assert said == ["real+synthetic failed, 2 of 3 runs: no number"]


def test_a_thousand_fits_leave_their_answers_on_the_disk(monkeypatch, tmp_path):
    """All answers would take 40 MB here: what is kept of each fit does not hold them."""
    answers, rows = np.full((1000, 10), 0.1, np.float32), {"test": np.arange(1000)}

    def done(trial, *_, task, **__):
        folder = tmp_path / trial.name
        folder.mkdir()
        np.save(folder / PROBABILITIES, answers)
        history = {"best_step": 1, "steps": [1], "valid_accuracy": [0.5], "valid_loss": [1.0]}
        return Outcome(trial, folder, np.zeros(0), rows, history, 0.0, 1)

    monkeypatch.setattr(comparison, "run_trial", done)
    monkeypatch.setattr(Arm, "training", lambda *_: [])
    progress = SimpleNamespace(say=lambda _: None)

    def run(cells):
        material = SimpleNamespace(ratio=1.0, progress=progress, recipe=RECIPE)
        places = [SimpleNamespace(name=f"{cells}-{number}", amount="") for number in range(cells)]
        return run_arms(
            declared(("real", "oversampled"), ()),
            [Cell(place, range(10), material) for place in places],
            FitConfig(steps=100, epochs=None), seeds=10, fixed=True, batches=None, should_stop=None,
        )  # fmt: skip

    tracemalloc.start()
    run(5)  # what is loaded and compiled once
    gc.collect()
    before, _ = tracemalloc.get_traced_memory()
    found = run(50)
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sum(map(len, found.outcomes.values())) == 1000
    assert after - before < 4e6, f"{(after - before) / 1000:,.0f} bytes a fit"
