"""What tests of training runs ask of them."""

import json
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from wavegan import players, step
from wavegan.devices import device_mesh

METRICS = {
    f"gan/{name}"
    for name in (
        "step",
        "steps_per_second",
        "critic_loss",
        "critic_gap",
        "penalty",
        "critic_gradient_norm",
        "generator_loss",
        "generator_gradient_norm",
        "rms_fake",
        "rms_real",
        "spread",
    )
}

# A training of what its arguments say, killed when it has logged the step that is the last of them.
CHILD = """
import json, os, signal, sys, time
import numpy as np
from wavegan import TrainConfig, WaveGANConfig, train

audio, config, train_config, run_dir, last = sys.argv[1:]
def on_log(metrics):
    time.sleep(0.02)
    if metrics["gan/step"] == int(last):
        os.kill(os.getpid(), signal.SIGKILL)

train(
    np.load(audio),
    WaveGANConfig(**json.loads(config)),
    TrainConfig(**json.loads(train_config) | {"augment": ()}),
    run_dir=run_dir,
    on_log=on_log,
)
"""


@partial(nnx.jit, static_argnames="training")
def answer(network, *inputs, **options):
    """What a network or layer gives, as one program: called by itself it is a dozen to compile."""
    return network(*inputs, **options)


def same(one, other) -> bool:
    """Whether two trees hold the same numbers, bit for bit."""
    return jax.tree.structure(one) == jax.tree.structure(other) and all(
        np.array_equal(a, b)
        for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    )


def weights(result):
    networks = result.generator, result.ema_generator, result.discriminator
    return jax.device_get([nnx.state(network) for network in networks])


def steps_logged(run):
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["gan/step"] for line in lines]


def lowered(config, train_config, gans=1):
    """The step of so many GANs as text, lowered for a GPU."""
    one = jax.eval_shape(lambda: players.initial_state(config, train_config, jax.random.key(0)))
    state = jax.tree.map(lambda x: jax.ShapeDtypeStruct((gans, *x.shape), x.dtype), one)
    batch = gans, train_config.critic_steps, train_config.batch_size
    real = jax.ShapeDtypeStruct((*batch, config.num_samples, config.channels), jnp.float32)
    labels = jax.ShapeDtypeStruct(batch, jnp.int32) if config.num_classes else None
    mesh = device_mesh(1, train_config.batch_size, jax.devices()[:1])
    program = step._program(config, train_config, mesh, True, step.training_step)
    traced = program.trace(state, real, labels)
    return traced.lower(lowering_platforms=("cuda",)).as_text()
