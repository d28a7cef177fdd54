"""What the checker of annotations finds, and what it lets pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest
from jaxtyping import Float
from typechecking import check

from wavegan.distances import kernel_distance

if TYPE_CHECKING:
    from nowhere import Unknown

Curve = Float[np.ndarray, " n"]


@check
def added(a: Curve, b: Curve) -> Curve:
    return a + b


@check
def first(a: Float[np.ndarray, "n k"]) -> Float[np.ndarray, " n"]:
    return a if a[0, 0] < 0 else a[:, 0]


@check
def halved(x: float) -> float:
    return x / 2


@check
def of_someone(x: int) -> Unknown:
    return str(x)


def test_lengths_that_differ_are_found():
    assert added(np.ones(3), np.ones(3)).tolist() == [2, 2, 2]
    with pytest.raises(TypeError, match="added"):
        added(np.ones(3), np.ones(2))


def test_a_wrong_result_is_found():
    assert first(np.ones((2, 3))).tolist() == [1, 1]
    with pytest.raises(TypeError, match="return value"):
        first(-np.ones((2, 3)))


def test_a_wrong_type_is_found_and_an_int_is_a_float():
    assert halved(3) == 1.5
    with pytest.raises(TypeError, match="halved"):
        halved("3")


def test_functions_within_others_are_checked():
    def make() -> Callable:
        @check
        def inner(x: int) -> int:
            return x

        return inner

    with pytest.raises(TypeError, match="inner"):
        make()("3")


def test_what_is_known_to_mypy_alone_is_anything():
    assert of_someone(3) == "3"


def test_the_packages_are_checked():
    with pytest.raises(TypeError, match="kernel_distance"):
        kernel_distance(np.ones((2, 3, 4)), np.ones((2, 3)))
