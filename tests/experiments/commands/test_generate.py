import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
import soundfile as sf
from flax import nnx

from experiments.cli import main
from experiments.run import Run
from experiments.stages.gans import find_gans, sample_gan
from features import scan_tracks
from wavegan import Generator, WaveGANConfig, generate, interpolate
from wavegan.export import export, read_exported
from wavegan.sample_files import write_interpolation, write_samples

GENRES = ["drone", "march", "techno"]
PCM = 2**-15  # one step of the files' integers


@pytest.fixture(scope="module")
def plain() -> Generator:
    return Generator(WaveGANConfig(num_samples=64, dim=1, latent_dim=4), rngs=nnx.Rngs(0))


@pytest.fixture(scope="module")
def conditional() -> Generator:
    config = WaveGANConfig(num_samples=64, dim=1, latent_dim=4, num_classes=3)
    network = Generator(config, rngs=nnx.Rngs(1))
    for modulation in network.modulations:
        modulation.shift[...] = jnp.array([[0.0], [0.3], [-0.2]])
    return network


@pytest.fixture
def drums(plain, tmp_path) -> Path:
    file = tmp_path / "drums.safetensors"
    export(plain, file, metadata={"sample_rate": 4000})
    return file


@pytest.fixture
def genres(conditional, tmp_path) -> Path:
    file = tmp_path / "genres.safetensors"
    export(conditional, file, metadata={"sample_rate": 4000, "labels": GENRES, "step": 9})
    return file


def run(*arguments: object) -> None:
    assert main([str(a) for a in arguments]) == 0


def fails(capsys, *arguments: object) -> str:
    assert main([str(a) for a in arguments]) == 2
    said = capsys.readouterr().err.strip()
    assert "Traceback" not in said
    return said.splitlines()[-1]


def read(folder: Path) -> tuple[dict, np.ndarray, np.ndarray]:
    """The manifest, the latents and the clips in a folder."""
    manifest = json.loads((folder / "manifest.json").read_text())
    clips = [sf.read(folder / file, always_2d=True)[0] for file in manifest["files"]]
    return manifest, np.load(folder / "latents.npy"), clips


# generate


def test_clips_of_an_exported_generator(drums, plain, tmp_path):
    out = tmp_path / "out"
    run("generate", drums, "--count", 70, "--seed", 5, "--out", out)
    manifest, latents, clips = read(out / "drums")
    expected = generate(plain, 70, seed=5)
    np.testing.assert_array_equal(latents, expected.latents)
    np.testing.assert_allclose(clips, expected.audio, atol=PCM)
    assert manifest["files"][69] == "drums.s5.00069.wav"
    assert manifest["sample_rate"] == sf.info(out / "drums" / manifest["files"][0]).samplerate
    assert {f.name for f in (out / "drums").iterdir()} == {
        "manifest.json", "latents.npy", *manifest["files"]
    }  # fmt: skip


def test_truncation_and_replay(drums, tmp_path):
    run("generate", drums, "--count", 5, "--truncation", 0.5, "--out", tmp_path / "a")
    manifest, latents, clips = read(tmp_path / "a" / "drums")
    assert manifest["truncation"] == 0.5
    assert np.abs(latents).max() <= 0.5
    latents_file = tmp_path / "a" / "drums" / "latents.npy"
    run("generate", drums, "--latents", latents_file, "--format", "flac", "--out", tmp_path / "b")
    replayed, again, same = read(tmp_path / "b" / "drums")
    np.testing.assert_array_equal(again, latents)
    np.testing.assert_array_equal(same, clips)
    assert replayed["latents_from"]["file"] == "latents.npy"
    assert "seed" not in replayed
    run("generate", drums, "--latents", latents_file, "--count", 2, "--out", tmp_path / "c")
    np.testing.assert_array_equal(read(tmp_path / "c" / "drums")[2], clips[:2])


def test_a_conditional_generator_by_genre(genres, conditional, tmp_path, capsys):
    run("generate", genres, "--count", 2, "--out", tmp_path / "all")
    assert "2 clips of drone, march, techno" in capsys.readouterr().out
    assert {f.name for f in (tmp_path / "all").iterdir()} == set(GENRES)
    for i, genre in enumerate(GENRES):
        manifest, latents, clips = read(tmp_path / "all" / genre)
        assert (manifest["label"], manifest["step"]) == (genre, 9)
        expected = generate(conditional, 2, seed=0, label=i)
        np.testing.assert_array_equal(latents, expected.latents)
        np.testing.assert_allclose(clips, expected.audio, atol=PCM)
    run("generate", genres, "--genre", "march", "--count", 2, "--out", tmp_path / "one")
    assert [f.name for f in (tmp_path / "one").iterdir()] == ["march"]
    np.testing.assert_array_equal(
        read(tmp_path / "one" / "march")[2], read(tmp_path / "all" / "march")[2]
    )


