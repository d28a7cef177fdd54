"""Spectrograms of a fixed size: what the image classifiers look at."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Real

from features._frames import over_frames, power, power_in_double
from features._framing import Framing, checked_audio
from features.rhythm import tempogram
from features.spectra import log_mel, mel_filters

_SILENCE_DB = -100.0  # log_mel of digital silence at ref=1
_C2 = 65.40639132514966  # Hz


def spectrogram_picture(
    y: Real[Array | np.ndarray, "*batch samples"],
    *,
    sample_rate: int | float,
    size: tuple[int, int] = (180, 180),
    n_fft: int = 2048,
    hop_length: int = 512,
    n_mels: int = 128,
    fmin: int | float = 0.0,
    fmax: int | float | None = None,
    top_db: int | float = 80.0,
    cmap: str = "viridis",
) -> Float[Array, "*batch {size[0]} {size[1]} 3"]:
    """Colour the mel spectrogram of each clip, time to the right, low frequencies at the bottom.

    The loudest point of a clip has the last colour, points ``top_db`` below and all of a silent
    clip the first. Runs in JAX; its derivative follows the colours' interpolation.

    Parameters
    ----------
    y : audio ``(..., L)``, floating point.
    sample_rate : Hz.
    size : rows and columns of the picture; the spectrogram is resized to them, antialiased.
    n_fft, hop_length, n_mels, fmin, fmax : see `features.spectra.mel_spectrogram`.
    top_db : decibels between the first and the last colour.
    cmap : name of a matplotlib colour map.

    Returns
    -------
    ``(..., H, W, 3)`` float32 in [0, 1]: red, green, blue.

    Raises
    ------
    ValueError
        For a size or ``top_db`` that is not positive, an unknown colour map, and what
        `mel_spectrogram` refuses.
    """
    if not (min(size) > 0 and top_db > 0):
        raise ValueError(f"size={size}, top_db={top_db}: both must be positive")
    decibels = log_mel(
        y,
        sample_rate=sample_rate,
        top_db=top_db,
        n_fft=n_fft,
        hop_length=hop_length,
        n_mels=n_mels,
        fmin=fmin,
        fmax=fmax,
    )
    return _colour(decibels, _colours(cmap), size, top_db)


def tempo_picture(
    y: Real[Array | np.ndarray, "*batch samples"],
    *,
    sample_rate: int | float,
    size: tuple[int, int] = (500, 500),
    n_fft: int = 2048,
    hop_length: int = 512,
    top_db: int | float = 80.0,
    cmap: str = "magma",
) -> Float[Array, "*batch {size[0]} {size[1]} 3"]:
    """Colour each clip's tempogram and, below it, its spectrogram; time to the right.

    The clip is scaled to its loudest sample first. The tempogram has its longest lag at the top;
    the spectrogram is in dB, its frequencies linear up to C2 (65.4 Hz) and logarithmic from there,
    an octave as high as what is below C2, as matplotlib's "symlog" scale has them in librosa's
    displays.

    Parameters
    ----------
    y : audio ``(..., L)``, floating point.
    sample_rate : Hz.
    size : rows, half of them for each of the two, and columns of the picture.
    n_fft, hop_length : samples in a frame, samples between frames.
    top_db : decibels between the first and the last colour of the spectrogram.
    cmap : name of a matplotlib colour map.

    Returns
    -------
    ``(..., H, W, 3)`` float32 in [0, 1]: red, green, blue.

    Raises
    ------
    ValueError
        For a size or ``top_db`` that is not positive, an unknown colour map, and what
        `features.tempogram` refuses.
    """
    if not (min(size) > 1 and top_db > 0):
        raise ValueError(f"size={size}, top_db={top_db}: the size is above 1, the range positive")
    framing = Framing(n_fft, hop_length)
    y = checked_audio(y, framing, sample_rate=sample_rate)
    form: Any = np if isinstance(y, np.ndarray) else jnp  # NumPy's needs no program
    peak = form.abs(y).max(-1, keepdims=True)
    y = y / form.where(peak > 0, peak, 1)
    lags = tempogram(y, sample_rate=sample_rate, hop_length=hop_length)
    colours, (height, width) = _colours(cmap), size
    above = _painted(lags, colours, (height // 2, width))
    bins = tuple(_symlog_bins(sample_rate, n_fft, height - height // 2).tolist())
    brightness = _brightness_of_bins(y, bins, framing, top_db)
    below = _painted(brightness, colours, (height - height // 2, width))
    return jnp.concatenate([above, below], axis=-3)


def _symlog_bins(sample_rate: int | float, n_fft: int, rows: int) -> np.ndarray:
    """The bin of each row, from below: its frequency is on matplotlib's "symlog" scale."""
    top = 1 + np.log2(sample_rate / 2 / _C2)
    at = np.linspace(0, top, rows)
    hertz = _C2 * np.where(at < 1, at, 2.0 ** (np.maximum(at, 1) - 1))
    return np.minimum(np.round(hertz * n_fft / sample_rate), n_fft // 2).astype(int)


@partial(jax.jit, static_argnames=("bins", "framing", "top_db"))
def _brightness_of_bins(y: Array, bins: tuple[int, ...], framing: Framing, top_db: float) -> Array:
    """Some bins in decibels (..., T, bins) from 0, ``top_db`` below the loudest of all, to 1."""

    def some(frames: Array, double: bool) -> Array:
        (energy,) = (power_in_double if double else power)(frames, (slice(None),), framing)
        loudest = energy.max(-1, keepdims=True)
        shown = jnp.concatenate([energy[:, np.array(bins)], loudest], -1)
        return 10 * jnp.log10(jnp.maximum(shown, 1e-10))

    decibels = over_frames(some, y, framing)
    loudest = decibels[..., -1:].max(-2, keepdims=True)
    return 1 + (decibels[..., :-1] - jnp.maximum(loudest, _SILENCE_DB + top_db)) / top_db


def log_mel_picture(
    y: Real[Array | np.ndarray, "*batch samples"],
    *,
    sample_rate: int | float,
    size: tuple[int, int] = (80, 80),
    n_fft: int = 2048,
    top_db: int | float = 80.0,
) -> Float[Array, "*batch {size[0]} {size[1]}"]:
    """Log-mel spectrogram with a fixed number of frames, whatever the clip's length.

    The hop is the longest whole number of samples at which ``size[0]`` frames, centred, still
    lie within the clip.

    Parameters
    ----------
    y : audio ``(..., L)``, floating point.
    sample_rate : Hz.
    size : frames and mel bands.
    n_fft : samples in a frame; halved until a frame is at most a quarter of the clip.
    top_db : bands further below the clip's loudest are raised to that.

    Returns
    -------
    ``(..., frames, bands)`` float32 in dB relative to the clip's loudest band, from ``-top_db``
    to 0; all ``-top_db`` for digital silence.

    Raises
    ------
    TypeError
        For audio of integers or complex numbers.
    ValueError
        For options that are not positive, an ``n_fft`` too small to fill each band, and a clip
        that is too short, with the seconds it needs.
    """
    if not (min(size) > 0 and top_db > 0 and n_fft > 0):
        raise ValueError(f"size={size}, top_db={top_db}, n_fft={n_fft}: all must be positive")
    frames, n_mels = size
    num_samples = y.shape[-1]
    shortest = _smallest_n_fft(sample_rate, n_fft, n_mels)
    needed = max(4 * shortest, frames)
    if num_samples < needed:
        raise ValueError(
            f"the clip has {num_samples / sample_rate:.3f} s; a picture of {frames} frames and "
            f"{n_mels} bands needs {needed / sample_rate:.3f} s ({needed} samples at "
            f"{sample_rate} Hz): take longer clips or a smaller size"
        )
    while 4 * n_fft > num_samples:
        n_fft //= 2
    decibels = log_mel(
        y,
        sample_rate=sample_rate,
        top_db=None,
        n_fft=n_fft,
        hop_length=num_samples // max(frames - 1, 1),
        n_mels=n_mels,
    )
    return _below_loudest(decibels[..., :frames, :], top_db)


def _smallest_n_fft(sample_rate: int | float, n_fft: int, n_mels: int) -> int:
    """The last of ``n_fft``, its half, … at which no band is without a bin."""
    fitting = None
    while n_fft and mel_filters(sample_rate=sample_rate, n_fft=n_fft, n_mels=n_mels).any(1).all():
        fitting, n_fft = n_fft, n_fft // 2
    if fitting is None:
        raise ValueError(
            f"n_fft={n_fft} leaves some of {n_mels} bands empty at {sample_rate} Hz: "
            "raise n_fft, or ask for fewer bands"
        )
    return fitting


@partial(jax.jit, static_argnames="top_db")
def _below_loudest(decibels: Array, top_db: float) -> Array:
    loudest = decibels.max(axis=(-2, -1), keepdims=True)
    return jnp.where(loudest > _SILENCE_DB, jnp.maximum(decibels - loudest, -top_db), -top_db)


@partial(jax.jit, static_argnames=("size", "top_db"))
def _colour(decibels: Array, colours: Array, size: tuple[int, int], top_db: float) -> Array:
    loudest = decibels.max(axis=(-2, -1), keepdims=True)
    brightness = 1 + (decibels - jnp.maximum(loudest, _SILENCE_DB + top_db)) / top_db
    return _painted(brightness, colours, size)


@partial(jax.jit, static_argnames="size")
def _painted(brightness: Array, colours: Array | np.ndarray, size: tuple[int, int]) -> Array:
    """(..., T, F) in [0, 1] as pictures of a size, time to the right, the first feature below."""
    rows = jnp.flip(jnp.swapaxes(brightness, -2, -1), axis=-2)
    picture = jax.image.resize(rows, (*rows.shape[:-2], *size), "linear", antialias=True)
    place = jnp.clip(picture, 0, 1) * (len(colours) - 1)
    below = jnp.minimum(place.astype(jnp.int32), len(colours) - 2)
    share = (place - below)[..., None]
    return colours[below] * (1 - share) + colours[below + 1] * share


@lru_cache
def _colours(cmap: str) -> Float[np.ndarray, "256 3"]:
    import matplotlib  # slow to import, and only needed for this table

    try:
        colours = matplotlib.colormaps[cmap]
    except KeyError:
        raise ValueError(
            f"cmap is {cmap!r}; a matplotlib colour map such as 'viridis', 'magma' or 'gray' "
            "is accepted"
        ) from None
    return colours(np.linspace(0, 1, 256))[:, :3].astype(np.float32)
