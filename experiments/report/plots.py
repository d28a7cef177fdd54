"""Pictures that matplotlib makes for the report: curves as SVG, spectrograms as PNG.

Curves take their colours from the page's style sheet (``--ink``, ``--blue``, …), so that they
follow a light or dark scheme. No name of the user's is written into a picture: names belong to
the page around it, which escapes them.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

# Matplotlib knows no style sheets: it draws in these colours, and they are exchanged afterwards.
_INK, _MUTED, _RULE = "#010203", "#010204", "#010205"
_COLOURS = {"blue": "#010206", "orange": "#010207"}
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 8.5,
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
_RANGE_DB = 80.0  # between the darkest and the brightest colour of a spectrogram


@dataclass(frozen=True)
class Line:
    """A curve in blue or orange.

    ``mark`` is a step that gets a dot, ``errors`` the half height of a band around the values.
    """

    steps: Sequence[float]
    values: Sequence[float | None]
    colour: str
    dashed: bool = False
    faint: bool = False
    mark: float | None = None
    errors: Sequence[float | None] | None = None


@dataclass(frozen=True)
class Panel:
    """One of the axes of `curves`.

    ``limits`` of its y axis, None to fit the lines; ``rule`` is a step that gets a vertical line;
    ``log`` asks for a logarithmic scale, which only positive values have.
    """

    name: str
    lines: Sequence[Line]
    limits: tuple[float, float] | None = None
    rule: float | None = None
    log: bool = False


def curves(panels: Sequence[Panel], *, name: str, description: str) -> str:
    """Curves over training steps, panels above each other, as inline SVG.

    Parameters
    ----------
    name : tells the picture's inner ids from those of others on the page.
    description : the picture in words, already escaped.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    with mpl.rc_context({**_STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=(3.7, 0.5 + 1.3 * len(panels)), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.subplots(len(panels), sharex=True, squeeze=False)[:, 0]
        for axis, panel in zip(axes, panels, strict=True):
            for line in panel.lines:
                _draw(axis, line)
            if panel.rule is not None:
                axis.axvline(panel.rule, color=_MUTED, linestyle=":", linewidth=1.2)
            axis.set_ylabel(panel.name)
            if panel.limits:
                axis.set_ylim(panel.limits)
            axis.margins(x=0.02)
            axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
            axis.yaxis.set_major_locator(MaxNLocator(4))
            if panel.log:
                _logarithmic(axis, np.concatenate([_numbers(x.values) for x in panel.lines]))
            axis.tick_params(which="both", length=0)
        axes[-1].set_xlabel("step")
        figure.align_ylabels()
        file = io.StringIO()
        unnamed = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(file, format="svg", transparent=True, metadata=unnamed)
    return _inline(file.getvalue(), description)


def spectrograms(groups: Sequence[np.ndarray], sample_rate: int) -> list[list[bytes]]:
    """Log-mel pictures of clips, all on one colour scale.

    Parameters
    ----------
    groups : arrays (n, L, C) of audio with n > 0; channels are averaged for the picture.
    sample_rate : Hz.

    Returns
    -------
    PNG files for each group. The brightest colour is the loudest point of all groups, the
    darkest lies 80 dB below. Time runs to the right, low frequencies are at the bottom.
    """
    from features.spectra import log_mel

    decibels = []
    for audio in groups:
        hop_length = max(1, audio.shape[1] // 128)
        n_fft = 2 ** int(np.ceil(np.log2(max(sample_rate / 25, 2 * hop_length))))
        mono = np.asarray(audio, np.float32).mean(-1)
        frames = log_mel(
            mono,
            sample_rate=sample_rate,
            top_db=None,
            n_fft=n_fft,
            hop_length=hop_length,
            n_mels=64,
        )
        decibels.append(np.asarray(frames))
    top = max((float(frames.max()) for frames in decibels), default=0.0)
    return [[_png(1 + (clip - top) / _RANGE_DB) for clip in frames] for frames in decibels]


def spectrogram_colours() -> str:
    """The colours of `spectrograms` as stops of a CSS gradient, silence first."""
    return ",".join("#" + bytes(rgb).hex() for rgb in _palette()[::17])


def _numbers(values: Sequence[float | None]) -> np.ndarray:
    return np.array([np.nan if v is None else v for v in values], float)


def _logarithmic(axis: Any, values: np.ndarray) -> None:
    """A logarithmic y axis where all ``values`` are positive, its labels as plain numbers."""
    from matplotlib.ticker import LogLocator, NullFormatter

    values = values[np.isfinite(values)]
    if not values.size or values.min() <= 0:
        return
    decades = np.log10(values.max() / values.min())
    labelled = (1.0,) if decades > 3 else (1.0, 3.0) if decades > 1.5 else (1.0, 2.0, 5.0)
    axis.set_yscale("log")
    axis.yaxis.set_major_locator(LogLocator(subs=labelled, numticks=6))
    axis.yaxis.set_major_formatter("{x:g}")
    axis.yaxis.set_minor_formatter(NullFormatter())


def _draw(axis: Any, line: Line) -> None:
    values, steps = _numbers(line.values), np.asarray(line.steps, float)
    errors = np.full(len(values), np.nan) if line.errors is None else _numbers(line.errors)
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
    axis.plot(
        steps,
        values,
        color=colour,
        linestyle="--" if line.dashed else "-",
        linewidth=0.8 if line.faint else 1.5,
        alpha=0.45 if line.faint else 1,
    )


def _inline(svg: str, description: str) -> str:
    """Matplotlib's file as a part of a page: no header, the page's fonts and colours, lean."""
    head, body = svg[svg.index("<svg") :].strip().split(">", 1)
    body = re.sub("<metadata>.*?</metadata>|<style.*?</style>", "", body, flags=re.DOTALL)
    body = re.sub(r'(?<=<g) id="[^"]*"| font-family: [^;]*;', "", body)
    body = re.sub(r' d="[^"]*"', lambda path: re.sub(r"(\.\d\d)\d+", r"\1", path[0]), body)
    body = re.sub(r">\s+<", "><", body).replace("<g/>", "")
    for name, colour in {"ink": _INK, "muted": _MUTED, "rule": _RULE, **_COLOURS}.items():
        body = body.replace(colour, f"var(--{name})")
    box = head.split('viewBox="')[1].split('"')[0]
    return f'<svg class="curves" viewBox="{box}" role="img" aria-label="{description}">{body}'


def _palette() -> np.ndarray:
    import matplotlib as mpl

    return np.rint(mpl.colormaps["magma"](np.arange(256))[:, :3] * 255).astype(np.uint8)


def _png(brightness: np.ndarray) -> bytes:
    """(frames, bands) in [0, 1] as a picture with a palette: a fourth of the bytes of RGBA."""
    from PIL import Image  # a requirement of matplotlib

    levels = np.rint(np.clip(brightness.T[::-1], 0, 1) * 63) * 255 / 63  # fewer compress better
    image = Image.fromarray(np.rint(levels).astype(np.uint8))
    image.putpalette(_palette().tobytes())
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return file.getvalue()
