"""Checkpoints are written in a thread, while training goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import jax

from wavegan.distributed import first

Write = Callable[[], None]


class Writer:
    """Does one lot of writing at a time, in a thread of the first process.

    What fails in one is raised where the next one begins, or by `finish`. As a context it ends
    with nothing left to write; an error within it has precedence.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "checkpoints")
        self._last: Future[None] | None = None

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self.finish()
        finally:
            self._thread.shutdown()

    def start(self, writes: Sequence[Write]) -> None:
        """Begin with ``writes``, in their order, once the lot before is done."""

        def write() -> None:
            for one in writes:
                one()

        self.finish()
        if jax.process_index() == 0:
            self._last = self._thread.submit(write)

    def finish(self) -> None:
        """Wait until all is written; in every process, and where it failed, all fail."""
        first(self._wait)

    def _wait(self) -> None:
        last, self._last = self._last, None
        if last is not None:
            last.result()
