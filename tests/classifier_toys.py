"""Networks and data small enough to be trained in a second."""

import jax
import numpy as np
from flax import nnx

from classifiers.architectures import create

SMALL = {
    "net3": ((16, 16, 3), {"conv_widths": (4, 4, 8, 8), "dense_sizes": (16,)}),
    "net5": ((10, 5), {"lstm_sizes": (12, 8), "dense_sizes": (8, 8)}),
}


def small(name="net5", seed=0):
    shape, options = SMALL[name]
    return create(name, input_shape=shape, num_classes=3, rngs=nnx.Rngs(seed), **options)


def toy(name="net5", count=60, seed=0):
    """Noise whose level in the first feature (or colour) tells the class."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    inputs = rng.normal(size=(count, *SMALL[name][0])).astype(np.float32)
    inputs[..., 0] += (labels - 1).reshape(-1, *[1] * (inputs.ndim - 2)) * 1.5
    return inputs, labels


def weights(model):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(nnx.state(model))]


def same(one, other):
    """Whether two models have the same weights and statistics, bit for bit."""
    return all((a == b).all() for a, b in zip(weights(one), weights(other), strict=True))
