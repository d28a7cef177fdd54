"""Several recipes, one after the other, into one table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from experiments.commands.classify import classify
from experiments.config import ClassifyConfig
from experiments.report.recipes import (
    recipe_table_markdown,
    recipe_table_text,
    render_recipe_table,
)
from experiments.report.terminal import Progress
from experiments.run import Run, environment
from features.storage import write_json, write_text


def classify_all(
    configs: Sequence[ClassifyConfig],
    out: str | Path,
    *,
    command: str = "",
    progress: Progress | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> str:
    """Run each recipe in a folder of its own in ``out``; the table as text.

    A recipe that can't be run stays in the table, with the reason. After each recipe the table
    so far is written: ``results.json``, ``table.md`` and ``report.html``.
    """
    out, progress = Path(out), progress or Progress(quiet=True)
    found: list[dict[str, Any]] = []
    for config in configs:
        recipe = config.recipe
        if recipe.per_track == 1:  # the clip is the track: both splits are one
            splits = tuple(dict.fromkeys("track" if s == "chunk" else s for s in config.splits))
            config = replace(config, splits=splits)
        progress.say(f"{recipe.name} ({len(found) + 1} of {len(configs)}): {recipe.about}")
        try:
            results = classify(
                config,
                out / recipe.name,
                command=command,
                progress=progress,
                should_stop=should_stop,
            )
        except (ValueError, FloatingPointError) as error:
            progress.say(f"{recipe.name} failed: {error}")
            published = {"accuracy": recipe.published, "note": recipe.note}
            results = {"recipe": recipe.name, "published": published, "error": str(error)}
        found.append(results)
        _write(out, found, command)
    return recipe_table_text(found)


def gather_recipes(out: Path) -> list[dict[str, Any]]:
    """Write the table of the recipes that have been run in folders in ``out``; their results."""
    runs = sorted(out.glob("*/results.json"))
    read = [Run(file.parent).read_json("results.json") for file in runs]
    if found := [results for results in read if "splits" in results]:
        _write(out, found, "")
    return found


def _write(out: Path, found: Sequence[dict[str, Any]], command: str) -> None:
    made = {"command": command, "environment": environment()}
    write_json(out / "results.json", {**made, "recipes": list(found)})
    write_text(out / "table.md", recipe_table_markdown(found))
    write_text(out / "report.html", render_recipe_table(found))
