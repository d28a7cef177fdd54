"""Spectrogram pictures: where a tone is drawn, in which colours, and how they behave in JAX."""

from __future__ import annotations

import subprocess
import sys

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
import pytest
import soundfile

from features.pictures import spectrogram_picture
from features.spectra import log_mel

RATE = 22050


def tone(hertz: float) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(RATE) / RATE)).astype(np.float32)


def brightest_row(clip: np.ndarray) -> int:
    return int(spectrogram_picture(clip, sample_rate=RATE, cmap="gray")[..., 0].mean(1).argmax())


def test_low_tones_are_at_the_bottom_and_high_ones_at_the_top():
    low, middle, high = (brightest_row(tone(hertz)) for hertz in (60, 1000, 10000))
    assert low > 170
    assert 80 < middle < 150
    assert high < 10


def test_time_runs_to_the_right():
    clip = tone(1000) * (np.arange(RATE) > RATE // 2)
    columns = spectrogram_picture(clip, sample_rate=RATE, cmap="gray")[..., 0].max(0)
    assert columns[:80].max() < 0.1
    assert columns[100:].min() > 0.9


def test_without_resizing_it_is_the_coloured_log_mel(gtzan_mini):
    clip = soundfile.read(gtzan_mini / "pop/pop.00000.flac", frames=RATE, dtype="float32")[0]
    picture = spectrogram_picture(clip, sample_rate=RATE, size=(128, 44), cmap="magma")
    decibels = np.asarray(log_mel(clip, sample_rate=RATE))
    scaled = (decibels - decibels.max() + 80) / 80
    right = matplotlib.colormaps["magma"](scaled.T[::-1])[..., :3]
    np.testing.assert_allclose(picture, right, atol=0.01)  # ours is interpolated


def test_resizing_keeps_the_mean(gtzan_mini):
    clip = soundfile.read(gtzan_mini / "pop/pop.00000.flac", dtype="float32")[0]
    options = {"sample_rate": RATE, "cmap": "gray"}
    full = spectrogram_picture(clip, size=(128, 1 + len(clip) // 512), **options)
    small = spectrogram_picture(clip, size=(32, 40), **options)  # aliased, it would be off
    np.testing.assert_allclose(small.mean(), full.mean(), atol=5e-3)


def test_loudness_does_not_change_the_picture_and_silence_is_dark():
    clips = np.stack([tone(440), 0.01 * tone(440), 0 * tone(440)])
    pictures = spectrogram_picture(clips, sample_rate=RATE, size=(60, 50))
    assert pictures.shape == (3, 60, 50, 3)
    assert pictures.dtype == jnp.float32
    np.testing.assert_allclose(pictures[0], pictures[1], atol=1e-2)
    np.testing.assert_allclose(pictures[2], np.broadcast_to(
        matplotlib.colormaps["viridis"](0.0)[:3], (60, 50, 3)), atol=1e-6)  # fmt: skip
    assert pictures.min() >= 0
    assert pictures.max() <= 1


def test_jit_vmap_and_gradient():
    noise = 0.1 * np.random.default_rng(0).standard_normal((2, 5000)).astype(np.float32)

    def draw(y):
        return spectrogram_picture(y, sample_rate=RATE, size=(20, 10))

    plain = draw(noise)
    np.testing.assert_allclose(jax.jit(jax.vmap(draw))(noise), plain, atol=1e-4)
    gradient = jax.grad(lambda y: draw(y).sum())(jnp.asarray(noise))
    assert jnp.isfinite(gradient).all()
    assert jnp.abs(gradient).max() > 0


def test_bad_options_are_named():
    with pytest.raises(ValueError, match=r"'jett'.*viridis"):
        spectrogram_picture(tone(440), sample_rate=RATE, cmap="jett")
    with pytest.raises(ValueError, match=r"size=\(0, 10\)"):
        spectrogram_picture(tone(440), sample_rate=RATE, size=(0, 10))
    with pytest.raises(ValueError, match="top_db=0"):
        spectrogram_picture(tone(440), sample_rate=RATE, top_db=0)


def test_importing_loads_no_plotting():
    code = "import features.pictures, sys; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
