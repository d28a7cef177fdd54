"""Training a WaveGAN: the loop, its one compiled step, and what it watches."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from wavegan.losses import LOSSES
from wavegan.networks import Discriminator, Generator, WaveGANConfig
from wavegan.run_folder import RunFolder, as_dict
from wavegan.watch import Watch, refuse_broken
from wavegan.windows import Recordings, Windows

State = dict[str, Any]


@dataclass(frozen=True)
class TrainConfig:
    """How a GAN is trained; the defaults are the reference's.

    Attributes
    ----------
    loss : a name in `wavegan.losses.LOSSES`.
    batch_size : clips in each batch.
    steps : generator steps.
    critic_steps : critic steps, each on a fresh batch, before each generator step.
    seed : of the weights, the latents and the windows.
    learning_rate : of both players; None takes the loss's own.
    penalty_weight : λ of the gradient penalty.
    ema_decay : of the moving average of the generator's weights.
    log_every, checkpoint_every : in steps.
    keep_checkpoints : the newest so many stay.
    """

    loss: str = "wgan-gp"
    batch_size: int = 64
    steps: int = 20_000
    critic_steps: int = 5
    seed: int = 0
    learning_rate: float | None = None
    penalty_weight: float = 10.0
    ema_decay: float = 0.999
    log_every: int = 10
    checkpoint_every: int = 200
    keep_checkpoints: int = 2

    def __post_init__(self):
        if self.loss not in LOSSES:
            raise ValueError(f"loss must be one of {', '.join(LOSSES)}; found {self.loss!r}")
        for name in (
            "batch_size",
            "steps",
            "critic_steps",
            "log_every",
            "checkpoint_every",
            "keep_checkpoints",
        ):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, found {getattr(self, name)}")
        if self.learning_rate is not None and not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be positive, found {self.learning_rate}")
        if not 0 <= self.ema_decay < 1:
            raise ValueError(f"ema_decay must lie in [0, 1), found {self.ema_decay}")
        if not self.penalty_weight >= 0:
            raise ValueError(f"penalty_weight must not be negative, found {self.penalty_weight}")


@dataclass(frozen=True)
class TrainResult:
    """A trained GAN: networks, the averaged generator, and the logged metrics, oldest first."""

    generator: Generator
    ema_generator: Generator
    discriminator: Discriminator
    history: list[dict[str, float]]


class TrainingInterrupted(RuntimeError):
    """The run was asked to stop; the state is saved and the same call resumes it."""


def train(
    audio: Recordings,
    config: WaveGANConfig,
    train_config: TrainConfig,
    *,
    labels: np.ndarray | None = None,
    run_dir: str | Path | None = None,
    provenance: Mapping[str, Any] | None = None,
    on_log: Callable[[dict[str, float]], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> TrainResult:
    """Train a WaveGAN on random windows of ``audio``; the same call resumes ``run_dir``.

    A run that was killed and resumed ends with the weights of one that was not, bit for bit on
    a CPU: every draw depends on the seed and the step alone.

    Parameters
    ----------
    audio : clips (N, L, C) or a sequence of recordings (L_i, C), each of at least
        ``config.num_samples`` samples; float in [-1, 1] or int16.
    config, train_config : the networks, and how they are trained.
    labels : for conditional GANs only.
    run_dir : folder for the configuration, metrics and checkpoints; None keeps nothing.
    provenance : what ``audio`` is (track ids and hashes), kept in ``run_dir`` as it is.
    on_log : called with the metrics every ``log_every`` steps.
    should_stop : asked after each step; True saves the state and raises TrainingInterrupted.

    Raises
    ------
    ValueError
        For audio that does not fit, or a ``run_dir`` of another configuration.
    TrainingDiverged
        Where a loss is not finite or the generator is silent or collapsed; the last good
        checkpoint stays.
    """
    if labels is not None:
        raise ValueError("this GAN is unconditional: train one a genre, without labels")
    windows = Windows(audio, num_samples=config.num_samples, channels=config.channels)
    folder = RunFolder(run_dir) if run_dir is not None else None
    if folder:
        _claim(folder, config, train_config, windows.digest(), provenance or {})
    state = _initial_state(config, train_config, jax.random.key(train_config.seed))
    start, state, history = _resumed(folder, state) if folder else (0, state, [])

    step_fn = _compiled_step(config, _without_schedule(train_config))
    key = jax.random.wrap_key_data(jnp.copy(state["key"]))
    watch, clock = Watch(), 0.0
    batches = (train_config.critic_steps, train_config.batch_size)
    for step in range(start + 1, train_config.steps + 1):
        real = windows.draw(jax.random.fold_in(key, 2 * step), batches)
        state, terms = step_fn(state, real, jax.random.fold_in(key, 2 * step + 1))
        if step == start + 1:
            jax.block_until_ready(state)
            clock = time.perf_counter()  # the first step compiles
        last = step == train_config.steps
        if step % train_config.log_every == 0 or last or step == 1:
            metrics = {"gan/step": step, **{f"gan/{k}": float(v) for k, v in terms.items()}}
            metrics["gan/steps_per_second"] = (step - start - 1) / (time.perf_counter() - clock)
            watch.check(metrics, last=last)
            history.append(metrics)
            if folder:
                folder.append_metrics(metrics)
            if on_log:
                on_log(metrics)
        stopping = should_stop is not None and should_stop()
        if last or stopping or step % train_config.checkpoint_every == 0:
            refuse_broken(state, step)
            if folder and not watch.doubtful:
                folder.save(step, state, keep=train_config.keep_checkpoints)
        if stopping and not last:
            raise TrainingInterrupted(f"stopped at step {step} of {train_config.steps}")
    generator, discriminator = _networks(config)
    nnx.update(discriminator, state["critic"])
    return TrainResult(
        _with_weights(generator, state["generator"]),
        _with_weights(generator, state["ema"]),
        discriminator,
        history,
    )


def _claim(
    folder: RunFolder,
    config: WaveGANConfig,
    train_config: TrainConfig,
    audio: str,
    provenance: Mapping[str, Any],
) -> None:
    """Write the folder's configuration, or make sure that it is this run's and not beyond it."""
    done = max(folder.steps(), default=0)
    if done > train_config.steps:
        raise ValueError(
            f"{folder.path} has done {done} steps already, steps is {train_config.steps}: "
            f"take steps={done} or more, `load` one of its checkpoints, or another run folder"
        )
    parts: dict[str, Any] = {"wavegan": as_dict(config), "train": as_dict(train_config)}
    parts |= {"audio": audio, "provenance": provenance}
    folder.write_config(parts, extensible=("train.steps", "train.log_every"))


def _resumed(folder: RunFolder, state: State) -> tuple[int, State, list[dict[str, float]]]:
    """The step, state and metrics to go on from: the newest whole checkpoint's, or the start."""
    start = 0
    if folder.steps():
        start, restored = folder.restore(state)
        state = jax.tree.map(jnp.asarray, restored)
    return start, state, folder.rewind_metrics(start)


