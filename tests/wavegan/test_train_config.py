"""Settings of a training that make none."""

import pytest

from wavegan import (
    TrainConfig,
)

# Options


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss": "hinge"}, "loss must be one of wgan-gp, wgan, .*; found 'hinge'"),
        ({"loss": "dcgan", "penalty_weight": 1.0}, "loss dcgan has no penalty, found penalty_w"),
        ({"penalty": "r3"}, "penalty must be one of none, gradient, r1, r1.r2; found 'r3'"),
        (
            {"penalty": "none", "penalty_weight": 1.0},
            "wgan-gp has no penalty, found .*choose a pen",
        ),
        ({"spectrogram_penalty": -1.0}, "spectrogram_penalty must not be negative, found -1"),
        ({"spectrogram_penalty": float("nan")}, "spectrogram_penalty must not be negative"),
        ({"loss": "dcgan", "spectrogram_penalty": 1.0}, "loss dcgan has no penalty, found spec"),
        ({"rate_decay_steps": 0}, "rate_decay_steps must be at least 1, found 0"),
        ({"rate_decay_to": 1.5}, r"rate_decay_to must lie in \[0, 1\], found 1.5"),
        ({"penalty_every": 0}, "penalty_every must be at least 1, found 0"),
        ({"augment": ("gain", "echo")}, "echo"),
        ({"augment_probability": 1.5}, r"augment_probability must lie in \[0, 1\], found 1.5"),
        ({"augment_target": 1.0}, r"augment_target must lie in \(-1, 1\), found 1"),
        ({"accumulate": 3}, r"accumulate must divide batch_size \(64\) evenly, found 3"),
        ({"slices": "all"}, "slices must be one of anywhere, grid, first; found 'all'"),
        ({"overlap": 1.0}, r"overlap must lie in \[0, 1\), found 1"),
        ({"store": "disk"}, "store must be one of auto, device, host; found 'disk'"),
        ({"keep_hours": 0.0}, "keep_hours must be positive, found 0"),
        ({"inspect_every": -1}, "inspect_every must not be negative, found -1"),
        ({"keep_best": "quality/memorised"}, "keep_best must be .* found quality/memorised"),
        ({"patience": 0}, "patience must be at least 1, found 0"),
        ({"batch_size": 0}, "batch_size must be at least 1, found 0"),
        ({"steps": 0}, "steps must be at least 1, found 0"),
        ({"critic_steps": -1}, "critic_steps must be at least 1, found -1"),
        ({"log_every": 0}, "log_every must be at least 1, found 0"),
        ({"checkpoint_every": 0}, "checkpoint_every must be at least 1, found 0"),
        ({"checkpoint_minutes": 0.0}, "checkpoint_minutes must be positive, found 0"),
        ({"keep_checkpoints": 0}, "keep_checkpoints must be at least 1, found 0"),
        ({"learning_rate": 0.0}, "learning_rate must be positive, found 0"),
        ({"learning_rate": float("nan")}, "learning_rate must be positive, found nan"),
        ({"ema_decay": 1.0}, r"ema_decay must lie in \[0, 1\), found 1"),
        ({"penalty_weight": -1.0}, "penalty_weight must not be negative, found -1"),
        ({"penalty_weight": float("nan")}, "penalty_weight must not be negative, found nan"),
    ],
)
def test_options_that_make_no_training(options, message):
    with pytest.raises(ValueError, match=message):
        TrainConfig(**options)
