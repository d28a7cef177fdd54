"""Forest plots and confusion matrices as values that the pages' macros draw as HTML.

They are lists and tables, not pictures, so that they reflow on a phone and can be read aloud.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Num

from experiments.report.formats import spread


@dataclass(frozen=True)
class Scale:
    """A horizontal axis from ``low`` to ``high`` with a few round ``ticks`` between."""

    low: float
    high: float
    ticks: tuple[float, ...]

    @classmethod
    def around(cls, values: Iterable[float | None], *, symmetric: bool = False) -> Scale:
        """The axis that holds all finite values; around 0 if ``symmetric``."""
        finite = [v for v in values if v is not None and np.isfinite(v)] or [0.0]
        low, high = min(finite), max(finite)
        if symmetric:
            high = max(-low, high, 0.01)
            low = -high
        high = max(high, low + 0.01)
        return cls(low, high, round_ticks(low, high, 5))

    @classmethod
    def from_zero(cls, rows: Iterable[Row]) -> Scale:
        """The axis from 0 that holds all that is drawn in ``rows``."""
        return cls.around([0.0, *(x for r in rows for x in (r.mean, *r.dots, *(r.ends or ())))])

    def at(self, value: float) -> float:
        """Where ``value`` lies, in percent of the width; values beyond the axis at its end."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return round(4 + 92 * share, 2)  # a margin for the marks and numbers at the ends


@dataclass(frozen=True)
class Row:
    """A line of a forest plot.

    Attributes
    ----------
    name, note : what it is of; the note in small type below.
    told : the picture in words.
    mean, ends : the mark and its interval; None where there is nothing to draw.
    dots : single runs.
    band : half the width of a grey band around 0; None or infinite for none.
    number, verdict : at the right; the verdict in small type below.
    kind : CSS class of the colour: "benefit", "harm", "arm" or none.
    failed : stands in the picture's place.
    """

    name: str
    told: str = ""
    note: str = ""
    mean: float | None = None
    ends: Sequence[float] | None = None
    dots: Sequence[float] = ()
    band: float | None = None
    number: str = ""
    verdict: str = ""
    kind: str = ""
    failed: str = ""

    @classmethod
    def of_runs(
        cls, name: str, shares: Sequence[float], ends: Sequence[float] | None, **words: Any
    ) -> Row:
        """The mean of some runs' shares, and a dot for each where there are several."""
        return cls(
            name,
            mean=float(np.mean(shares)) if shares else None,
            ends=ends,
            dots=shares if len(shares) > 1 else (),
            number=f"{spread(shares)} %",
            kind="arm",
            **words,
        )

    @property
    def grey(self) -> float | None:
        """``band`` where it can be drawn."""
        return self.band if self.band is not None and np.isfinite(self.band) else None


def round_ticks(low: float, high: float, parts: int) -> tuple[float, ...]:
    """Round numbers from ``low`` to ``high``, at most ``parts`` steps of 1, 2 or 5."""
    least = (high - low) / parts
    power = 10.0 ** np.floor(np.log10(least))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= least * 0.999)
    first, last = int(np.ceil(low / step - 1e-9)), int(np.floor(high / step + 1e-9))
    return tuple(float(i * step) for i in range(first, last + 1))


def confusion(
    title: str, note: str, labels: Sequence[str], counts: Num[np.ndarray, "k k"]
) -> dict[str, Any]:
    """A confusion matrix for the macro of that name, with a note in small type.

    The rows of ``counts`` are the truth; a ValueError where they are not of these labels.
    """
    if counts.shape != (len(labels), len(labels)):
        raise ValueError(f"{title}: counts {counts.shape} are not of {len(labels)} labels")
    return {"title": title, "note": note, "labels": list(labels), "counts": counts.tolist()}
