"""Training of the published classifiers against the same networks of Flax, PyTorch and Keras."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import jax
import numpy as np
from flax import nnx

from classifiers.architectures import create
from classifiers.fit_config import FitConfig
from classifiers.step import training_step
from experiments.bench import Job, Row, timed
from experiments.bench import _classifier_peers as peers

NUM_CLASSES = 10


@dataclass(frozen=True)
class Case:
    """A network, its data, and what is timed: ``examples`` in batches, a step or an epoch."""

    shape: tuple[int, ...]
    batch_size: int
    examples: int
    peers: tuple[str, ...]

    @property
    def title(self) -> str:
        size = "x".join(map(str, self.shape))
        if self.examples == self.batch_size:
            return f"training step, batch {self.batch_size} of {size}"
        return f"training epoch, {self.examples} of {size} in batches of {self.batch_size}"


CASES = {
    "net2": Case((180, 180, 3), 32, 32, ("Flax", "PyTorch")),
    "net5": Case((138, 40), 64, 64, ("Flax", "PyTorch", "Keras")),
    "final_acc": Case((80, 80, 1), 64, 256, ("Keras",)),
    "cnn2": Case((130, 128, 1), 64, 256, ("Keras",)),
}


def cases(
    *, repeats: int = 5, hardware: str = "", table: Mapping[str, Case] | None = None
) -> list[Row]:
    """Time the published networks at the published sizes, ours and peers' in turn.

    Parameters
    ----------
    repeats : steps or epochs timed of each, after one that is not.
    hardware : description of the machine, copied into each row.
    table : the networks and their cases; None are all of `CASES`.

    Returns
    -------
    list of dict
        One row a network and peer, see :mod:`experiments.bench`; seconds are medians. A peer
        that is not installed has no rows, and a note says so; Keras is timed on CPUs alone. On
        a GPU PyTorch's net2 is compiled, and its net5 is cuDNN's LSTM.
    """
    rows: list[Row] = []
    for name, case in (CASES if table is None else table).items():
        generator = np.random.default_rng(0)
        x = generator.normal(size=(case.examples, *case.shape)).astype(np.float32)
        y = generator.integers(0, NUM_CLASSES, case.examples).astype(np.int32)
        # PyTorch's threads spin and Keras's pool stays: each peer has its turns with ours alone.
        for peer in case.peers:
            theirs = _peer(peer, name, case, x, y)
            if theirs is None:
                continue
            model = create(name, input_shape=case.shape, num_classes=NUM_CLASSES, rngs=nnx.Rngs(0))
            jobs = {"ours": _jax_epoch(model, x, y, case.batch_size), peer: theirs}
            del model
            rows += timed(f"{name} {case.title}", jobs, repeats, hardware)
    return rows


def _peer(peer: str, name: str, case: Case, x: np.ndarray, y: np.ndarray) -> Job | None:
    """A peer's step or epoch, or None, said in a line, where it cannot be timed here."""
    if peer == "Flax":
        network = peers.FlaxCNN if name == "net2" else peers.FlaxLSTM
        return _jax_epoch(network(case.shape, NUM_CLASSES), x, y, case.batch_size)
    if peer == "Keras" and jax.default_backend() != "cpu":
        print(f"{name}: Keras is compared with on CPUs alone")
        return None
    try:
        if peer == "PyTorch":
            return peers.torch_step(name, x, y, NUM_CLASSES)
        return peers.keras_epoch(name, x, y, NUM_CLASSES, batch_size=case.batch_size)
    except ImportError as error:
        print(f"{name}: no rows of {peer} (pip install 'wavegan[bench]'): {error}")
        return None


def _jax_epoch(model: nnx.Module, x: np.ndarray, y: np.ndarray, batch_size: int) -> Job:
    """Steps over the examples, batch by batch from the host's memory."""
    step, state = training_step([model], FitConfig(steps=1))
    targets = np.eye(NUM_CLASSES, dtype=np.float32)[y]
    keys = jax.random.split(jax.random.key(0), 1)

    def run() -> None:
        nonlocal state
        for start in range(0, len(x), batch_size):
            batch = slice(start, start + batch_size)
            state, scores = step(state, x[None, batch], targets[None, batch], 1, keys)
        jax.block_until_ready((state, scores))

    return run
