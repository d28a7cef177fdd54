"""What each transform does to sound is measured on signals whose answer is known."""

from functools import partial

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features._framing import on_device
from features.augmentation import (
    AUGMENTATIONS,
    BUILT_IN,
    WaveformAugmentation,
    add_noise,
    change_gain,
    flip_polarity,
    parse_augmentations,
    pitch_shift,
    shift_time,
    time_stretch,
)

RATE = 8000
KEY = jax.random.key(0)
NOISE = (0.1 * np.random.default_rng(0).normal(size=(5, 4000, 1))).astype(np.float32)


def sine(hertz: float, num_samples: int = 2 * RATE) -> np.ndarray:
    wave = 0.5 * np.sin(2 * np.pi * hertz * np.arange(num_samples) / RATE)
    return wave.astype(np.float32)[None, :, None]


def changed(function, audio: np.ndarray, **settings) -> np.ndarray:
    """What comes of it, as one program: of eager operations, each is one to compile."""
    return np.asarray(jax.jit(partial(function, KEY, **settings))(audio))


def peak_hertz(clip: np.ndarray) -> float:
    """Of the highest point of the spectrum, away from the clip's seam; to half a hertz."""
    middle = np.asarray(clip, np.float64)[1000:-1000, 0]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle)), 2 * RATE))
    return spectrum.argmax() / 2


