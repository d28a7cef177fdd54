"""Chroma and spectral contrast against librosa, on noise, tones and real music, and under JAX."""

from __future__ import annotations

import warnings

import jax
import jax.numpy as jnp
import librosa
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from features.tonal import _chroma_filters, _octaves, chroma, spectral_contrast

RATE = 22050
both = pytest.mark.parametrize(
    "feature", [chroma, spectral_contrast], ids=lambda feature: feature.__name__
)


def tone(hertz: float, seconds: float = 0.5) -> np.ndarray:
    time = np.arange(int(seconds * RATE)) / RATE
    return (0.5 * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


def noise(num_samples: int) -> np.ndarray:
    return (0.1 * np.random.default_rng(0).standard_normal(num_samples)).astype(np.float32)


@pytest.fixture(scope="module")
def sounds(gtzan_mini) -> np.ndarray:
    """Noise with a digital pause, a chord, and seconds of real music."""
    num_samples = 2 * RATE + 7
    pause = np.abs(np.arange(num_samples) - RATE) > 4000
    chord = sum(0.3 * tone(hertz, 3)[:num_samples] for hertz in (220, 277.2, 329.6))
    tracks = ["blues/blues.00000", "classical/classical.00005", "hiphop/hiphop.00000"]
    music = [soundfile.read(gtzan_mini / f"{t}.flac", num_samples, RATE)[0] for t in tracks]
    return np.stack([noise(num_samples) * pause, chord, *music]).astype(np.float32)


@pytest.mark.parametrize(
    ("n_fft", "hop_length", "n_chroma", "tuning", "center", "rate"),
    [
        (2048, 512, 12, 0.0, True, RATE),
        (2048, 1024, 24, -0.4, False, RATE),
        (4096, 512, 36, 0.25, True, 44100),
        (1024, 441, 7, 0.5, True, 16000),
        (900, 160, 13, 0.1, False, 8000),
        (513, 256, 12, -0.1, True, RATE),
    ],
)
def test_chroma_agrees_with_librosa(sounds, n_fft, hop_length, n_chroma, tuning, center, rate):
    options = {"n_fft": n_fft, "hop_length": hop_length, "n_chroma": n_chroma, "tuning": tuning}
    options["center"] = center
    ours = chroma(sounds, sample_rate=rate, **options)
    right = [librosa.feature.chroma_stft(y=clip, sr=rate, **options).T for clip in sounds]
    assert ours.dtype == jnp.float32
    np.testing.assert_allclose(ours, right, atol=1e-3)


@pytest.mark.parametrize(
    ("n_fft", "hop_length", "n_bands", "fmin", "quantile", "linear", "center", "rate"),
    [
        (2048, 512, 6, 200.0, 0.02, False, True, RATE),
        (2048, 512, 6, 200.0, 0.02, True, True, RATE),
        (1024, 256, 4, 300.0, 0.2, False, False, RATE),
        (4096, 1024, 7, 60.0, 0.5, True, True, RATE),
        (512, 160, 5, 125.0, 0.05, False, True, 16000),  # edges on bins
        (900, 441, 1, 1000.0, 0.99, False, True, RATE),
    ],
)
def test_contrast_agrees_with_librosa(
    sounds, n_fft, hop_length, n_bands, fmin, quantile, linear, center, rate
):
    options = {"n_fft": n_fft, "hop_length": hop_length, "n_bands": n_bands, "fmin": fmin}
    options |= {"quantile": quantile, "linear": linear, "center": center}
    ours = spectral_contrast(sounds, sample_rate=rate, **options)
    right = [librosa.feature.spectral_contrast(y=clip, sr=rate, **options).T for clip in sounds]
    assert ours.shape[-1] == n_bands + 1
    np.testing.assert_allclose(ours, right, atol=1e-3, rtol=1e-4 if linear else 0)


@pytest.mark.parametrize(
    "framing",
    [
        {"win_length": 1000, "window": "hamming", "pad_mode": "reflect"},
        {"window": ("kaiser", 8.0), "pad_mode": "edge"},
        {"win_length": 601, "window": np.hanning(601), "center": False},
    ],
    ids=["shorter", "kaiser", "array"],
)
def test_windows_and_margins_agree_with_librosa(sounds, framing):
    clips = sounds[:, : RATE // 2]
    ours = chroma(clips, sample_rate=RATE, n_fft=1024, **framing)
    options = {"sr": RATE, "n_fft": 1024, **framing}
    right = [librosa.feature.chroma_stft(y=clip, tuning=0.0, **options).T for clip in clips]
    np.testing.assert_allclose(ours, right, atol=1e-3)
    ours = spectral_contrast(clips, sample_rate=RATE, n_fft=1024, **framing)
    right = [librosa.feature.spectral_contrast(y=clip, **options).T for clip in clips]
    np.testing.assert_allclose(ours, right, atol=2e-3)


@settings(max_examples=40)
@given(
    st.sampled_from([8000, 16000, 22050, 44100, 48000]),
    st.integers(64, 1024),
    st.integers(1, 40),
    st.floats(-0.5, 0.5),
)
def test_any_chroma_filters_agree_with_librosa(rate, n_fft, n_chroma, tuning):
    right = librosa.filters.chroma(sr=rate, n_fft=n_fft, n_chroma=n_chroma, tuning=tuning)
    np.testing.assert_allclose(_chroma_filters(rate, n_fft, n_chroma, tuning).T, right, atol=1e-5)


@settings(max_examples=100)
@given(
    st.sampled_from([8000, 16000, 22050, 44100]),
    st.integers(16, 1024),
    st.integers(1, 8),
    st.one_of(st.floats(20, 2000), st.sampled_from([62.5, 125.0, 250.0, 500.0])),
    st.floats(0.001, 0.999),
)
def test_any_octaves_are_librosas_or_refused(rate, n_fft, n_bands, fmin, quantile):
    spectrum = np.random.default_rng(n_fft).random((1 + n_fft // 2, 3))
    options = {"n_bands": n_bands, "fmin": fmin, "quantile": quantile, "linear": True}
    options["n_fft"] = n_fft  # librosa takes it to be even where it is not said
    try:
        bands = _octaves(rate, n_fft, n_bands, fmin, quantile)
    except ValueError:
        bands = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # means of nothing
            right = librosa.feature.spectral_contrast(S=spectrum, sr=rate, **options)
        right = right if np.isfinite(right).all() else None
    except (IndexError, librosa.ParameterError):
        right = None
    assert (bands is None) == (right is None)
    if bands is not None:
        by_size = [(np.sort(spectrum[a:b], axis=0), k) for a, b, k in bands]
        ours = [values[-k:].mean(0) - values[:k].mean(0) for values, k in by_size]
        np.testing.assert_allclose(ours, right, atol=1e-12)


@pytest.mark.parametrize(("hertz", "pitch"), [(440, 9), (261.63, 0), (1318.5, 4)])
def test_a_note_has_its_pitch_class_in_every_octave(hertz, pitch):
    for octave in (1, 2):
        classes = chroma(tone(octave * hertz), sample_rate=RATE, n_fft=4096)
        np.testing.assert_array_equal(classes.argmax(-1), pitch)


def test_tuning_moves_the_classes():
    flat = tone(440 * 2 ** (-0.4 / 12))
    spread = {t: chroma(flat, sample_rate=RATE, tuning=t)[5] for t in (0.0, -0.4)}
    assert spread[-0.4][8] < spread[0.0][8]  # less of it is taken for G sharp


def test_tones_have_more_contrast_than_noise():
    chord = sum(tone(hertz) for hertz in (300, 600, 1200, 2400, 4800))
    clips = np.stack([chord.astype(np.float32), noise(len(chord))])
    of_chord, of_noise = spectral_contrast(clips, sample_rate=RATE)[:, 5, 1:6]
    assert (of_chord > of_noise + 10).all()


@both
def test_a_batch_jitted_and_mapped_gives_what_each_clip_alone_gives(sounds, feature):
    clips = sounds[:4, :20000].reshape(2, 2, -1)

    def measure(y):
        return feature(y, sample_rate=RATE)

    alone = np.stack([[measure(clip) for clip in row] for row in clips])
    np.testing.assert_allclose(measure(clips), alone, atol=1e-4)
    np.testing.assert_allclose(jax.jit(jax.vmap(measure))(clips), alone, atol=1e-4)


def test_a_long_clip_in_parts_is_the_same(gtzan_mini):
    clip = soundfile.read(gtzan_mini / "rock/rock.00000.flac", dtype="float32")[0]
    ours = chroma(clip, sample_rate=RATE, hop_length=256)
    right = librosa.feature.chroma_stft(y=clip, sr=RATE, hop_length=256, tuning=0.0).T
    np.testing.assert_allclose(ours, right, atol=1e-3)


@pytest.mark.parametrize(
    ("feature", "options"),
    [(chroma, {}), (spectral_contrast, {"linear": True}), (spectral_contrast, {})],
    ids=["chroma", "linear", "contrast"],
)
def test_the_derivative_is_the_slope_also_beside_silence(feature, options):
    clip = (noise(4000) + tone(1000)[:4000]) * (np.arange(4000) < 3000)
    fade = clip * np.sin(np.arange(4000, dtype=np.float32))

    def measure(y):
        return jnp.sum(
            feature(y, sample_rate=RATE, n_fft=512, hop_length=256, **options)[3:10] ** 2
        )

    step = np.float32(2e-3)
    slope = (measure(clip + step * fade) - measure(clip - step * fade)) / (2 * step)
    gradient = jax.grad(measure)(jnp.asarray(clip))
    np.testing.assert_allclose(jnp.vdot(gradient, fade), slope, rtol=0.05)
    wholly_silent = jax.grad(measure)(jnp.zeros(4000))
    assert jnp.isfinite(wholly_silent).all()


def test_silence_has_neither():
    silence = np.zeros(5000, np.float32)
    assert not chroma(silence, sample_rate=RATE).any()
    assert not spectral_contrast(silence, sample_rate=RATE).any()


@both
def test_bad_audio_is_named(feature):
    with pytest.raises(TypeError, match="int16"):
        feature(np.zeros(5000, np.int16), sample_rate=RATE)
    with pytest.raises(ValueError, match=r"100 samples; at least 2048 .*n_fft=2048"):
        feature(noise(100), sample_rate=RATE, center=False)
    with pytest.raises(ValueError, match="hop_length is 0"):
        feature(noise(5000), sample_rate=RATE, hop_length=0)
    with pytest.raises(ValueError, match="1 samples that are NaN or infinite, of 5000"):
        feature(np.append(noise(4999), np.float32(np.nan)), sample_rate=RATE)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"quantile": 1.0}, r"quantile=1.0"),
        ({"fmin": 0.0}, r"fmin=0.0"),
        ({"n_bands": 8}, r"n_bands=8 .*11025 Hz"),
        ({"fmin": 5.0}, r"band 0 of 7 holds no bin .*10.77 Hz apart"),
        ({"n_fft": 65, "fmin": 340.0}, r"band 6 of 7 .*339.2 Hz apart: raise n_fft or fmin"),
    ],
)
def test_bad_octaves_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        spectral_contrast(noise(5000), sample_rate=RATE, **options)


def test_bad_classes_are_named():
    with pytest.raises(ValueError, match="n_chroma=0"):
        chroma(noise(5000), sample_rate=RATE, n_chroma=0)
