"""The page of a published comparison whose flaws are repaired one after another."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from experiments.report.charts import Row, Scale
from experiments.report.checks import checks, lost_runs
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
        checks=checks(results),
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
            for run in (*told["runs"], *told["failed_runs"]):
                about = {"rung": number, "repaired": rung["repaired"], "arm": arm}
                yield {**run, **about, "recipe": told["recipe"]}


def _differences(results: Record) -> Iterator[Record]:
    for number, rung in enumerate(results["ladder"], 1):
        for metric, found in rung["differences"].items():
            low, high = found.get("ci95") or ("", "")
            about = {"rung": number, "repaired": rung["repaired"], "metric": metric}
            yield {**about, "mean": found["mean"], "low": low, "high": high}


_RUN = ("rung", "repaired", "arm", "recipe", "classifier_seed", "steps", "best_step",
        "train_clips", "track_accuracy", "accuracy", "macro_f1", "seconds", "error")  # fmt: skip
_DIFFERENCE = ("rung", "repaired", "metric", "mean", "low", "high")
HEADS = ("repaired", "runs", "without generated clips", "with generated clips", "points",
         "95 % interval", "points by track")  # fmt: skip


def cells(rung: Record) -> list[str]:
    """A rung as text, in the columns of `HEADS`."""
    arms, found = list(rung["arms"].values()), rung["differences"]
    shares = [[run["accuracy"] for run in arm["runs"]] for arm in arms]
    names = [f"{arm['recipe']}: " if not rung["alike"] else "" for arm in arms]
    ends = found.get("accuracy", {}).get("ci95")
    return [
        rung["repaired"],
        " and ".join(dict.fromkeys(str(len(share)) for share in shares)),
        *(
            f"{name}{spread(share)} %" if share else f"{name}failed"
            for name, share in zip(names, shares, strict=True)
        ),
        points(found["accuracy"]["mean"]) if found else "",
        " to ".join(map(points, ends)) if ends else "",
        points(found["track_accuracy"]["mean"]) if found else "",
    ]


def lost(rung: Record) -> str:
    """Which runs of a rung failed, and why; empty where none did."""
    arms = rung["arms"].items()
    return "; ".join(lost_runs(name, arm) for name, arm in arms if arm["failed_runs"])


_LOST = "unknown, since runs failed"


def headline(results: Record) -> str:
    """What the last rung says beside the first."""
    ladder = results["ladder"]
    first, last = (ladder[place]["differences"].get("accuracy") for place in (0, -1))
    again = points(first["mean"]) if first else _LOST
    repaired = _LOST
    if last:
        repaired = f"{points(last['mean'])} points ({' to '.join(map(points, last['ci95']))})"
    return (
        f"Published {_published(results)}; made again as published {again}; with all repairs "
        f"{repaired}"
    )


def _published(results: Record) -> str:
    one, other = results["published"]
    return points(other - one) if one is not None and other is not None else "no gain"


def _row(rung: Record) -> Row:
    count = max(len(arm["runs"]) + len(arm["failed_runs"]) for arm in rung["arms"].values())
    note = f"{rung['split']} split, GANs heard {rung['heard']}, {counted(count, 'run')}"
    if why := lost(rung):
        return Row(rung["repaired"], note=note, failed=f"failed: {why}")
    found = rung["differences"]["accuracy"]
    told = f"{rung['repaired']}: {points(found['mean'])} points of clip accuracy"
    if ends := found.get("ci95"):
        told += f", interval {' to '.join(map(points, ends))}"
    shares = [percent(arm["runs"][0]["accuracy"]) for arm in rung["arms"].values()]
    return Row(
        rung["repaired"], f"{told}; first run {' and '.join(shares)}", note, found["mean"],
        ends, number=points(found["mean"]),
        verdict=" to ".join(map(points, ends)) if ends else "another input: no interval",
    )  # fmt: skip
