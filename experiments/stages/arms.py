"""The arms of a comparison: what each is made of is said by its name.

``real+synthetic`` trains on real and generated clips together, ``synthetic`` on generated ones
alone, ``real+synthetic@0.5`` on one generated clip for two real ones, and ``synthetic-then-real``
on generated clips first and then on real ones. What an arm can be made of is an entry of `SOURCES`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from experiments.config import DEFAULT_ARMS
from experiments.stages import examples, filters
from experiments.stages.examples import Examples, Maker, Material, joined
from features.registry import Registry, check_takes

ROLES = ("classical", "generated", "control", "oracle")  # later ones decide what an arm is
NEEDS = ("gans", "judge", "augmentation", "held-back tracks")
_THEN, _AND, _RATIO = "-then-", "+", "@"
LARGEST = 1000.0  # ratio


@dataclass(frozen=True)
class Source:
    """What an arm can train on.

    Attributes
    ----------
    about : in a few words.
    make : ``(material, seed) -> examples``.
    role : one of `ROLES`. What is generated is held against what is classical, the best of
        which the question is about, and against controls: what any other clips would do.
    needs : of `NEEDS`, without which it can't be made.
    alters_batches : whether the augmentations of features alter the batches of its arm.
    subject : what a verdict on it is about, as "the GAN's clips"; ``about`` where it is empty.
    of : the source that it is a choice of, which its arms are held against, too.
    helps : whether it does, where that is known before any run; an arm that adds it to others is
        then a check of the comparison.
    """

    about: str
    make: Maker
    role: str = "control"
    needs: tuple[str, ...] = ()
    alters_batches: bool = False
    subject: str = ""
    of: str = ""
    helps: bool | None = None

    def __post_init__(self) -> None:
        check_takes("make", self.make, "material", "seed", gives="examples")
        if self.role not in ROLES or set(self.needs) - set(NEEDS):
            raise ValueError(
                f"a role is one of {', '.join(ROLES)}, and needs are of {', '.join(NEEDS)}; found "
                f"{self.role!r} and {self.needs!r}"
            )


class _Sources(Registry[Source]):
    """The registry of sources, whose names are words in the names of arms."""

    def __setitem__(self, name: str, entry: Source) -> None:
        if isinstance(name, str):
            check_name(name)
        super().__setitem__(name, entry)


def check_name(name: str) -> None:
    """Raise ValueError where a source's name would not be one word in the name of an arm."""
    if any(mark in name for mark in (_AND, _RATIO, _THEN, ",", "=", "/")) or name != name.strip():
        raise ValueError(
            f"a source's name is one word of an arm's, without {_AND} {_RATIO} , = / or {_THEN}: "
            f"found {name!r}"
        )


def _check(source: Any) -> None:
    if not isinstance(source, Source):
        raise TypeError(f"give a Source(about, make), found {source!r}")


def _real(material: Material, seed: int) -> list[Examples]:
    return [material.side("train")]


SOURCES: Registry[Source] = _Sources(
    "experiments.SOURCES",
    {
        "real": Source("the real training clips", _real, "classical"),
        "oversampled": Source(
            "real clips repeated", examples.repeats, "classical", subject="repeated clips"
        ),
        "classical": Source(
            "altered copies of real clips",
            examples.altered,
            "classical",
            ("augmentation",),
            alters_batches=True,
            subject="altered copies",
        ),
        "noise": Source(
            "white noise with the labels of real clips",
            examples.noise,
            subject="white noise",
            helps=False,
        ),
        "shuffled": Source(
            "generated clips with shuffled labels",
            examples.shuffled,
            "control",
            ("gans",),
            helps=False,
        ),
        "oracle": Source(
            "further real clips, of tracks held back",
            examples.oracle,
            "oracle",
            ("held-back tracks",),
            subject="further real clips",
            helps=True,
        ),
        "synthetic": Source(
            "generated clips", examples.generated, "generated", ("gans",), subject="the GAN's clips"
        ),
        "confident": Source(
            "generated clips that a classifier of the training tracks is surest of",
            filters.confident,
            "generated",
            ("gans", "judge"),
            subject="the GAN's clips that a classifier is surest of",
            of="synthetic",
        ),
        "accepted": Source(
            "generated clips that the GAN's critic accepts",
            filters.accepted,
            "generated",
            ("gans",),
            subject="the GAN's clips that its critic accepts",
            of="synthetic",
        ),
    },
    _check,
    recipe="experiments.Source(about, make)",
)

