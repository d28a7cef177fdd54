"""The forms of the convolution against each other."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from classifiers.convolution import convolve


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@partial(jax.jit, static_argnames=("forms", "stride", "padding"))
def values_and_gradients(x, kernel, forms, **settings):
    """Of each form, in one program: one of each takes longer to compile."""

    def of(form):
        y, pull = jax.vjp(partial(convolve, form=form, **settings), x, kernel)
        return y, *pull(jnp.sin(y))

    return [of(form) for form in forms]


@pytest.mark.parametrize("padding", ["VALID", "SAME"])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize(
    ("height", "width", "channels", "size"),
    [(6, 9, 3, 3), (7, 5, 2, 2), (9, 8, 1, 4), (4, 4, 2, 1)],
)
def test_rows_and_taps_equal_the_direct_convolution(height, width, channels, size, stride, padding):
    x, kernel = normal(2, height, width, channels), normal(size, size, channels, 5, seed=1)
    forms = ("rows", "taps", "direct")
    rows, taps, direct = values_and_gradients(x, kernel, forms, stride=stride, padding=padding)
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
    fast, direct = values_and_gradients(x, kernel, ("winograd", "direct"), padding=padding)
    for ours, theirs in zip(fast, direct, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5 * np.abs(theirs).max())


def test_winograd_is_taken_where_there_are_channels_enough():
    if jax.default_backend() != "cpu":
        pytest.skip("on a CPU alone")
    x, kernel = normal(2, 7, 9, 32), normal(3, 3, 32, 64, seed=1)
    found, winograd, rows = (
        jax.jit(partial(convolve, padding="VALID", form=form))(x, kernel)
        for form in (None, "winograd", "rows")
    )
    np.testing.assert_array_equal(found, winograd)
    assert not np.array_equal(found, rows)


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
