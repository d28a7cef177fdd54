"""What the clips of GANs are by themselves, and whether that tells what they bring."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from classifiers import SavedClassifier, predict
from experiments.scores import KERNEL
from experiments.stages.examples import Material
from experiments.stages.gans import Gan, sample_gan
from experiments.stages.trials import CLASSIFIER, Outcome
from experiments.statistics import without_rounding
from features import Rows

# Of the sample metrics those that a page of a comparison has, at the step whose clips were added.
_KEPT = (
    *("kernel_distance", "kernel_distance_error", "kernel_distance_floor", "coverage", "variety"),
    *("memorised", "class_agreement"),
)
FEWEST = 5  # GANs of which a rank correlation is told


def gan_quality(material: Material, real: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Of each GAN its classes, seed, step, sample metrics and ``gan_test``.

    That is the share of its clips, those that were added, which classifiers trained on real clips
    alone take for the class that was asked for (GAN-test, arXiv 1807.09499).

    Parameters
    ----------
    real : the runs of the arm of real clips; those of a GAN's turn are its judges.
    """
    turns, found = len({gan.seed for gan in material.gans}), []
    for gan in (gan for gan in material.gans if not gan.failed):
        judges = [run for run in real if run.trial.seed % turns == gan.seed % turns]
        rows = {row["gan/step"]: row for row in gan.curves()}
        row = rows.get(gan.choice, {}) if gan.choice is not None else {}
        kept = {name: row[f"quality/{name}"] for name in _KEPT if f"quality/{name}" in row}
        about = {"labels": list(gan.labels), "seed": gan.seed, "step": gan.choice}
        found.append(about | kept | {"gan_test": _recognised(material, gan, judges)})
    return found


def _recognised(material: Material, gan: Gan, judges: Sequence[Outcome]) -> float | None:
    """Share of a GAN's clips that the judges take for the class asked for; None without judges."""
    right = []
    for run in judges:
        saved = SavedClassifier.read(run.folder / CLASSIFIER)
        for name in gan.labels:
            label = material.clips.label_names.index(name)
            audio = sample_gan(material.run, gan, material.counts[label], name)
            task = f"features of generated {name}"
            features = material.extract(audio, material.recipe.input, task)
            said = predict(saved.model, Rows([features], scaler=saved.scaler)).argmax(1)
            right += (said == label).tolist()
    return float(np.mean(right)) if right else None


def quality_gain(
    qualities: Sequence[Mapping[str, Any]],
    arm: Sequence[Mapping[str, Any]],
    against: Sequence[Mapping[str, Any]],
) -> dict[str, Any] | None:
    """Of each GAN seed its kernel distance and what its clips brought; None where none has both.

    ``rank_correlation`` (Spearman) is of `FEWEST` GANs or more: below 0 where nearer clips bring
    more.

    Parameters
    ----------
    qualities : of `gan_quality`.
    arm, against : the paired runs of the arm with the clips, and of one without, as
        ``results.json`` has them.
    """
    from scipy import stats

    distances: dict[int, list[float]] = {}
    for one in qualities:
        if KERNEL in one:
            distances.setdefault(one["seed"], []).append(one[KERNEL])
    points = []
    for seed, found in distances.items():
        gains = [
            own["track_accuracy"] - other["track_accuracy"]
            for own, other in zip(arm, against, strict=True)
            if own["gan_seed"] == seed
        ]
        if gains:
            gain = without_rounding(np.mean(gains))
            points.append({"gan": seed, "quality": float(np.mean(found)), "gain": gain})
    if not points:
        return None
    few = len(points) < FEWEST
    pairs = [(point["quality"], point["gain"]) for point in points]
    constant = any(len({*values}) < 2 for values in zip(*pairs, strict=True))
    rank = None if few or constant else float(stats.spearmanr(*zip(*pairs, strict=True)).statistic)
    note = f"{FEWEST} GANs or more are needed to tell whether one goes with the other"
    told: dict[str, Any] = {"metric": KERNEL, "points": points}
    return told | {"rank_correlation": rank, "note": note if few else ""}
