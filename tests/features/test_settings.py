"""Settings that differ, and how that is told."""

import pytest

from features.settings import another, differences

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
