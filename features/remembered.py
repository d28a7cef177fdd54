"""Numbers that were measured on this machine, kept in the cache: guesses for later, not results."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from features.cache import default_cache_dir
from features.storage import read_json, remove_leftovers, write_json


def recall(name: str) -> float | None:
    """What was remembered of this name, if anything was."""
    return _read().get(name)


def remember(name: str, seconds: float) -> float:
    """Keep a number of seconds for `recall`, and give it back."""
    with suppress(OSError):  # of a cache that may not be written
        remove_leftovers(_file().parent)
        write_json(_file(), _read() | {name: seconds})
    return seconds


def _file() -> Path:
    return default_cache_dir() / "seconds-a-step.json"


def _read() -> dict[str, float]:
    try:
        found = read_json(_file(), "remove it")
        return {name: float(seconds) for name, seconds in found.items() if 0 < seconds < 1e6}
    except (OSError, ValueError, TypeError):
        return {}
