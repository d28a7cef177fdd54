"""Layers against PyTorch, Flax and sums by hand."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from classifiers.layers import (
    BatchNorm,
    Convolution1D,
    Convolution2D,
    Dense,
    Dropout,
    GaussianNoise,
    GlobalMaxPool,
    MaxPool,
)


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@partial(nnx.jit, static_argnames="train")
def answer(layer, x, *, train=False, key=None):
    """What a layer makes of ``x``, as one program: of eager operations, each is one to compile."""
    return layer(x, train=train, key=key)


@pytest.mark.parametrize("padding", ["VALID", "SAME"])
@pytest.mark.parametrize("stride", [1, 2])
def test_1d_convolution_equals_sums_by_hand(stride, padding):
    x, conv = (
        normal(2, 9, 3),
        Convolution1D((9, 3), 4, 4, stride=stride, padding=padding, rngs=nnx.Rngs(0)),
    )
    conv.bias[...] = jnp.arange(4.0)
    kernel = np.asarray(conv.kernel[...])
    count = 9 if padding == "SAME" else 6
    count = -(-count // stride)
    lacking = max(0, (count - 1) * stride + 4 - 9) if padding == "SAME" else 0
    padded = np.pad(x, ((0, 0), (lacking // 2, lacking - lacking // 2), (0, 0)))
    expected = np.stack(
        [
            np.einsum("nkc,kcd->nd", padded[:, i * stride : i * stride + 4], kernel) + np.arange(4)
            for i in range(count)
        ],
        axis=1,
    )
    np.testing.assert_allclose(answer(conv, x), expected, atol=1e-5)
    assert conv.output_shape == expected.shape[1:]


def test_2d_convolution_equals_pytorch():
    torch = pytest.importorskip("torch")
    x, conv = normal(2, 9, 8, 3), Convolution2D((9, 8, 3), 4, 3, stride=2, rngs=nnx.Rngs(0))
    conv.bias[...] = jnp.arange(4.0)
    expected = torch.nn.functional.conv2d(
        torch.tensor(x.transpose(0, 3, 1, 2)),
        torch.tensor(np.asarray(conv.kernel[...]).transpose(3, 2, 0, 1)),
        torch.arange(4.0),
        stride=2,
    )
    expected = expected.numpy().transpose(0, 2, 3, 1)
    np.testing.assert_allclose(answer(conv, x), expected, atol=1e-5)
    assert conv.output_shape == expected.shape[1:]


@pytest.mark.parametrize("stride", [1, 2])
def test_a_same_convolution_copes_with_less_than_its_kernel(stride):
    conv = Convolution2D((1, 2, 3), 4, 3, stride=stride, padding="SAME", rngs=nnx.Rngs(0))
    assert conv.output_shape == answer(conv, np.zeros((2, 1, 2, 3), np.float32)).shape[1:]


@pytest.mark.parametrize(
    ("shape", "window", "stride", "padding"),
    [
        ((7, 6, 2), 3, 2, "SAME"),
        ((7, 6, 2), (2, 3), None, "VALID"),
        ((1, 1, 2), 3, 2, "SAME"),
        ((7, 2), 2, None, "VALID"),
        ((7, 2), 3, 2, "SAME"),
    ],
)
def test_a_pooling_knows_its_shape(shape, window, stride, padding):
    layer = MaxPool(shape, window, stride, padding, rngs=nnx.Rngs(0))
    assert layer.output_shape == answer(layer, np.zeros((2, *shape), np.float32)).shape[1:]


def test_global_pooling_takes_the_largest_of_each_channel():
    x = normal(2, 5, 4, 3)
    layer = GlobalMaxPool((5, 4, 3), rngs=nnx.Rngs(0))
    np.testing.assert_array_equal(answer(layer, x), x.reshape(2, 20, 3).max(1))
    assert layer.output_shape == (3,)


def test_kernels_start_as_keras_does():
    """Glorot uniform: fans are the taps times the channels."""
    kernel = np.asarray(Convolution2D((9, 9, 16), 32, 3, rngs=nnx.Rngs(0)).kernel[...])
    limit = np.sqrt(6 / (9 * 16 + 9 * 32))
    assert 0.99 * limit < np.abs(kernel).max() <= limit
    assert kernel.std() == pytest.approx(limit / np.sqrt(3), rel=0.05)
    layer = Dense((30,), 50, rngs=nnx.Rngs(0))
    assert 0.95 * np.sqrt(6 / 80) < np.abs(layer.kernel[...]).max() <= np.sqrt(6 / 80)
    np.testing.assert_array_equal(layer.bias[...], 0)


def test_batch_norm_normalises_by_the_batch_in_training_only():
    x = 3 + 2 * normal(64, 4, 4, 3)
    norm = BatchNorm((4, 4, 3), rngs=nnx.Rngs(0))
    untouched = answer(norm, x)
    np.testing.assert_allclose(untouched, x / np.sqrt(1.001), rtol=1e-5)  # mean 0, variance 1
    y = np.asarray(answer(norm, x, train=True))
    np.testing.assert_allclose(y.mean((0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(y.std((0, 1, 2)), 1, atol=1e-3)


def test_batch_norm_statistics_warm_up_and_then_keep_the_momentum():
    x = 3 + 2 * normal(512, 3)
    norm = BatchNorm((3,), rngs=nnx.Rngs(0))
    answer(norm, x, train=True)
    np.testing.assert_allclose(norm.mean[...], 0.9 * x.mean(0), rtol=1e-5)
    for _ in range(40):
        answer(norm, x, train=True)
    np.testing.assert_allclose(norm.mean[...], x.mean(0), rtol=1e-4)
    np.testing.assert_allclose(norm.variance[...], x.var(0), rtol=1e-3)
    norm.updates[...] = jnp.asarray(1e6)
    before = np.asarray(norm.mean[...])
    answer(norm, x + 1, train=True)
    np.testing.assert_allclose(np.asarray(norm.mean[...]) - before, 0.01, atol=2e-4)


def test_batch_norm_equals_flax():
    x = 3 + 2 * normal(16, 5, 3)
    ours, theirs = (
        BatchNorm((5, 3), rngs=nnx.Rngs(0)),
        nnx.BatchNorm(3, epsilon=1e-3, rngs=nnx.Rngs(0)),
    )
    expected = nnx.jit(lambda norm, x: norm(x, use_running_average=False))(theirs, x)
    np.testing.assert_allclose(answer(ours, x, train=True), expected, atol=1e-5)


def test_dropout_drops_in_training_by_its_key():
    x, dropout = np.ones((100, 100), np.float32), Dropout((100,), 0.3, rngs=nnx.Rngs(0))
    np.testing.assert_array_equal(answer(dropout, x), x)
    y, again, other = (
        np.asarray(answer(dropout, x, train=True, key=jax.random.key(seed))) for seed in (0, 0, 1)
    )
    assert abs((y == 0).mean() - 0.3) < 0.02
    assert abs(y.mean() - 1) < 0.03
    np.testing.assert_array_equal(y, again)
    assert (y != other).any()
    with pytest.raises(ValueError, match="key="):
        answer(dropout, x, train=True)
    with pytest.raises(ValueError, match=r"\[0, 1\)"):
        Dropout((3,), 1.0, rngs=nnx.Rngs(0))


@pytest.mark.parametrize("rate", [0.1, 0.2, 0.5, 0.001, 0.999])
def test_what_dropout_keeps_is_scaled_up_by_what_it_keeps(rate):
    layer = Dropout((999, 1001), rate, rngs=nnx.Rngs(0))
    x = np.ones((1, 999, 1001), np.float32)
    y = np.asarray(answer(layer, x, train=True, key=jax.random.key(0)), np.float64)
    share = (y != 0).mean()
    assert 0 < share < 1
    assert abs(1 - share - rate) < 1 / 256
    assert y.mean() == pytest.approx(1, abs=5 * y.std() / y.size**0.5)
    # neighbours share a random word: they are dropped independently of each other
    dropped = (y == 0).reshape(-1)[: y.size // 4 * 4].reshape(-1, 4)
    for one, other in ((0, 1), (0, 3), (1, 2)):
        both = (dropped[:, one] & dropped[:, other]).mean()
        assert abs(both - dropped[:, one].mean() * dropped[:, other].mean()) < 0.003


def test_noise_is_added_in_training_only():
    x, noise = np.full((100, 100), 2, np.float32), GaussianNoise((100,), 0.05, rngs=nnx.Rngs(0))
    np.testing.assert_array_equal(answer(noise, x), x)
    added, other = (
        np.asarray(answer(noise, x, train=True, key=jax.random.key(seed))) - 2 for seed in (0, 1)
    )
    assert abs(added.mean()) < 0.002
    assert added.std() == pytest.approx(0.05, rel=0.05)
    assert (added != other).any()
    with pytest.raises(ValueError, match="key="):
        answer(noise, x, train=True)
    with pytest.raises(ValueError, match="sigma"):
        GaussianNoise((3,), -0.1, rngs=nnx.Rngs(0))


def test_batch_norm_measures_halved_numbers_in_full():
    """Moments of many bfloat16 values near 100: their own sum would have two digits."""
    x = (100 + jax.random.normal(jax.random.key(0), (4096, 3))).astype(jnp.bfloat16)
    layer = BatchNorm((3,), rngs=nnx.Rngs(0))
    y = answer(layer, x, train=True)
    exact = np.asarray(x, np.float64)
    assert y.dtype == jnp.bfloat16
    # the first update keeps a tenth of what it starts from, 0 and 1
    np.testing.assert_allclose(layer.mean[...], 0.9 * exact.mean(0), rtol=1e-4)
    np.testing.assert_allclose(layer.variance[...], 0.1 + 0.9 * exact.var(0), rtol=1e-3)
