"""Max pooling whose gradient is quick on a CPU."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float

from classifiers._windows import window_places


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
    One axis after the other, which gives the same maximum. ``reduce_window``'s gradient is slow
    on a CPU; here it is that of slices and maxima. Two equal values share the gradient.
    """
    rank = x.ndim - 2
    windows = per_axis(window, rank)
    strides = windows if stride is None else per_axis(stride, rank)
    for axis, (extent, step) in enumerate(zip(windows, strides, strict=True), 1):
        places = window_places(x, axis, extent, step, padding, fill=-jnp.inf)
        x = functools.reduce(jnp.maximum, places)
    return x


def per_axis(value: int | Sequence[int], rank: int) -> tuple[int, ...]:
    """``value`` for each of ``rank`` axes."""
    values = (value,) * rank if isinstance(value, int) else tuple(value)
    if len(values) != rank:
        raise ValueError(f"takes one number, or one for each of {rank} axes, not {values}")
    return values
