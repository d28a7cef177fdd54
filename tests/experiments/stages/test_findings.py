"""What the differences of several folds vary with, and what it takes to tell them."""

import gc
import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest

from experiments.stages.arms import declared
from experiments.stages.comparison import Budget, Cell, TrainedArms
from experiments.stages.findings import _folds, _missing, told
from experiments.stages.trials import PROBABILITIES, Outcome, Trial
from features import Clips


def trained(folds, *, heard=None):
    """Arms of so many folds of two test tracks, each trained on rows of its own unless said."""
    clips = SimpleNamespace(track_ids=np.array([f"t{i}" for i in range(2 * folds)]))
    heard = heard or [[100 + fold] for fold in range(folds)]
    cells = [
        SimpleNamespace(
            data=SimpleNamespace(fold=fold),
            material=SimpleNamespace(
                clips=clips,
                rows={"test": np.array([2 * fold, 2 * fold + 1]), "train": np.array(heard[fold])},
            ),
        )
        for fold in range(folds)
    ]
    return SimpleNamespace(cells=cells)


def alone(folds):
    return {f"t{i}": f"t{i}" for i in range(2 * folds)}


def test_six_folds_are_what_differences_vary_with():
    units = _folds(trained(6), alone(6))
    assert [units[f"t{i}"] for i in range(4)] == ["fold 0", "fold 0", "fold 1", "fold 1"]
    assert len({*units.values()}) == 6


@pytest.mark.parametrize(
    "case",
    [
        (trained(5), alone(5)),  # too few of them
        (trained(6), alone(6) | {"t1": "ann", "t2": "ann"}),  # in two folds
        (trained(6, heard=[[1], [1], [2], [3], [4], [5]]), alone(6)),  # one training in two
    ],
    ids=["few", "shared", "twins"],
)
def test_folds_that_are_not_six_independent_ones_are_not(case):
    assert _folds(*case) == {}


BOTH = "equal steps", "equal exposures"


@pytest.mark.parametrize(
    ("arm", "budget", "missing"),
    [
        ("real+noise", Budget(300, needed=100), {}),
        (
            "real+noise@4",  # five clips for each real one, in three times the steps
            Budget(300, needed=100),
            {"equal exposures": "real+noise@4 would take 500 steps, of 300 that there are"},
        ),
        ("real+noise@4", Budget(600, needed=100), {}),
        ("noise", Budget(300, needed=100), {"equal exposures": "noise trains on no real clips"}),
        (
            "noise-then-real",
            Budget(300, needed=100),
            dict.fromkeys(
                BOTH,
                "noise-then-real trains in phases, no step of which is like one of another arm",
            ),
        ),
        (
            "real+noise",
            Budget(300),
            dict.fromkeys(
                BOTH, "how many steps real needs is not known, since --steps was given"
            ),
        ),
    ],
)  # fmt: skip
def test_a_reading_that_is_not_made_says_why(arm, budget, missing):
    arms, cell = declared(("real", arm), ()), Cell(None, [0], SimpleNamespace(ratio=1.0))
    trained = TrainedArms(arms, [cell], 1, budget, {"real": [], arm: []})
    found = _missing(trained, (arm, "real"))
    assert {one["reading"]: one["because"] for one in found} == missing


def test_the_first_arm_may_have_needed_nothing_since_it_failed():
    arms, cell = declared(("real", "oversampled", "noise"), ()), SimpleNamespace(ratio=1.0)
    trained = TrainedArms(arms, [Cell(None, [0], cell)], 1, Budget(300), {"noise": []})
    steps, _ = _missing(trained, ("noise", "oversampled"))
    assert steps["because"].endswith("real needs is not known, since no run of real finished")


def test_many_fits_are_told_without_all_their_answers_in_memory(tmp_path):
    """20 kB a fit, with as much of garbage here; copies of the clips for each took 400."""
    place = np.arange(500)
    names = np.array([f"track{i // 10:05}" for i in place])
    clips = Clips(
        np.zeros((500, 1, 1), np.float32), place % 10, names, tuple("abcdefghij"),
        4000, np.array([f"{i:064}" for i in place]), place,
    )  # fmt: skip
    answers = np.random.default_rng(0).dirichlet(np.ones(10), 500).astype(np.float32)
    np.save(tmp_path / PROBABILITIES, answers)
    rows = {"train": place[:0], "test": place}
    data = SimpleNamespace(amount="", fold=0)
    history = {"num_steps": 1, "best_step": 1, "stopped_early": False, "steps": [1]}
    history |= {"valid_accuracy": [0.5], "valid_loss": [1.0]}

    def peak(runs):
        arms = declared(("real", "oversampled"), ())
        cell = Cell(data, range(runs), SimpleNamespace(clips=clips, rows=rows, ratio=1.0))
        fits = {
            arm.name: [
                Outcome(Trial("track", arm.name, seed), tmp_path, clips, rows, history, 0.0, 1)
                for seed in range(runs)
            ]
            for arm in arms
        }
        gc.collect()
        tracemalloc.start()
        told(
            [TrainedArms(arms, [cell], runs, Budget(1), fits)],
            groups={name: name for name in names.tolist()},
            gans=np.zeros(runs, int),
            draws=np.zeros(runs, int),
        )
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(2)  # what is loaded once
    few, many = peak(2), peak(20)
    a_fit = (many - few) / 36
    assert a_fit < 2 * answers.nbytes, f"{a_fit:,.0f} bytes a fit"
