"""Loudness against what the standard says of a sine, and what makes clips equally loud."""

import numpy as np
import pytest

from features.loudness import TARGET, loudness, matching_gain


def sine(rate, seconds=2.0, pitch=997.0, gain=1.0):
    return gain * np.sin(2 * np.pi * pitch * np.arange(round(seconds * rate)) / rate)


@pytest.mark.parametrize("rate", [4000, 8000, 16_000, 22_050, 44_100, 48_000])
@pytest.mark.parametrize("seconds", [0.1, 0.41, 2.0])
def test_a_full_scale_sine_of_997_hz_has_minus_3_lufs(rate, seconds):
    assert loudness(sine(rate, seconds), sample_rate=rate) == pytest.approx(-3.01, abs=0.15)


@pytest.mark.parametrize("rate", [8000, 22_050, 44_100])
def test_a_sound_of_any_length_below_a_block_is_a_block(rate):
    """A length in seconds times the rate may be a little more than the length."""
    noise = np.random.default_rng(0).normal(0, 0.1, rate)
    lengths = [*range(rate // 10, int(0.4 * rate), 97), 1086, 2760, 5520]
    found = [loudness(noise[:length], sample_rate=rate) for length in lengths]
    assert np.ptp(found) < 3


@pytest.mark.parametrize("channels", [2, 3, 6, 16])
def test_channels_add_up_as_far_as_the_standard_knows_them(channels):
    sound = np.stack(channels * [sine(48_000)], axis=1)
    expected = -3.01 + (10 * np.log10(channels) if channels <= 5 else 0)
    assert loudness(sound, sample_rate=48_000) == pytest.approx(expected, abs=0.1)


def test_low_tones_count_less_and_a_rate_of_1_khz_has_finite_loudness():
    low = loudness(sine(48_000, pitch=40), sample_rate=48_000)
    assert low < loudness(sine(48_000, pitch=200), sample_rate=48_000) - 5
    assert -6 < loudness(sine(1000, pitch=300), sample_rate=1000) < -2


def test_silence_does_not_count_and_is_minus_infinity_alone():
    loud = sine(48_000, gain=0.5)
    beside = np.concatenate([loud, np.zeros(4 * len(loud))])
    alone = loudness(loud, sample_rate=48_000)
    assert loudness(beside, sample_rate=48_000) == pytest.approx(alone, abs=0.5)
    assert loudness(np.zeros((100, 1)), sample_rate=8000) == -np.inf


@pytest.mark.parametrize("gain", [0.005, 0.02, 0.3, 1.0])
def test_a_clip_gets_the_level_asked_for(gain):
    rng = np.random.default_rng(0)
    sound = np.clip(gain * rng.normal(0, 0.2, 16_000), -1, 1).astype(np.float32)
    matched = sound * 10 ** (matching_gain(sound, sample_rate=16_000) / 20)
    assert loudness(matched, sample_rate=16_000) == pytest.approx(TARGET, abs=0.05)


def test_a_click_gets_no_more_than_its_peak_allows():
    click = np.zeros((16_000, 1), np.float32)
    click[8000] = 0.25
    gain = matching_gain(click, sample_rate=16_000)
    assert 20 * np.log10(0.25) + gain == pytest.approx(-1.0)
    assert matching_gain(np.zeros((16_000, 1)), sample_rate=16_000) == 0


@pytest.mark.parametrize("bad", [np.zeros((0, 1)), np.full(9, np.nan), np.full(9, np.inf)])
def test_what_has_no_loudness_is_refused(bad):
    with pytest.raises(ValueError, match="finite samples"):
        loudness(bad, sample_rate=8000)
    with pytest.raises(ValueError, match="sample_rate"):
        loudness(np.ones(9), sample_rate=1)
