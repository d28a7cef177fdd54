"""One training step of the CNN (net3) and the LSTM (net5) against Flax's layers and PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import jax
import numpy as np
from flax import nnx

from classifiers.architectures import create
from classifiers.fit_config import FitConfig
from classifiers.step import training_step
from experiments.bench import Row, interleaved, row

NUM_CLASSES = 10


def cases(
    *, repeats: int = 5, hardware: str = "", names: Sequence[str] = ("net3", "net5")
) -> list[Row]:
    """Time the published networks at the published sizes, ours and peers' in turn.

    Parameters
    ----------
    repeats : steps timed of each, after one that is not.
    hardware : description of the machine, copied into each row.
    names : "net3" (batch 32 of 180×180×3) and "net5" (batch 64 of 44×40).

    Returns
    -------
    list of dict
        One row a network and peer, see :mod:`experiments.bench`; seconds are medians of a
        step. PyTorch's rows are left out, with a note, where it is not installed.
    """
    rows: list[Row] = []
    for name in names:
        shape, batch = {"net3": ((180, 180, 3), 32), "net5": ((44, 40), 64)}[name]
        generator = np.random.default_rng(0)
        x = generator.normal(size=(batch, *shape)).astype(np.float32)
        y = generator.integers(0, NUM_CLASSES, batch).astype(np.int32)
        ours = create(name, input_shape=shape, num_classes=NUM_CLASSES, rngs=nnx.Rngs(0))
        flax = {"net3": FlaxCNN, "net5": FlaxLSTM}[name](shape)
        steps: dict[str, Callable[[], object]] = {
            "ours": _jax_step(ours, x, y),
            "Flax": _jax_step(flax, x, y),
        }
        del ours, flax
        if torch_step := _torch_step(name, shape, x, y):
            steps["PyTorch"] = torch_step
        else:
            print("PyTorch is not installed (pip install 'wavegan[bench]'): its rows are left out")
        seconds = interleaved(steps, repeats)
        mine = seconds.pop("ours")
        case = f"{name} training step, batch {batch} of {'x'.join(map(str, shape))}"
        rows += [row(case, peer, mine, theirs, hardware) for peer, theirs in seconds.items()]
    return rows


def _jax_step(model: nnx.Module, x: np.ndarray, y: np.ndarray) -> Callable[[], None]:
    step, state = training_step([model], FitConfig(steps=1))
    inputs, targets = x[None], np.eye(NUM_CLASSES, dtype=np.float32)[y][None]
    keys = jax.random.split(jax.random.key(0), 1)

    def run() -> None:
        nonlocal state
        state, scores = step(state, inputs, targets, 1, keys)
        jax.block_until_ready(scores)
        jax.block_until_ready(state)

    return run


class FlaxCNN(nnx.Module):
    """net3 from Flax's own layers."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        rngs = nnx.Rngs(0)
        widths = (shape[-1], 32, 64, 128, 256)
        self.convolutions = nnx.List(
            [nnx.Conv(a, b, (3, 3), padding="VALID", rngs=rngs) for a, b in pairwise(widths)]
        )
        self.norms = nnx.List([nnx.BatchNorm(width, rngs=rngs) for width in widths[1:]])
        side = ((shape[0] - 4) // 2 - 4) // 2
        self.dense = nnx.Linear(side * side * 256, 256, rngs=rngs)
        self.head = nnx.Linear(256, NUM_CLASSES, rngs=rngs)

    def __call__(self, x: jax.Array, *, train: bool = False, key: Any = None) -> jax.Array:
        for i, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            x = nnx.relu(norm(convolution(x), use_running_average=not train))
            if i % 2:
                x = nnx.max_pool(x, (2, 2), (2, 2))
        return self.head(nnx.relu(self.dense(x.reshape(len(x), -1))))


class FlaxLSTM(nnx.Module):
    """net5 from Flax's own layers."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        rngs = nnx.Rngs(0)
        self.first = nnx.RNN(nnx.OptimizedLSTMCell(shape[-1], 512, rngs=rngs), rngs=rngs)
        self.last = nnx.RNN(nnx.OptimizedLSTMCell(512, 256, rngs=rngs), rngs=rngs)
        self.dense = nnx.List([nnx.Linear(256, 128, rngs=rngs), nnx.Linear(128, 64, rngs=rngs)])
        self.head = nnx.Linear(64, NUM_CLASSES, rngs=rngs)

    def __call__(self, x: jax.Array, *, train: bool = False, key: Any = None) -> jax.Array:
        x = self.last(self.first(x))[:, -1]
        for dense in self.dense:
            x = nnx.relu(dense(x))
        return self.head(x)


def _torch_step(
    name: str, shape: tuple[int, ...], x: np.ndarray, y: np.ndarray
) -> Callable[[], None] | None:
    """A step of the same network in PyTorch on the CPU (or a CUDA device), or None without it."""
    try:
        import torch
        from torch import nn
    except ImportError:
        return None

    class Output(nn.Module):
        """An LSTM's states, or its last one."""

        def __init__(self, features: int, units: int, *, last: bool) -> None:
            super().__init__()
            self.lstm, self.last = nn.LSTM(features, units, batch_first=True), last

        def forward(self, x: Any) -> Any:
            states = self.lstm(x)[0]
            return states[:, -1] if self.last else states

    def block(a: int, b: int) -> list[Any]:
        return [nn.Conv2d(a, b, 3), nn.BatchNorm2d(b), nn.ReLU()]

    if name == "net3":
        side = ((shape[0] - 4) // 2 - 4) // 2
        first, second = block(shape[-1], 32) + block(32, 64), block(64, 128) + block(128, 256)
        layers = [*first, nn.MaxPool2d(2), *second, nn.MaxPool2d(2), nn.Flatten()]
        layers += [nn.Linear(side * side * 256, 256), nn.ReLU(), nn.Linear(256, NUM_CLASSES)]
        x = np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    else:
        layers = [Output(shape[-1], 512, last=False), Output(512, 256, last=True)]
        for a, b in ((256, 128), (128, 64)):
            layers += [nn.Linear(a, b), nn.ReLU()]
        layers.append(nn.Linear(64, NUM_CLASSES))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = nn.Sequential(*layers).to(device)
    optimizer = torch.optim.Adam(model.parameters(), 1e-4)
    inputs, labels = torch.tensor(x, device=device), torch.tensor(y, device=device).long()

    def run() -> None:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs), labels).backward()
        optimizer.step()
        if device == "cuda":
            torch.cuda.synchronize()

    return run
