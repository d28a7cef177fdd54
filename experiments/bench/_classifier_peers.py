"""The classifiers' networks as users of Flax, PyTorch and Keras would write them.

Each function gives something to time: a training step or epoch with Adam on the data given.
A library that is not installed raises ImportError, when its function is called.
"""

from __future__ import annotations

import os
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
from flax import nnx

from experiments.bench import Job

_CONV_WIDTHS = (32, 64, 128, 256)  # of net2
_LSTM_SIZES = (512, 256)  # of net5


class FlaxCNN(nnx.Module):
    """net2 from Flax's own layers."""

    def __init__(self, shape: tuple[int, ...], num_classes: int) -> None:
        rngs = nnx.Rngs(0)
        self.convolutions = nnx.List(
            [
                nnx.Conv(a, b, (3, 3), padding="VALID", rngs=rngs)
                for a, b in pairwise((shape[-1], *_CONV_WIDTHS))
            ]
        )
        self.dense = nnx.Linear(_flat_size(shape), 256, rngs=rngs)
        self.head = nnx.Linear(256, num_classes, rngs=rngs)

    def __call__(self, x: jax.Array, *, train: bool = False, key: Any = None) -> jax.Array:
        for i, convolution in enumerate(self.convolutions):
            x = nnx.relu(convolution(x))
            if i % 2:
                x = nnx.max_pool(x, (2, 2), (2, 2))
        return self.head(nnx.relu(self.dense(x.reshape(len(x), -1))))


class FlaxLSTM(nnx.Module):
    """net5 from Flax's own layers."""

    def __init__(self, shape: tuple[int, ...], num_classes: int) -> None:
        rngs = nnx.Rngs(0)
        a, b = _LSTM_SIZES
        self.first = nnx.RNN(nnx.OptimizedLSTMCell(shape[-1], a, rngs=rngs), rngs=rngs)
        self.last = nnx.RNN(nnx.OptimizedLSTMCell(a, b, rngs=rngs), rngs=rngs)
        self.dense = nnx.List([nnx.Linear(b, 128, rngs=rngs), nnx.Linear(128, 64, rngs=rngs)])
        self.head = nnx.Linear(64, num_classes, rngs=rngs)

    def __call__(self, x: jax.Array, *, train: bool = False, key: Any = None) -> jax.Array:
        x = self.last(self.first(x))[:, -1]
        for dense in self.dense:
            x = nnx.relu(dense(x))
        return self.head(x)


def torch_network(name: str, shape: tuple[int, ...], num_classes: int) -> Any:
    """net2 or net5 in PyTorch, on inputs (N, …) of a shape with the channels last."""
    from torch import nn

    class LSTM(nn.Module):
        """An LSTM's states, or its last one."""

        def __init__(self, features: int, units: int, *, last: bool) -> None:
            super().__init__()
            self.lstm, self.last = nn.LSTM(features, units, batch_first=True), last

        def forward(self, x: Any) -> Any:
            states = self.lstm(x)[0]
            return states[:, -1] if self.last else states

    class ChannelsFirst(nn.Module):
        def forward(self, x: Any) -> Any:
            return x.permute(0, 3, 1, 2)

    layers: list[Any] = []
    if name == "net2":
        layers = [ChannelsFirst()]
        for i, (a, b) in enumerate(pairwise((shape[-1], *_CONV_WIDTHS))):
            layers += [nn.Conv2d(a, b, 3), nn.ReLU(), *([nn.MaxPool2d(2)] if i % 2 else [])]
        layers += [nn.Flatten(), nn.Linear(_flat_size(shape), 256), nn.ReLU()]
        layers.append(nn.Linear(256, num_classes))
    else:
        a, b = _LSTM_SIZES
        layers = [LSTM(shape[-1], a, last=False), LSTM(a, b, last=True)]
        layers += [nn.Linear(b, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU()]
        layers.append(nn.Linear(64, num_classes))
    return nn.Sequential(*layers)


def torch_step(name: str, x: np.ndarray, y: np.ndarray, num_classes: int) -> Job:
    """A step of net2 (compiled on a GPU) or net5 (cuDNN's LSTM there) in PyTorch."""
    import torch
    from torch import nn

    on_gpu = torch.cuda.is_available()
    device = "cuda" if on_gpu else "cpu"
    network = torch_network(name, x.shape[1:], num_classes)
    if name == "net2":  # the channels are brought to the front once, not in each step
        network, x = network[1:], np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    model = network.to(device)
    optimizer = torch.optim.Adam(model.parameters(), 1e-4, fused=True)
    inputs, labels = torch.tensor(x, device=device), torch.tensor(y, device=device).long()
    if on_gpu:
        torch.backends.cudnn.benchmark = True
    forward = torch.compile(model) if on_gpu and name == "net2" else model

    def run() -> None:
        optimizer.zero_grad()
        nn.functional.cross_entropy(forward(inputs), labels).backward()
        optimizer.step()
        if on_gpu:
            torch.cuda.synchronize()

    return run


def keras_epoch(
    name: str, x: np.ndarray, y: np.ndarray, num_classes: int, *, batch_size: int
) -> Job:
    """An epoch of net5, cnn2 or final_acc with Keras's ``fit``, on TensorFlow."""
    keras = imported_keras()
    model = keras_network(name, x.shape[1:], num_classes)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-4), loss, metrics=["accuracy"])
    return lambda: model.fit(x, y, batch_size=batch_size, epochs=1, verbose=0)


