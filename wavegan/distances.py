"""How far samples of two distributions lie apart: statistics of points, each with its error.

Every estimate carries a standard error. Unless said otherwise it is a delete-a-group jackknife:
parts of a sample are left out in turn (Efron & Tibshirani, An Introduction to the Bootstrap,
ch. 11; of unequal parts Busing, Meijer & van der Leeden, Statistics and Computing 9, 1999). Clips
of one track are not drawn independently: where ``groups`` tell the tracks of real clips, each is
in one part with all its clips. Otherwise a part is a twentieth of the points.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Array, Bool, Float, Int, Shaped

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

PARTS = 20  # of the jackknife, at most
LEAST = 4  # points that a sample must have
CHANCE = 0.01  # share of real clips that were not heard and yet count as copies
NEIGHBOURS = 5  # that a real clip's surroundings hold, for the coverage
_BLOCK = 2**22  # distances held at a time


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


def kernel_distance(
    train: Float[Array | np.ndarray, "n d"],
    generated: Float[Array | np.ndarray, "m d"],
    *,
    groups: Groups = None,
) -> Distance:
    """Squared maximum mean discrepancy, unbiased, with the kernel (x·y / d + 1)³.

    The kernel inception distance (arXiv 1801.01401) of any embedding, 0 on average where both
    samples come from one distribution, at every size, hence at times below 0. As of kernel
    distances of audio (arXiv 2502.15602), small samples are enough. The kernel knows no scale:
    give features of about zero mean and unit variance.

    Where both distributions are equal the error is too large: by up to √2 of independent points.

    Parameters
    ----------
    groups : the track of each point of ``train``.

    Raises
    ------
    ValueError
        For fewer than 4 points, other dimensions, NaN or Inf; so do all functions here.
    """
    x, y = _samples(train=train, generated=generated)
    among_x, among_y, across = (_kernel_sums(a, b) for a, b in ((x, x), (y, y), (x, y)))

    def mean(sums: _Sums, chosen: np.ndarray) -> float:
        return sums(chosen, chosen) / (chosen.sum() * (chosen.sum() - 1))

    return _distance(
        lambda i: (i, mean(among_x, i)),
        lambda j: (j, mean(among_y, j)),
        lambda i, mean_x, j, mean_y: mean_x + mean_y - 2 * across(i, j) / (i.sum() * j.sum()),
        (len(x), len(y)),
        groups,
    )


def frechet_distance(
    train: Float[Array | np.ndarray, "n d"],
    generated: Float[Array | np.ndarray, "m d"],
    *,
    groups: Groups = None,
) -> Distance:
    """Squared Fréchet distance of the Gaussians with both samples' moments (arXiv 1706.08500).

    |μ₁ - μ₂|² + tr(Σ₁ + Σ₂ - 2 (Σ₁ Σ₂)^½), in float64. The last trace is the sum of the
    singular values of R₁ R₂ᵀ with Σ = Rᵀ R, which needs no inverse and no root of a matrix:
    fewer points than dimensions are no trouble to it.

    Few points make it too large, for unit variances by about d (d + 5) / 4n a sample: compare
    only values of the same n, m and d. The error doesn't hold this bias. ``groups`` are as in
    `kernel_distance`.
    """
    x, y = _samples(train=train, generated=generated)

    def moments(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mean = points.mean(0)
        root = np.linalg.qr((points - mean[None]) / math.sqrt(len(points) - 1), mode="r")
        return mean, np.asarray(root)

    def distance(
        mean_x: np.ndarray, root_x: np.ndarray, mean_y: np.ndarray, root_y: np.ndarray
    ) -> float:
        shared = np.linalg.svd(root_x @ root_y.T, compute_uv=False).sum()
        return np.sum((mean_x - mean_y) ** 2) + np.sum(root_x**2) + np.sum(root_y**2) - 2 * shared

    sizes = len(x), len(y)
    return _distance(lambda i: moments(x[i]), lambda j: moments(y[j]), distance, sizes, groups)


def inception_score(probabilities: Float[Array | np.ndarray, "n k"]) -> Estimate:
    """exp of the mean divergence of a clip's class probabilities from their mean.

    From 1 (no clip tells a class, or all tell the same) to k (arXiv 1606.03498). The value is
    that of all clips at once; few clips make it a little too large.

    Raises
    ------
    ValueError
        Also where a row is no distribution.
    """
    (p,) = _samples(probabilities=probabilities)
    if (p < 0).any() or np.abs(p.sum(1) - 1).max() > 1e-3:
        raise ValueError("probabilities must be 0 or more and sum to 1 in each row")
    negentropy = np.sum(p * np.log(np.where(p > 0, p, 1)), axis=1)

    def statistic(i: np.ndarray) -> float:
        mean = p[i].mean(0)
        return math.exp(negentropy[i].mean() - np.sum(mean * np.log(np.where(mean > 0, mean, 1))))

    everything = np.ones(len(p), bool)
    return Estimate(float(statistic(everything)), _jackknife(statistic, _parts(len(p))))


def different_bins(
    train: Float[Array | np.ndarray, "n d"],
    generated: Float[Array | np.ndarray, "m d"],
    *,
    bins: int = 20,
    seed: int = 0,
    groups: Groups = None,
) -> Estimate:
    """Share of bins that hold another share of the generated points than of the training ones.

    Number of statistically different bins over the number of bins (arXiv 1805.12462): k-means
    on the training points makes the bins, a two-proportion z test at 5 % tells each. By chance
    about 0.05 differ (more where the bins were fitted to few points), all where the generator
    has collapsed.

    Parameters
    ----------
    bins : cells; ten training points or more in each make the test a fair one.
    seed : of k-means.
    groups : the track of each point of ``train``, whose clips come to a bin together: its share
        is then as uncertain as the tracks' differences say.

    Returns
    -------
    The error is that of independent tests whose z were drawn again around those found.

    Raises
    ------
    ValueError
        Also for more bins than distinct training points, or fewer than 2.
    """
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    x, y = _samples(train=train, generated=generated)
    distinct = len(np.unique(x, axis=0))
    if not 2 <= bins <= distinct:
        raise ValueError(
            f"bins must lie in 2 … {distinct}, the distinct training points; found {bins}"
        )
    with threadpool_limits(1):
        fit = KMeans(bins, n_init=4, random_state=seed).fit(x)
        bins_of_y = fit.predict(y)
    share_x = np.bincount(fit.labels_, minlength=bins) / len(x)
    share_y = np.bincount(bins_of_y, minlength=bins) / len(y)
    pooled = (len(x) * share_x + len(y) * share_y) / (len(x) + len(y))
    inflated = [_inflation(fit.labels_ == i, groups) for i in range(bins)]
    z = (share_y - share_x) / np.sqrt(
        pooled * (1 - pooled) * (np.array(inflated) / len(x) + 1 / len(y))
    )
    limit = 1.96
    again = np.array([_normal(-limit - value) + _normal(value - limit) for value in z])
    value = np.mean(np.abs(z) > limit)
    return Estimate(float(value), math.sqrt(np.sum(again * (1 - again))) / bins)


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
    (x,) = _samples(x=x, least=1)
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
    x, y = _samples(x=x, y=y, least=1)
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
        _samples(nearest=near)
    return _share(copied(nearest, unheard))


def copied(
    nearest: Sequence[Float[Array | np.ndarray, " n"]],
    unheard: Sequence[Float[Array | np.ndarray, " _"]],
) -> Bool[np.ndarray, " n"]:
    """Which clips are those that `memorised` counts."""
    found = np.zeros(len(nearest[0]), bool)
    for near, null in zip(nearest, unheard, strict=True):
        (near,), (null,) = _samples(nearest=near, least=1), _samples(unheard=null)
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
    x, y = _samples(real=real, generated=generated)
    order, itself = min(NEIGHBOURS, len(x) - 1), np.eye(len(x), dtype=bool)
    own = itself if groups is None else np.equal.outer(np.asarray(groups), np.asarray(groups))
    if (~own).sum(1).min() < order:
        own = itself
    squares = np.where(own, np.inf, _squares(x, x))
    reach = np.sqrt(np.partition(squares, order - 1, axis=1)[:, order - 1])
    covered = nearest_distances(x, y) < reach
    share, parts = covered.mean(), _parts(len(x), groups)
    return Estimate(float(share), _jackknife(lambda chosen: covered[chosen].mean(), parts))


def agreement(
    probabilities: Float[Array | np.ndarray, "n k"], labels: Int[Array | np.ndarray, " n"]
) -> Estimate:
    """Share of clips that a classifier recognises as the class asked for; its error binomial."""
    return _share(np.asarray(probabilities).argmax(1) == np.asarray(labels))


def variety(
    real: Float[Array | np.ndarray, "n d"],
    generated: Float[Array | np.ndarray, "m d"],
    real_labels: Int[Array | np.ndarray, " n"] | None = None,
    labels: Int[Array | np.ndarray, " m"] | None = None,
    *,
    groups: Groups = None,
) -> Distance:
    """How far generated clips lie from each other, of how far real ones do.

    The ratio of the root mean squared distances from the mean: 0 where all clips are alike, 1 where
    they differ as the real ones do.

    Parameters
    ----------
    real_labels, labels : where both are given, distances are from the mean of a clip's own class.
    groups : the track of each point of ``real``.
    """
    x, y = _samples(real=real, generated=generated)
    if real_labels is not None and labels is not None:
        x, y = _without_means(x, real_labels), _without_means(y, labels)

    def spread(points: np.ndarray) -> tuple[float]:
        return (float(np.sqrt(points.var(axis=0).sum())),)

    sizes = len(x), len(y)
    return _distance(
        lambda i: spread(x[i]), lambda j: spread(y[j]), lambda x, y: y / x, sizes, groups
    )


def _without_means(points: np.ndarray, labels: Array | np.ndarray) -> np.ndarray:
    found = points.copy()
    for label in np.unique(np.asarray(labels)):
        found[np.asarray(labels) == label] -= points[np.asarray(labels) == label].mean(0)[None]
    return found


def rarest_class(
    real: Float[Array | np.ndarray, "n k"], generated: Float[Array | np.ndarray, "m k"]
) -> Estimate:
    """How often the class comes that is the most neglected, of how often it should.

    Least over the classes of their share of the generated clips over that of the real ones, each
    as a classifier recognises them: 0 where a class is never made, about 1 where all are as often
    as they should be. Classes that no real clip is recognised as don't count; the error is that of
    the share of the generated clips.

    Parameters
    ----------
    real, generated : probabilities of the classes.
    """
    classes = real.shape[1]
    wanted, made = (
        np.bincount(np.asarray(x).argmax(1), minlength=classes) for x in (real, generated)
    )
    ratios = made[wanted > 0] / len(generated) / (wanted[wanted > 0] / len(real))
    rarest = np.flatnonzero(wanted)[ratios.argmin()]
    share = _share(np.asarray(generated).argmax(1) == rarest)
    return Estimate(float(ratios.min()), share.error / (wanted[rarest] / len(real)))


_Sums = Callable[[np.ndarray, np.ndarray], float]


def _kernel_sums(x: np.ndarray, y: np.ndarray) -> _Sums:
    """The sum of the kernel over pairs of chosen x (n, d) and y (m, d), by what is left out.

    It is a function of which are chosen, booleans (n,) and (m,): quick where nearly all are.
    """
    near = x @ y.T / x.shape[1] + 1
    kernel = near * near * near  # a tenth of the time of ** 3
    if x is y:
        np.fill_diagonal(kernel, 0)  # no point is compared with itself
    rows, columns = kernel.sum(1), kernel.sum(0)

    def total(i: np.ndarray, j: np.ndarray) -> float:
        twice = kernel[np.ix_(~i, ~j)].sum()
        return rows.sum() - rows[~i].sum() - columns[~j].sum() + twice

    return total


def _share(found: np.ndarray) -> Estimate:
    likely = (found.sum() + 1) / (len(found) + 2)
    return Estimate(float(found.mean()), math.sqrt(likely * (1 - likely) / len(found)))


def _squares(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Squared distances (n, m)."""
    return np.maximum(np.sum(x**2, 1)[:, None] + np.sum(y**2, 1)[None] - 2 * x @ y.T, 0)


