"""How audio is cut into frames and weighted, and which audio can be."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Real

PAD_MODES = ("constant", "edge", "reflect", "symmetric")  # of numpy.pad; librosa takes them, too
Window = str | Sequence[Any] | np.ndarray


@dataclass(frozen=True)
class Framing:
    """How audio is cut into frames, checked; hashable, so that it keys the compilation.

    Attributes
    ----------
    n_fft, hop_length : samples in a frame, samples between frames.
    center : frame t is centred on sample ``t * hop_length``; otherwise it starts there.
    win_length : samples of the window, from 1 to ``n_fft``; None for ``n_fft``. A shorter one
        lies in the middle of the frame, with zeros on both sides.
    window : a name that `scipy.signal.get_window` takes (periodic), a tuple of such a name and its
        parameters, or ``win_length`` numbers, which are kept as a tuple.
    pad_mode : what lies around a clip whose frames are centred, one of `PAD_MODES`.
    """

    n_fft: int
    hop_length: int
    center: bool = True
    win_length: int | None = None
    window: Any = "hann"  # str or tuple
    pad_mode: str = "constant"

    def __post_init__(self) -> None:
        for name in ("n_fft", "hop_length"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be positive")
        if self.win_length is not None and not 1 <= self.win_length <= self.n_fft:
            raise ValueError(
                f"win_length is {self.win_length}; 1 to n_fft={self.n_fft} samples are accepted, "
                "None takes all"
            )
        if self.pad_mode not in PAD_MODES:
            raise ValueError(f"pad_mode is {self.pad_mode!r}; {', '.join(PAD_MODES)} are accepted")
        if not isinstance(self.window, str):
            object.__setattr__(self, "window", _as_tuple(self.window))
        if self.window != "hann":
            self.weights  # noqa: B018  # whether there are any

    @property
    def margin(self) -> int:
        """Samples that are put before and after a clip."""
        return self.n_fft // 2 if self.center else 0

    @property
    def shortest(self) -> int:
        """Samples that a clip needs at least."""
        if not self.center:
            return self.n_fft
        # what mirrors the clip has no more than the clip to mirror
        return {"reflect": self.margin + 1, "symmetric": max(1, self.margin)}.get(self.pad_mode, 1)

    @property
    def weights(self) -> Float[np.ndarray, "1 n_fft"]:
        """The window, float64."""
        return _weights(self.window, self.win_length or self.n_fft, self.n_fft)


def hann(length: int) -> Float[np.ndarray, "1 {length}"]:
    """The periodic Hann window, float64."""
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length)[None] / length)


@lru_cache(maxsize=64)
def _weights(window: str | tuple, length: int, n_fft: int) -> np.ndarray:
    if window == "hann" and length > 1:
        weights = hann(length)
    elif isinstance(window, tuple) and not isinstance(window[0], str):
        weights = np.array(window)[None]
    else:
        import scipy.signal  # slow to import, and seldom needed

        try:
            weights = scipy.signal.get_window(window, length)[None]
        except (ValueError, TypeError) as error:
            said = str(error).rstrip(".!")
            raise ValueError(
                f"window is {window!r}, which scipy.signal.get_window does not take ({said}); a "
                "name such as 'hann', 'hamming' or 'boxcar', a tuple of a name and its parameters, "
                "or win_length numbers are accepted"
            ) from None
    if weights.shape[1] != length:
        raise ValueError(
            f"window has {weights.shape[1]} samples, and {length} are needed: win_length, or "
            "n_fft where that is not given"
        )
    if not np.isfinite(weights).all():
        raise ValueError("window has samples that are NaN or infinite")
    before = (n_fft - length) // 2
    return np.pad(weights, [(0, 0), (before, n_fft - length - before)])


def _as_tuple(window: Any) -> tuple:
    """A window that is no name, hashable."""
    if isinstance(window, (tuple, list)) and window and isinstance(window[0], str):
        return tuple(window)
    samples = np.asarray(window)
    if samples.ndim != 1 or not samples.size or samples.dtype.kind not in "fiu":
        shown = f"{samples.dtype} of shape {samples.shape}" if samples.ndim else repr(window)
        raise ValueError(
            f"window is {shown}; a name such as 'hann', a tuple of a name and its "
            "parameters, or an array (win_length,) of real numbers is accepted"
        )
    return tuple(samples.astype(np.float64).tolist())


def audio_of(y: Any) -> Array | np.ndarray:
    """Audio in float32; a TypeError for what is no array (..., samples) of such numbers.

    NumPy's stays NumPy's: its way into JAX would be a program to compile for each shape.
    """
    dtype = getattr(y, "dtype", None)
    if dtype is None or not jnp.issubdtype(dtype, jnp.floating):
        found = f"the type {dtype}" if dtype else f"no type (it is a {type(y).__name__})"
        raise TypeError(
            f"audio has {found}; an array of floating-point numbers in [-1, 1] is accepted: "
            "make one with numpy.asarray, and divide 16-bit integers by 32768"
        )
    if not y.ndim:
        raise TypeError("audio is a single number; an array (..., samples) is accepted")
    return y.astype(np.float32, copy=False) if isinstance(y, np.ndarray) else y.astype(jnp.float32)


def on_device(audio: Real[Array | np.ndarray, "*batch"]) -> Real[Array, "*batch"]:
    """Audio of any shape as an array of JAX, which has NumPy's in memory of its own.

    Else the two share it, and what a caller writes there before JAX has read it is heard.
    `jnp.asarray` would not either, but is a program to compile for each shape.
    """
    return jax.device_put(audio.copy()) if isinstance(audio, np.ndarray) else audio


def checked_audio(
    y: Array | np.ndarray,
    framing: Framing,
    *,
    sample_rate: int | float | None = None,
    name: str = "n_fft",
) -> Float[Array | np.ndarray, "*batch samples"]:
    """Audio in float32, if it is long enough for a frame and finite.

    Parameters
    ----------
    sample_rate : Hz, for messages.
    name : what the caller calls ``n_fft``.

    Raises
    ------
    TypeError
        As `audio_of`.
    ValueError
        Too short a clip; samples that are NaN or infinite, unless they are traced by JAX.

    Warns
    -----
    UserWarning
        A clip shorter than the frame of a spectrum, as librosa does.
    """
    y = audio_of(y)
    if y.shape[-1] < (needed := framing.shortest):
        seconds = f" ({needed / sample_rate:.4g} s)" if sample_rate else ""
        mode = f", pad_mode={framing.pad_mode!r}" if framing.center and needed > 1 else ""
        other = "pad_mode='constant'" if mode else "center=True"
        raise ValueError(
            f"the clip has {y.shape[-1]} samples; at least {needed}{seconds} are needed with "
            f"{name}={framing.n_fft}, center={framing.center}{mode}: take longer clips, a smaller "
            f"{name} or {other}"
        )
    if name == "n_fft" and y.shape[-1] < framing.n_fft:  # of spectra alone, as librosa
        warnings.warn(
            f"n_fft={framing.n_fft} is too large for a clip of {y.shape[-1]} samples, around which "
            "a frame has what pad_mode says: take longer clips, or a smaller n_fft",
            stacklevel=3,
        )
    _refuse_non_finite(y)
    return y


def all_finite(y: Array | np.ndarray) -> bool:
    """Whether no number is NaN or infinite; True of what JAX traces, where nobody looks."""
    if isinstance(y, jax.core.Tracer):
        return True
    # For JAX a sum is the cheapest look at all samples: what is not finite makes it so.
    finite = np.isfinite(y).all() if isinstance(y, np.ndarray) else jnp.isfinite(y.sum())
    if isinstance(finite, jax.core.Tracer) or finite:  # traced: a constant in someone's jit
        return True
    return bool(np.isfinite(np.asarray(y)).all())  # of large ones only the sum may be infinite


def _refuse_non_finite(y: Array | np.ndarray) -> None:
    """Raise ValueError for NaN or infinite samples, with how many there are and where."""
    if all_finite(y):
        return
    samples = np.asarray(y)
    places = np.argwhere(~np.isfinite(samples))
    clips = len(np.unique(places[:, :-1], axis=0))
    first = tuple(places[0].tolist())
    raise ValueError(
        f"audio has {len(places)} samples that are NaN or infinite, of {samples.size}, in {clips} "
        f"of {samples.size // samples.shape[-1]} clips; the first is {samples[first]} at index "
        f"{first}, sample {first[-1]} of its clip: leave such clips out, or replace these samples "
        "with numpy.nan_to_num"
    )
