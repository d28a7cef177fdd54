"""Arrays as tracks: mono, checked, cut into clips and rid of silence as decoded files are."""

import numpy as np
import pytest

from features import cut_clips, decode_tracks, extract, save_audio, scan_tracks, without_silence
from features.extractors import LogMel
from features.in_memory import in_memory
from features.synthetic import synthesize

RATE = 4000


def track(audio, name="X[0]", label="a"):
    return in_memory(audio, label=label, name=name, sample_rate=RATE)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The same music as files and as arrays."""
    root = tmp_path_factory.mktemp("music")
    for i, name in enumerate(("a/x", "a/y", "b/z")):
        audio = synthesize("march", i, seconds=0.8 + i / 5, sample_rate=RATE)
        audio[1000:2000] = 0
        save_audio(root / f"{name}.wav", audio, RATE)
    return decode_tracks(scan_tracks(root), sample_rate=RATE, cache_dir=root / "cache").recordings


def held(recordings):
    return [track(r.read(0, r.num_samples), r.track.track_id, r.track.label) for r in recordings]


def test_an_array_is_a_track():
    audio = np.linspace(-0.5, 0.5, 40, dtype=np.float64).reshape(20, 2)
    found = track(audio)
    np.testing.assert_allclose(found.samples, audio.mean(1, keepdims=True), atol=1e-7)
    assert (found.num_samples, found.channels, found.sample_rate) == (20, 1, RATE)
    assert found.samples.dtype == np.float32
    one = track(np.int16([0, 16384, -32768]))
    np.testing.assert_array_equal(one.samples[:, 0], [0, 0.5, -1])
    assert one.digest == track(np.float32([0, 0.5, -1]), "other").digest != found.digest
    assert one.track.group == one.digest


@pytest.mark.parametrize("by", [None, "frames", "samples"])
def test_clips_of_arrays_are_those_of_files(files, by, tmp_path):
    both = []
    for tracks in (files, held(files)):
        kept = without_silence(tracks, by=by, cache_dir=tmp_path) if by else tracks
        both.append(cut_clips(kept, num_samples=700))
    decoded, arrays = both
    np.testing.assert_array_equal(decoded.audio[:], arrays.audio[:])
    for name in ("labels", "track_ids", "starts"):
        np.testing.assert_array_equal(getattr(decoded, name), getattr(arrays, name))
    some = LogMel(n_mels=16, n_fft=256, hop_length=128)
    one, other = (extract(clips, some, cache_dir=tmp_path) for clips in both)
    np.testing.assert_array_equal(one[:], other[:])


def test_files_and_arrays_go_together(files):
    mixed = [files[0], *held(files)[1:]]
    np.testing.assert_array_equal(
        cut_clips(mixed, num_samples=700).audio[:], cut_clips(files, num_samples=700).audio[:]
    )


@pytest.mark.parametrize(
    ("audio", "said"),
    [
        (np.zeros(10, np.int32), r"X\[0\] is of type int32: audio is floating point"),
        (np.array(["a"]), "is of type <U1"),
        (np.zeros((2, 2, 2)), r"has the shape \(2, 2, 2\): a track is \(L,\)"),
        (np.zeros(0), "has the shape"),
        (np.zeros((2, 800)), r"\(2, 800\), and \(L, C\) has at most 16 channels"),
        (np.array([0, np.nan]), "has NaN or Inf"),
        (np.array([0, 1e300]), "has NaN or Inf"),
    ],
)
def test_arrays_that_are_no_audio(audio, said):
    with pytest.raises(ValueError, match=said), np.errstate(over="ignore"):
        track(audio)


def test_an_array_of_silence_is_named():
    with pytest.raises(ValueError, match=r"X\[0\] is silent: all its samples are 0"):
        track(np.zeros(2000))
    with pytest.raises(ValueError, match=r"X\[0\]: nothing is left of its 0.50 s without silence"):
        without_silence([track(np.full(2000, 0.5))], by="samples", threshold=1)


def test_an_array_that_is_too_short_is_named():
    with pytest.raises(ValueError, match=r"X\[3\]: 0.05 s is too short for a clip"):
        cut_clips([track(np.ones(200), "X[3]")], num_samples=700)
