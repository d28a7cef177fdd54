"""What `experiments.train` is asked to do."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from experiments.config.data import MOST_RUNS, DataConfig
from experiments.recipes import Recipe
from features.limits import check_counts, check_memory
from wavegan import TrainConfig
from wavegan.metrics import JUDGED

INSPECTIONS = 10  # in a training of GANs, unless the recipe's ``inspect_every`` says otherwise


@dataclass(frozen=True)
class TrainGansConfig:
    """Training the GANs of a data set.

    Attributes
    ----------
    recipe : clip, GAN and its training.
    data : tracks and split; only the training side is heard.
    seeds : GANs for each class, each with a seed of its own.
    at_once : GANs trained in one program; None trains all together on an accelerator, one at a time
        on a CPU.
    quality : number of generated clips that the sample metrics are measured on; 0 measures none.
    judge : also measure with a classifier of the training tracks: inception score, different bins,
        class agreement.
    tensorboard : also write TensorBoard's event files.
    init : what the GANs start from: a run (each class from its own GAN, or from that class of one
        GAN for all), an exported generator, or the variables of the reference (.npz).
    """

    recipe: Recipe
    data: DataConfig = DataConfig()
    seeds: int = 1
    at_once: int | None = None
    quality: int = 256
    judge: bool = False
    tensorboard: bool = False
    init: Path | None = None

    def __post_init__(self):
        self.data.refuse_chunks("a training of GANs")
        check_counts(MOST_RUNS, seeds=self.seeds)
        check_counts(at_once=self.at_once)
        check_quality(self.quality, self.recipe)
        best = self.recipe.gan_train.keep_best
        if not self.quality and best != TrainConfig.keep_best:
            raise ValueError(f"--gan-keep-best {best} is not measured with --quality 0: give clips")
        if not self.judge and best in JUDGED:
            raise ValueError(f"--gan-keep-best {best} is measured by a judge alone: give --judge")

    def check_clips(self) -> None:
        """Raise ValueError where no GAN makes clips of the recipe's length."""
        self.recipe.clip_gan  # noqa: B018


def inspected(recipe: Recipe) -> Recipe:
    """The recipe with a number of inspections of its GANs where it says none."""
    settings = recipe.gan_train
    if settings.inspect_every:
        return recipe
    every = max(1, settings.steps // INSPECTIONS)
    return replace(recipe, gan_train=replace(settings, inspect_every=every))


def check_quality(quality: int, recipe: Recipe) -> None:
    if quality < 0:
        raise ValueError(f"--quality must be 0 or more clips, found {quality}")
    clips = quality * recipe.num_samples * recipe.gan.channels
    check_memory(8 * clips, f"{quality:,} clips", "give a smaller --quality")
