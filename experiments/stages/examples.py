"""What a classifier trains on: real clips, altered and generated ones, and what stands in for them.

A maker is a function ``(material, seed) -> examples``; `Material` holds all that one can be made
from.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from experiments.recipes import Recipe
from experiments.report.terminal import Progress
from experiments.run import Run
from experiments.stages.data import HELD
from experiments.stages.data import Rows as SideRows
from experiments.stages.folders import FolderClips
from experiments.stages.gans import Gan, gan_of, gan_seed, sample_gan
from features import Clips, Recording, Rows, extract, fingerprint
from features.audio import to_pcm
from features.augmentation import WaveformAugmentation
from features.extractors import Augmented
from wavegan import TrainingDiverged

_LOUDNESS = 256  # training clips that white noise is as loud as


@dataclass(frozen=True)
class Examples:
    """What a classifier trains or is tested on.

    Attributes
    ----------
    given : their features (N, ...), or what makes them when they are asked for: a training that
        is done needs none.
    labels : (N,).
    key : tells these examples from others.
    """

    given: np.ndarray | Rows | Callable[[], np.ndarray | Rows]
    labels: np.ndarray
    key: str

    @cached_property
    def features(self) -> np.ndarray | Rows:
        return self.given() if callable(self.given) else self.given


@dataclass(frozen=True)
class Material:
    """What the arms of one split are made from.

    Attributes
    ----------
    clips : of all sides, and of them the ``rows`` of each side; those of ``held`` are real clips
        that may train, but are held back from all arms but the oracle.
    features : of ``clips``, those of the recipe.
    gans : those that make clips of the classes; none where no arm asks for them.
    folders : clips of other generators, by the names of their arms.
    heard : recordings of the training tracks.
    judge : folder of a classifier of these alone (`keep_judge`), where an arm asks for one.
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
    folders: Mapping[str, FolderClips] = field(default_factory=dict)
    heard: Sequence[Recording] = ()
    judge: Path | None = None
    ratio: float = 1.0
    waveform: WaveformAugmentation | None = None
    copy_seed: Callable[[int, int], int] = gan_seed

    def lost(self, seed: int) -> str:
        """Why there are no generated clips for a run: its GAN failed; empty where there are."""
        try:
            for label in self.counts:
                gan_of(self.gans, self.clips.label_names[label], seed)
        except TrainingDiverged as error:
            return str(error)
        return ""

    def side(self, name: str) -> Examples:
        """The real examples of a side."""
        rows, clips = self.rows[name], self.clips
        text = "".join(f"{clips.digests[i]}:{clips.starts[i]}:{clips.labels[i]};" for i in rows)
        key = f"{_hash(text)} {clips.sample_rate} {clips.num_samples} {self.recipe.silence}"
        key += f" {fingerprint(self.recipe.input)}"
        return Examples(Rows([self.features], rows), clips.labels[rows], key)

    @property
    def train(self) -> Clips:
        """The real training clips; not kept, since there is a material for each of many cells."""
        return self.clips.select(self.rows["train"])

    @cached_property
    def counts(self) -> dict[int, int]:
        """Further clips for each label: ``ratio`` times its real training clips."""
        labels = self.train.labels
        return {
            int(label): max(1, round(self.ratio * int((labels == label).sum())))
            for label in np.unique(labels)
        }

    @cached_property
    def loudness(self) -> float:
        """Root mean square of the real training clips, of `_LOUDNESS` of them."""
        some = self.train.audio[np.linspace(0, len(self.train) - 1, _LOUDNESS).astype(int)]
        return float(np.sqrt(np.mean(some.astype(np.float64) ** 2)))

    def extract(self, clips: Clips | np.ndarray, make: Any, task: str) -> Rows:
        """Features of clips."""
        rate, shown = self.clips.sample_rate, self.progress.of(task, "clip")
        return extract(clips, make, sample_rate=rate, on_progress=shown)


# --- makers --------------------------------------------------------------------------------------

