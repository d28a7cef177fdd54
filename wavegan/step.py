"""The compiled step of training: all critic steps, the generator step, the average.

Arrays have a leading axis of GANs: several are trained in one program, each as if alone. The
GANs lie on the mesh's axis "gan", the clips of a batch on its axis "data".
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int

from wavegan.augmentation import AUGMENTATIONS
from wavegan.convolution import mapped_kernels
from wavegan.devices import CLIP_AXES, Program, needed_bytes
from wavegan.losses import LOSSES
from wavegan.networks import WaveGANConfig
from wavegan.players import Players, State, Terms, initial_state
from wavegan.train_config import CADENCE, DATA, TrainConfig
from wavegan.windows import Batch, Source, gathered


def state_shapes(config: WaveGANConfig, train_config: TrainConfig) -> State:
    """The shapes of the arrays that `initial_state` gives, as a tree of the caller's own."""
    return jax.tree.map(lambda x: x, _shapes(config, *_of_program(train_config)))


@lru_cache(maxsize=64)
def _shapes(config, train_config, entries):
    del entries  # a user may register another function under a name
    return jax.eval_shape(lambda: initial_state(config, train_config, jax.random.key(0)))


def _of_program(train_config: TrainConfig) -> tuple[TrainConfig, tuple[Any, ...]]:
    """The settings alone that a program depends on, and the functions that they name."""
    default = TrainConfig()
    others = {name: getattr(default, name) for name in (*CADENCE, *DATA, "seed")}
    entries = LOSSES[train_config.loss], *(AUGMENTATIONS[name] for name in train_config.augment)
    return replace(train_config, **others), entries


def compiled_step(
    config: WaveGANConfig,
    train_config: TrainConfig,
    mesh: Mesh,
    *,
    gans: int = 1,
    penalised: bool = True,
    source: Source | None = None,
) -> Program:
    """The compiled step ``(state, clips, labels) -> (state, terms)``; the state is donated.

    Runs that differ in seed, data and cadence alone share one. On a CPU the players' turns are a
    program each: critic steps are compiled once, for a loop in a program has one core for its
    convolutions, and the two run a quarter faster than all in one, in less memory. With a
    ``source`` of windows (or its shapes) it is ``(state, source, count) -> (state, terms)``:
    ``count`` steps in a loop, which draw their clips themselves, and the terms of the last.
    """
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), source)
    return _compiled(config, *_of_program(train_config), mesh, gans, penalised, shapes)


@lru_cache(maxsize=16)
def _compiled(config, train_config, entries, mesh, gans, penalised, source):
    state, *batch = _arguments(config, train_config, entries, gans)
    count = jax.ShapeDtypeStruct((), jnp.int32)
    program = partial(_program, config, train_config, mesh, penalised)
    if source is not None:
        return program(training_step, drawing=True).lower(state, source, count).compile()
    if jax.default_backend() != "cpu":
        return program(training_step).lower(state, *batch).compile()
    return Turns(
        program(_critic_turn, more=1).lower(state, *batch, count).compile(),
        _compiled_last_turn(config, train_config, entries, mesh, gans),
        train_config.critic_steps,
    )


@lru_cache(maxsize=16)
def _compiled_last_turn(config, train_config, entries, mesh, gans):
    """The generator's: the same whether or not the critic has a penalty in this step."""
    program = _program(config, train_config, mesh, True, _last_turn)
    return program.lower(*_arguments(config, train_config, entries, gans)).compile()


def _arguments(config, train_config, entries, gans):
    """The shapes of what a step takes: state, clips and labels."""
    one = _shapes(config, train_config, entries)
    state = jax.tree.map(lambda x: jax.ShapeDtypeStruct((gans, *x.shape), x.dtype), one)
    batch = gans, train_config.critic_steps, train_config.batch_size
    clips = jax.ShapeDtypeStruct((*batch, config.num_samples, config.channels), jnp.float32)
    labels = jax.ShapeDtypeStruct(batch, jnp.int32) if config.num_classes else None
    return state, clips, labels


@dataclass(frozen=True)
class Turns:
    """A step as two programs: one for each of the ``critic_steps``, one for what follows them."""

    critic: jax.stages.Compiled
    last: jax.stages.Compiled
    critic_steps: int

    def __call__(self, state: State, clips: Array, labels: Array | None) -> tuple[State, Terms]:
        """As the step of one program: clips (gans, critic_steps, n, length, c)."""
        terms: Terms = {}
        for i in range(self.critic_steps):
            state, terms = self.critic(state, clips, labels, np.int32(i))
        state, more = self.last(state, clips, labels)
        return state, terms | more

    def memory_analysis(self) -> Any:
        """That of the larger program: they run one after the other."""
        return self._larger

    @cached_property
    def _larger(self) -> Any:  # which each GAN asks for, and XLA takes 20 ms to say
        return max(self.critic, self.last, key=needed_bytes).memory_analysis()


