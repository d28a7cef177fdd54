"""Weights of training clips: what they do to a fit, and which are refused."""

from dataclasses import replace

import numpy as np
import pytest
from classifier_toys import small, toy, weights

from classifiers.fit_config import FitConfig
from classifiers.fit_data import checked_weights
from classifiers.prediction import predict
from classifiers.training import fit, fit_together

WHOLE = FitConfig(batch_size=9, steps=4, learning_rate=0.3, optimizer="sgd")  # each batch is all


def test_a_weight_of_two_is_the_clip_twice():
    inputs, labels = toy(count=9)
    twice = np.r_[np.arange(9), 0, 1, 2]
    counts = np.bincount(twice)
    weighted, repeated = small(), small()
    fit(weighted, (inputs, labels), None, WHOLE, seed=0, sample_weights=7 * counts)
    more = replace(WHOLE, batch_size=12)
    fit(repeated, (inputs[twice], labels[twice]), None, more, seed=0)
    for a, b in zip(weights(weighted), weights(repeated), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    plain = small()
    fit(plain, (inputs, labels), None, WHOLE, seed=0)
    assert max(abs(a - b).max() for a, b in zip(weights(weighted), weights(plain), strict=True)) > (
        1e-3
    )


def test_clips_of_weight_0_teach_nothing():
    """Half of the clips have a wrong label."""
    inputs, labels = toy(count=120)
    wrong = np.arange(120) % 2 == 0
    told = np.where(wrong, (labels + 1) % 3, labels)
    config = FitConfig(batch_size=16, steps=60, learning_rate=1e-2)
    model = small()
    fit(model, (inputs, told), None, config, seed=0, sample_weights=~wrong)
    test = toy(count=60, seed=1)
    assert (predict(model, test[0]).argmax(1) == test[1]).mean() > 0.7


def test_seeds_at_once_share_the_weights():
    data, given = toy(count=24), np.linspace(0, 3, 24)
    config = FitConfig(batch_size=8, steps=3, learning_rate=1e-2)
    both = [small(), small()]
    fit_together(both, data, None, config, seeds=[0, 1], sample_weights=given)
    for seed, model in enumerate(both):
        alone = small()
        fit(alone, data, None, config, seed=seed, sample_weights=given)
        for a, b in zip(weights(model), weights(alone), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


def test_a_fit_with_other_weights_is_another_fit(tmp_path):
    data, config = toy(count=24), FitConfig(batch_size=8, steps=2)
    given = np.arange(24.0)
    fit(small(), data, None, config, seed=0, sample_weights=given, run_dir=tmp_path)
    fit(small(), data, None, config, seed=0, sample_weights=2 * given, run_dir=tmp_path)
    for other in (None, given[::-1]):
        with pytest.raises(ValueError, match=r"another fit.*sample_weights"):
            fit(small(), data, None, config, seed=0, sample_weights=other, run_dir=tmp_path)


def test_weights_are_scaled_to_a_mean_of_one():
    assert checked_weights(None, 3) is None
    found = checked_weights([1, 2, 6], 3)
    np.testing.assert_allclose(found, [1 / 3, 2 / 3, 2])
    assert found.dtype == np.float32


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([1, 2], r"one number for each of the 3 training clips, not of shape \(2,\)"),
        ([[1], [2], [3]], r"not of shape \(3, 1\)"),
        ([1, -1, 1], "not -1.0 to 1.0"),
        ([0, 0, 0], "some of them above 0"),
        ([1, np.nan, 1], "finite numbers"),
        ([1, np.inf, 1], "finite numbers"),
    ],
)
def test_weights_that_are_none(given, said):
    with pytest.raises(ValueError, match=said):
        checked_weights(given, 3)
