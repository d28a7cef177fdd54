"""What a check says of tracks: what decoding them would, in constant memory, writing nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
import soundfile as sf

from features.audio import to_pcm
from features.cache import decode_tracks
from features.dataset import Track, scan_tracks
from features.soundness import check_tracks, sound_blocks
from features.synthetic import synthesize

RATE = 8000


def noise(seed: int, seconds: float = 1.0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, round(RATE * seconds))


@pytest.fixture
def tracks(tmp_path):
    """A class of sound tracks and one of every fault."""
    sounds = {
        "good/full": np.where(np.arange(RATE) < RATE // 4, -1.0, noise(0)),
        "good/quiet": noise(1) * 1e-3,
        "good/twin": noise(1) * 1e-3,
        "bad/constant": np.full(RATE, 0.5),
        "bad/cut": noise(2),
        "bad/endless": np.full(RATE, np.inf),
        "bad/loud": noise(3) * 100,
        "bad/silent": np.zeros(RATE),
    }
    for name, sound in sounds.items():
        path = tmp_path / "data" / f"{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        sf.write(path, sound, RATE, "FLOAT" if name in ("bad/endless", "bad/loud") else "PCM_16")
    cut = tmp_path / "data/bad/cut.wav"
    cut.write_bytes(cut.read_bytes()[:5000])
    return scan_tracks(tmp_path / "data")


def test_it_is_what_decoding_says(tracks, tmp_path):
    checked, faulty = check_tracks(tracks)
    decoded = decode_tracks(tracks, sample_rate=RATE, cache_dir=tmp_path / "cache")
    assert tuple(faulty) == decoded.quarantined
    names = [one.track.track_id for one in faulty]
    assert names == ["constant", "cut", "endless", "loud", "silent", "twin"]
    for one, recording in zip(checked, decoded.recordings, strict=True):
        assert (one.track, one.digest) == (recording.track, recording.digest)
        assert (one.num_samples, one.sample_rate, one.channels) == (RATE, RATE, 1)
        assert one.encoding == "WAV PCM_16"


def test_processes_come_to_the_same(tracks, monkeypatch):
    monkeypatch.setattr("features.soundness._MANY", 2)
    seen = []
    found = check_tracks(tracks, processes=2, on_progress=lambda *told: seen.append(told))
    assert found == check_tracks(tracks)
    assert seen == [(i, len(tracks), track.track_id) for i, track in enumerate(tracks, 1)]


def test_of_one_recording_the_first_of_a_class_stays_and_how_it_was_known_is_said(tmp_path):
    sound = to_pcm(synthesize("techno", 0, seconds=3.0, sample_rate=16000)).astype(np.int16)
    files = {"a/1.wav": sound, "a/2.flac": sound, "a/3.wav": sound[1:] // 2, "b/1.wav": sound[9:]}
    for name, audio in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        sf.write(tmp_path / name, audio, 16000)
    shutil.copy(tmp_path / "a/1.wav", tmp_path / "a/4.wav")
    sf.write(tmp_path / "b/2.wav", noise(0), RATE)
    tracks = scan_tracks(tmp_path)
    (first, other), twins = check_tracks(tracks)
    assert (first.track.track_id, other.track.track_id) == ("a/1", "b/2")
    path = f"a/1 ({tmp_path / 'a/1.wav'})"
    reasons = {twin.track.track_id: twin.reason for twin in twins}
    assert reasons.pop("b/1").startswith(f"the same sound as {path}, which is a, not b: remove one")
    assert reasons == {
        "a/2": f"the same samples as {path}",
        "3": f"the same sound as {path}",
        "4": f"same content as {path}",
    }
    assert {twin.first for twin in twins} == {first.track}


def test_samples_at_full_scale_are_counted(tracks):
    (full, quiet), _ = check_tracks(tracks)
    assert (full.clipped, quiet.clipped) == (0.25, 0.0)


def test_that_all_are_faulty_is_an_error(tracks):
    with pytest.raises(ValueError, match=r"none of the 5 tracks can be used: .*constant.wav: sile"):
        check_tracks([track for track in tracks if track.label == "bad"])


def test_a_track_that_may_not_be_read_is_faulty(tracks, monkeypatch):
    def refused(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("features.soundness.file_digest", refused)
    with pytest.raises(ValueError, match=r"full.wav: unreadable: Permission denied"):
        check_tracks(tracks[-3:])


def test_memory_does_not_grow_with_the_length(tmp_path):
    path = tmp_path / "long.wav"
    with sf.SoundFile(path, "w", 44100, 2) as file:
        for i in range(180):
            file.write(np.random.default_rng(i).uniform(-0.5, 0.5, (44100, 2)))
    tracemalloc.start()
    try:
        assert sum(map(len, sound_blocks(path, sample_rate=22050))) == 180 * 22050
        assert tracemalloc.get_traced_memory()[1] < 10e6  # 16 MB are all samples as they are read
        tracemalloc.reset_peak()
        check_tracks([Track(path, "a", "long", "long")])
        assert tracemalloc.get_traced_memory()[1] < 10e6
    finally:
        tracemalloc.stop()


PEAK = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True)
print("peak", resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)
"""


def peak_of(*command: str, **environment: str) -> float:
    """The memory, in MiB, of a process of ``wavegan``."""
    wavegan = [sys.executable, "-c", "from experiments.cli import main; main()"]
    said = subprocess.run(
        [sys.executable, "-c", PEAK, *wavegan, *command],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return float(said.stdout.split("peak ")[-1])


@pytest.mark.slow
def test_an_hour_in_stereo_is_checked_in_300_mb_and_classified_in_350(tmp_path):
    rng = np.random.default_rng(0)
    for label in "ab":
        for i in range(4):
            (tmp_path / "short" / label).mkdir(parents=True, exist_ok=True)
            sf.write(tmp_path / "short" / label / f"{i}.wav", rng.uniform(-0.5, 0.5, 80000), 8000)
    (tmp_path / "hour/a").mkdir(parents=True)
    with sf.SoundFile(tmp_path / "hour/a/long.wav", "w", 44100, 2) as file:
        for _ in range(3600):
            file.write(rng.uniform(-0.5, 0.5, (44100, 2)))
    cache = str(tmp_path / "cache")
    run, own = tmp_path / "run", {"WAVEGAN_CACHE": cache, "JAX_COMPILATION_CACHE_DIR": cache}
    fit = ("--fit-steps", "2", "--seeds", "1", "--data", str(tmp_path / "short"))
    peak_of("classify", "--recipe", "demo", *fit, "--out", str(run), **own)
    hour = str(tmp_path / "hour/a/long.wav")
    predict, out = ("predict", str(run)), ("--out", str(tmp_path / "out"))
    short = str(tmp_path / "short/a/0.wav")
    assert peak_of(*predict, short, *out, **own) <= 300  # which compiles
    assert peak_of(*predict, short, *out, **own) <= 300
    assert peak_of(*predict, hour, *out, **own) <= 350
    for i in range(3):  # a class of one track is a fault
        sf.write(tmp_path / "hour/a" / f"{i}.wav", rng.uniform(-0.5, 0.5, 80000), 8000)
    assert peak_of("doctor", "--data", str(tmp_path / "hour"), **own) <= 300
