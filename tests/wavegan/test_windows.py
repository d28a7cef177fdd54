import math
import os
import subprocess
import sys
import threading
import tracemalloc
from collections import Counter
from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.audio import load_audio
from features.cache import Recording
from features.dataset import Track
from features.identity import Identity
from features.saving import save_audio
from wavegan.windows import Windows, gathered, together

KEY = jax.random.key(0)
STORES = ("device", "host")
COUNT = 60  # clips of most draws, from three recordings: a program is compiled for each shape


def numbered(lengths, channels=1):
    """Recordings that count on by one from 1 (0 is padding), with a jump between any two."""
    ends = 1 + np.cumsum(lengths) + 10 * np.arange(len(lengths))
    audio = [np.arange(end - n, end)[:, None] for end, n in zip(ends, lengths, strict=True)]
    return [(x + 0.25 * np.arange(channels)).astype(np.float32) for x in audio]


def expected_windows(
    lengths, n, *, slices="anywhere", overlap=0.0, random_start=False, pad_end=False
):
    """How often (recording, start) occurs: by the reference's way, shift, then frame; anywhere, a
    recording as often as it holds clips.
    """
    hop = round(n * (1 - overlap))
    found = Counter()
    for i, length in enumerate(lengths):
        if slices == "anywhere":
            starts = range(max(length - n, 0) + 1)
            found |= {(i, start): max(length, n) / len(starts) for start in starts}
        elif slices == "first":
            shifts = range(min(n, max(length - n, 0) + 1) if random_start else 1)
            found.update((i, shift) for shift in shifts)
        else:
            for shift in range(n if random_start else 1):
                ends = length + hop if pad_end else length - n + 1
                starts = range(shift, min(ends, length) if pad_end else ends, hop)
                found.update((i, start) for start in starts)
    return found


def cut(recording, start, n):
    clip = recording[start : start + n]
    return np.pad(clip, ((0, n - len(clip)), (0, 0)))


def drawn(windows, count=COUNT, seed=0):
    return np.asarray(windows.draw(jax.random.key(seed), (count,)).clips)


@settings(max_examples=60)
@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=4),
    num_samples=st.sampled_from([1, 3, 4, 7, 12]),
    channels=st.sampled_from([1, 2]),
    slices=st.sampled_from(["anywhere", "grid", "first"]),
    overlap=st.sampled_from([0.0, 0.25, 0.5, 0.9]),
    random_start=st.booleans(),
    pad_end=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_clips_are_slices_of_one_recording(
    lengths, num_samples, channels, slices, overlap, random_start, pad_end, seed
):
    """Every clip, its label, and the number of windows, against slices by numpy."""
    random_start = random_start and slices != "anywhere"
    overlap = overlap if slices == "grid" and round(num_samples * (1 - overlap)) else 0.0
    pad_end = pad_end or slices == "first" or min(lengths) < num_samples
    options = {"slices": slices, "overlap": overlap, "random_start": random_start}
    options["pad_end"] = pad_end
    recordings = numbered(lengths, channels)
    windows = Windows(
        recordings,
        num_samples=num_samples,
        channels=channels,
        labels=range(len(lengths)),
        num_classes=len(lengths),
        store="host",
        **options,
    )
    allowed = expected_windows(lengths, num_samples, **options)
    assert windows.num_windows == len(allowed)
    slices_of = {cut(recordings[i], s, num_samples).tobytes(): i for i, s in allowed}
    batch = windows.draw(jax.random.key(seed), (4, 15))
    assert batch.clips.shape == (4, 15, num_samples, channels)
    assert batch.clips.dtype == np.float32
    assert batch.labels.shape == (4, 15)
    assert batch.labels.dtype == np.int32
    clips = np.asarray(batch.clips).reshape(60, num_samples, channels)
    assert [slices_of[clip.tobytes()] for clip in clips] == batch.labels.ravel().tolist()


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize(
    ("lengths", "options"),
    [  # on tapes of one length, 28, with what fills it up: most share a program
        ([4, 9, 15], {}),
        ([2, 9, 13], {"pad_end": True}),
        ([4, 9, 15], {"slices": "grid", "overlap": 0.5}),
        ([3, 9, 12], {"slices": "grid", "overlap": 0.25, "pad_end": True}),
        ([4, 9, 15], {"slices": "grid", "random_start": True}),
        ([4, 9, 15], {"slices": "grid", "overlap": 0.5, "random_start": True}),
        ([3, 6, 15], {"slices": "grid", "random_start": True, "pad_end": True}),
        ([3, 4, 17], {"slices": "first"}),
        ([3, 6, 15], {"slices": "first", "random_start": True}),
    ],
)
def test_windows_are_as_frequent_as_the_reference_has_them(lengths, options, store):
    """Chi squared of 9000 clips of 4 samples; each start as often as shifts of the grid have it."""
    recordings = numbered(lengths)
    windows = Windows(recordings, num_samples=4, channels=1, store=store, **options)
    found = Counter(clip.tobytes() for clip in drawn(windows, 9000))
    weights = {
        cut(recordings[i], s, 4).tobytes(): weight
        for (i, s), weight in expected_windows(lengths, 4, **options).items()
    }
    assert found.keys() == weights.keys()
    expected = {clip: 9000 * w / sum(weights.values()) for clip, w in weights.items()}
    cells = len(weights) - 1
    statistic = sum((found[clip] - expected[clip]) ** 2 / expected[clip] for clip in weights)
    assert statistic < cells + 4 * math.sqrt(2 * cells) + 4  # beyond p = 0.001


