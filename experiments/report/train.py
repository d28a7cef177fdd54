"""The page of training: what each GAN sounds like, how good it is, which checkpoint to take."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from experiments.report.curves import GAN_CURVES, Curve, gan_panels, other_curves
from experiments.report.formats import capital
from experiments.report.kit import render
from experiments.report.sound import ClipRow, clip_rows
from experiments.stages.trained import Trained, Training
from wavegan import TrainedRun
from wavegan.metrics import METRICS, Metric, best_row
from wavegan.previews import Heard

_NEAREST = Curve(
    "Distance to the nearest real clip",
    {"quality/nearest": "generated to real", "quality/nearest_train": "real to real"},
)


def render_training(training: Training) -> str:
    """The report page of `wavegan train`."""
    gans, runs = training.gans, [gan.run for gan in training.gans]
    measured = [run.standing for run in runs if run.standing.best]
    return render(
        "train.html",
        training=training,
        gans=[_gan(gan) for gan in gans],
        finished=all(run.finished for run in runs),
        # Several seeds of a class hear the same tracks, and so do all that have one ancestor.
        tracks=len({heard for gan in gans for heard in gan.gan.heard.items()}),
        steps=[run.step for run in runs],
        rate=float(np.median(rates)) if (rates := [run.rate for run in runs if run.rate]) else None,
        seconds=sum(run.seconds for run in runs),
        metric=_metric(runs[0].kept_by).title,
        measured=bool(measured),
        enough=[stands.enough_since for stands in measured if stands.enough_since],
        doubts=[gan for gan in gans if gan.run.standing.doubt],
    )


def _gan(trained: Trained) -> dict[str, Any]:
    """What the page shows of a GAN."""
    gan, run, name = trained.gan, trained.run, trained.name
    rows = run.rows
    logged = [term for row in rows for term in row if term.startswith("quality/")]
    terms = [term for term in METRICS if term in logged]
    measures = [Curve(capital(_metric(term).title), {term: ""}) for term in terms
                if term not in _NEAREST.terms] + [_NEAREST]  # fmt: skip
    others = other_curves(rows, [*measures, *GAN_CURVES])
    terms += [curve.title for curve in others if curve.title in logged]
    genre = f" --genre {shlex.quote(gan.labels[0])}" if gan.conditional else ""
    panels = partial(gan_panels, name, rows, enough_since=run.standing.enough_since)
    step = f"{trained.source} --step {run.choice}"
    return {
        "trained": trained,
        "tracks": list(gan.heard.values()),
        "judges": list(gan.provenance.get("judged_by", {})),
        "rows": _clips(trained, trained.heard) if trained.heard else [],
        "best": _at_step(run.standing.best, run.kept_by),
        "metrics": [(_metric(term), *_values(run, term)) for term in terms],
        "measures": panels(measures),
        "curves": panels([*GAN_CURVES, *others]),
        "commands": [
            f"wavegan generate {step} --count 100",
            f"wavegan interpolate {trained.source}{genre} --step {run.choice}",
            f"wavegan export {step} generator.safetensors",
        ],
    }


def _metric(term: str) -> Metric:
    """What is known of a metric; of an unknown one its name."""
    return METRICS[term] if term in METRICS else Metric(term, "")


def _values(run: TrainedRun, term: str) -> list[dict[str, Any] | None]:
    """A metric at its best, where one value of it is, and at its last."""
    best = best_row(run.rows, term) if term in METRICS else None
    last = next((row for row in reversed(run.rows) if term in row), None)
    return [_at_step(best, term), _at_step(last, term)]


def _at_step(row: Mapping[str, float] | None, term: str) -> dict[str, Any] | None:
    """A value, its error, and the step that it is from."""
    if row is None or term not in row:
        return None
    return {"value": row[term], "error": row.get(f"{term}_error"), "step": int(row["gan/step"])}


def _clips(gan: Trained, heard: Heard) -> list[dict[str, Any]]:
    """The real clips, and below them a row a latent, from the first steps to the last."""
    captions = [f"step {step:,}{', best' * (step == gan.run.best)}" for step in heard.steps]
    names = [f"real clip {i + 1} of {gan.name}" for i in range(len(heard.real))]
    every = f"all real clips of {gan.name}"
    rows = [ClipRow("Real clips", "real", heard.real, names, every, heard.real_labels)]
    for latent, audio in zip(heard.latents, heard.audio, strict=True):
        names = [f"{gan.name}, {latent}, {caption}" for caption in captions]
        every = f"{gan.name}, {latent.lower()}, from the first steps to the last"
        rows.append(ClipRow(latent, "generated", audio, names, every, captions))
    return clip_rows([row for row in rows if len(row.audio)], heard.sample_rate)
