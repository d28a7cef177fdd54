"""What a classifier sees of a clip: the features of a recipe, from audio to arrays.

Each is called with clips (N, L, C) and their sample rate, and makes them mono by averaging.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from features.augmentation import WaveformAugmentation
from features.pictures import log_mel_picture, spectrogram_picture
from features.rhythm import tempogram
from features.spectra import log_mel, mfcc


@dataclass(frozen=True)
class Mfcc:
    """MFCC over time, (T, n_mfcc), standardised with the training clips' moments."""

    n_mfcc: int = 40
    n_fft: int = 900
    hop_length: int = 160
    n_mels: int = 40
    htk: bool = True
    standardize: ClassVar[bool] = True

    def __call__(self, audio: np.ndarray | Array, sample_rate: int) -> Array:
        """Features (N, T, n_mfcc)."""
        return mfcc(
            _mono(audio),
            sample_rate=sample_rate,
            n_mfcc=self.n_mfcc,
            n_fft=self.n_fft,
            hop_length=self.hop_length,
            n_mels=self.n_mels,
            htk=self.htk,
        )


@dataclass(frozen=True)
class LogMel:
    """A log-mel spectrogram as a picture of one channel, (T, n_mels, 1), standardised."""

    n_mels: int = 128
    n_fft: int = 2048
    hop_length: int = 512
    standardize: ClassVar[bool] = True

    def __call__(self, audio: np.ndarray | Array, sample_rate: int) -> Array:
        """Pictures (N, T, n_mels, 1)."""
        return log_mel(
            _mono(audio),
            sample_rate=sample_rate,
            n_mels=self.n_mels,
            n_fft=self.n_fft,
            hop_length=self.hop_length,
        )[..., None]


@dataclass(frozen=True)
class LogMelPicture:
    """A log-mel spectrogram of a fixed size, whatever the clip's length, standardised.

    ``sequence`` leaves out the channel: (frames, n_mels) instead of (frames, n_mels, 1).
    """

    frames: int = 80
    n_mels: int = 80
    n_fft: int = 2048
    sequence: bool = False
    standardize: ClassVar[bool] = True

    def __call__(self, audio: np.ndarray | Array, sample_rate: int) -> Array:
        """Pictures (N, frames, n_mels, 1), or sequences without the last axis."""
        pictures = log_mel_picture(
            _mono(audio),
            sample_rate=sample_rate,
            size=(self.frames, self.n_mels),
            n_fft=self.n_fft,
        )
        return pictures if self.sequence else pictures[..., None]


@dataclass(frozen=True)
class LogMelTempogram:
    """Log-mel bands and a tempogram's lags side by side, (T, n_mels + win_length), standardised."""

    n_mels: int = 80
    n_fft: int = 2048
    hop_length: int = 512
    win_length: int = 128
    standardize: ClassVar[bool] = True

    def __call__(self, audio: np.ndarray | Array, sample_rate: int) -> Array:
        """Features (N, T, n_mels + win_length)."""
        mono, hop_length = _mono(audio), self.hop_length
        bands = log_mel(
            mono,
            sample_rate=sample_rate,
            n_mels=self.n_mels,
            n_fft=self.n_fft,
            hop_length=hop_length,
        )
        lags = tempogram(
            mono, sample_rate=sample_rate, hop_length=hop_length, win_length=self.win_length
        )
        return jnp.concatenate([bands, lags], -1)


@dataclass(frozen=True)
class Picture:
    """A coloured log-mel spectrogram, (height, width, 3) in [0, 1]."""

    height: int = 180
    width: int = 180
    n_fft: int = 2048
    hop_length: int = 512
    n_mels: int = 128
    standardize: ClassVar[bool] = False

    def __call__(self, audio: np.ndarray | Array, sample_rate: int) -> Array:
        """Pictures (N, height, width, 3)."""
        return spectrogram_picture(
            _mono(audio),
            sample_rate=sample_rate,
            size=(self.height, self.width),
            n_fft=self.n_fft,
            hop_length=self.hop_length,
            n_mels=self.n_mels,
        )


Input = Mfcc | LogMel | LogMelPicture | LogMelTempogram | Picture


@dataclass(frozen=True)
class Augmented:
    """An input of altered clips.

    What is drawn for a clip follows from the seed and from the clip's own samples, so that it is
    the same in whatever batch the clip is.
    """

    input: Input
    augmentation: WaveformAugmentation
    seed: int

    def __call__(self, audio: np.ndarray | Array, sample_rate: int) -> Array:
        """Features (N, ...) of one altered copy of each clip."""
        samples = jnp.asarray(audio, jnp.float32)
        marks = jax.lax.bitcast_convert_type(samples, jnp.uint32).sum((1, 2), dtype=jnp.uint32)
        keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(self.seed), marks)
        return self.input(self.augmentation(keys, samples, sample_rate), sample_rate)


def _mono(audio: np.ndarray | Array) -> np.ndarray | Array:
    return audio[..., 0] if audio.shape[-1] == 1 else audio.mean(-1)


def from_dict(values: Mapping[str, Any]) -> Input:
    """The input that `experiments.config.as_dict` wrote, with its type's name."""
    kinds = {kind.__name__: kind for kind in get_args(Input)}
    settings = {name: value for name, value in values.items() if name != "type"}
    return kinds[values["type"]](**settings)