def test_a_generator_of_the_package(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for _ in range(2):  # what it wrote does not stand in its way
        run("generate", "digits", "--genre", "7", "--count", "2", "--truncation", "0.7")
    files = sorted(Path("digits/generated/7").glob("*.wav"))
    assert [sf.info(file).samplerate for file in files] == [8000, 8000]
    run("export", "digits", "again.safetensors", "--dtype", "bfloat16")
    assert read_exported("again.safetensors")[1] == read_exported("digits")[1]
    said = fails(capsys, "generate", "digit")
    assert "RUN digit: no such folder, and of the package's own models there is digits" in said


def test_an_interrupted_command_goes_on(plain, tmp_path):
    def write(folder: Path, **options):
        return write_samples(
            plain, folder, 10, name="a", about={"sample_rate": 4000}, batch_size=4, **options
        )

    whole, folder = tmp_path / "whole", tmp_path / "cut"
    assert list(write(whole))[-1] == (10, 10)
    clips = write(folder)
    for _ in range(7):  # the start and six clips
        next(clips)
    clips.close()
    assert not (folder / "manifest.json").exists()
    assert sorted(f.name for f in folder.glob("a.*")) == [f"a.s0.{i:05d}.wav" for i in range(6)]
    times = {f.name: f.stat().st_mtime_ns for f in folder.glob("a.*")}
    (folder / "a.s0.00001.wav").unlink()
    (folder / ".a.s0.00006-x7.wav").touch()  # as a kill leaves it

    assert list(write(folder))[-1] == (10, 10)
    assert {f.name: f.read_bytes() for f in folder.iterdir()} == {
        f.name: f.read_bytes() for f in whole.iterdir()
    }
    after = {f.name: f.stat().st_mtime_ns for f in folder.glob("a.*")}
    assert {name for name in times if times[name] == after[name]} == times.keys() - {
        "a.s0.00001.wav"
    }
    assert list(write(folder)) == [(10, 10)]  # nothing left to do


def test_a_clip_that_was_cut_short_or_changed_is_made_anew(drums, tmp_path):
    command, out = ("generate", drums, "--count", 3, "--out", tmp_path / "out"), tmp_path / "out"
    run(*command)
    (cut,) = out.rglob("*.00001.wav")
    whole = cut.read_bytes()
    flipped = whole[:100] + bytes([whole[100] ^ 1]) + whole[101:]
    for content in (b"RIFF", whole[:-20], b"", flipped):
        cut.write_bytes(content)
        run(*command)
        assert cut.read_bytes() == whole


def test_nothing_is_written_into_the_finished_work_of_a_run(drums, tmp_path, capsys):
    (tmp_path / "run" / "stages" / "classifier-0").mkdir(parents=True)
    precious = tmp_path / "run" / "stages" / "classifier-0" / "classifier.safetensors"
    precious.write_bytes(b"precious")
    (tmp_path / "run" / "config.json").write_text("{}")
    before = contents(tmp_path)
    for command in (
        ("generate", drums, "--count", 1, "--out", tmp_path / "run"),
        ("generate", drums, "--count", 1, "--out", tmp_path / "run" / "stages"),
        ("interpolate", drums, "--steps", 2, "--out", precious.parent / "new"),
        ("export", drums, precious),
    ):
        said = fails(capsys, *command)
        assert f"is in the finished work of the run {tmp_path / 'run'}" in said
    assert contents(tmp_path) == before
    run("generate", drums, "--count", 1, "--out", tmp_path / "run" / "generated")


def test_other_options_leave_nothing_of_the_former_clips(plain, drums, tmp_path):
    out = tmp_path / "out"
    run("generate", drums, "--count", 3, "--out", out)
    first = read(out / "drums")[2]
    run("generate", drums, "--count", 3, "--truncation", 0.1, "--out", out)
    _, latents, clips = read(out / "drums")
    np.testing.assert_allclose(clips, plain(latents), atol=PCM)
    assert not np.array_equal(clips, first)
    run("generate", drums, "--count", 5, "--truncation", 0.1, "--out", out)  # two more
    _, latents, more = read(out / "drums")
    np.testing.assert_array_equal(more[:3], clips)
    np.testing.assert_allclose(more, plain(latents), atol=PCM)


def test_latents_that_make_no_clips(drums, tmp_path, capsys):
    out = tmp_path / "out"
    wrong = tmp_path / "wrong.npy"

    def said() -> str:
        return fails(capsys, "generate", drums, "--latents", wrong, "--out", out)

    assert f"latents {wrong}: no such file" in said()
    wrong.write_bytes(b"RIFF")
    assert f"latents {wrong} is no .npy file" in said()
    np.save(wrong, np.array([{}]), allow_pickle=True)
    assert f"latents {wrong} is no .npy file" in said()
    wrong.write_bytes(b"PK\x03\x04 and no more")  # a damaged archive, which must be closed again
    assert f"latents {wrong} is no .npy file" in said()
    np.save(wrong, np.zeros((0, 4), np.float32))
    assert f"latents {wrong} must hold floats (n, latent_dim), found float32 (0, 4)" in said()
    np.save(wrong, np.zeros((2, 4), np.int32))
    assert "must hold floats (n, latent_dim), found int32 (2, 4)" in said()
    np.save(wrong, np.zeros((2, 5), np.float32))
    assert "latents must be (n, 4), found (2, 5)" in said()
    for bad in (np.nan, 1e300):
        np.save(wrong, np.array([[0.0] * 4, [0, bad, 0, 0]]))
        assert f"latents {wrong}: row 1 has a NaN, an infinity or a number too large" in said()
    assert not out.exists()
    np.save(wrong, np.zeros((2, 4), np.float32))
    assert "count is 3" in fails(
        capsys, "generate", drums, "--latents", wrong, "--count", 3, "--out", out
    )
    assert not out.exists()


def test_options_that_make_no_clips(plain, drums, genres, tmp_path, capsys):
    assert "truncation must lie in 0" in fails(capsys, "generate", drums, "--truncation", 2)
    assert "this run has drums" in fails(capsys, "generate", drums, "--genre", "polka")
    assert "drone, march, techno" in fails(capsys, "generate", genres, "--genre", "polka")
    assert "holds one generator" in fails(capsys, "generate", drums, "--step", 3)
    silent = tmp_path / "silent.safetensors"
    export(plain, silent)
    assert "give --sample-rate" in fails(capsys, "generate", silent)
    run("generate", silent, "--sample-rate", 8000, "--count", 1)
    (file,) = (tmp_path / "silent" / "generated" / "silent").glob("*.wav")
    assert sf.info(file).samplerate == 8000


# interpolate


def test_interpolation(drums, plain, tmp_path):
    run("interpolate", drums, "--seed", 3, "--to-seed", 8, "--steps", 4, "--out", tmp_path / "out")
    manifest, latents, clips = read(tmp_path / "out")
    z0, z1 = (generate(plain, 1, seed=seed).latents[0] for seed in (3, 8))
    np.testing.assert_array_equal(latents[[0, -1]], [z0, z1])
    expected = interpolate(plain, z0, z1, steps=4)
    np.testing.assert_allclose(clips[:4], expected, atol=PCM)
    np.testing.assert_array_equal(clips[4], np.concatenate(clips[:4]))
    assert manifest["files"][0] == "drums.s3-drums.s8.00000.wav"
    assert manifest["files"][4] == "drums.s3-drums.s8.joined.wav"


def test_interpolation_between_genres(genres, conditional, tmp_path, capsys):
    run("interpolate", genres, "--genre", "techno", "--to-genre", "drone", "--steps", 3)
    folder = tmp_path / "genres" / "interpolated" / "techno.s0-drone.s0"
    manifest, latents, clips = read(folder)
    np.testing.assert_array_equal(latents, np.tile(latents[:1], (3, 1)))  # only the genre changes
    weights = np.array([[0, 0, 1], [0.5, 0, 0.5], [1, 0, 0]], np.float32)
    np.testing.assert_allclose(clips[:3], conditional(latents, weights), atol=PCM)
    assert manifest["classes"] == [2, 0]
    assert "this GAN has drone, march, techno" in fails(capsys, "interpolate", genres)
    assert "--to-genre polka: this GAN has drone" in fails(
        capsys, "interpolate", genres, "--genre", "drone", "--to-genre", "polka"
    )


def test_interpolation_that_cannot_be(drums, capsys):
    assert "steps must be at least 2" in fails(capsys, "interpolate", drums, "--steps", 1)
    said = fails(capsys, "interpolate", drums, "--to-genre", "polka")
    assert "train one conditional GAN" in said


# export, and the comparison's clips


def test_an_export_below_a_file_is_refused_in_words(genres, tmp_path, capsys):
    said = fails(capsys, "export", genres, genres / "out.safetensors")
    assert f"OUT {genres}: {genres} is a file; name a new folder" in said


def test_an_export_of_an_export_is_the_same(genres, tmp_path):
    run("export", genres, tmp_path / "again.safetensors")
    first, second = (read_exported(f) for f in (genres, tmp_path / "again.safetensors"))
    assert second[1].items() >= first[1].items()
    for one, other in zip(
        *(nnx.to_flat_state(nnx.state(g)) for g, _ in (first, second)), strict=True
    ):
        np.testing.assert_array_equal(one[1][...], other[1][...])


def test_samples_of_a_comparison(genres, conditional, drums, plain, tmp_path):
    stages = Run(tmp_path / "run")
    (gan,) = find_gans(genres)
    assert gan.labels == tuple(GENRES)
    clips = {label: sample_gan(stages, gan, 70, label) for label in GENRES}
    for i, label in enumerate(GENRES):
        assert isinstance(clips[label], np.memmap)
        assert clips[label].dtype == np.int16
        latents = np.load(Path(clips[label].filename).parent / "latents.npy")
        expected = conditional(latents, np.full(70, i, np.int32))
        np.testing.assert_allclose(clips[label] / 2**15, expected, atol=PCM)
    assert not np.array_equal(clips["drone"], clips["march"])
    (gan,) = find_gans(drums)
    np.testing.assert_allclose(
        sample_gan(stages, gan, 3) / 2**15, generate(plain, 3, seed=0).audio, atol=PCM
    )


# names that files say


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


BAD = ("../victim", "ABSOLUTE", "..", "a/../../victim", "a\\b", "a\nb", "", "x" * 300, 7)


@pytest.fixture
def victim(tmp_path) -> Path:
    """A folder outside of all others, with a file that `generate` would replace."""
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim" / "manifest.json").write_text("precious")
    return tmp_path / "victim"


@pytest.mark.parametrize("name", BAD)
def test_a_label_of_an_exported_file_is_no_path(plain, conditional, victim, name, tmp_path, capsys):
    name = str(victim) if name == "ABSOLUTE" else name
    files = tmp_path / "one.safetensors", tmp_path / "all.safetensors"
    export(plain, files[0], metadata={"sample_rate": 4000, "label": name})
    export(conditional, files[1], metadata={"sample_rate": 4000, "labels": ["a", "b", name]})
    before, out = contents(tmp_path), tmp_path / "out"
    for file in files:
        for command in (
            ("generate", file, "--count", 2, "--out", out),
            ("generate", file, "--count", 2),
            ("interpolate", file, "--steps", 2),
            ("interpolate", file, "--genre", name, "--steps", 2, "--out", out),
            ("export", file, tmp_path / "again.safetensors"),
        ):
            said = fails(capsys, *command)
            if name == "" and "--genre" in command:
                assert "--genre takes a text or none; found nothing" in said
                continue
            assert str(file) in said
            assert "name of a file or folder" in said
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    "about",
    [
        *({"seed": "/../../victim"}, {"seed": None}, {"seed": 0.5}, {"labels": "abc"}),
        *({"labels": ["a", "a", "b"]}, {"labels": ["a", "b"]}, {"labels": [*"abcd"]}),
    ],
)
def test_what_does_not_fit_a_generator_is_named(conditional, victim, about, tmp_path, capsys):
    file = tmp_path / "all.safetensors"
    export(conditional, file, metadata={"sample_rate": 4000, "labels": GENRES} | about)
    before = contents(tmp_path)
    said = fails(capsys, "generate", file, "--count", 2, "--out", tmp_path / "out")
    assert f"{file}: a GAN of 3 classes has a label for each" in said
    assert contents(tmp_path) == before


