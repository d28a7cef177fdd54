"""Convolution of pictures, in the form that the platform is quickest with."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from classifiers._windows import count_windows, cut_blocks, window_places
from classifiers._winograd import winograd_conv


def convolve(
    x: Float[Array, "n h w c"],
    kernel: Float[Array, "i j c d"],
    *,
    stride: int = 1,
    padding: str,
    form: str | None = None,
) -> Float[Array, "n h2 w2 d"]:
    """2-D cross-correlation.

    Parameters
    ----------
    x : pictures, channel last.
    kernel : height, width, channels in, channels out.
    stride : along both axes.
    padding : "VALID" or "SAME" (TensorFlow's: where it is odd there is more at the end).
    form : "direct" is XLA's 2-D convolution. "rows" lays the kernel's rows side by side as
        channels, and as many neighbours along the width as the stride, and convolves along the
        width alone without a stride: the same sums, and many times faster in XLA's gradients
        on a CPU. "taps" lays all of a window's values side by side, for one matrix product:
        quick where those are few beside the channels out. "winograd" has half the
        multiplications, for kernels three wide and a stride of 1
        (:mod:`classifiers._winograd`). None takes "direct", save on a CPU "winograd" where it
        can and there are channels enough to be worth it, otherwise "rows".
    """
    form = form or _quickest(x, kernel, stride)
    if form == "winograd":
        if kernel.shape[1] != 3 or stride != 1:
            raise ValueError(
                f'form "winograd" takes a kernel three wide and stride 1, not a kernel of '
                f'{kernel.shape[:2]} and stride {stride}: use "rows"'
            )
        if padding == "SAME":
            rows = kernel.shape[0]
            x = jnp.pad(x, ((0, 0), ((rows - 1) // 2, rows // 2), (1, 1), (0, 0)))
        return winograd_conv(x, kernel)
    if form == "direct":
        axes, strides = ("NHWC", "HWIO", "NHWC"), (stride, stride)
        return jax.lax.conv_general_dilated(x, kernel, strides, padding, dimension_numbers=axes)
    if form == "taps":
        return _by_taps(x, kernel, stride, padding)
    if form != "rows":
        raise ValueError(f'form is "rows", "taps", "winograd", "direct" or None, not {form!r}')
    rows, columns, channels, width = kernel.shape
    height = count_windows(x.shape[1], rows, stride, padding)
    lines = jnp.concatenate(window_places(x, 1, rows, stride, padding), -1)
    lines = cut_blocks(lines, 2, columns, stride, padding)
    columns_first = kernel.transpose(1, 0, 2, 3)
    columns_first = jnp.pad(columns_first, ((0, -columns % stride), (0, 0), (0, 0), (0, 0)))
    depth = stride * rows * channels
    lines = jax.lax.conv_general_dilated(
        lines.reshape(x.shape[0] * height, -1, depth),
        columns_first.reshape(-1, depth, width),
        (1,),
        "VALID",
        dimension_numbers=("NWC", "WIO", "NWC"),
    )
    return lines.reshape(x.shape[0], height, -1, width)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _by_taps(x: Array, kernel: Array, stride: int, padding: str) -> Array:
    taps = _taps(x, kernel.shape, stride, padding)
    return jnp.concatenate(taps, -1) @ kernel.reshape(-1, kernel.shape[-1])


def _by_taps_forward(
    x: Array, kernel: Array, stride: int, padding: str
) -> tuple[Array, tuple[Array, Array]]:
    return _by_taps(x, kernel, stride, padding), (x, kernel)


def _by_taps_backward(
    stride: int, padding: str, saved: tuple[Array, Array], d_y: Array
) -> tuple[Array, Array]:
    x, kernel = saved
    taps, back = jax.vjp(lambda x: _taps(x, kernel.shape, stride, padding), x)
    # Laid out as the product reads it: XLA would copy what comes out of the convolution instead.
    lines = jnp.stack([jnp.moveaxis(tap, -1, 0) for tap in taps])
    channels, width = kernel.shape[2:]
    d_kernel = lines.reshape(len(taps) * channels, -1) @ d_y.reshape(-1, width)
    d_taps = d_y @ kernel.reshape(-1, width).T
    (d_x,) = back(jnp.split(d_taps, len(taps), -1))
    return d_x, d_kernel.reshape(kernel.shape)


_by_taps.defvjp(_by_taps_forward, _by_taps_backward)


def _taps(x: Array, kernel_shape: tuple[int, ...], stride: int, padding: str) -> list[Array]:
    """Of each place of the kernel, row by row, what of (n, h, w, c) all windows have there."""
    rows, columns, *_ = kernel_shape
    return [
        tap
        for row in window_places(x, 1, rows, stride, padding)
        for tap in window_places(row, 2, columns, stride, padding)
    ]


def _quickest(x: Array, kernel: Array, stride: int) -> str:
    """The form that was measured to be quickest for such a convolution."""
    _, columns, channels, width = kernel.shape
    if jax.default_backend() != "cpu":
        return "direct"
    possible = columns == 3 and stride == 1 and x.dtype == kernel.dtype == jnp.float32
    return "winograd" if possible and channels * width >= 32 * 64 else "rows"