def load(run_dir: str | Path, *, ema: bool = True, step: int | None = None) -> Generator:
    """The generator of a run folder: its newest whole checkpoint, or that of ``step``.

    Parameters
    ----------
    run_dir : a folder that `train` wrote.
    ema : the moving average of the weights (usually better), not the last ones.

    Raises
    ------
    ValueError
        Where ``run_dir`` holds no run of a GAN that this version knows.
    CheckpointError
        Where no checkpoint (or none of ``step``) is whole.
    """
    folder = RunFolder(run_dir)
    stored = folder.read_config()
    try:
        config, train_config = WaveGANConfig(**stored["wavegan"]), TrainConfig(**stored["train"])
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"{folder.path / 'config.json'} describes no GAN that this version knows ({error}): "
            "is it the run folder of something else?"
        ) from None
    template = jax.eval_shape(lambda: _initial_state(config, train_config, jax.random.key(0)))
    _, state = folder.restore(template, step=step)
    generator, _ = _networks(config)
    return _with_weights(generator, jax.tree.map(jnp.asarray, state["ema" if ema else "generator"]))


def _networks(config: WaveGANConfig) -> tuple[Generator, Discriminator]:
    """Networks without weights."""
    return nnx.eval_shape(
        lambda: (Generator(config, rngs=nnx.Rngs(0)), Discriminator(config, rngs=nnx.Rngs(0)))
    )


def _with_weights(network: Generator, weights: Any) -> Generator:
    return nnx.merge(nnx.graphdef(network), weights)


