"""The table of all recipes: published, with the leak, without it, and what the leak is worth."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from html import escape
from importlib import metadata
from statistics import mean

from experiments.recipes import RECIPES
from experiments.report.forest import points
from experiments.report.kit import counted, definitions, fill_page, table
from experiments.scores import (
    Record,
    comparable,
    joined,
    leaks_worth,
    percent,
    runs_of,
    spread,
    values,
    whole_tracks,
)

_HEADS = ("recipe", "published", "chunk split, by clip", "track split, by clip",
          "track split, by track", "leak, points", "steps", "epochs", "seconds")  # fmt: skip
_NARROW = ("recipe", "published", "chunk, clip", "track, clip", "track, track", "leak", "steps",
           "epochs", "seconds")  # fmt: skip
_NO_LEAK = "none: a clip is a whole track"
_NOTE = "comparable?"
_WIDTH = 100  # of the notes below the terminal's table


def recipe_table_text(results: Sequence[Record]) -> str:
    """The table for a terminal, its notes and reasons below it.

    Parameters
    ----------
    results : the ``results.json`` of each recipe; one that failed has ``recipe`` and ``error``.
    """
    ordered = _ordered(results)
    rows = [_NARROW, *(_cells(result, no_leak="none: whole track") for result in ordered)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            cell.rjust(width) if i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    lines.append("")
    indent = " " * (widths[0] + 2)
    for result in ordered:
        if note := _note(result):
            name = _name(result).ljust(widths[0])
            lines += textwrap.wrap(f"{name}  {note}", _WIDTH, subsequent_indent=indent)
    return "\n".join([*lines, "", *textwrap.wrap(_caption(ordered), _WIDTH), ""])


def recipe_table_markdown(results: Sequence[Record]) -> str:
    """The table as GitHub Markdown; ``results`` as for `recipe_table_text`."""
    ordered = _ordered(results)
    rows = [
        (*_HEADS, _NOTE),
        ("---", *["---:"] * (len(_HEADS) - 1), "---"),
        *((*map(_marked, _cells(result)), _marked(_note(result))) for result in ordered),
    ]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([*lines, "", _marked(_caption(ordered)), ""])


def recipe_table_section(results: Sequence[Record]) -> str:
    """The table as a part of a page; ``results`` as for `recipe_table_text`."""
    ordered = _ordered(results)
    rows = []
    for result in ordered:
        name, *cells = map(escape, _cells(result))
        if error := _error(result):
            name += f'<small><span class="failed">failed: {escape(error)}</span></small>'
        rows.append((name, *cells))
    body = table(_HEADS, rows)
    body = body.replace(_NO_LEAK, "none<small>a clip is a whole track</small>")  # narrower
    notes = definitions(
        {_name(result): comparable(result) or None for result in ordered}, verbatim=True
    )
    return f'<div class="broad">{body}</div><p class="note">{escape(_caption(ordered))}</p>' + (
        f"<h3>Can the published figures be compared?</h3>{notes}" if notes else ""
    )


def render_recipe_table(results: Sequence[Record]) -> str:
    """The table as a page of its own; ``results`` as for `recipe_table_text`."""
    ordered = _ordered(results)
    worths = [mean(w) for r in ordered if (w := leaks_worth(_splits(r))) and not whole_tracks(r)]
    failed = sum(bool(_error(result)) for result in ordered)
    if worths:
        headline = f"The leak is worth {points(mean(worths))} points of clip accuracy on average."
        reach = f"from {points(min(worths))} to {points(max(worths))}"
        text = (
            f"Over {counted(len(worths), 'recipe')}, {reach}: what is gained when chunks of one "
            "track are in training and in test."
        )
    else:
        headline, text = f"{counted(len(ordered), 'recipe')}.", "None ran on both splits."
    if failed:
        text += f" {failed} of {counted(len(ordered), 'recipe')} failed."
    return fill_page(
        title="All recipes",
        kicker=f"All recipes on {_data(ordered)}",
        head=f'<div class="verdict"><h1>{headline}</h1><p class="lead">{text}</p></div>',
        parts={"Recipe by recipe": recipe_table_section(ordered)},
        version=metadata.version("wavegan"),
    )


def _ordered(results: Sequence[Record]) -> list[Record]:
    """In the order of the recipes; names that are none of them come last."""
    order = {name: i for i, name in enumerate(RECIPES)}
    return sorted(results, key=lambda result: order.get(_name(result), len(order)))


def _cells(result: Record, no_leak: str = _NO_LEAK) -> tuple[str, ...]:
    splits = _splits(result)
    leak = _leak(splits)
    if whole_tracks(result):
        leak, splits = no_leak, {"chunk": splits.get("track", {}), **splits}
    runs = [run for split in _splits(result).values() for run in runs_of(split)]
    steps = [run["steps"] for run in runs if run.get("steps") is not None]
    epochs = [number for run in runs if (number := _epochs(result, run))]
    seconds = [run["seconds"] for run in runs if run.get("seconds") is not None]
    published = (result.get("published") or {}).get("accuracy")
    return (
        _name(result),
        percent(published, 2) or "none",
        _spread(splits.get("chunk"), "accuracy"),
        _spread(splits.get("track"), "accuracy"),
        _spread(splits.get("track"), "track_accuracy"),
        leak,
        f"{mean(steps):,.0f}" if steps else "",
        f"{mean(epochs):,.3g}{_shortened(result)}" if epochs else "",
        f"{mean(seconds):,.0f}" if seconds else "",
    )


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


def _note(result: Record) -> str:
    """What failed, and whether the published figure can be compared."""
    error = _error(result)
    failed = [f"failed: {error}"] if error else []
    return "; ".join([*failed, *filter(None, [comparable(result)])])


def _error(result: Record) -> str:
    """The reasons of what failed, empty where nothing did."""
    splits = _splits(result)
    reasons = [str(result["error"])] if result.get("error") else []
    for name, split in splits.items():
        if not runs_of(split):
            reasons.append(f"{name} split: {split.get('error', 'no run finished')}")
    return "; ".join(reasons) if reasons or splits else "no split ran"


def _caption(ordered: Sequence[Record]) -> str:
    counts = {len(runs_of(split)) for result in ordered for split in _splits(result).values()} - {0}
    seeds = (
        f"{joined(map(str, sorted(counts)))} seed{'s' * (counts != {1})}" if counts else "0 seeds"
    )
    tracks = {result.get("data", {}).get("tracks") for result in ordered} - {None}
    machines = {result.get("environment", {}).get("hardware") for result in ordered} - {None}
    music = _data(ordered) + (f", {' or '.join(map(str, sorted(tracks)))} tracks" if tracks else "")
    return (
        f"Data: {music}. Percent, mean ± standard deviation over {seeds}. The chunk split leaks: "
        "chunks of one track are in training and in test; in the track split all are on one side. "
        "Leak: chunk minus track split in clip accuracy, in points, paired by seed. Published "
        "figures come of their authors' own data. Steps, epochs and seconds are of one training"
        + (f", on {joined(sorted(machines))}." if machines else ".")
    )


def _data(ordered: Sequence[Record]) -> str:
    names = dict.fromkeys(str(r["data"]["name"]) for r in ordered if r.get("data", {}).get("name"))
    return joined(names) if names else "unnamed data"


def _name(result: Record) -> str:
    return str(result.get("recipe", "?"))


def _splits(result: Record) -> Mapping[str, Record]:
    return result.get("splits") or {}


def _marked(text: str) -> str:
    """``text`` in a cell of a Markdown table: nothing in it is taken for Markdown or HTML."""
    for sign in "\\|`*_[]<>":
        text = text.replace(sign, f"\\{sign}")
    return " ".join(text.split())
