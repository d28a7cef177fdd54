"""Finished folders and files: what was made, with its hash, and whether it still is that.

A folder is *sealed* when it is finished: ``stage.json`` in it says what it was made from (the
``inputs`` and the ``code``, whose hash ends its name) and the hash of each other file. Files
of a folder that is never finished are sealed one by one: ``hashes.json`` beside them has their
hashes.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from features.storage import (
    MISREAD,
    is_leftover,
    plain_name,
    read_json,
    state_of,
    sync_below,
    sync_folder,
    write_json,
)

SEAL = "stage.json"
HASHES = "hashes.json"
_known: dict[tuple[int, ...], str] = {}  # hashes of files that this process has read, by state


def key_of(inputs: Any) -> str:
    """What the name of a folder with such inputs ends in, 12 hexadecimal digits."""
    text = json.dumps(inputs, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


def seal(part: Path, folder: Path, content: Mapping[str, Any]) -> None:
    """Seal the folder ``part`` with ``content`` and its hashes, and call it ``folder``.

    All is on the disk when this ends.
    """
    files = {name: path for name, path in _below(part).items() if name != SEAL}
    sync_below(part)
    hashes = {name: file_hash(path) for name, path in files.items()}
    write_json(part / SEAL, {**content, "files": hashes})
    part.rename(folder)
    sync_folder(folder.parent)


def check(folder: Path, part: Callable[[str], bool] = bool) -> None:
    """Make sure that a sealed folder is what was written.

    Parameters
    ----------
    part : whether a file, by its name below the folder, is looked at.

    Raises
    ------
    ValueError
        Naming a file that is missing or changed, and what to do.
    """
    for file, problem in problems(folder, part).items():
        if problem != "left over":
            raise ValueError(
                f"{folder / file} is {problem} (not what was written): delete the folder {folder} "
                "and run the same command again, which makes it anew"
            )


def problems(folder: Path, part: Callable[[str], bool] = bool) -> dict[str, str]:
    """What of a sealed folder is not as it was written: its file, and "missing" and the like.

    Where `SEAL` says no hashes, an earlier version wrote it, and its inputs alone are checked.
    """
    try:
        said = read_json(folder / SEAL, "")
        inputs, hashes = dict(said["inputs"]), said.get("files")
        key = key_of([inputs, said["code"]] if "code" in said else inputs)
        there = {} if hashes is None else _below(folder)
        wanted = dict[str, str](hashes or {})
    except FileNotFoundError:
        return {SEAL: "missing"}
    except (OSError, ValueError, *MISREAD):
        return {SEAL: "damaged"}
    if folder.parent.name == "stages" and not folder.name.endswith(f"-{key}"):
        return {SEAL: "changed"}
    found = dict[str, str]()
    for file in filter(part, sorted(wanted.keys() | there.keys() - {SEAL})):
        if file not in there:
            found[file] = "missing"
        elif file not in wanted:
            found[file] = "left over"
        elif file_hash(there[file]) != wanted[file]:
            found[file] = "changed"
    return found


def problems_below(folder: Path) -> Iterator[str]:
    """A line for each thing wrong in a run: its sealed files, and folders in ``stages``."""
    for name, wanted in _hashes(folder).items():
        if file_hash(folder / name) != wanted:
            yield f"{'changed' if (folder / name).exists() else 'missing'}: {folder / name}"
    for path in sorted(folder.rglob(".*")):
        if is_leftover(path):
            yield f"left over: {path}, of a killed process: the same command removes it"
    for path in sorted((folder / "stages").glob("[!.]*")):
        if path.suffix == ".part":
            yield f"unfinished: {path}: the same command goes on with it"
        elif path.is_dir() and not any(path.iterdir()):
            yield f"left over: {path}, an empty folder"
        elif path.is_dir():
            yield from (f"{what}: {path / file}" for file, what in problems(path).items())


def write_sealed(path: Path, value: Any) -> None:
    """Write ``value`` as JSON to ``path``, whole or not at all, and seal it.

    A kill in between leaves a file without a hash, like one of an earlier version.
    """
    others = _hashes(path.parent)
    if others.pop(path.name, None) is not None:
        write_json(path.parent / HASHES, others)
    write_json(path, value)
    seal_files([path])


def seal_files(paths: Sequence[Path]) -> None:
    """Seal files of one folder as they are, whatever they hold; those not there are left out."""
    there = {path.name: file_hash(path) for path in paths if path.is_file()}
    if there:
        write_json(paths[0].parent / HASHES, {**_hashes(paths[0].parent), **there})


def check_sealed(path: Path) -> None:
    """Raise ValueError where ``path`` was sealed and is not what was written."""
    wanted = _hashes(path.parent).get(path.name)
    readable = os.access(path, os.R_OK)  # what is missing or shut is told by who reads it
    if wanted is not None and readable and file_hash(path) != wanted:
        raise ValueError(
            f"{path} is damaged, it is not what was written: restore it from a copy, or run the "
            "command that made it in another folder"
        )


def was_sealed(path: Path) -> bool:
    """Whether ``path`` was sealed, be it there or not."""
    return path.name in _hashes(path.parent)


def _hashes(folder: Path) -> dict[str, str]:
    """The hashes of a folder's sealed files, by their names."""
    try:
        found = read_json(folder / HASHES, "remove it, and run the command that made the run again")
    except FileNotFoundError:
        return {}
    return {plain_name(name, folder / HASHES): str(wanted) for name, wanted in found.items()}


def file_hash(path: Path) -> str:
    """The blake2b of a file's content, 32 hexadecimal digits; each file is read once a process.

    Of one that can't be read it is empty.
    """
    try:
        with path.open("rb") as file:
            if (state := state_of(file)) not in _known:
                made = partial(hashlib.blake2b, digest_size=16)
                _known[state] = hashlib.file_digest(file, made).hexdigest()
            return _known[state]
    except OSError:
        return ""


def _below(folder: Path) -> dict[str, Path]:
    """The files below a folder, by their names there; not those that are being written."""
    return {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not is_leftover(path)
    }
