"""Speed against what users would pick instead, side by side in one run.

A row is ``case``, ``peer``, ``ours_seconds``, ``peer_seconds``, ``ratio`` (peer over ours) and
``hardware``; more where a benchmark says so.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter, sleep
from typing import Any

from features.storage import write_json

Row = dict[str, Any]
Job = Callable[[], object]  # what is timed
_PAUSE = 0.05  # seconds: a library's threads go on spinning for some after its last call


def run_benchmark(
    what: str, *, repeats: int, json_file: Path | None, size: str | None = None
) -> list[Row]:
    """Run a benchmark ("gan", "features", "classifiers", "gpu"), print and write its rows.

    Rows are written as they come, so that those of a run that is cut short are there.

    Parameters
    ----------
    repeats : timings of each case.
    json_file : where the rows go, too.
    size : of "gpu", one of its `SIZES`; None is "full" where there is a GPU.
    """
    from wavegan.devices import hardware

    machine = hardware()
    print(machine)
    module = importlib.import_module(f"experiments.bench.{what}")
    options = {"size": size} if what == "gpu" else {}
    rows: list[Row] = []
    for found in module.cases(repeats=repeats, hardware=machine, **options):
        rows.append(found)
        told = (
            f"{found['case']:<55}  ours {found['ours_seconds']:8.4f} s  "
            f"{found['peer']} {found['peer_seconds']:8.4f} s  ratio {found['ratio']:.2f}"
        )
        print(told + _more(found), flush=True)
        if json_file is not None:
            write_json(json_file, rows)
    return rows


def _more(found: Row) -> str:
    """What a row has beside times, in a few words."""
    parts = []
    if "error" in found:
        within = "within" if found["holds"] else "NOT WITHIN"
        parts.append(f"error {found['error']:.1e} {within} {found['tolerance']:.0e}")
    if "share_of_matmul" in found:
        parts.append(f"{found['share_of_matmul']:.0%} of the matrix rate")
    if "needed_bytes" in found:
        parts.append(f"{found['needed_bytes'] / 1e9:.2f} GB")
    return "".join(f"  {part}" for part in parts)


def interleaved(jobs: dict[str, Job], repeats: int) -> dict[str, float]:
    """Median seconds of each job, one run of each in turn, after a run that compiles."""
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for turn in range(repeats + 1):
        for name, job in jobs.items():
            sleep(_PAUSE)
            start = perf_counter()
            job()
            if turn:
                times[name].append(perf_counter() - start)
    return {name: median(values) for name, values in times.items()}


def timed(case: str, jobs: dict[str, Job], repeats: int, hardware: str = "") -> list[Row]:
    """A row of ``jobs["ours"]`` against each of the others, all `interleaved`."""
    seconds = interleaved(jobs, repeats)
    ours = seconds.pop("ours")
    return [row(case, peer, ours, theirs, hardware) for peer, theirs in seconds.items()]


def row(case: str, peer: str, ours: float, theirs: float, hardware: str) -> Row:
    """A row of the table."""
    return {
        "case": case,
        "peer": peer,
        "ours_seconds": ours,
        "peer_seconds": theirs,
        "ratio": theirs / ours,
        "hardware": hardware,
    }
