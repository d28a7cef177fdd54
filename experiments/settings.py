"""The typed configuration of a run, from the command line down to each network."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from experiments.presets import Recipe
from features.splits import check_fractions

ARM_NAMES = ("real", "real-oversampled", "real+synthetic")
SPLITS = ("track", "group", "gtzan-filtered")


@dataclass(frozen=True)
class DataConfig:
    """Which tracks, and which side of the split each is on.

    Attributes
    ----------
    root : folder of class folders; None is the embedded synthetic genres.
    split, fractions, split_seed, split_lists : as `features.split_tracks` takes them.
    artist_index : file that names each GTZAN track's artist.
    skip_short : leave out tracks shorter than a clip instead of stopping.
    """

    root: str | None = None
    split: str = "track"
    fractions: tuple[float, float, float] = (0.7, 0.2, 0.1)
    split_seed: int = 0
    split_lists: str | None = None
    artist_index: str | None = None
    skip_short: bool = False

    def __post_init__(self):
        if self.split == "chunk":
            raise ValueError(
                "--split chunk puts chunks of one track on both sides, so that every GAN would "
                f"have seen test tracks: a comparison takes {', '.join(SPLITS)}"
            )
        if self.split not in SPLITS:
            raise ValueError(f"--split must be one of {', '.join(SPLITS)}; found {self.split!r}")
        check_fractions(self.fractions)


@dataclass(frozen=True)
class CompareConfig:
    """A comparison of arms.

    Attributes
    ----------
    recipe : classifier, features, clip and GAN.
    data : tracks and split.
    seeds : paired runs of each arm, classifier seeds 0 … seeds - 1.
    gan_seeds : GANs a genre; run i is augmented by the GANs of seed i modulo this.
    steps : optimiser steps of every run; None follows the recipe's epochs over the real clips.
    synthetic_ratio : generated clips for each real training clip, genre by genre.
    arms : of `ARM_NAMES`; the first is what the others are held against.
    at_once : GANs trained in one program; None is all on an accelerator, one on a CPU.
    """

    recipe: Recipe
    data: DataConfig = DataConfig()
    seeds: int = 3
    gan_seeds: int = 1
    steps: int | None = None
    synthetic_ratio: float = 1.0
    arms: tuple[str, ...] = ARM_NAMES
    at_once: int | None = None

    def __post_init__(self):
        if self.data.fractions[1] == 0 and self.data.split != "gtzan-filtered":
            raise ValueError(
                "--fractions leaves the validation side empty, and early stopping needs one: "
                "give a middle value above 0"
            )
        if unknown := set(self.arms) - set(ARM_NAMES):
            raise ValueError(f"--arms takes {', '.join(ARM_NAMES)}; found {', '.join(unknown)}")
        if len(self.arms) < 2 or len(set(self.arms)) < len(self.arms):
            raise ValueError(f"--arms needs two or more different arms, found {self.arms}")
        if self.seeds < 1 or not 1 <= self.gan_seeds <= self.seeds:
            raise ValueError(
                f"--seeds must be at least 1 and --gan-seeds lie in 1 … --seeds; found "
                f"{self.seeds} and {self.gan_seeds}"
            )
        if self.steps is not None and self.steps < 1:
            raise ValueError(f"--steps must be at least 1, found {self.steps}")
        if self.at_once is not None and self.at_once < 1:
            raise ValueError(f"--at-once must be at least 1, found {self.at_once}")
        if not self.synthetic_ratio > 0:
            raise ValueError(f"--synthetic-ratio must be positive, found {self.synthetic_ratio}")


def as_dict(config: Any) -> dict[str, Any]:
    """A configuration dataclass as JSON holds it, its nested parts with their type's name."""
    out: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            value = {"type": type(value).__name__, **as_dict(value)}
        elif isinstance(value, tuple):
            value = list(value)
        out[field.name] = value
    return out
