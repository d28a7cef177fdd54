"""What a folder of results asks of the disk: whole files, one owner, work that can be stopped."""

from __future__ import annotations

import fcntl
import json
import math
import os
import re
import tempfile
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

# What reading of a file's content raises where it is of another shape than expected.
MISREAD = (LookupError, TypeError, AttributeError, RecursionError, OverflowError)
LONGEST = 200  # characters of a value in an error
_LONGEST_TEXT = 500e6  # bytes of a file that is read whole
NAME_BYTES = 255  # that a file system takes as a name
_NO_NAME = {"Cc": "has control characters", "Zl": "has a line break", "Zp": "has a line break"}
_NAME = 50  # bytes of a file's name that its temporary one keeps
# Names of `replacing`, and those of wavegan 0.2.0 where they did harm or took room.
_LEFTOVER = re.compile(
    r"\..*-[a-z0-9_]{8}\.part(\.[^.]+)?"
    r"|\.config-[a-z0-9_]{8}\.json|\.[0-9a-f]{32}[\w.-]*-[a-z0-9_]{8}\.npy"
)


class Unfit(ValueError):
    """A part of a file's content is not what belongs there; `understanding` names the file."""


class Interrupted(RuntimeError):
    """Asked to stop: what is done is kept, and the same call goes on with the rest."""


def plain_name(text: Any, said_by: str | Path, most: int = NAME_BYTES) -> str:
    """``text``, fit to be a part of a path: what any file says passes here before it becomes one.

    Parameters
    ----------
    said_by : the file that says it, for the error.
    most : bytes that it may have, fewer where something is added to it.

    Raises
    ------
    ValueError
        It is no text, empty, ``.`` or ``..``, has a separator (of any system, so that it leads
        out of no folder) or control characters, is too long, or no UTF-8.
    """
    if (why := _no_name(text, most)) is None:
        return text
    shown = repr(text)
    shown = shown if len(shown) <= LONGEST else shown[:LONGEST] + "…"
    raise ValueError(
        f"{said_by}: {shown} {why}, and can't be the name of a file or folder: give a name without "
        f"/, \\ and control characters, of at most {most} bytes; a file from elsewhere that says "
        "such things is not to be trusted"
    )


def shortened(text: str, most: int = 200) -> str:
    """The beginning of a text, of at most so many bytes, for a name that has more parts."""
    return text.encode(errors="replace")[:most].decode(errors="ignore")


def _no_name(text: Any, most: int) -> str | None:
    """Why ``text`` is no name; None where it is one."""
    if not isinstance(text, str):
        return "is no text"
    if text in ("", ".", ".."):
        return "is empty" if not text else "is a way to another folder"
    if "/" in text or "\\" in text:
        return "is a path"
    for character in text:
        if why := _NO_NAME.get(unicodedata.category(character)):
            return why
    try:
        size = len(text.encode())
    except UnicodeEncodeError:  # of a file name, say, in another encoding
        return "is no UTF-8"
    return None if size <= most else f"has {size} bytes"


@contextmanager
def replacing(path: str | Path, *, sync: bool = True) -> Iterator[Path]:
    """A temporary file beside ``path`` that replaces it when the block succeeds.

    Parameters
    ----------
    path : final name; its folder is created where missing.
    sync : whether it is on the disk, not only with the system, when this ends. What has a hash
        and is made anew where that doesn't hold can go without.

    Yields
    ------
    Path
        The temporary name to write to (same folder and suffix). When the block raises,
        it is removed and ``path`` keeps its former content. What a killed process leaves of it
        `remove_leftovers` knows.

    Raises
    ------
    OSError
        As the file system gives it (no space, no permission), with ``path`` named.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with writing(path):
        handle, temporary = _temporary(path)
        try:
            yield temporary
            os.chmod(temporary, 0o666 & ~_umask())
            if sync:
                os.fsync(handle)
            temporary.replace(path)
            if sync:
                sync_folder(path.parent)
        finally:
            os.close(handle)
            temporary.unlink(missing_ok=True)


@contextmanager
def writing(what: str | Path) -> Iterator[None]:
    """Writing of a file: an error of the file system, which need not name it, does."""
    try:
        yield
    except OSError as error:
        said = f"could not write {what}: {error.strerror or error}"
        raise type(error)(error.errno, said) from error


def _temporary(path: Path) -> tuple[int, Path]:
    """A new file beside ``path``; its handle is locked, which says that its writer lives."""
    while True:
        handle, name = tempfile.mkstemp(
            dir=path.parent, prefix=f".{shortened(path.stem, _NAME)}-", suffix=f".part{path.suffix}"
        )
        with suppress(OSError):  # not every file system has locks
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(handle).st_nlink:
            return handle, Path(name)
        os.close(handle)  # another process took it for a leftover


def is_leftover(path: Path) -> bool:
    """Whether ``path`` has a name of `replacing`: of a file that is being written, or never was."""
    return _LEFTOVER.fullmatch(path.name) is not None


def remove_leftovers(folder: str | Path, pattern: str = ".*") -> None:
    """Remove what killed writers left of their files; those of writers that live stay.

    Parameters
    ----------
    folder : need not exist.
    pattern : of the places that are searched: ``**/.*`` is all below the folder.
    """
    for path in Path(folder).glob(pattern):
        if is_leftover(path) and path.is_file() and not path.is_symlink():
            with suppress(OSError), path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()


def state_of(file: BinaryIO) -> tuple[int, ...]:
    """What tells an open file from any other, and from itself once it is changed."""
    stat = os.fstat(file.fileno())
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk; not every file system can."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def sync_below(folder: Path) -> None:
    """Have all files below a folder on the disk, with their names."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
        else:
            sync_folder(path)
    sync_folder(folder)


