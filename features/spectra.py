"""Mel spectrograms, MFCC and their slopes: librosa's numbers, in JAX.

Every function takes audio ``(..., L)`` and returns time-major ``(..., T, F)``, is compiled once
for each shape and set of options, and can be jitted, mapped and differentiated by the caller.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from math import factorial, inf

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Complex, Float, Real

_AMIN = 1e-10  # the smallest mel power that decibels tell apart, as in librosa.power_to_db


@dataclass(frozen=True)
class _Mel:
    """The options of a mel spectrogram, checked; hashable, so that they key the compilation."""

    sample_rate: int | float
    n_fft: int
    hop_length: int
    n_mels: int
    fmin: int | float
    fmax: int | float | None
    power: int | float
    center: bool
    htk: bool
    norm: str | int | float | None

    def __post_init__(self) -> None:
        for name in ("sample_rate", "n_fft", "hop_length", "n_mels", "power"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be positive")
        nyquist = self.sample_rate / 2
        if not 0 <= self.fmin < self.top <= nyquist:
            raise ValueError(
                f"fmin={self.fmin}, fmax={self.fmax} is no frequency range at sample_rate="
                f"{self.sample_rate}: 0 <= fmin < fmax <= {nyquist} Hz (half the rate) is; "
                "fmax=None takes all"
            )
        if isinstance(self.norm, str) and self.norm != "slaney":
            raise ValueError(f"norm is {self.norm!r}; 'slaney', None or a number is accepted")
        if isinstance(self.norm, (int, float)) and self.norm < 0 and self.norm != -inf:
            raise ValueError(f"norm is {self.norm}; the order of a norm must be 0 or more")

    @property
    def top(self) -> float:
        return self.sample_rate / 2 if self.fmax is None else self.fmax


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
) -> Float[Array, "*batch frames {n_mels}"]:
    """Spectrogram on the mel scale, as ``librosa.feature.melspectrogram`` (Hann window).

    Parameters
    ----------
    y : audio ``(..., L)``, floating point.
    sample_rate : Hz.
    n_fft, hop_length : samples in a frame, samples between frames.
    n_mels : number of mel bands between ``fmin`` and ``fmax`` (Hz; None: half the sample rate).
        Bands narrower than the FFT's resolution are empty: all zeros.
    power : exponent of the magnitude: 2 for power, 1 for magnitude.
    center : frame t is centred on sample ``t * hop_length``, with zeros around the clip;
        otherwise it starts there and the clip must hold a frame.
    htk : the mel scale of HTK instead of Slaney's Auditory Toolbox.
    norm : "slaney" (bands of equal area), None (triangles of height 1), or the order p of the
        norm in which each band has length 1 (``np.inf`` too).

    Returns
    -------
    ``(..., T, n_mels)`` float32, with T = 1 + L // hop_length when centred (n_fft even).

    Raises
    ------
    TypeError
        For audio of integers or complex numbers.
    ValueError
        For options out of range, and for a clip too short for a frame.

    Notes
    -----
    The Fourier transform runs in float64 (float32 on a TPU, which has no other): beneath a loud
    partial, rounding in float32 covers the quiet bands that music has 100 dB further down.
    Derivatives are computed in float32.

    Examples
    --------
    >>> import numpy as np
    >>> mel_spectrogram(np.zeros((2, 22050), np.float32), sample_rate=22050).shape
    (2, 44, 128)
    """
    options = _Mel(sample_rate, n_fft, hop_length, n_mels, fmin, fmax, power, center, htk, norm)
    return _mel_spectrogram(_audio(y, options), options)


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
) -> Float[Array, "*batch frames {n_mels}"]:
    """Mel spectrogram in decibels, as ``librosa.power_to_db`` of it clip by clip.

    Parameters
    ----------
    ref : the mel power of 0 dB: a number, or a function of a clip's mel spectrogram
        ``(T, n_mels)`` such as ``jnp.max``. Powers below 1e-10 count as 1e-10.
    top_db : bands further below the clip's own maximum are raised to that; None for no limit.
    y, sample_rate, n_fft, hop_length, n_mels, fmin, fmax, power, center, htk, norm :
        see `mel_spectrogram`, whose errors are raised here too.

    Returns
    -------
    ``(..., T, n_mels)`` float32, in dB.
    """
    options = _Mel(sample_rate, n_fft, hop_length, n_mels, fmin, fmax, power, center, htk, norm)
    if top_db is not None and top_db < 0:
        raise ValueError(f"top_db is {top_db}; it must be 0 or more, or None for no limit")
    mel = _mel_spectrogram(_audio(y, options), options)
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
) -> Float[Array, "*batch frames {n_mfcc}"]:
    """Mel-frequency cepstral coefficients, as ``librosa.feature.mfcc`` of each clip.

    They are the first ``n_mfcc`` coefficients of the orthonormal DCT-II of `log_mel`
    (``ref=1.0``, ``top_db=80``). ``norm`` is that of the mel bands (``mel_norm`` in librosa).

    Parameters
    ----------
    n_mfcc : number of coefficients, at most ``n_mels``.
    y, sample_rate, n_fft, hop_length, n_mels, fmin, fmax, power, center, htk, norm :
        see `mel_spectrogram`, whose errors are raised here too.

    Returns
    -------
    ``(..., T, n_mfcc)`` float32.
    """
    options = _Mel(sample_rate, n_fft, hop_length, n_mels, fmin, fmax, power, center, htk, norm)
    if not 0 < n_mfcc <= n_mels:
        raise ValueError(
            f"n_mfcc is {n_mfcc}; 1 to n_mels={n_mels} are possible: ask for fewer or raise n_mels"
        )
    return _mfcc(_audio(y, options), options, n_mfcc)


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
        For a width or order out of range, or fewer frames than ``width``.
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
    return _delta(x, width, order)


def mel_filters(
    *,
    sample_rate: int | float,
    n_fft: int,
    n_mels: int = 128,
    fmin: int | float = 0.0,
    fmax: int | float | None = None,
    htk: bool = False,
    norm: str | int | float | None = "slaney",
) -> Float[np.ndarray, "{n_mels} bins"]:
    """Triangular filters on the mel scale, as ``librosa.filters.mel``, in float64.

    Returns
    -------
    ``(n_mels, 1 + n_fft // 2)``: multiplied with a spectrum, gives the mel bands.
    """
    return _filters(_Mel(sample_rate, n_fft, 1, n_mels, fmin, fmax, 2.0, True, htk, norm))


def _audio(y: Array | np.ndarray, options: _Mel) -> Array:
    if not jnp.issubdtype(y.dtype, jnp.floating):
        raise TypeError(
            f"audio has the type {y.dtype}; floating point in [-1, 1] is accepted: "
            "divide 16-bit integers by 32768"
        )
    needed = 1 if options.center else options.n_fft
    if y.shape[-1] < needed:
        raise ValueError(
            f"the clip has {y.shape[-1]} samples; at least {needed} are needed with "
            f"n_fft={options.n_fft}, center={options.center}: take longer clips, a smaller n_fft"
            " or center=True"
        )
    return jnp.asarray(y, jnp.float32)


@partial(jax.jit, static_argnames="options")
def _mel_spectrogram(y: Array, options: _Mel) -> Array:
    n_fft, hop = options.n_fft, options.hop_length
    margin = n_fft // 2 if options.center else 0
    frames = 1 + (y.shape[-1] + 2 * margin - n_fft) // hop

    def blockwise(y: Array, *, block: int, double: bool) -> Array:
        """The same in parts of about ``block`` samples of frames."""
        at_once = max(1, block // n_fft)  # frames
        parts = -(-frames // at_once)  # of a clip
        each = -(-frames // parts)  # frames in a part
        length = (each - 1) * hop + n_fft
        right = (parts - 1) * each * hop + length - margin - y.shape[-1]
        y = lax.pad(y, jnp.float32(0), [(0, 0, 0), (margin, right, 0)])
        segments = _frames(y, length, each * hop).reshape(-1, length)
        one = partial(_mel_of_segment, options=options, double=double)
        mel = lax.map(one, segments, batch_size=max(1, at_once // each))
        return mel.reshape(y.shape[0], parts * each, options.n_mels)[:, :frames]

    # On a CPU what fits the cache is several times faster than the whole; a GPU wants it whole,
    # up to a share of its memory.
    mel = lax.platform_dependent(
        y.reshape(-1, y.shape[-1]),
        cpu=partial(blockwise, block=2**19, double=True),
        tpu=partial(blockwise, block=2**26, double=False),
        default=partial(blockwise, block=2**26, double=True),
    )
    return mel.reshape(*y.shape[:-1], *mel.shape[1:])


def _mel_of_segment(y: Array, *, options: _Mel, double: bool) -> Array:
    frames = _frames(y, options.n_fft, options.hop_length)
    spectrum = (_spectrum_in_double if double else _spectrum)(frames)
    energy = spectrum.real**2 + spectrum.imag**2
    if options.power != 2:  # the detour keeps the gradient finite where there is silence
        sounds = energy > 0
        energy = jnp.where(sounds, jnp.where(sounds, energy, 1) ** (options.power / 2), 0)
    filters = _filters(options).T.astype(np.float32)
    return jnp.matmul(energy, filters, precision=lax.Precision.HIGHEST)


def _frames(y: Array, length: int, hop: int) -> Array:
    """All windows of ``length`` samples, ``hop`` apart: (..., L) to (..., frames, length)."""
    starts = np.arange(0, y.shape[-1] - length + 1, hop)
    return y[..., starts[:, None] + np.arange(length)]


def _window(n_fft: int) -> np.ndarray:
    """The periodic Hann window, (1, n_fft) float64."""
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft)[None] / n_fft)


def _spectrum(frames: Float[Array, "t n"]) -> Complex[Array, "t k"]:
    return jnp.fft.rfft(frames * _window(frames.shape[-1]).astype(np.float32))


# JAX traces float64 only inside its switch. Whoever maps or differentiates from outside would
# retrace the parts without it, so both rules are given here: a batch is more frames, and the
# derivative of a linear function is that function, in float32.
@jax.custom_jvp
def _spectrum_in_double(frames: Float[Array, "t n"]) -> Complex[Array, "t k"]:
    return _rfft_in_double(frames)


@jax.custom_batching.custom_vmap
def _rfft_in_double(frames: Float[Array, "t n"]) -> Complex[Array, "t k"]:
    with jax.enable_x64(True):
        windowed = frames.astype(jnp.float64) * _window(frames.shape[-1])
        return jnp.fft.rfft(windowed).astype(jnp.complex64)


@_rfft_in_double.def_vmap
def _rfft_in_double_batch(size: int, batched: list, frames: Array) -> tuple[Array, bool]:
    flat = _rfft_in_double(frames.reshape(-1, frames.shape[-1]))
    return flat.reshape(*frames.shape[:-1], flat.shape[-1]), True


@_spectrum_in_double.defjvp
def _spectrum_in_double_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    return _spectrum_in_double(*primals), _spectrum(*tangents)


@lru_cache(maxsize=64)
def _filters(options: _Mel) -> np.ndarray:
    bottom, top = _mel(np.array([options.fmin, options.top]), options.htk)
    edges = _hertz(np.linspace(bottom, top, options.n_mels + 2), options.htk)
    bins = np.arange(1 + options.n_fft // 2) * options.sample_rate / options.n_fft
    below, middle, above = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising, falling = (bins - below) / (middle - below), (above - bins) / (above - middle)
    filters = np.maximum(0, np.minimum(rising, falling))
    if isinstance(options.norm, str):
        return filters * (2 / (above - below))
    if options.norm is None:
        return filters
    size = np.linalg.norm(filters, ord=options.norm, axis=1, keepdims=True)
    return filters / np.where(size > 0, size, 1)


# Slaney's scale: linear below 1 kHz (15 mels), 27 mels for each factor of 6.4 above.
def _mel(hertz: np.ndarray, htk: bool) -> np.ndarray:
    if htk:
        return 2595 * np.log10(1 + hertz / 700)
    return np.where(
        hertz < 1000,
        hertz * 3 / 200,
        15 + 27 * np.log(np.maximum(hertz, 1000) / 1000) / np.log(6.4),
    )


def _hertz(mel: np.ndarray, htk: bool) -> np.ndarray:
    if htk:
        return 700 * (10 ** (mel / 2595) - 1)
    return np.where(mel < 15, mel * 200 / 3, 1000 * 6.4 ** ((mel - 15) / 27))


@partial(jax.jit, static_argnames="top_db")
def _decibels(mel: Array, ref: Array | int | float, top_db: int | float | None) -> Array:
    decibels = 10 * jnp.log10(jnp.maximum(mel, _AMIN))
    decibels -= 10 * jnp.log10(jnp.maximum(jnp.abs(jnp.asarray(ref, jnp.float32)), _AMIN))
    if top_db is None:
        return decibels
    return jnp.maximum(decibels, decibels.max(axis=(-2, -1), keepdims=True) - top_db)


@partial(jax.jit, static_argnames=("options", "n_mfcc"))
def _mfcc(y: Array, options: _Mel, n_mfcc: int) -> Array:
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
