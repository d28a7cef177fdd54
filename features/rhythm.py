"""Where sounds set in, and how regularly: onset strength and the tempogram, librosa's in JAX.

Beats and tempo are librosa's own, in NumPy.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Float64, Real

from features._frames import by_platform, frames_of
from features._framing import Framing, checked_audio, hann
from features.spectra import log_mel

_N_FFT = 2048  # of the mel spectrogram beneath librosa's tempo and beats


def onset_strength(
    y: Real[Array | np.ndarray, "*batch samples"],
    *,
    sample_rate: int | float,
    n_fft: int = 2048,
    hop_length: int = 512,
) -> Float[Array, "*batch frames"]:
    """How much louder the mel bands get from one frame to the next.

    As ``librosa.onset.onset_strength`` with its defaults: the rise in dB, falls counting as
    zero, is averaged over 128 bands, and shifted so that a frame's onset lies at its middle.

    Parameters
    ----------
    y : audio ``(..., L)``, floating point.
    sample_rate : Hz.
    n_fft, hop_length : samples in a frame, samples between frames.

    Returns
    -------
    ``(..., T)`` float32, in dB, with T = 1 + L // hop_length.

    Raises
    ------
    TypeError, ValueError
        As `features.spectra.mel_spectrogram`.
    """
    decibels = log_mel(y, sample_rate=sample_rate, hop_length=hop_length, n_fft=n_fft)
    return _rise(decibels, shift=1 + n_fft // (2 * hop_length))


def tempogram(
    y: Real[Array | np.ndarray, "*batch samples"],
    *,
    sample_rate: int | float,
    n_fft: int = 2048,
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
    n_fft, hop_length : samples in a frame, samples between frames.
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
    onsets = onset_strength(y, sample_rate=sample_rate, n_fft=n_fft, hop_length=hop_length)
    return _autocorrelations(onsets, win_length)


def tempo(
    y: Real[Array | np.ndarray, "*batch samples"],
    *,
    sample_rate: int | float,
    hop_length: int = 512,
    start_bpm: int | float = 120.0,
    max_tempo: int | float | None = 320.0,
) -> np.float64 | Float64[np.ndarray, "*batch"]:
    """Beats a minute of each clip, by ``librosa.feature.tempo``.

    It is the lag at which the clip's mean tempogram is largest, tempos near ``start_bpm``
    preferred (Ellis 2007); half or twice what a listener taps is the usual error.

    Parameters
    ----------
    y : audio ``(..., L)``, floating point.
    sample_rate : Hz.
    hop_length : samples between frames of the onset strength: tempos are as fine as its lags.
    start_bpm : what is taken for likely, beats a minute; an octave off it counts as one standard
        deviation.
    max_tempo : no tempo from here on is found; None for no bound.

    Returns
    -------
    ``(...)`` float64, a number for one clip; 0 of a clip in which nothing sets in.

    Raises
    ------
    TypeError
        For audio of integers or complex numbers.
    ValueError
        For options that are not positive, and samples that are NaN or infinite.

    Examples
    --------
    >>> import numpy as np
    >>> clicks = np.zeros(10 * 22050, np.float32)
    >>> clicks[:: 22050 // 2] = 1  # two a second
    >>> tempo(clicks, sample_rate=22050).round()
    np.float64(117.0)
    """
    if not (start_bpm > 0 and (max_tempo is None or max_tempo > 0)):
        raise ValueError(f"{start_bpm=}, {max_tempo=}: both must be positive")
    audio = _checked(y, sample_rate, hop_length)
    import librosa  # slow to import, and seldom needed

    def of_clip(clip: np.ndarray) -> float:
        onsets = librosa.onset.onset_strength(y=clip, sr=sample_rate, hop_length=hop_length)
        if not onsets.any():
            return 0.0
        (found,) = librosa.feature.tempo(
            onset_envelope=onsets,
            sr=sample_rate,
            hop_length=hop_length,
            start_bpm=start_bpm,
            max_tempo=max_tempo,
        )
        return float(found)

    found = [of_clip(clip) for clip in audio.reshape(-1, audio.shape[-1])]
    return np.array(found, np.float64).reshape(audio.shape[:-1])[()]


def beats(
    y: Real[Array | np.ndarray, "*shape"],
    *,
    sample_rate: int | float,
    hop_length: int = 512,
    bpm: int | float | None = None,
    start_bpm: int | float = 120.0,
    tightness: int | float = 100.0,
    trim: bool = True,
) -> Float64[np.ndarray, " beats"]:
    """When the beats of a clip are, in seconds, by ``librosa.beat.beat_track``.

    Of all sequences of about one tempo it is the one with the strongest onsets (Ellis 2007).

    Parameters
    ----------
    y : audio ``(L,)`` of one clip, floating point: clips differ in how many beats they have.
    sample_rate : Hz.
    hop_length : samples between frames; beats lie on frames.
    bpm : the tempo, beats a minute, where it is known; None estimates it.
    start_bpm : what is taken for likely, where it is estimated.
    tightness : how closely beats keep to the tempo.
    trim : leave out first and last beats at which hardly anything sets in.

    Returns
    -------
    Times in seconds, ascending; none of a clip in which nothing sets in.

    Raises
    ------
    TypeError, ValueError
        As `tempo`; ValueError also for more than one clip.
    """
    if not (start_bpm > 0 and tightness > 0 and (bpm is None or bpm > 0)):
        raise ValueError(f"{bpm=}, {start_bpm=}, {tightness=}: all must be positive")
    audio = _checked(y, sample_rate, hop_length)
    if bpm is not None and bpm > (most := 60 * sample_rate / hop_length):
        raise ValueError(
            f"{bpm=} is beyond one beat a frame, {most:.5g} a minute: take a smaller hop_length"
        )
    if audio.ndim != 1:
        raise ValueError(
            f"audio has the shape {audio.shape}; one clip (samples,) is accepted: call it for each"
        )
    import librosa  # slow to import, and seldom needed

    _, found = librosa.beat.beat_track(
        y=audio,
        sr=sample_rate,
        hop_length=hop_length,
        start_bpm=start_bpm,
        tightness=tightness,
        trim=trim,
        bpm=bpm,
        units="time",
    )
    return np.asarray(found, np.float64)


def _checked(y: Array | np.ndarray, sample_rate: int | float, hop_length: int) -> np.ndarray:
    if not sample_rate > 0:
        raise ValueError(f"sample_rate is {sample_rate}; it must be positive")
    framing = Framing(_N_FFT, hop_length)
    return np.asarray(checked_audio(y, framing, sample_rate=sample_rate))


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
