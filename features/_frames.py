"""Frames of audio and their spectra, in parts that fit the cache and keep every core at work."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import custom_batching, lax
from jaxtyping import Array, Complex, Float

from features._framing import Framing


def over_frames(
    measure: Callable[[Array, bool], Array], y: Array, framing: Framing
) -> Float[Array, "*batch frames features"]:
    """``measure`` of all frames of audio (..., L), in parts of a bounded size.

    It takes frames (t, n_fft) and whether float64 is to be had, and gives (t, F).
    """
    n_fft, hop_length, margin = framing.n_fft, framing.hop_length, framing.margin
    frames = 1 + (y.shape[-1] + 2 * margin - n_fft) // hop_length
    if margin and framing.pad_mode != "constant":  # zeros come with the parts
        y, margin = with_margins(y, framing), 0

    def of_segments(y: Array, double: bool) -> Array:
        found = measure(frames_of(y, n_fft, hop_length).reshape(-1, n_fft), double)
        return found.reshape(*y.shape[:-1], -1, found.shape[-1])

    def by_parts(y: Array, *, block: int, lanes: int, double: bool) -> Array:
        """The same in parts of about ``block`` samples of frames, ``lanes`` of them at a time."""
        clips, samples = y.shape
        at_once = max(1, block // n_fft)  # frames
        parts = -(-frames // at_once)  # of a clip
        each = -(-frames // parts)  # frames in a part
        length = (each - 1) * hop_length + n_fft
        segments = clips * parts
        rounds = max(1, -(-segments // (lanes * max(1, at_once // each))))
        lanes = max(1, min(lanes, -(-segments // rounds)))
        in_lane = max(1, -(-segments // (rounds * lanes)))

        right = (parts - 1) * each * hop_length + length - margin - samples
        y = lax.pad(y, jnp.float32(0), [(0, 0, 0), (margin, right, 0)])
        if parts > 1:
            y = frames_of(y, length, each * hop_length).reshape(-1, length)
        y = lax.pad(y, jnp.float32(0), [(0, rounds * lanes * in_lane - segments, 0), (0, 0, 0)])

        def one_round(y: Array) -> Array:
            # XLA runs what is independent of each other on different cores
            return jnp.concatenate([of_segments(lane, double) for lane in jnp.split(y, lanes)])

        found = lax.map(one_round, y.reshape(rounds, lanes * in_lane, length))
        found = found.reshape(-1, each, found.shape[-1])[:segments]
        return found.reshape(clips, parts * each, found.shape[-1])[:, :frames]

    # On a CPU what fits the cache is several times faster than the whole; a GPU wants it whole,
    # up to a share of its memory.
    cores = os.cpu_count() or 1
    found = by_platform(
        y.reshape(-1, y.shape[-1]),
        cpu=partial(by_parts, block=2**17, lanes=min(2 * cores, 16), double=True),
        tpu=partial(by_parts, block=2**26, lanes=1, double=False),  # which has no float64
        default=partial(by_parts, block=2**26, lanes=1, double=True),
    )
    return found.reshape(*y.shape[:-1], *found.shape[1:])


def by_platform(*operands: Array, cpu: Callable, **others: Callable) -> Array:
    """`jax.lax.platform_dependent`, of which the CPU's branch alone is traced where there is
    nothing else: tracing all takes as long as compiling one.
    """
    if jax.default_backend() == "cpu":
        return cpu(*operands)
    return lax.platform_dependent(*operands, cpu=cpu, **others)


def frames_of(y: Array, length: int, hop: int) -> Array:
    """All windows of ``length`` samples, ``hop`` apart: (..., L) to (..., frames, length)."""
    starts = np.arange(0, y.shape[-1] - length + 1, hop)
    # as slices: a gather of single samples takes longer, its gradient far longer
    return jax.vmap(lambda at: lax.dynamic_slice_in_dim(y, at, length, -1), out_axes=-2)(starts)


def with_margins(y: Array, framing: Framing) -> Array:
    """Audio (..., L) with what lies around it: (..., margin + L + margin)."""
    margins = (framing.margin, framing.margin)
    return jnp.pad(y, [(0, 0)] * (y.ndim - 1) + [margins], mode=framing.pad_mode)


def spectrum(frames: Float[Array, "t n"], framing: Framing) -> Complex[Array, "t k"]:
    """Fourier transform of frames under the window."""
    return jnp.fft.rfft(frames * framing.weights.astype(np.float32))


def power(
    frames: Float[Array, "t n"], bins: Sequence[slice], framing: Framing
) -> list[Float[Array, "t _"]]:
    """Power spectrum of frames under the window, in the ``bins`` asked for."""
    found = spectrum(frames, framing)
    return [found[:, some].real ** 2 + found[:, some].imag ** 2 for some in bins]


# JAX traces float64 only inside its switch. Whoever maps or differentiates from outside would
# retrace the parts without it, so both rules are given: a batch is more frames, and derivatives
# go through the spectrum, which is linear, in float32.
def _in_double(
    function: Callable[[Array], list[Array]], frames: Float[Array, "t n"], framing: Framing
) -> list[Array]:
    """``function`` of the spectra of frames under the window, in float64 until it returns."""

    @custom_batching.custom_vmap
    def of_frames(frames: Array) -> list[Array]:
        with jax.enable_x64(True):
            return function(jnp.fft.rfft(frames.astype(jnp.float64) * framing.weights))

    @of_frames.def_vmap
    def of_more(size: int, batched: list, frames: Array) -> tuple[list[Array], list[bool]]:
        found = of_frames(frames.reshape(-1, frames.shape[-1]))
        return [x.reshape(*frames.shape[:-1], -1) for x in found], [True] * len(found)

    return of_frames(frames)


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def spectrum_in_double(frames: Float[Array, "t n"], framing: Framing) -> Complex[Array, "t k"]:
    """`spectrum`, computed in float64 and rounded."""
    return _in_double(lambda found: [found.astype(jnp.complex64)], frames, framing)[0]


@spectrum_in_double.defjvp
def _spectrum_in_double_jvp(
    framing: Framing, primals: tuple, tangents: tuple
) -> tuple[Array, Array]:
    (frames,), (change,) = primals, tangents
    return spectrum_in_double(frames, framing), spectrum(change, framing)


@partial(jax.custom_jvp, nondiff_argnums=(1, 2))
def power_in_double(
    frames: Float[Array, "t n"], bins: Sequence[slice], framing: Framing
) -> list[Float[Array, "t _"]]:
    """`power`, computed in float64 and rounded."""

    def squares(found: Array) -> list[Array]:
        some = [found[:, one] for one in bins]
        return [(x.real**2 + x.imag**2).astype(jnp.float32) for x in some]

    return _in_double(squares, frames, framing)


@power_in_double.defjvp
def _power_in_double_jvp(
    bins: Sequence[slice], framing: Framing, primals: tuple, tangents: tuple
) -> tuple[list[Array], list[Array]]:
    (frames,), (change,) = primals, tangents
    found, slope = spectrum_in_double(frames, framing), spectrum(change, framing)
    slopes = 2 * (found.real * slope.real + found.imag * slope.imag)
    return power_in_double(frames, bins, framing), [slopes[:, some] for some in bins]
