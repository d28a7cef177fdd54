"""Axes and lines of forest plots."""

import re

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from experiments.report.forest import Scale, interval, plot, points, row

shares = st.floats(-1, 1)


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
    left, right = scale.percent(min(a, b)), scale.percent(max(a, b))
    assert 0 < left <= right < 100


def test_an_interval_lies_where_its_numbers_say():
    scale = Scale.around([-0.1, 0.1], symmetric=True)
    svg = interval(
        scale, mean=0.0, ends=(-0.05, 0.1), band=0.02, reference=0.0, description="words"
    )
    assert '<circle class="mark" cx="50.0%"' in svg
    assert '<line class="span" x1="27.0%" x2="96.0%"' in svg
    assert '<rect class="band" x="40.8%" width="18.40%"' in svg
    assert 'aria-label="words"' in svg


def test_nothing_known_draws_nothing():
    svg = interval(Scale.around([]), mean=None, band=float("inf"), description="")
    assert re.findall(r"mark|span|band|dot", svg) == []


def test_axes_are_in_percent_or_signed_points():
    scale = Scale.around([-0.1, 0.1], symmetric=True)
    signed = re.findall(r">([^<>]+)</text>", plot([row("a", "b")], scale, signed=True))
    assert signed == ["\N{MINUS SIGN}10", "\N{MINUS SIGN}5", "0", "+5", "+10"]
    plain = re.findall(r">([^<>]+)</text>", plot([], Scale.around([0, 1]), signed=False))
    assert plain == ["0", "20", "40", "60", "80", "100"]


def test_points_have_a_sign_unless_they_are_nothing():
    assert [points(x) for x in (0.0123, -0.0123, 0.0, -0.0001)] == [
        "+1.2", "\N{MINUS SIGN}1.2", "0.0", "0.0",
    ]  # fmt: skip
