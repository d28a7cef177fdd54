import numpy as np
import pytest
from sklearn.metrics import f1_score, recall_score

from experiments.statistics import accuracy, macro_f1, paired_difference, recall_of

RNG = np.random.default_rng(0)
TRUTH = np.repeat(np.arange(4), 50)
TRACKS = np.repeat(np.arange(20), 10)


def guesses(right: float, runs: int = 3, seed: int = 0) -> np.ndarray:
    """Predictions of which each is right with probability ``right``."""
    rng = np.random.default_rng(seed)
    wrong = (TRUTH + rng.integers(1, 4, (runs, len(TRUTH)))) % 4
    return np.where(rng.random((runs, len(TRUTH))) < right, TRUTH, wrong)


def test_metrics_agree_with_sklearn():
    predicted = guesses(0.6)[0]
    ones = np.ones((1, len(TRUTH)))
    assert accuracy(TRUTH, predicted, ones)[0] == np.mean(predicted == TRUTH)
    assert macro_f1(TRUTH, predicted, ones)[0] == pytest.approx(
        f1_score(TRUTH, predicted, average="macro")
    )
    assert recall_of(2)(TRUTH, predicted, ones)[0] == pytest.approx(
        recall_score(TRUTH, predicted, average=None)[2]
    )


def test_weights_count_as_repeats():
    predicted = guesses(0.6)[0]
    weights = RNG.integers(0, 3, len(TRUTH))
    repeated = np.repeat(np.arange(len(TRUTH)), weights)
    for metric in (accuracy, macro_f1, recall_of(1)):
        once = metric(TRUTH[repeated], predicted[repeated], np.ones((1, len(repeated))))
        np.testing.assert_allclose(metric(TRUTH, predicted, weights[None].astype(float)), once)


def test_a_clear_gain_is_a_benefit_and_its_mirror_a_harm():
    good, bad = guesses(0.9, seed=1), guesses(0.4, seed=2)
    found = paired_difference(TRUTH, good, bad, TRACKS, accuracy)
    assert found.mean == pytest.approx((good == TRUTH).mean() - (bad == TRUTH).mean())
    assert found.ci95[0] < found.mean < found.ci95[1]
    assert found.verdict == "benefit"
    mirrored = paired_difference(TRUTH, bad, good, TRACKS, accuracy)
    assert mirrored.verdict == "harm"
    assert mirrored.mean == pytest.approx(-found.mean)


def test_equal_arms_differ_by_nothing():
    same = guesses(0.7)
    found = paired_difference(TRUTH, same, same, TRACKS, macro_f1)
    assert (found.mean, found.ci95, found.detectable) == (0, (0, 0), None)
    assert found.verdict == "no evidence of a benefit"


def test_clusters_widen_the_interval_where_a_tracks_clips_agree():
    track_is_right = np.repeat(np.random.default_rng(3).random((1, 20)) < 0.6, 10, axis=1)
    arm = np.where(track_is_right, TRUTH, (TRUTH + 1) % 4)
    against = guesses(0.5, runs=1, seed=4)
    by_track = paired_difference(TRUTH, arm, against, TRACKS, accuracy)
    by_clip = paired_difference(TRUTH, arm, against, np.arange(len(TRUTH)), accuracy)
    assert np.diff(by_track.ci95) > 1.5 * np.diff(by_clip.ci95)


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    covered = 0
    for trial in range(100):
        arm, against = (
            guesses(0.6, runs=1, seed=2 * trial),
            guesses(0.5, runs=1, seed=2 * trial + 1),
        )
        clip = np.arange(len(TRUTH))
        low, high = paired_difference(TRUTH, arm, against, clip, accuracy, seed=trial).ci95
        covered += low <= 0.1 <= high
    assert 87 <= covered <= 100


def test_unpaired_runs_are_refused():
    with pytest.raises(ValueError, match="do not pair"):
        paired_difference(TRUTH, guesses(0.5, runs=2), guesses(0.5), TRACKS, accuracy)
