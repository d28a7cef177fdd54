"""All that a GPU has to show, in one command and under ten minutes.

Its numbers against the CPU's, by precision; steps of one GAN and of several, of classifiers, and
features; PyTorch beside them where it is installed. It needs JAX, Flax, Optax, Orbax and
jaxtyping alone, and runs as `python -m experiments.bench.gpu`, too, where nothing is installed.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from experiments.bench import Job, Row, classifiers, gan, row, run_benchmark, timed
from experiments.bench.classifiers import Case
from features.spectra import log_mel, mfcc
from wavegan import players, step
from wavegan.devices import device_mesh, place
from wavegan.networks import CHOICES, WaveGANConfig, definitions
from wavegan.train_config import TrainConfig

PRECISIONS = CHOICES["precision"]
# What an error may be, by norm over the whole: of clips, gradients and what a step changes.
TOLERANCES = {
    "float32": (2e-5, 2e-4, 1e-3),
    "tf32": (5e-3, 2e-2, 5e-2),
    "bfloat16": (5e-2, 2e-1, 2e-1),
}
_BUDGET = 480  # seconds after which nothing more is begun
_RATE = 22050


@dataclass(frozen=True)
class Sizes:
    """What is timed.

    Attributes
    ----------
    numbers, numbers_batch : the network whose numbers are held against the CPU's.
    training, batch_size : the network whose steps are timed.
    small, small_batch : the one whose loop is.
    team, gans : the network of several GANs, and how many.
    matrix : side of the square matrices that are multiplied.
    networks : classifiers.
    clips, seconds : that features are made of.
    critic_steps : of a step.
    """

    numbers: WaveGANConfig
    numbers_batch: int
    training: WaveGANConfig
    batch_size: int
    small: WaveGANConfig
    small_batch: int
    team: WaveGANConfig
    gans: int
    matrix: int
    networks: dict[str, Case]
    clips: int
    seconds: float
    critic_steps: int = 5


_TOY = WaveGANConfig(num_samples=64, dim=2, latent_dim=4)
SIZES = {
    "toy": Sizes(
        numbers=_TOY,
        numbers_batch=16,
        training=_TOY,
        batch_size=4,
        small=_TOY,
        small_batch=4,
        team=_TOY,
        gans=2,
        matrix=256,
        networks={
            "net2": Case((28, 24, 3), 4, 4, ("Flax",)),
            "net5": Case((6, 5), 4, 4, ("Flax",)),
        },
        clips=4,
        seconds=0.25,
        critic_steps=1,
    ),
    "full": Sizes(
        numbers=WaveGANConfig(num_samples=4096, dim=16),
        numbers_batch=16,
        training=WaveGANConfig(dim=64),
        batch_size=64,
        small=gan.SMALL,
        small_batch=16,
        team=gan.TEAM,
        gans=10,
        matrix=8192,
        networks={
            "net2": Case((180, 180, 3), 32, 32, ("Flax", "PyTorch")),
            "net5": Case((138, 40), 64, 64, ("Flax", "PyTorch")),
        },
        clips=512,
        seconds=1.0,
    ),
}


def cases(*, repeats: int = 5, hardware: str = "", size: str | None = None) -> Iterator[Row]:
    """Each part in turn, the most telling first; what no time is left for is said.

    Parameters
    ----------
    repeats : timings of each; ours and the peers' alternate, the medians count.
    hardware : copied into the rows.
    size : of `SIZES`; None is "full" where there is a GPU, "toy" where there is none.

    Yields
    ------
    dict
        Rows as `experiments.bench` describes them, with ``size`` and ``precision`` where it
        differs. Those of numbers have ``error``, ``tolerance`` and ``holds``; those of steps
        ``gflop`` (by XLA's count), ``matmul_gflops`` and ``share_of_matmul``, ``needed_bytes``
        and, on a GPU, ``peak_bytes``.
    """
    there = jax.default_backend()
    size = size or ("toy" if there == "cpu" else "full")
    if there == "cpu":
        print(f"there is no GPU here: the CPU stands for it, at size {size}")
    sizes, began = SIZES[size], perf_counter()
    parts: dict[str, Callable[[], Iterable[Row]]]
    parts = {f"numbers, {p}": partial(_numbers, sizes, p) for p in PRECISIONS}
    parts |= {f"steps, {p}": partial(_steps, sizes, p, repeats) for p in reversed(PRECISIONS)}
    given: dict[str, Any] = {"repeats": repeats, "critic_steps": sizes.critic_steps}
    parts["several GANs"] = partial(
        gan.team_rows, sizes.team, sizes.gans, sizes.batch_size, **given
    )
    parts["features"] = partial(_features, sizes, repeats)
    parts["classifiers"] = partial(classifiers.cases, repeats=repeats, table=sizes.networks)
    parts["the loop"] = partial(gan.loop_rows, sizes.small, sizes.small_batch, **given)
    for name, part in parts.items():
        print(f"[{perf_counter() - began:4.0f} s] {name}", flush=True)
        if perf_counter() - began > _BUDGET:
            print(f"{name}: left out, {_BUDGET / 60:.0f} minutes have passed")
            continue
        for found in part():
            yield found | {"size": size, "hardware": hardware}


def _numbers(sizes: Sizes, precision: str) -> Iterator[Row]:
    """Clips, a critic's gradients and what a step changes, against a CPU's float32."""
    exact = sizes.numbers
    ours, theirs = (
        _one_step(config, sizes.numbers_batch, device)
        for config, device in (
            (replace(exact, precision=precision), jax.devices()[0]),
            (exact, jax.devices("cpu")[0]),
        )
    )
    size = f"dim {exact.dim}, batch {sizes.numbers_batch}"
    for i, what in enumerate(("clips", "gradients", "a step's changes")):
        error, tolerance = _error(ours[i], theirs[i]), TOLERANCES[precision][i]
        found = row(f"{what}, {size}, {precision}", "CPU, float32", ours[3], theirs[3], "")
        yield found | {
            "precision": precision,
            "error": error,
            "tolerance": tolerance,
            "holds": error <= tolerance,
        }


def _one_step(config: WaveGANConfig, batch_size: int, device: jax.Device) -> tuple:
    """Clips, gradients (of which Adam's first moments are a share), changes, and seconds."""
    settings = TrainConfig(batch_size=batch_size, critic_steps=1)
    mesh = device_mesh(1, batch_size, [device])
    state = players.initial_state(config, settings, jax.random.key(0))
    clips = np.random.default_rng(0).uniform(-1, 1, (1, 1, batch_size, config.num_samples, 1))
    latents = np.random.default_rng(1).uniform(-1, 1, (batch_size, config.latent_dim))
    program = step.compiled_step(config, settings, mesh)
    placed = place(jax.tree.map(lambda x: x[None], state), mesh, "gan")
    real = place(clips.astype(np.float32), mesh, "gan")
    generator = nnx.merge(definitions(config)[0], state["generator"])
    with jax.default_device(device):
        made = jax.jit(lambda generator, z: generator(z))(
            *jax.device_put((generator, latents.astype(np.float32)), device)
        )
    began = perf_counter()
    after = jax.block_until_ready(program(placed, real, None)[0])
    seconds = perf_counter() - began
    moments = after["critic_optimizer"][0].mu
    moved = {
        name: jax.tree.map(lambda a, b: np.asarray(a[0]) - np.asarray(b), after[name], state[name])
        for name in ("critic", "generator")
    }
    return np.asarray(made), jax.device_get(moments), moved, seconds


def _error(ours: Any, theirs: Any) -> float:
    """The norm of what two trees differ by, over theirs: of all numbers together.

    Adam moves a weight by the sign of a slope that may be next to zero: one alone says little.
    """
    one, other = (
        np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])
        for tree in (ours, theirs)
    )
    return float(np.linalg.norm(one - other) / np.linalg.norm(other))


