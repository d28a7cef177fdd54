"""Whole files, and what tells the work of one call from another's."""

import json
from contextlib import suppress

import pytest

from features.storage import another, differences, plain_name, replacing, shortened, write_json

THERE = {"recipe": "net6", "split": {"by": "track", "fractions": [0.7, 0.3]}, "seed": 1}


@pytest.mark.parametrize(
    ("here", "found"),
    [
        (THERE, {}),
        (THERE | {"split": {"by": "track", "fractions": (0.7, 0.3)}}, {}),
        (THERE | {"rate": None}, {}),
        (THERE | {"seed": 2, "recipe": "net3"}, {"recipe": ("net6", "net3"), "seed": (1, 2)}),
        (
            THERE | {"split": {"by": "group", "fractions": (0.7, 0.3)}},
            {"split.by": ("track", "group")},
        ),
        (
            {"recipe": "net6", "split": {"by": "track"}},
            {"seed": (1, None), "split.fractions": ([0.7, 0.3], None)},
        ),
    ],
    ids=["same", "tuple", "none", "two", "nested", "missing"],
)
def test_settings_that_differ_are_found_by_their_dotted_names(here, found):
    assert differences(THERE, here) == found


def test_defaults_stand_for_what_an_older_folder_does_not_say():
    assert differences({"a": 1}, {"a": 1, "b": {"c": 2}}, {"a": 5, "b": {"c": 2}}) == {}
    assert differences({}, {"a": 1}, {"a": 5}) == {"a": (5, 1)}


def test_the_error_says_what_differs_and_no_hashes():
    digests = ("0f" * 16, "a1" * 16)
    long = ["blues.00000"] * 900
    error = another(
        "runs/x", "fit", {"rate": (16000, None), "data": digests, "tracks": (long, long[1:])}, "Go"
    )
    said = str(error)
    assert said.startswith("runs/x holds another fit: rate is 16000 there and None here; ")
    assert "data is not the same; tracks is ['blues.00000'," in said
    assert not any(digest in said for digest in digests)
    assert said.endswith(". Go")
    assert len(said) < 700


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    file = tmp_path / "deeper" / "file.json"
    write_json(file, {"a": 1})
    with pytest.raises(ValueError, match="nan"):
        write_json(file, {"a": float("nan")})
    with suppress(KeyError), replacing(file) as temporary:
        temporary.write_text("half")
        raise KeyError
    assert json.loads(file.read_text()) == {"a": 1}
    assert [path.name for path in file.parent.iterdir()] == ["file.json"]
    assert file.stat().st_mode & 0o600 == 0o600


@pytest.mark.parametrize("name", ["blues", "..a", "a b", ".hidden", "…", "Ü" * 127, "x" * 255])
def test_a_name_may_become_a_part_of_a_path(name):
    assert plain_name(name, "x.json") == name


@pytest.mark.parametrize(
    "text",
    [
        *("", ".", "..", "/tmp/x", "../x", "a/b", "..\\x", "C:\\x", "a\0b", "a\nb", "\x1b[2J"),
        *("a\x9bb", "a\u2028b", "\udcff", "Ü" * 128, "x" * 256, "x" * 9999),
        *(7, None, ["a"], True, b"a"),
    ],
)
def test_whatever_leads_elsewhere_is_refused_with_the_file_that_says_it(text):
    with pytest.raises(ValueError, match=r"^runs/x/gans\.json: .* name of a file") as caught:
        plain_name(text, "runs/x/gans.json")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600


def test_a_name_that_something_is_added_to_is_shorter():
    with pytest.raises(ValueError, match="has 11 bytes"):
        plain_name("x" * 11, "x.json", most=10)


@pytest.mark.parametrize(
    ("text", "short"),
    [("blues", "blues"), ("x" * 300, "x" * 200), ("Ü" * 300, "Ü" * 100), ("a\udcff", "a?")],
)
def test_a_shortened_text_is_a_name_with_room(text, short):
    assert plain_name(shortened(text), "x.json", most=200) == short
