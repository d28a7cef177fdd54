"""Layers that average: over windows, over the bands, over all but the channels."""

from __future__ import annotations

from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from classifiers.chain import Layer, Shape, expect_axes, expect_positive
from classifiers.pooling import per_axis


class AveragePool(Layer):
    """Mean of each window of (N, time, channels) or (N, height, width, channels).

    Windows lie side by side; ``window`` is their extent, for every axis between the batch and the
    channels, or a tuple of one each. What is left over at an end is dropped.
    """

    def __init__(
        self, input_shape: Shape, window: int | tuple[int, ...], *, rngs: nnx.Rngs
    ) -> None:
        *extents, channels = expect_axes(input_shape, "time, channels", "height, width, channels")
        self.window = per_axis(window, len(extents))
        expect_positive(window=min(self.window))
        counts = [size // extent for size, extent in zip(extents, self.window, strict=True)]
        if min(counts) < 1:
            raise ValueError(f"an input of {input_shape} is smaller than the window {self.window}")
        self.output_shape = (*counts, channels)

    def __call__(
        self,
        x: Float[Array, "n *extents c"],
        *,
        train: bool = False,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "n *counts c"]:
        counts = zip(self.output_shape[:-1], self.window, strict=True)
        for axis, (count, extent) in enumerate(counts, 1):
            whole = x[(*[slice(None)] * axis, slice(count * extent))]
            x = whole.reshape(*x.shape[:axis], count, extent, *x.shape[axis + 1 :]).mean(axis + 1)
        return x


class BandMean(Layer):
    """Mean over the bands of pictures: (N, time, bands, channels) to (N, time, channels)."""

    def __init__(self, input_shape: Shape, *, rngs: nnx.Rngs) -> None:
        time, _, channels = expect_axes(input_shape, "time, bands, channels")
        self.output_shape = (time, channels)

    def __call__(
        self, x: Float[Array, "n t f c"], *, train: bool = False, key: PRNGKeyArray | None = None
    ) -> Float[Array, "n t c"]:
        return x.mean(2)


class GlobalMeanPool(Layer):
    """Mean of each channel: (N, ..., channels) to (N, channels)."""

    def __init__(self, input_shape: Shape, *, rngs: nnx.Rngs) -> None:
        self.output_shape = input_shape[-1:]

    def __call__(
        self,
        x: Float[Array, "n *extents c"],
        *,
        train: bool = False,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "n c"]:
        return x.mean(tuple(range(1, x.ndim - 1)))
