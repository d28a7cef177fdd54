"""Training curves: which terms have a picture, and the pictures, as SVG that matplotlib draws.

Curves take their colours from the page's style sheet (``--ink``, ``--blue``, …), so that they
follow a light or dark scheme. No name of the user's is written into a picture: names belong to
the page around it, which escapes them.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from markupsafe import Markup, escape

from experiments.report.formats import counted
from experiments.scores import Record, runs_of
from wavegan.metrics import METRICS, best_row

Rows = Sequence[Mapping[str, float]]  # of a GAN's metrics.jsonl

# Matplotlib knows no style sheets: it draws in these colours, and they are exchanged afterwards.
_INK, _MUTED, _RULE = "#010203", "#010204", "#010205"
_COLOURS = {"blue": "#010206", "orange": "#010207"}
_DASHES = {"blue": "-", "orange": "--"}
_SIZE = 266, 115  # points of a picture
_FONT = 8.5
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": _FONT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": _RULE,
    "axes.labelcolor": _INK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": _RULE,
    "grid.linewidth": 0.5,
    "xtick.color": _MUTED,
    "ytick.color": _MUTED,
}
_POINTS = 120  # of a curve, at most
_SIDES = {"train": "orange", "valid": "blue"}


@dataclass(frozen=True)
class Curve:
    """A picture of one or two terms; ``terms`` says what each is where there are two."""

    title: str
    terms: Mapping[str, str]
    log: bool = False
    limits: tuple[float, float] | None = None


GAN_CURVES = (  # train.html says how to read each
    Curve("Critic's gap", {"gan/critic_gap": ""}),
    Curve("Penalty", {"gan/penalty": "waveform", "gan/spectrogram_penalty": "spectrograms"}),
    Curve("Loudness (rms)", {"gan/rms_real": "real clips", "gan/rms_fake": "generated clips"}),
    Curve(
        "Gradient norms",
        {"gan/critic_gradient_norm": "critic", "gan/generator_gradient_norm": "generator"},
        log=True,
    ),
    Curve("Spread between clips", {"gan/spread": ""}),
    Curve("Augmentation probability", {"gan/augment_probability": ""}, limits=(0.0, 1.0)),
    Curve("Steps a second", {"gan/steps_per_second": ""}),
)
# What a comparison shows of its GANs
SHORT = (
    Curve(
        "Kernel distance",
        {"quality/kernel_distance": "clips", "quality/kernel_distance_floor": "real clips"},
    ),
    *GAN_CURVES[:3],
)


@dataclass(frozen=True)
class Line:
    """A curve in blue, or in orange and dashed; None is a gap.

    ``mark`` is a step that gets a dot, ``errors`` the half height of a band around the values.
    """

    steps: Sequence[float]
    values: Sequence[float | None]
    colour: str
    faint: bool = False
    mark: float | None = None
    errors: Sequence[float | None] | None = None


@dataclass(frozen=True)
class Panel:
    """Some lines over training steps, for the macro of that name.

    Attributes
    ----------
    title : above it.
    lines : what it draws.
    told : the picture in words; it tells the picture's inner ids from others on the page, too.
    key : what the line of a colour is; empty where it is the title.
    limits : of its y axis, None to fit the lines.
    rule : a step that gets a dotted vertical line.
    log : a logarithmic scale, where all values are positive.
    """

    title: str
    lines: Sequence[Line]
    told: str
    key: Mapping[str, str] = field(default_factory=dict)
    limits: tuple[float, float] | None = None
    rule: float | None = None
    log: bool = False

    @property
    def svg(self) -> Markup:
        """The picture, inline."""
        import matplotlib as mpl
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator

        with mpl.rc_context({**_STYLE, "svg.hashsalt": self.told}):
            figure = Figure(figsize=(_SIZE[0] / 72, _SIZE[1] / 72))
            FigureCanvasSVG(figure)
            axis = figure.subplots()
            for line in self.lines:
                _draw(axis, line)
            if self.rule is not None:
                axis.axvline(self.rule, color=_MUTED, linestyle=":", linewidth=1.2)
            axis.set_xlabel("step")
            if self.limits:
                axis.set_ylim(self.limits)
            axis.margins(x=0.02)
            axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
            axis.yaxis.set_major_locator(MaxNLocator(4))
            if self.log:
                _logarithmic(axis, np.concatenate([np.array(x.values, float) for x in self.lines]))
            axis.tick_params(which="both", length=0)
            _fit(axis)
            file = io.StringIO()
            unnamed = dict.fromkeys(("Creator", "Date", "Format", "Type"))
            figure.savefig(file, format="svg", transparent=True, metadata=unnamed)
        return _inline(file.getvalue(), self.told)


def classifier_figures(arms: Mapping[str, Record]) -> list[dict[str, Any]]:
    """Loss and accuracy of each arm's runs, on scales that all arms share."""
    found = {arm: [r for r in runs_of(record) if r.get("history")] for arm, record in arms.items()}
    histories = [run["history"] for runs in found.values() for run in runs]
    sides = [history.get(f"{side}_loss", []) for history in histories for side in _SIDES]
    losses = np.array([loss for values in sides for loss in values], float)
    top = 1.05 * max(losses[np.isfinite(losses)], default=1.0)
    return [
        {
            "title": arm,
            "note": counted(len(runs), "run"),
            "panels": [
                Panel(
                    what.capitalize(),
                    _classifier_lines(runs, what),
                    f"{what.capitalize()} of {arm} over training steps",
                    {"blue": "validation", "orange": "training"},
                    limits,
                )
                for what, limits in {"loss": (0.0, top), "accuracy": (0.0, 1.0)}.items()
            ],
        }
        for arm, runs in found.items()
        if runs
    ]


