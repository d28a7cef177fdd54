"""Speed against what users would pick instead, side by side in one run.

A row is ``case``, ``peer``, ``ours_seconds``, ``peer_seconds``, ``ratio`` (peer over ours) and
``hardware``.
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
_PAUSE = 0.05  # seconds: a library's threads go on spinning for some after its last call


def run_benchmark(what: str, *, repeats: int, json_file: Path | None) -> list[Row]:
    """Run a benchmark ("gan", "features", "classifiers"), print its table, write its rows."""
    from wavegan.environment import environment

    hardware = environment()["hardware"]
    module = importlib.import_module(f"experiments.bench.{what}")
    rows = module.cases(repeats=repeats, hardware=hardware)
    print(hardware)
    for found in rows:
        print(
            f"{found['case']:<55}  ours {found['ours_seconds']:8.4f} s  "
            f"{found['peer']} {found['peer_seconds']:8.4f} s  ratio {found['ratio']:.2f}"
        )
    if json_file is not None:
        write_json(json_file, rows)
    return rows


def interleaved(jobs: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
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
