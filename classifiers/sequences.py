"""Layers that make pictures of sequences, and sequences of pictures."""

from __future__ import annotations

from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from classifiers.chain import Layer, Shape, expect_axes


class OneChannel(Layer):
    """Sequences (N, time, bands) as pictures (N, time, bands, 1)."""

    def __init__(self, input_shape: Shape, *, rngs: nnx.Rngs) -> None:
        self.output_shape = (*expect_axes(input_shape, "time, bands"), 1)

    def __call__(
        self, x: Float[Array, "n t f"], *, train: bool = False, key: PRNGKeyArray | None = None
    ) -> Float[Array, "n t f 1"]:
        return x[..., None]


class Frames(Layer):
    """Pictures (N, time, bands, channels) as sequences (N, time, bands * channels)."""

    def __init__(self, input_shape: Shape, *, rngs: nnx.Rngs) -> None:
        time, bands, channels = expect_axes(input_shape, "time, bands, channels")
        self.output_shape = (time, bands * channels)

    def __call__(
        self, x: Float[Array, "n t f c"], *, train: bool = False, key: PRNGKeyArray | None = None
    ) -> Float[Array, "n t g"]:
        return x.reshape(*x.shape[:2], -1)


class OneFrame(Layer):
    """(N, features) as sequences of one frame, (N, 1, features)."""

    def __init__(self, input_shape: Shape, *, rngs: nnx.Rngs) -> None:
        self.output_shape = (1, *expect_axes(input_shape, "features"))

    def __call__(
        self, x: Float[Array, "n f"], *, train: bool = False, key: PRNGKeyArray | None = None
    ) -> Float[Array, "n 1 f"]:
        return x[:, None]


class Stream(Layer):
    """Some of the features of (N, time, features), as pictures (N, time, some, 1).

    The ``count`` last ones or, with ``rest``, all before those.
    """

    def __init__(
        self, input_shape: Shape, count: int, *, rest: bool = False, rngs: nnx.Rngs
    ) -> None:
        time, features = expect_axes(input_shape, "time, features")
        if not 0 < count < features:
            raise ValueError(
                f"splits features into two streams, the second one of {count}: "
                f"it needs more than those, and the input is {input_shape}"
            )
        self.start, self.stop = (0, features - count) if rest else (features - count, features)
        self.output_shape = (time, self.stop - self.start, 1)

    def __call__(
        self, x: Float[Array, "n t f"], *, train: bool = False, key: PRNGKeyArray | None = None
    ) -> Float[Array, "n t g 1"]:
        return x[..., self.start : self.stop, None]
