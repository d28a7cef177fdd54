"""What an ordinary user meets: folders of others, data that may only be read, or changes."""

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from experiments.cli import main
from experiments.commands.audition import audition  # noqa: F401, not readable for all
from experiments.commands.classify import classify
from experiments.config import ClassifyConfig, DataConfig
from experiments.stages import data as data_stage
from experiments.stages.folders import class_folders
from features.array_files import read_safetensors, write_safetensors
from features.checksums import check_sealed, write_sealed
from features.dataset import audio_files

NOBODY = 65534


@contextmanager
def ordinary_user():
    """Without root's rights, if the tests have them."""
    if os.getuid():
        yield
        return
    os.setresuid(NOBODY, NOBODY, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


@pytest.fixture
def folder(monkeypatch):
    """One that everybody can reach, with a cache that is the user's."""
    made = Path(tempfile.mkdtemp())
    made.chmod(0o755)
    (made / "mine").mkdir()
    (made / "mine").chmod(0o777)
    monkeypatch.setenv("WAVEGAN_CACHE", str(made / "mine/cache"))
    yield made
    shutil.rmtree(made)


@pytest.fixture
def read_only(folder, music):
    """Data that nobody may write to."""
    there = shutil.copytree(music, folder / "data")
    for path in [there, *there.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    return there


def command(data: Path, out: Path) -> list[str]:
    line = (
        "classify --recipe demo --num-samples 2048 --fit-steps 2 --seeds 1 --fractions 0.4,0.2,0.4"
    )
    return [*line.split(), "--fractions", "0.4,0.2,0.4", "--data", str(data), "--out", str(out)]


def test_data_that_may_only_be_read(read_only, folder, capsys):
    assert (
        main(command(read_only, folder / "loaded")) == 0
    )  # so that all is imported, which nobody may read
    before = {path: path.stat().st_mtime_ns for path in read_only.rglob("*")}
    shutil.rmtree(folder / "mine/cache")
    with ordinary_user():
        assert main(command(read_only, folder / "mine/run")) == 0, capsys.readouterr().err
        assert main(["doctor", "--data", str(read_only)]) == 0
    assert {path: path.stat().st_mtime_ns for path in read_only.rglob("*")} == before


def test_a_cache_that_is_not_ones_own(read_only, folder, capsys, monkeypatch):
    monkeypatch.setenv("WAVEGAN_CACHE", str(folder / "cache"))
    folder.chmod(0o555)
    with ordinary_user():
        assert main(command(read_only, folder / "mine/run")) == 2
        said = capsys.readouterr().err.splitlines()[-1]
        assert f"the cache {folder}/cache can't be written (Permission denied)" in said
        assert "set WAVEGAN_CACHE" in said
        assert not (folder / "mine/run").exists()
        assert main(["doctor", "--data", str(read_only)]) == 0  # which needs none
    folder.chmod(0o755)


def test_results_in_a_folder_that_is_not_ones_own(read_only, folder, capsys):
    folder.chmod(0o555)
    with ordinary_user():
        assert main(command(read_only, folder / "run")) == 2
    folder.chmod(0o755)
    said = capsys.readouterr().err.splitlines()[-1]
    assert f"--out {folder}/run: no permission to write in {folder}" in said


def test_a_track_that_may_not_be_read(read_only, folder, capsys):
    (read_only / "drone/drone.00001.wav").chmod(0)
    with ordinary_user():
        assert main(["doctor", "--data", str(read_only)]) == 1
    assert "drone.00001.wav: unreadable: Permission denied" in capsys.readouterr().out


def test_a_folder_that_may_not_be_read_is_named_and_not_left_out(folder, music, capsys):
    secret = shutil.copytree(music, folder / "secret")
    (secret / "drone").chmod(0)
    with ordinary_user():
        for read in (lambda: audio_files([secret]), lambda: class_folders(secret)):
            with pytest.raises(PermissionError, match="secret/drone"):
                read()
        assert main(["audition", str(secret), "--out", str(folder / "mine/page")]) == 2
    said = f"wavegan audition: {secret}/drone: Permission denied: ask its owner for it, or name an"
    assert said in capsys.readouterr().err
    assert not (folder / "mine/page").exists()


def test_a_file_that_may_not_be_read_is_neither_missing_nor_damaged(folder):
    write_sealed(folder / "sealed.json", {})
    write_safetensors(folder / "arrays.safetensors", {"x": np.ones(2)}, "key", '{"x": 1}')
    for name in ("sealed.json", "arrays.safetensors"):
        (folder / name).chmod(0)
    with ordinary_user():
        check_sealed(folder / "sealed.json")  # and reading it says what it is
        with pytest.raises(PermissionError, match=r"arrays\.safetensors"):
            read_safetensors(folder / "arrays.safetensors", "again", "key")


def test_data_that_changes_while_a_run_is_on_changes_nothing(music, small_recipe, tmp_path):
    """What was decoded is kept: the run ends as if nothing had happened."""

    def results(data: Path, out: Path) -> dict:
        config = DataConfig(str(data), fractions=(0.4, 0.2, 0.4))
        found = classify(ClassifyConfig(small_recipe, config, seeds=1), out)
        (split,) = found["splits"].values()
        return {k: v for k, v in split["runs"][0].items() if "seconds" not in k}

    there = shutil.copytree(music, tmp_path / "music")
    expected = results(there, tmp_path / "undisturbed")
    decoded = data_stage.decode_tracks

    def then_changed(tracks, **options):
        found = decoded(tracks, **options)
        for track in tracks:
            track.path.write_bytes(b"gone")
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data_stage, "decode_tracks", then_changed)
        assert results(there, tmp_path / "disturbed") == expected
    with pytest.raises(ValueError, match=r"none of the 15 tracks can be used: .*drone.00000.wav"):
        results(there, tmp_path / "after")
