"""Progress on a terminal as a bar, elsewhere as plain lines now and then."""

from __future__ import annotations

import math
import sys
import time
from typing import TextIO

_PLAIN_INTERVAL = 15.0  # seconds between two lines where there is no terminal


class Progress:
    """Shows one task after another: how far, how fast, how long still.

    Parameters
    ----------
    stream : standard error if None.
    quiet : show nothing.
    """

    def __init__(self, stream: TextIO | None = None, *, quiet: bool = False):
        self.stream = stream or sys.stderr
        self.quiet = quiet
        self._terminal = self.stream.isatty()
        self._task, self._first, self._start, self._shown = "", 0, 0.0, 0.0

    def say(self, text: str) -> None:
        """A line that stays."""
        if not self.quiet:
            self._erase()
            print(text, file=self.stream, flush=True)

    def update(self, task: str, done: int, total: int, note: str = "", unit: str = "step") -> None:
        """``done`` of ``total`` are done in ``task``; ``note`` says how it looks."""
        if self.quiet:
            return
        now = time.monotonic()
        if task != self._task:
            self._task, self._first, self._start, self._shown = task, done, now, -math.inf
        interval = 0.1 if self._terminal else _PLAIN_INTERVAL
        if done < total and now - self._shown < interval:
            return
        self._shown = now
        rate = (done - self._first) / (now - self._start) if done > self._first else 0.0
        parts = [f"{done}/{total}"]
        if rate:
            parts.append(f"{rate:.3g} {unit}s/s" if rate >= 1 else f"{1 / rate:.3g} s/{unit}")
            parts.append(f"{duration((total - done) / rate)} left" if done < total else "done")
        text = f"{task}  {'  '.join(parts)}{'  ' + note if note else ''}"
        if self._terminal:
            filled = round(20 * done / max(total, 1))
            print(
                f"\r\x1b[2K{'━' * filled}{'╌' * (20 - filled)} {text}"[:160],
                end="",
                file=self.stream,
            )
            self.stream.flush()
            if done >= total:
                print(file=self.stream)
        else:
            print(text, file=self.stream, flush=True)

    def _erase(self) -> None:
        if self._terminal:
            print("\r\x1b[2K", end="", file=self.stream)


def duration(seconds: float) -> str:
    """Seconds as people say them: 42 s, 3 min 05 s, 2 h 10 min."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02d} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"
