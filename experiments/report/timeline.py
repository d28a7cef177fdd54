"""How probabilities run through a recording: a strip a label, on a page or in a PNG file.

Each label has a strip of its own with its name beside it, so that nothing hangs on telling many
colours apart; it is in full colour where its label is the answer, pale elsewhere.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from experiments.report.formats import clock

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
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    answers = timeline.probabilities.argmax(1)
    plain: dict[str, Any] = {"parse_math": False}  # a name may hold a dollar sign
    bases = [-1.25 * i for i in range(len(rows))]
    with mpl.rc_context({"font.size": 9}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # a box stands for it
        figure = Figure(figsize=(7, 0.9 + 0.33 * len(rows)), layout="constrained", dpi=160)
        FigureCanvasAgg(figure)
        axis = figure.subplots()  # one for all strips: many take their time
        for base, column in zip(bases, rows, strict=True):
            values, painted = timeline.probabilities[:, column], _LIGHT[column % len(_LIGHT)]
            axis.axhspan(base, base + 1, color="#f5f6f7", lw=0)
            for heights, alpha in ((values, 0.35), (np.where(answers == column, values, 0), 1)):
                axis.stairs(
                    base + heights, timeline.edges, baseline=base, fill=True, color=painted,
                    alpha=alpha, lw=0,
                )  # fmt: skip
        axis.set(xlim=(0, timeline.seconds), ylim=(bases[-1], 1), xlabel="time (min:s)")
        axis.set_xticks(list(timeline.ticks), list(timeline.ticks.values()))
        axis.set_yticks([base + 0.5 for base in bases], list(rows.values()), **plain)
        axis.tick_params(length=0)
        axis.spines[:].set_visible(False)
        figure.suptitle(title, fontsize=11, **plain)
        file = io.BytesIO()
        figure.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()


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
