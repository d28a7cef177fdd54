import numpy as np
import pytest
from flax import nnx
from scipy import stats

from experiments.stages.filters import accept, likeliest, log_ratio, scores, sureness
from wavegan import Discriminator, WaveGANConfig

SPREAD = 0.6  # of "real" numbers, normal as the generated ones, whose spread is 1


def true_log_ratio(x):
    return stats.norm.logpdf(x, scale=SPREAD) - stats.norm.logpdf(x)


def critic_of(x):
    """A critic that knows the density ratio, on a scale of its own and turned round."""
    return 7 - 5 * true_log_ratio(x)


def calibrated(critic, count=4000):
    """The head, and the largest log ratio among the generated numbers that it was calibrated on."""
    rng = np.random.default_rng(0)
    real, made = critic(rng.normal(0, SPREAD, count)), critic(rng.normal(size=count))
    ratio = log_ratio(real, made)
    return ratio, ratio(made).max()


# --- the surest ----------------------------------------------------------------------------------


def judge(clips):
    """It takes a clip for class 1 as surely as the clip is loud."""
    sure = clips[:, 0, 0]
    return np.stack([1 - sure, sure], axis=1)


def clips(*levels):
    return np.tile(np.float32(levels)[:, None, None], (1, 32, 1))


BATCHES = clips(0.1, 0.9, 0.3), clips(0.8, 0.2)


@pytest.mark.parametrize(("index", "kept"), [(1, [1, 3]), (0, [0, 4])])
def test_the_surest_clips_of_a_class_are_kept_in_their_order(index, kept):
    sure = sureness(judge, BATCHES, index)
    np.testing.assert_array_equal(likeliest(sure, 2), kept)


def test_a_class_whose_clips_are_all_wrong_still_has_as_many_as_wanted():
    sure = sureness(judge, [clips(0.01, 0.02, 0.0), clips(0.03)], 1)
    np.testing.assert_array_equal(likeliest(sure, 3), [0, 1, 3])
    np.testing.assert_array_equal(likeliest(np.zeros(4), 3), [0, 1, 2])


# --- a critic's word as a density ratio ----------------------------------------------------------


def test_the_head_finds_the_true_log_ratio():
    ratio, _ = calibrated(critic_of)
    x = np.linspace(-2, 2, 41)
    np.testing.assert_allclose(ratio(critic_of(x)), true_log_ratio(x), atol=0.15)


def test_more_clips_of_one_kind_are_not_taken_for_a_density():
    rng = np.random.default_rng(1)
    ratio = log_ratio(rng.normal(1, 1, 2000), rng.normal(0, 1, 20000))
    x = np.linspace(-1, 2, 7)
    np.testing.assert_allclose(ratio(x), x - 0.5, atol=0.15)


def test_what_is_accepted_is_distributed_as_what_is_real():
    ratio, largest = calibrated(critic_of)
    x = np.random.default_rng(2).normal(size=8000)
    chances = np.exp(np.minimum(ratio(critic_of(x)) - largest, 0))
    chosen = accept(np.split(chances, 80), 1000, np.random.default_rng(3))
    assert chosen.filled == 0
    assert len(chosen.rows) == 1000
    # The ratio is at most 1 / SPREAD, so this share of the candidates is accepted.
    assert chosen.accepted == pytest.approx(SPREAD, abs=0.06)
    target = stats.norm(scale=SPREAD).cdf
    before, after = (stats.kstest(some, target).statistic for some in (x[:1000], x[chosen.rows]))
    assert before > 0.1
    assert after < 0.05  # 1.63 / √1000 is the 1 % level


def test_a_critic_that_knows_nothing_accepts_all_alike():
    rng = np.random.default_rng(0)
    ratio = log_ratio(*rng.normal(size=(2, 1024)))
    made = rng.normal(size=1024)
    assert np.ptp(ratio(made)) < 0.4
    assert np.ptp(true_log_ratio(made)) > 4  # what one says that knows
    np.testing.assert_allclose(ratio(made), 0, atol=0.2)


def test_a_constant_critic_accepts_the_first_candidates():
    ratio = log_ratio(np.full(64, 3.0), np.full(64, 3.0))
    np.testing.assert_array_equal(ratio(np.full(5, 3.0)), 0)
    chosen = accept([np.ones(4), np.ones(4)], 6, np.random.default_rng(0))
    np.testing.assert_array_equal(chosen.rows, np.arange(6))
    assert (chosen.candidates, chosen.accepted) == (6, 1)


def test_kinds_that_have_no_score_in_common_keep_a_finite_slope():
    ratio = log_ratio(np.linspace(10, 11, 512), np.linspace(-11, -10, 512))
    assert np.isfinite(ratio(np.array([-11.0, 0.0, 11.0]))).all()
    assert ratio(np.array([10.5]))[0] > 2 > -2 > ratio(np.array([-10.5]))[0]


@pytest.mark.parametrize("size", [1, 5, 40])
def test_what_is_accepted_does_not_depend_on_the_batches(size):
    chances = np.random.default_rng(0).random(40)
    batches = [chances[i : i + size] for i in range(0, 40, size)]
    chosen, whole = (accept(b, 7, np.random.default_rng(1)) for b in (batches, [chances]))
    np.testing.assert_array_equal(chosen.rows, whole.rows)
    assert chosen.candidates == whole.candidates == whole.rows[-1] + 1


def test_where_too_few_are_accepted_the_likeliest_fill_up():
    chances = np.array([0, 1e-9, 1, 3e-9, 2e-9, 1])
    chosen = accept(np.split(chances, 3), 4, np.random.default_rng(0))
    np.testing.assert_array_equal(chosen.rows, [2, 3, 4, 5])
    assert (chosen.candidates, chosen.filled, chosen.accepted) == (6, 2, 2 / 6)


def test_a_critic_is_asked_of_the_class():
    config = WaveGANConfig(num_samples=64, dim=1, num_classes=3)
    critic = Discriminator(config, rngs=nnx.Rngs(0))
    audio = np.random.default_rng(0).uniform(-1, 1, (5, 64, 1)).astype(np.float32)
    found = np.concatenate([*scores(critic, [audio[:3], audio[3:]], 2)])
    np.testing.assert_allclose(found, critic(audio, np.full(5, 2)), rtol=1e-5)
    (other,) = scores(critic, [audio], 1)
    assert np.abs(other - found).min() > 1e-4
