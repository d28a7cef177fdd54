"""Max pooling against XLA's own reduce_window, and TensorFlow's padding by hand."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from classifiers.pooling import max_pool, pooling

CASES = [(2, 2), (4, 4), (3, 2), (2, 1), (5, 2), (2, 3)]


@partial(jax.jit, static_argnames=("window", "stride", "padding"), inline=True)
def pooled(x, window, stride=None, padding="SAME"):
    return max_pool(x, pooling(window, stride, padding, x.ndim - 2))


def by_windows(x, window, stride, padding="SAME"):
    sizes, strides = ((1, *[each] * (x.ndim - 2), 1) for each in (window, stride))
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, sizes, strides, padding)


def with_gradient(pool, x, *case):
    """Of a pooling its values, and the gradient of the sum of their sines."""
    values, back = jax.vjp(lambda x: pool(x, *case), x)
    return values, back(jnp.cos(values))[0]


@jax.jit
def ours_and_theirs(x):
    """Of all cases at once: a program for each takes several times as long to compile."""
    cases = [(*case, padding) for case in CASES for padding in ("VALID", "SAME")]
    return {
        case: [with_gradient(pool, x, *case) for pool in (pooled, by_windows)] for case in cases
    }


@pytest.mark.parametrize("padding", ["VALID", "SAME"])
@pytest.mark.parametrize(("window", "stride"), CASES)
@pytest.mark.parametrize("extents", [(6, 9), (13, 8), (11,), (12,)], ids=str)
def test_max_pooling_equals_reduce_window(extents, window, stride, padding):
    size = int(np.prod(extents)) * 6
    x = np.random.default_rng(0).permutation(size).astype(np.float32) / size - 0.5  # no ties
    x = x.reshape(2, *extents, 3)
    (y, gradient), (wanted, slopes) = ours_and_theirs(x)[window, stride, padding]
    np.testing.assert_array_equal(y, wanted)
    np.testing.assert_allclose(gradient, slopes, atol=1e-6)


def test_same_padding_lacks_more_at_the_end():
    x = jnp.asarray([3.0, 1, 2, 5, 4, 0]).reshape(1, 6, 1)
    # Windows of 3 from 0, 2 and 4: the last one lacks a value behind it.
    assert pooled(x, 3, 2).ravel().tolist() == [3, 5, 4]
    # Windows of 3 from -1, 1, 3 and 5: one value lacks at each end.
    x = jnp.append(x, -1.0).reshape(1, 7, 1)
    assert pooled(x, 3, 2).ravel().tolist() == [3, 5, 5, 0]


def test_each_axis_may_have_its_own_window():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 5, 8, 3)).astype(np.float32))
    np.testing.assert_array_equal(pooled(x, (1, 4)), x.reshape(2, 5, 2, 4, 3).max(3))
    with pytest.raises(ValueError, match="2 axes"):
        pooled(x, (2,))


def test_negative_values_are_not_beaten_by_the_padding():
    x = jnp.full((1, 3, 3, 1), -7.0)
    assert (pooled(x, 2) == -7).all()


@pytest.mark.parametrize("padding", ["VALID", "SAME"])
@pytest.mark.parametrize(("window", "stride"), CASES)
def test_of_equal_values_the_first_has_the_gradient(window, stride, padding):
    few = np.random.default_rng(0).integers(0, 2, (3, 13, 2)).astype(np.float32)
    (_, gradient), (_, slopes) = ours_and_theirs(few)[window, stride, padding]
    np.testing.assert_allclose(gradient, slopes, atol=1e-6)


def test_of_equal_pictures_each_window_has_one_gradient():
    gradient = jax.jit(jax.grad(lambda x: pooled(x, 3, 2).sum()))(jnp.zeros((1, 9, 9, 2)))
    assert gradient.sum() == pytest.approx(2 * 5 * 5)
    assert (gradient >= 0).all()


@pytest.mark.parametrize(("window", "stride"), CASES)
def test_of_a_normalised_picture_the_largest_has_the_gradient(window, stride):
    """What XLA computes twice, for the values and for their places, may be rounded in two ways."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(8, 12, 12, 4)).astype(np.float32)
    mean, factor, shift = rng.normal(size=(3, 1, 1, 1, 4)).astype(np.float32)

    @partial(jax.jit, static_argnums=0)
    def gradient(pool, x):
        return jax.grad(lambda x: pool((x - mean) * factor + shift, window, stride).sum())(x)

    np.testing.assert_allclose(gradient(pooled, x), gradient(by_windows, x), atol=1e-5)


def test_an_unknown_padding_is_refused():
    with pytest.raises(ValueError, match="'FULL'"):
        pooled(jnp.zeros((1, 4, 1)), 2, padding="FULL")
