"""Averaging layers against sums by hand."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from classifiers.averages import AveragePool, BandMean, GlobalMeanPool

X = np.random.default_rng(0).normal(size=(2, 5, 7, 3)).astype(np.float32)


@pytest.mark.parametrize("window", [2, (1, 3), (5, 7)])
def test_each_window_is_averaged_and_what_is_left_over_is_dropped(window):
    pool = AveragePool((5, 7, 3), window, rngs=nnx.Rngs(0))
    high, wide = (window, window) if isinstance(window, int) else window
    wanted = [
        [X[:, i : i + high, j : j + wide].mean((1, 2)) for j in range(0, 7 - wide + 1, wide)]
        for i in range(0, 5 - high + 1, high)
    ]
    found = pool(jnp.asarray(X))
    np.testing.assert_allclose(found, np.moveaxis(wanted, 2, 0), atol=1e-6)
    assert found.shape[1:] == pool.output_shape


def test_sequences_have_one_axis_to_average_along():
    pool = AveragePool((5, 3), 2, rngs=nnx.Rngs(0))
    wanted = (X[:, :4:2, 0] + X[:, 1:4:2, 0]) / 2
    np.testing.assert_allclose(pool(jnp.asarray(X[:, :, 0])), wanted, atol=1e-6)


def test_bands_and_whole_pictures():
    bands, whole = (kind((5, 7, 3), rngs=nnx.Rngs(0)) for kind in (BandMean, GlobalMeanPool))
    np.testing.assert_allclose(bands(jnp.asarray(X)), X.sum(2) / 7, atol=1e-6)
    np.testing.assert_allclose(whole(jnp.asarray(X)), X.sum((1, 2)) / 35, atol=1e-6)
    assert (bands.output_shape, whole.output_shape) == ((5, 3), (3,))


@pytest.mark.parametrize(
    ("shape", "window", "said"),
    [
        ((5, 7, 3), 6, r"\(5, 7, 3\) is smaller than the window \(6, 6\)"),
        ((5, 7, 3), 0, "window is at least 1, not 0"),
        ((5, 7, 3), (1, 2, 3), r"one for each of 2 axes, not \(1, 2, 3\)"),
        ((5,), 1, r"needs an input of \(time, channels\) or"),
    ],
)
def test_a_window_that_does_not_fit(shape, window, said):
    with pytest.raises(ValueError, match=said):
        AveragePool(shape, window, rngs=nnx.Rngs(0))
