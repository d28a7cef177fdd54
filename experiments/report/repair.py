"""The page of a published comparison whose flaws are repaired one after another."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from experiments.report.charts import Row, Scale
from experiments.report.formats import counted, percent, points, spread
from experiments.report.kit import render
from experiments.report.tables import write_rows
from experiments.scores import Record
from features.storage import write_text


def render_repair(results: Record) -> str:
    """The page of what `experiments.commands.repair` found."""
    ladder = results["ladder"]
    rows = [_row(rung) for rung in ladder]
    ends = [x for row in rows for x in (row.mean, *(row.ends or ()))]
    return render(
        "repair.html",
        results=results,
        headline=headline(results),
        rows=rows,
        scale=Scale.around(ends, symmetric=True),
        heads=HEADS,
        cells=[cells(rung) for rung in ladder],
        published=_published(results),
    )


def write_ladder(folder: str | Path, results: Record) -> None:
    """Write what the ladder leaves for a paper beside its page.

    ``runs.csv`` has a row a run of an arm of a rung, ``differences.csv`` a row a rung and metric;
    ``table.md`` and ``table.tex`` have the rungs.
    """
    folder = Path(folder)
    write_rows(folder / "runs.csv", _RUN, (), _runs(results))
    write_rows(folder / "differences.csv", _DIFFERENCE, (), _differences(results))
    caption = (
        f"Published {_published(results)} points, made again and repaired step by step: clip "
        "accuracy in percent, mean ± standard deviation over runs."
    )
    rows = [cells(rung) for rung in results["ladder"]]
    table = {"caption": caption, "heads": HEADS, "rows": rows, "words": (0,)}
    for suffix in ("md", "tex"):
        write_text(folder / f"table.{suffix}", render(f"table.{suffix}", tables=[table]))


def _runs(results: Record) -> Iterator[Record]:
    for number, rung in enumerate(results["ladder"], 1):
        for arm, told in rung["arms"].items():
            for seed, run in enumerate(told["runs"]):
                about = {"rung": number, "repaired": rung["repaired"], "arm": arm}
                yield {**run, **about, "recipe": told["recipe"], "seed": seed}


def _differences(results: Record) -> Iterator[Record]:
    for number, rung in enumerate(results["ladder"], 1):
        for metric, found in rung["differences"].items():
            low, high = found.get("ci95") or ("", "")
            about = {"rung": number, "repaired": rung["repaired"], "metric": metric}
            yield {**about, "mean": found["mean"], "low": low, "high": high}


_RUN = ("rung", "repaired", "arm", "recipe", "seed", "steps", "best_step", "train_clips",
        "track_accuracy", "accuracy", "macro_f1", "seconds")  # fmt: skip
_DIFFERENCE = ("rung", "repaired", "metric", "mean", "low", "high")
HEADS = ("repaired", "runs", "without generated clips", "with generated clips", "points",
         "95 % interval", "points by track")  # fmt: skip


def cells(rung: Record) -> list[str]:
    """A rung as text, in the columns of `HEADS`."""
    arms, found = list(rung["arms"].values()), rung["differences"]
    shares = [[run["accuracy"] for run in arm["runs"]] for arm in arms]
    names = [f"{arm['recipe']}: " if not rung["alike"] else "" for arm in arms]
    ends = found["accuracy"].get("ci95")
    return [
        rung["repaired"],
        str(len(shares[0])),
        *(f"{name}{spread(share)} %" for name, share in zip(names, shares, strict=True)),
        points(found["accuracy"]["mean"]),
        " to ".join(map(points, ends)) if ends else "",
        points(found["track_accuracy"]["mean"]),
    ]


def headline(results: Record) -> str:
    """What the last rung says beside the first."""
    ladder = results["ladder"]
    first, last = (ladder[place]["differences"]["accuracy"] for place in (0, -1))
    ends = " to ".join(map(points, last["ci95"]))
    return (
        f"Published {_published(results)}; made again as published {points(first['mean'])}; with "
        f"all repairs {points(last['mean'])} points ({ends})"
    )


def _published(results: Record) -> str:
    one, other = results["published"]
    return points(other - one) if one is not None and other is not None else "no gain"


def _row(rung: Record) -> Row:
    found = rung["differences"]["accuracy"]
    runs = counted(len(next(iter(rung["arms"].values()))["runs"]), "run")
    told = f"{rung['repaired']}: {points(found['mean'])} points of clip accuracy"
    if ends := found.get("ci95"):
        told += f", interval {' to '.join(map(points, ends))}"
    shares = [percent(arm["runs"][0]["accuracy"]) for arm in rung["arms"].values()]
    note = f"{rung['split']} split, GANs heard {rung['heard']}, {runs}"
    return Row(
        rung["repaired"], f"{told}; first run {' and '.join(shares)}", note, found["mean"],
        ends, number=points(found["mean"]),
        verdict=" to ".join(map(points, ends)) if ends else "another input: no interval",
    )  # fmt: skip
