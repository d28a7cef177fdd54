"""Pictures of sound: where a tone is drawn, in which colours, of which size, and under JAX."""

from __future__ import annotations

import subprocess
import sys

import jax
import jax.numpy as jnp
import librosa
import matplotlib
import numpy as np
import pytest
import soundfile

from features.pictures import log_mel_picture, spectrogram_picture, tempo_picture
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


@pytest.mark.parametrize(
    ("seconds", "hop_length", "n_fft"),
    [(2.0, 558, 2048), (0.5, 139, 2048), (0.3, 83, 1024), (0.1, 27, 512)],
)
def test_a_log_mel_picture_is_librosas_with_the_hop_that_fits(
    gtzan_mini, seconds, hop_length, n_fft
):
    path = gtzan_mini / "pop/pop.00000.flac"
    clip = soundfile.read(path, int(seconds * RATE), RATE, dtype="float32")[0]
    mel = librosa.feature.melspectrogram(
        y=clip, sr=RATE, n_fft=n_fft, hop_length=hop_length, n_mels=80
    )
    right = librosa.power_to_db(mel[:, :80], ref=np.max).T
    np.testing.assert_allclose(log_mel_picture(clip, sample_rate=RATE), right, atol=1e-3)


@pytest.mark.parametrize("num_samples", [2048, 2127, 6240, 6241, 9999, 66150])
@pytest.mark.parametrize("size", [(80, 80), (31, 20)])
def test_a_log_mel_picture_has_its_size_at_any_length(num_samples, size):
    noise = 0.1 * np.random.default_rng(0).standard_normal(num_samples).astype(np.float32)
    picture = log_mel_picture(noise, sample_rate=RATE, size=size)
    assert picture.shape == size
    assert picture.max() == 0
    assert picture.min() > -80  # noise fills all of it


def test_a_log_mel_picture_is_relative_to_each_clips_own_loudest():
    clips = np.stack([tone(440), 0.01 * tone(440), 0 * tone(440)]).reshape(3, 1, -1)
    pictures = log_mel_picture(clips, sample_rate=RATE, top_db=50)
    assert pictures.shape == (3, 1, 80, 80)
    assert pictures.dtype == jnp.float32
    np.testing.assert_allclose(pictures[0], pictures[1], atol=1e-2)
    assert pictures[0].max() == 0
    assert pictures[0].min() == -50
    assert (pictures[2] == -50).all()
    np.testing.assert_array_equal(pictures[0, 0, 40].argmax(), pictures[0, 0].max(0).argmax())


def test_a_log_mel_picture_jits_maps_and_has_a_gradient():
    noise = 0.1 * np.random.default_rng(0).standard_normal((2, 5000)).astype(np.float32)

    def draw(y):
        return log_mel_picture(y, sample_rate=RATE, size=(20, 10))

    plain = draw(noise)
    np.testing.assert_allclose(jax.jit(jax.vmap(draw))(noise), plain, atol=1e-4)
    gradient = jax.grad(lambda y: draw(y).sum())(jnp.asarray(noise).at[1].set(0))
    assert jnp.isfinite(gradient).all()
    assert gradient[0].any()


def test_a_clip_too_short_for_a_log_mel_picture_gets_the_seconds_it_needs():
    with pytest.raises(ValueError, match=r"0\.091 s; .*80 frames .*needs 0\.093 s \(2048 samples"):
        log_mel_picture(tone(440)[:2000], sample_rate=RATE)
    assert log_mel_picture(tone(440)[:2048], sample_rate=RATE).shape == (80, 80)
    with pytest.raises(ValueError, match="5000 samples"):
        log_mel_picture(tone(440)[:4999], sample_rate=RATE, size=(5000, 10))


def test_bad_options_of_a_log_mel_picture_are_named():
    with pytest.raises(ValueError, match=r"n_fft=256 leaves some of 80 bands empty at 22050 Hz"):
        log_mel_picture(tone(440), sample_rate=RATE, n_fft=256)
    with pytest.raises(ValueError, match=r"size=\(80, 0\)"):
        log_mel_picture(tone(440), sample_rate=RATE, size=(80, 0))
    with pytest.raises(ValueError, match="top_db=0"):
        log_mel_picture(tone(440), sample_rate=RATE, top_db=0)
    with pytest.raises(TypeError, match="int16"):
        log_mel_picture(np.zeros(RATE, np.int16), sample_rate=RATE)


# --- the tempogram above the spectrogram ----------------------------------------------------------


def clicks(seconds: float, every: float) -> np.ndarray:
    clip = np.zeros(int(seconds * RATE), np.float32)
    for start in np.arange(0.1, seconds - 0.1, every):
        at = int(start * RATE)
        clip[at : at + 400] = np.random.default_rng(0).uniform(-0.2, 0.2, 400)
    return clip


def test_without_resizing_the_halves_are_librosas_tempogram_and_spectrogram():
    """A tempogram has 384 lags: a picture of twice as many rows has a row for each."""
    clip = clicks(2.0, 0.25)
    frames = 1 + len(clip) // 512
    picture = np.asarray(tempo_picture(clip, sample_rate=RATE, size=(768, frames)))
    colours = matplotlib.colormaps["magma"]
    loud = clip / np.abs(clip).max()
    tempogram = librosa.feature.tempogram(y=loud, sr=RATE)
    np.testing.assert_allclose(picture[:384], colours(tempogram[::-1])[..., :3], atol=0.02)
    found = librosa.amplitude_to_db(np.abs(librosa.stft(loud)), ref=np.max)
    octaves = np.linspace(0, 1 + np.log2(RATE / 2 / librosa.note_to_hz("C2")), 384)
    hertz = librosa.note_to_hz("C2") * np.where(octaves < 1, octaves, 2 ** (octaves - 1))
    rows = found[np.round(hertz * 2048 / RATE).astype(int)]
    shown = colours(1 + rows / 80)[::-1, :, :3]
    np.testing.assert_allclose(picture[384:], shown, atol=0.02)


def test_an_octave_is_as_high_wherever_it_is_and_loudness_does_not_matter():
    def row(hertz, gain=1.0):
        picture = tempo_picture(gain * tone(hertz), sample_rate=RATE, size=(400, 40), cmap="gray")
        return int(picture[200:, :, 0].mean(1).argmax())

    high, middle, low = row(4000), row(2000), row(1000)
    assert high < middle < low
    assert middle - high == pytest.approx(low - middle, abs=2) == pytest.approx(200 / 8.4, abs=2)
    assert row(2000, 0.01) == middle


def test_a_tempo_picture_of_silence_is_dark_and_sizes_are_checked():
    picture = tempo_picture(np.zeros(RATE, np.float32), sample_rate=RATE, size=(40, 30))
    assert picture.shape == (40, 30, 3)
    np.testing.assert_allclose(picture, np.full((40, 30, 3), matplotlib.colormaps["magma"](0)[:3]))
    with pytest.raises(ValueError, match="the size is above 1"):
        tempo_picture(np.zeros(RATE, np.float32), sample_rate=RATE, size=(1, 30))
