"""How far samples of two distributions lie apart: statistics of points, each with its error.

Every estimate carries a standard error. Unless said otherwise it is a delete-a-group jackknife:
a twentieth of the points of every sample is left out in turn (Efron & Tibshirani, An
Introduction to the Bootstrap, ch. 11). It is itself known to about a sixth, and for points
drawn independently.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Float, Shaped

PARTS = 20  # of the jackknife
LEAST = 4  # points that a sample must have
CHANCE = 0.01  # share of real clips that count as copies of another recording
_BLOCK = 2**22  # distances held at a time


class Estimate(NamedTuple):
    """A value and its standard error."""

    value: float
    error: float


def kernel_distance(
    train: Float[Array | np.ndarray, "n d"], generated: Float[Array | np.ndarray, "m d"]
) -> Estimate:
    """Squared maximum mean discrepancy, unbiased, with the kernel (x·y / d + 1)³.

    The kernel inception distance (arXiv 1801.01401) of any embedding, 0 on average where both
    samples come from one distribution, at every size, hence at times below 0. As of kernel
    distances of audio (arXiv 2502.15602), small samples are enough. The kernel knows no scale:
    give features of about zero mean and unit variance.

    The error is too large by up to √2 where both distributions are equal.

    Raises
    ------
    ValueError
        For fewer than 4 points, other dimensions, NaN or Inf; so do all functions here.
    """
    x, y = _samples(train=train, generated=generated)
    points = np.concatenate([x, y])
    kernel = (points @ points.T / points.shape[1] + 1) ** 3
    np.fill_diagonal(kernel, 0)  # no point is compared with itself

    def statistic(i: np.ndarray, j: np.ndarray) -> float:
        n, m = len(i), len(j)
        # One product with the weights of the points gives all three means.
        w = np.zeros((len(points), 2))
        w[i, 0], w[len(x) + j, 1] = 1, 1
        sums = w.T @ kernel @ w
        return sums[0, 0] / (n * (n - 1)) + sums[1, 1] / (m * (m - 1)) - 2 * sums[0, 1] / (n * m)

    return _jackknife(statistic, len(x), len(y))


def frechet_distance(
    train: Float[Array | np.ndarray, "n d"], generated: Float[Array | np.ndarray, "m d"]
) -> Estimate:
    """Squared Fréchet distance of the Gaussians with both samples' moments (arXiv 1706.08500).

    |μ₁ - μ₂|² + tr(Σ₁ + Σ₂ - 2 (Σ₁ Σ₂)^½), in float64. The last trace is the sum of the
    singular values of R₁ R₂ᵀ with Σ = Rᵀ R, which needs no inverse and no root of a matrix:
    fewer points than dimensions are no trouble to it.

    Few points make it too large, for unit variances by about d (d + 5) / 4n a sample: compare
    only values of the same n, m and d. The error doesn't hold this bias.
    """
    x, y = _samples(train=train, generated=generated)

    def moments(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mean = points.mean(0)
        root = np.linalg.qr((points - mean[None]) / math.sqrt(len(points) - 1), mode="r")
        return mean, np.asarray(root)

    def statistic(i: np.ndarray, j: np.ndarray) -> float:
        (mean_x, root_x), (mean_y, root_y) = moments(x[i]), moments(y[j])
        shared = np.linalg.svd(root_x @ root_y.T, compute_uv=False).sum()
        return np.sum((mean_x - mean_y) ** 2) + np.sum(root_x**2) + np.sum(root_y**2) - 2 * shared

    return _jackknife(statistic, len(x), len(y))


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

    return _jackknife(statistic, len(p))


def different_bins(
    train: Float[Array | np.ndarray, "n d"],
    generated: Float[Array | np.ndarray, "m d"],
    *,
    bins: int = 20,
    seed: int = 0,
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
    z = (share_y - share_x) / np.sqrt(pooled * (1 - pooled) * (1 / len(x) + 1 / len(y)))
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
    (x,) = _samples(x=x, least=1)
    if y is None:
        y, own = x, np.arange(len(x)) if groups is None else np.asarray(groups)
        if len(own) != len(x) or (own == own[0]).all():
            raise ValueError(
                f"groups must tell {len(x)} points of at least 2 groups apart, found {len(own)} "
                f"points of {len(np.unique(own))}"
            )
    else:
        (x, y), own = _samples(x=x, y=y, least=1), None
    rows = max(1, _BLOCK // len(y))
    nearest = np.empty(len(x))
    for start in range(0, len(x), rows):
        part = slice(start, start + rows)
        # Of |x - y|², what differs between the y of one x.
        square = np.sum(y**2, 1)[None] - 2 * x[part] @ y.T
        if own is not None:
            square[own[part, None] == own[None]] = np.inf
        nearest[part] = np.linalg.norm(x[part] - y[square.argmin(1)], axis=1)
    return nearest


def memorised(
    nearest: Float[Array | np.ndarray, " n"], null: Float[Array | np.ndarray, " m"]
) -> Estimate:
    """Share of generated clips nearer to a training clip than clips of two recordings come.

    Parameters
    ----------
    nearest : of each generated clip, ``nearest_distances(generated, train)``.
    null : of each training clip, ``nearest_distances(train, groups=tracks)``. Nearer than its
        first percentile counts as a copy, so 0.01 is the share of other recordings.
        Replicas in the training set under several names widen what passes as no copy.

    Returns
    -------
    With the binomial error, of which (k + 1) / (n + 2) is the share: never 0.
    """
    (distances,), (null,) = _samples(nearest=nearest), _samples(null=null)
    count, copies = len(distances), np.sum(distances < np.quantile(null, CHANCE))
    likely = (copies + 1) / (count + 2)
    return Estimate(float(copies / count), math.sqrt(likely * (1 - likely) / count))


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


def _jackknife(statistic: Callable[..., float], *sizes: int) -> Estimate:
    """``statistic`` of the indices of each sample, and its error."""
    from threadpoolctl import threadpool_limits

    parts = min(PARTS, *sizes)
    everything = [np.arange(size) for size in sizes]
    with threadpool_limits(1, "blas"):  # on small matrices several threads only wait for another
        values = [statistic(*(i[i % parts != part] for i in everything)) for part in range(parts)]
        whole = statistic(*everything)
    return Estimate(float(whole), math.sqrt((parts - 1) * np.var(values)))


def _normal(z: float) -> float:
    """The normal distribution function."""
    return 0.5 * math.erfc(-z / math.sqrt(2))
