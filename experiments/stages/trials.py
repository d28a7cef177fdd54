"""One trial: a classifier fitted on an arm's examples and tested, kept in the run folder."""

from __future__ import annotations

import glob
import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jax
import numpy as np
from flax import nnx

from classifiers import FitConfig, History, evaluate, fit, predict, save, vote_by_track
from classifiers.fit_folder import steps_taken
from classifiers.history import one_after_another
from classifiers.prediction import read_probabilities
from classifiers.saved import take_over
from experiments.config import as_dict
from experiments.recipes import Recipe
from experiments.run import Run, as_folder, code
from experiments.stages.examples import Examples, Material
from experiments.stages.plan import steps_of
from experiments.stages.pretrained import made_elsewhere
from features import Clips, Rows, Standardizer, extractors
from features.augmentation import FeatureAugmentation
from features.soundness import file_digest
from features.storage import Interrupted, read_json, replacing, write_json

CLASSIFIER = "classifier.safetensors"  # in the stage of a trial
PROBABILITIES = "probabilities.npy"  # there, too: of the best weights, of the test clips
VALIDATED = "validation.npy"  # there, too: theirs of the validation clips, where there are any


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
    """What came of a trial. Its answers stay in its folder: a study has thousands.

    Attributes
    ----------
    folder : of the stage that holds it.
    history : of the fit.
    seconds : that fitting and testing took.
    train_clips : that it was fitted on, added ones included.
    """

    trial: Trial
    folder: Path
    clips: Clips
    rows: Mapping[str, np.ndarray]
    history: dict[str, Any]
    seconds: float
    train_clips: int

    @property
    def probabilities(self) -> np.ndarray:
        """(N, K) of the test clips, of the best weights."""
        return self._answers(PROBABILITIES)

    def reading(self, step: int) -> np.ndarray:
        """(N, K) of the test clips after one of the other steps that it was read at."""
        return self._answers(_reading(step))

    def _answers(self, name: str) -> np.ndarray:
        shape = len(self.rows["test"]), len(self.clips.label_names)
        return read_probabilities(self.folder / name, shape)

    @property
    def test(self) -> Clips:
        return self.clips.select(self.rows["test"])

    def record(self) -> dict[str, Any]:
        """Steps and scores, by clip and by track, as ``results.json`` holds them."""
        return {
            "steps": self.history["num_steps"],
            "best_step": self.history["best_step"],
            **scored(self.probabilities, self.test),
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
            for name, vote, label in zip(*votes(self.probabilities, self.test), strict=True)
        ]


def scored(probabilities: np.ndarray, test: Clips) -> dict[str, Any]:
    """Scores and confusions of answers (N, K) on test clips, by clip and by track."""
    by_clip = evaluate(probabilities, test.labels)
    by_track = evaluate(*votes(probabilities, test)[1:])
    return {
        "accuracy": by_clip.accuracy,
        "track_accuracy": by_track.accuracy,
        "macro_f1": by_clip.macro_f1,
        "loss": by_clip.loss,
        "confusion": np.asarray(by_clip.confusion).tolist(),
        "track_confusion": np.asarray(by_track.confusion).tolist(),
    }


