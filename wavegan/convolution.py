"""Strided 1-D convolutions and their adjoints in polyphase form.

A convolution with stride ``s`` reads its input in blocks of ``s`` samples. Laying each block
out as ``s`` times the channels turns it into a convolution of stride 1 over the blocks, and
its adjoint (the transposed convolution) into one of stride 1 that writes blocks. Forward
passes and gradients of every order then multiply no inserted zeros, which is where the
direct strided and dilated forms lose their time. Kernels keep their usual shapes.

On a CPU layers whose kernel is large or whose blocks are thin are one matrix product instead,
with the samples that each output reads gathered beforehand, the kernel as it is.

Mapped over kernels a convolution becomes a grouped one, which no backend is good at. Within
`mapped_kernels` all are products of gathered blocks, which become batched products.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

_LAYOUT = ("NWC", "WIO", "NWC")
_MAPPED = ContextVar("mapped kernels", default=False)
_LONG = 16  # blocks of a filter that is worked in larger ones
_ALIGNED = 8  # channels that a GPU's matrix units take at a time, in half precision


@contextmanager
def mapped_kernels() -> Iterator[None]:
    """While a function is traced that is mapped over kernels: its convolutions are products."""
    token = _MAPPED.set(True)
    try:
        yield
    finally:
        _MAPPED.reset(token)


def same_padding(kernel_size: int, stride: int) -> tuple[int, int]:
    """Samples that SAME pads on the left and right where ``stride`` divides the length."""
    left = (kernel_size - stride) // 2
    return left, kernel_size - stride - left


def strided_conv(
    x: Float[Array, "n length c_in"], kernel: Float[Array, "taps c_in c_out"], *, stride: int
) -> Float[Array, "n blocks c_out"]:
    """SAME convolution with ``stride``, which must divide the length.

    Equals ``lax.conv_general_dilated`` with that stride to rounding.
    """
    n, length, channels = x.shape
    if _as_product(n * length // stride, kernel, stride):
        return _product(x, kernel, stride)
    if _MAPPED.get() and len(kernel) > _LONG * stride:
        return _long_conv(x, kernel, stride=stride)
    blocks, before, after = _block_kernel(kernel, stride)
    x = x.reshape(n, length // stride, stride * channels)
    return _over_blocks(x, blocks, before, after)


def transposed_conv(
    x: Float[Array, "n blocks c_in"], kernel: Float[Array, "taps c_out c_in"], *, stride: int
) -> Float[Array, "n length c_out"]:
    """The exact adjoint of `strided_conv` with the same kernel: upsamples by ``stride``."""
    n, num_blocks, _ = x.shape
    if _as_product(n * num_blocks, kernel, stride):
        return _transposed_product(x, kernel, stride)
    blocks, before, after = _block_kernel(kernel, stride)
    adjoint = jnp.flip(blocks, 0).swapaxes(1, 2)
    y = _over_blocks(x, adjoint, after, before)
    return y.reshape(n, num_blocks * stride, kernel.shape[1])


def nearest_conv(
    x: Float[Array, "n blocks c_in"], kernel: Float[Array, "taps c_in c_out"], *, stride: int
) -> Float[Array, "n length c_out"]:
    """Each step repeated ``stride`` times, then a SAME convolution of stride 1.

    Taps that meet copies of one step are summed first, so that no copy is multiplied.
    """
    n, num_blocks, c_in = x.shape
    taps, _, c_out = kernel.shape
    left, _ = same_padding(taps, 1)
    # Output p of block b reads, through tap t, the step b + (p + t - left) // stride.
    step = (np.arange(stride)[:, None] + np.arange(taps) - left) // stride
    read = step - step.min() == np.arange(np.ptp(step) + 1)[:, None, None]
    blocks = jnp.einsum("bpt,tio->bipo", read.astype(kernel.dtype), kernel)
    blocks = blocks.reshape(len(read), c_in, stride * c_out)
    y = _over_blocks(x, blocks, -int(step.min()), int(step.max()))
    return y.reshape(n, num_blocks * stride, c_out)


def _over_blocks(
    x: Float[Array, "n blocks c_in"],
    kernel: Float[Array, "block_taps c_in c_out"],
    before: int,
    after: int,
) -> Float[Array, "n blocks c_out"]:
    """The convolution of stride 1, so many blocks of zeros before and after."""
    if _MAPPED.get():
        return _gathered_product(x, kernel, before)
    c_out = kernel.shape[2]
    if x.dtype == jnp.bfloat16 and jax.default_backend() != "cpu":
        thin, few = (-c % _ALIGNED for c in kernel.shape[1:])
        x = jnp.pad(x, ((0, 0), (0, 0), (0, thin)))
        kernel = jnp.pad(kernel, ((0, 0), (0, thin), (0, few)))
    padding = [(before, after)]
    y = lax.conv_general_dilated(x, kernel, (1,), padding, dimension_numbers=_LAYOUT)
    return y[..., :c_out]


@partial(jax.checkpoint, static_argnums=2)  # gathered anew for gradients: it is x many times
def _gathered_product(x: Array, kernel: Array, before: int) -> Array:
    block_taps, blocks = len(kernel), x.shape[1]
    # As float32, since gradients of what is gathered add up.
    sides = ((0, 0), (before, block_taps - 1 - before), (0, 0))
    padded = jnp.pad(x.astype(jnp.float32), sides)
    shifted = [padded[:, t : t + blocks] for t in range(block_taps)]
    gathered = jnp.concatenate(shifted, axis=2).astype(x.dtype)
    return gathered @ kernel.reshape(-1, kernel.shape[2])


def _long_conv(x: Array, kernel: Array, *, stride: int) -> Array:
    """`strided_conv` in larger blocks, of several outputs each: fewer copies are gathered."""
    outputs = math.gcd(x.shape[1] // stride, 64)
    taps, c_in, c_out = kernel.shape
    left, _ = same_padding(taps, stride)
    # An output's taps lie ``stride`` further than those of the one before it, in one long kernel.
    reach = taps + (outputs - 1) * stride
    each = [
        jnp.pad(kernel, ((p * stride, reach - taps - p * stride), (0, 0), (0, 0)))
        for p in range(outputs)
    ]
    wide = jnp.stack(each, axis=2).reshape(reach, c_in, outputs * c_out)
    size = outputs * stride
    front = -left % size
    block_taps = -(-(reach + front) // size)
    wide = jnp.pad(wide, ((front, block_taps * size - reach - front), (0, 0), (0, 0)))
    n, length, _ = x.shape
    before = (left + front) // size
    y = _over_blocks(
        x.reshape(n, length // size, size * c_in),
        wide.reshape(block_taps, size * c_in, outputs * c_out),
        before,
        block_taps - 1 - before,
    )
    return y.reshape(n, length // stride, c_out)


def _as_product(rows: int, kernel: Array, stride: int) -> bool:
    """Whether gathering ``rows`` patches for one product is worth it: measured on CPUs.

    It is where the patches are no larger than twice the kernel, which the convolution would
    pad, flip and transpose, and where its blocks are too thin to fill a vector; but not for
    long filters, whose patches would fill the memory.
    """
    taps, thin, wide = kernel.shape
    if jax.default_backend() != "cpu" or taps > _LONG * stride or _MAPPED.get():
        return False
    return rows <= 2 * wide or stride * thin < 8


# One program each where a network is called outside of any: they have a dozen operations.


@partial(jax.jit, static_argnums=2, inline=True)
def _product(x: Array, kernel: Array, stride: int) -> Array:
    """`strided_conv` of gathered patches."""
    n, length, _ = x.shape
    patches = _patches(x, taps=len(kernel), stride=stride)
    y = patches @ kernel.reshape(-1, kernel.shape[2])
    return y.reshape(n, length // stride, kernel.shape[2])


@partial(jax.jit, static_argnums=2, inline=True)
def _transposed_product(x: Array, kernel: Array, stride: int) -> Array:
    """`transposed_conv` into patches, which are added up."""
    n, num_blocks, c_in = x.shape
    patches = x.reshape(-1, c_in) @ kernel.reshape(-1, c_in).T
    like = jax.ShapeDtypeStruct((n, num_blocks * stride, kernel.shape[1]), patches.dtype)
    gather = partial(_patches, taps=len(kernel), stride=stride)
    return jax.linear_transpose(gather, like)(patches)[0]


def _patches(
    x: Float[Array, "n length c"], *, taps: int, stride: int
) -> Float[Array, "outputs taps_c"]:
    """The samples that each output of a strided convolution reads, an output a row."""
    n, length, channels = x.shape
    front, block_taps, before = _geometry(taps, stride)
    blocks = x.reshape(n, length // stride, stride * channels)
    padded = jnp.pad(blocks, ((0, 0), (before, block_taps - 1 - before), (0, 0)))
    shifted = [padded[:, t : t + blocks.shape[1]] for t in range(block_taps)]
    patches = jnp.concatenate(shifted, axis=2)[..., front * channels : (front + taps) * channels]
    return patches.reshape(n * blocks.shape[1], taps * channels)


def _block_kernel(kernel: Array, stride: int) -> tuple[Array, int, int]:
    """The kernel over blocks (block_taps, stride * c_in, c_out), and its padding in blocks.

    Taps are padded with zeros so that the first one falls on a block's first sample:
    25 taps at stride 4 become 28 = 7 blocks of 4, two zeros in front and one behind.
    """
    taps, c_in, c_out = kernel.shape
    front, block_taps, before = _geometry(taps, stride)
    kernel = jnp.pad(kernel, ((front, block_taps * stride - taps - front), (0, 0), (0, 0)))
    return kernel.reshape(block_taps, stride * c_in, c_out), before, block_taps - 1 - before


def _geometry(taps: int, stride: int) -> tuple[int, int, int]:
    """Samples of the first block in front of the taps, blocks they reach into, blocks before."""
    left, _ = same_padding(taps, stride)
    front = -left % stride
    return front, -(-(taps + front) // stride), (left + front) // stride
