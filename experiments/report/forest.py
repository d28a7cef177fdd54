"""Forest plots as lists: a name, an interval drawn to the page's width, a number.

They are HTML, not one picture, so that they reflow on a phone and their words can be read aloud.
All texts that come in are escaped already.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

_MINUS = "\N{MINUS SIGN}"


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
        least = (high - low) / 5
        power = 10.0 ** np.floor(np.log10(least))
        step = next(m * power for m in (1, 2, 5, 10) if m * power >= least * 0.999)
        first, last = int(np.ceil(low / step - 1e-9)), int(np.floor(high / step + 1e-9))
        return cls(low, high, tuple(float(i * step) for i in range(first, last + 1)))

    def percent(self, value: float) -> float:
        """Where ``value`` lies in the picture's width; values beyond the axis at its end."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return round(4 + 92 * share, 2)  # a margin for the marks and numbers at the ends


def interval(
    scale: Scale,
    *,
    mean: float | None,
    ends: tuple[float, float] | None = None,
    dots: Iterable[float] = (),
    band: float | None = None,
    reference: float | None = None,
    kind: str = "",
    description: str,
) -> str:
    """The picture of one line.

    Parameters
    ----------
    mean, ends : the mark and its interval.
    dots : single runs.
    band : half the width of a grey band around 0.
    reference : where a dashed line stands.
    kind : CSS class of the colour.
    description : the picture in words.
    """
    at = scale.percent
    parts = [_upright("tick", at(tick)) for tick in scale.ticks]
    if band is not None and np.isfinite(band):
        left, right = at(-band), at(band)
        parts.insert(0, f'<rect class="band" x="{left}%" width="{right - left:.2f}%"/>')
    if reference is not None:
        parts.append(_upright("reference", at(reference)))
    if ends is not None:
        low, high = map(at, ends)
        parts.append(f'<line class="span" x1="{low}%" x2="{high}%" y1="50%" y2="50%"/>')
    parts += [f'<circle class="dot" cx="{at(dot)}%" cy="50%" r="4"/>' for dot in dots]
    if mean is not None:
        parts.append(f'<circle class="mark" cx="{at(mean)}%" cy="50%" r="5"/>')
    body = "".join(parts)
    return f'<svg class="interval {kind}" role="img" aria-label="{description}">{body}</svg>'


def row(name: str, picture: str, number: str = "") -> str:
    """A line: ``picture`` is of `interval`, or a text where there is nothing to draw."""
    value = f'<span class="number">{number}</span>' if number else ""
    return f"<li><span>{name}</span>{picture}{value}</li>"


def plot(rows: Iterable[str], scale: Scale, *, signed: bool) -> str:
    """Rows above their axis, which is in percent, or in points where ``signed``."""
    sign = "+" if signed else ""
    numbers = "".join(
        f'<text x="{scale.percent(tick)}%" y="1em">{100 * tick:{sign if tick else ""}.3g}</text>'
        for tick in scale.ticks
    ).replace(">-", f">{_MINUS}")
    axis = f'<span></span><svg class="ruler" aria-hidden="true">{numbers}</svg><span></span>'
    return f'<ul class="forest">{"".join(rows)}<li class="axis">{axis}</li></ul>'


def points(share: float) -> str:
    """A difference of shares in points, with its sign."""
    text = f"{100 * share:+.1f}"
    return "0.0" if float(text) == 0 else text.replace("-", _MINUS)


def _upright(kind: str, x: float) -> str:
    return f'<line class="{kind}" x1="{x}%" x2="{x}%" y1="0" y2="100%"/>'
