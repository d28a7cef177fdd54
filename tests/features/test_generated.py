"""Generated audio is known by its manifest and its comment, wherever it is moved."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from features.audio import load_audio
from features.dataset import refuse_recordings, scan_tracks
from features.generated import GENERATED, LATENTS, MANIFESTS, is_generated
from features.saving import save_audio


def make(root: Path, *names: str) -> None:
    """Empty files, which no one takes for generated ones."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def generated(path: Path) -> Path:
    save_audio(path, np.linspace(-0.5, 0.5, 400), 4000, comment=GENERATED)
    return path


def manifest(folder: Path, name: str = "manifest.json") -> None:
    (folder / name).write_text(json.dumps({"latents": LATENTS, "files": []}))


@pytest.mark.parametrize("name", MANIFESTS)
@pytest.mark.parametrize("layout", ["", "genres/"])
@pytest.mark.parametrize("holder", ["", "a"])
def test_a_manifest_of_generated_audio_is_no_data_set(tmp_path, name, layout, holder):
    make(tmp_path, f"{layout}a/1.wav", f"{layout}b/2.wav")
    manifest(tmp_path / layout / holder, name)
    with pytest.raises(ValueError, match=f"{name} says that wavegan generated.* --generated RUN"):
        scan_tracks(tmp_path)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"latents": 3, "files": []}', "[" * 10**5, "\0", "\udcff"]
)
def test_manifests_of_others_are_theirs(tmp_path, content):
    make(tmp_path, "a/1.wav", "b/2.wav")
    (tmp_path / "a/manifest.json").write_text(content, errors="surrogateescape")
    (tmp_path / "b/manifest.json").mkdir()
    assert len(scan_tracks(tmp_path)) == 2


@pytest.mark.parametrize("name", ["a/2.wav", "a/2.flac", "a/2.ogg"])
def test_generated_files_are_known_wherever_they_are_moved(tmp_path, name):
    make(tmp_path, "a/1.wav", "b/2.mp3")
    generated(tmp_path / name).rename(tmp_path / "a/2.au")
    with pytest.raises(ValueError, match=r"a/2.au says that wavegan generated this audio"):
        scan_tracks(tmp_path)


def test_a_comment_at_the_end_or_in_utf_16_is_seen(tmp_path):
    make(tmp_path, "a/1.wav", "b/2.mp3")
    for encoding in ("utf-8", "utf-16"):
        (tmp_path / "a/1.wav").write_bytes(bytes(9000) + GENERATED.encode(encoding) + bytes(99))
        with pytest.raises(ValueError, match=r"a/1.wav says"):
            scan_tracks(tmp_path)


def test_generated_clips_join_no_recordings(tmp_path):
    refuse_recordings(tmp_path / "new")
    generated(tmp_path / "out/a/1.wav")
    make(tmp_path, "out/b/old.wav", "out/.hidden/2.wav", "out/a/notes.txt")
    manifest(tmp_path / "out/b")  # of a version whose files had no comment
    refuse_recordings(tmp_path / "out")
    for name in ("out/1.wav", "out/c/2.flac", "out/a/3.mp3", "out/genres/c/4.wav"):
        make(tmp_path, name)
        with pytest.raises(ValueError, match=rf"--out .*out holds recordings, .*{name}"):
            refuse_recordings(tmp_path / "out")
        (tmp_path / name).unlink()


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg"])
def test_a_comment_changes_no_sample(tmp_path, suffix):
    tone = np.sin(np.arange(4000)) / 2
    plain, told = tmp_path / f"plain{suffix}", tmp_path / f"told{suffix}"
    save_audio(plain, tone, 4000)
    save_audio(told, tone, 4000, comment=GENERATED)
    with sf.SoundFile(told) as file:
        assert file.comment == GENERATED
    np.testing.assert_array_equal(load_audio(told)[0], load_audio(plain)[0])
    assert [is_generated(path) for path in (plain, told, tmp_path / "none.wav")] == [0, 1, 0]
