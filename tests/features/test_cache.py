"""The decoded cache: what is in it, what it refuses, and that it is not made twice."""

import errno
import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from features import cache, soundness
from features.audio import load_audio
from features.cache import decode_tracks, default_cache_dir
from features.dataset import Track, scan_tracks
from features.identity import identify
from features.saving import save_audio
from features.synthetic import synthesize

RATE = 8000


def noise(seed: int, seconds: float = 0.5, channels: int = 1, rate: int = RATE) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, (int(seconds * rate), channels))


def write(path: Path, audio: np.ndarray, rate: int = RATE, **options) -> Track:
    path.parent.mkdir(parents=True, exist_ok=True)
    sf.write(path, audio, rate, **options)
    return Track(path, path.parent.name, path.stem, path.stem)


@pytest.fixture
def tracks(tmp_path):
    return [write(tmp_path / f"data/{'ab'[i % 2]}/{i}.flac", noise(i)) for i in range(6)]


@pytest.fixture
def settings(tmp_path):
    return {"sample_rate": RATE, "cache_dir": tmp_path / "cache"}


def kept_of(recordings) -> set[str]:
    """Names of all files of a cache of these."""
    return {"index.json"}.union(*({r.path.name, f"{r.digest}.identity"} for r in recordings))


def states(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.rglob("*.npy")}


@pytest.mark.parametrize(
    ("name", "options", "rate"),
    [
        ("a.wav", {"subtype": "PCM_U8"}, RATE),
        ("a.wav", {"subtype": "PCM_24"}, 96000),
        ("a.wav", {"subtype": "FLOAT"}, 44100),
        ("a.flac", {}, RATE),
        ("a.mp3", {}, 22050),
        ("a.ogg", {}, 22050),
    ],
)
@pytest.mark.parametrize("channels", [1, 2])
def test_entries_are_what_load_audio_reads(tmp_path, settings, name, options, rate, channels):
    track = write(tmp_path / "x" / name, noise(0, 10.0, 2, rate), rate, **options)
    (recording,) = decode_tracks([track], channels=channels, **settings).recordings
    expected, _ = load_audio(track.path, sample_rate=RATE, channels=channels)
    assert recording.samples.shape == (recording.num_samples, channels) == expected.shape
    assert recording.samples.dtype == np.int16
    np.testing.assert_allclose(recording.samples / 2**15, np.clip(expected, -1, 1), atol=2**-15)
    np.testing.assert_array_equal(recording.read(100, 300), recording.samples[100:300])
    np.testing.assert_array_equal(np.load(recording.path), recording.samples)
    with pytest.raises(ValueError, match="read-only"):
        recording.samples[0] = 0


def test_16_bit_audio_at_its_own_rate_is_kept_exactly(tracks, settings):
    for recording in decode_tracks(tracks, **settings).recordings:
        expected, _ = sf.read(recording.track.path, dtype="int16", always_2d=True)
        np.testing.assert_array_equal(recording.samples, expected)


def test_a_second_run_neither_decodes_nor_hashes(tracks, settings, monkeypatch):
    first = decode_tracks(tracks, **settings)
    before = states(settings["cache_dir"])
    assert len(before) == 6

    def never(*_, **__):
        raise AssertionError("read again")

    monkeypatch.setattr(soundness, "stream_audio", never)
    monkeypatch.setattr(cache.hashlib, "file_digest", never)
    assert decode_tracks(tracks, **settings) == first
    assert states(settings["cache_dir"]) == before


def test_renamed_files_are_not_decoded_again(tracks, settings, tmp_path):
    first = decode_tracks(tracks, **settings)
    before = states(settings["cache_dir"])
    (tmp_path / "data").rename(tmp_path / "moved")
    moved = [Track(tmp_path / "moved" / t.label / t.path.name, *astuple(t)[1:]) for t in tracks]
    second = decode_tracks(moved, **settings)
    assert [r.digest for r in second.recordings] == [r.digest for r in first.recordings]
    assert states(settings["cache_dir"]) == before


