import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.signal import hilbert
from scipy.stats import kstest, norm

from wavegan.augmentation import (
    AUGMENTATIONS,
    adapted,
    augment,
    check_augmentations,
    separation,
)

KEY = jax.random.key(0)
MANY, FEW = (2000, 64, 2), (6, 64, 2)  # few shapes, for few compilations
ALL = tuple(AUGMENTATIONS)[::-1]  # in one order, which must not matter: compiled once
compiled = jax.jit(augment, static_argnames="names")


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(scale=0.2, size=shape).astype(np.float32)


def always(name, clips, key=KEY):
    """The clips before and after one transform of all of them, in doubles."""
    after = compiled(clips, key, 1.0, (name,))
    assert after.shape == clips.shape
    assert after.dtype == jnp.float32
    return np.asarray(clips, np.float64), np.asarray(after, np.float64)


def assert_uniform(draws, low, high):
    assert kstest(draws, "uniform", (low, high - low)).pvalue > 1e-3


def test_gain_is_one_factor_a_clip_log_uniform_within_6_db():
    before, after = always("gain", noise(*MANY))
    factors = after[:, 0, 0] / before[:, 0, 0]
    np.testing.assert_allclose(after, before * factors[:, None, None], rtol=1e-5)
    assert_uniform(20 * np.log10(factors), -6, 6)


def test_polarity_is_either_sign_one_as_likely_as_the_other():
    before, after = always("polarity", noise(*MANY))
    signs = np.sign(after[:, 0, 0] * before[:, 0, 0])
    np.testing.assert_array_equal(after, before * signs[:, None, None])
    assert abs(signs.mean()) < 4 / np.sqrt(2000)


def test_shift_is_a_window_of_the_reflected_clip_up_to_an_eighth_away():
    before, after = always("shift", noise(*MANY))
    padded = np.pad(before, ((0, 0), (8, 8), (0, 0)), mode="reflect")
    shifted = np.stack([padded[:, start : start + 64] for start in range(17)])
    fits = (shifted == after).all(axis=(2, 3))  # (shifts, clips)
    assert (fits.sum(axis=0) == 1).all()
    counts = fits.sum(axis=1)
    assert counts.min() > 70  # of 118 expected
    assert counts.max() < 170


def test_mute_is_silence_for_up_to_an_eighth_with_linear_fades():
    length, fade = 2048, 8
    _, after = always("mute", np.ones((1000, length, 2), np.float32))
    np.testing.assert_array_equal(after[..., 0], after[..., 1])
    windows = after[..., 0]
    assert windows.min(axis=1).max() < 1 / fade  # every clip has its silence
    assert np.abs(np.diff(windows)).max() <= 1 / fade + 1e-4
    # Integrated, a span away from the edges is 2 · reach + fade samples of silence.
    inside = (windows[:, [0, -1]] == 1).all(axis=1)
    missing = np.sum(1 - windows[inside], axis=1) - fade
    assert_uniform(missing, 0, length / 8)
    centres = (1 - windows[inside]) @ np.arange(length) / np.sum(1 - windows[inside], axis=1)
    for window, centre, width in zip(windows[inside], centres, missing, strict=True):
        outside = np.abs(np.arange(length) - centre) - width / 2
        np.testing.assert_allclose(window, np.clip(outside / fade, 0, 1), atol=2e-2)
    assert_uniform(centres[missing < 32], 0, length)


def test_mute_multiplies_the_clip_by_its_window():
    before, after = always("mute", noise(*MANY))
    _, window = always("mute", np.ones(MANY, np.float32))
    np.testing.assert_allclose(after, before * window, atol=1e-7)


def test_noise_is_white_gaussian_and_blind_to_the_clip():
    before, after = always("noise", noise(*MANY))
    _, alone = always("noise", np.zeros(MANY, np.float32))
    np.testing.assert_allclose(after - before, alone, atol=1e-7)
    deviations = np.sqrt(np.mean(alone**2, axis=(1, 2), keepdims=True))
    assert_uniform(deviations.ravel(), 0, 0.03)
    unit = alone / deviations
    assert kstest(unit[::10].ravel(), norm.cdf).pvalue > 1e-3
    power = np.mean(np.abs(np.fft.rfft(unit, axis=1)) ** 2, axis=(0, 2))[1:-1] / 64
    assert abs(power - 1).max() < 5 / np.sqrt(4000)  # flat over 31 frequencies
    assert abs(np.mean(unit[..., 0] * unit[..., 1])) < 4 / np.sqrt(2000 * 64)
    assert abs(np.mean(unit[1:] * unit[:-1])) < 4 / np.sqrt(1999 * 128)


