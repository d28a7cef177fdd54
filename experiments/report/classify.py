"""The page of trained classifiers: what they scored, on which split, and on which tracks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from experiments.report.charts import Row, Scale, confusion
from experiments.report.curves import classifier_figures
from experiments.report.formats import counted, percent, spread
from experiments.report.kit import render
from experiments.report.sound import altered_rows
from experiments.scores import (
    METRICS,
    Record,
    average,
    best_split,
    chance,
    comparable,
    confusions,
    interval,
    is_right,
    leaking,
    leaks_worth,
    noun,
    runs_of,
    tested_tracks,
    values,
    whole_tracks,
)
from features.splits import SIDES


def render_classification(
    results: Record, *, heard: Mapping[str, Mapping[str, np.ndarray]] | None = None
) -> str:
    """The report page of `wavegan classify`.

    Parameters
    ----------
    results : content of ``results.json``; what is missing is left out of the page.
    heard : of `experiments.report.sound.altered_clips`, where training clips were altered.

    Returns
    -------
    str
        HTML with every picture and script inside; the same for the same arguments.
    """
    splits, data = results.get("splits", {}), results.get("data", {})
    labels, whole = data.get("labels", []), whole_tracks(results)
    held, worth = best_split(splits), leaks_worth(splits)
    return render(
        "classify.html",
        results=results,
        version=results.get("version", ""),
        metrics=METRICS,
        sides=SIDES,
        noun=noun(labels),
        chance=chance(labels),
        published=results.get("published") or {},
        comparable=comparable(results),
        whole=whole,
        held=_held(splits[held]) if held else None,
        held_name=held,
        errors=[str(split["error"]) for split in splits.values() if split.get("error")],
        leaks=[] if whole else leaking(splits),
        figures=_figures(splits, whole),
        worth=float(np.mean(worth)) if worth and not whole else None,
        drawn=_drawn(results, whole),
        rows=list(_rows(splits)),
        matrices=_matrices(splits, labels),
        classifiers=classifier_figures({f"{name} split": split for name, split in splits.items()}),
        tracks=_tracks(splits),
        altered=altered_rows(heard, data["sample_rate"]) if heard else [],
    )


def _held(split: Record) -> dict[str, Any]:
    """What the headline is of: tracks, or clips where the split leaks."""
    leaks = bool(split.get("leaks"))
    metric, tracks = "accuracy" if leaks else "track_accuracy", tested_tracks(split)
    return {
        "leaks": leaks,
        "what": "clips" if leaks else "tracks",
        "share": average(split, metric),
        "seeds": len(runs_of(split)),
        "tracks": tracks,
        "interval": None if leaks else interval(split, metric, tracks),
    }


def _figures(splits: Mapping[str, Record], whole: bool) -> list[tuple[str, str]]:
    """What each split got right, and how much; of one that leaks by clip alone."""
    found = []
    for name, split in splits.items():
        leaks = bool(split.get("leaks")) and not whole
        for metric, what in (("track_accuracy", "tracks"), ("accuracy", "clips")):
            if values(split, metric) and not (leaks and metric == "track_accuracy"):
                about = f"of test {what} right, {name} split{', which leaks' * leaks}"
                found.append((about, percent(average(split, metric))))
    return found


def _drawn(results: Record, whole: bool) -> tuple[list[Row], Scale]:
    """A line for each split's accuracy by track and by clip, and for the published one."""
    rows = []
    for name, split in results.get("splits", {}).items():
        leaks = split.get("leaks") and not whole
        for metric, what in (("track_accuracy", "by track"), ("accuracy", "by clip")):
            if found := values(split, metric):
                tracks = tested_tracks(split) if metric == "track_accuracy" else 0
                note = f"{what}, too high: leaks" if leaks else what
                rows.append(_row(f"{name} split", note, found, interval(split, metric, tracks)))
    published = (results.get("published") or {}).get("accuracy")
    if published is not None:
        rows.append(_row("published", "see the note above", [published], None))
    reach = [0.0, *(x for row in rows for x in (row.mean, *row.dots, *(row.ends or ())))]
    return rows, Scale.around(reach)


def _row(name: str, note: str, found: list[float], ends: Sequence[float] | None) -> Row:
    return Row(
        name,
        told=f"{name}, {note}: {spread(found)} percent",
        note=note,
        mean=float(np.mean(found)),
        ends=ends,
        dots=found if len(found) > 1 else (),
        number=f"{spread(found)} %",
        kind="arm",
    )


def _rows(splits: Mapping[str, Record]) -> Iterator[dict[str, Any]]:
    """A row a run, one with the mean of several, and one a split that failed."""
    for name, split in splits.items():
        runs, row = runs_of(split), {"split": f"{name} split"}
        if not runs:
            yield row | {"error": str(split.get("error", "no run finished"))}
        for run in runs:
            yield row | {"run": run}
        if len(runs) > 1:
            found = [values(split, metric) for metric in METRICS]
            yield row | {"means": [f"{spread(x)} %" if x else "" for x in found]}


def _matrices(splits: Mapping[str, Record], labels: Sequence[str]) -> list[dict[str, Any]]:
    """By track and by clip; a leak's tracks are half in training, so of one by clip alone."""
    found = []
    for name, split in splits.items():
        leaks = bool(split.get("leaks"))
        for key, what in (("track_confusion", "tracks"), ("confusion", "clips")):
            if (sums := confusions(split, key)) and not (leaks and what == "tracks"):
                note = f"{what}, {counted(sums[1], 'seed')} together"
                title = f"{name} split{', which leaks' * leaks}"
                found.append(confusion(title, note, labels, sums[0]))
    return found


def _tracks(splits: Mapping[str, Record]) -> list[dict[str, Any]]:
    """For each split its test tracks: wrong ones first, the surest of them at the top."""
    found = []
    for name, split in splits.items():
        rows = [
            {**row, "seed": run.get("seed", ""), "right": is_right(row)}
            for run in runs_of(split)
            for row in run.get("tracks") or []
        ]
        rows.sort(key=lambda row: (row["right"], -row.get("confidence", 0)))
        if rows:
            wrong = sum(not row["right"] for row in rows)
            found.append({"split": name, "wrong": wrong, "rows": rows})
    return found
