"""Metrics of generated sound against real sound, for any data and without a trained network.

Clips are compared by `embed`, a fixed summary of their log-mel bands. As an inspector of `train`,
`Quality` measures the generator while it learns; `wavegan.metrics` says what each metric means and
when more training no longer helps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any

import numpy as np
from jaxtyping import Array, Float, Int, Shaped

from wavegan.distances import (
    agreement,
    different_bins,
    frechet_distance,
    inception_score,
    kernel_distance,
    rarest_class,
    variety,
)
from wavegan.embedding import embed, with_channels
from wavegan.estimates import LEAST, Distance, Estimate
from wavegan.lookup import Lookup, drawn
from wavegan.metrics import METRICS
from wavegan.neighbours import coverage, memorised, nearest_distances
from wavegan.networks import Generator
from wavegan.sampling import generate
from wavegan.windows import Recordings

LIBRARY = 8  # training windows for each generated clip, which is looked up in them
HALVINGS = 8  # of the real windows, for the floor
_SUFFIX = {"value": "", "error": "_error", "own_error": "_own_error"}


class Quality:
    """An inspector for `train`: how good a generator's clips are, against ``audio``.

    Give it recordings that the GAN is not trained on: the best checkpoint by those that it is
    trained on is the one that knows them best by heart. Real windows are drawn and embedded once;
    a call generates as many clips, always from the same latents, and compares. Features are
    scaled to unit variance over the training windows, of which 1 dB is the least.

    ==================================  =====================================================
    ``quality/kernel_distance``         `kernel_distance` to the real windows
    ``quality/kernel_distance_floor``   `floor`, beside it
    ``quality/kernel_distance_train``   `train_distance`, beside it, where ``train`` is given
    ``quality/frechet_distance``        `frechet_distance` to them
    ``quality/coverage``                `coverage` of the real windows
    ``quality/variety``                 `variety` against the real windows, in each class
    ``quality/nearest``                 median distance of a clip to half the training windows
    ``quality/nearest_train``           of the training windows to the half that lacks them
    ``quality/memorised``               share of copies of training windows (`memorised`)
    ``quality/inception_score``         with ``classify``
    ``quality/different_bins``          with ``classify``: bins of its log-probabilities
    ``quality/rarest_class``            with ``classify`` and ``labels`` of several classes
                                        (`rarest_class`)
    ``quality/class_agreement``         with ``classify`` and ``labels`` (`agreement`)
    ``quality/class_agreement_real``    of the real windows
    of a user's own in `METRICS`        what its ``measure`` says, where it was set before
    ==================================  =====================================================

    All but the medians have a standard error beside them, ``…_error``, by which other real
    recordings would give other values; the distances also ``…_own_error``, without that part.
    The halves are stretches of four clips, in turn, of each training recording, or the two halves
    of one of 2 to 8 clips; one that is shorter is in either half, and what comes as near unheard
    is then another recording. Where a half would be left with fewer than 4 windows nothing is said
    of ``nearest``, ``nearest_train`` and ``memorised``.

    Parameters
    ----------
    audio : recordings to compare with, best held-out ones, as `train` takes them: (L_i, C) or
        (L_i,), float in [-1, 1] or int16.
    sample_rate : Hz.
    num_samples, channels : of a clip.
    train : what the GAN is trained on, as ``audio``; None where that is ``audio`` itself.
    groups : the recording (or better the artist) that each of ``audio`` is from; by default
        each is its own.
    labels : class of each of ``audio``. A conditional generator then makes the classes as often
        as the real windows have them; without, it makes each as often. Of one without classes
        they say what it was trained to make.
    count : real windows and generated clips that are compared.
    seed : of the windows and the latents.
    classify : a classifier's function of clips (n, L, C) to probabilities (n, K).
    windows : what `Windows` is told in training: ``pad_end``, ``peak_normalize``, ….

    Attributes
    ----------
    floor : kernel distance of real windows from those of other recordings, the mean and the
        spread over 8 ways to halve them: as near as other sounds of this kind come.
    train_distance : kernel distance of the real windows from as many of ``train``, what a
        generator of just these would have; None where none are given.

    Raises
    ------
    ValueError
        For audio that `Windows` refuses or that has fewer than 8 different windows, for groups
        or labels that don't fit it, and for clips of other shapes. In a call also where a user's
        own metric is no finite number.
    """

    def __init__(
        self,
        audio: Recordings,
        *,
        sample_rate: int | float,
        num_samples: int,
        channels: int = 1,
        train: Recordings | None = None,
        groups: Shaped[Array | np.ndarray, " n"] | Sequence | None = None,
        labels: Shaped[Array | np.ndarray, " n"] | Sequence[int] | None = None,
        count: int = 256,
        seed: int = 0,
        classify: Callable[[np.ndarray], Array | np.ndarray] | None = None,
        **windows: Any,
    ):
        for name, given in {"groups": groups, "labels": labels}.items():
            if given is not None and len(given) != len(audio):
                raise ValueError(
                    f"{name} must be one a recording ({len(audio)}), found {len(given)}"
                )
        self.sample_rate, self.seed, self.classify = sample_rate, seed, classify
        self._shape = shape = (num_samples, channels)
        own = train is None
        size = LIBRARY * count
        real = drawn(audio, shape, sample_rate, size if own else count, seed, windows, keep=count)
        chosen = real.draws[:count]
        if (different := len(np.unique(chosen))) < 2 * LEAST:
            raise ValueError(
                f"{different} different windows of {num_samples} samples are too few to compare, "
                f"at least {2 * LEAST} are needed: a larger count, more audio or a smaller "
                "num_samples"
            )
        self.count, self._real = count, real.clips[chosen]
        heard = real if train is None else drawn(train, shape, sample_rate, size, seed, windows)
        self._lookup = Lookup(heard)
        self._points = self._lookup.scale.apply(real.points[chosen])
        recording = real.recording[chosen]
        self._groups = recording if groups is None else np.asarray(groups)[recording]
        self._labels = None if labels is None else np.asarray(labels)[recording]
        self._classified = None
        if classify is not None:
            self._classified = np.asarray(classify(self._real), np.float64)
        self.floor = _floor(self._points, self._groups, seed)
        self.train_distance: Distance | None = None
        if train is not None:
            points = self._lookup.points[heard.draws[:count]]
            self.train_distance = kernel_distance(self._points, points, groups=self._groups)

    def __repr__(self) -> str:
        length, channels = self._shape
        return (
            f"Quality({self.count} real windows ({length}, {channels}) at {self.sample_rate} Hz, "
            f"floor {self.floor.value:.3g} ± {self.floor.error:.2g})"
        )

    def __call__(self, step: int, generator: Generator) -> dict[str, float]:
        """The metrics of ``generator``; ``step`` has no effect on them."""
        classes = generator.config.num_classes
        label = self._labels if classes else None
        clips = generate(generator, self.count, seed=self.seed, label=label)
        # One without classes is asked for the class that all it was trained on have.
        alone = self._labels is not None and len(np.unique(self._labels)) == 1
        asked = clips.labels if classes else self._labels if alone else None
        return self.measure(clips.audio, labels=asked)

    def measure(
        self,
        audio: Float[Array | np.ndarray, "n length *c"],
        *,
        labels: Int[Array | np.ndarray, " n"] | None = None,
    ) -> dict[str, float]:
        """The metrics of generated clips (n, num_samples, C); mono ones may be (n, num_samples).

        ``labels`` are the classes asked for, where the clips have any.
        """
        audio = np.asarray(with_channels(audio))
        if audio.shape[1:] != self._shape:
            expected = ", ".join(map(str, self._shape))
            raise ValueError(f"clips must be (n, {expected}), found {audio.shape}")
        generated = self._lookup.scale.apply(embed(audio, sample_rate=self.sample_rate))
        real, groups = self._points, self._groups
        estimates: dict[str, Estimate | Distance] = {
            "kernel_distance": kernel_distance(real, generated, groups=groups),
            "kernel_distance_floor": self.floor,
            "frechet_distance": frechet_distance(real, generated, groups=groups),
            "coverage": coverage(real, generated, groups=groups),
            "variety": variety(real, generated, self._labels, labels, groups=groups),
        }
        if self.train_distance is not None:
            estimates["kernel_distance_train"] = self.train_distance
        metrics = dict[str, float]()
        if unheard := self._lookup.unheard:
            nearest = [nearest_distances(generated, half) for half in self._lookup.halves]
            estimates["memorised"] = memorised(nearest, unheard)
            metrics["quality/nearest"] = float(np.median(np.concatenate(nearest)))
            metrics["quality/nearest_train"] = float(np.median(np.concatenate(unheard)))
        if self.classify is not None and self._classified is not None:
            probabilities = np.asarray(self.classify(audio), np.float64)
            estimates["inception_score"] = inception_score(probabilities)
            estimates["different_bins"] = different_bins(
                _log(self._classified),
                _log(probabilities),
                bins=max(2, self.count // 16),
                seed=self.seed,
                groups=groups,
            )
            if self._labels is not None and len(np.unique(self._labels)) > 1:
                estimates["rarest_class"] = rarest_class(self._classified, probabilities)
            if labels is not None:
                estimates["class_agreement"] = agreement(probabilities, np.asarray(labels))
            if self._labels is not None:
                real_ones = agreement(self._classified, self._labels)
                estimates["class_agreement_real"] = real_ones
        for name, estimate in estimates.items():
            metrics |= {f"quality/{name}{_SUFFIX[k]}": x for k, x in estimate._asdict().items()}
        for name, metric in METRICS.items():
            if metric.measure is not None:
                found = metric.measure(audio, self._real, self.sample_rate)
                metrics[name] = _number(name, found)
        return metrics


def _number(name: str, found: Any) -> float:
    """What a user's own metric returned; a ValueError unless that is one finite number."""
    number = found.item() if getattr(found, "shape", None) == () else found  # NumPy's or JAX's
    if not isinstance(number, Real) or not math.isfinite(number):
        raise ValueError(
            f"measure of wavegan.METRICS[{name!r}] must return one finite number, found "
            f"{found!r:.200}"
        )
    return float(number)


def _floor(real: np.ndarray, groups: np.ndarray, seed: int) -> Estimate:
    """Kernel distance between halves of different groups (of any, where that makes no halves)."""
    _, member, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    rng = np.random.default_rng(seed)
    distances = []
    for _ in range(HALVINGS):
        order = rng.permutation(len(sizes))
        middle = np.cumsum(sizes[order]) - sizes[order] / 2
        half = np.isin(member, order[middle < len(real) / 2])
        if not LEAST <= half.sum() <= len(half) - LEAST:
            half = rng.permutation(len(real)) % 2 == 0
        distances.append(kernel_distance(real[half], real[~half]).value)
    return Estimate(float(np.mean(distances)), float(np.std(distances, ddof=1)))


def _log(probabilities: np.ndarray) -> np.ndarray:
    return np.log(probabilities + 1e-6)