def turned(clips, angles):
    """Real part of e^(iθ) times the analytic signal of the mirrored clips, their mean kept."""
    mean = clips.mean(axis=1, keepdims=True)
    mirrored = np.concatenate([clips - mean, (clips - mean)[:, ::-1]], axis=1)
    analytic = hilbert(mirrored, axis=1)[:, : clips.shape[1]]
    return mean + np.real(np.exp(1j * angles)[:, None, None] * analytic)


def angles_of(before, after):
    """Least squares of the cosine and sine between each clip and its rotation."""
    mean = before.mean(axis=1, keepdims=True)
    parts = [turned(before, np.full(len(before), a)) - mean for a in (0.0, np.pi / 2)]
    cosine, sine = np.stack(
        [
            np.linalg.lstsq(np.stack([p[i].ravel() for p in parts], 1), (y - m).ravel())[0]
            for i, (y, m) in enumerate(zip(after, mean, strict=True))
        ],
        axis=1,
    )
    np.testing.assert_allclose(cosine**2 + sine**2, 1, rtol=1e-4)
    return np.arctan2(sine, cosine)


@pytest.mark.parametrize("shape", [MANY, (20, 33, 1)])
def test_rotate_turns_the_analytic_signal(shape):
    before, after = always("rotate", noise(*shape) + np.float32(0.3))
    angles = angles_of(before, after)
    np.testing.assert_allclose(after, turned(before, angles), atol=2e-6)
    assert_uniform(angles, -np.pi, np.pi)


def test_rotate_shifts_the_phase_of_a_sine_and_leaves_a_constant():
    time = np.arange(4096)[None, :, None]
    omega = 2 * np.pi * 200 / 4096
    before, after = always("rotate", np.repeat(np.sin(omega * time), 8, axis=0).astype("f"))
    for angle, y in zip(angles_of(before, after), after, strict=True):
        middle = slice(1024, 3072)  # the mirror image bends what is near the edges
        expected = np.sin(omega * time[0] + angle)
        np.testing.assert_allclose(y[middle], expected[middle], atol=5e-3)
    constant, still = always("rotate", np.full(MANY, 0.5, np.float32))
    np.testing.assert_allclose(still, constant, atol=1e-6)


def test_rotate_makes_no_click_where_a_clip_begins():
    """A ramp jumps by 2 where it meets itself; its plain Hilbert transform is a spike there."""
    ramp = np.linspace(-1, 1, 1024)[None, :, None]
    spike = np.abs(hilbert(ramp[0, :, 0]).imag).max()
    _, after = always("rotate", np.repeat(ramp, 50, axis=0).astype("f"))
    assert spike > 4
    assert np.abs(after).max() < 1.5


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_a_clip_is_changed_with_the_probability(name):
    clips = noise(*MANY)
    share = np.mean(np.any(np.asarray(compiled(clips, KEY, 0.3, (name,))) != clips, axis=(1, 2)))
    expected = {"polarity": 0.15, "shift": 0.3 * 16 / 17}.get(name, 0.3)  # some draws do nothing
    assert share == pytest.approx(expected, abs=4 * np.sqrt(0.3 * 0.7 / 2000))


def test_what_is_drawn_does_not_depend_on_the_choice():
    after = np.asarray(compiled(np.ones(MANY, np.float32), KEY, 0.3, ("gain",)), np.float64)[
        :, 0, 0
    ]
    assert_uniform(20 * np.log10(after[after != 1]), -6, 6)


def test_transforms_choose_their_clips_independently():
    """Clips of gain's and of noise's: all four combinations at their share."""
    after = np.asarray(compiled(np.ones(MANY, np.float32), KEY, 0.5, ("gain", "noise")))
    louder = np.abs(after.mean(axis=(1, 2)) - 1) > 0.02
    noisy = after.std(axis=(1, 2)) > 1e-6
    for gained in (True, False):
        share = np.mean(noisy[louder == gained])
        assert share == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_equal_clips_and_other_keys_draw_separately(name):
    clips = np.broadcast_to(noise(1, 64, 2), MANY)
    first, second = (
        np.asarray(compiled(clips, key, 1.0, (name,))) for key in (KEY, jax.random.fold_in(KEY, 1))
    )
    assert len(np.unique(first, axis=0)) >= (2 if name == "polarity" else 10)
    assert np.any(first != second)


