"""Clips against slices of the files, and the memory that reading them takes."""

import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
import soundfile as sf

from features.clips import Clips, concatenate_clips, cut_clips, load_clips
from features.dataset import scan_tracks
from features.splits import split_tracks

RATE = 8000


@pytest.fixture
def root(tmp_path):
    """Two classes of two tracks, 1.0 to 1.3 s of 16-bit noise."""
    rng = np.random.default_rng(0)
    for i in range(4):
        path = tmp_path / "data" / "ab"[i // 2] / f"t{i}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        sf.write(path, rng.uniform(-0.9, 0.9, (8000 + 800 * i, 2)), RATE)
    return tmp_path / "data"


@pytest.fixture
def load(root, tmp_path):
    def load(**options):
        settings = {"sample_rate": RATE, "num_samples": 2000, "cache_dir": tmp_path / "cache"}
        return load_clips(scan_tracks(root), **settings | options)

    return load


def cut_by_hand(root: Path, num_samples: int, hop: int) -> np.ndarray:
    clips = []
    for track in scan_tracks(root):
        audio, _ = sf.read(track.path, dtype="float32", always_2d=True)
        starts = range(0, len(audio) - num_samples + 1, hop)
        clips += [audio[start : start + num_samples] for start in starts]
    return np.stack(clips)


@pytest.mark.parametrize(
    ("num_samples", "hop"), [(2000, None), (2000, 500), (3000, 4000), (8000, None)]
)
def test_clips_are_slices_of_the_files(load, root, num_samples, hop):
    clips = load(num_samples=num_samples, hop=hop, channels=2)
    expected = cut_by_hand(root, num_samples, hop or num_samples)
    assert (len(clips), clips.num_samples, clips.channels) == expected.shape
    np.testing.assert_array_equal(np.asarray(clips.audio), expected)


def test_every_clip_knows_where_it_is_from(load, root):
    clips = load()
    assert clips.label_names == ("a", "b")
    assert clips.labels.dtype == np.int32
    assert clips.sample_rate == RATE
    tracks = {track.track_id: track for track in scan_tracks(root)}
    assert len(set(clips.digests)) == 4
    for audio, label, name, start in zip(
        clips.audio, clips.labels, clips.track_ids, clips.starts, strict=True
    ):
        assert tracks[name].label == clips.label_names[label]
        expected, _ = sf.read(tracks[name].path, start=start, frames=2000)
        np.testing.assert_allclose(audio[:, 0], expected.mean(axis=1), atol=2**-15)


@pytest.mark.parametrize(
    "index",
    [
        0,
        -1,
        np.int64(3),
        slice(None),
        slice(2, 9, 3),
        slice(5, 5),
        ...,
        np.array([[0, 1], [2, 2]]),
        [3, 3, 0, 15],
        np.array([15, 2, -1]),
        np.arange(16) % 3 == 0,
        np.zeros(16, bool),
    ],
    ids=str,
)
def test_indexing_is_numpys(load, index):
    audio = load().audio
    assert (audio.shape, audio.ndim, audio.dtype, len(audio)) == ((17, 2000, 1), 3, np.float32, 17)
    if isinstance(index, np.ndarray) and index.dtype == bool:
        index = np.append(index, True)
    found = audio[index]
    assert isinstance(found, np.ndarray)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.asarray(audio)[index])


def test_bad_indices_raise(load):
    audio = load().audio
    for index in (17, [0, 17], np.ones(3, bool)):
        with pytest.raises(IndexError):
            audio[index]


def test_arrays_of_other_libraries_and_types(load):
    audio = load().audio
    np.testing.assert_array_equal(jnp.asarray(audio), np.asarray(audio))
    assert np.asarray(audio, dtype=np.float64).dtype == np.float64
    with pytest.raises(ValueError, match="always copied"):
        np.asarray(audio, copy=False)


def test_selecting(load):
    clips = load()
    mask = clips.labels == 1
    some = clips.select(mask)
    assert set(some.track_ids) == {"t2", "t3"}
    np.testing.assert_array_equal(np.asarray(some.audio), np.asarray(clips.audio)[mask])
    np.testing.assert_array_equal(some.select([1, 0]).starts, some.starts[[1, 0]])
    plain = synthetic(clips, 5).select(slice(1, 3))
    np.testing.assert_array_equal(plain.audio[:, 0, 0], [1, 2])


def synthetic(like: Clips, count: int) -> Clips:
    """Clips in memory, the i-th full of i."""
    values = np.arange(count, dtype=np.float32)[:, None, None]
    return Clips(
        audio=np.broadcast_to(values, (count, like.num_samples, like.channels)).copy(),
        labels=np.zeros(count, np.int32),
        track_ids=np.array([f"synthetic-{i}" for i in range(count)]),
        label_names=like.label_names,
        sample_rate=like.sample_rate,
        digests=np.array([""] * count),
        starts=np.zeros(count, np.int64),
    )


def test_concatenating_real_and_synthetic_clips(load):
    real = load()
    fake = synthetic(real, 5)
    joined = concatenate_clips(real, fake, real.select([0]))
    expected = np.concatenate([np.asarray(real.audio), fake.audio, real.audio[:1]])
    np.testing.assert_array_equal(np.asarray(joined.audio), expected)
    order = np.random.default_rng(0).permutation(len(joined))
    np.testing.assert_array_equal(joined.audio[order], expected[order])
    assert joined.track_ids[17] == "synthetic-0"
    np.testing.assert_array_equal(joined.labels, [*real.labels, *fake.labels, 0])
    twice = concatenate_clips(joined, joined)
    np.testing.assert_array_equal(twice.audio[23:], expected)


