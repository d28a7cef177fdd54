"""Scores against scikit-learn's."""

import json
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classifiers.metrics import evaluate, vote_by_track


@settings(max_examples=30)
@given(seed=st.integers(0, 10**6), count=st.integers(1, 40), classes=st.integers(2, 6))
def test_report_equals_sklearn(seed, count, classes):
    from sklearn import metrics

    rng = np.random.default_rng(seed)
    probabilities, labels = rng.dirichlet(np.ones(classes), count), rng.integers(0, classes, count)
    guesses = probabilities.argmax(1)
    report = evaluate(probabilities, labels)
    every = range(classes)
    assert report.accuracy == pytest.approx(metrics.accuracy_score(labels, guesses))
    true = np.unique(labels)  # of others there is no recall
    macro_f1 = metrics.f1_score(labels, guesses, labels=true, average="macro")
    assert report.macro_f1 == pytest.approx(macro_f1)
    confusion = metrics.confusion_matrix(labels, guesses, labels=every)
    np.testing.assert_array_equal(report.confusion, confusion)
    expected = metrics.precision_recall_fscore_support(
        labels, guesses, labels=every, zero_division=0
    )
    for name, values in zip(("precision", "recall", "f1", "support"), expected, strict=True):
        np.testing.assert_allclose(report.per_class[name], values)
    assert report.loss == pytest.approx(metrics.log_loss(labels, probabilities, labels=[*every]))


def test_the_loss_of_answers_that_were_impossible_is_finite():
    """As unlikely as float32 has it: -ln 1.2e-38, of one of two."""
    probabilities = np.array([[1.0, 0.0], [1.0, 0.0]], np.float32)
    assert evaluate(probabilities, np.array([0, 1])).loss == pytest.approx(87.34 / 2, abs=0.01)


def test_report_by_hand():
    probabilities = np.eye(3)[[0, 0, 1, 2]]
    report = evaluate(probabilities, np.array([0, 1, 1, 1]))
    assert report.confusion.tolist() == [[1, 0, 0], [1, 1, 1], [0, 0, 0]]
    assert report.accuracy == 0.5
    assert report.macro_f1 == pytest.approx((2 / 3 + 1 / 2) / 2)  # the third has no truth
    assert json.loads(json.dumps(report.to_dict()))["per_class"]["support"] == [1, 3, 0]


@pytest.mark.parametrize(
    ("probabilities", "labels", "message"),
    [
        (np.ones((3, 2)) / 2, np.zeros(2, int), r"\(3, 2\) and \(2,\)"),
        (np.ones((0, 2)), np.zeros(0, int), "N > 0"),
        (np.ones((2, 2)) / 2, np.array([0, 2]), "0 to 2; with 2 classes"),
        (np.ones((2, 2)) / 2, np.array([-1, 0]), "from -1 to 0"),
        (np.ones((2, 2)) / 2, np.array([0.0, 1.0]), "integers"),
        (np.full((2, 2), np.nan), np.array([0, 1]), "NaN"),
    ],
)
def test_what_cannot_be_scored_is_refused(probabilities, labels, message):
    with pytest.raises(ValueError, match=message):
        evaluate(probabilities, labels)


def test_vote_by_track_averages_in_first_seen_order():
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5], [0.4, 0.6]])
    tracks, votes = vote_by_track(probabilities, ["rock.2", "blues.1", "rock.2", "rock.2"])
    assert tracks.tolist() == ["rock.2", "blues.1"]
    np.testing.assert_allclose(votes, [[0.6, 0.4], [0.2, 0.8]])


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30))
def test_vote_by_track_equals_a_loop(ids):
    probabilities = np.random.default_rng(len(ids)).dirichlet(np.ones(3), len(ids))
    tracks, votes = vote_by_track(probabilities, ids)
    assert tracks.tolist() == list(dict.fromkeys(ids))
    for track, vote in zip(tracks, votes, strict=True):
        np.testing.assert_allclose(vote, probabilities[np.array(ids) == track].mean(0))


def test_vote_by_track_wants_an_id_a_clip():
    with pytest.raises(ValueError, match=r"\(2, 3\) and \(1,\)"):
        vote_by_track(np.ones((2, 3)) / 3, ["a"])


def test_an_absent_class_raises_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = evaluate(np.eye(4)[[0, 0]], np.array([0, 0]))
    assert report.macro_f1 == report.accuracy == 1