@pytest.mark.parametrize("name", BAD)
def test_names_in_a_run_are_no_paths(victim, name, tmp_path, capsys):
    name = str(victim) if name == "ABSOLUTE" else name
    stage = tmp_path / "run" / "stages" / "gan-a"
    (stage / "checkpoints").mkdir(parents=True)
    listed = tmp_path / "run" / "gans.json"
    said = json.dumps({"wavegan": {}, "train": {}, "provenance": {"label": name}})
    for folder in (stage, victim):
        (folder / "config.json").write_text(said)
    for names, file in (([name], listed), (["gan-a"], stage / "config.json")):
        listed.write_text(json.dumps(names))
        before = contents(tmp_path)
        for command in ("generate", "interpolate", "export", "report")[: 4 - (file == listed)]:
            more = [tmp_path / "x.safetensors"] if command == "export" else []
            line = fails(capsys, command, tmp_path / "run", *more)
            assert str(file) in line
            assert "name of a file or folder" in line
        assert contents(tmp_path) == before


@pytest.mark.parametrize("options", [{"name": "../victim"}, {"name": "a", "suffix": "/../x.wav"}])
def test_a_caller_names_files_and_no_paths(plain, victim, options, tmp_path):
    about, before = {"sample_rate": 4000}, contents(tmp_path)
    with pytest.raises(ValueError, match="name of a file or folder"):
        next(write_samples(plain, tmp_path / "out", 2, about=about, **options))
    with pytest.raises(ValueError, match="name of a file or folder"):
        write_interpolation(plain, tmp_path / "out", 2, about=about, seeds=(0, 1), **options)
    assert contents(tmp_path) == before


