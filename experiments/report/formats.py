"""How numbers, durations and lists are written: one way each, on pages, terminals and tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

MINUS = "\N{MINUS SIGN}"


def percent(share: float | None, digits: int = 1) -> str:
    """A share in percent with its sign; empty for None."""
    return "" if share is None else f"{100 * share:.{digits}f} %"


def points(share: float) -> str:
    """A difference of shares in points, with its sign."""
    text = f"{100 * share:+.1f}"
    return "0.0" if float(text) == 0 else text.replace("-", MINUS)


def whole(value: float | None) -> str:
    """A whole number, its thousands apart; empty for None."""
    return "" if value is None else f"{value:,.0f}"


def number(value: float | None, error: float | None = None) -> str:
    """A value to three digits, or with its standard error to two digits of that."""
    if value is None:
        return ""
    text = f"{value:.3g}"
    if error and np.isfinite(error):
        digits = int(np.clip(1 - np.floor(np.log10(error)), 0, 6))
        text = f"{value:.{digits}f} ± {error:.{digits}f}"
    return text.replace("-", MINUS)


def spread(values: Sequence[float], unit: int = 100) -> str:
    """Mean ± standard deviation: percent with a decimal, or (``unit=1``) whole numbers."""
    if not values:
        return "not known"
    digits = 1 if unit == 100 else 0
    mean = f"{unit * np.mean(values):.{digits}f}"
    return mean if len(values) < 2 else f"{mean} ± {unit * np.std(values, ddof=1):.{digits}f}"


def reach(values: Sequence[int]) -> str:
    """The least and the greatest of some whole numbers."""
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def duration(seconds: float, digits: int = 0) -> str:
    """Seconds as people say them: 42 s, 3 min 05 s, 2 h 10 min; ``digits`` below a minute."""
    if round(seconds, digits) < 60:
        return f"{seconds:.{digits}f} s"
    seconds = round(seconds)
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02d} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"


def clock(seconds: float, step: float = 1) -> str:
    """A time on an axis with ticks every ``step`` seconds: 0.3 s, 1:30, 1:00:00."""
    if step < 1:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    minutes, hours = whole // 60 % 60, whole // 3600
    head = f"{hours}:{minutes:02d}" if hours else str(minutes)
    return f"{head}:{whole % 60:02d}"


def counted(count: int, thing: str) -> str:
    """The number and the thing, which takes an s (class: classes)."""
    ending = "" if count == 1 else "es" if thing.endswith("s") else "s"
    return f"{count:,} {thing}{ending}"


def joined(names: Iterable[str]) -> str:
    """Names as a sentence lists them."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def cut(text: object, length: int) -> str:
    """A text that is too long, with … at its end."""
    text = str(text)
    return text if len(text) <= length else f"{text[: length - 1]}…"


def capital(text: str) -> str:
    """``text`` with a capital at its beginning, the rest as it is."""
    return text[:1].upper() + text[1:]