def test_what_the_caller_does_with_its_array_afterwards_is_not_heard():
    """Alterations are computed later; memory that begins at 64 bytes is what JAX would share."""
    memory = np.zeros(4096 + 16, np.float32)
    audio = memory[-memory.ctypes.data % 64 // 4 :][:4096].reshape(2, 2048, 1)
    there = on_device(audio)
    audio[:] = 1
    assert not np.asarray(there).any()


def test_noise_lies_as_far_below_the_clip_as_asked():
    audio = np.tile(sine(440), (2, 1, 2)) * np.float32([[[1]], [[0.01]]])
    noise = changed(add_noise, audio, snr_db=(20, 20)) - audio
    found = 10 * np.log10((audio**2).mean((1, 2)) / (noise**2).mean((1, 2)))
    np.testing.assert_allclose(found, 20, atol=0.2)
    assert abs(np.corrcoef(noise[0, :, 0], noise[0, :, 1])[0, 1]) < 0.05
    flat = np.abs(np.fft.rfft(noise[0, :, 0])) ** 2
    assert flat[:2000].mean() == pytest.approx(flat[-2000:].mean(), rel=0.15)


def test_noise_levels_are_drawn_clip_by_clip_within_the_range():
    noise = changed(add_noise, np.repeat(NOISE, 10, 0)) - np.repeat(NOISE, 10, 0)
    found = 10 * np.log10((NOISE**2).mean() / (noise**2).mean((1, 2)))
    assert found.min() == pytest.approx(10, abs=4)
    assert found.max() == pytest.approx(40, abs=4)
    assert len(np.unique(found.round(3))) == 50


def test_silence_stays_silent():
    silence = np.zeros_like(NOISE)
    np.testing.assert_array_equal(WaveformAugmentation()(0, silence, RATE), silence)


def test_gain_is_a_factor_within_the_range():
    louder = changed(change_gain, np.repeat(NOISE, 10, 0), gain_db=(-12, 0))
    factors = louder[:, 0, 0] / np.repeat(NOISE[:, 0, 0], 10)
    np.testing.assert_allclose(louder, np.repeat(NOISE, 10, 0) * factors[:, None, None], rtol=1e-5)
    assert 10 ** (-12 / 20) <= factors.min() < 0.4
    assert 0.8 < factors.max() <= 1


def test_gain_never_clips():
    louder = changed(change_gain, sine(440), gain_db=(30, 30))
    assert np.abs(louder).max() == pytest.approx(1)
    np.testing.assert_allclose(louder / np.abs(louder).max(), sine(440) / 0.5, atol=1e-5)


def test_shift_rolls_the_clip():
    shifted = changed(shift_time, np.tile(NOISE, (8, 1, 2)), shift=(-0.1, 0.1))
    found = []
    for clip, original in zip(shifted, np.tile(NOISE, (8, 1, 2)), strict=True):
        by = int(np.flatnonzero(clip[:, 0] == original[0, 0])[0])
        np.testing.assert_array_equal(clip, np.roll(original, by, 0))
        found.append(by if by < 2000 else by - 4000)
    assert -400 <= min(found) < -200
    assert 200 < max(found) <= 400


def test_polarity_flips_half():
    signs = changed(flip_polarity, np.tile(NOISE, (20, 1, 1))) / np.tile(NOISE, (20, 1, 1))
    assert np.ptp(signs, axis=(1, 2)).max() == 0
    assert 30 < (signs[:, 0, 0] == -1).sum() < 70


@pytest.mark.parametrize("semitones", [-2.0, 0.7, 2.0])
def test_pitch_shift_moves_a_sine_by_the_ratio(semitones):
    shifted = np.asarray(pitch_shift(KEY, sine(440), semitones=(semitones, semitones), n_fft=1024))
    assert shifted.shape == (1, 2 * RATE, 1)
    assert peak_hertz(shifted[0]) == pytest.approx(440 * 2 ** (semitones / 12), abs=0.6)
    assert np.abs(shifted[0, 1000:-1000]).max() == pytest.approx(0.5, rel=0.02)


def test_a_pitch_shifted_upwards_leaves_no_alias():
    """3800 Hz a whole tone up would lie above half the sample rate, and come back at 3735 Hz."""
    shifted = np.asarray(pitch_shift(KEY, sine(3800), semitones=(2, 2), n_fft=1024))
    assert np.abs(shifted[0, 1000:-1000]).max() < 0.005


@pytest.mark.parametrize("rate", [0.8, 1.25])
def test_stretch_keeps_the_pitch(rate):
    stretched = np.asarray(time_stretch(KEY, sine(440), rate=(rate, rate), n_fft=1024))
    assert stretched.shape == (1, 2 * RATE, 1)
    assert peak_hertz(stretched[0, : RATE * 3 // 2]) == pytest.approx(440, abs=0.6)


def bursts(every: int = 2000) -> tuple[np.ndarray, np.ndarray]:
    """Two seconds of short bursts like a drum's, and where they start."""
    rng = np.random.default_rng(0)
    audio = 1e-3 * rng.normal(size=2 * RATE)
    burst = 0.3 * rng.normal(size=160) * np.exp(-np.arange(160) / 40)
    starts = np.arange(every // 2, 2 * RATE - 500, every)
    for start in starts:
        audio[start : start + 160] += burst
    return np.clip(audio, -1, 1).astype(np.float32), starts


@pytest.mark.parametrize("rate", [0.8, 1.25])
def test_stretch_changes_the_tempo(rate):
    """Bursts every 2000 samples come every 2000 / rate, and on from the loop's start."""
    audio, _ = bursts()
    stretched = np.asarray(time_stretch(KEY, audio[None, :, None], rate=(rate, rate), n_fft=512))
    expected = np.arange(1000, 3 * RATE, 2000) / rate
    expected = expected[expected < 2 * RATE - 10]
    loud = np.flatnonzero(np.abs(stretched[0, :, 0]) > 0.15)
    found = loud[np.diff(loud, prepend=-1000) > 500]
    np.testing.assert_allclose(found, expected, atol=64)  # 8 ms


def test_stretch_keeps_attacks_sharper_than_librosa():
    """The share of the sound that lies within 30 ms of where each burst now belongs."""
    import librosa

    audio, starts = bursts()

    def sharpness(stretched: np.ndarray) -> float:
        parts = [
            stretched[s - 700 : s + 700].astype(float) ** 2 for s in (starts / 0.8).astype(int)
        ]
        parts = [part for part in parts if len(part) == 1400]
        return np.sum([part[660:900].sum() for part in parts]) / np.sum(parts)

    ours = np.asarray(time_stretch(KEY, audio[None, :, None], rate=(0.8, 0.8), n_fft=1024))
    theirs = librosa.effects.time_stretch(audio, rate=0.8, n_fft=1024)[: 2 * RATE]
    assert sharpness(ours[0, :, 0]) > 0.95
    assert sharpness(theirs) < 0.8


def test_a_clip_depends_on_its_own_key_alone():
    augmentation, keys = WaveformAugmentation(), jax.random.split(KEY, 5)
    whole = augmentation(keys, NOISE, RATE)
    moved = augmentation(keys[::-1], NOISE[::-1], RATE)
    np.testing.assert_allclose(moved[::-1], whole, atol=1e-6)
    np.testing.assert_array_equal(augmentation(KEY, NOISE, RATE), whole)  # split in the same way
    np.testing.assert_array_equal(augmentation(0, NOISE, RATE), whole)  # a seed of that key


def test_draws_differ_between_seeds_and_clips():
    same = np.repeat(NOISE[:1], 5, 0)
    first, other = (np.asarray(WaveformAugmentation()(seed, same, RATE)) for seed in (0, 1))
    copies = np.concatenate([first, other])
    distances = np.abs(copies[:, None] - copies[None]).max((2, 3))
    assert (distances + np.eye(10) > 0.05).all()


@pytest.mark.parametrize("name", BUILT_IN)
def test_each_name_does_something_of_its_own(name):
    alone = np.asarray(WaveformAugmentation((name,))(3, NOISE, RATE))
    assert np.abs(alone - NOISE).max() > 1e-3


def test_a_draw_does_not_depend_on_the_other_names():
    gain = np.asarray(WaveformAugmentation(("gain",))(3, NOISE, RATE))
    both = np.asarray(WaveformAugmentation(("polarity", "gain"))(3, NOISE, RATE))
    np.testing.assert_allclose(np.abs(both), np.abs(gain), rtol=1e-6)
    other = WaveformAugmentation(("gain", "polarity"))(3, NOISE, RATE)
    np.testing.assert_array_equal(other, both)


@pytest.mark.parametrize("shape", [(5, 4000), (4000,)])
def test_mono_clips_need_no_channel_axis(shape):
    """Of one clip the key is split for one."""
    clips = NOISE[:1] if len(shape) == 1 else NOISE
    for change in (
        lambda audio: changed(add_noise, audio),
        lambda audio: pitch_shift(KEY, audio, n_fft=256),
        lambda audio: WaveformAugmentation(("gain", "shift"))(3, audio, RATE),
    ):
        found = change(clips.reshape(shape))
        np.testing.assert_array_equal(found, np.asarray(change(clips)).reshape(shape))


def test_channels_stay_together():
    stereo = np.repeat(NOISE, 2, axis=2) * np.float32([1, 0.5])
    names = ("gain", "shift", "stretch", "polarity")
    augmented = np.asarray(WaveformAugmentation(names)(0, stereo, RATE))
    np.testing.assert_allclose(augmented[..., 1], augmented[..., 0] / 2, atol=1e-5)


@settings(max_examples=10)
@given(seed=st.integers(0, 2**31 - 1), loudness=st.floats(0, 10))
def test_what_comes_out_is_sound_of_the_same_length(seed, loudness):
    audio = np.clip(np.float32(10 * loudness) * NOISE, -1, 1)
    augmented = np.asarray(WaveformAugmentation()(seed, audio, RATE))
    assert augmented.shape == audio.shape
    assert augmented.dtype == np.float32
    assert np.abs(augmented).max() <= 1  # NaN fails too


def test_lists_of_names():
    waveform, features = parse_augmentations("noise, pitch,mixup")
    assert waveform == WaveformAugmentation(("noise", "pitch"))
    assert (features.spec_augment, features.mixup_alpha) == (False, 0.2)
    assert parse_augmentations("gain")[1] is None
    waveform, features = parse_augmentations("specaugment")
    assert waveform is None
    assert (features.spec_augment, features.mixup_alpha) == (True, 0)
    assert parse_augmentations("none") == (None, None)
    assert parse_augmentations("all") == parse_augmentations(",".join(AUGMENTATIONS))


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ("nois,gain", "'nois': is it noise"),
        ("pitchshift", "is it shift or pitch"),
        ("specaugmet", "is it specaugment"),
        ("gain,gain", "each once"),
        ("all,gain", "'all': .*'all' or 'none' alone"),
        ("", "no augmentation ''"),
    ],
)
def test_lists_that_mean_nothing(names, said):
    with pytest.raises(ValueError, match=said):
        parse_augmentations(names)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"names": ()}, "one or more"),
        ({"names": ("mixup",)}, "no augmentation 'mixup'"),
        ({"names": ("gain",), "snr_db": (1.0, 2.0)}, "snr_db is no setting of gain, .* gain_db"),
        ({"snr_db": (40.0, 10.0)}, "snr_db"),
        ({"rate": (0.0, 1.0)}, "rate.*above 0"),
        ({"semitones": (float("nan"), 1.0)}, "semitones"),
    ],
)
def test_settings_that_are_refused(settings, said):
    with pytest.raises(ValueError, match=said):
        WaveformAugmentation(**settings)


def test_functions_refuse_the_same():
    with pytest.raises(ValueError, match="gain_db"):
        change_gain(KEY, NOISE, gain_db=(0, -12))
    with pytest.raises(ValueError, match="n_fft=10"):
        pitch_shift(KEY, NOISE, n_fft=10)