def test_clips_that_do_not_go_together(load):
    clips = load()
    with pytest.raises(ValueError, match=r"clips differ in num_samples: \[2000, 1000\]"):
        concatenate_clips(clips, load(num_samples=1000))
    with pytest.raises(ValueError, match="clips differ in label_names"):
        concatenate_clips(clips, load(label_names=("b", "a")))
    with pytest.raises(ValueError, match="no clips"):
        concatenate_clips()


def test_a_short_track_names_the_seconds_needed_and_the_option(load):
    with pytest.raises(ValueError, match="too short") as caught:
        load(num_samples=9000)
    said = str(caught.value)
    for part in ("t0.wav: 1.00 s", "(and 1 more", "1.12 s are needed", "on_short='skip'"):
        assert part in said
    clips = load(num_samples=9000, on_short="skip")
    assert clips.skipped == ("t0", "t1")
    assert clips.label_names == ("a", "b")
    assert set(clips.labels) == {1}
    with pytest.raises(ValueError, match=r"1\.31 s are needed .*; use shorter clips$"):
        load(num_samples=10500, on_short="skip")


def test_faulty_tracks_end_the_load_or_are_listed(load, root):
    (root / "a/t1.wav").write_bytes((root / "a/t1.wav").read_bytes()[:3000])
    with pytest.raises(ValueError, match="1 of 4 tracks cannot be used") as caught:
        load()
    for part in ("on_bad='quarantine'", "t1.wav: truncated: header promises 8800 frames, 739 "):
        assert part in str(caught.value)
    clips = load(on_bad="quarantine")
    assert set(clips.track_ids) == {"t0", "t2", "t3"}
    assert [bad.track.track_id for bad in clips.quarantined] == ["t1"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_samples": 0}, "num_samples=0, hop=0: give samples"),
        ({"hop": 0}, "hop=0"),
        ({"on_short": "drop"}, "on_short='drop': use 'raise', 'skip' or 'pad'"),
        ({"on_bad": "drop"}, "on_bad='drop': use 'raise' or 'quarantine'"),
        ({"label_names": ("a", "c")}, r"labels \['b'\] are not in label_names"),
    ],
)
def test_options_out_of_range(load, options, message):
    with pytest.raises(ValueError, match=message):
        load(**options)


def test_recordings_of_other_settings_are_not_mixed(load):
    first, second = load().audio.sources[0], load(sample_rate=4000).audio.sources[0]
    with pytest.raises(ValueError, match="recordings differ"):
        cut_clips([first, second], num_samples=100)
    with pytest.raises(ValueError, match="no recordings"):
        cut_clips([], num_samples=100)


def test_clips_check_themselves(load):
    clips = load()
    fields = {name: getattr(clips, name) for name in Clips.__dataclass_fields__}
    for change, message in [
        (
            {"audio": np.zeros((17, 2000, 1, 1), np.float32)},
            r"float32 of shape \(17, 2000, 1, 1\); give float32 \(N, L, C\)",
        ),
        ({"labels": clips.labels[:3]}, r"17 clips have labels of shape \(3,\)"),
        ({"labels": clips.labels + 1}, "labels run from 1 to 2; the 2 label names allow 0 to 1"),
    ]:
        with pytest.raises(ValueError, match=message):
            Clips(**fields | change)


def test_labels_agree_over_the_sides_of_a_split(gtzan_mini, tmp_path):
    tracks = scan_tracks(gtzan_mini)
    split = split_tracks(tracks)
    names = sorted({track.label for track in tracks})
    settings = {"sample_rate": 16000, "num_samples": 16384, "cache_dir": tmp_path}
    train, test = (load_clips(s, label_names=names, **settings) for s in (split.train, split.test))
    assert train.label_names == test.label_names == tuple(names)
    assert not set(train.track_ids) & set(test.track_ids)
    seconds = {track.track_id: sf.info(track.path).duration for track in tracks}
    for clips in (train, test):
        ids, counts = np.unique(clips.track_ids, return_counts=True)
        assert counts.tolist() == [int(seconds[name] * 16000 / 16384) for name in ids]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc to read memory from")
def test_memory_stays_flat_however_much_is_read(tmp_path):
    """Tracks of 160 MB in all, decoded, then read twice over in small batches."""
    script = f"""
import re
from pathlib import Path
import numpy as np, soundfile as sf
from features.clips import load_clips
from features.dataset import scan_tracks

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024

root = Path({str(tmp_path)!r})
for i in range(10):
    path = root / "data" / "ab"[i % 2] / f"{{i}}.wav"
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(i).integers(-9999, 9999, 8_000_000, np.int16)
    sf.write(path, noise, 22050)
del noise
tracks = scan_tracks(root / "data")
before = peak()
clips = load_clips(tracks, sample_rate=22050, num_samples=16384, cache_dir=root / "cache")
total = 0
for order in np.array_split(np.random.default_rng(0).permutation(len(clips)).repeat(2), 150):
    total += clips.audio[order].nbytes
print(total / 2**20, peak() - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    read, grown = map(float, done.stdout.split())
    assert read > 600
    assert grown < 60
