"""Whether a published network learns here what it learns in its source's framework.

    python -m experiments.bench.learning --data DIR --out FILE.json --seeds 3

Both sides train on the same clips, split and features, with the recipe's optimiser, batches, epochs
and stopping; weights and the order of the batches are each framework's own, so that what can be
compared is how seeds spread. Where ours and the source's batch norm differ on purpose, the peer is
trained with ours, too, which tells what that is worth. What is done is kept in the file, and the
same command goes on with the rest. Needs PyTorch and TensorFlow, the extra ``bench``.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from classifiers import FitConfig, evaluate, fit, predict
from experiments.bench import Row
from experiments.bench import _classifier_peers as peers
from experiments.config import DataConfig
from experiments.recipes import RECIPES, Recipe
from experiments.report.formats import spread
from experiments.report.terminal import Progress, print_table, text_table
from experiments.stages.clips import cut
from experiments.stages.data import open_dataset
from features import Rows, extract
from features.storage import read_json, write_json
from wavegan.devices import hardware

OURS, TORCH, KERAS = "ours", "PyTorch", "Keras"
WARMED = "Keras, running statistics as ours"
PEERS = {"net2": (TORCH,), "net5": (TORCH,), "cnn2": (KERAS, WARMED), "cnn_bilstm": (KERAS, WARMED)}
_PACKAGES = {OURS: "jax", TORCH: "torch", KERAS: "keras", WARMED: "keras"}
Pair = tuple[np.ndarray, np.ndarray]  # features (N, …) and labels (N,)


@dataclass(frozen=True)
class Sides:
    """What both train and are tested on; no validation where the recipe has none."""

    train: Pair
    valid: Pair | None
    test: Pair
    num_classes: int


def compared(
    recipes: Sequence[Recipe], data: DataConfig, file: Path, *, seeds: int, progress: Progress
) -> list[Row]:
    """Train what ``file`` lacks, each row kept as it is done: all rows, ours and the peer's.

    Parameters
    ----------
    data : its split and fractions are each recipe's own.
    """
    rows: list[Row] = read_json(file, "remove it", list) if file.exists() else []
    done = {(row["recipe"], row["side"], row["seed"]) for row in rows}
    for recipe in recipes:
        name, sides = recipe.name, None
        for seed in range(seeds):
            for side in (OURS, *PEERS[name]):
                if (name, side, seed) in done:
                    continue
                sides = sides or sides_of(recipe, data, progress)
                progress.say(f"{name}, seed {seed}, {side}")
                started = time.monotonic()
                answers, epochs = _LEARN[side](recipe, sides, seed)
                found = evaluate(answers, sides.test[1])
                seconds = round(time.monotonic() - started, 1)
                rows.append({"recipe": name, "side": side, "seed": seed, "epochs": epochs,
                             "accuracy": found.accuracy, "loss": found.loss, "seconds": seconds,
                             "test_clips": len(sides.test[1]), "hardware": hardware(),
                             "version": version(_PACKAGES[side]),
                             "wavegan": version("wavegan")})  # fmt: skip
                write_json(file, rows)
    return rows


def table(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    """Of each recipe what both sides get right, and whether ours lies among a peer's seeds."""
    found = list[tuple[str, ...]]()
    scores: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        scores.setdefault((row["recipe"], row["side"]), []).append(row["accuracy"])
    for name in dict.fromkeys(recipe for recipe, _ in scores):
        ours = scores.get((name, OURS), [])
        for side in PEERS[name]:
            theirs, told = scores.get((name, side), []), "not done"
            if ours and theirs:
                low, high = min(theirs), max(theirs)
                told = "within" if low <= float(np.mean(ours)) <= high else "outside"
            found.append((name, spread(ours), side, spread(theirs), told))
    return found


def sides_of(recipe: Recipe, data: DataConfig, progress: Progress) -> Sides:
    """The clips of the recipe's published protocol, as features that both are given."""
    data = replace(data, split=recipe.split, fractions=recipe.fractions)
    dataset = open_dataset(data, sample_rate=recipe.sample_rate, progress=progress)
    dataset, clips = cut(dataset, recipe, skip_short=data.skip_short, progress=progress)
    features = extract(clips, recipe.input, on_progress=progress.of("features", "clip"))
    rows = dataset.sides(clips, data)
    scaler = recipe.scaler(Rows([features], rows["train"]))

    def side(name: str) -> Pair:
        return Rows([features], rows[name], scaler=scaler)[:], clips.labels[rows[name]]

    valid = side("valid") if len(rows["valid"]) else None
    return Sides(side("train"), valid, side("test"), len(dataset.labels))


