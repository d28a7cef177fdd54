"""What a classifier sees of a clip: the features of a recipe, from audio to arrays.

Each is called with clips (N, L, C) and their sample rate, and makes them mono by averaging.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, get_args

import jax.numpy as jnp
import numpy as np
from jax import Array

from features.pictures import spectrogram_picture
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

    def __call__(self, audio: np.ndarray, sample_rate: int) -> Array:
        """Features (N, T, n_mfcc)."""
        return mfcc(
            audio.mean(-1),
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

    def __call__(self, audio: np.ndarray, sample_rate: int) -> Array:
        """Pictures (N, T, n_mels, 1)."""
        return log_mel(
            audio.mean(-1),
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

    def __call__(self, audio: np.ndarray, sample_rate: int) -> Array:
        """Pictures (N, frames, n_mels, 1), or sequences without the last axis."""
        from features.pictures import log_mel_picture

        pictures = log_mel_picture(
            audio.mean(-1),
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

    def __call__(self, audio: np.ndarray, sample_rate: int) -> Array:
        """Features (N, T, n_mels + win_length)."""
        from features.rhythm import tempogram

        mono, shared = audio.mean(-1), {"sample_rate": sample_rate, "hop_length": self.hop_length}
        bands = log_mel(mono, n_mels=self.n_mels, n_fft=self.n_fft, **shared)
        return jnp.concatenate([bands, tempogram(mono, win_length=self.win_length, **shared)], -1)


@dataclass(frozen=True)
class Picture:
    """A coloured log-mel spectrogram, (height, width, 3) in [0, 1]."""

    height: int = 180
    width: int = 180
    n_fft: int = 2048
    hop_length: int = 512
    n_mels: int = 128
    standardize: ClassVar[bool] = False

    def __call__(self, audio: np.ndarray, sample_rate: int) -> Array:
        """Pictures (N, height, width, 3)."""
        return spectrogram_picture(
            audio.mean(-1),
            sample_rate=sample_rate,
            size=(self.height, self.width),
            n_fft=self.n_fft,
            hop_length=self.hop_length,
            n_mels=self.n_mels,
        )


Input = Mfcc | LogMel | LogMelPicture | LogMelTempogram | Picture


def from_dict(values: Mapping[str, Any]) -> Input:
    """The input that `experiments.settings.as_dict` wrote, with its type's name."""
    kinds = {kind.__name__: kind for kind in get_args(Input)}
    settings = {name: value for name, value in values.items() if name != "type"}
    return kinds[values["type"]](**settings)
