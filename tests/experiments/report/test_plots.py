"""Curves and points, read back from the SVG that a page shows."""

import re
import xml.etree.ElementTree as ET
from importlib.resources import files

import numpy as np
import pytest
from html_page import HOSTILE, check_page, part
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from experiments.report.kit import render
from experiments.report.plots import Line, Panel

MINUS = "\N{MINUS SIGN}"


def html(*lines: Line, told="x", **options) -> str:
    return part("macros.html", "drawn", Panel("title", lines, told, **options))


def svg(*lines: Line, **options) -> ET.Element:
    return ET.fromstring(re.search("<svg.*</svg>", html(*lines, **options), re.DOTALL)[0])


def paths(picture: ET.Element) -> dict[str, list[np.ndarray]]:
    """The pieces between gaps of each path, (n, 2) in the picture's coordinates, by class."""
    found = {}
    for path in picture.iterfind("./g[@class='drawing']/path"):
        if path.get("class") in ("rule", "level"):
            continue
        pieces = path.get("d").strip("Mz").split("M")
        found[path.get("class")] = [
            np.array([point.split() for point in piece.split("L")], float) for piece in pieces
        ]
    return found


def scales(picture: ET.Element) -> list[np.ndarray]:
    """Of the x and of the y axis where its ticks lie and what they say, in two columns."""
    texts = [t for t in picture.iterfind("./g[@class='grid-lines']/text") if not t.get("class")]
    found = []
    for axis, anchor, shift in (("x", "middle", 0), ("y", "end", 3)):
        ticks = [
            (float(t.get(axis)) - shift, float(t.text.replace(MINUS, "-").replace(",", "")))
            for t in texts if t.get("text-anchor") == anchor
        ]  # fmt: skip
        found.append(np.array(ticks))
    return found