ARM_SETS: dict[str, tuple[str, ...]] = {
    "usual": DEFAULT_ARMS,
    "controls": (
        *("real", "real+classical", "real+noise", "real+shuffled", "real+oracle"),
        *("real+synthetic", "real+classical+synthetic", "synthetic", "synthetic-then-real"),
    ),
    "ratios": ("real", *(f"real+synthetic@{ratio:g}" for ratio in (0.25, 0.5, 1, 2, 4))),
}


@dataclass(frozen=True)
class Arm:
    """An arm of a comparison, of the name that `arm_of` reads.

    Attributes
    ----------
    phases : of its training, one after another: of each the sources, by their names, and how many
        clips of each for a real one, where that is not the comparison's.
    """

    name: str
    phases: tuple[tuple[tuple[str, Source, float | None], ...], ...]

    def __iter__(self) -> Iterator[tuple[str, Source]]:
        return ((name, source) for phase in self.phases for name, source, _ in phase)

    @property
    def sources(self) -> dict[str, Source]:
        """What it is made of, by name."""
        return dict(self)

    @property
    def role(self) -> str:
        """Of its sources the one that decides what it is held against."""
        roles = {source.role for _, source in self}
        return max(roles, key=ROLES.index)

    @property
    def about(self) -> str:
        """What it is, in words."""
        return ", then ".join(
            " and ".join(source.about for _, source, _ in phase) for phase in self.phases
        )

    @property
    def subject(self) -> str:
        """What a verdict on it is about: all that it has beside real clips."""
        added = [s.subject or s.about for name, s in self.sources.items() if name != "real"]
        return " and ".join(added) or "the real clips"

    @property
    def alters_batches(self) -> bool:
        return any(source.alters_batches for _, source in self)

    def needs(self, what: str) -> bool:
        """Whether a source needs it, one of `NEEDS`."""
        return any(what in source.needs for _, source in self)

    def chooses_from(self, other: Arm) -> bool:
        """Whether it is the other arm with a choice of its clips."""

        def whole(arm: Arm, chosen: bool) -> list[list[tuple[str, float | None]]]:
            return [
                [((source.of if chosen else "") or name, ratio) for name, source, ratio in phase]
                for phase in arm.phases
            ]

        return self.name != other.name and whole(self, True) == whole(other, False)

    def exposure(self, ratio: float) -> float | None:
        """Clips that it trains on for each real one, which has 1; None without, or in phases.

        ``ratio`` is that of what says none itself.
        """
        if len(self.phases) > 1 or "real" not in self.sources:
            return None
        added = ((name, ratio if own is None else own) for name, _, own in self.phases[0])
        return 1 + sum(share for name, share in added if name != "real")

    def ratios(self, usual: float) -> tuple[str, float] | None:
        """What it adds to real clips, and how many for each; None unless that is one source."""
        if len(self.phases) > 1 or len(self.phases[0]) != 2 or "real" not in self.sources:
            return None
        ((name, _, ratio),) = (one for one in self.phases[0] if one[0] != "real")
        return name, usual if ratio is None else ratio

    def training(self, material: Material, seed: int) -> list[Examples]:
        """What each phase of its training is on in a run."""
        return [
            joined(
                [
                    made
                    for name, source, ratio in phase
                    for made in _made(name, source, material, ratio, seed)
                ]
            )
            for phase in self.phases
        ]


def _made(
    name: str, source: Source, material: Material, ratio: float | None, seed: int
) -> Sequence[Examples]:
    made = source.make(material if ratio is None else replace(material, ratio=ratio), seed)
    if not (isinstance(made, Sequence) and all(isinstance(one, Examples) for one in made)):
        raise ValueError(f"{name}: its make must give a list of Examples, found {made!r:.100}")
    return made


def arm_of(name: str, own: Mapping[str, Source] | None = None) -> Arm:
    """The arm of a name; ``own`` are sources beside `SOURCES`, as clips of a folder are.

    Raises
    ------
    ValueError
        A source that there is none of, with the nearest; a ratio that is none.
    """
    known = {**SOURCES, **(own or {})}
    phases = []
    for phase in name.split(_THEN):
        sources = tuple(_read(name, word, known) for word in phase.split(_AND))
        if len({source for source, *_ in sources}) < len(sources):
            raise ValueError(f"the arm {name!r} has a source twice: give it a ratio, as in noise@2")
        phases.append(sources)
    return Arm(name, tuple(phases))