def _initial_state(config: WaveGANConfig, train_config: TrainConfig, key: PRNGKeyArray) -> State:
    """Everything that a step changes, as a tree of arrays."""
    k_generator, k_critic = jax.random.split(key)
    generator = nnx.state(Generator(config, rngs=nnx.Rngs(k_generator)))
    critic = nnx.state(Discriminator(config, rngs=nnx.Rngs(k_critic)))
    optimizer = _optimizer(train_config)
    return {
        "generator": generator,
        "critic": critic,
        "ema": jax.tree.map(jnp.copy, generator),
        "generator_optimizer": optimizer.init(generator),
        "critic_optimizer": optimizer.init(critic),
        "step": jnp.zeros((), jnp.int32),
        "key": jnp.copy(jax.random.key_data(key)),
    }


def _optimizer(train_config: TrainConfig) -> optax.GradientTransformation:
    loss = LOSSES[train_config.loss]
    return loss.optimizer(train_config.learning_rate or loss.learning_rate)


def _without_schedule(train_config: TrainConfig) -> TrainConfig:
    """The part that the compiled step depends on, so that many runs share one compilation."""
    return replace(
        train_config, steps=1, seed=0, log_every=1, checkpoint_every=1, keep_checkpoints=1
    )


@lru_cache(maxsize=8)
def _compiled_step(config: WaveGANConfig, train_config: TrainConfig):
    return jax.jit(partial(_step, config, train_config), donate_argnums=0)


def _step(
    config: WaveGANConfig,
    train_config: TrainConfig,
    state: State,
    real: Float[Array, "critic_steps n length c"],
    key: PRNGKeyArray,
) -> tuple[State, dict[str, Array]]:
    """All critic steps, each on its own batch, one generator step, and the moving average."""
    loss, optimizer = LOSSES[train_config.loss], _optimizer(train_config)
    generator_def, critic_def = (nnx.graphdef(network) for network in _networks(config))
    latents = (train_config.batch_size, config.latent_dim)

    def critic(weights):
        network = nnx.merge(critic_def, weights)
        return lambda clips, key: network(clips, key=key)

    def generate(weights, key):
        return nnx.merge(generator_def, weights)(jax.random.uniform(key, latents, minval=-1.0))

    def updated(state, name, gradients):
        updates, optimizer_state = optimizer.update(
            gradients, state[f"{name}_optimizer"], state[name]
        )
        weights = optax.apply_updates(state[name], updates)
        return {**state, name: weights, f"{name}_optimizer": optimizer_state}

    def critic_step(state, real, key):
        k_latent, k_loss = jax.random.split(key)
        fake = generate(state["generator"], k_latent)

        def objective(weights):
            return loss.critic(critic(weights), real, fake, k_loss, train_config.penalty_weight)

        (value, terms), gradients = jax.value_and_grad(objective, has_aux=True)(state["critic"])
        terms |= {"critic_loss": value, "critic_gradient_norm": optax.tree.norm(gradients)}
        return updated(state, "critic", gradients), terms

    def generator_step(state, key):
        k_latent, k_loss = jax.random.split(key)

        def objective(weights):
            clips = generate(weights, k_latent)
            return loss.generator(critic(state["critic"]), clips, k_loss), clips

        (value, clips), gradients = jax.value_and_grad(objective, has_aux=True)(state["generator"])
        terms = {
            "generator_loss": value,
            "generator_gradient_norm": optax.tree.norm(gradients),
            "rms_fake": jnp.sqrt(jnp.mean(clips**2)),
            "spread": jnp.sqrt(jnp.mean(jnp.var(clips, axis=0))),
        }
        return updated(state, "generator", gradients), terms

    keys = jax.random.split(key, train_config.critic_steps + 1)
    # Unrolled: a loop in the compiled program runs its convolutions on one core of a CPU.
    for batch, batch_key in zip(real, keys[1:], strict=True):
        state, critic_terms = critic_step(state, batch, batch_key)
    state, generator_terms = generator_step(state, keys[0])

    step = state["step"] + 1
    # The average forgets the first weights quickly: a short run has a usable one, too.
    decay = jnp.minimum(train_config.ema_decay, (1 + step) / (10 + step))
    ema = jax.tree.map(lambda e, w: decay * e + (1 - decay) * w, state["ema"], state["generator"])
    terms = critic_terms | generator_terms | {"rms_real": jnp.sqrt(jnp.mean(real**2))}
    return {**state, "step": step, "ema": ema}, terms
