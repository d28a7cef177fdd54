"""The five verdicts on differences whose right verdict is known."""

import pytest

from experiments.verdicts import agreement, answer, controls, limited

ROLES = {
    "real": ("classical", ["real"]),
    "real+classical": ("classical", ["real", "classical"]),
    "real+noise": ("control", ["real", "noise"]),
    "real+oracle": ("oracle", ["real", "oracle"]),
    "real+synthetic": ("generated", ["real", "synthetic"]),
}
RUNS = [{"classifier_seed": seed} for seed in range(4)]
ARMS = {
    name: {"role": role, "sources": sources, "runs": RUNS}
    for name, (role, sources) in ROLES.items()
}


def difference(against="real+classical", mean=0.1, low=0.02, verdict="benefit"):
    row = {"arm": "real+synthetic", "against": against, "mean": mean, "verdict": verdict}
    return row | {"ci95": [low, 2 * mean - low]}


OF_ALL_KINDS = [
    difference("real"),
    difference("real+noise", verdict="equivalent"),
    difference("real+oracle", verdict="undecided"),
]


def judged(question=None, beside=(), readings=(), late=(), arms=None, **known):
    question = question or difference()
    return answer(question, beside, readings, arms or ARMS, late, **known)


def read(*means):
    names = ("convergence", "equal steps", "equal exposures")
    return [{"reading": name, "mean": mean} for name, mean in zip(names, means, strict=False)]


def test_what_is_shown_against_everything_is_a_benefit():
    beside = [difference("real"), difference("real+noise")]
    found = judged(beside=beside, readings=read(0.1, 0.01, 0.2))
    assert found == {"verdict": "benefit", "because": [], "untried": []}


@pytest.mark.parametrize("against", ["real", "real+noise"])
def test_what_noise_or_real_clips_do_as_well_is_no_benefit(against):
    beside = [difference("real"), difference("real+noise")]
    beside = [row | {"ci95": [-0.01, 0.2]} if row["against"] == against else row for row in beside]
    found = judged(beside=beside)
    assert found["verdict"] == "undecided"
    assert found["because"] == [f"the interval against {against} is not above 0"]


def test_an_oracle_that_does_better_takes_nothing_away():
    beside = [difference("real+oracle", mean=-0.3, low=-0.4)]
    assert judged(beside=beside)["verdict"] == "benefit"


@pytest.mark.parametrize(("mean", "verdict"), [(0.1, "benefit"), (-0.1, "harm")])
@pytest.mark.parametrize("turned", [0.0, -1.0])
def test_a_claim_needs_all_readings_to_point_its_way(mean, verdict, turned):
    question = difference(mean=mean, verdict=verdict)
    found = judged(question, readings=read(mean, turned * mean, mean))
    assert found["verdict"] == "undecided"
    assert found["because"] == ["at equal steps the difference does not point the same way"]
    assert judged(question, readings=read(mean, mean / 9, mean))["verdict"] == verdict


@pytest.mark.parametrize("verdict", ["equivalent", "undecided"])
def test_what_is_no_claim_needs_no_reading(verdict):
    found = judged(difference(verdict=verdict), readings=read(0.1, -0.1))
    assert (found["verdict"], found["because"]) == (verdict, [])


@pytest.mark.parametrize("verdict", ["benefit", "harm", "equivalent", "undecided"])
def test_an_arm_that_did_not_come_to_its_end_ends_every_claim(verdict):
    found = judged(difference(verdict=verdict), late=["real+noise"])
    assert found["verdict"] == "budget-limited"
    assert "real+noise may have needed more steps" in found["because"][0]
    (both,) = judged(difference(verdict=verdict), late=["real", "real+noise"])["because"]
    assert both.startswith("real, real+noise may have needed more steps: in more than a tenth of t")


