"""Clips from a generator."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from wavegan.networks import Generator


@dataclass(frozen=True)
class Samples:
    """Generated clips.

    Attributes
    ----------
    audio : (N, num_samples, channels) float32 in [-1, 1].
    latents : (N, latent_dim) float32; the generator makes each clip again from its own.
    labels : (N,) int32 for a conditional generator, else None.
    """

    audio: np.ndarray
    latents: np.ndarray
    labels: np.ndarray | None


def generate(
    generator: Generator,
    count: int,
    *,
    seed: int,
    label: int | None = None,
    batch_size: int = 64,
) -> Samples:
    """Generate ``count`` clips.

    Clip i depends on ``seed`` and i alone: a larger count begins with the same clips.

    Parameters
    ----------
    generator : from `train` or `load`.
    count : number of clips.
    label : for conditional generators only.
    batch_size : clips made at a time; has no effect on them.
    """
    if count < 1:
        raise ValueError(f"count must be at least 1, found {count}")
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, found {batch_size}")
    if label is not None:
        raise ValueError("this generator is unconditional: it takes no label")
    latents = np.asarray(draw_latents(seed, count, generator.config.latent_dim))
    padded = np.resize(latents, (-(-count // batch_size) * batch_size, latents.shape[1]))
    audio = [
        np.asarray(
            _apply(nnx.graphdef(generator), nnx.state(generator), padded[i : i + batch_size])
        )
        for i in range(0, count, batch_size)
    ]
    return Samples(np.concatenate(audio)[:count], latents, None)


def interpolate(
    generator: Generator,
    z0: Float[Array | np.ndarray, " latent"],
    z1: Float[Array | np.ndarray, " latent"],
    *,
    steps: int,
) -> Float[np.ndarray, "steps length c"]:
    """Clips (steps, num_samples, channels) on the line from latent z0 to z1, ends included."""
    if steps < 2:
        raise ValueError(f"steps must be at least 2 (the two ends), found {steps}")
    weight = jnp.linspace(0, 1, steps)[:, None]
    latents = (1 - weight) * jnp.asarray(z0)[None] + weight * jnp.asarray(z1)[None]
    return np.asarray(_apply(nnx.graphdef(generator), nnx.state(generator), latents))


def draw_latents(seed: int, count: int, latent_dim: int) -> Float[Array, "count latent"]:
    """Latents (count, latent_dim) uniform on (-1, 1); row i depends on ``seed`` and i alone."""
    key = jax.random.key(seed)
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(count))
    return jax.vmap(lambda k: jax.random.uniform(k, (latent_dim,), minval=-1.0))(keys)


@jax.jit(static_argnums=0)
def _apply(graphdef, weights, latents):
    return nnx.merge(graphdef, weights)(latents)