def votes(probabilities: np.ndarray, test: Clips) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each test track its id, its probabilities (K,) and its label; clips have (N, K)."""
    names, found = vote_by_track(probabilities, test.track_ids)
    label = dict(zip(test.track_ids, test.labels, strict=True))
    return names, found, np.array([label[name] for name in names], np.int32)


def is_done(
    run: Run, trial: Trial, recipe: Recipe, settings: FitConfig, *, any_steps: bool = False
) -> bool:
    """Whether a run holds such a trial, by all but the examples, which are not made for this.

    ``any_steps`` is for trials whose steps are still to be chosen.
    """
    wanted = json.loads(json.dumps(_classifier(trial, recipe, settings)))
    folder = glob.escape(as_folder(f"classifier-{trial.name}"))
    for file in (run.path / "stages").glob(f"{folder}-*/stage.json"):
        made = read_json(file, f"remove {file.parent}")
        inputs = made.get("inputs") or {}
        if any_steps and isinstance(inputs.get("fit"), dict):
            inputs = {**inputs, "fit": {**inputs["fit"], "steps": wanted["fit"]["steps"]}}
        same = all(inputs.get(name) == value for name, value in wanted.items())
        if same and made.get("code") == code():
            return True
    return False


def _classifier(trial: Trial, recipe: Recipe, settings: FitConfig) -> dict[str, Any]:
    """What a trial depends on beside its examples."""
    return {
        "architecture": recipe.architecture,
        "options": dict(recipe.options),
        "fit": as_dict(settings),
        "seed": trial.seed,
        **({"pretrained": file_digest(Path(recipe.pretrained))} if recipe.pretrained else {}),
    }


def run_trial(
    trial: Trial,
    material: Material,
    phases: Sequence[Examples],
    settings: FitConfig,
    *,
    augment: FeatureAugmentation | None = None,
    read_at: Sequence[int] = (),
    dropout: bool = False,
    task: str,
    should_stop: Callable[[], bool] | None = None,
) -> Outcome:
    """Fit and test a classifier, or find that it was done; after a kill it goes on.

    Parameters
    ----------
    phases : what it trains on, one after another; each has its share of the steps and starts
        from the best weights of the one before. Validation and test are the material's real clips.
    settings : of the fit, all phases together.
    augment : alters the batches.
    read_at : steps of a training of one phase after which it is tested, too.
    dropout : is on while it is tested, as in a published figure that is no test.
    task : what the progress line says.

    Raises
    ------
    FloatingPointError
        For a loss that is not finite.
    Interrupted
        Where ``should_stop`` said so.
    """
    recipe, clips = material.recipe, material.clips
    test = material.side("test")
    inputs = _classifier(trial, recipe, settings) | {
        "labels": list(clips.label_names),
        "train": ", then ".join(examples.key for examples in phases),
        "valid": material.side("valid").key,
        "test": test.key,
        "augment": augment and as_dict(augment),
        **({"read_at": list(read_at)} if read_at else {}),
        **({"dropout": True} if dropout else {}),
    }

    def build(folder: Path) -> None:
        for examples in phases:
            examples.features  # noqa: B018  which are made now: their time is not the fit's
        started = time.monotonic()
        real = material.side("train").features
        scaler = recipe.scaler(real)
        model = recipe.network(real[0].shape, len(clips.label_names), trial.seed)
        before = take_over(model, recipe.pretrained) if recipe.pretrained is not None else {}

        def answer(name: str, model: nnx.Module, side: str = "test") -> None:
            asked = Rows([material.side(side).features], scaler=scaler)
            key = jax.random.key(trial.seed) if dropout and side == "test" else None
            if len(asked):
                with replacing(folder / name) as temporary:
                    np.save(temporary, predict(model, asked, dropout=key))

        work = _Fitting(trial, material, settings, augment, scaler, folder, task, should_stop)
        history = work.fit(model, phases, read_at, lambda step, m: answer(_reading(step), m))
        write_json(folder / "history.json", history.to_dict())
        answer(PROBABILITIES, model)
        answer(VALIDATED, model, "valid")
        about = described(recipe, material.train, scaler, before) | as_dict(trial)
        save(model, folder / CLASSIFIER, metadata=about)
        seconds = round(time.monotonic() - started, 2)
        write_json(folder / "timing.json", {"seconds": seconds})
        for run_dir in folder.glob("fit*"):
            shutil.rmtree(run_dir)  # only needed to resume

    folder = material.run.stage(f"classifier-{trial.name}", inputs, build)
    history, timing = (
        read_json(folder / name, f"remove {folder}", (dict, list))
        for name in ("history.json", "timing.json")
    )
    count = sum(len(examples.labels) for examples in phases)
    found = Outcome(trial, folder, clips, material.rows, history, timing["seconds"], count)
    for name in (PROBABILITIES, *map(_reading, read_at)):
        found._answers(name)  # that they are what they should be is told here
    return found


@dataclass(frozen=True)
class _Fitting:
    """How the classifier of a trial is fitted."""

    trial: Trial
    material: Material
    settings: FitConfig
    augment: FeatureAugmentation | None
    scaler: Standardizer | None
    folder: Path
    task: str
    should_stop: Callable[[], bool] | None

    def fit(
        self,
        model: nnx.Module,
        phases: Sequence[Examples],
        read_at: Sequence[int],
        on_snapshot: Callable[[int, nnx.Module], None],
    ) -> History:
        """Train ``model`` on the phases, one after another."""
        parts, histories = _in_phases(self.settings, phases), list[History]()
        total = sum(part.steps or 0 for part in parts)
        valid = self._scaled(self.material.side("valid"))
        for number, (examples, part) in enumerate(zip(phases, parts, strict=True)):
            before = sum(history.num_steps for history in histories)
            run_dir = self.folder / f"fit{number or ''}"
            done = before + steps_taken(run_dir)
            if done > before or not before:
                self.material.progress.compiling(self.task, done, total)
            try:
                history = fit(
                    model,
                    self._scaled(examples),
                    valid if len(valid[1]) else None,
                    part,
                    seed=self.trial.seed,
                    on_log=partial(self._log, before, total),
                    augment=self.augment,
                    run_dir=run_dir,
                    should_stop=self.should_stop,
                    snapshots=read_at,
                    on_snapshot=on_snapshot,
                )
            except Interrupted as stopped:
                raise Interrupted(f"stopped in {self.task}") from stopped
            histories.append(history)
        return one_after_another(histories)

    def _scaled(self, examples: Examples) -> tuple[Rows, np.ndarray]:
        return Rows([examples.features], scaler=self.scaler), examples.labels

    def _log(self, before: int, total: int, metrics: dict[str, float]) -> None:
        step = before + int(metrics["classifier/step"])
        told = {"classifier/step": step, "classifier/total_steps": total}
        # A trial comes again with another budget, rate or recipe, and in a stage of its own.
        task = as_dict(self.trial) | {"stage": self.folder.name.removesuffix(".part")}
        # A fit is saved after an evaluation, and goes on from there.
        evaluated = "classifier/accuracy" in metrics
        self.material.run.log.append(task, metrics | told, sync=evaluated)
        self.material.progress.of_fit(self.task)(metrics | told)


def _reading(step: int) -> str:
    return f"probabilities-{step}.npy"


def _in_phases(settings: FitConfig, phases: Sequence[Examples]) -> list[FitConfig]:
    """The settings of each phase, of which each takes an equal share of the steps."""
    if len(phases) == 1:
        return [replace(settings, steps=steps_of(settings, len(phases[0].labels)), epochs=None)]
    total = steps_of(settings, min(len(examples.labels) for examples in phases))
    ends = [total * (i + 1) // len(phases) for i in range(len(phases))]
    return [
        replace(settings, steps=max(1, end - start), epochs=None)
        for start, end in zip([0, *ends], ends, strict=False)
    ]


def described(
    recipe: Recipe,
    train: Clips,
    scaler: Standardizer | None,
    before: Mapping[str, Any] = MappingProxyType({}),
) -> dict[str, Any]:
    """What a trained classifier says of itself: all that its use needs, and what it has heard.

    ``before`` is what the one says whose layers it took over.
    """
    # A copy that was made before the split is of the track without its alteration.
    digests = (str(digest).partition("+")[0] for digest in train.digests)
    heard = dict(zip(train.track_ids.tolist(), digests, strict=True))
    return {
        "recipe": recipe.name,
        "labels": list(train.label_names),
        "sample_rate": recipe.sample_rate,
        "num_samples": train.num_samples,
        "silence": recipe.silence,
        "input": extractors.as_dict(recipe.input),
        "scaler": scaler and scaler.to_dict(),
        "tracks": heard | {f"body: {name}": x for name, x in before.get("tracks", {}).items()},
        **({"made_elsewhere": other} if (other := made_elsewhere(recipe, before)) else {}),
    }
