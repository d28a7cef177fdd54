"""Convolution of pictures, in the form that the platform is quickest with."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def convolve(
    x: Float[Array, "n h w c"],
    kernel: Float[Array, "i j c d"],
    *,
    padding: str,
    form: str | None = None,
) -> Float[Array, "n h2 w2 d"]:
    """2-D cross-correlation of stride 1.

    Parameters
    ----------
    x : pictures, channel last.
    kernel : height, width, channels in, channels out.
    padding : "VALID" or "SAME".
    form : "direct" is XLA's 2-D convolution. "rows" lays the kernel's rows side by side as
        channels and convolves along the width alone: the same sums, and many times faster
        in XLA's gradients on a CPU. None takes "rows" on a CPU and "direct" elsewhere.
    """
    form = form or ("rows" if jax.default_backend() == "cpu" else "direct")
    if form == "direct":
        axes = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(x, kernel, (1, 1), padding, dimension_numbers=axes)
    if form != "rows":
        raise ValueError(f'form is "rows", "direct" or None, not {form!r}')
    rows, columns, channels, width = kernel.shape
    if padding == "SAME":
        x = jnp.pad(x, ((0, 0), ((rows - 1) // 2, rows // 2), (0, 0), (0, 0)))
    n, height = x.shape[0], x.shape[1] - rows + 1
    shifted = jnp.concatenate([x[:, i : i + height] for i in range(rows)], axis=-1)
    lines = jax.lax.conv_general_dilated(
        shifted.reshape(n * height, -1, rows * channels),
        kernel.transpose(1, 0, 2, 3).reshape(columns, rows * channels, width),
        (1,),
        padding,
        dimension_numbers=("NWC", "WIO", "NWC"),
    )
    return lines.reshape(n, height, -1, width)
