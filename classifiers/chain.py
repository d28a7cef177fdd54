"""What a layer is, and how layers are strung together or set side by side.

A layer is built from the shape of its input without the batch axis, ``Layer(input_shape, ...,
rngs=rngs)``, knows its ``output_shape``, and is called as ``layer(x, train=..., key=...)``.
A network is a list of layers to be built: classes, or ``functools.partial`` of them.
"""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from classifiers.frameworks import KERAS, Framework

Shape = tuple[int, ...]


class Layer(nnx.Module):
    """What every layer is: something with an ``output_shape`` (without the batch axis)."""

    output_shape: Shape

    @abstractmethod
    def __call__(self, x: Array, *, train: bool = False, key: PRNGKeyArray | None = None) -> Array:
        """What the layer makes of ``x`` (n, ...); ``key`` drives what is random in training."""


class LooksAhead(Layer):
    """A layer that does those behind it together with its own work where that is quicker."""

    @abstractmethod
    def run(
        self,
        x: Array,
        following: Sequence[Layer],
        *,
        train: bool = False,
        key: PRNGKeyArray | None = None,
    ) -> tuple[Array, int]:
        """What comes of ``x`` (n, ...), and how many of the ``following`` layers are in it."""


Build = Callable[..., Layer]  # a layer class, or a partial of one: (input_shape, rngs=rngs)
Layers = list[Build]


class Chain(Layer):
    """Layers one after another.

    Parameters
    ----------
    input_shape : of one example.
    layers : each called with ``(input_shape, rngs=rngs)`` to build the layer: a layer class,
        or ``functools.partial`` of one with its settings.
    framework : whose constants the layers have that take a ``framework``.

    Raises
    ------
    ValueError
        When a layer cannot take what the one before gives; names the layer by position.
    """

    def __init__(
        self,
        input_shape: Shape,
        layers: Iterable[Build],
        *,
        rngs: nnx.Rngs,
        framework: Framework = KERAS,
    ) -> None:
        self.layers: nnx.List[Layer] = nnx.List()
        self.input_shape = input_shape
        self.output_shape = input_shape
        for position, layer in enumerate(layers, 1):
            try:
                self.layers.append(_built(layer, self.output_shape, rngs, framework))
            except ValueError as error:
                name = getattr(layer, "func", layer).__name__
                raise ValueError(f"layer {position}, {name}: {error}") from None
            self.output_shape = self.layers[-1].output_shape

    def __call__(
        self, x: Float[Array, "n ..."], *, train: bool = False, key: PRNGKeyArray | None = None
    ) -> Float[Array, "n ..."]:
        self.expect_input(x)
        layers, position = list(self.layers), 0
        while position < len(layers):
            layer, *following = layers[position:]
            done, part = 0, _part(key, position)
            if isinstance(layer, LooksAhead):
                x, done = layer.run(x, following, train=train, key=part)
            else:
                x = layer(x, train=train, key=part)
            position += 1 + done
        return x

    def expect_input(self, x: Array) -> None:
        """Raise ValueError unless ``x`` is a batch of inputs."""
        if x.shape[1:] != self.input_shape:
            raise ValueError(f"the network takes (N, *{self.input_shape}), not {x.shape}")


class Parallel(Layer):
    """Chains side by side on the same input, their outputs concatenated or added.

    Parameters
    ----------
    input_shape : of one example.
    branches : the layers of each chain.
    join : "concatenate" along the last axis (the axes before it must agree), or "add" (all
        axes must agree), as a residual block does.
    """

    def __init__(
        self,
        input_shape: Shape,
        branches: Sequence[Layers],
        join: str = "concatenate",
        *,
        rngs: nnx.Rngs,
        framework: Framework = KERAS,
    ) -> None:
        self.branches: nnx.List[Chain] = nnx.List()
        for position, layers in enumerate(branches, 1):
            try:
                self.branches.append(Chain(input_shape, layers, rngs=rngs, framework=framework))
            except ValueError as error:
                raise ValueError(f"branch {position}: {error}") from None
        shapes = [branch.output_shape for branch in self.branches]
        fixed = {shape if join == "add" else shape[:-1] for shape in shapes}
        if join not in ("concatenate", "add") or len(fixed) != 1:
            raise ValueError(f"cannot {join} branches that give {shapes}")
        self.join = join
        width = shapes[0][-1] if join == "add" else sum(shape[-1] for shape in shapes)
        self.output_shape = (*shapes[0][:-1], width)

    def __call__(
        self, x: Float[Array, "n ..."], *, train: bool = False, key: PRNGKeyArray | None = None
    ) -> Float[Array, "n ..."]:
        outputs = [
            branch(x, train=train, key=_part(key, position))
            for position, branch in enumerate(self.branches)
        ]
        return sum(outputs[1:], outputs[0]) if self.join == "add" else jnp.concatenate(outputs, -1)


def _built(layer: Build, input_shape: Shape, rngs: nnx.Rngs, framework: Framework) -> Layer:
    """The layer, with the framework's constants if it has any."""
    made = getattr(layer, "func", layer)
    # Flax's metaclass hides what a module's class takes.
    start = made.__init__ if isinstance(made, type) else made  # type: ignore[misc]
    if "framework" in inspect.signature(start).parameters:
        return layer(input_shape, rngs=rngs, framework=framework)
    return layer(input_shape, rngs=rngs)


def _part(key: PRNGKeyArray | None, position: int) -> PRNGKeyArray | None:
    """The key of the layer or branch at ``position``."""
    return None if key is None else jax.random.fold_in(key, position)


def along_last(values: Array, x: Array) -> Array:
    """A vector as an array that broadcasts along the last axis of ``x``."""
    return values.reshape((1,) * (x.ndim - 1) + (-1,))


def expect_axes(input_shape: Shape, *axes: str) -> Shape:
    """``input_shape``, or a ValueError where its axes are none of those named in ``axes``."""
    if len(input_shape) not in [len(names.split(", ")) for names in axes]:
        wanted = " or ".join(f"({names})" for names in axes)
        raise ValueError(f"needs an input of {wanted} without the batch axis, not {input_shape}")
    if min(input_shape) < 1:
        raise ValueError(f"has nothing to work on: its input would be {input_shape}")
    return input_shape


def expect_positive(**sizes: int) -> None:
    """Raise ValueError unless every size is at least 1."""
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name} is at least 1, not {size}")
