import subprocess
import sys
from itertools import islice

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from gan_runs import answer

from wavegan import (
    CheckpointError,
    Generator,
    Samples,
    WaveGANConfig,
    generate,
    interpolate,
    load,
)
from wavegan.sample_files import write_interpolation, write_samples
from wavegan.sampling import draw_latents, generate_batches


@pytest.fixture(scope="module")
def generator(config):
    return Generator(config, rngs=nnx.Rngs(0))


@pytest.fixture(scope="module")
def conditional() -> Generator:
    """Of three classes that sound different."""
    config = WaveGANConfig(num_samples=64, dim=1, latent_dim=4, num_classes=3)
    network = Generator(config, rngs=nnx.Rngs(1))
    for modulation in network.modulations:
        modulation.scale[...] = jnp.array([[0.0], [2.0], [-0.5]])
        modulation.shift[...] = jnp.array([[0.1], [-0.2], [0.5]])
    return network


@pytest.fixture(scope="module")
def samples(generator) -> Samples:
    return generate(generator, 10, seed=3, batch_size=4)


def test_what_comes_out(samples, config):
    assert samples.audio.shape == (10, 64, 1)
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
        answer(generator, samples.latents[7:8]), samples.audio[7:8], atol=1e-6
    )


def test_given_latents_make_the_same_sounds_bit_for_bit(generator, samples, tmp_path):
    np.save(tmp_path / "latents.npy", samples.latents)
    for latents in (samples.latents, np.load(tmp_path / "latents.npy", mmap_mode="r")):
        again = generate(generator, latents=latents, batch_size=4)
        np.testing.assert_array_equal(again.audio, samples.audio)
        np.testing.assert_array_equal(again.latents, samples.latents)
    first = generate(generator, 3, latents=samples.latents, seed=99, batch_size=4)
    np.testing.assert_array_equal(first.audio, samples.audio[:3])


def test_truncation_scales_the_latents(generator, samples):
    tamer = generate(generator, 10, seed=3, truncation=0.25, batch_size=4)
    np.testing.assert_array_equal(tamer.latents, np.float32(0.25) * samples.latents)
    np.testing.assert_allclose(tamer.audio, answer(generator, tamer.latents), atol=1e-6)
    assert tamer.audio.std(axis=0).mean() < samples.audio.std(axis=0).mean()  # more alike


def test_batches_are_the_clips_of_generate(generator, samples):
    batches = list(generate_batches(generator, 10, seed=3, batch_size=4))
    assert [len(batch.audio) for batch in batches] == [4, 4, 2]
    for name in ("audio", "latents"):
        parts = np.concatenate([getattr(batch, name) for batch in batches])
        np.testing.assert_array_equal(parts, getattr(samples, name))


def test_batches_come_as_they_are_asked_for(generator):
    endless = generate_batches(generator, 2**31, batch_size=2)
    assert sum(len(batch.audio) for batch in islice(endless, 3)) == 6


def test_latents_in_parts_are_those_of_the_whole():
    whole = np.asarray(draw_latents(5, 9, 4))
    parts = [np.asarray(draw_latents(5, size, 4, start=at)) for at, size in ((0, 2), (2, 7))]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    np.testing.assert_array_equal(
        draw_latents(5, 1, 4, start=10**9), draw_latents(5, 1, 4, start=10**9)
    )
    assert not np.any(draw_latents(5, 1, 4, start=10**9) == whole)


def test_interpolation(generator, samples):
    z0, z1 = samples.latents[:2]
    line = interpolate(generator, z0, z1, steps=5)
    assert isinstance(line, np.ndarray)
    assert line.shape == (5, 64, 1)
    weights = np.linspace(0, 1, 5, dtype=np.float32)[:, None]
    expected = answer(generator, (1 - weights) * z0 + weights * z1)
    np.testing.assert_allclose(line, expected, atol=1e-6)
    np.testing.assert_allclose(line[[0, -1]], samples.audio[:2], atol=1e-6)  # the ends
    np.testing.assert_array_equal(line, interpolate(generator, jnp.array(z0), z1, steps=5))


# Conditional generators


