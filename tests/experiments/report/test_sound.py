"""Clips on the page, decoded again as a browser would."""

import base64
import io
import re

import numpy as np
import pytest
import soundfile as sf

from experiments.report.sound import augmentation_section, listening_section
from features.augmentation import WaveformAugmentation


def _content(html: str, kind: str) -> list[bytes]:
    found = re.findall(f'src="data:{kind};base64,([^"]*)"', html)
    return [base64.b64decode(text, validate=True) for text in found]


def test_sounds_are_the_clips_at_16_bits():
    rng = np.random.default_rng(0)
    clips = {
        label: {kind: rng.uniform(-1, 1, (2, 3000, 2)).astype(np.float32) for kind in kinds}
        for label, kinds in {"a": ("real", "generated"), "b": ("generated",)}.items()
    }
    clips["a"]["real"][0, :3] = [[1, -1], [0.25, -0.25], [0, 1e-5]]
    expected = [clip for kinds in clips.values() for audio in kinds.values() for clip in audio]
    sounds = _content(listening_section(clips, 22050), "audio/flac")
    assert len(sounds) == len(expected)
    for sound, clip in zip(sounds, expected, strict=True):
        found, sample_rate = sf.read(io.BytesIO(sound), dtype="int16")
        assert sample_rate == 22050
        np.testing.assert_array_equal(found, np.clip(np.round(clip * 32768.0), -32768, 32767))


def test_every_clip_has_a_picture_a_sound_and_a_name():
    clips = {"a": {"real": np.zeros((3, 800, 1), np.float32)}, "b": {"generated": np.zeros((0, 9))}}
    html = listening_section(clips, 8000)
    assert len(_content(html, "image/png")) == len(_content(html, "audio/flac")) == 3
    assert html.count('aria-label="Play real a clip 2"') == 1
    assert "generated" not in html


def test_clips_that_are_no_sound_are_refused():
    audio = np.zeros((2, 1024, 1), np.float32)
    audio[1, 5] = np.nan
    with pytest.raises(ValueError, match="generated clips of 'b' hold NaN or Inf"):
        listening_section({"b": {"real": audio[:1], "generated": audio}}, 8000)


def test_every_augmentation_can_be_heard():
    rng = np.random.default_rng(0)
    audio = (0.2 * rng.normal(size=(2, 4000, 1))).astype(np.float32)
    augmentation = WaveformAugmentation(("noise", "gain", "pitch", "polarity"), gain_db=(-6, 3))
    html = augmentation_section(audio, 8000, augmentation, titles=["a<b", "c"])
    sounds = [sf.read(io.BytesIO(sound))[0] for sound in _content(html, "audio/flac")]
    assert len(sounds) == len(_content(html, "image/png")) == 2 * 5
    for clip, (original, noisy, quiet, high, turned) in zip(
        audio[..., 0], (sounds[:5], sounds[5:]), strict=True
    ):
        np.testing.assert_allclose(original, clip, atol=2e-5)
        np.testing.assert_allclose(turned, -clip, atol=5e-5)
        np.testing.assert_allclose(quiet, clip * 10 ** (-6 / 20), atol=2e-5)
        assert 10 * np.log10((clip**2).mean() / ((noisy - clip) ** 2).mean()) > 8
        assert np.abs(high - clip).max() > 0.1
    for words in (
        "noise, 10 dB below",
        "gain \N{MINUS SIGN}6 dB",
        "pitch +2 semitones",
        "a&lt;b, as it is",
    ):
        assert words in html