@pytest.mark.parametrize("store", STORES)
def test_recordings_that_are_barely_longer_than_a_clip_do_not_drown_the_others(store):
    """29 of 30 takes are shorter than a clip, one is 80 samples longer: 1 to 1.08, not 1 to 81."""
    lengths = [1000] * 29 + [1104]
    windows = Windows(
        [np.zeros((n, 1), np.int16) for n in lengths],
        num_samples=1024, channels=1, labels=range(30), num_classes=30, pad_end=True, store=store,
    )  # fmt: skip
    drawn = np.asarray(windows.draw(KEY, (6144,)).labels)
    counts = np.bincount(drawn, minlength=30)
    assert np.sum((counts - len(drawn) / 30) ** 2 / (len(drawn) / 30)) < 58  # p = 0.001
    assert windows.num_windows == 29 + 81


def mixtures():
    rng = np.random.default_rng(0)
    floats = [rng.uniform(-0.8, 0.8, (n, 2)).astype(np.float32) for n in (70, 16, 33)]
    ints = [(30000 * x).astype(np.int16) for x in floats]
    return {"float": floats, "int16": ints, "both": [floats[0], *ints[1:]]}


@pytest.mark.parametrize("kind", ["float", "int16", "both"])
@pytest.mark.parametrize(
    "options",
    [
        {"peak_normalize": True},
        {"slices": "grid", "overlap": 0.3, "random_start": True, "pad_end": True},
        {"slices": "first", "peak_normalize": True},
    ],
)
def test_the_stores_agree_bit_for_bit(kind, options):
    given = {"num_samples": 16, "channels": 2, "labels": [2, 0, 1], "num_classes": 3} | options
    device, host = (Windows(mixtures()[kind], store=store, **given) for store in STORES)
    assert (device.store, host.store) == STORES
    assert device.digest() == host.digest()
    for seed in range(3):
        one, other = (w.draw(jax.random.key(seed), (2, 30)) for w in (device, host))
        np.testing.assert_array_equal(one.clips, other.clips)
        np.testing.assert_array_equal(one.labels, other.labels)


@pytest.mark.parametrize("options", [{}, {"slices": "grid", "pad_end": True}], ids=str)
def test_sources_of_several_gans_draw_as_each_alone(options):
    """Bit for bit, in one program over sets of other sizes and types."""
    sets = [Windows(x, **options, **given, store="host") for x, given in several_sets()]
    source = together([windows.source for windows in sets])
    keys = jax.random.split(KEY, len(sets))
    draw = jax.jit(jax.vmap(partial(gathered, shape=(2, 30), num_samples=8)))
    batch = draw(source, keys)
    for i, (windows, key) in enumerate(zip(sets, keys, strict=True)):
        alone = windows.draw(key, (2, 30))
        np.testing.assert_array_equal(batch.clips[i], alone.clips)
        np.testing.assert_array_equal(batch.labels[i], alone.labels)


