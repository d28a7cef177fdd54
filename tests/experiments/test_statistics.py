"""Differences on cases whose answer is known: none, a planted one, GANs and artists that vary."""

import numpy as np
import pytest
from simulated_studies import LABELS, STUDIES, artists, simulated
from sklearn.metrics import f1_score

from experiments.scores import wilson
from experiments.statistics import (
    _values,
    accuracy,
    macro_f1,
    paired_difference,
)

TRUTH = np.repeat(np.arange(4), 50)
TRACKS = np.repeat(np.arange(20), 10)


def guesses(right: float, runs: int = 3, seed: int = 0) -> np.ndarray:
    """Predictions of which each is right with probability ``right``."""
    rng = np.random.default_rng(seed)
    wrong = (TRUTH + rng.integers(1, 4, (runs, len(TRUTH)))) % 4
    return np.where(rng.random((runs, len(TRUTH))) < right, TRUTH, wrong)


def test_pseudo_values_are_those_of_the_metric_without_each_track():
    predicted = guesses(0.6)

    def right(truth, said):
        return np.mean(truth == said)

    def f1(truth, said):
        return f1_score(truth, said, average="macro")

    for metric, wanted in ((accuracy, right), (macro_f1, f1)):
        whole, found = _values(TRUTH, predicted, TRACKS, metric)
        for run, said in enumerate(predicted):
            assert whole[run] == pytest.approx(wanted(TRUTH, said))
            for track in range(20):
                rest = track != TRACKS
                value = 20 * wanted(TRUTH, said) - 19 * wanted(TRUTH[rest], said[rest])
                assert found[run, track] == pytest.approx(value)


def test_a_clear_gain_is_a_benefit_and_its_mirror_a_harm():
    good, bad = guesses(0.9, seed=1), guesses(0.4, seed=2)
    found = paired_difference(TRUTH, good, bad, TRACKS, accuracy)
    assert found.mean == pytest.approx((good == TRUTH).mean() - (bad == TRUTH).mean())
    assert found.ci95[0] < found.mean < found.ci95[1]
    assert found.verdict() == "benefit"
    mirrored = paired_difference(TRUTH, bad, good, TRACKS, accuracy)
    assert mirrored.verdict() == "harm"
    assert mirrored.mean == pytest.approx(-found.mean)


def test_a_difference_is_that_of_the_arms_own_figures():
    """Whatever the sizes of tracks; with several GANs each counts once."""
    tracks = np.repeat(np.arange(5), [100, 50, 20, 20, 10])
    arm, against = guesses(0.7, seed=5), guesses(0.5, seed=6)
    gains = [
        f1_score(TRUTH, a, average="macro") - f1_score(TRUTH, b, average="macro")
        for a, b in zip(arm, against, strict=True)
    ]
    assert paired_difference(TRUTH, arm, against, tracks, macro_f1).mean == pytest.approx(
        np.mean(gains)
    )
    by_gan = paired_difference(
        TRUTH, arm, against, tracks, macro_f1, groups=np.array([4, 4, 7])
    ).mean
    assert by_gan == pytest.approx((np.mean(gains[:2]) + gains[2]) / 2)


def test_equal_arms_differ_by_nothing():
    same = guesses(0.7)
    found = paired_difference(TRUTH, same, same, TRACKS, macro_f1)
    assert (found.mean, found.ci95, found.detectable) == (0, (0, 0), None)
    assert found.verdict() == "undecided"


def test_arms_with_as_many_right_answers_differ_by_nothing_whichever_these_are():
    """In other runs each: the sums of shares round otherwise, and no sign may come of that."""
    rng, truth, equal = np.random.default_rng(0), np.repeat(np.arange(3), 4), 0
    for _ in range(400):
        arm, against = rng.integers(0, 3, (2, 5, 12))
        found = paired_difference(truth, arm, against, np.arange(12), accuracy)
        gain = int((arm == truth).sum() - (against == truth).sum())
        assert np.sign(found.mean) == np.sign(gain)
        equal += not gain
    assert equal > 20


def test_many_tracks_that_differ_little_are_equivalent():
    """Half a point of 200,000 clips: too little to matter, whether or not it is there."""
    rng, truth = np.random.default_rng(0), np.arange(20000) % 4
    arm, against = (
        np.where(rng.random((5, len(truth))) < 0.7, truth, (truth + 1) % 4) for _ in range(2)
    )
    found = paired_difference(truth, arm, against, np.arange(len(truth)), accuracy)
    assert found.verdict() == "equivalent"
    assert max(map(abs, found.ci95)) < 0.02


def test_one_track_in_one_run_says_nothing():
    found = paired_difference(TRUTH, guesses(1.0, 1), guesses(0.0, 1), 0 * TRACKS, accuracy)
    assert (found.ci95, found.verdict()) == ((-1, 1), "undecided")
    two = paired_difference(TRUTH, guesses(1.0, 2), guesses(0.0, 2), 0 * TRACKS, accuracy)
    assert (two.mean, two.verdict()) == (1, "undecided")  # they agree, as two coins may
    few = paired_difference(TRUTH, guesses(1.0, 9), guesses(0.0, 9), TRACKS % 4, accuracy)
    assert few.verdict() == "undecided"  # of other tracks four say little, in however many runs


