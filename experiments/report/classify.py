"""The page of trained classifiers: what they scored, on which split, and on which tracks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from experiments import scores
from experiments.report.charts import Row, Scale, confusion
from experiments.report.curves import classifier_figures
from experiments.report.formats import counted, number, percent, points, spread
from experiments.report.kit import render_results
from experiments.report.sound import altered_rows, missed_rows
from experiments.scores import METRICS, Record, runs_of

_MEASURES = {"track_accuracy": "track", "accuracy": "clip"}  # by what each counts
ROBUSTNESS = ("split", "test clips", "track accuracy", "points", "clip accuracy", "points")


def render_classification(
    results: Record,
    *,
    heard: Mapping[str, Mapping[str, np.ndarray]] | None = None,
    missed: Sequence[tuple[Record, np.ndarray]] = (),
) -> str:
    """The report page of `wavegan classify`.

    Parameters
    ----------
    results : content of ``results.json``; what is missing is left out of the page.
    heard : of `experiments.report.sound.altered_clips`, where training clips were altered.
    missed : rows of tracks that were taken for another class, each with a clip (L, C).
    """
    whole, data = scores.whole_tracks(results), results.get("data", {})
    splits = {
        name: {**split, "leaks": bool(split.get("leaks")) and not whole}
        for name, split in results.get("splits", {}).items()
    }
    held, worth = scores.best_split(splits), scores.leaks_worth(splits)
    published = results.get("published") or {}
    return render_results(
        "classify.html",
        results,
        published=published,
        comparable=scores.comparable(results),
        whole=whole,
        held=_held(splits[held]) if held else None,
        held_name=held,
        errors=[str(split["error"]) for split in splits.values() if split.get("error")],
        leaks=scores.leaking(splits),
        figures=_figures(splits),
        worth=float(np.mean(worth)) if worth else None,
        drawn=_drawn(splits, published.get("accuracy")),
        rows=list(_rows(splits)),
        robustness={"heads": ROBUSTNESS, "rows": list(robustness_rows(splits))},
        matrices=list(_matrices(splits, data.get("labels", []))),
        classifiers=classifier_figures({f"{name} split": split for name, split in splits.items()}),
        tracks=_tracks(splits),
        altered=altered_rows(heard, data["sample_rate"]) if heard else [],
        missed=missed_rows(missed, data["sample_rate"]) if missed else [],
    )


def _held(split: Record) -> dict[str, Any]:
    """What the headline is of: tracks, or clips where the split leaks."""
    metric = "accuracy" if split["leaks"] else "track_accuracy"
    tracks = scores.tested_tracks(split)
    return {
        "what": f"{_MEASURES[metric]}s",
        "share": scores.average(split, metric),
        "seeds": len(runs_of(split)),
        "tracks": tracks,
        "interval": None if split["leaks"] else scores.interval(split, metric, tracks),
    }


def _figures(splits: Mapping[str, Record]) -> list[tuple[str, str]]:
    """What each split got right, and how much; of one that leaks by clip alone."""
    found = []
    for name, split in splits.items():
        for metric, unit in _MEASURES.items():
            if not (split["leaks"] and unit == "track"):
                about = f"of test {unit}s right, {name} split{', which leaks' * split['leaks']}"
                found.append((about, percent(scores.average(split, metric))))
    return found


def _drawn(splits: Mapping[str, Record], published: float | None) -> tuple[list[Row], Scale]:
    """A line for each split's accuracy by track and by clip, and for the published one."""
    rows = []
    for name, split in splits.items():
        for metric, unit in _MEASURES.items():
            if found := scores.values(split, metric):
                tracks = scores.tested_tracks(split) if unit == "track" else 0
                note = f"by {unit}{', too high: leaks' * split['leaks']}"
                rows.append(
                    _row(f"{name} split", note, found, scores.interval(split, metric, tracks))
                )
    if published is not None:
        rows.append(_row("published", "see the note above", [published], None))
    return rows, Scale.from_zero(rows)


def _row(name: str, note: str, found: list[float], ends: Sequence[float] | None) -> Row:
    told = f"{name}, {note}: {spread(found)} percent"
    return Row.of_runs(name, found, ends, told=told, note=note)


def _rows(splits: Mapping[str, Record]) -> Iterator[dict[str, Any]]:
    """A row a run, one with the mean of several, and one a split that failed."""
    for name, split in splits.items():
        runs, row = runs_of(split), {"split": f"{name} split"}
        if not runs:
            yield row | {"error": str(split.get("error", "no run finished"))}
        for run in runs:
            yield row | {"run": run}
        if len(runs) > 1:
            found = [scores.values(split, metric) for metric in METRICS]
            losses = scores.values(split, "loss")
            loss = number(float(np.mean(losses)), float(np.std(losses, ddof=1))) if losses else ""
            yield row | {"means": [*(f"{spread(x)} %" if x else "" for x in found), loss]}


def robustness_rows(splits: Mapping[str, Record]) -> Iterator[list[str]]:
    """A row a split and alteration of its test clips: each accuracy, and what it differs by."""
    for name, split in splits.items():
        found = scores.robustness(split)
        for altered, accuracies in found.items():
            row = [f"{name} split", altered]
            for metric in _MEASURES:
                here = accuracies.get(metric, [])
                whole = found[scores.UNALTERED].get(metric, [])
                row.append(f"{spread(here)} %" if here else "")
                changed = here and whole and altered != scores.UNALTERED
                row.append(points(float(np.mean(here) - np.mean(whole))) if changed else "")
            yield row


def _matrices(splits: Mapping[str, Record], labels: Sequence[str]) -> Iterator[Record]:
    """By track and by clip; a leak's tracks are half in training, so of one by clip alone."""
    for name, split in splits.items():
        for key, what in {"track_confusion": "tracks", "confusion": "clips"}.items():
            if not (split["leaks"] and what == "tracks") and (
                sums := scores.confusions(split, key)
            ):
                note = f"{what}, {counted(sums[1], 'seed')} together"
                title = f"{name} split{', which leaks' * split['leaks']}"
                yield confusion(title, note, labels, sums[0])


def _tracks(splits: Mapping[str, Record]) -> list[dict[str, Any]]:
    """For each split its test tracks: wrong ones first, the surest of them at the top."""
    found = []
    for name, split in splits.items():
        rows = [
            {**row, "seed": run.get("seed", ""), "right": bool(row.get("correct"))}
            for run in runs_of(split)
            for row in run.get("tracks") or []
        ]
        rows.sort(key=lambda row: (row["right"], -row.get("confidence", 0)))
        if rows:
            wrong = sum(not row["right"] for row in rows)
            found.append({"split": name, "wrong": wrong, "rows": rows})
    return found
