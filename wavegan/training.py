"""Training WaveGANs: the loop, and what it keeps of each GAN."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh

from wavegan.distributed import agreed, device_memory, fetched, first
from wavegan.networks import Discriminator, Generator, WaveGANConfig
from wavegan.quality import METRICS, stopped_improving
from wavegan.run_folder import CheckpointError, RunFolder, as_dict
from wavegan.step import (
    CLIP_AXES,
    State,
    compiled_step,
    device_mesh,
    initial_state,
    needed_bytes,
    networks,
    place,
)
from wavegan.train_config import CADENCE, TrainConfig
from wavegan.watch import TrainingDiverged, Watch, refuse_broken
from wavegan.windows import Recordings, Windows

Inspector = Callable[[int, Generator], Mapping[str, float]]


@dataclass(frozen=True)
class TrainResult:
    """A trained GAN.

    Attributes
    ----------
    generator, ema_generator, discriminator : with the last weights, and their moving average.
    history : the logged metrics, oldest first.
    best_step : the step that was best by ``keep_best``; None without inspectors.
    """

    generator: Generator
    ema_generator: Generator
    discriminator: Discriminator
    history: list[dict[str, float]]
    best_step: int | None = None


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


class TrainingInterrupted(RuntimeError):
    """The run was asked to stop; the state is saved and the same call resumes it."""


class OutOfDeviceMemory(RuntimeError):
    """The training step does not fit on the device."""


def train(
    audio: Recordings,
    config: WaveGANConfig,
    train_config: TrainConfig,
    *,
    labels: Sequence[int] | np.ndarray | None = None,
    run_dir: str | Path | None = None,
    provenance: Mapping[str, Any] | None = None,
    on_log: Callable[[dict[str, float]], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    inspect: Sequence[Inspector] = (),
) -> TrainResult:
    """Train a WaveGAN on windows of ``audio``; the same call resumes ``run_dir``.

    A run that was killed and resumed ends with the weights of one that was not, bit for bit on
    a CPU: every draw depends on the seed and the step alone. All devices are used, each for a
    part of the batch, also those of other processes (`wavegan.distributed.join`): all make the
    same call, the first one alone inspects, logs and writes.

    Parameters
    ----------
    audio : clips (N, L, C) or a sequence of recordings (L_i, C); float in [-1, 1] or int16.
    config, train_config : the networks, and how they are trained.
    labels : the class (an int from 0) of each recording, for a conditional GAN.
    run_dir : folder for the configuration, metrics and checkpoints; None keeps nothing.
    provenance : what ``audio`` is (track ids and hashes), kept in ``run_dir`` as it is.
    on_log : called with the metrics every ``log_every`` steps.
    should_stop : asked after each step; True saves the state and raises TrainingInterrupted
        (of several processes any may ask, which counts at the next log).
    inspect : functions ``(step, averaged generator) -> metrics``, called every
        ``inspect_every`` steps and at the end; their metrics join the history.

    Raises
    ------
    ValueError
        For audio or labels that do not fit, or a ``run_dir`` of another configuration.
    TrainingDiverged
        Where a loss is not finite or the generator is silent or collapsed; the last good
        checkpoint stays.
    OutOfDeviceMemory
        Where the step does not fit, with what it needs and what makes it smaller.
    """
    job = Job(audio, train_config.seed, labels, run_dir, provenance or {}, on_log, tuple(inspect))
    return train_together([job], config, train_config, should_stop=should_stop)[0]


def train_together(
    jobs: Sequence[Job],
    config: WaveGANConfig,
    train_config: TrainConfig,
    *,
    should_stop: Callable[[], bool] | None = None,
) -> list[TrainResult]:
    """Train several GANs of one configuration in one program, each as `train` would alone.

    Worth it on a GPU, which one small GAN leaves nearly idle, and on several devices, over
    which the GANs are spread; a CPU is faster with one after another. A GAN that diverges is
    left behind while the others go on.

    Raises
    ------
    As `train`; TrainingDiverged comes after the other GANs are finished.
    """
    mesh = _mesh(len(jobs), train_config.batch_size)
    members = [_Member(job, config, train_config) for job in jobs]
    start = first(lambda: _common_step(members))
    states = [member.begin(start) for member in members]
    if start == train_config.steps or _enough(members):
        return [member.result(state) for member, state in zip(members, states, strict=True)]
    state = place(_stacked(states), mesh, "gan")
    train_config = _fitted(config, train_config, mesh, len(jobs))
    programs = {
        penalised: compiled_step(config, train_config, mesh, gans=len(jobs), penalised=penalised)
        for penalised in ({True, False} if train_config.penalty_every > 1 else {True})
    }
    terms: dict[str, Any] = {}
    asked = False
    clock = time.perf_counter()
    for step, batch in enumerate(_batches(members, start, mesh, train_config), start + 1):
        started = step == start + 1
        state, new = _run(programs[_penalised(step, train_config)], state, batch, wait=started)
        terms |= new  # a penalty stays until the next one
        if started:
            clock = time.perf_counter()
        last = step == train_config.steps
        inspecting = last or (train_config.inspect_every and step % train_config.inspect_every == 0)
        logging = inspecting or step % train_config.log_every == 0 or step == 1
        if logging:
            values = fetched(terms)
            ema = fetched(state["ema"]) if inspecting else None
            now = time.perf_counter()
            rate = (step - start - 1) / (now - clock)
            for i, member in enumerate(members):
                member.log(step, _member_of(values, i), _member_of(ema, i), rate, last=last)
            clock += time.perf_counter() - now  # inspecting is no training
        asked = asked or (should_stop is not None and should_stop())
        # Several processes speak to each other seldom: it holds up their devices.
        stopping = (logging or jax.process_count() == 1) and agreed(asked)
        done = logging and _enough(members)
        best = logging and any(member.best_step == step for member in members)
        if last or stopping or done or best or step % train_config.checkpoint_every == 0:
            whole = fetched(state)
            for i, member in enumerate(members):
                member.save(step, _member_of(whole, i))
            if not any(member.doubtful for member in members):
                for member in members:  # all are saved now: there is always a step in common
                    member.prune(step)
        if all(member.failed for member in members) or done:
            break
        if stopping and not last:
            raise TrainingInterrupted(f"stopped at step {step} of {train_config.steps}")
    for member in members:
        if member.failed:
            raise member.failed
    whole = fetched(state)
    return [member.result(_member_of(whole, i)) for i, member in enumerate(members)]


class _Member:
    """One GAN in training, as the host sees it: its data, folder, metrics and best step."""

    def __init__(self, job: Job, config: WaveGANConfig, train_config: TrainConfig):
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
        self.folder = RunFolder(job.run_dir) if job.run_dir is not None else None
        self.watch = Watch()
        self.history: list[dict[str, float]] = []
        self.failed: TrainingDiverged | None = None
        if self.folder:
            first(self._claim)

    def begin(self, step: int) -> State:
        """The state after ``step`` steps: a checkpoint's, or the start."""
        key = jax.random.key(self.job.seed)
        state = initial_state(self.config, self.train_config, key)
        if self.folder and step:
            _, state = self.folder.restore(state, step=step)
        if self.folder:
            self.history = first(partial(self.folder.rewind_metrics, step))
            first(self._mark_best)
        return state

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
        if (since := self._enough_since([*self.history, metrics])) is not None:
            metrics["quality/enough_since"] = since
        if self.folder:
            self.folder.append_metrics(metrics)
        if self.job.on_log:
            self.job.on_log(metrics)
        return metrics

    def save(self, step: int, state: State) -> None:
        """Write a checkpoint, unless the GAN is broken or in doubt."""
        if self.failed:
            return
        try:
            refuse_broken(state, step)
        except TrainingDiverged as error:
            self.failed = error
            return
        if self.folder and not self.doubtful:
            first(partial(self.folder.save, step, state))
            first(self._mark_best)

    def prune(self, step: int) -> None:
        """Drop the checkpoints that `save` has made needless."""
        if self.folder and not self.failed:
            keep, hours = self.train_config.keep_checkpoints, self.train_config.keep_hours
            first(partial(self.folder.prune, step, keep=keep, hours=hours))

    def _mark_best(self) -> None:
        """Say in the folder which checkpoint is the best.

        Also on resuming, for a kill may have come between the checkpoint and this.
        """
        best = self._best
        if best and self.folder and best["step"] in self.folder.steps():
            self.folder.mark_best(**best)

    @property
    def doubtful(self) -> bool:
        """Whether nothing is saved, for the generator is silent or collapsed just now."""
        return not self.failed and self.watch.doubtful

    @property
    def best_step(self) -> int | None:
        """The step with the best ``keep_best`` so far."""
        return self._best["step"] if self._best else None

    @property
    def _best(self) -> dict[str, Any]:
        name = self.train_config.keep_best
        rows = [row for row in self.history if np.isfinite(row.get(name, np.nan))]
        sign = 1 if METRICS.get(name, True) else -1
        best = min(rows, key=lambda r: sign * r[name], default=None)
        return {"step": int(best["gan/step"]), "metric": name, "value": best[name]} if best else {}

    @property
    def done(self) -> bool:
        """Whether more training no longer helps, by ``keep_best`` and ``patience``."""
        return self._enough_since(self.history) is not None

    def _enough_since(self, history: Sequence[Mapping[str, float]]) -> int | None:
        settings = self.train_config
        return stopped_improving(history, metric=settings.keep_best, patience=settings.patience)

    def result(self, state: State) -> TrainResult:
        state = jax.tree.map(jnp.asarray, state)
        generator, critic = networks(self.config)
        return TrainResult(
            nnx.merge(nnx.graphdef(generator), state["generator"]),
            nnx.merge(nnx.graphdef(generator), state["ema"]),
            nnx.merge(nnx.graphdef(critic), state["critic"]),
            self.history,
            self.best_step,
        )

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
            "provenance": self.job.provenance,
        }
        # A folder of an earlier version lacks the options that came later.
        defaults = {"wavegan": as_dict(WaveGANConfig()), "train": as_dict(TrainConfig())}
        defaults["audio"] = parts["audio"]
        folder.write_config(parts, tuple(f"train.{name}" for name in CADENCE), defaults)


