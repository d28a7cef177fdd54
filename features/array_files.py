"""Arrays in files: .npy and safetensors, of which nothing that is read is run."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from features.storage import replacing

PARSING = Lock()  # ast, and so numpy's parser of headers, is not safe in threads of Python 3.11
_ARCHIVE = b"PK"  # how a zip file begins, as that of several arrays
_HASH = re.compile(r'(.*), "blake2b": "([0-9a-f]{32})"\}', re.DOTALL)


def read_npy(path: str | Path, advice: str, *, mapped: bool = False) -> np.ndarray:
    """The array in an .npy file, of numbers alone.

    Parameters
    ----------
    advice : what to do where it is damaged, for the error.
    mapped : into memory, to be read only.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        It is damaged, or something else.
    """
    try:
        with Path(path).open("rb") as file:
            archive = file.read(len(_ARCHIVE)) == _ARCHIVE
        if archive:  # of a damaged one NumPy would leave the file open
            raise ValueError("it is an archive")
        with PARSING:
            found = np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
    except FileNotFoundError:
        raise
    except Exception as error:  # what numpy's parser raises at damage has many types
        found = "it is no array of numbers" if "pickle" in str(error) else error
        raise ValueError(f"{path} is damaged ({found}): {advice}") from None
    return found


def write_safetensors(path: str | Path, arrays: Mapping[str, Any], key: str, text: str) -> None:
    """Write arrays by name, and a hash of all, to a safetensors file, whole or not at all.

    ``text``, a JSON object of one member or more, goes under ``key`` of the header, with the hash
    as its last member.
    """
    from safetensors.numpy import save

    # Contiguous, since safetensors writes an array's buffer as it lies in memory.
    found = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    text = f'{text[:-1]}, "blake2b": "{_hash_of(found, text[:-1])}"}}'
    with replacing(path) as temporary:
        temporary.write_bytes(save(found, metadata={key: text}))


def read_safetensors(
    path: Path, again: str, key: str
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays of a safetensors file by name, of any shapes, and its header's texts.

    Parameters
    ----------
    again : what to do where the file is damaged, for the error.
    key : of the header's text that `write_safetensors` wrote, with the hash of all.

    Raises
    ------
    FileNotFoundError, PermissionError
        There is no such file, or it may not be read.
    ValueError
        It is something else, cut short, or not what was written.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise FileNotFoundError(f"{path}: {'a folder' if path.is_dir() else 'no such file'}")
    path.open("rb").close()  # of one that may not be read, safe_open says that it is not there
    try:
        with safe_open(path, framework="numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            header = file.metadata() or {}
    except SafetensorError as error:
        raise ValueError(
            f"{path} is no safetensors file, or cut short ({error}): {again}"
        ) from None
    text = header.get(key, "")
    if text.endswith('"}'):  # wavegan 0.2.0 wrote no hash, and so another end
        found = _HASH.fullmatch(text)
        if found is None or _hash_of(arrays, found[1]) != found[2]:
            raise ValueError(f"{path} is damaged (its content is not what was written): {again}")
    for name, array in arrays.items():
        if array.dtype.kind not in "iub" and not np.isfinite(array.astype(np.float32)).all():
            raise ValueError(f"{path}: the variable {name} has numbers that are none: {again}")
    return arrays, header


def check_sizes(said: Any, arrays: Mapping[str, np.ndarray]) -> None:
    """Raise ValueError where a network that is ``said`` to be in a file could not be in its arrays.

    A width is an axis of some array, and a list of widths has an array for each.
    """
    most, longest = sum(array.size for array in arrays.values()), 100 + len(arrays)
    if isinstance(said, Mapping | list | tuple):
        if len(said) > longest:
            raise ValueError(f"it says {len(said)} sizes, and has {len(arrays)} arrays")
        for part in said.values() if isinstance(said, Mapping) else said:
            check_sizes(part, arrays)
    elif isinstance(said, int) and not isinstance(said, bool) and abs(said) > max(most, 1 << 20):
        raise ValueError(f"it says a size of {said:.3g}, and has {most} numbers in all")


def _hash_of(arrays: Mapping[str, np.ndarray], text: str) -> str:
    total = hashlib.blake2b(text.encode(errors="replace"), digest_size=16)
    for name, array in sorted(arrays.items()):
        total.update(f"{name} {array.dtype} {array.shape}".encode(errors="replace"))
        total.update(np.asarray(array, order="C").tobytes())
    return total.hexdigest()
