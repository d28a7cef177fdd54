"""Which curves a page has: of classifiers, of GANs, of a study over ratio and shots."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments import scores
from experiments.report.formats import capital, counted, cut, number, points
from experiments.report.plots import Line, Panel
from experiments.scores import Record, runs_of
from wavegan.metrics import METRICS, best_row

Rows = Sequence[Mapping[str, float]]  # of a GAN's metrics.jsonl

_COLOURS = ("blue", "orange")
_SIDES = {"train": "orange", "valid": "blue"}
_SERIES = 10  # colours of style.css for arms


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
            limits, rule = curve.limits, enough_since
            panels.append(Panel(curve.title, lines, told, key, limits, rule, log=curve.log))
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
    values = np.array([row[term] for row in rows], float)
    errors = np.array([row.get(f"{term}_error") for row in rows], float)  # NaN of None
    return Line(
        [row["gan/step"] for row in rows],
        values.tolist(),
        colour,
        mark=best["gan/step"] if best else None,
        band=(values - errors, values + errors) if np.isfinite(errors).any() else None,
    )


# --- a study -------------------------------------------------------------------------------------


def response_panels(found: Iterable[Record]) -> list[Panel]:
    """How a metric changes with the ratio of generated clips or with the shots, arm by arm.

    Parameters
    ----------
    found : of each picture what x is (``over``), the ``metric``, and for each arm (``series``) its
        ``name`` and its ``points``, each with ``x``, ``mean`` and ``ci95``; None where not known.
    """
    return [_response(one) for one in found if any(arm["points"] for arm in one["series"])]


def _response(found: Record) -> Panel:
    over, metric, series = found["over"], found["metric"], found["series"]
    unit, sign = (100, ", percent") if metric in scores.METRICS else (1, "")
    title = capital(scores.METRICS.get(metric, metric.replace("_", " "))) + sign
    places = sorted({point["x"] for arm in series for point in arm["points"]})
    lines, key = [], dict[str, str]()
    for i, arm in enumerate(series):
        known = [p for p in arm["points"] if p["mean"] is not None]
        known.sort(key=lambda p: p["x"])
        means = [unit * p["mean"] for p in known]
        ends = [[unit * end for end in p.get("ci95") or (np.nan, np.nan)] for p in known]
        tips = [
            f"{cut(arm['name'], 24)} at {number(p['x'])}: {number(mean)}"
            + (f" ({number(low)} to {number(high)})" if p.get("ci95") else "")
            for p, mean, (low, high) in zip(known, means, ends, strict=True)
        ]
        band = ([low for low, _ in ends], [high for _, high in ends])
        colour, x = f"c{i % _SERIES}", [places.index(p["x"]) for p in known]
        lines.append(Line(x, means, colour, band=band, tips=tips))
        key[colour] = ", ".join(filter(None, (key.get(colour), arm["name"])))
    return Panel(
        title,
        lines,
        f"{title} over {over}, with 95 % intervals",
        key,
        below=over,
        places={i: f"{x:g}" for i, x in enumerate(places)},  # evenly: ratios double
    )


def quality_panel(found: Record) -> Panel:
    """What each GAN's clips gained, over their quality.

    Parameters
    ----------
    found : the ``metric`` of quality, and of each GAN (``points``) its number (``gan``), its
        ``quality`` and its ``gain``, a difference of shares.
    """
    metric = found["metric"]
    name = (
        METRICS[f"quality/{metric}"].title
        if f"quality/{metric}" in METRICS
        else metric.replace("_", " ")
    )
    known = sorted(found["points"], key=lambda point: point["quality"])
    tips = [
        f"GAN {p['gan']}: {name} {number(p['quality'])}, {points(p['gain'])} points" for p in known
    ]
    x, gains = [p["quality"] for p in known], [100 * p["gain"] for p in known]
    return Panel(
        "Gain in points",
        [Line(x, gains, "blue", tips=tips, joined=False)],
        f"Gain in points over {name}, a dot for each GAN",
        level=0.0,
        below=name,
    )
