"""What a terminal shows: progress as a bar, elsewhere as plain lines now and then, and tables."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from io import StringIO
from typing import Any, Literal, TextIO

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from experiments.options import safe
from experiments.report.formats import duration

_PLAIN_INTERVAL = 15.0  # seconds between two lines where there is no terminal
_BAR = 20  # columns of the bar
_ERASE = "\r\x1b[2K"
_AS_IT_IS: dict[str, Any] = {"markup": False, "emoji": False, "highlight": False}


class Progress:
    """Shows one task after another: how far, how fast, how long still.

    A terminal has one line that is written anew and cut to its width; a file, a pipe or a
    notebook has a plain line every 15 seconds.

    Parameters
    ----------
    stream : standard error if None.
    quiet : show nothing.
    """

    def __init__(self, stream: TextIO | None = None, *, quiet: bool = False):
        self.stream = stream or sys.stderr
        self.quiet = quiet
        self._terminal = self.stream.isatty()
        self._task, self._first, self._done, self._start, self._shown = "", 0, 0, 0.0, 0.0
        self._said = set[str]()

    def say_once(self, text: str) -> None:
        """A line that stays, which is not said again."""
        if text not in self._said:
            self._said.add(text)
            self.say(text)

    def say(self, text: str) -> None:
        """A line that stays."""
        if not self.quiet:
            self._line(safe(text, keep="\n\t"))

    def compiling(self, task: str, done: int = 0, total: int = 0) -> None:
        """``task`` compiles until its first `update`; where ``done`` steps are, it goes on."""
        if self.quiet:
            return
        if done:
            self.say(f"{task}  going on at step {done:,} of {total:,}")
        self._write(f"{task}  compiling …", done / max(total, 1))
        self._task = ""  # the rate is that of what comes afterwards

    def update(self, task: str, done: int, total: int, note: str = "", unit: str = "step") -> None:
        """``done`` of ``total`` are done in ``task``; ``note`` says how it looks."""
        if self.quiet:
            return
        now = time.monotonic()
        if task != self._task or done < self._done:  # the same again has a time of its own
            self._task, self._first, self._start, self._shown = task, done, now, -math.inf
        self._done = done
        interval = 0.1 if self._terminal else _PLAIN_INTERVAL
        if done < total and now - self._shown < interval:
            return
        self._shown = now
        rate = (done - self._first) / (now - self._start) if done > self._first else 0.0
        parts = [f"{task}  {done}/{total}"]
        if rate:
            parts.append(f"{rate:.3g} {unit}s/s" if rate >= 1 else f"{1 / rate:.3g} s/{unit}")
            parts.append(f"{duration((total - done) / rate)} left" if done < total else "done")
        self._write("  ".join([*parts, note] if note else parts), done / max(total, 1))
        if done >= total and self._terminal:
            print(file=self.stream, flush=True)

    def of(self, task: str, unit: str) -> Callable[..., None]:
        """A callback that takes ``done``, ``total`` and maybe a ``note``, as `update` does."""
        return partial(self.update, task, unit=unit)

    def of_fit(self, task: str) -> Callable[[Mapping[str, float]], None]:
        """What `classifiers.fit` calls with what it logs: steps, and the loss beside them."""

        def on_log(row: Mapping[str, float]) -> None:
            done, total = (int(row[f"classifier/{name}"]) for name in ("step", "total_steps"))
            self.update(task, done, total, f"loss {row['classifier/loss']:.3f}")

        return on_log

    def _write(self, text: str, share: float) -> None:
        """The line of the moment, beside a bar of which ``share`` is full."""
        if not self._terminal:
            self._line(safe(text))
            return
        console = Console(file=self.stream, force_jupyter=False)  # as wide as it is now
        full, rest = "#-" if console.options.ascii_only else "━╌"
        filled = round(_BAR * min(share, 1.0))
        line = Text(f"{full * filled}{rest * (_BAR - filled)} {safe(text)}")
        line.truncate(console.width - 1, overflow="ellipsis")  # a full line would be broken
        print(f"{_ERASE}{line.plain}", end="", file=self.stream, flush=True)

    def _line(self, text: str) -> None:
        erase = _ERASE if self._terminal else ""
        print(f"{erase}{text}", file=self.stream, flush=True)


def text_table(
    heads: Sequence[str], rows: Iterable[Sequence[str]], *, words: Sequence[int] = ()
) -> Table:
    """A table; its first column and ``words`` are text, the others numbers."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for i, head in enumerate(heads):
        justify: Literal["left", "right"] = "left" if i in (0, *words) else "right"
        table.add_column(Text(head), justify=justify, overflow="fold")
    for row in rows:
        table.add_row(*map(safe, row))
    return table


def print_table(table: Table) -> None:
    """Print a table as wide as the terminal lets it be, elsewhere as wide as it is."""
    console = Console(force_jupyter=False, **_AS_IT_IS)
    if console.is_terminal:
        console.print(table)
    else:
        print(plain_table(table))


def plain_table(table: Table) -> str:
    """A table as plain lines, each cell on one."""
    out = StringIO()
    console = Console(file=out, width=1000, color_system=None, force_jupyter=False, **_AS_IT_IS)
    console.print(table)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())
