"""Where sounds set in, and how regularly: onset strength and the tempogram, librosa's in JAX."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Real

from features._frames import by_platform, frames_of
from features._framing import hann
from features.spectra import log_mel

_N_FFT = 2048  # of the mel spectrogram beneath, as in librosa


def onset_strength(
    y: Real[Array | np.ndarray, "*batch samples"],
    *,
    sample_rate: int | float,
    hop_length: int = 512,
) -> Float[Array, "*batch frames"]:
    """How much louder the mel bands get from one frame to the next.

    As ``librosa.onset.onset_strength`` with its defaults: the rise in dB, falls counting as
    zero, is averaged over 128 bands, and shifted so that a frame's onset lies at its middle.

    Parameters
    ----------
    y : audio ``(..., L)``, floating point.
    sample_rate : Hz.
    hop_length : samples between frames.

    Returns
    -------
    ``(..., T)`` float32, in dB, with T = 1 + L // hop_length.

    Raises
    ------
    TypeError, ValueError
        As `features.spectra.mel_spectrogram`.
    """
    decibels = log_mel(y, sample_rate=sample_rate, hop_length=hop_length, n_fft=_N_FFT)
    return _rise(decibels, shift=1 + _N_FFT // (2 * hop_length))


def tempogram(
    y: Real[Array | np.ndarray, "*batch samples"],
    *,
    sample_rate: int | float,
    hop_length: int = 512,
    win_length: int = 384,
) -> Float[Array, "*batch frames {win_length}"]:
    """Local autocorrelation of the onset strength, as ``librosa.feature.tempogram``.

    Around each frame, ``win_length`` frames of `onset_strength` under a Hann window are compared
    with themselves some frames later: lag k is a tempo of ``60 * sample_rate / (hop_length * k)``
    beats a minute (Grosche, Müller & Kurth 2010).

    Parameters
    ----------
    y : audio ``(..., L)``, floating point.
    sample_rate : Hz.
    hop_length : samples between frames.
    win_length : frames in a window, and lags; 384 are 8.9 s at 22050 Hz and the usual hop.

    Returns
    -------
    ``(..., T, win_length)`` float32 from 0 to 1, which lag 0 has; zeros around which nothing
    sets in. T = 1 + L // hop_length.

    Raises
    ------
    TypeError, ValueError
        As `features.spectra.mel_spectrogram`; ValueError also for a ``win_length`` below 2.

    Notes
    -----
    In a sound that never changes, the onset strength is rounding error, which this divides by
    its own size: no two programs agree there.

    Examples
    --------
    >>> import numpy as np
    >>> tempogram(np.zeros((2, 22050), np.float32), sample_rate=22050).shape
    (2, 44, 384)
    """
    if win_length < 2:
        raise ValueError(f"win_length is {win_length} frames; 2 or more have lags between them")
    onsets = onset_strength(y, sample_rate=sample_rate, hop_length=hop_length)
    return _autocorrelations(onsets, win_length)


@partial(jax.jit, static_argnames="shift")
def _rise(decibels: Array, shift: int) -> Array:
    rise = jnp.maximum(decibels[..., 1:, :] - decibels[..., :-1, :], 0).mean(axis=-1)
    shifted = jnp.pad(rise, [(0, 0)] * (rise.ndim - 1) + [(shift, 0)])
    return shifted[..., : decibels.shape[-2]]


@partial(jax.jit, static_argnames="win_length")
def _autocorrelations(onsets: Array, win_length: int) -> Array:
    frames = onsets.shape[-1]

    def of_clip(onsets: Array) -> Array:
        padded = jnp.pad(onsets, win_length // 2, mode="linear_ramp")  # down to zero
        windows = frames_of(padded, win_length, 1)[:frames] * hann(win_length).astype(np.float32)
        spectrum = jnp.fft.rfft(windows, n=_fast_length(2 * win_length - 1))
        power = spectrum.real**2 + spectrum.imag**2
        lags = jnp.fft.irfft(power, n=_fast_length(2 * win_length - 1))[:, :win_length]
        energy = lags[:, :1]
        return lags / jnp.where(energy > jnp.finfo(jnp.float32).tiny, energy, 1)

    def in_turn(clips: Array, *, windows: int) -> Array:
        return lax.map(of_clip, clips, batch_size=max(1, windows // frames))

    clips = by_platform(
        onsets.reshape(-1, frames),
        cpu=partial(in_turn, windows=2**11),  # that fit the cache
        default=partial(in_turn, windows=2**16),
    )
    return clips.reshape(*onsets.shape[:-1], frames, win_length)


def _fast_length(least: int) -> int:
    """The smallest length from ``least`` on that is a power of two, or three quarters of one."""
    power = 1 << (least - 1).bit_length()
    return power * 3 // 4 if power * 3 // 4 >= least else power
