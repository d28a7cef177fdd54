"""How probabilities run through a recording: a strip a label, on a page or in a PNG file.

Each label has a strip of its own with its name beside it, so that nothing hangs on telling many
colours apart; it is in full colour where its label is the answer, pale elsewhere.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from experiments.report.formats import clock

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont, ImageFont

_PIECES = 120  # of a strip, at most
WIDTH, HEIGHT = 960, 100  # of a strip's own coordinates
_TICKS = 4  # steps on a time axis, at most: it may be on a phone
_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)  # seconds

# Each has a contrast of at least 3 to the page, and neighbours differ in lightness or hue for
# readers who see no red or green (after Okabe & Ito and Paul Tol).
_LIGHT = ("#0072b2", "#c04e00", "#117733", "#aa4499", "#8a6d00", "#332288", "#cc5566", "#1f857b",
          "#882255", "#5c646d")  # fmt: skip
_DARK = ("#5cb8ee", "#f0913f", "#5fbf6a", "#e08ad8", "#e0c94f", "#a79bff", "#ff9aa6", "#55cfc0",
         "#e07aa6", "#b4bcc4")  # fmt: skip


_SHEET = 245, 246, 247  # behind a strip of a picture
_FONT = "mpl-data/fonts/ttf/DejaVuSans.ttf"  # in matplotlib's folder
_DPI = 160  # of a picture that is 7 inches wide


@dataclass(frozen=True, eq=False)
class Timeline:
    """Probabilities of the pieces of a recording.

    Attributes
    ----------
    probabilities : (n, K) of each piece.
    edges : (n + 1,) seconds; piece i lies between edge i and i + 1.
    seconds : of the whole recording, or what was heard of it where silence was taken out.
    """

    probabilities: Float[np.ndarray, "n k"]
    edges: Float[np.ndarray, " n+1"]
    seconds: float

    @classmethod
    def of(cls, file: Mapping[str, Any]) -> Timeline:
        """The timeline of a file of a prediction; neighbours are averaged where it has many.

        A clip counts from its start to the next one's.
        """
        probabilities = np.asarray(file["over_time"], float)
        starts = np.asarray(file["times"], float)
        edges = np.append(starts, starts[-1] + file["clip_seconds"])
        together = -(-len(starts) // _PIECES)
        first = np.arange(0, len(starts), together)
        counts = np.diff(np.append(first, len(starts)))
        means = np.add.reduceat(probabilities, first, axis=0) / counts[:, None]
        edges = np.append(edges[first], edges[-1])
        seconds = file.get("heard_seconds") or file.get("seconds") or 0
        return cls(means, edges, float(max(seconds, edges[-1])))

    @property
    def ticks(self) -> dict[float, str]:
        """Round times in seconds, and how they are written."""
        step = next((s for s in _STEPS if self.seconds / s <= _TICKS), _STEPS[-1])
        times = step * np.arange(int(self.seconds / step + 1e-9) + 1)
        return {float(time): clock(float(time), step) for time in times}

    @property
    def ruler(self) -> list[tuple[float, str, str]]:
        """Of each tick its place in percent of the width, its text's anchor, and its text."""
        found = []
        for time, name in self.ticks.items():
            share = time / self.seconds
            anchor = "start" if share < 0.02 else "end" if share > 0.98 else "middle"
            found.append((float(f"{100 * share:.4g}"), anchor, name))
        return found


def strip(timeline: Timeline, column: int) -> list[tuple[str, str]]:
    """The probability of a label over time as SVG paths, each with its CSS class.

    The pale one is as high as the probability; the other is so where the label is the answer, and
    is left out where it never is. They are `WIDTH` wide and `HEIGHT` high.
    """
    values = timeline.probabilities[:, column]
    answers = timeline.probabilities.argmax(1) == column
    x = np.rint(timeline.edges / timeline.seconds * WIDTH).astype(int)
    paths = [("pale", _steps(x, values))]
    if answers.any():
        paths.append(("full", _steps(x, np.where(answers, values, 0))))
    return paths


