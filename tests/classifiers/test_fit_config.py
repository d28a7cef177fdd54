"""What a configuration of training says, and what it refuses."""

import numpy as np
import pytest

from classifiers.fit_config import FitConfig, learning_rates


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "one of steps and epochs"),
        ({"steps": 1, "epochs": 1}, "one of steps and epochs"),
        ({"steps": 0}, "steps is at least 1, not 0"),
        ({"steps": 1, "batch_size": 0}, "batch_size"),
        ({"epochs": 1, "patience": 0}, "patience"),
        ({"epochs": 1, "eval_every": -1}, "eval_every"),
        ({"steps": 1, "learning_rate": 0.0}, "learning_rate"),
        ({"steps": 1, "learning_rate": float("nan")}, "learning_rate"),
        ({"steps": 1, "optimizer": "adamw"}, "'adamw'"),
        ({"steps": 1, "schedule": "linear"}, r"schedule is one of .*'cosine'.*, not 'linear'"),
        ({"steps": 9, "warmup_steps": -1}, "warmup_steps is not negative, not -1"),
        ({"steps": 9, "warmup_steps": 9}, "warmup_steps is below the 9 steps there are, not 9"),
        ({"steps": 1, "weight_decay": float("inf")}, "weight_decay is not negative, not inf"),
        ({"steps": 1, "momentum": 1.0, "optimizer": "sgd"}, r"momentum lies in \[0, 1\), not 1.0"),
        ({"steps": 1, "momentum": 0.9}, "momentum is for the optimizer 'sgd', not 'adam'"),
        ({"steps": 1, "label_smoothing": -0.1}, "label_smoothing lies in"),
        ({"steps": 1, "compute_dtype": "float16"}, "compute_dtype is one of .*'bfloat16'"),
        ({"steps": 1, "class_weights": "even"}, "class_weights is 'balanced', None or .*'even'"),
        ({"steps": 1, "class_weights": (1.0, -2.0)}, r"class_weights .*\(1.0, -2.0\)"),
        ({"steps": 1, "optimizer": "lbfgs", "patience": 2}, "patience is for an .* not 'lbfgs'"),
        ({"steps": 1, "optimizer": "lbfgs", "l2_penalty": 0.1}, "l2_penalty is for .* not 'lbfgs'"),
        ({"steps": 1, "optimizer": "memory", "label_smoothing": 0.1}, "for an .* not 'memory'"),
        ({"steps": 1, "optimizer": "memory", "class_weights": "balanced"}, "leave class_weights="),
        ({"steps": 1, "optimizer": "memory", "weight_decay": 0.1}, "leave weight_decay=0.1 out"),
        ({"steps": 9, "optimizer": "lbfgs", "warmup_steps": 1}, "warmup_steps=1 out, or take one"),
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        FitConfig(**settings)


def test_the_budget_in_numbers():
    labels = np.zeros(33, int)
    config = FitConfig(batch_size=16, epochs=4).resolved(labels, 2)
    assert (config.steps, config.epochs, config.eval_every) == (12, None, 3)
    config = FitConfig(steps=5, eval_every=2).resolved(labels, 2)
    assert (config.steps, config.eval_every, config.class_weights) == (5, 2, None)
    config = FitConfig(batch_size=16, epochs=4, optimizer="lbfgs").resolved(labels, 2)
    assert config.steps == 4  # each over all clips


def test_balanced_weights_give_each_class_the_same_say():
    labels = np.repeat([0, 1, 2], [6, 3, 1])
    config = FitConfig(steps=1, class_weights="balanced").resolved(labels, 3)
    assert config.class_weights == pytest.approx((10 / 18, 10 / 9, 10 / 3))
    assert np.mean(np.asarray(config.class_weights)[labels]) == pytest.approx(1)
    with pytest.raises(ValueError, match="training clips of every class; class 3 of 4 has none"):
        FitConfig(steps=1, class_weights="balanced").resolved(labels, 4)
    with pytest.raises(ValueError, match="one number for each of the 3 classes, not 2"):
        FitConfig(steps=1, class_weights=(1.0, 2.0)).resolved(labels, 3)


def test_a_constant_rate_after_a_warm_up():
    np.testing.assert_array_equal(
        learning_rates(FitConfig(steps=3, learning_rate=0.1)), np.full(3, 0.1, np.float32)
    )
    rates = learning_rates(FitConfig(steps=6, learning_rate=0.4, warmup_steps=3))
    np.testing.assert_allclose(rates, [0.1, 0.2, 0.3, 0.4, 0.4, 0.4], rtol=1e-6)


@pytest.mark.parametrize("warmup", [0, 2])
def test_a_cosine_falls_from_the_full_rate_towards_zero(warmup):
    rates = learning_rates(
        FitConfig(steps=10, learning_rate=0.3, warmup_steps=warmup, schedule="cosine")
    )
    falling = 10 - warmup
    expected = 0.3 * (1 + np.cos(np.pi * np.arange(falling) / falling)) / 2
    np.testing.assert_allclose(rates[warmup:], expected, rtol=1e-5)
    np.testing.assert_allclose(rates[:warmup], [0.1, 0.2][:warmup], rtol=1e-6)
    assert rates.min() > 0


def test_a_warm_up_beyond_the_epochs_is_refused():
    config = FitConfig(batch_size=4, epochs=1, warmup_steps=5)
    with pytest.raises(ValueError, match="warmup_steps is below the 3 steps there are, not 5"):
        config.resolved(np.zeros(12, int), 2)
    with pytest.raises(ValueError, match="says steps, not epochs"):
        learning_rates(config)
