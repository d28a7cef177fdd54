"""A recording is known in any file: altered copies are found, other recordings are not accused."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import soxr

from features.identity import Identity, identify, same_recording, twins
from features.synthetic import synthesize

RATE = 16000
MP3_LEVELS = {8000: 0.0, 16000: 0.2, 22050: 0.2, 44100: 0.6}  # 128 kb/s; at 8 kHz 64 are the most


def altered(folder: Path, sound: np.ndarray, rate: int) -> Iterator[Path]:
    """Files of one recording, as it comes to be in a data set twice."""
    high = soxr.resample(sound, rate, 44100)
    versions = {
        "trimmed": (sound[1:], rate),
        "louder": (sound * 0.95 / np.abs(sound).max(), rate),
        "softer": (sound * 0.3, rate),
        "offset": (np.clip(sound + 0.05, -1, 1), rate),
        "high": (high, 44100),
        "low": (soxr.resample(sound, rate, 11025), 11025),
        "stereo": (np.stack([sound, 0.8 * sound], 1), rate),
    }
    if len(sound) > 3 * rate:
        versions["cut"] = (sound[rate // 2 :], rate)
    for name, (version, its_rate) in versions.items():
        sf.write(folder / f"{name}.wav", version, its_rate)
        yield folder / f"{name}.wav"
    for name, version, its_rate in (("own", sound, rate), ("high", high, 44100)):
        level = {"bitrate_mode": "CONSTANT", "compression_level": MP3_LEVELS[its_rate]}
        sf.write(folder / f"{name}.mp3", version, its_rate, "MPEG_LAYER_III", format="MP3", **level)
        yield folder / f"{name}.mp3"


@pytest.fixture(scope="module")
def music(tmp_path_factory) -> list[Path]:
    """Four tracks of 4 s, two of each of two genres."""
    folder = tmp_path_factory.mktemp("music")
    paths = [folder / f"{genre}.{i}.wav" for genre in ("techno", "waltz") for i in range(2)]
    for path in paths:
        genre, number, _ = path.name.split(".")
        sf.write(path, synthesize(genre, int(number), seconds=4.0, sample_rate=RATE), RATE)
    return paths


def test_a_copy_is_found_however_it_was_altered_and_others_are_not(music, tmp_path):
    one, *others = [identify(path) for path in music]
    sound = sf.read(music[0], dtype="float32")[0]
    for path in altered(tmp_path, sound, RATE):
        copy = identify(path)
        assert copy.samples != one.samples
        assert same_recording(one, copy), path.name
        assert not any(same_recording(other, copy) for other in others), path.name
    assert not any(same_recording(a, b) for a, b in itertools.combinations([one, *others], 2))


@pytest.mark.parametrize(
    ("percent", "decibels", "known"),
    [(0.1, None, True), (1, None, False), (0, 40, True), (0, 0, False)],
)
def test_another_speed_and_noise_are_known_up_to_a_point(music, tmp_path, percent, decibels, known):
    sound = sf.read(music[0], dtype="float32")[0]
    other = soxr.resample(sound, RATE, RATE * (1 + percent / 100))  # slower
    if decibels is not None:
        noise = np.random.default_rng(0).normal(0, other.std(), len(other))
        other = other + noise * 10 ** (-decibels / 20)
    sf.write(tmp_path / "other.wav", other / 2, RATE)
    assert same_recording(identify(music[0]), identify(tmp_path / "other.wav")) == known


@pytest.mark.parametrize(("name", "channels"), [("x.flac", 1), ("x.wav", 2), ("x.aiff", 1)])
def test_the_same_samples_are_the_same_in_any_file(music, tmp_path, name, channels):
    sound = sf.read(music[0], dtype="int16", always_2d=True)[0]
    sf.write(tmp_path / name, np.repeat(sound, channels, 1), RATE)
    assert identify(tmp_path / name) == identify(music[0])


def test_a_tone_or_a_click_has_no_print_and_is_known_by_its_samples(tmp_path):
    time = np.arange(2 * RATE) / RATE
    sounds = {"tone": 0.5 * np.sin(880 * np.pi * time), "click": 0.5 * (time < 0.01)}
    for name, sound in sounds.items():
        for version, gain in (("one", 1), ("same", 1), ("softer", 0.5)):
            sf.write(tmp_path / f"{version}.wav", gain * sound, RATE)
        one, same, softer = (identify(tmp_path / f"{v}.wav") for v in ("one", "same", "softer"))
        assert one.print == softer.print == "", name
        assert same_recording(one, same)
        assert not same_recording(one, softer)


def test_text_says_it_all_and_has_a_length_to_keep(music, tmp_path):
    sf.write(tmp_path / "short.wav", sf.read(music[0])[0][:8000], RATE)
    for path, length in ((music[0], 379), (tmp_path / "short.wav", 207)):
        found = identify(path)
        assert Identity.parse(str(found)) == found
        assert len(str(found)) == length


def damaged_texts() -> list:
    digest, marks = "0" * 32, np.arange(32, dtype="<u4") << 8
    plain = base64.b64encode(marks.tobytes()).decode()
    backwards = base64.b64encode(marks[::-1].tobytes()).decode()
    Identity.parse(f"1:{digest}:{plain}")
    return [
        *(None, 7, [], "", ":", digest, f"{digest}:", f"2:{digest}:{plain}"),
        *(f"1:{digest}", f"1:{digest}:{plain}:", f"1:{digest[1:]}:{plain}", f"1:G{digest[1:]}:"),
        *(f"1:{digest}\n:", f"1:{digest}:{plain[4:]}", f"1:{digest}:{plain[:-1]}", "1::"),
        *(f"1:{digest}:{plain}\n", f"1:{digest}:é{plain[1:]}", f"1:{digest}:{backwards}"),
        f"1:{digest}:{plain * 3}",
    ]


@pytest.mark.parametrize("text", damaged_texts())
def test_text_of_something_else_is_an_error(text):
    with pytest.raises(ValueError, match="identity of a recording"):
        Identity.parse(text)


def test_twins_are_the_pairs_that_a_comparison_of_all_finds(music, tmp_path):
    files = [*music, *altered(tmp_path, sf.read(music[1], dtype="float32")[0], RATE)]
    known = {path.name: identify(path) for path in files}
    pairs = [
        (one, other)
        for one, other in itertools.combinations(known, 2)
        if same_recording(known[one], known[other])
    ]
    assert len(pairs) == 10 * 11 / 2
    assert twins(known) == pairs
    again = {"first": known["techno.0.wav"], **known, "last": known["techno.0.wav"]}
    assert twins(again) == [("first", "techno.0.wav"), ("first", "last"), *pairs]
    assert twins({}) == []


@pytest.mark.parametrize("copies", [100, 101, 300])
def test_many_copies_are_linked_however_many_they_are(music, copies):
    """Whatever sides they are on, some pair of theirs is on two."""
    one, other = (identify(path) for path in music[:2])
    known = {i: replace(one, samples=f"{i:032x}") for i in range(copies)} | {-1: other}
    found = twins(known)
    assert set(itertools.pairwise(range(copies))) <= set(found)
    assert -1 not in {name for pair in found for name in pair}


def known_below(folder: Path) -> dict[Path, Identity]:
    return {path: identify(path) for path in sorted(folder.glob("*/*.*"))}


@pytest.mark.parametrize(("name", "step"), [("gtzan-mini", 40), ("fsdd", 100)])
def test_copies_of_real_recordings_are_found(shared_data, tmp_path, name, step):
    found_of_all(shared_data / name, tmp_path, step)


def found_of_all(folder: Path, tmp_path: Path, step: int) -> None:
    paths = sorted(folder.glob("*/*.flac"))[::step]
    if not paths:
        pytest.skip(f"no recordings in {folder}")
    for path in paths:
        sound, rate = sf.read(path, dtype="float32")
        for copy in altered(tmp_path, sound, rate):
            assert same_recording(identify(path), identify(copy)), (path, copy.name)


def test_takes_of_one_digit_are_no_twins(shared_data):
    assert twins(known_below_one(shared_data / "fsdd/8")) == []


def known_below_one(folder: Path) -> dict[Path, Identity]:
    return {path: identify(path) for path in sorted(folder.glob("*.flac"))}