def _steps(sizes: Sizes, precision: str, repeats: int) -> Iterator[Row]:
    """A GAN's step, all critic steps and its data included, against its products alone."""
    config = replace(sizes.training, precision=precision)
    ours = gan.OurGAN(config, sizes.batch_size, critic_steps=sizes.critic_steps)
    jobs: dict[str, Job] = {"ours": ours.iteration}
    if jax.default_backend() != "cpu":
        for name, peer in gan.torch_gans(config, sizes.batch_size, compiled=(True,)).items():
            jobs[name] = gan.waiting(peer, peer.iteration)
    flops = counted_flops(config, sizes.batch_size, sizes.critic_steps)
    size = f"dim {config.dim}, batch {sizes.batch_size}, {precision}"
    case = f"a step of {sizes.critic_steps} critic steps, {size}"
    for found in gan.step_rows(case, jobs, flops, config, sizes.matrix, repeats):
        yield found | gan.bytes_of(ours.program) | {"precision": precision}


def counted_flops(config: WaveGANConfig, batch_size: int, critic_steps: int = 5) -> float:
    """Floating-point operations of a step by XLA's count, which takes a loop for one round."""
    settings = TrainConfig(batch_size=batch_size)
    both = players.Players(config, settings, True, device_mesh(1, batch_size, jax.devices()[:1]))
    state = step.state_shapes(config, settings)
    real = jax.ShapeDtypeStruct((batch_size, config.num_samples, config.channels), jnp.float32)
    key = jax.eval_shape(lambda: jax.random.key(0))

    def flops(act: Callable) -> float:
        program = jax.jit(lambda state, real, key: act(state, real, None, key)[0])
        counted: Any = program.lower(state, real, key).cost_analysis()
        return counted["flops"]

    return critic_steps * flops(both.critic_step) + flops(both.generator_step)


def _features(sizes: Sizes, repeats: int) -> Iterator[Row]:
    """Features of clips, in time and numbers, against the CPU."""
    shape = sizes.clips, round(sizes.seconds * _RATE)
    clips = (0.1 * np.random.default_rng(0).standard_normal(shape)).astype(np.float32)

    def made(function, device: jax.Device) -> jax.Array:
        with jax.default_device(device):
            return function(clips, sample_rate=_RATE).block_until_ready()

    for name, function in (("log_mel", log_mel), ("mfcc", mfcc)):
        here, cpu = jax.devices()[0], jax.devices("cpu")[0]
        jobs: dict[str, Job] = {"ours": partial(made, function, here)}
        jobs["CPU"] = partial(made, function, cpu)
        error = _error(*(np.asarray(made(function, device)) for device in (here, cpu)))
        case = f"{name} of {sizes.clips} x {sizes.seconds:g} s"
        (found,) = timed(case, jobs, repeats)
        yield found | {"error": error, "tolerance": 1e-4, "holds": error <= 1e-4}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the rows to this file, too")
    parser.add_argument("--size", choices=SIZES, help="full where there is a GPU, else toy")
    parser.add_argument("--repeats", type=int, default=5, help="of each timing")
    given = parser.parse_args()
    run_benchmark("gpu", repeats=given.repeats, json_file=given.json, size=given.size)