def expected_clips(network: Generator, latents: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return np.asarray(answer(network, latents, np.asarray(weights, np.float32)))


def test_classes_take_turns_without_a_label(conditional):
    drawn = generate(conditional, 8, seed=2, batch_size=3)
    np.testing.assert_array_equal(drawn.labels, [0, 1, 2, 0, 1, 2, 0, 1])
    assert drawn.labels.dtype == np.int32
    weights = np.eye(3)[drawn.labels]
    np.testing.assert_allclose(
        drawn.audio, expected_clips(conditional, drawn.latents, weights), atol=1e-6
    )


def test_one_class_classes_and_weights(conditional):
    one = generate(conditional, 5, seed=2, label=1, batch_size=2)
    np.testing.assert_array_equal(one.labels, [1] * 5)
    expected = answer(conditional, one.latents, np.ones(5, np.int32))
    np.testing.assert_allclose(one.audio, expected, atol=1e-6)
    each = np.array([2, 0, 0, 1, 2])
    several = generate(conditional, 5, seed=2, label=each, batch_size=2)
    np.testing.assert_array_equal(several.labels, each)
    np.testing.assert_array_equal(several.audio[3], one.audio[3])
    np.testing.assert_allclose(several.audio, answer(conditional, one.latents, each), atol=1e-6)
    by_weight = generate(conditional, 5, seed=2, label=np.eye(3)[each], batch_size=2)
    np.testing.assert_array_equal(by_weight.audio, several.audio)
    np.testing.assert_array_equal(by_weight.labels, np.eye(3)[each])
    mix = np.array([0.5, 0.25, 0.25], np.float32)
    mixed = generate(conditional, 5, seed=2, label=mix, batch_size=2)
    assert mixed.labels.shape == (5, 3)
    np.testing.assert_allclose(
        mixed.audio, expected_clips(conditional, one.latents, np.tile(mix, (5, 1))), atol=1e-6
    )
    assert not np.allclose(mixed.audio, one.audio, atol=1e-3)


def test_interpolation_between_classes(conditional):
    z0, z1 = generate(conditional, 2, seed=2).latents
    clips = interpolate(conditional, z0, z1, steps=5, label0=0, label1=2)
    share = np.linspace(0, 1, 5)[:, None]
    latents = ((1 - share) * z0 + share * z1).astype(np.float32)
    weights = (1 - share) * np.eye(3)[:1] + share * np.eye(3)[2:]
    np.testing.assert_allclose(clips, expected_clips(conditional, latents, weights), atol=1e-6)
    ends = generate(conditional, latents=np.stack([z0, z1]), label=np.array([0, 2])).audio
    np.testing.assert_allclose(clips[[0, -1]], ends, atol=1e-6)
    within = interpolate(conditional, z0, z1, steps=3, label0=np.eye(3, dtype=np.float32)[1])
    expected = answer(conditional, latents[::2], np.ones(3, np.int32))
    np.testing.assert_allclose(within, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (3, r"labels lie in 0 … 2, found \[3\]"),
        (-1, r"labels lie in 0 … 2, found \[-1\]"),
        (np.array([0, 1]), r"classes \(4,\).*found int64 \(2,\)"),
        (np.ones((4, 2)), r"\(4, 3\); found float64 \(4, 2\)"),
        (np.array([1, np.nan, 0]), "finite weights"),
    ],
)
def test_labels_that_are_none(conditional, label, message):
    with pytest.raises(ValueError, match=message):
        generate(conditional, 4, label=label)


def test_interpolation_of_a_conditional_generator_needs_a_class(conditional):
    z = np.zeros(4, np.float32)
    for labels in ({}, {"label1": 1}):
        with pytest.raises(ValueError, match="label0 is missing"):
            interpolate(conditional, z, z, steps=2, **labels)


# What cannot be


