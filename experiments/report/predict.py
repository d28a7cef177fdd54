"""The page of `wavegan predict`: what a classifier hears in each file, and when."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import numpy as np

from experiments.report.formats import clock, counted, cut, duration
from experiments.report.kit import render
from experiments.report.sound import ClipRow, clip_rows
from experiments.report.timeline import HEIGHT, WIDTH, Timeline, colour, strip, timeline_png
from experiments.scores import Record
from features.soundness import QUIET

_SHOWN = 12  # labels with a strip, the most probable ones
_NAMED = 6  # labels in the headline


@dataclass(frozen=True)
class Excerpt:
    """A part of a file: audio (L, C) in [-1, 1], its rate in Hz, and where it begins in seconds."""

    audio: np.ndarray
    sample_rate: int
    start: float


def render_predictions(prediction: Record, heard: Mapping[str, Excerpt] | None = None) -> str:
    """The report page of a prediction.

    Parameters
    ----------
    prediction : ``run``, ``labels``, ``threshold``, ``files`` (each with ``file``, ``seconds``,
        ``quiet``, ``sample_rate``, ``resampled_from``, ``decoder`` (what read the file),
        ``predicted``, ``nearest`` (what that is without the threshold), ``confidence``,
        ``probabilities`` (K,), ``times`` (n,) in seconds, ``clip_seconds`` and ``over_time`` (n,
        K), and ``label`` and ``correct`` where the truth is known) and ``refused`` (each with
        ``file`` and ``reason``).
    heard : an excerpt of some of the files, by ``file``.
    """
    files, labels = prediction.get("files", []), prediction.get("labels", [])
    found = Counter(str(file["predicted"]) for file in files).most_common()
    return render(
        "predict.html",
        run=str(prediction.get("run", "")),
        labels=labels,
        quiet=QUIET,
        refused=prediction.get("refused", []),
        threshold=prediction.get("threshold", 0.0),
        files=[_file(file, labels, (heard or {}).get(file["file"])) for file in files],
        heard=_heard(found),
        known=[bool(file["correct"]) for file in files if "correct" in file],
        strip_size=(WIDTH, HEIGHT),
    )


def prediction_picture(file: Record, labels: Sequence[str]) -> bytes:
    """The probability of each label over a file's time, as a PNG file.

    Parameters
    ----------
    file : one of a prediction's ``files``.
    labels : of the prediction.
    """
    rows = {
        column: f"{cut(labels[column], 24)}  {100 * share:.0f} %"
        for column, share in _ranked(file)[:_SHOWN]
    }
    name = cut(PurePath(file["file"]).name, 60)
    title = f"{name}: {cut(file['predicted'], 24)}, {100 * file['confidence']:.0f} %"
    return timeline_png(Timeline.of(file), rows, title=title)


def _heard(found: Sequence[tuple[str, int]]) -> list[str]:
    """In how many files each label was heard, the most frequent ones: “7” in 3 files, “1” in 2."""
    return [
        f"“{label}” in {counted(count, 'file') if i == 0 else count}"
        for i, (label, count) in enumerate(found[:_NAMED])
    ] + ["others"] * (len(found) > _NAMED)


def _file(file: Record, labels: Sequence[str], excerpt: Excerpt | None = None) -> dict[str, Any]:
    """What the page shows of a file, and plays where there is an excerpt."""
    timeline, ranked = Timeline.of(file), _ranked(file)
    seconds = file.get("seconds")
    heard = file.get("heard_seconds", seconds)
    strips = []
    for column, share in ranked[:_SHOWN]:
        values, name = 100 * timeline.probabilities[:, column], labels[column]
        strips.append(
            {
                "name": name,
                "told": f"{name}: from {values.min():.0f} to {values.max():.0f} percent",
                "answer": name == file["predicted"],
                "share": share,
                "colour": colour(column),
                "paths": strip(timeline, column),
            }
        )
    return {
        **file,
        "name": PurePath(file["file"]).name,
        "length": "length unknown" if seconds is None else duration(seconds, 1),
        "heard": None if heard in (None, seconds) else duration(heard, 1),
        "clips": len(file["over_time"]),
        "strips": strips,
        "ruler": timeline.ruler,
        "excerpt": [] if excerpt is None else _played(file, excerpt),
        "rest": [(labels[column], share) for column, share in ranked[_SHOWN:]],
    }


def _played(file: Record, excerpt: Excerpt) -> list[dict[str, Any]]:
    """A row of the one clip."""
    name, sounds = PurePath(file["file"]).name, np.clip(excerpt.audio, -1, 1)[None]
    caption = [f"from {clock(excerpt.start)}"]
    row = ClipRow("Listen", "real", sounds, [name], f"the excerpt of {name}", caption)
    return clip_rows([row], excerpt.sample_rate)


def _ranked(file: Record) -> list[tuple[int, float]]:
    """Columns and mean probabilities, the most probable first."""
    shares = np.asarray(file["probabilities"], float)
    return [(int(column), float(shares[column])) for column in np.argsort(-shares, kind="stable")]
