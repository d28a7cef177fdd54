"""Differences on cases whose answer is known: none, a planted one, GANs and artists that vary."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
from sklearn.metrics import f1_score

from experiments.scores import wilson
from experiments.statistics import (
    Difference,
    _values,
    _verdicts,
    accuracy,
    compare_arms,
    macro_f1,
    paired_difference,
)
from features import Clips

LABELS = 10
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


def speakers(rng, tracks):
    return np.arange(tracks) // 10 % 6


def artists(rng, tracks):
    """Most with a track or two, some with dozens, as in GTZAN."""
    shares = rng.pareto(1.2, 88) + 1
    more = rng.choice(88, tracks - 88, p=shares / shares.sum())
    return np.concatenate([np.arange(88), more])


STUDIES = {
    "20 tracks, 3 seeds": {"tracks": 20, "runs": 3},
    "200 tracks, 5 seeds": {"tracks": 200, "runs": 5},
    "6 speakers": {"tracks": 120, "runs": 5, "groups": speakers, "of_group": 0.5, "of_track": 0.3},
    "88 artists": {"tracks": 290, "runs": 5, "groups": artists, "of_group": 0.8},
    "3 GANs of 3": {"tracks": 60, "runs": 9, "gans": 3, "of_gan": 0.5},
    "5 GANs of 3": {"tracks": 60, "runs": 15, "gans": 5, "of_gan": 0.5},
    "3 GANs of 3 that differ little": {"tracks": 200, "runs": 9, "gans": 3, "of_gan": 0.15},
}


def simulated(
    rng, tracks, runs, *, groups=None, gans=1, of_group=0.0, of_track=0.0, of_gan=0.0, gain=0.0,
    arms=2,
):  # fmt: skip
    """Truth and group of each track, GAN of each run, and (arm, runs, tracks, 5 clips) predictions.

    The first arm differs from the others by ``gain`` on average over tracks, groups and GANs (in
    logits, as all spreads); what confuses a track is mostly the same in all runs.
    """
    truth = np.arange(tracks) % LABELS
    group = np.arange(tracks) if groups is None else groups(rng, tracks)
    gan = np.arange(runs) % gans
    hard = (
        0.3 + rng.normal(0, 2, tracks) + (rng.normal(0, 1, group.max() + 1)[group] if groups else 0)
    )
    helped = (
        gain + rng.normal(0, of_track, tracks) + rng.normal(0, of_group, group.max() + 1)[group]
    )
    helped = (
        helped + (rng.normal(0, of_gan, (gans, 1)) + rng.normal(0, of_gan / 2, (gans, tracks)))[gan]
    )
    logit = hard + rng.normal(0, 0.2, (arms, runs, 1)) + rng.normal(0, 0.8, (arms, runs, tracks))
    logit[0] += helped
    shape = (arms, runs, tracks, 5)
    right = rng.random(shape) < 1 / (1 + np.exp(-logit[..., None]))
    usual = rng.integers(1, LABELS, (tracks, 1))
    wrong = np.where(rng.random(shape) < 0.6, usual, rng.integers(1, LABELS, shape))
    return truth, group, gan, (truth[:, None] + ~right * wrong) % LABELS


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


# --- all that a page claims ----------------------------------------------------------------------


ARMS = ("real", "real+classical", "real+synthetic")


def page(study, arms=ARMS, **known):
    """The rows of `compare_arms`; the second half of a study's arms is the first arm's."""
    (rows,) = pages([study], arms, **known)
    return rows


def pages(studies, arms, **known):
    """The same of several sets of the same arms, tested alike."""
    (truth, group, gan, _), *_ = studies
    sets = [answered(truth, predicted, arms) for *_, predicted in studies]
    own = {"groups": {f"t{i}": f"g{g}" for i, g in enumerate(group)}, "gans": gan}
    known = {**own, "primary": (arms[-1], arms[0]), **known}
    return compare_arms(
        sets,
        [(arm, arms[0]) for arm in arms[1:]],
        generated=arms[-1:],
        **known,
    )


def answered(truth, predicted, arms):
    """The runs of each arm as `compare_arms` takes them."""
    clips = predicted.shape[-1]
    ids = np.repeat([f"t{i}" for i in range(len(truth))], clips)
    names = tuple(f"l{i}" for i in range(LABELS))
    test = Clips(
        audio=np.zeros((len(ids), 1, 1), np.float32),
        labels=np.repeat(truth, clips).astype(np.int32),
        label_names=names,
        track_ids=ids,
        digests=ids,
        starts=np.zeros(len(ids), np.int64),
        sample_rate=8000,
    )
    one_hot = np.eye(LABELS)[predicted.reshape(*predicted.shape[:2], -1)]
    return {
        name: {seed: (p, test) for seed, p in enumerate(of)}
        for name, of in zip(arms, one_hot, strict=True)
    }


def of_three(rng, **options):
    """A study whose first arm is held against two others."""
    truth, group, gan, predicted = simulated(rng, **options)
    other = simulated(rng, **options)[-1][1:]
    return truth, group, gan, np.concatenate([predicted[::-1], other])[[0, 2, 1]]


def test_a_page_says_one_primary_verdict_and_the_rest_by_holm():
    study = of_three(np.random.default_rng(0), tracks=60, runs=5, gain=3.0)
    differences, per_label = page(study)
    assert (len(differences), len(per_label)) == (6, 20)
    (main,) = [d for d in differences if d["primary"]]
    named = main["arm"], main["against"], main["metric"]
    assert named == ("real+synthetic", "real", "track_accuracy")
    assert main["verdict"] == "benefit"
    claimed = [row for row in per_label if row["verdict"] != "undecided"]
    assert len(claimed) < sum(row["p"] < 0.05 for row in per_label)
    assert all(row["p"] < 0.05 / 6 for row in claimed)


def test_arms_are_held_against_each_other_by_the_runs_that_both_have():
    """As if the study had had no others, whatever those would have said."""
    truth, group, gan, predicted = of_three(np.random.default_rng(3), tracks=40, runs=6, gain=1.0)
    kept = np.array([0, 2, 3, 5])
    alone, _ = page((truth, group, gan[kept], predicted[:, kept]))
    arms = answered(truth, predicted, ARMS)
    for seed in (1, 4):
        del arms[ARMS[-1]][seed]
    ((rows, _),) = compare_arms(
        [arms],
        [(arm, ARMS[0]) for arm in ARMS[1:]],
        groups={f"t{i}": f"g{g}" for i, g in enumerate(group)},
        gans=gan,
        generated=ARMS[-1:],
        primary=(ARMS[-1], ARMS[0]),
    )
    of_last = [row for row in rows if row["arm"] == ARMS[-1]]
    whole, _ = page((truth, group, gan, predicted))
    assert [row["mean"] for row in of_last] != [r["mean"] for r in whole if r["arm"] == ARMS[-1]]
    assert [row | {"verdict": ""} for row in of_last] == [
        row | {"verdict": ""} for row in alone if row["arm"] == ARMS[-1]
    ]
    assert [r["mean"] for r in rows if r["arm"] == ARMS[1]] == [
        r["mean"] for r in whole if r["arm"] == ARMS[1]
    ]
    none = {ARMS[0]: arms[ARMS[0]], ARMS[-1]: {9: arms[ARMS[0]][0]}}  # no run that both have
    pair = ARMS[-1], ARMS[0]
    assert compare_arms([none], [pair], groups={}, gans=gan, generated=(), primary=None) == [
        ([], [])
    ]


def test_few_speakers_are_these_speakers_only():
    """Five of them: the tracks are what varies, or nothing could ever be said."""
    rng = np.random.default_rng(1)
    truth, group, gan, predicted = of_three(rng, tracks=50, runs=3, gain=3.0)
    by_speaker, by_track = (page((truth, g, gan, predicted))[0] for g in (group % 5, group))
    assert by_speaker == by_track
    assert page((truth, group % 6, gan, predicted))[0] != by_track


def test_a_class_without_test_clips_has_no_row():
    truth, group, gan, predicted = of_three(np.random.default_rng(2), tracks=60, runs=3)
    seen = truth != 3
    _, per_label = page((truth[seen], group[seen], gan, predicted[:, :, seen]))
    assert [row["label"] for row in per_label[:9]] == [f"l{i}" for i in range(10) if i != 3]


def test_of_a_class_with_few_tracks_nothing_is_claimed():
    """Nor does it take part in Holm's procedure: six tracks a class do, five do not."""
    rng = np.random.default_rng(3)
    few, enough = (of_three(rng, tracks=n, runs=5, gain=4.0) for n in (50, 60))
    rows, classes = page(few)
    assert {row["verdict"] for row in classes} == {"too few tracks"}
    assert "benefit" in {row["verdict"] for row in page(enough)[1]}
    others = [row["p"] for row in rows if not row["primary"]]
    smallest = min((row for row in rows if not row["primary"]), key=lambda row: row["p"])
    assert (smallest["verdict"] == "benefit") == (min(others) * len(others) < 0.05)


