"""One GAN in training, as the host sees it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx

from features.storage import understanding
from wavegan.distributed import first
from wavegan.metrics import Standing, standing
from wavegan.networks import Generator, WaveGANConfig, definitions
from wavegan.players import State, initial_state
from wavegan.run_folder import RunFolder, as_dict
from wavegan.start import Init, Start, read_start
from wavegan.train_config import CADENCE, TrainConfig
from wavegan.watch import TrainingDiverged, Watch, refuse_broken
from wavegan.windows import Recordings, Windows
from wavegan.writer import Write

# How a training draws and what it penalises: by 1, of wavegan 0.2, recordings just above a clip won
# the windows; by 2, of 0.3, penalties lay on the spectrogram critic, too.
DRAWS = 3
_FULL_SCALE = 1.0001  # what rounding makes of 1
Inspector = Callable[[int, Generator], Mapping[str, float]]


@dataclass(frozen=True)
class Job:
    """One GAN of several to train: its data, seed and folder, as `train` takes them."""

    audio: Recordings
    seed: int = 0
    labels: Sequence[int] | np.ndarray | None = None
    run_dir: str | Path | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    on_log: Callable[[dict[str, float]], None] | None = None
    inspect: Sequence[Inspector] = ()
    init: Init | None = None


class TrainingRun:
    """One GAN in training, as the host sees it: its data, folder, metrics and best step."""

    def __init__(self, job: Job, config: WaveGANConfig, train_config: TrainConfig):
        if train_config.spectrogram_penalty and not config.spectrogram_critic:
            raise ValueError(
                f"spectrogram_penalty={train_config.spectrogram_penalty} needs a spectrogram "
                "critic, found spectrogram_critic=False: set it, or leave the penalty out"
            )
        together = train_config.batch_size // (train_config.accumulate or 1)
        if config.minibatch_stddev and together < 2:
            raise ValueError(
                "minibatch_stddev compares the clips that are worked together, found one alone "
                f"(batch_size={train_config.batch_size}, accumulate={train_config.accumulate}): "
                "take a larger batch or fewer parts"
            )
        self.job, self.config = job, config
        self.train_config = train_config = replace(train_config, seed=job.seed)
        self.windows = Windows(
            job.audio,
            num_samples=config.num_samples,
            channels=config.channels,
            labels=job.labels,
            num_classes=config.num_classes,
            batch_size=train_config.batch_size,
            slices=train_config.slices,
            overlap=train_config.overlap,
            random_start=train_config.random_start,
            pad_end=train_config.pad_end,
            peak_normalize=train_config.peak_normalize,
            store=train_config.store,
        )
        peak = self.windows.peak
        if peak > _FULL_SCALE and not train_config.peak_normalize:
            warnings.warn(
                f"the audio reaches {peak:.4g}, beyond the ±1 that a generator can make: divide it "
                f"by {peak:.4g}, or set peak_normalize=True",
                stacklevel=4,
            )
        self.folder = RunFolder(job.run_dir) if job.run_dir is not None else None
        self.watch = Watch()
        self.history: list[dict[str, float]] = []
        self.failed: TrainingDiverged | None = None
        if self.folder:
            first(self._claim)

    def begin(self, step: int) -> State:
        """The state after ``step`` steps: a checkpoint's, or the start."""
        key = jax.random.key(self.job.seed)
        fill = self.start.fill if self.job.init is not None and not step else None
        state = initial_state(self.config, self.train_config, key, fill)
        if self.folder and step:
            _, state = self.folder.restore(state, step=step)
        if self.folder:
            self.history = first(partial(self.folder.rewind_metrics, step))
            first(partial(self._mark_best, self._standing(self.history).best))
            if step:  # nor may it have come to this
                first(partial(self.prune, step))
        return state

    @cached_property
    def start(self) -> Start:
        """What the training starts from, where not from drawn weights; it fits some layers."""
        assert self.job.init is not None
        start = read_start(self.job.init, self.config)
        start.check(self.config)
        return start

    def keys(self, start: int) -> Iterator[jax.Array]:
        """The key of each step's clips."""
        k = jax.random.key(self.job.seed)
        return (jax.random.fold_in(k, 2 * s) for s in range(start + 1, self.train_config.steps + 1))

    def log(
        self,
        step: int,
        terms: Mapping[str, Any],
        ema: Any | None,
        rate: float,
        *,
        last: bool,
    ) -> None:
        """Check and keep the metrics of a step; with ``ema`` weights also the inspectors'."""
        if self.failed:
            return
        metrics = {"gan/step": step, **{f"gan/{k}": float(v) for k, v in terms.items()}}
        metrics["gan/steps_per_second"] = rate
        try:
            self.watch.check(metrics, last=last)
        except TrainingDiverged as error:
            self.failed = error
            return
        self.history.append(first(partial(self._told, metrics, ema)))

    def _told(self, metrics: dict[str, float], ema: Any | None) -> dict[str, float]:
        """The metrics with the inspectors', once they are in the folder and told to `on_log`."""
        if ema is not None and self.job.inspect:
            generator = with_weights(self.config, ema)
            for inspector in self.job.inspect:
                found = inspector(int(metrics["gan/step"]), generator)
                metrics |= {name: float(value) for name, value in found.items()}
        if (since := self._standing([*self.history, metrics]).enough_since) is not None:
            metrics["quality/enough_since"] = since
        if self.folder:
            self.folder.append_metrics(metrics)
        if self.job.on_log:
            self.job.on_log(metrics)
        return metrics

    def saving(self, step: int, state: State) -> Write:
        """What writes a checkpoint of ``state``, in numpy arrays: nothing of a GAN in doubt."""
        if not self.failed:
            try:
                refuse_broken(state, step)
            except TrainingDiverged as error:
                self.failed = error
        if self.failed or self.doubtful or not self.folder:
            return lambda: None
        folder, best = self.folder, self._standing(self.history).best  # it trains on meanwhile

        def write() -> None:
            folder.save(step, state)
            self._mark_best(best)

        return write

    def prune(self, step: int) -> None:
        """Drop the checkpoints that a newer one has made needless."""
        if self.folder and not self.failed:
            keep, hours = self.train_config.keep_checkpoints, self.train_config.keep_hours
            self.folder.prune(step, keep=keep, hours=hours)

    def _mark_best(self, best: Mapping[str, float] | None) -> None:
        """Say in the folder which checkpoint is the best.

        Also on resuming, for a kill may have come between the checkpoint and this.
        """
        if best and self.folder and best["gan/step"] in self.folder.steps():
            name = self.train_config.keep_best
            self.folder.mark_best(int(best["gan/step"]), name, best[name])

    @property
    def doubtful(self) -> bool:
        """Whether nothing is saved, for the generator is silent or collapsed just now."""
        return not self.failed and self.watch.doubtful

    @property
    def best_step(self) -> int | None:
        """The step with the best ``keep_best`` so far."""
        best = self._standing(self.history).best
        return int(best["gan/step"]) if best else None

    @property
    def trained(self) -> bool:
        """Whether more training no longer helps, by ``keep_best`` and ``patience``."""
        return self._standing(self.history).trained

    def _standing(self, history: Sequence[Mapping[str, float]]) -> Standing:
        settings = self.train_config
        return standing(history, metric=settings.keep_best, patience=settings.patience)

    def _claim(self) -> None:
        """Write the folder's configuration, or make sure that it is this run's and not beyond."""
        assert self.folder
        folder = self.folder
        done, steps = max(folder.steps(), default=0), self.train_config.steps
        if done > steps:
            raise ValueError(
                f"{folder.path} has done {done} steps already, steps is {steps}: take "
                f"steps={done} or more, `load` one of its checkpoints, or another run folder"
            )
        parts: dict[str, Any] = {
            "wavegan": as_dict(self.config),
            "train": as_dict(self.train_config),
            "audio": self.windows.digest(),
            "draws": DRAWS,
            "provenance": self.job.provenance,
            **self._origin(),
        }
        # A folder of an earlier version lacks the options that came later.
        defaults: dict[str, Any] = {
            "wavegan": as_dict(WaveGANConfig()),
            "train": as_dict(TrainConfig()),
        }
        defaults |= {"audio": parts["audio"], "draws": 1}
        folder.write_config(parts, tuple(f"train.{name}" for name in CADENCE), defaults)

    def _origin(self) -> dict[str, Any]:
        """What the folder says of ``init``, and the provenance with its ancestors.

        Where the folder says it of the same weights already, it stays, wherever they lie now; a
        path is not even read again once there are checkpoints.
        """
        init, folder = self.job.init, self.folder
        if init is None or folder is None:
            return {}
        path = str(Path(init).absolute()) if isinstance(init, str | Path) else None
        there = folder.read_config() if (folder.path / "config.json").exists() else {}
        with understanding(folder.path / "config.json", "restore it from a copy"):
            told = there.get("init", {})
            resumed = path is not None and path == told.get("from") and bool(folder.steps())
            if resumed or told.get("digest") == self.start.digest:
                ancestors = there["provenance"]["ancestors"]
            else:
                told = {"from": path or self.start.name, "digest": self.start.digest}
                ancestors = self.start.ancestors
        return {"init": told, "provenance": {"ancestors": ancestors, **self.job.provenance}}


def with_weights(config: WaveGANConfig, weights: Any) -> Generator:
    """A generator with ``weights``, which may be numpy arrays."""
    return nnx.merge(definitions(config)[0], jax.device_put(weights))
