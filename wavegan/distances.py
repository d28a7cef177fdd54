"""How far samples of two distributions lie apart: statistics of points, each with its error.

Errors are those of `wavegan.estimates`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Array, Float, Int

from wavegan.estimates import Distance, Estimate, Groups, binomial, checked, jackknife, parts_of


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
    x, y = checked(train=train, generated=generated)
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
    x, y = checked(train=train, generated=generated)

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
    (p,) = checked(probabilities=probabilities)
    if (p < 0).any() or np.abs(p.sum(1) - 1).max() > 1e-3:
        raise ValueError("probabilities must be 0 or more and sum to 1 in each row")
    negentropy = np.sum(p * np.log(np.where(p > 0, p, 1)), axis=1)

    def statistic(i: np.ndarray) -> float:
        mean = p[i].mean(0)
        return math.exp(negentropy[i].mean() - np.sum(mean * np.log(np.where(mean > 0, mean, 1))))

    everything = np.ones(len(p), bool)
    return Estimate(float(statistic(everything)), jackknife(statistic, parts_of(len(p))))


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

    x, y = checked(train=train, generated=generated)
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


def agreement(
    probabilities: Float[Array | np.ndarray, "n k"], labels: Int[Array | np.ndarray, " n"]
) -> Estimate:
    """Share of clips that a classifier recognises as the class asked for; its error binomial."""
    return binomial(np.asarray(probabilities).argmax(1) == np.asarray(labels))


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
    x, y = checked(real=real, generated=generated)
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
    share = binomial(np.asarray(generated).argmax(1) == rarest)
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
    own = jackknife(lambda j: distance(*whole_x, *of_generated(j)), parts_of(len(y)))
    others = jackknife(lambda i: distance(*of_real(i), *whole_y), parts_of(len(x), groups))
    return Distance(float(distance(*whole_x, *whole_y)), math.hypot(own, others), own)


def _inflation(inside: np.ndarray, groups: Groups) -> float:
    """How many times as uncertain a share is because the points of a group come together."""
    share = inside.mean()
    if groups is None or not 0 < share < 1:
        return 1.0
    independent = math.sqrt(share * (1 - share) / len(inside))
    found = jackknife(lambda chosen: inside[chosen].mean(), parts_of(len(inside), groups))
    return max(1.0, (found / independent) ** 2)


def _normal(z: float) -> float:
    """The normal distribution function."""
    return 0.5 * math.erfc(-z / math.sqrt(2))