def _samples(*, least: int = LEAST, **samples: Array | np.ndarray) -> list[np.ndarray]:
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


def _parts(count: int, groups: Groups = None) -> np.ndarray:
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


def _jackknife(statistic: Callable[[np.ndarray], float], parts: np.ndarray) -> float:
    """The standard error of ``statistic``, a function of which points are taken."""
    sizes = np.bincount(parts)
    count, fold = len(sizes), len(parts) / sizes
    with _threads().limit(limits=1, user_api="blas"):
        without = np.array([statistic(parts != part) for part in range(count)])
        whole = statistic(np.ones(len(parts), bool))
    centre = count * whole - np.sum((1 - 1 / fold) * without)
    pseudo = fold * whole - (fold - 1) * without
    return math.sqrt(np.mean((pseudo - centre) ** 2 / (fold - 1)))


def _distance(
    of_real: Callable[[np.ndarray], tuple],
    of_generated: Callable[[np.ndarray], tuple],
    distance: Callable[..., float],
    sizes: tuple[int, int],
    groups: Groups,
) -> Distance:
    """``distance`` of what two functions say of the points that are taken, with its errors.

    Each gives a tuple, of which points are taken (booleans); ``distance`` takes both, one after
    the other.
    """
    x, y = (np.ones(size, bool) for size in sizes)
    whole_x, whole_y = of_real(x), of_generated(y)
    own = _jackknife(lambda j: distance(*whole_x, *of_generated(j)), _parts(len(y)))
    others = _jackknife(lambda i: distance(*of_real(i), *whole_y), _parts(len(x), groups))
    return Distance(float(distance(*whole_x, *whole_y)), math.hypot(own, others), own)


def _inflation(inside: np.ndarray, groups: Groups) -> float:
    """How many times as uncertain a share is because the points of a group come together."""
    share = inside.mean()
    if groups is None or not 0 < share < 1:
        return 1.0
    independent = math.sqrt(share * (1 - share) / len(inside))
    found = _jackknife(lambda chosen: inside[chosen].mean(), _parts(len(inside), groups))
    return max(1.0, (found / independent) ** 2)


def _normal(z: float) -> float:
    """The normal distribution function."""
    return 0.5 * math.erfc(-z / math.sqrt(2))
