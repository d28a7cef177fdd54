"""The table of all recipes: published, with the leak, without it, and what the leak is worth."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any

from experiments.recipes import RECIPES
from experiments.report.formats import joined, percent, points, spread, whole
from experiments.report.kit import render
from experiments.report.terminal import plain_table, text_table
from experiments.scores import Record, comparable, leaks_worth, runs_of, values, whole_tracks

_HEADS = ("recipe", "published", "chunk split, by clip", "track split, by clip",
          "track split, by track", "leak, points", "steps", "epochs", "seconds")  # fmt: skip
_NARROW = ("recipe", "published", "chunk, clip", "track, clip", "track, track", "leak", "steps",
           "epochs", "seconds")  # fmt: skip
_LEAK = 5  # its column
_NO_LEAK = "none: a clip is a whole track"
_WIDTH = 100  # of the notes below the terminal's table


def recipe_table_text(results: Sequence[Record]) -> str:
    """The table for a terminal, its notes and reasons below it.

    Parameters
    ----------
    results : the ``results.json`` of each recipe; one that failed has ``recipe`` and ``error``.
    """
    shown, table, lines = _table(results), text_table(_NARROW), [""]
    width = max([len(row["name"]) for row in shown["rows"]], default=0)
    for row in shown["rows"]:
        table.add_row(*(cell.replace(_NO_LEAK, "none: whole track") for cell in row["cells"]))
        if row["note"]:
            indent = " " * (width + 2)
            name = row["name"].ljust(width)
            lines += textwrap.wrap(f"{name}  {row['note']}", _WIDTH, subsequent_indent=indent)
    lines += ["", *textwrap.wrap(shown["caption"], _WIDTH), ""]
    return "\n".join([plain_table(table), *lines])


def recipe_table_markdown(results: Sequence[Record]) -> str:
    """The table as GitHub Markdown; ``results`` as for `recipe_table_text`."""
    return render("recipes.md", **_table(results))


def render_recipe_table(results: Sequence[Record]) -> str:
    """The table as a page of its own; ``results`` as for `recipe_table_text`."""
    worths = [mean(w) for r in results if (w := leaks_worth(_splits(r))) and not whole_tracks(r)]
    return render(
        "recipes.html",
        **_table(results),
        worths=worths,
        worth=mean(worths) if worths else None,
    )


def _table(results: Sequence[Record]) -> dict[str, Any]:
    """The table's values; recipes come in their own order, unknown ones last."""
    order = {name: i for i, name in enumerate(RECIPES)}
    ordered = sorted(results, key=lambda result: order.get(_name(result), len(order)))
    rows = []
    for result in ordered:
        error, comment = _error(result), comparable(result)
        rows.append(
            {
                "name": _name(result),
                "cells": _cells(result),
                "error": error,
                "comparable": comment,
                "note": "; ".join(filter(None, [error and f"failed: {error}", comment])),
            }
        )
    data = _data(ordered)
    caption = _caption(ordered, data)
    return {"heads": _HEADS, "rows": rows, "data": data, "caption": caption, "leak": _LEAK,
            "no_leak": _NO_LEAK}  # fmt: skip


def _cells(result: Record) -> tuple[str, ...]:
    """A row of the table."""
    splits = _splits(result)
    leak = _leak(splits)
    if whole_tracks(result):
        leak, splits = _NO_LEAK, {"chunk": splits.get("track", {}), **splits}
    runs = [run for split in _splits(result).values() for run in runs_of(split)]
    epochs = [number for run in runs if (number := _epochs(result, run))]
    return (
        _name(result),
        percent((result.get("published") or {}).get("accuracy"), 2) or "none",
        _spread(splits.get("chunk"), "accuracy"),
        _spread(splits.get("track"), "accuracy"),
        _spread(splits.get("track"), "track_accuracy"),
        leak,
        _mean(runs, "steps"),
        f"{mean(epochs):,.3g}{_shortened(result)}" if epochs else "",
        _mean(runs, "seconds"),
    )


def _mean(runs: Sequence[Record], what: str) -> str:
    found = [run[what] for run in runs if run.get(what) is not None]
    return whole(mean(found)) if found else ""


def _shortened(result: Record) -> str:
    """Of how many, where fewer epochs were asked for than the recipe has."""
    asked = result.get("config", {}).get("recipe", {}).get("fit", {}).get("epochs")
    recipe = RECIPES.get(_name(result))
    own = recipe.fit.epochs if recipe else None
    return f" of {own}" if asked and own and asked < own else ""


def _epochs(result: Record, run: Record) -> float | None:
    """How often a run has passed over its training clips."""
    batch_size = result.get("config", {}).get("recipe", {}).get("fit", {}).get("batch_size")
    clips = (run.get("clips") or {}).get("train")
    if not batch_size or not clips or run.get("steps") is None:
        return None
    return run["steps"] / -(-clips // batch_size)


def _spread(split: Record | None, metric: str) -> str:
    if split is None:
        return ""
    found = values(split, metric)
    return spread(found) if found else "failed"


def _leak(splits: Mapping[str, Record]) -> str:
    if not (worth := leaks_worth(splits)):
        return ""
    text = points(mean(worth))
    return f"{text} ± {spread(worth).split(' ± ')[1]}" if len(worth) > 1 else text


def _error(result: Record) -> str:
    """The reasons of what failed, empty where nothing did."""
    splits = _splits(result)
    reasons = [str(result["error"])] if result.get("error") else []
    for name, split in splits.items():
        if not runs_of(split):
            reasons.append(f"{name} split: {split.get('error', 'no run finished')}")
    return "; ".join(reasons) if reasons or splits else "no split ran"


def _caption(ordered: Sequence[Record], data: str) -> str:
    counts = {len(runs_of(split)) for result in ordered for split in _splits(result).values()} - {0}
    seeds = (
        f"{joined(map(str, sorted(counts)))} seed{'s' * (counts != {1})}" if counts else "0 seeds"
    )
    tracks = {result.get("data", {}).get("tracks") for result in ordered} - {None}
    machines = {result.get("environment", {}).get("hardware") for result in ordered} - {None}
    music = data + (f", {' or '.join(map(str, sorted(tracks)))} tracks" if tracks else "")
    return (
        f"Data: {music}. Percent, mean ± standard deviation over {seeds}. The chunk split leaks: "
        "chunks of one track are in training and in test; in the track split all are on one side. "
        "Leak: chunk minus track split in clip accuracy, in points, paired by seed. Published "
        "figures come from their authors' own data. Steps, epochs and seconds are of one training"
        + (f", on {joined(sorted(machines))}." if machines else ".")
    )


def _data(ordered: Sequence[Record]) -> str:
    names = dict.fromkeys(str(r["data"]["name"]) for r in ordered if r.get("data", {}).get("name"))
    return joined(names) if names else "unnamed data"


def _name(result: Record) -> str:
    return str(result.get("recipe", "?"))


def _splits(result: Record) -> Mapping[str, Record]:
    return result.get("splits") or {}
