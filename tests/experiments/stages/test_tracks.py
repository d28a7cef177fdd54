"""Which tracks a generator was told of, by file, by sound and by name."""

from pathlib import Path

import pytest

from experiments.stages.gans import Tracks, find_gans
from features import decode_tracks, load_audio, save_audio, scan_tracks
from features.identity import Identity
from features.synthetic import synthesize

UNKNOWN = "0" * 32


@pytest.fixture(scope="module")
def held(tmp_path_factory):
    """Four tracks that are held out."""
    root = tmp_path_factory.mktemp("held")
    for i, name in enumerate(("a/one", "a/two", "b/three", "b/four")):
        audio = synthesize(("techno", "waltz")[i // 2], i, seconds=6.0, sample_rate=8000)
        save_audio(root / f"{name}.wav", audio, 8000)
    return decode_tracks(scan_tracks(root), sample_rate=8000, cache_dir=root / "cache").recordings


def by_name(recordings, name):
    return next(r for r in recordings if r.track.track_id == name)


@pytest.fixture(scope="module")
def copy(held, tmp_path_factory):
    """The first one in another file: softer, half a second shorter, as flac, by another name."""
    audio, rate = load_audio(by_name(held, "one").track.path)
    root = tmp_path_factory.mktemp("copies")
    save_audio(root / "x" / "renamed.flac", 0.4 * audio[rate // 2 :], rate)
    save_audio(root / "y" / "other.flac", 0.4 * audio[::-1], rate)
    decoded = decode_tracks(scan_tracks(root), sample_rate=8000, cache_dir=root / "cache")
    return by_name(decoded.recordings, "renamed")


def test_a_file_is_known_by_its_hash(held):
    digest = by_name(held, "two").digest
    assert Tracks.of(held).among([("whatever", digest, None)]) == ["two"]


def test_a_copy_is_known_by_its_sound(held, copy):
    told = [(copy.track.track_id, copy.digest, copy.identity)]
    assert Tracks.of(held).among(told) == ["one"]
    assert Tracks.of(r for r in held if r.track.track_id != "one").among(told) == []


def test_a_name_tells_where_no_sound_is_known(held):
    tracks = Tracks.of(held)
    assert tracks.among([("three", UNKNOWN, None)]) == ["three"]
    other = Identity.parse(str(by_name(held, "one").identity))
    alone = Tracks.of([by_name(held, "three")])
    assert alone.among([("three", UNKNOWN, other)]) == []  # another sound by the same name


def test_nothing_is_found_in_nothing(held):
    assert Tracks().among([("one", UNKNOWN, None)]) == []
    assert Tracks.of(held).among([]) == []


def test_the_packages_digits_know_their_takes_in_other_files(shared_data, tmp_path):
    if not (shared_data / "fsdd").is_dir():
        pytest.skip(f"no fsdd in {shared_data}")
    for i, name in enumerate(("7/george_3", "3/yweweler_20", "7/theo_3", "3/theo_20")):
        audio, rate = load_audio(shared_data / "fsdd" / f"{name}.flac", sample_rate=16000)
        save_audio(tmp_path / name[0] / f"renamed{i}.wav", 0.5 * audio, rate)
    decoded = decode_tracks(scan_tracks(tmp_path), sample_rate=8000, cache_dir=tmp_path / "cache")
    (digits,) = find_gans(Path("digits"))
    held = Tracks.of(decoded.recordings)
    assert held.among(digits.told("tracks")) == ["renamed0", "renamed1"]  # theo was heard by nobody
