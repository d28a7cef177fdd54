"""Extractors: what each gives, and a registry that takes a user's own."""

import json
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest

from features import extract, extractors, rms
from features.augmentation import WaveformAugmentation
from features.extractors import (
    EXTRACTORS,
    Augmented,
    LogMel,
    LogMelPicture,
    LogMelTempogram,
    Mfcc,
    Picture,
    as_dict,
    from_dict,
    mono,
    register_extractor,
)

RATE = 8000
NOISE = np.random.default_rng(0).uniform(-0.5, 0.5, (2, 4000, 1)).astype(np.float32)
MADE = {
    Mfcc(n_mfcc=13, n_fft=512, n_mels=20): (2, 26, 13),
    LogMel(n_mels=20, n_fft=512): (2, 8, 20, 1),
    LogMelPicture(frames=12, n_mels=10, n_fft=512): (2, 12, 10, 1),
    LogMelPicture(frames=12, n_mels=10, n_fft=512, sequence=True): (2, 12, 10),
    LogMelTempogram(n_mels=20, n_fft=512, win_length=4): (2, 8, 24),
    Picture(height=10, width=9, n_fft=512, n_mels=20): (2, 10, 9, 3),
}


@pytest.fixture
def registry(monkeypatch):
    monkeypatch.setattr(extractors, "EXTRACTORS", dict(EXTRACTORS))
    return extractors.EXTRACTORS


@pytest.mark.parametrize("make", MADE, ids=lambda make: type(make).__name__)
def test_each_takes_mono_clips_with_or_without_their_channel(make):
    found = np.asarray(make(NOISE, RATE))
    assert found.shape == MADE[make]
    np.testing.assert_array_equal(make(NOISE[..., 0], RATE), found)
    np.testing.assert_array_equal(make(np.repeat(NOISE, 2, 2), RATE), found)


def test_a_clip_alone_has_no_axis_of_clips():
    make = Mfcc(n_mfcc=13, n_fft=512, n_mels=20)
    found = make(NOISE[0, :, 0], RATE)
    np.testing.assert_allclose(found, make(NOISE, RATE)[0], rtol=1e-4, atol=1e-3)


def test_all_are_tried_here_and_keep_their_names():
    """The names are in saved classifiers."""
    assert {type(make) for make in MADE} == set(EXTRACTORS.values())
    assert list(EXTRACTORS) == ["Mfcc", "LogMel", "LogMelPicture", "LogMelTempogram", "Picture"]


@pytest.mark.parametrize("make", MADE, ids=lambda make: type(make).__name__)
def test_json_and_back(make):
    assert from_dict(json.loads(json.dumps(as_dict(make)))) == make


@dataclass(frozen=True)
class Loudness:
    hops: tuple[int, ...] = (512,)
    standardize: ClassVar[bool] = True

    def __call__(self, audio, sample_rate):
        return np.concatenate([rms(mono(audio), hop_length=hop) for hop in self.hops], 1)


def test_an_altered_copy_is_of_the_clip_whatever_its_batch():
    make = Augmented(Loudness(), WaveformAugmentation(("gain", "noise")), 3)
    found = make(NOISE, RATE)
    np.testing.assert_array_equal(make(NOISE[..., 0], RATE), found)
    for other in (make(NOISE[1:], RATE), make(NOISE[1, :, 0], RATE)):
        np.testing.assert_allclose(other, found[1:], rtol=1e-6)
    assert np.abs(found - replace(make, seed=4)(NOISE, RATE)).max() > 0.01


def test_a_users_own_is_one_entry(registry, tmp_path):
    assert register_extractor(Loudness) is Loudness
    make = from_dict(json.loads(json.dumps(as_dict(Loudness((256, 1000))))))
    assert make == Loudness((256, 1000))
    assert extract(NOISE, make, sample_rate=RATE, cache_dir=tmp_path).shape == (2, 21, 1)
    register_extractor(Loudness)  # its module loaded again


class Loose:
    pass


@dataclass
class Changing:
    standardize: ClassVar[bool] = True

    def __call__(self, audio, sample_rate):
        return audio


@dataclass(frozen=True)
class Unsaid:
    def __call__(self, audio, sample_rate):
        return audio


@pytest.mark.parametrize(
    ("kind", "lacking"),
    [
        (Loose, r"lacks @dataclass\(frozen=True\) and __call__.* and standardize"),
        (Changing, r"Changing lacks @dataclass\(frozen=True\)$"),
        (Unsaid, r"Unsaid lacks standardize: ClassVar\[bool\] = True or False$"),
    ],
)
def test_an_entry_that_lacks_something(registry, kind, lacking):
    with pytest.raises(TypeError, match=lacking):
        register_extractor(kind)
    assert kind.__name__ not in registry


def test_a_name_that_is_taken(registry):
    with pytest.raises(ValueError, match=r"an extractor Mfcc already, of features\.extractors"):
        register_extractor(
            type("Mfcc", (Loudness,), {"__dataclass_params__": Loudness.__dataclass_params__})
        )
    assert registry["Mfcc"] is Mfcc


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"type": "MFCC"}, r"no extractor 'MFCC'.*there are Mfcc, LogMel"),
        ({"type": "LogMell"}, r"no extractor 'LogMell': is it LogMel"),
        ({"n_mels": 3}, "no extractor 'None'"),
        ({"type": "LogMel", "mels": 3}, r"LogMel has no mels; it has n_mels, n_fft, hop_length"),
    ],
)
def test_what_cannot_be_read_back(values, said):
    with pytest.raises(ValueError, match=said):
        from_dict(values)


def test_another_shape():
    with pytest.raises(ValueError, match=r"shape \(1, 2, 4000, 1\); clips \(N, L, C\)"):
        mono(NOISE[None])
