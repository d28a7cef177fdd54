"""Training a classifier, and predicting with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from itertools import islice
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax import Array

from classifiers.metrics import check_labels

OPTIMIZERS: tuple[str, ...] = ("adam", "rmsprop", "sgd")
State = Any  # nnx.State, a tree of arrays
_LOG_EVERY = 10  # steps between two messages with nothing but the training loss


@dataclass(frozen=True)
class FitConfig:
    """How long and how to train. One of ``steps`` and ``epochs`` is needed.

    Parameters
    ----------
    batch_size : clips in a step.
    steps : optimiser steps to take.
    epochs : the same budget as passes over the training set.
    learning_rate, optimizer : "adam", "rmsprop" (with Keras's constants) or plain "sgd".
    eval_every : steps between two evaluations; once an epoch by default. The last step is
        always evaluated.
    patience : stop after so many evaluations in a row without a lower validation loss; by
        default the whole budget is run. The best weights are restored in both cases.
    """

    batch_size: int = 64
    steps: int | None = None
    epochs: int | None = None
    learning_rate: float = 1e-4
    optimizer: str = "adam"
    eval_every: int | None = None
    patience: int | None = None

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.epochs is None):
            raise ValueError(
                f"FitConfig takes one of steps and epochs, not steps={self.steps}, "
                f"epochs={self.epochs}"
            )
        for name in ("batch_size", "steps", "epochs", "eval_every", "patience"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"FitConfig: {name} is at least 1, not {value}")
        if not 0 < self.learning_rate < float("inf"):
            raise ValueError(f"FitConfig: learning_rate is positive, not {self.learning_rate}")
        if self.optimizer not in OPTIMIZERS:
            raise ValueError(f"FitConfig: optimizer is one of {OPTIMIZERS}, not {self.optimizer!r}")


@dataclass(frozen=True)
class History:
    """What happened in :func:`fit`: lists with one entry an evaluation, and the outcome.

    Attributes
    ----------
    steps : optimiser steps taken at each evaluation.
    train_loss, train_accuracy : means over the batches since the evaluation before, in
        training mode.
    valid_loss, valid_accuracy : on the whole validation set; empty without one.
    best_step : the step whose weights the model was left with (the last without validation).
    num_steps : optimiser steps taken.
    stopped_early : whether patience ran out before the budget.
    """

    steps: list[int] = field(default_factory=list)
    train_loss: list[float] = field(default_factory=list)
    train_accuracy: list[float] = field(default_factory=list)
    valid_loss: list[float] = field(default_factory=list)
    valid_accuracy: list[float] = field(default_factory=list)
    best_step: int = 0
    num_steps: int = 0
    stopped_early: bool = False

    def to_dict(self) -> dict[str, Any]:
        """The history as plain numbers and lists, for JSON."""
        return asdict(self)


def fit(
    model: nnx.Module,
    train: tuple[Any, Any],
    valid: tuple[Any, Any] | None,
    config: FitConfig,
    *,
    seed: int,
    on_log: Callable[[dict[str, float]], None] | None = None,
) -> History:
    """Train ``model`` in place and leave it with the weights of the lowest validation loss.

    The same seed, model and data give bit-identical weights on a CPU.

    Parameters
    ----------
    model : from :func:`classifiers.create`.
    train : inputs (N, ...), anything that an index array picks clips from (NumPy, a memory
        map, JAX), and labels (N,). The clips are shuffled anew each epoch; epochs follow each
        other without a gap, so that every batch is full and every clip is used equally often.
    valid : the same, or None: then the last weights stay.
    config : the budget and the optimiser.
    seed : of the shuffling and the dropout.
    on_log : called with ``classifier/step``, ``/total_steps`` and ``/loss`` every few steps,
        and at an evaluation also with ``/accuracy``, ``/valid_loss`` and ``/valid_accuracy``.

    Raises
    ------
    ValueError
        Inputs and labels that do not belong together.
    FloatingPointError
        A loss is not finite. The model then is as it was before.
    """
    if valid is None and config.patience is not None:
        raise ValueError("patience watches the validation loss: give a validation set")
    graph, params, rest = _split(model)
    inputs, labels = _checked("train", *train, graph, params, rest)
    held_out = valid and _checked("valid", *valid, graph, params, rest)
    epoch = -(-len(labels) // config.batch_size)
    total_steps = config.steps or (config.epochs or 0) * epoch
    eval_every = config.eval_every or epoch
    log = on_log or (lambda values: None)

    step, state = training_step(model, config.optimizer, config.learning_rate)
    key = jax.random.key(seed)
    history, best, best_loss, best_step = History(), (params, rest), np.inf, 0
    pending: list[Array] = []  # scores still being computed
    running: list[np.ndarray] = []  # scores since the last evaluation
    misses = taken = 0
    for batch in islice(_batches(len(labels), config.batch_size, seed), total_steps):
        taken += 1
        state, scores = step(state, _gather(inputs, batch), labels[batch], taken, key)
        pending.append(scores)
        evaluate = taken % eval_every == 0 or taken == total_steps
        if taken % _LOG_EVERY and not evaluate:
            continue

        running += _finite(pending, taken, config)
        values = {"step": taken, "total_steps": total_steps, "loss": float(running[-1][0])}
        pending = []
        if evaluate:
            values["loss"], values["accuracy"] = np.mean(running, 0).tolist()
            running = []
            history.steps.append(taken)
            history.train_loss.append(values["loss"])
            history.train_accuracy.append(values["accuracy"])
        if evaluate and held_out:
            loss, accuracy = _score(graph, state[:2], *held_out, config.batch_size)
            if not np.isfinite(loss):
                raise FloatingPointError(_not_finite("validation", loss, taken, config))
            values |= {"valid_loss": loss, "valid_accuracy": accuracy}
            history.valid_loss.append(loss)
            history.valid_accuracy.append(accuracy)
            misses += 1
            if loss < best_loss:
                best, best_loss, best_step, misses = _copy(state[:2]), loss, taken, 0
        log({f"classifier/{name}": value for name, value in values.items()})
        if misses == config.patience:
            break

    if not held_out:
        best, best_step = state[:2], taken
    nnx.update(model, *best)
    return replace(history, best_step=best_step, num_steps=taken, stopped_early=taken < total_steps)


def predict(model: nnx.Module, inputs: Any, *, batch_size: int = 256) -> np.ndarray:
    """Class probabilities (N, K), float32, of inputs (N, ...).

    Batches are of equal size (the last one is padded), so that the network is compiled once.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size is at least 1, not {batch_size}")
    graph, params, rest = _split(model)
    logits = _logits(graph, (params, rest), inputs, batch_size)
    odds = np.exp(logits - logits.max(1, keepdims=True))
    return odds / odds.sum(1, keepdims=True)


def _split(model: nnx.Module) -> tuple[nnx.GraphDef, State, State]:
    """The network's structure, its weights, and the rest (batch statistics)."""
    graph, params, *rest = nnx.split(model, nnx.Param, ...)
    return graph, params, rest[0]


def training_step(
    model: nnx.Module, optimizer: str, learning_rate: float
) -> tuple[Callable, tuple[State, State, Any]]:
    """The compiled step that :func:`fit` repeats, and the state it starts from.

    ``step(state, inputs, labels, number, key)`` gives the next state and the batch's mean
    loss and accuracy. It takes the memory of the state it is given, which is a copy of the
    model's: the model itself stays as it is.
    """
    graph, params, rest = _split(model)
    params, rest = _copy((params, rest))
    memory = _optimizer(optimizer, learning_rate).init(params)
    return _compiled_step(graph, optimizer, learning_rate), (params, rest, memory)


@lru_cache(maxsize=16)
def _compiled_step(graph: nnx.GraphDef, optimizer: str, learning_rate: float) -> Callable:
    """One optimiser step, compiled; cached, so that equal networks share it."""
    updates = _optimizer(optimizer, learning_rate)

    def step(state: tuple, x: Array, y: Array, taken: Array, key: Array) -> tuple[tuple, Array]:
        params, rest, memory = state

        def loss(params: State) -> tuple[Array, tuple[Array, State]]:
            model = nnx.merge(graph, params, rest, copy=True)
            logits = model(x, train=True, key=jax.random.fold_in(key, taken))
            right = (logits.argmax(-1) == y).mean()
            mean = optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()
            return mean, (right, _split(model)[2])

        (mean, (right, rest)), gradients = jax.value_and_grad(loss, has_aux=True)(params)
        changes, memory = updates.update(gradients, memory, params)
        return (optax.apply_updates(params, changes), rest, memory), jnp.stack([mean, right])

    return jax.jit(step, donate_argnums=0)


@lru_cache(maxsize=16)
def _compiled_logits(graph: nnx.GraphDef) -> Callable:
    return jax.jit(lambda state, x: nnx.merge(graph, *state)(x, train=False))


def _optimizer(name: str, learning_rate: float) -> optax.GradientTransformation:
    if name == "adam":
        return optax.adam(learning_rate, eps=1e-7)
    if name == "rmsprop":
        return optax.rmsprop(learning_rate, decay=0.9, eps=1e-7)
    return optax.sgd(learning_rate)


def _batches(count: int, size: int, seed: int) -> Iterator[np.ndarray]:
    """Index arrays of ``size``, cut from one shuffled epoch after the other."""
    generator = np.random.default_rng(seed)
    left = np.empty(0, int)
    while True:
        while len(left) < size:
            left = np.concatenate([left, generator.permutation(count)])
        yield left[:size]
        left = left[size:]


def _logits(graph: nnx.GraphDef, state: tuple, inputs: Any, batch_size: int) -> np.ndarray:
    """Logits (N, K), in batches of one size that wastes few rows on padding."""
    count = len(inputs)
    if count == 0:
        raise ValueError("there are no inputs to predict")
    even = -(-count // -(-count // batch_size))  # as many batches as it takes, equally full
    size = min(batch_size, -(-even // 16) * 16)
    forward = _compiled_logits(graph)
    starts = range(0, count, size)
    batches = (np.minimum(np.arange(start, start + size), count - 1) for start in starts)
    return np.concatenate([np.asarray(forward(state, _gather(inputs, b))) for b in batches])[:count]


def _score(
    graph: nnx.GraphDef, state: tuple, inputs: Any, labels: np.ndarray, batch_size: int
) -> tuple[float, float]:
    """Mean cross-entropy and accuracy in evaluation mode."""
    logits = _logits(graph, state, inputs, batch_size).astype(np.float64)
    shifted = logits - logits.max(1, keepdims=True)
    true = np.take_along_axis(shifted, labels[:, None], 1)[:, 0]
    loss = np.log(np.exp(shifted).sum(1)) - true
    return float(loss.mean()), float((logits.argmax(1) == labels).mean())


def _gather(inputs: Any, index: np.ndarray) -> np.ndarray:
    return np.asarray(inputs[index], np.float32)


def _copy(tree: Any) -> Any:
    return jax.tree.map(jnp.copy, tree)


def _finite(pending: list[Array], taken: int, config: FitConfig) -> list[np.ndarray]:
    """The scores of the steps up to ``taken``, or an error that names the first bad one."""
    scores = [np.asarray(each, np.float64) for each in pending]
    for step, (loss, _) in enumerate(scores, taken - len(scores) + 1):
        if not np.isfinite(loss):
            raise FloatingPointError(_not_finite("training", float(loss), step, config))
    return scores


def _not_finite(which: str, loss: float, step: int, config: FitConfig) -> str:
    return (
        f"the {which} loss is {loss} at step {step}: check the inputs for NaN, Inf and values "
        f"that are not scaled to about 1, or lower learning_rate (now {config.learning_rate})"
    )


def _checked(
    which: str, inputs: Any, labels: Any, graph: nnx.GraphDef, params: State, rest: State
) -> tuple[Any, np.ndarray]:
    """Inputs and labels that the network can take, or an error that says what is wrong."""
    labels = np.asarray(labels)
    if labels.ndim != 1 or len(inputs) != len(labels) or not len(labels):
        raise ValueError(
            f"{which} is a pair of inputs (N, ...) and labels (N,) with N > 0, "
            f"not of {len(inputs)} inputs and labels {labels.shape}"
        )
    first = _gather(inputs, np.zeros(1, int))
    logits = jax.eval_shape(_compiled_logits(graph), (params, rest), first)
    check_labels(labels, logits.shape[1], f"{which} labels")
    return inputs, labels.astype(np.int32)
