"""The losses of the two players, as functions of a critic and its batches.

A critic is a function ``(clips (n, length, c), key) -> logits (n,)``; the key drives its phase
shuffle. Each loss returns its value and the terms that a reader of the curves wants.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray

Critic = Callable[[Array, PRNGKeyArray], Array]
Terms = dict[str, Array]


@dataclass(frozen=True)
class Loss:
    """A pair of losses and the optimiser that the reference gives both players."""

    critic: Callable[[Critic, Array, Array, PRNGKeyArray, float], tuple[Array, Terms]]
    generator: Callable[[Critic, Array, PRNGKeyArray], Array]
    optimizer: Callable[[float], optax.GradientTransformation]
    learning_rate: float


def wgan_gp_critic(
    critic: Critic,
    real: Float[Array, "n length c"],
    fake: Float[Array, "n length c"],
    key: PRNGKeyArray,
    penalty_weight: float,
) -> tuple[Array, Terms]:
    """Wasserstein loss with gradient penalty (Gulrajani et al., arXiv 1704.00028).

    The three passes (real, fake, interpolate) shuffle phases separately; one interpolation
    weight ~ U(0, 1) a clip.
    """
    k_real, k_fake, k_alpha, k_between = jax.random.split(key, 4)
    gap = critic(real, k_real).mean() - critic(fake, k_fake).mean()
    alpha = jax.random.uniform(k_alpha, (len(real), 1, 1))
    between = real + alpha * (fake - real)
    slopes = jax.grad(lambda x: critic(x, k_between).sum())(between)
    norms = jnp.sqrt(jnp.sum(slopes**2, axis=(1, 2)) + 1e-12)
    penalty = jnp.mean((norms - 1) ** 2)
    return penalty_weight * penalty - gap, {"critic_gap": gap, "penalty": penalty}


def wgan_generator(
    critic: Critic, fake: Float[Array, "n length c"], key: PRNGKeyArray
) -> Float[Array, ""]:
    """Minus the critic's mean score of the generated clips."""
    return -critic(fake, key).mean()


def dcgan_critic(
    critic: Critic,
    real: Float[Array, "n length c"],
    fake: Float[Array, "n length c"],
    key: PRNGKeyArray,
    penalty_weight: float,
) -> tuple[Array, Terms]:
    """Half the sum of the cross-entropies of real against 1 and fake against 0; no penalty."""
    k_real, k_fake = jax.random.split(key)
    on_real, on_fake = critic(real, k_real), critic(fake, k_fake)
    loss = (jax.nn.softplus(-on_real).mean() + jax.nn.softplus(on_fake).mean()) / 2
    gap = on_real.mean() - on_fake.mean()
    return loss, {"critic_gap": gap, "penalty": jnp.zeros(())}


def dcgan_generator(
    critic: Critic, fake: Float[Array, "n length c"], key: PRNGKeyArray
) -> Float[Array, ""]:
    """Cross-entropy of the generated clips against 1 (the non-saturating loss)."""
    return jax.nn.softplus(-critic(fake, key)).mean()


LOSSES: dict[str, Loss] = {
    "wgan-gp": Loss(
        wgan_gp_critic, wgan_generator, lambda rate: optax.adam(rate, b1=0.5, b2=0.9), 1e-4
    ),
    "dcgan": Loss(dcgan_critic, dcgan_generator, lambda rate: optax.adam(rate, b1=0.5), 2e-4),
}
