"""What a classifier sees of a clip: extractors, from audio to arrays, each with its settings.

An extractor is one entry: a frozen dataclass under `register_extractor`, of this module or of a
user's. Each is called with clips (N, L, C), or mono ones (N, L) or (L,), and their sample rate, and
makes them mono by averaging.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from features._framing import Framing, on_device
from features.alterations import Alteration
from features.extractor_registry import (
    EXTRACTORS,
    Extractor,
    as_dict,
    from_dict,
    mono,
    register_extractor,
)
from features.mel import check_norm
from features.pictures import log_mel_picture, spectrogram_picture, tempo_picture
from features.rhythm import tempo, tempogram
from features.spectra import delta, log_mel, mfcc

__all__ = ["EXTRACTORS", "Augmented", "Extractor", "as_dict", "from_dict", "mono"]
__all__ += ["LogMel", "LogMelPicture", "LogMelTempogram", "Mfcc", "PannsLogMel", "Picture"]
__all__ += [
    "MadeElsewhere",
    "Statistics",
    "Supplied",
    "SuppliedPictures",
    "TempoAndPicture",
    "TempoPicture",
    "Waveform",
    "register_extractor",
]


def _check_mel(made: Mfcc | LogMel) -> None:
    """Raise ValueError for settings that `features.log_mel` refuses at any sample rate."""
    framing = Framing(
        made.n_fft,
        made.hop_length,
        win_length=made.win_length,
        window=made.window,
        pad_mode=made.pad_mode,
    )
    object.__setattr__(made, "window", framing.window)  # of Python's numbers, as JSON has them
    check_norm(made.norm)


@register_extractor
@dataclass(frozen=True)
class Mfcc:
    """MFCC over time, (T, n_mfcc), standardised with the training clips' moments or as they are.

    Settings are those of `features.mfcc`. With ``norm=None, pad_mode="reflect"`` (and ``htk``, the
    default) they are the MFCC of torchaudio.
    """

    n_mfcc: int = 40
    n_fft: int = 900
    hop_length: int = 160
    n_mels: int = 40
    htk: bool = True
    norm: str | float | None = "slaney"
    win_length: int | None = None
    window: str | tuple[Any, ...] = "hann"
    pad_mode: str = "constant"
    standardize: bool = True

    def __post_init__(self) -> None:
        _check_mel(self)

    def __call__(self, audio: np.ndarray | Array, sample_rate: int) -> Array:
        """Features (N, T, n_mfcc)."""
        return mfcc(
            mono(audio),
            sample_rate=sample_rate,
            n_mfcc=self.n_mfcc,
            n_fft=self.n_fft,
            hop_length=self.hop_length,
            n_mels=self.n_mels,
            htk=self.htk,
            norm=self.norm,
            win_length=self.win_length,
            window=self.window,
            pad_mode=self.pad_mode,
        )


@register_extractor
@dataclass(frozen=True)
class LogMel:
    """A log-mel spectrogram as a picture of one channel, (T, n_mels, 1).

    In dB, standardised or as they are; ``relative`` to the clip's own maximum they lie in [-80, 0],
    however loud it is. The other settings are those of `features.log_mel`.
    """

    n_mels: int = 128
    n_fft: int = 2048
    hop_length: int = 512
    htk: bool = False
    norm: str | float | None = "slaney"
    win_length: int | None = None
    window: str | tuple[Any, ...] = "hann"
    pad_mode: str = "constant"
    relative: bool = False
    standardize: bool = True

    def __post_init__(self) -> None:
        _check_mel(self)

    def __call__(self, audio: np.ndarray | Array, sample_rate: int) -> Array:
        """Pictures (N, T, n_mels, 1)."""
        return log_mel(
            mono(audio),
            sample_rate=sample_rate,
            ref=jnp.max if self.relative else 1.0,
            n_mels=self.n_mels,
            n_fft=self.n_fft,
            hop_length=self.hop_length,
            htk=self.htk,
            norm=self.norm,
            win_length=self.win_length,
            window=self.window,
            pad_mode=self.pad_mode,
        )[..., None]


@register_extractor
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
            mono(audio),
            sample_rate=sample_rate,
            size=(self.frames, self.n_mels),
            n_fft=self.n_fft,
        )
        return pictures if self.sequence else pictures[..., None]


@register_extractor
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
        one = mono(audio)
        frames: dict[str, Any] = {"n_fft": self.n_fft, "hop_length": self.hop_length}
        frames |= {"sample_rate": sample_rate}
        bands = log_mel(one, n_mels=self.n_mels, **frames)
        lags = tempogram(one, win_length=self.win_length, **frames)
        return jnp.concatenate([bands, lags], -1)


# Where matplotlib puts the one plot of a figure, in shares of its height from above and its width.
_ROWS, _COLUMNS = (0.12, 0.89), (0.125, 0.9)
# Shares of red, green and blue in grey, ITU-R BT.601.
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def _inner(size: int, ends: tuple[float, float]) -> tuple[int, int]:
    """The pixels of a figure that its plot takes, from and to."""
    return round(size * ends[0]), round(size * ends[1])


@register_extractor
@dataclass(frozen=True)
class Picture:
    """A coloured log-mel spectrogram, (height, width, 3) in [0, 1].

    With ``margins`` there is white around it, as in the pictures that come with GTZAN.
    """

    height: int = 180
    width: int = 180
    n_fft: int = 2048
    hop_length: int = 512
    n_mels: int = 128
    cmap: str = "viridis"
    margins: bool = False
    standardize: ClassVar[bool] = False

    def __call__(self, audio: np.ndarray | Array, sample_rate: int) -> Array:
        """Pictures (N, height, width, 3)."""
        rows, columns = (
            _inner(size, ends) if self.margins else (0, size)
            for size, ends in ((self.height, _ROWS), (self.width, _COLUMNS))
        )
        pictures = spectrogram_picture(
            mono(audio),
            sample_rate=sample_rate,
            size=(rows[1] - rows[0], columns[1] - columns[0]),
            n_fft=self.n_fft,
            hop_length=self.hop_length,
            n_mels=self.n_mels,
            cmap=self.cmap,
        )
        around = [(0, 0), *((start, size - stop) for size, (start, stop) in
                            ((self.height, rows), (self.width, columns))), (0, 0)]  # fmt: skip
        return jnp.pad(pictures, around, constant_values=1) if self.margins else pictures


@register_extractor
@dataclass(frozen=True)
class TempoPicture:
    """A coloured tempogram above a coloured spectrogram, (height, width, 3) in [-1, 1]."""

    height: int = 500
    width: int = 500
    n_fft: int = 2048
    hop_length: int = 512
    standardize: ClassVar[bool] = False

    def __call__(self, audio: np.ndarray | Array, sample_rate: int) -> Array:
        """Pictures (N, height, width, 3)."""
        pictures = tempo_picture(
            mono(audio),
            sample_rate=sample_rate,
            size=(self.height, self.width),
            n_fft=self.n_fft,
            hop_length=self.hop_length,
        )
        return 2 * pictures - 1


@register_extractor
@dataclass(frozen=True)
class TempoAndPicture:
    """The tempo in beats a minute, then a `TempoPicture` in grey, in one row: (1 + size²,).

    The grey values lie in [0, 1].
    """

    size: int = 80
    n_fft: int = 2048
    hop_length: int = 512
    standardize: ClassVar[bool] = False

    def __call__(self, audio: np.ndarray | Array, sample_rate: int) -> np.ndarray:
        """Features (N, 1 + size²)."""
        one: Any = mono(audio)
        frames: dict[str, Any] = {"sample_rate": sample_rate, "hop_length": self.hop_length}
        pictures = tempo_picture(one, size=(self.size, self.size), n_fft=self.n_fft, **frames)
        grey = np.asarray(pictures) @ _LUMA
        beats_a_minute = np.asarray(tempo(one, **frames), np.float32)[..., None]
        return np.concatenate([beats_a_minute, grey.reshape(*one.shape[:-1], -1)], -1)


@register_extractor
@dataclass(frozen=True)
class Statistics:
    """Mean, deviation, least and largest value over time of MFCC, their slopes, and log-mel bands.

    A row of numbers (F,) a clip, F = 4 (2 n_mfcc + n_mels), standardised.
    """

    n_mfcc: int = 20
    n_mels: int = 128
    n_fft: int = 2048
    hop_length: int = 512
    standardize: ClassVar[bool] = True

    def __call__(self, audio: np.ndarray | Array, sample_rate: int) -> Array:
        """Features (N, F)."""
        one: Any = mono(audio)
        frames: dict[str, Any] = {"n_fft": self.n_fft, "hop_length": self.hop_length}
        frames |= {"sample_rate": sample_rate, "n_mels": self.n_mels}
        cepstra = mfcc(one, n_mfcc=self.n_mfcc, **frames)
        over_time = jnp.concatenate([cepstra, delta(cepstra), log_mel(one, **frames)], -1)
        found = [over_time.mean(-2), over_time.std(-2), over_time.min(-2), over_time.max(-2)]
        return jnp.concatenate(found, -1)


@register_extractor
@dataclass(frozen=True)
class PannsLogMel:
    """The log-mel spectrogram that PANNs hear, (T, 64) in dB; their networks normalise it.

    Of 32 kHz, with windows of 32 ms, bands from 50 Hz to 14 kHz, and a clip's ends mirrored
    (Kong et al. 2020, arXiv:1912.10211).
    """

    standardize: ClassVar[bool] = False
    sample_rate: ClassVar[int] = 32_000

    def __call__(self, audio: np.ndarray | Array, sample_rate: int) -> Array:
        """Features (N, T, 64)."""
        if sample_rate != self.sample_rate:
            raise ValueError(f"PANNs hear {self.sample_rate} Hz, not {sample_rate}")
        one: Any = mono(audio)
        pad = np.pad if isinstance(one, np.ndarray) else jnp.pad  # NumPy's needs no program
        mirrored = pad(one, [(0, 0)] * (one.ndim - 1) + [(512, 512)], mode="reflect")
        bands: dict[str, Any] = {"n_mels": 64, "fmin": 50, "fmax": 14_000}
        frames: dict[str, Any] = {"n_fft": 1024, "hop_length": 320, "center": False}
        return log_mel(mirrored, sample_rate=sample_rate, top_db=None, **frames, **bands)


@register_extractor
@dataclass(frozen=True)
class Waveform:
    """The samples themselves, mono, so many to a step: (L // frame, frame), as they are.

    A network that goes from step to step takes long: a second has thousands.
    """

    frame: int = 1
    standardize: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.frame < 1:
            raise ValueError(f"frame is at least a sample, found {self.frame}")

    def __call__(self, audio: np.ndarray | Array, sample_rate: int) -> Array:
        """Samples (N, L // frame, frame)."""
        one = mono(audio)
        if not (steps := one.shape[-1] // self.frame):
            raise ValueError(f"{one.shape[-1]} samples are fewer than a frame of {self.frame}")
        cut = one[..., : steps * self.frame].reshape(*one.shape[:-1], steps, self.frame)
        return on_device(cut)


class MadeElsewhere(ABC):
    """Features that a user's files supply: there is nothing to be had from audio.

    Attributes
    ----------
    what : what they are, in a few words.
    """

    what: ClassVar[str]

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Of the features of a clip, without the batch axis."""

    def __call__(self, audio: np.ndarray | Array, sample_rate: int) -> Array:
        """Raise ValueError."""
        raise ValueError(f"these features are {self.what}: they can't be computed from audio")


@register_extractor
@dataclass(frozen=True)
class Supplied(MadeElsewhere):
    """Embeddings (size,) that a user's file supplies (`read_embeddings`), standardised.

    ``digest`` is of the file's content. What made them is not known here.
    """

    size: int = 0
    digest: str = ""
    standardize: ClassVar[bool] = True
    what: ClassVar[str] = "embeddings that a file supplied"

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.size,)


@register_extractor
@dataclass(frozen=True)
class SuppliedPictures(MadeElsewhere):
    """Pictures (height, width, 3) in [0, 1] that a user's folder supplies (`read_pictures`).

    ``digest`` is of what was read.
    """

    height: int = 0
    width: int = 0
    digest: str = ""
    standardize: ClassVar[bool] = False
    what: ClassVar[str] = "pictures that a folder supplied"

    @property
    def shape(self) -> tuple[int, ...]:
        return self.height, self.width, 3


@dataclass(frozen=True)
class Augmented:
    """An extractor of altered clips.

    What is drawn for a clip follows from the seed and from the clip's own samples, so that it is
    the same in whatever batch the clip is.
    """

    input: Extractor
    augmentation: Alteration
    seed: int

    def __call__(self, audio: np.ndarray | Array, sample_rate: int) -> np.ndarray | Array:
        """Features (N, ...) of one altered copy of each clip; a clip (L,) is a batch of one."""
        samples = jnp.asarray(audio, jnp.float32)
        samples = samples if samples.ndim == 3 else samples.reshape(-1, samples.shape[-1], 1)
        marks = jax.lax.bitcast_convert_type(samples, jnp.uint32).sum((1, 2), dtype=jnp.uint32)
        keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(self.seed), marks)
        return self.input(self.augmentation(keys, samples, sample_rate), sample_rate)
