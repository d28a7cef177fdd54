"""Parts of a run done elsewhere, several at a time.

A part is told in plain values, depends on no other part that is under way, and can be done twice:
what it makes is kept in the run folder under a key of all that went into it. So a worker that dies
costs what it was at, and no more. What has parts done is an entry of `EXECUTORS`.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from importlib import import_module
from typing import Any

from experiments.executors.workers import Asked, Do, Workers, cores

MOST_GPUS = 64
EXECUTORS = {"local": "local", "ray": "on_ray"}  # the modules here, of which one is imported


def open_workers(name: str, do: Do, asked: Asked) -> AbstractContextManager[Workers]:
    """What an executor has parts done by, while the block lasts."""
    found: Any = import_module(f"experiments.executors.{EXECUTORS[name]}")
    return found.open_workers(do, asked)


def workers_of(name: str | None, asked: Asked) -> int | None:
    """How many work at a time; None without an executor, and where only the cluster knows."""
    return asked.workers or (cores() if name == "local" else None)


def check_executor(name: str | None, asked: Asked) -> None:
    """Raise ValueError where there is no such executor, or what is asked for is another's."""
    if name is not None and name not in EXECUTORS:
        raise ValueError(f"--executor {name!r} is none of {', '.join(EXECUTORS)}")
    if name is None and asked.workers is not None:
        raise ValueError(
            f"--workers {asked.workers} are those of an executor: give --executor local"
        )
    if name != "ray" and (asked.cluster is not None or asked.gpus):
        option = "--gpus" if asked.cluster is None else "--cluster"
        raise ValueError(f"{option} is for a cluster: give --executor ray")
    if not 0 <= asked.gpus <= MOST_GPUS:
        raise ValueError(f"--gpus lies in 0 … {MOST_GPUS} a part, found {asked.gpus}")
    if asked.gpus > 1 and asked.gpus % 1:
        raise ValueError(
            f"--gpus {asked.gpus}: above 1, a part takes whole GPUs: give {asked.gpus // 1:g} or "
            f"{asked.gpus // 1 + 1:g}, or below 1 for parts that share one"
        )
