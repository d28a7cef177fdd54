"""Parts of a run done elsewhere, several at a time.

A part is told in plain values, depends on no other part that is under way, and can be done twice:
what it makes is kept in the run folder under a key of all that went into it. So a worker that dies
costs what it was at, and no more. What has parts done is an entry of `EXECUTORS`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

MOST_GPUS = 64
EXECUTORS = {"local": "local", "ray": "on_ray"}  # the modules here, of which one is imported
MOST_DEATHS = 3  # of workers, one after another, while no part comes to its end
_ALL_AT_ONCE = "XLA_PYTHON_CLIENT_PREALLOCATE"
ASKED = 0.2  # seconds after which it is asked whether to stop

ShouldStop = Callable[[], bool]
Do = Callable[[Any, ShouldStop], str]
"""Does a part; why it failed, or nothing. What else it raises ends the run."""


@dataclass(frozen=True)
class Asked:
    """How parts are to be done.

    Attributes
    ----------
    workers : at a time; None is one a core.
    cluster : address of a Ray cluster; None is ``$RAY_ADDRESS``, else one that is started here.
    gpus : that each part takes, a whole number; below 1, several parts share one.
    """

    workers: int | None = None
    cluster: str | None = None
    gpus: float = 0.0


class Workers(Protocol):
    """What does parts: ``about`` says where, for the line of progress; `LocalWorkers` is one."""

    @property
    def about(self) -> str: ...
    def run(
        self,
        parts: Sequence[Any],
        *,
        on_done: Callable[[int, int], object],
        should_stop: ShouldStop | None,
    ) -> list[str]: ...


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


# --- what all executors have in common -----------------------------------------------------------


class WorkersLost(ChildProcessError):
    """Workers die again and again, at what nobody knows."""


def lost(deaths: int, done: int, of: int) -> WorkersLost:
    """The error of workers that died, with so many parts done."""
    return WorkersLost(
        f"{deaths} workers died one after another, with {done} of {of} parts done: where memory is "
        "short, give fewer --workers; what is finished is kept"
    )


def none_began() -> WorkersLost:
    """The error of workers that died before they began: each imports the script of its caller."""
    return WorkersLost(
        "no worker came as far as to begin, since each first imports the script that asks for it: "
        "have that in a file, with what it does under if __name__ == '__main__':, or leave the "
        "executor out"
    )


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def variables() -> dict[str, str]:
    """Of a worker's environment: where JAX keeps compiled programs, what it takes of a GPU."""
    import jax

    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    values = {name.upper(): getattr(jax.config, name) for name in names}
    values[_ALL_AT_ONCE] = os.environ.get(_ALL_AT_ONCE, "false")  # else one leaves others nothing
    return {name: str(value) for name, value in values.items() if value is not None}


def plugins() -> list[str]:
    """Modules of the user's own that a worker is to import, too."""
    from features._fingerprint import counted_modules

    return sorted(counted_modules())