def astuple(track: Track) -> tuple:
    return (track.path, track.label, track.track_id, track.group)


def test_changed_files_and_other_settings_are_decoded(tracks, settings):
    first = decode_tracks(tracks, **settings).recordings
    sf.write(tracks[0].path, noise(99), RATE)
    second = decode_tracks(tracks, **settings).recordings
    assert first[0].digest != second[0].digest
    assert first[1:] == second[1:]
    lower = decode_tracks(tracks, **settings | {"sample_rate": 4000}).recordings
    assert {r.num_samples for r in lower} == {2000}
    stereo = decode_tracks(tracks, channels=2, **settings).recordings
    assert stereo[0].samples.shape == (4000, 2)


@pytest.mark.parametrize("damage", ["cut", "empty", "garbage", "header", "bit", "hash"])
def test_a_damaged_entry_is_made_anew(tracks, settings, damage):
    recording = decode_tracks(tracks, **settings).recordings[2]
    good = recording.path.read_bytes()
    bad = {
        "cut": good[:-2],
        "empty": b"",
        "garbage": b"x" * 999,
        "header": good[:50],
        "bit": good[:500] + bytes([good[500] ^ 1]) + good[501:],
        "hash": good[:-1] + bytes([good[-1] ^ 1]),
    }[damage]
    recording.path.write_bytes(bad)
    with pytest.warns(UserWarning, match="this entry of the cache is damaged, it is made anew"):
        assert decode_tracks(tracks, **settings).recordings[2] == recording
    assert recording.path.read_bytes() == good


def test_an_entry_of_an_earlier_version_has_no_hash_and_is_read(tracks, settings):
    recording = decode_tracks(tracks, **settings).recordings[2]
    old = recording.path.read_bytes()[: 128 + 2 * recording.num_samples]
    recording.path.write_bytes(old)
    assert decode_tracks(tracks, **settings).recordings[2] == recording
    assert recording.path.read_bytes() == old


def test_names_that_are_not_utf8_are_tracks_like_others(tracks, settings, tmp_path):
    first, second = (
        Path(os.fsdecode(os.fsencode(tracks[0].path.parent) + b"/" + name))
        for name in (b"caf\xe9.flac", b"caf\xe8.flac")
    )
    for path, seed in ((first, 7), (second, 8)):
        write(tracks[0].path.with_name("new.flac"), noise(seed)).path.rename(path)
    found = scan_tracks(tmp_path / "data")
    assert [track.track_id for track in found][3:5] == [r"caf\xe8", r"caf\xe9"]
    decoded = decode_tracks(found, **settings)
    assert len(decoded.recordings) == 8
    assert not decoded.quarantined


def test_leftovers_of_killed_writers_go_when_the_cache_is_written(tracks, settings):
    entry = decode_tracks(tracks, **settings).recordings[0].path
    for name in (f".{entry.stem}-abcdefgh.npy", f".{entry.stem}-abcdefgh.part.npy"):
        entry.with_name(name).write_bytes(b"half")
    decode_tracks(tracks, **settings)
    assert not list(entry.parent.glob(".*"))


@pytest.mark.parametrize("content", ["", "no json", "[]", '{"x": 1}'])
def test_a_damaged_index_is_no_obstacle(tracks, settings, content):
    first = decode_tracks(tracks, **settings)
    (index,) = settings["cache_dir"].rglob("index.json")
    index.write_text(content)
    assert decode_tracks(tracks, **settings) == first
    assert str(tracks[0].path) in index.read_text()


