"""Max pooling whose gradient is quick on a CPU."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt

from classifiers._windows import add_places, count_windows, window_places


@dataclass(frozen=True)
class Pooling:
    """Windows along every axis between the first and the last.

    Parameters
    ----------
    window : their extent along each of those axes.
    stride : from one window to the next, likewise.
    padding : "VALID" keeps whole windows only. "SAME" gives ceil(size / stride) windows: what
        they lack is minus infinity, half of it before (rounded down) and half after, as in
        TensorFlow.
    """

    window: tuple[int, ...]
    stride: tuple[int, ...]
    padding: str

    def counts(self, extents: Sequence[int]) -> tuple[int, ...]:
        """Windows along each axis of ``extents`` values."""
        sizes = zip(extents, self.window, self.stride, strict=True)
        return tuple(count_windows(*each, self.padding) for each in sizes)


def pooling(
    window: int | Sequence[int], stride: int | Sequence[int] | None, padding: str, rank: int
) -> Pooling:
    """The pooling along ``rank`` axes; numbers hold for each of them.

    ``stride`` is by default ``window``.
    """
    windows = per_axis(window, rank)
    return Pooling(windows, windows if stride is None else per_axis(stride, rank), padding)


def max_pool(x: Float[Array, "n *extents c"], pooling: Pooling) -> Float[Array, "n *pooled c"]:
    """Largest value of each window of sequences (n, time, c) or pictures (n, height, width, c).

    One axis after the other, which gives the same maximum. Along each, the first of equal values
    has the gradient, as in PyTorch and TensorFlow.
    """
    return _max_pool(x, x.shape[1:-1], pooling)


# On a CPU `reduce_window` has a slow gradient, and maxima of slices one that takes twice as long.
@partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def _max_pool(x: Array, extents: Sequence[int], pooling: Pooling) -> Array:
    return largest(x, pooling)[0]


def largest(
    x: Float[Array, "n *extents c"], pooling: Pooling
) -> tuple[Float[Array, "n *pooled c"], UInt[Array, "n *pooled c"]]:
    """The largest value of each window, and its place there: the first axis counts fastest."""
    place, places = jnp.zeros_like(x, _whole(pooling)), 1
    for axis, (window, stride) in enumerate(zip(pooling.window, pooling.stride, strict=True), 1):
        values = window_places(x, axis, window, stride, pooling.padding, fill=-jnp.inf)
        inner = window_places(place, axis, window, stride, pooling.padding)
        # Not by equality with the largest: where XLA computes a value twice, in two loops, it may
        # come out rounded in two ways, and equal to none.
        x, place = values[0], inner[0]
        for number in range(1, window):
            place = jnp.where(values[number] > x, inner[number] + number * places, place)
            x = jnp.maximum(x, values[number])
        places *= window
    return x, place


def back_to_places(
    d_largest: Float[Array, "n *pooled c"],
    place: UInt[Array, "n *pooled c"],
    extents: Sequence[int],
    pooling: Pooling,
) -> Float[Array, "n *extents c"]:
    """The gradient of :func:`largest`, for an input of these ``extents``."""
    parts = [jnp.where(place == number, d_largest, 0) for number in range(_places(pooling))]
    for axis in reversed(range(1, len(extents) + 1)):
        window, stride = pooling.window[axis - 1], pooling.stride[axis - 1]
        inner = len(parts) // window
        parts = [
            add_places(parts[i::inner], extents[axis - 1], axis, window, stride, pooling.padding)
            for i in range(inner)
        ]
    return parts[0]


def _places(pooling: Pooling) -> int:
    """Values of a window."""
    return math.prod(pooling.window)


def _whole(pooling: Pooling) -> np.dtype:
    """The smallest type that holds a place."""
    return np.min_scalar_type(_places(pooling) - 1)


def _forward(x: Array, _: Sequence[int], pooling: Pooling) -> tuple[Array, Array]:
    return largest(x, pooling)


def _backward(
    extents: Sequence[int], pooling: Pooling, place: Array, d_largest: Array
) -> tuple[Array]:
    return (back_to_places(d_largest, place, extents, pooling),)


_max_pool.defvjp(_forward, _backward)


def per_axis(value: int | Sequence[int], rank: int) -> tuple[int, ...]:
    """``value`` for each of ``rank`` axes."""
    values = (value,) * rank if isinstance(value, int) else tuple(value)
    if len(values) != rank:
        raise ValueError(f"takes one number, or one for each of {rank} axes, not {values}")
    return values
