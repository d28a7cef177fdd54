"""Frames, their power, and measures taken part by part against numpy in float64."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal

from features._frames import (
    frames_of,
    over_frames,
    power,
    power_in_double,
    spectrum_in_double,
)
from features._framing import Framing

RNG = np.random.default_rng(0)


def all_frames(y: np.ndarray, length: int, hop: int) -> np.ndarray:
    return np.lib.stride_tricks.sliding_window_view(y, length, axis=-1)[..., ::hop, :]


def features_of(frames, double):
    """Features that no two frames share: the ends, and a sum in which each sample counts."""
    weights = np.cos(np.arange(frames.shape[-1], dtype=np.float32))
    return jnp.stack([frames[:, 0], frames[:, -1], frames @ weights], axis=-1)


def plainly(
    y: np.ndarray, n_fft: int, hop_length: int, center: bool, pad_mode: str = "constant"
) -> np.ndarray:
    margins = [(0, 0)] * (y.ndim - 1) + [(n_fft // 2 * center,) * 2]
    y = np.pad(y, margins, mode=pad_mode).astype(np.float64)
    frames = all_frames(y, n_fft, hop_length)
    return np.stack([frames[..., 0], frames[..., -1], frames @ np.cos(np.arange(n_fft))], -1)


@pytest.mark.parametrize(
    ("samples", "length", "hop"),
    [(60, 8, 2), (61, 5, 9), (5, 5, 3), (9, 1, 1), (10, 4, 7)],
    ids=["overlapping", "apart", "one", "samples", "rest"],
)
@pytest.mark.parametrize("batch", [(), (2, 3)], ids=["clip", "batch"])
def test_frames_are_those_of_numpy(samples, length, hop, batch):
    y = RNG.standard_normal((*batch, samples)).astype(np.float32)
    found = frames_of(jnp.asarray(y), length, hop)
    np.testing.assert_array_equal(found, all_frames(y, length, hop))


@pytest.mark.parametrize(
    ("shape", "n_fft", "hop_length", "center"),
    [
        ((1, 3000), 512, 100, True),
        ((5, 22050), 2048, 512, True),
        ((3, 3, 22050), 2048, 512, False),
        ((700, 300), 64, 50, True),
        ((2, 300001), 1024, 333, True),
        ((1, 150000), 1024, 1500, False),
        ((0, 3000), 512, 100, True),
    ],
    ids=["one", "few", "batches", "many-short", "long", "gaps", "none"],
)
def test_parts_give_what_the_whole_gives(shape, n_fft, hop_length, center):
    y = RNG.standard_normal(shape).astype(np.float32)
    options = {"n_fft": n_fft, "hop_length": hop_length, "center": center}
    found = over_frames(features_of, jnp.asarray(y), Framing(**options))
    np.testing.assert_allclose(found, plainly(y, **options), atol=1e-4)


@pytest.mark.parametrize(
    ("shape", "n_fft", "pad_mode"),
    [
        ((2, 1, 3000), 512, "reflect"),
        ((2, 150001), 1024, "symmetric"),  # in parts
        ((3, 257), 512, "reflect"),  # all that there is to mirror
        ((3, 256), 513, "symmetric"),
        ((3, 1), 511, "edge"),
    ],
)
def test_what_lies_around_a_clip_is_numpys(shape, n_fft, pad_mode):
    y = RNG.standard_normal(shape).astype(np.float32)
    options = {"n_fft": n_fft, "hop_length": 100, "center": True, "pad_mode": pad_mode}
    assert shape[-1] >= Framing(**options).shortest
    found = over_frames(features_of, jnp.asarray(y), Framing(**options))
    np.testing.assert_allclose(found, plainly(y, **options), atol=2e-4)


def test_mapped_and_differentiated_parts_are_the_same():
    y = RNG.standard_normal((3, 2, 70000)).astype(np.float32)
    options = {"n_fft": 256, "hop_length": 100, "center": True}

    def measured(y):
        return over_frames(features_of, y, Framing(**options))

    mapped = jax.vmap(measured, in_axes=1, out_axes=1)(y)
    np.testing.assert_allclose(mapped, plainly(y, **options), atol=1e-4)
    # the measure is linear: its gradient, applied to the audio, gives its sum
    gradient = jax.grad(lambda y: measured(y).sum())(jnp.asarray(y))
    total = plainly(y, **options).sum()
    np.testing.assert_allclose(np.vdot(np.asarray(gradient, np.float64), y), total, rtol=1e-4)


@pytest.mark.parametrize("n_fft", [64, 255])
def test_power_is_exact_far_beneath_a_loud_partial(n_fft):
    framing = Framing(n_fft, 16)
    frames = 0.9 * np.sin(0.3 * np.arange(3)[:, None] + 1.7 * np.arange(n_fft)[None])
    frames = frames.astype(np.float32)
    windowed = frames * scipy.signal.get_window("hann", n_fft)
    right = np.abs(np.fft.rfft(windowed.astype(np.float64))) ** 2
    bins = (slice(0, 5), slice(3, right.shape[1]))
    assert np.ptp(np.log10(right)) > 6
    for found, some in zip(power_in_double(jnp.asarray(frames), bins, framing), bins, strict=True):
        np.testing.assert_allclose(found, right[:, some], rtol=2e-7)
    whole = spectrum_in_double(jnp.asarray(frames), framing)
    np.testing.assert_allclose(np.abs(whole) ** 2, right, rtol=1e-6)
    in_single = power(jnp.asarray(frames), bins, framing)  # what a TPU gives
    for found, some in zip(in_single, bins, strict=True):
        np.testing.assert_allclose(found, right[:, some], atol=1e-6 * right.max())


def test_power_has_the_derivative_of_its_definition():
    frames, step = (RNG.standard_normal((4, 3, 32)).astype(np.float32) for _ in range(2))
    bins, framing = (slice(0, 9), slice(9, 17)), Framing(32, 8, win_length=25, window="hamming")
    weights = np.pad(scipy.signal.get_window("hamming", 25), (3, 4))
    pair = (jnp.asarray(frames),), (jnp.asarray(step),)
    _, slopes = jax.jvp(jax.vmap(lambda x: power_in_double(x, bins, framing)), *pair)
    at, along = (np.fft.rfft(x.astype(np.float64) * weights) for x in (frames, step))
    right = 2 * (at.real * along.real + at.imag * along.imag)
    np.testing.assert_allclose(np.concatenate(slopes, axis=-1), right, atol=1e-4)
