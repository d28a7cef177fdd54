import math

import numpy as np
import pytest
import scipy.linalg
import scipy.stats

from wavegan.distances import (
    agreement,
    different_bins,
    frechet_distance,
    inception_score,
    kernel_distance,
    rarest_class,
    variety,
)


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


# --- kernel distance ---


def test_kernel_distance_is_the_sum_over_pairs():
    x, y = normal(0, 6, 3), normal(1, 5, 3) + 1

    def mean(a, b, *, same):
        pairs = [
            (sum(p * q for p, q in zip(a[i], b[j], strict=True)) / 3 + 1) ** 3
            for i in range(len(a))
            for j in range(len(b))
            if not (same and i == j)
        ]
        return sum(pairs) / len(pairs)

    expected = mean(x, x, same=True) + mean(y, y, same=True) - 2 * mean(x, y, same=False)
    np.testing.assert_allclose(kernel_distance(x, y).value, expected, rtol=1e-12)


def test_kernel_distance_of_two_points():
    """(0·0 + 1)³ + (1·1 + 1)³ - 2 (0·1 + 1)³ = 7, which no draw would change."""
    assert kernel_distance(np.zeros((5, 1)), np.ones((9, 1))) == pytest.approx((7, 0, 0), abs=1e-12)


def test_kernel_distance_is_unbiased():
    """Small samples of one distribution; leaving the diagonal in would add 2.6 on average."""
    estimates = [
        kernel_distance(normal(s, 12, 2), normal(-s - 1 + 2**20, 9, 2)) for s in range(400)
    ]
    values = np.array([e.value for e in estimates])
    assert abs(values.mean()) < 3 * values.std() / 20


def test_kernel_distance_error_covers_the_truth():
    """In one dimension it is 3 Δm₁² + 3 Δm₂² + Δm₃² of the raw moments m: here 3.578125."""
    estimates = [
        kernel_distance(normal(s, 200, 1), normal(s + 2**20, 300, 1) + 0.5) for s in range(200)
    ]
    value, error, own = np.array(estimates).T
    np.testing.assert_allclose(value.mean(), 3.578125, atol=4 * value.std() / 14)
    assert 0.8 < np.sqrt(np.mean(error**2)) / value.std() < 1.25
    assert np.mean(np.abs(value - 3.578125) < 2 * error) > 0.85
    fixed = normal(0, 200, 1)  # the same real points: generators differ by their own points alone
    values = [kernel_distance(fixed, normal(s + 2**20, 300, 1) + 0.5).value for s in range(200)]
    assert 0.8 < np.sqrt(np.mean(own**2)) / np.std(values) < 1.25


