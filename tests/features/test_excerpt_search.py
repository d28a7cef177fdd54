"""Pieces of recordings are known among clips, and others are not taken for them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import soxr

from features.cache import Recording, decode_tracks
from features.dataset import scan_tracks
from features.excerpt_search import excerpts
from features.synthetic import synthesize

RATE = 16000


@pytest.fixture(scope="module")
def recordings(tmp_path_factory) -> tuple[Recording, ...]:
    folder = tmp_path_factory.mktemp("music")
    for genre in ("techno", "waltz"):
        (folder / genre).mkdir()
        for i in range(2):
            sound = synthesize(genre, i, seconds=4.0, sample_rate=RATE)
            sf.write(folder / genre / f"{genre}.{i}.wav", sound, RATE)
    tracks = scan_tracks(folder)
    return decode_tracks(tracks, sample_rate=RATE, cache_dir=folder / "cache").recordings


def after_mp3(sound: np.ndarray, rate: int) -> np.ndarray:
    """As it comes from a file of 128 kb/s."""
    file = io.BytesIO()
    level = {"bitrate_mode": "CONSTANT", "compression_level": 0.2}
    sf.write(file, sound, rate, "MPEG_LAYER_III", format="MP3", **level)
    file.seek(0)
    return sf.read(file, dtype="float32")[0][: len(sound)]


def test_pieces_are_found_in_their_tracks_alone(recordings):
    starts = [12345, 23456, 34567, 45678]
    read = zip(recordings, starts, strict=True)
    whole = np.stack([recording.read(s, s + RATE) for recording, s in read])
    names = {i: recording.track.track_id for i, recording in enumerate(recordings)}
    assert excerpts(whole, recordings, RATE) == names
    softer = np.stack([after_mp3(0.3 * clip[:, 0] / 2**15, RATE) for clip in whole])[..., None]
    assert excerpts(softer, recordings, RATE) == names
    stereo = np.repeat(-whole, 2, axis=2)  # upside down
    assert excerpts(stereo, recordings, RATE) == names
    assert excerpts(whole, recordings[1:3], RATE) == {1: names[1], 2: names[2]}


def test_pieces_at_another_speed_are_not_found_and_in_noise_they_are(recordings):
    sound = recordings[0].read(0, 3 * RATE)[:, 0] / 2**15
    slower = soxr.resample(sound, RATE, 1.002 * RATE)[RATE : 2 * RATE]
    noise = np.random.default_rng(0).normal(0, 0.1 * sound.std(), RATE)  # 20 dB below
    clips = np.stack([slower, sound[RATE : 2 * RATE] + noise])[..., None]
    assert excerpts(clips, recordings, RATE) == {1: recordings[0].track.track_id}


def test_clips_of_noise_silence_and_tones_are_no_pieces(recordings):
    time = np.arange(RATE) / RATE
    clips = [np.random.default_rng(0).normal(0, 0.1, RATE), 0 * time, np.sin(3000 * time)]
    assert excerpts(np.stack(clips)[..., None], recordings, RATE) == {}
    assert excerpts(np.zeros((0, RATE, 1)), recordings, RATE) == {}


def test_clips_too_short_to_tell_are_refused(recordings):
    with pytest.raises(ValueError, match=r"clips of 7999 samples are 0.50 s .* give longer clips"):
        excerpts(np.zeros((1, 7999, 1)), recordings, RATE)


@pytest.mark.parametrize(("name", "rate", "step"), [("gtzan-mini", 22050, 10), ("fsdd", 8000, 100)])
def test_of_real_recordings_each_piece_has_its_own(shared_data: Path, tmp_path, name, rate, step):
    if not (shared_data / name).is_dir():
        pytest.skip(f"no {name} in {shared_data}")
    tracks = scan_tracks(shared_data / name)[::step]
    found = decode_tracks(tracks, sample_rate=rate, cache_dir=tmp_path).recordings
    length = rate if name == "gtzan-mini" else rate // 2
    long = [one for one in found if one.num_samples >= length + 100]
    clips = np.stack([one.read(100, 100 + length) for one in long])
    told = excerpts(clips, found, rate)
    assert told == {i: one.track.track_id for i, one in enumerate(long) if i in told}
    assert len(told) >= 0.95 * len(long) > 4
