"""What tests of training runs ask of them."""

import json

import jax
import numpy as np
from flax import nnx

METRICS = {
    f"gan/{name}"
    for name in (
        "step",
        "steps_per_second",
        "critic_loss",
        "critic_gap",
        "penalty",
        "critic_gradient_norm",
        "generator_loss",
        "generator_gradient_norm",
        "rms_fake",
        "rms_real",
        "spread",
    )
}


def same(one, other) -> bool:
    """Whether two trees hold the same numbers, bit for bit."""
    return jax.tree.structure(one) == jax.tree.structure(other) and all(
        np.array_equal(a, b)
        for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    )


def weights(result):
    networks = result.generator, result.ema_generator, result.discriminator
    return jax.device_get([nnx.state(network) for network in networks])


def steps_logged(run):
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["gan/step"] for line in lines]