def test_channels_share_their_draws():
    """All but noise, which is each channel's own."""
    clips = np.tile(noise(2000, 64, 1), 2)
    for name in AUGMENTATIONS:
        left, right = np.moveaxis(np.asarray(compiled(clips, KEY, 0.7, (name,))), 2, 0)
        assert np.any(left != clips[..., 0])
        assert np.array_equal(left, right) == (name != "noise")


def test_probability_zero_and_no_names_change_nothing():
    clips = noise(*MANY)
    np.testing.assert_array_equal(compiled(clips, KEY, 0.0, ALL), clips)
    np.testing.assert_array_equal(compiled(clips, KEY, 1.0, ()), clips)


def test_several_are_one_after_another_in_a_fixed_order():
    """A transform draws the same whatever else is named, and in whatever order."""
    clips = expected = noise(*MANY)
    for name in AUGMENTATIONS:
        expected = compiled(expected, KEY, 0.8, (name,))
    together = np.asarray(compiled(clips, KEY, 0.8, ALL))
    np.testing.assert_allclose(together, expected, atol=1e-6)
    assert np.any(together != clips)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_the_gradient_is_that_of_a_linear_map(name):
    """Each transform is A x + b: its gradient must be the adjoint, ⟨A d, w⟩ = ⟨d, Aᵀ w⟩."""
    clips, direction, weights = (noise(*MANY, seed=i) for i in range(3))

    def transform(x):
        return compiled(x, KEY, 0.8, (name,))

    back = np.asarray(jax.jit(jax.grad(lambda x: jnp.sum(transform(x) * weights)))(clips))
    moved = np.asarray(transform(clips + direction), np.float64) - transform(clips)
    np.testing.assert_allclose(
        np.sum(moved * weights, axis=(1, 2)), np.sum(direction * back, axis=(1, 2)), atol=1e-5
    )
    assert np.any(back != weights) or name == "noise"


def test_gradients_of_gradients_are_finite_even_for_silence():
    """As a penalty on slopes through the augmentation takes them."""

    def penalty(x):
        slopes = jax.grad(lambda x: jnp.sum(jnp.sin(augment(x, KEY, 0.7, ALL))))(x)
        return jnp.sum(slopes**2)

    value, gradient = jax.jit(jax.value_and_grad(penalty))(jnp.zeros(FEW))
    assert value > 1
    assert np.isfinite(gradient).all()
    assert np.any(gradient != 0)  # of the noisy clips


def test_jit_and_vmap_give_what_single_calls_give():
    """Over genres, each with its key and probability."""
    clips, keys = noise(3, *MANY), jax.random.split(KEY, 3)
    probabilities = np.array([0.0, 0.5, 1.0], np.float32)
    many = jax.jit(jax.vmap(lambda x, k, p: augment(x, k, p, ALL)))
    batches = np.asarray(many(clips, keys, probabilities))
    for batch, x, k, p in zip(batches, clips, keys, probabilities, strict=True):
        np.testing.assert_allclose(batch, compiled(x, k, p, ALL), atol=1e-6)
        assert np.array_equal(batch, x) == (p == 0)


def test_separation_counts_real_clips_on_their_side_of_the_midpoint():
    real = jnp.array([3.0, 2.0, 1.0, -2.0])  # mean 1, midpoint 0.5
    fake = jnp.array([0.5, -0.5])
    assert separation(real, fake) == 0.5  # three beyond, one short of it
    assert separation(real + 1000, fake + 1000) == 0.5  # a critic's offset does not count
    assert separation(real, fake - 100) == 1
    assert separation(jnp.zeros(3), jnp.zeros(3)) == 0


