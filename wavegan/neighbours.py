"""Which clips are near which: copies of training clips, and real clips that none comes near.

Errors are those of `wavegan.estimates`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Array, Bool, Float, Int, Shaped

from wavegan.estimates import Estimate, Groups, binomial, checked, jackknife, parts_of

CHANCE = 0.01  # share of real clips that were not heard and yet count as copies
NEIGHBOURS = 5  # that a real clip's surroundings hold, for the coverage
_BLOCK = 2**22  # distances held at a time


def nearest_distances(
    x: Float[Array | np.ndarray, "n d"],
    y: Float[Array | np.ndarray, "m d"] | None = None,
    *,
    groups: Shaped[Array | np.ndarray, " n"] | None = None,
) -> Float[np.ndarray, " n"]:
    """Euclidean distance of each ``x`` to its nearest ``y``, or to the nearest other ``x``.

    Parameters
    ----------
    groups : without ``y``: points of one group (the clips of a track) don't count as others.
    """
    if y is not None and groups is not None:
        raise ValueError("groups are for the distances within x: leave y or groups out")
    if y is not None:
        return nearest(x, y)[1]
    (x,) = checked(x=x, least=1)
    own = np.arange(len(x)) if groups is None else np.asarray(groups)
    if len(own) != len(x) or (own == own[0]).all():
        raise ValueError(
            f"groups must tell {len(x)} points of at least 2 groups apart, found {len(own)} "
            f"points of {len(np.unique(own))}"
        )
    return _nearest(x, x, own)[1]


def nearest(
    x: Float[Array | np.ndarray, "n d"], y: Float[Array | np.ndarray, "m d"]
) -> tuple[Int[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Which ``y`` is nearest to each ``x``, and the Euclidean distance to it."""
    x, y = checked(x=x, y=y, least=1)
    return _nearest(x, y)


def _nearest(
    x: np.ndarray, y: np.ndarray, own: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The nearest y of each x; where ``y`` is ``x``, those of the ``own`` group don't count."""
    rows = max(1, _BLOCK // len(y))
    index, distance = np.empty(len(x), int), np.empty(len(x))
    for start in range(0, len(x), rows):
        part = slice(start, start + rows)
        # Of |x - y|², what differs between the y of one x.
        square = np.sum(y**2, 1)[None] - 2 * x[part] @ y.T
        if own is not None:
            square[own[part, None] == own[None]] = np.inf
        index[part] = square.argmin(1)
        distance[part] = np.linalg.norm(x[part] - y[index[part]], axis=1)
    return index, distance


def memorised(
    nearest: Sequence[Float[Array | np.ndarray, " n"]],
    unheard: Sequence[Float[Array | np.ndarray, " _"]],
) -> Estimate:
    """Share of generated clips nearer to training clips than ones come that were not heard.

    Each half of the training clips stands for clips that were not heard from the other: nearer
    to a half than all but a 200th of the other half come counts as a copy of it, so that a
    hundredth is the share of other sounds of the same tracks. The halves share no sound: the same
    tracks at other times, or other recordings of the same makers.

    Parameters
    ----------
    nearest : of each generated clip, `nearest_distances` to the one half and to the other.
    unheard : of each clip of the other half, to the one, and the reverse. Of fewer than 200 the
        nearest is the limit. Replicas in both halves widen what passes as no copy.

    Returns
    -------
    With the binomial error, of which (k + 1) / (n + 2) is the share: never 0.
    """
    for near in nearest:
        checked(nearest=near)
    return binomial(copied(nearest, unheard))


def copied(
    nearest: Sequence[Float[Array | np.ndarray, " n"]],
    unheard: Sequence[Float[Array | np.ndarray, " _"]],
) -> Bool[np.ndarray, " n"]:
    """Which clips are those that `memorised` counts."""
    found = np.zeros(len(nearest[0]), bool)
    for near, null in zip(nearest, unheard, strict=True):
        (near,), (null,) = checked(nearest=near, least=1), checked(unheard=null)
        found |= near < np.sort(null)[max(0, int(CHANCE / 2 * (len(null) + 1)) - 1)]
    return found


def coverage(
    real: Float[Array | np.ndarray, "n d"],
    generated: Float[Array | np.ndarray, "m d"],
    *,
    groups: Groups = None,
) -> Estimate:
    """Share of real clips that have a generated one among their neighbours (arXiv 2002.09797).

    Nearer than the fifth of the real clips of other tracks counts: those of its own come nearer
    than any other's do. About 1 - 2⁻⁵ where both samples are of one distribution and size (.9 of
    few tracks with many clips), and half of that where one of two modes is missing.

    Parameters
    ----------
    groups : the track of each point of ``real``; where they leave fewer than five others, all but
        the clip itself count as others.
    """
    x, y = checked(real=real, generated=generated)
    order, itself = min(NEIGHBOURS, len(x) - 1), np.eye(len(x), dtype=bool)
    own = itself if groups is None else np.equal.outer(np.asarray(groups), np.asarray(groups))
    if (~own).sum(1).min() < order:
        own = itself
    squares = np.where(own, np.inf, _squares(x, x))
    reach = np.sqrt(np.partition(squares, order - 1, axis=1)[:, order - 1])
    covered = nearest_distances(x, y) < reach
    share, parts = covered.mean(), parts_of(len(x), groups)
    return Estimate(float(share), jackknife(lambda chosen: covered[chosen].mean(), parts))


def _squares(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Squared distances (n, m)."""
    return np.maximum(np.sum(x**2, 1)[:, None] + np.sum(y**2, 1)[None] - 2 * x @ y.T, 0)