def imported_keras() -> Any:
    """Keras on TensorFlow, without TensorFlow's notes."""
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras

    if keras.backend.backend() != "tensorflow":
        raise ImportError("Keras was imported with another backend than TensorFlow")
    return keras


def keras_network(
    name: str, shape: tuple[int, ...], num_classes: int, *, warm_up: bool = False
) -> Any:
    """net5, cnn2, cnn_bilstm or final_acc in Keras.

    With ``warm_up`` the running statistics of its batch norms move at first as ours do.
    """
    keras = imported_keras()
    inputs, layers = keras.Input(shape), keras.layers
    if warm_up:
        layers = SimpleNamespace(**{**vars(layers), "BatchNormalization": _warming(keras)})
    outputs = _KERAS[name](layers, inputs)
    return keras.Model(inputs, keras.layers.Dense(num_classes)(outputs))


def _warming(keras: Any) -> Any:
    """Keras's batch norm, whose running statistics keep (1 + t) / (10 + t), at most 99 %."""

    class Warming(keras.layers.BatchNormalization):
        def build(self, shape: Any) -> None:
            super().build(shape)
            self.updates = self.add_weight(shape=(), initializer="zeros", trainable=False)

        def call(self, x: Any, training: bool | None = None) -> Any:
            if training:
                updates = self.updates.assign_add(1.0)
                self.momentum = keras.ops.minimum(0.99, updates / (9.0 + updates))
            return super().call(x, training=training)

    return Warming


def _keras_lstm(layers: Any, x: Any) -> Any:
    first, last = _LSTM_SIZES
    x = layers.LSTM(last)(layers.LSTM(first, return_sequences=True)(x))
    return layers.Dense(64, "relu")(layers.Dense(128, "relu")(x))


def _keras_cnn2(layers: Any, x: Any) -> Any:
    for width, size, rate in ((32, 3, 0.2), (64, 3, 0.1), (64, 2, 0.1)):
        x = layers.Conv2D(width, size, activation="relu")(x)
        x = layers.MaxPooling2D(size, 2, padding="same")(layers.BatchNormalization()(x))
        x = layers.Dropout(rate)(x)
    x = layers.Dense(128, "relu")(layers.Flatten()(x))
    return layers.Dropout(0.5)(x)


def _keras_final_acc(layers: Any, x: Any) -> Any:
    branches = []
    for width in (32, 64):
        branch = x
        for size in (3, 3, 3, 2):
            branch = layers.Conv2D(width, size, activation="relu")(branch)
            branch = layers.MaxPooling2D(3, 2, padding="same")(branch)
            branch = layers.BatchNormalization()(branch)
        branches.append(layers.Flatten()(layers.Dropout(0.3)(branch)))
    x = layers.Concatenate()(branches)
    return layers.Dense(64, "relu")(layers.Dense(128, "relu")(x))


def _keras_cnn_bilstm(layers: Any, x: Any) -> Any:
    x = layers.GaussianNoise(0.05)(x)
    for width in (16, 32):
        x = layers.Conv2D(width, 3, padding="same", activation="relu")(x)
        x = layers.MaxPooling2D(2)(layers.BatchNormalization()(x))
    x = layers.Reshape((x.shape[1], x.shape[2] * x.shape[3]))(x)
    x = layers.Bidirectional(layers.LSTM(128, return_sequences=True))(x)
    x = layers.Bidirectional(layers.LSTM(64))(x)
    return layers.Dropout(0.3)(layers.Dense(256, "relu")(x))


_KERAS = {
    "net5": _keras_lstm,
    "cnn2": _keras_cnn2,
    "cnn_bilstm": _keras_cnn_bilstm,
    "final_acc": _keras_final_acc,
}


def _flat_size(shape: tuple[int, ...]) -> int:
    """Features that net2's convolutions leave of pictures of ``shape``."""
    height, columns = (((extent - 4) // 2 - 4) // 2 for extent in shape[:2])
    return height * columns * _CONV_WIDTHS[-1]