@pytest.mark.parametrize(
    "digest", ["/x/y", "../../x", "", "F" * 32, "0" * 31, "0" * 32 + "\n", 7, None, ["0" * 32]]
)
def test_a_digest_of_the_index_is_no_path(tracks, settings, digest, tmp_path):
    first = decode_tracks(tracks, **settings)
    (index,) = settings["cache_dir"].rglob("index.json")
    known = json.loads(index.read_text())
    index.write_text(json.dumps({path: [*entry[:3], digest] for path, entry in known.items()}))
    before = set(tmp_path.rglob("*"))
    assert decode_tracks(tracks, **settings) == first
    assert set(tmp_path.rglob("*")) == before
    assert json.loads(index.read_text()) == known


def test_an_entry_cut_while_in_use_is_named(tracks, settings):
    recording = decode_tracks(tracks, **settings).recordings[0]
    with recording.path.open("r+b") as file:
        file.truncate(1000)
    with pytest.raises(OSError, match="cut short since it was checked") as caught:
        recording.read(0, 4000)
    assert str(recording.path) in str(caught.value)


def bad_files(folder: Path) -> dict[str, Track]:
    """One file for each fault, by the reason that it should get."""
    broken = noise(50)
    broken[7] = np.nan
    files = {
        "truncated: header promises 4000 frames, ": write(folder / "cut.wav", noise(51)),
        "damaged or truncated: header promises 40000 frames, ": write(
            folder / "cut.flac", noise(52, 5)
        ),
        "non-finite": write(folder / "nan.wav", broken, subtype="FLOAT"),
        "silent: no sample above 3/32768": write(folder / "silent.wav", 0 * noise(0)),
        "empty: a header without samples": write(folder / "zero.wav", noise(0)[:0]),
        "empty: 0 bytes": write(folder / "none.wav", noise(0)),
        "unreadable: ": write(folder / "text.mp3", noise(0)),
        "out of range: samples reach ": write(
            folder / "scale.wav", 9e4 * noise(53), subtype="FLOAT"
        ),
        "same content as 1 (": write(folder / "b/copy.flac", noise(0)),
        "unreadable: No such file": Track(folder / "gone.wav", "x", "gone", "gone"),
    }
    for name in ("cut.wav", "cut.flac"):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: int(0.7 * len(content))])
    (folder / "none.wav").write_bytes(b"")
    (folder / "text.mp3").write_text("moved permanently" * 99)
    return files


def test_faulty_files_are_quarantined_with_the_reason(tracks, settings, tmp_path):
    bad = bad_files(tmp_path / "bad")
    shutil.copy(tracks[1].path, tmp_path / "bad/b/copy.flac")
    decoded = decode_tracks([*tracks, *bad.values()], **settings)
    assert [recording.track for recording in decoded.recordings] == tracks
    assert {q.track for q in decoded.quarantined} == set(bad.values())
    reasons = {q.track: q.reason for q in decoded.quarantined}
    for reason, track in bad.items():
        assert reasons[track].startswith(reason)
    left = {path.name for path in settings["cache_dir"].rglob("*") if path.is_file()}
    assert left == kept_of(decoded.recordings)


def test_a_recording_in_two_classes_is_refused(tracks, settings, tmp_path):
    copy = tmp_path / "data/b/copy.wav"
    sound, rate = sf.read(tracks[0].path)
    sf.write(copy, sound, rate)
    with pytest.raises(ValueError, match="1 recordings are in two classes") as caught:
        decode_tracks(scan_tracks(tmp_path / "data"), **settings)
    assert str(copy) in str(caught.value)
    assert f"the same samples as 0 ({tracks[0].path}), which is a, not b: remove one" in str(
        caught.value
    )


def test_identities_are_kept_with_the_content_whatever_the_settings(
    tracks, settings, monkeypatch, tmp_path
):
    first = decode_tracks(tracks, **settings).recordings
    assert [r.identity for r in first] == [identify(track.path) for track in tracks]
    monkeypatch.setattr(cache, "Identifier", lambda: None)
    (tmp_path / "data").rename(tmp_path / "moved")
    moved = scan_tracks(tmp_path / "moved")
    for options in ({}, {"channels": 2}, {"sample_rate": 4000}):
        again = {
            r.digest: r.identity for r in decode_tracks(moved, **settings | options).recordings
        }
        assert again == {r.digest: r.identity for r in first}


