"""Recurrent layers, with the initial weights of a framework."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax
from jaxtyping import Array, Float, PRNGKeyArray

from classifiers._recurrence import lstm_recurrence
from classifiers.chain import Layer, Shape, expect_axes, expect_positive
from classifiers.frameworks import KERAS, Framework


class LSTM(Layer):
    """Long short-term memory over (N, time, features): every state, or the last one.

    Gates in the order input, forget, cell, output. Keras's has one bias, which is 1 for the forget
    gate at first, PyTorch's two, both of which are trained.

    Parameters
    ----------
    input_shape : (time, features).
    units : size of the state.
    sequence : True gives (N, time, units), False the last state, (N, units).
    """

    kernel: nnx.Param
    recurrent: nnx.Param
    bias: nnx.Param
    recurrent_bias: nnx.Param  # an LSTM of Keras has none

    def __init__(
        self,
        input_shape: Shape,
        units: int,
        *,
        sequence: bool,
        rngs: nnx.Rngs,
        framework: Framework = KERAS,
    ) -> None:
        expect_positive(units=units)
        time, features = expect_axes(input_shape, "time, features")
        for name, initial in framework.recurrent(rngs, features, units, 4).items():
            setattr(self, name, nnx.Param(initial))
        self.sequence = sequence
        self.output_shape = (time, units) if sequence else (units,)

    def __call__(
        self, x: Float[Array, "n t f"], *, train: bool = False, key: PRNGKeyArray | None = None
    ) -> Float[Array, "n ..."]:
        bias = self.bias[...]
        if hasattr(self, "recurrent_bias"):
            bias = bias + self.recurrent_bias[...]
        states = lstm_recurrence(x.transpose(1, 0, 2), self.kernel[...], self.recurrent[...], bias)
        return states.transpose(1, 0, 2) if self.sequence else states[-1]


class Bidirectional(Layer):
    """Two LSTMs, one from each end, whose states are concatenated: ``2 * units`` features.

    ``sequence=False`` gives the state of each that has seen everything.
    """

    def __init__(
        self,
        input_shape: Shape,
        units: int,
        *,
        sequence: bool,
        rngs: nnx.Rngs,
        framework: Framework = KERAS,
    ) -> None:
        one = partial(LSTM, input_shape, units, sequence=sequence, rngs=rngs, framework=framework)
        self.forward, self.backward = one(), one()
        self.output_shape = (*self.forward.output_shape[:-1], 2 * units)

    def __call__(
        self, x: Float[Array, "n t f"], *, train: bool = False, key: PRNGKeyArray | None = None
    ) -> Float[Array, "n ..."]:
        forward, backward = self.forward(x), self.backward(x[:, ::-1])
        if backward.ndim == 3:
            backward = backward[:, ::-1]
        return jnp.concatenate([forward, backward], -1)


class GRU(Layer):
    """Gated recurrent unit over (N, time, features): every state, or the last one.

    Gates in the order reset, update, new; the reset gate acts on the product with the state, as
    in PyTorch, and in Keras where ``reset_after``.

    Parameters
    ----------
    input_shape : (time, features).
    units : size of the state.
    sequence : True gives (N, time, units), False the last state, (N, units).
    over_batch : the state goes on from clip to clip of a batch, each of one frame. No network wants
        that, but one that was published had it.
    """

    kernel: nnx.Param
    recurrent: nnx.Param
    bias: nnx.Param
    recurrent_bias: nnx.Param

    def __init__(
        self,
        input_shape: Shape,
        units: int,
        *,
        sequence: bool,
        over_batch: bool = False,
        rngs: nnx.Rngs,
        framework: Framework = KERAS,
    ) -> None:
        expect_positive(units=units)
        time, features = expect_axes(input_shape, "time, features")
        if over_batch and (time > 1 or sequence):
            raise ValueError(f"goes over the batch where a clip is one frame, not {time}")
        for name, initial in framework.recurrent(rngs, features, units, 3).items():
            setattr(self, name, nnx.Param(initial))
        self.sequence, self.over_batch = sequence, over_batch
        self.output_shape = (time, units) if sequence else (units,)

    def __call__(
        self, x: Float[Array, "n t f"], *, train: bool = False, key: PRNGKeyArray | None = None
    ) -> Float[Array, "n ..."]:
        recurrent, bias = self.recurrent[...], self.recurrent_bias[...]
        frames = x if self.over_batch else x.transpose(1, 0, 2)
        inputs = frames @ self.kernel[...] + self.bias[...][None, None]

        def step(state: Array, given: Array) -> tuple[Array, Array]:
            r, z, n = jnp.split(given, 3, -1)
            from_r, from_z, from_n = jnp.split(state @ recurrent + bias[None], 3, -1)
            reset, kept = jax.nn.sigmoid(r + from_r), jax.nn.sigmoid(z + from_z)
            state = (1 - kept) * jnp.tanh(n + reset * from_n) + kept * state
            return state, state

        start = jnp.zeros((inputs.shape[1], recurrent.shape[0]), inputs.dtype)
        last, states = lax.scan(step, start, inputs)
        if self.over_batch:
            return states[:, 0]
        return states.transpose(1, 0, 2) if self.sequence else last
