"""The feed-forward layers of the classifiers.

Initial weights and the constants of a normalisation are those of a framework, Keras's unless
another is given (:mod:`classifiers.frameworks`). What a layer is and how it is built:
:mod:`classifiers.chain`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from classifiers._windows import count_windows
from classifiers.chain import Layer, LooksAhead, Shape, along_last, expect_axes, expect_positive
from classifiers.convolution import convolve
from classifiers.frameworks import KERAS, Framework
from classifiers.pooled_convolution import Moments, pays, pooled_convolution
from classifiers.pooling import max_pool, pooling
from features.initial_weights import constant


class Dense(Layer):
    """Affine map of (N, features) to (N, width)."""

    def __init__(
        self, input_shape: Shape, width: int, *, rngs: nnx.Rngs, framework: Framework = KERAS
    ) -> None:
        expect_positive(width=width)
        (features,) = expect_axes(input_shape, "features")
        initial = framework.affine(rngs, (features, width))
        self.kernel, self.bias = nnx.Param(initial["kernel"]), nnx.Param(initial["bias"])
        self.output_shape = (width,)

    def __call__(
        self, x: Float[Array, "n f"], *, train: bool = False, key: PRNGKeyArray | None = None
    ) -> Float[Array, "n g"]:
        return x @ self.kernel[...] + along_last(self.bias[...], x)


class _Convolution(Layer):
    """Convolution with a bias.

    Parameters
    ----------
    input_shape : the extents, then the channels.
    width : channels of the output.
    kernel_size : along every axis but the channels.
    stride, padding : as :func:`classifiers.convolution.convolve` has them.
    """

    axes: ClassVar[str]

    def __init__(
        self,
        input_shape: Shape,
        width: int,
        kernel_size: int,
        *,
        stride: int = 1,
        padding: str = "VALID",
        rngs: nnx.Rngs,
        framework: Framework = KERAS,
    ) -> None:
        expect_positive(width=width, kernel_size=kernel_size, stride=stride)
        *extents, channels = expect_axes(input_shape, self.axes)
        counts = [count_windows(size, kernel_size, stride, padding) for size in extents]
        if min(counts) < 1:
            raise ValueError(
                f"an input of {input_shape} is smaller than the kernel's {kernel_size}"
            )
        shape = (*[kernel_size] * len(extents), channels, width)
        initial = framework.affine(rngs, shape)
        self.kernel, self.bias = nnx.Param(initial["kernel"]), nnx.Param(initial["bias"])
        self.stride = stride
        self.padding = padding
        self.output_shape = (*counts, width)

    def __call__(
        self,
        x: Float[Array, "n *extents c"],
        *,
        train: bool = False,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "n *counts d"]:
        # A sequence is a picture of one row.
        kernel = self.kernel[...]
        apply = partial(convolve, stride=self.stride, padding=self.padding)
        y = apply(x[:, None], kernel[None])[:, 0] if x.ndim == 3 else apply(x, kernel)
        return y + along_last(self.bias[...], y)


class Convolution1D(_Convolution):
    """Convolution of (N, time, channels) sequences, with a bias.

    ``kernel_size`` is in frames; ``stride`` and ``padding`` ("VALID" or "SAME") are those of
    :func:`classifiers.convolution.convolve`.
    """

    axes = "time, channels"


class Convolution2D(_Convolution, LooksAhead):
    """Convolution of (N, height, width, channels) pictures, with a bias.

    ``kernel_size`` is a square's side; ``stride`` and ``padding`` ("VALID" or "SAME") are those
    of :func:`classifiers.convolution.convolve`.
    """

    axes = "height, width, channels"

    def run(
        self,
        x: Float[Array, "n h w c"],
        following: Sequence[Layer],
        *,
        train: bool = False,
        key: PRNGKeyArray | None = None,
    ) -> tuple[Array, int]:
        """With the pooling that follows, and what lies between: the same numbers, sooner."""
        between, pool = _up_to_pooling(following)
        plain = type(self) is Convolution2D and self.stride == 1  # a user's own may do other things
        if pool is None or not plain or not pays(x, self.kernel[...], self.output_shape):
            return self(x, train=train, key=key), 0
        done = 1 + len(between)
        norm = next((layer for layer in between if isinstance(layer, BatchNorm)), None)
        measured = train and norm is not None
        activation = None
        if measured and isinstance(between[0], Activation):  # of what comes out of it
            activation, between = between[0].function, between[1:]
        y, moments = pooled_convolution(
            x,
            self.kernel[...],
            self.bias[...],
            padding=self.padding,
            pooling=pool.pooling,
            activation=activation,
            signs=None if norm is None else jnp.where(norm.scale[...] < 0, -1.0, 1.0),
            measured=measured,
        )
        count = len(x) * math.prod(self.output_shape[:-1])
        for layer in between:
            y = layer.normalise(y, moments, count) if isinstance(layer, BatchNorm) else layer(y)
        return y, done


class MaxPool(Layer):
    """Largest value of each window of (N, time, channels) or (N, height, width, channels).

    ``window`` and ``stride`` (by default the window) hold for every axis between the batch and
    the channels, or are tuples of one each. ``padding`` "VALID" drops what is left over at an
    end, "SAME" keeps it.
    """

    def __init__(
        self,
        input_shape: Shape,
        window: int | tuple[int, ...],
        stride: int | tuple[int, ...] | None = None,
        padding: str = "VALID",
        *,
        rngs: nnx.Rngs,
    ) -> None:
        *extents, channels = expect_axes(input_shape, "time, channels", "height, width, channels")
        self.pooling = pooling(window, stride, padding, len(extents))
        counts = self.pooling.counts(extents)
        if min(counts) < 1:
            raise ValueError(
                f"an input of {input_shape} is smaller than the window {self.pooling.window}"
            )
        self.output_shape = (*counts, channels)

    def __call__(
        self,
        x: Float[Array, "n *extents c"],
        *,
        train: bool = False,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "n *counts c"]:
        return max_pool(x, self.pooling)


class GlobalMaxPool(Layer):
    """Largest value of each channel: (N, ..., channels) to (N, channels)."""

    def __init__(self, input_shape: Shape, *, rngs: nnx.Rngs) -> None:
        self.output_shape = input_shape[-1:]

    def __call__(
        self,
        x: Float[Array, "n *extents c"],
        *,
        train: bool = False,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "n c"]:
        return x.max(tuple(range(1, x.ndim - 1)))


class BatchNorm(Layer):
    """Batch normalisation over all axes but the last.

    ``train=True`` normalises by the batch and moves the running statistics towards it;
    ``train=False`` normalises by the running statistics. Where the framework would keep 99 % of
    them (Keras), update t keeps (1 + t) / (10 + t), at most that: so they mean something after ten
    steps, not five hundred.
    """

    def __init__(self, input_shape: Shape, *, rngs: nnx.Rngs, framework: Framework = KERAS) -> None:
        width = input_shape[-1]
        self.scale = nnx.Param(constant(width, 1.0))
        self.bias = nnx.Param(constant(width))
        self.mean = nnx.BatchStat(constant(width))
        self.variance = nnx.BatchStat(constant(width, 1.0))
        self.updates = nnx.BatchStat(constant(()))
        self.kept, self.warm_up = framework.statistics_kept, framework.warm_up
        self.unbiased, self.epsilon = framework.unbiased, framework.epsilon
        self.output_shape = input_shape

    def __call__(
        self, x: Float[Array, "n ..."], *, train: bool = False, key: PRNGKeyArray | None = None
    ) -> Float[Array, "n ..."]:
        dtype, x = x.dtype, x.astype(jnp.float32)  # moments need the digits
        if not train:
            return self.normalise(x, None).astype(dtype)
        axes = tuple(range(x.ndim - 1))
        mean = x.mean(axes)
        variance = jnp.square(x - along_last(mean, x)).mean(axes)
        return self.normalise(x, (mean, variance), x.size // x.shape[-1]).astype(dtype)

    def normalise(self, x: Float[Array, "n ..."], moments: Moments | None, count: int = 0) -> Array:
        """``x`` by the mean and variance of the ``count`` values a channel of a batch.

        The running statistics move towards them; where they are None, it is by those.
        """
        if moments is not None:
            self._keep(*moments, count)
        mean, variance = moments or (self.mean[...], self.variance[...])
        scale = self.scale[...] * jax.lax.rsqrt(variance + self.epsilon)
        return x * along_last(scale, x) + along_last(self.bias[...] - mean * scale, x)

    def _keep(self, mean: Array, variance: Array, count: int) -> None:
        updates = self.updates[...] + 1
        kept = jnp.asarray(self.kept)
        if self.warm_up:
            kept = jnp.minimum(kept, updates / (9 + updates))
        if self.unbiased:
            variance = variance * (count / max(count - 1, 1))
        self.mean[...] = kept * self.mean[...] + (1 - kept) * mean
        self.variance[...] = kept * self.variance[...] + (1 - kept) * variance
        self.updates[...] = updates


class Dropout(Layer):
    """In training, a share ``rate`` of the values is set to zero and the rest scaled up.

    The share is a whole number of 256ths, at least one: a byte a value decides, since random
    words would take longer than the convolution before them.
    """

    def __init__(self, input_shape: Shape, rate: float, *, rngs: nnx.Rngs) -> None:
        if not 0 <= rate < 1:
            raise ValueError(f"dropout rate is in [0, 1), not {rate}")
        self.rate = rate
        self.kept = min(255, max(1, round(256 * (1 - rate))))  # of 256
        self.output_shape = input_shape

    def __call__(
        self, x: Float[Array, "n ..."], *, train: bool = False, key: PRNGKeyArray | None = None
    ) -> Float[Array, "n ..."]:
        if not train or self.rate == 0:
            return x
        words = jax.random.bits(_needed(key), (-(-x.size // 4),), jnp.uint32)
        numbers = jax.lax.bitcast_convert_type(words, jnp.uint8).reshape(-1)[: x.size]
        return jnp.where(numbers.reshape(x.shape) < self.kept, x * (256 / self.kept), 0)


class GaussianNoise(Layer):
    """In training, normal noise of standard deviation ``sigma`` is added."""

    def __init__(self, input_shape: Shape, sigma: float, *, rngs: nnx.Rngs) -> None:
        if not 0 <= sigma < math.inf:
            raise ValueError(f"noise has a sigma of 0 or more, not {sigma}")
        self.sigma = sigma
        self.output_shape = input_shape

    def __call__(
        self, x: Float[Array, "n ..."], *, train: bool = False, key: PRNGKeyArray | None = None
    ) -> Float[Array, "n ..."]:
        if not train or self.sigma == 0:
            return x
        return x + self.sigma * jax.random.normal(_needed(key), x.shape, x.dtype)


class Activation(Layer):
    """An elementwise function, such as ``jax.nn.relu``.

    ``rises`` says that it never falls where its input rises: then it may be taken of the largest
    values only, behind a pooling.
    """

    def __init__(
        self,
        input_shape: Shape,
        function: Callable[[Array], Array],
        *,
        rises: bool = False,
        rngs: nnx.Rngs,
    ) -> None:
        self.function = function
        self.rises = rises
        self.output_shape = input_shape

    def __call__(
        self, x: Float[Array, "n ..."], *, train: bool = False, key: PRNGKeyArray | None = None
    ) -> Float[Array, "n ..."]:
        return self.function(x)


class Flatten(Layer):
    """(N, ...) to (N, features)."""

    def __init__(self, input_shape: Shape, *, rngs: nnx.Rngs) -> None:
        self.output_shape = (math.prod(input_shape),)

    def __call__(
        self, x: Float[Array, "n ..."], *, train: bool = False, key: PRNGKeyArray | None = None
    ) -> Float[Array, "n f"]:
        return x.reshape(len(x), -1)


def _up_to_pooling(layers: Sequence[Layer]) -> tuple[Sequence[Layer], MaxPool | None]:
    """A pooling, and those before it if they can change places with it; else no pooling.

    They are a rising activation, a batch normalisation, or one of each.
    """
    kinds = set[type]()
    for count, layer in enumerate(layers):
        if type(layer) is MaxPool:
            return layers[:count], layer
        fits = type(layer) is BatchNorm or (type(layer) is Activation and layer.rises)
        if not fits or type(layer) in kinds:
            break
        kinds.add(type(layer))
    return [], None


def _needed(key: PRNGKeyArray | None) -> PRNGKeyArray:
    """``key``, or a ValueError where there is none."""
    if key is None:
        raise ValueError("dropout and noise are random in training: call the model with key=...")
    return key
