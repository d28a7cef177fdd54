"""What is measured on the waveform itself, frame by frame: loudness and zero crossings."""

from __future__ import annotations

from functools import partial
from math import gcd

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Real

from features._frames import frames_of, with_margins
from features._framing import Framing, checked_audio

_SILENT = 1e-10  # a sample no larger is zero, as in librosa.zero_crossings


def rms(
    y: Real[Array | np.ndarray, "*batch samples"],
    *,
    frame_length: int = 2048,
    hop_length: int = 512,
    center: bool = True,
    pad_mode: str = "constant",
) -> Float[Array, "*batch frames 1"]:
    """Root mean square of each frame, as ``librosa.feature.rms`` of the samples.

    Parameters
    ----------
    y : audio ``(..., L)``, floating point.
    frame_length, hop_length : samples in a frame, samples between frames.
    center : frame t is centred on sample ``t * hop_length``, with zeros around the clip, or what
        ``pad_mode`` says; otherwise it starts there and the clip must hold a frame.
    pad_mode : as in `features.spectra.mel_spectrogram`.

    Returns
    -------
    ``(..., T, 1)`` float32, in units of the samples.

    Raises
    ------
    TypeError
        For audio of integers or complex numbers.
    ValueError
        For options out of range, a clip too short for a frame, and samples that are NaN or
        infinite.
    """
    return _rms(*_framed(y, frame_length, hop_length, center, pad_mode))


def zero_crossing_rate(
    y: Real[Array | np.ndarray, "*batch samples"],
    *,
    frame_length: int = 2048,
    hop_length: int = 512,
    center: bool = True,
) -> Float[Array, "*batch frames 1"]:
    """Changes of sign within each frame, per sample of it, as ``librosa.feature``'s.

    Zero counts as positive. The rate is a count: its derivative is zero everywhere.

    Parameters
    ----------
    y, frame_length, hop_length, center : as in `rms`, whose errors are raised here too, but the
        first and the last sample are repeated around the clip.

    Returns
    -------
    ``(..., T, 1)`` float32, from 0 to 1.
    """
    return _zero_crossing_rate(*_framed(y, frame_length, hop_length, center, "edge"))


def _framed(
    y: Array | np.ndarray, frame_length: int, hop_length: int, center: bool, pad_mode: str
) -> tuple[Array | np.ndarray, Framing]:
    """Audio in float32 and its framing, both checked."""
    if frame_length < 1:
        raise ValueError(f"frame_length is {frame_length}; it must be positive")
    framing = Framing(frame_length, hop_length, center, pad_mode=pad_mode)
    return checked_audio(y, framing, name="frame_length"), framing


@partial(jax.jit, static_argnames="framing")
def _rms(y: Array, framing: Framing) -> Array:
    y, frame_length, hop_length = with_margins(y, framing), framing.n_fft, framing.hop_length
    step = gcd(frame_length, hop_length)  # frames share their sums over so many samples
    energy = (y[..., : y.shape[-1] // step * step] ** 2).reshape(*y.shape[:-1], -1, step).sum(-1)
    frames = frames_of(energy, frame_length // step, hop_length // step)
    power = jnp.sum(frames, axis=-1, keepdims=True) / frame_length
    sounds = power > 0  # the detour keeps the gradient finite where there is silence
    return jnp.where(sounds, jnp.sqrt(jnp.where(sounds, power, 1)), 0)


@partial(jax.jit, static_argnames="framing")
def _zero_crossing_rate(y: Array, framing: Framing) -> Array:
    frame_length = framing.n_fft
    below = with_margins(y, framing) < -_SILENT
    crossings = jnp.cumsum(below[..., 1:] != below[..., :-1], axis=-1, dtype=jnp.int32)
    so_far = jnp.pad(crossings, [(0, 0)] * (y.ndim - 1) + [(1, 0)])
    starts = np.arange(0, below.shape[-1] - frame_length + 1, framing.hop_length)
    counts = so_far[..., starts + frame_length - 1] - so_far[..., starts]
    return (counts / frame_length)[..., None]
