"""The forms of the convolution against each other."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from classifiers.convolution import convolve


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("padding", ["VALID", "SAME"])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize(
    ("height", "width", "channels", "size"),
    [(6, 9, 3, 3), (7, 5, 2, 2), (9, 8, 1, 4), (4, 4, 2, 1)],
)
def test_rows_and_taps_equal_the_direct_convolution(height, width, channels, size, stride, padding):
    x, kernel = normal(2, height, width, channels), normal(size, size, channels, 5, seed=1)

    @partial(jax.jit, static_argnums=2)
    def value_and_gradients(x, kernel, form):
        function = partial(convolve, stride=stride, padding=padding, form=form)
        y, pull = jax.vjp(function, x, kernel)
        return y, *pull(jnp.sin(y))

    rows, taps, direct = (
        value_and_gradients(x, kernel, form) for form in ("rows", "taps", "direct")
    )
    for ours, others, theirs in zip(rows, taps, direct, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)
        np.testing.assert_allclose(others, theirs, atol=1e-4)


@pytest.mark.parametrize("padding", ["VALID", "SAME"])
@pytest.mark.parametrize(
    ("n", "height", "width", "rows"),
    [(1, 5, 6, 3), (3, 4, 5, 2), (2, 6, 3, 3), (6, 40, 41, 1)],  # the last one in blocks
)
def test_winograd_equals_the_direct_convolution(n, height, width, rows, padding):
    x, kernel = normal(n, height, width, 5), normal(rows, 3, 5, 7, seed=1)

    @partial(jax.jit, static_argnums=2)
    def value_and_gradients(x, kernel, form):
        y, pull = jax.vjp(partial(convolve, padding=padding, form=form), x, kernel)
        return y, *pull(jnp.sin(y))

    fast, direct = (value_and_gradients(x, kernel, form) for form in ("winograd", "direct"))
    for ours, theirs in zip(fast, direct, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5 * np.abs(theirs).max())


def test_winograd_is_taken_where_there_are_channels_enough():
    if jax.default_backend() != "cpu":
        pytest.skip("on a CPU alone")
    x, kernel = jnp.asarray(normal(2, 7, 9, 32)), jnp.asarray(normal(3, 3, 32, 64, seed=1))
    found = convolve(x, kernel, padding="VALID")
    np.testing.assert_array_equal(found, convolve(x, kernel, padding="VALID", form="winograd"))
    assert not np.array_equal(found, convolve(x, kernel, padding="VALID", form="rows"))


def test_winograd_refuses_what_it_cannot_do():
    with pytest.raises(ValueError, match="three wide and stride 1"):
        convolve(jnp.zeros((1, 4, 4, 1)), jnp.zeros((2, 2, 1, 1)), padding="SAME", form="winograd")


def test_an_unknown_form_is_refused():
    with pytest.raises(ValueError, match="rows"):
        convolve(jnp.zeros((1, 4, 4, 1)), jnp.zeros((3, 3, 1, 1)), padding="SAME", form="fast")


def test_the_form_follows_the_platform():
    x, kernel = jnp.zeros((1, 4, 4, 1)), jnp.zeros((3, 3, 1, 1))
    traced = str(jax.make_jaxpr(partial(convolve, padding="VALID"))(x, kernel))
    assert ("concatenate" in traced) == (jax.default_backend() == "cpu")
