"""Layers in a row and side by side."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from classifiers.chain import Chain, Parallel
from classifiers.layers import Activation, Convolution2D, Dense, Dropout, Flatten, MaxPool
from classifiers.recurrent import LSTM, Bidirectional

double = partial(Activation, function=lambda x: 2 * x)
square = partial(Activation, function=lambda x: x**2)
drop = partial(Dropout, rate=0.5)


def test_a_chain_gives_each_dropout_its_own_key():
    chain = Chain((1000,), [drop, drop], rngs=nnx.Rngs(0))
    y = chain(jnp.ones((1, 1000)), train=True, key=jax.random.key(0))
    assert abs(float((y != 0).mean()) - 0.25) < 0.06  # one shared key would keep half


def test_a_chain_refuses_other_shapes():
    chain = Chain((8, 6), [Flatten, partial(Dense, width=3)], rngs=nnx.Rngs(0))
    assert chain.output_shape == (3,)
    assert chain(jnp.zeros((2, 8, 6))).shape == (2, 3)
    with pytest.raises(ValueError, match=r"8, 6.*2, 6, 8"):
        chain(jnp.zeros((2, 6, 8)))


@pytest.mark.parametrize(("join", "expected"), [("concatenate", [2, 6, 1, 9]), ("add", [3, 15])])
def test_branches_take_the_same_input(join, expected):
    branches = Parallel((2,), [[double], [square]], join, rngs=nnx.Rngs(0))
    np.testing.assert_array_equal(branches(jnp.asarray([[1.0, 3.0]])), [expected])
    assert branches.output_shape == (len(expected),)


def test_each_branch_has_its_own_key_and_mode():
    branches = Parallel((1000,), [[drop], [drop]], rngs=nnx.Rngs(0))
    x = jnp.ones((1, 1000))
    np.testing.assert_array_equal(branches(x), jnp.ones((1, 2000)))
    first, second = jnp.split(branches(x, train=True, key=jax.random.key(0)), 2, -1)
    assert (first != second).any()


@pytest.mark.parametrize("join", ["add", "multiply"])
def test_branches_that_cannot_be_joined_are_refused(join):
    branches = [[partial(Dense, width=3)], [partial(Dense, width=2)]]
    with pytest.raises(ValueError, match=rf"layer 1, Parallel: cannot {join} .*\(3,\), \(2,\)"):
        Chain((4,), [partial(Parallel, branches=branches, join=join)], rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"cannot concatenate .*\(4, 3\), \(12,\)"):
        Parallel((4, 3), [[double], [Flatten]], rngs=nnx.Rngs(0))


def test_an_error_names_branch_and_layer():
    with pytest.raises(ValueError, match=r"branch 2: layer 2, Dense: needs .*\(features\).*4, 3"):
        Parallel((4, 3), [[double], [double, partial(Dense, width=2)]], rngs=nnx.Rngs(0))


@pytest.mark.parametrize(
    ("build", "shape", "message"),
    [
        (partial(Convolution2D, width=2, kernel_size=3), (2, 8, 1), "smaller than the kernel's 3"),
        (partial(Convolution2D, width=2, kernel_size=3), (8, 8), "height, width, channels"),
        (partial(MaxPool, window=4), (8, 3, 1), "smaller than the window \\(4, 4\\)"),
        (partial(MaxPool, window=(2, 2)), (8, 3), "each of 1 axes"),
        (partial(Bidirectional, units=2, sequence=True), (8, 3, 2), "time, features"),
        (partial(LSTM, units=2, sequence=True), (8,), "time, features"),
        (partial(LSTM, units=2, sequence=True), (0, 8), "nothing to work on"),
        (partial(Dense, width=2), (8, 8), "features"),
    ],
)
def test_shapes_that_do_not_fit_are_named(build, shape, message):
    with pytest.raises(ValueError, match=f"layer 1, {build.func.__name__}: .*{message}"):
        Chain(shape, [build], rngs=nnx.Rngs(0))
