"""What `experiments.compare` is asked to do."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from classifiers.fit_config import AT_ONCE
from experiments.config.data import MOST_RUNS, DataConfig
from experiments.config.train import check_quality
from experiments.executors import EXECUTORS, Asked, check_executor
from experiments.recipes import RECIPES, Recipe
from experiments.studies import STUDIES
from features.augmentation import FeatureAugmentation, WaveformAugmentation, parse_augmentations
from features.limits import check_counts

if TYPE_CHECKING:
    from experiments.stages.arms import Arm

# What makes the clips, which a second recipe takes from the first.
_SHARED = ("sample_rate", "num_samples", "per_track", "silence", "gan", "gan_train", "conditional",
           "shared_steps")  # fmt: skip
CHOICES: dict[str, Collection[str]] = {"beside": RECIPES, "executor": EXECUTORS, "preset": STUDIES}
DEFAULT_ARMS = ("real", "real+classical", "real+noise", "real+synthetic")


@dataclass(frozen=True)
class CompareConfig:
    """A comparison of arms.

    Attributes
    ----------
    recipe : classifier, features, clip and GAN.
    data : tracks and split.
    beside : a second recipe, whose classifier does the same on the same clips and GANs: an effect
        that one network alone shows is no finding. None has one classifier alone.
    seeds : paired runs of each arm; their classifier seeds count up from 0.
    gan_seeds : GANs for each class, which the runs take in turn. Each fold and each draw has GANs
        of its own, a draw at least one.
    folds : number of parts that the tracks are dealt into; each part is the test side once, with
        GANs and runs of its own, so that every track is tested. 1 tests one side, by ``fractions``.
    train_share : share of the training tracks of each class that trains; the others are held back,
        for the arm real+oracle. None trains on all. Of several shares, the question is asked of the
        first.
    shots : number of training and of validation tracks of each class, instead of a share. Of
        several, the question is asked of the first.
    draws : how many times the tracks that shots or a share keep are drawn; the runs take the draws
        in turn.
    tune : factors for the classifier's learning rate; each arm uses the one that is best on the
        validation tracks. None leaves the rate as it is.
    steps : optimiser steps of every run; None lets the validation tracks choose, starting from the
        recipe's epochs over the real clips.
    synthetic_ratio : further clips for each real training clip of a class, in arms that don't say
        how many.
    arms : the arms; all others are compared with the first. A name says what an arm trains on:
        real, oversampled, classical, noise, shuffled, oracle, synthetic, confident (the generated
        clips that a classifier of the training tracks is surest of), accepted (those that the GAN's
        critic accepts), or the name of a folder; + joins two, @2 takes twice as many clips as there
        are real ones, -then- trains on one after the other. "usual", "controls" and "ratios" each
        stand for several (see `ARM_SETS`).
    folders : clips of other generators, as NAME=FOLDER: a folder with a folder for each class, for
        an arm named real+NAME.
    vouch : names of such folders, or "all", whose generators you know to have heard none of the
        held-out tracks, although nothing in the folder says so. The page says that you vouched.
    question : the arm that the comparison is about; None takes the first with generated clips.
    sealed : stop before the test tracks are answered: what the validation tracks say is printed and
        kept. The results count how often the test side was opened.
    augment : what the classical arms do to clips (see `parse_augmentations`): alterations of the
        waveform make altered copies, those of features alter the batches. None uses all alterations
        of the waveform.
    quality : number of generated clips that are compared with the validation tracks at each
        checkpoint, so that the best checkpoint makes the clips; 0 uses the last one.
    at_once : GANs trained in one program; None trains all of a fold and draw together on an
        accelerator, one at a time on a CPU.
    executor : who trains GANs, judges and classifiers side by side: "local", processes of this
        machine, each with cores of its own; "ray", tasks of a Ray cluster, each with one core. None
        trains one after another, in this process.
    workers : how many of them work at a time; None has one for each core.
    cluster : address of the Ray cluster; None takes $RAY_ADDRESS, or starts one on this machine.
    gpus : whole GPUs of each Ray task; with a number below 1 several tasks share one.
    preset : a study that comes with the package; it sets these options, except those in
        ``changed``.
    """

    recipe: Recipe
    data: DataConfig = DataConfig()
    beside: str | None = None
    seeds: int = 3
    gan_seeds: int = 1
    folds: int = 1
    train_share: tuple[float, ...] = ()
    shots: tuple[int, ...] = ()
    draws: int = 1
    tune: tuple[float, ...] = ()
    steps: int | None = None
    synthetic_ratio: float = 1.0
    arms: tuple[str, ...] = DEFAULT_ARMS
    folders: tuple[str, ...] = ()
    vouch: tuple[str, ...] = ()
    question: str | None = None
    sealed: bool = False
    augment: str | None = None
    quality: int = 128
    at_once: int | None = None
    executor: str | None = None
    workers: int | None = None
    cluster: str | None = None
    gpus: float = 0.0
    preset: str | None = None
    changed: tuple[str, ...] = ()

    def __post_init__(self):
        self.data.refuse_chunks("a comparison")
        fit = replace(self.recipe.fit, restore_best=True)  # what it reads are the best steps
        object.__setattr__(self, "recipe", replace(self.recipe, fit=fit))
        if self.beside is not None and self.beside not in {*RECIPES} - {self.recipe.name}:
            others = (n for n, one in RECIPES.items() if n != self.recipe.name and not one.needs)
            raise ValueError(
                f"--beside {self.beside} is no other recipe: give one of {', '.join(others)}"
            )
        for option, recipe in zip(("--recipe", "--beside"), self.recipes, strict=False):
            if recipe.needs or recipe.pretrained is not None:
                raise ValueError(
                    f"a comparison trains from nothing, and {recipe.name} starts from what was "
                    f"made elsewhere: give another {option}, or `wavegan classify`"
                )
        check_quality(self.quality, self.recipe)
        self.data.refuse_unvalidated("and early stopping needs one")
        from experiments.stages.arms import LARGEST, expanded  # which knows of configurations

        twice = len(set(self.arms)) < len(self.arms)
        object.__setattr__(self, "arms", expanded(self.arms))
        arms, folders = self.declared, [said.partition("=")[0] for said in self.folders]
        if unknown := set(self.vouch) - {*folders, "all"}:
            raise ValueError(
                f"--vouch {', '.join(sorted(unknown))}: there is no such --arm; give "
                f"{', '.join([*folders, 'all'])}"
            )
        if len(self.arms) < 2 or twice:
            raise ValueError(
                "--arms needs two or more different arms, found "
                f"{', '.join(self.arms) or 'none'}: give such as real,real+synthetic"
            )
        if self.question is not None and self.question not in self.arms[1:]:
            raise ValueError(
                f"--question {self.question} is none of the arms that are held against "
                f"{self.arms[0]}: {', '.join(self.arms[1:])}"
            )
        once = next((one for one in self.recipes if one.fit.optimizer in AT_ONCE), None)
        if once and (self.tune or any(len(one.phases) > 1 for one in arms)):
            raise ValueError(
                f"{once.name} is fitted at once (by the optimizer {once.fit.optimizer}), from "
                "nothing: an arm with -then- would forget its first clips, and --tune has no "
                "learning rate to try; leave them out"
            )
        if self.shots and self.train_share:
            raise ValueError("--shots and --train-share both say what is used: give one of them")
        for name, given in (("shots", self.shots), ("train-share", self.train_share)):
            if len({*given}) < len(given):
                raise ValueError(f"--{name} {','.join(map(str, given))} has one twice")
        held = all(data.holds_back for data in self.amounts)
        if any(one.needs("held-back tracks") for one in arms) and not held:
            raise ValueError(
                "the oracle adds real clips of tracks that are held back, and none are: give "
                "--train-share below 1 (0.5 holds back as many as it trains on) or --shots"
            )
        check_counts(MOST_RUNS, seeds=self.seeds, gan_seeds=self.gan_seeds)
        check_counts(MOST_RUNS, folds=self.folds, draws=self.draws)
        if self.draws > 1 and not held:
            raise ValueError(
                f"--draws {self.draws}: all training tracks are used, so that there is nothing to "
                "draw: give --shots, or --train-share below 1"
            )
        object.__setattr__(self, "gan_seeds", max(self.gan_seeds, self.draws))
        if self.gan_seeds % self.draws:
            raise ValueError(
                f"--gan-seeds {self.gan_seeds} must be a multiple of --draws {self.draws}: each "
                "draw has as many GANs"
            )
        if self.gan_seeds > self.seeds:
            raise ValueError(
                f"--gan-seeds, at least --draws, lies in 1 … --seeds, found {self.gan_seeds}: "
                f"give --seeds {self.gan_seeds} or more"
            )
        if len({*self.tune}) < len(self.tune) or not all(0 < rate <= 1000 for rate in self.tune):
            raise ValueError(
                f"--tune takes multiples of the learning rate, above 0 and each once, as "
                f"0.3,1,3; found {self.tune}"
            )
        check_counts(steps=self.steps, at_once=self.at_once, workers=self.workers)
        check_executor(self.executor, self.shared)
        if not 1 / LARGEST <= self.synthetic_ratio <= LARGEST:
            raise ValueError(
                f"--synthetic-ratio lies in {1 / LARGEST:g} … {LARGEST:g} further clips for each "
                f"real one, found {self.synthetic_ratio}"
            )
        classical = any(one.needs("augmentation") for one in arms)
        if self.augment is not None and not classical:
            raise ValueError(
                f"--augment {self.augment} is for the arm real+classical: name it in --arms"
            )
        if classical and self.augmentations == (None, None):
            raise ValueError("--augment none leaves the arm real+classical as real: drop the arm")

    def check_clips(self) -> None:
        """Raise ValueError where an arm has generated clips and no GAN makes the recipe's."""
        if not self.generates:
            return
        if self.recipe.silence is not None:
            raise ValueError(
                f"{self.recipe.name} takes silence out of its tracks, and generated clips, all of "
                "one length, can't be treated alike: give --silence none"
            )
        self.recipe.clip_gan  # noqa: B018  which refuses a length that no GAN makes

    @property
    def recipes(self) -> tuple[Recipe, ...]:
        """The recipe, and the one beside it with the first one's clips and GANs."""
        return self.with_beside(self.recipe)

    def with_beside(self, recipe: Recipe) -> tuple[Recipe, ...]:
        """A first recipe as given, and the one beside it with the clips and GANs of that."""
        if self.beside is None:
            return (recipe,)
        shared = {name: getattr(recipe, name) for name in _SHARED}
        other = RECIPES[self.beside]
        fit = replace(other.fit, restore_best=True)
        return recipe, replace(other, **shared, fit=fit)

    @property
    def shared(self) -> Asked:
        """How the executor is to do its parts."""
        return Asked(self.workers, self.cluster, self.gpus)

    @property
    def amounts(self) -> tuple[DataConfig, ...]:
        """The data with each amount of training tracks, the first that of the question."""
        data = replace(self.data, folds=self.folds)
        return (
            tuple(replace(data, shots=count) for count in self.shots)
            or tuple(replace(data, train_share=share) for share in self.train_share)
            or (data,)
        )

    def cells(self, amount: DataConfig) -> list[tuple[DataConfig, list[int]]]:
        """The sides of each fold and draw of an amount, and the seeds of the runs on them."""
        return [
            (
                replace(amount, fold=fold, draw=draw),
                [seed for seed in range(self.seeds) if self.draw_of(seed) == draw],
            )
            for fold in range(self.folds)
            for draw in range(self.draws)
        ]

    def draw_of(self, seed: int) -> int:
        """The draw of the training tracks of a run; its GANs have it, too."""
        return seed % self.gan_seeds // (self.gan_seeds // self.draws)

    @property
    def declared(self) -> tuple[Arm, ...]:
        """The arms; a ValueError where one can't be, or a folder is none."""
        from experiments.stages.arms import declared

        return declared(self.arms, self.folders)

    @property
    def generates(self) -> bool:
        """Whether GANs are trained for an arm."""
        return any(one.needs("gans") for one in self.declared)

    @property
    def augmentations(self) -> tuple[WaveformAugmentation | None, FeatureAugmentation | None]:
        """Those of the classical arms: of their copies, and of their batches."""
        if self.augment is None:
            return WaveformAugmentation(), None
        return parse_augmentations(self.augment)
