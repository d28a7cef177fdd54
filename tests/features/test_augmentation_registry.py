"""An augmentation is one entry: names, ranges, versions and training follow from it."""

import jax
import numpy as np
import pytest

from features import augmentation_registry
from features.augmentation import AUGMENTATIONS, WaveformAugmentation, parse_augmentations
from features.augmentation_registry import Augmentation, register_augmentation
from features.feature_augmentation import FeatureAugmentation

KEY = jax.random.key(0)
AUDIO = np.random.default_rng(0).uniform(-0.5, 0.5, (3, 400, 1)).astype(np.float32)


@pytest.fixture(autouse=True)
def registry():
    """The entries as they were, whatever a test registers."""
    before = dict(AUGMENTATIONS)
    yield AUGMENTATIONS
    AUGMENTATIONS.clear()
    AUGMENTATIONS.update(before)


def fade(key, audio, *, share=(0.2, 0.8), sample_rate=1):
    """Quieter by a share drawn from the range, and by another where the rate is not 8 kHz."""
    by = jax.random.uniform(key[0], (), minval=share[0], maxval=share[1])
    return audio * by * (8000 / sample_rate)


def negate(key, inputs, targets):
    return -inputs, targets


def test_a_users_own_of_the_waveform():
    entry = {"setting": "share", "above": -0.5, "neutral": 1.0, "words": "{:.2g} of it"}
    assert register_augmentation("fade", "quieter", **entry)(fade) is fade
    made, nothing = parse_augmentations("gain,fade")
    assert nothing is None
    assert made.names == ("gain", "fade")
    assert made.ranges[1] == (0.2, 0.8)  # read off the signature
    half = WaveformAugmentation(("fade",), share=(0.5, 0.5))
    np.testing.assert_allclose(half(3, AUDIO, 8000), AUDIO / 2, rtol=1e-6)
    np.testing.assert_allclose(half(3, AUDIO, 16000), AUDIO / 4, rtol=1e-6)
    (words,) = WaveformAugmentation(("fade",)).versions(AUDIO, 8000)
    assert words == "0.2 of it"
    with pytest.raises(ValueError, match=r"share=.* two numbers above -0\.5"):
        WaveformAugmentation(("fade",), share=(-1.0, 0.0))
    assert "fade" not in WaveformAugmentation().names  # what a recipe means stays what it was


def test_its_draw_depends_on_its_name_alone():
    register_augmentation("fade", "quieter", setting="share")(fade)
    alone = WaveformAugmentation(("fade",))(3, AUDIO, 8000)
    del AUGMENTATIONS["fade"]
    register_augmentation("other", "nothing")(lambda key, audio: audio)
    register_augmentation("fade", "quieter", setting="share")(fade)
    np.testing.assert_array_equal(WaveformAugmentation(("fade", "other"))(3, AUDIO, 8000), alone)


def test_a_users_own_of_features():
    register_augmentation("negated", "the other sign", level="features")(negate)
    waveform, made = parse_augmentations("mixup,negated")
    assert waveform is None
    assert made == FeatureAugmentation(spec_augment=False, own=("negated",))
    inputs, targets = np.ones((4, 3), np.float32), np.eye(4, dtype=np.float32)
    found, found_targets = jax.jit(made)(KEY, inputs, targets)
    plain, plain_targets = FeatureAugmentation(spec_augment=False)(KEY, inputs, targets)
    np.testing.assert_allclose(found, -plain, atol=1e-6)
    np.testing.assert_allclose(found_targets, plain_targets, atol=1e-6)
    with pytest.raises(ValueError, match="no augmentation 'negate': is it negated"):
        FeatureAugmentation(own=("negate",))


def test_a_users_own_of_features_keeps_their_shapes():
    register_augmentation("half", "x", level="features")(lambda key, x, y: (x[:, :5], y))
    half = FeatureAugmentation(spec_augment=False, mixup_alpha=0.0, own=("half",))
    with pytest.raises(ValueError, match=r"'half' must .* found \(\(4, 5\), \(4, 4\)\)"):
        half(KEY, np.ones((4, 9), np.float32), np.eye(4, dtype=np.float32))


def test_the_entry_that_was_written_again_is_the_one_that_runs():
    """As in a notebook whose cell is run twice."""
    for factor in (2, 3):

        @register_augmentation("times", "a factor")
        def times(key, audio, factor=factor):
            return audio * factor

        found = WaveformAugmentation(("times",))(0, AUDIO, 8000)
        np.testing.assert_array_equal(found, AUDIO * np.float32(factor))


@pytest.mark.parametrize(
    ("kind", "settings", "function", "said"),
    [
        (ValueError, {}, lambda key, audio: audio, "'gain' already, features.augmentation.change"),
        (TypeError, {"name": "x", "level": "audio"}, fade, "level='audio'; use waveform or feat"),
        (
            TypeError,
            {"name": "x", "setting": "by"},
            fade,
            "no keyword by with a default range",
        ),
        (TypeError, {"name": "x"}, negate, r"takes \(key, audio\), then keywords"),
        (TypeError, {"name": "x", "level": "features"}, fade, r"takes \(key, inputs, targets\)"),
        (TypeError, {"name": "x"}, lambda key, audio: audio[:, :5], r"of the shape .*\(2, 5, 1\)"),
        (TypeError, {"name": "x"}, lambda key, audio: audio @ audio, "'x' fails on clips: TypeE"),
        (ValueError, {"name": "a,b"}, fade, "without commas"),
        (ValueError, {"name": "all"}, fade, "'all'"),
    ],
    ids=["taken", "level", "setting", "waveform", "features", "length", "fails", "comma", "all"],
)
def test_entries_that_are_refused(kind, settings, function, said):
    before = dict(AUGMENTATIONS)
    with pytest.raises(kind, match=said):
        register_augmentation(**{"name": "gain", "about": "louder"} | settings)(function)
    assert before == AUGMENTATIONS


def test_every_entry_says_what_it_is():
    assert list(AUGMENTATIONS) == [
        "pitch", "stretch", "shift", "polarity", "noise", "gain", "specaugment", "mixup",
    ]  # fmt: skip
    assert all(isinstance(entry, Augmentation) and entry.about for entry in AUGMENTATIONS.values())
    assert set(augmentation_registry.of_level("features")) == {"specaugment", "mixup"}


def test_versions_are_the_strongest_of_each_alone():
    quieter = "gain \N{MINUS SIGN}6 dB"
    versions = WaveformAugmentation(("gain", "noise", "polarity"), gain_db=(-6.0, 3.0)).versions(
        AUDIO, 8000
    )
    assert list(versions) == [quieter, "noise, 10 dB below", "other polarity"]
    np.testing.assert_array_equal(versions["other polarity"], -AUDIO)
    np.testing.assert_allclose(versions[quieter], AUDIO * 10 ** (-6 / 20), rtol=1e-6)
