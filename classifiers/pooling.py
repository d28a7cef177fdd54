"""Max pooling whose gradient is quick on a CPU."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from classifiers._windows import add_places, window_places


def max_pool(
    x: Float[Array, "n *extents c"],
    window: int | Sequence[int],
    *,
    stride: int | Sequence[int] | None = None,
    padding: str,
) -> Float[Array, "n *pooled c"]:
    """Largest value of each window along every axis between the first and the last.

    Parameters
    ----------
    x : sequences (n, time, c) or pictures (n, height, width, c).
    window : its extent, for all those axes or one each.
    stride : from one window to the next, likewise; by default ``window``.
    padding : "VALID" keeps whole windows only. "SAME" gives ceil(size / stride) windows: what
        they lack is minus infinity, half of it before (rounded down) and half after, as in
        TensorFlow.

    Notes
    -----
    One axis after the other, which gives the same maximum. Along each, the first of equal values
    has the gradient, as in PyTorch and TensorFlow.
    """
    rank = x.ndim - 2
    windows = per_axis(window, rank)
    strides = windows if stride is None else per_axis(stride, rank)
    for axis, (extent, step) in enumerate(zip(windows, strides, strict=True), 1):
        x = _largest(x, axis, extent, step, padding)
    return x


# On a CPU `reduce_window` has a slow gradient, and maxima of slices one that takes twice as long.
@partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3, 4))
def _largest(x: Array, axis: int, window: int, stride: int, padding: str) -> Array:
    """The largest value of each window along one axis."""
    return functools.reduce(
        jnp.maximum, window_places(x, axis, window, stride, padding, fill=-jnp.inf)
    )


def _forward(x: Array, *along: object) -> tuple[Array, tuple[Array, Array]]:
    largest = _largest(x, *along)
    return largest, (x, largest)


def _backward(
    axis: int, window: int, stride: int, padding: str, saved: tuple[Array, Array], d_largest: Array
) -> tuple[Array]:
    x, largest = saved
    parts, taken = [], jnp.zeros(largest.shape, bool)
    for place in window_places(x, axis, window, stride, padding, fill=-jnp.inf):
        equal = place == largest
        parts.append(jnp.where(equal & ~taken, d_largest, 0))
        taken |= equal
    return (add_places(parts, x.shape[axis], axis, window, stride, padding),)


_largest.defvjp(_forward, _backward)


def per_axis(value: int | Sequence[int], rank: int) -> tuple[int, ...]:
    """``value`` for each of ``rank`` axes."""
    values = (value,) * rank if isinstance(value, int) else tuple(value)
    if len(values) != rank:
        raise ValueError(f"takes one number, or one for each of {rank} axes, not {values}")
    return values