def read(scale: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The values at places of the picture, by a line through the axis's ticks."""
    return np.polyval(np.polyfit(*scale.T, 1), places)


def stops(picture: ET.Element) -> list[str]:
    return [text.text for text in picture.iterfind("./g[@class='at']/text")]


def dots(picture: ET.Element, within: str) -> np.ndarray:
    found = picture.iterfind(f"./g[@class='{within}']/circle")
    return np.array([(c.get("cx"), c.get("cy")) for c in found], float).reshape(-1, 2)


finite = st.floats(-1e4, 1e4).map(lambda value: round(value, 3))


@given(st.lists(finite, min_size=2, max_size=30, unique=True))
def test_a_curve_lies_where_its_axes_say(values):
    x = list(range(0, 10 * len(values), 10))
    picture = svg(Line(x, values, "blue"))
    (curve,) = paths(picture)["blue"]
    across, up = scales(picture)
    assert 2 <= len(up) <= 7
    room = np.ptp(values)
    np.testing.assert_allclose(read(up, curve[:, 1]), values, atol=0.01 * room)
    np.testing.assert_allclose(read(across, curve[:, 0]), x, atol=0.01 * max(x))
    width, height = (float(side) for side in picture.get("viewBox").split()[2:])
    assert (curve > 0).all()
    assert (curve < (width, height)).all()


def test_a_gap_is_not_bridged():
    picture = svg(Line([0, 10, 20, 30, 40], [1.0, 2.0, None, float("nan"), 3.0], "blue"))
    assert [len(piece) for piece in paths(picture)["blue"]] == [2, 1]
    assert stops(picture) == ["step 0: 1", "step 10: 2", "step 40: 3"]


def test_a_band_lies_around_its_line():
    band = ([0.5, 1.5, None], [1.5, 2.75, None])
    picture = svg(Line([0, 1, 2], [1.0, 2.0, 3.0], "blue", band=band), limits=(0.0, 4.0))
    (around,) = paths(picture)["band blue"]
    across, up = scales(picture)
    np.testing.assert_allclose(read(up, around[:, 1]), [0.5, 1.5, 2.75, 1.5], atol=0.05)
    np.testing.assert_allclose(read(across, around[:, 0]), [0, 1, 1, 0], atol=0.02)
    (line,) = paths(picture)["blue"]
    assert len(line) == 3


def test_marks_rules_and_levels_lie_at_their_values():
    line = Line([0, 10, 20], [1.0, 3.0, 2.0], "blue", mark=10)
    picture = svg(line, limits=(0.0, 4.0), rule=20, level=1.0)
    across, up = scales(picture)
    ((x, y),) = dots(picture, "drawing")
    assert (read(across, x), read(up, y)) == pytest.approx((10, 3), abs=0.1)
    rule, level = (picture.find(f".//path[@class='{kind}']").get("d") for kind in ("rule", "level"))
    assert read(across, float(rule[1:].split()[0])) == pytest.approx(20, abs=0.1)
    assert read(up, float(re.split("[ H]", level)[1])) == pytest.approx(1, abs=0.05)
    picture = svg(line)
    assert picture.find(".//path[@class='rule']") is picture.find(".//path[@class='level']") is None


def test_a_mark_without_a_value_is_no_dot():
    assert len(dots(svg(Line([0, 10], [1.0, None], "blue", mark=10)), "drawing")) == 0


def test_columns_tell_the_values_of_all_curves_and_lie_beside_one_another():
    runs = [Line([10, 20], [0.5, 0.7], "blue", faint=True), Line([10, 20], [0.7, 0.8], "blue")]
    other = Line([20], [2.5], "orange")
    picture = svg(*runs, other, key={"blue": "validation", "orange": "training"})
    assert stops(picture) == [
        "step 10: validation 0.6 (mean of 2 runs)",
        "step 20: validation 0.75, training 2.5 (mean of 2 runs)",
    ]
    found = picture.iterfind("./g[@class='at']/rect")
    (left, width), (right, rest) = [(float(r.get("x")), float(r.get("width"))) for r in found]
    assert left + width == pytest.approx(right)
    across, _ = scales(picture)
    assert read(across, right) == pytest.approx(15, abs=0.2)
    assert read(across, left) < 10 < 20 < read(across, right + rest)


def test_columns_are_as_high_as_the_axes():
    _, up = scales(svg(Line([0, 1], [0.0, 1.0], "blue"), limits=(0.0, 1.0)))
    css = files("experiments.report").joinpath("templates/style.css").read_text()
    top, height = re.search(r"\.at rect \{ y: ([\d.]+)px; height: ([\d.]+)px;", css).groups()
    np.testing.assert_allclose(
        read(up, [float(top) + float(height), float(top)]), [0, 1], atol=0.01
    )


def test_a_picture_has_a_name_and_a_description():
    line = Line([10, 20, 30], [2.5, 0.75, 1.0], "blue", mark=20)
    picture = svg(line, told="Loss of a", key={"blue": "validation"})
    assert picture.get("aria-label") == "Loss of a"
    assert picture.find("desc").text == (
        "validation 2.5 at step 10, 1 at step 30, between 0.75 and 2.5; dots at step 20"
    )
    points = svg(Line([0, 1], [2.0, 3.0], "blue", tips=["a at 0: 2", "b at 1: 3"]))
    assert points.find("desc").text == "a at 0: 2; b at 1: 3"
    assert stops(points) == ["a at 0: 2", "b at 1: 3"]


def test_points_have_dots_where_they_lie_two_of_one_x_as_well():
    x, values = [1.0, 1.0, 3.0], [2.0, -4.0, 0.0]
    picture = svg(Line(x, values, "blue", tips=["a", "b", "c"], joined=False), level=0.0)
    across, up = scales(picture)
    found = dots(picture, "at")
    np.testing.assert_allclose(read(across, found[:, 0]), x, atol=0.02)
    np.testing.assert_allclose(read(up, found[:, 1]), values, atol=0.05)
    assert "blue" not in paths(picture)


def test_places_stand_where_they_are_asked_for():
    tips = ["a", "b", "c"]
    line = Line([0, 1, 2], [1.0, 2.0, 3.0], "c0", tips=tips)
    picture = svg(line, places={0: "0.25", 1: "1", 2: "4"}, below="ratio")
    across, _ = scales(picture)
    assert across[:, 1].tolist() == [0.25, 1, 4]
    assert np.diff(across[:, 0]) == pytest.approx([np.ptp(across[:, 0]) / 2] * 2, abs=0.2)
    assert picture.find(".//text[@class='below']").text == "ratio"


def test_a_logarithmic_scale_has_plain_labels():
    lines = [Line([0, 10, 20], [0.01, 1.0, None], "blue"), Line([0, 20], [0.1, 90.0], "orange")]
    picture = svg(*lines, log=True)
    _, up = scales(picture)
    assert up[:, 1].tolist() == [0.01, 0.1, 1, 10, 100]
    (curve,) = paths(picture)["blue"]
    found = read(np.stack([up[:, 0], np.log10(up[:, 1])], 1), curve[:, 1])
    np.testing.assert_allclose(found, [-2, 0], atol=0.05)
    _, up = scales(svg(Line([0, 10], [0.0, 90.0], "blue"), log=True))  # 0 has no place on one
    assert 0 in up[:, 1]


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([0.001, 0.0015], ["0.0010", "0.0012", "0.0014"]),  # no digit of a number is cut
        ([0.0, 100_000.0], ["0", "50,000", "100,000"]),
        ([-1.0, 1.0], [f"{MINUS}1.0", f"{MINUS}0.5", "0.0", "0.5", "1.0"]),
        ([0.5, 0.5], ["0.46", "0.48", "0.50", "0.52", "0.54"]),
        ([0.0, 0.0], [f"{MINUS}1.0", f"{MINUS}0.5", "0.0", "0.5", "1.0"]),
        ([1e-9, 3e-9], ["1e\N{MINUS SIGN}09", "1.5e\N{MINUS SIGN}09", "2e\N{MINUS SIGN}09",
                        "2.5e\N{MINUS SIGN}09", "3e\N{MINUS SIGN}09"]),
        ([None, None], [f"{MINUS}1.0", f"{MINUS}0.5", "0.0", "0.5", "1.0"]),
    ],
)  # fmt: skip
def test_ticks_are_written_with_as_many_digits_as_tell_them_apart(values, labels):
    picture = svg(Line([0, 10], values, "blue"))
    texts = picture.iterfind("./g[@class='grid-lines']/text[@text-anchor='end']")
    assert [text.text for text in texts] == labels


