"""The constants that a framework gives its layers and optimisers where a network says none.

Published figures depend on them: PyTorch and Keras draw other initial weights for one network,
and normalise and optimise with other constants. A network here has those of its source.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import jax
import numpy as np
from flax import nnx
from jaxtyping import Array

from features.initial_weights import constant, glorot_uniform, orthogonal, uniform

Shape = tuple[int, ...]
Weights = dict[str, Array]


@dataclass(frozen=True)
class Framework:
    """What a framework does where nothing else is said.

    Attributes
    ----------
    affine : initial ``kernel`` and ``bias`` of a layer, from the kernel's shape, whose last axis
        is the layer's width.
    recurrent : initial ``kernel`` (features, gates * units), ``recurrent`` (units, gates * units),
        ``bias`` and, where there are two of them, ``recurrent_bias`` (gates * units,) of a
        recurrent layer.
    statistics_kept : share of batch normalisation's running statistics that an update keeps.
    warm_up : updates keep fewer at first, see `classifiers.layers.BatchNorm`.
    unbiased : the running variance is that of a population of which the batch is a sample.
    epsilon : of batch normalisation.
    optimizer_epsilon : of Adam and RMSProp.
    epsilon_in_root : of RMSProp, whether it is added below the root.
    rms_decay : of RMSProp.
    """

    affine: Callable[[nnx.Rngs, Shape], Weights]
    recurrent: Callable[[nnx.Rngs, int, int, int], Weights]
    statistics_kept: float
    warm_up: bool
    unbiased: bool
    epsilon: float
    optimizer_epsilon: float
    epsilon_in_root: bool
    rms_decay: float


def _keras_affine(rngs: nnx.Rngs, shape: Shape) -> Weights:
    return {"kernel": glorot_uniform(rngs.params(), shape), "bias": constant(shape[-1])}


def _keras_recurrent(rngs: nnx.Rngs, features: int, units: int, gates: int) -> Weights:
    kernel = glorot_uniform(rngs.params(), (features, gates * units))
    found = {"kernel": kernel, "recurrent": orthogonal(rngs.params(), (units, gates * units))}
    if gates == 4:  # an LSTM's, whose forget gate starts open
        bias = np.repeat(np.array([0, 1, 0, 0], np.float32), units)
        return found | {"bias": jax.device_put(bias)}
    return found | {name: constant(gates * units) for name in ("bias", "recurrent_bias")}


def _torch_affine(rngs: nnx.Rngs, shape: Shape) -> Weights:
    limit = 1 / math.sqrt(math.prod(shape[:-1]))
    shapes = {"kernel": shape, "bias": shape[-1:]}
    return {name: uniform(rngs.params(), of, limit) for name, of in shapes.items()}


def _torch_recurrent(rngs: nnx.Rngs, features: int, units: int, gates: int) -> Weights:
    width, limit = gates * units, 1 / math.sqrt(units)
    shapes = {
        "kernel": (features, width),
        "recurrent": (units, width),
        "bias": (width,),
        "recurrent_bias": (width,),
    }
    return {name: uniform(rngs.params(), of, limit) for name, of in shapes.items()}


FRAMEWORKS: Mapping[str, Framework] = {
    "keras": Framework(
        _keras_affine,
        _keras_recurrent,
        statistics_kept=0.99,
        warm_up=True,
        unbiased=False,
        epsilon=1e-3,
        optimizer_epsilon=1e-7,
        epsilon_in_root=True,
        rms_decay=0.9,
    ),
    "torch": Framework(
        _torch_affine,
        _torch_recurrent,
        statistics_kept=0.9,
        warm_up=False,
        unbiased=True,
        epsilon=1e-5,
        optimizer_epsilon=1e-8,
        epsilon_in_root=False,
        rms_decay=0.99,
    ),
}
KERAS = FRAMEWORKS["keras"]