def _program(config, train_config, mesh, penalised, turn, *, drawing=False, more=0):
    """``turn`` of all GANs, with ``more`` arguments that are alike for all."""
    one = partial(turn, config, train_config, penalised, mesh)
    shape = train_config.critic_steps, train_config.batch_size
    draw = partial(next_batch, config, shape, mesh)

    def team(state, real, labels, *alike):
        with mapped_kernels() if len(real) > 1 else nullcontext():
            return _each(lambda *own: one(*own, *alike), state, real, labels)

    def steps(state, source, count):
        def step(_, carry):
            state = carry[0]
            return team(state, *_each(draw, source, state["key"], state["step"] + 1))

        terms = jax.eval_shape(step, 0, (state, None))[1]
        nothing = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), terms)
        return jax.lax.fori_loop(0, count, step, (state, nothing))

    function, per_gan = (steps, 2) if drawing else (team, 3)
    specs = (PartitionSpec("gan"),) * per_gan + (PartitionSpec(),) * (3 + more - per_gan)
    if mesh.shape["gan"] > 1:  # each device has GANs of its own: nothing to say to each other
        function = jax.shard_map(
            function,
            mesh=mesh,
            in_specs=specs,
            out_specs=PartitionSpec("gan"),
            axis_names={"gan"},
            check_vma=False,
        )
    if not drawing:
        specs = specs[0], *[PartitionSpec(*CLIP_AXES)] * 2, *specs[3:]
    whole = NamedSharding(mesh, PartitionSpec("gan"))
    given = tuple(NamedSharding(mesh, spec) for spec in specs)
    return jax.jit(function, donate_argnums=0, in_shardings=given, out_shardings=(whole, whole))


@lru_cache(maxsize=16)
def compiled_draw(
    config: WaveGANConfig, critic_steps: int, batch_size: int, mesh: Mesh
) -> Callable[..., Batch]:
    """``(source, keys, step) -> batch`` of each GAN, where the step's program draws none."""
    draw = partial(next_batch, config, (critic_steps, batch_size), mesh)
    clips = NamedSharding(mesh, PartitionSpec(*CLIP_AXES))

    def every(source, keys, step):
        return _each(lambda source, key: draw(source, key, step), source, keys)

    return jax.jit(every, out_shardings=clips)


def next_batch(
    config: WaveGANConfig,
    shape: tuple[int, int],
    mesh: Mesh,
    source: Source,
    key: Array,
    step: Int[Array, ""],
) -> Batch:
    """The clips of a step, those of the key that `TrainingRun.keys` has; ``key`` is its data."""
    key = jax.random.fold_in(jax.random.wrap_key_data(key), 2 * step)
    batch = gathered(source, key, shape, config.num_samples)
    spread = NamedSharding(mesh, PartitionSpec(None, "data"))
    return jax.lax.with_sharding_constraint(batch, spread)


def _each(function: Callable, *trees: Any) -> Any:
    """``function`` of each GAN's part of arrays; of a single one not mapped."""
    if len(jax.tree.leaves(trees)[0]) > 1:
        return jax.vmap(function)(*trees)
    alone = function(*jax.tree.map(lambda x: x[0], trees))
    return jax.tree.map(lambda x: x[None], alone)


def training_step(
    config: WaveGANConfig,
    train_config: TrainConfig,
    penalised: bool,
    mesh: Mesh,
    state: State,
    real: Float[Array, "critic_steps n length c"],
    labels: Int[Array, "critic_steps n"] | None,
) -> tuple[State, Terms]:
    """The step of one GAN, not yet compiled."""
    turn = partial(_critic_turn, config, train_config, penalised, mesh)
    if train_config.critic_steps == 1:
        state, critic_terms = turn(state, real, labels, 0)
    else:  # compiled once for all of them
        turns = jnp.arange(train_config.critic_steps)
        state, terms = jax.lax.scan(lambda s, i: turn(s, real, labels, i), state, turns)
        critic_terms = jax.tree.map(lambda x: x[-1], terms)
    state, terms = _last_turn(config, train_config, penalised, mesh, state, real, labels)
    return state, critic_terms | terms


def _critic_turn(config, train_config, penalised, mesh, state, real, labels, i):
    """Critic step ``i`` of a step of one GAN; arrays as `training_step` takes them."""
    players = Players(config, train_config, penalised, mesh)
    batch = jax.tree.map(lambda x: x[i], (real, labels, players.keys(state)[1:]))
    return players.critic_step(state, *batch)


def _last_turn(config, train_config, penalised, mesh, state, real, labels):
    """The generator's step of one GAN and the average; arrays as `training_step` takes them."""
    players = Players(config, train_config, penalised, mesh)
    # The generator's classes are those of real clips: drawn as often as they come.
    clips, classes = jax.tree.map(lambda x: x[-1], (real, labels))
    state, terms = players.generator_step(state, clips, classes, players.keys(state)[0])

    # The average forgets the first weights quickly: a short run has a usable one, too.
    step = state["step"] + 1
    decay = jnp.minimum(train_config.ema_decay, (1 + step) / (10 + step))
    ema = jax.tree.map(lambda e, w: decay * e + (1 - decay) * w, state["ema"], state["generator"])
    terms |= {"rms_real": jnp.sqrt(jnp.mean(real**2))}
    return {**state, "step": step, "ema": ema}, terms
