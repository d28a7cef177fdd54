"""What a training run holds, finished or not: its GANs, how they stand, and how they sound."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.run import Run
from experiments.stages.gans import GAN_LIST, Gan, find_gans, open_gan
from wavegan.previews import SAMPLES, Heard, hear
from wavegan.run_folder import RunFolder
from wavegan.trained_run import TrainedRun, read_run


@dataclass(frozen=True)
class Trained:
    """A GAN of a run.

    Attributes
    ----------
    gan : where it is, and what it was trained on.
    name : its class or classes, with its seed or folder where that tells it apart.
    source : how the commands name it: its run and class, or its folder, quoted for a shell.
    run : how far it is trained.
    heard : None where it has no previews.
    """

    gan: Gan
    name: str
    source: str
    run: TrainedRun
    heard: Heard | None


@dataclass(frozen=True)
class Training:
    """What a training run's page is made of.

    Attributes
    ----------
    name : of its folder.
    gans : at least one.
    data, environment : how it was made, as far as the run says.
    shared_groups : artists or speakers on two sides of its split.
    """

    name: str
    gans: Sequence[Trained]
    data: Mapping[str, Any]
    environment: Mapping[str, Any]
    shared_groups: Sequence[str] = ()


def read_training(folder: Path) -> Training:
    """A `wavegan train` run, finished or not, or one GAN's own folder.

    Raises
    ------
    ValueError
        Where there is no GAN, saying what was found.
    """
    gans = gans_in(folder)
    trained = [
        _read(gan, name, _source(folder, gan, gans), SAMPLES // len(gans))
        for gan, name in zip(gans, _names(gans), strict=True)
    ]
    config, environment = (
        Run(folder).read_json(name) if (folder / name).exists() else {}
        for name in ("config.json", "environment.json")
    )
    shared = config.get("shared_groups", ())
    return Training(folder.name, trained, config.get("data", {}), environment, shared)


def _read(gan: Gan, name: str, source: str, samples: int) -> Trained:
    run, previews = read_run(gan.folder), gan.folder / "previews"
    heard = hear(previews, label_names=gan.labels, best=run.best, samples=samples)
    return Trained(gan, name, source, run, heard)


def gans_in(run: Path) -> list[Gan]:
    """The GANs of a run; of one that is not finished, those that have begun.

    Where there is none, a ValueError says what was found.
    """
    try:
        return find_gans(run)
    except ValueError:
        folders = [run, *sorted((run / "stages").glob("gan-*"))]
        configs = {f: RunFolder(f).read_config() for f in folders if (f / "config.json").exists()}
        begun = [f for f, config in configs.items() if {"wavegan", "train"} <= config.keys()]
        if not begun or (run / GAN_LIST).exists():
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
