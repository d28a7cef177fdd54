"""What a function of a user's own entry must take."""

import re
from functools import partial

import pytest

from features.registry import check_takes

check = partial(check_takes, "make", gives="clips")


@pytest.mark.parametrize(
    ("function", "found"),
    [
        (3, "found 3"),
        (lambda a: a, "found one that takes (a): too many positional arguments"),
        (lambda a, b, c: a, "found one that takes (a, b, c): missing a required argument: 'c'"),
        (lambda a, *, b: a, "found one that takes (a, *, b): too many positional arguments"),
        (lambda a, b, *, c: a, "found one that takes (a, b, *, c): missing a required"),
    ],
)
def test_a_function_that_takes_something_else_is_refused(function, found):
    with pytest.raises(TypeError, match=re.escape(f"make is a function (x, y) -> clips, {found}")):
        check(function, "x", "y")


@pytest.mark.parametrize(
    "function",
    [lambda a, b: a, lambda *given: given, lambda a, b=1, *, c=2: a, max, partial(max, 1)],
)
def test_a_function_that_can_be_called_is_accepted(function):
    check(function, "x", "y")
