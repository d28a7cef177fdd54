"""The features cache: the right numbers, computed once, and never those of something else."""

import dataclasses
import errno
import importlib
import os
import resource
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
from hypothesis import given, settings
from hypothesis import strategies as st

from features import feature_cache
from features.clips import Clips, concatenate_clips, load_clips
from features.dataset import scan_tracks
from features.feature_cache import extract
from features.spectra import log_mel

RATE = 8000
COUNTED = {"batches": 0, "clips": 0}


@dataclasses.dataclass(frozen=True)
class Moments:
    """Mean and scaled peak of each clip's channels, (2, C), and a count of what was asked."""

    scale: float = 1.0
    inner: Any = None

    def __call__(self, audio: np.ndarray, sample_rate: int) -> np.ndarray:
        COUNTED["batches"] += 1
        COUNTED["clips"] += len(audio)
        return np.stack([audio.mean(1), self.scale * abs(audio).max(1)], 1)


@dataclasses.dataclass(frozen=True)
class LogMel:
    n_mels: int = 16

    def __call__(self, audio: np.ndarray, sample_rate: int):
        return log_mel(audio[..., 0], sample_rate=sample_rate, n_mels=self.n_mels, n_fft=512)


@pytest.fixture
def root(tmp_path):
    """Six tracks of 1.0 to 1.5 s."""
    rng = np.random.default_rng(0)
    for i in range(6):
        path = tmp_path / "data" / "ab"[i % 2] / f"t{i}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        sf.write(path, rng.uniform(-0.9, 0.9, (8000 + 800 * i, 1)), RATE)
    return tmp_path / "data"


@pytest.fixture
def load(root, tmp_path):
    def load(num_samples: int = 2000, **options) -> Clips:
        return load_clips(
            scan_tracks(root),
            sample_rate=RATE,
            num_samples=num_samples,
            cache_dir=tmp_path / "cache",
            **options,
        )

    return load


@pytest.fixture
def get(tmp_path):
    """`extract`, and the number of batches it computed."""

    def get(clips, make=Moments(), **options):
        before = COUNTED["batches"]
        found = extract(clips, make, cache_dir=tmp_path / "cache", **options)
        return found, COUNTED["batches"] - before

    return get


def entries(tmp_path: Path) -> list[Path]:
    return sorted(path for path in (tmp_path / "cache/features-v2").rglob("*") if path.is_file())


def direct(clips: Clips, make: Callable = Moments()) -> np.ndarray:
    return np.asarray(make(np.asarray(clips.audio), clips.sample_rate))


