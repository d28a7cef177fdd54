"""What a classifier sees of a clip: the features of a recipe, from audio to arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jax import Array

from features.pictures import spectrogram_picture
from features.spectra import mfcc


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
        """Features (N, T, n_mfcc) of clips (N, L, C), mono by averaging."""
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
class Picture:
    """A coloured log-mel spectrogram, (height, width, 3) in [0, 1]."""

    height: int = 180
    width: int = 180
    n_fft: int = 2048
    hop_length: int = 512
    n_mels: int = 128
    standardize: ClassVar[bool] = False

    def __call__(self, audio: np.ndarray, sample_rate: int) -> Array:
        """Pictures (N, height, width, 3) of clips (N, L, C), mono by averaging."""
        return spectrogram_picture(
            audio.mean(-1),
            sample_rate=sample_rate,
            size=(self.height, self.width),
            n_fft=self.n_fft,
            hop_length=self.hop_length,
            n_mels=self.n_mels,
        )


Input = Mfcc | Picture
