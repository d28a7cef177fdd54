import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from wavegan import CheckpointError, Generator, Samples, generate, interpolate, load


@pytest.fixture(scope="module")
def generator(config):
    return Generator(config, rngs=nnx.Rngs(0))


@pytest.fixture(scope="module")
def samples(generator) -> Samples:
    return generate(generator, 10, seed=3, batch_size=4)


def test_what_comes_out(samples, config):
    assert samples.audio.shape == (10, 128, 1)
    assert samples.latents.shape == (10, 4)
    assert samples.audio.dtype == samples.latents.dtype == np.float32
    assert isinstance(samples.audio, np.ndarray)
    assert samples.labels is None
    assert np.abs(samples.audio).max() <= 1
    assert len({clip.tobytes() for clip in samples.audio}) == 10


def test_latents_are_uniform(generator):
    latents = generate(generator, 5000, seed=0).latents
    counts, _ = np.histogram(latents, bins=20, range=(-1, 1))
    assert counts.sum() == latents.size
    assert np.sum((counts - 1000) ** 2 / 1000) < 44  # chi squared, 19 degrees, p = 0.001
    assert np.abs(np.corrcoef(latents.T) - np.eye(4)).max() < 0.06


def test_the_same_seed_gives_the_same_clips(generator, samples):
    again = generate(generator, 10, seed=3, batch_size=4)
    np.testing.assert_array_equal(again.audio, samples.audio)
    np.testing.assert_array_equal(again.latents, samples.latents)
    other = generate(generator, 10, seed=4, batch_size=4)
    assert not np.any(np.all(other.audio == samples.audio, axis=(1, 2)))


@pytest.mark.parametrize("count", [1, 4, 5])
def test_more_clips_begin_with_the_same_ones(generator, samples, count):
    fewer = generate(generator, count, seed=3, batch_size=4)
    np.testing.assert_array_equal(fewer.audio, samples.audio[:count])
    np.testing.assert_array_equal(fewer.latents, samples.latents[:count])


@pytest.mark.parametrize("batch_size", [1, 10, 64])
def test_the_batch_size_has_no_effect(generator, samples, batch_size):
    other = generate(generator, 10, seed=3, batch_size=batch_size)
    np.testing.assert_array_equal(other.latents, samples.latents)
    np.testing.assert_allclose(other.audio, samples.audio, atol=1e-6)


def test_a_latent_makes_its_clip_again(generator, samples):
    np.testing.assert_allclose(
        generator(jnp.asarray(samples.latents[7:8])), samples.audio[7:8], atol=1e-6
    )


def test_interpolation(generator, samples):
    z0, z1 = samples.latents[:2]
    line = interpolate(generator, z0, z1, steps=5)
    assert isinstance(line, np.ndarray)
    assert line.shape == (5, 128, 1)
    weights = np.linspace(0, 1, 5, dtype=np.float32)[:, None]
    expected = generator(jnp.asarray((1 - weights) * z0 + weights * z1))
    np.testing.assert_allclose(line, expected, atol=1e-6)
    np.testing.assert_allclose(line[[0, -1]], samples.audio[:2], atol=1e-6)  # the ends
    np.testing.assert_array_equal(line, interpolate(generator, jnp.array(z0), z1, steps=5))


def test_options_that_make_no_clips(generator, samples):
    z = samples.latents[0]
    with pytest.raises(ValueError, match="count must be at least 1, found 0"):
        generate(generator, 0, seed=0)
    with pytest.raises(ValueError, match="batch_size must be at least 1, found 0"):
        generate(generator, 1, seed=0, batch_size=0)
    with pytest.raises(ValueError, match="takes no label"):
        generate(generator, 1, seed=0, label=1)
    with pytest.raises(ValueError, match=r"steps must be at least 2 .* found 1"):
        interpolate(generator, z, z, steps=1)
    with pytest.raises(ValueError, match=r"z must be \(n, 4\), found \(3, 5\)"):
        interpolate(generator, np.zeros(5, np.float32), np.zeros(5, np.float32), steps=3)


# Generators from a run folder


def test_a_run_folder_gives_its_generators(finished_run, state_of):
    latents = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (3, 4)), jnp.float32)
    heard = {}
    for step in (None, 2, 6):
        for ema in (True, False):
            network = load(finished_run, ema=ema, step=step)
            expected = state_of(finished_run, step)["ema" if ema else "generator"]
            jax.tree.map(np.testing.assert_array_equal, nnx.state(network), expected)
            heard[step, ema] = np.asarray(network(latents))
    np.testing.assert_array_equal(heard[None, True], heard[6, True])
    np.testing.assert_array_equal(load(finished_run)(latents), heard[6, True])  # the average
    assert not np.array_equal(heard[6, True], heard[6, False])
    assert not np.array_equal(heard[6, True], heard[2, True])


def test_a_step_without_a_checkpoint(finished_run):
    with pytest.raises(CheckpointError, match=r"no checkpoint of step 3; there are \[2, 4, 6\]"):
        load(finished_run, step=3)
