"""One trial: a classifier fitted on an arm's examples and tested, kept in the run folder."""

from __future__ import annotations

import glob
import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from classifiers import FitConfig, evaluate, fit, predict, save, vote_by_track
from classifiers.fit_folder import steps_taken
from classifiers.prediction import read_probabilities
from experiments.config import as_dict
from experiments.recipes import Recipe
from experiments.run import Run
from experiments.stages.examples import Examples, Material
from experiments.stages.plan import steps_of
from features import Clips, Rows, Standardizer, extractors
from features.augmentation import FeatureAugmentation
from features.storage import Interrupted, read_json, replacing, write_json

CLASSIFIER = "classifier.safetensors"  # in the stage of a trial


@dataclass(frozen=True)
class Trial:
    """Which split, which arm, which seed of the classifier."""

    split: str
    arm: str
    seed: int

    @property
    def name(self) -> str:
        return f"{self.split}-{self.arm}-{self.seed}"


@dataclass(frozen=True, eq=False)
class Outcome:
    """What came of a trial.

    Attributes
    ----------
    folder : of the stage that holds it.
    probabilities : (N, K) of the test clips.
    history : of the fit.
    seconds : that fitting and testing took.
    train_clips : that it was fitted on, added ones included.
    """

    trial: Trial
    folder: Path
    clips: Clips
    rows: dict[str, np.ndarray]
    probabilities: np.ndarray
    history: dict[str, Any]
    seconds: float
    train_clips: int

    @property
    def test(self) -> Clips:
        return self.clips.select(self.rows["test"])

    def votes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of each test track its id, its probabilities (K,) and its label."""
        test = self.test
        names, votes = vote_by_track(self.probabilities, test.track_ids)
        label = dict(zip(test.track_ids, test.labels, strict=True))
        return names, votes, np.array([label[name] for name in names], np.int32)

    def record(self) -> dict[str, Any]:
        """Steps and scores, by clip and by track, as ``results.json`` holds them."""
        by_clip = evaluate(self.probabilities, self.test.labels)
        by_track = evaluate(*self.votes()[1:])
        return {
            "steps": self.history["num_steps"],
            "best_step": self.history["best_step"],
            "accuracy": by_clip.accuracy,
            "track_accuracy": by_track.accuracy,
            "macro_f1": by_clip.macro_f1,
            "confusion": np.asarray(by_clip.confusion).tolist(),
            "track_confusion": np.asarray(by_track.confusion).tolist(),
            "history": self.history,
            "stopped_early": self.history["stopped_early"],
            "seconds": self.seconds,
            "train_clips": self.train_clips,
            "classifier": f"stages/{self.folder.name}/{CLASSIFIER}",
        }

    def sides(self) -> dict[str, Any]:
        """How many clips each side has, and of which tracks."""
        ids = {side: self.clips.track_ids[rows] for side, rows in self.rows.items()}
        return {
            "clips": {side: len(rows) for side, rows in self.rows.items()},
            "split": {side: sorted(set(names.tolist())) for side, names in ids.items()},
        }

    def tracks(self) -> list[dict[str, Any]]:
        """How each test track was classified."""
        names, clips = self.clips.label_names, self.test.track_ids
        return [
            {
                "track": str(name),
                "label": names[label],
                "predicted": names[int(vote.argmax())],
                "confidence": float(vote.max()),
                "probabilities": [float(p) for p in vote],
                "clips": int((clips == name).sum()),
                "correct": bool(vote.argmax() == label),
            }
            for name, vote, label in zip(*self.votes(), strict=True)
        ]


def is_done(run: Run, trial: Trial, recipe: Recipe, settings: FitConfig) -> bool:
    """Whether a run holds such a trial, by all but the examples, which are not made for this."""
    wanted = json.loads(json.dumps(_classifier(trial, recipe, settings)))
    for file in (run.path / "stages").glob(f"classifier-{glob.escape(trial.name)}-*/stage.json"):
        inputs = read_json(file, f"remove {file.parent}").get("inputs") or {}
        if all(inputs.get(name) == value for name, value in wanted.items()):
            return True
    return False


def _classifier(trial: Trial, recipe: Recipe, settings: FitConfig) -> dict[str, Any]:
    """What a trial depends on beside its examples."""
    return {
        "architecture": recipe.architecture,
        "options": dict(recipe.options),
        "fit": as_dict(settings),
        "seed": trial.seed,
    }


def run_trial(
    trial: Trial,
    material: Material,
    examples: Examples,
    settings: FitConfig,
    *,
    augment: FeatureAugmentation | None = None,
    task: str,
    should_stop: Callable[[], bool] | None = None,
) -> Outcome:
    """Fit and test a classifier, or find that it was done; after a kill it goes on.

    Parameters
    ----------
    examples : what it trains on; validation and test are the material's real clips.
    settings : of the fit.
    augment : alters the batches.
    task : what the progress line says.

    Raises
    ------
    FloatingPointError
        For a loss that is not finite.
    Interrupted
        Where ``should_stop`` said so.
    """
    recipe, clips = material.recipe, material.clips
    valid, test = material.side("valid"), material.side("test")
    inputs = _classifier(trial, recipe, settings) | {
        "labels": list(clips.label_names),
        "train": examples.key,
        "valid": valid.key,
        "test": test.key,
        "augment": augment and as_dict(augment),
    }

    def on_log(metrics: dict[str, float]) -> None:
        material.run.log.append(as_dict(trial), metrics)
        done, total = (int(metrics[f"classifier/{name}"]) for name in ("step", "total_steps"))
        material.progress.update(task, done, total, f"loss {metrics['classifier/loss']:.3f}")

    def build(folder: Path) -> None:
        started = time.monotonic()
        real = material.side("train").features
        scaler = Standardizer.fit(real) if recipe.input.standardize else None
        train, judge = (
            (Rows([part.features], scaler=scaler), part.labels) for part in (examples, valid)
        )
        model = recipe.network(train[0].shape[1:], len(clips.label_names), trial.seed)
        done = steps_taken(folder / "fit")
        material.progress.compiling(task, done, steps_of(settings, len(examples.labels)))
        try:
            history = fit(
                model,
                train,
                judge if len(valid.labels) else None,
                settings,
                seed=trial.seed,
                on_log=on_log,
                augment=augment,
                run_dir=folder / "fit",
                should_stop=should_stop,
            )
        except Interrupted as stopped:
            raise Interrupted(f"stopped in {task}") from stopped
        write_json(folder / "history.json", history.to_dict())
        with replacing(folder / "probabilities.npy") as temporary:
            np.save(temporary, predict(model, Rows([test.features], scaler=scaler)))
        save(model, folder / CLASSIFIER, metadata=_described(trial, material, scaler))
        seconds = round(time.monotonic() - started, 2)
        write_json(folder / "timing.json", {"seconds": seconds})
        shutil.rmtree(folder / "fit")  # only needed to resume

    folder = material.run.stage(f"classifier-{trial.name}", inputs, build)
    history, timing = (
        read_json(folder / name, f"remove {folder}", (dict, list))
        for name in ("history.json", "timing.json")
    )
    shape = len(test.labels), len(clips.label_names)
    probabilities = read_probabilities(folder / "probabilities.npy", shape)
    rows, count = dict(material.rows), len(examples.labels)
    return Outcome(trial, folder, clips, rows, probabilities, history, timing["seconds"], count)


def _described(trial: Trial, material: Material, scaler: Standardizer | None) -> dict[str, Any]:
    """What a trained classifier says of itself: all that its use needs, and what it has heard."""
    recipe, clips = material.recipe, material.clips
    train = material.train
    return {
        "recipe": recipe.name,
        "labels": list(clips.label_names),
        "sample_rate": recipe.sample_rate,
        "num_samples": clips.num_samples,
        "silence": recipe.silence,
        "input": extractors.as_dict(recipe.input),
        "scaler": scaler and scaler.to_dict(),
        "tracks": {str(n): str(d) for n, d in zip(train.track_ids, train.digests, strict=True)},
        **as_dict(trial),
    }
