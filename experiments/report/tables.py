"""Results as CSV: a row a track, or a row a file."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from io import StringIO
from pathlib import Path

from experiments.scores import Record, runs_of
from features.storage import write_text

_TRACK = ("split", "seed", "track", "label", "predicted", "confidence", "correct")
# In Hz the rate that a file was resampled from, if it was; the reason where it was refused.
_FILE = ("file", "seconds", "sample_rate", "resampled_from", "trained_on", "label", "predicted",
         "confidence", "correct", "refused")  # fmt: skip


def write_tracks_csv(path: str | Path, results: Record) -> None:
    """Write how `wavegan classify` classified each test track: a row a split, seed and track.

    ``results`` is the content of its ``results.json``. After the columns of `_TRACK` comes the
    probability of each label, under ``p_`` and its name.
    """
    rows = (
        {**row, "split": name, "seed": run.get("seed")}
        for name, split in results.get("splits", {}).items()
        for run in runs_of(split)
        for row in run.get("tracks") or []
    )
    _write(path, _TRACK, results.get("data", {}).get("labels", []), rows)


def write_predictions_csv(path: str | Path, prediction: Record) -> None:
    """Write what `wavegan predict` heard: a row a file, those that it refused last.

    ``prediction`` is as for `experiments.report.predict.render_predictions`. After the columns of
    `_FILE`, of which those not known are empty, comes the probability of each label, under ``p_``
    and its name.
    """
    refused = ({"file": r["file"], "refused": r["reason"]} for r in prediction.get("refused", []))
    rows = [*prediction.get("files", []), *refused]
    _write(path, _FILE, prediction.get("labels", []), rows)


def _write(
    path: str | Path, columns: Sequence[str], labels: Sequence[str], rows: Iterable[Record]
) -> None:
    shares = [f"p_{label}" for label in labels]
    file = StringIO()
    table = csv.DictWriter(file, [*columns, *shares], extrasaction="ignore", lineterminator="\n")
    table.writeheader()
    for row in rows:
        known = dict(zip(shares, row.get("probabilities") or (), strict=False))
        table.writerow({**row, **known})
    write_text(path, file.getvalue())
