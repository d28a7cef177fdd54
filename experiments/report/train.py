"""The report of training: what each GAN sounds like, how good it is, which checkpoint to take."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from html import escape
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from experiments.report.curves import GAN_CURVES, Curve, gan_figures
from experiments.report.kit import counted, definitions, fill_page, folded, table, tiles
from experiments.report.plots import spectrograms
from experiments.report.sound import clip_row
from experiments.run import Run
from experiments.stages.trained import Trained, find_trained, names_of, source_of
from features.storage import write_text
from wavegan.metrics import METRICS, best_row
from wavegan.previews import preview_steps, read_previews

_STEPS = 8  # of a GAN's previews on the page, at most
_LATENTS = 4  # of a GAN that makes one class, at most
_SAMPLES = 4_000_000  # of all sounds on the page, about: it stays below some 12 MB


def write_training_page(run: Path) -> Path:
    """Write the page of `render_training` to ``report.html`` in the run's folder."""
    page = run / "report.html"
    write_text(page, render_training(run))
    return page


def render_training(run: Path) -> str:
    """The report page of a `wavegan train` run, finished or not, or of one GAN's own folder.

    Raises
    ------
    ValueError
        Where no GAN is there, saying what was found.
    """
    gans = find_trained(run)
    names = names_of(gans)
    several = len(gans) > 1
    parts = {"Overview": _overview(gans, names)} if several else {}
    for trained, name in zip(gans, names, strict=True):
        own = {
            "Listen": _listen(trained, name, _SAMPLES // len(gans)),
            "Quality": _quality(trained, name),
            "Which checkpoint": _checkpoint(trained, source_of(run, trained, gans)),
            "Curves": gan_figures(name, trained.rows, GAN_CURVES, enough_since=trained.enough),
        }
        if several:
            parts[f"GAN of {name}"] = "".join(f"<h3>{k}</h3>{v}" for k, v in own.items() if v)
        else:
            parts |= own
    parts["How to read the curves"] = definitions({c.title: c.meaning for c in GAN_CURVES})
    parts["How it was made"] = _settings(run, gans, names)
    return fill_page(
        title=f"Training of {_what(gans)}",
        kicker=f"{run.name}: training of {_what(gans)}",
        head=_head(gans),
        parts=parts,
        version=metadata.version("wavegan"),
    )


# --- the top of the page -------------------------------------------------------------------------


def _what(gans: Sequence[Trained]) -> str:
    if len(gans) > 1:
        return f"{len(gans)} WaveGANs"
    gan = gans[0].gan
    return (
        f"one WaveGAN of {len(gan.labels)} classes"
        if gan.conditional
        else (f"a WaveGAN of {gan.labels[0]}")
    )


def _head(gans: Sequence[Trained]) -> str:
    """The headline, a sentence and the numbers."""
    finished = [t for t in gans if t.finished]
    what, config = _what(gans), gans[0].config["wavegan"]
    headline = f"{what[0].upper()}{what[1:]}"
    headline += ", trained" if len(finished) == len(gans) else ", still in training"
    tracks = {t.gan.label: t.tracks for t in gans}  # several seeds hear the same ones
    seconds = sum(t.seconds for t in gans)
    rates = [t.rate for t in gans if t.rate]
    sample_rate = gans[0].gan.provenance.get("sample_rate")
    facts = {
        "tracks heard": sum(tracks.values()),
        "generator steps" + (" each" if len(gans) > 1 else ""): _span([t.step for t in gans]),
        "steps planned": f"{gans[0].planned:,}" if len(finished) < len(gans) else None,
        "steps a second": f"{np.median(rates):.3g}" if rates else None,
        "of training, about": _about(seconds) if seconds else None,
    }
    if sample_rate:
        facts[f"a clip, at {sample_rate:,} Hz"] = f"{config['num_samples'] / sample_rate:.2f} s"
    return f'<div class="verdict"><h1>{escape(headline)}.</h1>{_advice(gans)}</div>{tiles(facts)}'


def _advice(gans: Sequence[Trained]) -> str:
    """Whether more training helps, in a sentence."""
    name = _metric_name(gans[0].kept_by)
    if not any(t.best for t in gans):
        text = "No metric was measured while training: let your ears choose the checkpoint."
    elif enough := [t.enough for t in gans if t.enough is not None]:
        share = "" if len(gans) == 1 else f" for {len(enough)} of {len(gans)}"
        text = f"More training no longer helped{share} since step {_span(enough)}, by {name}."
    else:
        text = f"By {name}, more training may still help."
    return f'<p class="lead">{escape(text)}</p>'


def _overview(gans: Sequence[Trained], names: Sequence[str]) -> str:
    heads = ("GAN", "step", f"best {_metric_name(gans[0].kept_by)}", "enough since")
    rows = [
        (
            f"{escape(name)}<small>{counted(trained.tracks, 'track')}</small>",
            f"{trained.step:,}<small>of {trained.planned:,}</small>",
            _at_step(trained.best, trained.kept_by),
            "" if trained.enough is None else f"step {trained.enough:,}",
        )
        for trained, name in zip(gans, names, strict=True)
    ]
    return table(heads, rows) + (
        '<p class="note">± standard error. Enough: since that step more training did not help.</p>'
    )


# --- a GAN ---------------------------------------------------------------------------------------


def _listen(trained: Trained, name: str, samples: int) -> str:
    """A row a latent, from the first steps to the last, below the real clips."""
    folder = trained.gan.folder / "previews"
    steps = preview_steps(folder)
    if not steps:
        return ""
    clips, classes, sample_rate = read_previews(folder, steps[-1])
    shown = max(2, samples // clips[0].size)  # pictures with sound
    steps = _chosen(steps, min(_STEPS, shown), trained.best)
    most = len(set(classes)) if classes else _LATENTS
    rows = min(len(clips), max(1, shown // len(steps)), most)
    audio = np.stack([read_previews(folder, step)[0][:rows] for step in steps], axis=1)
    labels = trained.gan.labels
    of = [f"Latent {i + 1}" + (f": {labels[classes[i]]}" if classes else "") for i in range(rows)]
    best = trained.best["gan/step"] if trained.best else None
    captions = [f"step {step:,}{', best' * (step == best)}" for step in steps]
    groups, real = list(audio), _real(folder, max(rows, len(steps)))
    pictures = spectrograms([*groups, *([real] if len(real) else [])], sample_rate)
    html = [
        clip_row(
            latent,
            [f"{name}, {latent}, {caption}" for caption in captions],
            group,
            pngs,
            sample_rate,
            kind="generated",
            all_of=f"{name}, {latent.lower()}, from the first steps to the last",
            captions=captions,
        )
        for latent, group, pngs in zip(of, groups, pictures, strict=False)
    ]
    if len(real):
        titles = [f"real clip {i + 1} of {name}" for i in range(len(real))]
        row = clip_row(
            "Real clips", titles, real, pictures[-1], sample_rate, kind="real",
            all_of=f"all real clips of {name}",
            captions=[labels[i] for i in classes[: len(real)]] if classes else (),
        )  # fmt: skip
        html.insert(0, row)
    return (
        '<p class="note">A row is one latent through the training: “Play all” lets you hear it '
        "learn. Press a picture for one clip, Esc to stop. One colour scale for all.</p>"
        + f'<div class="wide">{"".join(html)}</div>'
    )


def _real(folder: Path, count: int) -> np.ndarray:
    if not (folder / "real.flac").exists():
        return np.zeros((0, 0, 0), np.float32)
    return read_previews(folder, None)[0][:count]


def _chosen(steps: Sequence[int], count: int, best: Mapping[str, float] | None) -> list[int]:
    """At most ``count`` steps, denser at the start, with the first, the last and the best one."""
    if len(steps) > count:
        places = np.rint((len(steps) - 1) * np.linspace(0, 1, count) ** 1.5).astype(int)
        chosen = [steps[i] for i in np.unique(np.maximum(places, np.arange(count)))]
    else:
        chosen = list(steps)
    if best and best["gan/step"] in steps and best["gan/step"] not in chosen:
        inner = chosen[1:-1] or chosen[:1]
        nearest = min(inner, key=lambda step: abs(step - best["gan/step"]))
        chosen[chosen.index(nearest)] = int(best["gan/step"])
    return sorted(chosen)


def _quality(trained: Trained, name: str) -> str:
    """The metrics at their best and last, and their curves."""
    logged = {key for row in trained.rows for key in row}
    metrics = {metric: about for metric, about in METRICS.items() if metric in logged}
    if not metrics:
        return ""
    rows = []
    for metric, (title, _, less) in metrics.items():
        better = {True: "less is better", False: "more is better", None: ""}[less]
        rows.append(
            (
                f"{title}<small>{better}</small>",
                _at_step(best_row(trained.rows, metric), metric),
                _at_step(_last(trained.rows, metric), metric),
            )
        )
    curves = [
        Curve(title[0].upper() + title[1:], {metric: ""}, "")
        for metric, (title, _, _) in metrics.items()
        if "nearest" not in metric and "floor" not in metric
    ]
    near = {"quality/nearest": "generated to real", "quality/nearest_train": "real to real"}
    curves.append(Curve("Distance to the nearest real clip", near, ""))
    dotted = "the dotted line the step since which more training did not help."
    meanings = definitions({about.title: about.meaning for about in metrics.values()})
    return (
        table(("metric", "best", "last"), rows)
        + '<p class="note">± standard error. In the pictures: the band is one standard error, the '
        f"dot the best step{'.' if trained.enough is None else ', ' + dotted}</p>"
        + gan_figures(name, trained.rows, curves, enough_since=trained.enough)
        + f"<details><summary>What the metrics are</summary>{meanings}</details>"
    )


def _checkpoint(trained: Trained, source: str) -> str:
    """Which one to take, and the commands that take it."""
    kept, best, metric = trained.checkpoints, trained.best, trained.kept_by
    if not kept:
        return "<p>There is none yet: the run is at its beginning.</p>"
    step, name = kept[-1], _metric_name(metric)
    if best is None:
        text = f"Step {step:,} is the newest; no metric says which is the best."
    elif best["gan/step"] not in kept:
        text = f"Step {step:,} is the newest; step {int(best['gan/step']):,}, the best by {name}, "
        text += "has no checkpoint."
    else:
        step, last = int(best["gan/step"]), _last(trained.rows, metric)
        text = f"Take step {step:,}, the best by {name}: {_number(best, metric)}."
        errors = math.hypot(*(row.get(f"{metric}_error", 0.0) for row in (best, last)))
        if last is not best and abs(last[metric] - best[metric]) <= errors:
            text += f" The last one measured, step {int(last['gan/step']):,}, is as good within "
            text += "the errors."
    text += f" Checkpoints are kept of step {', '.join(f'{k:,}' for k in kept)}."
    genre = f" --genre {shlex.quote(trained.gan.labels[0])}" if trained.gan.conditional else ""
    commands = (
        f"wavegan generate {source} --step {step} --count 100",
        f"wavegan interpolate {source}{genre} --step {step}",
        f"wavegan export {source} --step {step} generator.safetensors",
    )
    return f"<p>{escape(text)}</p><pre><code>{escape(chr(10).join(commands))}</code></pre>"


# --- how it was made -----------------------------------------------------------------------------


def _settings(run: Path, gans: Sequence[Trained], names: Sequence[str]) -> str:
    config = gans[0].config
    tracks = {
        name: ", ".join(trained.gan.provenance["tracks"])
        for trained, name in zip(gans, names, strict=True)
    }
    parts = {
        "Networks": definitions(config["wavegan"]),
        "Training": definitions(config["train"], without=("seed",)),
        "Data": definitions(_json(run, "config.json").get("data", {})),
        "Tracks that each GAN heard": definitions({n: ids for n, ids in tracks.items() if ids}),
        "Machine and versions": definitions(_json(run, "environment.json")),
    }
    return folded(parts)


def _json(run: Path, name: str) -> dict[str, Any]:
    return Run(run).read_json(name) if (run / name).exists() else {}


# --- numbers -------------------------------------------------------------------------------------


def _last(rows: Sequence[Mapping[str, float]], metric: str) -> Mapping[str, float]:
    return next(row for row in reversed(rows) if metric in row)


def _metric_name(metric: str) -> str:
    return METRICS[metric].title if metric in METRICS else metric


def _at_step(row: Mapping[str, float] | None, metric: str) -> str:
    """A value and the step that it is from, as HTML; empty where it was not measured."""
    if not row or metric not in row:
        return ""
    return f"{_number(row, metric)}<small>step {int(row['gan/step']):,}</small>"


def _number(row: Mapping[str, float], term: str) -> str:
    """A value with its standard error where it has one, to two digits of that."""
    value, error = row.get(term), row.get(f"{term}_error")
    if value is None:
        return ""
    text = f"{value:.3g}"
    if error and np.isfinite(error):
        digits = int(np.clip(1 - np.floor(np.log10(error)), 0, 6))
        text = f"{value:.{digits}f} ± {error:.{digits}f}"
    return text.replace("-", "\N{MINUS SIGN}")


def _about(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"


def _span(numbers: Sequence[int]) -> str:
    low, high = min(numbers), max(numbers)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