def test_other_amounts_of_tracks_are_judged_with_the_first():
    """All but the primary difference by one procedure: what is asked of many amounts costs."""
    rng = np.random.default_rng(5)
    studies = [of_three(rng, tracks=60, runs=5, gain=0.8) for _ in range(3)]
    alone, together = pages(studies[:1], ARMS), pages(studies, ARMS)
    assert [len(rows) for rows, _ in together] == [6, 6, 6]
    assert [len(classes) for _, classes in together] == [20, 0, 0]
    assert [row["primary"] for row in together[0][0]] == [row["primary"] for row in alone[0][0]]
    assert not any(row["primary"] for rows, _ in together[1:] for row in rows)
    others = [row for rows, classes in together for row in (*rows, *classes)]
    smallest = min((row for row in others if not row.get("primary")), key=lambda row: row["p"])
    claims = smallest["verdict"] in ("benefit", "harm")
    assert claims == (smallest["p"] * (len(others) - 1) < 0.05)


def test_draws_of_training_tracks_are_what_varies():
    """Runs of one draw are not worth as many draws, whatever is held against what."""
    rng = np.random.default_rng(6)
    study = of_three(rng, tracks=60, runs=9, gans=3, of_gan=1.0)
    gan = study[2]
    drawn, plain = (page(study, draws=draws)[0] for draws in (gan, None))
    for own, other in zip(drawn, plain, strict=True):
        assert own["mean"] == pytest.approx(other["mean"])
        if "real+synthetic" in (own["arm"], own["against"]):
            assert own == other  # the GANs of this study
        else:
            assert own["ci95"] != other["ci95"]


