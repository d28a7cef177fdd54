"""One class of a conditional network, folded into an unconditional one."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from wavegan import Discriminator, Generator, WaveGANConfig, of_class

CONFIG = WaveGANConfig(num_samples=512, dim=2, latent_dim=4, num_classes=3, channels=2)
KINDS = [
    {},
    {"batch_norm": True},
    {"upsample": "nn"},
    {"upsample": "nn", "batch_norm": True, "post_filter": 16},
    {"spectrogram_critic": True},
]


def drawn(kind, config, seed=0):
    """A network none of whose variables is zero or one, as a trained one's are not."""
    network = kind(config, rngs=nnx.Rngs(seed))
    rng = np.random.default_rng(seed)
    for _, variable in nnx.to_flat_state(nnx.state(network)):
        variable[...] = variable[...] + 0.2 * rng.uniform(0.5, 1, variable.shape)
    return network


@partial(nnx.jit, static_argnames="training")
def run(network, *inputs, **options):
    return network(*inputs, **options)


@pytest.mark.parametrize("options", KINDS)
@pytest.mark.parametrize("label", range(3))
def test_a_generator_of_one_class(options, label):
    network = drawn(Generator, replace(CONFIG, **options))
    z = np.random.default_rng(1).uniform(-1, 1, (5, 4)).astype(np.float32)
    for training in (False, True):
        wanted = run(nnx.clone(network), z, np.full(5, label), training=training)
        found = run(of_class(network, label), z, training=training)
        np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize("options", KINDS)
@pytest.mark.parametrize("label", range(3))
def test_a_critic_of_one_class(options, label):
    network = drawn(Discriminator, replace(CONFIG, **options))
    x = np.random.default_rng(1).uniform(-1, 1, (5, 512, 2)).astype(np.float32)
    for key in (None, jax.random.key(3)):
        wanted = run(network, x, np.full(5, label), key)
        np.testing.assert_allclose(run(of_class(network, label), x, key=key), wanted, rtol=1e-5)


@pytest.mark.parametrize("kind", [Generator, Discriminator])
@pytest.mark.parametrize("options", KINDS)
def test_it_is_the_unconditional_network(kind, options):
    """A checkpoint of it is one of any unconditional GAN; what it was made from stays."""
    network = drawn(kind, replace(CONFIG, **options))
    before = jax.device_get(nnx.state(network))
    one = of_class(network, 1)
    plain = kind(replace(CONFIG, num_classes=0, **options), rngs=nnx.Rngs(0))
    assert nnx.graphdef(one) == nnx.graphdef(plain)
    assert jax.tree.map(jnp.shape, nnx.state(one)) == jax.tree.map(jnp.shape, nnx.state(plain))
    for old, new in zip(jax.tree.leaves(before), jax.tree.leaves(nnx.state(network)), strict=True):
        np.testing.assert_array_equal(old, new)


def test_what_has_no_such_class():
    network = Generator(CONFIG, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"no class 3 in this network, which has classes 0 … 2"):
        of_class(network, 3)
    with pytest.raises(ValueError, match="no class 0 in this network, which has none"):
        of_class(of_class(network, 0), 0)


def test_a_normalised_output_takes_no_projection():
    critic = Discriminator(replace(CONFIG, spectral_norm=True), rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="spectral_norm divides its output by its norm"):
        of_class(critic, 0)