def load(path: str | Path, *, ema: bool = True, step: int | str | None = None) -> Generator:
    """The generator of a run folder, or of a file that `export` wrote.

    Parameters
    ----------
    path : a folder that `train` wrote, or a ``.safetensors`` file.
    ema : the moving average of the weights (usually better), not the last ones.
    step : of this checkpoint, or "best"; None is the newest whole one.

    Raises
    ------
    ValueError
        Where ``path`` holds no GAN that this version knows.
    CheckpointError
        Where no checkpoint (or none of ``step``) is whole.
    """
    if Path(path).suffix == ".safetensors":
        from wavegan.export import read_exported

        if step is not None:
            raise ValueError(f"{path} holds one generator, found step={step}: leave it out")
        return read_exported(path)[0]
    folder = RunFolder(path)
    stored = folder.read_config()
    try:
        config = WaveGANConfig(**stored["wavegan"])
        train_config = TrainConfig(
            **stored["train"] | {"augment": tuple(stored["train"].get("augment", ()))}
        )
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"{folder.path / 'config.json'} describes no GAN that this version knows ({error}): "
            "is it the run folder of something else, or of a later version?"
        ) from None
    template = jax.eval_shape(lambda: initial_state(config, train_config, jax.random.key(0)))
    _, state = folder.restore(template, step=step)
    return with_weights(config, state["ema" if ema else "generator"])


