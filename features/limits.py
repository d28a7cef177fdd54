"""What a setting, a file and this machine can hold at all, to be checked before work begins."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

RATES = (1_000, 768_000)  # Hz: what lies outside is a damaged header or a slip of the keyboard
FLOATS = (1.2e-38, 3.4e38)  # positive ones that float32 tells from 0 and from infinity
MOST_CHANNELS = 16  # of an audio file


def check_rate(sample_rate: float | None, name: str = "sample_rate") -> None:
    """Raise ValueError for a rate in Hz outside `RATES`; ``name`` is of the setting.

    None is not given.
    """
    if sample_rate is not None and (wrong := wrong_rate(sample_rate)):
        raise ValueError(f"{name} {wrong}")


def wrong_rate(sample_rate: float) -> str | None:
    """What is wrong with a sample rate in Hz, if anything is."""
    if RATES[0] <= sample_rate <= RATES[1]:
        return None
    return f"must lie in {RATES[0]:,} … {RATES[1]:,} Hz, found {sample_rate}"


def check_counts(most: float = math.inf, **settings: int | None) -> None:
    """Raise ValueError for a setting below 1 or above ``most``; None is not given."""
    for name, value in settings.items():
        if value is not None and not 1 <= value <= most:
            range_ = f"lie in 1 … {most:,}" if most < math.inf else "be at least 1"
            raise ValueError(f"{name} must {range_}, found {value}")


def check_positive(**settings: float | None) -> None:
    """Raise ValueError for a setting that is not above 0, in float32 too; None is not given."""
    for name, value in settings.items():
        if value is not None and not value > 0:
            raise ValueError(f"{name} must be positive, found {value}")
        if value is not None and not FLOATS[0] <= value <= FLOATS[1] and math.isfinite(value):
            raise ValueError(
                f"{name} must lie in {FLOATS[0]} … {FLOATS[1]}, as float32 does, found {value}"
            )


def check_kinds(config: Any) -> None:
    """Raise ValueError for a value of a dataclass that is not of the type of its default."""
    for field in fields(config):
        found, wanted = type(getattr(config, field.name)), type(field.default)
        if found is not wanted:
            raise ValueError(f"{field.name} must be {wanted.__name__}, found {found.__name__}")


def check_finite(config: Any) -> None:
    """Raise ValueError for a number of a dataclass, in a tuple or not, that is NaN or infinite."""
    for field in fields(config):
        for number in _floats(getattr(config, field.name)):
            if not math.isfinite(number):
                raise ValueError(f"{field.name} must be a finite number, found {number}")


def _floats(value: Any) -> Iterator[float]:
    if isinstance(value, float):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from _floats(item)


def check_memory(needed: float, what: str, advice: str) -> None:
    """Raise ValueError where ``what`` needs more bytes than this machine has free.

    Parameters
    ----------
    what : "a batch of 64 clips", say.
    advice : what makes it smaller.
    """
    if needed > (free := free_memory()):
        raise ValueError(_too_much(needed, free, what, "memory", advice))


def check_disk(needed: float, folder: str | Path, what: str, advice: str) -> None:
    """Raise ValueError where ``what`` takes more bytes than are free where ``folder`` lies."""
    there = existing(folder)
    if needed > (free := shutil.disk_usage(there).free):
        raise ValueError(_too_much(needed, free, what, f"disk in {there}", advice))


def _too_much(needed: float, free: float, what: str, where: str, advice: str) -> str:
    found = f"about {_amount(needed)} for {what}, and {_amount(free)} are free"
    return f"not enough {where}: {found}: {advice}"


def _amount(size: float) -> str:
    """So many bytes in words."""
    return f"{size / 1e6:,.1f} MB" if size < 1e9 else f"{size / 1e9:,.1f} GB"


def free_memory() -> float:
    """Bytes of memory that this process may still take, by the machine and by its container."""
    import psutil

    free = psutil.virtual_memory().available
    try:
        group = Path("/sys/fs/cgroup")
        most, used = (int((group / f"memory.{name}").read_text()) for name in ("max", "current"))
    except (OSError, ValueError):  # no such group, or "max": it has no bound
        return free
    return min(free, max(0, most - used) + _cached(group))


def _cached(group: Path) -> int:
    """Bytes of files that a container's memory holds, which it gives up when asked for more."""
    lines = (group / "memory.stat").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("inactive_file "))


def check_folder(folder: str | Path, name: str) -> None:
    """Raise ValueError unless ``folder`` is one, or can be made, to write to.

    Parameters
    ----------
    name : of the option or setting that says it.
    """
    folder = Path(folder)
    there = existing(folder)
    if not there.is_dir():
        raise ValueError(f"{name} {folder}: {there} is a file; name a new folder, or one of yours")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ValueError(
            f"{name} {folder}: no permission to write in {there}; name a folder that is yours"
        )
    if long := next((p for p in folder.parts if len(os.fsencode(p)) > 255), None):
        raise ValueError(f"{name}: a name of {len(os.fsencode(long))} bytes; 255 are the most")


def check_file(file: str | Path | None, name: str) -> None:
    """Raise ValueError unless ``file`` can be written, as `check_folder`; None is not given."""
    if file is not None:
        check_folder(Path(file).parent, name)
        if Path(file).is_dir():
            raise ValueError(f"{name} {file} is a folder; give the name of a file in it")


def existing(path: str | Path) -> Path:
    """``path``, or the nearest folder above it, or file, that is there."""
    path = Path(path).absolute()
    return next(p for p in (path, *path.parents) if os.path.lexists(p))