@pytest.mark.parametrize(
    ("arm", "verdict", "wrong"),
    [
        ("real+oracle", "benefit", None),
        (
            "real+oracle",
            "undecided",
            "(real+oracle: undecided), so a gain as large as theirs may be",
        ),
        ("real+oracle", "equivalent", "did not show (real+oracle: equivalent)"),
        ("real+oracle", "budget-limited", "did not show (real+oracle: budget-limited)"),
        ("real+noise", "undecided", None),
        ("real+noise", "harm", None),
    ],
)
def test_a_control_that_does_not_come_out_is_told(arm, verdict, wrong):
    row = {"arm": arm, "against": "real", "verdict": verdict, "ci95": [-0.1, 0.2]}
    rows = [row | {"metric": metric} for metric in ("track_accuracy", "macro_f1")]
    rows.append(rows[0] | {"arm": "real+synthetic", "verdict": "benefit"})
    (found,) = controls(rows, {(arm, "real"): arm == "real+oracle"})
    assert (found["arm"], found["verdict"]) == (arm, verdict)
    assert wrong in found["wrong"] if wrong else found["wrong"] is None


def test_noise_that_helps_by_itself_is_told_whatever_is_claimed_of_it():
    row = {"arm": "real+noise", "against": "real", "metric": "track_accuracy"}
    row |= {"verdict": "undecided", "ci95": [0.04, 0.115]}
    (found,) = controls([row], {("real+noise", "real"): False})
    assert found["wrong"] == "real+noise is better than real, so more of any clips may help here"


def test_a_positive_control_of_which_nothing_finished_has_not_shown():
    (found,) = controls([], {("real+oracle", "real"): True})
    assert found["verdict"] is None
    assert found["wrong"].endswith("(real+oracle: no run finished)")
    (noise,) = controls([], {("real+noise", "real"): False})
    assert noise["wrong"] is None


def test_controls_that_were_not_tried_are_named():
    few = {name: ARMS[name] for name in ("real", "real+synthetic")}
    found = judged(difference("real"), arms=few)
    assert found["untried"] == ["classical augmentation", "white noise in their place"]
    assert found["verdict"] == "undecided"
    assert found["because"] == [
        f"a benefit has to be one against {x}, too" for x in found["untried"]
    ]
    harm = judged(difference("real", mean=-0.1, verdict="harm"), arms=few)
    assert (harm["verdict"], harm["because"]) == ("harm", [])
    oracle = {name: ARMS[name] for name in ("real", "real+oracle")}
    about = difference("real") | {"arm": "real+oracle"}
    assert judged(about, arms=oracle)["untried"] == []


@pytest.mark.parametrize("failed", ["real", "real+noise"])
def test_a_benefit_is_held_against_controls_that_failed(failed):
    """An arm without a run is in no difference: that it is not above 0 can't be seen there."""
    lost = {"runs": [], "failed_runs": RUNS, "error": "the loss is NaN"}
    arms = ARMS | {failed: ARMS[failed] | lost}
    beside = [difference(name) for name in ("real", "real+noise") if name != failed]
    found = judged(beside=beside, arms=arms)
    assert found["verdict"] == "undecided"
    assert found["because"] == [
        f"no run of {failed} finished, so nothing says whether it does as well"
    ]
    few = ["white noise in their place (real+noise failed)"]
    assert found["untried"] == (few if failed == "real+noise" else [])
    equal = judged(difference(verdict="equivalent"), beside=beside, arms=arms)
    assert (equal["verdict"], equal["because"]) == ("equivalent", [])
    assert equal["untried"] == found["untried"]
    some = {"runs": RUNS[:3], "failed_runs": RUNS[3:]}
    (left,) = judged(beside=beside, arms=ARMS | {failed: ARMS[failed] | some})["because"]
    assert left == f"1 of 4 runs of {failed} failed, and those left are not drawn at random"


def test_what_is_added_to_generated_clips_is_no_control():
    few = {name: ARMS[name] for name in ("real", "real+synthetic")}
    more = {"role": "generated", "sources": ["real", "classical", "synthetic", "noise"]}
    found = judged(difference("real"), arms=few | {"all": more | {"runs": RUNS}})
    assert found["untried"] == ["classical augmentation", "white noise in their place"]


