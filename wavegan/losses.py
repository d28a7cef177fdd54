"""The losses of the two players, as functions of a critic and its batches.

A critic is a function ``(clips (n, length, c), key) -> logits (n,)``; the key drives its phase
shuffle. Real and generated clips, and what lies between them, shuffle phases separately.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from features.registry import Registry

Critic = Callable[[Array, PRNGKeyArray], Array]
Logits = Float[Array, " n"]
Clips = Float[Array, "n length c"]
Scalar = Float[Array, ""]


@dataclass(frozen=True)
class Loss:
    """What the two players minimise, and how the reference has them do it.

    One of your own is registered as ``wavegan.LOSSES["mine"] = Loss(...)``. Its functions are
    traced by JAX: pure, of arrays, in `jax.numpy`.

    Attributes
    ----------
    critic : ``(real, fake) -> scalar``, of the critic's logits (n,) of real and generated clips.
    generator : ``(fake) -> scalar``, of the critic's logits (n,) of generated clips.
    optimizer : of both players, from a learning rate; an optax.GradientTransformation.
    learning_rate : the usual one.
    penalty : on the critic, ``(critic, real, fake, key) -> scalar`` of clips (n, length, c),
        where ``critic(clips, key)`` gives logits of the waveform alone, without those of a
        `SpectrogramCritic`; None where the loss has none.
    penalty_weight : the usual one.
    clip : bound of the critic's weights, after each step; None is no bound.
    """

    critic: Callable[[Logits, Logits], Scalar]
    generator: Callable[[Logits], Scalar]
    optimizer: Callable[[float], optax.GradientTransformation]
    learning_rate: float
    penalty: Callable[[Critic, Clips, Clips, PRNGKeyArray], Scalar] | None = None
    penalty_weight: float = 0.0
    clip: float | None = None


class Penalty(NamedTuple):
    """A penalty on the critic's slopes, as `Loss` has it, and its usual weight."""

    of: Callable[[Critic, Clips, Clips, PRNGKeyArray], Scalar] | None
    weight: float


def wasserstein_critic(real: Logits, fake: Logits) -> Scalar:
    """Minus the gap between the mean scores (Arjovsky et al., arXiv 1701.07875)."""
    return fake.mean() - real.mean()


def wasserstein_generator(fake: Logits) -> Scalar:
    """Minus the critic's mean score of the generated clips."""
    return -fake.mean()


def logistic_critic(real: Logits, fake: Logits) -> Scalar:
    """The cross-entropies of real against 1 and fake against 0, added."""
    return jax.nn.softplus(-real).mean() + jax.nn.softplus(fake).mean()


def logistic_generator(fake: Logits) -> Scalar:
    """Cross-entropy of the generated clips against 1 (the non-saturating loss)."""
    return jax.nn.softplus(-fake).mean()


def least_squares_critic(real: Logits, fake: Logits) -> Scalar:
    """Half the squared distances of real from 1 and fake from 0 (Mao et al., arXiv 1611.04076)."""
    return (jnp.mean((real - 1) ** 2) + jnp.mean(fake**2)) / 2


def least_squares_generator(fake: Logits) -> Scalar:
    """Squared distance of the generated clips' scores from 1."""
    return jnp.mean((fake - 1) ** 2)


def gradient_penalty(critic: Critic, real: Clips, fake: Clips, key: PRNGKeyArray) -> Scalar:
    """How far slopes between real and fake are from 1 (Gulrajani et al., arXiv 1704.00028).

    One interpolation weight ~ U(0, 1) a clip.
    """
    k_alpha, k_critic = jax.random.split(key)
    alpha = jax.random.uniform(k_alpha, (len(real), 1, 1))
    slopes = _slopes(critic, real + alpha * (fake - real), k_critic)
    norms = jnp.sqrt(jnp.sum(slopes**2, axis=(1, 2)) + 1e-12)
    return jnp.mean((norms - 1) ** 2)


def r1_penalty(critic: Critic, real: Clips, fake: Clips, key: PRNGKeyArray) -> Scalar:
    """Half the squared slope at real clips (Mescheder et al., arXiv 1801.04406)."""
    return jnp.mean(jnp.sum(_slopes(critic, real, key) ** 2, axis=(1, 2))) / 2


