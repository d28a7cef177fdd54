import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from gan_runs import answer

from wavegan.layers import (
    BatchNorm,
    MinibatchStddev,
    Modulation,
    SpectralNorm,
    phase_shuffle,
    shift_phase,
)


def clips(seed, *shape):
    return np.random.default_rng(seed).normal(1, 2, shape).astype(np.float32)


@nnx.jit
def refresh(norm, kernel):
    norm.refresh(kernel)


# Batch norm


def test_batch_norm_in_training_and_after():
    """Against numpy; the averages move a hundredth of the way to each batch's moments."""
    norm, x = BatchNorm(3, running=True), clips(0, 4, 10, 3)
    norm.scale[...] = jnp.array([1.0, 2.0, 0.5])
    norm.shift[...] = jnp.array([0.0, 1.0, -1.0])
    mean, variance = (f(x, (0, 1)) for f in (np.mean, np.var))
    scaled = (x - mean) / np.sqrt(variance + 1e-3)
    np.testing.assert_allclose(answer(norm, x), scaled * [1, 2, 0.5] + [0, 1, -1], atol=1e-5)
    np.testing.assert_allclose(norm.mean[...], 0.01 * mean, rtol=1e-5)
    np.testing.assert_allclose(norm.variance[...], 0.99 + 0.01 * variance, rtol=1e-5)
    averages = np.asarray(norm.mean), np.asarray(norm.variance)
    after = (x - averages[0]) / np.sqrt(averages[1] + 1e-3)
    found = answer(norm, x, training=False)
    np.testing.assert_allclose(found, after * [1, 2, 0.5] + [0, 1, -1], atol=1e-5)
    np.testing.assert_array_equal(norm.mean[...], averages[0])


def test_a_norm_without_averages_keeps_nothing():
    norm = BatchNorm(3, running=False)
    before = jax.tree.leaves(nnx.state(norm))
    answer(norm, clips(0, 4, 10, 3))
    assert len(before) == 2  # scale and shift
    for one, two in zip(before, jax.tree.leaves(nnx.state(norm)), strict=True):
        np.testing.assert_array_equal(one, two)


# Classes


def test_modulation_starts_apart():
    """By scales of N(1, ½): classes that start alike stay alike for hundreds of steps."""
    layer = Modulation(4, 1000, rngs=nnx.Rngs(0))
    scale, shift = np.asarray(layer.scale), np.asarray(layer.shift)
    np.testing.assert_allclose(scale.std(axis=1), 0.5, rtol=0.1)
    assert abs(np.corrcoef(scale)[0, 1:]).max() < 0.1
    assert not shift.any()


def test_modulation_mixes_classes():
    layer, x = Modulation(2, 3, rngs=nnx.Rngs(0)), clips(0, 2, 5, 3)
    classes = jnp.array([[1.0, 0.0], [0.25, 0.75]])
    layer.scale[...] = jnp.array([[1.0, 2.0, 3.0], [5.0, 6.0, 7.0]])
    layer.shift[...] = jnp.array([[0.1, 0.2, 0.3], [0.5, 0.6, 0.7]])
    found = np.asarray(answer(layer, x, classes))
    np.testing.assert_allclose(found[0], x[0] * [2, 3, 4] + [0.1, 0.2, 0.3], rtol=1e-5)
    np.testing.assert_allclose(found[1], x[1] * [5, 6, 7] + [0.4, 0.5, 0.6], rtol=1e-5)


# Minibatch standard deviation


def test_minibatch_stddev_against_numpy():
    layer, x = MinibatchStddev(3, rngs=nnx.Rngs(0)), jnp.asarray(clips(0, 6, 3))
    weights = np.asarray(layer.weights[...])[:, 0]
    np.testing.assert_allclose(layer(x), np.asarray(x).std(axis=0) @ weights, rtol=1e-5)


def test_clips_that_are_all_alike_have_finite_slopes():
    layer = MinibatchStddev(3, rngs=nnx.Rngs(0))
    slopes = jax.grad(layer)(jnp.ones((4, 3)))
    assert np.isfinite(slopes).all()
    assert abs(float(layer(jnp.ones((4, 3))))) < 1e-3


# Spectral norm


def test_spectral_norm_against_the_singular_values():
    kernel = clips(0, 5, 4, 7)
    norm = SpectralNorm(7, rngs=nnx.Rngs(0))
    for _ in range(100):
        refresh(norm, kernel)
    largest = np.linalg.svd(np.float64(kernel).reshape(20, 7), compute_uv=False)[0]
    np.testing.assert_allclose(answer(norm, kernel), kernel / largest, rtol=1e-4)


