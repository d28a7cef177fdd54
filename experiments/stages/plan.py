"""What a run is going to do, before it does it: how much, how long, and how much disk.

The time of a step is remembered from earlier runs on this machine by as many cores, and measured
where none is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx

import classifiers
import wavegan
from classifiers import FitConfig
from classifiers.fit_config import AT_ONCE
from experiments.config import as_dict
from experiments.executors import cores
from experiments.options import in_options, names_of
from experiments.recipes import Recipe
from experiments.report.formats import counted, duration
from experiments.report.terminal import Progress
from experiments.run import Run
from experiments.stages.gans import gan_config
from features.checksums import key_of
from features.limits import check_disk, check_memory
from features.remembered import recall, remember
from wavegan import TrainConfig, WaveGANConfig
from wavegan.devices import hardware
from wavegan.networks import without_weights
from wavegan.train_config import CADENCE

_COPIES = 3  # of each weight in a checkpoint: itself, and Adam's two moments
_STEP = 32  # bytes that a step of a fit takes: its learning rate, in several shapes
_MEASURING = 0.5  # seconds that a GAN's steps are timed for
STOPS_EARLY = "less where validation stops a classifier before its last epoch"
CHOSEN = "by the recipe's steps; validation tracks may ask for fewer or more"


@dataclass
class Plan:
    """What is still to be done.

    Attributes
    ----------
    tracks, clips : of the data, real ones.
    gans, gan_steps : to train, and the steps of all.
    fits, fit_steps : classifiers to train, judges of GANs among them, and the steps of all.
    cells : folds and draws of each amount of tracks, each with GANs of its own; None without any.
    workers : that do GANs and fits side by side; None without any, or where nobody knows how many.
    seconds : that the steps will take, about, one after another in this process; None where nothing
        was measured.
    gan_seconds : of these, of GANs.
    disk_bytes : that it will write, about.
    unless : what may make the steps others than planned; empty where nothing does.
    """

    tracks: int = 0
    clips: int = 0
    gans: int = 0
    gan_steps: int = 0
    fits: int = 0
    fit_steps: int = 0
    cells: int | None = None
    workers: int | None = None
    seconds: float | None = None
    gan_seconds: float = 0.0
    disk_bytes: int = 0
    unless: str = ""

    def add_gans(
        self, recipe: Recipe, count: int, labels: Sequence[str], progress: Progress
    ) -> None:
        """So many GANs of a recipe; their time is measured where somebody reads it."""
        if not count:
            return
        config = gan_config(recipe, len(labels) if recipe.conditional else 1)
        settings = recipe.gan_train
        self.gans += count
        self.gan_steps += count * settings.steps
        generator, critic = map(_size, without_weights(config))
        weights = 4 * (_COPIES * (generator + critic) + generator)
        batch = 8 * settings.batch_size * config.num_samples * config.channels
        what, smaller = "a GAN and a batch of clips", "take a smaller --gan-dim or --gan-batch-size"
        check_memory(weights + batch, what, smaller)
        kept = min(settings.keep_checkpoints, 1 + settings.steps // settings.checkpoint_every)
        self.disk_bytes += count * kept * weights
        if not progress.quiet:
            seconds = count * settings.steps * seconds_a_gan_step(config, settings, progress)
            self.seconds = (self.seconds or 0.0) + seconds
            self.gan_seconds += seconds

    def add_fits(
        self,
        recipe: Recipe,
        num_samples: int,
        num_classes: int,
        count: int,
        steps: int,
        progress: Progress,
    ) -> None:
        """So many classifiers of a recipe on clips of a length, of ``steps`` steps in all."""
        if not count:
            return
        try:
            recipe.fit.checked(steps // count, num_classes)
        except ValueError as error:
            raise ValueError(in_options(error, names_of(FitConfig, "fit-"))) from None
        self.fits += count
        self.fit_steps += steps
        if recipe.fit.patience is not None:
            self.unless = STOPS_EARLY
        shape = recipe.input_shape(num_samples)
        weights = 4 * _size(nnx.eval_shape(lambda: recipe.network(shape, num_classes)))
        batch = 12 * recipe.fit.batch_size * math.prod(shape)
        rates = _STEP * steps // count
        what, smaller = "a classifier, a batch and its steps", "give a smaller batch or fewer steps"
        check_memory(_COPIES * weights + batch + rates, what, smaller)
        self.disk_bytes += count * weights
        if not progress.quiet and recipe.fit.optimizer not in AT_ONCE:  # a part of their steps
            seconds = steps * seconds_a_fit_step(recipe, shape, num_classes, progress)
            self.seconds = (self.seconds or 0.0) + seconds

    def say(self, progress: Progress, folder: Path) -> None:
        """Say it; a ValueError where the disk is too small for it."""
        progress.say(str(self))
        if Run(folder).of_other_code:
            progress.say(
                "the code has changed since this run was last worked on: what it made is left in "
                "stages/, and made again"
            )
        check_disk(self.disk_bytes, folder, "this run", "make room, or choose another --out")

    @property
    def shared_seconds(self) -> float | None:
        """That the workers need at least: those whose cores are fewer take longer for a step."""
        if self.seconds is None or self.workers is None:
            return None
        times = (self.gans, self.gan_seconds), (self.fits, self.seconds - self.gan_seconds)
        return sum(seconds / min(self.workers, count) for count, seconds in times if count)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"shared_seconds": self.shared_seconds}

    def __str__(self) -> str:
        parts = [counted(self.tracks, "track")]
        if self.clips:
            parts.append(counted(self.clips, "real clip"))
        if (self.cells or 1) > 1:
            parts.append(f"{self.cells} cells (folds, draws, amounts)")
        for count, steps, what in (
            (self.gans, self.gan_steps, "GAN"),
            (self.fits, self.fit_steps, "classifier"),
        ):
            if count:
                parts.append(f"{counted(count, what)} to train ({counted(steps, 'step')})")
        if not self.gans and not self.fits:
            parts.append("nothing left to train")
        elif self.seconds is not None:
            unless = f" ({self.unless})" if self.unless else ""
            parts.append(f"about {duration(self.seconds)} of training{unless}")
            if self.workers and (least := self.shared_seconds) is not None:
                parts.append(f"at least {duration(least)} by {counted(self.workers, 'worker')}")
        parts.append(f"about {self.disk_bytes / 1e6:,.0f} MB of disk")
        return "plan: " + ", ".join(parts)


def total(plans: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Several plans of the same data as one."""
    sums = {
        name: sum(plan[name] or 0 for plan in plans)
        for name in ("gans", "gan_steps", "fits", "fit_steps", "seconds", "disk_bytes")
    }
    return {name: max(plan[name] for plan in plans) for name in ("tracks", "clips")} | sums


