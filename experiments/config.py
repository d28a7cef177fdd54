"""The typed configuration of a run, from the command line down to each network."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, replace
from typing import Any

from experiments.recipes import Recipe
from features.augmentation import (
    FeatureAugmentation,
    WaveformAugmentation,
    parse_augmentations,
)
from features.splits import check_fractions

DEFAULT_ARMS = ("real", "real-oversampled", "real+synthetic")
ARM_NAMES = (*DEFAULT_ARMS, "real+classical", "real+classical+synthetic")
SPLITS = ("track", "group", "gtzan-filtered")
CLASSIFY_SPLITS = ("chunk", *SPLITS)


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
        if self.split == "gtzan-filtered" and self.split_lists is None:
            raise ValueError(
                "--split gtzan-filtered takes its sides from lists: give --split-lists, the folder "
                "of train_filtered.txt, valid_filtered.txt and test_filtered.txt"
            )
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
    augment : of the classical arms, as `features.augmentation.parse_augmentations` takes it:
        those of the waveform make the altered copies, those of features alter the batches.
        None is all of the waveform.
    at_once : GANs trained in one program; None is all on an accelerator, one on a CPU.
    """

    recipe: Recipe
    data: DataConfig = DataConfig()
    seeds: int = 3
    gan_seeds: int = 1
    steps: int | None = None
    synthetic_ratio: float = 1.0
    arms: tuple[str, ...] = DEFAULT_ARMS
    augment: str | None = None
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
        classical = any("classical" in arm for arm in self.arms)
        if self.augment is not None and not classical:
            raise ValueError(
                f"--augment {self.augment} is for the arm real+classical: name it in --arms"
            )
        if classical and self.augmentations == (None, None):
            raise ValueError("--augment none leaves the arm real+classical as real: drop the arm")

    @property
    def augmentations(self) -> tuple[WaveformAugmentation | None, FeatureAugmentation | None]:
        """Those of the classical arms: of their copies, and of their batches."""
        if self.augment is None:
            return WaveformAugmentation(), None
        return parse_augmentations(self.augment)


@dataclass(frozen=True)
class ClassifyConfig:
    """Training and testing one recipe.

    Attributes
    ----------
    recipe : classifier, features, clip and training.
    data : tracks and fractions; its ``split`` is each of ``splits`` in turn.
    splits : of `CLASSIFY_SPLITS`.
    seeds : runs of each split; run i has classifier seed i and split seed ``split_seed`` + i.
    one_split : every run on the sides of ``split_seed``.
    generated : run folder of GANs whose clips, as many as real ones of each class, are added
        to the training side.
    augment : names as `features.augmentation.parse_augmentations` takes them: those of the
        waveform make an altered copy of each training clip, those of features alter batches.
    """

    recipe: Recipe
    data: DataConfig = DataConfig()
    splits: tuple[str, ...] = ("track",)
    seeds: int = 3
    one_split: bool = False
    generated: str | None = None
    augment: str = "none"

    def __post_init__(self):
        parse_augmentations(self.augment)
        if not self.splits or (unknown := set(self.splits) - set(CLASSIFY_SPLITS)):
            raise ValueError(
                f"--split takes {', '.join(CLASSIFY_SPLITS)}, with commas for several; found "
                f"{', '.join(sorted(unknown)) if self.splits else 'none'}"
            )
        for split in set(self.splits) - {"chunk"}:
            self.sides(split, 0)  # which checks its options
        if self.seeds < 1:
            raise ValueError(f"--seeds must be at least 1, found {self.seeds}")
        if self.data.fractions[1] == 0 and self.recipe.fit.patience is not None:
            raise ValueError(
                f"{self.recipe.name} stops early (--fit-patience {self.recipe.fit.patience}), "
                "which needs a validation side: give --fractions a middle value above 0"
            )

    def sides(self, split: str, seed: int) -> DataConfig:
        """The data of run ``seed`` on ``split``, which is none of chunks."""
        shift = 0 if self.one_split else seed
        return replace(self.data, split=split, split_seed=self.data.split_seed + shift)


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
