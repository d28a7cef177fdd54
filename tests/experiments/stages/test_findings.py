"""What the differences of several folds vary with."""

from types import SimpleNamespace

import numpy as np
import pytest

from experiments.stages.findings import _folds


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
