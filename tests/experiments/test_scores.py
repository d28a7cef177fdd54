"""Numbers of runs, against those worked out by hand and by scipy."""

import numpy as np
import pytest
from classify_results import fake_classification
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix, f1_score

from classifiers import evaluate
from experiments.scores import (
    best_split,
    bounds,
    chance,
    comparable,
    leaks_worth,
    ran_once,
    same_steps,
    varying,
    whole_tracks,
    wilson,
)
from experiments.statistics import macro_f1


@pytest.mark.parametrize(("right", "count"), [(0, 8), (13, 20), (8, 8), (165, 290)])
def test_wilsons_interval_is_that_of_scipy(right, count):
    expected = binomtest(right, count).proportion_ci(0.95, method="wilson")
    np.testing.assert_allclose(wilson(right / count, count), tuple(expected), atol=1e-4)


def test_macro_f1_is_of_the_classes_that_are_tested_in_runs_and_in_differences():
    """Of one that is answered but not there, there is no recall: scikit-learn's default has it."""
    truth, said = np.array([0, 0, 1, 1]), np.array([0, 3, 1, 0])
    wanted = f1_score(truth, said, labels=[0, 1], average="macro")
    assert f1_score(truth, said, average="macro") < wanted
    assert evaluate(np.eye(4)[said], truth).macro_f1 == pytest.approx(wanted)
    both = confusion_matrix(truth, said, labels=range(4))
    counts = np.stack([np.diag(both), both.sum(1), both.sum(0)], axis=-1)
    assert macro_f1(counts) == pytest.approx(wanted)


def splits(**accuracies) -> dict:
    """Splits with runs of these accuracies, for seeds 0, 1, …; None for a seed that is missing."""
    return {
        name: {"leaks": name == "chunk",
               "runs": [{"seed": i, "accuracy": a} for i, a in enumerate(values) if a is not None]}
        for name, values in accuracies.items()
    }  # fmt: skip


def test_a_leak_is_worth_the_differences_of_the_same_seeds():
    found = leaks_worth(splits(track=[0.5, 0.4, None], chunk=[0.75, 0.5, 0.9]))
    np.testing.assert_allclose(found, [0.25, 0.1])
    both = splits(group=[0.3], track=[0.5], chunk=[0.75])
    assert leaks_worth(both) == [0.25]  # against the track split, where there is one
    assert leaks_worth(splits(track=[0.5])) == leaks_worth(splits(chunk=[0.5])) == []
    assert leaks_worth(splits(track=[], chunk=[0.5])) == leaks_worth({}) == []


def test_the_best_split_is_one_that_ran_without_a_leak():
    assert best_split(splits(chunk=[0.9], group=[0.5], track=[0.6])) == "track"
    assert best_split(splits(chunk=[0.9], group=[0.5], track=[])) == "group"
    assert best_split(splits(chunk=[0.9], track=[])) == "chunk"
    assert best_split({}) is best_split(splits(track=[])) is None


def test_whole_tracks_are_told_from_single_clips_of_longer_ones():
    results = fake_classification(("a", "b"), clips=1, seeds=1)
    assert whole_tracks(results)
    results["data"]["tracks"] = 3  # the test happens to have one clip of each track
    assert not whole_tracks(results)
    assert not whole_tracks(fake_classification(("a", "b"), clips=3, seeds=1))
    assert not whole_tracks({})


@pytest.mark.parametrize(
    ("accuracy", "note", "protocol", "expected"),
    [
        (0.5, "one seed", "chunk", "one seed; compare it with the chunk split only"),
        (0.5, "", "track", "compare it with the track split only"),
        (0.5, "one seed", None, "one seed"),
        (None, "none", "chunk", ""),
        (None, "none; a demo", "track", "a demo"),
    ],
)
def test_published_figures_compare_with_the_split_of_their_protocol(
    accuracy, note, protocol, expected
):
    results = {"published": {"accuracy": accuracy, "note": note},
               "config": {"recipe": {"split": protocol}}}  # fmt: skip
    assert comparable(results) == expected


@pytest.mark.parametrize(
    ("real", "added", "same"),
    [([90, 90], [90, 90], True), ([90, 90], [90, 180], False), ([51, 68], [75], False)],
)
def test_two_arms_took_the_same_steps(real, added, same):
    named = zip(("real", "real+noise", "other"), (real, added, [7]), strict=True)
    arms = {name: {"runs": [{"steps": n} for n in steps]} for name, steps in named}
    assert same_steps({"arms": arms}, {"arm": "real+noise", "against": "real"}) == same


def test_guessing():
    assert chance(["a", "b"]) == 0.5
    assert chance([]) is None


@pytest.mark.parametrize(
    ("folds", "seeds", "varies", "said"),
    [
        (1, 1, "groups", "for this GAN"),
        (1, 3, "groups", "for these 3 GANs"),
        (1, 5, "groups", ""),
        (5, 1, "groups", "for these 5 GANs"),  # of one seed, nothing varies with the GANs
        (8, 1, "groups", "for these 8 GANs"),
        (5, 2, "groups", ""),
        (6, 1, "folds", ""),
    ],
)
def test_a_difference_holds_for_gans_that_it_does_not_vary_with(folds, seeds, varies, said):
    arms = {"a": {"generated": True, "role": "generated"}, "b": {}}
    results = {
        "arms": arms, "gan": {"seeds": seeds}, "split": {"folds": folds}, "varies_with": varies
    }  # fmt: skip
    assert bounds(results, {"arm": "a", "against": "b"}) == said


def test_a_single_run_of_each_arm_is_what_alone_a_difference_holds_for():
    arms = {name: {"runs": [{"classifier_seed": 0, "gan_seed": None}]} for name in "ab"}
    results = {"arms": arms, "split": {"test_tracks": 90}}
    pair = {"arm": "a", "against": "b"}
    assert bounds(results, pair) == "for this run of each"
    assert varying(results) == "tracks (artists or speakers, where known) alone"
    arms["a"]["runs"].append({"classifier_seed": 1, "gan_seed": None})
    assert bounds(results, pair) == ""
    assert varying(results).endswith("and runs (GANs, where there are several)")
    once = {"b": arms["b"]}
    drawn = {**results, "arms": once, "split": {"draws": 5}}
    assert varying(drawn).endswith("and draws of the training tracks")
    folds = {**results, "arms": once, "split": {"folds": 6}, "varies_with": "folds"}
    assert not ran_once(folds)
    assert (bounds(folds, pair), varying(folds)) == ("for this seed", "folds alone")
    assert bounds({**folds, "arms": arms}, pair) == ""
