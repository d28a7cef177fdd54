"""Trained classifiers put to use: files in, the probability of each class over time out."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from flax import nnx

import classifiers
from experiments.config import PredictConfig
from experiments.report.predict import prediction_picture, render_predictions
from experiments.report.tables import write_predictions_csv
from experiments.report.terminal import Progress
from experiments.run import Run
from features import AudioError, Standardizer, load_audio
from features.audio import described
from features.cache import file_digest
from features.dataset import SUFFIXES, gtzan_name
from features.extractors import from_dict
from features.limits import check_folder, check_rate
from features.silence import remove_silence
from features.storage import replacing, understanding, write_json, write_text

_SAID = {"labels", "sample_rate", "num_samples", "input", "tracks", "silence", "recipe", "scaler"}
_BATCH = 32  # clips whose features are computed at a time


@dataclass(frozen=True)
class Classifier:
    """A trained classifier: its file, the network, and what the file says of it."""

    path: Path
    model: nnx.Module
    about: dict[str, Any]

    @staticmethod
    def read(path: Path) -> Classifier:
        """The classifier in a file that `wavegan classify` wrote."""
        model, about = classifiers.load(path)
        if missing := _SAID - about.keys():
            raise ValueError(
                f"{path} does not say its {', '.join(sorted(missing))}: give a classifier that "
                "`wavegan classify` wrote"
            )
        read = Classifier(path, model, about)
        with understanding(path, "give a classifier that `wavegan classify` wrote"):
            check_rate(about["sample_rate"])
            read.clip_seconds, from_dict(about["input"]), about["tracks"].values()
            if not all(isinstance(label, str) for label in about["labels"]):
                raise TypeError("labels are texts")
        return read

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(self.about["labels"])

    @property
    def clip_seconds(self) -> float:
        return self.about["num_samples"] / self.about["sample_rate"]

    def heard(self, audio: np.ndarray) -> np.ndarray:
        """Audio (L, C) without what training took out of it as silence."""
        silence = self.about["silence"]
        return audio if silence is None else remove_silence(audio, by=silence)

    def __call__(self, audio: np.ndarray) -> np.ndarray:
        """Probabilities (clips, K) of the clips, end to end, of `heard` audio at its sample rate.

        Audio shorter than a clip is a ValueError that says how long that is.
        """
        length = self.about["num_samples"]
        count = len(audio) // length
        if count == 0:
            raise ValueError(
                f"{len(audio) / self.about['sample_rate']:.2f} s are too short for "
                f"{self.about['recipe']}, whose clips have {self.clip_seconds:.2f} s"
            )
        clips = audio[: count * length].reshape(count, length, -1)
        make, rate = from_dict(self.about["input"]), self.about["sample_rate"]
        parts = []
        for start in range(0, count, _BATCH):
            rows = np.arange(start, start + _BATCH) % count  # batches of one shape
            parts.append(np.asarray(make(clips[rows], rate))[: count - start])
        features = np.concatenate(parts)
        if self.about["scaler"]:
            features = Standardizer.from_dict(self.about["scaler"]).apply(features)
        return classifiers.predict(self.model, features)


def find_classifier(run: Path, split: str | None = None, seed: int = 0) -> Classifier:
    """A classifier of a run, of its first split that does not leak if None; or that of a file."""
    if run.is_file():
        return Classifier.read(run)
    if not run.is_dir():
        raise ValueError(f"RUN {run}: no such folder or file")
    with understanding(run / "results.json", "give the file of a classifier"):
        return Classifier.read(_listed(run, split, seed))


def _listed(run: Path, split: str | None, seed: int) -> Path:
    """The file of a classifier that a run's results list."""
    results = Run(run).read_json("results.json")
    splits = results.get("splits")
    if recipes := [str(run / found["recipe"]) for found in results.get("recipes", [])]:
        raise ValueError(f"RUN {run} is a run of several recipes: give one of {', '.join(recipes)}")
    if not splits:
        raise ValueError(f"RUN {run} is no run of `wavegan classify`: it has no classifiers")
    if split is None:
        split = next((name for name in splits if not splits[name]["leaks"]), next(iter(splits)))
    if split not in splits:
        raise ValueError(f"--split {split}: RUN {run} has {', '.join(splits)}")
    found = {record["seed"]: record["classifier"] for record in splits[split]["runs"]}
    if seed not in found:
        raise ValueError(f"--seed {seed}: RUN {run} has {', '.join(map(str, found))}")
    return run / found[seed]