def test_differences_of_a_late_arm_claim_nothing():
    rows = [difference("real"), difference("real+noise")]
    assert [row["verdict"] for row in limited(rows, ["real+noise"])] == [
        "benefit",
        "budget-limited",
    ]
    assert limited(rows, ["real+synthetic"])[0]["verdict"] == "budget-limited"


def classifier(verdict, *means, recipe="second"):
    rows = [
        {"arm": f"real+{i}", "against": "real", "metric": "track_accuracy", "mean": mean}
        for i, mean in enumerate(means)
    ]
    rows += [{**row, "metric": "accuracy", "mean": -9.0} for row in rows]
    return {"answer": verdict and {"verdict": verdict}, "differences": rows, "recipe": recipe}


@pytest.mark.parametrize(
    ("first", "second", "verdict"),
    [
        ("benefit", "benefit", "alike"),
        ("harm", "harm", "alike"),
        ("equivalent", "equivalent", "alike"),
        ("benefit", "harm", "opposite"),
        ("harm", "benefit", "opposite"),
        ("benefit", "undecided", "one alone"),
        ("budget-limited", "harm", "one alone"),
        ("benefit", "equivalent", "one alone"),
        ("equivalent", "undecided", "one alone"),
        ("undecided", "undecided", "untold"),  # a null: two that tell nothing agree on nothing
        ("undecided", "budget-limited", "untold"),
        (None, "benefit", "untold"),
        (None, None, "untold"),
    ],
)
def test_two_classifiers_agree_where_both_tell_the_same(first, second, verdict):
    found = agreement("first", classifier(first), classifier(second))
    assert found["verdict"] == verdict
    assert ("answer alike" in found["said"]) == (verdict == "alike")
    alone = {first, second} & {"benefit", "harm"} and verdict == "one alone"
    assert ("no finding about the clips" in found["said"]) == bool(alone)
    if None in (first, second):
        assert found["said"].endswith("first" if second else "first and second")


def test_differences_that_point_one_way_are_counted_among_those_both_have():
    found = agreement(
        "first", classifier("undecided", 0.1, -0.1, 0.2), classifier("undecided", 0.3, 0.2)
    )
    assert (found["same"], found["of"]) == (1, 2)
    assert agreement("first", classifier("harm", 0.0), classifier("harm", 0.2))["same"] == 0


def test_nothing_is_claimed_of_an_arm_of_which_runs_failed():
    """Those that are left were not drawn at random: perhaps the GANs that did well."""
    arms = {name: {**arm} for name, arm in ARMS.items()}
    arms["real+synthetic"] |= {"runs": [RUNS[0], *RUNS[2:]], "failed_runs": [RUNS[1]]}
    found = judged(beside=[difference("real"), difference("real+noise")], arms=arms)
    assert found["verdict"] == "undecided"
    assert found["because"] == [
        "1 of 4 runs of real+synthetic failed, and those left are not drawn at random"
    ]
    other = {"arm": "real+noise", "against": "real", "mean": -0.1, "verdict": "harm"}
    found = [row["verdict"] for row in limited([*OF_ALL_KINDS, other], (), {"real+synthetic"})]
    assert found == ["undecided", "undecided", "undecided", "harm"]
    assert limited(OF_ALL_KINDS, ("real",), {"real+synthetic"})[0]["verdict"] == "budget-limited"


def test_nothing_is_claimed_of_arms_that_ran_once():
    """In simulated studies without a difference 8 to 44 % would claim one by a single run each."""
    found = judged(beside=[difference("real"), difference("real+noise")], once=True)
    assert found["verdict"] == "undecided"
    assert found["because"] == [
        "each arm ran once, so what another run of each would change is not known"
    ]
    assert {row["verdict"] for row in limited(OF_ALL_KINDS, (), once=True)} == {"undecided"}
    assert limited(OF_ALL_KINDS, ("real",), once=True)[0]["verdict"] == "budget-limited"
