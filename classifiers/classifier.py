"""What `create` makes: a chain that gives logits, and knows its head and how it was made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from classifiers import prediction
from classifiers.chain import Chain, Layer, Shape


class Whole(Layer):
    """A module of its own as the only layer of a classifier."""

    def __init__(
        self, input_shape: Shape, network: Callable[..., Any], num_classes: int, *, rngs: nnx.Rngs
    ) -> None:
        self.network = network(input_shape=input_shape, num_classes=num_classes, rngs=rngs)
        self.output_shape = (num_classes,)

    def __call__(self, x: Array, *, train: bool = False, key: PRNGKeyArray | None = None) -> Array:
        logits = self.network(x, train=train, key=key)
        if logits.shape != (len(x), *self.output_shape):
            raise ValueError(
                f"{type(self.network).__name__} gives {logits.shape} for {x.shape}: "
                f"logits are {(len(x), *self.output_shape)}"
            )
        return logits


@dataclass(frozen=True)
class Spec:
    """What it takes to make a classifier again: the arguments of :func:`create`.

    Attributes
    ----------
    name, input_shape, num_classes, framework : as given.
    options : every option of the network with its value, sorted by name.
    """

    name: str
    input_shape: Shape
    num_classes: int
    options: tuple[tuple[str, Any], ...]
    framework: str = "keras"


class Classifier(Chain):
    """A network that gives logits, and the ``spec`` that it was made from.

    Its last dense layer is its ``head``, all before that its body.
    """

    spec: Spec

    def embed(self, inputs: Any, *, batch_size: int = 256) -> Float[np.ndarray, "n d"]:
        """What the head sees of inputs (N, ...): activations (N, D), float32.

        Computed as :func:`classifiers.predict` does it, without dropout and noise, in batches of
        equal size.

        Raises
        ------
        ValueError
            No inputs, or a network that is a module of its own and has no ``embed``.
        """
        self.head_place()  # which says what is missing
        return prediction.embed(Classifier.body, self, inputs, batch_size=batch_size)

    def body(self, x: Float[Array, "n ..."]) -> Float[Array, "n d"]:
        """The activations that the head makes logits of."""
        self.expect_input(x)
        *layers, last = self.layers
        if isinstance(last, Whole):
            return last.network.embed(x)
        for layer in layers:
            x = layer(x)
        return x

    @property
    def head(self) -> Layer:
        """The last dense layer: of activations (n, D) it makes logits (n, K)."""
        self.head_place()  # which says what is missing
        last = self.layers[-1]
        return last.network.head if isinstance(last, Whole) else last

    def head_place(self) -> tuple[int | str, ...]:
        """Where the head is in the state: its variables' names begin with this.

        Raises
        ------
        ValueError
            For a module of its own without ``embed`` and ``head``.
        """
        place, last = ("layers", len(self.layers) - 1), self.layers[-1]
        if not isinstance(last, Whole):
            return place
        if lacking := [name for name in ("embed", "head") if not hasattr(last.network, name)]:
            raise ValueError(
                f"{self.spec.name} is a module of its own, and nothing says what comes before its "
                f"last layer: give {type(last.network).__name__} "
                f"{' and '.join(lacking)}, see classifiers.architecture"
            )
        return (*place, "network", "head")

    def __repr__(self) -> str:
        sizes = [each.size for each in jax.tree.leaves(nnx.state(self, nnx.Param))]
        shape, classes = self.spec.input_shape, self.spec.num_classes
        return f"<Classifier {self.spec.name}: {shape} to {classes}, {sum(sizes):,} parameters>"
