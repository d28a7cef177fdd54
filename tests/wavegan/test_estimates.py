import math

import numpy as np
import pytest

from wavegan.estimates import checked, jackknife, parts_of


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def test_the_jackknife_of_a_mean_is_its_error():
    """By hand: of equal parts the classic one, of tracks the spread of the tracks' means."""
    x = normal(0, 40)
    found = jackknife(lambda chosen: x[chosen].mean(), np.arange(40))
    assert found == pytest.approx(x.std(ddof=1) / math.sqrt(40), rel=1e-9)
    names = np.array([f"track {i // 4}" for i in range(40)])
    found = jackknife(lambda chosen: x[chosen].mean(), parts_of(40, names))
    means = x.reshape(10, 4).mean(1)
    assert found == pytest.approx(means.std(ddof=1) / math.sqrt(10), rel=1e-9)


def test_parts_are_whole_tracks_of_about_equal_size():
    rng = np.random.default_rng(0)
    whose = np.repeat(np.arange(90), rng.integers(1, 30, 90))
    parts = parts_of(len(whose), whose)
    assert all(len(set(parts[whose == track])) == 1 for track in range(90))
    sizes = np.bincount(parts)
    assert len(sizes) == 20
    assert sizes.max() < 1.1 * sizes.min()
    np.testing.assert_array_equal(parts_of(9, np.zeros(9)), np.arange(9))  # a single track
    with pytest.raises(ValueError, match=r"groups must be one a point \(9\), found 2"):
        parts_of(9, np.arange(2))


def test_points_of_other_dimensions():
    """What a user sees whose shapes no checker has refused before."""
    with pytest.raises(ValueError, match=r"generated .* of shape \(2,\), found \(9, 3\)"):
        checked(train=np.zeros((9, 2)), generated=np.zeros((9, 3)))
