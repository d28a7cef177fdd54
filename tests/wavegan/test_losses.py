from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from gan_runs import same, weights

from wavegan import TrainConfig, load, train
from wavegan.losses import (
    LOSSES,
    PENALTIES,
    Loss,
    gradient_penalty,
    paired,
    r1_penalty,
    r1_r2_penalty,
    wasserstein_critic,
)
from wavegan.run_folder import RunFolder

KEY = jax.random.key(0)


def clips(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def linear(weights):
    """A critic whose slope is ``weights`` everywhere."""
    return lambda x, key: jnp.sum(x * weights[None], axis=(1, 2))


def squares(x, key):
    """A critic whose slope is 2 x."""
    return jnp.sum(x**2, axis=(1, 2))


def of(penalty, critic, real, fake):
    """The penalty, as one program: of eager operations, each is one to compile."""
    return jax.jit(partial(penalty, critic))(real, fake, KEY)


# Gradient penalties


def test_the_penalty_of_a_linear_critic():
    """Slope norm over samples and channels: sqrt(9 + 16 + 144) = 13, penalty 12² = 144."""
    weights = jnp.array([[3.0, 0.0], [4.0, 12.0], [0.0, 0.0]])
    real, fake = clips(1, 5, 3, 2), clips(2, 5, 3, 2)
    assert of(gradient_penalty, linear(weights), real, fake) == pytest.approx(144, rel=1e-5)
    assert of(r1_penalty, linear(weights), real, fake) == pytest.approx(169 / 2, rel=1e-5)


def test_slope_one_costs_nothing_and_slope_zero_does_not_break_the_gradient():
    real, fake = clips(1, 5, 4, 1), clips(2, 5, 4, 1)

    @jax.jit
    @jax.value_and_grad
    def penalty(scale):
        return of(gradient_penalty, linear(scale * jnp.full((4, 1), 0.5)), real, fake)

    assert penalty(1.0)[0] == pytest.approx(0, abs=1e-10)
    assert penalty(0.0)[0] == pytest.approx(1, abs=1e-5)
    assert penalty(3.0)[1] == pytest.approx(4, rel=1e-4)  # of (s - 1)²
    assert np.isfinite(penalty(0.0)[1])


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
    fake = np.full((40_000, 2, 2), 0.5, np.float32)

    def critic(x, key):
        return jnp.sum(x**2, axis=(1, 2)) ** ((power + 1) / 2) / (power + 1)

    penalty = of(gradient_penalty, critic, np.zeros_like(fake), fake)
    assert penalty == pytest.approx(expected, abs=0.01)


def test_r1_is_laid_on_real_clips_alone():
    """Of |x|², whose slope is 2 x: half of 4 |x|², whatever is generated."""
    real = clips(1, 5, 3, 2)
    expected = 2 * np.mean(np.sum(np.square(real), axis=(1, 2)))
    for fake in (clips(2, 5, 3, 2), 100 * real):
        assert of(r1_penalty, squares, real, fake) == pytest.approx(expected, rel=1e-5)


def test_r2_is_laid_on_generated_clips_as_well():
    """Of |x|²: half of 4 |x|² of either side, and no less for a side without slopes."""
    real, fake = clips(1, 5, 3, 2), clips(2, 5, 3, 2)
    expected = sum(2 * np.mean(np.sum(np.square(x), axis=(1, 2))) for x in (real, fake))
    assert of(r1_r2_penalty, squares, real, fake) == pytest.approx(expected, rel=1e-5)
    alone = float(of(r1_penalty, squares, fake, real))
    assert of(r1_r2_penalty, squares, 0 * real, fake) == pytest.approx(alone, rel=1e-5)


# Pairs


def test_a_relativistic_gan_against_its_paper():
    """Softplus of minus the lead of real over generated clips (arXiv 2501.05441, eq. 2)."""
    real, fake = (np.asarray(clips(seed, 7), np.float64) for seed in (1, 2))
    logits = jax.device_put((np.float32(real), np.float32(fake)))
    loss, pair = LOSSES["logistic-r1"], paired(*logits)
    assert loss.critic(*pair) / 2 == pytest.approx(np.log1p(np.exp(fake - real)).mean(), rel=1e-5)
    assert loss.generator(pair[1]) == pytest.approx(np.log1p(np.exp(real - fake)).mean(), rel=1e-5)
    wasserstein = LOSSES["wgan-gp"]  # whose pairs lead by as much on average
    alone = wasserstein.critic(*logits)
    assert wasserstein.critic(*pair) / 2 == pytest.approx(float(alone), rel=1e-5)


def test_the_penalty_and_its_weight_of_a_training():
    """The loss's own, or the one asked for with its usual weight, or with the weight given."""
    found = {
        (loss, penalty, weight): TrainConfig(
            loss=loss, penalty=penalty, penalty_weight=weight
        ).slope_penalty
        for loss in ("wgan-gp", "dcgan", "logistic-r1")
        for penalty in (None, "gradient", "r1", "r1+r2")
        for weight in (None, 3.0)
        if (loss, penalty, weight) != ("dcgan", None, 3.0)
    }
    own = {"wgan-gp": "gradient", "dcgan": "none", "logistic-r1": "r1"}
    for (loss, penalty, weight), (function, used) in found.items():
        expected = PENALTIES[penalty or own[loss]]
        assert function is expected.of
        assert used == (expected.weight if weight is None else weight)
    assert TrainConfig(loss="wgan-gp", penalty="none").slope_penalty == (None, 0.0)


# Losses, against doubles


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize(
    ("name", "critic", "generator"),
    [
        ("wgan-gp", lambda r, f: f.mean() - r.mean(), lambda f: -f.mean()),
        ("wgan", lambda r, f: f.mean() - r.mean(), lambda f: -f.mean()),
        (
            "dcgan",
            lambda r, f: (-np.log(sigmoid(r)).mean() - np.log(1 - sigmoid(f)).mean()) / 2,
            lambda f: -np.log(sigmoid(f)).mean(),
        ),
        (
            "lsgan",
            lambda r, f: (np.square(r - 1).mean() + np.square(f).mean()) / 2,
            lambda f: np.square(f - 1).mean(),
        ),
        (
            "logistic-r1",
            lambda r, f: -np.log(sigmoid(r)).mean() - np.log(1 - sigmoid(f)).mean(),
            lambda f: -np.log(sigmoid(f)).mean(),
        ),
    ],
)
def test_the_losses(name, critic, generator):
    real, fake = clips(1, 7), clips(2, 7)
    doubles = (np.asarray(real, np.float64), np.asarray(fake, np.float64))
    ours, theirs = jax.jit(LOSSES[name].critic), jax.jit(LOSSES[name].generator)
    assert ours(real, fake) == pytest.approx(critic(*doubles), rel=1e-5)
    assert theirs(fake) == pytest.approx(generator(doubles[1]), rel=1e-5)


def test_extreme_logits_are_finite():
    far = jnp.full(2, 1e4)
    assert LOSSES["dcgan"].critic(-far, far) == pytest.approx(1e4)
    assert LOSSES["dcgan"].generator(-far) == pytest.approx(1e4)
    assert LOSSES["logistic-r1"].critic(far, -far) == 0


# What the reference does with each loss


@pytest.mark.parametrize(
    ("name", "rate", "b1", "b2"), [("wgan-gp", 1e-4, 0.5, 0.9), ("dcgan", 2e-4, 0.5, 0.999)]
)
def test_the_reference_adams(name, rate, b1, b2):
    loss = LOSSES[name]
    assert loss.learning_rate == rate
    ours, adam = loss.optimizer(rate), optax.adam(rate, b1=b1, b2=b2)
    weights = clips(0, 3)
    states = [jax.jit(each.init)(weights) for each in (ours, adam)]
    updates = [jax.jit(each.update) for each in (ours, adam)]
    for seed in range(3):
        gradients = clips(seed, 3)
        (first, second), states = zip(
            *(each(gradients, state, weights) for each, state in zip(updates, states, strict=True)),
            strict=True,
        )
        np.testing.assert_allclose(first, second, rtol=1e-6)


@pytest.mark.parametrize(("name", "rate"), [("wgan", 5e-5), ("lsgan", 1e-4)])
def test_the_reference_rmsprops(name, rate):
    """TensorFlow 1: ms = 0.9 ms + 0.1 g² from ms = 1, w -= rate g / sqrt(ms + 1e-10)."""
    loss = LOSSES[name]
    assert loss.learning_rate == rate
    optimizer, weights = loss.optimizer(rate), clips(0, 3)
    state, mean_square = jax.jit(optimizer.init)(weights), np.ones(3)
    for seed in range(4):
        gradient = clips(seed, 3)
        update, state = jax.jit(optimizer.update)(gradient, state, weights)
        mean_square = 0.9 * mean_square + 0.1 * np.square(np.asarray(gradient, np.float64))
        np.testing.assert_allclose(update, -rate * gradient / np.sqrt(mean_square), rtol=1e-5)


def test_penalties_and_clipping():
    given = {name: (loss.penalty, loss.penalty_weight, loss.clip) for name, loss in LOSSES.items()}
    assert given == {
        "wgan-gp": (gradient_penalty, 10.0, None),
        "wgan": (None, 0.0, 0.01),
        "dcgan": (None, 0.0, None),
        "lsgan": (None, 0.0, None),
        "logistic-r1": (r1_penalty, 1.0, None),
    }


# A user's own


@pytest.fixture
def own_losses(monkeypatch):
    monkeypatch.setattr(LOSSES, "_entries", dict(LOSSES))
    return LOSSES


def hinge(**changed):
    parts = {
        "critic": lambda real, fake: (jax.nn.relu(1 - real) + jax.nn.relu(1 + fake)).mean(),
        "generator": lambda fake: -fake.mean(),
        "optimizer": optax.sgd,
        "learning_rate": 1e-3,
    }
    loss = Loss(**parts)
    for name, value in changed.items():
        object.__setattr__(loss, name, value)  # past the types, which are checked in tests alone
    return loss


def test_a_loss_of_ones_own_trains_and_resumes(own_losses, audio, config, train_config, tmp_path):
    """And the same name with another function is another loss, in the same session."""
    own_losses["hinge"] = hinge()
    run, settings = tmp_path / "run", replace(train_config, loss="hinge", critic_steps=1, steps=4)
    whole = train(audio, config, settings)
    train(audio, config, replace(settings, steps=2), run_dir=run)
    resumed = train(audio, config, settings, run_dir=run)
    assert same(weights(resumed), weights(whole))
    assert RunFolder(run).read_config()["train"]["loss"] == "hinge"
    assert same(nnx.state(load(run)), nnx.state(whole.ema_generator))
    own_losses["hinge"] = hinge(generator=lambda fake: 2 * -fake.mean())
    assert not same(weights(train(audio, config, settings)), weights(whole))
    del own_losses["hinge"]
    for again in (lambda: load(run), lambda: train(audio, config, settings, run_dir=run)):
        with pytest.raises(ValueError, match=r"wavegan.LOSSES\['hinge'\] = wavegan.Loss\(critic"):
            again()


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (wasserstein_critic, r"\['mine'\]: give a wavegan.Loss\(critic, .*found function"),
        (
            hinge(critic=lambda real: real.mean()),
            r"critic\(real, fake\) fails on arrays: TypeError",
        ),
        (hinge(generator=lambda fake: -fake), r"generator\(fake\) must give a scalar, found .*4"),
        (hinge(generator=None), r"generator\(fake\) must be a function, found None"),
        (hinge(penalty=lambda c, r, f, k: r), r"penalty\(critic, real, fake, key\) must give a sc"),
        (hinge(optimizer=lambda rate: rate), "optimizer.learning_rate. must give an optax.*float"),
        (hinge(learning_rate=0.0), "learning_rate must be a positive number, found 0.0"),
    ],
)
def test_entries_that_are_no_loss(own_losses, entry, message):
    with pytest.raises((TypeError, ValueError), match=message):
        own_losses["mine"] = entry
    assert "mine" not in own_losses


def test_this_packages_losses_stay_what_they_are(own_losses):
    for name, penalty in (("wgan-gp", gradient_penalty), ("logistic-r1", r1_penalty)):
        with pytest.raises(ValueError, match=f"'{name}' in wavegan.LOSSES is this package's own"):
            own_losses[name] = hinge()
        own_losses["mine"] = hinge(penalty=penalty)  # theirs serve in others


def test_the_nearest_loss_is_named(own_losses):
    own_losses["hinge"] = hinge()
    with pytest.raises(ValueError, match=r"loss must be .*; found 'hing'. did you mean 'hinge'"):
        TrainConfig(loss="hing")
