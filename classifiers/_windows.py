"""Where the windows of a convolution or a pooling lie along an axis."""

from __future__ import annotations

import functools
from collections.abc import Sequence

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
    blocks, before = _blocks(x.shape[axis], window, stride, padding)
    kept = min(x.shape[axis], blocks * stride - before)
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


def add_places(
    places: Sequence[Array], size: int, axis: int, window: int, stride: int, padding: str
) -> Array:
    """The adjoint of :func:`window_places`: each value added to where it was taken from.

    ``places`` are arrays (..., windows, ...), one for each place in a window; ``size`` is that of
    the axis in the answer, (..., size, ...). Written so that one loop makes it: XLA has several.
    """
    blocks, before = _blocks(size, window, stride, padding)
    behind = blocks - places[0].shape[axis]

    def pads(start: int, end: int) -> list[tuple[int, int]]:
        return [(start, end) if i == axis else (0, 0) for i in range(places[0].ndim)]

    shifted = [jnp.pad(x, pads(i // stride, behind - i // stride)) for i, x in enumerate(places)]
    unread = [jnp.zeros_like(shifted[0])] * (stride - window)
    rests = [functools.reduce(jnp.add, [*shifted, *unread][rest::stride]) for rest in range(stride)]
    x = jnp.stack(rests, axis + 1)
    x = x.reshape(*x.shape[:axis], -1, *x.shape[axis + 2 :])
    x = x[(*[slice(None)] * axis, slice(before, before + size))]
    return jnp.pad(x, pads(0, size - x.shape[axis]))


def _blocks(size: int, window: int, stride: int, padding: str) -> tuple[int, int]:
    """Blocks of ``stride`` values that windows reach into, and how many are filled in before."""
    count = count_windows(size, window, stride, padding)
    before = max(0, (count - 1) * stride + window - size) // 2 if padding == "SAME" else 0
    return count + (window - 1) // stride, before
