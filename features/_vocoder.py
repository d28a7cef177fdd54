"""The phase vocoder behind `features.pitch_shift` and `features.time_stretch`.

A clip is taken as a loop: beyond its end it begins again. Frames are read at the new speed; the
phase of each spectral peak advances as it does over one hop of the original, and the bins around
a peak turn with it (identity phase locking, Laroche & Dolson 1999), and an attack starts with its
own phases, which keeps it sharp and the sound as loud as it was.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jaxtyping import Float, Int

_OVERLAP = 4  # frames over each sample
_ATTACK = 3  # times its magnitude a frame before: a peak so loud starts with its own phase
_REACH = 2  # bins to either side that a spectral peak exceeds
_HALF = 12  # samples to either side that resampling reads
_PARTS = 4096  # of a sample: how finely positions are told apart
_BLOCK = 2**20  # samples that are worked on at a time, so that frames fit in memory


@partial(jax.jit, static_argnames=("n_fft",))
def stretch(
    clips: Float[Array, "n length"], rates: Float[Array, " n"], *, n_fft: int
) -> Float[Array, "n length"]:
    """Each clip played ``rate`` times as fast at its own pitch, over its own length."""
    one = partial(_stretched, length=clips.shape[1], n_fft=n_fft, margin=0)
    return _in_blocks(lambda clip: one(*clip, top=1.0), (clips, rates))


@partial(jax.jit, static_argnames=("n_fft", "highest"))
def transpose(
    clips: Float[Array, "n length"], ratios: Float[Array, " n"], *, n_fft: int, highest: float
) -> Float[Array, "n length"]:
    """Each clip with its frequencies times ``ratio``, of at most ``highest``, at its own tempo.

    It is stretched to ``ratio`` times its length and then read so much faster.
    """
    length = clips.shape[1]
    longest = int(length * highest) + 2 * _HALF + 1

    def one(clip: tuple[Array, Array]) -> Array:
        audio, ratio = clip
        step = jnp.floor(ratio * _PARTS).astype(jnp.int32)
        ratio = step / _PARTS
        top = jnp.minimum(1.0, 1 / ratio)  # what would come to lie above half the sample rate
        longer = _stretched(
            audio, 1 / ratio, top=top, length=longest + _HALF, n_fft=n_fft, margin=_HALF
        )
        return _resampled(longer, step, length)

    return _in_blocks(one, (clips, ratios))


def _in_blocks(one: Callable[..., Array], clips: tuple[Array, Array]) -> Array:
    return lax.map(one, clips, batch_size=max(1, _BLOCK // clips[0].shape[1]))


def _stretched(
    clip: Float[Array, " length"],
    rate: Float[Array, ""],
    *,
    top: Float[Array, ""] | float,
    length: int,
    n_fft: int,
    margin: int,
) -> Float[Array, " {length}"]:
    """``length`` samples of the stretched clip, from ``margin`` samples before its start.

    Frequencies above ``top`` of half the sample rate are left out.
    """
    hop = n_fft // _OVERLAP
    before = _OVERLAP + -(-margin // hop)  # frames that start before the first sample
    count = before + -(-length // hop)
    at = np.arange(count) - before + _OVERLAP // 2  # middles of the frames, in hops
    middles = jnp.round(at.astype(np.float32) * hop * rate).astype(jnp.int32)
    window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)).astype(np.float32)

    def spectra(middles: Array) -> Array:
        places = middles[:, None] + (np.arange(n_fft) - n_fft // 2)[None]
        return jnp.fft.rfft(clip[places % len(clip)] * window[None])

    here = spectra(middles)
    phase, size = _phase(here), jnp.abs(here)
    advance = _phase(spectra(middles + hop) * here.conj())
    peak = _nearest_peak(size)
    begins = size[1:] > _ATTACK * size[:-1]

    def follow(last: Array, frame: tuple[Array, Array, Array, Array]) -> tuple[Array, Array]:
        advance, phase, peak, begins = frame
        turn = jnp.where(begins, 1, last * advance * phase.conj())[peak]
        turned = _phase(turn * phase)
        return turned, turned

    _, turned = lax.scan(follow, phase[0], (advance[:-1], phase[1:], peak[1:], begins))
    spectrum = size * jnp.concatenate([phase[:1], turned])
    kept = np.arange(n_fft // 2 + 1) < top * (n_fft // 2 + 1)
    frames = jnp.fft.irfft(jnp.where(kept[None], spectrum, 0), n_fft) * window[None]
    hops = frames.reshape(count, _OVERLAP, hop)
    overlapping = [jnp.pad(hops[:, i], ((i, _OVERLAP - 1 - i), (0, 0))) for i in range(_OVERLAP)]
    start = before * hop - margin
    added = jnp.stack(overlapping).sum(0).reshape(-1)[start : start + length]
    return added / (_OVERLAP * (window**2).mean())


def _phase(spectrum: Array) -> Array:
    """The spectrum divided by its magnitude; 1 where there is none."""
    size = jnp.abs(spectrum)
    return jnp.where(size > 1e-30, spectrum / jnp.maximum(size, 1e-30), 1)


def _nearest_peak(size: Float[Array, "frames bins"]) -> Array:
    """The bin of the spectral peak that is nearest to each bin, (frames, bins)."""
    padded = jnp.pad(size, ((0, 0), (_REACH, _REACH)), constant_values=-jnp.inf)
    # Not held against itself: a compiler may compute a magnitude twice and round it otherwise.
    beside = [padded[:, i : i + size.shape[1]] for i in range(2 * _REACH + 1) if i != _REACH]
    peaks = size >= jnp.stack(beside).max(axis=0)
    bins = jnp.broadcast_to(np.arange(size.shape[1])[None], size.shape)
    below = lax.cummax(jnp.where(peaks, bins, -size.shape[1]), axis=1)
    above = lax.cummin(jnp.where(peaks, bins, 2 * size.shape[1]), axis=1, reverse=True)
    return jnp.where(bins - below <= above - bins, below, above)


def _resampled(
    audio: Float[Array, " samples"], step: Int[Array, ""], length: int
) -> Float[Array, " {length}"]:
    """``length`` samples, ``step`` parts of a sample apart, from sample ``_HALF`` on.

    Positions are whole parts of a sample: in float32 they would jitter audibly.
    """
    coarse, fine = np.divmod(np.arange(length, dtype=np.int32), _PARTS)
    place = coarse * step + fine * step // _PARTS + 1
    read = jax.vmap(lambda start: lax.dynamic_slice(audio, (start,), (2 * _HALF,)))(place)
    return (read * jnp.asarray(_windowed_sincs())[fine * step % _PARTS]).sum(1)


@lru_cache
def _windowed_sincs() -> Float[np.ndarray, "parts taps"]:
    """The weights of the samples around a position, for each part of a sample."""
    distance = np.arange(1 - _HALF, _HALF + 1)[None] - np.arange(_PARTS)[:, None] / _PARTS
    window = 0.5 + 0.5 * np.cos(np.pi * distance / _HALF)
    return (np.sinc(distance) * window).astype(np.float32)
