"""Initial weights, drawn on the host: bit for bit those of JAX's initialisers, and no compiling.

XLA compiles a program for each shape that is drawn, which takes longer than all the draws of a
network but for layers of millions of weights: those are drawn by a program of theirs. JAX's
generator is Threefry (J. Salmon et al.: Parallel random numbers, 2011), of which value number i is
a function of the key and i alone: NumPy computes the same bits.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

_ONE = np.uint32(0x3F800000)  # the exponent of [1, 2)
_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_COMPILED = 1 << 22  # values: 0.1 s in NumPy, which is what compiling takes
_AT_A_TIME = 1 << 16  # values: what lies between the operations stays in the processor's cache


def constant(shape: int | tuple[int, ...], value: float = 0.0) -> Float[Array, "..."]:
    """An array of one value."""
    return jax.device_put(np.full(shape, value, np.float32))


def glorot_uniform(key: PRNGKeyArray, shape: tuple[int, ...]) -> Float[Array, "..."]:
    """Uniform within ±√(6 / (fan in + fan out)); fans are the taps times the channels."""
    if not _on_host(key):
        return nnx.initializers.glorot_uniform()(key, shape)
    mean_fan = math.prod(shape[:-2]) * (shape[-2] + shape[-1]) / 2
    limit = np.sqrt(3 * np.float32(1 / mean_fan))
    return _symmetric(key, shape, limit)


def uniform(key: PRNGKeyArray, shape: tuple[int, ...], limit: float) -> Float[Array, "..."]:
    """Uniform within ±``limit``."""
    scale = np.float32(limit)
    if not _on_host(key):
        return jax.random.uniform(key, shape, minval=-1) * scale
    return _symmetric(key, shape, scale)


def normal(key: PRNGKeyArray, shape: tuple[int, ...], scale: float = 1.0) -> Float[Array, "..."]:
    """Normal around 0, with the standard deviation ``scale``."""
    if not _on_host(key):
        return scale * jax.random.normal(key, shape)
    return jax.device_put(np.float32(scale) * _normal(key, math.prod(shape)).reshape(shape))


def orthogonal(key: PRNGKeyArray, shape: tuple[int, int]) -> Float[Array, "rows columns"]:
    """Orthonormal rows, of which there are fewer than columns, uniformly distributed."""
    rows, columns = shape
    if not _on_host(key) or rows >= columns:
        return nnx.initializers.orthogonal()(key, shape)
    import scipy.linalg  # its LAPACK is what JAX calls on a CPU

    drawn = _normal(key, rows * columns).reshape(columns, rows)
    q, r = scipy.linalg.qr(drawn, mode="economic")
    return jax.device_put(np.ascontiguousarray((q * np.sign(np.diag(r))).T))


def _on_host(key: PRNGKeyArray) -> bool:
    """Whether the key is a value here, and of the generator that is known here."""
    return (
        not isinstance(key, jax.core.Tracer)
        and str(jax.random.key_impl(key)) == "threefry2x32"
        and jax.config.jax_threefry_partitionable  # type: ignore[attr-defined]
    )


def _symmetric(key: PRNGKeyArray, shape: tuple[int, ...], limit: np.float32) -> Array:
    """Uniform within ±``limit``."""
    count = math.prod(shape)
    if _COMPILED <= count < 1 << 32:
        return _in_one_program(jax.random.key_data(key), limit, shape)
    return jax.device_put(_uniform(key, count, np.float32(-1), limit).reshape(shape))


@partial(jax.jit, static_argnames="shape")
def _in_one_program(words: Array, limit: Array, shape: tuple[int, ...]) -> Array:
    """`_symmetric`, fused: JAX's own draws take four times as long."""
    numbers = jax.lax.iota(np.uint32, math.prod(shape))
    bits = _threefry(words, np.uint32(0), numbers) >> np.uint32(9) | _ONE
    values = jax.lax.bitcast_convert_type(bits, np.float32) - 1
    return (jnp.maximum(values * 2 - 1, -1) * limit).reshape(shape)


def _uniform(key: PRNGKeyArray, count: int, low: np.float32, scale: np.float32) -> np.ndarray:
    """``count`` values of [low, 1), times ``scale``."""
    words = np.asarray(jax.random.key_data(key))
    values = np.empty(count, np.float32)

    def draw(start: int) -> None:
        part = values[start : start + _AT_A_TIME]
        numbers = np.arange(start, start + len(part), dtype=np.uint64)
        high, low_half = (numbers >> np.uint64(32)).astype(np.uint32), numbers.astype(np.uint32)
        bits = _threefry(words, high, low_half) >> np.uint32(9) | _ONE
        np.subtract(bits.view(np.float32), np.float32(1), out=part)
        part *= np.float32(1) - low
        part += low
        np.maximum(part, low, out=part)
        part *= scale

    starts = range(0, count, _AT_A_TIME)
    if len(starts) == 1:
        draw(0)
        return values
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(draw, starts))
    return values


def _threefry(words: Any, left: Any, right: Any) -> Any:
    """The bits of values by the two halves of their numbers, mixed; in NumPy or in JAX."""
    keys = (words[0], words[1], words[0] ^ words[1] ^ np.uint32(0x1BD11BDA))
    with np.errstate(over="ignore"):
        left, right = left + keys[0], right + keys[1]
        for i in range(5):
            for turn in _ROTATIONS[i % 2]:
                left = left + right
                right = (right << np.uint32(turn) | right >> np.uint32(32 - turn)) ^ left
            left = left + keys[(i + 1) % 3]
            right = right + (keys[(i + 2) % 3] + np.uint32(i + 1))
    return left ^ right


_erf_inv: Callable[[np.ndarray], Array] = jax.jit(jax.lax.erf_inv)


def _normal(key: PRNGKeyArray, count: int) -> np.ndarray:
    """``count`` standard normal values."""
    above = np.nextafter(np.float32(-1), np.float32(0))
    blocks = np.zeros(-(-count // _AT_A_TIME) * _AT_A_TIME, np.float32)
    blocks[:count] = _uniform(key, count, above, np.float32(1))
    parts = [np.asarray(_erf_inv(part)) for part in blocks.reshape(-1, _AT_A_TIME)]
    return np.float32(np.sqrt(2)) * np.concatenate(parts)[:count]
