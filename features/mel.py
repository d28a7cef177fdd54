"""The mel scale and its filters, with librosa's numbers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import inf
from typing import Any

import numpy as np
from jaxtyping import Float

from features._framing import Framing
from features.limits import check_memory


@dataclass(frozen=True)
class MelOptions:
    """The options of a mel spectrogram, checked; hashable, so that they key the compilation."""

    sample_rate: int | float
    framing: Framing
    n_mels: int
    fmin: int | float
    fmax: int | float | None
    power: int | float
    htk: bool
    norm: str | int | float | None

    def __post_init__(self) -> None:
        for name in ("sample_rate", "n_mels", "power"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be positive")
        nyquist = self.sample_rate / 2
        if not 0 <= self.fmin < self.top <= nyquist:
            raise ValueError(
                f"fmin={self.fmin}, fmax={self.fmax} is no frequency range at sample_rate="
                f"{self.sample_rate}: 0 <= fmin < fmax <= {nyquist} Hz (half the rate) is; "
                "fmax=None takes all"
            )
        check_norm(self.norm)

    @property
    def top(self) -> float:
        return self.sample_rate / 2 if self.fmax is None else self.fmax


def check_norm(norm: Any) -> None:
    """Raise ValueError for what is no norm of mel bands."""
    number = isinstance(norm, (int, float)) and not isinstance(norm, bool)
    if not (number or norm in ("slaney", None)):
        raise ValueError(f"norm is {norm!r:.40}; 'slaney', None or a number is accepted")
    if number and not (norm >= 0 or norm == -inf):
        raise ValueError(f"norm is {norm}; the order of a norm must be 0 or more")


def mel_filters(
    *,
    sample_rate: int | float,
    n_fft: int,
    n_mels: int = 128,
    fmin: int | float = 0.0,
    fmax: int | float | None = None,
    htk: bool = False,
    norm: str | int | float | None = "slaney",
) -> Float[np.ndarray, "{n_mels} bins"]:
    """Triangular filters on the mel scale, as ``librosa.filters.mel``, in float64.

    Returns
    -------
    ``(n_mels, 1 + n_fft // 2)``: multiplied with a spectrum, gives the mel bands.
    """
    framing = Framing(n_fft, hop_length=1)
    return filters_of(MelOptions(sample_rate, framing, n_mels, fmin, fmax, 2.0, htk, norm))


@lru_cache(maxsize=64)
def filters_of(options: MelOptions) -> np.ndarray:
    n_fft = options.framing.n_fft
    size = 40.0 * options.n_mels * (1 + n_fft // 2)
    what = f"{options.n_mels:,} mel bands of {n_fft // 2:,} bins"
    check_memory(size, what, "take fewer n_mels, or a smaller n_fft")
    bottom, top = _mel(np.array([options.fmin, options.top]), options.htk)
    edges = _hertz(np.linspace(bottom, top, options.n_mels + 2), options.htk)
    bins = np.arange(1 + n_fft // 2) * options.sample_rate / n_fft
    below, middle, above = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising, falling = (bins - below) / (middle - below), (above - bins) / (above - middle)
    filters = np.maximum(0, np.minimum(rising, falling))
    if isinstance(options.norm, str):
        return filters * (2 / (above - below))
    if options.norm is None:
        return filters
    size = np.linalg.norm(filters, ord=options.norm, axis=1, keepdims=True)
    return filters / np.where(size > 0, size, 1)


def filter_parts(options: MelOptions) -> list[tuple[slice, np.ndarray]]:
    """The filters of neighbouring bands with the bins that they cover: (bins, float32 (k, m)).

    A band covers few bins, so that the products of the parts are several times cheaper than one
    with all filters.
    """
    parts = []
    for first in range(0, options.n_mels, 32):
        filters = filters_of(options)[first : first + 32]
        covered = np.flatnonzero(filters.any(0))
        bins = slice(covered[0], covered[-1] + 1) if len(covered) else slice(0, 1)
        parts.append((bins, filters[:, bins].T.astype(np.float32)))
    return parts


# Slaney's scale: linear below 1 kHz (15 mels), 27 mels for each factor of 6.4 above.
def _mel(hertz: np.ndarray, htk: bool) -> np.ndarray:
    if htk:
        return 2595 * np.log10(1 + hertz / 700)
    return np.where(
        hertz < 1000,
        hertz * 3 / 200,
        15 + 27 * np.log(np.maximum(hertz, 1000) / 1000) / np.log(6.4),
    )


def _hertz(mel: np.ndarray, htk: bool) -> np.ndarray:
    if htk:
        return 700 * (10 ** (mel / 2595) - 1)
    return np.where(mel < 15, mel * 200 / 3, 1000 * 6.4 ** ((mel - 15) / 27))
