"""A classifier fitted and tested into a stage of a run."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from flax import nnx

from classifiers import FitConfig, FitInterrupted, create, fit, predict
from experiments.recipes import Recipe
from experiments.report.terminal import Progress
from experiments.run import Run
from features import Rows, Standardizer
from features.augmentation import FeatureAugmentation
from features.storage import replacing, write_json
from wavegan import TrainingInterrupted

Labelled = tuple[np.ndarray | Rows, np.ndarray]  # features (N, ...) and labels (N,)


def fit_classifier(
    run: Run,
    folder: Path,
    recipe: Recipe,
    settings: FitConfig,
    *,
    train: Labelled,
    valid: Labelled | None,
    test: np.ndarray | Rows,
    scaler: Standardizer | None,
    num_classes: int,
    seed: int,
    task: str,
    about: dict[str, Any],
    progress: Progress,
    augment: FeatureAugmentation | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> nnx.Module:
    """Fit, write ``probabilities.npy`` of the test clips, ``history.json`` and ``timing.json``.

    Returns the network. After a stop or a kill it goes on with what is in ``folder``.

    Parameters
    ----------
    scaler : of the training clips, applied to all; None for features that are as they should be.
    task, about : what the progress line says, and what tells the run's lines of metrics apart.

    Raises
    ------
    FloatingPointError
        For a loss that is not finite.
    TrainingInterrupted
        Where ``should_stop`` said so.
    """
    started = time.monotonic()
    model = create(
        recipe.architecture,
        input_shape=test.shape[1:],
        num_classes=num_classes,
        rngs=nnx.Rngs(seed),
        **recipe.options,
    )

    def scaled(rows: np.ndarray | Rows) -> Rows:
        return Rows([rows], scaler=scaler)

    def on_log(metrics: dict[str, float]) -> None:
        run.append_metrics(about | metrics)
        done, total = (int(metrics[f"classifier/{name}"]) for name in ("step", "total_steps"))
        progress.update(task, done, total, f"loss {metrics['classifier/loss']:.3f}")

    try:
        history = fit(
            model,
            (scaled(train[0]), train[1]),
            valid and (scaled(valid[0]), valid[1]),
            settings,
            seed=seed,
            on_log=on_log,
            augment=augment,
            run_dir=folder / "fit",
            should_stop=should_stop,
        )
    except FitInterrupted as stopped:
        raise TrainingInterrupted(f"stopped in {task}") from stopped
    with replacing(folder / "probabilities.npy") as temporary:
        np.save(temporary, predict(model, scaled(test)))
    write_json(folder / "history.json", history.to_dict())
    write_json(folder / "timing.json", {"seconds": round(time.monotonic() - started, 2)})
    shutil.rmtree(folder / "fit")  # only needed to resume
    return model
