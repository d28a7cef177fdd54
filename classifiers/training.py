"""Training a classifier, or several that differ in their seeds."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from classifiers.fit_config import LBFGS, MEMORY, FitConfig
from classifiers.fit_data import Pair, checked, checked_weights
from classifiers.fit_folder import FitFolder, identity_of
from classifiers.history import History, Member
from classifiers.logistic_regression import fit_last_layers
from classifiers.neighbours import remember
from classifiers.prediction import gather, score
from classifiers.step import Augment, member_of, training_step
from features.storage import Interrupted

_LOG_EVERY = 10  # steps between two messages with nothing but the training loss
_TIMED = 4  # steps
_AT_ONCE = {LBFGS: fit_last_layers, MEMORY: remember}
Log = Callable[[dict[str, float]], None]


class FitInterrupted(Interrupted):
    """A fit was asked to stop before its end."""


def fit(
    model: nnx.Module,
    train: Pair,
    valid: Pair | None,
    config: FitConfig,
    *,
    seed: int,
    sample_weights: Any | None = None,
    on_log: Log | None = None,
    augment: Augment | None = None,
    run_dir: str | Path | None = None,
    should_stop: Callable[[], bool] | None = None,
    snapshots: Collection[int] = (),
    on_snapshot: Callable[[int, nnx.Module], object] | None = None,
) -> History:
    """Train ``model`` in place and leave it with the weights of the lowest validation loss.

    Without ``config.restore_best`` it is left with the last ones.

    The same seed, model and data give bit-identical weights on a CPU, also where the fit was
    killed and resumed on the way.

    Parameters
    ----------
    model : from :func:`classifiers.create`.
    train : inputs (N, ...), anything that an index array picks clips from (NumPy, a memory
        map, JAX), and labels (N,): whole numbers below the network's number of classes, or
        names, which are numbered as they sort (``History.labels``). The clips are shuffled
        anew each epoch; epochs follow each other without a gap, so that every batch is full
        and every clip is used equally often. On an accelerator with room for them, inputs in
        a JAX array need not be copied to it batch by batch.
    valid : the same, or None: then the last weights stay.
    config : the budget and the optimiser.
    seed : of the shuffling, the dropout and the augmentation.
    sample_weights : a number for each training clip, not negative: its share of the loss. They
        are scaled to a mean of 1, so that only their ratios count; the validation loss and all
        accuracies weigh clips alike. A clip that ``augment`` blends with another keeps its own.
    on_log : called with ``classifier/step``, ``/total_steps`` and ``/loss`` every few steps,
        and at an evaluation also with ``/accuracy``, ``/valid_loss`` and ``/valid_accuracy``.
    augment : ``augment(key, inputs (n, ...), targets (n, K)) -> (inputs, targets)`` changes
        each training batch, with another key each step, within the compiled step; targets
        are one-hot. A hashable callable: a frozen dataclass or a function.
    run_dir : a folder to save to at evaluations, no oftener than a twentieth of the time
        allows; the same call, with a new model of the same weights, then goes on from there.
        At the end it holds the best weights and the history. Nothing is saved by the
        optimizers "lbfgs" and "memory", which start again.
    should_stop : asked after each step; True ends the fit, saving it first.
    snapshots, on_snapshot : steps after which ``on_snapshot(step, model)`` is called with the
        weights of that step; a fit that is resumed may call it for a step again.

    Raises
    ------
    ValueError
        Inputs and labels that do not belong together or with the network, or a ``run_dir``
        of another fit.
    FloatingPointError
        A loss is not finite. The model then is as it was before.
    FitInterrupted
        ``should_stop`` said so. The model is as it was before.
    """

    def of_one(step: int, models: Sequence[nnx.Module]) -> None:
        if on_snapshot is not None:
            on_snapshot(step, models[0])

    (history,) = fit_together(
        [model],
        train,
        valid,
        config,
        seeds=[seed],
        sample_weights=sample_weights,
        on_log=on_log,
        augment=augment,
        run_dir=run_dir,
        should_stop=should_stop,
        snapshots=snapshots,
        on_snapshot=of_one,
    )
    return history


def seconds_per_step(model: nnx.Module, train: Pair, config: FitConfig) -> float:
    """What a training step of such a fit takes here, once it is compiled.

    ``model`` is trained for a few steps. Parameters are those of :func:`fit`.
    """
    ends: list[float] = []

    def after_each_step() -> bool:
        ends.append(time.perf_counter())
        return False

    few = replace(
        config,
        steps=_TIMED,
        epochs=None,
        patience=None,
        eval_every=None,
        schedule="constant",
        warmup_steps=0,
    )
    fit(model, train, None, few, seed=0, should_stop=after_each_step)
    return (time.perf_counter() - ends[0]) / (_TIMED - 1)


def fit_together(
    models: Sequence[nnx.Module],
    train: Pair,
    valid: Pair | None,
    config: FitConfig,
    *,
    seeds: Sequence[int],
    sample_weights: Any | None = None,
    on_log: Log | None = None,
    augment: Augment | None = None,
    run_dir: str | Path | None = None,
    should_stop: Callable[[], bool] | None = None,
    snapshots: Collection[int] = (),
    on_snapshot: Callable[[int, Sequence[nnx.Module]], object] | None = None,
) -> list[History]:
    """Train networks of one architecture on the same data, each with its own seed, at once.

    Each is shuffled, dropped out, evaluated, stopped early and left with its best weights as
    :func:`fit` would do it alone; the numbers differ by rounding. The networks' arrays are
    stacked and mapped over in one program, which pays where one network leaves an accelerator
    idle. On a CPU a small LSTM gains about a fifth by it, and a convolutional network loses,
    since its mapped convolutions are grouped ones: fit those one after another.

    Parameters are those of :func:`fit`, with lists of models and of as many seeds. Logs hold
    ``classifier/seed`` beside the rest where there is more than one.
    """
    graph, data, targets, config, names = checked(models, train, valid, config, seeds)
    weights = checked_weights(sample_weights, len(targets))
    (inputs, _), held_out = data["train"], data["valid"]
    if (fit_at_once := _AT_ONCE.get(config.optimizer)) is not None:
        if augment is not None:
            raise ValueError(f"augment alters batches, and {config.optimizer!r} has none")
        if should_stop is not None and should_stop():
            raise FitInterrupted(_interrupted(0, config, None))
        about: Any = {"seeds": seeds, "sample_weights": weights}
        about |= {"snapshots": snapshots, "on_snapshot": on_snapshot}
        members = fit_at_once(models, data["train"], held_out, config, **about)
        for member in members:
            _tell(on_log, member, member.history.num_steps, config, len(seeds))
        return [replace(member.history, labels=names) for member in members]
    step, state = training_step(models, config, augment=augment)
    members, best, taken = [Member(seed) for seed in seeds], None, 0
    folder = None
    if run_dir is not None:
        folder = FitFolder(run_dir, identity_of(models, data, config, seeds, augment, weights))
        if saved := folder.restore(state=state, best=state[:2]):
            taken, members, (state, best) = saved
    keys = jnp.stack([jax.random.key(seed) for seed in seeds])
    pending: list[Array] = []  # scores still being computed

    for batch in islice(_batches(len(targets), config.batch_size, seeds), taken, config.steps):
        if all(member.done for member in members):
            break
        taken += 1
        weighted = None if weights is None else weights[batch]
        state, scores = step(state, gather(inputs, batch), targets[batch], taken, keys, weighted)
        pending.append(scores)
        if on_snapshot is not None and taken in snapshots:
            every = range(len(models))
            on_snapshot(taken, [nnx.merge(graph, *member_of(state[:2], i)) for i in every])
        evaluating = taken == config.steps or taken % (config.eval_every or 1) == 0
        stopping = should_stop is not None and should_stop()
        if not evaluating and not stopping and taken % _LOG_EVERY:
            continue

        running = [(i, member) for i, member in enumerate(members) if not member.done]
        losses = np.asarray(jax.device_get(pending), np.float64)
        pending = []
        for i, member in running:
            member.record(losses[:, i], taken, config)
        if evaluating and held_out:
            scored = score(graph, state[:2], len(seeds), held_out, config.batch_size)
            better = np.zeros(len(seeds), bool)
            for i, member in running:
                better[i] = member.evaluate(taken, scored[i], config)
            best = _best(better, state[:2], best)
        elif evaluating:
            for _, member in running:
                member.evaluate(taken, None, config)
        for _, member in running:
            _tell(on_log, member, taken, config, len(seeds))
        over = all(member.done for member in members)
        if folder and not over and (stopping or (evaluating and folder.due)):
            folder.save(taken, members, state=state, best=best)
        if stopping and not over:
            raise FitInterrupted(_interrupted(taken, config, run_dir))

    if state is not None:  # as it is where the fit was found at its end
        best = best if held_out else state[:2]
        if folder:
            folder.save(taken, members, state=None, best=best)
    for i, model in enumerate(models):
        nnx.update(model, *member_of(best, i))
    return [replace(member.history, labels=names) for member in members]


def _batches(count: int, size: int, seeds: Sequence[int]) -> Iterator[np.ndarray]:
    """Index arrays (S, ``size``), each row cut from one shuffled epoch after the other."""
    generators = [np.random.default_rng(seed) for seed in seeds]
    left = np.empty((len(seeds), 0), int)
    while True:
        missing = range(-(-max(0, size - left.shape[1]) // count))
        epochs = [np.stack([each.permutation(count) for each in generators]) for _ in missing]
        left = np.hstack([left, *epochs])
        yield left[:, :size]
        left = left[:, size:]


@jax.jit
def _copied(tree: Any) -> Any:
    return jax.tree.map(jnp.copy, tree)


@jax.jit
def _chosen(better: Array, new: Any, old: Any) -> Any:
    def choose(new: Array, old: Array) -> Array:
        return jnp.where(better.reshape(-1, *[1] * (new.ndim - 1)), new, old)

    return jax.tree.map(choose, new, old)


def _best(better: np.ndarray, new: Any, old: Any) -> Any:
    """The new weights of those networks that have become better, in memory of their own."""
    if not better.any():
        return old
    return _copied(new) if better.all() else _chosen(better, new, old)


def _tell(on_log: Log | None, member: Member, taken: int, config: FitConfig, count: int) -> None:
    if on_log is not None:
        values = {"step": taken, "total_steps": config.steps or 0, **member.values()}
        if count > 1:
            values["seed"] = member.seed
        on_log({f"classifier/{name}": value for name, value in values.items()})


def _interrupted(taken: int, config: FitConfig, run_dir: str | Path | None) -> str:
    what = f"the fit was stopped at step {taken} of {config.steps}; the same call "
    if run_dir is None:
        return what + "starts again: with a run_dir it would go on from there"
    return what + f"goes on from {run_dir}"