def _classifier_lines(runs: Sequence[Record], what: str) -> list[Line]:
    lines = []
    for run in runs:
        history, faint = run["history"], len(runs) > 1
        steps = history.get("steps", [])
        for side, colour in _SIDES.items():
            values = history.get(f"{side}_{what}", [])
            if steps and len(values) == len(steps):
                mark = run.get("best_step") if side == "valid" else None
                lines.append(Line(steps, values, colour, faint, mark))
    return lines


def gan_panels(
    name: str, rows: Rows, curves: Iterable[Curve], *, enough_since: float | None = None
) -> list[Panel]:
    """Pictures of a GAN's terms over training steps; those without values are left out.

    Parameters
    ----------
    name : whose they are.
    enough_since : the step since which more training did not help: a dotted line.
    """
    panels = []
    for curve in curves:
        lines: list[Line] = []
        key: dict[str, str] = {}
        for (term, said), colour in zip(curve.terms.items(), _COLOURS, strict=False):
            line = _gan_line(rows, term, colour)
            if any(line.values):
                lines.append(line)
                key |= {colour: said} if said else {}
        if lines:
            told = f"{curve.title} of the GAN of {name} over training steps"
            panel = Panel(curve.title, lines, told, key, curve.limits, enough_since, curve.log)
            panels.append(panel)
    return panels


def gan_figures(gan_curves: Mapping[str, Rows]) -> list[dict[str, Any]]:
    """The main terms of each label's GAN."""
    figures = []
    for label, rows in gan_curves.items():
        rows = [row for row in rows if "gan/step" in row]
        if rows and (panels := gan_panels(label, rows, SHORT)):
            note = f"{rows[-1]['gan/step']:,.0f} steps"
            figures.append({"title": label, "note": note, "panels": panels})
    return figures


def other_curves(rows: Rows, known: Iterable[Curve]) -> list[Curve]:
    """A curve for each term that was logged and that none of ``known`` shows, by its name."""
    shown = {term for curve in known for term in curve.terms}
    logged = dict.fromkeys(key for row in rows for key in row)
    return [
        Curve(term, {term: ""}) for term in logged
        if "/" in term and term not in shown
        and term not in ("gan/step", "quality/enough_since")
        and ((bare := re.sub("(_own)?_error$", "", term)) == term or bare not in logged)
    ]  # fmt: skip


