"""Peers in training: both sides are given the same, and what is done is not done again."""

from dataclasses import replace

import numpy as np
import pytest

from experiments.bench import learning
from experiments.bench.learning import OURS, compared, sides_of, table
from experiments.config import DataConfig
from experiments.recipes import RECIPES
from experiments.report.terminal import Progress
from features.storage import read_json


@pytest.fixture
def small(music):
    """net5 and cnn_bilstm for an epoch on short clips, and their data."""

    def recipe(name):
        own = RECIPES[name]
        short = {"sample_rate": 4000, "silence": None, "per_track": None, "num_samples": 2048}
        fit = replace(own.fit, epochs=1, batch_size=8)
        return replace(own, **short, fit=fit, fractions=(0.6, 0.2, 0.2))

    return recipe, DataConfig(str(music))


def test_both_are_given_the_same_and_a_second_call_does_the_rest(small, tmp_path):
    pytest.importorskip("torch")
    recipe, data = small
    file, quiet = tmp_path / "rows.json", Progress(quiet=True)
    (ours, theirs) = compared([recipe("net5")], data, file, seeds=1, progress=quiet)
    assert [ours["side"], theirs["side"]] == [OURS, "PyTorch"]
    assert ours["test_clips"] == theirs["test_clips"] > 0
    assert ours["epochs"] == theirs["epochs"] == 1
    assert all(0 <= row["accuracy"] <= 1 and row["loss"] > 0 for row in (ours, theirs))
    more = compared([recipe("net5")], data, file, seeds=2, progress=quiet)
    assert more[:2] == [ours, theirs]
    assert [row["seed"] for row in more] == [0, 0, 1, 1]
    assert read_json(file, "", list) == more


def test_keras_learns_beside_ours(small, tmp_path):
    pytest.importorskip("keras")
    recipe, data = small
    found = compared(
        [recipe("cnn_bilstm")], data, tmp_path / "rows.json", seeds=1, progress=Progress(quiet=True)
    )
    assert [row["side"] for row in found] == [OURS, "Keras", learning.WARMED]


def test_sides_are_those_of_the_published_protocol(small):
    recipe, data = small
    sides = sides_of(recipe("net5"), data, Progress(quiet=True))
    assert sides.valid is not None
    counts = [len(side[1]) for side in (sides.train, sides.valid, sides.test)]
    assert sum(counts) == 15  # a clip of each of the tracks
    assert sides.train[0].dtype == np.float32
    none = replace(recipe("cnn_bilstm"), fractions=(0.8, 0.0, 0.2))
    assert sides_of(none, data, Progress(quiet=True)).valid is None


def test_the_table_says_whether_ours_lies_among_the_peers_seeds():
    def rows(recipe, ours, theirs):
        both = [(OURS, x) for x in ours] + [(learning.PEERS[recipe][0], x) for x in theirs]
        return [{"recipe": recipe, "side": side, "accuracy": x} for side, x in both]

    found = table(
        [
            *rows("net5", [0.70, 0.74], [0.71, 0.75]),
            *rows("cnn2", [0.5, 0.5], [0.6, 0.7]),
            *rows("net2", [0.5], []),
        ]
    )
    assert [row[-1] for row in found] == ["within", "outside", "not done", "not done"]
    assert found[0][:4] == ("net5", "72.0 ± 2.8", "PyTorch", "73.0 ± 2.8")
    assert [row[2] for row in found[1:3]] == [learning.KERAS, learning.WARMED]


def test_patience_is_that_of_ours():
    patience = learning._Patience(replace(RECIPES["net5"].fit, patience=2))
    assert [patience.over(loss) for loss in (1.0, 0.9, 0.95, 0.85, 0.9, 0.86)] == [False] * 5 + [
        True
    ]
    assert not any(learning._Patience(RECIPES["net2"].fit).over(x) for x in (1.0, 2.0, 3.0))
