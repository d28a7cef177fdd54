"""The layers that the classifiers are made of.

Each is built from the shape of its input without the batch axis, ``Layer(input_shape, ...,
rngs=rngs)``, knows its ``output_shape``, and is called as ``layer(x, train=..., key=...)``;
so a network is a list of layers, and :class:`Chain` strings them together.
Kernels are Glorot uniform and biases zero.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from classifiers._recurrence import lstm_recurrence
from classifiers._windows import count_windows
from classifiers.convolution import convolve
from classifiers.pooling import max_pool

Shape = tuple[int, ...]
_glorot = nnx.initializers.glorot_uniform()


class Layer(nnx.Module):
    """What every layer is: something with an ``output_shape`` (without the batch axis)."""

    output_shape: Shape

    @abstractmethod
    def __call__(self, x: Array, *, train: bool = False, key: PRNGKeyArray | None = None) -> Array:
        """What the layer makes of ``x`` (n, ...); ``key`` drives a dropout."""


Build = Callable[..., Layer]  # a layer class, or a partial of one: (input_shape, rngs=rngs)


class Convolution2D(Layer):
    """Stride-1 convolution of (N, height, width, channels) pictures, with a bias.

    ``kernel_size`` is a square's side; ``padding`` is "VALID" or "SAME".
    """

    def __init__(
        self,
        input_shape: Shape,
        width: int,
        kernel_size: int,
        *,
        padding: str = "VALID",
        rngs: nnx.Rngs,
    ) -> None:
        height, columns, channels = _ranked(input_shape, "height, width, channels")
        if padding == "VALID":
            height, columns = height - kernel_size + 1, columns - kernel_size + 1
        if min(height, columns) < 1:
            raise ValueError(
                f"a picture of {input_shape} is smaller than the {kernel_size}² kernel"
            )
        shape = (kernel_size, kernel_size, channels, width)
        self.kernel = nnx.Param(_glorot(rngs.params(), shape))
        self.bias = nnx.Param(jnp.zeros(width))
        self.padding = padding
        self.output_shape = (height, columns, width)

    def __call__(
        self, x: Float[Array, "n h w c"], *, train: bool = False, key: PRNGKeyArray | None = None
    ) -> Float[Array, "n h2 w2 d"]:
        y = convolve(x, self.kernel[...], padding=self.padding)
        return y + _last(self.bias[...], y)


class MaxPool(Layer):
    """Largest value of each window of (N, time, channels) or (N, height, width, channels).

    ``window`` and ``stride`` (by default the window) hold for every axis between the batch and
    the channels; ``padding`` "VALID" drops what is left over at an end, "SAME" keeps it.
    """

    def __init__(
        self,
        input_shape: Shape,
        window: int,
        stride: int | None = None,
        padding: str = "VALID",
        *,
        rngs: nnx.Rngs,
    ) -> None:
        *extents, channels = _ranked(input_shape, "time, channels", "height, width, channels")
        pooled = [count_windows(size, window, stride or window, padding) for size in extents]
        if min(pooled) < 1:
            raise ValueError(f"an input of {input_shape} is smaller than its window of {window}")
        self.window = window
        self.stride = stride
        self.padding = padding
        self.output_shape = (*pooled, channels)

    def __call__(
        self,
        x: Float[Array, "n *extents c"],
        *,
        train: bool = False,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "n *pooled c"]:
        return max_pool(x, self.window, stride=self.stride, padding=self.padding)


class LSTM(Layer):
    """Long short-term memory over (N, time, features): every state, or the last one.

    Gates in the order input, forget, cell, output; orthogonal recurrent kernel; the forget
    gate's bias starts at 1 (as Keras has it).

    Parameters
    ----------
    input_shape : (time, features).
    units : size of the state.
    sequence : True gives (N, time, units), False the last state, (N, units).
    """

    def __init__(self, input_shape: Shape, units: int, *, sequence: bool, rngs: nnx.Rngs) -> None:
        time, features = _ranked(input_shape, "time, features")
        orthogonal = nnx.initializers.orthogonal()
        self.kernel = nnx.Param(_glorot(rngs.params(), (features, 4 * units)))
        self.recurrent = nnx.Param(orthogonal(rngs.params(), (units, 4 * units)))
        self.bias = nnx.Param(jnp.zeros(4 * units).at[units : 2 * units].set(1.0))
        self.sequence = sequence
        self.output_shape = (time, units) if sequence else (units,)

    def __call__(
        self, x: Float[Array, "n t f"], *, train: bool = False, key: PRNGKeyArray | None = None
    ) -> Float[Array, "n ..."]:
        # Time first: each step of the scan then reads and writes one contiguous block.
        gates = x.transpose(1, 0, 2) @ self.kernel[...]
        gates = gates + _last(self.bias[...], gates)
        states = lstm_recurrence(gates, self.recurrent[...])
        return states.transpose(1, 0, 2) if self.sequence else states[-1]


class Dense(Layer):
    """Affine map of (N, features) to (N, width)."""

    def __init__(self, input_shape: Shape, width: int, *, rngs: nnx.Rngs) -> None:
        (features,) = _ranked(input_shape, "features")
        self.kernel = nnx.Param(_glorot(rngs.params(), (features, width)))
        self.bias = nnx.Param(jnp.zeros(width))
        self.output_shape = (width,)

    def __call__(
        self, x: Float[Array, "n f"], *, train: bool = False, key: PRNGKeyArray | None = None
    ) -> Float[Array, "n g"]:
        return x @ self.kernel[...] + _last(self.bias[...], x)


class BatchNorm(Layer):
    """Batch normalisation over all axes but the last (momentum and epsilon as in Keras).

    ``train=True`` normalises by the batch and moves the running statistics towards it;
    ``train=False`` normalises by the running statistics. Update t keeps (1 + t) / (10 + t) of
    them, at most ``momentum``: so they mean something after ten steps, not five hundred.
    """

    def __init__(
        self,
        input_shape: Shape,
        *,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        rngs: nnx.Rngs,
    ) -> None:
        width = input_shape[-1]
        self.scale = nnx.Param(jnp.ones(width))
        self.bias = nnx.Param(jnp.zeros(width))
        self.mean = nnx.BatchStat(jnp.zeros(width))
        self.variance = nnx.BatchStat(jnp.ones(width))
        self.updates = nnx.BatchStat(jnp.zeros(()))
        self.momentum = momentum
        self.epsilon = epsilon
        self.output_shape = input_shape

    def __call__(
        self, x: Float[Array, "n ..."], *, train: bool = False, key: PRNGKeyArray | None = None
    ) -> Float[Array, "n ..."]:
        mean, variance = self.mean[...], self.variance[...]
        if train:
            updates = self.updates[...] + 1
            kept = jnp.minimum(self.momentum, updates / (9 + updates))
            axes = tuple(range(x.ndim - 1))
            batch_mean = x.mean(axes)
            batch_variance = jnp.square(x - _last(batch_mean, x)).mean(axes)
            self.mean[...] = kept * mean + (1 - kept) * batch_mean
            self.variance[...] = kept * variance + (1 - kept) * batch_variance
            self.updates[...] = updates
            mean, variance = batch_mean, batch_variance
        scale = self.scale[...] * jax.lax.rsqrt(variance + self.epsilon)
        return x * _last(scale, x) + _last(self.bias[...] - mean * scale, x)


class Dropout(Layer):
    """In training, a share ``rate`` of the values is set to zero and the rest scaled up."""

    def __init__(self, input_shape: Shape, rate: float, *, rngs: nnx.Rngs) -> None:
        if not 0 <= rate < 1:
            raise ValueError(f"dropout rate is in [0, 1), not {rate}")
        self.rate = rate
        self.output_shape = input_shape

    def __call__(
        self, x: Float[Array, "n ..."], *, train: bool = False, key: PRNGKeyArray | None = None
    ) -> Float[Array, "n ..."]:
        if not train or self.rate == 0:
            return x
        if key is None:
            raise ValueError("dropout in training draws at random: call the model with key=...")
        kept = jax.random.bernoulli(key, 1 - self.rate, x.shape)
        return jnp.where(kept, x / (1 - self.rate), 0)


class Flatten(Layer):
    """(N, ...) to (N, features)."""

    def __init__(self, input_shape: Shape, *, rngs: nnx.Rngs) -> None:
        size = 1
        for extent in input_shape:
            size *= extent
        self.output_shape = (size,)

    def __call__(
        self, x: Float[Array, "n ..."], *, train: bool = False, key: PRNGKeyArray | None = None
    ) -> Float[Array, "n f"]:
        return x.reshape(len(x), -1)


class Activation(Layer):
    """An elementwise function, such as ``jax.nn.relu``."""

    def __init__(
        self, input_shape: Shape, function: Callable[[Array], Array], *, rngs: nnx.Rngs
    ) -> None:
        self.function = function
        self.output_shape = input_shape

    def __call__(
        self, x: Float[Array, "n ..."], *, train: bool = False, key: PRNGKeyArray | None = None
    ) -> Float[Array, "n ..."]:
        return self.function(x)


class Chain(Layer):
    """Layers one after another.

    Parameters
    ----------
    input_shape : of one example.
    layers : each called with ``(input_shape, rngs=rngs)`` to build the layer: a layer class,
        or ``functools.partial`` of one with its settings.

    Raises
    ------
    ValueError
        When a layer cannot take what the one before gives; names the layer by position.
    """

    def __init__(self, input_shape: Shape, layers: Iterable[Build], *, rngs: nnx.Rngs) -> None:
        self.layers: nnx.List[Layer] = nnx.List()
        self.input_shape = input_shape
        self.output_shape = input_shape
        for position, layer in enumerate(layers, 1):
            try:
                self.layers.append(layer(self.output_shape, rngs=rngs))
            except ValueError as error:
                name = getattr(layer, "func", layer).__name__
                raise ValueError(f"layer {position}, {name}: {error}") from None
            self.output_shape = self.layers[-1].output_shape

    def __call__(
        self, x: Float[Array, "n ..."], *, train: bool = False, key: PRNGKeyArray | None = None
    ) -> Float[Array, "n ..."]:
        if x.shape[1:] != self.input_shape:
            raise ValueError(f"the network takes (N, *{self.input_shape}), not {x.shape}")
        for position, layer in enumerate(self.layers):
            part = None if key is None else jax.random.fold_in(key, position)
            x = layer(x, train=train, key=part)
        return x


def _last(values: Array, x: Array) -> Array:
    """A vector as an array that broadcasts along the last axis of ``x``."""
    return values.reshape((1,) * (x.ndim - 1) + (-1,))


def _ranked(input_shape: Shape, *axes: str) -> Shape:
    """``input_shape``, or an error where its axes are none of those named in ``axes``."""
    if len(input_shape) not in [len(names.split(", ")) for names in axes]:
        wanted = " or ".join(f"({names})" for names in axes)
        raise ValueError(f"needs an input of {wanted} without the batch axis, not {input_shape}")
    if min(input_shape) < 1:
        raise ValueError(f"has nothing to work on: its input would be {input_shape}")
    return input_shape
