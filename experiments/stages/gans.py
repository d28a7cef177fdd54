"""GANs that are trained: found, sampled, and held against the split."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from experiments.config import DataConfig
from experiments.recipes import Recipe
from experiments.run import Run
from experiments.stages.data import Dataset
from features import LeakError, Recording
from features.audio import to_pcm
from features.identity import Identity, twins
from features.limits import wrong_rate
from features.soundness import file_digest
from features.splits import SPLITS
from features.storage import Unfit, plain_name, understanding, write_json
from wavegan import Generator, TrainingDiverged, WaveGANConfig, load
from wavegan.export import located, models, read_exported
from wavegan.run_folder import RunFolder
from wavegan.sample_files import writing_rows
from wavegan.sampling import generate_batches
from wavegan.trained_run import read_run

GAN_LIST = "gans.json"  # in a run folder: the stages of its GANs
ITSELF = "itself"  # among those of which nobody knows what they were trained on


@dataclass(frozen=True)
class Gan:
    """A trained GAN of a run.

    Attributes
    ----------
    folder : the run folder, or exported file, that `wavegan.load` reads.
    provenance : its label (the labels of a conditional GAN), seed, sample rate, the hash of each
        training track (``tracks``) and of each that its checkpoints were ``judged_by``, the
        identity of all of them (``sounds``), and the same of its ``ancestors``, which it started
        from.
    failed : why its training did not come to its end; empty where it did.
    """

    folder: Path
    provenance: Mapping[str, Any]
    failed: str = ""

    @property
    def label(self) -> str:
        return ", ".join(self.labels)

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes of its clips: one, or those of a conditional GAN in order."""
        return tuple(self.provenance.get("labels") or [self.provenance["label"]])

    @property
    def conditional(self) -> bool:
        return "labels" in self.provenance

    @property
    def seed(self) -> int:
        return self.provenance["seed"]

    @property
    def heard(self) -> dict[str, str]:
        """The tracks that it or an ancestor was trained on: the name of each, by its hash."""
        return {digest: name for name, digest, _ in self.told("tracks")}

    def told(self, part: str) -> list[tuple[str, str, Identity | None]]:
        """Name, hash and identity, if it is known, of the tracks of a part of the provenance."""
        of = [*self.provenance.get("ancestors", ()), self.provenance]
        sounds = [{n: Identity.parse(t) for n, t in one.get("sounds", {}).items()} for one in of]
        return [
            (name, digest, sound.get(name))
            for one, sound in zip(of, sounds, strict=True)
            for name, digest in one.get(part, {}).items()
        ]

    @property
    def unknown(self) -> list[str]:
        """Of itself and its ancestors those of which nobody knows what they were trained on."""
        named = [*self.provenance.get("ancestors", ()), {**self.provenance, "name": ITSELF}]
        return [one["name"] for one in named if not one.get("tracks")]

    @cached_property
    def key(self) -> str:
        """What tells its clips from those of other GANs: the file's content, or what it heard."""
        if self.folder.is_file():
            return file_digest(self.folder)
        text = json.dumps([self.folder.name, dict(self.provenance)], sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    @cached_property
    def choice(self) -> int | None:
        """The checkpoint whose clips are used: the best, else the newest; None of a file."""
        return None if self.folder.is_file() else read_run(self.folder).choice

    @property
    def seconds(self) -> float:
        """About how long its training took, that of others beside it; 0 where not known."""
        return 0.0 if self.folder.is_file() else read_run(self.folder).seconds

    def draws(self, label: str) -> tuple[int | None, int]:
        """Which of its classes ``label`` is, if it has any, and the seed of that one's latents."""
        if not self.conditional:
            return None, self.seed
        # Each class has latents of its own, as those of separate GANs sound otherwise.
        index = self.labels.index(label)
        return index, gan_seed(self.seed, index)

    def curves(self) -> list[dict[str, float]]:
        """The logged metrics, oldest first."""
        return RunFolder(self.folder).read_metrics()

    def generator(self, step: int | str | None = None) -> tuple[Generator, int | None]:
        """The averaged generator of a checkpoint (the newest, ``step`` or "best"), and its step."""
        if self.folder.is_file():
            return load(self.folder, step=step), self.provenance.get("step")
        step = RunFolder(self.folder).whole_step(step)
        return load(self.folder, step=step), step

    def about(self, step: int | None, sample_rate: int | None = None) -> dict[str, Any]:
        """What the manifest of its clips says of it; ``sample_rate`` where it does not know its."""
        known = self.provenance.get("sample_rate") or sample_rate
        if known is None:
            raise ValueError(
                f"{self.folder} does not say at which sample rate its GAN was trained: give "
                "--sample-rate"
            )
        return {
            "run": self.folder.name,
            "step": step,
            "ema": True,
            "sample_rate": known,
            "provenance": dict(self.provenance),
        }


def find_gans(path: Path) -> list[Gan]:
    """The GANs that a run last trained, or the one whose folder, exported file or name it is.

    Raises
    ------
    ValueError
        Where there is none, saying what was found.
    """
    path = located(path)
    if path.is_file():
        generator, metadata = read_exported(path)
        with understanding(path, "export it again"):
            known = provenance_of(path, metadata, generator.config.num_classes, path.stem)
            return [Gan(path, known)]
    if not path.is_dir():
        raise ValueError(
            f"RUN {path}: no such folder, and of the package's own models there is "
            f"{', '.join(models())}"
        )
    file = path / GAN_LIST
    if names := Run(path).read_json(GAN_LIST, list) if file.exists() else []:
        with understanding(file, "restore it from a copy"):
            return [open_gan(path / "stages" / plain_name(name, file)) for name in names]
    if (path / "checkpoints").is_dir():
        return [open_gan(path)]
    begun = sorted((path / "stages").glob("gan-*.part"))
    free = path if begun or not (path / "config.json").exists() else "NEW"  # no other run's folder
    raise ValueError(
        f"RUN {path} holds no finished GAN: make one with `wavegan train --out {free}`"
        + (f", or name one that is not finished: {', '.join(map(str, begun))}" if begun else "")
    )


def open_gan(folder: Path) -> Gan:
    """The GAN in ``folder``, finished or not, with what it says that it was trained on."""
    RunFolder(folder).refuse_edits()
    config = RunFolder(folder).read_config()
    file = folder / "config.json"
    with understanding(file, "restore it from a copy"):
        num_classes = config.get("wavegan", {}).get("num_classes", 0)
        said = config.get("provenance", {})
        return Gan(folder, provenance_of(file, said, num_classes, "clip"))


def provenance_of(
    file: Path, said: Mapping[str, Any], num_classes: int, name: str
) -> dict[str, Any]:
    """What a ``file`` said of a GAN, with what is missing in it; its names become folders'."""
    classes = {"labels": [str(i) for i in range(num_classes)]} if num_classes else {"label": name}
    found = {"seed": 0, "tracks": {}, **classes, **said}
    labels, seed = found.get("labels") or [found.get("label")], found["seed"]
    names = [plain_name(one, file) for one in (labels if isinstance(labels, list) else [labels])]
    if type(seed) is not int or not len(labels) == len(set(names)) == (num_classes or 1):
        raise ValueError(
            f"{file}: a GAN of {num_classes or 1} classes has a label for each and a whole number "
            f"as its seed, found {labels!r:.200} and {seed!r:.50}: train or export it again"
        )
    ancestors = found.get("ancestors", [])
    if not isinstance(ancestors, list) or not all(type(one["name"]) is str for one in ancestors):
        raise TypeError("ancestors are what each one's provenance was, with its name")
    parts = ("tracks", "judged_by", "sounds")
    named = [one.get(part, {}) for one in (found, *ancestors) for part in parts]
    if not all(
        isinstance(text, str) for tracks in named for pair in tracks.items() for text in pair
    ):
        raise TypeError("tracks are names and hashes")
    for one in (found, *ancestors):
        sounds = one.get("sounds", {})
        for text in sounds.values():
            Identity.parse(text)
        if strange := sounds.keys() - {*one.get("tracks", {}), *one.get("judged_by", {})}:
            raise Unfit(
                f"it has the sound of {min(strange)!r:.80}, which is among neither tracks nor "
                "judged_by: name it there"
            )
    if (rate := found.get("sample_rate")) is not None:
        wrong = wrong_rate(rate) or ("is no whole number" if type(rate) is not int else None)
        if wrong:
            raise TypeError(f"sample_rate {wrong}")
    return found


def sample_gan(run: Run, gan: Gan, count: int, label: str | None = None) -> np.ndarray:
    """``count`` clips (count, L, C) of a GAN, int16 as real clips are, kept as a stage.

    The reading is memory-mapped, and so much memory does the making take that a batch needs.

    Parameters
    ----------
    label : which class of a conditional GAN.
    """
    name = label or gan.label
    index, seed = gan.draws(name)

    def build(folder: Path) -> None:
        generator, _ = gan.generator(gan.choice)
        write_clips(folder, gan, generator, count, seed=seed, label=index)

    inputs = {"gan": gan.key, "step": gan.choice, "count": count, "seed": seed}
    inputs |= {"label": name} if gan.conditional else {}
    folder = run.stage(f"samples-{name}-{gan.seed}", inputs, build)
    return np.load(folder / "audio.npy", mmap_mode="r")


def write_clips(
    folder: Path,
    gan: Gan,
    generator: Generator,
    count: int,
    about: Mapping[str, Any] | None = None,
    **options: Any,
) -> None:
    """Write ``count`` clips of a GAN's generator, int16, their latents and a manifest to a stage.

    Parameters
    ----------
    about : what the manifest says beside the provenance.
    options : of `wavegan.generate`.
    """
    config = generator.config
    shape = (count, config.num_samples, config.channels)
    with (
        writing_rows(folder / "audio.npy", shape, "<i2") as audio,
        writing_rows(folder / "latents.npy", (count, config.latent_dim), "<f4") as latents,
    ):
        for batch in generate_batches(generator, count, **options):
            audio.write(to_pcm(batch.audio).astype("<i2").tobytes())
            latents.write(batch.latents.astype("<f4").tobytes())
    write_json(folder / "manifest.json", {"provenance": dict(gan.provenance), **(about or {})})


def gan_of(gans: Sequence[Gan], label: str, seed: int) -> Gan:
    """The GAN whose clips of a class go into run ``seed``: one after the other where several.

    Raises
    ------
    ValueError
        Where none makes such clips, with the classes that there are.
    TrainingDiverged
        Where its training failed.
    """
    fitting = [gan for gan in gans if label in gan.labels]
    if not fitting:
        known = ", ".join(name for gan in gans for name in gan.labels)
        raise ValueError(f"no GAN of {label!r}, only of {known}")
    gan = fitting[seed % len(fitting)]
    if gan.failed:
        raise TrainingDiverged(gan.failed)
    return gan


@dataclass(frozen=True)
class Tracks:
    """Tracks that nothing else may have heard.

    Attributes
    ----------
    names : of each, by the hash of its file.
    identities : of each, by its name.
    """

    names: Mapping[str, str] = field(default_factory=dict)
    identities: Mapping[str, Identity] = field(default_factory=dict)

    @classmethod
    def of(cls, recordings: Iterable[Recording]) -> Tracks:
        """Those of some recordings."""
        known = list(recordings)
        names = {r.digest: r.track.track_id for r in known}
        return cls(names, {r.track.track_id: r.identity for r in known})

    def __or__(self, other: Tracks) -> Tracks:
        return Tracks({**self.names, **other.names}, {**self.identities, **other.identities})

    def among(self, told: Iterable[tuple[str, str, Identity | None]]) -> list[str]:
        """Which of them are told of: by their hash, by how they sound, else by their name.

        Of a track that is told of with its sound the name says nothing: others may have it, too.
        """
        told = list(told)
        sounds = {("told", i): sound for i, (*_, sound) in enumerate(told) if sound is not None}
        mine = {("mine", name): sound for name, sound in self.identities.items()}
        pairs = twins({**sounds, **mine}) if sounds and mine else []
        found = {str(place) for pair in pairs if pair[0][0] != pair[1][0]
                 for of, place in pair if of == "mine"}  # fmt: skip
        found |= {self.names[digest] for _, digest, _ in told if digest in self.names}
        found |= {name for name, _, sound in told if sound is None} & {*self.names.values()}
        return sorted(found)


def held_out(dataset: Dataset, data: DataConfig) -> tuple[Tracks, Tracks]:
    """The tracks that validate, and those that test; of a split of chunks none is held out."""
    if SPLITS[data.split].leaks:
        return Tracks(), Tracks()
    split = dataset.split(data)
    return Tracks.of(dataset.of(split.valid)), Tracks.of(dataset.of(split.test))


def refuse_leaks(
    gan: Gan, *, valid: Tracks, test: Tracks, vouch: str = "", vouched: bool = False
) -> None:
    """Make sure that a GAN and its ancestors heard no tracks of the sides.

    Its checkpoint may have been chosen by validation tracks, but by no test tracks.

    Parameters
    ----------
    vouch : the option by which a person says that it heard none of them, for the error.
    vouched : whether one does; what the GAN is known to have heard is left to check.

    Raises
    ------
    LeakError
        Naming the tracks, or that nobody knows what it or an ancestor heard.
    """
    advice = "nobody can vouch for it" if vouched else "train it on this split's training tracks"
    refuse_heard(gan, valid=valid, test=test, advice=advice)
    if not vouched and gan.unknown and (valid.names or test.names):
        ancestors = [name for name in gan.unknown if name != ITSELF]
        started = f" started from {', '.join(ancestors)}, and" if ancestors else ":"
        raise LeakError(
            f"the GAN of {gan.label} in {gan.folder}{started} nothing says whether "
            f"{'that' if ancestors else 'it'} was trained on tracks of the validation or test "
            "side: train it from scratch, or from a run or export that says what it heard"
            + (f"; if you know that it heard none of them, {vouch} says so" if vouch else "")
        )


def refuse_heard(gan: Gan, *, valid: Tracks, test: Tracks, advice: str) -> None:
    """As `refuse_leaks`, but for what nobody knows of; ``advice`` is what to do."""
    if seen := (valid | test).among(gan.told("tracks")):
        raise LeakError(
            f"the GAN of {gan.label} in {gan.folder} was trained on tracks of the validation or "
            f"test side: {', '.join(seen)}; {advice}"
        )
    if chosen := test.among(gan.told("judged_by")):
        raise LeakError(
            f"the checkpoint of the GAN of {gan.label} in {gan.folder} was chosen by tracks of the "
            f"test side: {', '.join(chosen)}; {advice}"
        )


def gan_config(recipe: Recipe, classes: int) -> WaveGANConfig:
    """The networks of a recipe's GAN that makes clips of so many classes."""
    return replace(recipe.clip_gan, num_classes=classes if classes > 1 else 0)


def gan_seed(seed: int, label: int) -> int:
    """Another seed for each class, so that no two GANs start from the same weights."""
    return 1000 * seed + label