@pytest.mark.parametrize("batch", [1, 4, 64])
@pytest.mark.parametrize("channels", [1, 2])
def test_the_numbers_are_those_of_all_clips_at_once(load, get, batch, channels, monkeypatch):
    monkeypatch.setattr(feature_cache, "_BATCH", batch)
    clips = load(channels=channels, hop=300)
    found, batches = get(clips)
    assert batches == -(-len(clips) // batch)
    np.testing.assert_array_equal(np.asarray(found), direct(clips))
    again, batches = get(clips)
    assert batches == 0
    np.testing.assert_array_equal(np.asarray(again), direct(clips))


def test_features_of_jax(load, get):
    clips = load(hop=500)
    found, _ = get(clips, LogMel())
    assert found.shape == (len(clips), 4, 16)
    np.testing.assert_allclose(found[:], direct(clips, LogMel()), atol=1e-4)


def test_every_batch_has_one_shape_and_long_clips_make_small_ones(load, get, monkeypatch):
    monkeypatch.setattr(feature_cache, "_BATCH_SAMPLES", 3 * 2000 + 1)
    clips = load()
    asked = COUNTED["clips"]
    _, batches = get(clips)
    assert batches == -(-len(clips) // 3)
    assert COUNTED["clips"] - asked == 3 * batches


def test_another_split_of_the_same_tracks_computes_nothing(load, get, tmp_path):
    clips = load()
    get(clips)
    order = np.random.default_rng(0).permutation(len(clips))
    for rows in (order[:9], order[9:], np.repeat(order, 2), slice(3, 5)):
        part = clips.select(rows)
        found, batches = get(part)
        assert batches == 0
        np.testing.assert_array_equal(np.asarray(found), direct(part))
    assert len(entries(tmp_path)) == 1


def test_further_clips_cost_their_own_computation_alone(load, get, tmp_path, monkeypatch):
    monkeypatch.setattr(feature_cache, "_BATCH", 1)
    clips = load()
    get(clips.select(slice(0, 5)))
    get(clips.select(slice(4, 9)))
    found, batches = get(clips)
    assert batches == len(clips) - 9
    assert len(entries(tmp_path)) == 3
    np.testing.assert_array_equal(np.asarray(found), direct(clips))


def test_many_small_files_are_joined_into_one(load, get, monkeypatch, tmp_path):
    monkeypatch.setattr(feature_cache, "_MOST_FILES", 4)
    clips = load()
    for i in range(6):
        get(clips.select(slice(i, i + 1)))
    for batches in (1, 0):
        found, computed = get(clips)
        assert computed == batches
        np.testing.assert_array_equal(np.asarray(found), direct(clips))


def test_a_clip_given_twice_is_computed_once(load, get, monkeypatch):
    monkeypatch.setattr(feature_cache, "_BATCH", 1)
    clips = load().select([3, 1, 3, 3])
    found, batches = get(clips)
    assert batches == 2
    np.testing.assert_array_equal(np.asarray(found), direct(clips))


def test_labels_and_names_do_not_matter_but_content_does(load, get, root):
    get(load())
    (root / "a").rename(root / "c")
    os.utime(root / "b/t1.wav", ns=(1, 1))
    assert get(load())[1] == 0
    audio, _ = sf.read(root / "b/t1.wav", dtype="int16")
    audio[100] += 1
    sf.write(root / "b/t1.wav", audio, RATE)
    clips = load()
    found, batches = get(clips)
    assert batches == 1
    np.testing.assert_array_equal(np.asarray(found), direct(clips))


@pytest.mark.parametrize(
    "change", [{"num_samples": 1999}, {"hop": 1999}, {"channels": 2}], ids=lambda c: next(iter(c))
)
def test_other_clips_of_the_same_tracks_are_others(load, get, change):
    get(load())
    clips = load(**change)
    found, batches = get(clips)
    assert batches == 1
    np.testing.assert_array_equal(np.asarray(found), direct(clips))


def test_another_sample_rate_is_another_entry(load, get):
    clips = load()
    get(clips)
    assert get(dataclasses.replace(clips, sample_rate=RATE + 1))[1] == 1


def test_an_extractor_that_cannot_be_told_from_others_is_refused(load, get):
    with pytest.raises(TypeError, match=r"Moments\.inner is .*lambda.* can't tell"):
        get(load(), Moments(inner=lambda x: x))


CODE = """
from dataclasses import dataclass
from k_{} import FACTOR

@dataclass(frozen=True)
class Scaled:
    def __call__(self, audio, sample_rate):
        return FACTOR * audio.max(1)
"""


@pytest.fixture
def modules(tmp_path, monkeypatch):
    """Writes an extractor's module and one that it imports; loads them as a new process would."""
    name = tmp_path.name.replace("-", "_")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def load(factor: str, code: str = CODE, late: bool = False) -> Any:
        texts = {f"e_{name}": code.format(name), f"k_{name}": f"FACTOR = {factor}\n"}
        for module, text in texts.items():
            path = tmp_path / f"{module}.py"
            path.write_text(text)
            if not late:
                os.utime(path, (1e9, 1e9))
            sys.modules.pop(module, None)
        importlib.invalidate_caches()
        return importlib.import_module(f"e_{name}").Scaled()

    yield load
    for module in (f"e_{name}", f"k_{name}"):
        sys.modules.pop(module, None)


def test_an_edit_of_the_code_is_another_entry_even_in_what_it_imports(load, get, modules):
    clips = load()
    peaks = np.asarray(clips.audio).max(1)
    for factor, new in [("1.0", True), ("2.0", True), ("2.0", False), ("1.0", False)]:
        steps: list[tuple[int, int]] = []
        found, _ = get(
            clips, modules(factor), on_progress=lambda *at, steps=steps: steps.append(at)
        )
        assert bool(steps) == new
        np.testing.assert_array_equal(np.asarray(found), float(factor) * peaks)
    edited = CODE.replace("audio.max(1)", "audio.min(1)")
    found, _ = get(clips, modules("1.0", edited))
    np.testing.assert_array_equal(np.asarray(found), np.asarray(clips.audio).min(1))


def test_arrays_are_known_by_their_samples(load, get):
    rng = np.random.default_rng(0)
    pcm = rng.integers(-(2**15), 2**15, (5, 200, 1), np.int16)
    found, batches = get(pcm, sample_rate=RATE)
    assert batches == 1
    expected = Moments()(pcm.astype(np.float32) / 2**15, RATE)
    np.testing.assert_array_equal(np.asarray(found), expected)
    again, batches = get(pcm[::-1].copy(), sample_rate=RATE)
    assert batches == 0
    np.testing.assert_array_equal(np.asarray(again), expected[::-1])
    pcm[3, 7] ^= 1
    assert get(pcm, sample_rate=RATE)[1] == 1

    clips = load(num_samples=200)
    made = dataclasses.replace(  # says where it is from, but has other samples
        clips.select(slice(0, 5)), audio=rng.uniform(-1, 1, (5, 200, 1)).astype(np.float32)
    )
    mixed = concatenate_clips(clips, made)
    get(clips)
    found, batches = get(mixed)
    assert batches == 1
    np.testing.assert_array_equal(np.asarray(found), direct(mixed))
    assert get(made)[1] == 0


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(path.read_bytes()[:200]),
        lambda path: path.write_bytes(b"no features at all" * 100),
    ],
    ids=["empty", "a byte short", "cut", "another"],
)
def test_damage_is_made_good(load, get, tmp_path, damage):
    clips = load()
    get(clips)
    damage(entries(tmp_path)[0])
    with pytest.warns(UserWarning, match=r"\.npy: damaged, what it holds is computed anew"):
        found, batches = get(clips)
    assert batches == 1
    np.testing.assert_array_equal(np.asarray(found), direct(clips))
    assert get(clips)[1] == 0