def test_separation_of_two_normals():
    """Means 0 and d: P(real beyond d / 2) is Φ(d / 2); 0.6 is where it is 0.8."""
    gap = 2 * norm.ppf(0.8)
    rng = np.random.default_rng(0)
    real, fake = (jnp.asarray(rng.normal(size=20_000) + m, "f") for m in (gap, 0.0))
    assert separation(real, fake) == pytest.approx(0.6, abs=0.02)


@pytest.mark.parametrize(
    ("probability", "apart", "expected"),
    [
        (0.5, 0.7, 0.51),
        (0.5, 0.6, 0.49),  # on target is not beyond it
        (0.5, -0.2, 0.49),
        (0.0, 0.0, 0.0),
        (0.004, 0.0, 0.0),
        (0.795, 0.9, 0.8),
        (0.8, 0.9, 0.8),
    ],
)
def test_the_probability_follows_the_separation(probability, apart, expected):
    after = jax.jit(lambda p, s: adapted(p, s, target=0.6, step=0.01))(probability, apart)
    assert after == pytest.approx(expected, abs=1e-6)
    assert after.dtype == jnp.float32


def test_another_target_and_ceiling():
    assert adapted(0.5, 0.3, target=0.2, step=0.1) == pytest.approx(0.6)
    assert adapted(0.95, 0.9, step=0.1, ceiling=1.0) == 1


def test_below_the_ceiling_no_uniform_draw_hides_a_frequency():
    """Of the mixture (1 - p) + p · sinc, the Fourier transform of staying or moving."""
    sinc = np.sinc(np.linspace(0, 20, 100_001))
    ceiling = adapted(0.8, 1.0, step=1.0)
    assert np.min(1 - ceiling + ceiling * sinc) > 0.02
    assert np.min(1 - 0.83 + 0.83 * sinc) < 0


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("gain", "pitch"), "no augmentation 'pitch' in 'gain', 'pitch': name any of gain, pol"),
        (("gain", "gain"), "named twice in 'gain', 'gain': name any of gain, polarity"),
    ],
)
def test_unknown_and_repeated_names_are_refused(names, message):
    with pytest.raises(ValueError, match=message):
        check_augmentations(names)
    with pytest.raises(ValueError, match=message):
        augment(noise(1, 32, 1), KEY, 0.5, names)


def test_all_names_are_accepted():
    check_augmentations(())
    check_augmentations(tuple(AUGMENTATIONS))
    assert tuple(AUGMENTATIONS) == ("gain", "polarity", "shift", "mute", "noise", "rotate")


# A user's own


@pytest.fixture
def own_augmentations(monkeypatch):
    monkeypatch.setattr(AUGMENTATIONS, "_entries", dict(AUGMENTATIONS))
    return AUGMENTATIONS


def test_an_augmentation_of_ones_own_follows_this_packages(own_augmentations):
    """Its draws depend on its name, not on what else is registered or when."""
    own_augmentations["scaled"] = lambda clips, key: clips * jax.random.normal(key)
    clips = noise(4, 32, 1)
    alone = augment(clips, KEY, 1.0, ("scaled",))
    assert not np.allclose(alone, clips)
    del own_augmentations["scaled"]
    own_augmentations["reverse"] = lambda clips, key: clips[:, ::-1]
    own_augmentations["scaled"] = lambda clips, key: clips * jax.random.normal(key)
    np.testing.assert_array_equal(augment(clips, KEY, 1.0, ("scaled",)), alone)
    together = augment(clips, KEY, 1.0, ("reverse", "scaled"))
    np.testing.assert_array_equal(together, alone[:, ::-1])
    loud = augment(clips, KEY, 1.0, ("gain",))
    np.testing.assert_allclose(augment(clips, KEY, 1.0, ("reverse", "gain")), loud[:, ::-1])


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (3, r"wavegan.AUGMENTATIONS\['mine'\]: give a function \(clips"),
        (lambda clips: clips, "it fails on clips: TypeError"),
        (lambda clips, key: clips[:, ::2], "clips of the shape and type it is given, found .*32"),
    ],
)
def test_entries_that_are_no_augmentation(own_augmentations, entry, message):
    with pytest.raises(TypeError, match=message):
        own_augmentations["mine"] = entry
    assert "mine" not in own_augmentations


def test_an_unknown_augmentation_is_answered_with_the_nearest():
    with pytest.raises(ValueError, match=r"did you mean 'noise'.*must be registered first"):
        check_augmentations(("nois",))
