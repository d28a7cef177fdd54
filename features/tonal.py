"""What sounds in a spectrum: its pitch classes, and how far peaks stand out of the valleys."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Real

from features._frames import over_frames, power, power_in_double
from features._framing import Framing, Window, checked_audio
from features.spectra import _decibels

_A0 = 27.5  # Hz


def chroma(
    y: Real[Array | np.ndarray, "*batch samples"],
    *,
    sample_rate: int | float,
    n_fft: int = 2048,
    hop_length: int = 512,
    n_chroma: int = 12,
    tuning: int | float = 0.0,
    center: bool = True,
    win_length: int | None = None,
    window: Window = "hann",
    pad_mode: str = "constant",
) -> Float[Array, "*batch frames {n_chroma}"]:
    """Energy of each pitch class, as ``librosa.feature.chroma_stft`` with a given tuning.

    Parameters
    ----------
    y : audio ``(..., L)``, floating point.
    sample_rate : Hz.
    n_fft, hop_length : samples in a frame, samples between frames.
    n_chroma : classes an octave, the first of them C.
    tuning : how far the music's A lies from 440 Hz, in classes. librosa's default estimates it
        from each clip; here it is what you say, so that a clip's features depend on its own
        frames only. ``librosa.estimate_tuning`` gives it where music is far from concert pitch.
    center, win_length, window, pad_mode : as in `features.spectra.mel_spectrogram`.

    Returns
    -------
    ``(..., T, n_chroma)`` float32: the strongest class of each frame has 1; silence has zeros.

    Raises
    ------
    TypeError
        For audio of integers or complex numbers.
    ValueError
        For options out of range, a clip too short for a frame, and samples that are NaN or
        infinite.
    """
    framing = Framing(n_fft, hop_length, center, win_length, window, pad_mode)
    y = checked_audio(y, framing, sample_rate=sample_rate)
    if not (sample_rate > 0 and n_chroma > 0):
        raise ValueError(f"{sample_rate=}, {n_chroma=}: both must be positive")
    filters = _chroma_filters(sample_rate, n_fft, n_chroma, tuning)
    return _chroma(y, filters, framing)


def spectral_contrast(
    y: Real[Array | np.ndarray, "*batch samples"],
    *,
    sample_rate: int | float,
    n_fft: int = 2048,
    hop_length: int = 512,
    n_bands: int = 6,
    fmin: int | float = 200.0,
    quantile: float = 0.02,
    linear: bool = False,
    center: bool = True,
    win_length: int | None = None,
    window: Window = "hann",
    pad_mode: str = "constant",
) -> Float[Array, "*batch frames bands"]:
    """Peaks against valleys of the spectrum in each octave, as ``librosa.feature``'s.

    Music of clear tones has high contrast, noise low (Jiang et al. 2002). The first band ends at
    ``fmin``, each later one is an octave, and the last goes on to half the sample rate.

    Parameters
    ----------
    y : audio ``(..., L)``, floating point.
    sample_rate : Hz.
    n_fft, hop_length : samples in a frame, samples between frames.
    n_bands : octaves above ``fmin`` (Hz).
    quantile : share of a band's bins, between 0 and 1, whose mean is its peak and its valley.
    linear : the difference of magnitudes instead of decibels (magnitudes taken as powers, 80 dB
        below each clip's maximum at most, as in librosa).
    center, win_length, window, pad_mode : as in `features.spectra.mel_spectrogram`.

    Returns
    -------
    ``(..., T, n_bands + 1)`` float32.

    Raises
    ------
    TypeError
        For audio of integers or complex numbers.
    ValueError
        For options out of range, a band above half the sample rate or too narrow to hold a bin,
        a clip too short for a frame, and samples that are NaN or infinite.
    """
    framing = Framing(n_fft, hop_length, center, win_length, window, pad_mode)
    y = checked_audio(y, framing, sample_rate=sample_rate)
    if not (sample_rate > 0 and n_bands > 0 and fmin > 0 and 0 < quantile < 1):
        raise ValueError(
            f"{sample_rate=}, {n_bands=}, {fmin=}, {quantile=}: all must be positive, "
            "and quantile below 1"
        )
    bands = _octaves(sample_rate, n_fft, n_bands, fmin, quantile)
    return _contrast(y, bands, framing, linear)


@partial(jax.jit, static_argnames="framing")
def _chroma(y: Array, filters: Array, framing: Framing) -> Array:
    def classes(energy: Array) -> Array:
        return jnp.matmul(energy, filters, precision=lax.Precision.HIGHEST)

    chroma = _over_spectra(classes, y, framing)
    strongest = chroma.max(axis=-1, keepdims=True)
    return chroma / jnp.where(strongest > jnp.finfo(jnp.float32).tiny, strongest, 1)


@partial(jax.jit, static_argnames=("bands", "framing", "linear"))
def _contrast(y: Array, bands: tuple, framing: Framing, linear: bool) -> Array:
    def extremes(energy: Array) -> Array:
        sounds = energy > 0  # the detour keeps the gradient finite where there is silence
        magnitude = jnp.where(sounds, jnp.sqrt(jnp.where(sounds, energy, 1)), 0)
        peaks = [lax.top_k(magnitude[:, a:b], k)[0].mean(-1) for a, b, k in bands]
        valleys = [-lax.top_k(-magnitude[:, a:b], k)[0].mean(-1) for a, b, k in bands]
        return jnp.stack(peaks + valleys, axis=-1)

    both = _over_spectra(extremes, y, framing)
    peaks, valleys = jnp.split(both, 2, axis=-1)
    if linear:
        return peaks - valleys
    return _decibels(peaks, 1.0, 80.0) - _decibels(valleys, 1.0, 80.0)


def _over_spectra(measure: Callable[[Array], Array], y: Array, framing: Framing) -> Array:
    """``measure`` of the power spectra (t, bins), (t, F), of all frames: (..., T, F)."""

    def of_frames(frames: Array, double: bool) -> Array:
        (energy,) = (power_in_double if double else power)(frames, (slice(None),), framing)
        return measure(energy)

    return over_frames(of_frames, y, framing)


@lru_cache(maxsize=64)
def _chroma_filters(
    sample_rate: int | float, n_fft: int, n_chroma: int, tuning: int | float
) -> Float[np.ndarray, "bins {n_chroma}"]:
    """What each bin gives to each class (Ellis 2007): a bump of its own width around its pitch."""
    hertz = np.arange(1, n_fft // 2 + 2) * sample_rate / n_fft
    pitch = n_chroma * np.log2(hertz / _A0) - tuning  # classes above A0
    pitch = np.concatenate([pitch[:1] - 1.5 * n_chroma, pitch])  # 0 Hz has none: off all others
    width = np.maximum(np.diff(pitch), 1)
    pitch = pitch[:-1, None]
    half = np.round(n_chroma / 2)
    distance = (pitch - np.arange(n_chroma) + half) % n_chroma - half
    filters = np.exp(-2 * (distance / width[:, None]) ** 2)
    filters /= np.linalg.norm(filters, axis=1, keepdims=True)
    filters *= np.exp(-0.5 * ((pitch / n_chroma - 5) / 2) ** 2)  # most weight around A5
    from_c = np.roll(filters, -3 * (n_chroma // 12), axis=1)
    return from_c.astype(np.float32)


@lru_cache(maxsize=64)
def _octaves(
    sample_rate: int | float, n_fft: int, n_bands: int, fmin: int | float, quantile: float
) -> tuple[tuple[int, int, int], ...]:
    """Of each band: its first bin, the one after its last, and how many make a peak."""
    edges = fmin * 2.0 ** np.arange(n_bands)
    if edges[-1] >= sample_rate / 2:
        raise ValueError(
            f"n_bands={n_bands} octaves above fmin={fmin} pass {sample_rate / 2:g} Hz, half the "
            "sample rate: take fewer bands or a lower fmin"
        )
    hertz = np.fft.rfftfreq(n_fft, 1 / sample_rate)
    # librosa's bands: each starts one bin early and gives up its own last one, counted all the same
    starts = [0, *(np.searchsorted(hertz, edges, side="left") - 1)]
    stops = [*np.searchsorted(hertz, edges, side="right"), len(hertz)]
    bands = []
    for k, (start, stop) in enumerate(zip(starts, stops, strict=True)):
        size = stop - start - (k < n_bands)
        if size < 1 or stop - start < 2:
            raise ValueError(
                f"band {k} of {n_bands + 1} holds no bin at n_fft={n_fft}, fmin={fmin}, whose bins "
                f"lie {sample_rate / n_fft:.4g} Hz apart: raise n_fft or fmin"
            )
        peak = max(1, round(quantile * (stop - start)))
        bands.append((int(start), int(start + size), min(peak, int(size))))
    return tuple(bands)
