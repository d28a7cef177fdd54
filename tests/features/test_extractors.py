"""Extractors: what each gives, and a registry that takes a user's own."""

import json
import re
from dataclasses import dataclass, replace
from typing import ClassVar

import jax
import librosa
import numpy as np
import PIL.Image
import pytest
import scipy.fft
import scipy.signal

from features import extract, extractor_registry, log_mel, rms, tempo_picture
from features.augmentation import WaveformAugmentation
from features.extractors import (
    EXTRACTORS,
    Augmented,
    LogMel,
    LogMelPicture,
    LogMelTempogram,
    Mfcc,
    PannsLogMel,
    Picture,
    Statistics,
    Supplied,
    SuppliedPictures,
    TempoAndPicture,
    TempoPicture,
    Waveform,
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
    LogMel(n_mels=20, n_fft=512, norm=None, window=(0.5,) * 9, win_length=9): (2, 8, 20, 1),
    LogMelPicture(frames=12, n_mels=10, n_fft=512): (2, 12, 10, 1),
    LogMelPicture(frames=12, n_mels=10, n_fft=512, sequence=True): (2, 12, 10),
    LogMelTempogram(n_mels=20, n_fft=512, win_length=4): (2, 8, 24),
    TempoPicture(height=20, width=16, n_fft=512): (2, 20, 16, 3),
    Picture(height=10, width=9, n_fft=512, n_mels=20): (2, 10, 9, 3),
    TempoAndPicture(size=8, n_fft=512): (2, 65),
    Statistics(n_mfcc=5, n_mels=20, n_fft=512, hop_length=256): (2, 120),
    Waveform(): (2, 4000, 1),
    Waveform(frame=1000): (2, 4, 1000),
}
# Which have tests of their own.
MADE_ELSEWHERE = (PannsLogMel(), Supplied(3, "ab"), SuppliedPictures(20, 10, "cd"))


@pytest.fixture
def registry(monkeypatch):
    monkeypatch.setattr(extractor_registry, "EXTRACTORS", dict(EXTRACTORS))
    return extractor_registry.EXTRACTORS


@pytest.mark.parametrize("make", MADE, ids=lambda make: type(make).__name__)
def test_each_takes_mono_clips_with_or_without_their_channel(make):
    found = np.asarray(make(NOISE, RATE))
    assert found.shape == MADE[make]
    np.testing.assert_array_equal(make(NOISE[..., 0], RATE), found)
    np.testing.assert_array_equal(make(np.repeat(NOISE, 2, 2), RATE), found)


def test_the_way_of_numpys_audio_is_no_program(caplog):
    """Of clips of another length what is compiled is of the features themselves."""
    clips = NOISE[:, :3777]
    with jax.log_compiles():
        Waveform(frame=7)(clips, RATE)
        assert not caplog.messages
        PannsLogMel()(clips, 32_000)
        TempoPicture(height=20, width=16, n_fft=512)(clips, RATE)
    compiled = re.findall(r"Finished XLA compilation of jit\((\w+)\)", caplog.text)
    own = {"_mel_spectrogram", "_decibels", "_rise", "_autocorrelations", "_brightness_of_bins"}
    assert "_mel_spectrogram" in compiled
    assert set(compiled) <= own | {"_painted", "concatenate", "multiply", "subtract"}


def test_a_clip_alone_has_no_axis_of_clips():
    make = Mfcc(n_mfcc=13, n_fft=512, n_mels=20)
    found = make(NOISE[0, :, 0], RATE)
    np.testing.assert_allclose(found, make(NOISE, RATE)[0], rtol=1e-4, atol=1e-3)


