"""Whole files, and what tells the work of one call from another's."""

import json
from contextlib import suppress
from typing import Any

import pytest

from features.storage import another, differences, read_json, replacing, understanding, write_json

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


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[1]", "it holds a list"),
        ('{"a": 1', "Expecting"),
        ('{"rate": Infinity}', "Infinity is no finite number"),
        ('{"rate": 1e999}', "1e999 is no finite number"),
        ("[" * 100_000, "RecursionError"),
        (b"\xff\xfe", "utf-8"),
    ],
)
def test_json_of_another_shape_names_the_file_and_what_to_do(tmp_path, text, said):
    file = tmp_path / "results.json"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=rf"results\.json is damaged \(.*{said}.*\): do that"):
        read_json(file, "do that")


def test_what_is_not_where_it_belongs_names_the_file():
    seven: Any = 7
    for wrong in (lambda: {}["a"], lambda: seven["a"], lambda: seven.a, lambda: [][1]):
        with (
            pytest.raises(ValueError, match=r"^x\.json is damaged \(\w+: .*\): do that"),
            understanding("x.json", "do that"),
        ):
            wrong()
