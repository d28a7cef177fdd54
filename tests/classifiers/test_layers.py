"""Layers against PyTorch, Flax, and step-by-step NumPy."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from classifiers._recurrence import _forward, lstm_recurrence
from classifiers.layers import (
    LSTM,
    BatchNorm,
    Chain,
    Convolution2D,
    Dense,
    Dropout,
    Flatten,
    MaxPool,
)


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def lstm_by_hand(x, kernel, recurrent, bias):
    """Every state, one clip and one step at a time, in float64."""
    units = recurrent.shape[0]
    states = np.zeros((*x.shape[:2], units))
    for n, clip in enumerate(x):
        state, cell = np.zeros(units), np.zeros(units)
        for t, frame in enumerate(clip):
            i, f, g, o = np.split(frame @ kernel + state @ recurrent + bias, 4)
            cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(g)
            state = sigmoid(o) * np.tanh(cell)
            states[n, t] = state
    return states


def test_lstm_equals_the_recurrence_by_hand():
    x = normal(3, 7, 4)
    lstm = LSTM((7, 4), 5, sequence=True, rngs=nnx.Rngs(0))
    expected = lstm_by_hand(
        *(np.float64(a) for a in (x, lstm.kernel[...], lstm.recurrent[...], lstm.bias[...]))
    )
    np.testing.assert_allclose(lstm(jnp.asarray(x)), expected, atol=1e-6)
    last = LSTM((7, 4), 5, sequence=False, rngs=nnx.Rngs(0))
    np.testing.assert_allclose(last(jnp.asarray(x)), expected[:, -1], atol=1e-6)


def test_lstm_gradients_equal_those_of_the_plain_scan():
    gates, recurrent = jnp.asarray(normal(9, 3, 20)), jnp.asarray(normal(5, 20, seed=1)) / 2
    weights = jnp.asarray(normal(9, 3, 5, seed=2))  # every step's output matters

    def loss(function, gates, recurrent):
        return (weights * function(gates, recurrent)).sum()

    ours = jax.grad(partial(loss, lstm_recurrence), (0, 1))(gates, recurrent)
    plain = jax.grad(partial(loss, lambda *a: _forward(*a)[0]), (0, 1))(gates, recurrent)
    for a, b in zip(ours, plain, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-6)


def test_lstm_equals_pytorch():
    torch = pytest.importorskip("torch")
    x, lstm = normal(3, 7, 4), LSTM((7, 4), 5, sequence=True, rngs=nnx.Rngs(0))
    theirs = torch.nn.LSTM(4, 5, batch_first=True)
    with torch.no_grad():
        theirs.weight_ih_l0[:] = torch.tensor(np.asarray(lstm.kernel[...]).T)
        theirs.weight_hh_l0[:] = torch.tensor(np.asarray(lstm.recurrent[...]).T)
        theirs.bias_ih_l0[:] = torch.tensor(np.asarray(lstm.bias[...]))
        theirs.bias_hh_l0[:] = 0
        expected = theirs(torch.tensor(x))[0].numpy()
    np.testing.assert_allclose(lstm(jnp.asarray(x)), expected, atol=1e-6)


def test_lstm_starts_as_keras_does():
    lstm = LSTM((7, 40), 16, sequence=True, rngs=nnx.Rngs(0))
    recurrent = np.asarray(lstm.recurrent[...])
    np.testing.assert_allclose(recurrent @ recurrent.T, np.eye(16), atol=1e-5)
    np.testing.assert_array_equal(lstm.bias[...], np.repeat([0.0, 1.0, 0.0, 0.0], 16))
    limit = np.sqrt(6 / (40 + 64))
    assert 0.95 * limit < np.abs(lstm.kernel[...]).max() <= limit


def test_batch_norm_normalises_by_the_batch_in_training_only():
    x = 3 + 2 * normal(64, 4, 4, 3)
    norm = BatchNorm((4, 4, 3), rngs=nnx.Rngs(0))
    untouched = np.asarray(norm(jnp.asarray(x)))
    np.testing.assert_allclose(untouched, x / np.sqrt(1.001), rtol=1e-5)  # mean 0, variance 1
    y = np.asarray(norm(jnp.asarray(x), train=True))
    np.testing.assert_allclose(y.mean((0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(y.std((0, 1, 2)), 1, atol=1e-3)


def test_batch_norm_statistics_warm_up_and_then_keep_the_momentum():
    x = jnp.asarray(3 + 2 * normal(512, 3))
    norm = BatchNorm((3,), rngs=nnx.Rngs(0))
    norm(x, train=True)
    np.testing.assert_allclose(norm.mean[...], 0.9 * x.mean(0), rtol=1e-5)
    for _ in range(40):
        norm(x, train=True)
    np.testing.assert_allclose(norm.mean[...], x.mean(0), rtol=1e-4)
    np.testing.assert_allclose(norm.variance[...], x.var(0), rtol=1e-3)
    norm.updates[...] = jnp.asarray(1e6)
    before = np.asarray(norm.mean[...])
    norm(x + 1, train=True)
    np.testing.assert_allclose(norm.mean[...] - before, 0.01, atol=2e-4)


def test_batch_norm_equals_flax():
    x = jnp.asarray(3 + 2 * normal(16, 5, 3))
    ours, theirs = (
        BatchNorm((5, 3), rngs=nnx.Rngs(0)),
        nnx.BatchNorm(3, epsilon=1e-3, rngs=nnx.Rngs(0)),
    )
    expected = theirs(x, use_running_average=False)
    np.testing.assert_allclose(ours(x, train=True), expected, atol=1e-5)


def test_dropout_drops_in_training_by_its_key():
    x, dropout = jnp.ones((100, 100)), Dropout((100,), 0.3, rngs=nnx.Rngs(0))
    np.testing.assert_array_equal(dropout(x), x)
    y = dropout(x, train=True, key=jax.random.key(0))
    assert abs(float((y == 0).mean()) - 0.3) < 0.02
    assert abs(float(y.mean()) - 1) < 0.03
    np.testing.assert_array_equal(y, dropout(x, train=True, key=jax.random.key(0)))
    assert (y != dropout(x, train=True, key=jax.random.key(1))).any()
    with pytest.raises(ValueError, match="key="):
        dropout(x, train=True)
    with pytest.raises(ValueError, match=r"\[0, 1\)"):
        Dropout((3,), 1.0, rngs=nnx.Rngs(0))


def test_a_chain_gives_each_dropout_its_own_key():
    drop = partial(Dropout, rate=0.5)
    chain = Chain((1000,), [drop, drop], rngs=nnx.Rngs(0))
    y = chain(jnp.ones((1, 1000)), train=True, key=jax.random.key(0))
    assert abs(float((y != 0).mean()) - 0.25) < 0.06  # one shared key would keep half


def test_a_chain_refuses_other_shapes():
    chain = Chain((8, 6), [Flatten, partial(Dense, width=3)], rngs=nnx.Rngs(0))
    assert chain.output_shape == (3,)
    assert chain(jnp.zeros((2, 8, 6))).shape == (2, 3)
    with pytest.raises(ValueError, match=r"8, 6.*2, 6, 8"):
        chain(jnp.zeros((2, 6, 8)))


@pytest.mark.parametrize(
    ("build", "shape", "message"),
    [
        (partial(Convolution2D, width=2, kernel_size=3), (2, 8, 1), "smaller than the 3² kernel"),
        (partial(Convolution2D, width=2, kernel_size=3), (8, 8), "height, width, channels"),
        (partial(MaxPool, window=4), (8, 3, 1), "smaller than its window of 4"),
        (partial(LSTM, units=2, sequence=True), (8,), "time, features"),
        (partial(LSTM, units=2, sequence=True), (0, 8), "nothing to work on"),
        (partial(Dense, width=2), (8, 8), "features"),
    ],
)
def test_shapes_that_do_not_fit_are_named(build, shape, message):
    with pytest.raises(ValueError, match=f"layer 1, {build.func.__name__}: .*{message}"):
        Chain(shape, [build], rngs=nnx.Rngs(0))


def test_a_same_convolution_keeps_the_size():
    conv = Convolution2D((5, 6, 2), 3, 4, padding="SAME", rngs=nnx.Rngs(0))
    assert conv.output_shape == conv(jnp.zeros((2, 5, 6, 2))).shape[1:] == (5, 6, 3)