def _learn(recipe: Recipe, sides: Sides, seed: int) -> tuple[np.ndarray, float]:
    """Ours: the answers on the test side, and how many epochs were trained."""
    model = recipe.network(sides.train[0].shape[1:], sides.num_classes, seed)
    history = fit(model, sides.train, sides.valid, recipe.fit, seed=seed)
    epoch = recipe.fit.steps_an_epoch(len(sides.train[1]))
    return predict(model, sides.test[0]), history.num_steps / epoch


class _Patience:
    """Stops after so many epochs without a lower validation loss."""

    def __init__(self, config: FitConfig) -> None:
        self.left = self.patience = config.patience
        self.best = np.inf

    def over(self, loss: float) -> bool:
        if self.patience is None:
            return False
        self.left = self.patience if loss < self.best else (self.left or 0) - 1
        self.best = min(self.best, loss)
        return self.left <= 0


def _learn_in_torch(recipe: Recipe, sides: Sides, seed: int) -> tuple[np.ndarray, float]:
    import torch

    torch.manual_seed(seed)
    settings, kinds = recipe.fit, {"adam": torch.optim.Adam, "rmsprop": torch.optim.RMSprop}
    model = peers.torch_network(recipe.name, sides.train[0].shape[1:], sides.num_classes)
    optimizer = kinds[settings.optimizer](model.parameters(), settings.learning_rate)
    inputs, labels = (torch.tensor(part) for part in sides.train)
    labels, loss = labels.long(), torch.nn.functional.cross_entropy

    def logits(x: np.ndarray) -> Any:
        model.eval()
        with torch.no_grad():
            parts = torch.tensor(x).split(settings.batch_size)
            return torch.cat([model(part) for part in parts])

    patience, epochs = _Patience(settings), 0
    for _ in range(settings.epochs or 1):
        epochs += 1
        model.train()
        for rows in torch.randperm(len(labels)).split(settings.batch_size):
            optimizer.zero_grad()
            loss(model(inputs[rows]), labels[rows]).backward()
            optimizer.step()
        if sides.valid is not None:
            x, y = sides.valid
            if patience.over(float(loss(logits(x), torch.tensor(y).long()))):
                break
    return logits(sides.test[0]).softmax(1).numpy(), float(epochs)


def _learn_in_keras(
    recipe: Recipe, sides: Sides, seed: int, *, warm_up: bool = False
) -> tuple[np.ndarray, float]:
    keras = peers.imported_keras()
    keras.utils.set_random_seed(seed)
    settings = recipe.fit
    shape = sides.train[0].shape[1:]
    model = peers.keras_network(recipe.name, shape, sides.num_classes, warm_up=warm_up)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(settings.learning_rate), loss)
    model.fit(*sides.train, batch_size=settings.batch_size, epochs=settings.epochs, verbose=0)
    logits = model.predict(sides.test[0], batch_size=settings.batch_size, verbose=0)
    return np.asarray(keras.ops.softmax(logits)), float(settings.epochs or 1)


_LEARN: dict[str, Callable[[Recipe, Sides, int], tuple[np.ndarray, float]]] = {
    OURS: _learn,
    TORCH: _learn_in_torch,
    KERAS: _learn_in_keras,
    WARMED: partial(_learn_in_keras, warm_up=True),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="folder with a folder for each class")
    parser.add_argument("--out", required=True, type=Path, help="file of the rows")
    parser.add_argument("--recipes", default=",".join(PEERS), help="of %(default)s")
    parser.add_argument("--seeds", default=3, type=int)
    given = parser.parse_args()
    names = given.recipes.split(",")
    if unknown := sorted({*names} - {*PEERS}):
        parser.error(f"--recipes takes {', '.join(PEERS)}; found {', '.join(unknown)}")
    data = DataConfig(given.data, allow_shared_groups=True)
    recipes = [RECIPES[name] for name in names]
    rows = compared(recipes, data, given.out, seeds=given.seeds, progress=Progress())
    heads = ("recipe", "ours, percent of test clips", "peer", "its own", "ours among its seeds")
    print_table(text_table(heads, table(rows), words=(2, 4)))


if __name__ == "__main__":
    main()
