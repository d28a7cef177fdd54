import pytest

from experiments.config import DEFAULT_ARMS
from experiments.stages.arms import (
    ARM_SETS,
    SOURCES,
    Source,
    arm_of,
    expanded,
    expected,
    held_against,
    pairs,
    questioned,
)


def arms(*names):
    return [arm_of(name) for name in names]


def shape(name):
    """Of each phase the sources, and their ratios."""
    return [[(source, ratio) for source, _, ratio in phase] for phase in arm_of(name).phases]


def test_a_name_says_what_an_arm_is_made_of():
    assert shape("real") == [[("real", None)]]
    assert shape("real+classical+synthetic@0.5") == [
        [("real", None), ("classical", None), ("synthetic", 0.5)]
    ]
    assert shape("synthetic@4-then-real") == [[("synthetic", 4.0)], [("real", None)]]
    assert all(arm_of(name) for names in ARM_SETS.values() for name in names)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("real+sinthetic", "there is no 'sinthetic' to train on; try synthetic"),
        ("real+", "there is no ''"),
        ("real@2", "real@2 is no ratio"),
        ("real+synthetic@", "synthetic@ is no ratio"),
        ("real+synthetic@0", "0.001 to 1000, as in real"),
        ("real+synthetic@nan", "is no ratio"),
        ("real+noise+noise", "has a source twice"),
        ("real-then-", "there is no ''"),
    ],
)
def test_a_name_that_says_nothing_is_refused(name, expected):
    with pytest.raises(ValueError, match=expected):
        arm_of(name)


def test_what_an_arm_is_follows_from_its_sources():
    role = {name: arm_of(name).role for name in ARM_SETS["controls"]}
    assert role == {
        "real": "classical",
        "real+classical": "classical",
        "real+noise": "control",
        "real+shuffled": "control",
        "real+oracle": "oracle",
        "real+synthetic": "generated",
        "real+classical+synthetic": "generated",
        "synthetic": "generated",
        "synthetic-then-real": "generated",
    }
    assert arm_of("real+classical+synthetic").subject == "altered copies and the GAN's clips"
    assert arm_of("synthetic-then-real").about == "generated clips, then the real training clips"
    assert arm_of("real+shuffled").needs("gans")
    assert not arm_of("real+noise").needs("gans")
    for name, judged in {"confident": True, "accepted": False, "synthetic": False}.items():
        arm = arm_of(f"real+{name}")
        assert arm.role == "generated"
        assert arm.needs("gans")
        assert arm.needs("judge") == judged


@pytest.mark.parametrize(
    ("name", "exposure"),
    [
        ("real", 1),
        ("real+noise", 1.5),
        ("real+classical+synthetic@2", 3.5),
        ("synthetic", None),
        ("synthetic-then-real", None),
    ],
)
def test_how_many_clips_come_with_a_real_one(name, exposure):
    assert arm_of(name).exposure(0.5) == exposure


def test_sets_are_written_out_once():
    assert expanded(["usual"]) == DEFAULT_ARMS
    assert expanded(["real", "ratios", "real+noise"]) == (
        "real",
        *(f"real+synthetic@{ratio}" for ratio in ("0.25", "0.5", "1", "2", "4")),
        "real+noise",
    )


def test_generated_clips_are_held_against_all_that_other_clips_would_do():
    assert pairs(arms(*DEFAULT_ARMS)) == [
        ("real+classical", "real"),
        ("real+noise", "real"),
        ("real+synthetic", "real"),
        ("real+synthetic", "real+classical"),
        ("real+synthetic", "real+noise"),
    ]
    assert pairs(arms("real", "real+oracle", "synthetic")) == [
        ("real+oracle", "real"),
        ("synthetic", "real"),
    ]


def test_what_controls_must_do_is_known_beforehand():
    assert expected(arms(*ARM_SETS["controls"])) == {
        ("real+noise", "real"): False,
        ("real+shuffled", "real"): False,
        ("real+oracle", "real"): True,
    }
    others = ("oracle", "real+classical+noise", "noise-then-real", "real+oracle@0.5")
    assert expected(arms("real", *others)) == {("real+oracle@0.5", "real"): True}
    assert expected(arms("real+classical", "real+classical+oracle", "real+oracle")) == {
        ("real+classical+oracle", "real+classical"): True
    }


def test_only_what_is_added_is_a_check():
    """Not what the first arm has already, nor what nobody knows."""
    noise = expected(arms("real+oracle", "real+oracle+noise", "real+oracle+synthetic"))
    assert noise == {("real+oracle+noise", "real+oracle"): False}
    assert not expected(arms("real+noise", "real+noise+synthetic", "real+noise+classical"))
    assert not expected(arms("real+classical@4", "real+classical@0.25+oracle"))
    own = {"speech": Source("speech of another corpus", lambda material, seed: [])}
    assert not expected([arm_of("real"), arm_of("real+speech", own)])


def test_chosen_clips_are_held_against_those_that_they_were_chosen_from():
    chosen = ("real+confident", "synthetic", "real+synthetic@2", "real+accepted@2")
    found = pairs(arms("real", *chosen, "real+synthetic"))
    assert found[5:] == [
        ("real+confident", "real+synthetic"),
        ("real+accepted@2", "real+synthetic@2"),
    ]


def test_a_comparison_is_about_generated_clips_beside_real_ones_first():
    def about(*names, wanted=None):
        found = questioned(arms(*names), wanted)
        return found and found.name

    assert about(*DEFAULT_ARMS) == "real+synthetic"
    assert about("real", "synthetic", "real+classical+synthetic") == "real+classical+synthetic"
    assert about("real", "real+noise", "synthetic") == "synthetic"
    assert about("real", "real+noise", "real+classical") == "real+classical"
    assert about("real", "real+noise") == "real+noise"
    assert about(*DEFAULT_ARMS, wanted="real+noise") == "real+noise"
    assert about("real") is None


def test_it_is_held_against_classical_arms_alone():
    every = arms(*ARM_SETS["controls"])
    assert held_against(arm_of("real+synthetic"), every) == ["real", "real+classical"]
    assert held_against(arm_of("real+classical"), every) == ["real"]


@pytest.mark.parametrize("made", [None, "clips", [3]])
def test_what_a_source_must_give(made):
    own = {"mine": Source("mine", lambda material, seed: made)}
    with pytest.raises(ValueError, match="mine: its make must give a list of Examples, found"):
        arm_of("mine", own).training(None, 0)


def test_what_a_source_must_be():
    with pytest.raises(TypeError, match=r"SOURCES\['mine'\]: give a Source\(about, make\)"):
        SOURCES["mine"] = "real clips"
    with pytest.raises(TypeError, match=r"a function \(material, seed\) -> examples"):
        Source("mine", "repeats")
    with pytest.raises(TypeError, match=r"make is .* found one that takes \(material\)"):
        Source("mine", lambda material: [material.side("train")])
    with pytest.raises(ValueError, match="a role is one of classical"):
        Source("mine", print, role="fake")
    for name in ("a,b", "a+b", "a@2", "a-then-b", "a=b"):
        with pytest.raises(ValueError, match="a source's name is one word"):
            SOURCES[name] = Source("mine", print)
    with pytest.raises(ValueError, match=r"'real' in experiments.SOURCES is this package's own"):
        SOURCES["real"] = Source("mine", print)
