"""The layers of the networks, each with the reference's initial weights."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from features.initial_weights import constant, glorot_uniform, normal

SPREAD = 0.5  # of a class's scales around 1, at first


class Dense(nnx.Module):
    """A dense layer (n, inputs) → (n, outputs): Glorot uniform and zero."""

    def __init__(self, inputs: int, outputs: int, *, rngs: nnx.Rngs):
        self.kernel = nnx.Param(glorot_uniform(rngs.params(), (inputs, outputs)))
        self.bias = nnx.Param(constant(outputs))

    def __call__(self, x: Float[Array, "n inputs"]) -> Float[Array, "n outputs"]:
        return x @ self.kernel[...] + self.bias[None]


class MinibatchStddev(nnx.Module):
    """What a batch's variety adds to the logits of its clips (Karras et al., arXiv 1710.10196).

    The standard deviation of each feature (n, width) over the batch, weighted: generated clips
    that are all of one kind betray themselves where real ones are of several.
    """

    def __init__(self, width: int, *, rngs: nnx.Rngs):
        self.weights = nnx.Param(glorot_uniform(rngs.params(), (width, 1)))

    def __call__(self, features: Float[Array, "n width"]) -> Float[Array, ""]:
        deviations = jnp.sqrt(jnp.var(features, axis=0) + 1e-8)
        return jnp.sum(deviations * self.weights[...][:, 0])


class Convolution(nnx.Module):
    """Kernel and bias of a convolution (Glorot uniform and zero); the network applies them."""

    def __init__(self, shape: tuple[int, int, int], *, bias: int, rngs: nnx.Rngs):
        self.kernel = nnx.Param(glorot_uniform(rngs.params(), shape))
        self.bias = nnx.Param(constant(bias))


class BatchNorm(nnx.Module):
    """Batch norm over batch and time, with TensorFlow 1's momentum 0.99 and epsilon 0.001.

    Parameters
    ----------
    channels : of the input (n, length, channels).
    running : keep averages of mean and variance, for use outside training; without them
        every batch is normalised by itself.
    """

    momentum, epsilon = 0.99, 1e-3

    def __init__(self, channels: int, *, running: bool):
        self.scale = nnx.Param(constant(channels, 1.0))
        self.shift = nnx.Param(constant(channels))
        self.running = running
        if running:
            self.mean = nnx.BatchStat(constant(channels))
            self.variance = nnx.BatchStat(constant(channels, 1.0))

    def __call__(
        self, x: Float[Array, "n length c"], *, training: bool = True
    ) -> Float[Array, "n length c"]:
        """``x`` normalised by this batch (which the averages follow), or by the averages."""
        if training:
            mean, variance = x.mean((0, 1)), x.var((0, 1))
            if self.running:
                for average, value in ((self.mean, mean), (self.variance, variance)):
                    average[...] += (1 - self.momentum) * (value - average[...])
        else:
            mean, variance = self.mean[...], self.variance[...]
        slope = self.scale[...] * lax.rsqrt(variance + self.epsilon)
        return (x - mean[None, None]) * slope[None, None] + self.shift[None, None]


class Modulation(nnx.Module):
    """Scales and shifts channels by class (Perez et al., arXiv 1709.07871).

    After a batch norm this is conditional batch norm. The scales start apart, by N(0, ½): from
    equal ones a generator is slow to tell its classes apart.
    """

    def __init__(self, num_classes: int, channels: int, *, rngs: nnx.Rngs):
        apart = normal(rngs.params(), (num_classes, channels), SPREAD)
        self.scale = nnx.Param(apart)
        self.shift = nnx.Param(constant((num_classes, channels)))

    def __call__(
        self, x: Float[Array, "n length c"], classes: Float[Array, "n classes"]
    ) -> Float[Array, "n length c"]:
        """``x`` modulated by each example's weights of the classes."""
        scale, shift = classes @ self.scale[...], classes @ self.shift[...]
        return x * (1 + scale[:, None]) + shift[:, None]