@pytest.mark.parametrize("damage", [b"", b"x", b"\xff", "bit", "other", "version"])
def test_a_damaged_identity_is_made_anew(tracks, settings, damage):
    one, other = decode_tracks(tracks, **settings).recordings[2:4]
    path, second = (r.path.with_name(f"{r.digest}.identity") for r in (one, other))
    good = path.read_bytes()
    made = {
        "bit": good[:40] + bytes([good[40] ^ 1]) + good[41:],
        "other": second.read_bytes(),
        "version": b"0" + good[1:],
    }
    path.write_bytes(made.get(damage, damage))
    with pytest.warns(UserWarning, match="this entry of the cache is damaged, it is made anew"):
        assert decode_tracks(tracks, **settings).recordings[2] == one
    assert path.read_bytes() == good


def test_all_tracks_faulty_is_an_error(settings, tmp_path):
    with pytest.raises(ValueError, match=r"none of the 1 tracks can be used: .*gone\.wav: unread"):
        decode_tracks([Track(tmp_path / "gone.wav", "x", "gone", "gone")], **settings)


def test_settings_out_of_range(tracks, settings):
    with pytest.raises(ValueError, match="no tracks to decode"):
        decode_tracks([], **settings)
    with pytest.raises(ValueError, match="sample_rate must lie in 1,000"):
        decode_tracks(tracks, **settings | {"sample_rate": 0})
    with pytest.raises(ValueError, match="channels=6"):
        decode_tracks(tracks, channels=6, **settings)


def test_quiet_is_not_silent_and_overshoot_is_clipped(settings, tmp_path):
    quiet = write(tmp_path / "x/quiet.wav", noise(0) * 2e-3)
    loud = write(tmp_path / "x/loud.wav", noise(1) * 3, subtype="FLOAT")
    first, second = decode_tracks([quiet, loud], **settings).recordings
    assert np.abs(first.samples).max() == 33
    assert (second.samples.min(), second.samples.max()) == (-32768, 32767)


def test_progress_comes_from_the_calling_thread(tracks, settings):
    calls = []
    decode_tracks(
        tracks,
        on_progress=lambda *call: calls.append((*call, threading.current_thread())),
        **settings,
    )
    assert [call[:2] for call in calls] == [(i, 6) for i in range(1, 7)]
    assert {call[2] for call in calls} == {track.track_id for track in tracks}
    assert {call[3] for call in calls} == {threading.current_thread()}


def test_an_interrupted_run_stops_and_the_next_goes_on(tracks, settings):
    def interrupt(done, total, name):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        decode_tracks(tracks, workers=1, on_progress=interrupt, **settings)
    before = states(settings["cache_dir"])
    assert 2 <= len(before) < 6
    decode_tracks(tracks, **settings)
    assert states(settings["cache_dir"]).items() > before.items()


