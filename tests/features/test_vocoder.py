"""The phase vocoder on signals whose stretched form is known."""

import jax.numpy as jnp
import numpy as np
import pytest

from features._vocoder import stretch, transpose

RATE = 8000
PARTIALS = np.array([220.0, 277.0, 330.0, 700.0, 1234.0])


def chord(num_samples: int, ratio: float = 1.0) -> np.ndarray:
    times = np.arange(num_samples)[:, None] / RATE
    waves = np.sin(2 * np.pi * PARTIALS * ratio * times + np.arange(5))
    return waves.mean(1).astype(np.float32)


def signal_to_rest(audio: np.ndarray, frequencies: np.ndarray) -> float:
    """Decibels of what sines of these frequencies explain over what they don't (float64)."""
    middle = slice(1500, len(audio) - 1500)
    angles = 2 * np.pi * np.arange(len(audio))[middle, None] / RATE * frequencies
    sines = np.concatenate([np.sin(angles), np.cos(angles)], 1)
    fitted = sines @ np.linalg.lstsq(sines, audio[middle].astype(float), rcond=None)[0]
    return 10 * np.log10(fitted.var() / (audio[middle] - fitted).var())


@pytest.mark.parametrize("length", [1000, 4096])
def test_nothing_to_do_is_done_exactly(length):
    """At rate 1 the clip comes back, whatever is in it and however long it is."""
    clips = np.random.default_rng(0).normal(size=(3, length)).astype(np.float32)
    ones = jnp.ones(3)
    np.testing.assert_allclose(stretch(clips, ones, n_fft=512), clips, atol=2e-5)
    same = transpose(clips, ones, n_fft=512, highest=1.2)
    np.testing.assert_allclose(same, clips, atol=2e-5)


def test_a_chord_stays_a_chord():
    found = np.asarray(stretch(chord(2 * RATE)[None], jnp.array([0.8]), n_fft=1024))
    assert signal_to_rest(found[0], PARTIALS) > 35


@pytest.mark.parametrize("ratio", [0.875, 1.125])  # whole parts of a sample
def test_a_transposed_chord(ratio):
    found = transpose(chord(2 * RATE)[None], jnp.array([ratio]), n_fft=1024, highest=1.125)
    assert signal_to_rest(np.asarray(found)[0, : int(1.7 * RATE)], PARTIALS * ratio) > 40


def test_each_clip_has_its_own_rate():
    clips = np.random.default_rng(0).normal(size=(2, 3000)).astype(np.float32)
    both = stretch(clips, jnp.array([0.9, 1.2]), n_fft=256)
    for i, rate in enumerate((0.9, 1.2)):
        alone = stretch(clips[i : i + 1], jnp.array([rate]), n_fft=256)
        np.testing.assert_allclose(both[i], alone[0], atol=1e-4)


def test_positions_do_not_wander_in_a_long_clip():
    """Half a minute at 22050 Hz: a sine is as clean at its end as at its beginning."""
    length = 30 * 22050
    wave = np.sin(2 * np.pi * 0.25 * np.arange(length)).astype(np.float32)[None]
    found = np.asarray(transpose(wave, jnp.array([1.125]), n_fft=256, highest=1.125))[0]
    for part in (slice(5000, 6000), slice(length - 9000, length - 8000)):
        angle = 2 * np.pi * 0.25 * 1.125 * np.arange(length)[part]
        sines = np.stack([np.sin(angle), np.cos(angle)], 1)
        rest = found[part] - sines @ np.linalg.lstsq(sines, found[part], rcond=None)[0]
        assert rest.std() < 2e-3
