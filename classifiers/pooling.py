"""Max pooling in forms whose gradients are quick on a CPU."""

from __future__ import annotations

import functools

import jax.numpy as jnp
from jaxtyping import Array, Float


def pooled_size(size: int, window: int, stride: int, padding: str) -> int:
    """Windows along an axis of ``size`` values; 0 where "VALID" finds no room for one."""
    if padding == "SAME":
        return -(-size // stride)
    if padding == "VALID":
        return max(0, (size - window) // stride + 1)
    raise ValueError(f'padding is "VALID" or "SAME", not {padding!r}')


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
    An axis after the other, which is the same maximum. ``reduce_window``'s gradient is slow on
    a CPU; here it is that of reshapes and maxima. Equal values share the gradient.
    """
    for axis in range(1, x.ndim - 1):
        x = _pool_axis(x, axis, window, stride or window, padding)
    return x


def _pool_axis(x: Array, axis: int, window: int, stride: int, padding: str) -> Array:
    size = x.shape[axis]
    count = pooled_size(size, window, stride, padding)
    # Blocks of ``stride`` values: a window is its own block and what it needs of later ones.
    blocks = count + (window - 1) // stride
    before = max(0, (count - 1) * stride + window - size) // 2 if padding == "SAME" else 0
    kept = min(size, blocks * stride - before)
    pads = [(0, 0)] * x.ndim
    pads[axis] = (before, blocks * stride - before - kept)
    along = (slice(None),) * axis
    x = x[(*along, slice(kept))]
    x = jnp.pad(x, pads, constant_values=-jnp.inf)
    x = x.reshape(*x.shape[:axis], blocks, stride, *x.shape[axis + 1 :])
    if window == stride:
        return x.max(axis + 1)
    parts = (
        x[(*along, slice(i // stride, i // stride + count), i % stride)] for i in range(window)
    )
    return functools.reduce(jnp.maximum, parts)
