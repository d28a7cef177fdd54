"""Metrics of generated sound against the training set, for any data and without a trained network.

Clips are compared by `embed`, a fixed summary of their log-mel bands. As an inspector of `train`,
`Quality` measures the generator while it learns; `wavegan.metrics` says what each metric means and
when more training no longer helps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped

from features.scaling import Standardizer
from features.spectra import mel_spectrogram
from wavegan.distances import (
    LEAST,
    Estimate,
    different_bins,
    frechet_distance,
    inception_score,
    kernel_distance,
    memorised,
    nearest_distances,
)
from wavegan.networks import Generator
from wavegan.sampling import generate
from wavegan.windows import SHORTEST, Recordings, Windows

BANDS = 40
FRAME = 0.05  # seconds, about
FLOOR = 1e-8  # mel power that is added: -80 dB of a full-scale sine
LEAST_SPREAD = 1.0  # dB that a feature's spread counts at least
LIBRARY = 2048  # training windows that generated clips are looked up in
HALVINGS = 8  # of the real windows, for the floor
_BATCH = 64


def embed(
    audio: Float[Array | np.ndarray, "n length *c"], *, sample_rate: int | float
) -> Float[np.ndarray, "n d"]:
    """What clips (n, L, C), or (n, L) in mono, sound like: 120 numbers a channel, in decibels.

    Of 40 log-mel bands (frames of about 50 ms, or half the clip where that is shorter, by a
    quarter of a frame) the mean over time, the standard deviation over time, and the mean
    absolute change from frame to frame. 0 dB is a full-scale sine, and nothing counts far below
    -80 dB: loudness tells clips apart, dithering does not. Channels lie one after another.

    Raises
    ------
    ValueError
        For clips shorter than 32 samples, or with NaN or Inf.
    """
    audio = _with_channels(audio)
    n, length, channels = audio.shape
    if n < 1 or length < SHORTEST:
        raise ValueError(f"audio must be 1 clip or more of {SHORTEST} samples, found {audio.shape}")
    n_fft = 2 ** min(round(math.log2(FRAME * sample_rate)), int(math.log2(length)) - 1)
    parts = []
    for start in range(0, n, _BATCH):
        clips = np.asarray(audio[start : start + _BATCH], np.float32)
        if not np.isfinite(clips).all():
            clip = start + int(np.argwhere(~np.isfinite(clips))[0][0])
            raise ValueError(f"clip {clip} holds NaN or Inf: nothing can be said of it")
        # Few sizes, few compilations.
        size = 2 ** math.ceil(math.log2(len(clips)))
        padded = np.resize(clips, (size, length, channels))
        parts.append(np.asarray(_embed(padded, sample_rate, n_fft))[: len(clips)])
    return np.concatenate(parts)


def _with_channels(audio: Array | np.ndarray) -> Array | np.ndarray:
    return audio[..., None] if audio.ndim == 2 else audio


@partial(jax.jit, static_argnums=(1, 2))
def _embed(audio: Array, sample_rate: int | float, n_fft: int) -> Array:
    mel = mel_spectrogram(
        audio.swapaxes(1, 2),
        sample_rate=sample_rate,
        n_fft=n_fft,
        hop_length=n_fft // 4,
        n_mels=BANDS,
        center=False,  # silence around a clip is no sound of it
        norm=None,
    )
    bands = 10 * jnp.log10(mel / (n_fft / 4) ** 2 + FLOOR)
    change = jnp.abs(jnp.diff(bands, axis=2)).mean(2)
    summary = jnp.concatenate([bands.mean(2), bands.std(2), change], axis=-1)
    return summary.reshape(len(audio), -1)


class Quality:
    """An inspector for `train`: how good a generator's clips are, against ``audio``.

    Real windows are drawn and embedded once; a call generates as many clips, always from the
    same latents, and compares. Features are scaled to unit variance over the real windows, of
    which 1 dB is the least.

    ==================================  =====================================================
    ``quality/kernel_distance``         `kernel_distance` to the real windows
    ``quality/kernel_distance_floor``   `floor`, beside it
    ``quality/frechet_distance``        `frechet_distance` to them
    ``quality/nearest``                 median distance of a clip to its nearest real window
    ``quality/nearest_train``           of a real window to the nearest of another recording
    ``quality/memorised``               share of copies (`memorised`), by those distances
    ``quality/inception_score``         with ``classify``
    ``quality/different_bins``          with ``classify``: bins of its log-probabilities
    ==================================  =====================================================

    All but the medians have a standard error beside them, ``…_error``. With a single recording
    (or group) nothing is said of ``nearest_train`` and ``memorised``.

    Parameters
    ----------
    audio : as `train` takes it: recordings (L_i, C) or (L_i,), float in [-1, 1] or int16.
    sample_rate : Hz.
    num_samples, channels : of a clip.
    groups : the recording (or better the artist) that each of ``audio`` is from; by default
        each is its own.
    labels : class of each recording. A conditional generator then makes the classes as often
        as the real windows have them; without, it makes each as often.
    count : real windows and generated clips that are compared.
    seed : of the windows and the latents.
    classify : a classifier's function of clips (n, L, C) to probabilities (n, K).
    windows : what `Windows` is told in training: ``pad_end``, ``peak_normalize``, ….

    Attributes
    ----------
    floor : kernel distance of real windows from those of other recordings, the mean and the
        spread over 8 ways to halve them: as near as other sounds of this kind come.

    Raises
    ------
    ValueError
        For audio that `Windows` refuses or that has fewer than 8 different windows, for groups
        or labels that don't fit it, and for clips of other shapes.
    """

    def __init__(
        self,
        audio: Recordings,
        *,
        sample_rate: int | float,
        num_samples: int,
        channels: int = 1,
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
        self._shape = (num_samples, channels)
        pool = Windows(
            audio,
            num_samples=num_samples,
            channels=channels,
            labels=np.arange(len(audio)),  # so that each window says whose it is
            num_classes=len(audio),
            store="host",
            **windows,
        )
        parts: list[tuple[np.ndarray, np.ndarray]] = []
        real: list[np.ndarray] = []
        for clips, recording in _distinct(pool, max(count, LIBRARY), seed):
            parts.append((embed(clips, sample_rate=sample_rate), recording))
            if classify is not None and len(real) < count:
                real.extend(clips)
        library, recording = (np.concatenate(part) for part in zip(*parts, strict=True))
        self.count = min(count, len(library))
        if self.count < 2 * LEAST:
            raise ValueError(
                f"{self.count} windows of {num_samples} samples are too few to compare, at least "
                f"{2 * LEAST} are needed: a larger count, more audio or a smaller num_samples"
            )
        scale = Standardizer.fit(library)
        self._scale = Standardizer(scale.mean, np.hypot(scale.std, LEAST_SPREAD))
        self._library = self._scale.apply(library)
        groups = recording if groups is None else np.asarray(groups)[recording]
        several = len(np.unique(groups)) > 1
        self._null = nearest_distances(self._library, groups=groups) if several else None
        self._labels = None if labels is None else np.asarray(labels)[recording[: self.count]]
        self._classified = None
        if classify is not None:
            self._classified = np.asarray(classify(np.stack(real[: self.count])), np.float64)
        self.floor = _floor(self._library[: self.count], groups[: self.count], seed)

    def __repr__(self) -> str:
        length, channels = self._shape
        return (
            f"Quality({self.count} real windows ({length}, {channels}) at {self.sample_rate} Hz, "
            f"floor {self.floor.value:.3g} ± {self.floor.error:.2g})"
        )

    def __call__(self, step: int, generator: Generator) -> dict[str, float]:
        """The metrics of ``generator``; ``step`` has no effect on them."""
        label = self._labels if generator.config.num_classes else None
        return self.measure(generate(generator, self.count, seed=self.seed, label=label).audio)

    def measure(self, audio: Float[Array | np.ndarray, "n length *c"]) -> dict[str, float]:
        """The metrics of generated clips (n, num_samples, C); mono ones may be (n, num_samples)."""
        audio = _with_channels(audio)
        if audio.shape[1:] != self._shape:
            expected = ", ".join(map(str, self._shape))
            raise ValueError(f"clips must be (n, {expected}), found {audio.shape}")
        generated = self._scale.apply(embed(audio, sample_rate=self.sample_rate))
        real = self._library[: self.count]
        nearest = nearest_distances(generated, self._library)
        estimates = {
            "kernel_distance": kernel_distance(real, generated),
            "kernel_distance_floor": self.floor,
            "frechet_distance": frechet_distance(real, generated),
        }
        medians = {"nearest": nearest}
        if self._null is not None:
            estimates["memorised"] = memorised(nearest, self._null)
            medians["nearest_train"] = self._null
        if self.classify is not None and self._classified is not None:
            probabilities = np.asarray(self.classify(np.asarray(audio)), np.float64)
            estimates["inception_score"] = inception_score(probabilities)
            estimates["different_bins"] = different_bins(
                _log(self._classified),
                _log(probabilities),
                bins=max(2, self.count // 16),
                seed=self.seed,
            )
        metrics = {f"quality/{name}": float(np.median(x)) for name, x in medians.items()}
        for name, (value, error) in estimates.items():
            metrics |= {f"quality/{name}": value, f"quality/{name}_error": error}
        return metrics


def _distinct(windows: Windows, count: int, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Batches of random windows and their recordings; a window that comes again is left out."""
    key, seen = jax.random.key(seed), set()
    for start in range(0, count, _BATCH):
        batch = windows.draw(jax.random.fold_in(key, start), (min(_BATCH, count - start),))
        clips, recording = np.asarray(batch.clips), np.asarray(batch.labels)
        new = []
        for i, (clip, name) in enumerate(zip(clips, recording.tolist(), strict=True)):
            mark = (name, hash(clip.tobytes()))
            if mark not in seen:
                seen.add(mark)
                new.append(i)
        if new:
            yield clips[new], recording[new]


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
