"""The LSTM's recurrence, with a backward pass that leaves the weight gradient to the end."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

_Saved = tuple[Array, Array, Array, Array]


@jax.custom_vjp
def lstm_recurrence(
    gates: Float[Array, "t n g"], recurrent: Float[Array, "u g"]
) -> Float[Array, "t n u"]:
    """All states of an LSTM that starts at zero.

    Parameters
    ----------
    gates : the input's share of the gates (input, forget, cell, output; g = 4u), time first.
    recurrent : the recurrent kernel.

    Notes
    -----
    Differentiated as it stands, the scan adds ``stateᵀ · gradient`` to the (u, 4u) weight
    gradient at every step. Here the backward scan only gives the gradients of the gates, and
    the weight gradient is one product over all steps: the same sum, less memory traffic.
    """
    return _forward(gates, recurrent)[0]


def _forward(gates: Array, recurrent: Array) -> tuple[Array, _Saved]:
    start = jnp.zeros((gates.shape[1], recurrent.shape[0]), gates.dtype)

    def step(carry: tuple[Array, Array], gate: Array) -> tuple[tuple[Array, Array], tuple]:
        state, cell = carry
        i, f, g, o = jnp.split(gate + state @ recurrent, 4, -1)
        i, f, g, o = jax.nn.sigmoid(i), jax.nn.sigmoid(f), jnp.tanh(g), jax.nn.sigmoid(o)
        cell = f * cell + i * g
        state = o * jnp.tanh(cell)
        return (state, cell), (state, cell, jnp.concatenate([i, f, g, o], -1))

    _, (states, cells, opened) = lax.scan(step, (start, start), gates)
    return states, (recurrent, states, cells, opened)


def _backward(saved: _Saved, d_states: Array) -> tuple[Array, Array]:
    recurrent, states, cells, opened = saved
    start = jnp.zeros_like(states[:1])
    earlier_states = jnp.concatenate([start, states[:-1]])
    earlier_cells = jnp.concatenate([start, cells[:-1]])

    def step(
        carry: tuple[Array, Array], at: tuple[Array, ...]
    ) -> tuple[tuple[Array, Array], Array]:
        d_state, d_cell = carry
        d_output, cell, earlier_cell, opened = at
        i, f, g, o = jnp.split(opened, 4, -1)
        squashed = jnp.tanh(cell)
        d_state = d_state + d_output
        d_cell = d_cell + d_state * o * (1 - squashed**2)
        d_gate = jnp.concatenate(
            [
                d_cell * g * i * (1 - i),
                d_cell * earlier_cell * f * (1 - f),
                d_cell * i * (1 - g**2),
                d_state * squashed * o * (1 - o),
            ],
            -1,
        )
        return (d_gate @ recurrent.T, d_cell * f), d_gate

    at = (d_states, cells, earlier_cells, opened)
    _, d_gates = lax.scan(step, (start[0], start[0]), at, reverse=True)
    return d_gates, jnp.einsum("tnu,tng->ug", earlier_states, d_gates)


lstm_recurrence.defvjp(_forward, _backward)
