"""The host's draws against JAX's own initialisers, bit for bit."""

import jax
import numpy as np
import pytest
from flax import nnx

from features.initial_weights import constant, glorot_uniform, normal, orthogonal, uniform

INITIALISERS = nnx.initializers.glorot_uniform(), nnx.initializers.orthogonal()


@pytest.mark.parametrize(
    ("ours", "theirs", "shape"),
    [
        (glorot_uniform, INITIALISERS[0], (3, 3, 5, 7)),
        (glorot_uniform, INITIALISERS[0], (300, 257)),  # more than is drawn at a time
        (normal, jax.random.normal, (7, 5, 3)),
        (normal, jax.random.normal, (70_000,)),
        (orthogonal, INITIALISERS[1], (150, 600)),
        (orthogonal, INITIALISERS[1], (5, 5)),
    ],
)
def test_the_host_draws_what_jax_draws(ours, theirs, shape):
    key = jax.random.key(2**40 + 3)
    found, expected = ours(key, shape), theirs(key, shape)
    np.testing.assert_array_equal(found, expected)
    assert (found.dtype, found.weak_type) == (expected.dtype, expected.weak_type)


def test_millions_of_weights_are_the_same_and_drawn_by_one_program(caplog):
    key, shape = jax.random.key(2**40 + 3), (3, 700, 2048)
    expected = jax.random.uniform(key, shape, minval=-1) * np.float32(0.01)
    with jax.log_compiles():
        found = uniform(key, shape, 0.01)
    assert caplog.text.count("Finished XLA compilation") == 1
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(glorot_uniform(key, shape), INITIALISERS[0](key, shape))


@pytest.mark.parametrize("draw", [glorot_uniform, normal, orthogonal])
def test_traced_keys_and_other_generators_are_drawn_from(draw):
    key = jax.random.key(1)
    traced = jax.jit(draw, static_argnums=1)(key, (4, 16))
    np.testing.assert_allclose(draw(key, (4, 16)), traced, atol=1e-6)
    other = draw(jax.random.key(1, impl="rbg"), (4, 16))
    assert np.isfinite(other).all()
    assert not np.allclose(other, traced)


def test_nothing_is_compiled_for_a_shape(caplog):
    key = jax.random.key(0)
    glorot_uniform(key, (3, 4))
    normal(key, (3, 4))
    with jax.log_compiles():
        glorot_uniform(key, (5, 6))
        normal(key, (5, 7), 0.5)
        constant((7,))
        assert not caplog.records
        jax.numpy.zeros((7, 11))
    assert "ompil" in caplog.text  # it would have been seen


def test_a_scale_is_the_standard_deviation():
    key = jax.random.key(5)
    np.testing.assert_array_equal(normal(key, (9,), 0.5), 0.5 * normal(key, (9,)))
