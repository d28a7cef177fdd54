"""Folder layouts, as users have them."""

import os
import re
import sys
from pathlib import Path

import pytest

from features.dataset import Track, audio_files, passed_over, refuse_recordings, scan_tracks


def make(root: Path, *names: str) -> Path:
    """Empty files; scanning reads names only."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def ids(tracks: tuple[Track, ...]) -> list[str]:
    return [track.track_id for track in tracks]


def groups(tracks: tuple[Track, ...]) -> list[str]:
    return [track.group for track in tracks]


def test_class_folders_give_sorted_tracks_of_every_suffix(tmp_path):
    names = ("b/2.FLAC", "b/1.ogg", "a/4.wav", "a/5.Au", "a/3.mp3", "a/notes.txt", "readme.md")
    tracks = scan_tracks(make(tmp_path, *names))
    assert ids(tracks) == ["3", "4", "5", "1", "2"]
    assert [track.label for track in tracks] == ["a", "a", "a", "b", "b"]
    assert tracks[0] == Track(tmp_path / "a/3.mp3", "a", "3", "3")
    assert scan_tracks(str(tmp_path)) == tracks


@pytest.mark.parametrize("layout", ["", "genres/", "genres_original/"])
@pytest.mark.parametrize("spelling", ["hiphop", "hip-hop"])
def test_gtzan_layouts(tmp_path, layout, spelling):
    make(
        tmp_path,
        f"{layout}blues/blues.00000.wav",
        f"{layout}blues/._blues.00000.wav",
        f"{layout}{spelling}/{spelling}.00000.au",
        f"{layout}.cache/x.wav",
        f"{layout}__MACOSX/x.wav",
        "images_original/blues/blues00000.png",
        "features_30_sec.csv",
    )
    tracks = scan_tracks(tmp_path)
    assert ids(tracks) == ["blues.00000", f"{spelling}.00000"]
    assert [track.label for track in tracks] == ["blues", "hiphop"]


def test_only_recurring_stems_get_the_label(tmp_path):
    tracks = scan_tracks(make(tmp_path, "a/x.wav", "b/x.wav", "b/y.wav"))
    assert ids(tracks) == ["a/x", "b/x", "y"]
    assert groups(tracks) == ids(tracks)


def test_two_files_of_one_name_in_a_class_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"x\.wav and .*x\.flac have one name"):
        scan_tracks(make(tmp_path, "a/x.flac", "a/x.wav", "b/y.wav"))


@pytest.mark.parametrize(
    ("names", "error", "message"),
    [
        ([], FileNotFoundError, "no such folder"),
        (["root"], NotADirectoryError, "a file; give the folder"),
        (["root/readme.md"], ValueError, "no class folder with audio"),
        (["root/1.wav", "root/2.wav"], ValueError, "2 audio files lie directly in it"),
        (["root/a/1.wav", "root/b/1.txt"], ValueError, "one class only \\('a'\\); at least two"),
        (
            ["root/train/a/1.wav", "root/train/b/1.wav"],
            ValueError,
            "audio below the class folder 'train'",
        ),
    ],
)
def test_what_is_no_data_set_is_refused(tmp_path, names, error, message):
    make(tmp_path, *names)
    with pytest.raises(error, match=message) as caught:
        scan_tracks(tmp_path / "root")
    assert str(tmp_path / "root") in str(caught.value)


@pytest.mark.parametrize(
    "pattern", ["{label}/{speaker}_{take}.wav", "{label}/{label}_{speaker}_{take}.wav"]
)
def test_speakers_are_groups(tmp_path, pattern):
    names = [
        pattern.format(label=label, speaker=speaker, take=take)
        for label in "012"
        for speaker in ("george", "le_o")
        for take in (0, 11)
    ]
    tracks = scan_tracks(make(tmp_path, *names))
    assert groups(tracks) == ["george", "george", "le_o", "le_o"] * 3
    assert len(set(ids(tracks))) == 12


@pytest.mark.parametrize(
    "names",
    [
        ("blues/blues_01.wav", "blues/blues_02.wav", "rock/rock_01.wav", "rock/rock_02.wav"),
        ("a/take_01.wav", "a/take_02.wav", "b/take_03.wav", "b/take_04.wav"),
        ("a/x_1.wav", "a/y_1.wav", "b/v_1.wav", "b/w_1.wav"),
        ("a/ann_1.wav", "a/bob_1.wav", "b/ann_2.wav", "b/bob.wav"),
        ("a/ann_1.wav", "a/bob_1.wav", "b/ann_2.wav", "b/bob_x.wav"),
    ],
)
def test_names_that_only_look_like_speakers_are_not(tmp_path, names):
    tracks = scan_tracks(make(tmp_path, *names))
    assert groups(tracks) == ids(tracks)


def test_an_artist_index_gives_groups(tmp_path):
    index = tmp_path / "index.txt"
    index.write_text(
        "blues.00000.wav ::: John Lee Hooker ::: Boom\n"
        "blues.00001.wav ::: John Lee Hooker :::\n"
        "hiphop.00000.wav ::: Ü ::: B\n"
        "rock.00000.wav ::: ::: Title\n"
        "rock.00001.wav ::: :::\n",
        encoding="utf-8",
    )
    data = make(
        tmp_path / "data",
        *("blues/blues.00000.au", "blues/blues.00001.au", "hip-hop/hip-hop.00000.au"),
        *("rock/rock.00000.au", "rock/rock.00001.au", "rock/rock.00002.au"),
    )
    tracks = scan_tracks(data, artist_index=index)
    assert groups(tracks) == [
        *("John Lee Hooker", "John Lee Hooker", "Ü", "rock.00000", "rock.00001", "rock.00002")
    ]


def test_a_wrong_or_missing_index_is_refused(tmp_path):
    data = make(tmp_path / "data", "a/1.wav", "b/2.wav")
    with pytest.raises(FileNotFoundError, match="no such artist index"):
        scan_tracks(data, artist_index=tmp_path / "none.txt")
    (tmp_path / "other.txt").write_text("x.wav ::: Ann ::: Song\n")
    with pytest.raises(ValueError, match=r"names none of the 2 tracks \(e.g. 1.wav\)"):
        scan_tracks(data, artist_index=tmp_path / "other.txt")


def test_gtzan_mini(gtzan_mini, shared_data):
    tracks = scan_tracks(gtzan_mini)
    assert len(tracks) == 80
    assert groups(tracks) == ids(tracks)
    index = shared_data / "gtzan-splits" / "GTZANindex.txt"
    if not index.is_file():
        pytest.skip(f"no {index}")
    artists = scan_tracks(gtzan_mini, artist_index=index)
    assert {track.group for track in artists if track.label == "reggae"} == {"Bob Marley"}
    assert len({track.group for track in artists}) < 80


def test_fsdd(shared_data):
    if not (shared_data / "fsdd").is_dir():
        pytest.skip(f"no fsdd in {shared_data}")
    tracks = scan_tracks(shared_data / "fsdd")
    assert len(set(ids(tracks))) == 3000
    assert set(groups(tracks)) == {"george", "jackson", "lucas", "nicolas", "theo", "yweweler"}


@pytest.mark.parametrize("name", ["a\\b", "a\nb", "\x1b[2J", "\udcff"])
def test_a_class_is_a_name_for_files_elsewhere(tmp_path, name):
    make(tmp_path, f"{name}/1.wav", "b/2.wav")
    with pytest.raises(ValueError, match="can't be the name of a file or folder") as caught:
        scan_tracks(tmp_path)
    assert str(caught.value).isprintable()


def test_what_is_passed_over_is_named_with_a_reason(tmp_path):
    names = ("a/1.wav", "a/2.voc", "a/x.txt", "a/.h.wav", "b/3.wav", "4.wav", "c/readme", "n.csv")
    make(tmp_path, *names)
    (tmp_path / "a/gone.wav").symlink_to("nowhere")
    (tmp_path / "a/loop.wav").symlink_to("loop.wav")
    (tmp_path / "a/up").symlink_to("..")
    (tmp_path / "up").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "b/pipe.wav")
    assert ids(scan_tracks(tmp_path)) == ["1", "3"]
    found = {str(one.path.relative_to(tmp_path)): one.reason for one in passed_over(tmp_path)}
    assert found == {
        "4.wav": "audio beside the class folders",
        "a/.h.wav": "hidden",
        "a/2.voc": ".voc is not read: convert it to wav or flac",
        "a/gone.wav": "a link that leads nowhere",
        "a/loop.wav": "a link that leads nowhere",
        "a/up": "a link to a folder",
        "a/x.txt": "no audio, by its suffix",
        "b/pipe.wav": "neither a file nor a folder",
        "c": "a folder without audio",
        "c/readme": "no audio, by its suffix",
        "n.csv": "no audio, by its suffix",
        "up": "a link to a folder that it lies in",
    }
    audio = {one.path.name for one in passed_over(tmp_path) if one.audio}
    assert audio == {"4.wav", "2.voc", "gone.wav", "loop.wav", "pipe.wav"}


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("a/1.wav", "b/2.wav", "c/3.ape"), r"c: none of its 1 audio files can be used \(3.ape"),
        (("a/1.wav", "b/2.wav", "b/x/y/3.wav"), r"3\.wav: audio below the class folder 'b'"),
        (("Blues/1.wav", "blues/2.wav"), "'Blues' and 'blues' differ in case"),
        (("caf\u00e9/1.wav", "cafe\u0301/2.wav"), r"u0301' and 'caf.xe9' differ in case"),
        (("a/1.wav", "b" * 250 + "/2.wav"), "a class name of 250 bytes; at most 100"),
    ],
)
def test_classes_that_would_vanish_or_come_twice_are_refused(tmp_path, names, said):
    make(tmp_path, *names)
    with pytest.raises(ValueError, match=said):
        scan_tracks(tmp_path)


CONTAINED = ("a/1.wav", "a/2.m4a", "a/3.opus", "b/4.WMA", "b/5.aiff", "b/6.mp4", "b/7.ape")


def test_containers_are_tracks_as_others_where_pyav_is_installed(tmp_path):
    make(tmp_path, *CONTAINED)
    assert ids(scan_tracks(tmp_path)) == ["1", "2", "3", "4", "5", "6"]
    assert [one.path.name for one in passed_over(tmp_path)] == ["7.ape"]
    assert [path.name for path in audio_files([tmp_path / "b"])] == ["4.WMA", "5.aiff", "6.mp4"]


def test_without_pyav_containers_are_passed_over_and_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    make(tmp_path, *CONTAINED)
    assert ids(scan_tracks(tmp_path)) == ["1", "3", "5"]
    found = {one.path.name: one.reason for one in passed_over(tmp_path) if one.audio}
    assert found.keys() == {"2.m4a", "4.WMA", "6.mp4", "7.ape"}
    for name in ("2.m4a", "4.WMA", "6.mp4"):
        assert re.search(r"is not read without PyAV: pip install '\.\[decode\]', or", found[name])
    make(tmp_path, "c/8.m4a")
    with pytest.raises(ValueError, match=r"c: none of its 1 audio files .*\[decode\]"):
        scan_tracks(tmp_path)


def test_a_video_among_generated_clips_is_a_recording_too(tmp_path):
    make(tmp_path, "drone/talk.mp4")
    with pytest.raises(ValueError, match=r"holds recordings, such as .*talk\.mp4"):
        refuse_recordings(tmp_path)
