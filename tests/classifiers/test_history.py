"""The books of a training, and that they survive being written down."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from classifiers.fit_config import FitConfig
from classifiers.history import Member

CONFIG = FitConfig(steps=50, patience=2)


def scores(*losses):
    return np.array([[loss, 0.5] for loss in losses])


def test_the_best_and_the_last_of_the_patience():
    member, better = Member(3), []
    for taken, valid in ((10, 2.0), (20, 1.0), (30, 1.5), (40, 1.0)):
        member.record(scores(3.0, 4.0), taken, CONFIG)
        assert member.values() == {"loss": 4.0}
        better.append(member.evaluate(taken, np.array([valid, 0.25]), CONFIG))
        assert member.values() == {
            "loss": 3.5,
            "accuracy": 0.5,
            "valid_loss": valid,
            "valid_accuracy": 0.25,
        }
        assert member.done == (taken == 40)
    assert better == [True, True, False, False]
    history = member.history
    assert (history.best_step, history.num_steps, history.stopped_early) == (20, 40, True)
    assert history.steps == [10, 20, 30, 40]


def test_the_last_weights_are_kept_where_the_best_are_not_restored():
    """The patience still counts from the best one."""
    member, config = Member(3), FitConfig(steps=50, patience=2, restore_best=False)
    kept = []
    for taken, valid in ((10, 2.0), (20, 1.0), (30, 1.5), (40, 1.2)):
        member.record(scores(3.0), taken, config)
        kept.append(member.evaluate(taken, np.array([valid, 0.25]), config))
    assert kept == [True] * 4
    history = member.history
    assert (member.done, history.best_step, history.stopped_early) == (True, 40, True)


def test_without_validation_the_last_is_the_best():
    member = Member(0)
    member.record(scores(1.0), 50, CONFIG)
    assert member.evaluate(50, None, CONFIG)
    assert member.done
    history = member.history
    assert (history.best_step, history.stopped_early, history.valid_loss) == (50, False, [])
    assert member.values() == {"loss": 1.0, "accuracy": 0.5}


def test_the_step_that_was_not_finite_is_named():
    member = Member(7)
    with pytest.raises(FloatingPointError, match=r"training loss is inf at step 9 \(seed 7\)"):
        member.record(scores(1.0, np.inf, np.nan), 10, CONFIG)
    member.record(scores(1.0), 10, CONFIG)
    with pytest.raises(FloatingPointError, match="validation loss is nan at step 10"):
        member.evaluate(10, np.array([np.nan, 0.0]), CONFIG)


def test_written_down_and_read_again():
    member = Member(1)
    assert Member.from_dict(json.loads(json.dumps(asdict(member)))) == member
    member.record(scores(0.1, 1 / 3), 5, CONFIG)
    member.evaluate(5, np.array([0.7, 0.1]), CONFIG)
    member.record(scores(2 / 3), 6, CONFIG)
    assert Member.from_dict(json.loads(json.dumps(asdict(member)))) == member
