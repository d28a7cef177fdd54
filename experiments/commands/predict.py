"""Trained classifiers put to use: files in, the probability of each class over time out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from classifiers import SavedClassifier
from experiments.config import PredictConfig
from experiments.report.predict import Excerpt, prediction_picture, render_predictions
from experiments.report.tables import write_predictions_csv
from experiments.report.terminal import Progress
from experiments.run import Run, refuse_run
from features import AudioError
from features.audio import described, load_audio
from features.dataset import audio_files, gtzan_name
from features.limits import check_folder
from features.soundness import QUIET_PEAK, file_digest
from features.storage import (
    MISREAD,
    inside,
    plain_name,
    read_json,
    readable,
    replacing,
    shortened,
    understanding,
    write_json,
    write_text,
)

HEARD, EXCERPT = 40, 6.0  # files that the page plays a part of, and how long that is, at most
UNKNOWN = "unknown"  # the answer that is less probable than is asked for


def find_classifier(run: Path, split: str | None = None, seed: int = 0) -> SavedClassifier:
    """A classifier of a run, of its first split that does not leak if None; or that of a file."""
    if run.is_file():
        return SavedClassifier.read(run)
    if not run.is_dir():
        raise ValueError(f"RUN {run}: no such folder or file")
    with understanding(run / "results.json", "give the file of a classifier"):
        return SavedClassifier.read(_listed(run, split, seed))


def _listed(run: Path, split: str | None, seed: int) -> Path:
    """The file of a classifier that a run's results list."""
    file, results = run / "results.json", Run(run).read_json("results.json")
    splits = results.get("splits")
    if recipes := [str(run / plain_name(r["recipe"], file)) for r in results.get("recipes", [])]:
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
    parts = [plain_name(part, file) for part in str(found[seed]).split("/")]
    return run.joinpath(*parts)


def predict(
    config: PredictConfig, out: str | Path, *, progress: Progress | None = None
) -> dict[str, Any]:
    """Classify files, and those in folders, into ``out``: JSON, CSV and a page with pictures.

    No audio file, a label that the classifier has not, or every file refused is a ValueError.
    """
    out, progress = Path(out), progress or Progress(quiet=True)
    check_folder(out, "--out")
    refuse_run(out)
    inside(out, "pictures")
    classifier = find_classifier(config.run, config.split, config.seed)
    files = audio_files(config.files)
    folders = {file: gtzan_name(file.absolute().parent.name) for file in files}
    unknown = {*folders.values()} - set(classifier.labels)
    if config.labelled and unknown:
        raise ValueError(
            f"--labelled: the classifier has no class {', '.join(sorted(unknown))}, only "
            f"{', '.join(classifier.labels)}: leave those folders out, or predict without "
            "--labelled"
        )
    if config.threshold and UNKNOWN in classifier.labels:
        raise ValueError(
            f"--threshold calls what it is not sure of {UNKNOWN!r}, and that is a class of this "
            "classifier: predict without it, and look at the confidence"
        )
    predictions, refused, heard = [], [], dict[str, Excerpt]()
    for done, file in enumerate(files, 1):
        try:
            label = folders[file] if config.labelled else None
            predictions.append(_predict_file(classifier, file, label, config.threshold))
            if len(heard) < HEARD:
                heard[readable(file)] = _excerpt(file, predictions[-1])
        except ValueError as error:
            reason = error.reason if isinstance(error, AudioError) else str(error)
            refused.append({"file": readable(file), "reason": reason})
        progress.update("predicting", done, len(files), file.name, "file")
    if not predictions:
        reasons = "; ".join(f"{entry['file']}: {entry['reason']}" for entry in refused[:3])
        more = " …" if len(refused) > 3 else ""
        raise ValueError(f"none of {len(files)} files can be classified: {reasons}{more}")
    result = {
        "run": config.run.name,
        "recipe": classifier.about["recipe"],
        "labels": list(classifier.labels),
        "threshold": config.threshold,
        "files": predictions,
        "refused": refused,
    }
    earlier = _pictures(out)
    write_json(out / "predictions.json", result)
    write_predictions_csv(out / "predictions.csv", result)
    write_text(out / "predictions.html", render_predictions(result, heard))
    for name in earlier:
        (out / "pictures" / name).unlink(missing_ok=True)
    for name, found in zip(_pictures(out), predictions, strict=True):
        with replacing(out / "pictures" / name) as temporary:
            temporary.write_bytes(prediction_picture(found, classifier.labels))
    return result


def _excerpt(file: Path, found: dict[str, Any]) -> Excerpt:
    """Where a file sounds most like what it was taken for, as long as a clip, within bounds."""
    column = int(np.argmax(found["probabilities"]))
    surest = int(np.argmax([row[column] for row in found["over_time"]]))
    # Of a file that is heard without its silence, times are of what is left.
    start = found["times"][surest] if found["heard_seconds"] == found["seconds"] else 0.0
    seconds = min(max(found["clip_seconds"], 1.0), EXCERPT)
    audio, rate = load_audio(file, sample_rate=found["sample_rate"], offset=start, duration=seconds)
    return Excerpt(audio, rate, start)


def _pictures(out: Path) -> list[str]:
    """The names of the pictures of the predictions in a folder, where it has any."""
    try:
        files = read_json(out / "predictions.json", "")["files"]
        stems = [shortened(Path(found["file"]).stem) for found in files]
    except (OSError, ValueError, *MISREAD):  # which somebody changed: its pictures stay
        return []
    return [f"{number:04d}-{stem}.png" for number, stem in enumerate(stems, 1)]


def _predict_file(
    classifier: SavedClassifier, file: Path, label: str | None, threshold: float
) -> dict[str, Any]:
    rate = classifier.about["sample_rate"]
    hearing = classifier.hear(file)
    source = described(file)
    own_rate = source.sample_rate if source else rate
    over_time = hearing.probabilities
    mean = over_time.mean(0)
    nearest, confidence = classifier.labels[int(mean.argmax())], float(mean.max())
    predicted = nearest if confidence >= threshold else UNKNOWN
    found = {
        "file": readable(file),
        "trained_on": file_digest(file) in classifier.about["tracks"].values(),
        "seconds": hearing.seconds,
        "heard_seconds": hearing.heard_seconds,
        "quiet": hearing.peak * 2**15 <= QUIET_PEAK,
        "sample_rate": rate,
        "resampled_from": None if own_rate == rate else own_rate,
        "decoder": source.decoder if source else None,
        "predicted": predicted,
        "nearest": nearest,
        "confidence": confidence,
        "probabilities": mean.tolist(),
        "times": [i * classifier.clip_seconds for i in range(len(over_time))],
        "clip_seconds": classifier.clip_seconds,
        "over_time": over_time.tolist(),
    }
    if label is not None:
        found |= {"label": label, "correct": label == predicted}
    return found