def torchaudio_mfcc(clip: np.ndarray, n_mfcc: int, n_fft: int, hop: int, n_mels: int, width: int):
    """`torchaudio.transforms.MFCC` of one clip, by its documentation, in float64: (T, n_mfcc)."""
    padded = np.pad(clip.astype(np.float64), n_fft // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft)[::hop]
    hann = scipy.signal.get_window("hann", width)
    before = (n_fft - width) // 2
    weights = np.pad(hann, (before, n_fft - width - before))
    power = np.abs(np.fft.rfft(frames * weights)) ** 2
    hertz = np.linspace(0, RATE // 2, n_fft // 2 + 1)
    top = 2595 * np.log10(1 + RATE / 2 / 700)  # on the scale of HTK
    edges = 700 * (10 ** (np.linspace(0, top, n_mels + 2) / 2595) - 1)
    slopes = (edges[:, None] - hertz) / np.diff(edges, append=np.inf)[:, None]
    rising = -slopes[:-2]
    falling = (edges[2:, None] - hertz) / np.diff(edges)[1:, None]
    mel = power @ np.maximum(0, np.minimum(rising, falling)).T
    decibels = 10 * np.log10(np.maximum(mel, 1e-10))
    decibels = np.maximum(decibels, decibels.max() - 80)
    return scipy.fft.dct(decibels, norm="ortho")[:, :n_mfcc]


@pytest.mark.parametrize("win_length", [None, 300])
def test_the_mfcc_of_torchaudio_can_be_said(win_length):
    sizes = {"n_mfcc": 13, "n_fft": 400, "hop_length": 160, "n_mels": 23}
    found = Mfcc(**sizes, norm=None, pad_mode="reflect", win_length=win_length)(NOISE, RATE)
    right = [torchaudio_mfcc(clip, *sizes.values(), win_length or 400) for clip in NOISE[..., 0]]
    np.testing.assert_allclose(found, right, atol=1e-3)
    assert np.abs(Mfcc(**sizes)(NOISE, RATE) - np.array(right)).max() > 1


def test_log_mel_passes_its_settings_on():
    settings = {"n_mels": 20, "n_fft": 512, "hop_length": 100, "htk": True, "norm": 1}
    settings |= {"win_length": 300, "window": "hamming", "pad_mode": "edge"}
    found = LogMel(**settings)(NOISE, RATE)
    np.testing.assert_array_equal(
        found[..., 0], log_mel(NOISE[..., 0], sample_rate=RATE, **settings)
    )


def test_decibels_relative_to_the_clips_maximum_do_not_know_how_loud_it_is():
    make = LogMel(n_mels=20, n_fft=512, hop_length=100, relative=True, standardize=False)
    found = np.asarray(make(NOISE, RATE))[..., 0]
    for clip, ours in zip(NOISE[..., 0], found, strict=True):
        mel = librosa.feature.melspectrogram(y=clip, sr=RATE, n_fft=512, hop_length=100, n_mels=20)
        np.testing.assert_allclose(ours, librosa.power_to_db(mel, ref=np.max).T, atol=1e-3)
    np.testing.assert_allclose(make(NOISE / 8, RATE)[..., 0], found, atol=1e-4)
    assert found.max() == 0
    assert not make.standardize


def test_a_picture_may_have_the_margins_of_a_figure():
    sizes = {"n_fft": 512, "hop_length": 100, "n_mels": 20, "cmap": "magma"}
    found = np.asarray(Picture(height=50, width=40, margins=True, **sizes)(NOISE, RATE))
    inside = np.zeros((50, 40), bool)
    inside[6:44, 5:36] = True  # 0.12 to 0.89 of the height (44.5), 0.125 to 0.9 of the width
    assert (found[:, ~inside] == 1).all()
    plain = Picture(height=38, width=31, **sizes)(NOISE, RATE)
    np.testing.assert_array_equal(found[:, 6:44, 5:36], plain)


def test_a_window_may_be_the_numbers_of_an_array():
    make = Mfcc(n_fft=512, win_length=300, window=tuple(np.hanning(300)))
    again = from_dict(json.loads(json.dumps(as_dict(make))))
    assert (again, hash(again)) == (make, hash(make))


@pytest.mark.parametrize("kind", [Mfcc, LogMel])
@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"norm": "l2"}, "norm is 'l2'"),
        ({"norm": -1.0}, "norm is -1.0; the order"),
        ({"norm": [1]}, r"norm \(1,\), where None or float or str is needed"),
        ({"window": 7}, "window 7, where str or tuple is needed"),
        ({"window": [1, 2]}, "window has 2 samples, and "),
        ({"n_mels": None}, "n_mels None, where int is needed"),
        ({"win_length": 2.5}, "win_length 2.5, where None or int is needed"),
        ({"pad_mode": 3}, "pad_mode 3, where str is needed"),
        ({"pad_mode": "wrap"}, "pad_mode is 'wrap'; constant"),
        ({"win_length": 5000}, "win_length is 5000; 1 to n_fft="),
        ({"n_fft": 0}, "n_fft is 0"),
    ],
)
def test_settings_that_no_spectrum_has(kind, settings, said):
    with pytest.raises(ValueError, match=said):
        from_dict({"type": kind.__name__, **settings})


