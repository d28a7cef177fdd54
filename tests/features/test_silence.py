"""Silence removal: what is kept, that both ways do as they say, and its cache."""

from __future__ import annotations

from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from features.cache import Recording, decode_tracks
from features.clips import cut_clips
from features.dataset import Track, scan_tracks
from features.identity import Identity
from features.silence import remove_silence, sounding_blocks, without_silence

RATE = 8000
WAYS = ("frames", "samples")


def with_pause(channels: int = 1, seed: int = 0) -> np.ndarray:
    """A second of noise in which the third quarter is 60 dB down, (L, C)."""
    noise = np.random.default_rng(seed).uniform(-0.5, 0.5, (RATE, channels)).astype(np.float32)
    noise[RATE // 2 : 3 * RATE // 4] *= 1e-3
    return noise


@pytest.fixture
def recordings(tmp_path) -> tuple[Recording, ...]:
    for i in range(3):
        path = tmp_path / f"data/{'ab'[i % 2]}/{i}.flac"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, with_pause(seed=i), RATE)
    tracks = scan_tracks(tmp_path / "data")
    return decode_tracks(tracks, sample_rate=RATE, cache_dir=tmp_path / "cache").recordings


def entries(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.rglob("*.npy")}


def test_frames_drop_the_pause_and_nothing_else():
    audio = with_pause()
    kept = remove_silence(audio, frame_length=RATE // 16)
    expected = np.concatenate([audio[: RATE // 2], audio[3 * RATE // 4 :]])
    np.testing.assert_array_equal(kept, expected)
    np.testing.assert_array_equal(remove_silence(audio, top_db=70), audio)


@pytest.mark.parametrize("top_db", [15.0, 30.0, 40.0])
def test_frames_are_judged_by_librosas_rms(gtzan_mini, top_db):
    for name in ("classical/classical.00005", "jazz/jazz.00000"):
        audio = soundfile.read(gtzan_mini / f"{name}.flac", dtype="float32", always_2d=True)[0]
        audio = audio[: len(audio) // 512 * 512]
        rms = librosa.feature.rms(y=audio[:, 0], frame_length=512, hop_length=512, center=False)
        loud = librosa.amplitude_to_db(rms[0], ref=np.max, top_db=None) > -top_db
        expected = audio.reshape(-1, 512)[loud].reshape(-1, 1)
        kept = remove_silence(audio, top_db=top_db)
        np.testing.assert_array_equal(kept, expected)
        assert top_db > 15 or len(kept) < len(audio)


def test_a_last_short_frame_is_judged_by_its_own_level():
    loud, quiet = np.full((100, 1), 0.5, np.float32), np.full((7, 1), 1e-4, np.float32)
    assert len(remove_silence(np.concatenate([loud, quiet]), frame_length=50)) == 100
    assert len(remove_silence(np.concatenate([loud, 0.1 + quiet]), frame_length=50)) == 107


def test_samples_are_the_published_rule_by_hand():
    audio = np.float32([[0.5], [0.1], [-0.09], [0.0], [-0.8], [0.01]])  # mean magnitude 0.25
    kept = remove_silence(audio, by="samples")
    np.testing.assert_array_equal(kept, audio[[0, 1, 2, 4]])  # beyond 0.075
    np.testing.assert_array_equal(
        remove_silence(audio, by="samples", threshold=0.38), audio[[0, 1, 4]]
    )


@settings(max_examples=60)
@given(arrays(np.int16, st.tuples(st.integers(0, 40), st.integers(1, 2))), st.sampled_from(WAYS))
def test_what_is_kept_is_in_order_and_the_same_in_any_units(audio, by):
    kept = remove_silence(audio, by=by, frame_length=7)
    assert kept.dtype == audio.dtype
    places = iter(map(tuple, audio))
    assert all(sample in places for sample in map(tuple, kept))  # a subsequence
    as_float = remove_silence(audio / np.float32(2**15), by=by, frame_length=7)
    np.testing.assert_array_equal(as_float * 2**15, kept)
    assert len(kept) > 0 or not audio.any()  # the loudest stays


@settings(max_examples=60)
@given(
    arrays(np.int16, st.tuples(st.integers(0, 60), st.integers(1, 2))),
    st.lists(st.integers(0, 60), max_size=5),
    st.sampled_from(WAYS),
)
def test_in_blocks_the_same_is_kept(audio, cuts, by):
    blocks = np.split(audio, sorted(cut for cut in cuts if cut <= len(audio)))
    kept = list(sounding_blocks(lambda: blocks, by=by, frame_length=7))
    joined = np.concatenate([audio[:0], *kept])
    np.testing.assert_array_equal(joined, remove_silence(audio, by=by, frame_length=7))


@pytest.mark.parametrize("by", WAYS)
def test_channels_are_cut_together_even_in_opposite_phase(by):
    mono = with_pause()
    stereo = np.concatenate([mono, -mono], axis=1)
    kept = remove_silence(stereo, by=by)
    np.testing.assert_array_equal(kept[:, :1], remove_silence(mono, by=by))
    np.testing.assert_array_equal(kept[:, 1], -kept[:, 0])


@pytest.mark.parametrize("by", WAYS)
def test_of_digital_silence_nothing_is_left(by):
    assert remove_silence(np.zeros((5000, 2), np.float32), by=by).shape == (0, 2)
    assert remove_silence(np.zeros((0, 1), np.int16), by=by).shape == (0, 1)


def test_bad_options_are_named():
    audio = with_pause()
    with pytest.raises(ValueError, match=r"by='frame': use 'frames', or 'samples'"):
        remove_silence(audio, by="frame")
    for option in ("frame_length", "top_db", "threshold"):
        with pytest.raises(ValueError, match=f"{option}=0"):
            remove_silence(audio, **{option: 0})


@pytest.mark.parametrize("by", WAYS)
def test_recordings_hold_what_remove_silence_keeps_and_cut_into_clips(recordings, by):
    seen = []
    trimmed = without_silence(recordings, by=by, on_progress=lambda *event: seen.append(event))
    assert seen == [(i + 1, 3, r.track.track_id) for i, r in enumerate(recordings)]
    for before, after in zip(recordings, trimmed, strict=True):
        expected = remove_silence(np.asarray(before.samples), by=by)
        assert after.num_samples == len(expected) < before.num_samples
        np.testing.assert_array_equal(after.samples, expected)
        assert (after.track, after.digest) == (before.track, before.digest)
        assert after.path.parent == before.path.parent
        assert len(before.samples) == before.num_samples  # still there
    clips = cut_clips(trimmed, num_samples=1000, hop=500)
    kept = trimmed[0].samples[500:1500]
    np.testing.assert_array_equal(clips.audio[1], kept / np.float32(2**15))


def test_real_recordings_of_both_channels(gtzan_mini, tmp_path):
    tracks = scan_tracks(gtzan_mini)[::30]
    settings = {"sample_rate": 22050, "cache_dir": tmp_path}
    for channels in (1, 2):
        recordings = decode_tracks(tracks, channels=channels, **settings).recordings
        for after, before in zip(
            without_silence(recordings, by="samples"), recordings, strict=True
        ):
            assert after.samples.shape == (after.num_samples, channels)
            assert 0.5 < after.num_samples / before.num_samples < 0.9


def test_entries_are_made_once_and_one_for_each_way(recordings, tmp_path):
    ways = [{}, {"top_db": 70}, {"frame_length": 256}, {"by": "samples"},
            {"by": "samples", "threshold": 0.5}]  # fmt: skip
    made = [without_silence(recordings, **way) for way in ways]
    before = entries(tmp_path / "cache")
    assert len(before) == 3 * (1 + len(ways))
    assert [without_silence(recordings, **way) for way in ways] == made
    assert entries(tmp_path / "cache") == before
    assert len({trimmed[0].num_samples for trimmed in made}) == len(ways)
    (same, *_), (other, *_) = (without_silence(recordings, top_db=db) for db in (40, 40.0000001))
    assert same == made[0][0]
    assert other.path != same.path


def test_an_entry_from_another_cache_is_as_good(recordings, tmp_path):
    (trimmed, *_) = without_silence(recordings, cache_dir=tmp_path / "other")
    assert trimmed.path.is_relative_to(tmp_path / "other")
    assert len(entries(tmp_path / "cache")) == 3
    np.testing.assert_array_equal(trimmed.samples, without_silence(recordings)[0].samples)


def test_silence_may_be_taken_out_both_ways_in_turn(recordings):
    (once, *_) = without_silence(recordings)
    (twice,) = without_silence([once], by="samples")
    assert twice.num_samples < once.num_samples
    expected = remove_silence(np.asarray(once.samples), by="samples")
    np.testing.assert_array_equal(twice.samples, expected)


@pytest.mark.parametrize("damage", ["cut short", "emptied", "another array", "a bit"])
def test_a_damaged_entry_is_made_anew(recordings, damage):
    (trimmed, *_) = without_silence(recordings)
    whole = trimmed.path.read_bytes()
    if damage == "another array":
        np.save(trimmed.path, np.zeros((5, 2)))
    elif damage == "a bit":
        trimmed.path.write_bytes(whole[:500] + bytes([whole[500] ^ 1]) + whole[501:])
    else:
        trimmed.path.write_bytes(whole[:-100] if damage == "cut short" else b"")
    with pytest.warns(UserWarning, match="entry of the cache is damaged, it is made anew"):
        assert without_silence(recordings)[0] == trimmed
    assert trimmed.path.read_bytes() == whole


def test_a_recording_of_nothing_but_silence_is_named(tmp_path):
    path = tmp_path / "0123-8000-1.npy"
    np.save(path, np.zeros((4000, 1), np.int16))
    track = Track(tmp_path / "hush.wav", "a", "hush", "hush")
    with pytest.raises(ValueError, match=r"hush\.wav: nothing is left of its 0\.50 s"):
        without_silence([Recording(track, "0123", path, 4000, 1, RATE, Identity("0" * 32))])
    assert entries(tmp_path).keys() == {path.name}


def test_a_bad_way_is_named_before_anything_is_written(recordings, tmp_path):
    with pytest.raises(ValueError, match="by='loudness'"):
        without_silence(recordings, by="loudness")
    assert len(entries(tmp_path / "cache")) == 3


@pytest.mark.parametrize("by", ["frames", "samples"])
def test_a_mono_signal_needs_no_channel_axis(by):
    audio = np.r_[np.zeros(2000), np.sin(np.arange(2000.0))]
    found = remove_silence(audio, by=by)
    np.testing.assert_array_equal(found, remove_silence(audio[:, None], by=by)[:, 0])
    assert 0 < len(found) < 4000
