"""How numbers are written."""

import pytest

from experiments.report.formats import (
    capital,
    clock,
    counted,
    cut,
    duration,
    joined,
    number,
    percent,
    points,
    reach,
    spread,
    whole,
)

MINUS = "\N{MINUS SIGN}"


def test_points_have_a_sign_unless_they_are_nothing():
    found = [points(x) for x in (0.0123, -0.0123, 0.0, -0.0001)]
    assert found == ["+1.2", f"{MINUS}1.2", "0.0", "0.0"]


def test_spreads_have_the_deviation_of_a_sample():
    assert spread([0.5, 0.6, 0.7]) == "60.0 ± 10.0"
    assert spread([0.5]) == "50.0"
    assert spread([10, 14], unit=1) == "12 ± 3"
    assert spread([]) == "not known"


def test_shares_and_whole_numbers():
    assert (percent(0.5425), percent(0.5, 0), percent(None)) == ("54.2 %", "50 %", "")
    assert (whole(12345.4), whole(None)) == ("12,345", "")
    assert (reach([3, 3]), reach([4000, 3])) == ("3", "3 to 4,000")


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [(0.20004, None, "0.2"), (-0.21, 0.02, f"{MINUS}0.210 ± 0.020"), (12.34, 0.5, "12.34 ± 0.50"),
     (3.0, 0.0, "3"), (3.0, float("nan"), "3"), (None, None, "")],
)  # fmt: skip
def test_a_number_is_as_exact_as_its_error(value, error, text):
    assert number(value, error) == text


def test_durations():
    assert [duration(s) for s in (4.4, 59.6, 60, 3599, 3599.7, 7800)] == [
        "4 s", "1 min 00 s", "1 min 00 s", "59 min 59 s", "1 h 00 min", "2 h 10 min",
    ]  # fmt: skip
    assert [duration(s, 1) for s in (4.44, 59.96, 61)] == ["4.4 s", "1 min 00 s", "1 min 01 s"]


def test_times_on_an_axis():
    assert [clock(90), clock(3601), clock(0.25, 0.1)] == ["1:30", "1:00:01", "0.2 s"]


def test_words():
    assert (joined(["a"]), joined(["a", "b", "c"])) == ("a", "a, b and c")
    assert (counted(1, "class"), counted(2, "class"), counted(1200, "track")) == (
        "1 class", "2 classes", "1,200 tracks",
    )  # fmt: skip
    assert (cut("abcd", 4), cut("abcde", 4)) == ("abcd", "abc…")
    assert capital("macro-F1") == "Macro-F1"
