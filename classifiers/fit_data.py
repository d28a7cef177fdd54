"""Whether the data of a fit belong together and with the network, and what they are in numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from flax import nnx

from classifiers.fit_config import FitConfig
from classifiers.metrics import check_labels
from classifiers.prediction import compiled_logits, gather
from classifiers.step import split, stacked
from features.limits import check_memory

Pair = tuple[Any, Any]  # inputs (N, ...) and labels (N,)


def checked(
    models: Sequence[nnx.Module],
    train: Pair,
    valid: Pair | None,
    config: FitConfig,
    seeds: Sequence[int],
) -> tuple[nnx.GraphDef, dict[str, Any], np.ndarray, FitConfig, tuple[str, ...]]:
    """The network's structure, data that it can take, one-hot targets, budget, and labels."""
    if not models or len(models) != len(seeds):
        raise ValueError(f"{len(models)} models and {len(seeds)} seeds: give one seed a model")
    if valid is None and config.patience is not None:
        raise ValueError("patience watches the validation loss: give a validation set")
    graph, *state = split(models[0])
    data: dict[str, Any] = {"train": None, "valid": None}
    names = _names(train[1])
    for name, pair in (("train", train), ("valid", valid)):
        if pair is not None:
            coded = _coded(name, pair[1], names)
            data[name], num_classes = _checked_pair(name, pair[0], coded, graph, tuple(state))
    if names and len(names) != num_classes:
        raise ValueError(
            f"train labels name {len(names)} classes, {names}, and the network has {num_classes}: "
            f"create it with num_classes={len(names)}"
        )
    one = math.prod(gather(data["train"][0], np.zeros(1, int)).shape)
    batch = 4 * len(models) * config.batch_size * (2 * one + 4)  # with its gradient, and places
    check_memory(batch, f"a batch of {config.batch_size:,} clips", "take a smaller batch_size")
    labels = data["train"][1]
    targets = np.eye(num_classes, dtype=np.float32)[labels]
    return graph, data, targets, config.resolved(labels, num_classes), names


def checked_weights(weights: Any, count: int) -> np.ndarray | None:
    """Clips' weights (``count``,), float32, of mean 1; None where there are none.

    Raises
    ------
    ValueError
        Not one number for each training clip, or numbers that are negative, not finite or all 0.
    """
    if weights is None:
        return None
    found = np.asarray(weights, np.float64)
    if found.shape != (count,):
        raise ValueError(
            f"sample_weights is one number for each of the {count:,} training clips, "
            f"not of shape {found.shape}"
        )
    if not (np.isfinite(found).all() and (found >= 0).all() and found.any()):
        raise ValueError(
            "sample_weights are finite numbers of 0 and more, some of them above 0, not "
            f"{found.min()} to {found.max()}"
        )
    return (found / found.mean()).astype(np.float32)


def _names(labels: Any) -> tuple[str, ...]:
    """The classes' names, sorted; none where the labels are numbers."""
    labels = np.asarray(labels)
    return tuple(np.unique(labels.astype(str)).tolist()) if labels.dtype.kind in "UTO" else ()


def _coded(which: str, labels: Any, names: tuple[str, ...]) -> np.ndarray:
    """Labels given by name as their places in ``names``; numbers as they are."""
    labels = np.asarray(labels)
    if not names:
        return labels
    places = {name: place for place, name in enumerate(names)}
    unknown = sorted({str(label) for label in labels.tolist()} - places.keys())
    if unknown:
        raise ValueError(
            f"{which} labels have {', '.join(map(repr, unknown))}, which no training clip has; "
            f"the classes are {names}"
        )
    return np.array([places[str(label)] for label in labels.tolist()], int)


def _checked_pair(
    which: str, inputs: Any, labels: Any, graph: nnx.GraphDef, state: tuple
) -> tuple[Pair, int]:
    """Inputs and labels that the network can take, and its number of classes."""
    labels = np.asarray(labels)
    if labels.ndim != 1 or len(inputs) != len(labels) or not len(labels):
        raise ValueError(
            f"{which} is a pair of inputs (N, ...) and labels (N,) with N > 0, "
            f"not of {len(inputs)} inputs and labels {labels.shape}"
        )
    try:
        first = gather(inputs, np.zeros(1, int))
        one = jax.eval_shape(stacked, [state])
        logits = jax.eval_shape(compiled_logits(graph, 1), one, first)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{which} inputs: {error}") from error
    check_labels(labels, logits.shape[-1], f"{which} labels")
    return (inputs, labels.astype(np.int32)), logits.shape[-1]
