"""What `experiments.study` and `search` are asked to do."""

from __future__ import annotations

from dataclasses import dataclass

from experiments.config.data import MOST_RUNS, DataConfig
from experiments.recipes import REFERENCE, SPACES, VARIANTS, Recipe
from features.limits import check_counts, check_finite, check_memory, check_positive, check_rate
from wavegan import TrainConfig, WaveGANConfig

CHOICES = {"variants": VARIANTS}


@dataclass(frozen=True)
class StudyConfig:
    """A study of `VARIANTS`.

    Attributes
    ----------
    data : tracks and split; the GANs are trained on the training side, all classes together.
    seconds : training time of each run.
    seeds : runs of each variant; their seeds count up from 0.
    variants : ways of training (names in `VARIANTS`), the reference among them.
    sample_rate : Hz.
    num_samples : length of a clip.
    gan_dim : width of the networks of every variant.
    batch_size : clips in each batch of every variant.
    learning_rate : learning rate of both players in every variant; None takes that of each
        variant's loss.
    conditional : train GANs that make a class on request; otherwise they make any class.
    pad_end : fill up tracks shorter than a clip with zeros.
    count : clips of each run that are measured, and real clips that they are compared with.
    inspections : how often each run is measured, evenly over its time, for the curves.
    """

    data: DataConfig = DataConfig()
    seconds: float = 60.0
    seeds: int = 5
    variants: tuple[str, ...] = tuple(VARIANTS)
    sample_rate: int = 16000
    num_samples: int = 16384
    gan_dim: int = 8
    batch_size: int = 16
    learning_rate: float | None = None
    conditional: bool = True
    pad_end: bool = False
    count: int = 512
    inspections: int = 4

    def __post_init__(self):
        self.data.refuse_chunks("a study")
        if unknown := [name for name in self.variants if name not in VARIANTS]:
            raise ValueError(
                f"--variants {', '.join(unknown)}: there is none; take of {', '.join(VARIANTS)}"
            )
        if REFERENCE not in self.variants or len(set(self.variants)) < len(self.variants):
            raise ValueError(
                f"--variants takes different names, {REFERENCE} among them, which the others are "
                f"held against; found {', '.join(self.variants) or 'none'}"
            )
        check_finite(self)
        check_rate(self.sample_rate)
        check_positive(seconds=self.seconds)
        check_counts(MOST_RUNS, seeds=self.seeds, inspections=self.inspections)
        self.data.refuse_unvalidated("by which the variants are ranked")
        clip = 8 * self.num_samples
        check_memory(self.count * clip, f"{self.count:,} clips", "give a smaller --count")
        for name in self.variants:
            self.gan(name, 2), self.training(name)  # which check the rest, before any work

    def gan(self, variant: str, classes: int) -> WaveGANConfig:
        """The networks of a variant for data of so many classes."""
        changes = {"num_classes": classes if self.conditional else 0} | dict(VARIANTS[variant].gan)
        return WaveGANConfig(num_samples=self.num_samples, dim=self.gan_dim, **changes)

    def training(self, variant: str) -> TrainConfig:
        """How a variant is trained, but for its steps and seed."""
        settings = {
            "batch_size": self.batch_size,
            "learning_rate": self.learning_rate,
            "pad_end": self.pad_end,
            "accumulate": 1,  # parts of a batch would take longer: the same program for all
        }
        return TrainConfig(**{**settings, **VARIANTS[variant].train})


@dataclass(frozen=True)
class SearchConfig:
    """A search for a recipe's sizes.

    Attributes
    ----------
    recipe : what is searched for; of `SPACES`.
    data : tracks and fractions of the runs that are to be kept clean.
    trials : how many are tried, those cut off with them.
    held_out_seeds : the test tracks of so many split seeds, from the first on, stay unseen.
    seed : of the search.
    """

    recipe: Recipe
    data: DataConfig = DataConfig()
    trials: int = 30
    held_out_seeds: int = 3
    seed: int = 0

    def __post_init__(self):
        self.data.refuse_chunks("a search")
        if self.recipe.name not in SPACES:
            raise ValueError(
                f"--recipe {self.recipe.name}: its sizes are published; a search is for "
                f"{', '.join(SPACES)}"
            )
        check_counts(MOST_RUNS, trials=self.trials, held_out_seeds=self.held_out_seeds)
