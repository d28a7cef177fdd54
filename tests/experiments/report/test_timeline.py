"""Strips and pictures of probabilities over time, read back."""

import io
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from experiments.report.timeline import (
    Timeline,
    category_colours,
    colour,
    strip,
    timeline_png,
)


def timeline(pieces: int, *, seconds: float | None = None, labels: int = 2) -> Timeline:
    """A second a piece; the first label's share rises from 0 to 1."""
    first = np.linspace(0, 1, pieces) if pieces > 1 else np.array([0.25])
    rest = np.repeat((1 - first)[:, None] / (labels - 1), labels - 1, axis=1)
    file = {"times": list(range(pieces)), "clip_seconds": 1.0, "seconds": seconds,
            "over_time": np.column_stack([first, rest]).tolist()}  # fmt: skip
    return Timeline.of(file)


@given(st.integers(1, 700))
def test_many_pieces_are_averaged_without_losing_any(pieces):
    found = timeline(pieces)
    assert len(found.probabilities) <= 120
    assert len(found.edges) == len(found.probabilities) + 1
    assert (found.edges[0], found.edges[-1]) == (0, pieces)
    weights = np.diff(found.edges)
    assert (weights > 0).all()
    mean = (found.probabilities * weights[:, None]).sum(0) / pieces
    np.testing.assert_allclose(mean, [0.5, 0.5] if pieces > 1 else [0.25, 0.75])


def test_the_axis_reaches_to_the_end_of_the_recording():
    assert timeline(3, seconds=3.9).seconds == 3.9
    assert timeline(3).seconds == 3.0
    assert timeline(3, seconds=2.9).seconds == 3.0


@pytest.mark.parametrize(
    ("seconds", "names"),
    [
        (0.4, ["0.0 s", "0.1 s", "0.2 s", "0.3 s", "0.4 s"]),
        (30.2, ["0:00", "0:10", "0:20", "0:30"]),
        (95, ["0:00", "0:30", "1:00", "1:30"]),
        (4000, ["0:00", "30:00", "1:00:00"]),
    ],
)
def test_ticks_are_round_times(seconds, names):
    made = Timeline(np.ones((1, 1)), np.array([0.0, seconds]), seconds)
    assert list(made.ticks.values()) == names
    assert [name for _, _, name in made.ruler] == names
    places = [place for place, _, _ in made.ruler]
    np.testing.assert_allclose(places, [100 * t / seconds for t in made.ticks], rtol=1e-3)


def _bars(path: str) -> list[tuple[int, int]]:
    """Top and right end of each bar of a path."""
    return [(int(top), int(right)) for top, right in re.findall(r"V(\d+)H(\d+)", path)]


def test_a_strip_is_as_high_as_the_share_and_full_where_it_is_the_answer():
    made = Timeline(np.array([[0.25, 0.75], [0.9, 0.1]]), np.array([0.0, 1, 4]), 8.0)
    (pale, low), (full, high) = strip(made, 0)
    assert (pale, full) == ("pale", "full")
    assert _bars(low) == [(75, 120), (10, 480)]  # of 100 down, and of 960 to the right
    assert _bars(high) == [(100, 120), (10, 480)]
    assert len(strip(made, 1)) == 2  # it is the answer in the first second
    assert len(strip(timeline(1), 0)) == 1  # never the answer


def _picture(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def test_a_picture_has_the_labels_colours_where_they_are_the_answer():
    made = timeline(40)
    picture = _picture(timeline_png(made, {1: "jazz", 0: "blues"}, title="song"))
    for column, side in ((0, "right"), (1, "left")):
        name = category_colours(dark=False)[column]
        rgb = [int(name[i : i + 2], 16) for i in (1, 3, 5)]
        x = np.nonzero(np.abs(picture - rgb).sum(-1) < 6)[1]
        middle = picture.shape[1] * 0.56  # of the axes
        assert len(x) > 1000
        assert (np.median(x) > middle) == (side == "right")


def test_a_picture_takes_any_name_and_any_number_of_labels():
    names = {0: "$\\frac{a$", 1: "音楽 <b>", 2: "_^"}
    made = timeline(5, labels=30)
    small = _picture(timeline_png(made, names, title="$x_$ 音"))
    many = _picture(timeline_png(made, {i: f"label {i}" for i in range(30)}, title=""))
    assert many.shape[0] > 3 * small.shape[0]
    assert timeline_png(made, names, title="a") == timeline_png(made, names, title="a")
    for text in ("a\nb\r\x0bc\0", "\ud800", "", "w" * 3000):
        assert _picture(timeline_png(made, {0: text}, title=text)).shape == (196, 1120, 3)


def _contrast(a: str, b: str) -> float:
    def luminance(colour: str) -> float:
        rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize(("dark", "sheet"), [(False, "#f5f6f7"), (True, "#1d2125")])
def test_colours_stand_out_from_the_strip_behind_them(dark, sheet):
    colours = category_colours(dark=dark)
    assert len(set(colours)) == 10
    assert min(_contrast(c, sheet) for c in colours) >= 3  # WCAG 1.4.11
    assert colour(3) == colour(13) == "var(--c3)"
