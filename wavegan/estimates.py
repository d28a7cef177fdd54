"""Values with their standard errors, as all measurements of clips are given.

Unless said otherwise an error is a delete-a-group jackknife: parts of a sample are left out in
turn (Efron & Tibshirani, An Introduction to the Bootstrap, ch. 11; of unequal parts Busing, Meijer
& van der Leeden, Statistics and Computing 9, 1999). Clips of one track are not drawn independently:
where ``groups`` tell the tracks of real clips, each is in one part with all its clips. Otherwise a
part is a twentieth of the points.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Array, Shaped

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

PARTS = 20  # of the jackknife, at most
LEAST = 4  # points that a sample must have


class Estimate(NamedTuple):
    """A value and its standard error."""

    value: float
    error: float


class Distance(NamedTuple):
    """A distance, its standard error, and the part of that which the generated points have.

    The own error is what tells two generators apart that are held against the same real points.
    """

    value: float
    error: float
    own_error: float


Groups = Shaped[Array | np.ndarray, " n"] | None


def checked(*, least: int = LEAST, **samples: Array | np.ndarray) -> list[np.ndarray]:
    """The samples as float64; they are finite, large enough, and of one dimension."""
    arrays = {name: np.asarray(sample, np.float64) for name, sample in samples.items()}
    width = next(iter(arrays.values())).shape[1:]
    for name, array in arrays.items():
        if len(array) < least or array.shape[1:] != width:
            raise ValueError(
                f"{name} must be at least {least} points of shape {width}, found {array.shape}"
            )
        if not np.isfinite(array).all():
            row = int(np.argwhere(~np.isfinite(array))[0][0])
            raise ValueError(f"{name} holds NaN or Inf in row {row}: leave it out")
    return list(arrays.values())


def parts_of(count: int, groups: Groups = None) -> np.ndarray:
    """The part of the jackknife that each point is in; those of a group are in the same one."""
    if (
        groups is None or len(names := np.unique(np.asarray(groups))) < 2
    ):  # a lone track has no peer
        return np.arange(count) % min(PARTS, count)
    members = np.asarray(groups)
    if len(members) != count:
        raise ValueError(f"groups must be one a point ({count}), found {len(members)}")
    parts, sizes = np.empty(count, int), np.zeros(min(PARTS, len(names)), int)
    for name in sorted(names, key=lambda name: -np.sum(members == name)):
        parts[members == name] = smallest = sizes.argmin()
        sizes[smallest] += np.sum(members == name)
    return parts


@cache
def _threads() -> ThreadpoolController:
    """Of BLAS, several of which only wait for another on small matrices; slow to look up."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def jackknife(statistic: Callable[[np.ndarray], float], parts: np.ndarray) -> float:
    """The standard error of ``statistic``, a function of which points are taken."""
    sizes = np.bincount(parts)
    count, fold = len(sizes), len(parts) / sizes
    with _threads().limit(limits=1, user_api="blas"):
        without = np.array([statistic(parts != part) for part in range(count)])
        whole = statistic(np.ones(len(parts), bool))
    centre = count * whole - np.sum((1 - 1 / fold) * without)
    pseudo = fold * whole - (fold - 1) * without
    return math.sqrt(np.mean((pseudo - centre) ** 2 / (fold - 1)))


def binomial(found: np.ndarray) -> Estimate:
    """The share of those found, with the binomial error of (k + 1) / (n + 2): never 0."""
    likely = (found.sum() + 1) / (len(found) + 2)
    return Estimate(float(found.mean()), math.sqrt(likely * (1 - likely) / len(found)))
