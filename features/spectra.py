"""Mel spectrograms, MFCC and their slopes: librosa's numbers, in JAX.

Every function takes audio ``(..., L)`` and returns time-major ``(..., T, F)``, is compiled once
for each shape and set of options, and can be jitted, mapped and differentiated by the caller.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import factorial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Real

from features._frames import over_frames, power, power_in_double
from features._framing import Framing, Window, all_finite, checked_audio
from features.mel import MelOptions, filter_parts, mel_filters  # noqa: F401

_AMIN = 1e-10  # the smallest mel power that decibels tell apart, as in librosa.power_to_db


def mel_spectrogram(
    y: Real[Array | np.ndarray, "*batch samples"],
    *,
    sample_rate: int | float,
    n_fft: int = 2048,
    hop_length: int = 512,
    n_mels: int = 128,
    fmin: int | float = 0.0,
    fmax: int | float | None = None,
    power: int | float = 2.0,
    center: bool = True,
    htk: bool = False,
    norm: str | int | float | None = "slaney",
    win_length: int | None = None,
    window: Window = "hann",
    pad_mode: str = "constant",
) -> Float[Array, "*batch frames {n_mels}"]:
    """Spectrogram on the mel scale, as ``librosa.feature.melspectrogram``.

    Parameters
    ----------
    y : audio ``(..., L)``, floating point.
    sample_rate : Hz.
    n_fft, hop_length : samples in a frame, samples between frames.
    n_mels : number of mel bands between ``fmin`` and ``fmax`` (Hz; None: half the sample rate).
        Bands narrower than the FFT's resolution are empty: all zeros.
    power : exponent of the magnitude: 2 for power, 1 for magnitude.
    center : frame t is centred on sample ``t * hop_length``, with zeros around the clip, or what
        ``pad_mode`` says; otherwise it starts there and the clip must hold a frame.
    htk : the mel scale of HTK instead of Slaney's Auditory Toolbox.
    norm : "slaney" (bands of equal area), None (triangles of height 1), or the order p of the
        norm in which each band has length 1 (``np.inf`` too).
    win_length : samples of the window, which lies in the middle of a frame with zeros on both
        sides; None for ``n_fft``.
    window : a name that ``scipy.signal.get_window`` takes ("hann", "hamming", "boxcar"), a tuple
        of one and its parameters (("kaiser", 8.0)), or ``win_length`` numbers.
    pad_mode : what lies around the clip where ``center``: zeros ("constant"), its first and last
        sample ("edge"), or the clip backwards, without its outermost sample ("reflect", which
        needs more than ``n_fft // 2`` samples) or with it ("symmetric", ``n_fft // 2`` of them).

    Returns
    -------
    ``(..., T, n_mels)`` float32, with T = 1 + L // hop_length when centred (n_fft even).

    Raises
    ------
    TypeError
        For audio of integers or complex numbers.
    ValueError
        For options out of range, a clip too short for a frame, and samples that are NaN or
        infinite (where JAX traces the audio, nobody looks for them).

    Notes
    -----
    A clip shorter than ``n_fft`` is a sound among zeros where ``center`` puts them around it: its
    frames are librosa's, and as there a warning says so, in all functions that take ``n_fft``.

    The Fourier transform runs in float64 (float32 on a TPU, which has no other): beneath a loud
    partial, rounding in float32 covers the quiet bands that music has 100 dB further down.
    Derivatives are computed in float32.

    Examples
    --------
    >>> import numpy as np
    >>> mel_spectrogram(np.zeros((2, 22050), np.float32), sample_rate=22050).shape
    (2, 44, 128)
    """
    framing = Framing(n_fft, hop_length, center, win_length, window, pad_mode)
    options = MelOptions(sample_rate, framing, n_mels, fmin, fmax, power, htk, norm)
    return _mel_spectrogram(checked_audio(y, framing, sample_rate=sample_rate), options)


def log_mel(
    y: Real[Array | np.ndarray, "*batch samples"],
    *,
    sample_rate: int | float,
    ref: int | float | Callable[[Array], Array] = 1.0,
    top_db: int | float | None = 80.0,
    n_fft: int = 2048,
    hop_length: int = 512,
    n_mels: int = 128,
    fmin: int | float = 0.0,
    fmax: int | float | None = None,
    power: int | float = 2.0,
    center: bool = True,
    htk: bool = False,
    norm: str | int | float | None = "slaney",
    win_length: int | None = None,
    window: Window = "hann",
    pad_mode: str = "constant",
) -> Float[Array, "*batch frames {n_mels}"]:
    """Mel spectrogram in decibels, as ``librosa.power_to_db`` of it clip by clip.

    Parameters
    ----------
    ref : the mel power of 0 dB: a number, or a function of a clip's mel spectrogram
        ``(T, n_mels)`` such as ``jnp.max``. Powers below 1e-10 count as 1e-10.
    top_db : bands further below the clip's own maximum are raised to that; None for no limit.
    y, sample_rate, n_fft, hop_length, n_mels, fmin, fmax, power, center, htk, norm, win_length, \
    window, pad_mode :
        see `mel_spectrogram`, whose errors are raised here too.

    Returns
    -------
    ``(..., T, n_mels)`` float32, in dB.
    """
    framing = Framing(n_fft, hop_length, center, win_length, window, pad_mode)
    options = MelOptions(sample_rate, framing, n_mels, fmin, fmax, power, htk, norm)
    if top_db is not None and top_db < 0:
        raise ValueError(f"top_db is {top_db}; it must be 0 or more, or None for no limit")
    mel = _mel_spectrogram(checked_audio(y, framing, sample_rate=sample_rate), options)
    if callable(ref):
        clips = mel.reshape(-1, *mel.shape[-2:])
        return _decibels(mel, jax.vmap(ref)(clips).reshape(*mel.shape[:-2], 1, 1), top_db)
    return _decibels(mel, ref, top_db)


def mfcc(
    y: Real[Array | np.ndarray, "*batch samples"],
    *,
    sample_rate: int | float,
    n_mfcc: int = 20,
    n_fft: int = 2048,
    hop_length: int = 512,
    n_mels: int = 128,
    fmin: int | float = 0.0,
    fmax: int | float | None = None,
    power: int | float = 2.0,
    center: bool = True,
    htk: bool = False,
    norm: str | int | float | None = "slaney",
    win_length: int | None = None,
    window: Window = "hann",
    pad_mode: str = "constant",
) -> Float[Array, "*batch frames {n_mfcc}"]:
    """Mel-frequency cepstral coefficients, as ``librosa.feature.mfcc`` of each clip.

    They are the first ``n_mfcc`` coefficients of the orthonormal DCT-II of `log_mel`
    (``ref=1.0``, ``top_db=80``). ``norm`` is that of the mel bands (``mel_norm`` in librosa).

    Parameters
    ----------
    n_mfcc : number of coefficients, at most ``n_mels``.
    y, sample_rate, n_fft, hop_length, n_mels, fmin, fmax, power, center, htk, norm, win_length, \
    window, pad_mode :
        see `mel_spectrogram`, whose errors are raised here too.

    Returns
    -------
    ``(..., T, n_mfcc)`` float32.
    """
    framing = Framing(n_fft, hop_length, center, win_length, window, pad_mode)
    options = MelOptions(sample_rate, framing, n_mels, fmin, fmax, power, htk, norm)
    if not 0 < n_mfcc <= n_mels:
        raise ValueError(
            f"n_mfcc is {n_mfcc}; 1 to n_mels={n_mels} are possible: ask for fewer or raise n_mels"
        )
    return _mfcc(checked_audio(y, framing, sample_rate=sample_rate), options, n_mfcc)


def delta(
    x: Real[Array | np.ndarray, "*batch frames features"], *, width: int = 9, order: int = 1
) -> Float[Array, "*batch frames features"]:
    """Slope (``order=1``), curvature (2) … along time, as ``librosa.feature.delta``.

    Around each frame a polynomial of degree ``order`` is fitted to ``width`` frames
    (Savitzky & Golay 1964); the first and last ``width // 2`` frames take theirs from the fit
    to the outermost ``width`` frames.

    Parameters
    ----------
    x : features ``(..., T, F)``.
    width : odd number of frames, from 3 (and more than ``order``) to T.

    Returns
    -------
    The derivative a frame, shaped as ``x``, float32.

    Raises
    ------
    ValueError
        For a width or order out of range, fewer frames than ``width``, and features that are NaN
        or infinite (where JAX traces them, nobody looks for them).
    """
    if width < 3 or width % 2 == 0 or not 1 <= order < width:
        raise ValueError(
            f"width={width}, order={order}: width must be odd and at least 3, "
            "and order from 1 to width - 1"
        )
    x = jnp.asarray(x, jnp.float32)
    if x.shape[-2] < width:
        raise ValueError(
            f"{x.shape[-2]} frames are fewer than width={width}: "
            "take a smaller odd width or longer clips"
        )
    if not all_finite(x):
        raise ValueError(
            f"of {x.size} features {int((~jnp.isfinite(x)).sum())} are NaN or infinite: look for "
            "them in the audio they were made from, or replace them with numpy.nan_to_num"
        )
    return _delta(x, width, order)


@partial(jax.jit, static_argnames="options")
def _mel_spectrogram(y: Array, options: MelOptions) -> Array:
    parts = filter_parts(options)

    def mel(frames: Array, double: bool) -> Array:
        bins = [some for some, _ in parts]
        energies = (power_in_double if double else power)(frames, bins, options.framing)
        if options.power != 2:
            energies = [_root(energy, options.power / 2) for energy in energies]
        return jnp.concatenate(
            [
                jnp.matmul(energy, filters, precision=lax.Precision.HIGHEST)
                for energy, (_, filters) in zip(energies, parts, strict=True)
            ],
            axis=-1,
        )

    return over_frames(mel, y, options.framing)


def _root(energy: Array, exponent: float) -> Array:
    sounds = energy > 0  # the detour keeps the gradient finite where there is silence
    return jnp.where(sounds, jnp.where(sounds, energy, 1) ** exponent, 0)


@partial(jax.jit, static_argnames="top_db")
def _decibels(mel: Array, ref: Array | int | float, top_db: int | float | None) -> Array:
    zero = 10 * jnp.log10(jnp.maximum(jnp.abs(jnp.asarray(ref, jnp.float32)), _AMIN))

    def decibels(power: Array) -> Array:
        return 10 * jnp.log10(jnp.maximum(power, _AMIN)) - zero

    if top_db is None:
        return decibels(mel)
    # The loudest is looked for before the logarithm: a compiler may compute decibels twice and
    # round them otherwise, and the gradient of a maximum that is nowhere is not a number.
    return jnp.maximum(decibels(mel), decibels(mel.max(axis=(-2, -1), keepdims=True)) - top_db)


@partial(jax.jit, static_argnames=("options", "n_mfcc"))
def _mfcc(y: Array, options: MelOptions, n_mfcc: int) -> Array:
    decibels = _decibels(_mel_spectrogram(y, options), 1.0, 80.0)
    n, k = np.arange(options.n_mels), np.arange(n_mfcc)
    cosines = np.cos(np.pi / options.n_mels * np.outer(n + 0.5, k))
    cosines *= np.sqrt(np.where(k == 0, 1, 2) / options.n_mels)
    return jnp.matmul(decibels, cosines.astype(np.float32), precision=lax.Precision.HIGHEST)


@partial(jax.jit, static_argnames=("width", "order"))
def _delta(x: Array, width: int, order: int) -> Array:
    offsets = np.arange(width) - width // 2
    fit = np.linalg.pinv(np.vander(offsets, order + 1, increasing=True))
    # the derivative of a polynomial of degree `order` is the same all over its frames
    weights = (factorial(order) * fit[order]).astype(np.float32)
    frames = x.shape[-2] - width + 1
    inner = sum(weights[i] * x[..., i : i + frames, :] for i in range(width))
    edge = [(0, 0)] * (x.ndim - 2) + [(width // 2, width // 2), (0, 0)]
    return jnp.pad(inner, edge, mode="edge")
