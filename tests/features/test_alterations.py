"""Alterations of clips: against SciPy's filter, by hand, and the same every time."""

import numpy as np
import pytest
from scipy.signal import firwin

from features.alterations import ALTERATIONS, LowPass
from features.extractors import Augmented, LogMelPicture, Mfcc

RATE = 8000
NAMES = "20 dB quieter", "low-pass at a quarter of the band", "white noise 20 dB below"


@pytest.fixture(scope="module")
def audio():
    return np.random.default_rng(0).normal(0, 0.1, (3, 3000, 2)).astype(np.float32)


class AsItIs:
    """An extractor of the audio itself."""

    standardize = False

    def __call__(self, audio, sample_rate):
        return audio


def altered(name, audio):
    return np.asarray(Augmented(AsItIs(), ALTERATIONS[name], 0)(audio, RATE))


def test_there_is_one_of_level_one_of_band_and_one_of_noise():
    assert tuple(ALTERATIONS) == NAMES
    with pytest.raises(TypeError):
        ALTERATIONS["louder"] = None


def test_quieter_by_20_decibels_is_a_tenth(audio):
    np.testing.assert_allclose(altered(NAMES[0], audio), 0.1 * audio, rtol=1e-6)


@pytest.mark.parametrize(("cutoff", "taps"), [(0.25, 255), (0.6, 31)])
@pytest.mark.parametrize("length", [3000, 20])
def test_the_filter_is_that_of_scipy(audio, cutoff, taps, length):
    clips = audio[:, :length]
    found = np.asarray(LowPass(cutoff, taps)(None, clips, RATE))
    kernel = firwin(taps, cutoff)
    for clip, filtered in zip(clips, found, strict=True):
        for channel in range(2):
            whole = np.convolve(clip[:, channel].astype(np.float64), kernel)
            expected = whole[taps // 2 : taps // 2 + length]
            np.testing.assert_allclose(filtered[:, channel], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("share", "low", "high"), [(0.2, 0.99, 1.01), (0.25, 0.45, 0.55), (0.3, 0, 0.005)]
)
def test_what_is_above_the_cutoff_goes(share, low, high):
    tone = np.sin(np.pi * share * np.arange(4000)).astype(np.float32)[None, :, None]
    left = altered(NAMES[1], tone)[0, 500:-500, 0]
    assert low <= np.sqrt(2 * (left**2).mean()) <= high


def test_noise_is_white_and_20_decibels_below():
    tone = 0.5 * np.sin(0.1 * np.arange(40_000)).astype(np.float32)[None, :, None]
    noise = (altered(NAMES[2], tone) - tone)[0, :, 0]
    assert 10 * np.log10((tone**2).mean() / (noise**2).mean()) == pytest.approx(20, abs=0.2)
    quarters = (abs(np.fft.rfft(noise)) ** 2)[1:].reshape(4, -1).mean(1)
    np.testing.assert_allclose(quarters / quarters.mean(), 1, atol=0.06)


@pytest.mark.parametrize("name", NAMES)
def test_a_clip_is_altered_alike_in_whatever_batch(audio, name):
    whole = altered(name, audio)
    np.testing.assert_allclose(altered(name, audio[1:2])[0], whole[1], atol=1e-7)
    np.testing.assert_array_equal(altered(name, audio), whole)
    assert (whole != audio).any()


def test_decibels_below_the_loudest_do_not_know_the_level(audio):
    relative = LogMelPicture(frames=20, n_mels=20, n_fft=256)
    absolute = Mfcc(n_mfcc=8, n_fft=256, hop_length=128, n_mels=20)

    def difference(make):
        quiet = Augmented(make, ALTERATIONS[NAMES[0]], 0)(audio, RATE)
        return abs(np.asarray(quiet) - np.asarray(make(audio, RATE))).max()

    assert difference(relative) < 1e-3
    assert difference(absolute) > 10


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"cutoff": 0.0}, "between 0 and 1, not 0"),
        ({"cutoff": 1.0}, "between 0 and 1, not 1"),
        ({"taps": 254}, "an odd number of 3 or more, not 254"),
    ],
)
def test_filters_that_are_none(wrong, said):
    with pytest.raises(ValueError, match=said):
        LowPass(**wrong)
