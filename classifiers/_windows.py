"""Where the windows of a convolution or a pooling lie along an axis."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array


def count_windows(size: int, window: int, stride: int, padding: str) -> int:
    """Windows along an axis of ``size`` values; 0 where "VALID" finds no room for one."""
    if padding == "SAME":
        return -(-size // stride)
    if padding == "VALID":
        return max(0, (size - window) // stride + 1)
    raise ValueError(f'padding is "VALID" or "SAME", not {padding!r}')


def cut_blocks(
    x: Array, axis: int, window: int, stride: int, padding: str, *, fill: float = 0.0
) -> Array:
    """``axis`` cut into blocks: (..., size, ...) becomes (..., blocks, stride, ...).

    Window j is block j and as much as it needs of the blocks behind. "SAME" fills up what the
    windows lack, half of it before (rounded down), as TensorFlow does.
    """
    size = x.shape[axis]
    count = count_windows(size, window, stride, padding)
    blocks = count + (window - 1) // stride
    before = max(0, (count - 1) * stride + window - size) // 2 if padding == "SAME" else 0
    kept = min(size, blocks * stride - before)
    x = x[(*[slice(None)] * axis, slice(kept))]
    pads = [(0, 0)] * x.ndim
    pads[axis] = (before, blocks * stride - before - kept)
    x = jnp.pad(x, pads, constant_values=fill)
    return x.reshape(*x.shape[:axis], blocks, stride, *x.shape[axis + 1 :])


def window_places(
    x: Array, axis: int, window: int, stride: int, padding: str, *, fill: float = 0.0
) -> list[Array]:
    """For each place in a window, the values that all windows along ``axis`` have there."""
    # Slices of blocks: the gradient of a slice with a stride is slow on a CPU.
    count = count_windows(x.shape[axis], window, stride, padding)
    blocks = cut_blocks(x, axis, window, stride, padding, fill=fill)
    places = [(i // stride, i % stride) for i in range(window)]
    before = [slice(None)] * axis
    return [blocks[(*before, slice(first, first + count), rest)] for first, rest in places]