def predict(
    config: PredictConfig, out: str | Path, *, progress: Progress | None = None
) -> dict[str, Any]:
    """Classify files, and those in folders, into ``out``: JSON, CSV and a page with pictures.

    No audio file, a label that the classifier has not, or every file refused is a ValueError.
    """
    out, progress = Path(out), progress or Progress(quiet=True)
    check_folder(out, "--out")
    classifier = find_classifier(config.run, config.split, config.seed)
    files = _audio_files(config.files)
    unknown = {_label(file) for file in files} - set(classifier.labels)
    if config.labelled and unknown:
        raise ValueError(
            f"--labelled: the classifier has no class {', '.join(sorted(unknown))}, only "
            f"{', '.join(classifier.labels)}: leave those folders out, or predict without "
            "--labelled"
        )
    predictions, refused = [], []
    for done, file in enumerate(files, 1):
        try:
            predictions.append(_predict_file(classifier, file, config.labelled))
        except ValueError as error:
            reason = error.reason if isinstance(error, AudioError) else str(error)
            refused.append({"file": str(file), "reason": reason})
        progress.update("predicting", done, len(files), file.name, "file")
    if not predictions:
        reasons = "; ".join(f"{entry['file']}: {entry['reason']}" for entry in refused[:3])
        more = " …" if len(refused) > 3 else ""
        raise ValueError(f"none of {len(files)} files can be classified: {reasons}{more}")
    result = {
        "run": config.run.name,
        "recipe": classifier.about["recipe"],
        "labels": list(classifier.labels),
        "files": predictions,
        "refused": refused,
    }
    write_json(out / "predictions.json", result)
    write_predictions_csv(out / "predictions.csv", result)
    write_text(out / "predictions.html", render_predictions(result))
    shutil.rmtree(out / "pictures", ignore_errors=True)  # of an earlier prediction
    for number, found in enumerate(predictions, 1):
        stem = os.fsencode(Path(found["file"]).stem)[:200].decode(errors="ignore")
        name = f"{number:04d}-{stem}.png"
        with replacing(out / "pictures" / name) as temporary:
            temporary.write_bytes(prediction_picture(found, classifier.labels))
    return result


def _predict_file(classifier: Classifier, file: Path, labelled: bool) -> dict[str, Any]:
    rate = classifier.about["sample_rate"]
    audio, _ = load_audio(file, sample_rate=rate)
    about = described(file)  # None of what only the system's decoders read
    own_rate = about[1] if about else rate
    heard = classifier.heard(audio)
    seconds, left = len(audio) / rate, len(heard) / rate
    if left < classifier.clip_seconds <= seconds:
        raise ValueError(
            f"of {seconds:.2f} s only {left:.2f} s are not silent; the clips of "
            f"{classifier.about['recipe']} have {classifier.clip_seconds:.2f} s"
        )
    over_time = classifier(heard)
    mean = over_time.mean(0)
    predicted = classifier.labels[int(mean.argmax())]
    found = {
        "file": str(file),
        "trained_on": file_digest(file) in classifier.about["tracks"].values(),
        "seconds": seconds,
        "heard_seconds": left,
        "sample_rate": rate,
        "resampled_from": None if own_rate == rate else own_rate,
        "predicted": predicted,
        "confidence": float(mean.max()),
        "probabilities": mean.tolist(),
        "times": [i * classifier.clip_seconds for i in range(len(over_time))],
        "clip_seconds": classifier.clip_seconds,
        "over_time": over_time.tolist(),
    }
    if labelled:
        label = _label(file)
        found |= {"label": label, "correct": label == predicted}
    return found


def _audio_files(paths: Sequence[Path]) -> list[Path]:
    files: list[Path] = []
    for path in paths:
        inside = [path]
        if path.is_dir():
            inside = sorted(p for p in path.rglob("[!.]*") if p.suffix.lower() in SUFFIXES)
        elif not path.exists():
            raise ValueError(f"{path}: no such file or folder")
        if not inside:
            raise ValueError(f"{path} holds no audio ({', '.join(SUFFIXES)})")
        files += inside
    return files


def _label(file: Path) -> str:
    return gtzan_name(file.resolve().parent.name)