def tracks(seed, count, clips, spread):
    """Points of tracks that differ by ``spread``, and the track of each."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(clips // 2, 2 * clips, count)
    whose = np.repeat(np.arange(count), sizes)
    return rng.normal(size=(len(whose), 3)) + spread * rng.normal(size=(count, 3))[whose], whose


@pytest.mark.parametrize("distance", [kernel_distance, frechet_distance])
@pytest.mark.parametrize("count", [12, pytest.param(40, marks=pytest.mark.slow)])
def test_errors_are_those_of_other_tracks(distance, count):
    """Clips of a track are alike: as if drawn apart they claim half of the true error."""
    grouped, alone, values = [], [], []
    for seed in range(120):
        (x, whose), (y, _) = tracks(seed, count, 20, 1.0), tracks(seed + 2**20, 400, 2, 1.0)
        found = distance(x, y + 1.0, groups=whose)
        values.append(found.value)
        grouped.append(found.error)
        alone.append(distance(x, y + 1.0).error)
    assert 0.7 < np.sqrt(np.mean(np.square(grouped))) / np.std(values) < 1.4
    assert np.sqrt(np.mean(np.square(alone))) / np.std(values) < 0.7


def test_kernel_distance_error_is_careful_where_distributions_are_equal():
    """Too wide by up to √2 there, as documented, and not too narrow."""
    estimates = [kernel_distance(normal(s, 60, 8), normal(s + 2**20, 60, 8)) for s in range(200)]
    value, error, _ = np.array(estimates).T
    assert 1 < error.mean() / value.std() < 1.6


# --- Fréchet distance ---


def test_frechet_distance_is_that_of_sqrtm():
    mix = normal(0, 5, 5)
    x, y = normal(1, 40, 5) @ mix, normal(2, 30, 5) + np.arange(5)
    cov_x, cov_y = np.cov(x.T), np.cov(y.T)
    root = scipy.linalg.sqrtm(cov_x @ cov_y).real
    expected = np.sum((x.mean(0) - y.mean(0)) ** 2) + np.trace(cov_x + cov_y - 2 * root)
    np.testing.assert_allclose(frechet_distance(x, y).value, expected, rtol=1e-10)


@pytest.mark.parametrize("shape", [(50, 4), (8, 30)])  # the second: fewer points than dimensions
def test_frechet_distance_of_moved_and_stretched_points(shape):
    x = normal(0, *shape)
    shift = normal(1, shape[1])
    np.testing.assert_allclose(frechet_distance(x, x + shift).value, np.sum(shift**2), rtol=1e-9)
    x -= x.mean(0)
    spread = np.sum(np.var(x, axis=0, ddof=1))  # tr Σ, of which (3 - 1)² is left
    np.testing.assert_allclose(frechet_distance(x, 3 * x).value, 4 * spread, rtol=1e-9)
    np.testing.assert_allclose(frechet_distance(x, x).value, 0, atol=1e-9 * spread)


def test_frechet_distance_of_large_samples_is_the_distance_of_the_gaussians():
    scale, shift = np.array([1, 2, 0.5]), np.array([1, 0, -2])
    estimate = frechet_distance(normal(0, 20_000, 3), normal(1, 20_000, 3) * scale + shift)
    assert abs(estimate.value - (5 + 1 + 0.25)) < 4 * estimate.error
    assert estimate.error < 0.1


def test_frechet_distance_bias_and_error_are_as_documented():
    n, d = 100, 10
    estimates = [frechet_distance(normal(s, n, d), normal(s + 2**20, n, d)) for s in range(60)]
    value, error, _ = np.array(estimates).T
    np.testing.assert_allclose(value.mean(), 2 * d * (d + 5) / (4 * n), rtol=0.1)
    moved = [frechet_distance(normal(s, n, d), normal(s + 2**20, n, d) + 1) for s in range(60)]
    value, error, _ = np.array(moved).T
    assert 0.75 < np.sqrt(np.mean(error**2)) / value.std() < 1.35


# --- inception score ---


def test_inception_score_from_one_to_the_number_of_classes():
    certain = np.tile(np.eye(4), (5, 1))
    np.testing.assert_allclose(inception_score(certain).value, 4)
    assert inception_score(np.full((20, 4), 0.25)) == pytest.approx((1, 0))
    assert inception_score(certain[::4]) == pytest.approx((1, 0))  # all of one class


def test_inception_score_is_the_mean_divergence():
    p = np.random.default_rng(0).dirichlet([0.3] * 5, size=40).astype(np.float32)
    divergences = scipy.stats.entropy(p.astype(np.float64), p.mean(0, dtype=np.float64), axis=1)
    np.testing.assert_allclose(inception_score(p).value, np.exp(divergences.mean()), rtol=1e-5)


def test_inception_score_error_is_the_spread_over_draws():
    draws = [np.random.default_rng(s).dirichlet([0.3] * 5, size=100) for s in range(100)]
    value, error = np.array([inception_score(p) for p in draws]).T
    assert 0.75 < np.sqrt(np.mean(error**2)) / value.std() < 1.35


@pytest.mark.parametrize("row", [[0.5, 0.6], [1.5, -0.5], [0, 0]])
def test_probabilities_that_are_none(row):
    with pytest.raises(ValueError, match="sum to 1"):
        inception_score(np.array([[0.5, 0.5]] * 9 + [row]))


# --- bins ---


@pytest.mark.parametrize(("first", "share"), [(50, 0), (60, 0), (65, 1), (35, 1), (100, 1)])
def test_two_far_bins_by_hand(first, share):
    """100 of either; z is 1.42 for 60 to 50, and 2.15 for 65 to 50."""
    centres = np.array([[0.0, 0], [9, 9]])
    train = np.repeat(centres, 50, axis=0) + 0.1 * normal(0, 100, 2)
    generated = np.repeat(centres, [first, 100 - first], axis=0) + 0.1 * normal(1, 100, 2)
    estimate = different_bins(train, generated, bins=2)
    assert estimate.value == share
    pooled = (50 + first) / 200
    z = (first - 50) / 100 / math.sqrt(pooled * (1 - pooled) * 2 / 100)
    found = scipy.stats.norm.sf(1.96 - z) + scipy.stats.norm.cdf(-1.96 - z)
    np.testing.assert_allclose(estimate.error, math.sqrt(found * (1 - found) / 2), rtol=1e-9)


def test_chance_finds_one_bin_in_twenty():
    shares = [
        different_bins(normal(s, 2000, 2), normal(s + 2**20, 2000, 2), bins=20).value
        for s in range(15)
    ]
    assert 0.02 < np.mean(shares) < 0.09  # of 300 tests


def test_a_collapsed_generator_differs_in_nearly_every_bin():
    train, clip = normal(0, 2000, 2), normal(1, 1, 2)
    collapsed = different_bins(train, clip + 1e-3 * normal(2, 2000, 2), bins=20)
    assert collapsed.value > 0.9
    half = train[train[:, 0] > 0]
    assert 0.3 < different_bins(train, half, bins=20).value <= 1
    assert different_bins(train, half, bins=20) == different_bins(train, half, bins=20)


def test_bins_of_tracks_differ_by_chance_as_seldom():
    """Tracks that fill bins of their own are no fault of a generator of all of them."""
    alone, grouped = [], []
    for seed in range(12):
        (x, whose), (y, _) = tracks(seed, 30, 20, 2.0), tracks(seed + 2**20, 600, 1, 2.0)
        alone.append(different_bins(x, y, bins=12).value)
        grouped.append(different_bins(x, y, bins=12, groups=whose).value)
    assert np.mean(grouped) < 0.15 < 0.3 < np.mean(alone)


# --- variety and classes ---


def test_variety_of_alike_and_of_like_real():
    real = 3 * normal(0, 400, 4)
    assert variety(real, 3 * normal(1, 400, 4)).value == pytest.approx(1, abs=0.05)
    assert variety(real, 1.5 * normal(1, 400, 4) + 9).value == pytest.approx(0.5, abs=0.03)
    assert variety(real, np.ones((9, 4))) == (0, 0, 0)
    classes = np.arange(400) % 2
    apart = 50.0 * classes[:, None]  # all of the spread is between two classes of one clip each
    found = variety(real + apart, np.zeros((400, 4)) + apart, classes, classes)
    assert found.value == pytest.approx(0, abs=1e-9)
    assert variety(real + apart, real + apart, classes, classes).value == pytest.approx(1)


def test_agreement_is_the_share_recognised():
    probabilities = np.eye(3)[[0, 0, 1, 2, 2, 1]]
    found = agreement(probabilities, np.array([0, 1, 1, 2, 0, 1]))
    assert found == pytest.approx((4 / 6, math.sqrt(5 / 8 * 3 / 8 / 6)))


def test_the_rarest_class_is_the_one_that_comes_least_for_its_share():
    """Of 40, 40 and 20 real clips; half as many of the second as there should be, or none."""
    real = np.eye(4)[np.repeat([0, 1, 2], [40, 40, 20])]
    fake = np.eye(4)[np.repeat([0, 1, 2, 3], [50, 20, 20, 10])]
    found = rarest_class(real, fake)
    assert found.value == pytest.approx(0.2 / 0.4)
    assert found.error == pytest.approx(math.sqrt(21 / 102 * 81 / 102 / 100) / 0.4)
    assert rarest_class(real, fake[fake[:, 1] == 0]).value == 0
    assert rarest_class(real, real).value == 1


# --- input that makes no estimate ---


@pytest.mark.parametrize("distance", [kernel_distance, frechet_distance, different_bins])
@pytest.mark.parametrize(
    ("train", "generated", "message"),
    [
        (np.zeros((3, 2)), np.zeros((9, 2)), r"train must be at least 4 points .*\(3, 2\)"),
        (np.zeros((9, 2)), np.zeros((0, 2)), r"generated must be at least 4 points .*\(0, 2\)"),
        (np.zeros((9, 2)), np.full((9, 2), np.nan), "generated holds NaN or Inf in row 0"),
        (np.array([[0, 1]] * 8 + [[0, np.inf]]), np.zeros((9, 2)), "train .* in row 8"),
    ],
)
def test_samples_that_can_not_be_compared(distance, train, generated, message):
    with pytest.raises(ValueError, match=message):
        distance(train.astype(float), generated)


@pytest.mark.parametrize(("bins", "distinct"), [(1, 9), (10, 9), (4, 3)])
def test_more_bins_than_points(bins, distinct):
    train = np.arange(9.0)[:, None] % distinct
    with pytest.raises(ValueError, match=f"bins must lie in 2 … {distinct}, .* found {bins}"):
        different_bins(train, train, bins=bins)