def test_all_are_tried_here_and_keep_their_names():
    """The names are in saved classifiers."""
    assert {type(make) for make in (*MADE, *MADE_ELSEWHERE)} == set(EXTRACTORS.values())
    names = (
        "Mfcc LogMel LogMelPicture LogMelTempogram Picture TempoPicture TempoAndPicture Statistics "
        "PannsLogMel Waveform Supplied SuppliedPictures"
    )
    assert list(EXTRACTORS) == names.split()


def test_a_tempogram_hears_frames_of_the_extractors_length():
    """Else clips of 1024 samples would be warned of for frames of 2048, which nobody asked for."""
    clips = np.random.default_rng(0).normal(0, 0.1, (2, 1024, 1)).astype(np.float32)
    make = EXTRACTORS["LogMelTempogram"](n_fft=1024, win_length=4)
    found = make(clips, RATE)
    onsets = librosa.onset.onset_strength(y=clips[1, :, 0], sr=RATE, n_fft=1024)
    lags = librosa.feature.tempogram(onset_envelope=onsets, sr=RATE, win_length=4)
    np.testing.assert_allclose(found[1, :, -4:], lags.T, atol=1e-3)


def test_a_tempo_is_librosas_and_its_picture_the_coloured_one_in_pillows_grey():
    clicks = np.full((1, 4 * RATE, 1), 1e-3, np.float32)
    clicks[:, :: RATE // 2] = 1  # two a second
    row = TempoAndPicture(size=16, n_fft=512, hop_length=128)(clicks, RATE)
    right = librosa.feature.tempo(y=clicks[0, :, 0], sr=RATE, hop_length=128)
    assert row[0, 0] == pytest.approx(right[0])
    coloured = tempo_picture(
        clicks[0, :, 0], sample_rate=RATE, size=(16, 16), n_fft=512, hop_length=128
    )
    picture = PIL.Image.fromarray(np.round(255 * np.asarray(coloured)).astype(np.uint8))
    np.testing.assert_allclose(255 * row[0, 1:], np.asarray(picture.convert("L")).ravel(), atol=1.1)


def test_statistics_are_those_of_librosas_features():
    frames = {"sr": RATE, "n_fft": 512, "hop_length": 256, "n_mels": 20}
    for clip, found in zip(NOISE, Statistics(5, 20, 512, 256)(NOISE, RATE), strict=True):
        mel = librosa.feature.melspectrogram(y=clip[:, 0], **frames)
        cepstra = librosa.feature.mfcc(y=clip[:, 0], n_mfcc=5, **frames)
        rows = [*cepstra, *librosa.feature.delta(cepstra), *librosa.power_to_db(mel)]
        wanted = [[f(row) for row in rows] for f in (np.mean, np.std, np.min, np.max)]
        np.testing.assert_allclose(found, np.ravel(wanted), atol=2e-3)


@pytest.mark.parametrize("make", [*MADE, *MADE_ELSEWHERE], ids=lambda make: type(make).__name__)
def test_json_and_back(make):
    assert from_dict(json.loads(json.dumps(as_dict(make)))) == make


@pytest.mark.parametrize(
    ("make", "shape", "said"),
    [
        (Supplied(3, "ab"), (3,), "embeddings that a file supplied"),
        (SuppliedPictures(20, 10, "cd"), (20, 10, 3), "pictures that a folder supplied"),
    ],
)
def test_what_files_supplied_is_not_made_from_audio(make, shape, said):
    assert make.shape == shape
    with pytest.raises(ValueError, match=f"{said}: they can't be computed"):
        make(NOISE, RATE)


def test_the_waveform_is_the_samples_in_their_order():
    two = np.stack([NOISE[..., 0], -NOISE[..., 0] / 2], -1)  # of two channels
    found = np.asarray(Waveform(frame=7)(two, RATE))
    count = NOISE.shape[1] // 7 * 7
    np.testing.assert_allclose(found.reshape(len(two), -1), NOISE[:, :count, 0] / 4, rtol=1e-6)
    with pytest.raises(ValueError, match="fewer than a frame of 9000"):
        Waveform(frame=9000)(NOISE, RATE)
    with pytest.raises(ValueError, match="frame is at least a sample, found 0"):
        Waveform(frame=0)


def test_panns_hear_one_rate():
    with pytest.raises(ValueError, match="PANNs hear 32000 Hz, not 8000"):
        PannsLogMel()(NOISE, RATE)
    assert PannsLogMel()(NOISE, 32_000).shape == (2, 13, 64)


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
