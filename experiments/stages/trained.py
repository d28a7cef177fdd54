"""What a training run holds, finished or not: its GANs, how they stand, and how they sound."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from experiments.run import Run
from experiments.stages.gans import GAN_LIST, Gan, find_gans, open_gan
from wavegan import TrainConfig
from wavegan.metrics import Standing, standing
from wavegan.previews import preview_steps, read_previews
from wavegan.run_folder import RunFolder

STEPS = 8  # of a GAN's previews that are heard, at most
LATENTS = 4  # of a GAN that makes one class, at most
SAMPLES = 4_000_000  # of all sounds of a run, about: a page of them stays below some 12 MB


@dataclass(frozen=True)
class Heard:
    """Some of a GAN's previews: the same latents at several steps of its training.

    Attributes
    ----------
    audio : (latents, steps, L, C) in [-1, 1].
    latents : what each row is called.
    steps : of each column, ascending.
    real : (n, L, C), training clips to hear beside.
    real_labels : the class of each, of a conditional GAN.
    sample_rate : Hz.
    """

    audio: Float32[np.ndarray, "latents steps l c"]
    latents: Sequence[str]
    steps: Sequence[int]
    real: Float32[np.ndarray, "n l c"]
    real_labels: Sequence[str]
    sample_rate: int


@dataclass(frozen=True)
class Trained:
    """A GAN, as far as it is trained.

    Attributes
    ----------
    gan : where it is, and what it was trained on.
    name : its class or classes, with its seed or folder where that tells it apart.
    source : how the commands name it: its run and class, or its folder, quoted for a shell.
    config : of its networks (``wavegan``) and its training (``train``).
    rows : of its metrics, in order.
    checkpoints : the steps that have one, ascending.
    heard : None where it has no previews.
    """

    gan: Gan
    name: str
    source: str
    config: Mapping[str, Any]
    rows: Sequence[Mapping[str, float]]
    checkpoints: Sequence[int]
    heard: Heard | None = None

    @property
    def step(self) -> int:
        return int(self.rows[-1]["gan/step"]) if self.rows else 0

    @property
    def planned(self) -> int:
        return self.config["train"]["steps"]

    @property
    def rate(self) -> float:
        """Generator steps a second when last logged; 0 where not known."""
        return self.rows[-1].get("gan/steps_per_second", 0.0) if self.rows else 0.0

    @property
    def seconds(self) -> float:
        return self.step / self.rate if self.rate else 0.0

    @property
    def kept_by(self) -> str:
        """The metric that checkpoints are kept by."""
        return self.config["train"].get("keep_best", TrainConfig.keep_best)

    @cached_property
    def standing(self) -> Standing:
        """How far the GAN has come by its rows; what these said of it at the time counts not."""
        patience = self.config["train"].get("patience", TrainConfig.patience)
        return standing(self.rows, metric=self.kept_by, patience=patience)

    @property
    def best(self) -> int | None:
        """The step that is best by `kept_by`."""
        return int(self.standing.best["gan/step"]) if self.standing.best else None

    @property
    def finished(self) -> bool:
        """Whether training has ended; `Standing.doubt` says whether for nothing."""
        stopped = self.config["train"].get("stop_when_done") and self.standing.trained
        return self.step >= self.planned or bool(stopped)

    @property
    def choice(self) -> int | None:
        """The checkpoint to take: the best one, or the newest; None where there is none."""
        if not self.checkpoints:
            return None
        return self.best if self.best in self.checkpoints else self.checkpoints[-1]

    @property
    def as_good(self) -> int | None:
        """The last measured step, where it is as good as the best one within the errors."""
        metric, best = self.kept_by, self.standing.best
        last = next((row for row in reversed(self.rows) if metric in row), None)
        if last is None or best is None or last is best:
            return None
        errors = math.hypot(*(row.get(f"{metric}_error", 0.0) for row in (best, last)))
        return int(last["gan/step"]) if abs(last[metric] - best[metric]) <= errors else None


@dataclass(frozen=True)
class Training:
    """What a training run's page is made of.

    Attributes
    ----------
    name : of its folder.
    gans : at least one.
    data, environment : how it was made, as far as the run says.
    """

    name: str
    gans: Sequence[Trained]
    data: Mapping[str, Any]
    environment: Mapping[str, Any]


def read_training(folder: Path) -> Training:
    """A `wavegan train` run, finished or not, or one GAN's own folder.

    Raises
    ------
    ValueError
        Where there is no GAN, saying what was found.
    """
    gans = _find(folder)
    trained = [
        _read(gan, name, _source(folder, gan, gans), SAMPLES // len(gans))
        for gan, name in zip(gans, _names(gans), strict=True)
    ]
    config, environment = (
        Run(folder).read_json(name) if (folder / name).exists() else {}
        for name in ("config.json", "environment.json")
    )
    return Training(folder.name, trained, config.get("data", {}), environment)


def _read(gan: Gan, name: str, source: str, samples: int) -> Trained:
    folder = RunFolder(gan.folder)
    rows = [row for row in folder.read_metrics() if "gan/step" in row]
    trained = Trained(gan, name, source, folder.read_config(), rows, folder.steps())
    return replace(trained, heard=_heard(gan, trained.best, samples))


def _heard(gan: Gan, best: int | None, samples: int) -> Heard | None:
    """As many previews as have about ``samples`` in all."""
    folder = gan.folder / "previews"
    steps = preview_steps(folder)
    if not steps:
        return None
    clips, classes, sample_rate = read_previews(folder, steps[-1])
    shown = max(2, samples // clips[0].size)
    steps = _chosen(steps, min(STEPS, shown), best)
    most = len(set(classes)) if classes else LATENTS
    rows = min(len(clips), max(1, shown // len(steps)), most)
    audio = np.stack([read_previews(folder, step)[0][:rows] for step in steps], axis=1)
    real = np.zeros((0, *clips.shape[1:]), np.float32)
    if (folder / "real.flac").exists():
        real = read_previews(folder, None)[0][: max(rows, len(steps))]
    names = [gan.labels[i] for i in classes] if classes else []
    titles = [f"Latent {i + 1}" + (f": {names[i]}" if names else "") for i in range(rows)]
    return Heard(audio, titles, steps, real, names[: len(real)], sample_rate)


def _chosen(steps: Sequence[int], count: int, best: int | None) -> list[int]:
    """At most ``count`` steps, denser at the start, with the first, the last and the best one."""
    if len(steps) > count:
        places = np.rint((len(steps) - 1) * np.linspace(0, 1, count) ** 1.5).astype(int)
        chosen = [steps[i] for i in np.unique(np.maximum(places, np.arange(count)))]
    else:
        chosen = list(steps)
    if best in steps and best not in chosen:
        inner = chosen[1:-1] or chosen[:1]
        nearest = min(inner, key=lambda step: abs(step - best))
        chosen[chosen.index(nearest)] = best
    return sorted(chosen)


def _find(run: Path) -> list[Gan]:
    """The GANs of a run; of one that is not finished, those that have begun."""
    try:
        return find_gans(run)
    except ValueError:
        folders = [run, *sorted((run / "stages").glob("gan-*"))]
        configs = {f: RunFolder(f).read_config() for f in folders if (f / "config.json").exists()}
        begun = [f for f, config in configs.items() if {"wavegan", "train"} <= config.keys()]
        if not begun:
            raise
    return [open_gan(folder) for folder in begun]


def _names(gans: Sequence[Gan]) -> list[str]:
    """What each GAN is called: its class, with its seed or folder to tell it apart."""
    several = len({gan.seed for gan in gans}) > 1
    names = [
        ("all classes" if gan.conditional else gan.label) + f", seed {gan.seed}" * several
        for gan in gans
    ]
    return [
        name if names.count(name) == 1 else f"{name} ({gan.folder.name})"
        for name, gan in zip(names, gans, strict=True)
    ]


def _source(run: Path, gan: Gan, gans: Sequence[Gan]) -> str:
    """What names a GAN to the commands: its run and class where they know them, else its folder."""
    alone = sum(other.label == gan.label for other in gans) == 1
    if run == gan.folder or not (alone and (run / GAN_LIST).exists()):
        return shlex.quote(str(gan.folder))
    genre = f" --genre {shlex.quote(gan.label)}" if len(gans) > 1 else ""
    return shlex.quote(str(run)) + genre
