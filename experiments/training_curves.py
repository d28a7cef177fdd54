"""Training curves of classifiers and GANs on a page, a small picture each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from experiments.plots import Line, Panel, curves


def classifier_curves(arms: Mapping[str, Mapping[str, Any]]) -> str:
    """Loss and accuracy of each arm's runs on shared scales, as HTML; empty without histories."""
    runs = {
        arm: [(run["history"], run.get("best_step")) for run in record.get("runs") or []
              if run.get("history")]
        for arm, record in arms.items()
    }  # fmt: skip
    losses = [
        loss
        for histories in runs.values()
        for history, _ in histories
        for side in ("train", "valid")
        for loss in history.get(f"{side}_loss", [])
        if loss is not None and np.isfinite(loss)
    ]
    limits = {"loss": (0.0, 1.05 * max(losses, default=1.0)), "accuracy": (0.0, 1.0)}
    figures = [
        _figure(
            arm,
            f"{len(histories)} run{'s' * (len(histories) > 1)}",
            [Panel(what, _classifier_lines(histories, what), limits[what]) for what in limits],
            f"Loss and accuracy of {arm} over training steps",
        )
        for arm, histories in runs.items()
        if histories
    ]
    key = _key("validation; the dot is the step whose weights were kept", "training")
    return f'{key}<div class="grid">{"".join(figures)}</div>' if figures else ""


def _classifier_lines(
    histories: Sequence[tuple[Mapping[str, Any], int | None]], what: str
) -> list[Line]:
    faint = len(histories) > 1
    lines = []
    for history, best in histories:
        steps = history.get("steps", [])
        for side in ("train", "valid"):
            values = history.get(f"{side}_{what}", [])
            if steps and len(values) == len(steps):
                valid = side == "valid"
                colour = "blue" if valid else "orange"
                lines.append(Line(steps, values, colour, not valid, faint, best if valid else None))
    return lines


def gan_curves_section(gan_curves: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    """Critic and loudness of each label's GAN, as HTML; empty without curves."""
    figures = []
    for label, rows in gan_curves.items():
        rows = [row for row in rows if "gan/step" in row]
        if not rows:
            continue
        steps = [row["gan/step"] for row in rows]

        def line(term: str, colour: str, rows=rows, steps=steps) -> Line:
            values = [row.get(f"gan/{term}") for row in rows]
            return Line(steps, values, colour, dashed=colour == "orange")

        critic, penalty = line("critic_gap", "blue"), line("penalty", "orange")
        panels = [
            Panel("critic", [critic, penalty] if any(penalty.values) else [critic]),
            Panel("loudness (rms)", [line("rms_real", "blue"), line("rms_fake", "orange")]),
        ]
        told = f"Critic gap, penalty and loudness of the GAN of {label} over training steps"
        figures.append(_figure(label, f"{steps[-1]:,.0f} steps", panels, told))
    if not figures:
        return ""
    return (
        '<p class="note">Above, how far apart the critic holds real and generated clips (its gap, '
        "which falls as they become alike) and its gradient penalty; below, the loudness of a "
        "batch. Each picture has its own scale. Shown is the first GAN of each genre.</p>"
        + _key("gap; real clips", "penalty; generated clips")
        + f'<div class="grid">{"".join(figures)}</div>'
    )


def _figure(name: str, note: str, panels: Iterable[Panel], told: str) -> str:
    picture = curves(list(panels), name=told, description=escape(told))
    return f"<figure><figcaption>{escape(name)}<small>{note}</small></figcaption>{picture}</figure>"


def _key(blue: str, orange: str) -> str:
    return (
        f'<p class="key"><span><i class="blue"></i>{blue}</span>'
        f'<span><i class="orange dashed"></i>{orange}</span></p>'
    )
