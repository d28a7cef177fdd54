"""Files written so that nothing half-written is found under its final name, and read back."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np


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


def write_text(path: str | Path, text: str) -> None:
    """Write ``text`` (UTF-8) to ``path``, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Write ``value`` as JSON to ``path``, whole or not at all; NaN and Inf are refused."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


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


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
