"""Mixup against its formula, SpecAugment's bands counted."""

from itertools import groupby

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from features.feature_augmentation import FeatureAugmentation, mixup, spec_augment

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)


def test_mixup_blends_inputs_as_it_blends_targets():
    """Targets of n classes for n examples say which two each is blended of, and how."""
    inputs = RNG.normal(size=(16, 3, 4)).astype(np.float32)
    mixed, weights = map(np.asarray, mixup(KEY, inputs, np.eye(16, dtype=np.float32), alpha=1.0))
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-6)
    assert ((weights > 0).sum(1) <= 2).all()
    assert ((weights > 0).sum(0) <= 2).all()  # a partner of one other each
    by_hand = np.einsum("ij,jtf->itf", weights.astype(float), inputs.astype(float))
    np.testing.assert_allclose(mixed, by_hand, atol=1e-6)


def test_shares_follow_the_beta_distribution():
    """Beta(α, α) has the mean 1/2 and the variance 1 / (4(2α + 1))."""
    targets = np.repeat(np.float32([[1, 0], [0, 1]]), 4000, 0)
    _, mixed = mixup(KEY, np.zeros((8000, 1), np.float32), targets, alpha=0.2)
    mixed = np.asarray(mixed)
    between = mixed[:, 0][(mixed[:, 0] > 0) & (mixed[:, 0] < 1)]
    assert between.mean() == pytest.approx(0.5, abs=0.03)
    # pairs of two classes alone show their share; so near 0 and 1 some are rounded to it
    assert between.var() == pytest.approx(1 / (4 * 1.4), rel=0.1)


@pytest.mark.parametrize("shape", [(40, 60, 30), (40, 60, 30, 3)])
def test_spec_augment_hides_whole_bands_behind_the_mean(shape):
    features = RNG.normal(size=shape).astype(np.float32)
    augmented = np.asarray(
        spec_augment(KEY, features, time_masks=3, time_width=0.1, frequency_masks=1)
    )
    hidden = (augmented != features).reshape(*shape[:3], -1)
    assert (hidden == hidden[..., :1]).all()  # all channels of a point
    mean = features.reshape(shape[0], -1, *shape[3:]).mean(1)
    expected = np.where(
        hidden[..., 0].reshape(*shape[:3], *[1] * (len(shape) - 3)),
        mean.reshape(shape[0], 1, 1, *shape[3:]),
        features,
    )
    np.testing.assert_allclose(augmented, expected, atol=1e-6)
    frames, bins = hidden[..., 0].all(2), hidden[..., 0].all(1)
    np.testing.assert_array_equal(hidden[..., 0], frames[:, :, None] | bins[:, None])
    for rows, masks, widest in ((frames, 3, 6), (bins, 1, 4)):  # 0.1 · 60, ⌊0.15 · 30⌋
        runs = [[len(list(g)) for on, g in groupby(row) if on] for row in rows]
        assert max(map(len, runs)) == masks
        assert max(map(sum, runs)) <= masks * widest
        assert len({tuple(run) for run in runs}) > 4  # each example draws its own
    assert (
        max(
            max(run, default=0)
            for run in [[len(list(g)) for on, g in groupby(row) if on] for row in bins]
        )
        == 4
    )


def test_no_masks_change_nothing():
    features = RNG.normal(size=(2, 9, 5)).astype(np.float32)
    same = spec_augment(KEY, features, time_masks=0, frequency_masks=0)
    np.testing.assert_array_equal(same, features)
    narrow = spec_augment(KEY, features, time_width=0.1, frequency_width=0.1)  # below a frame
    np.testing.assert_array_equal(narrow, features)


def test_everything_may_be_hidden():
    features = RNG.normal(size=(200, 4, 3)).astype(np.float32)
    hidden = np.asarray(spec_augment(KEY, features, time_width=1.0)) != features
    assert hidden.all((1, 2)).any()


def test_it_runs_in_a_compiled_step_over_several_models():
    inputs, targets = RNG.normal(size=(3, 8, 6, 5)), np.tile(np.eye(8, 4), (3, 1, 1))
    inputs, targets = inputs.astype(np.float32), targets.astype(np.float32)
    keys, augment = jax.random.split(KEY, 3), FeatureAugmentation()
    assert hash(augment) == hash(FeatureAugmentation())
    together = jax.jit(jax.vmap(augment))(keys, inputs, targets)
    for i in range(3):
        for found, expected in zip(together, augment(keys[i], inputs[i], targets[i]), strict=True):
            np.testing.assert_allclose(found[i], expected, atol=1e-6)
    assert np.abs(together[0] - inputs).max() > 0.1


def test_parts_can_be_left_out():
    inputs, targets = jnp.ones((4, 6)), jnp.eye(4)
    same = FeatureAugmentation(spec_augment=False, mixup_alpha=0)(KEY, inputs, targets)
    np.testing.assert_array_equal(same[0], inputs)
    np.testing.assert_array_equal(same[1], targets)
    features = RNG.normal(size=(4, 20, 20)).astype(np.float32)
    hidden, same_targets = FeatureAugmentation(mixup_alpha=0)(KEY, features, targets)
    np.testing.assert_array_equal(same_targets, targets)
    assert (np.asarray(hidden) != features).any()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"time_width": 1.5}, "time_width=1.5"),
        ({"frequency_masks": -1}, "frequency_masks=-1"),
        ({"features": np.zeros((4, 6), np.float32)}, r"\(4, 6\)"),
    ],
)
def test_masks_that_are_refused(change, said):
    change = {"features": np.zeros((4, 6, 5), np.float32)} | change
    with pytest.raises(ValueError, match=said):
        spec_augment(KEY, **change)


def test_an_alpha_of_zero_is_no_mixup():
    with pytest.raises(ValueError, match="alpha=0"):
        mixup(KEY, np.zeros((2, 3), np.float32), np.eye(2, dtype=np.float32), alpha=0)
