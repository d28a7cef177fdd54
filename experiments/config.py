"""What each command is asked to do: a frozen dataclass for each, checked when it is made."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.recipes import REFERENCE, SPACES, VARIANTS, Recipe
from features.augmentation import FeatureAugmentation, WaveformAugmentation, parse_augmentations
from features.limits import check_counts, check_finite, check_memory, check_positive, check_rate
from features.splits import SPLITS, check_fractions
from wavegan import TrainConfig, WaveGANConfig
from wavegan.metrics import JUDGED

if TYPE_CHECKING:
    from experiments.stages.arms import Arm

DEFAULT_ARMS = ("real", "real+classical", "real+noise", "real+synthetic")
_MOST_RUNS = 10_000  # seeds or trials: what is more takes for ever
INSPECTIONS = 10  # in a training of GANs, unless the recipe's ``inspect_every`` says otherwise


@dataclass(frozen=True)
class DataConfig:
    """Which tracks, and which side of the split each is on.

    Attributes
    ----------
    root : folder of class folders; None is the embedded synthetic genres.
    split : "track" keeps the clips of a track on one side, "group" those of an artist or a
        speaker, "gtzan-filtered" takes the sides from ``split_lists``; "chunk" keeps nothing
        together.
    fractions : shares of the tracks that train, validate and test.
    split_seed : of the draw of the sides.
    split_lists : folder of train_filtered.txt, valid_filtered.txt and test_filtered.txt.
    artist_index : file that names each GTZAN track's artist; None takes a GTZANindex.txt in the
        data's folder, beside it or in ``split_lists``, where the tracks' names are GTZAN's.
    allow_shared_groups : split although known artists or speakers are on two sides, so that what
        is told apart may be those; every page says so.
    skip_short : leave out tracks shorter than a clip instead of stopping.
    pad_short : fill tracks shorter than a clip up with zeros instead of stopping.
    train_share : of the training tracks of each class, those that are used; the others are held
        back, for the arm real+oracle.
    shots : so many training and validation tracks of each class instead of a share; None takes
        the share.
    folds : parts of the tracks, of which ``fold``, from 0, is the test side; 1 draws that by
        ``fractions``.
    draw : which of several draws, from 0, of the training tracks that a share or shots keep.
    """

    root: str | None = None
    split: str = "track"
    fractions: tuple[float, float, float] = (0.7, 0.2, 0.1)
    split_seed: int = 0
    split_lists: str | None = None
    artist_index: str | None = None
    allow_shared_groups: bool = False
    skip_short: bool = False
    pad_short: bool = False
    train_share: float = 1.0
    shots: int | None = None
    folds: int = 1
    fold: int = 0
    draw: int = 0

    def __post_init__(self):
        check_finite(self)
        check_counts(shots=self.shots, folds=self.folds)
        if not 0 <= self.fold < self.folds or self.draw < 0:
            raise ValueError(f"fold {self.fold} of {self.folds} and draw {self.draw} are none")
        if self.skip_short and self.pad_short:
            raise ValueError("--skip-short leaves out what --pad-short fills up: give one of them")
        if not 0 < self.train_share <= 1:
            raise ValueError(f"--train-share lies above 0 and up to 1, found {self.train_share}")
        if self.shots is not None and self.train_share < 1:
            raise ValueError("--shots and --train-share both say what is used: give one of them")
        if self.split not in SPLITS:
            raise ValueError(f"--split must be one of {', '.join(SPLITS)}; found {self.split!r}")
        if "lists" in SPLITS[self.split].needs and self.split_lists is None:
            raise ValueError(
                f"--split {self.split} takes its sides from lists: give --split-lists, the folder "
                "of train_filtered.txt, valid_filtered.txt and test_filtered.txt"
            )
        if "lists" in SPLITS[self.split].needs and self.folds > 1:
            raise ValueError(
                f"--split {self.split} takes its sides from lists, so that there are no --folds of "
                "it: leave them out"
            )
        check_fractions(self.fractions)
        if self.holds_back and SPLITS[self.split].leaks:
            raise ValueError(
                f"--split {self.split} keeps no track whole, so that none can be held back: leave "
                "--train-share and --shots out"
            )

    @property
    def holds_back(self) -> bool:
        """Whether some training tracks may be held back."""
        return self.shots is not None or self.train_share < 1

    @property
    def amount(self) -> str:
        """How much of the training side is used, in words; empty of all."""
        if self.shots is not None:
            return f"{self.shots} track{'s' * (self.shots > 1)} a class"
        return f"{self.train_share:.3g} of the training tracks" if self.holds_back else ""

    @property
    def name(self) -> str:
        """What tells these sides from others of the same tracks and seed."""
        parts = [self.split]
        if self.holds_back:
            parts.append(f"{self.shots}shots" if self.shots else f"{self.train_share:g}")
        parts += [f"draw{self.draw}"] * bool(self.draw)
        parts += [f"fold{self.fold}"] * (self.folds > 1)
        return "-".join(parts)

    def refuse_chunks(self, what: str) -> None:
        """Raise ValueError where GANs would hear the tracks that are tested on."""
        if SPLITS[self.split].leaks:
            whole = (name for name, rule in SPLITS.items() if not rule.leaks)
            raise ValueError(
                f"--split {self.split} puts chunks of one track on both sides, so that every GAN "
                f"would have seen test tracks: {what} takes {', '.join(whole)}"
            )


@dataclass(frozen=True)
class CompareConfig:
    """A comparison of arms.

    Attributes
    ----------
    recipe : classifier, features, clip and GAN.
    data : tracks and split.
    seeds : paired runs of each arm, with classifier seeds from 0 on.
    gan_seeds : GANs a genre, which the runs take in turn; a fold and a draw have their own, of a
        draw at least one.
    folds : parts of the tracks that are the test side in turn, each with GANs and runs of its own,
        so that every track is tested; 1 tests those of ``fractions`` alone.
    train_share : of the training tracks of each class, those that are used; the others are held
        back, for the arm real+oracle. None is all of them; of several shares the first is what the
        question is about.
    shots : so many training and validation tracks of each class instead of a share; of several
        the first is what the question is about.
    draws : of the training tracks that shots or a share keep, which the runs take in turn.
    tune : multiples of the classifier's learning rate, of which each arm takes the one that is
        best by the validation tracks; none takes it as it is.
    steps : optimiser steps of every run; None follows the recipe's epochs over the real clips.
    synthetic_ratio : further clips for each real training clip, genre by genre, where an arm says
        none itself.
    arms : what is compared, the others against the first. A name says what an arm trains on:
        real, oversampled, classical, noise, shuffled, oracle, synthetic, confident (generated
        clips that a classifier of the training tracks is surest of), accepted (those that the
        GAN's critic accepts), or a folder's; with + in between for both, @2 for twice as many
        clips as real ones, -then- for one after the other. "usual", "controls" and "ratios" are
        several under one name (see `ARM_SETS`).
    folders : clips of other generators, as NAME=FOLDER: a folder of class folders, which an arm
        named real+NAME adds.
    vouch : names of folders, or "all", of which you know that what made them was trained on none
        of the tracks held out, where nothing there says so. The page says that you did.
    question : the arm that the comparison is about; None is the first with generated clips.
    sealed : stop before any answer on the test tracks is looked at: what the validation tracks say
        is printed and kept. The results count how often the test side was opened.
    augment : what the classical arms do to clips (see `parse_augmentations`): changes of the
        waveform make altered copies, those of features alter the batches. Without it, all of
        the waveform.
    quality : generated clips by which the checkpoints of a GAN are held against the validation
        tracks, so that the best one makes the clips; 0 takes the last one.
    at_once : GANs trained in one program; None is all on an accelerator, one on a CPU.
    """

    recipe: Recipe
    data: DataConfig = DataConfig()
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

    def __post_init__(self):
        self.data.refuse_chunks("a comparison")
        _check_quality(self.quality, self.recipe)
        if self.data.fractions[1] == 0 and "lists" not in SPLITS[self.data.split].needs:
            raise ValueError(
                "--fractions leaves the validation side empty, and early stopping needs one: "
                "give a middle value above 0"
            )
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
            raise ValueError(f"--arms needs two or more different arms, found {self.arms}")
        if self.question is not None and self.question not in self.arms[1:]:
            raise ValueError(
                f"--question {self.question} is none of the arms that are held against "
                f"{self.arms[0]}: {', '.join(self.arms[1:])}"
            )
        if self.generates and self.recipe.silence is not None:
            raise ValueError(
                f"{self.recipe.name} takes silence out of its tracks, and generated clips, all of "
                "one length, can't be treated alike: give --silence none"
            )
        held = all(data.holds_back for data in self.amounts)
        if any(one.needs("held-back tracks") for one in arms) and not held:
            raise ValueError(
                "the oracle adds real clips of tracks that are held back, and none are: give "
                "--train-share below 1 (0.5 holds back as many as it trains on) or --shots"
            )
        check_counts(_MOST_RUNS, seeds=self.seeds, gan_seeds=self.gan_seeds)
        check_counts(_MOST_RUNS, folds=self.folds, draws=self.draws)
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
        check_counts(steps=self.steps, at_once=self.at_once)
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

    @property
    def amounts(self) -> tuple[DataConfig, ...]:
        """The data with each amount of training tracks, the first that of the question."""
        if self.shots and self.train_share:
            raise ValueError("--shots and --train-share both say what is used: give one of them")
        for name, amounts in (("shots", self.shots), ("train-share", self.train_share)):
            if len({*amounts}) < len(amounts):
                raise ValueError(f"--{name} {','.join(map(str, amounts))} has one twice")
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
        check_counts(_MOST_RUNS, seeds=self.seeds)
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
class TrainGansConfig:
    """Training the GANs of a data set.

    Attributes
    ----------
    recipe : clip, GAN and its training.
    data : tracks and split; the training side alone is heard.
    seeds : GANs a class, each with a seed of its own.
    at_once : GANs trained in one program; None is all on an accelerator, one on a CPU.
    quality : generated clips that the sample metrics are measured on; 0 measures none.
    judge : also measure them by a classifier of the training tracks: inception score,
        different bins.
    tensorboard : write TensorBoard's event files, too.
    init : what the GANs start from: a run (each class from its GAN of that class, or from that
        class of one for all), an exported generator, or the reference's variables (.npz).
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
        check_counts(_MOST_RUNS, seeds=self.seeds)
        check_counts(at_once=self.at_once)
        _check_quality(self.quality, self.recipe)
        best = self.recipe.gan_train.keep_best
        if not self.quality and best != TrainConfig.keep_best:
            raise ValueError(f"--gan-keep-best {best} is not measured with --quality 0: give clips")
        if not self.judge and best in JUDGED:
            raise ValueError(f"--gan-keep-best {best} is measured by a judge alone: give --judge")


def inspected(recipe: Recipe) -> Recipe:
    """The recipe with a number of inspections of its GANs where it says none."""
    settings = recipe.gan_train
    if settings.inspect_every:
        return recipe
    every = max(1, settings.steps // INSPECTIONS)
    return replace(recipe, gan_train=replace(settings, inspect_every=every))


def _check_quality(quality: int, recipe: Recipe) -> None:
    if quality < 0:
        raise ValueError(f"--quality must be 0 or more clips, found {quality}")
    clips = quality * recipe.num_samples * recipe.gan.channels
    check_memory(8 * clips, f"{quality:,} clips", "give a smaller --quality")


@dataclass(frozen=True)
class GenerateConfig:
    """Clips of the GANs of a run, as files.

    Attributes
    ----------
    run : run folder of GANs, an exported generator, or the name of one in the package: digits.
    step : of which checkpoint, or "best"; None is the newest.
    label : only this class.
    count : clips of each class; None is 16, or as many as there are latents.
    seed : of the latents.
    latents : .npy file of latents (n, latent_dim) to make the sounds of again.
    truncation : latents are drawn from ± this; less is more typical.
    batch_size : clips at a time; less takes less memory.
    format : "wav" or "flac".
    sample_rate : Hz, where the run does not say.
    """

    run: Path
    step: int | str | None = None
    label: str | None = None
    count: int | None = None
    seed: int = 0
    latents: Path | None = None
    truncation: float = 1.0
    batch_size: int = 64
    format: str = "wav"
    sample_rate: int | None = None

    def __post_init__(self):
        check_finite(self)
        check_counts(count=self.count, batch_size=self.batch_size)
        _check_files(self.format, self.sample_rate)


@dataclass(frozen=True)
class InterpolateConfig:
    """Clips on the way from one sound to another.

    Attributes
    ----------
    run : run folder of GANs, an exported generator, or the name of one in the package: digits.
    step : of which checkpoint, or "best"; None is the newest.
    label : class of the first sound; None is the only one.
    to_label : class of the last sound, of a conditional GAN; None is the same.
    seed : of the first sound.
    to_seed : of the last sound; None is the next seed, or the same where the class differs.
    steps : sounds, both ends among them.
    format : "wav" or "flac".
    sample_rate : Hz, where the run does not say.
    """

    run: Path
    step: int | str | None = None
    label: str | None = None
    to_label: str | None = None
    seed: int = 0
    to_seed: int | None = None
    steps: int = 9
    format: str = "wav"
    sample_rate: int | None = None

    def __post_init__(self):
        _check_files(self.format, self.sample_rate)


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
    """

    run: Path
    files: tuple[Path, ...]
    split: str | None = None
    seed: int = 0
    labelled: bool = False


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
        check_counts(_MOST_RUNS, trials=self.trials, held_out_seeds=self.held_out_seeds)


@dataclass(frozen=True)
class StudyConfig:
    """A study of `VARIANTS`.

    Attributes
    ----------
    data : tracks and split; the GANs are trained on the training side, all classes together.
    seconds : of training of each run.
    seeds : runs of each variant, with seeds from 0 on.
    variants : ways of training (names in `VARIANTS`), the reference among them.
    sample_rate : Hz.
    num_samples : length of a clip.
    gan_dim : width of the networks of every variant.
    batch_size : clips in each batch of every variant.
    learning_rate : of both players of every variant; None is the own of each loss.
    conditional : GANs that make the classes as asked; otherwise they make any of them.
    pad_end : fill tracks shorter than a clip with zeros.
    count : clips of each run that are measured, and real windows they are compared with.
    inspections : of each run, evenly over its time, for the curves.
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
        check_counts(_MOST_RUNS, seeds=self.seeds, inspections=self.inspections)
        if self.data.fractions[1] == 0 and "lists" not in SPLITS[self.data.split].needs:
            raise ValueError(
                "--fractions leaves the validation side empty, by which the variants are ranked: "
                "give a middle value above 0"
            )
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


def _check_files(suffix: str, sample_rate: int | None) -> None:
    if suffix not in ("wav", "flac"):
        raise ValueError(f"--format is wav or flac, found {suffix!r}")
    check_rate(sample_rate)


def as_dict(config: Any) -> dict[str, Any]:
    """A configuration dataclass as JSON holds it, its nested parts with their type's name."""
    out: dict[str, Any] = {}
    for field in fields(config):
        value = getattr(config, field.name)
        if is_dataclass(value):
            value = {"type": type(value).__name__, **as_dict(value)}
        elif isinstance(value, tuple):
            value = list(value)
        elif isinstance(value, Path):
            value = str(value)
        out[field.name] = value
    return out
