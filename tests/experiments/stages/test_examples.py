from dataclasses import replace

import numpy as np
import pytest

from experiments.commands.compare import compare
from experiments.config import DEFAULT_ARMS
from experiments.stages.examples import (
    ARMS,
    Arm,
    Examples,
    joined,
    pairs,
    primary_pair,
    repeated,
)

LABELS = np.repeat([0, 1], [6, 4])


@pytest.fixture
def own_arm():
    """An arm of a user's own, which trains on the real clips twice."""
    ARMS["real-twice"] = Arm(
        "each real clip twice", (lambda material, seed: [material.side("train")],)
    )
    yield "real-twice"
    del ARMS["real-twice"]


def test_a_users_own_arm_is_compared(own_arm, small_config, tmp_path):
    config = replace(small_config, arms=("real", own_arm), seeds=1)
    results = compare(config, tmp_path / "run")
    assert [d["arm"] for d in results["differences"]] == [own_arm] * 3
    assert own_arm in (tmp_path / "run" / "report.html").read_text()


def test_what_an_arm_must_be():
    with pytest.raises(TypeError, match=r"ARMS\['mine'\]: give an Arm\(about, makers, controls\)"):
        ARMS["mine"] = "real clips"
    with pytest.raises(TypeError, match=r"functions \(material, seed\) -> examples"):
        Arm("mine", ("repeats",))
    with pytest.raises(ValueError, match=r"has no comma"):
        ARMS["a,b"] = Arm("mine")
    with pytest.raises(ValueError, match=r"'real' in experiments.ARMS is this package's own"):
        ARMS["real"] = Arm("mine")


def test_an_unknown_arm_is_refused_with_the_nearest(small_config):
    with pytest.raises(ValueError, match=r"no 'real\+sinthetic'; try real\+synthetic"):
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


def test_a_comparison_is_about_generated_clips_first_and_about_controls_last():
    assert primary_pair(DEFAULT_ARMS) == ("real+synthetic", "real")
    every = ("real", "real-oversampled", "real+classical", "real+classical+synthetic")
    assert primary_pair(every) == ("real+classical+synthetic", "real")
    assert primary_pair((*every, "real+synthetic")) == ("real+synthetic", "real")
    assert primary_pair(every[:3]) == ("real+classical", "real")
    assert primary_pair(every[:2]) == ("real-oversampled", "real")
    assert primary_pair(every[:1]) is None


@pytest.mark.parametrize("counts", [{0: 1}, {1: 50}])
def test_labels_that_are_not_asked_for_are_left_out(counts):
    ((label, count),) = counts.items()
    rows = np.concatenate(list(repeated(LABELS, counts)))
    assert len(rows) == count
    assert set(LABELS[rows]) == {label}
