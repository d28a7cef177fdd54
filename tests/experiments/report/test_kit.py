"""The parts that pages share."""

from html_page import HOSTILE, Page

from experiments.report.kit import definitions, folded, table, tiles


def test_a_table_has_heads_for_its_rows_and_columns():
    html = table(
        ("name & all", "what", "n"), [("<b>a</b>", "word", "1"), ("b", "", "2")], words=(1,)
    )
    page = Page(html)
    assert page.rows == [["name & all", "what", "n"], ["a", "word", "1"], ["b", "", "2"]]
    assert [a["scope"] for a in page.all("th")] == ["col"] * 3 + ["row"] * 2
    assert len(page.all("th", "words")) == 1
    assert len(page.all("td", "words")) == 2


def test_names_of_files_keep_their_underscores():
    facts = {"my_song.wav": "too_short", "none": None}
    assert Page(definitions(facts)).text == "my song.wavtoo_short"
    assert Page(definitions(facts, verbatim=True)).text == "my_song.wavtoo_short"
    assert definitions({"a": None}) == ""


def test_parts_without_content_are_left_out():
    assert Page(folded({"a": "<p>b</p>", "c": ""})).text == "ab"
    assert Page(tiles({"x": 1, "y": None, "z": ""})).text == "1x"


def test_names_and_values_stay_text():
    for html in (tiles({HOSTILE[0]: HOSTILE[1]}), definitions({HOSTILE[0]: {HOSTILE[1]: [1]}})):
        assert [tag for tag, _ in Page(html).elements if tag in ("script", "img")] == []