def test_the_gradient_of_spectral_norm():
    """Of sum(W) / σ with σ = vᵀ W u at fixed u, v: (1 - sum(W) / σ · v uᵀ) / σ."""
    kernel = clips(1, 6, 3)
    norm = SpectralNorm(3, rngs=nnx.Rngs(0))
    for _ in range(200):
        refresh(norm, kernel)
    left, values, right = np.linalg.svd(np.float64(kernel), full_matrices=False)
    expected = (1 - np.sum(kernel) / values[0] * np.outer(left[:, 0], right[0])) / values[0]
    found = jax.jit(jax.grad(lambda k: norm(k).sum()))(kernel)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


# Phase shuffle


def shifts_of(x, radius):
    padded = np.pad(x, ((0, 0), (radius, radius), (0, 0)), mode="reflect")
    length = x.shape[1]
    return [padded[:, s : s + length] for s in range(2 * radius + 1)]


@pytest.mark.parametrize("radius", [1, 2, 5])
def test_one_uniform_shift_for_the_whole_batch(radius):
    x = clips(0, 3, 16, 2)
    keys = jax.random.split(jax.random.key(1), 2000)
    shuffled = jax.jit(jax.vmap(lambda key: phase_shuffle(jnp.asarray(x), key, radius)))(keys)
    shifts = shifts_of(x, radius)
    counts = np.array([np.sum(np.all(np.asarray(shuffled) == y, axis=(1, 2, 3))) for y in shifts])
    assert counts.sum() == 2000  # each draw is one of the shifts, the same in all three clips
    expected = 2000 / len(shifts)
    assert np.sum((counts - expected) ** 2 / expected) < 30  # chi squared, at most 10 degrees


def test_a_shift_for_each_example():
    x = clips(0, 600, 16, 2)
    shuffled = jax.jit(lambda x, key: phase_shuffle(x, key, 2, by="example"))
    found = np.asarray(shuffled(x, jax.random.key(0)))
    hits = np.stack([np.all(found == y, axis=(1, 2)) for y in shifts_of(x, 2)])
    np.testing.assert_array_equal(hits.sum(0), 1)  # each clip is one of its own shifts
    counts = hits.sum(1)
    assert np.sum((counts - 120) ** 2 / 120) < 20  # chi squared, 4 degrees


@pytest.mark.parametrize("by", ["batch", "example"])
def test_radius_zero_moves_nothing(by):
    x = clips(0, 3, 16, 2)
    still = jax.jit(lambda x, key: phase_shuffle(x, key, 0, by=by))
    np.testing.assert_array_equal(still(x, jax.random.key(0)), x)


@pytest.mark.parametrize("mapped", [False, True], ids=["one GAN", "three"])
@pytest.mark.parametrize("by", ["batch", "example"])
def test_shifts_on_a_gpu_add_up_in_no_chance_order(by, mapped, as_on_a_gpu):
    """No scatter in any gradient, of which each slope has one place: equal, whatever the order."""
    x, weights = clips(0, 3, 4, 16, 2), clips(1, 3, 4, 16, 2)
    starts = np.random.default_rng(2).integers(0, 7, (3, 4), np.int32)
    starts = starts[:, 0] if by == "batch" else starts

    def slopes(x, start, weights):
        loss = lambda x: jnp.sum(weights * jnp.sin(shift_phase(x, start, 3)))  # noqa: E731
        return jax.grad(lambda x: jnp.sum(jax.grad(loss)(x) ** 2))(x)

    @jax.jit
    def expected(x, start, weights):
        def shifted(x):
            every = jnp.stack([_padded(x)[:, s : s + 16] for s in range(7)])
            return every[start] if by == "batch" else every[start, jnp.arange(4)]

        loss = lambda x: jnp.sum(weights * jnp.sin(shifted(x)))  # noqa: E731
        return jax.grad(lambda x: jnp.sum(jax.grad(loss)(x) ** 2))(x)

    def _padded(x):
        return jnp.pad(x, ((0, 0), (3, 3), (0, 0)), mode="reflect")

    every = jax.vmap(slopes) if mapped else lambda *a: slopes(*(x[0] for x in a))[None]
    text = jax.jit(every).trace(x, starts, weights).lower(lowering_platforms=("cuda",)).as_text()
    assert "scatter" not in text
    found = jax.jit(every)(x, starts, weights)
    for i, one in enumerate(np.asarray(found)):
        np.testing.assert_allclose(one, expected(x[i], starts[i], weights[i]), rtol=1e-4, atol=1e-5)
