import math

import numpy as np
import pytest
import scipy.spatial

from wavegan.neighbours import coverage, memorised, nearest_distances


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def test_nearest_distances_are_those_of_all_pairs():
    x, y = normal(0, 900, 7), normal(1, 6000, 7)  # more pairs than are held at a time
    pairs = scipy.spatial.distance.cdist(x, y)
    np.testing.assert_allclose(nearest_distances(x, y), pairs.min(1), rtol=1e-9)
    groups = np.arange(900) // 3
    pairs = scipy.spatial.distance.cdist(x, x)
    np.fill_diagonal(pairs, np.inf)
    np.testing.assert_allclose(nearest_distances(x), pairs.min(1), rtol=1e-9)
    pairs[groups[:, None] == groups[None]] = np.inf
    names = np.array([f"track {g}" for g in groups])
    np.testing.assert_allclose(nearest_distances(x, groups=names), pairs.min(1), rtol=1e-9)


def test_a_copy_is_at_no_distance():
    x = 1e3 + normal(0, 50, 7)  # far from zero: no rounding comes between
    np.testing.assert_array_equal(nearest_distances(x[::3], x), 0)
    np.testing.assert_array_equal(nearest_distances(x, groups=np.arange(50) % 2) > 0, True)


def copies(generated, half, other):
    """`memorised` of points."""
    nearest = [nearest_distances(generated, points) for points in (half, other)]
    return memorised(nearest, [nearest_distances(other, half), nearest_distances(half, other)])


def test_copies_are_memorised_and_others_are_not():
    train = normal(0, 1000, 5)
    halves = train[::2], train[1::2]
    fresh, near = normal(1, 1000, 5), train[:300] + 1e-3 * normal(2, 300, 5)
    found = copies(np.concatenate([fresh, near]), *halves)
    assert abs(found.value - (300 + 10) / 1300) < 3 * found.error
    chance = [copies(normal(s, 500, 5), normal(s + 99, 400, 5), normal(s + 199, 400, 5)).value
              for s in range(40)]  # fmt: skip
    assert np.mean(chance) == pytest.approx(0.01, abs=0.003)


def test_other_sounds_of_the_same_tracks_are_no_copies():
    """Against clips of other tracks nearly all of them would be."""
    means = 3 * normal(0, 12, 5)
    half, other, fresh = (np.repeat(means, 60, 0) + 0.2 * normal(s, 720, 5) for s in (1, 2, 3))
    assert copies(fresh, half, other).value < 0.03
    whose = np.repeat(np.arange(12), 60)
    null = nearest_distances(half, groups=whose)
    assert np.mean(nearest_distances(fresh, half) < np.quantile(null, 0.01)) > 0.9
    assert copies(half[::7] + 1e-4, half, other).value > 0.95


def test_few_clips_accuse_seldom():
    """Of 20 windows a half the nearest pair is the limit: at most 2 / 21 by chance."""
    shares = [copies(normal(s, 50, 3), normal(s + 99, 20, 3), normal(s + 199, 20, 3)).value
              for s in range(60)]  # fmt: skip
    assert 0.02 < np.mean(shares) < 2 / 21 + 0.02


def test_the_error_of_no_copies_is_not_zero():
    estimate = copies(9 + normal(0, 98, 2), normal(1, 50, 2), normal(2, 50, 2))
    assert estimate == pytest.approx((0, math.sqrt(0.01 * 0.99 / 98)))


def test_coverage_of_one_and_of_two_modes():
    modes = np.repeat([[0.0, 0.0], [50.0, 0.0]], 200, axis=0)
    real, fresh = modes + normal(0, 400, 2), modes + normal(1, 400, 2)
    assert coverage(real, fresh).value == pytest.approx(1 - 2**-5, abs=0.03)
    assert coverage(real, fresh[:200]).value == pytest.approx((1 - 2**-5) / 2, abs=0.05)
    assert coverage(real, np.repeat(fresh[:1], 400, 0)).value < 0.1
    one = coverage(real, fresh[:200], groups=np.arange(400) // 40)  # half the tracks are missing
    assert 0.1 < one.error < 0.2
    assert coverage(real, fresh[:200]).error < 0.04


@pytest.mark.parametrize("within", [0.3, 0.03])
def test_coverage_of_tracks_whose_clips_are_alike(within):
    """A clip's neighbours are other tracks': a generator of other tracks covers them."""
    tracks, groups = normal(0, 20, 8), np.repeat(np.arange(20), 13)
    real = tracks[groups] + within * normal(1, 260, 8)
    ideal = normal(2, 260, 8) + within * normal(3, 260, 8)
    assert coverage(real, ideal, groups=groups).value > 0.7  # of 20 tracks: .9, and .1 by chance
    assert coverage(real, ideal).value < 0.1
    assert coverage(real, ideal[:1].repeat(260, 0), groups=groups).value < 0.5
    one = np.zeros(260, int)  # of a single track all other clips are neighbours
    assert coverage(real, ideal, groups=one).value == coverage(real, ideal).value


def test_coverage_is_that_of_the_fifth_neighbour():
    real, fake = normal(0, 60, 3), normal(1, 20, 3)
    pairs = np.sort(scipy.spatial.distance.cdist(real, real), 1)[:, 5]
    expected = np.mean(scipy.spatial.distance.cdist(real, fake).min(1) < pairs)
    assert coverage(real, fake).value == expected


def test_neighbours_that_are_none():
    with pytest.raises(ValueError, match="9 points of at least 2 groups"):
        nearest_distances(normal(0, 9, 2), groups=np.zeros(9, int))
    with pytest.raises(ValueError, match="leave y or groups out"):
        nearest_distances(normal(0, 9, 2), normal(0, 9, 2), groups=np.arange(9))
    with pytest.raises(ValueError, match="unheard must be at least 4 points"):
        memorised([np.ones(9)], [np.ones(3)])
