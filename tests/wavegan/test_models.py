"""The generators that come with the package."""

import json
from pathlib import Path

import librosa
import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import features
import wavegan
from wavegan.export import located, models, read_exported

SPEAKERS = {"george", "jackson", "nicolas", "yweweler"}  # that it was trained on


@pytest.fixture(scope="module")
def digits():
    return wavegan.load("digits")


def test_it_is_small_and_has_a_card():
    assert models() == ["digits"]
    file = located("digits")
    assert file.stat().st_size <= 4e6
    card = file.with_suffix(".md").read_text(encoding="utf-8")
    for part in ("CC BY-SA 4.0", "Free Spoken Digit Dataset", "george", "recognised"):
        assert part in card


def test_it_says_what_it_heard():
    _, said = read_exported("digits")
    assert said["sample_rate"] == 8000
    assert said["labels"] == list("0123456789")
    assert len(said["tracks"]) == 2000
    assert {name.split("/")[1].split("_")[0] for name in said["tracks"]} == SPEAKERS


def test_it_makes_sounds(digits):
    sounds = wavegan.generate(digits, 40, seed=0, truncation=0.7)
    assert sounds.audio.shape == (40, 8192, 1)
    loudness = np.sqrt(np.mean(sounds.audio**2, axis=(1, 2)))
    assert np.median(loudness) > 0.03
    np.testing.assert_array_equal(sounds.labels, np.arange(40) % 10)


def test_a_run_of_that_name_goes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits" / "generated").mkdir(parents=True)  # what `wavegan generate` writes
    assert located("digits").suffix == ".safetensors"
    (tmp_path / "digits" / "config.json").write_text(json.dumps({}))
    assert located("digits") == Path("digits")


@pytest.mark.slow
def test_a_classifier_of_its_own_recognises_the_digits(digits, shared_data):
    """A support vector machine on MFCC by librosa, of the speakers that the GAN was trained on."""
    found = {name: [] for name in ("heard", "unheard")}
    for file in sorted((shared_data / "fsdd").glob("*/*.flac")):
        speaker, take = file.stem.split("_")
        if speaker in SPEAKERS:
            clip = features.load_audio(file, sample_rate=8000)[0].reshape(-1)
            found["unheard" if int(take) < 5 else "heard"].append((mfcc(clip), file.parent.name))
    machine = make_pipeline(StandardScaler(), SVC(C=10))
    machine.fit(*map(np.array, zip(*found["heard"], strict=True)))
    real = machine.score(*map(np.array, zip(*found["unheard"], strict=True)))
    sounds = wavegan.generate(digits, 500, seed=1)
    generated = machine.score(
        np.array([mfcc(clip[:, 0]) for clip in sounds.audio]), sounds.labels.astype(str)
    )
    print(f"recognised: real {real:.3f}, generated {generated:.3f}")
    assert real > 0.95  # the machine knows digits
    assert generated >= 0.6


def mfcc(clip: np.ndarray) -> np.ndarray:
    """Cepstra of a second at 8 kHz at an even loudness, in a row."""
    clip = librosa.util.fix_length(clip / np.abs(clip).max(), size=8192)
    mel = librosa.feature.melspectrogram(y=clip, sr=8000, n_fft=256, hop_length=128, n_mels=40)
    decibels = librosa.power_to_db(mel, ref=np.max, top_db=60)
    return librosa.feature.mfcc(S=decibels, n_mfcc=20).reshape(-1)
