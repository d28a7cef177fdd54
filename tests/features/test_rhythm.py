"""Onset strength and tempogram against librosa, on bursts and real music, and under JAX."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import librosa
import numpy as np
import pytest
import soundfile

from features.rhythm import beats, onset_strength, tempo, tempogram

RATE = 22050


def bursts(beats_a_minute: float, seconds: float, rate: int = RATE) -> np.ndarray:
    """Noise that sets in at each beat and dies away."""
    time = np.arange(int(seconds * rate)) / rate
    noise = np.random.default_rng(0).standard_normal(len(time))
    return (0.3 * noise * np.exp(-20 * (time % (60 / beats_a_minute)))).astype(np.float32)


@pytest.fixture(scope="module")
def sounds(gtzan_mini) -> np.ndarray:
    """Bursts, bursts with a digital pause, and six seconds of real music."""
    beats = bursts(140, 6)
    pause = beats * (np.abs(np.arange(len(beats)) - 3 * RATE) > RATE)
    tracks = ["blues/blues.00000", "classical/classical.00005", "hiphop/hiphop.00000"]
    music = [soundfile.read(gtzan_mini / f"{track}.flac", len(beats), RATE)[0] for track in tracks]
    return np.stack([beats, pause, *music]).astype(np.float32)


@pytest.mark.parametrize(
    ("hop_length", "rate", "n_fft"),
    [
        *((512, RATE, 2048), (160, 16000, 2048), (441, 44100, 2048), (1024, RATE, 2048)),
        *((2048, 8000, 2048), (4096, RATE, 2048), (128, RATE, 1024)),
    ],
)
def test_onset_strength_agrees_with_librosa(sounds, hop_length, rate, n_fft):
    frames = {"n_fft": n_fft, "hop_length": hop_length}
    ours = onset_strength(sounds, sample_rate=rate, **frames)
    right = [librosa.onset.onset_strength(y=clip, sr=rate, **frames) for clip in sounds]
    assert ours.dtype == jnp.float32
    np.testing.assert_allclose(ours, right, atol=1e-3)


@pytest.mark.parametrize(
    ("hop_length", "win_length"),
    [(512, 384), (256, 383), (1024, 100), (441, 2), (4096, 3), (2048, 600)],
)
def test_tempogram_agrees_with_librosa(sounds, hop_length, win_length):
    options = {"hop_length": hop_length, "win_length": win_length}
    ours = tempogram(sounds, sample_rate=RATE, **options)
    right = [librosa.feature.tempogram(y=clip, sr=RATE, **options).T for clip in sounds]
    assert ours.shape == (len(sounds), 1 + sounds.shape[1] // hop_length, win_length)
    np.testing.assert_allclose(ours, right, atol=1e-3)


@pytest.mark.parametrize("num_samples", [1, 700, 5000])
@pytest.mark.filterwarnings("ignore:n_fft=2048 is too large")
def test_short_clips_agree_with_librosa(num_samples):
    clip = bursts(200, 1)[:num_samples]
    ours = tempogram(clip, sample_rate=RATE, win_length=30)
    right = librosa.feature.tempogram(y=clip, sr=RATE, win_length=30).T
    np.testing.assert_allclose(ours, right, atol=1e-3)


@pytest.mark.parametrize("beats_a_minute", [90, 120, 150])
def test_beats_come_back_at_their_lag(beats_a_minute):
    rate, hop_length = 16000, 160
    clip = bursts(beats_a_minute, 5, rate)
    lags = tempogram(clip, sample_rate=rate, hop_length=hop_length, win_length=200)[250]
    frames = 60 / beats_a_minute * rate / hop_length
    assert 20 + int(jnp.argmax(lags[20:70])) == pytest.approx(frames, abs=1)
    assert lags[0] == pytest.approx(1)  # a quotient by a rounded reciprocal


def test_onsets_lie_where_the_sound_sets_in():
    clip = bursts(60, 3) * (np.arange(3 * RATE) >= RATE)  # the first at one second
    onsets = onset_strength(clip, sample_rate=RATE, hop_length=512)
    assert int(jnp.argmax(onsets)) == pytest.approx(RATE / 512, abs=2)


def test_silence_has_no_rhythm():
    silence = np.zeros((2, RATE), np.float32)
    assert not onset_strength(silence, sample_rate=RATE).any()
    assert not tempogram(silence, sample_rate=RATE).any()


def test_a_batch_gives_what_each_clip_alone_gives_jitted_and_mapped(sounds):
    quiet = sounds[:, : 2 * RATE] * np.float32([[1], [1e-3], [1], [1e-2], [1]])

    def rhythm(y):
        return tempogram(y, sample_rate=RATE, win_length=40)

    alone = np.stack([rhythm(clip) for clip in quiet])
    np.testing.assert_allclose(rhythm(quiet), alone, atol=1e-5)
    np.testing.assert_allclose(rhythm(quiet[:4].reshape(2, 2, -1))[1, 0], alone[2], atol=1e-5)
    np.testing.assert_allclose(jax.jit(jax.vmap(rhythm))(quiet), alone, atol=1e-5)


def test_the_derivative_is_the_slope_also_beside_silence():
    clip = bursts(200, 0.6) * (np.arange(13230) < 9000)
    weights = np.random.default_rng(1).standard_normal((26, 20)).astype(np.float32)
    fade = clip * np.linspace(-1, 1, len(clip), dtype=np.float32)

    def total(y):
        return jnp.sum(tempogram(y, sample_rate=RATE, win_length=20) * weights)

    step = np.float32(1e-2)
    slope = (total(clip + step * fade) - total(clip - step * fade)) / (2 * step)
    gradient = jax.grad(total)(jnp.asarray(clip))
    assert abs(slope) > 0.01
    np.testing.assert_allclose(jnp.vdot(gradient, fade), slope, rtol=0.02)


@pytest.mark.parametrize("beats_a_minute", [80, 110, 160])
def test_beats_lie_where_they_are_and_give_the_tempo(beats_a_minute):
    rate, period = 16000, 60 / beats_a_minute
    clip = np.concatenate([np.zeros(8000, np.float32), bursts(beats_a_minute, 8, rate)])
    found = beats(clip, sample_rate=rate, hop_length=160)
    assert found.dtype == np.float64
    assert len(found) == pytest.approx(8 / period, abs=2)
    off = (found - 0.5 + period / 2) % period - period / 2  # from the nearest true one
    assert np.abs(off).max() < 0.03
    near = tempo(clip, sample_rate=rate, hop_length=160, start_bpm=beats_a_minute)
    assert near == pytest.approx(beats_a_minute, rel=0.015)  # a lag of whole frames


def test_tempo_and_beats_are_librosas(sounds):
    options = {"hop_length": 256, "start_bpm": 100.0}
    right = [
        librosa.feature.tempo(y=clip, sr=RATE, max_tempo=150.0, **options).item() for clip in sounds
    ]
    found = tempo(sounds, sample_rate=RATE, max_tempo=150.0, **options)
    np.testing.assert_array_equal(found, right)
    assert len(set(right)) > 2
    for clip in sounds[[1, 4]]:
        _, times = librosa.beat.beat_track(
            y=clip, sr=RATE, units="time", tightness=50, trim=False, bpm=97.0, hop_length=256
        )
        found = beats(
            jnp.asarray(clip), sample_rate=RATE, tightness=50, trim=False, bpm=97, hop_length=256
        )
        np.testing.assert_array_equal(found, times)
        assert len(times) > 5


def test_silence_has_no_beats():
    silence = np.zeros((2, 3 * RATE), np.float32)
    assert tempo(silence, sample_rate=RATE).tolist() == [0, 0]
    assert beats(silence[0], sample_rate=RATE).shape == (0,)


@pytest.mark.parametrize(
    ("feature", "options", "said"),
    [
        (tempo, {"start_bpm": 0}, "start_bpm=0, max_tempo=320.0: both"),
        (tempo, {"max_tempo": -1}, "max_tempo=-1: both"),
        (tempo, {"sample_rate": 0}, "sample_rate is 0"),
        (beats, {"hop_length": 0}, "hop_length is 0"),
        (beats, {"tightness": 0}, "tightness=0: all"),
        (beats, {"bpm": 0}, "bpm=0, "),
        (beats, {"bpm": 3000}, "bpm=3000 is beyond one beat a frame, 2584 a minute"),
    ],
)
def test_bad_options_of_beats_are_named(feature, options, said):
    with pytest.raises(ValueError, match=said):
        feature(bursts(120, 1), **{"sample_rate": RATE, **options})


def test_bad_audio_of_beats_is_named():
    clip = bursts(120, 1)
    for feature in (tempo, beats):
        with pytest.raises(ValueError, match="2 samples that are NaN"):
            feature(np.append(clip, np.float32([np.nan, np.inf])), sample_rate=RATE)
        with pytest.raises(TypeError, match="int16"):
            feature(np.zeros(5000, np.int16), sample_rate=RATE)
    with pytest.raises(ValueError, match=r"shape \(1, 22050\); one clip"):
        beats(clip[None], sample_rate=RATE)


def test_bad_input_is_named():
    clip = bursts(120, 0.1)
    with pytest.raises(ValueError, match="win_length is 1 "):
        tempogram(clip, sample_rate=RATE, win_length=1)
    for feature in (onset_strength, tempogram):
        with pytest.raises(ValueError, match="hop_length is 0"):
            feature(clip, sample_rate=RATE, hop_length=0)
        with pytest.raises(TypeError, match="int16"):
            feature(np.zeros(5000, np.int16), sample_rate=RATE)
        with pytest.raises(ValueError, match="0 samples"):
            feature(clip[:0], sample_rate=RATE)
