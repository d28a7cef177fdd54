"""What all executors have in common."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

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