class Direction(nnx.Variable):
    """The running estimate of a kernel's first left singular vector."""


class SpectralNorm(nnx.Module):
    """Divides a kernel by its largest singular value (Miyato et al., arXiv 1802.05957)."""

    def __init__(self, outputs: int, *, rngs: nnx.Rngs):
        self.direction = Direction(_unit(normal(rngs.params(), (outputs,))))

    def __call__(self, kernel: Float[Array, "*inputs outputs"]) -> Float[Array, "*inputs outputs"]:
        """The kernel, its last axis the outputs, over the estimate of its norm."""
        matrix = kernel.reshape(-1, kernel.shape[-1])
        u, v = self._iterate(matrix)
        return kernel / (v @ matrix @ u)

    def refresh(self, kernel: Float[Array, "*inputs outputs"]) -> None:
        """One power iteration: call it once a critic step."""
        self.direction[...], _ = self._iterate(kernel.reshape(-1, kernel.shape[-1]))

    def _iterate(self, matrix: Array) -> tuple[Array, Array]:
        matrix = lax.stop_gradient(matrix)
        v = _unit(matrix @ self.direction[...])
        return _unit(matrix.T @ v), v


def _unit(vector: Array) -> Array:
    return vector / (jnp.linalg.norm(vector) + 1e-12)


def phase_shuffle(
    x: Float[Array, "n length c"], key: PRNGKeyArray, radius: int, *, by: str = "batch"
) -> Float[Array, "n length c"]:
    """Shift by a draw from {-radius … radius}, reflecting at the edges.

    ``by`` "batch": one draw for all, as the reference; "example": one for each.
    """
    return shift_phase(x, _draw_phase(key, radius, () if by == "batch" else (len(x),)), radius)


def draw_phases(
    key: PRNGKeyArray, layers: int, radius: int, count: int | None = None
) -> Int[Array, "depth ..."]:
    """A draw from {0 … 2 radius} for each layer, or for each of ``count`` clips in each layer.

    All of them at once: each draw of its own would be hundreds of instructions to compile.
    """
    return _draw_phase(key, radius, (layers,) if count is None else (layers, count))


def _draw_phase(key: PRNGKeyArray, radius: int, shape: tuple[int, ...]) -> Int[Array, "*shape"]:
    # Of 2**32 numbers as many to each phase but for one in a billion: no second draw for that.
    return (jax.random.bits(key, shape) % (2 * radius + 1)).astype(jnp.int32)


def shift_phase(
    x: Float[Array, "n length c"], start: Int[Array, "*n"], radius: int
) -> Float[Array, "n length c"]:
    """``x`` from step ``start - radius`` on, all clips alike or each its own, edges reflected."""
    padded = jnp.pad(x, ((0, 0), (radius, radius), (0, 0)), mode="reflect")
    return _cut(padded, start, 2 * radius)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _cut(x: Array, start: Array, room: int) -> Array:
    """Of each clip all but ``room`` steps, from ``start`` on, or from its own.

    Its gradient is such a cut, too, of what is padded with zeros. That of a mapped slice would
    be a scatter-add, which a GPU does in any order.
    """
    length = x.shape[1] - room
    if start.ndim == 0:
        return lax.dynamic_slice_in_dim(x, start, length, axis=1)
    return jax.vmap(lambda clip, s: lax.dynamic_slice_in_dim(clip, s, length))(x, start)


def _cut_forward(x: Array, start: Array, room: int) -> tuple[Array, Array]:
    return _cut(x, start, room), start


def _cut_back(room: int, start: Array, slopes: Array) -> tuple[Array, None]:
    padded = jnp.pad(slopes, ((0, 0), (room, room), (0, 0)))
    return _cut(padded, room - start, room), None


_cut.defvjp(_cut_forward, _cut_back)
