"""Max pooling whose gradient is quick on a CPU."""

from __future__ import annotations

import functools

import jax.numpy as jnp
from jaxtyping import Array, Float

from classifiers._windows import window_places


def max_pool(
    x: Float[Array, "n *extents c"], window: int, *, stride: int | None = None, padding: str
) -> Float[Array, "n *pooled c"]:
    """Largest value of each window along every axis between the first and the last.

    Parameters
    ----------
    x : sequences (n, time, c) or pictures (n, height, width, c).
    window : its side.
    stride : from one window to the next; by default ``window``.
    padding : "VALID" keeps whole windows only. "SAME" gives ceil(size / stride) windows: what
        they lack is minus infinity, half of it before (rounded down) and half after, as in
        TensorFlow.

    Notes
    -----
    One axis after the other, which gives the same maximum. ``reduce_window``'s gradient is slow
    on a CPU; here it is that of slices and maxima. Two equal values share the gradient.
    """
    for axis in range(1, x.ndim - 1):
        places = window_places(x, axis, window, stride or window, padding, fill=-jnp.inf)
        x = functools.reduce(jnp.maximum, places)
    return x