def several_sets():
    rng = np.random.default_rng(0)
    given = {"num_samples": 8, "channels": 1, "num_classes": 3}
    for lengths, dtype in (([50, 9, 31], np.int16), ([20], np.int16), ([8, 90], np.float32)):
        audio = [rng.uniform(-1, 1, (n, 1)) for n in lengths]
        if dtype == np.int16:
            audio = [(32767 * x).astype(np.int16) for x in audio]
        yield audio, {**given, "labels": list(range(len(lengths)))}


@pytest.mark.parametrize("store", STORES)
def test_draws_depend_on_the_key_and_are_independent(store):
    windows = Windows(numbered([50, 9, 31]), num_samples=4, channels=1, store=store)
    draws = [windows.draw(jax.random.key(seed), (2, 30)) for seed in (0, 0, 1)]
    first, again, other = (np.asarray(batch.clips) for batch in draws)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert not np.array_equal(first[0], first[1])  # a fresh batch for each critic step
    assert draws[0].labels is None


@pytest.mark.parametrize("store", STORES)
def test_clips_as_one_array(store):
    """(N, L, C) of exactly a window's length: the clips themselves come back."""
    audio = np.random.default_rng(0).uniform(-1, 1, (3, 16, 2)).astype(np.float32)
    windows = Windows(audio, num_samples=16, channels=2, store=store)
    assert {x.tobytes() for x in drawn(windows)} == {x.tobytes() for x in audio}


@pytest.mark.parametrize("store", STORES)
def test_int16_is_scaled_to_one(store):
    audio = np.array([[[-32768], [-1], [0], [1], [16384], [32767]]] * 3, np.int16)
    clips = drawn(Windows(audio, num_samples=6, channels=1, store=store))
    assert clips.dtype == np.float32
    expected = np.float32([-1, -1 / 32768, 0, 1 / 32768, 0.5, 32767 / 32768])
    np.testing.assert_array_equal(clips[..., 0], np.tile(expected, (COUNT, 1)))


@pytest.mark.parametrize("store", STORES)
def test_int16_beside_float_is_scaled_too(store):
    audio = [np.full((4, 1), 16384, np.int16), *np.full((2, 4, 1), [[[0.25]], [[0.125]]])]
    clips = drawn(Windows(audio, num_samples=4, channels=1, store=store))
    assert set(clips.ravel()) == {0.5, 0.25, 0.125}


@pytest.mark.parametrize("store", STORES)
def test_a_file_of_24_bits_keeps_its_values(tmp_path, store):
    steps = np.random.default_rng(0).integers(-(2**23), 2**23, (64, 1))
    save_audio(tmp_path / "a.wav", (steps / 2**23).astype(np.float32), 8000, subtype="PCM_24")
    audio, _ = load_audio(tmp_path / "a.wav")
    clips = drawn(Windows([audio] * 3, num_samples=64, channels=1, store=store))
    np.testing.assert_array_equal(clips[0], steps / 2**23)


@pytest.mark.parametrize("store", STORES)
def test_peak_normalization_is_by_recording(store):
    rng = np.random.default_rng(0)
    quiet = rng.integers(-900, 700, (32, 2)).astype(np.int16)
    quiet[5, 1] = -1000
    full = rng.integers(-900, 900, (32, 2)).astype(np.int16)
    full[3, 0] = -32768
    audio = [quiet, full, np.zeros((32, 2), np.int16)]
    given = {"num_samples": 32, "channels": 2, "labels": [0, 1, 2], "num_classes": 3}
    batch = Windows(audio, peak_normalize=True, store=store, **given).draw(KEY, (COUNT,))
    expected = np.stack([quiet / 1000, full / 32768, np.zeros((32, 2))])
    np.testing.assert_allclose(batch.clips, expected[batch.labels], atol=1e-7)
    assert set(np.abs(batch.clips).max((1, 2)).tolist()) == {0.0, 1.0}
    floats = [x / np.float32(2000) for x in (quiet, *audio[::2])]  # peaks of 0.5, and silence
    normalized = Windows(floats, num_samples=32, channels=2, peak_normalize=True, store=store)
    assert set(np.abs(drawn(normalized)).max((1, 2)).tolist()) == {0.0, 1.0}