Maker = Callable[[Material, int], Sequence[Examples]]
Sample = Callable[[Gan, str, int], tuple[np.ndarray, str]]  # of a class so many clips; their key


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
        copies, task = train.select(rows), f"altered copies of run {seed + 1}"
        features = partial(material.extract, copies, make, task)
        key = f"altered {_hash(str(rows.tolist()))} {fingerprint(make)}"
        found.append(Examples(features, train.labels[rows], key))
    return found


def oracle(material: Material, seed: int) -> list[Examples]:
    """Further real clips, of tracks that are held back: the most that generated ones could bring.

    Drawn anew for each run; where a class has fewer than it needs, all of them.
    """
    real, held = material.clips.labels, np.random.default_rng(seed).permutation(material.rows[HELD])
    found = [held[real[held] == label][:count] for label, count in material.counts.items()]
    rows, wanted = np.concatenate(found), sum(material.counts.values())
    if len(rows) < wanted:
        material.progress.say_once(
            f"oracle: {len(rows)} further real clips, and {wanted} are asked for"
        )
    key = f"oracle {_hash(str(rows.tolist()))} {material.side(HELD).key}"
    return [Examples(Rows([material.features], rows), real[rows], key)]


def noise(material: Material, seed: int) -> list[Examples]:
    """White noise as loud as the real training clips, with their labels."""
    loudness, make, found = material.loudness, material.recipe.input, []
    for label, count in material.counts.items():
        features = partial(_noise, material, loudness, count, [seed, label])
        key = f"noise {seed} {label} {count} {loudness} {fingerprint(make)}"
        found.append(Examples(features, np.full(count, label, np.int32), key))
    return found


def _noise(material: Material, loudness: float, count: int, seed: Sequence[int]) -> Rows:
    """Features of so many clips of white noise."""
    shape = count, material.clips.num_samples, material.clips.channels
    audio = np.random.default_rng(seed).normal(0, loudness, shape)
    pcm = to_pcm(np.clip(audio, -1, 1)).astype(np.int16)
    return material.extract(pcm, material.recipe.input, "noise")


def generated(material: Material, seed: int) -> list[Examples]:
    """Generated clips of each class, of the GANs of the run."""

    def sample(gan: Gan, name: str, count: int) -> tuple[np.ndarray, str]:
        return sample_gan(
            material.run, gan, count, name
        ), f"generated {gan.key} {gan.choice} {name} {count}"

    return of_gans(material, seed, sample)


def of_gans(material: Material, seed: int, sample: Sample) -> list[Examples]:
    """What ``sample`` makes of each class, of the GANs of the run."""
    make, found = material.recipe.input, []
    for label, count in material.counts.items():
        name = material.clips.label_names[label]
        audio, key = sample(gan_of(material.gans, name, seed), name, count)
        features = partial(material.extract, audio, make, f"features of generated {name}")
        key = f"{key} {fingerprint(make)}"
        found.append(Examples(features, np.full(count, label, np.int32), key))
    return found


def shuffled(material: Material, seed: int) -> list[Examples]:
    """Generated clips with their labels dealt out anew."""
    clips = joined(generated(material, seed))
    labels = np.random.default_rng(seed).permutation(clips.labels)
    return [Examples(lambda: clips.features, labels, f"shuffled {seed} {clips.key}")]


def of_folder(name: str) -> Maker:
    """The maker of clips of another generator: the first of each class, as many as are needed."""

    def make(material: Material, seed: int) -> list[Examples]:
        folder, found = material.folders[name], []
        for label, count in material.counts.items():
            audio = folder.audio(material.clips.label_names[label], count)
            kind, task = material.recipe.input, f"features of {name}"
            features = partial(material.extract, audio, kind, task)
            sound = hashlib.blake2b(audio.tobytes(), digest_size=16).hexdigest()
            key = f"{name} {sound} {fingerprint(kind)}"
            found.append(Examples(features, np.full(count, label, np.int32), key))
        return found

    return make


def joined(parts: Sequence[Examples]) -> Examples:
    """Several examples as one, in their order."""
    return Examples(
        lambda: Rows([part.features for part in parts]),
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


def _hash(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
