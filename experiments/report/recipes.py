"""The table of all recipes: published, with the leak, without it, and what the leak is worth."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from statistics import mean
from typing import Any

from classifiers.fit_config import AT_ONCE
from experiments.recipes import RECIPES
from experiments.report.formats import joined, percent, points, spread, whole
from experiments.report.kit import render
from experiments.report.terminal import plain_table, text_table
from experiments.scores import Record, comparable, leaks_worth, runs_of, values, whole_tracks

_HEADS = {  # and what they are on a terminal
    "recipe": "recipe",
    "published": "published",
    "chunk split, by clip": "chunk, clip",
    "track split, by clip": "track, clip",
    "track split, by track": "track, track",
    "leak, points": "leak",
    "steps": "steps",
    "epochs": "epochs",
    "seconds": "seconds",
}
_NO_LEAK = "none: a clip is a whole track"
_WIDTH = 100  # of the notes below the terminal's table


def recipe_table_text(results: Sequence[Record]) -> str:
    """The table for a terminal, its notes and reasons below it.

    Parameters
    ----------
    results : the ``results.json`` of each recipe; one that failed has ``recipe`` and ``error``.
    """
    shown, lines = _table(results), [""]
    rows = [[cell.replace("a clip is a ", "") for cell in row["cells"]] for row in shown["rows"]]
    width = max([len(row["name"]) for row in shown["rows"]], default=0)
    for row in shown["rows"]:
        if row["note"]:
            note = f"{row['name'].ljust(width)}  {row['note']}"
            lines += textwrap.wrap(note, _WIDTH, subsequent_indent=" " * (width + 2))
    lines += ["", *textwrap.wrap(shown["caption"], _WIDTH), ""]
    return "\n".join([plain_table(text_table(list(_HEADS.values()), rows)), *lines])


def recipe_table_markdown(results: Sequence[Record]) -> str:
    """The table as GitHub Markdown; ``results`` as for `recipe_table_text`."""
    return render("recipes.md", **_table(results))


def render_recipe_table(results: Sequence[Record]) -> str:
    """The table as a page of its own; ``results`` as for `recipe_table_text`."""
    found = [leaks_worth(r.get("splits") or {}) for r in results if not whole_tracks(r)]
    worths = [mean(worth) for worth in found if worth]
    table = _table(results)
    return render("recipes.html", **table, worths=worths, worth=mean(worths) if worths else None)


def _table(results: Sequence[Record]) -> dict[str, Any]:
    """The table's values; recipes come in their own order, unknown ones last."""
    order = {name: i for i, name in enumerate(RECIPES)}
    results = sorted(results, key=lambda result: order.get(result.get("recipe", "?"), len(order)))
    rows = [_row(result) for result in results]
    names = {str(r["data"]["name"]): None for r in results if r.get("data", {}).get("name")}
    data = joined(names) if names else "unnamed data"
    return {"heads": list(_HEADS), "rows": rows, "data": data, "caption": _caption(results, data)}


def _row(result: Record) -> dict[str, Any]:
    """The cells of a recipe, why it failed, and what its published figure is worth."""
    name, splits = str(result.get("recipe", "?")), result.get("splits") or {}
    runs = [run for split in splits.values() for run in runs_of(split)]
    reasons = [str(result["error"])] if result.get("error") else []
    reasons += [
        f"{of} split: {split.get('error', 'no run finished')}"
        for of, split in splits.items()
        if not runs_of(split)
    ]
    error = "; ".join(reasons) if reasons or splits else "no split ran"
    leak, shown = _leak(leaks_worth(splits)), splits
    if whole_tracks(result):
        leak, shown = _NO_LEAK, {"chunk": splits.get("track", {}), **splits}
    cells = [
        name,
        percent((result.get("published") or {}).get("accuracy"), 2) or "none",
        _spread(shown.get("chunk"), "accuracy"),
        _spread(shown.get("track"), "accuracy"),
        _spread(shown.get("track"), "track_accuracy"),
        leak,
        _mean(runs, "steps"),
        _epochs(name, result, runs),
        _mean(runs, "seconds"),
    ]
    note = "; ".join(filter(None, [error and f"failed: {error}", comparable(result)]))
    return {"name": name, "cells": cells, "error": error, "note": note,
            "comparable": comparable(result)}  # fmt: skip


def _spread(split: Record | None, metric: str) -> str:
    if split is None:
        return ""
    found = values(split, metric)
    return spread(found) if found else "failed"


def _leak(worth: Sequence[float]) -> str:
    if not worth:
        return ""
    _, sign, deviation = spread(worth).partition(" ± ")
    return points(mean(worth)) + sign + deviation


def _mean(runs: Sequence[Record], what: str) -> str:
    found = values({"runs": runs}, what)
    return whole(mean(found)) if found else ""


def _epochs(name: str, result: Record, runs: Sequence[Record]) -> str:
    """How often a run passes over its training clips; of how many, where fewer were asked for."""
    fit = result.get("config", {}).get("recipe", {}).get("fit", {})
    asked, size = fit.get("epochs"), fit.get("batch_size")
    clips = [(run.get("clips") or {}).get("train") for run in runs]
    known = [(run, n) for run, n in zip(runs, clips, strict=True) if n and run.get("steps")]
    if not size or not known:
        return ""
    if fit.get("optimizer") in AT_ONCE:
        size = max(count for _, count in known)  # each of its steps is over all clips
    passed = mean(run["steps"] / -(-count // size) for run, count in known)
    own = RECIPES[name].fit.epochs if name in RECIPES else None
    return f"{passed:,.3g}" + (f" of {own}" if asked and own and asked < own else "")


def _caption(results: Sequence[Record], data: str) -> str:
    splits = [split for result in results for split in (result.get("splits") or {}).values()]
    counts = sorted({len(runs_of(split)) for split in splits} - {0}) or [0]
    seeds = f"{joined(map(str, counts))} seed{'s' * (counts != [1])}"
    tracks = {result.get("data", {}).get("tracks") for result in results} - {None}
    machines = {result.get("environment", {}).get("hardware") for result in results} - {None}
    music = data + (f", {' or '.join(map(str, sorted(tracks)))} tracks" if tracks else "")
    return (
        f"Data: {music}. Percent, mean ± standard deviation over {seeds}. The chunk split leaks: "
        "chunks of one track are in training and in test; in the track split all are on one side. "
        "Leak: chunk minus track split in clip accuracy, in points, paired by seed. Published "
        "figures come from their authors' own data. Steps, epochs and seconds are of one training"
        + (f", on {joined(sorted(machines))}." if machines else ".")
    )