def test_the_digest_tells_sets_apart():
    """By samples, lengths, type and labels, whatever the store or the windows."""
    audio = [np.arange(20, dtype=np.int16)[:, None], np.zeros((9, 1), np.int16)]

    def digest(audio, num_classes=0, **options):
        options = {"num_samples": 4, "channels": 1} | options
        return Windows(audio, num_classes=num_classes, **options).digest()

    base = digest(audio)
    assert base == digest(audio, store="host", slices="grid") == digest(audio, num_samples=5)
    other = audio[0].copy()
    other[7] += 1
    others = [
        digest([other, audio[1]]),
        digest([audio[0][:-1], audio[1]]),
        digest([audio[0][:12], np.concatenate([audio[0][12:], audio[1]])]),
        digest([x / np.float32(32768) for x in audio]),
        digest(audio, 2, labels=[0, 1]),
        digest(audio, 2, labels=np.array([1, 1])),
    ]
    assert len({base, *others}) == 7


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        ([], "no audio to train on"),
        (np.zeros((0, 8, 1), np.float32), "no audio to train on"),
        ([np.zeros((8, 1)), np.zeros((3, 1))], r"recording 1 has 3 samples, .* 4: .*pad_end"),
        ([np.zeros((8, 1)), np.zeros((8, 2))], r"recording 1 must be \(samples, 1\), .*\(8, 2\)"),
        ([np.zeros((8, 1, 1))], r"recording 0 must be \(samples, 1\), found \(8, 1, 1\)"),
        (np.zeros((8, 1), np.float32), r"must be recordings, found one of .*\(8, 1\): give \[a"),
        (np.zeros(8, np.float32), r"must be recordings, found one of shape \(8,\): give \[audio\]"),
        ([np.zeros((8, 1)), np.full((8, 1), np.nan)], "recording 1 holds NaN or Inf"),
        ([np.full((8, 1), -np.inf)], "recording 0 holds NaN or Inf"),
        ([np.zeros((8, 1), np.int32)], "recording 0 .*int32"),
        ([np.zeros((8, 1), np.uint8)], "recording 0 .*uint8"),
    ],
)
@pytest.mark.parametrize("store", STORES)
def test_audio_that_makes_no_windows(audio, message, store):
    with pytest.raises(ValueError, match=message):
        Windows(audio, num_samples=4, channels=1, store=store)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"slices": "some"}, "slices must be one of anywhere, grid, first; found 'some'"),
        ({"store": "disk"}, "store must be one of auto, device, host; found 'disk'"),
        ({"slices": "grid", "overlap": 1.0}, r"overlap must lie in \[0, 1\).*found 1.0"),
        ({"slices": "grid", "overlap": -0.5}, r"overlap must lie in \[0, 1\).*found -0.5"),
        ({"slices": "grid", "overlap": 0.9}, "a hop of at least a sample of the 4.*found 0.9"),
        ({"overlap": 0.5}, "overlap=0.5 is for slices=\"grid\", found slices='anywhere'"),
        ({"random_start": True}, "random_start shifts the slices of a grid"),
        (
            {"slices": "first", "batch_size": 3},
            "2 windows of 4 samples, a batch needs 3: .*overlap",
        ),
        ({"batch_size": 11}, "10 windows of 4 samples, a batch needs 11"),
        ({"labels": [0, 1]}, "labels are for a conditional GAN: give num_classes"),
        ({"num_classes": 2}, "a GAN of 2 classes needs labels.*found none"),
        ({"num_classes": 2, "labels": [0, 2]}, "recording 1 has label 2: give 0 to 1"),
        ({"num_classes": 2, "labels": [-1, 2]}, "recording 0 has label -1: give 0 to 1"),
        ({"num_classes": 2, "labels": [0]}, r"shape \(2,\); found int64 of shape \(1,\)"),
        ({"num_classes": 2, "labels": np.zeros(2)}, "one integer a recording.*found float64"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        Windows(np.zeros((2, 8, 1), np.int16), num_samples=4, channels=1, **options)


def test_an_empty_recording_is_not_filled_up():
    audio = [np.zeros((8, 1)), np.zeros((0, 1))]
    with pytest.raises(ValueError, match="recording 1 has 0 samples"):
        Windows(audio, num_samples=4, channels=1, pad_end=True)


def test_small_sets_go_on_the_device_and_large_ones_stay():
    """Views of one small recording: nothing of that size is ever held."""
    small = Windows(np.zeros((2, 8, 1), np.int16), num_samples=4, channels=1)
    assert small.store == "device"
    assert small.nbytes == 32
    assert small.description == "2 recordings, 16 samples (0.0 MB) on the device, 10 windows of 4"
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    wide = np.broadcast_to(np.zeros((1, 1), np.int16), (2**20, 64))
    large = Windows([wide] * (memory // 4 // 2**27 + 1), num_samples=4, channels=64)
    assert large.store == "host"
    with pytest.raises(ValueError, match=r'2147483648 samples.* device store.*store="host"'):
        Windows([wide[:, :1]] * 2**11, num_samples=4, channels=1, store="device")


def test_more_windows_than_32_bits_number():
    """2³² samples: recordings and starts are still uniform (chi squared of 16 cells each)."""
    ramp = (np.arange(2**20) % 2**15).astype(np.int16)[:, None]
    labels = np.arange(2**12)
    windows = Windows([ramp] * 2**12, num_samples=4, channels=1, labels=labels, num_classes=2**12)
    assert windows.num_windows == 2**12 * (2**20 - 3)
    clips, labels = windows.draw(KEY, (4096,))
    starts = np.asarray(clips)[:, 0, 0] * 2**15
    for cells in (labels // 2**8, starts // 2**11):
        counts = np.bincount(np.asarray(cells).astype(int), minlength=16)
        assert np.sum((counts - 256) ** 2 / 256) < 38  # p = 0.001
    steps = np.diff(np.asarray(clips)[:, :, 0] * 2**15, axis=1) % 2**15
    np.testing.assert_array_equal(steps, 1)
    np.testing.assert_array_equal(clips, windows.draw(KEY, (4096,)).clips)


@pytest.mark.parametrize("store", STORES)
def test_a_stream_is_the_draws_in_order(store):
    keys = list(jax.random.split(KEY, 7))
    given = {"labels": [0, 1, 1], "num_classes": 2, "store": store}
    windows = Windows(numbered([50, 9, 31]), num_samples=4, channels=1, **given)
    batches = list(windows.stream(iter(keys), (2, 30)))
    assert len(batches) == 7
    for batch, key in zip(batches, keys, strict=True):
        jax.tree.map(np.testing.assert_array_equal, batch, windows.draw(key, (2, 30)))
    assert list(windows.stream([], (2,))) == []


def loading_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("windows")]


@pytest.mark.parametrize(("store", "ahead"), [("device", 0), ("host", 2)])
def test_the_host_store_works_two_draws_ahead_until_it_is_closed(store, ahead):
    windows = Windows(numbered([50, 9, 31]), num_samples=4, channels=1, store=store)
    keys = iter(jax.random.split(KEY, 10))
    stream = windows.stream(keys, (2, 30))
    assert not loading_threads()
    next(stream)
    next(stream)
    assert len(loading_threads()) == min(ahead, 1)
    stream.close()
    assert not loading_threads()
    assert len(list(keys)) == 10 - 2 - ahead


def stored(folder, samples):
    """A recording of the cache, its file made here."""
    path = folder / "cached.npy"
    np.save(path, samples)
    track = Track(folder / "a.wav", "a", "a", "a")
    return Recording(track, "0" * 32, path, *samples.shape, 8000, Identity("0" * 32))


@pytest.mark.parametrize("store", STORES)
def test_recordings_of_the_cache_are_read_without_a_map(tmp_path, store):
    samples = np.arange(-32768, 32767, 7, dtype=np.int16)[:, None]
    recording = stored(tmp_path, samples)
    cached = Windows([recording] * 3, num_samples=64, channels=1, store=store)
    mapped = Windows([recording.samples] * 3, num_samples=64, channels=1, store=store)
    held = Windows([samples] * 3, num_samples=64, channels=1)
    assert cached.digest() == mapped.digest() == held.digest()
    for windows in (cached, mapped):
        np.testing.assert_array_equal(drawn(windows), drawn(held))
    with pytest.raises(ValueError, match=r"recording 0 must be \(samples, 2\), found \(9363, 1\)"):
        Windows([recording], num_samples=64, channels=2)


def test_an_error_of_a_draw_is_raised_in_its_turn(tmp_path):
    """The file is cut short once two batches are taken."""
    recording = stored(tmp_path, np.zeros((1000, 1), np.int16))
    windows = Windows([recording] * 3, num_samples=1000, channels=1, store="host")

    def keys():
        yield from jax.random.split(KEY, 4)
        os.truncate(recording.path, 500)
        yield from jax.random.split(KEY, 4)

    stream = windows.stream(keys(), (COUNT,))
    assert len([next(stream), next(stream)]) == 2  # the fourth key is taken, the file is whole
    with pytest.raises(OSError, match=r"cached\.npy: cut short"):
        list(stream)
    assert not loading_threads()


def test_an_error_of_the_keys_is_raised():
    windows = Windows(numbered([50, 9, 31]), num_samples=4, channels=1, store="host")

    def keys():
        yield KEY
        raise RuntimeError("no more keys")

    with pytest.raises(RuntimeError, match="no more keys"):
        list(windows.stream(keys(), (2, 30)))
    assert not loading_threads()


def test_a_map_is_never_copied_whole(tmp_path):
    """256 MB, empty on disk: what Python allocates while it is checked, hashed and drawn from."""
    path = tmp_path / "large.npy"
    np.lib.format.open_memmap(path, "w+", np.int16, (2**27, 1))
    tracemalloc.start()
    try:
        audio = [np.load(path, mmap_mode="r")]
        windows = Windows(audio, num_samples=4096, channels=1, peak_normalize=True, store="host")
        windows.digest()
        for batch in windows.stream(jax.random.split(KEY, 5), (64,)):
            assert not np.any(batch.clips)
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()


MEMORY = """
import sys, jax, numpy as np
from pathlib import Path
from features.cache import Recording
from features.dataset import Track
from features.identity import Identity
from wavegan.windows import Windows

def peak():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) // 1024

def use(name):
    path = Path(sys.argv[1]) / name
    length = len(np.load(path, mmap_mode="r"))
    known = Identity("0" * 32)
    recording = Recording(Track(path, "a", "a", "a"), "", path, length, 1, 16000, known)
    audio = [recording] * 2
    windows = Windows(audio, num_samples=16384, channels=1, peak_normalize=True, store="host")
    windows.digest()
    for batch in windows.stream(jax.random.split(jax.random.key(0), 20), (64,)):
        batch.clips.block_until_ready()

use("small.npy")
before = peak()
use("large.npy")
print(before, peak())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads a process's peak memory from /proc")
def test_memory_does_not_grow_with_the_set(tmp_path):
    """Peak resident memory of a process over 1 GB of recordings, against 8 MB of them."""
    for name, length in (("small.npy", 2**21), ("large.npy", 2**28)):
        np.lib.format.open_memmap(tmp_path / name, "w+", np.int16, (length, 1))
    command = [sys.executable, "-c", MEMORY, str(tmp_path)]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, check=True)
    before, after = map(int, done.stdout.split())
    assert after - before < 64  # MB


# Mono without its channel


@pytest.mark.parametrize("store", STORES)
def test_mono_may_lack_its_channel(store):
    audio = np.random.default_rng(0).uniform(-1, 1, (3, 40, 1)).astype(np.float32)
    options = {"num_samples": 8, "channels": 1, "store": store, "peak_normalize": True}
    whole = Windows(audio, **options)
    for flat in (audio[..., 0], list(audio[..., 0])):
        windows = Windows(flat, **options)
        assert windows.digest() == whole.digest()
        np.testing.assert_array_equal(drawn(windows), drawn(whole))
    with pytest.raises(ValueError, match=r"recording 0 must be \(samples, 2\), found \(40,\)"):
        Windows(audio[..., 0], num_samples=8, channels=2)


def test_the_peak_is_that_of_the_audio_as_given():
    loud = np.zeros((2, 40, 1), np.float32)
    loud[1, 3] = -2.5
    for normalize in (False, True):
        windows = Windows(loud, num_samples=8, channels=1, peak_normalize=normalize)
        assert windows.peak == 2.5
    assert Windows(np.full((1, 40, 1), 9, np.int16), num_samples=8, channels=1).peak == 0
