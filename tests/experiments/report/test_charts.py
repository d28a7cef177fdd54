"""Axes and lines of forest plots, and confusion matrices, read back from what a page shows."""

import re

import numpy as np
import pytest
from html_page import HOSTILE, Page, part
from hypothesis import given
from hypothesis import strategies as st

from experiments.report.charts import Row, Scale, confusion

COUNTS = np.array([[9, 1, 0], [2, 1, 1], [0, 0, 0]])
MINUS = "\N{MINUS SIGN}"
shares = st.floats(-1, 1)


def forest(rows, scale, **options) -> str:
    return part("macros.html", "forest", rows, scale, **options)


def figure(labels=("a", "b", "c"), counts=COUNTS, **options) -> str:
    matrix = confusion("track split", "3 seeds", labels, counts)
    return part("macros.html", "confusion", matrix, **options)


@given(st.lists(shares | st.none() | st.just(float("nan"))), st.booleans())
def test_an_axis_holds_its_values_and_a_few_round_ticks(values, symmetric):
    scale = Scale.around(values, symmetric=symmetric)
    finite = [v for v in values if v is not None and np.isfinite(v)]
    assert all(scale.low <= v <= scale.high for v in finite)
    assert 2 <= len(scale.ticks) <= 7
    assert all(scale.low - 1e-9 <= tick <= scale.high + 1e-9 for tick in scale.ticks)
    step = np.diff(scale.ticks)
    np.testing.assert_allclose(step, step[0])
    assert f"{step[0]:e}"[0] in "125"
    if symmetric:
        assert scale.low == -scale.high
        assert 0.0 in scale.ticks


@given(shares, shares)
def test_places_keep_their_order_within_the_picture(a, b):
    scale = Scale.around([-0.3, 0.7])
    left, right = scale.at(min(a, b)), scale.at(max(a, b))
    assert 0 < left <= right < 100


def test_an_interval_lies_where_its_numbers_say():
    scale = Scale.around([-0.1, 0.1], symmetric=True)
    row = Row("a", "words", note="b", mean=0.0, ends=(-0.05, 0.1), band=0.02, number="c")
    html = forest([row], scale, reference=0.0)
    assert '<circle class="mark" cx="50.0%"' in html
    assert '<line class="span" x1="27.0%" x2="96.0%"' in html
    assert '<rect class="band" x="40.8%" width="18.40%"' in html
    assert '<line class="reference" x1="50.0%"' in html
    page = Page(html)
    assert page.all("svg", "interval")[0]["aria-label"] == "words"
    assert page.lines.split() == [
        "a", "b", "c", "words", f"{MINUS}10", f"{MINUS}5", "0", "5", "10",
    ]  # fmt: skip
    assert page.all("span", "tip") == [{"class": "tip", "aria-hidden": "true"}]
    assert len(page.all("li", "at")) == 1


def test_nothing_known_draws_nothing():
    html = forest([Row("a", band=float("inf"))], Scale.around([]))
    assert re.findall('class="(?:mark|span|band|dot|reference)"', html) == []


def test_a_line_that_failed_says_why_instead_of_a_picture():
    page = Page(forest([Row(HOSTILE[0], failed=HOSTILE[1])], Scale.around([])))
    assert page.all("svg", "interval") == page.all("img") == page.all("script") == []
    assert HOSTILE[0] + HOSTILE[1] in page.text


def test_axes_are_in_percent_or_signed_points():
    scale = Scale.around([-0.1, 0.1], symmetric=True)
    signed = re.findall(r">([^<>]+)</text>", forest([], scale, signed=True))
    assert signed == [f"{MINUS}10", f"{MINUS}5", "0", "+5", "+10"]
    plain = re.findall(r">([^<>]+)</text>", forest([], Scale.around([0, 1])))
    assert plain == ["0", "20", "40", "60", "80", "100"]


def test_cells_hold_counts_or_shares_of_their_row():
    head = ["", "a", "b", "c"]
    empty = ["c", "", "", ""]
    assert Page(figure()).rows == [head, ["a", "9", "1", ""], ["b", "2", "1", "1"], empty]
    percent = [head, ["a", "90", "10", ""], ["b", "50", "25", "25"], empty]
    assert Page(figure(percent=True)).rows == percent


def test_colours_are_shares_of_the_row_and_the_diagonal_is_framed():
    for html in (figure(), figure(percent=True)):
        found = [float(v) for v in re.findall(r"--v:([\d.]+)", html)]
        np.testing.assert_allclose(found, [0.9, 0.1, 0, 0.5, 0.25, 0.25, 0, 0, 0])
        page = Page(html)
        cells = [a["class"].split() for a in page.all("td") if "class" in a]
        assert [i for i, kinds in enumerate(cells) if "right" in kinds] == [0, 4, 8]
        assert page.all("td")[2]["title"] == "a answered as b: 1 of 10"


def test_the_legend_of_colours_holds_in_either_scheme():
    words = Page(f"<p>{part('macros.html', 'confusion_note', 'genre')}</p>").text
    assert "the true genre" in words
    assert "darker" not in words
    assert "lighter" not in words


def test_a_single_count_in_a_large_row_is_seen():
    assert Page(figure(counts=np.array([[999, 1, 0]] * 3))).rows[1] == ["a", "999", "1", ""]


def test_labels_stay_text():
    page = Page(figure(labels=HOSTILE))
    assert page.rows[0][1:] == list(HOSTILE)
    assert page.all("script") == page.all("img") == []


def test_counts_of_other_labels_are_refused():
    with pytest.raises(ValueError, match=r"track split: counts \(3, 3\) are not of 2 labels"):
        figure(labels=("a", "b"))