def readable(path: str | Path) -> str:
    """A path as text that any file and terminal takes: bytes that are not UTF-8 as ``\\xe9``."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


@contextmanager
def alone(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold ``folder``, made where missing, against others that ask the same.

    It ends with the process, and leaves no file. Where another process, or call, is at work in
    the folder it is a ValueError, or with ``wait`` comes after that.
    """
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    except BlockingIOError:
        raise ValueError(
            f"{folder} is in use by another process: wait for it, or choose another folder"
        ) from None
    finally:
        os.close(handle)


def refuse_links(folder: str | Path) -> None:
    """Raise ValueError where a link below ``folder`` leads out of it: a write would follow it."""
    for path in Path(folder).rglob("*"):
        if path.is_symlink():
            inside(folder, path.relative_to(folder))


def inside(folder: str | Path, name: str | Path) -> Path:
    """``folder``/``name``, to be written to; a ValueError where a link there leads out of it."""
    path, top = Path(folder, name), os.path.realpath(folder)
    if not Path(there := os.path.realpath(path)).is_relative_to(top):
        raise ValueError(
            f"{path} is a link that leads out of {folder}, to {there}, and nothing is written "
            "there: remove the link, or choose another folder"
        )
    return path


def write_text(path: str | Path, text: str) -> None:
    """Write ``text`` (UTF-8) to ``path``, whole or not at all.

    What UTF-8 can't hold, from a file name in another encoding, becomes "?".
    """
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="replace")


def write_json(path: str | Path, value: Any) -> None:
    """Write ``value`` as JSON to ``path``, whole or not at all; NaN and Inf are refused."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def read_json(path: str | Path, advice: str, kind: type | tuple[type, ...] = dict) -> Any:
    """The content of a JSON file.

    Parameters
    ----------
    advice : what to do where it is damaged, for the error.
    kind : type of the content.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        It is damaged, of another kind, or has a number that is none.
    """
    return parsed_json(read_text(path, advice), path, advice, kind)


def read_text(path: str | Path, advice: str) -> str:
    """The content of a file in UTF-8; where it is none, a ValueError names the file."""
    path = Path(path)
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise ValueError(f"{path} is a pipe or a device, which may have no end: {advice}")
    if path.is_file() and (size := path.stat().st_size) > _LONGEST_TEXT:
        raise ValueError(f"{path} has {size / 1e9:.1f} GB, which no text of ours has: {advice}")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is damaged ({error}): {advice}") from None


def parsed_json(
    text: str, where: str | Path, advice: str, kind: type | tuple[type, ...] = dict
) -> Any:
    """The value of a JSON text of ``where``; parameters and errors are those of `read_json`."""
    with understanding(where, advice):
        try:
            value = json.loads(text, parse_constant=_finite, parse_float=_finite)
        except ValueError as error:
            raise ValueError(f"{where} is damaged ({error}): {advice}") from None
        if not isinstance(value, kind):
            raise ValueError(f"{where} is damaged (it holds a {type(value).__name__}): {advice}")
        return value


@contextmanager
def understanding(where: str | Path, advice: str) -> Iterator[None]:
    """Reading of a file's content: what is not where it belongs, of another type, or `Unfit`, is a
    ValueError that names the file and says what to do (``advice``).
    """
    try:
        yield
    except Unfit as error:
        raise ValueError(f"{where} is damaged: {error}; or {advice}") from None
    except MISREAD as error:
        said = f"{type(error).__name__}: {error}"
        said = said if len(said) <= LONGEST else said[:LONGEST] + "…"
        raise ValueError(f"{where} is damaged ({said}): {advice}") from None


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text} is no finite number")
    return number


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
