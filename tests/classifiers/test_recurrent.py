"""Recurrent layers against PyTorch and step-by-step NumPy."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from classifiers._recurrence import _forward, lstm_recurrence
from classifiers.recurrent import LSTM, Bidirectional


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
    shapes = [(9, 3, 4), (4, 20), (5, 20), (20,)]
    inputs = [jnp.asarray(normal(*shape, seed=i)) / 2 for i, shape in enumerate(shapes)]
    weights = jnp.asarray(normal(9, 3, 5, seed=4))  # every step's output matters

    def loss(function, *inputs):
        return (weights * function(*inputs)).sum()

    ours = jax.grad(partial(loss, lstm_recurrence), (0, 1, 2, 3))(*inputs)
    plain = jax.grad(partial(loss, lambda *a: _forward(*a)[0]), (0, 1, 2, 3))(*inputs)
    for a, b in zip(ours, plain, strict=True):
        np.testing.assert_allclose(a, b, atol=3e-6)


def test_lstm_gradients_equal_pytorch():
    torch = pytest.importorskip("torch")
    x, weights = normal(3, 7, 4), normal(3, 7, 5, seed=1)
    lstm = LSTM((7, 4), 5, sequence=True, rngs=nnx.Rngs(0))
    theirs = torch.nn.LSTM(4, 5, batch_first=True)
    to_pytorch(torch, lstm, theirs, "l0")
    (theirs(torch.tensor(x))[0] * torch.tensor(weights)).sum().backward()
    found = nnx.grad(lambda lstm: (lstm(jnp.asarray(x)) * weights).sum())(lstm)
    expected = [theirs.weight_ih_l0.grad.T, theirs.weight_hh_l0.grad.T, theirs.bias_ih_l0.grad]
    for ours, grad in zip((found.kernel, found.recurrent, found.bias), expected, strict=True):
        np.testing.assert_allclose(ours[...], grad, atol=3e-6)


def to_pytorch(torch, lstm, theirs, suffix):
    with torch.no_grad():
        getattr(theirs, f"weight_ih_{suffix}")[:] = torch.tensor(np.asarray(lstm.kernel[...]).T)
        getattr(theirs, f"weight_hh_{suffix}")[:] = torch.tensor(np.asarray(lstm.recurrent[...]).T)
        getattr(theirs, f"bias_ih_{suffix}")[:] = torch.tensor(np.asarray(lstm.bias[...]))
        getattr(theirs, f"bias_hh_{suffix}")[:] = 0


def test_lstm_equals_pytorch():
    torch = pytest.importorskip("torch")
    x, lstm = normal(3, 7, 4), LSTM((7, 4), 5, sequence=True, rngs=nnx.Rngs(0))
    theirs = torch.nn.LSTM(4, 5, batch_first=True)
    to_pytorch(torch, lstm, theirs, "l0")
    expected = theirs(torch.tensor(x))[0].detach().numpy()
    np.testing.assert_allclose(lstm(jnp.asarray(x)), expected, atol=1e-6)


def test_lstm_starts_as_keras_does():
    lstm = LSTM((7, 40), 16, sequence=True, rngs=nnx.Rngs(0))
    recurrent = np.asarray(lstm.recurrent[...])
    np.testing.assert_allclose(recurrent @ recurrent.T, np.eye(16), atol=1e-5)
    np.testing.assert_array_equal(lstm.bias[...], np.repeat([0.0, 1.0, 0.0, 0.0], 16))
    limit = np.sqrt(6 / (40 + 64))
    assert 0.95 * limit < np.abs(lstm.kernel[...]).max() <= limit


def test_bidirectional_equals_pytorch():
    torch = pytest.importorskip("torch")
    x, both = normal(3, 7, 4), Bidirectional((7, 4), 5, sequence=True, rngs=nnx.Rngs(0))
    theirs = torch.nn.LSTM(4, 5, batch_first=True, bidirectional=True)
    to_pytorch(torch, both.forward, theirs, "l0")
    to_pytorch(torch, both.backward, theirs, "l0_reverse")
    states, (last, _) = theirs(torch.tensor(x))
    np.testing.assert_allclose(both(jnp.asarray(x)), states.detach().numpy(), atol=1e-6)
    assert both.output_shape == (7, 10)

    short = Bidirectional((7, 4), 5, sequence=False, rngs=nnx.Rngs(0))  # the same weights
    expected = torch.cat([last[0], last[1]], -1).detach().numpy()
    np.testing.assert_allclose(short(jnp.asarray(x)), expected, atol=1e-6)
    assert short.output_shape == (10,)


def test_the_directions_have_their_own_weights():
    both = Bidirectional((7, 4), 5, sequence=True, rngs=nnx.Rngs(0))
    assert (both.forward.kernel[...] != both.backward.kernel[...]).any()
