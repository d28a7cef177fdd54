"""Convolution and max pooling a few pictures at a time, for CPUs.

What lies between the two is four times as large as what comes out of a pooling by two, and
written and read several times. Here it stays in the processor's cache. The gradient needs only the
places of the largest values; where it needs more, it computes that again, or it was kept, whichever
is sooner.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from classifiers.chain import along_last
from classifiers.convolution import convolve
from classifiers.pooling import Pooling, back_to_places, largest

_BYTES_AT_A_TIME = 1_000_000
_BYTES_OF_A_PICTURE = 4_000_000  # a larger one leaves the cache, and the processors wait
_BYTES_WORTH_IT = 8_000_000

Moments = tuple[Array, Array]  # mean and variance of each channel


@dataclass(frozen=True)
class _How:
    few: int  # pictures at a time
    form: str  # of the convolution
    padding: str
    activation: Callable[[Array], Array] | None
    pooling: Pooling
    measured: bool

    @property
    def keeps_sums(self) -> bool:
        """Whether the gradient needs what lies between, and it is sooner kept than made again."""
        return self.form == "winograd" and (self.measured or self.activation is not None)


def pooled_convolution(
    x: Float[Array, "n h w c"],
    kernel: Float[Array, "i j c d"],
    bias: Float[Array, " d"],
    *,
    padding: str,
    pooling: Pooling,
    activation: Callable[[Array], Array] | None = None,
    signs: Float[Array, " d"] | None = None,
    measured: bool = False,
) -> tuple[Float[Array, "n h2 w2 d"], Moments | None]:
    """The largest values of ``activation(convolve(x, kernel) + bias)``.

    Parameters
    ----------
    x, kernel, bias, padding : of the convolution, of stride 1.
    pooling : of what comes out.
    activation : elementwise.
    signs : one a channel. Where it is -1 the smallest values are taken: they are the largest
        behind a normalisation with a negative factor.
    measured : whether the channels' moments before the pooling are wanted: their means and
        variances (d,), else None.
    """
    shape = jax.eval_shape(partial(convolve, padding=padding), x, kernel).shape
    most = max(1, _BYTES_AT_A_TIME // _size(shape))
    few = max(count for count in range(1, min(len(x), most) + 1) if len(x) % count == 0)
    form = _form(kernel.shape) or "rows"
    how = _How(few, form, padding, activation, pooling, measured)
    signs = jnp.ones_like(bias) if signs is None else lax.stop_gradient(signs)
    return _pooled(x, kernel, bias, signs, how)


def pays(x: Array, kernel: Array, output_shape: tuple[int, ...]) -> bool:
    """Whether it was measured to be quicker than one thing after the other.

    ``output_shape`` is that of the convolution of one picture.
    """
    size = _size((1, *output_shape))
    return (
        jax.default_backend() == "cpu"
        and x.dtype == kernel.dtype == jnp.float32
        and _form(kernel.shape) is not None
        and size <= _BYTES_OF_A_PICTURE
        and size * x.shape[0] >= _BYTES_WORTH_IT
    )


def _size(shape: tuple[int, ...]) -> int:
    """Bytes of one picture of (n, h, w, d)."""
    return 4 * math.prod(shape[1:])


def _form(kernel_shape: tuple[int, ...]) -> str | None:
    """That which is quick a few pictures at a time: both are matrix products."""
    rows, columns, channels, width = kernel_shape
    if rows * columns * channels <= 2 * width:
        return "taps"
    return "winograd" if columns == 3 and channels >= 8 else None


@partial(jax.custom_vjp, nondiff_argnums=(4,))
def _pooled(
    x: Array, kernel: Array, bias: Array, signs: Array, how: _How
) -> tuple[Array, Moments | None]:
    return _forward(x, kernel, bias, signs, how)[0]


def _forward(x: Array, kernel: Array, bias: Array, signs: Array, how: _How) -> tuple:
    def some(x: Array) -> tuple:
        sums = _sums(how, x, kernel, bias)
        values = _activated(how, sums)
        found, place = largest(values * along_last(signs, values), how.pooling)
        found = found * along_last(signs, found)
        moments = _moments(values) if how.measured else None
        return found, place, moments, sums if how.keeps_sums else None

    found, place, moments, sums = lax.map(some, _cut(x, how.few))
    if how.measured:
        means, variances = moments
        mean = means.mean(0)
        moments = mean, (variances + jnp.square(means - mean[None])).mean(0)
    saved = (x, kernel, bias, signs, place, moments, sums)
    return (found.reshape(len(x), *found.shape[2:]), moments), saved


def _backward(how: _How, saved: tuple, d_out: tuple[Array, Moments | None]) -> tuple:
    x, kernel, bias, signs, place, moments, sums = saved
    d_found, d_moments = d_out

    def some(so_far: tuple[Array, ...], block: tuple) -> tuple[tuple[Array, ...], Array]:
        x, place, d_found, sums = block
        again, back = jax.vjp(partial(_sums, how), x, kernel, bias)
        values, back_to_sums = jax.vjp(partial(_activated, how), again if sums is None else sums)
        d_values = back_to_places(d_found, place, values.shape[1:3], how.pooling)
        if d_moments is not None and moments is not None:
            count = values.size // values.shape[-1] * len(blocks)
            slope = 2 * d_moments[1]
            at_zero = d_moments[0] - slope * moments[0]
            d_values += along_last(at_zero / count, values)
            d_values += values * along_last(slope / count, values)
        d_x, *d_weights = back(*back_to_sums(d_values))
        return tuple(map(jnp.add, so_far, d_weights)), d_x

    blocks = _cut(x, how.few)
    start: tuple[Array, ...] = (jnp.zeros_like(kernel), jnp.zeros_like(bias))
    taken = blocks, place, _cut(d_found, how.few), sums
    d_weights, d_blocks = lax.scan(some, start, taken)
    return d_blocks.reshape(x.shape), *d_weights, jnp.zeros_like(signs)


_pooled.defvjp(_forward, _backward)


def _sums(how: _How, x: Array, kernel: Array, bias: Array) -> Array:
    sums = convolve(x, kernel, padding=how.padding, form=how.form)
    return sums + along_last(bias, sums)


def _activated(how: _How, sums: Array) -> Array:
    return sums if how.activation is None else how.activation(sums)


def _moments(values: Array) -> Moments:
    mean = values.mean((0, 1, 2))
    return mean, jnp.square(values - along_last(mean, values)).mean((0, 1, 2))


def _cut(x: Array, few: int) -> Array:
    """(n, ...) as (n / few, few, ...)."""
    return x.reshape(-1, few, *x.shape[1:])
