"""What the runs of ``results.json`` say in numbers: spreads, intervals, what a leak is worth."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

Record = Mapping[str, Any]  # an object of results.json

METRICS = {"track_accuracy": "track accuracy", "accuracy": "clip accuracy", "macro_f1": "macro-F1"}


def percent(share: float | None, digits: int = 1) -> str:
    """A share in percent with its sign; empty for None."""
    return "" if share is None else f"{100 * share:.{digits}f} %"


def spread(values: Sequence[float], unit: int = 100) -> str:
    """Mean ± standard deviation: percent with a decimal, or (``unit=1``) whole numbers."""
    if not values:
        return "not known"
    digits = 1 if unit == 100 else 0
    mean = f"{unit * np.mean(values):.{digits}f}"
    return mean if len(values) < 2 else f"{mean} ± {unit * np.std(values, ddof=1):.{digits}f}"


def wilson(share: float, count: int) -> tuple[float, float]:
    """95 % interval of a share seen in ``count`` independent cases (Wilson 1927)."""
    z2 = 1.96**2
    middle = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = (z2 * (share * (1 - share) / count + z2 / (4 * count**2))) ** 0.5 / (1 + z2 / count)
    return middle - half, middle + half


def runs_of(record: Record | None) -> Sequence[Record]:
    """The runs of a split or of an arm; none of one that failed."""
    return (record or {}).get("runs") or []


def values(record: Record | None, metric: str) -> list[float]:
    """The metric in each run that has it."""
    return [run[metric] for run in runs_of(record) if run.get(metric) is not None]


def leaking(splits: Mapping[str, Record]) -> list[str]:
    """Names of the splits with clips of a track on several sides."""
    return [name for name, split in splits.items() if split.get("leaks")]


def best_split(splits: Mapping[str, Record]) -> str | None:
    """The split whose figure holds: of those that ran, one without a leak if there is one."""
    ran = [name for name in splits if runs_of(splits[name])]
    return min(ran, key=lambda n: (bool(splits[n].get("leaks")), n != "track"), default=None)


def whole_tracks(results: Record) -> bool:
    """Whether a clip is a whole track: clips can't be split other than by track then."""
    runs = [run for split in results.get("splits", {}).values() for run in runs_of(split)]
    rows = [row for run in runs for row in run.get("tracks") or []]
    tracks = results.get("data", {}).get("tracks") or 0
    return (
        bool(rows)
        and all(row.get("clips") == 1 for row in rows)
        and all(sum((run.get("clips") or {}).values()) <= tracks for run in runs)
    )


def leaks_worth(splits: Mapping[str, Record]) -> list[float]:
    """Clip accuracy with a leak minus without one, for each seed that has both; shares."""
    leaks, held = leaking(splits), best_split(splits)
    if not leaks or held is None or held in leaks:
        return []
    high, low = (
        {run.get("seed"): run["accuracy"] for run in runs_of(splits[name]) if "accuracy" in run}
        for name in (leaks[0], held)
    )
    return [high[seed] - low[seed] for seed in high if seed in low]


def comparable(results: Record) -> str:
    """What the published figure is worth, and which split of the results it compares with."""
    published = results.get("published") or {}
    note = str(published.get("note") or "").strip()
    if published.get("accuracy") is None:
        return "" if note == "none" else note.removeprefix("none; ")
    protocol = results.get("config", {}).get("recipe", {}).get("split")
    if not protocol or (protocol == "chunk" and whole_tracks(results)):
        return note
    return "; ".join(filter(None, [note, f"compare it with the {protocol} split only"]))


def chance(labels: Sequence[Any]) -> float | None:
    """Share that guessing gets right; None without labels."""
    return 1 / len(labels) if labels else None


def joined(names: Iterable[str]) -> str:
    """Names as a sentence lists them."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
