"""What a kill, a power cut or a full disk leaves of files, at each operation on them.

Python tells an audit hook of each file that it opens, renames or removes before it does, so that
all states of a folder are seen in one run, without a process to kill for each.
"""

from __future__ import annotations

import errno
import os
import re
import resource
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from typing import Any
from unittest.mock import patch

from features.storage import is_leftover

Tree = Mapping[str, bytes | None]  # of a folder, by the names in it: a file's content, a folder
_CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link"}
_CHANGES |= {"os.symlink", "os.chmod"}
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_AT_RANDOM = re.compile(r"-[a-z0-9_]{8}(?=\.part)")  # in the name of a temporary file
_ROOM = 64  # bytes of a file that a full disk still takes
_told: Callable[[str, str, tuple], None] | None = None


@dataclass(frozen=True)
class State:
    """What a folder holds after a fault.

    Attributes
    ----------
    fault : "kill"; "torn", a kill that leaves half of what was being written; or "power cut",
        which leaves half of all that was not synced.
    operation : the one that was not done any more.
    """

    fault: str
    operation: str
    tree: Tree

    def __str__(self) -> str:
        return f"{self.fault} before {self.operation}"


@dataclass
class Recorded:
    """What one run did: each state that a fault could have left, and what it asked room for."""

    states: list[State]
    creations: list[str]


def read_tree(root: Path) -> dict[str, bytes | None]:
    """What a folder holds, while others may be at work in it."""
    found: dict[str, bytes | None] = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        try:
            found[name] = None if path.is_dir() else path.read_bytes()
        except FileNotFoundError:
            continue
    return found


def write_tree(root: Path, tree: Tree) -> None:
    """Make a folder hold this and nothing else."""
    shutil.rmtree(root)
    root.mkdir()
    for name, content in tree.items():
        path = root / name
        (path if content is None else path.parent).mkdir(parents=True, exist_ok=True)
        if content is not None:
            path.write_bytes(content)


def recorded(root: Path, act: Callable[[], Any]) -> Recorded:
    """Do it, and see each distinct state of ``root`` that a fault could have left.

    States that differ in how much a temporary file holds are one, for nobody reads it.
    """
    states, creations, lock = dict[frozenset, State](), list[str](), RLock()
    before: Tree = {}
    synced = dict[int, bytes]()  # what is on the disk of a file, by its inode
    renamed = False
    fsync = os.fsync

    def sync(handle: int) -> None:
        fsync(handle)
        path = Path(os.readlink(f"/proc/self/fd/{handle}"))
        if path.is_file():
            synced[path.stat().st_ino] = path.read_bytes()

    def add(fault: str, operation: str, tree: Tree) -> None:
        read = frozenset(i for i in tree.items() if not is_leftover(Path(i[0])))
        names = frozenset(_AT_RANDOM.sub("-*", name) for name in tree)
        if fault == "torn" or (read | names) not in states:
            states[read | names] = State(fault, operation, tree)

    def tell(event: str, operation: str, arguments: tuple) -> None:
        nonlocal before, renamed
        with lock:
            tree = read_tree(root)
            moved = set(before.values())
            new = {n for n, content in tree.items() if content and content not in moved}
            if new:
                add("torn", operation, _torn(tree, {n: before.get(n) for n in new}))
            add("kill", operation, tree)
            if renamed:
                kept = {n: synced.get(_inode(root / n)) for n, content in tree.items() if content}
                add("power cut", operation, _torn(tree, kept))
            if _creates(event, arguments):
                creations.append(operation)
            before, renamed = tree, event == "os.rename"

    with patch.object(os, "fsync", sync), _telling(root, tell):
        act()
        tell("", "the end", ())
    return Recorded([*states.values()], creations)


def _torn(tree: Tree, kept: Mapping[str, bytes | None]) -> Tree:
    """A tree with half of what some files have beside what is ``kept`` of them for sure."""
    torn = dict(tree)
    for name, sure in kept.items():
        content = tree[name] or b""
        whole = len(sure) if sure and content.startswith(sure) else 0
        torn[name] = content[: (whole + len(content)) // 2]
    return torn


def _inode(path: Path) -> int:
    return path.stat().st_ino if path.exists() else -1


def _creates(event: str, arguments: tuple) -> bool:
    """Whether an operation needs room on the disk."""
    if event == "open" and arguments[2] & os.O_APPEND:
        return True
    return event in ("open", "os.mkdir") and not os.path.exists(arguments[0])


@contextmanager
def full_disk(root: Path, start: int, *, takes_names: bool) -> Iterator[None]:
    """A disk that is full from the ``start``-th creation in ``root`` on.

    Parameters
    ----------
    takes_names : files are still made, and what is written to them does not fit; else no file or
        folder is made.
    """
    count, limits = 0, resource.getrlimit(resource.RLIMIT_FSIZE)
    usage, full = shutil.disk_usage, False

    def tell(event: str, operation: str, arguments: tuple) -> None:
        nonlocal count, full
        if not _creates(event, arguments):
            return
        count += 1
        if count > start:
            full = True
            if not takes_names:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), arguments[0])
            resource.setrlimit(resource.RLIMIT_FSIZE, (_ROOM, limits[1]))

    def free(path: Any) -> Any:
        return usage(path)._replace(free=0) if full else usage(path)

    try:
        with patch.object(shutil, "disk_usage", free), _telling(root, tell):
            yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@contextmanager
def _telling(root: Path, tell: Callable[[str, str, tuple], None]) -> Iterator[None]:
    """Have ``tell`` called with each operation on what is below ``root``, before it is done."""
    global _told

    def told(event: str, path: str, arguments: tuple) -> None:
        inside = path.startswith(f"{root}/")
        if inside or not path.startswith("/"):  # a name in a folder that is being removed
            name = _AT_RANDOM.sub("-*", path.removeprefix(f"{root}/"))
            tell(event, f"{event} {name}", arguments)

    _told = told
    try:
        yield
    finally:
        _told = None


def _hook(event: str, arguments: tuple) -> None:
    if _told is None:
        return
    writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITES
    if (writes or event in _CHANGES) and isinstance(arguments[0], str):
        _told(event, arguments[0], arguments)


sys.addaudithook(_hook)
