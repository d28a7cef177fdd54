"""What a comparison was held to, and the GANs behind it, as the tables of its page."""

from __future__ import annotations

from typing import Any

from experiments.report.formats import counted, joined, number, percent, points
from experiments.scores import Record, average, runs_of

_MEASURED = {
    "kernel_distance": "kernel distance",
    "kernel_distance_floor": "of real clips",
    "coverage": "coverage",
    "variety": "variety",
    "memorised": "memorised",
}


def checks(results: Record) -> list[tuple[str, str]]:
    """What was checked of a comparison, each with what was found."""
    split, gan = results.get("split", {}), results.get("gan", {})
    found = []
    if "stages" in gan:
        found.append(("what GANs have heard", _heard(results)))
    shared = split.get("shared_groups")
    if shared is not None:
        known = f"{len(shared)} of them on two sides: {', '.join(shared[:5])}"
        found.append(("artists and speakers", known if shared else "none known on two sides"))
    if budget := results.get("budget"):
        found.append(("training steps", _budget(budget)))
    if openings := results.get("openings"):
        times = ", ".join(one["time"] for one in openings)
        found.append(("test side opened", f"{counted(len(openings), 'time')}: {times}"))
    return found


def _heard(results: Record) -> str:
    gan = results["gan"]
    made = [arm for arm in results.get("arms", {}).values() if arm.get("role") == "generated"]
    if not made:
        return "no arm has generated clips"
    said = "no validation or test track, by file, by sound or by name"
    if vouched := gan.get("vouched"):
        said += f"; for what nobody knows of, a person vouched: {joined(vouched)}"
    return said


def _budget(budget: Record) -> str:
    steps = counted(budget["steps"], "step")
    if budget["needed"] is None:
        said = f"{steps} for every arm, by hand"
    else:
        needed = counted(budget["needed"], "step")
        said = f"{steps} for every arm, by the validation tracks; the first arm needs {needed}"
    late = budget.get("late")
    return said + (f"; not at their end: {', '.join(late)}" if late else "")


def readings(results: Record) -> dict[str, Any]:
    """The question's difference at each reading, as heads and rows; none without."""
    rows = [
        (
            one["reading"],
            one["about"],
            points(one["mean"]),
            " to ".join(map(points, one["ci95"])),
        )
        for one in results.get("readings", [])
    ]
    return {"heads": ("reading", "when", "points", "95 % interval"), "rows": rows}


def gan_table(results: Record) -> dict[str, Any]:
    """Of each GAN how its clips are, as heads and rows; none without."""
    qualities = results.get("gan", {}).get("quality") or []
    measured = {key: head for key, head in _MEASURED.items() if any(key in q for q in qualities)}
    heads = ("GAN", "step", *measured.values(), "GAN-test")
    rows = [
        (
            f"{q['labels'][0] if len(q['labels']) == 1 else 'all classes'}, {q['seed']}",
            "" if q["step"] is None else str(q["step"]),
            *(_cell(q, key) for key in measured),
            percent(q["gan_test"]),
        )
        for q in qualities
    ]
    return {"heads": heads, "rows": rows, "gan_train": _gan_train(results)}


def _cell(quality: Record, key: str) -> str:
    if "distance" in key:
        return number(quality.get(key), quality.get(f"{key}_error"))
    return percent(quality.get(key))


def _gan_train(results: Record) -> str:
    """Track accuracy of the arm of generated clips alone; empty without."""
    arm = results.get("arms", {}).get("synthetic")
    return percent(average(arm, "track_accuracy")) if arm and runs_of(arm) else ""