def _read(arm: str, word: str, known: Mapping[str, Source]) -> tuple[str, Source, float | None]:
    name, says, ratio = word.partition(_RATIO)
    if name not in known:
        words = [*known, *ARM_SETS]
        near = difflib.get_close_matches(name, words, n=3, cutoff=0.5) or words
        raise ValueError(
            f"the arm {arm!r}: there is no {name!r} to train on; try {', '.join(near)}"
        )
    return name, known[name], _ratio(arm, name, ratio) if says else None


def _ratio(arm: str, source: str, text: str) -> float:
    try:
        ratio = float(text)
    except ValueError:
        ratio = 0.0
    if source == "real" or not 1 / LARGEST <= ratio <= LARGEST:
        raise ValueError(
            f"the arm {arm!r}: {source}{_RATIO}{text} is no ratio: it says how many further clips "
            f"there are for each real one, {1 / LARGEST:g} to {LARGEST:g}, as in real+synthetic@0.5"
        )
    return ratio


def declared(names: Iterable[str], folders: Iterable[str]) -> tuple[Arm, ...]:
    """The arms of these names, some of which may train on clips of folders.

    Parameters
    ----------
    folders : of other generators, each as NAME=FOLDER.

    Raises
    ------
    ValueError
        As `arm_of`; a folder without a name of its own, or that no arm trains on.
    """
    own: dict[str, Source] = {}
    for said in folders:
        name, is_, _ = said.partition("=")
        if not is_ or not name or name in own:
            raise ValueError(f"--arm takes NAME=FOLDER, each name once; found {said!r}")
        check_name(name)
        if name in SOURCES:
            raise ValueError(
                f"--arm {said}: {name} is what arms are made of already, as are "
                f"{', '.join(SOURCES)}: take another name"
            )
        about, make = f"clips of {name}", examples.of_folder(name)
        own[name] = Source(about, make, "generated", subject=f"the {about}")
    try:
        arms = tuple(arm_of(name, own) for name in names)
    except ValueError as error:
        raise ValueError(f"--arms: {error}") from None
    if unused := own.keys() - {name for one in arms for name in one.sources}:
        name = min(unused)
        raise ValueError(f"--arm {name}=…: no arm trains on it: add real+{name} to --arms")
    return arms


def expanded(names: Iterable[str]) -> tuple[str, ...]:
    """Names of arms, those of `ARM_SETS` written out."""
    return tuple(dict.fromkeys(arm for name in names for arm in ARM_SETS.get(name, (name,))))


# --- what is held against what -------------------------------------------------------------------


def pairs(arms: Sequence[Arm]) -> list[tuple[str, str]]:
    """Each difference to be estimated: an arm, and the one that it is held against.

    All arms are held against the first, and those of generated clips against every other that
    is classical or a control, too, and where they are a choice of others' clips against these.
    """
    baseline, *others = arms
    controls = [one for one in others if one.role in ("classical", "control")]
    against_first = [(one.name, baseline.name) for one in others]
    made = [one for one in others if one.role == "generated"]
    chosen = [(one.name, whole.name) for one in made for whole in made if one.chooses_from(whole)]
    return [
        *against_first,
        *((one.name, control.name) for one in made for control in controls),
        *chosen,
    ]


def questioned(arms: Sequence[Arm], wanted: str | None = None) -> Arm | None:
    """The arm that a comparison is about; None of a single arm.

    It is ``wanted``, or the first of generated clips, one that trains on real ones, too, before
    others; else the first that is no control; else the second.
    """
    _, *others = arms

    def order(one: Arm) -> tuple[bool, bool, bool]:
        return one.role != "generated", one.role == "control", "real" not in one.sources

    named = next((one for one in others if one.name == wanted), None)
    return named or min(others, key=order, default=None)


def expected(arms: Sequence[Arm]) -> dict[tuple[str, str], bool]:
    """Of each arm that adds one source to the first, whether that helps, where it is known.

    Further real clips do; noise, or clips under shuffled labels, do not.
    """
    baseline, *others = arms
    found = {}
    for one in others:
        if len(one.phases) == len(baseline.phases) == 1:
            first, own = (
                {(name, ratio) for name, _, ratio in arm.phases[0]} for arm in (baseline, one)
            )
            if first < own and len(own - first) == 1:
                ((name, _),) = own - first
                if (helps := one.sources[name].helps) is not None:
                    found[one.name, baseline.name] = helps
    return found


def held_against(question: Arm, arms: Sequence[Arm]) -> list[str]:
    """The arms of which the best, by validation, is what the question is held against."""
    return [one.name for one in arms if one.role == "classical" and one.name != question.name]
