"""What `experiments.classify` and `predict` are asked to do."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from experiments.config.data import MOST_RUNS, DataConfig
from experiments.recipes import Recipe
from features.augmentation import parse_augmentations
from features.limits import check_counts
from features.splits import SPLITS


@dataclass(frozen=True)
class ClassifyConfig:
    """Training and testing one recipe.

    Attributes
    ----------
    recipe : classifier, features, clip and training.
    data : tracks and fractions; its ``split`` is each of ``splits`` in turn.
    splits : "track" keeps the clips of a track on one side, "group" those of an artist or a
        speaker, "gtzan-filtered" takes the sides from lists; "chunk", of the published figures,
        has clips of a track on several sides.
    seeds : runs of each split; each has the next classifier seed and the next split seed.
    one_split : every run on the sides of the first split seed.
    generated : run folder of GANs whose clips, as many as real ones of each class, are added
        to the training side.
    vouch : you know that these GANs heard no held-out track, where nothing says so; the page
        says that you did.
    augment : what is done to training clips (see `parse_augmentations`): changes of the
        waveform make an altered copy of each, those of features alter the batches.
    """

    recipe: Recipe
    data: DataConfig = DataConfig()
    splits: tuple[str, ...] = ("track",)
    seeds: int = 3
    one_split: bool = False
    generated: str | None = None
    vouch: bool = False
    augment: str = "none"

    def __post_init__(self):
        parse_augmentations(self.augment)
        if self.vouch and self.generated is None:
            raise ValueError("--vouch is for the GANs of --generated: give it, too")
        if not self.splits or (unknown := set(self.splits) - set(SPLITS)):
            raise ValueError(
                f"--split takes {', '.join(SPLITS)}, with commas for several; found "
                f"{', '.join(sorted(unknown)) if self.splits else 'none'}"
            )
        for split in self.splits:
            self.sides(split, 0)  # which checks its options
        check_counts(MOST_RUNS, seeds=self.seeds)
        if self.data.fractions[1] == 0 and self.recipe.fit.patience is not None:
            raise ValueError(
                f"{self.recipe.name} stops early (--fit-patience {self.recipe.fit.patience}), "
                "which needs a validation side: give --fractions a middle value above 0"
            )

    def sides(self, split: str, seed: int) -> DataConfig:
        """The data of run ``seed`` on ``split``."""
        shift = 0 if self.one_split else seed
        return replace(self.data, split=split, split_seed=self.data.split_seed + shift)


@dataclass(frozen=True)
class PredictConfig:
    """Files classified by a trained classifier.

    Attributes
    ----------
    run : run folder of a classification, or a classifier's file.
    files : audio files, or folders of them.
    split : whose classifier; None is the first that does not leak.
    seed : which of the split's classifiers.
    labelled : the folder of each file names its class: test on them.
    threshold : an answer that is less probable is "unknown".
    """

    run: Path
    files: tuple[Path, ...]
    split: str | None = None
    seed: int = 0
    labelled: bool = False
    threshold: float = 0.0

    def __post_init__(self):
        if not 0 <= self.threshold <= 1:
            raise ValueError(f"--threshold is a probability, 0 … 1; found {self.threshold}")