def test_clusters_widen_the_interval_where_a_tracks_clips_agree():
    track_is_right = np.repeat(np.random.default_rng(3).random((1, 20)) < 0.6, 10, axis=1)
    arm = np.where(track_is_right, TRUTH, (TRUTH + 1) % 4)
    against = guesses(0.5, runs=1, seed=4)
    by_track = paired_difference(TRUTH, arm, against, TRACKS, accuracy)
    by_clip = paired_difference(TRUTH, arm, against, np.arange(len(TRUTH)), accuracy)
    assert np.diff(by_track.ci95) > 1.5 * np.diff(by_clip.ci95)


def test_unpaired_runs_are_refused():
    with pytest.raises(ValueError, match="do not pair"):
        paired_difference(TRUTH, guesses(0.5, runs=2), guesses(0.5), TRACKS, accuracy)


# --- simulated studies ---------------------------------------------------------------------------


def folded(rng, tracks, runs, folds, of_fold, **options):
    """A study whose tracks are told by trainings of ``folds``, in each of which an arm may gain."""
    truth, _, _, predicted = simulated(rng, tracks, runs, **options)
    fold, right = np.arange(tracks) // LABELS % folds, predicted == truth[:, None]
    luck = rng.normal(0, of_fold, folds)[fold, None]  # a share of the answers: made right or wrong
    changed = rng.random(right[0].shape) < np.abs(luck)
    usual = (truth[:, None] + 1) % LABELS
    predicted[0] = np.where(changed, np.where(luck > 0, truth[:, None], usual), predicted[0])
    return truth, fold, np.zeros(runs, int), predicted


def judged(truth, group, gan, predicted):
    """Its differences in track accuracy, clip accuracy and macro-F1."""
    votes = (predicted[..., None] == np.arange(LABELS)).sum(-2).argmax(-1)
    clips, runs = predicted.shape[-1], predicted.shape[1]
    by_clip = predicted.reshape(2, runs, -1)
    more = {"groups": gan if gan.max() else None}
    of_clips = np.repeat(truth, clips), *by_clip, np.repeat(group, clips)
    return (
        paired_difference(truth, *votes, group, accuracy, **more),
        paired_difference(*of_clips, accuracy, **more),
        paired_difference(*of_clips, macro_f1, **more),
    )


def false_claims(name: str, studies: int) -> np.ndarray:
    """The share of null studies in which each metric has a claim."""
    rng = np.random.default_rng(7)
    found = [[d.p < 0.05 for d in judged(*simulated(rng, **STUDIES[name]))] for _ in range(studies)]
    return np.mean(found, 0)


@pytest.mark.parametrize("name", ["20 tracks, 3 seeds", "3 GANs of 3"])
def test_few_false_claims(name):
    assert false_claims(name, 150).max() < 0.1  # 5 % and three standard errors


@pytest.mark.slow
@pytest.mark.parametrize("name", STUDIES)
def test_at_most_one_false_claim_in_twenty(name):
    """At most 7 % by the upper end of Wilson's interval of 1000 null studies."""
    for share in false_claims(name, 1000):
        assert wilson(share, 1000)[1] <= 0.07


@pytest.mark.slow
@pytest.mark.parametrize(("folds", "runs"), [(6, 5), (10, 3)])
def test_folds_that_happen_to_help_bring_no_more_false_claims(folds, runs):
    """All of a fold's tracks are told by the same trainings: the fold is what was drawn."""
    rng, claims = np.random.default_rng(10), np.zeros(3)
    for _ in range(1000):
        study = folded(rng, 20 * folds, runs, folds, 0.05)
        claims += [d.p < 0.05 for d in judged(*study)]
    assert all(wilson(share, 1000)[1] <= 0.07 for share in claims / 1000)


def claims_of_one_run_a_fold(folds, studies, *, alike=False):
    """The share of null studies that claim, of each metric; luck may be ``alike`` in all folds."""
    rng, tracks, found = np.random.default_rng(10), np.arange(20 * folds), []
    fold = tracks // LABELS % folds
    for _ in range(studies):
        truth, _, _, predicted = simulated(rng, len(tracks), folds)  # a run for each fold
        once = predicted[:, 0 * fold if alike else fold, tracks][:, None]
        found.append([d.p < 0.05 for d in judged(truth, fold, np.zeros(1, int), once)])
    return np.mean(found, 0)


def test_one_run_a_fold_brings_few_false_claims_where_folds_have_other_luck():
    assert claims_of_one_run_a_fold(6, 100).max() < 0.12  # 5 % and three standard errors


