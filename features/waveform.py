"""What is measured on the waveform itself, frame by frame: loudness and zero crossings."""

from __future__ import annotations

from functools import partial
from math import gcd

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Real

from features._frames import audio_of, frames_of

_SILENT = 1e-10  # a sample no larger is zero, as in librosa.zero_crossings


def rms(
    y: Real[Array | np.ndarray, "*batch samples"],
    *,
    frame_length: int = 2048,
    hop_length: int = 512,
    center: bool = True,
) -> Float[Array, "*batch frames 1"]:
    """Root mean square of each frame, as ``librosa.feature.rms`` of the samples.

    Parameters
    ----------
    y : audio ``(..., L)``, floating point.
    frame_length, hop_length : samples in a frame, samples between frames.
    center : frame t is centred on sample ``t * hop_length``, with zeros around the clip;
        otherwise it starts there and the clip must hold a frame.

    Returns
    -------
    ``(..., T, 1)`` float32, in units of the samples.

    Raises
    ------
    TypeError
        For audio of integers or complex numbers.
    ValueError
        For lengths that are not positive, and for a clip too short for a frame.
    """
    y = checked_audio(y, hop_length, center, frame_length=frame_length)
    return _rms(y, frame_length, hop_length, center)


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
    y = checked_audio(y, hop_length, center, frame_length=frame_length)
    return _zero_crossing_rate(y, frame_length, hop_length, center)


def checked_audio(
    y: Array | np.ndarray, hop_length: int, center: bool, **frame: int
) -> Float[Array | np.ndarray, "*batch samples"]:
    """Audio in float32, if it holds a frame; ``frame`` names its length as the caller does."""
    ((name, length),) = frame.items()
    if length < 1 or hop_length < 1:
        raise ValueError(f"{name}={length}, hop_length={hop_length}: both must be positive")
    y = audio_of(y)
    if y.shape[-1] < (needed := 1 if center else length):
        raise ValueError(
            f"the clip has {y.shape[-1]} samples; at least {needed} are needed with "
            f"{name}={length}, center={center}: take longer clips, a smaller {name} or center=True"
        )
    return y


@partial(jax.jit, static_argnames=("frame_length", "hop_length", "center"))
def _rms(y: Array, frame_length: int, hop_length: int, center: bool) -> Array:
    y = _with_margins(y, frame_length, center, "constant")
    step = gcd(frame_length, hop_length)  # frames share their sums over so many samples
    energy = (y[..., : y.shape[-1] // step * step] ** 2).reshape(*y.shape[:-1], -1, step).sum(-1)
    frames = frames_of(energy, frame_length // step, hop_length // step)
    power = jnp.sum(frames, axis=-1, keepdims=True) / frame_length
    sounds = power > 0  # the detour keeps the gradient finite where there is silence
    return jnp.where(sounds, jnp.sqrt(jnp.where(sounds, power, 1)), 0)


@partial(jax.jit, static_argnames=("frame_length", "hop_length", "center"))
def _zero_crossing_rate(y: Array, frame_length: int, hop_length: int, center: bool) -> Array:
    below = _with_margins(y, frame_length, center, "edge") < -_SILENT
    crossings = jnp.cumsum(below[..., 1:] != below[..., :-1], axis=-1, dtype=jnp.int32)
    so_far = jnp.pad(crossings, [(0, 0)] * (y.ndim - 1) + [(1, 0)])
    starts = np.arange(0, below.shape[-1] - frame_length + 1, hop_length)
    counts = so_far[..., starts + frame_length - 1] - so_far[..., starts]
    return (counts / frame_length)[..., None]


def _with_margins(y: Array, frame_length: int, center: bool, mode: str) -> Array:
    margin = frame_length // 2 if center else 0
    return jnp.pad(y, [(0, 0)] * (y.ndim - 1) + [(margin, margin)], mode=mode)