def test_a_name_too_long_for_its_files_is_told_first(plain, tmp_path, capsys):
    file = tmp_path / "long.safetensors"
    export(plain, file, metadata={"sample_rate": 4000, "label": "Ü" * 120})
    assert "bytes" in fails(capsys, "generate", file, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


# generated clips and recordings


def test_generated_clips_are_no_data(genres, music, tmp_path, capsys):
    out, data = tmp_path / "out", tmp_path / "data"
    run("generate", genres, "--count", 2, "--out", out)
    assert "manifest.json says that wavegan generated" in fails(capsys, "doctor", "--data", out)
    shutil.copytree(music, data)
    for suffix in ("wav", "flac"):
        run("interpolate", genres, "--genre", "march", "--format", suffix, "--steps", 2,
            "--out", tmp_path / suffix)  # fmt: skip
        for name, place in (("joined", "march"), ("00001", "techno")):
            (moved,) = (tmp_path / suffix).glob(f"*.{name}.{suffix}")
            shutil.copy(moved, data / place / f"mine.{suffix}")
            said = fails(capsys, "compare", "--data", data, "--out", tmp_path / "run")
            assert f"mine.{suffix} says that wavegan generated this audio" in said
            (data / place / f"mine.{suffix}").unlink()
    assert len(scan_tracks(data)) == 15
    assert not (tmp_path / "run").exists()


def test_recordings_are_no_place_for_generated_clips(genres, music, tmp_path, capsys):
    data = shutil.copytree(music, tmp_path / "data")
    before = contents(data)
    for command in (("generate", "--count", 2), ("interpolate", "--genre", "march")):
        for out in (data, data / "march"):
            said = fails(capsys, command[0], genres, *command[1:], "--out", out)
            assert f"--out {out} holds recordings, such as {data / 'drone'}" in said or (
                out != data and f"--out {out} holds recordings, such as {out}" in said
            )
    assert contents(data) == before


# Any count


_RUN = """
import resource, sys
from experiments.cli import main
status = main(["generate", *sys.argv[1:]])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
sys.exit(status)
"""


def _command(*arguments: object) -> list[str]:
    return [sys.executable, "-c", _RUN, *map(str, arguments)]


def _peak_memory(command: list[str]) -> int:
    """Bytes that a command took at most."""
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return 1024 * int(done.stdout.split()[-1])


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="ru_maxrss is in KiB there")
def test_27980_clips_in_flat_memory_with_an_interruption(tmp_path):
    file = tmp_path / "drums.safetensors"
    config = WaveGANConfig(num_samples=1024, dim=1)
    export(Generator(config, rngs=nnx.Rngs(0)), file, metadata={"sample_rate": 4000})
    few = _peak_memory(_command(file, "--count", 640, "--out", tmp_path / "few"))

    folder = tmp_path / "many" / "drums"
    whole = _command(file, "--count", 27_980, "--out", folder.parent)
    with subprocess.Popen(whole, stderr=subprocess.PIPE, text=True) as cut:
        while cut.poll() is None and not (folder / "drums.s0.00500.wav").exists():
            time.sleep(0.05)
        cut.send_signal(signal.SIGINT)
        assert "the same command resumes" in cut.communicate()[1]
    assert cut.returncode == 130
    first = folder / "drums.s0.00000.wav"
    written = first.stat().st_mtime_ns
    many = _peak_memory(whole)
    assert first.stat().st_mtime_ns == written
    manifest = json.loads((folder / "manifest.json").read_text())
    assert {*manifest["files"], "manifest.json", "latents.npy"} == set(os.listdir(folder))
    assert len(manifest["files"]) == len(np.load(folder / "latents.npy")) == 27_980
    assert many - few < 40e6  # the clips are 115 MB
