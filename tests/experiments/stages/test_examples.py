import numpy as np
import pytest

from experiments.config import ARM_NAMES, DEFAULT_ARMS
from experiments.stages.examples import ARMS, Examples, joined, pairs, repeated

LABELS = np.repeat([0, 1], [6, 4])


def test_every_arm_has_a_name_on_the_command_line():
    assert set(ARMS) == set(ARM_NAMES)
    assert set(DEFAULT_ARMS) <= set(ARM_NAMES)


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


def test_arms_are_held_against_the_first_and_against_their_controls():
    assert pairs(DEFAULT_ARMS) == [
        ("real-oversampled", "real"),
        ("real+synthetic", "real"),
        ("real+synthetic", "real-oversampled"),
    ]
    assert pairs(("real", "real+classical", "real+synthetic", "real+classical+synthetic"))[3:] == [
        ("real+synthetic", "real+classical"),
        ("real+classical+synthetic", "real+classical"),
    ]
    assert pairs(("real-oversampled", "real+classical")) == [("real+classical", "real-oversampled")]


@pytest.mark.parametrize("counts", [{0: 1}, {1: 50}])
def test_labels_that_are_not_asked_for_are_left_out(counts):
    ((label, count),) = counts.items()
    rows = np.concatenate(list(repeated(LABELS, counts)))
    assert len(rows) == count
    assert set(LABELS[rows]) == {label}
