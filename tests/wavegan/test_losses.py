import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from wavegan.losses import LOSSES, dcgan_critic, dcgan_generator, wgan_generator, wgan_gp_critic

KEY = jax.random.key(0)


def clips(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def linear(weights):
    """A critic whose slope is ``weights`` everywhere."""
    return lambda x, key: jnp.sum(x * weights[None], axis=(1, 2))


def test_wgan_gp_of_a_linear_critic():
    """Slope norm over samples and channels: sqrt(9 + 16 + 144) = 13, penalty 12² = 144."""
    weights = jnp.array([[3.0, 0.0], [4.0, 12.0], [0.0, 0.0]])
    real, fake = clips(1, 5, 3, 2), clips(2, 5, 3, 2)
    loss, terms = wgan_gp_critic(linear(weights), real, fake, KEY, 10.0)
    gap = np.mean(np.einsum("nlc,lc->n", np.asarray(real) - np.asarray(fake), weights))
    assert terms["critic_gap"] == pytest.approx(gap, rel=1e-5)
    assert terms["penalty"] == pytest.approx(144, rel=1e-5)
    assert loss == pytest.approx(1440 - gap, rel=1e-5)


def test_slope_one_costs_nothing_and_slope_zero_does_not_break_the_gradient():
    real, fake = clips(1, 5, 4, 1), clips(2, 5, 4, 1)

    def penalty(scale):
        _, terms = wgan_gp_critic(linear(scale * jnp.full((4, 1), 0.5)), real, fake, KEY, 1.0)
        return terms["penalty"]

    assert penalty(1.0) == pytest.approx(0, abs=1e-10)
    assert penalty(0.0) == pytest.approx(1, abs=1e-5)
    assert jax.grad(penalty)(3.0) == pytest.approx(4, rel=1e-4)  # of (s - 1)²
    assert np.isfinite(jax.grad(penalty)(0.0))


@pytest.mark.parametrize(
    ("power", "expected"),
    [
        (1, 1 / 3),  # E (α - 1)²
        (2, 1 / 5 - 2 / 3 + 1),  # E (α² - 1)²
        (5, 1 / 11 - 2 / 6 + 1),  # E (α⁵ - 1)²
    ],
)
def test_alpha_is_uniform_and_one_a_clip(power, expected):
    """Between silence and a clip of norm 1 the slope norm of |x|^(p+1) / (p+1) is α^p."""
    fake = jnp.full((40_000, 2, 2), 0.5)
    _, terms = wgan_gp_critic(
        lambda x, key: jnp.sum(x**2, axis=(1, 2)) ** ((power + 1) / 2) / (power + 1),
        jnp.zeros_like(fake),
        fake,
        KEY,
        1.0,
    )
    assert terms["penalty"] == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("loss", [wgan_gp_critic, dcgan_critic])
def test_each_pass_has_its_own_key(loss):
    """A critic that sees its key alone: equal keys would leave no gap."""
    _, terms = loss(
        lambda x, key: jnp.full(len(x), jax.random.uniform(key)),
        clips(1, 3, 4, 1),
        clips(2, 3, 4, 1),
        KEY,
        10.0,
    )
    assert abs(terms["critic_gap"]) > 1e-3


def test_the_interpolates_pass_has_its_own_key():
    """Slopes follow the third key: neither that of the real clips nor that of the fake ones."""
    real = jnp.zeros((1, 1, 1))
    fake = jnp.ones((1, 1, 1))
    draws = {}

    def critic(x, key):
        scale = jax.random.uniform(key, minval=2.0, maxval=3.0)
        draws[len(draws)] = scale
        return scale * x[:, 0, 0]

    _, terms = wgan_gp_critic(critic, real, fake, KEY, 10.0)
    slope = 1 + float(jnp.sqrt(terms["penalty"]))
    assert slope == pytest.approx(float(draws[2]), rel=1e-5)
    assert len({float(draw) for draw in draws.values()}) == 3


def test_wgan_generator_is_minus_the_mean_score():
    fake, weights = clips(2, 5, 3, 2), clips(3, 3, 2)
    expected = -np.mean(np.einsum("nlc,lc->n", fake, weights))
    assert wgan_generator(linear(weights), fake, KEY) == pytest.approx(expected, rel=1e-5)


def test_dcgan_is_the_cross_entropy():
    """Against -log of the sigmoid, in doubles; the critic's half of the sum."""
    weights = clips(3, 4, 1)
    real, fake = clips(1, 6, 4, 1), clips(2, 6, 4, 1)
    on_real, on_fake = (
        np.einsum("nlc,lc->n", np.asarray(x, np.float64), weights) for x in (real, fake)
    )

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    loss, terms = dcgan_critic(linear(weights), real, fake, KEY, 10.0)
    expected = (-np.log(sigmoid(on_real)).mean() - np.log(1 - sigmoid(on_fake)).mean()) / 2
    assert loss == pytest.approx(expected, rel=1e-5)
    assert terms["critic_gap"] == pytest.approx(on_real.mean() - on_fake.mean(), rel=1e-5)
    assert terms["penalty"] == 0
    expected = -np.log(sigmoid(on_fake)).mean()
    assert dcgan_generator(linear(weights), fake, KEY) == pytest.approx(expected, rel=1e-5)


def test_dcgan_of_extreme_logits_is_finite():
    far = linear(jnp.full((1, 1), 1e4))
    loss, _ = dcgan_critic(far, -jnp.ones((2, 1, 1)), jnp.ones((2, 1, 1)), KEY, 0.0)
    assert loss == pytest.approx(1e4)
    assert dcgan_generator(far, -jnp.ones((2, 1, 1)), KEY) == pytest.approx(1e4)


@pytest.mark.parametrize(
    ("name", "rate", "b1", "b2"), [("wgan-gp", 1e-4, 0.5, 0.9), ("dcgan", 2e-4, 0.5, 0.999)]
)
def test_the_reference_optimisers(name, rate, b1, b2):
    loss = LOSSES[name]
    assert loss.learning_rate == rate
    ours, adam = loss.optimizer(rate), optax.adam(rate, b1=b1, b2=b2)
    weights = clips(0, 3)
    states = ours.init(weights), adam.init(weights)
    for seed in range(3):
        gradients = clips(seed, 3)
        first, ours_state = ours.update(gradients, states[0], weights)
        second, adam_state = adam.update(gradients, states[1], weights)
        states = ours_state, adam_state
        np.testing.assert_allclose(first, second, rtol=1e-6)
