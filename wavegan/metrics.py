"""What is measured of a GAN while it trains, and how it stands by that."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from features.registry import Registry, check_takes

Row = Mapping[str, float]  # of a GAN's metrics.jsonl

# A quiet generator is silent to who sets the volume by the music: 30 dB below it. Recordings of
# one kind differ by some 20 dB.
SILENT = 10 ** (-30 / 20)
# On GTZAN the nearest other genre lies 5 to 7 times as far as the floor and twice its spread
# reach, what is played at half the loudness up to 4 times, a genre's own clips within.
FAR = 3.0
_DISTANCE = "quality/kernel_distance"
_FLOOR, _TRAIN = f"{_DISTANCE}_floor", f"{_DISTANCE}_train"
JUDGED = tuple(  # that a classifier measures
    f"quality/{name}"
    for name in ("inception_score", "different_bins", "rarest_class", "class_agreement")
)


class Metric(NamedTuple):
    """What a logged term is called, what it says, and which values of it are good.

    Attributes
    ----------
    title : a few words, in lower case.
    meaning : a sentence or two.
    less_is_better : whether checkpoints are chosen by less of it, or by more; None where neither
        makes a better generator.
    measure : of a user's own metric, a function (generated (n, L, C), real (m, L, C), sample_rate)
        to a finite number, which `Quality` then logs, too; None of what is logged otherwise.
    """

    title: str
    meaning: str
    less_is_better: bool | None = None
    measure: Callable[[np.ndarray, np.ndarray, float], float] | None = None


_OWN = {
    _DISTANCE: Metric(
        "kernel distance",
        "Between the distributions of real and generated clips: near 0 where they are alike, by "
        "chance also below.",
        less_is_better=True,
    ),
    _FLOOR: Metric(
        "kernel distance, real to real",
        "Between real clips of different recordings: as near as other sounds of this kind come.",
    ),
    "quality/kernel_distance_train": Metric(
        "kernel distance of training clips",
        "The same for clips that the generator was trained on: what perfect copies would reach.",
    ),
    "quality/frechet_distance": Metric(
        "Fréchet distance",
        "The same by means and covariances alone; too large where there are few clips.",
        less_is_better=True,
    ),
    "quality/inception_score": Metric(
        "inception score",
        "How confidently, and with how many different classes, a classifier answers.",
        less_is_better=False,
    ),
    "quality/different_bins": Metric(
        "different bins",
        "Share of the kinds of sound that occur too often or too rarely.",
        less_is_better=True,
    ),
    "quality/variety": Metric(
        "variety",
        "How far clips lie from each other, as a share of how far real ones do: 0 where all are "
        "alike.",
    ),
    "quality/rarest_class": Metric(
        "rarest class",
        "How often the rarest class occurs, as a share of how often it should: 0 where it is "
        "missing.",
        less_is_better=False,
    ),
    "quality/class_agreement": Metric(
        "recognised",
        "Share of the clips that a classifier recognises as the class that was asked for.",
        less_is_better=False,
    ),
    "quality/class_agreement_real": Metric(
        "recognised, real clips",
        "The same for real clips, held out from the classifier where there were enough.",
    ),
    "quality/coverage": Metric(
        "coverage",
        "Share of the real clips that have a generated one nearby: lower where sounds are missing.",
        less_is_better=False,
    ),
    # A generator of noise has the best of those that follow.
    "quality/nearest": Metric(
        "nearest real clip",
        "Median distance from a generated clip to its nearest real one.",
    ),
    "quality/nearest_train": Metric(
        "nearest, real to real",
        "The same for held-out seconds of the training tracks: copies would come nearer.",
    ),
    "quality/memorised": Metric(
        "memorised",
        "Share of generated clips that are nearer to a training clip than 99 % of seconds of the "
        "same tracks that were held out (of other tracks, where they are shorter than two clips); "
        "1 % by chance.",
    ),
}


def _check(metric: Any) -> None:
    if not isinstance(metric, Metric):
        raise TypeError(f"give a Metric(title, meaning, less_is_better), found {metric!r}")
    for name in ("title", "meaning"):
        if not isinstance(getattr(metric, name), str) or not getattr(metric, name):
            raise TypeError(f"{name} must be words, found {getattr(metric, name)!r}")
    if metric.less_is_better not in (True, False, None):
        raise TypeError(
            f"less_is_better must be True, False or None, found {metric.less_is_better!r}"
        )
    if metric.measure is not None:
        given = ("generated", "real", "sample_rate")
        check_takes("measure", metric.measure, *given, gives="number")


METRICS = Registry(
    "wavegan.METRICS", _OWN, _check, recipe="wavegan.Metric(title, meaning, less_is_better)"
)


class Standing(NamedTuple):
    """How far a GAN has come.

    Attributes
    ----------
    best : the row that is best by the metric, the first of equals; None where it was not measured.
    enough_since : the step since which more training has not helped; None while it may.
    doubt : why the generator is no good all the same, in a sentence; empty where nothing says so.
    """

    best: Row | None
    enough_since: int | None
    doubt: str

    @property
    def trained(self) -> bool:
        """Whether more training no longer helps, and what came of it is in no doubt."""
        return self.enough_since is not None and not self.doubt


def standing(rows: Sequence[Row], *, metric: str, patience: int) -> Standing:
    """How a GAN stands by all that was logged of it.

    An inspection is better than another where it is so by more than both standard errors
    together (the root of their squares' sum). Training no longer helps once ``patience``
    inspections in a row are not better than the last that was (steps too small to tell apart add
    up), unless the newest of them is the best of all: that curve still falls. The errors are those
    of the generated clips alone where they are known, for the real ones are the same.

    The generator is in doubt where it is silent: the clips of the newest or the best row 30 dB or
    more below the real ones; or far from them: the best row's kernel distance, less its error,
    over three times what real clips have from one another: the mean and twice the spread of the
    floor that `Quality` logs, or the distance of what it was trained on and twice its error, which
    is more where no track of the speakers or artists that it is held against was heard.

    Parameters
    ----------
    rows : of metrics, in order; those without a finite ``metric`` are no inspections.
    metric : a name in `METRICS`; of one that is not there less counts as better.
    patience : inspections, at least 1.
    """
    best = best_row(rows, metric)
    return Standing(best, _enough_since(rows, best, metric, patience), _doubt(rows, best))


def best_row(rows: Sequence[Row], metric: str) -> Row | None:
    """The first row that is best by ``metric``.

    None where no row has a finite value, or neither less nor more of it is better.
    """
    sign = _sign(metric)
    measured = [row for row in rows if math.isfinite(row.get(metric, math.nan))]
    return min(measured, key=lambda row: sign * row[metric], default=None) if sign else None


def own_error(row: Row, metric: str) -> float:
    """The error by which rows of one generator differ, held against the same real clips."""
    return row.get(f"{metric}_own_error", row.get(f"{metric}_error", 0.0))


def _sign(metric: str) -> int:
    less = METRICS[metric].less_is_better if metric in METRICS else True
    return {True: 1, False: -1, None: 0}[less]


def _enough_since(rows: Sequence[Row], best: Row | None, metric: str, patience: int) -> int | None:
    if patience < 1:
        raise ValueError(f"patience must be at least 1, found {patience}")
    sign, newest = _sign(metric), None
    last, last_error, waited = math.inf, 0.0, 0
    for row in rows:
        if not math.isfinite(row.get(metric, math.nan)):
            continue
        value, error, newest = sign * row[metric], own_error(row, metric), row
        if value < last - math.hypot(error, last_error):
            last, last_error, waited = value, error, 0
        else:
            waited += 1
    if best is None or best is newest or waited < patience:
        return None
    return int(best["gan/step"])


def _doubt(rows: Sequence[Row], best: Row | None) -> str:
    heard = next((row for row in reversed(rows) if "gan/rms_fake" in row), None)
    for row in (heard, best):
        if row is None or not {"gan/rms_fake", "gan/rms_real"} <= row.keys():
            continue
        fake, real = row["gan/rms_fake"], row["gan/rms_real"]
        if fake < SILENT * real:
            return (
                f"its clips are nearly silent at step {row['gan/step']:,.0f}: rms {fake:.2g} "
                f"against {real:.2g} of real ones"
            )
    if best is None or not {_DISTANCE, _FLOOR} <= best.keys():
        return ""
    distance, error = best[_DISTANCE], best.get(f"{_DISTANCE}_error", 0.0)
    known = (name for name in (_FLOOR, _TRAIN) if name in best)
    reach = max(0.0, *(best[name] + 2 * best.get(f"{name}_error", 0.0) for name in known))
    if distance - error > FAR * reach:
        return (
            f"its clips are far from real ones even at step {best['gan/step']:,.0f}, its best: "
            f"kernel distance {distance:.2g}, where real ones have up to {reach:.2g} from one "
            "another"
        )
    return ""
