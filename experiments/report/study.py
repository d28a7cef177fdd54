"""The table of a study of training variants: metrics, paired differences, and how to read them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from statistics import mean
from typing import Any

from experiments.recipes import REFERENCE
from experiments.report.kit import render
from experiments.scores import KERNEL, Record, finished

_METRICS = {
    "kernel distance": ("ema", "train", KERNEL),
    "by the last weights": ("last", "train", KERNEL),
    "Fréchet distance": ("ema", "train", "frechet_distance"),
    "nearest": ("ema", "train", "nearest"),
    "copies": ("ema", "train", "memorised"),
    "kernel, held out": ("ema", "held_out", KERNEL),
    "Fréchet, held out": ("ema", "held_out", "frechet_distance"),
}
_DIFFERENCES = {
    "to the reference": (REFERENCE, "train"),
    "to the reference, held out": (REFERENCE, "held_out"),
    "averaged to last weights": ("last weights", "train"),
    "averaged to last, held out": ("last weights", "held_out"),
}


def study_table(results: Record) -> str:
    """The results of a study as Markdown: metrics, paired differences, and their caption."""
    errors = [row["ema"]["train"][f"{KERNEL}_error"] for row in results["runs"] if "ema" in row]
    real = results["real"]
    return render(
        "study.md",
        **results,
        metric_heads=list(_METRICS),
        metric_rows=list(_metrics(results)),
        real_cells=[
            _spread([real[a].get(m)]) if w == "ema" else "" for w, a, m in _METRICS.values()
        ],
        difference_heads=list(_DIFFERENCES),
        difference_rows=list(_differences(results)),
        error=mean(errors) if errors else None,
    )


def _metrics(results: Record) -> Iterator[dict[str, Any]]:
    """A row a variant: its metrics, and how many of its runs failed."""
    for variant in results["variants"]:
        runs = [row for row in results["runs"] if row["variant"] == variant]
        rows = finished(runs, variant)
        yield {
            "name": variant,
            "steps": runs[0]["steps"],
            "runs": len(runs),
            "lost": len(runs) - len(rows),
            "cells": [_spread([row[w][a].get(m) for row in rows]) for w, a, m in _METRICS.values()],
        }


def _differences(results: Record) -> Iterator[dict[str, Any]]:
    """A row a variant: its differences, and for how many seeds they are an improvement."""
    found = {(d["variant"], d["minus"], d["windows"]): d for d in results["differences"]}
    for variant in results["variants"]:
        cells = []
        for key in _DIFFERENCES.values():
            difference = found.get((variant, *key), {"by_seed": {}})
            values = list(difference["by_seed"].values())
            better = f"; better in {difference['better']} of {len(values)}" if values else ""
            cells.append(_spread(values, sign="+") + better)
        yield {"name": variant, "cells": cells}


def _spread(values: Iterable[float | None], sign: str = "") -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    middle = f"{mean(known):{sign}.3g}"
    if len(known) == 1:
        return middle
    return f"{middle} ({min(known):{sign}.3g} to {max(known):{sign}.3g})"