def test_steps_are_whole():
    across, _ = scales(svg(Line([1, 2], [0.0, 1.0], "blue")))
    assert across[:, 1].tolist() == [1, 2]


def test_long_curves_are_thinned_to_means_and_tell_some_values_as_they_are():
    steps = np.arange(20_000)
    picture = svg(Line(steps.tolist(), np.cos(steps).tolist(), "blue"))
    assert len(ET.tostring(picture)) < 8_000
    (curve,) = paths(picture)["blue"]
    _, up = scales(picture)
    assert np.abs(read(up, curve[:, 1])).max() < 0.1  # the mean of a cosine is 0
    told = stops(picture)
    assert len(told) == 30
    assert told[-1] == f"step 19,999: {np.cos(19_999):.3g}".replace("-", MINUS)


def test_a_panel_without_values_is_an_empty_grid():
    picture = svg(Line([], [], "blue"))
    assert paths(picture) == {}
    assert stops(picture) == []


def test_names_stay_text_and_the_page_is_whole():
    tips = [f"{HOSTILE[1]} at 1"]
    panel = Panel(HOSTILE[0], [Line([1], [2.0], "c0", tips=tips)], HOSTILE[1],
                  key={"c0": HOSTILE[2]}, below=HOSTILE[0])  # fmt: skip
    drawn = Markup(part("macros.html", "drawn", panel))
    frame = dict.fromkeys(("title", "banner", "kicker", "head"), "")
    page = check_page(render("base.html", parts=[("a", drawn)], **frame))
    assert page.all("svg")[0]["aria-label"] == HOSTILE[1]
    assert page.all("img") == []
    assert all(name in page.text for name in HOSTILE)
