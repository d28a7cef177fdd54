"""Curves and points as values that the macro ``drawn`` turns into SVG, each told in words, too.

A picture takes its colours from the page's style sheet and shows a value where a reader points or
steps to; what it shows as a whole is told to those who can't see it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from experiments.report.charts import round_ticks
from experiments.report.formats import MINUS, counted, joined, number

WIDTH, HEIGHT = 266, 122  # of a picture in its own coordinates
_FONT = 8.5
_TOP, _BOTTOM = 15, HEIGHT - 3.4 * _FONT  # between the axes, as in style.css
_POINTS = 120  # of a curve, at most
_STOPS = 30  # where a picture of curves tells its values, at most


@dataclass(frozen=True)
class Line:
    """A curve; None and NaN are gaps.

    Attributes
    ----------
    x, values : ``x`` ascending.
    colour : CSS class.
    faint : one of several runs.
    mark : an x that gets a dot.
    band : low and high ends around the values, each as long as they.
    tips : what each point says: it gets a dot, and the curve is not thinned.
    joined : whether a line runs through the points.
    """

    x: Sequence[float]
    values: Sequence[float | None]
    colour: str
    faint: bool = False
    mark: float | None = None
    band: tuple[Sequence[float | None], Sequence[float | None]] | None = None
    tips: Sequence[str] = ()
    joined: bool = True

    @cached_property
    def known(self) -> dict[float, float]:
        """The value at each x that has one."""
        pairs = zip(self.x, self.values, strict=True)
        return {x: v for x, v in pairs if v is not None and np.isfinite(v)}

    @cached_property
    def drawn(self) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """x, values and band; means of neighbours where there are many."""
        x, values = np.array(self.x, float), np.array(self.values, float)
        band = None if self.band is None else np.array(self.band, float)
        parts = 1 if self.tips else -(-len(x) // _POINTS)
        if parts > 1:
            whole = len(x) // parts * parts
            x, values = (of[:whole].reshape(-1, parts).mean(1) for of in (x, values))
            band = None if band is None else band[:, :whole].reshape(2, -1, parts).mean(2)
        return x, values, band


@dataclass(frozen=True)
class Axis:
    """Values from ``low`` to ``high``, which lie at ``start`` and ``end`` of the picture."""

    low: float
    high: float
    ticks: Mapping[float, str]
    log: bool = False
    start: float = 0
    end: float = 1

    def at(self, value: float) -> float:
        """Where ``value`` lies; values beyond the axis at its end."""
        low, high, value = self.low, self.high, min(max(value, self.low), self.high)
        if self.log:
            low, high, value = np.log10((low, high, value))
        return round(float(self.start + (value - low) / (high - low) * (self.end - self.start)), 1)


@dataclass(frozen=True)
class Panel:
    """Some lines above an axis, for the macro ``drawn``.

    Attributes
    ----------
    title : above it.
    lines : what it draws.
    told : its name for those who can't see it.
    key : what the lines of a colour are; empty where it is the title.
    limits : of its y axis, None to fit the lines.
    rule : an x that gets a dotted vertical line.
    level : a y that gets a dashed line.
    log : a logarithmic y axis, where all values are positive.
    below : what x is.
    places : what stands at which x; None for round numbers.
    """

    title: str
    lines: Sequence[Line]
    told: str
    key: Mapping[str, str] = field(default_factory=dict)
    limits: tuple[float, float] | None = None
    rule: float | None = None
    level: float | None = None
    log: bool = False
    below: str = "step"
    places: Mapping[float, str] | None = None

    size = WIDTH, HEIGHT

    @cached_property
    def y(self) -> Axis:
        """The axis on the left, from the bottom to the top."""
        parts = [part for line in self.lines for part in line.drawn[1:] if part is not None]
        values = _finite(parts if self.level is None else [*parts, [self.level]])
        log = self.log and bool((values > 0).all())
        low, high = self.limits or _around(values, log)
        if log and (ticks := _log_ticks(low, high)):
            named = {tick: _plain(tick) for tick in ticks}
        else:
            named = _named(round_ticks(low, high, 5))
        return Axis(low, high, named, log, _BOTTOM, _TOP)

    @cached_property
    def x(self) -> Axis:
        """The axis below."""
        values = _finite([line.x for line in self.lines])
        low, high = float(values.min()), float(values.max())
        room = 0.04 * ((high - low) or 1)
        low, high = low - room, high + room
        ticks = self.places
        if ticks is None:
            whole = (values == np.rint(values)).all()
            ticks = _named(t for t in round_ticks(low, high, 5) if not whole or t == round(t))
        left = 6 + 0.6 * _FONT * max(map(len, self.y.ticks.values()), default=0)
        return Axis(low, high, ticks, start=left, end=WIDTH - 0.3 * _FONT * _longest(ticks) - 2)

    @property
    def paths(self) -> list[tuple[str, str]]:
        """Bands and lines as SVG paths, each with its CSS classes."""
        found = []
        for line in self.lines:
            x, values, band = line.drawn
            if band is not None and (at := np.isfinite(band).all(0)).any():
                low, high = band[:, at]
                around = np.append(x[at], x[at][::-1]), np.append(low, high[::-1])
                found.append((f"band {line.colour}", self._path(*around) + "z"))
            if line.joined and (path := self._path(x, values)):
                found.append((line.colour + " faint" * line.faint, path))
        return found

    @property
    def marks(self) -> list[tuple[str, float, float]]:
        """A dot for each line that has a mark: its colour and where it lies."""
        return [
            (line.colour, self.x.at(line.mark), self.y.at(line.known[line.mark]))
            for line in self.lines
            if line.mark is not None and line.mark in line.known
        ]

    @property
    def points(self) -> list[tuple[str, float, float, str]]:
        """Points that say something: colour, where they lie, what they say."""
        return [
            (line.colour, self.x.at(x), self.y.at(value), tip)
            for line in self.lines if line.tips
            for x, value, tip in zip(line.x, line.values, line.tips, strict=True)
            if value is not None
        ]  # fmt: skip

    @property
    def stops(self) -> list[tuple[float, float, str]]:
        """Of curves without points: columns, from where on and how wide, and their values."""
        lines = [line for line in self.lines if not line.tips]
        steps = sorted({x for line in lines for x in line.known})
        if not steps:
            return []
        every = -(-len(steps) // _STOPS)
        steps = steps[::-every][::-1]  # with the last one
        places = np.array([self.x.at(x) for x in steps])
        edges = np.array([self.x.start, *(places[1:] + places[:-1]) / 2, self.x.end]).round(1)
        return [
            (float(left), round(float(right - left), 1), f"{self.below} {_plain(x)}: {self._at(x)}")
            for x, left, right in zip(steps, edges[:-1], edges[1:], strict=True)
        ]

    def _at(self, x: float) -> str:
        """The mean value of each colour's lines at an x."""
        words, most = [], 1
        for colour in dict.fromkeys(line.colour for line in self.lines):
            values = [v[x] for v in self._known(colour) if x in v]
            if values:
                words.append(f"{self.key.get(colour, '')} {number(float(np.mean(values)))}".strip())
                most = max(most, len(values))
        return ", ".join(words) + (f" (mean of {counted(most, 'run')})" if most > 1 else "")

    def _known(self, colour: str) -> list[dict[float, float]]:
        return [line.known for line in self.lines if line.colour == colour]

    @property
    def described(self) -> str:
        """What there is to see, in words: all points, or where curves begin, end and lie."""
        if self.points:
            return "; ".join(tip for *_, tip in self.points)
        told = []
        for colour in dict.fromkeys(line.colour for line in self.lines):
            values = self._known(colour)
            if not (steps := sorted({x for of in values for x in of})):
                continue
            means = [float(np.mean([of[x] for of in values if x in of])) for x in steps]
            ends = [f"{number(means[i])} at {self.below} {_plain(steps[i])}" for i in (0, -1)]
            span = f"between {number(min(means))} and {number(max(means))}"
            told.append(f"{self.key.get(colour, '')} {ends[0]}, {ends[1]}, {span}".strip())
        marks = dict.fromkeys(_plain(line.mark) for line in self.lines if line.mark is not None)
        dots = f"; dots at {self.below} {joined(marks)}" if marks else ""
        return "; ".join(told) + dots

    def _path(self, across: np.ndarray, up: np.ndarray) -> str:
        """An SVG path through points, with gaps where one is not finite."""
        path, pen = [], "M"
        for x, y in zip(across, up, strict=True):
            if np.isfinite(y):
                path.append(f"{pen}{self.x.at(x):g} {self.y.at(y):g}")
            pen = "L" if np.isfinite(y) else "M"
        return "".join(path)


