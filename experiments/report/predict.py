"""The page of `wavegan predict`: what a classifier hears in each file, and when."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from importlib import metadata
from pathlib import PurePath

import numpy as np

from experiments.report.kit import counted, definitions, fill_page, table
from experiments.report.timeline import Timeline, colour, ruler, strip, timeline_png
from experiments.scores import Record, joined, percent

_SHOWN = 12  # labels with a strip, the most probable ones


def render_predictions(prediction: Record, *, heard: Mapping[str, str] | None = None) -> str:
    """The report page of a prediction.

    Parameters
    ----------
    prediction : ``run``, ``labels``, ``files`` (each with ``file``, ``seconds``,
        ``sample_rate``, ``resampled_from``, ``predicted``, ``confidence``, ``probabilities``
        (K,), ``times`` (n,) in seconds, ``clip_seconds`` and ``over_time`` (n, K), and ``label``
        and ``correct`` where the truth is known) and ``refused`` (each with ``file`` and
        ``reason``).
    heard : for a file's name, HTML to listen to it.

    Returns
    -------
    str
        HTML with every picture and script inside; the same for the same arguments.
    """
    files, refused = prediction.get("files", []), prediction.get("refused", [])
    labels = prediction.get("labels", [])
    parts = {
        "Files": _overview(files) if len(files) > 1 else "",
        "Over time": _over_time(files, labels, heard or {}),
        "Files that were refused": definitions(
            {row["file"]: row["reason"] for row in refused}, verbatim=True
        ),
    }
    run = str(prediction.get("run", ""))
    return fill_page(
        title=f"What {run or 'the classifier'} hears",
        kicker=f"Prediction of {run}" if run else "Prediction",
        head=_head(files, refused, labels),
        parts=parts,
        version=metadata.version("wavegan"),
    )


def prediction_picture(file: Record, labels: Sequence[str]) -> bytes:
    """The probability of each label over a file's time, as a PNG file.

    Parameters
    ----------
    file : one of a prediction's ``files``.
    labels : of the prediction.
    """
    rows = {
        column: f"{_cut(labels[column], 24)}  {100 * share:.0f} %"
        for column, share in _ranked(file)[:_SHOWN]
    }
    name = _cut(PurePath(file["file"]).name, 60)
    title = f"{name}: {_cut(file['predicted'], 24)}, {100 * file['confidence']:.0f} %"
    return timeline_png(Timeline.of(file), rows, title=title)


def _head(files: Sequence[Record], refused: Sequence[Record], labels: Sequence[str]) -> str:
    text = ""
    if not files:
        headline = f"None of {counted(len(refused), 'file')} could be classified."
    elif len(files) == 1:
        file = files[0]
        name = PurePath(file["file"]).name
        headline = f"{name}: {file['predicted']}, {percent(file['confidence'], 0)}."
    else:
        found = Counter(str(file["predicted"]) for file in files).most_common()
        headline = f"{len(files)} files: {joined(f'{n} {label}' for label, n in found[:6])}."
        if len(found) > 6:
            headline = f"{headline[:-1]}, and others."
    known = [bool(file["correct"]) for file in files if "correct" in file]
    if len(known) > 1:
        headline += f" Right: {sum(known)} of {len(known)} ({percent(sum(known) / len(known))})."
    if files:
        text = (
            "The percentage is the mean probability over a file's clips. The classifier knows "
            f"{counted(len(labels), 'label')} and gives one of them to anything, music of other "
            "kinds too."
        )
    if refused and files:
        text += f" {counted(len(refused), 'file')} could not be classified: see the end."
    lead = f'<p class="lead">{escape(text)}</p>' if text else ""
    return f'<div class="verdict"><h1>{escape(headline)}</h1>{lead}</div>'


def _overview(files: Sequence[Record]) -> str:
    """A row a file that leads to its strips."""
    known = any("label" in file for file in files)
    rows = [
        (
            f'<a href="#file-{i}">{escape(str(file["file"]))}</a>',
            *([_truth(file)] if known else []),
            escape(str(file["predicted"])),
            percent(file["confidence"], 0),
            _length(file.get("seconds")),
        )
        for i, file in enumerate(files)
    ]
    heads = ("file", *["truth"] * known, "predicted", "confidence", "length")
    return f'<div class="tall">{table(heads, rows, words=(1, 2) if known else (1,))}</div>'


def _truth(file: Record) -> str:
    name = escape(str(file.get("label", "")))
    return name if file.get("correct", True) else f'<span class="failed">{name}</span>'


def _over_time(files: Sequence[Record], labels: Sequence[str], heard: Mapping[str, str]) -> str:
    if not files:
        return ""
    shown = "".join(_file(i, file, labels, heard) for i, file in enumerate(files))
    return (
        '<p class="note">A strip a label, from 0 at its bottom to 100 % at its top, the most '
        "probable label first; in full colour where it is the answer, pale elsewhere. On the "
        f"right, the mean over the file.</p>{shown}"
    )


def _file(i: int, file: Record, labels: Sequence[str], heard: Mapping[str, str]) -> str:
    timeline, rows = Timeline.of(file), []
    ranked = _ranked(file)
    for column, share in ranked[:_SHOWN]:
        name = escape(str(labels[column]))
        values = timeline.probabilities[:, column]
        told = f"{name}: from {100 * values.min():.0f} to {100 * values.max():.0f} percent"
        kind = ' class="answer"' if labels[column] == file["predicted"] else ""
        rows.append(
            f'<li{kind}><span title="{name}">{name}</span>'
            f"{strip(timeline, column, description=told)}"
            f'<span class="share"><i style="--v:{share:.3f};color:{colour(column)}"></i>'
            f"{percent(share)}</span></li>"
        )
    rows.append(f'<li aria-hidden="true"><span></span>{ruler(timeline)}<span></span></li>')
    rest = ", ".join(f"{labels[c]} {percent(share)}" for c, share in ranked[_SHOWN:])
    return (
        f'<section class="genre" id="file-{i}"><h3>{escape(str(file["file"]))}</h3>'
        f'<p class="note">{escape(_about(file))}</p>{heard.get(file["file"], "")}'
        f'<ul class="strips">{"".join(rows)}</ul>'
        + (f'<p class="ids">Less probable: {escape(rest)}.</p>' if rest else "")
        + "</section>"
    )


def _about(file: Record) -> str:
    """Length, clips and rate of a file in a sentence or two."""
    clips = counted(len(file["over_time"]), "clip")
    text = _length(seconds := file.get("seconds"))
    if (heard := file.get("heard_seconds", seconds)) != seconds:
        text += f", {_length(heard)} without silence (times are of these)"
    text += f", {clips} of {file['clip_seconds']:.3g} s."
    if "label" in file:
        text += f" In truth {file['label']}: {'right' if file.get('correct') else 'wrong'}."
    if file.get("trained_on"):
        text += " The classifier was trained on this file: its answer proves nothing."
    if file.get("resampled_from"):
        text += f" Resampled from {file['resampled_from']:,} to {file['sample_rate']:,} Hz, "
        text += "the rate that the classifier was trained at."
    return text


def _ranked(file: Record) -> list[tuple[int, float]]:
    """Columns and mean probabilities, the most probable first."""
    shares = np.asarray(file["probabilities"], float)
    return [(int(column), float(shares[column])) for column in np.argsort(-shares, kind="stable")]


def _length(seconds: float | None) -> str:
    if seconds is None:
        return "length unknown"
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    return f"{whole // 60}:{whole % 60:02d} min"


def _cut(name: object, length: int) -> str:
    text = str(name)
    return text if len(text) <= length else f"{text[: length - 1]}…"