def _gan_line(rows: Rows, term: str, colour: str) -> Line:
    """A term where it was logged, its ``…_error`` around it, and a dot at its best step."""
    rows = [row for row in rows if row.get(term) is not None and "gan/step" in row]
    best = best_row(rows, term) if term in METRICS else None
    return Line(
        [row["gan/step"] for row in rows],
        [row[term] for row in rows],
        colour,
        mark=best["gan/step"] if best else None,
        errors=[row.get(f"{term}_error") for row in rows],
    )


# --- drawing -------------------------------------------------------------------------------------


def _logarithmic(axis: Any, values: np.ndarray) -> None:
    """A logarithmic y axis where all ``values`` are positive, its labels as plain numbers."""
    from matplotlib.ticker import LogLocator, NullLocator

    values = values[np.isfinite(values)]
    if not values.size or values.min() <= 0:
        return
    decades = np.log10(values.max() / values.min())
    labelled = (1.0,) if decades > 3 else (1.0, 3.0) if decades > 1.5 else (1.0, 2.0, 5.0)
    axis.set_yscale("log")
    axis.yaxis.set_major_locator(LogLocator(subs=labelled, numticks=6))
    axis.yaxis.set_major_formatter("{x:g}")
    axis.yaxis.set_minor_locator(NullLocator())  # a tick takes a millisecond to make


def _fit(axis: Any) -> None:
    """Room for what is written at the axes; matplotlib's own layout takes as long as all else."""
    width, height = _SIZE
    written = [
        scale.get_major_formatter().format_ticks(scale.get_majorticklocs())
        for scale in (axis.xaxis, axis.yaxis)
    ]
    below, beside = (0.6 * _FONT * max(map(len, texts), default=0) for texts in written)
    left, right, bottom = 6 + beside, below / 2, 3.4 * _FONT
    top = (1.4 if axis.yaxis.get_major_formatter().get_offset() else 0.6) * _FONT
    axis.set_position(
        (left / width, bottom / height, 1 - (left + right) / width, 1 - (bottom + top) / height)
    )


def _draw(axis: Any, line: Line) -> None:
    steps, values = np.asarray(line.steps, float), np.array(line.values, float)
    errors = np.broadcast_to(np.array(line.errors, float), values.shape)  # NaN of None
    colour = _COLOURS[line.colour]
    for i in np.flatnonzero(steps == line.mark)[:1]:
        axis.plot(steps[i], values[i], "o", markersize=3.5, color=colour, zorder=3)
    parts = -(-len(steps) // _POINTS)
    if parts > 1:  # means of neighbours
        whole = len(steps) // parts * parts
        steps, values, errors = (
            x[:whole].reshape(-1, parts).mean(1) for x in (steps, values, errors)
        )
    if np.isfinite(errors).any():
        band = values - errors, values + errors
        axis.fill_between(steps, *band, color=colour, alpha=0.2, linewidth=0)
    style = {"linewidth": 0.8, "alpha": 0.45} if line.faint else {"linewidth": 1.5, "alpha": 1}
    axis.plot(steps, values, color=colour, linestyle=_DASHES[line.colour], **style)


def _inline(svg: str, told: str) -> Markup:
    """Matplotlib's file as a part of a page: no header, the page's fonts and colours, lean."""
    head, body = svg[svg.index("<svg") :].strip().split(">", 1)
    body = re.sub("<metadata>.*?</metadata>|<style.*?</style>", "", body, flags=re.DOTALL)
    body = re.sub(r'(?<=<g) id="[^"]*"| font-family: [^;]*;', "", body)
    body = re.sub(r' d="[^"]*"', lambda path: re.sub(r"(\.\d\d)\d+", r"\1", path[0]), body)
    body = re.sub(r">\s+<", "><", body).replace("<g/>", "")
    for name, colour in {"ink": _INK, "muted": _MUTED, "rule": _RULE, **_COLOURS}.items():
        body = body.replace(colour, f"var(--{name})")
    box = head.split('viewBox="')[1].split('"')[0]
    words = escape(told)
    return Markup(f'<svg class="curves" viewBox="{box}" role="img" aria-label="{words}">{body}')
