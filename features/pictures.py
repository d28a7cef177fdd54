"""Spectrograms of a fixed size: what the image classifiers look at."""

from __future__ import annotations

from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Real

from features.spectra import log_mel, mel_filters

_SILENCE_DB = -100.0  # log_mel of digital silence at ref=1


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