def steps_of(settings: FitConfig, examples: int) -> int:
    """Steps of a fit on so many examples."""
    return settings.steps or (settings.epochs or 1) * settings.steps_an_epoch(examples)


def _size(network: nnx.Module) -> int:
    """Numbers in the weights of a network."""
    return sum(leaf.size for leaf in jax.tree.leaves(nnx.state(network)))


# --- the time of a step --------------------------------------------------------------------------


def seconds_a_gan_step(config: WaveGANConfig, settings: TrainConfig, progress: Progress) -> float:
    """Seconds that a generator step takes, with its critic steps: remembered, else measured."""
    name = _gan_name(config, settings)
    if (known := recall(name)) is not None:
        return known
    progress.compiling("a step of a GAN, to tell how long all will take")
    rng, count = np.random.default_rng(0), max(settings.batch_size, 2)
    noise = rng.uniform(-0.5, 0.5, (count, config.num_samples, config.channels))
    labels = np.arange(count) % config.num_classes if config.num_classes else None
    seconds = wavegan.seconds_per_step(
        noise.astype(np.float32), config, settings, labels=labels, seconds=_MEASURING
    )
    return remember(name, seconds)


def remember_gan_step(config: WaveGANConfig, settings: TrainConfig, seconds: float) -> None:
    """Keep what a step took in a run, for the plans of later ones."""
    remember(_gan_name(config, settings), seconds)


def _gan_name(config: WaveGANConfig, settings: TrainConfig) -> str:
    fixed = {name: x for name, x in as_dict(settings).items() if name not in {*CADENCE, "seed"}}
    return _name({"wavegan": as_dict(config), "train": fixed})


def seconds_a_fit_step(
    recipe: Recipe, shape: tuple[int, ...], num_classes: int, progress: Progress
) -> float:
    """Seconds that a training step of the recipe's network takes: remembered, else measured."""
    size, fit = recipe.fit.batch_size, recipe.fit
    kind = [fit.compute_dtype, fit.optimizer, fit.framework]
    network = [recipe.architecture, dict(recipe.options), *shape, num_classes]
    name = _name([*network, size, *kind])
    if (known := recall(name)) is not None:
        return known
    progress.compiling(f"a step of {recipe.name}, to tell how long all will take")
    inputs = np.random.default_rng(0).normal(size=(size, *shape)).astype(np.float32)
    labels = np.arange(size) % num_classes
    model = recipe.network(shape, num_classes)
    return remember(name, classifiers.seconds_per_step(model, (inputs, labels), recipe.fit))


def _name(what: Any) -> str:
    """What is timed, and where, as a short name."""
    return key_of([what, hardware(), cores()])