def r1_r2_penalty(critic: Critic, real: Clips, fake: Clips, key: PRNGKeyArray) -> Scalar:
    """Half the squared slopes at real and at generated clips, added (arXiv 2501.05441)."""
    k_real, k_fake = jax.random.split(key)
    return r1_penalty(critic, real, fake, k_real) + r1_penalty(critic, fake, real, k_fake)


def paired(real: Logits, fake: Logits) -> tuple[Logits, Logits]:
    """How much more real each clip is than the one of its place on the other side.

    What the players of a relativistic GAN are given instead of the logits (arXiv 1807.00734).
    """
    return real - fake, fake - real


def _slopes(critic: Critic, clips: Clips, key: PRNGKeyArray) -> Clips:
    return jax.grad(lambda x: critic(x, key).sum())(clips)


def _adam(b1: float, b2: float) -> Callable[[float], optax.GradientTransformation]:
    return lambda rate: optax.adam(rate, b1=b1, b2=b2)


def _rmsprop(rate: float) -> optax.GradientTransformation:
    """As TensorFlow 1 has it: decay 0.9, epsilon 1e-10, the mean square starting at 1."""
    return optax.rmsprop(rate, decay=0.9, eps=1e-10, initial_scale=1.0)


_OWN = {
    "wgan-gp": Loss(
        wasserstein_critic,
        wasserstein_generator,
        _adam(0.5, 0.9),
        1e-4,
        penalty=gradient_penalty,
        penalty_weight=10.0,
    ),
    "wgan": Loss(wasserstein_critic, wasserstein_generator, _rmsprop, 5e-5, clip=0.01),
    "dcgan": Loss(
        lambda real, fake: logistic_critic(real, fake) / 2,
        logistic_generator,
        _adam(0.5, 0.999),
        2e-4,
    ),
    "lsgan": Loss(least_squares_critic, least_squares_generator, _rmsprop, 1e-4),
    "logistic-r1": Loss(
        logistic_critic,
        logistic_generator,
        _adam(0.0, 0.99),
        2e-4,
        penalty=r1_penalty,
        penalty_weight=1.0,
    ),
}


PENALTIES = {
    "none": Penalty(None, 0.0),
    "gradient": Penalty(gradient_penalty, 10.0),
    "r1": Penalty(r1_penalty, 1.0),
    "r1+r2": Penalty(r1_r2_penalty, 10.0),
}


def _check(loss: Any) -> None:
    """Trace each part of a loss with arrays of the shapes that it will be given."""
    if not isinstance(loss, Loss):
        raise TypeError(
            "give a wavegan.Loss(critic, generator, optimizer, learning_rate), found "
            f"{type(loss).__name__}"
        )
    rate, penalty = loss.learning_rate, loss.penalty
    if not isinstance(rate, (int, float)) or not rate > 0:
        raise ValueError(f"learning_rate must be a positive number, found {rate!r}")
    logits = jax.ShapeDtypeStruct((4,), jnp.float32)
    clips = jax.ShapeDtypeStruct((4, 64, 1), jnp.float32)
    _check_scalar("critic(real, fake)", loss.critic, logits, logits)
    _check_scalar("generator(fake)", loss.generator, logits)
    if penalty is not None:
        on_means = partial(penalty, lambda x, _: x.mean((1, 2)))
        key = jax.eval_shape(lambda: jax.random.key(0))
        _check_scalar("penalty(critic, real, fake, key)", on_means, clips, clips, key)
    if not callable(loss.optimizer):
        raise TypeError(f"optimizer must be a function of a rate, found {loss.optimizer!r}")
    optimizer = loss.optimizer(loss.learning_rate)
    if not (hasattr(optimizer, "init") and hasattr(optimizer, "update")):
        raise TypeError(
            "optimizer(learning_rate) must give an optax.GradientTransformation, found "
            f"{type(optimizer).__name__}"
        )
    hash(loss)  # compiled steps are kept by it


def _check_scalar(called: str, function: Any, *arguments: Any) -> None:
    if not callable(function):
        raise TypeError(f"{called} must be a function, found {function!r}")
    try:
        found = jax.eval_shape(function, *arguments)
    except Exception as error:
        raise TypeError(f"{called} fails on arrays: {type(error).__name__}: {error}") from error
    if getattr(found, "shape", None) != ():
        raise TypeError(f"{called} must give a scalar, found {found}")


LOSSES = Registry(
    "wavegan.LOSSES",
    _OWN,
    _check,
    recipe="wavegan.Loss(critic, generator, optimizer, learning_rate)",
)
