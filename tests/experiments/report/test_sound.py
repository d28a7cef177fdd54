"""Clips on the page, decoded again as a browser would, and their pictures."""

import base64
import io

import numpy as np
import pytest
import soundfile as sf
from html_page import part
from matplotlib import colormaps
from matplotlib.colors import to_hex
from PIL import Image

from experiments.report.sound import altered_clips, altered_rows, listening
from features.augmentation import WaveformAugmentation
from features.display import spectrogram_colours, spectrograms


def _clips(rows) -> list[dict]:
    return [clip for row in rows for clip in row["clips"]]


def _content(uri: str, kind: str) -> io.BytesIO:
    assert uri.startswith(f"data:{kind};base64,")
    return io.BytesIO(base64.b64decode(uri.split(",")[1], validate=True))


def _grey(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("L"))


def test_sounds_are_the_clips_at_16_bits():
    rng = np.random.default_rng(0)
    clips = {
        label: {kind: rng.uniform(-1, 1, (2, 3000, 2)).astype(np.float32) for kind in kinds}
        for label, kinds in {"a": ("real", "generated"), "b": ("generated",)}.items()
    }
    clips["a"]["real"][0, :3] = [[1, -1], [0.25, -0.25], [0, 1e-5]]
    expected = [clip for kinds in clips.values() for audio in kinds.values() for clip in audio]
    shown = [clip for genre in listening(clips, 22050) for clip in _clips(genre["rows"])]
    assert len(shown) == len(expected)
    for card, clip in zip(shown, expected, strict=True):
        found, sample_rate = sf.read(_content(card["sound"], "audio/flac"), dtype="int16")
        assert sample_rate == 22050
        np.testing.assert_array_equal(found, np.clip(np.round(clip * 32768.0), -32768, 32767))
        assert Image.open(_content(card["picture"], "image/png")).format == "PNG"


def test_every_clip_has_a_picture_a_sound_and_a_name():
    clips = {"a": {"real": np.zeros((3, 800, 1), np.float32)}, "b": {"generated": np.zeros((0, 9))}}
    first, second = listening(clips, 8000)
    assert second == {"label": "b", "rows": []}
    html = part("macros.html", "clip_rows", first["rows"])
    assert html.count("data:image/png;") == html.count("data:audio/flac;") == 3
    assert html.count('aria-label="Play real a clip 2"') == 1
    assert html.count('aria-label="Play or stop all real clips of a"') == 1
    assert "generated" not in html


def test_clips_that_are_no_sound_are_refused():
    audio = np.zeros((2, 1024, 1), np.float32)
    audio[1, 5] = np.nan
    with pytest.raises(ValueError, match="all generated clips of b: some hold NaN or Inf"):
        listening({"b": {"real": audio[:1], "generated": audio}}, 8000)


def test_every_augmentation_can_be_heard():
    rng = np.random.default_rng(0)
    audio = (0.2 * rng.normal(size=(2, 4000, 1))).astype(np.float32)
    augmentation = WaveformAugmentation(("noise", "gain", "pitch", "polarity"), gain_db=(-6, 3))
    altered = altered_clips(audio, 8000, augmentation, titles=["a<b", "c"])
    assert list(altered) == ["a<b", "c"]
    names = ["as it is", "noise, 10 dB below", "gain \N{MINUS SIGN}6 dB", "pitch +2 semitones",
             "other polarity"]  # fmt: skip
    rows = altered_rows(altered, 8000)
    for clip, row, title in zip(audio[..., 0], rows, altered, strict=True):
        assert [card["caption"] for card in row["clips"]] == names
        original, noisy, quiet, high, turned = (
            sf.read(_content(card["sound"], "audio/flac"))[0] for card in row["clips"]
        )
        np.testing.assert_allclose(original, clip, atol=2e-5)
        np.testing.assert_allclose(turned, -clip, atol=5e-5)
        np.testing.assert_allclose(quiet, clip * 10 ** (-6 / 20), atol=2e-5)
        assert 10 * np.log10((clip**2).mean() / ((noisy - clip) ** 2).mean()) > 8
        assert np.abs(high - clip).max() > 0.1
        assert row["clips"][0]["name"] == f"{title}, as it is"
    assert "a&lt;b, as it is" in part("macros.html", "altered", rows)


def test_spectrograms_show_where_and_how_loud():
    time = np.arange(16384)[:, None] / 22050
    low, high = (np.sin(2 * np.pi * f * time).astype(np.float32) for f in (200, 8000))
    real, generated = np.stack([low, high]), np.stack([low * 0.01, low * 0])
    (below, above), (quiet, silent) = (
        [_grey(png) for png in pngs] for pngs in spectrograms([real, generated], 22050)
    )
    assert below.mean(1).argmax() > 0.85 * len(below)  # low frequencies at the bottom
    assert above.mean(1).argmax() < 0.25 * len(above)
    assert below.max() > quiet.max() > silent.max() + 50  # one scale for all
    assert silent.min() == silent.max() == below.min()


def test_spectrograms_run_from_left_to_right_at_any_length():
    for length, sample_rate in ((2000, 8000), (16384, 22050), (400_000, 44100)):
        audio = np.zeros((1, length, 2), np.float32)
        audio[0, length // 2 :] = np.random.default_rng(0).uniform(-1, 1, (length // 2, 2))
        picture = _grey(spectrograms([audio], sample_rate)[0][0]).astype(float)
        start, end = picture[:, : len(picture[0]) // 4], picture[:, -len(picture[0]) // 4 :]
        assert picture.shape[1] <= 201
        assert end.mean() > start.mean() + 50
    assert spectrograms([np.zeros((1, 16, 1), np.float32)], 8000)[0][0].startswith(b"\x89PNG")


def test_the_legend_has_the_colours_of_the_pictures():
    stops = spectrogram_colours()
    audio = np.random.default_rng(0).normal(0, 0.1, (1, 16384, 1)).astype(np.float32)
    audio[:, :8192] = 0
    image = Image.open(io.BytesIO(spectrograms([audio], 22050)[0][0])).convert("RGB")
    found = {"#" + bytes(rgb).hex() for _, rgb in image.getcolors(9999)}
    assert len(stops) == 16
    assert {stops[0], stops[-1]} <= found  # silence and the loudest point
    assert stops == [to_hex(colour) for colour in colormaps["magma"](np.arange(0, 256, 17))]
