"""What a folder of results asks of the disk: whole files, one owner, work that can be stopped."""

from __future__ import annotations

import json
import math
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

_DIGEST = re.compile("[0-9a-f]{12,}")
# What reading of a file's content raises where it is of another shape than expected.
MISREAD = (LookupError, TypeError, AttributeError, RecursionError, OverflowError)
_LONGEST = 200  # characters of a value in an error


class Interrupted(RuntimeError):
    """Asked to stop: what is done is kept, and the same call goes on with the rest."""


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary file beside ``path`` that replaces it when the block succeeds.

    Parameters
    ----------
    path : final name; its folder is created where missing.

    Yields
    ------
    Path
        The temporary name to write to (same folder and suffix). When the block raises,
        it is removed and ``path`` keeps its former content.

    Raises
    ------
    OSError
        As the file system gives it (no space, no permission), with ``path`` named.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        os.chmod(temporary, 0o666 & ~_umask())
        temporary.replace(path)
    except OSError as error:
        raise type(error)(
            error.errno, f"could not write {path}: {error.strerror or error}"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold ``folder``, made where missing, against others that ask the same; a ValueError where
    another process, or call, is at work in it. It ends with the process, and leaves no file.
    """
    import fcntl

    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise ValueError(
            f"{folder} is in use by another process: wait for it, or choose another folder"
        ) from None
    finally:
        os.close(handle)


def write_text(path: str | Path, text: str) -> None:
    """Write ``text`` (UTF-8) to ``path``, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


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
    try:
        text = Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is damaged ({error}): {advice}") from None
    return parsed_json(text, path, advice, kind)


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
    """Reading of a file's content: what is not where it belongs, or of another type, is a
    ValueError that names the file and says what to do (``advice``).
    """
    try:
        yield
    except MISREAD as error:
        said = f"{type(error).__name__}: {error}"
        said = said if len(said) <= _LONGEST else said[:_LONGEST] + "…"
        raise ValueError(f"{where} is damaged ({said}): {advice}") from None


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text} is no finite number")
    return number


def read_safetensors(path: Path, again: str) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays of a safetensors file by name, of any shapes, and its header's texts.

    Parameters
    ----------
    again : what to do where the file is damaged, for the error.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        It is something else, or cut short.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        with safe_open(path, framework="numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return arrays, file.metadata() or {}
    except SafetensorError as error:
        raise ValueError(
            f"{path} is no safetensors file, or cut short ({error}): {again}"
        ) from None


def differences(
    found: Mapping[str, Any], wanted: Mapping[str, Any], defaults: Mapping[str, Any] | None = None
) -> dict[str, tuple[Any, Any]]:
    """In what the settings kept in a folder differ from those of a call.

    They are compared as JSON keeps them (a tuple is a list), and a setting that is missing is one
    of None.

    Parameters
    ----------
    found, wanted : settings of the folder and of the call, nested or not.
    defaults : what stands for a setting that ``found`` does not have.

    Returns
    -------
    dict
        From the dotted name of each setting that differs to its values (found, wanted), sorted.
    """
    there, here = _flat(defaults or {}) | _flat(found), _flat(wanted)
    return {
        name: (there.get(name), here.get(name))
        for name in sorted(there.keys() | here.keys())
        if there.get(name) != here.get(name)
    }


def another(
    holder: str, kind: str, differing: Mapping[str, tuple[Any, Any]], advice: str
) -> ValueError:
    """The error of a folder that holds the work of other settings, to be raised.

    Parameters
    ----------
    holder : the folder, and the option that named it, if any.
    kind : what it holds: "run", "fit".
    differing : what `differences` found, one setting or more.
    advice : what to do, a sentence without its end.
    """
    said = "; ".join(_compared(name, *values) for name, values in differing.items())
    return ValueError(f"{holder} holds another {kind}: {said}. {advice}")


def _compared(name: str, there: Any, here: Any) -> str:
    there, here = str(there), str(here)
    if _DIGEST.fullmatch(there) and _DIGEST.fullmatch(here):
        return f"{name} is not the same"  # the digits would tell nobody anything
    shown = (text if len(text) <= _LONGEST else text[:_LONGEST] + "…" for text in (there, here))
    return "{} is {} there and {} here".format(name, *shown)


def _flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, item in value.items():
        if isinstance(item, Mapping):
            flat |= _flat(item, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = json.loads(json.dumps(item))
    return flat


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