def test_options_that_make_no_clips(generator, samples):
    z = samples.latents[0]
    with pytest.raises(ValueError, match="count must be at least 1, found 0"):
        generate(generator, 0, seed=0)
    with pytest.raises(ValueError, match="batch_size must be at least 1, found 0"):
        generate(generator, 1, seed=0, batch_size=0)
    with pytest.raises(ValueError, match="takes no label"):
        generate(generator, 1, seed=0, label=1)
    for truncation in (0, 1.5, -0.5, float("nan")):
        with pytest.raises(ValueError, match="truncation must lie in 0"):
            generate(generator, 1, truncation=truncation)
    with pytest.raises(ValueError, match=r"latents must be \(n, 4\), found \(2, 5\)"):
        generate(generator, latents=np.zeros((2, 5), np.float32))
    with pytest.raises(ValueError, match="scale the given ones"):
        generate(generator, latents=samples.latents, truncation=0.5)
    with pytest.raises(ValueError, match="count is 11, but there are 10 latents"):
        generate(generator, 11, latents=samples.latents)
    with pytest.raises(ValueError, match="count must be at least 1, found None"):
        generate(generator)
    for seed in (-1, 2**32):  # JAX would take the latter for 0
        with pytest.raises(ValueError, match="seed must lie in 0 … 4294967295"):
            generate(generator, 1, seed=seed)
    for label, message in (("label0", "takes no label"), ("label1", "label0 is missing")):
        with pytest.raises(ValueError, match=message):
            interpolate(generator, z, z, steps=2, **{label: 1})
    with pytest.raises(ValueError, match=r"steps must be at least 2 .* found 1"):
        interpolate(generator, z, z, steps=1)
    with pytest.raises(ValueError, match=r"latents must be \(n, 4\), found \(3, 5\)"):
        interpolate(generator, np.zeros(5, np.float32), np.zeros(5, np.float32), steps=3)


# Generators from a run folder


def test_a_run_folder_gives_its_generators(finished_run, state_of):
    latents = np.random.default_rng(0).uniform(-1, 1, (3, 4)).astype(np.float32)
    heard = {}
    for step in (None, 2, 6):
        for ema in (True, False):
            network = load(finished_run, ema=ema, step=step)
            expected = state_of(finished_run, step)["ema" if ema else "generator"]
            jax.tree.map(np.testing.assert_array_equal, nnx.state(network), expected)
            heard[step, ema] = np.asarray(answer(network, latents))
    np.testing.assert_array_equal(heard[None, True], heard[6, True])
    np.testing.assert_array_equal(
        answer(load(finished_run), latents), heard[6, True]
    )  # the average
    assert not np.array_equal(heard[6, True], heard[6, False])
    assert not np.array_equal(heard[6, True], heard[2, True])


def test_a_step_without_a_checkpoint(finished_run):
    with pytest.raises(CheckpointError, match=r"no checkpoint of step 3; there are \[2, 4, 6\]"):
        load(finished_run, step=3)


_FLAT = """
import resource, sys
from flax import nnx
from wavegan import Generator, WaveGANConfig
from wavegan.sampling import generate_batches

def resident():  # bytes
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()

network = Generator(WaveGANConfig(num_samples=4096, dim=1), rngs=nnx.Rngs(0))
early, count = 0, 0
for batch in generate_batches(network, 27_980):
    count += len(batch.audio)
    if count == 40 * 64:
        early = resident()
print(count, resident() - early)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory_does_not_grow_with_the_count():
    command = [sys.executable, "-c", _FLAT]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600)
    count, growth = map(int, done.stdout.split())
    assert count == 27_980
    assert growth < 20e6  # the clips themselves are 458 MB


def test_more_than_the_machine_holds_is_refused_with_the_estimate(tmp_path):
    generator = Generator(WaveGANConfig(num_samples=64, dim=1), rngs=nnx.Rngs(0))
    about = {"name": "x", "about": {"sample_rate": 4000}}
    for wrong, said in (
        ({"count": 10**12}, r"GB for the names of 1,000,000,000,000 files"),
        ({"count": 2, "batch_size": 10**10}, r"GB for a batch of 10,000,000,000 clips"),
    ):
        with pytest.raises(ValueError, match=said):
            list(write_samples(generator, tmp_path / "out", **about, **wrong))
    with pytest.raises(ValueError, match=r"GB for .*: take fewer steps"):
        write_interpolation(generator, tmp_path / "out", 10**10, seeds=(0, 1), **about)
    assert not (tmp_path / "out").exists()


def test_two_calls_on_one_folder_are_refused(tmp_path):
    generator = Generator(WaveGANConfig(num_samples=64, dim=1), rngs=nnx.Rngs(0))
    about = {"name": "x", "about": {"sample_rate": 4000}}
    first = write_samples(generator, tmp_path / "out", 2, **about)
    next(first)
    with pytest.raises(ValueError, match="out is in use by another process"):
        next(write_samples(generator, tmp_path / "out", 2, **about))
    assert list(first)[-1] == (2, 2)
    list(write_samples(generator, tmp_path / "out", 2, **about))
