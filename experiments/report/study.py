"""The table of a study of training variants: metrics, paired differences, and how to read them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from statistics import mean, median
from typing import Any

from experiments.recipes import REFERENCE
from experiments.report.kit import render
from experiments.scores import KERNEL, Record, curve, finished

_METRICS = {
    "kernel distance": ("ema", "test", KERNEL),
    "by the last weights": ("last", "test", KERNEL),
    "of validation tracks": ("ema", "valid", KERNEL),
    "Fréchet distance": ("ema", "test", "frechet_distance"),
    "coverage": ("ema", "test", "coverage"),
    "rarest class": ("ema", "test", "rarest_class"),
    "recognised": ("ema", "test", "class_agreement"),
    "copies": ("ema", "test", "memorised"),
}
_DIFFERENCES = {
    "to the reference": (REFERENCE, "test"),
    "of validation tracks": (REFERENCE, "valid"),
    "averaged to last weights": ("last weights", "test"),
}


def study_table(results: Record) -> str:
    """The results of a study as Markdown: metrics, paired differences, and their caption."""
    errors = [row["ema"]["test"][f"{KERNEL}_error"] for row in results["runs"] if "ema" in row]
    curves = {name: curve(results["runs"], name) for name in results["variants"]}
    longest: list[tuple[float, float]] = max(curves.values(), key=len, default=[])
    real = results["real"]
    return render(
        "study.md",
        **results,
        metric_heads=list(_METRICS),
        metric_rows=list(_metrics(results)),
        real_cells=[
            _spread([real[a].get(m)]) if w == "ema" else "" for w, a, m in _METRICS.values()
        ],
        curve_heads=[f"{share:.0%}" for share, _ in longest],
        curve_rows=[
            {"name": name, "cells": [f"{x:.3g}" for _, x in points]}
            for name, points in curves.items()
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
            "pace": f"{1000 * runs[0]['seconds_per_step']:.3g}",
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
    middle = f"{median(known):{sign}.3g}"
    if len(known) == 1:
        return middle
    return f"{middle} ({min(known):{sign}.3g} to {max(known):{sign}.3g})"
