"""What clips sound like, as points: a fixed summary of their log-mel bands, without a network."""

from __future__ import annotations

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from features.spectra import mel_spectrogram
from wavegan.windows import SHORTEST

BANDS = 40
FRAME = 0.05  # seconds, about
FLOOR = 1e-8  # mel power that is added: -80 dB of a full-scale sine
BATCH = 64


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
    audio = with_channels(audio)
    n, length, channels = audio.shape
    if n < 1 or length < SHORTEST:
        raise ValueError(f"audio must be 1 clip or more of {SHORTEST} samples, found {audio.shape}")
    n_fft = 2 ** min(round(math.log2(FRAME * sample_rate)), int(math.log2(length)) - 1)
    parts = []
    for start in range(0, n, BATCH):
        clips = np.asarray(audio[start : start + BATCH], np.float32)
        if not np.isfinite(clips).all():
            clip = start + int(np.argwhere(~np.isfinite(clips))[0][0])
            raise ValueError(f"clip {clip} holds NaN or Inf: nothing can be said of it")
        # Few sizes, few compilations.
        size = 2 ** math.ceil(math.log2(len(clips)))
        padded = np.resize(clips, (size, length, channels))
        parts.append(np.asarray(_embed(padded, sample_rate, n_fft))[: len(clips)])
    return np.concatenate(parts)


def with_channels(audio: Array | np.ndarray) -> Array | np.ndarray:
    """Mono clips (n, L) as (n, L, 1); others as they are."""
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
