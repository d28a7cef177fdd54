"""GANs in training or after it, as their run folders tell."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from experiments.stages.gans import GAN_LIST, Gan, find_gans
from wavegan import TrainConfig
from wavegan.metrics import Standing, standing
from wavegan.run_folder import RunFolder


@dataclass(frozen=True)
class Trained:
    """A GAN, as far as it is trained."""

    gan: Gan
    config: Mapping[str, Any]  # of its run folder
    rows: Sequence[Mapping[str, float]]
    checkpoints: Sequence[int]

    @staticmethod
    def read(gan: Gan) -> Trained:
        folder = RunFolder(gan.folder)
        rows = [row for row in folder.read_metrics() if "gan/step" in row]
        return Trained(gan, folder.read_config(), rows, folder.steps())

    @property
    def tracks(self) -> int:
        return len(self.gan.provenance["tracks"])

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

    @cached_property
    def standing(self) -> Standing:
        """How far the GAN has come by its rows; what these said of it at the time counts not."""
        patience = self.config["train"].get("patience", TrainConfig.patience)
        return standing(self.rows, metric=self.kept_by, patience=patience)

    @property
    def best(self) -> Mapping[str, float] | None:
        """The row that is best by the metric that checkpoints are kept by."""
        return self.standing.best

    @property
    def kept_by(self) -> str:
        return self.config["train"].get("keep_best", TrainConfig.keep_best)

    @property
    def finished(self) -> bool:
        """Whether training has ended; `doubt` says whether for nothing."""
        stopped = self.config["train"].get("stop_when_done") and self.standing.trained
        return self.step >= self.planned or bool(stopped)

    @property
    def enough(self) -> int | None:
        """The step since which more training has not helped; None while it may."""
        return self.standing.enough_since

    @property
    def doubt(self) -> str:
        """Why the GAN is no good whatever its training, in a sentence; mostly empty."""
        return self.standing.doubt


def find_trained(run: Path) -> list[Trained]:
    """The GANs of a run; of one that is not finished, those that have begun.

    Raises
    ------
    ValueError
        Where there is none, saying what was found.
    """
    try:
        return [Trained.read(gan) for gan in find_gans(run)]
    except ValueError:
        folders = [run, *sorted((run / "stages").glob("gan-*"))]
        begun = [f for f in folders if (f / "config.json").exists() and _is_gan(f)]
        if not begun:
            raise
    return [Trained.read(Gan(f, _provenance(RunFolder(f).read_config()))) for f in begun]


def _is_gan(folder: Path) -> bool:
    return {"wavegan", "train"} <= RunFolder(folder).read_config().keys()


def _provenance(config: Mapping[str, Any]) -> dict[str, Any]:
    """What a GAN's configuration says that it was trained on, or what stands for that."""
    classes = config["wavegan"].get("num_classes", 0)
    named = {"labels": [str(i) for i in range(classes)]} if classes else {"label": "clip"}
    return {"seed": 0, "tracks": {}, **named, **config.get("provenance", {})}


def names_of(gans: Sequence[Trained]) -> list[str]:
    """What each GAN is called on the page: its class, with its seed or folder to tell it apart."""
    seeds = {trained.gan.seed for trained in gans}
    names = [
        ("all classes" if t.gan.conditional else t.gan.label)
        + (f", seed {t.gan.seed}" if len(seeds) > 1 else "")
        for t in gans
    ]
    return [
        name if names.count(name) == 1 else f"{name} ({trained.gan.folder.name})"
        for name, trained in zip(names, gans, strict=True)
    ]


def source_of(run: Path, trained: Trained, gans: Sequence[Trained]) -> str:
    """What names a GAN to the commands: its run and class where they know them, else its folder."""
    alone = sum(other.gan.label == trained.gan.label for other in gans) == 1
    if run == trained.gan.folder or not (alone and (run / GAN_LIST).exists()):
        return shlex.quote(str(trained.gan.folder))
    genre = f" --genre {shlex.quote(trained.gan.label)}" if len(gans) > 1 else ""
    return shlex.quote(str(run)) + genre
