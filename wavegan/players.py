"""The two players of a GAN: what a step changes, and the step of each."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Array, Key, PRNGKeyArray

from wavegan.augmentation import adapted, augment, separation
from wavegan.losses import LOSSES, paired
from wavegan.networks import Discriminator, Generator, WaveGANConfig, definitions
from wavegan.spectrogram_critic import log_spectrogram
from wavegan.train_config import TrainConfig

State = dict[str, Any]
Terms = dict[str, Array]


def initial_state(
    config: WaveGANConfig,
    train_config: TrainConfig,
    key: PRNGKeyArray,
    fill: Callable[[Generator, Discriminator], None] | None = None,
) -> State:
    """Everything that a step changes in one GAN, as a tree of arrays.

    ``fill`` may change the networks that were drawn, before their average begins.
    """
    k_generator, k_critic = jax.random.split(key)
    drawn = Generator(config, rngs=nnx.Rngs(k_generator))
    drawn_critic = Discriminator(config, rngs=nnx.Rngs(k_critic))
    if fill is not None:
        fill(drawn, drawn_critic)
    generator, critic = nnx.state(drawn), nnx.state(drawn_critic)
    memory = _memory(*_rule(train_config))
    state = {
        "generator": generator,
        "critic": critic,
        "ema": jax.device_put(generator, may_alias=False),
        "generator_optimizer": memory(_parameters(generator)),
        "critic_optimizer": memory(_parameters(critic)),
        "step": jnp.zeros((), jnp.int32),
        "key": jax.device_put(jax.random.key_data(key), may_alias=False),
    }
    if train_config.augment:
        state["augment_probability"] = jnp.asarray(train_config.augment_probability or 0.0)
    return state


class Players:
    """The two players' steps, under one configuration."""

    def __init__(self, config, train_config, penalised, mesh):
        self.config, self.train_config, self.mesh = config, train_config, mesh
        self.loss = LOSSES[train_config.loss]
        optimizer, rate = _rule(train_config)
        self.optimizer = optimizer(rate)
        self.definitions = definitions(config)
        self.parts = train_config.accumulate or 1
        self.penalty, weight = train_config.slope_penalty
        self.penalty_weight = weight * train_config.penalty_every if penalised else 0.0
        share = train_config.spectrogram_penalty if config.spectrogram_critic else 0.0
        self.spectrogram_weight = share * self.penalty_weight

    def keys(self, state: State) -> Key[Array, " turns"]:
        """Those of the state's next step: the generator's, then that of each critic step."""
        key = jax.random.wrap_key_data(state["key"])
        key = jax.random.fold_in(key, 2 * (state["step"] + 1) + 1)
        return jax.random.split(key, self.train_config.critic_steps + 1)

    def critic_step(self, state: State, real: Array, labels: Array | None, key: PRNGKeyArray):
        """One step of the critic on a batch of real clips and as many generated ones."""
        k_latent, *k_clips, k_augment = jax.random.split(key, 5)
        latents = self._latents(k_latent)
        critic = self._refreshed(state["critic"])
        weights, rest = nnx.split_state(critic, nnx.Param, ...)

        def objective(weights, part):
            clips, classes = self._part(real, part), self._part(labels, part)
            fake, _ = self._generate(state["generator"], self._part(latents, part), classes)
            clips, fake = (
                self._augmented(state, x, jax.random.fold_in(k_augment, 2 * part + i))
                for i, x in enumerate((clips, fake))
            )
            k_real, k_fake, k_slopes = (self._key(k, part) for k in k_clips)
            score = self._critic(nnx.merge_state(weights, rest), classes)
            on_real, on_fake = score(clips, k_real), score(fake, k_fake)
            loss = self._critic_loss(on_real, on_fake)
            terms = {"critic_gap": on_real.mean() - on_fake.mean()}
            if train_config.augment:
                terms["separation"] = separation(on_real, on_fake)
            if self.penalty and self.penalty_weight:
                # Of the waveform alone: a spectrogram's slopes are hundreds of times as steep.
                on_wave = self._critic(nnx.merge_state(weights, rest), classes, waveform=True)
                terms["penalty"] = self.penalty(on_wave, clips, fake, k_slopes)
                loss += self.penalty_weight * terms["penalty"]
                if self.spectrogram_weight:
                    critic = nnx.merge(self.definitions[1], nnx.merge_state(weights, rest))
                    terms["spectrogram_penalty"] = self._spectrogram_penalty(
                        critic, clips, fake, classes, k_slopes
                    )
                    loss += self.spectrogram_weight * terms["spectrogram_penalty"]
            return loss, terms

        train_config = self.train_config
        (value, terms), gradients = self._over_parts(objective, weights)
        state = self._updated(state, "critic", weights, rest, gradients)
        if train_config.augment and train_config.augment_probability is None:
            state["augment_probability"] = adapted(
                state["augment_probability"],
                terms["separation"],
                target=train_config.augment_target,
                step=1 / train_config.augment_ramp,
            )
        if train_config.augment:
            terms["augment_probability"] = state["augment_probability"]
        norm = optax.tree.norm(gradients)
        return state, terms | {"critic_loss": value, "critic_gradient_norm": norm}

    def generator_step(self, state: State, real: Array, labels: Array | None, key: PRNGKeyArray):
        """One step of the generator; ``real`` is what pairs hold its clips against."""
        k_latent, k_critic, k_augment = jax.random.split(key, 3)
        latents = self._latents(k_latent)
        weights, rest = nnx.split_state(state["generator"], nnx.Param, ...)

        def objective(weights, part):
            classes = self._part(labels, part)
            generator = nnx.merge_state(weights, rest)
            clips, averages = self._generate(generator, self._part(latents, part), classes)
            score, k_fake = self._critic(state["critic"], classes), self._key(k_critic, part)
            k_shown = jax.random.fold_in(k_augment, part)
            on_fake = score(self._augmented(state, clips, k_shown), k_fake)
            if self.train_config.relativistic:
                k_real, k_shown = jax.random.fold_in(k_fake, 1), jax.random.fold_in(k_shown, 1)
                shown = self._augmented(state, self._part(real, part), k_shown)
                _, on_fake = paired(score(shown, k_real), on_fake)
            loss = self.loss.generator(on_fake)
            terms = {
                "rms_fake": jnp.sqrt(jnp.mean(clips**2)),
                "spread": jnp.sqrt(jnp.mean(jnp.var(clips, axis=0))),
            }
            return loss, (terms, averages)

        (value, (terms, rest)), gradients = self._over_parts(objective, weights)
        norm = optax.tree.norm(gradients)
        terms |= {"generator_loss": value, "generator_gradient_norm": norm}
        return self._updated(state, "generator", weights, rest, gradients), terms

    def _generate(self, weights: Any, latents: Array, labels: Array | None):
        """Clips, and what batch norm has averaged."""
        generator = nnx.merge(self.definitions[0], weights, copy=True)  # its averages change
        clips = generator(latents, labels, training=True)
        return clips, nnx.split_state(nnx.state(generator), nnx.Param, ...)[1]

    def _critic(self, weights: Any, labels: Array | None, *, waveform: bool = False):
        critic = nnx.merge(self.definitions[1], weights)
        score = critic.score_waveform if waveform else critic
        return lambda clips, key: score(clips, labels, key)

    def _spectrogram_penalty(self, critic, clips, fake, classes, key):
        """The sum over resolutions, each a critic of its own, by its log spectrograms' slopes."""
        total = jnp.zeros(())
        for i, n_fft in enumerate(critic.spectrogram.windows):

            def score(spectrogram, _, i=i):
                return critic.score_spectrogram(i, spectrogram, classes)

            real, generated = (log_spectrogram(x, n_fft) for x in (clips, fake))
            total += self.penalty(score, real, generated, jax.random.fold_in(key, i))
        return total

    def _critic_loss(self, on_real: Array, on_fake: Array) -> Array:
        if not self.train_config.relativistic:
            return self.loss.critic(on_real, on_fake)
        return self.loss.critic(*paired(on_real, on_fake)) / 2  # both sides say the same

    def _key(self, key: PRNGKeyArray, part: int | Array) -> PRNGKeyArray:
        """The key of a part of a batch, which else would be treated as the part before it."""
        return key if self.parts == 1 else jax.random.fold_in(key, part)

    def _refreshed(self, weights: Any) -> Any:
        if not self.config.spectral_norm:
            return weights
        critic = nnx.merge(self.definitions[1], weights, copy=True)
        critic.refresh_norms()
        return nnx.state(critic)

    def _latents(self, key: PRNGKeyArray) -> Array:
        shape = (self.train_config.batch_size, self.config.latent_dim)
        latents = jax.random.uniform(key, shape, minval=-1.0)
        return jax.lax.with_sharding_constraint(
            latents, NamedSharding(self.mesh, PartitionSpec("data"))
        )

    def _augmented(self, state: State, clips: Array, key: PRNGKeyArray) -> Array:
        if not self.train_config.augment:
            return clips
        return augment(clips, key, state["augment_probability"], self.train_config.augment)

    def _part(self, batch: Any, part: int | Array) -> Any:
        """Part ``part`` of a batch, whose clips go to the parts in turn: all devices have work."""
        if batch is None or self.parts == 1:
            return batch
        return batch.reshape(-1, self.parts, *batch.shape[1:])[:, part]

    def _over_parts(self, objective: Callable, weights: Any):
        """The mean over parts of what `jax.value_and_grad` gives, one part after another."""
        gradient = jax.value_and_grad(objective, has_aux=True)
        if self.parts == 1:
            return gradient(weights, 0)
        # A loop, although a CPU is slow in it: what is unrolled is all in memory at once.
        nothing = jax.tree.map(
            lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(gradient, weights, 0)
        )
        total, _ = jax.lax.scan(
            lambda total, part: (jax.tree.map(jnp.add, total, gradient(weights, part)), None),
            nothing,
            jnp.arange(self.parts),
        )
        return jax.tree.map(lambda x: x / self.parts, total)

    def _rate_left(self, step: Array) -> Array:
        """The share of the learning rate that is left after so many steps."""
        steps, least = self.train_config.rate_decay_steps, self.train_config.rate_decay_to
        fallen = (1 - jnp.cos(jnp.pi * jnp.minimum(step / steps, 1))) / 2
        return 1 - (1 - least) * fallen

    def _updated(self, state: State, name: str, weights: Any, rest: Any, gradients: Any) -> State:
        updates, moments = self.optimizer.update(gradients, state[f"{name}_optimizer"], weights)
        if self.train_config.rate_decay_steps is not None:
            left = self._rate_left(state["step"])
            updates = jax.tree.map(lambda update: left * update, updates)
        weights = optax.apply_updates(weights, updates)
        if name == "critic" and (bound := self.loss.clip):
            weights = jax.tree.map(lambda w: jnp.clip(w, -bound, bound), weights)
        return {**state, name: nnx.merge_state(weights, rest), f"{name}_optimizer": moments}


def _parameters(state: Any) -> Any:
    return nnx.split_state(state, nnx.Param, ...)[0]


def _rule(
    train_config: TrainConfig,
) -> tuple[Callable[[float], optax.GradientTransformation], float]:
    """The optimiser, by its learning rate, and that rate."""
    loss = LOSSES[train_config.loss]
    return loss.optimizer, train_config.learning_rate or loss.learning_rate


@lru_cache(maxsize=16)
def _memory(optimizer: Callable[[float], optax.GradientTransformation], rate: float) -> Callable:
    """What the optimiser keeps of parameters before its first step."""
    # One program: of eager zeros, each shape would be one to compile.
    return jax.jit(optimizer(rate).init)