def _finite(parts: Iterable[Sequence[float] | np.ndarray]) -> np.ndarray:
    values = np.concatenate([np.zeros(0), *(np.ravel(np.asarray(part, float)) for part in parts)])
    values = values[np.isfinite(values)]
    return values if values.size else np.zeros(1)


def _around(values: np.ndarray, log: bool) -> tuple[float, float]:
    """The ends of an axis with some room around the values."""
    low, high = float(values.min()), float(values.max())
    if log:
        room = (high / low) ** 0.05 if high > low else 2.0
        return low / room, high * room
    room = 0.05 * (high - low) or 0.1 * abs(high) or 1.0
    return low - room, high + room


def _log_ticks(low: float, high: float) -> tuple[float, ...]:
    """Round numbers of a logarithmic axis; none where there is none between its ends."""
    decades = np.log10(high / low)
    parts = (1,) if decades > 3 else (1, 3) if decades > 1.5 else (1, 2, 5)
    first, last = int(np.floor(np.log10(low))), int(np.ceil(np.log10(high)))
    powers = range(first, last + 1, max(1, int(np.ceil(decades / 5))))
    ticks = [float(f"{part}e{power}") for power in powers for part in parts]
    return tuple(tick for tick in ticks if low <= tick <= high)


def _named(ticks: Iterable[float]) -> dict[float, str]:
    """Ticks as they are written, all with as many digits as tell them apart."""
    plain = {tick: _plain(float(f"{tick:.6g}")) for tick in ticks}
    if any("e" in text for text in plain.values()):
        return plain
    digits = max((len(text.partition(".")[2]) for text in plain.values()), default=0)
    return {t: f"{t:,.{digits}f}".replace("-", MINUS) for t in plain}


def _plain(value: float) -> str:
    """A number as short as it can be; a large one with its thousands apart."""
    text = f"{value:,.0f}" if value == round(value) and abs(value) < 1e6 else f"{value:.6g}"
    return text.replace("-", MINUS)


def _longest(ticks: Mapping[float, str]) -> int:
    return max(map(len, ticks.values()), default=0)
