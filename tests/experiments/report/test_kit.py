"""The parts that pages share."""

import pytest
from classify_results import fake_classification
from html_page import HOSTILE, Page, part
from jinja2 import UndefinedError

from experiments.report.classify import render_classification
from experiments.report.kit import FIGURES, render
from features.soundness import QUIET_LEVEL


def macro(name: str, *values, **options) -> str:
    return part("macros.html", name, *values, **options)


def test_a_table_has_heads_for_its_rows_and_columns():
    html = macro("table", ("name & all", "what", "n"), [("a", "word", 1), ("b", "", 2)], words=(1,))
    page = Page(html)
    assert page.rows == [["name & all", "what", "n"], ["a", "word", "1"], ["b", "", "2"]]
    assert [a["scope"] for a in page.all("th")] == ["col"] * 3 + ["row"] * 2
    assert len(page.all("th", "words")) == 1
    assert len(page.all("td", "words")) == 2


def test_names_of_files_keep_their_underscores():
    facts = {"my_song.wav": "too_short", "none": None}
    assert Page(macro("definitions", facts)).text.strip() == "my song.wavtoo_short"
    shown = macro("definitions", facts, verbatim=True)
    assert Page(shown).text.strip() == "my_song.wavtoo_short"
    assert macro("definitions", {"a": None}).strip() == ""


def test_parts_without_content_are_left_out():
    assert Page(macro("folded", "a", "b")).text.strip() == "ab"
    assert macro("folded", "c", " \n") == ""
    tiles = [("x", 1), ("y", None), ("z", "")]
    assert Page(macro("tiles", tiles)).text.strip() == "1x"
    assert macro("tracks", "a", []) == ""


@pytest.mark.parametrize(
    "html",
    [
        macro("tiles", [(HOSTILE[0], HOSTILE[1])]),
        macro("definitions", {HOSTILE[0]: {HOSTILE[1]: [1]}}),
        macro("tracks", HOSTILE[0], HOSTILE),
        macro("table", [HOSTILE[0]], [[HOSTILE[1]]]),
        macro("folded", HOSTILE[0], HOSTILE[1]),
        macro("alarm", HOSTILE[0], HOSTILE[1]),
    ],
)
def test_names_and_values_stay_text(html):
    page = Page(html)
    assert [tag for tag, _ in page.elements if tag in ("script", "img")] == []
    assert HOSTILE[0] in page.text
    assert HOSTILE[1] in page.text


def test_a_number_and_its_percent_are_one_word_on_a_page():
    assert "50\N{NO-BREAK SPACE}%" in macro("tiles", [("share", "50 %")])


def test_a_value_that_a_page_lacks_is_an_error():
    with pytest.raises(UndefinedError, match="is undefined"):
        render("predict.html", files=[], refused=[])


def test_quiet_files_and_who_read_what_libsndfile_could_not_are_named():
    found = fake_classification(("blues", "my_jazz"), seeds=2)
    found["data"] |= {"quiet": ["blues.1"], "decoders": {"PyAV": ["blues.2", "my_jazz.7"]}}
    page = Page(macro("made", found, ""))
    assert QUIET_LEVEL == "no sample above -60 dB"
    assert f"Quiet, with {QUIET_LEVEL}: 1blues.1" in page.text
    assert "Read by PyAV, as libsndfile could not: 2blues.2, my_jazz.7" in page.text


def test_all_that_repeats_a_run_is_there():
    page = Page(macro("made", fake_classification(("blues", "my_jazz"), seeds=2), ""))
    for words in ("wavegan classify --recipe net5 --data music --seeds 2", "Files left out: 2",
                  "jazz.00054truncated: 3 of 30 s", "Too short for a clip: 1pop.00037",
                  "fractions0.7, 0.2, 0.1", "hardware2 cores"):  # fmt: skip
        assert words in page.text, words
    assert len(page.all("details")) == 1 + 1 + 1 + 1
    assert "Quiet" not in page.text
    assert "Read by" not in page.text
    assert macro("made", {}, "").strip() == ""


def test_a_figure_of_ones_own_that_fails_is_named_and_the_page_is_kept():
    FIGURES["Cost"] = lambda results: f"<p>{len(results['splits'])} splits</p>"
    FIGURES["Bad <b>"] = lambda results: results["costs"]
    with pytest.warns(RuntimeWarning, match=r"FIGURES\['Bad <b>'\] fails: KeyError: 'costs'"):
        page = Page(render_classification(fake_classification(("blues", "jazz"))))
    assert "2 splits" in page.text
    assert "experiments.FIGURES['Bad <b>'] fails: KeyError: 'costs'" in page.text
    assert "fractions0.7, 0.2, 0.1" in page.text
    with pytest.raises(TypeError, match=r"a figure is a function \(results\) -> HTML or SVG"):
        FIGURES["Worse"] = lambda: ""
