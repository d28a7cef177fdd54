"""Whole networks against Keras's own, layer by layer, with the same weights."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from classifiers.architectures import create
from classifiers.chain import Chain, Parallel
from classifiers.layers import BatchNorm
from classifiers.recurrent import LSTM, Bidirectional

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def layers():
    keras = pytest.importorskip("tensorflow").keras
    keras.utils.set_random_seed(0)
    return keras.layers


def cnn1(k):
    return [
        k.Conv2D(32, 3, activation="relu"),
        k.MaxPooling2D(3, strides=2, padding="same"),
        k.Conv2D(64, 3, activation="relu"),
        k.MaxPooling2D(3, strides=2, padding="same"),
        k.Conv2D(64, 2, activation="relu"),
        k.MaxPooling2D(2, strides=2, padding="same"),
        k.Flatten(),
        k.Dense(64, activation="relu"),
        k.Dense(10),
    ]


def cnn_bilstm(k):
    def block(width):
        return [
            k.Conv2D(width, 3, padding="same", activation="relu"),
            k.BatchNormalization(),
            k.MaxPooling2D(2),
        ]

    return [
        k.GaussianNoise(0.05),
        *block(16),
        *block(32),
        k.Reshape((20, 20 * 32)),
        k.Bidirectional(k.LSTM(128, return_sequences=True)),
        k.Bidirectional(k.LSTM(64)),
        k.Dense(256, activation="relu"),
        k.Dropout(0.3),
        k.Dense(10),
    ]


def cnn_rnn(k):
    return [
        k.Conv1D(8, 4),
        k.LeakyReLU(0.3),
        k.MaxPooling1D(2),
        k.Conv1D(6, 3),
        k.LeakyReLU(0.3),
        k.MaxPooling1D(2),
        k.LSTM(128, return_sequences=True),
        k.LSTM(32),
        k.Dense(200, activation="relu"),
        k.Dropout(0.2),
        k.Dense(10),
    ]


def four_blocks(k, width):
    def block(size):
        return [
            k.Conv2D(width, size, activation="relu"),
            k.MaxPooling2D(3, strides=2, padding="same"),
            k.BatchNormalization(),
        ]

    return [*block(3), *block(3), *block(3), *block(2), k.Dropout(0.3), k.Flatten()]


def head(k):
    return [k.Dense(128, activation="relu"), k.Dense(64, activation="relu"), k.Dense(10)]


def final_eff(k):
    return [*four_blocks(k, 32), *head(k)]


def final_acc(k):
    return [[four_blocks(k, 32), four_blocks(k, 64)], *head(k)]


def apply(layers, k, x):
    """Layers one after another; a list among them is branches to concatenate."""
    for layer in layers:
        if isinstance(layer, list):
            x = k.Concatenate()([apply(branch, k, x) for branch in layer])
        else:
            x = layer(x)
    return x


def weighted(layers):
    """Keras's layers that have weights, in order."""
    for layer in layers:
        if isinstance(layer, list):
            for branch in layer:
                yield from weighted(branch)
        elif layer.get_weights():
            yield layer


def weights(layer):
    """Each of our layers' arrays, in Keras's order."""
    if isinstance(layer, Chain | Parallel):
        for each in layer.layers if isinstance(layer, Chain) else layer.branches:
            yield from weights(each)
    elif isinstance(layer, BatchNorm):
        yield [layer.scale, layer.bias, layer.mean, layer.variance]
    elif isinstance(layer, LSTM):
        yield [layer.kernel, layer.recurrent, layer.bias]
    elif isinstance(layer, Bidirectional):
        yield [array for one in (layer.forward, layer.backward) for array in next(weights(one))]
    elif hasattr(layer, "kernel"):
        yield [layer.kernel, layer.bias]


@pytest.mark.parametrize(
    ("build", "shape"),
    [
        (cnn1, (130, 128, 1)),
        (cnn_bilstm, (80, 80, 1)),
        (cnn_rnn, (80, 80)),
        (final_eff, (80, 80, 1)),
        (final_acc, (80, 80, 1)),
    ],
    ids=["cnn1", "cnn_bilstm", "cnn_rnn", "final_eff", "final_acc"],
)
def test_networks_equal_keras(layers, build, shape):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, *shape)).astype(np.float32)
    model = create(build.__name__, input_shape=shape, num_classes=10, rngs=nnx.Rngs(0))
    theirs = build(layers)
    apply(theirs, layers, x)  # makes the weights
    for arrays, layer in zip(weights(model), weighted(theirs), strict=True):
        for array in arrays:
            if array.ndim == 1:  # biases and statistics start as constants
                array[...] += jnp.asarray(np.abs(rng.normal(0, 0.1, array.shape)), jnp.float32)
        layer.set_weights([np.asarray(array[...]) for array in arrays])
    expected = np.asarray(apply(theirs, layers, x))
    np.testing.assert_allclose(model(jnp.asarray(x)), expected, atol=1e-4)


def test_weights_start_as_keras_has_them(layers):
    """The initial distributions, layer by layer."""
    model = create("cnn_bilstm", input_shape=(80, 80, 1), num_classes=10, rngs=nnx.Rngs(0))
    theirs = cnn_bilstm(layers)
    apply(theirs, layers, np.zeros((1, 80, 80, 1), np.float32))
    for arrays, layer in zip(weights(model), weighted(theirs), strict=True):
        for ours, initial in zip(arrays, layer.get_weights(), strict=True):
            assert float(ours[...].mean()) == pytest.approx(initial.mean(), abs=0.02)
            assert float(ours[...].std()) == pytest.approx(initial.std(), rel=0.2)
