"""What a comparison was held to, and the GANs behind it, as the tables of its page."""

from __future__ import annotations

from typing import Any

from experiments.report.formats import counted, joined, number, percent, points
from experiments.scores import Record, average, runs_of
from experiments.verdicts import lost_seeds, seeds_of

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
    found, config = [], results.get("config", {})
    if name := config.get("preset"):
        other = config.get("changed", ())
        said = f", but with other {joined(other)}: another study" if other else ", as it was fixed"
        found.append(("study", name + said))
    if "stages" in gan:
        found.append(("what GANs have heard", _heard(results)))
    if names := gan.get("looked_at"):
        said = f"their way of training was chosen by validation tracks of {joined(names)}"
        here = results.get("data", {}).get("name") in names
        found.append(("settings of GANs", said + "; these may be among the tracks here" * here))
    shared = split.get("shared_groups")
    if shared is not None:
        known = f"{len(shared)} of them on two sides: {', '.join(shared[:5])}"
        found.append(("artists and speakers", known if shared else "none known on two sides"))
    if split.get("folds", 1) > 1:
        said = f"in {split['folds']} folds, each with its own GANs, every track on one test side"
        found.append(("test sides", said))
    if split.get("draws", 1) > 1:
        found.append(("training tracks", f"drawn {split['draws']} times, each with its own GANs"))
    if budget := results.get("budget"):
        found.append(("training steps", _budget(budget, results.get("arms", {}))))
    arms = results.get("arms", {}).items()
    if failed := results.get("gan", {}).get("failed"):
        said = "; ".join(dict.fromkeys(failed.values()))
        found.append(("GANs that failed", f"{len(failed)}: {said}"))
    if lost := [lost_runs(*of) for of in arms if of[1].get("failed_runs") and of[1]["runs"]]:
        said = ". Of these arms nothing is claimed: which runs are left is no matter of chance"
        found.append(("runs that failed", "; ".join(lost) + said))
    if rates := [f"{name} {arm['learning_rate']:g}" for name, arm in arms if "tried" in arm]:
        said = "multiples of the recipe's, each arm's best by its validation tracks: "
        found.append(("learning rates", said + ", ".join(rates)))
    if openings := results.get("openings"):
        times = ", ".join(one["time"] for one in openings)
        found.append(("test side opened", f"{counted(len(openings), 'time')}: {times}"))
    return found


def lost_runs(name: str, arm: Record) -> str:
    """How many runs of an arm failed, and why."""
    lost = lost_seeds(arm)
    why = "; ".join(dict.fromkeys(run["error"] for run in arm["failed_runs"]))
    return f"{len(lost)} of {len(lost | seeds_of(arm))} runs of {name} ({why})"


def _heard(results: Record) -> str:
    gan = results["gan"]
    made = [arm for arm in results.get("arms", {}).values() if arm.get("role") == "generated"]
    if not made:
        return "no arm has generated clips"
    said = "no validation or test track, by file, by sound or by name"
    if vouched := gan.get("vouched"):
        said += f"; for what nobody knows of, a person vouched: {joined(vouched)}"
    return said


def _budget(budget: Record, arms: Record) -> str:
    steps, first = counted(budget["steps"], "step"), next(iter(arms), "")
    if budget["needed"] is None and first and not runs_of(arms[first]):
        said = f"{steps} for every arm; no run of {first} finished, which would tell what it needs"
    elif budget["needed"] is None:
        said = f"{steps} for every arm, by hand"
    else:
        needed = counted(budget["needed"], "step")
        said = f"{steps} for every arm, by the validation tracks; the first arm needs {needed}"
    late = budget.get("late")
    return said + (f"; may have needed more: {', '.join(late)}" if late else "")


def readings(results: Record) -> dict[str, Any]:
    """The question's difference at each reading, or why there is none, as heads and rows."""
    rows = [
        (
            one["reading"],
            one["about"],
            points(one["mean"]),
            " to ".join(map(points, one["ci95"])),
        )
        for one in results.get("readings", [])
    ]
    missing = results.get("missing_readings", ())
    rows += [(one["reading"], f"not made: {one['because']}", "", "") for one in missing]
    return {"heads": ("reading", "when", "points", "95 % interval"), "rows": rows}


def otherwise(results: Record) -> dict[str, Any]:
    """What other tests say of the question, as heads and rows; none without."""
    found = results.get("otherwise") or {}
    rows = []
    if chances := found.get("mcnemar"):
        least, most = number(min(chances)), number(max(chances))
        said = f"p {least}" if least == most else f"p {least} to {most}"
        about = "exact, by track, in each run by itself: are the tracks that one arm alone got "
        rows.append(("McNemar", about + "right as often each arm's?", said))
    if (share := found.get("improvement")) is not None:
        about = "that a run of the one arm is better than one of the other (Mann and Whitney's U)"
        rows.append(("probability of improvement", about, number(share)))
    if (p := found.get("resampled")) is not None:
        about = "t test over folds whose training tracks overlap"
        rows.append(("Nadeau and Bengio", about, f"p {number(p)}"))
    if chances := found.get("bayes"):
        about = "probabilities after seeing these folds; within 2 points counts as equivalent"
        said = ", ".join(f"{name} {number(chance)}" for name, chance in chances.items())
        rows.append(("Bayesian, correlated t", about, said))
    return {"heads": ("test", "what it asks", "answer"), "rows": rows}


def gan_table(results: Record) -> dict[str, Any]:
    """Of each GAN how its clips are, as heads and rows, and the arm of these clips alone."""
    qualities = results.get("gan", {}).get("quality") or []
    measured = {key: head for key, head in _MEASURED.items() if any(key in q for q in qualities)}
    heads = ("GAN", "step", *measured.values(), "GAN-test")
    rows = [
        (
            _named(q, results.get("split", {})),
            "" if q["step"] is None else str(q["step"]),
            *(_cell(q, key) for key in measured),
            percent(q["gan_test"]),
        )
        for q in qualities
    ]
    alone = average(results.get("arms", {}).get("synthetic"), "track_accuracy")
    return {"heads": heads, "rows": rows, "gan_train": percent(alone)}


def _named(quality: Record, split: Record) -> str:
    """A GAN's class and seed, and its fold where there are several."""
    labels = quality["labels"]
    name = f"{labels[0] if len(labels) == 1 else 'all classes'}, {quality['seed']}"
    return name + (f", fold {quality['fold'] + 1}" if split.get("folds", 1) > 1 else "")


def _cell(quality: Record, key: str) -> str:
    if "distance" in key:
        return number(quality.get(key), quality.get(f"{key}_error"))
    return percent(quality.get(key))