def with_weights(config: WaveGANConfig, weights: Any) -> Generator:
    """A generator with ``weights``, which may be numpy arrays."""
    generator, _ = networks(config)
    return nnx.merge(nnx.graphdef(generator), jax.tree.map(jnp.asarray, weights))


def _common_step(members: Sequence[_Member]) -> int:
    """The newest step at which every GAN has a whole checkpoint; 0 is the start."""
    folders = [member.folder for member in members if member.folder]
    steps = [set(folder.steps()) for folder in folders]
    if not any(steps):
        return 0
    if len(members) == 1:
        return folders[0].whole_step()  # which names what is damaged
    if len(folders) == len(members):
        for step in sorted(set.intersection(*steps), reverse=True):
            if all(folder.is_whole(step) for folder in folders):
                return step
        # A kill while the first checkpoints were written: little is lost.
        if max(set.union(*steps)) <= members[0].train_config.checkpoint_every:
            return 0
    raise CheckpointError(
        f"{', '.join(str(folder.path) for folder in folders)}: not all GANs have a whole "
        "checkpoint of one step in common: train them one at a time, or delete the folders "
        "to train again"
    )


def _enough(members: Sequence[_Member]) -> bool:
    """Whether all have been trained enough, where that is to end the run."""
    return members[0].train_config.stop_when_done and all(member.done for member in members)