def difference(p: float, p_equivalent: float = 1.0, mean: float = 0.1) -> Difference:
    return Difference(mean, (0.0, 0.2), p, p_equivalent, None)


def test_holm_by_hand():
    """.01, .02 and .03 of three: .01 × 3 and .02 × 2 pass, and so .03; .02 × 3 alone would not."""
    found = [difference(p) for p in (0.03, 0.01, 0.02)]
    assert _verdicts(found, ["all"] * 3) == ["benefit"] * 3
    found = [difference(p) for p in (0.04, 0.03, 0.02)]
    assert _verdicts(found, ["all"] * 3) == ["undecided"] * 3
    assert _verdicts([*found, difference(0.04)], ["all"] * 3 + ["one"])[-1] == "benefit"
    assert _verdicts(found, ["all", None, "all"]) == ["benefit", "too few tracks", "benefit"]
    same = replace(difference(0.9), p_equivalent=0.01, mean=-0.001)
    assert _verdicts([same, difference(0.001, mean=-0.3)], ["all"] * 2) == ["equivalent", "harm"]


def test_many_that_are_equivalent_let_no_chance_pass_as_a_difference():
    """Of 31 true differences of 0, each well told from 5 points, one in twenty has p below .05."""
    rng, claimed = np.random.default_rng(0), 0
    for _ in range(400):
        z = rng.normal(size=31)
        p = 2 * scipy.stats.norm.sf(np.abs(z))
        found = [difference(one, p_equivalent=1e-9, mean=x) for one, x in zip(p, z, strict=True)]
        said = _verdicts(found, ["all"] * 31)
        claimed += bool({*said} & {"benefit", "harm"})
        assert {*said} - {"benefit", "harm"} <= {"equivalent"}
    assert claimed < 0.08 * 400


def test_a_positive_control_is_judged_by_itself():
    """A planted effect that is lost among 31 others is seen where it was known beforehand.

    The others are one fewer and no more lenient, and of other metrics and amounts nothing is free.
    """
    rng, found = np.random.default_rng(14), {"alone": 0, "among others": 0}
    for _ in range(30):
        study = of_three(rng, tracks=60, runs=5, gain=1.0)
        pair = ARMS[-1], ARMS[0]
        options = ({"positive_controls": of, "primary": None} for of in ((), [pair]))
        plain, checked = (pages([study] * 2, ARMS, **known) for known in options)
        (rows, _), (later, _) = checked
        (row,) = [one for one in rows if one["positive_control"]]
        assert (row["arm"], row["against"], row["metric"]) == (*pair, "track_accuracy")
        assert not any(one["positive_control"] for one in later)
        found["alone"] += row["verdict"] == "benefit"
        (same,) = [
            one for one in plain[0][0] if one["metric"] == row["metric"] and one["arm"] == pair[0]
        ]
        found["among others"] += same["verdict"] == "benefit"
        assert (row["mean"], row["p"]) == (same["mean"], same["p"])
        assert (row["verdict"] in ("benefit", "harm")) == (row["p"] < 0.05)
        assert row["detectable"] < same["detectable"]
        others = [one["p"] for one in (*rows, *later, *checked[0][1]) if one is not row]
        assert len(others) == 31
        claimed = [
            one["p"] for one in (*rows, *later) if one is not row if one["verdict"] == "benefit"
        ]
        assert not claimed or min(others) * 31 < 0.05
    assert found["alone"] > found["among others"] + 5


def test_a_control_that_is_asked_about_is_the_question():
    study = of_three(np.random.default_rng(0), tracks=60, runs=5)
    rows, _ = page(study, positive_controls=[(ARMS[-1], ARMS[0])])
    assert [row["positive_control"] for row in rows] == [False] * 6
    assert sum(row["primary"] for row in rows) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["20 tracks, 3 seeds", "200 tracks, 5 seeds"])
def test_at_most_one_page_in_fourteen_claims_anything(name):
    """At most 7 % of 1000 null studies, by the share itself, on pages of three arms."""
    rng, pages = np.random.default_rng(8), 0
    for _ in range(1000):
        differences, per_label = page(of_three(rng, **STUDIES[name]))
        pages += any(d["verdict"] in ("benefit", "harm") for d in [*differences, *per_label])
    assert pages / 1000 <= 0.07
