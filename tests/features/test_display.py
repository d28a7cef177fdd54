"""How things show themselves: one line each, and with a player in a notebook."""

import base64
import io
import re

import numpy as np
import pytest
import soundfile as sf
from PIL import Image

from features import Clips, Rows, Split, Standardizer, decode_tracks, extract, scan_tracks
from features.clips import LazyAudio
from features.display import _palette, cards, sound_pictures
from features.saving import save_audio

RATE = 8000
NOISE = np.random.default_rng(0).uniform(-0.5, 0.5, (3, RATE)).astype(np.float32)


def clips() -> Clips:
    ids = np.array(["a<1", "a<1", "b1"])
    return Clips(NOISE, np.int32([0, 0, 1]), ids, ("a", "b"), RATE, ids, np.zeros(3, np.int64))


def sounds(html: str) -> list[np.ndarray]:
    found = re.findall(r"data:audio/wav;base64,([^\"]+)", html)
    return [sf.read(io.BytesIO(base64.b64decode(one)))[0] for one in found]


@pytest.mark.parametrize(
    ("thing", "line"),
    [
        (clips(), "Clips(3 of 1.00 s at 8000 Hz, mono, 2 classes)"),
        (Split((1, 2), (), (3,), "track"), "Split(2 train, 0 valid, 1 test, by track)"),
        (Split((1, 2), (), (3,), "chunk"), "Split(2 train, 0 valid, 1 test, by chunk, leaks)"),
        (Rows([NOISE, NOISE]), "Rows(shape=(6, 8000) of float32, 2 parts)"),
        (
            LazyAudio([NOISE.T], np.zeros(2, int), np.zeros(2, int), 10, 3),
            "LazyAudio(shape=(2, 10, 3) of float32, 1 sources, unread)",
        ),
        (
            Standardizer(np.zeros(2), np.array([0.5, 20.0])),
            "Standardizer(2 features, std 0.5 to 20)",
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_one_line_each(thing, line):
    assert repr(thing) == line


def test_samples_that_are_no_numbers_are_silent_and_told_of():
    broken = NOISE[0][:, None].copy()
    broken[[3, 50]] = [[np.nan], [np.inf]]
    html = cards("x", [("a", broken), ("b", NOISE[1][:, None])], RATE)
    assert "a: 2 samples are no numbers, silent here<" in html
    assert ">b<" in html
    shown, _ = sounds(html)
    assert shown[[3, 50]].tolist() == [0, 0]
    np.testing.assert_allclose(shown[60:], broken[60:, 0], atol=1e-4)


def test_mono_clips_need_no_channel_axis(tmp_path):
    made = clips()
    assert made.audio.shape == (3, RATE, 1)
    expected = np.asarray(extract(made.audio, peaks, sample_rate=RATE, cache_dir=tmp_path))
    for audio in (NOISE, NOISE[0]):
        found = extract(audio, peaks, sample_rate=RATE, cache_dir=tmp_path)
        np.testing.assert_array_equal(found, expected[: len(found)])


def peaks(audio, sample_rate):
    return np.abs(audio).max(1)


def test_clips_are_seen_and_heard():
    html = clips()._repr_html_()
    assert "Clips(3 of 1.00 s" in html
    assert "a, a&lt;1" in html  # and no other clip of that class
    first, second = sounds(html)
    np.testing.assert_allclose(first, NOISE[0], atol=2**-15)
    np.testing.assert_allclose(second, NOISE[2], atol=2**-15)
    pictures = re.findall(r"data:image/png;base64,([^\"]+)", html)
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(pictures[0]))))
    assert picture.shape[0] == 64
    assert 200 < picture.shape[1] < 280
    assert picture.max() == 255
    assert picture.std() > 5


def test_a_recording_is_seen_and_heard(tmp_path):
    for label in "ab":
        save_audio(tmp_path / "data" / label / f"{label}1.wav", NOISE["ab".index(label)], RATE)
    decoded = decode_tracks(
        scan_tracks(tmp_path / "data"), sample_rate=RATE, cache_dir=tmp_path / "cache"
    )
    assert repr(decoded) == "Decoded(2 recordings, 0 quarantined)"
    recording = decoded.recordings[0]
    assert repr(recording) == "Recording(a1, a, 1.00 s at 8000 Hz, mono)"
    (sound,) = sounds(recording._repr_html_())
    np.testing.assert_allclose(sound, NOISE[0], atol=2**-14)


def test_a_waveform_stands_above_its_spectrogram_whatever_the_length():
    time = np.arange(4096) / RATE
    falling = (0.5 * np.sin(2 * np.pi * 1000 * time) * np.linspace(1, 0, 4096)).astype(np.float32)
    short, stereo = falling[:1000, None], np.stack([falling, falling], axis=1)
    clips, rates = [falling[:, None], short, stereo, 0 * short], [RATE, 2 * RATE, RATE, RATE]
    pictures = [Image.open(io.BytesIO(one)) for one in sound_pictures(clips, rates)]
    # How bright each place is: the colours go from black over red to yellow.
    whole, cut, both, silent = (np.asarray(p.convert("L"), int) for p in pictures)
    assert whole.shape == (88, 128)
    assert cut.shape == (88, 125)  # of 1024 samples in 128 columns those that there are
    np.testing.assert_array_equal(whole, both)
    drawn = (whole[:24] > 80).sum(0)  # rows of the waveform
    assert drawn[2] == pytest.approx(12, abs=2)
    assert drawn[40] == pytest.approx(8, abs=2)
    assert drawn[-2] <= 2
    mel_band = np.argmax(whole[24:, 20])  # 1 kHz of 4 kHz lies below the middle, not at the bottom
    assert 16 < mel_band < 48
    assert (silent[24:] < 16).all()


def test_the_palette_is_magma():
    import matplotlib as mpl

    magma = 255 * mpl.colormaps["magma"](np.arange(256))[:, :3]
    assert np.abs(_palette() - magma).max() < 4
