"""Convolutions three wide with half the multiplications, for CPUs.

Winograd's F(4, 3) along the width: four neighbouring outputs need six values of the input, and
six products of sums of those with sums of the kernel's three columns, instead of twelve
(A. Lavin, S. Gray: Fast algorithms for convolutional neural networks, 2016). The kernel's rows
lie side by side as channels, and a few pictures are taken at a time, so that what lies between
the transforms stays in the processor's cache.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

_TILE = 4  # outputs of a tile
# Interpolation at 0, 1, -1, 2, -2 and infinity.
_OF_INPUT = np.array(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ]
)
_OF_KERNEL = np.array(
    [[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]], np.float32
) / np.float32(24)
_OF_OUTPUT = np.array(
    [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]]
)
_TILES_AT_A_TIME = 2048  # rows of a matrix product: it is quick from there on


@jax.custom_vjp
def winograd_conv(
    x: Float[Array, "n h w c"], kernel: Float[Array, "i 3 c d"]
) -> Float[Array, "n h2 w2 d"]:
    """VALID cross-correlation of stride 1, as exact as the direct form to a few roundings.

    Gradients are made of the same six products; differentiable once, not twice.
    """
    return _forward(x, kernel)[0]


def _forward(x: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
    rows, _, channels, width = kernel.shape
    weights = _kernel_sums(kernel)

    def some(x: Array) -> Array:
        sums = _input_sums(x, rows)
        products = [a.reshape(-1, rows * channels) @ b for a, b in zip(sums, weights, strict=True)]
        places = jnp.stack([_combine(terms, products) for terms in _OF_OUTPUT], 1)
        return places.reshape(len(x), *sums[0].shape[1:2], -1, width)

    blocks, _ = _blocks(x, rows)
    y = lax.map(some, blocks)
    y = y.reshape(len(x), *y.shape[2:])
    return y[:, :, : x.shape[2] - 2], (x, kernel)


def _backward(saved: tuple[Array, Array], d_y: Array) -> tuple[Array, Array]:
    x, kernel = saved
    rows, _, channels, width = kernel.shape
    weights = _kernel_sums(kernel)
    blocks, tiles = _blocks(x, rows)
    d_y = jnp.pad(d_y, ((0, 0), (0, 0), (0, tiles * _TILE - d_y.shape[2]), (0, 0)))
    d_y = d_y.reshape(*blocks.shape[:2], *d_y.shape[1:])

    def some(d_weights: Array, block: tuple[Array, Array]) -> tuple[Array, Array]:
        x, d_y = block
        d_y = d_y.reshape(-1, _TILE, width)
        d_products = [_combine(t, [d_y[:, i] for i in range(_TILE)]) for t in _OF_OUTPUT.T]
        sums = [a.reshape(-1, rows * channels) for a in _input_sums(x, rows)]
        found = jnp.stack([a.T @ d for a, d in zip(sums, d_products, strict=True)])
        d_sums = [d @ b.T for d, b in zip(d_products, weights, strict=True)]
        shape = (len(x), -1, tiles, rows * channels)
        return d_weights + found, _input_sums_adjoint([d.reshape(shape) for d in d_sums], rows)

    d_weights, d_x = lax.scan(some, jnp.zeros_like(weights), (blocks, d_y))
    d_weights = d_weights.reshape(-1, rows, channels, width)
    d_kernel = jnp.einsum("kj,kicd->ijcd", _OF_KERNEL, d_weights)
    d_x = d_x.reshape(len(x), *d_x.shape[2:])
    return d_x[:, :, : x.shape[2]], d_kernel


winograd_conv.defvjp(_forward, _backward)


def _kernel_sums(kernel: Float[Array, "i 3 c d"]) -> Float[Array, "6 ic d"]:
    sums = jnp.einsum("kj,ijcd->kicd", _OF_KERNEL, kernel)
    return sums.reshape(len(_OF_KERNEL), -1, kernel.shape[3])


def _blocks(x: Float[Array, "n h w c"], rows: int) -> tuple[Array, int]:
    """A few pictures at a time, as wide as the tiles reach: (m, n / m, h, w2, c); and the tiles."""
    n, height, columns, channels = x.shape
    tiles = -(-(columns - 2) // _TILE)
    most = max(1, _TILES_AT_A_TIME // ((height - rows + 1) * tiles))
    few = max(size for size in range(1, min(n, most) + 1) if n % size == 0)
    reach = (tiles + 1) * _TILE
    x = jnp.pad(x, ((0, 0), (0, 0), (0, reach - columns), (0, 0)))
    return x.reshape(n // few, few, height, reach, channels), tiles


def _input_sums(x: Float[Array, "n h w c"], rows: int) -> list[Array]:
    """Six arrays (n, h - rows + 1, tiles, rows * c)."""
    n, height, reach, channels = x.shape
    tiles, lines = reach // _TILE - 1, height - rows + 1
    x = x.reshape(n, height, tiles + 1, _TILE, channels)
    places = [(i // _TILE, i % _TILE) for i in range(6)]
    values = [x[:, :, first : first + tiles, place] for first, place in places]
    sums = [_combine(terms, values) for terms in _OF_INPUT]
    return [jnp.concatenate([s[:, i : i + lines] for i in range(rows)], -1) for s in sums]


def _input_sums_adjoint(d_sums: Sequence[Array], rows: int) -> Float[Array, "n h w c"]:
    """Of :func:`_input_sums`: written out, since XLA's own is several times slower."""
    n, _, tiles, _ = d_sums[0].shape
    d_lines = []
    for d in d_sums:
        parts = jnp.split(d, rows, -1)
        shifts = [((0, 0), (i, rows - 1 - i), (0, 0), (0, 0)) for i in range(rows)]
        d_lines.append(functools.reduce(jnp.add, map(jnp.pad, parts, shifts)))
    values = [_combine(terms, d_lines) for terms in _OF_INPUT.T]
    # A tile's last two values are the next one's first two.
    own = [jnp.pad(value, ((0, 0), (0, 0), (0, 1), (0, 0))) for value in values[:_TILE]]
    behind = [jnp.pad(value, ((0, 0), (0, 0), (1, 0), (0, 0))) for value in values[_TILE:]]
    d_x = jnp.stack([*map(jnp.add, own, behind), *own[len(behind) :]], 3)
    return d_x.reshape(n, -1, (tiles + 1) * _TILE, d_x.shape[-1])


def _combine(factors: np.ndarray, values: Sequence[Array]) -> Array:
    """The values' sum with whole factors; those that are zero cost nothing."""
    terms = [
        value if factor == 1 else float(factor) * value
        for factor, value in zip(factors, values, strict=True)
        if factor
    ]
    return functools.reduce(jnp.add, terms)
