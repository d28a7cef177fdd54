"""Files of a line of JSON a row, which a killed process goes on with."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from features.storage import alone, write_text, writing


def append_row(path: str | Path, row: Mapping[str, Any], *, sync: bool = True) -> None:
    """Add a row to a file, on the disk when this ends, or leave the file as it was.

    A last line that a killed process has cut short goes before. Without ``sync`` the row outlives
    the process, but not a loss of power in the seconds after it.
    """
    with writing(path), Path(path).open("a+b", buffering=0) as file:
        if whole := file.tell():
            file.seek(whole - 1)
            if file.read() != b"\n":
                file.seek(0)
                whole = file.read().rfind(b"\n") + 1
                file.truncate(whole)
        left = memoryview((json.dumps(dict(row)) + "\n").encode())
        try:
            while left:
                left = left[file.write(left) :]
            if sync:
                os.fsync(file.fileno())
        except OSError:
            file.truncate(whole)
            raise


def read_rows(path: str | Path) -> list[dict[str, Any]]:
    """The rows of a file, up to one that is damaged; none where there is no file."""
    rows: list[dict[str, Any]] = []
    with suppress(FileNotFoundError, ValueError, TypeError, RecursionError):
        for line in Path(path).read_text(encoding="utf-8", errors="replace").splitlines():
            rows.append(dict(json.loads(line)))
    return rows


def write_rows(path: str | Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows for `append_row` to go on with, whole or not at all."""
    write_text(path, "".join(json.dumps(dict(row)) + "\n" for row in rows))


class Log:
    """What tasks say at their steps, in one file, of several processes; each has each step once.

    A task that was killed, and goes on from before, says some steps again: its first row in this
    process takes the place of its rows of that step and later ones; other tasks' rows are not
    written again.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._begun = set[str]()

    def append(self, task: Mapping[str, Any], row: Mapping[str, Any], *, sync: bool = True) -> None:
        """Add a row, one member of which is named …/step, with what tells its task from others.

        Without ``sync`` the disk is not waited for: the next row that has it brings this one along.
        """
        begins = json.dumps(dict(task))[:-1]  # as all its rows do
        with alone(self.path.parent, wait=True):
            if begins not in self._begun:
                self._begun.add(begins)
                if self.path.exists() and begins.encode() in self.path.read_bytes():
                    self._drop(task, row)
            append_row(self.path, {**task, **row}, sync=sync)

    def _drop(self, task: Mapping[str, Any], row: Mapping[str, Any]) -> None:
        """Take the rows out of a task that ``row`` and later ones take the place of."""
        step = next(name for name in row if name.endswith("/step"))
        rows = read_rows(self.path)
        kept = [r for r in rows if not (r.items() >= task.items() and r[step] >= row[step])]
        if kept != rows:
            write_rows(self.path, kept)
