"""Tracks whose audio is an array in memory, to be cut into clips as decoded files are."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
from jaxtyping import Float32

from features.dataset import Track
from features.limits import MOST_CHANNELS
from features.soundness import QUIET_PEAK


@final
@dataclass(frozen=True, eq=False)
class InMemory:
    """A track that is an array.

    Attributes
    ----------
    track : its label and id; its path is but a name.
    digest : hash of the array, 32 hexadecimal digits.
    samples : (L, 1) float32.
    sample_rate : Hz.
    """

    track: Track
    digest: str
    samples: Float32[np.ndarray, "l 1"]
    sample_rate: int

    @property
    def quiet(self) -> bool:
        """Whether no sample is above `QUIET_PEAK` of 32768."""
        return bool(np.abs(self.samples).max() * 2**15 <= QUIET_PEAK)

    @property
    def num_samples(self) -> int:
        return self.samples.shape[0]

    @property
    def channels(self) -> int:
        return self.samples.shape[1]


def in_memory(audio: np.ndarray, *, label: str, name: str, sample_rate: int) -> InMemory:
    """An array as a track.

    Parameters
    ----------
    audio : (L,), or (L, C), whose channels are averaged: floating point, as a rule in [-1, 1], or
        int16, which is divided by 2**15.
    label : its class.
    name : its id, which errors name.
    sample_rate : Hz.

    Raises
    ------
    ValueError
        Another shape or type, no sample, or one that is not finite; silence: all samples are 0.
    """
    if audio.dtype != np.int16 and not np.issubdtype(audio.dtype, np.floating):
        raise ValueError(
            f"{name} is of type {audio.dtype}: audio is floating point in [-1, 1], or int16"
        )
    if audio.ndim not in (1, 2) or not audio.size:
        raise ValueError(
            f"{name} has the shape {audio.shape}: a track is (L,), or (L, C) with a row a sample"
        )
    if audio.ndim == 2 and audio.shape[1] > MOST_CHANNELS:
        raise ValueError(
            f"{name} has the shape {audio.shape}, and (L, C) has at most {MOST_CHANNELS} channels: "
            "is it the other way round?"
        )
    samples = np.asarray(audio, np.float32)
    if audio.dtype == np.int16:
        samples = samples * np.float32(2**-15)
    if not np.isfinite(samples).all():
        raise ValueError(f"{name} has NaN or Inf samples (float32): repair it or leave it out")
    mono = samples[:, None] if samples.ndim == 1 else samples.mean(1, keepdims=True)
    mono = np.ascontiguousarray(mono)
    if not mono.any():
        raise ValueError(f"{name} is silent: all its samples are 0; leave it out")
    digest = hashlib.blake2b(mono.tobytes(), digest_size=16).hexdigest()
    return InMemory(Track(Path(name), label, name, digest), digest, mono, sample_rate)
