"""Which GANs a run has to train, one a class or one for all, and the stage that holds each."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from experiments.config import as_dict
from experiments.recipes import Recipe
from experiments.run import Run, Stage
from experiments.stages.ancestors import Ancestor, Ancestry
from experiments.stages.gans import Gan, gan_config, gan_seed, open_gan
from features import Recording, code_of
from features.checksums import SEAL, key_of
from wavegan import WaveGANConfig
from wavegan.estimates import LEAST
from wavegan.run_folder import RunFolder
from wavegan.start import lineage
from wavegan.train_config import CADENCE, TrainConfig

LEAST_CLIPS = 2  # of audio of each class


@dataclass(frozen=True)
class GanTraining:
    """The GANs to train: for each seed a class each, or all classes one.

    Attributes
    ----------
    recordings : of the training tracks alone.
    labels : the classes, in order.
    recipe : clip, GAN and its training.
    seeds : of the GANs of each class.
    judged_by : of the validation tracks, by which the best checkpoint is chosen. For a class that
        has too few, its training tracks are taken, and it is said so.
    ancestry : what they start from, where not from scratch.
    quality : clips of a checkpoint that is judged, where only the chosen one is used later.
    """

    recordings: Sequence[Recording]
    labels: Sequence[str]
    recipe: Recipe
    seeds: Sequence[int] = (0,)
    judged_by: Sequence[Recording] = ()
    ancestry: Ancestry | None = None
    quality: int = 0


@dataclass(frozen=True)
class GanStage:
    """One GAN to train, and the stage that holds it."""

    recordings: Sequence[Recording]
    judged_by: Sequence[Recording]
    labels: Sequence[str]
    classes: Sequence[str]
    config: WaveGANConfig
    settings: TrainConfig
    provenance: Mapping[str, Any]
    stage: Stage
    ancestor: Ancestor | None = None

    @property
    def name(self) -> str:
        return self.labels[0] if len(self.labels) == 1 else "all classes"

    @property
    def targets(self) -> list[int] | None:
        """The class of each recording, for a conditional GAN."""
        if len(self.labels) == 1:
            return None
        return [self.labels.index(r.track.label) for r in self.recordings]

    @property
    def as_ancestor(self) -> Ancestor:
        """What those start from that are trained in the next turn."""
        folder, labels = self.stage.folder, self.labels if len(self.labels) > 1 else ()
        key = key_of(self.stage.content["inputs"])  # its weights need not be there yet
        return Ancestor(folder, tuple(labels), lineage(folder.name, key, self.provenance))


def open_gans(run: Run, training: GanTraining) -> list[Gan]:
    """The GANs of a training, as the run has them."""
    stages = turns_of(run, training)[-1][1]
    return [opened(gan, "" if gan.stage.finished else "it is not finished") for gan in stages]


def opened(gan: GanStage, failed: str) -> Gan:
    """A GAN after its training, which may have ``failed``."""
    return Gan(gan.stage.part, gan.provenance, failed) if failed else open_gan(gan.stage.folder)


def unfinished(run: Run, trainings: Sequence[GanTraining]) -> list[tuple[Recipe, int]]:
    """How many GANs `train_gans` would train, by the recipe of each turn of each training.

    One that several trainings have is counted with the first.

    Raises
    ------
    ValueError
        Where a class has too little audio, or what the ancestry raises.
    """
    found, seen = list[tuple[Recipe, int]](), set[Path]()
    for turn, gans in (turn for training in trainings for turn in turns_of(run, training)):
        left = {gan.stage.folder for gan in gans if not gan.stage.finished} - seen
        found.append((turn, len(left)))
        seen |= left
    return found


def turns_of(run: Run, training: GanTraining) -> list[tuple[Recipe, list[GanStage]]]:
    """The GANs of all seeds, and before them those for all classes that they start from."""
    _refuse_little(training)
    recipe = training.recipe
    if recipe.shared is None:
        return [(recipe, _gan_stages(run, training))]
    shared = _gan_stages(run, replace(training, recipe=recipe.shared))
    by_seed = dict(zip(training.seeds, shared, strict=True))

    def from_shared(labels: Sequence[str], seed: int) -> Ancestor:
        return by_seed[seed].as_ancestor

    gans = _gan_stages(run, replace(training, ancestry=from_shared))
    done = all(gan.stage.finished for gan in gans)
    return [(recipe, gans)] if done else [(recipe.shared, shared), (recipe, gans)]


def _refuse_little(training: GanTraining) -> None:
    """Raise ValueError, naming them, where classes have less audio than `LEAST_CLIPS`."""
    recipe, total = training.recipe, dict.fromkeys(training.labels, 0)
    needed = LEAST_CLIPS * recipe.num_samples
    for recording in training.recordings:
        total[recording.track.label] += recording.num_samples
    if little := {name: count for name, count in total.items() if count < needed}:
        rate = recipe.sample_rate
        said = ", ".join(f"{name} ({count / rate:.2f} s)" for name, count in little.items())
        raise ValueError(
            f"the training side has too little audio of {said} for a GAN: at least {LEAST_CLIPS} "
            f"clips of {recipe.clip_seconds:.2f} s are needed, {needed / rate:.2f} s; give longer "
            "or more tracks, a larger first value of --fractions, or a smaller --num-samples"
        )


def _gan_stages(run: Run, training: GanTraining) -> list[GanStage]:
    """The GANs of all seeds: one of each class, or one of all."""
    recipe, classes, found = training.recipe, training.labels, []
    each = [classes] if recipe.conditional else zip(classes)
    for seed, labels in product(training.seeds, each):
        heard, judges = (
            [r for r in side if r.track.label in labels]
            for side in (training.recordings, training.judged_by)
        )
        judges = judges if _enough(judges, recipe.num_samples) else []
        settings = replace(recipe.gan_train, seed=gan_seed(seed, classes.index(labels[0])))
        config = gan_config(recipe, len(labels))
        provenance: dict[str, Any] = {
            **({"label": labels[0]} if len(labels) == 1 else {"labels": list(labels)}),
            "seed": seed,
            "sample_rate": recipe.sample_rate,
            "tracks": {r.track.track_id: r.digest for r in heard},
            **({"judged_by": {r.track.track_id: r.digest for r in judges}} if judges else {}),
            "sounds": {r.track.track_id: str(r.identity) for r in (*heard, *judges)},
            "code": code_of("wavegan", whole=False),
        }
        if training.quality:
            every = recipe.gan_train.inspect_every
            provenance["chosen_by"] = {"quality": training.quality, "inspect_every": every}
        ancestor = training.ancestry(labels, seed) if training.ancestry else None
        if ancestor:
            provenance["ancestors"] = list(ancestor.lineage)
        # How often it is logged and saved has no part in what a GAN is.
        fixed = _without(as_dict(settings), {*CADENCE} - {"steps"})
        parts = {"wavegan": as_dict(config), "train": fixed, "provenance": provenance}
        name = f"gan-{provenance.get('label', 'all')}-{seed}"
        stage = Stage(run, name, parts, by=provenance["code"])
        found.append(
            GanStage(heard, judges, labels, classes, config, settings, provenance, stage, ancestor)
        )
    return found


def _enough(recordings: Sequence[Recording], num_samples: int) -> bool:
    """Whether they have windows enough to compare a GAN's clips with."""
    return sum(max(1, r.num_samples - num_samples + 1) for r in recordings) >= 2 * LEAST


def take_up(run: Run, gans: Sequence[GanStage]) -> None:
    """Go on from GANs that the run has trained for fewer steps: they are trained on, not anew."""
    for gan in gans:
        shorter = {} if RunFolder(gan.stage.part).steps() else _shorter(run, gan)
        if shorter:
            shutil.rmtree(gan.stage.part, ignore_errors=True)
            shorter[max(shorter)].rename(gan.stage.part)
            (gan.stage.part / SEAL).unlink(missing_ok=True)


def _shorter(run: Run, gan: GanStage) -> dict[int, Path]:
    """Folders of the run that hold the same GAN, by the steps, fewer, that it was to do."""

    def identity(config: Mapping[str, Any]) -> list[Any]:
        train = _without(config.get("train", {}), CADENCE)
        return [config.get("wavegan"), config.get("provenance"), train]

    found: dict[int, Path] = {}
    wanted = identity(gan.stage.content["inputs"])
    for file in (run.path / "stages").glob("gan-*/config.json"):
        stored = RunFolder(file.parent).read_config()
        if identity(stored) == wanted and stored["train"]["steps"] < gan.settings.steps:
            found[stored["train"]["steps"]] = file.parent
    return found


def _without(settings: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name not in names}