def _mesh(gans: int, batch_size: int) -> Mesh:
    """All devices that the batch can be divided among; some of each process."""
    mesh, processes = device_mesh(gans, batch_size), jax.process_count()
    used, there = mesh.devices.size, len(jax.devices())
    if len({device.process_index for device in mesh.devices.flat}) < processes:
        raise ValueError(
            f"batch_size {batch_size} can't be divided among the {there} devices of {processes} "
            f"processes: take a multiple of {there}, or fewer processes"
        )
    if used < there:
        warnings.warn(
            f"{used} of {there} devices are used: batch_size {batch_size} can't be divided among "
            "more",
            stacklevel=3,
        )
    return mesh


def _batches(
    members: Sequence[_Member], start: int, mesh: Mesh, train_config: TrainConfig
) -> Iterator[tuple[Any, Any]]:
    """Clips and labels of each step's batches, on the devices."""
    shape = (train_config.critic_steps, train_config.batch_size)
    streams = [member.windows.stream(member.keys(start), shape) for member in members]
    for batches in zip(*streams, strict=True):
        yield place(_stacked([(b.clips, b.labels) for b in batches]), mesh, *CLIP_AXES)


def _stacked(trees: Sequence[Any]) -> Any:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def _member_of(tree: Any, i: int) -> Any:
    return jax.tree.map(lambda leaf: leaf[i], tree)


def _penalised(step: int, train_config: TrainConfig) -> bool:
    return (step - 1) % train_config.penalty_every == 0


def _fitted(config: WaveGANConfig, train_config: TrainConfig, mesh: Mesh, gans: int) -> TrainConfig:
    """The configuration with as few parts of a batch as fit on the device, if it leaves that open.

    Where more than one are needed, a warning says so.
    """
    limit, batch = first(device_memory), train_config.batch_size
    given = train_config.accumulate
    choices = [given] if given else [n for n in range(1, batch + 1) if batch % n == 0]
    smallest = 0
    for parts in choices:
        fitted = replace(train_config, accumulate=parts)
        smallest = needed_bytes(compiled_step(config, fitted, mesh, gans=gans))
        if smallest <= limit:
            if parts > 1 and not given:
                warnings.warn(
                    f"a batch of {batch} needs more than the device's {limit / 1e9:.1f} GB: its "
                    f"gradients are added up over {parts} parts",
                    stacklevel=3,
                )
            return fitted
    raise OutOfDeviceMemory(_too_large(smallest, limit, train_config))


def _run(
    program: jax.stages.Compiled, state: State, batch: tuple, *, wait: bool
) -> tuple[State, dict[str, Any]]:
    """A step; ``wait`` for its end, for memory may run out after it has begun."""
    try:
        new = program(state, *batch)
        return jax.block_until_ready(new) if wait else new
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        raise OutOfDeviceMemory(
            f"the device ran out of memory in a training step, which needs "
            f"{needed_bytes(program) / 1e9:.2f} GB: other programs may hold some; "
            "set accumulate=2 (or more), or a smaller batch_size, dim or num_samples"
        ) from None


def _too_large(needed: int, limit: int, train_config: TrainConfig) -> str:
    return (
        f"a training step needs {needed / 1e9:.2f} GB on each device, which has "
        f"{limit / 1e9:.2f} GB: take a smaller batch_size (found {train_config.batch_size}), dim "
        f"or num_samples, or accumulate (found {train_config.accumulate}) in more parts"
    )