def timeline_png(timeline: Timeline, rows: Mapping[int, str], *, title: str) -> bytes:
    """The strips as a PNG file.

    Parameters
    ----------
    rows : the columns to draw, from the top, and what stands beside each: its name.
    title : plain text above.
    """
    from PIL import Image, ImageColor, ImageDraw

    size = 7 * _DPI, int(_DPI * (0.9 + 0.33 * len(rows)))
    image = Image.new("RGB", size, "white")
    draw, plain, large = ImageDraw.Draw(image), _font(20), _font(24)
    names, title = [_line(name) for name in rows.values()], _line(title)
    left = min(30 + max(map(plain.getlength, names)), image.width // 2)
    right = image.width - 16 - max(map(plain.getlength, timeline.ticks.values())) / 2
    top, bottom = 56, image.height - 76
    high = (bottom - top) / (1.25 * len(rows) - 0.25)  # of a strip; a fourth of it is between two
    x = np.rint(left + timeline.edges / timeline.seconds * (right - left)).astype(int)
    answers = timeline.probabilities.argmax(1)
    for i, (column, name) in enumerate(zip(rows, names, strict=True)):
        base = top + (1.25 * i + 1) * high
        full = ImageColor.getrgb(_LIGHT[column % len(_LIGHT)])
        pale = tuple(np.rint(0.35 * np.array(full) + 0.65 * np.array(_SHEET)).astype(int).tolist())
        draw.rectangle((left, round(base - high), right, round(base)), _SHEET)
        tops = np.rint(base - high * timeline.probabilities[:, column]).astype(int)
        for start, stop, y, answer in zip(x[:-1], x[1:], tops, answers, strict=True):
            if stop > start and y < round(base):
                colour = full if answer == column else pale
                draw.rectangle((start, y, stop - 1, round(base)), colour)
        draw.text((left - 12, base - high / 2), name, "black", plain, anchor="rm")
    for time, name in timeline.ticks.items():
        place = left + time / timeline.seconds * (right - left)
        draw.text((place, bottom + 8), name, "black", plain, anchor="mt")
    draw.text(((left + right) / 2, image.height - 12), "time (min:s)", "black", plain, anchor="mb")
    if (wide := large.getlength(title)) > (room := image.width - 20):
        large = _font(max(int(24 * room / wide), 8))
    draw.text((image.width / 2, 28), title, "black", large, anchor="mm")
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return file.getvalue()


@lru_cache
def _font(size: int) -> FreeTypeFont | ImageFont:
    """The font of matplotlib's pictures, of so many pixels, without matplotlib, which is large."""
    from PIL import ImageFont as fonts

    found = find_spec("matplotlib")
    file = Path(found.origin if found and found.origin else "").parent / _FONT
    try:
        return fonts.truetype(file, size, layout_engine=fonts.Layout.BASIC)
    except OSError:  # a system may keep it elsewhere
        return fonts.load_default(size)


def _line(text: str) -> str:
    """``text`` in one line that can be drawn."""
    return " ".join(text.encode(errors="replace").decode().split())


def colour(column: int) -> str:
    """The colour of a label as CSS; they come again after ten."""
    return f"var(--c{column % len(_LIGHT)})"


def category_colours(*, dark: bool) -> tuple[str, ...]:
    """The labels' colours, ``var(--c0)`` onwards."""
    return _DARK if dark else _LIGHT


def _steps(x: np.ndarray, heights: np.ndarray) -> str:
    """A path around bars between neighbours of ``x``."""
    y = np.rint(HEIGHT * (1 - heights)).astype(int)
    bars = "".join(f"V{top}H{right}" for top, right in zip(y, x[1:], strict=True))
    return f"M{x[0]} {HEIGHT}{bars}V{HEIGHT}z"