@pytest.mark.slow
@pytest.mark.parametrize("folds", [6, 10])
def test_one_run_a_fold_tells_of_other_seeds_only_where_folds_have_other_luck(folds):
    """5 % within their error; where the luck is the seed's, a claim is one "for this seed"."""
    for share in claims_of_one_run_a_fold(folds, 1000):
        assert wilson(share, 1000)[0] <= 0.05
    assert claims_of_one_run_a_fold(folds, 200, alike=True).min() > 0.1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tracks", "runs", "gans"), [(20, 3, 1), (200, 5, 1), (60, 9, 3), (60, 15, 5)]
)
def test_the_best_of_two_arms_by_validation_brings_no_more_false_claims(tracks, runs, gans):
    """What a question is held against is chosen after its runs, some of which happen to be good."""
    rng, claims, valid = np.random.default_rng(9), 0, 100
    spread = {"gans": gans, "of_gan": 0.5 if gans > 1 else 0.0}
    for _ in range(1000):
        truth, group, gan, predicted = simulated(rng, tracks + valid, runs, arms=3, **spread)
        right = predicted[1:, :, tracks:] == truth[tracks:, None]
        best = 1 + int(right.mean((1, 2, 3)).argmax())
        tested = predicted[[0, best], :, :tracks]
        claims += judged(truth[:tracks], group[:tracks], gan, tested)[0].p < 0.05
    assert wilson(claims / 1000, 1000)[1] <= 0.07


def test_what_is_called_detectable_is_found():
    """A true difference just below it is found in four studies of five, and it is not far off."""
    rng = np.random.default_rng(3)
    found = [judged(*simulated(rng, 100, 5, gain=0.95))[0] for _ in range(80)]
    planted, told = (np.mean([getattr(d, name) for d in found]) for name in ("mean", "detectable"))
    assert planted < told < 1.5 * planted
    assert np.mean([d.p < 0.05 for d in found]) >= 0.8


@pytest.mark.slow
@pytest.mark.parametrize("name", [*STUDIES][1:])  # in the first it is more than arms can differ by
def test_what_is_called_detectable_is_found_in_four_of_five(name):
    """The least planted difference that comes up to what is called detectable, in 200 studies."""
    for gain in (0.5, 0.75, 1, 1.25, 1.5, 2, 2.5, 3, 4, 6, 10):
        rng = np.random.default_rng(11)
        found = [judged(*simulated(rng, gain=gain, **STUDIES[name]))[0] for _ in range(200)]
        planted = np.mean([d.mean for d in found])
        if planted >= np.mean([d.detectable for d in found if d.detectable is not None]):
            break
    else:
        pytest.fail("no difference is as large")
    assert np.mean([d.p < 0.05 for d in found]) >= 0.8


def changed(rng, tracks, runs, *, up, down, alike):
    """Differences (runs, tracks): so many tracks gained and lost, so many of them in all runs."""

    def drawn(runs):
        chance = rng.random((runs, tracks))
        return np.where(chance < up, 1.0, np.where(chance < up + down, -1.0, 0.0))

    return np.where(rng.random((1, tracks)) < alike, drawn(1), drawn(runs))


def of_changes(table):
    """What is said of such differences: between an arm and one that told every other track."""
    truth = np.zeros(table.shape[1], int)
    arm, against = (table < 0).astype(int), (table > 0).astype(int)
    return paired_difference(truth, arm, against, np.arange(table.shape[1]), accuracy)


@pytest.mark.parametrize("by_chance", [0.05, 0.2])
@pytest.mark.parametrize(("tracks", "runs"), [(100, 5), (300, 1)])
def test_what_is_called_detectable_is_found_where_runs_answer_alike(tracks, runs, by_chance):
    """A true gain changes answers, too, and so widens the interval that it must get past."""
    rng = np.random.default_rng(5)
    half = {"down": by_chance / 2, "alike": 1.0}
    null = [of_changes(changed(rng, tracks, runs, up=by_chance / 2, **half)) for _ in range(100)]
    gain = np.median([d.detectable for d in null if d.detectable is not None])
    studies = [changed(rng, tracks, runs, up=by_chance / 2 + gain, **half) for _ in range(200)]
    assert np.mean([of_changes(study).p < 0.05 for study in studies]) >= 0.8


@pytest.mark.parametrize(("tracks", "runs", "alike"), [(150, 1, 1), (300, 3, 1), (600, 5, 0.5)])
def test_a_few_rare_gains_are_not_equivalent(tracks, runs, alike):
    """Of a true difference of 2 points, at most one study in twenty says so; of none, many."""
    rng, said = np.random.default_rng(6), {}
    for up, down in ((0.02, 0.0), (0.0025, 0.0025)):
        studies = [
            of_changes(changed(rng, tracks, runs, up=up, down=down, alike=alike))
            for _ in range(200)
        ]
        said[up] = np.mean([d.p_equivalent < 0.05 for d in studies])
    assert said[0.02] < 0.1  # 5 % and three standard errors
    assert said[0.0025] > (0.5 if tracks > 150 else 0.03)


def test_a_planted_difference_is_found_by_the_artists_that_vary():
    rng = np.random.default_rng(4)
    study = simulated(rng, 290, 5, groups=artists, of_group=0.8, gain=2.0)
    assert all(d.verdict() == "benefit" for d in judged(*study))
