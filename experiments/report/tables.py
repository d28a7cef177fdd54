"""Results as CSV: a row a track, or a row a file."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.scores import Record, runs_of
from features.storage import replacing

_TRACK = ("track", "label", "predicted", "confidence", "correct")
_FILE = ("file", "seconds", "sample_rate", "resampled_from", "trained_on", "label", "predicted",
         "confidence", "correct", "refused")  # fmt: skip


def write_tracks_csv(path: str | Path, results: Record) -> None:
    """Write how each test track was classified: a row a split, seed and track.

    Parameters
    ----------
    path : of the file, UTF-8.
    results : content of the ``results.json`` of ``wavegan classify``.

    Notes
    -----
    The columns are split, seed, track, label, predicted, confidence, correct, and then the
    probability of each label under ``p_`` and its name.
    """
    rows = (
        {**row, "split": name, "seed": run.get("seed")}
        for name, split in results.get("splits", {}).items()
        for run in runs_of(split)
        for row in run.get("tracks") or []
    )
    _write(path, ("split", "seed", *_TRACK), results.get("data", {}).get("labels", []), rows)


def write_predictions_csv(path: str | Path, prediction: Record) -> None:
    """Write what `wavegan predict` heard: a row a file, those that it refused last.

    Parameters
    ----------
    path : of the file, UTF-8.
    prediction : as for `experiments.report.predict.render_predictions`.

    Notes
    -----
    The columns are file, seconds, sample_rate, resampled_from (Hz, empty where it was not),
    trained_on (whether the file is one that the classifier was trained on), label (empty where it
    is not known), predicted, confidence, correct, refused (why, empty where it was not), and then
    the probability of each label under ``p_`` and its name.
    """
    refused = ({"file": r["file"], "refused": r["reason"]} for r in prediction.get("refused", []))
    rows = [*prediction.get("files", []), *refused]
    _write(path, _FILE, prediction.get("labels", []), rows)


def _write(
    path: str | Path,
    columns: Sequence[str],
    labels: Sequence[str],
    rows: Iterable[Mapping[str, Any]],
) -> None:
    """Write the ``columns`` of ``rows``, and their ``probabilities`` of the labels."""
    shares = [f"p_{label}" for label in labels]
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(
            file, [*columns, *shares], extrasaction="ignore", lineterminator="\n"
        )
        table.writeheader()
        for row in rows:
            known = dict(zip(shares, row.get("probabilities") or (), strict=False))
            table.writerow({**row, **known})
