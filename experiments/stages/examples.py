"""What a classifier trains on: the arms of a comparison, each ONE entry of `ARMS`.

An arm is the real training clips and what its makers add to them. A maker is a function
``(material, seed) -> examples``; `Material` holds all that one can be made from.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from experiments.recipes import Recipe
from experiments.report.terminal import Progress
from experiments.run import Run
from experiments.stages.data import Rows as SideRows
from experiments.stages.gans import Gan, gan_of, gan_seed, sample_gan
from features import Clips, Rows, extract, fingerprint
from features.augmentation import WaveformAugmentation
from features.extractors import Augmented
from features.registry import Registry


@dataclass(frozen=True)
class Examples:
    """What a classifier trains or is tested on.

    Attributes
    ----------
    features, labels : (N, ...) and (N,).
    key : tells these examples from others.
    """

    features: np.ndarray | Rows
    labels: np.ndarray
    key: str


@dataclass(frozen=True)
class Material:
    """What the arms of one split are made from.

    Attributes
    ----------
    clips : of all sides, and of them the ``rows`` of each side.
    features : of ``clips``, those of the recipe.
    gans : those that make clips of the classes; none where no arm asks for them.
    ratio : further clips for each real training clip, class by class.
    waveform : augmentation of the altered copies.
    copy_seed : of the altered copies of a run, from its seed and the number of the copy.
    """

    run: Run
    recipe: Recipe
    clips: Clips
    rows: SideRows
    features: Rows
    progress: Progress
    gans: Sequence[Gan] = ()
    ratio: float = 1.0
    waveform: WaveformAugmentation | None = None
    copy_seed: Callable[[int, int], int] = gan_seed

    def side(self, name: str) -> Examples:
        """The real examples of a side."""
        rows, clips = self.rows[name], self.clips
        text = "".join(f"{clips.digests[i]}:{clips.starts[i]}:{clips.labels[i]};" for i in rows)
        key = f"{_hash(text)} {clips.sample_rate} {clips.num_samples} {self.recipe.silence}"
        key += f" {fingerprint(self.recipe.input)}"
        return Examples(Rows([self.features], rows), clips.labels[rows], key)

    @cached_property
    def train(self) -> Clips:
        """The real training clips."""
        return self.clips.select(self.rows["train"])

    @cached_property
    def counts(self) -> dict[int, int]:
        """Further clips for each label: ``ratio`` times its real training clips."""
        labels = self.train.labels
        return {
            int(label): max(1, round(self.ratio * int((labels == label).sum())))
            for label in np.unique(labels)
        }

    def extract(self, clips: Clips | np.ndarray, make: Any, task: str) -> Rows:
        """Features of clips."""
        rate, shown = self.clips.sample_rate, self.progress.of(task, "clip")
        return extract(clips, make, sample_rate=rate, on_progress=shown)


# --- makers --------------------------------------------------------------------------------------

Maker = Callable[[Material, int], Sequence[Examples]]


def repeats(material: Material, seed: int) -> list[Examples]:
    """The real clips repeated, class by class, as often as there are generated ones."""
    real = material.side("train")
    index = np.concatenate(list(repeated(real.labels, material.counts)))
    key = f"repeated {material.counts}"
    return [Examples(Rows([real.features], index), real.labels[index], key)]


def altered(material: Material, seed: int) -> list[Examples]:
    """Altered copies of the clips that `repeats` repeats, drawn anew for each run."""
    if material.waveform is None:
        return []
    train, found = material.train, []
    for i, rows in enumerate(repeated(train.labels, material.counts)):
        make = Augmented(material.recipe.input, material.waveform, material.copy_seed(seed, i))
        features = material.extract(train.select(rows), make, f"altered copies of run {seed + 1}")
        key = f"altered {_hash(str(rows.tolist()))} {fingerprint(make)}"
        found.append(Examples(features, train.labels[rows], key))
    return found


def generated(material: Material, seed: int) -> list[Examples]:
    """Generated clips of each class, of the GANs of the run."""
    make, examples = material.recipe.input, []
    for label, count in material.counts.items():
        name = material.clips.label_names[label]
        gan = gan_of(material.gans, name, seed)
        audio = sample_gan(material.run, gan, count, name)
        features = material.extract(audio, make, f"features of generated {name}")
        key = f"generated {gan.key} {name} {count} {fingerprint(make)}"
        examples.append(Examples(features, np.full(count, label, np.int32), key))
    return examples


def joined(parts: Sequence[Examples]) -> Examples:
    """Several examples as one, in their order."""
    return Examples(
        Rows([part.features for part in parts]),
        np.concatenate([part.labels for part in parts]),
        " + ".join(part.key for part in parts),
    )


def repeated(labels: np.ndarray, counts: Mapping[int, int]) -> Iterator[np.ndarray]:
    """Rows of ``labels`` (N,) that are ``counts[label]`` of each label, spread evenly over them.

    Yields
    ------
    Rows in which none comes twice; most labels are in the first of them, and in further ones
    where more of a label is asked for than there is.
    """
    rows = {label: np.flatnonzero(labels == label) for label in counts}
    done = dict.fromkeys(counts, 0)
    while done != counts:
        taken = {n: rows[n][: counts[n] - done[n]] for n in counts}
        done = {n: done[n] + len(taken[n]) for n in counts}
        yield np.concatenate(list(taken.values()))


# --- arms ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Arm:
    """An arm of a comparison.

    Attributes
    ----------
    about : what it is, in a few words.
    makers : what joins the real clips, in this order.
    controls : beside the first arm, what it is held against where both are there: what else
        the same number of further clips, or of training steps, would have brought.
    alters_batches : whether the augmentations of features alter its batches.
    subject : what a verdict on it is about, as "the GAN's clips".
    """

    about: str
    makers: tuple[Maker, ...] = ()
    controls: tuple[str, ...] = ()
    alters_batches: bool = False
    subject: str = ""

    def __post_init__(self) -> None:
        if not all(callable(maker) for maker in self.makers):
            raise TypeError(
                f"the makers of an arm are functions (material, seed) -> examples, found "
                f"{self.makers!r}"
            )

    @property
    def needs_gans(self) -> bool:
        return generated in self.makers

    @property
    def needs_augmentation(self) -> bool:
        return self.alters_batches or altered in self.makers

    def training(self, material: Material, seed: int) -> Examples:
        """What it trains on in a run."""
        extra = [examples for make in self.makers for examples in make(material, seed)]
        return joined([material.side("train"), *extra])


def _check(arm: Any) -> None:
    if not isinstance(arm, Arm):
        raise TypeError(f"give an Arm(about, makers, controls), found {arm!r}")


ARMS = Registry(
    "experiments.ARMS",
    {
        "real": Arm("the real training clips alone"),
        "real-oversampled": Arm("real clips repeated", (repeats,), subject="repeated clips"),
        "real+classical": Arm(
            "altered copies of real clips",
            (altered,),
            ("real-oversampled",),
            alters_batches=True,
            subject="altered copies",
        ),
        "real+synthetic": Arm(
            "generated clips",
            (generated,),
            ("real-oversampled", "real+classical"),
            subject="the GAN's clips",
        ),
        "real+classical+synthetic": Arm(
            "altered copies and generated clips",
            (altered, generated),
            ("real+classical",),
            alters_batches=True,
            subject="altered copies and the GAN's clips",
        ),
    },
    _check,
    recipe="experiments.Arm(about, (maker,), controls)",
)


def pairs(arms: Sequence[str]) -> list[tuple[str, str]]:
    """Each difference to be estimated: an arm, and the one that it is held against."""
    baseline, *others = arms
    against_first = [(arm, baseline) for arm in others]
    controls = [(arm, control) for arm in others for control in ARMS[arm].controls]
    return against_first + [pair for pair in controls if pair[1] in others]


def primary_pair(arms: Sequence[str]) -> tuple[str, str] | None:
    """The pair that a comparison is about: an arm against the first one; None of a single arm.

    An arm of generated clips if there is one, one that adds nothing else before others, and last
    the controls of other arms.
    """
    controls = {control for arm in arms for control in ARMS[arm].controls}
    baseline, *others = arms

    def order(arm: str) -> tuple[bool, bool, int]:
        return not ARMS[arm].needs_gans, arm in controls, len(ARMS[arm].makers)

    return (min(others, key=order), baseline) if others else None


def _hash(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
