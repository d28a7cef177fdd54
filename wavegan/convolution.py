"""Strided 1-D convolutions and their adjoints in polyphase form.

A convolution with stride ``s`` reads its input in blocks of ``s`` samples. Laying each block
out as ``s`` times the channels turns it into a convolution of stride 1 over the blocks, and
its adjoint (the transposed convolution) into one of stride 1 that writes blocks. Forward
passes and gradients of every order then multiply no inserted zeros, which is where the
direct strided and dilated forms lose their time. Kernels keep their usual shapes.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

_LAYOUT = ("NWC", "WIO", "NWC")


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
    blocks, before, after = _block_kernel(kernel, stride)
    x = x.reshape(n, length // stride, stride * channels)
    return lax.conv_general_dilated(x, blocks, (1,), [(before, after)], dimension_numbers=_LAYOUT)


def transposed_conv(
    x: Float[Array, "n blocks c_in"], kernel: Float[Array, "taps c_out c_in"], *, stride: int
) -> Float[Array, "n length c_out"]:
    """The exact adjoint of `strided_conv` with the same kernel: upsamples by ``stride``."""
    n, num_blocks, _ = x.shape
    blocks, before, after = _block_kernel(kernel, stride)
    adjoint = jnp.flip(blocks, 0).swapaxes(1, 2)
    y = lax.conv_general_dilated(x, adjoint, (1,), [(after, before)], dimension_numbers=_LAYOUT)
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
    padding = [(-int(step.min()), int(step.max()))]
    y = lax.conv_general_dilated(x, blocks, (1,), padding, dimension_numbers=_LAYOUT)
    return y.reshape(n, num_blocks * stride, c_out)


def _block_kernel(kernel: Array, stride: int) -> tuple[Array, int, int]:
    """The kernel over blocks (block_taps, stride * c_in, c_out), and its padding in blocks.

    Taps are padded with zeros so that the first one falls on a block's first sample:
    25 taps at stride 4 become 28 = 7 blocks of 4, two zeros in front and one behind.
    """
    taps, c_in, c_out = kernel.shape
    left, _ = same_padding(taps, stride)
    front = -left % stride
    block_taps = -(-(taps + front) // stride)
    kernel = jnp.pad(kernel, ((front, block_taps * stride - taps - front), (0, 0), (0, 0)))
    before = (left + front) // stride
    return kernel.reshape(block_taps, stride * c_in, c_out), before, block_taps - 1 - before
