"""Parts done by processes of this machine, which have cores of their own."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from multiprocessing.connection import wait as wait_for
from typing import Any

from experiments.executors import (
    ASKED,
    MOST_DEATHS,
    Asked,
    Do,
    ShouldStop,
    cores,
    lost,
    none_began,
    plugins,
    variables,
)
from features.storage import Interrupted


@dataclass
class LocalWorkers:
    """Processes of this machine, each on cores of its own.

    Parameters
    ----------
    do : does a part, in a worker; a function of a module with what it needs (`functools.partial`).
    count : of workers.
    """

    do: Do
    count: int
    _pool: ProcessPoolExecutor | None = field(default=None, init=False)
    _stop: Any = field(default=None, init=False)
    _turn: Any = field(default=None, init=False)  # how many of the pool's have begun

    def run(
        self,
        parts: Sequence[Any],
        *,
        on_done: Callable[[int, int], object],
        should_stop: ShouldStop | None,
    ) -> list[str]:
        """Why each part failed, or nothing; ``on_done`` is called with how many are, and of all.

        Raises
        ------
        Interrupted
            Where ``should_stop`` said so; what the workers were at is saved.
        WorkersLost
            `MOST_DEATHS` workers died while none came to an end; or before any began.
        Exception
            What a part raised.
        """
        said, deaths, began = dict[int, str](), 0, False
        while len(said) < len(parts):
            done = len(said)
            try:
                for i, why in self._each(parts, said.keys(), should_stop):
                    said[i] = why
                    on_done(len(said), len(parts))
            except BrokenProcessPool:
                began = began or self._turn.value > 0
                self.close()
                deaths = deaths + 1 if len(said) == done else 1
                if deaths == MOST_DEATHS:
                    fatal = lost(deaths, len(said), len(parts)) if began else none_began()
                    raise fatal from None
        return [said[i] for i in range(len(parts))]

    def close(self) -> None:
        """End the workers, after the step that they are at."""
        if self._pool is not None:
            self._stop.value = 1
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    def _each(
        self, parts: Sequence[Any], done: Any, should_stop: ShouldStop | None
    ) -> Iterator[tuple[int, str]]:
        """Those not ``done``, as they come to their end."""
        pool = self._started()
        of = {pool.submit(_do, part): i for i, part in enumerate(parts) if i not in done}
        left: set[Future[str]] = set(of)
        while left:
            ended, left = wait(left, ASKED, FIRST_COMPLETED)
            # Of a pool that broke, too: what came to its end before.
            yield from ((of[one], one.result()) for one in ended if one.exception() is None)
            for one in ended:
                if error := one.exception():
                    self.close()
                    raise error
            if should_stop is not None and should_stop():
                self.close()
                raise Interrupted("stopped")

    def _started(self) -> ProcessPoolExecutor:
        if self._pool is None:
            context = multiprocessing.get_context("spawn")  # threads of JAX don't outlive a fork
            self._stop = context.RawValue("b", 0)  # no lock, which a killed worker could keep
            self._turn = context.Value("i", 0)
            given = (self.do, self._stop, self._turn, self.count, variables(), plugins())
            self._pool = ProcessPoolExecutor(self.count, context, _begin, given)
        return self._pool

    @property
    def about(self) -> str:
        return f"{self.count} at a time"


@contextmanager
def open_workers(do: Do, asked: Asked) -> Iterator[LocalWorkers]:
    """Processes of this machine, one a core unless ``asked`` otherwise, that end with the block."""
    workers = LocalWorkers(do, asked.workers or cores())
    try:
        yield workers
    finally:
        workers.close()


# --- in a worker ---------------------------------------------------------------------------------

_does: Do
_should_stop: ShouldStop


def _begin(
    do: Do, stop: Any, turn: Any, count: int, known: dict[str, str], modules: list[str]
) -> None:
    """What a worker does first: take cores, and end when the process ends that it works for."""
    global _does, _should_stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the caller's
    with turn.get_lock():
        mine, turn.value = turn.value, turn.value + 1
    _keep_to(mine, count)
    threading.Thread(target=_end_with, args=[multiprocessing.parent_process()], daemon=True).start()
    os.environ.update(known)
    if "jax" in sys.modules:  # which has read them
        config = sys.modules["jax"].config
        for name in (one.lower() for one in known if hasattr(config, one.lower())):
            kind, value = type(getattr(config, name)), known[name.upper()]
            config.update(name, value if kind is type(None) else kind(value))
    for name in modules:
        import_module(name)
    _does, _should_stop = do, lambda: bool(stop.value)


def _keep_to(mine: int, count: int) -> None:
    """Leave cores to the others, where the system can be told."""
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        share = cores[mine * len(cores) // count : (mine + 1) * len(cores) // count]
        os.sched_setaffinity(0, share or {cores[mine % len(cores)]})


def _end_with(parent: Any) -> None:
    wait_for([parent.sentinel])
    os._exit(1)


def _do(part: Any) -> str:
    if _should_stop():  # one more than are at work has been handed out
        raise Interrupted("stopped")
    return _does(part, _should_stop)
