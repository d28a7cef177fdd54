"""A classifier that keeps its training clips and answers with the nearest one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from classifiers.architectures import architecture
from classifiers.chain import Shape, expect_axes, expect_positive
from classifiers.classifier import Classifier
from classifiers.fit_config import MEMORY, FitConfig
from classifiers.history import Member
from classifiers.metrics import expect_every_class
from classifiers.prediction import gather, score
from classifiers.step import split, stacked
from features.initial_weights import constant
from features.limits import check_memory

_EXCLUDED = 20.0  # by which logits of other tempi lie below all others: odds of 1 to 500 million


@architecture("tempo")
class TempoNeighbour(nnx.Module):
    """Of the classes whose tempi hold the clip's, that of the nearest training picture.

    An input is the tempo, then the numbers of a picture. Where no class has such a tempo, all are
    possible. The logit of a class is the mean squared difference to its nearest picture, below
    zero, so that the nearest one has the largest.

    Parameters
    ----------
    examples : training clips that it keeps; as many as it is given by the optimizer "memory".
    """

    def __init__(
        self, input_shape: Shape, num_classes: int, *, rngs: nnx.Rngs, examples: int = 1
    ) -> None:
        (features,) = expect_axes(input_shape, "tempo and picture")
        expect_positive(examples=examples, picture=features - 1)
        self.pictures = nnx.BatchStat(constant((examples, features - 1)))
        self.labels = nnx.BatchStat(constant(examples))
        self.slowest = nnx.BatchStat(constant(num_classes))
        self.fastest = nnx.BatchStat(constant(num_classes))

    def remember(self, inputs: np.ndarray, labels: np.ndarray) -> None:
        """Keep clips (N, features) and their labels (N,)."""
        classes = range(len(self.slowest[...]))
        tempi = [inputs[labels == k, 0] for k in classes]
        self.pictures.set_value(jax.device_put(inputs[:, 1:]))
        self.labels.set_value(jnp.asarray(labels, jnp.float32))
        self.slowest.set_value(jnp.asarray([found.min() for found in tempi]))
        self.fastest.set_value(jnp.asarray([found.max() for found in tempi]))

    def __call__(
        self, x: Float[Array, "n f"], *, train: bool = False, key: PRNGKeyArray | None = None
    ) -> Float[Array, "n k"]:
        x = x.astype(jnp.float32)
        tempo, picture, kept = x[:, :1], x[:, 1:], self.pictures[...]
        squares = jnp.square(picture).sum(1)[:, None] + jnp.square(kept).sum(1)[None]
        distance = (squares - 2 * picture @ kept.T) / picture.shape[1]
        of_class = self.labels[...][None] == jnp.arange(len(self.slowest[...]))[:, None]
        nearest = jnp.where(of_class[None], distance[:, None], jnp.inf).min(2)
        possible = (self.slowest[...][None] <= tempo) & (tempo <= self.fastest[...][None])
        possible |= ~possible.any(1, keepdims=True)
        farthest = jnp.where(possible, nearest, -jnp.inf).max(1, keepdims=True)
        return -jnp.where(possible, nearest, jnp.maximum(nearest, farthest) + _EXCLUDED)


def remember(
    models: Sequence[nnx.Module],
    train: tuple[Any, np.ndarray],
    valid: tuple[Any, np.ndarray] | None,
    config: FitConfig,
    *,
    seeds: Sequence[int],
    sample_weights: np.ndarray | None = None,
    snapshots: Collection[int] = (),
    on_snapshot: Callable[[int, Sequence[nnx.Module]], object] | None = None,
) -> list[Member]:
    """Give each network the training clips to keep, in one step.

    Parameters and what is returned are those of
    :func:`classifiers.logistic_regression.fit_last_layers`.

    Raises
    ------
    ValueError
        A network that keeps no clips, a class without any, or ``sample_weights``: the nearest
        clip is the nearest whatever it weighs.
    """
    if sample_weights is not None:
        raise ValueError(
            f"sample_weights have no effect on which clip is nearest, so that the optimizer "
            f"{MEMORY!r} takes none: leave them out, or take another optimizer"
        )
    inputs, labels = train
    members = []
    for model, seed in zip(models, seeds, strict=True):
        network = getattr(next(iter(getattr(model, "layers", [])), None), "network", None)
        if not isinstance(model, Classifier) or not isinstance(network, TempoNeighbour):
            raise ValueError(
                f"the optimizer {MEMORY!r} is for the network tempo, which keeps its training "
                "clips: take another optimizer"
            )
        expect_every_class(labels, model.spec.num_classes, MEMORY)
        size = 8.0 * len(labels) * model.spec.input_shape[0]
        check_memory(size, f"{len(labels):,} clips to keep", "take fewer clips")
        network.remember(gather(inputs, np.arange(len(labels))), labels)
        model.spec = replace(model.spec, options=(("examples", len(labels)),))
        graph, *state = split(model)
        pairs = [train] if valid is None else [train, valid]
        scores = [score(graph, stacked([tuple(state)]), 1, p, config.batch_size) for p in pairs]
        members.append(member := Member(seed))
        member.record(scores[0], 1, config)
        member.evaluate(1, scores[1][0] if scores[1:] else None, config)
    if on_snapshot is not None:
        for step in sorted({*snapshots}):
            on_snapshot(step, models)
    return members