@settings(max_examples=40)
@given(data=st.data())
def test_any_byte_flipped_is_found(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("flipped")
    audio = np.random.default_rng(0).uniform(-1, 1, (3, 20, 1)).astype(np.float32)
    expected = np.asarray(extract(audio, Moments(), sample_rate=RATE, cache_dir=folder))
    (path,) = (folder / "features-v2").rglob("*.npy")
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*damaged")
        found = extract(audio, Moments(), sample_rate=RATE, cache_dir=folder)
    np.testing.assert_array_equal(np.asarray(found), expected)


def test_nothing_half_written_stays_after_an_error(load, get, tmp_path, monkeypatch):
    monkeypatch.setattr(feature_cache, "_BATCH", 4)
    clips = load()

    def stop(done: int, total: int) -> None:
        if done > 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        get(clips, on_progress=stop)
    assert entries(tmp_path) == []
    found, batches = get(clips)
    assert batches == -(-len(clips) // 4)
    np.testing.assert_array_equal(np.asarray(found), direct(clips))


def test_a_full_disk_is_told_with_what_is_needed(load, get, tmp_path):
    clips = load(num_samples=100)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
    try:
        with pytest.raises(OSError, match="no space left for the features cache") as caught:
            get(clips)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.errno == errno.EFBIG
    # The error still holds the frames that had read ahead: their threads are not left to it.
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("features")]
    assert f"{len(clips)} clips need {8e-6 * len(clips):.1f} MB" in str(caught.value)
    assert "set WAVEGAN_CACHE" in str(caught.value)
    assert entries(tmp_path) == []


def test_two_at_once_do_not_harm_each_other(load, tmp_path, monkeypatch):
    monkeypatch.setattr(feature_cache, "_BATCH", 4)
    clips, barrier = load(), threading.Barrier(3, timeout=60)
    found: dict[int, np.ndarray] = {}

    def work(i: int) -> None:
        rows = extract(
            clips.select(slice(i // 2, None)),
            Moments(),
            cache_dir=tmp_path / "cache",
            on_progress=lambda done, total: barrier.wait() if done == 4 else None,
        )
        found[i] = np.asarray(rows)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i in range(3):
        np.testing.assert_array_equal(found[i], direct(clips)[i // 2 :])
    assert [path.suffix for path in entries(tmp_path)] == [".npy", ".npy"]
    assert not any(path.name.startswith(".") for path in entries(tmp_path))


def test_entries_unused_for_longest_make_room(load, get, tmp_path, monkeypatch):
    clips = load()
    used = {}
    for age, scale in enumerate((3.0, 2.0, 1.0)):
        before = set(entries(tmp_path))
        get(clips, Moments(scale))
        (used[scale],) = set(entries(tmp_path)) - before
        os.utime(used[scale], (1e9 + age, 1e9 + age))
    size = used[1.0].stat().st_size
    get(clips, Moments(3.0))  # the oldest, used now
    monkeypatch.setenv("WAVEGAN_CACHE_GB", str(3.5e-9 * size))
    get(clips, Moments(4.0))
    assert {path for path in used.values() if path.exists()} == {used[3.0], used[1.0]}
    monkeypatch.setenv("WAVEGAN_CACHE_GB", "0")
    found, _ = get(clips, Moments(5.0))
    assert len(entries(tmp_path)) == 1
    np.testing.assert_array_equal(np.asarray(found), direct(clips, Moments(5.0)))
    for wrong in ("much", "nan", "-1"):
        monkeypatch.setenv("WAVEGAN_CACHE_GB", wrong)
        with pytest.raises(ValueError, match=rf"WAVEGAN_CACHE_GB='{wrong}'.*gigabytes"):
            get(clips)


def test_what_a_killed_process_left_goes_after_a_day(load, get, tmp_path):
    clips = load()
    get(clips)
    old, new = (entries(tmp_path)[0].with_name(f".{name}.npy") for name in ("old", "new"))
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (1e9, 1e9))
    assert get(clips)[1] == 0
    get(clips, Moments(2.0))
    assert new.exists()
    assert not old.exists()


def test_progress_counts_the_clips_to_compute(load, get, monkeypatch):
    monkeypatch.setattr(feature_cache, "_BATCH", 8)
    clips, seen = load(), []
    get(clips.select(slice(0, 5)), on_progress=lambda *at: seen.append(at))
    get(clips, on_progress=lambda *at: seen.append(at))
    rest = len(clips) - 5
    assert seen == [(5, 5), *((min(n, rest), rest) for n in range(8, rest + 8, 8))]


def test_a_cache_that_cannot_be_written_still_serves(load, get, tmp_path):
    clips = load()
    get(clips)
    folder = entries(tmp_path)[0].parent
    folder.chmod(0o500)
    try:
        assert get(clips)[1] == 0
    finally:
        folder.chmod(0o700)


def flat(audio: np.ndarray, sample_rate: int) -> np.float64:
    return audio.sum()


@pytest.mark.parametrize(
    ("audio", "rate", "said"),
    [
        (np.zeros((2, 5, 1), np.float32), None, "rate in Hz"),
        (np.zeros((1, 2, 5, 1), np.float32), RATE, r"float32 of shape \(1, 2, 5, 1\)"),
        (np.zeros((2, 5, 1)), RATE, "float64"),
        (np.zeros((0, 5, 1), np.float32), RATE, r"\(0, 5, 1\)"),
        (np.zeros((2, 5, 1), np.float32), RATE, r"shape \(\) from 64 clips"),
    ],
    ids=["no rate", "four axes", "double", "none", "no row a clip"],
)
def test_what_has_no_features(get, audio, rate, said):
    with pytest.raises(ValueError, match=said):
        get(audio, flat, sample_rate=rate)


def test_clips_know_their_rate(load, get):
    with pytest.raises(ValueError, match="clips none but their own"):
        get(load(), sample_rate=RATE + 1)
