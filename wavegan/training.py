"""Training WaveGANs: the loop, and what it keeps of each GAN."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh

from features.storage import Interrupted
from wavegan.devices import CLIP_AXES, advance, fitted, place, whole_mesh
from wavegan.distributed import agreed, fetched, first
from wavegan.export import located, read_exported
from wavegan.networks import Discriminator, Generator, WaveGANConfig, definitions
from wavegan.players import State, Terms
from wavegan.run_folder import CheckpointError, RunFolder
from wavegan.start import Init, read_state
from wavegan.step import compiled_draw, compiled_step
from wavegan.train_config import TrainConfig
from wavegan.training_run import Inspector, Job, TrainingRun, with_weights
from wavegan.windows import Recordings, Source, together
from wavegan.writer import Writer

AT_ONCE = 10  # steps that an accelerator is given at a time, at most
QUICK = 2**22  # bytes of states whose checkpoints are waited for: they take a tenth of a second


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

    def __repr__(self) -> str:
        last = self.history[-1]["gan/step"] if self.history else 0
        best = "" if self.best_step is None else f", best at step {self.best_step:,}"
        rows = f"{len(self.history):,} rows of history"
        return f"TrainResult(step {last:,.0f}{best}, {rows}, {self.ema_generator!r})"


class TrainingInterrupted(Interrupted):
    """The run was asked to stop; the state is saved and the same call resumes it."""


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
    init: Init | None = None,
) -> TrainResult:
    """Train a WaveGAN on windows of ``audio``; the same call resumes ``run_dir``.

    A run that was killed and resumed ends with the weights of one that was not, bit for bit on
    a CPU: every draw depends on the seed and the step alone. All devices are used, each for a
    part of the batch, also those of other processes (`wavegan.distributed.join`): all make the
    same call, the first one alone inspects, logs and writes.

    Parameters
    ----------
    audio : clips (N, L, C) or a sequence of recordings (L_i, C); float in [-1, 1] or int16.
        Mono may lack its channel: (N, L), or recordings (L_i,). What goes beyond ±1 is warned of.
    config, train_config : the networks, and how they are trained.
    labels : the class (an int from 0) of each recording, for a conditional GAN.
    run_dir : folder for the configuration, metrics and checkpoints; None keeps nothing.
    provenance : what ``audio`` is (track ids and hashes), kept in ``run_dir`` as it is.
    on_log : called with the metrics every ``log_every`` steps.
    should_stop : asked after each step, on an accelerator after some; True saves the state and
        raises TrainingInterrupted (of several processes any may ask, which counts at the next
        log).
    inspect : functions ``(step, averaged generator) -> metrics``, called every
        ``inspect_every`` steps and at the end; their metrics join the history.
    init : weights to start from instead of drawn ones: a generator, a generator and its critic,
        a run folder (its averaged generator and its critic, of the best checkpoint or else the
        newest), a file of `export`, or a ``.npz`` of the reference's variables. Layers that do
        not fit start as drawn and are named in a warning; optimisers start anew. What it was
        trained on joins the provenance, as ``ancestors``; one that is given there stands.

    Raises
    ------
    ValueError
        For audio or labels that do not fit, a ``run_dir`` of another configuration or of other
        weights to start from, or an ``init`` of which no layer fits.
    TrainingDiverged
        Where a loss is not finite or the generator is silent or collapsed; the last good
        checkpoint stays.
    OutOfDeviceMemory
        Where the step does not fit, with what it needs and what makes it smaller.
    """
    about = provenance or {}
    job = Job(audio, train_config.seed, labels, run_dir, about, on_log, tuple(inspect), init)
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
    with Writer() as writer:
        return _trained(jobs, config, train_config, should_stop, writer)


def _trained(
    jobs: Sequence[Job],
    config: WaveGANConfig,
    train_config: TrainConfig,
    should_stop: Callable[[], bool] | None,
    writer: Writer,
) -> list[TrainResult]:
    mesh = whole_mesh(len(jobs), train_config.batch_size)
    runs = [TrainingRun(job, config, train_config) for job in jobs]
    start = first(lambda: _common_step(runs))
    states = [run.begin(start) for run in runs]
    if start == train_config.steps or _enough(runs):
        return [_result(run, state) for run, state in zip(runs, states, strict=True)]
    begun = place(_stacked(states), mesh, "gan")
    terms = _last_penalty(runs) if start else {}
    asked = False
    clock = time.perf_counter()
    saved, minutes = clock, train_config.checkpoint_minutes
    timed: int | None = None
    for step, state, new in _steps(runs, begun, start, mesh, train_config.next_pause):
        terms |= new  # a penalty stays until the next one
        if timed is None:  # all is compiled
            timed, clock = step, time.perf_counter()
        last = step == train_config.steps
        inspecting = last or (train_config.inspect_every and step % train_config.inspect_every == 0)
        logging = inspecting or step % train_config.log_every == 0 or step == 1
        if logging:
            values = fetched(terms)
            ema = fetched(state["ema"]) if inspecting else None
            now = time.perf_counter()
            rate = (step - timed) / (now - clock)
            for i, run in enumerate(runs):
                run.log(step, _part_of(values, i), _part_of(ema, i), rate, last=last)
            clock += time.perf_counter() - now  # inspecting is no training
        asked = asked or (should_stop is not None and should_stop())
        # Several processes speak to each other seldom: it holds up their devices.
        stopping = (logging or jax.process_count() == 1) and agreed(asked)
        done = logging and _enough(runs)
        best = logging and any(run.best_step == step for run in runs)
        due = step % train_config.checkpoint_every == 0
        if minutes is not None and (logging or jax.process_count() == 1):
            due = first(partial(_older, saved, minutes)) or due
        if last or stopping or done or best or due:
            whole, saved = fetched(state), time.perf_counter()
            writes = [run.saving(step, _copy_of(whole, i)) for i, run in enumerate(runs)]
            if not any(run.doubtful for run in runs):  # all are saved then: a step in common stays
                writes += [partial(run.prune, step) for run in runs]
            writer.start(writes)
            if sum(leaf.nbytes for leaf in jax.tree.leaves(whole)) < QUICK:
                writer.finish()
        if all(run.failed for run in runs) or done:
            break
        if stopping and not last:
            writer.finish()
            raise TrainingInterrupted(f"stopped at step {step} of {train_config.steps}")
    writer.finish()
    for run in runs:
        if run.failed:
            raise run.failed
    whole = fetched(state)
    return [_result(run, _part_of(whole, i)) for i, run in enumerate(runs)]


def training_states(
    audio: Recordings,
    config: WaveGANConfig,
    train_config: TrainConfig,
    *,
    labels: Sequence[int] | np.ndarray | None = None,
) -> Iterator[State]:
    """The state after each step that `train` would do, without end; nothing is logged or kept.

    For timing: what a step costs here, its clips included. The step is compiled before the
    first state comes, where it is not already. A state is used up by the next step.

    Raises
    ------
    As `train`.
    """
    endless = replace(train_config, steps=sys.maxsize)
    run = TrainingRun(Job(audio, train_config.seed, labels), config, endless)
    mesh = whole_mesh(1, train_config.batch_size)
    begun = place(_stacked([run.begin(0)]), mesh, "gan")
    return (state for _, state, _ in _steps([run], begun, 0, mesh, lambda step: step + 1))


def seconds_per_step(
    audio: Recordings,
    config: WaveGANConfig,
    train_config: TrainConfig,
    *,
    labels: Sequence[int] | np.ndarray | None = None,
    seconds: float = 2.0,
) -> float:
    """What a generator step of such a training takes here, all its critic steps included.

    Measured for ``seconds`` after the step is compiled (which `train` then need not do again in
    this process), over whole rounds of ``penalty_every`` steps; the median round counts.

    Raises
    ------
    As `train`.
    """
    states = training_states(audio, config, train_config, labels=labels)
    jax.block_until_ready([next(states) for _ in range(train_config.penalty_every)][-1])
    rounds: list[float] = []
    while not rounds or sum(rounds) < seconds:
        began = time.perf_counter()
        jax.block_until_ready([next(states) for _ in range(train_config.penalty_every)][-1])
        rounds.append(time.perf_counter() - began)
    return statistics.median(rounds) / train_config.penalty_every


def _result(run: TrainingRun, state: State) -> TrainResult:
    state = jax.device_put(state)
    generator, critic = definitions(run.config)
    return TrainResult(
        nnx.merge(generator, state["generator"]),
        nnx.merge(generator, state["ema"]),
        nnx.merge(critic, state["critic"]),
        run.history,
        run.best_step,
    )


def load(path: str | Path, *, ema: bool = True, step: int | str | None = None) -> Generator:
    """The generator of a run folder, or of a file that `export` wrote.

    Parameters
    ----------
    path : a folder that `train` wrote, a ``.safetensors`` file, or "digits", which comes with the
        package (``wavegan/models``).
    ema : the moving average of the weights (usually better), not the last ones.
    step : of this checkpoint, or "best"; None is the newest whole one.

    Raises
    ------
    ValueError
        Where ``path`` holds no GAN that this version knows.
    CheckpointError
        Where no checkpoint (or none of ``step``) is whole.
    """
    path = located(path)
    if path.suffix == ".safetensors":
        if step is not None:
            raise ValueError(f"{path} holds one generator, found step={step}: leave it out")
        return read_exported(path)[0]
    config, state = read_state(RunFolder(path), step)
    return with_weights(config, state["ema" if ema else "generator"])


def _common_step(runs: Sequence[TrainingRun]) -> int:
    """The newest step at which every GAN has a whole checkpoint; 0 is the start."""
    folders = [run.folder for run in runs if run.folder]
    steps = [set(folder.steps()) for folder in folders]
    if not any(steps):
        return 0
    if len(runs) == 1:
        return folders[0].whole_step()  # which names what is damaged
    if len(folders) == len(runs):
        for step in sorted(set.intersection(*steps), reverse=True):
            if all(folder.is_whole(step) for folder in folders):
                return step
        # A kill while the first checkpoints were written: little is lost.
        if max(set.union(*steps)) <= runs[0].train_config.checkpoint_every:
            return 0
    raise CheckpointError(
        f"{', '.join(str(folder.path) for folder in folders)}: not all GANs have a whole "
        "checkpoint of one step in common: train them one at a time, or delete the folders "
        "to train again"
    )


def _last_penalty(runs: Sequence[TrainingRun]) -> dict[str, Any]:
    """The penalties that were last logged, which count until the next penalised step."""
    last = {}
    for name in ("penalty", "spectrogram_penalty"):
        logged = [
            next((r[f"gan/{name}"] for r in reversed(run.history) if f"gan/{name}" in r), None)
            for run in runs
        ]
        if None not in logged:
            last[name] = np.array(logged, np.float32)
    return last


def _enough(runs: Sequence[TrainingRun]) -> bool:
    """Whether all have been trained enough, where that is to end the run."""
    return runs[0].train_config.stop_when_done and all(run.trained for run in runs)


def _steps(
    runs: Sequence[TrainingRun],
    state: State,
    start: int,
    mesh: Mesh,
    pause: Callable[[int], int],
) -> Iterator[tuple[int, State, Terms]]:
    """Steps after ``start``, the state after each and its terms; ``state`` is donated.

    On a CPU each step; elsewhere, where the recordings lie on the device, some of them, among
    them each that ``pause`` says is the next one that matters after another.
    """
    config, steps = runs[0].config, runs[0].train_config.steps
    every = runs[0].train_config.penalty_every
    source = None
    if all(run.windows.store == "device" for run in runs):
        source = place(together([run.windows.source for run in runs]), mesh, "gan")
    drawing = None if jax.default_backend() == "cpu" else source
    compiled = partial(compiled_step, config, mesh=mesh, gans=len(runs), source=drawing)
    train_config = fitted(runs[0].train_config, compiled)
    programs = {
        penalised: compiled(train_config, penalised=penalised)
        for penalised in ({True, False} if every > 1 else {True})
    }
    batches = _batches(runs, source, start, mesh)
    step = start
    while step < steps:
        penalised, count = step % every == 0, 1
        if drawing is None:
            given: tuple = next(batches)
        else:
            alike = steps if every == 1 else 1 if penalised else every - step % every
            count = min(pause(step), steps, step + alike, step + AT_ONCE) - step
            given = drawing, np.int32(count)
        state, terms = advance(programs[penalised], state, given, wait=step == start)
        step += count
        yield step, state, terms


def _batches(
    runs: Sequence[TrainingRun], source: Source | None, start: int, mesh: Mesh
) -> Iterator[tuple]:
    """The clips and labels of each step after ``start``, on the devices."""
    config, train_config = runs[0].config, runs[0].train_config
    if source is None:
        shape = (train_config.critic_steps, train_config.batch_size)
        streams = [run.windows.stream(run.keys(start), shape) for run in runs]
        for batches in zip(*streams, strict=True):
            yield place(_stacked([(b.clips, b.labels) for b in batches]), mesh, *CLIP_AXES)
        return
    draw = compiled_draw(config, train_config.critic_steps, train_config.batch_size, mesh)
    keys = [np.asarray(jax.random.key_data(jax.random.key(run.job.seed))) for run in runs]
    placed = place(np.stack(keys), mesh, "gan")
    for step in range(start + 1, train_config.steps + 1):
        yield draw(source, placed, np.int32(step))


@jax.jit
def _stacked(trees: Sequence[Any]) -> Any:
    # One program: of eager ones, each shape would be one to compile.
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def _part_of(tree: Any, i: int) -> Any:
    return jax.tree.map(lambda leaf: leaf[i], tree)


def _copy_of(tree: Any, i: int) -> Any:
    """As `_part_of`, in memory of its own: on a CPU else that of a step that is to come."""
    return jax.tree.map(lambda leaf: np.array(leaf[i]), tree)


def _older(moment: float, minutes: float) -> bool:
    return time.perf_counter() - moment >= 60 * minutes
