"""What a classifier says: probabilities, and how well they do."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array
from jaxtyping import PRNGKeyArray

from classifiers.step import each, split, stacked
from features.array_files import read_npy

Body = Callable[[Any, Array], Array]  # a model and its inputs (n, ...) to activations (n, D)
_ROUNDING = 1e-4  # by which probabilities of one clip may miss 1


def predict(
    model: nnx.Module,
    inputs: Any,
    *,
    batch_size: int = 256,
    dropout: PRNGKeyArray | None = None,
) -> np.ndarray:
    """Class probabilities (N, K), float32, of inputs (N, ...).

    Batches are of equal size (the last one is padded), so that the network is compiled once.

    Parameters
    ----------
    dropout : key of a pass as in training, with the same units dropped in each batch: what a figure
        is that was measured so by mistake. None is without dropout and noise.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size is at least 1, not {batch_size}")
    if dropout is None:
        return predictor(model)(inputs, batch_size)

    def body(model: Any, x: Array) -> Array:
        return jax.nn.softmax(model(x, train=True, key=dropout))

    return embed(body, model, inputs, batch_size=batch_size)


def embed(body: Body, model: nnx.Module, inputs: Any, *, batch_size: int = 256) -> np.ndarray:
    """``body(model, x (n, ...))``, (n, D), of inputs (N, ...): (N, D), in batches of one size."""
    if batch_size < 1:
        raise ValueError(f"batch_size is at least 1, not {batch_size}")
    graph, params, rest = split(model)
    forward = _compiled_body(body, graph)
    return _in_batches(forward, stacked([(params, rest)]), inputs, batch_size)[0]


def predictor(model: nnx.Module) -> Callable[[Any, int], np.ndarray]:
    """`predict` of one network as it is now, for many calls: of inputs and a batch size."""
    graph, params, rest = split(model)
    state = stacked([(params, rest)])

    def probabilities(inputs: Any, batch_size: int) -> np.ndarray:
        (logits,) = logits_of(graph, state, 1, inputs, batch_size)
        odds = np.exp(logits - logits.max(1, keepdims=True))
        return odds / odds.sum(1, keepdims=True)

    return probabilities


def read_probabilities(path: Path, shape: tuple[int, int]) -> np.ndarray:
    """Probabilities (N, K) of `predict` from an .npy file.

    Raises
    ------
    ValueError
        Where the file holds something else: another shape, numbers that are no probabilities.
    """
    again = f"delete the folder {path.parent} and run the same command again"
    found = read_npy(path, again)
    if found.shape != shape or found.dtype != np.float32:
        raise ValueError(
            f"{path} holds {found.dtype} {found.shape}, not the float32 {shape} of its clips and "
            f"classes: {again}"
        )
    known = found[~np.isnan(found).any(1)].astype(np.float64)  # `evaluate` tells of NaN
    if ((known < 0) | (known > 1)).any() or (abs(known.sum(1) - 1) > _ROUNDING).any():
        raise ValueError(
            f"{path} holds numbers that are no probabilities (from 0 to 1, adding to 1 in each "
            f"row): {again}"
        )
    return found


def logits_of(
    graph: nnx.GraphDef, state: tuple, count: int, inputs: Any, batch_size: int
) -> np.ndarray:
    """Logits (S, N, K) of ``count`` networks, in batches that waste few rows on padding."""
    return _in_batches(compiled_logits(graph, count), state, inputs, batch_size)


def _in_batches(forward: Callable, state: tuple, inputs: Any, batch_size: int) -> np.ndarray:
    """``forward(state, x (n, ...))``, (S, n, ...), of all inputs: (S, N, ...)."""
    clips = len(inputs)
    if clips == 0:
        raise ValueError("there are no inputs to predict")
    even = -(-clips // -(-clips // batch_size))  # as many batches as it takes, equally full
    size = min(batch_size, -(-even // 16) * 16)
    starts = range(0, clips, size)
    batches = (np.minimum(np.arange(start, start + size), clips - 1) for start in starts)
    parts = [np.asarray(forward(state, gather(inputs, batch))) for batch in batches]
    return np.concatenate(parts, 1)[:, :clips]


def score(
    graph: nnx.GraphDef,
    state: tuple,
    count: int,
    pair: tuple[Any, np.ndarray],
    batch_size: int,
) -> np.ndarray:
    """Mean cross-entropy and accuracy, (S, 2), of each network on inputs and labels."""
    inputs, labels = pair
    logits = logits_of(graph, state, count, inputs, batch_size).astype(np.float64)
    shifted = logits - logits.max(2, keepdims=True)
    true = np.take_along_axis(shifted, labels[None, :, None], 2)[..., 0]
    loss = np.log(np.exp(shifted).sum(2)) - true
    return np.stack([loss.mean(1), (logits.argmax(2) == labels).mean(1)], 1)


@lru_cache(maxsize=32)
def compiled_logits(graph: nnx.GraphDef, count: int) -> Callable:
    """Logits (S, n, K) of ``count`` networks with a stacked state, all of the same inputs."""

    def one(state: tuple, x: Array) -> Array:
        return nnx.merge(graph, *state)(x, train=False)

    return jax.jit(each(one, count, shared=(1,)))


@lru_cache(maxsize=32)
def _compiled_body(body: Body, graph: nnx.GraphDef) -> Callable:
    """What ``body`` makes of inputs (n, ...) with a network of a stacked state, (1, n, D)."""

    def one(state: tuple, x: Array) -> Array:
        return body(nnx.merge(graph, *state), x)

    return jax.jit(each(one, 1, shared=(1,)))


def gather(inputs: Any, index: np.ndarray) -> Any:
    """The clips of a whole index array, float32, (\\*index.shape, ...).

    Those of a JAX array stay on its device.
    """
    clips = inputs[index.reshape(-1)]
    array = jnp.asarray if isinstance(clips, jax.Array) else np.asarray
    return array(clips, np.float32).reshape(*index.shape, *clips.shape[1:])
