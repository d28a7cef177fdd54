"""Max pooling against XLA's own reduce_window, and TensorFlow's padding by hand."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from classifiers.pooling import max_pool

CASES = [(2, 2), (4, 4), (3, 2), (2, 1), (5, 2), (2, 3)]


def with_gradient(pool, x):
    """Of a pooling its values, and the gradient of the sum of their sines."""
    values, back = jax.vjp(pool, x)
    return values, back(jnp.cos(values))[0]


@partial(jax.jit, static_argnums=(0, 1, 2))
def ours(window, stride, padding, x):
    return with_gradient(partial(max_pool, window=window, stride=stride, padding=padding), x)


@partial(jax.jit, static_argnums=(0, 1, 2))
def theirs(window, stride, padding, x):
    def pool(x):
        sizes, strides = ((1, *[each] * (x.ndim - 2), 1) for each in (window, stride))
        return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, sizes, strides, padding)

    return with_gradient(pool, x)


@pytest.mark.parametrize("padding", ["VALID", "SAME"])
@pytest.mark.parametrize(("window", "stride"), CASES)
@pytest.mark.parametrize("extents", [(6, 9), (13, 8), (11,), (12,)], ids=str)
def test_max_pooling_equals_reduce_window(extents, window, stride, padding):
    size = int(np.prod(extents)) * 6
    x = np.random.default_rng(0).permutation(size).astype(np.float32) / size - 0.5  # no ties
    x = x.reshape(2, *extents, 3)
    (y, gradient), (wanted, slopes) = (f(window, stride, padding, x) for f in (ours, theirs))
    np.testing.assert_array_equal(y, wanted)
    np.testing.assert_allclose(gradient, slopes, atol=1e-6)


def test_same_padding_lacks_more_at_the_end():
    x = jnp.asarray([3.0, 1, 2, 5, 4, 0]).reshape(1, 6, 1)
    # Windows of 3 from 0, 2 and 4: the last one lacks a value behind it.
    assert max_pool(x, 3, stride=2, padding="SAME").ravel().tolist() == [3, 5, 4]
    # Windows of 3 from -1, 1, 3 and 5: one value lacks at each end.
    x = jnp.append(x, -1.0).reshape(1, 7, 1)
    assert max_pool(x, 3, stride=2, padding="SAME").ravel().tolist() == [3, 5, 5, 0]


def test_each_axis_may_have_its_own_window():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 5, 8, 3)).astype(np.float32))
    np.testing.assert_array_equal(
        max_pool(x, (1, 4), padding="SAME"), x.reshape(2, 5, 2, 4, 3).max(3)
    )
    with pytest.raises(ValueError, match="2 axes"):
        max_pool(x, (2,), padding="SAME")


def test_negative_values_are_not_beaten_by_the_padding():
    x = jnp.full((1, 3, 3, 1), -7.0)
    assert (max_pool(x, 2, stride=2, padding="SAME") == -7).all()


@pytest.mark.parametrize("padding", ["VALID", "SAME"])
@pytest.mark.parametrize(("window", "stride"), CASES)
def test_of_equal_values_the_first_has_the_gradient(window, stride, padding):
    few = np.random.default_rng(0).integers(0, 2, (3, 13, 2)).astype(np.float32)
    (_, gradient), (_, slopes) = (f(window, stride, padding, few) for f in (ours, theirs))
    np.testing.assert_allclose(gradient, slopes, atol=1e-6)


def test_of_equal_pictures_each_window_has_one_gradient():
    gradient = jax.grad(lambda x: max_pool(x, 3, stride=2, padding="SAME").sum())(
        jnp.zeros((1, 9, 9, 2))
    )
    assert gradient.sum() == pytest.approx(2 * 5 * 5)
    assert (gradient >= 0).all()


def test_an_unknown_padding_is_refused():
    with pytest.raises(ValueError, match="'FULL'"):
        max_pool(jnp.zeros((1, 4, 1)), 2, padding="FULL")
