import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy import signal

from wavegan.spectrogram_critic import SpectrogramCritic, log_spectrogram


@pytest.mark.parametrize("n_fft", [128, 512])
def test_log_spectrogram_against_scipy(n_fft):
    """Frame by frame, from the reflected clip, in doubles."""
    x = np.random.default_rng(0).uniform(-0.5, 0.5, (2, 2048, 2))
    hop, edge = n_fft // 4, (n_fft - n_fft // 4) // 2
    window = signal.get_window("hann", n_fft)
    padded = np.pad(x, ((0, 0), (edge, n_fft - hop - edge), (0, 0)), mode="reflect")
    frames = [padded[:, s : s + n_fft] for s in range(0, 2048, hop)]
    spectrum = np.fft.rfft(np.stack(frames, 1) * window[:, None] * 2 / window.sum(), axis=2)
    expected = 1 + np.log10(np.abs(spectrum) ** 2 + 1e-6) / 3
    expected = expected.transpose(0, 1, 3, 2).reshape(2, len(frames), -1)
    found = log_spectrogram(jnp.asarray(x, jnp.float32), n_fft)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_its_scale():
    """A full-scale sine in a bin is 1, silence -1."""
    sine = jnp.sin(2 * jnp.pi * 16 / 128 * jnp.arange(2048))[None, :, None]
    found = np.asarray(log_spectrogram(sine, 128))
    assert found[0, 20, 16] == pytest.approx(1, abs=1e-3)
    np.testing.assert_allclose(log_spectrogram(0 * sine, 128), -1, atol=1e-6)


def test_resolutions_follow_the_length():
    for length, windows in {256: (128,), 2048: (128, 512), 4096: (128, 512, 2048)}.items():
        critic = SpectrogramCritic(length, 1, 2, rngs=nnx.Rngs(0))
        assert critic.windows == windows
        assert jax.eval_shape(critic, jnp.zeros((3, length, 1))).shape == (3,)


def test_clips_are_scored_apart_and_with_finite_slopes():
    """Also of silence, and of the second order that a gradient penalty takes."""
    critic = SpectrogramCritic(1024, 2, 2, rngs=nnx.Rngs(0))
    x = jnp.asarray(np.random.default_rng(0).normal(size=(3, 1024, 2)), jnp.float32)
    scores = jax.jit(critic.__call__)
    np.testing.assert_allclose(scores(x)[1], scores(x[1:2])[0], rtol=1e-4)
    graph, weights = nnx.split(critic)

    def penalty(weights, x):
        slopes = jax.grad(lambda y: nnx.merge(graph, weights)(y).sum())(x)
        return jnp.sum(slopes**2)

    gradients = jax.jit(jax.grad(penalty))
    for clips in (0 * x, x):
        found = jax.tree.leaves(gradients(weights, clips))
        assert all(np.isfinite(g).all() for g in found)
    assert any(np.any(g) for g in found)
