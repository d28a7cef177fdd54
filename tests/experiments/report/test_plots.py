"""The pictures that matplotlib makes, read back."""

import io
import xml.etree.ElementTree as ET

import numpy as np
from PIL import Image

from experiments.report.plots import Line, Panel, curves, spectrogram_colours, spectrograms


def _grey(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("L"))


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
    stops = spectrogram_colours().split(",")
    audio = np.random.default_rng(0).normal(0, 0.1, (1, 16384, 1)).astype(np.float32)
    audio[:, :8192] = 0
    image = Image.open(io.BytesIO(spectrograms([audio], 22050)[0][0])).convert("RGB")
    found = {"#" + bytes(rgb).hex() for _, rgb in image.getcolors(9999)}
    assert len(stops) == 16
    assert {stops[0], stops[-1]} <= found  # silence and the loudest point


def test_curves_are_lean_and_take_the_colours_of_the_page():
    lines = [Line([0, 10, 20], [0.001, None, 0.0015], "blue", mark=20), Line([], [], "orange")]
    svg = curves([Panel("a loss", lines)], name="x", description="three steps")
    root = ET.fromstring(svg.replace("xlink:", ""))
    words = {text.text for text in root.iter("text")}
    assert {"a loss", "step", "0.00120", "0.00150"} <= words  # no digit of a number is cut
    assert "var(--blue)" in svg
    assert "#0102" not in svg
    assert root.get("aria-label") == "three steps"
    assert root.get("viewBox")


def test_long_curves_are_thinned_to_means():
    steps = np.arange(100_000)
    svg = curves([Panel("y", [Line(steps, np.cos(steps), "blue")])], name="x", description="")
    assert len(svg) < 20_000


def test_each_name_has_its_own_ids_and_the_same_bytes_twice():
    def ids(name: str) -> set[str]:
        line = Line([0, 1], [0, 1], "blue", mark=1)
        svg = curves([Panel("y", [line])], name=name, description="")
        assert svg == curves([Panel("y", [line])], name=name, description="")
        found = {e.get("id") for e in ET.fromstring(svg.replace("xlink:", "")).iter()} - {None}
        assert found
        return found

    assert ids("a").isdisjoint(ids("b"))


def _labels(svg: str) -> set[str]:
    return {text.text for text in ET.fromstring(svg.replace("xlink:", "")).iter("text")}


def test_a_logarithmic_scale_has_plain_labels():
    lines = [Line([0, 10, 20], [0.01, 1.0, None], "blue"), Line([0, 20], [0.1, 90.0], "orange")]
    svg = curves([Panel("y", lines, log=True)], name="x", description="")
    assert {"0.1", "1", "10"} <= _labels(svg)
    lines[0].values[0] = 0.0  # has no place on one
    assert "20" in _labels(curves([Panel("y", lines, log=True)], name="x", description=""))


def test_a_band_lies_around_its_line():
    line = Line([0, 1, 2], [1.0, 2.0, 3.0], "blue", errors=[0.5, 0.5, None])
    svg = curves([Panel("y", [line], limits=(0.0, 4.0), rule=1)], name="x", description="")
    plain = curves([Panel("y", [line], limits=(0.0, 4.0))], name="x", description="")
    assert svg.count("fill-opacity: 0.2") == plain.count("fill-opacity: 0.2") == 1
    assert svg.count("stroke-dasharray: 1.2") == 1
    assert plain.count("stroke-dasharray: 1.2") == 0
