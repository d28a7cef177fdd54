"""A confusion matrix, read back from its table."""

import re

import numpy as np
import pytest
from html_page import HOSTILE, Page

from experiments.report.confusion import confusion_figure

COUNTS = np.array([[9, 1, 0], [2, 1, 1], [0, 0, 0]])


def figure(numbers="counts", labels=("a", "b", "c"), counts=COUNTS) -> str:
    return confusion_figure("track split", "3 seeds", labels, counts, numbers=numbers)


def test_cells_hold_counts_or_shares_of_their_row():
    head = ["", "a", "b", "c"]
    empty = ["c", "", "", ""]
    assert Page(figure()).rows == [head, ["a", "9", "1", ""], ["b", "2", "1", "1"], empty]
    percent = [head, ["a", "90", "10", ""], ["b", "50", "25", "25"], empty]
    assert Page(figure("percent")).rows == percent


def test_colours_are_shares_of_the_row_and_the_diagonal_is_framed():
    for html in (figure(), figure("percent")):
        shares = [float(v) for v in re.findall(r"--v:([\d.]+)", html)]
        np.testing.assert_allclose(shares, [0.9, 0.1, 0, 0.5, 0.25, 0.25, 0, 0, 0])
        page = Page(html)
        cells = [a["class"].split() for a in page.all("td") if "class" in a]
        assert [i for i, kinds in enumerate(cells) if "right" in kinds] == [0, 4, 8]
        assert [i for i, kinds in enumerate(cells) if "deep" in kinds] == [0]
        assert page.all("td")[2]["title"] == "a taken for b: 1 of 10"


def test_a_single_count_in_a_large_row_is_seen():
    assert Page(figure(counts=np.array([[999, 1, 0]] * 3))).rows[1] == ["a", "999", "1", ""]


def test_labels_stay_text():
    page = Page(figure(labels=HOSTILE))
    assert page.rows[0][1:] == list(HOSTILE)
    assert page.all("script") == page.all("img") == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": ("a", "b")}, r"track split: counts \(3, 3\) are not of 2 labels"),
        ({"numbers": "shares"}, "numbers='shares': .*'counts' or 'percent'"),
    ],
)
def test_what_does_not_fit_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        figure(**options)
