import gc
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from experiments.commands.compare import compare
from experiments.recipes import RECIPES
from experiments.report.terminal import Progress
from experiments.stages.arms import SOURCES, Source
from experiments.stages.examples import Examples, Material, joined, repeated
from features import Clips

LABELS = np.repeat([0, 1], [6, 4])


@pytest.fixture
def own_arm():
    """An arm with a source of a user's own, which gives the real clips again."""
    SOURCES["again"] = Source("each real clip again", lambda material, _: [material.side("train")])
    yield "real+again"
    del SOURCES["again"]


def test_a_users_own_source_is_compared(own_arm, small_config, tmp_path):
    config = replace(small_config, arms=("real", own_arm), seeds=1)
    results = compare(config, tmp_path / "run")
    assert [d["arm"] for d in results["differences"]] == [own_arm] * 3
    assert own_arm in (tmp_path / "run" / "report.html").read_text()


def test_an_unknown_arm_is_refused_with_the_nearest(small_config):
    with pytest.raises(ValueError, match="no 'sinthetic' to train on; try synthetic"):
        replace(small_config, arms=("real", "real+sinthetic"))


def test_repeated_rows_have_the_counts_and_come_once_a_round():
    rounds = list(repeated(LABELS, {0: 3, 1: 9}))
    rows = np.concatenate(rounds)
    np.testing.assert_array_equal(np.bincount(LABELS[rows]), [3, 9])
    assert all(len(set(part)) == len(part) for part in rounds)
    np.testing.assert_array_equal(np.bincount(rows), [1, 1, 1, 0, 0, 0, 3, 2, 2, 2])


def test_as_many_as_there_are_is_each_once():
    (rows,) = repeated(LABELS, {0: 6, 1: 4})
    np.testing.assert_array_equal(rows, np.arange(10))


def test_joined_examples_keep_their_labels_and_their_keys():
    real = Examples(np.arange(10.0, dtype=np.float32)[:, None], LABELS, "real")
    more = Examples(np.float32([[100], [101]]), np.array([1, 0]), "more")
    both = joined([real, more])
    np.testing.assert_array_equal(both.features[np.array([11, 3])], [[101], [3]])
    np.testing.assert_array_equal(both.labels, [*LABELS, 1, 0])
    assert both.key == joined([real, more]).key != joined([more, real]).key


@pytest.mark.parametrize("counts", [{0: 1}, {1: 50}])
def test_labels_that_are_not_asked_for_are_left_out(counts):
    ((label, count),) = counts.items()
    rows = np.concatenate(list(repeated(LABELS, counts)))
    assert len(rows) == count
    assert set(LABELS[rows]) == {label}


def test_features_are_made_when_they_are_asked_for_and_once():
    asked = []

    def make():
        asked.append(1)
        return np.zeros((2, 3), np.float32)

    late = Examples(make, np.array([0, 1]), "late")
    both = joined([late, Examples(np.ones((1, 3), np.float32), np.array([1]), "there")])
    assert not asked
    assert both.key == "late + there"
    np.testing.assert_array_equal(both.features[:], [[0] * 3, [0] * 3, [1] * 3])
    assert late.features.shape == both.features[:2].shape == (2, 3)
    assert len(asked) == 1


def test_a_thousand_cells_keep_no_clips_of_their_own():
    """Each has the same clips on other sides; the names of its training clips took 80 kB."""
    place = np.arange(300)
    clips = Clips(
        np.zeros((300, 1, 1), np.float32), place % 3, np.array([f"track{i:05}" for i in place]),
        ("a", "b", "c"), 4000, np.array([f"{i:064}" for i in place]), place,
    )  # fmt: skip
    features = np.zeros((300, 4), np.float32)
    whole = Material(None, RECIPES["floor"], clips, {}, features, Progress(quiet=True))
    gc.collect()
    tracemalloc.start()
    cells = [replace(whole, rows={"train": place[:200]}) for _ in range(1000)]
    for cell in cells:
        assert sum(cell.counts.values()) == len(cell.train) == 200
    gc.collect()
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert kept < 4e6, f"{kept / len(cells):,.0f} bytes a cell"
