"""RMS and zero-crossing rate against librosa, on random frames and real music, and under JAX."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import librosa
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from features._framing import audio_of
from features.waveform import rms, zero_crossing_rate

RATE = 22050
PEERS = {rms: librosa.feature.rms, zero_crossing_rate: librosa.feature.zero_crossing_rate}
both = pytest.mark.parametrize("feature", PEERS, ids=lambda feature: feature.__name__)


def noise(num_samples: int, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(num_samples)).astype(np.float32)


@both
@pytest.mark.parametrize(
    ("frame_length", "hop_length"), [(2048, 512), (1024, 441), (400, 160), (512, 1024)]
)
@pytest.mark.parametrize("center", [True, False])
def test_real_music_agrees_with_librosa(gtzan_mini, feature, frame_length, hop_length, center):
    options = {"frame_length": frame_length, "hop_length": hop_length, "center": center}
    tracks = ["blues/blues.00000", "classical/classical.00005", "metal/metal.00000"]
    clips = np.stack(
        [soundfile.read(gtzan_mini / f"{t}.flac", 3 * RATE, dtype="float32")[0] for t in tracks]
    )
    right = [PEERS[feature](y=clip, **options).T for clip in clips]
    ours = feature(clips, **options)
    assert ours.dtype == jnp.float32
    np.testing.assert_allclose(ours, right, rtol=1e-5)


@both
@settings(max_examples=10)
@given(st.integers(1, 60), st.integers(1, 40), st.integers(60, 90), st.booleans())
def test_any_frames_agree_with_librosa(feature, frame_length, hop_length, num_samples, center):
    clip = noise(num_samples, seed=num_samples)
    clip[10:20] = 0
    options = {"frame_length": frame_length, "hop_length": hop_length, "center": center}
    right = PEERS[feature](y=clip, **options).T
    np.testing.assert_allclose(feature(clip, **options), right, rtol=1e-5, atol=1e-8)


def test_a_sine_has_known_loudness_and_crossings():
    sine = np.sin(2 * np.pi * 441 * np.arange(RATE) / RATE + 0.1).astype(np.float32)
    np.testing.assert_allclose(rms(sine, center=False), np.sqrt(0.5), rtol=5e-3)
    np.testing.assert_allclose(zero_crossing_rate(sine, center=False), 882 / RATE, rtol=0.03)


def test_zero_is_positive_and_so_is_what_is_almost_zero():
    clip = np.float32([0.5, 0, 0.5, -1e-11, 0.5, -1e-9, 0.5, -0.5])
    rate = zero_crossing_rate(clip, frame_length=8, hop_length=8, center=False)
    assert rate.item() == 3 / 8
    right = librosa.feature.zero_crossing_rate(clip, frame_length=8, hop_length=8, center=False)
    assert rate.item() == right.item()


@both
def test_a_batch_jitted_and_mapped_gives_what_each_clip_alone_gives(feature):
    clips = noise(12000).reshape(2, 3, 2000) * np.float32(0.01)
    alone = np.stack([[feature(clip) for clip in row] for row in clips])
    np.testing.assert_allclose(feature(clips), alone, rtol=1e-6)
    np.testing.assert_allclose(jax.jit(jax.vmap(feature))(clips), alone, rtol=1e-6)


def test_the_gradient_of_rms_is_the_formulas_and_finite_in_silence():
    clip = noise(64)
    options = {"frame_length": 64, "hop_length": 64, "center": False}
    gradient = jax.grad(lambda y: rms(y, **options).sum())(jnp.asarray(clip))
    np.testing.assert_allclose(gradient, clip / 64 / rms(clip, **options).item(), rtol=1e-4)
    assert not jax.grad(lambda y: rms(y, **options).sum())(jnp.zeros(64)).any()
    assert not jax.grad(lambda y: zero_crossing_rate(y).sum())(jnp.asarray(clip)).any()


@both
def test_bad_input_is_named(feature):
    with pytest.raises(TypeError, match="int16"):
        feature(np.zeros(5000, np.int16))
    for wrong, said in (
        (None, "a NoneType"),
        ([0.1] * 5000, "a list"),
        (np.float32(3), "a single"),
    ):
        with pytest.raises(TypeError, match=said):
            audio_of(wrong)
    with pytest.raises(ValueError, match="frame_length is 0"):
        feature(noise(5000), frame_length=0)
    with pytest.raises(ValueError, match="hop_length is -1"):
        feature(noise(5000), hop_length=-1)
    with pytest.raises(ValueError, match=r"100 samples; at least 2048 .*frame_length=2048"):
        feature(noise(100), center=False)
    with pytest.raises(ValueError, match="0 samples; at least 1 "):
        feature(noise(0))
    with pytest.raises(ValueError, match="NaN or infinite"):
        feature(np.append(noise(4999), np.float32(np.inf)))


@pytest.mark.parametrize("pad_mode", ["constant", "edge", "reflect", "symmetric"])
def test_what_lies_around_a_clip_is_librosas(pad_mode):
    options = {"frame_length": 300, "hop_length": 80, "pad_mode": pad_mode}
    clip = 0.1 + noise(1000)
    right = librosa.feature.rms(y=clip, **options).T
    np.testing.assert_allclose(rms(clip, **options), right, rtol=1e-5)
    with pytest.raises(ValueError, match=r"frame_length=300, .*pad_mode='reflect'"):
        rms(clip[:150], frame_length=300, pad_mode="reflect")
