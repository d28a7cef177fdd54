"""Pictures as sequences and back, by hand."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from classifiers.sequences import Frames, OneChannel, Stream


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def test_frames_keep_the_time():
    x = jnp.asarray(normal(2, 5, 4, 3))
    frames = Frames((5, 4, 3), rngs=nnx.Rngs(0))
    assert frames.output_shape == (5, 12)
    np.testing.assert_array_equal(frames(x)[:, 2], x[:, 2].reshape(2, 12))


def test_two_streams_are_all_features():
    x = jnp.asarray(normal(2, 5, 7))
    first, last = (Stream((5, 7), 3, rest=rest, rngs=nnx.Rngs(0)) for rest in (True, False))
    assert (first.output_shape, last.output_shape) == ((5, 4, 1), (5, 3, 1))
    np.testing.assert_array_equal(jnp.concatenate([first(x), last(x)], 2)[..., 0], x)
    for count in (7, 0):
        with pytest.raises(ValueError, match=rf"second one of {count}: .*\(5, 7\)"):
            Stream((5, 7), count, rngs=nnx.Rngs(0))


def test_bands_as_a_picture_of_one_channel():
    x, layer = jnp.asarray(normal(2, 5, 7)), OneChannel((5, 7), rngs=nnx.Rngs(0))
    np.testing.assert_array_equal(layer(x), np.asarray(x).reshape(2, 5, 7, 1))
    assert layer.output_shape == (5, 7, 1)
    with pytest.raises(ValueError, match=r"\(time, bands\) .* not \(5, 7, 1\)"):
        OneChannel((5, 7, 1), rngs=nnx.Rngs(0))