def test_several_processes_may_fill_one_cache(tracks, settings, tmp_path):
    script = (
        "import sys; from features.dataset import scan_tracks; from features.cache import *\n"
        f"tracks = scan_tracks({str(tmp_path / 'data')!r})\n"
        f"folder = {str(settings['cache_dir'])!r}\n"
        "found = decode_tracks(tracks, sample_rate=8000, cache_dir=folder)\n"
        "print(sum(int(r.samples.astype('i8').sum()) for r in found.recordings))"
    )
    runs = [
        subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    sums = {run.communicate()[0] for run in runs}
    found = decode_tracks(tracks, **settings)
    assert sums == {f"{sum(int(r.samples.astype('i8').sum()) for r in found.recordings)}\n"}
    left = {path.name for path in settings["cache_dir"].rglob("*") if path.is_file()}
    assert left == kept_of(found.recordings)


def test_a_full_disk_says_what_is_needed_and_where_else(tracks, settings, tmp_path):
    pytest.importorskip("resource")
    script = (
        "import resource; from features.dataset import scan_tracks; from features.cache import *\n"
        f"tracks = scan_tracks({str(tmp_path / 'data')!r})\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))\n"
        f"folder = {str(settings['cache_dir'])!r}\n"
        "try: decode_tracks(tracks, sample_rate=768000, cache_dir=folder)\n"
        "except OSError as error: print(error.errno, error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(f"{errno.EFBIG} ")
    assert str(settings["cache_dir"]) in done.stdout
    assert "6 tracks need 4.6 MB" in done.stdout
    assert "set WAVEGAN_CACHE" in done.stdout
    assert not list(settings["cache_dir"].rglob("*.npy"))


def test_where_the_cache_is(monkeypatch):
    monkeypatch.setenv("WAVEGAN_CACHE", "here")
    monkeypatch.setenv("XDG_CACHE_HOME", "xdg")
    assert default_cache_dir() == Path("here")
    monkeypatch.delenv("WAVEGAN_CACHE")
    assert default_cache_dir() == Path("xdg/wavegan")
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert default_cache_dir() == Path.home() / ".cache/wavegan"


def test_gtzan_mini(gtzan_mini, settings):
    decoded = decode_tracks(scan_tracks(gtzan_mini), **settings | {"sample_rate": 22050})
    assert len(decoded.recordings) == 80
    assert not decoded.quarantined
    assert min(r.num_samples for r in decoded.recordings) >= 14 * 22050
    for recording in decoded.recordings[::20]:
        expected, _ = sf.read(recording.track.path, dtype="int16", always_2d=True)
        np.testing.assert_array_equal(recording.samples, expected)


@pytest.mark.parametrize("rate", [RATE, 44100])
def test_a_constant_is_silent_at_every_rate(tmp_path, settings, rate):
    constant = write(tmp_path / "x/dc.wav", np.full((rate, 1), 0.25), rate)
    other = write(tmp_path / "x/sound.wav", noise(0) * 0.01 + 0.25)
    found = decode_tracks([constant, other], **settings)
    assert [r.track for r in found.recordings] == [other]
    assert found.quarantined[0].reason.startswith("silent: a constant")


def test_a_file_replaced_between_hash_and_decoding_is_not_kept_under_the_wrong_hash(
    tmp_path, settings, monkeypatch
):
    first, second = (write(tmp_path / f"x/{i}.wav", noise(i)) for i in range(2))
    digest = cache._Index.digest

    def replaced(index: cache._Index, source: Path) -> str:
        found = digest(index, source)
        if source == first.path:
            sf.write(source, noise(7), RATE)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(cache._Index, "digest", replaced)
        found = decode_tracks([first, second], **settings)
    assert [q.reason for q in found.quarantined] == ["changed while it was read: run again"]
    assert len(states(settings["cache_dir"])) == 1
    again = decode_tracks([first, second], **settings)
    assert again.recordings[0].digest == cache.file_digest(first.path)


def test_twins_are_kept_where_each_needs_an_answer(tmp_path):
    """The same file in two classes, which a data set must not have."""
    audio = synthesize("techno", 0, seconds=1.0, sample_rate=8000)
    for name in ("a/x", "a/y", "b/z"):
        save_audio(tmp_path / f"{name}.wav", audio, 8000)
    tracks = scan_tracks(tmp_path)
    options = {"sample_rate": 8000, "cache_dir": tmp_path / "cache"}
    kept = decode_tracks(tracks, keep_twins=True, **options)
    assert [r.track for r in kept.recordings] == list(tracks)
    assert not kept.quarantined
    with pytest.raises(ValueError, match="in two classes"):
        decode_tracks(tracks, **options)
    (tmp_path / "a" / "y.wav").write_bytes(b"RIFF nothing")
    kept = decode_tracks(tracks, keep_twins=True, **options)
    assert [bad.track.track_id for bad in kept.quarantined] == ["y"]
