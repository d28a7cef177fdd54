"""What a comparison may claim of all its differences, on simulated studies."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
from simulated_studies import LABELS, STUDIES, simulated

from experiments.claims import _verdicts, compare_arms
from experiments.statistics import Difference
from features import Clips

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
