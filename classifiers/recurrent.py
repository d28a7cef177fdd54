"""Recurrent layers, with Keras's gates and initial weights."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from classifiers._recurrence import lstm_recurrence
from classifiers.chain import Layer, Shape, expect_axes, expect_positive
from features.initial_weights import glorot_uniform, orthogonal


class LSTM(Layer):
    """Long short-term memory over (N, time, features): every state, or the last one.

    Gates in the order input, forget, cell, output; orthogonal recurrent kernel; the forget
    gate's bias starts at 1 (as Keras has it).

    Parameters
    ----------
    input_shape : (time, features).
    units : size of the state.
    sequence : True gives (N, time, units), False the last state, (N, units).
    """

    def __init__(self, input_shape: Shape, units: int, *, sequence: bool, rngs: nnx.Rngs) -> None:
        expect_positive(units=units)
        time, features = expect_axes(input_shape, "time, features")
        self.kernel = nnx.Param(glorot_uniform(rngs.params(), (features, 4 * units)))
        self.recurrent = nnx.Param(orthogonal(rngs.params(), (units, 4 * units)))
        self.bias = nnx.Param(jax.device_put(np.repeat(np.array([0, 1, 0, 0], np.float32), units)))
        self.sequence = sequence
        self.output_shape = (time, units) if sequence else (units,)

    def __call__(
        self, x: Float[Array, "n t f"], *, train: bool = False, key: PRNGKeyArray | None = None
    ) -> Float[Array, "n ..."]:
        weights = (self.kernel[...], self.recurrent[...], self.bias[...])
        states = lstm_recurrence(x.transpose(1, 0, 2), *weights)
        return states.transpose(1, 0, 2) if self.sequence else states[-1]


class Bidirectional(Layer):
    """Two LSTMs, one from each end, whose states are concatenated: ``2 * units`` features.

    ``sequence=False`` gives the state of each that has seen everything.
    """

    def __init__(self, input_shape: Shape, units: int, *, sequence: bool, rngs: nnx.Rngs) -> None:
        self.forward = LSTM(input_shape, units, sequence=sequence, rngs=rngs)
        self.backward = LSTM(input_shape, units, sequence=sequence, rngs=rngs)
        self.output_shape = (*self.forward.output_shape[:-1], 2 * units)

    def __call__(
        self, x: Float[Array, "n t f"], *, train: bool = False, key: PRNGKeyArray | None = None
    ) -> Float[Array, "n ..."]:
        forward, backward = self.forward(x), self.backward(x[:, ::-1])
        if backward.ndim == 3:
            backward = backward[:, ::-1]
        return jnp.concatenate([forward, backward], -1)
