import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from containers import write_container

from experiments.cli import main, parsed
from experiments.config import inspected
from features import load_audio
from wavegan import load

SMALL = [
    *("--sample-rate", "4000", "--num-samples", "1024", "--fractions", "0.4,0.2,0.4"),
    *("--gan", "reference", "--gan-loss", "dcgan", "--no-conditional"),  # quick to compile
    *("--gan-dim", "2", "--gan-batch-size", "2", "--gan-critic-steps", "1", "--gan-steps", "2"),
]


def fails(capsys, *arguments: str) -> str:
    """The one line of a command that has to fail."""
    assert main(list(arguments)) == 2
    said = capsys.readouterr().err.strip()
    assert "Traceback" not in said
    return said.splitlines()[-1]


@pytest.fixture(scope="module")
def trained(music, tmp_path_factory) -> Path:
    """A run folder of `wavegan train`."""
    out = tmp_path_factory.mktemp("runs") / "trained"
    assert main(["train", "--data", str(music), *SMALL, "--out", str(out)]) == 0
    return out


def test_train_writes_a_run_folder(trained):
    assert {"config.json", "environment.json", "metrics.jsonl"} <= {
        f.name for f in trained.iterdir()
    }
    rows = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    assert {row["gan"] for row in rows} == {"drone", "march", "techno"}
    assert rows[-1]["gan/step"] == 2


def test_a_run_is_repeated_from_its_configuration(trained, music):
    asked = parsed(["train", "--data", str(music), *SMALL]).config()
    again = parsed(["train", "--config", str(trained / "config.json")]).config()
    assert again == replace(asked, recipe=inspected(asked.recipe))
    assert main(["train", "--config", str(trained / "config.json"), "--out", str(trained)]) == 0


def test_generate_writes_clips_latents_and_provenance(trained, tmp_path, capsys):
    out = tmp_path / "clips"
    arguments = ["generate", str(trained), "--count", "3", "--out", str(out), "--format", "flac"]
    assert main(arguments) == 0
    assert "3 clips of drone, march, techno" in capsys.readouterr().out
    folder = out / "techno"
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["step"] == 2
    assert manifest["seed"] == 0
    assert len(manifest["files"]) == 3
    assert all(re.fullmatch(r"[0-9a-f]{32}", d) for d in manifest["provenance"]["tracks"].values())
    latents = np.load(folder / "latents.npy")
    (run,) = (trained / "stages").glob(manifest["run"])
    again = np.asarray(load(run)(latents))
    for name, clip in zip(manifest["files"], again, strict=True):
        audio, rate = load_audio(folder / name)
        assert rate == 4000
        np.testing.assert_allclose(audio, clip, atol=2**-15)


def test_generate_one_genre_with_another_seed(trained, tmp_path):
    def make(seed: str, out: Path) -> np.ndarray:
        assert main(["generate", str(trained), "--genre", "drone", "--count", "2",
                     "--seed", seed, "--out", str(out)]) == 0  # fmt: skip
        assert [folder.name for folder in out.iterdir()] == ["drone"]
        return np.load(out / "drone" / "latents.npy")

    assert not np.array_equal(make("0", tmp_path / "a"), make("1", tmp_path / "b"))


def test_generate_from_what_is_no_run(trained, tmp_path, capsys):
    assert "no such folder" in fails(capsys, "generate", str(tmp_path / "none"))
    assert "holds no finished GAN" in fails(capsys, "generate", str(tmp_path))
    said = fails(capsys, "generate", str(trained), "--genre", "polka")
    assert "polka" in said
    assert "drone, march, techno" in said
    assert "--count" in fails(capsys, "generate", str(trained), "--count", "0")
    assert "step 99" in fails(capsys, "generate", str(trained), "--step", "99")


def test_one_of_several_gans_is_exported(trained, tmp_path, capsys):
    file = tmp_path / "march.safetensors"
    said = fails(capsys, "export", str(trained), str(file))
    assert "--genre is missing: this run has drone, march, techno" in said
    assert main(["export", str(trained), "--genre", "march", "--step", "2", str(file)]) == 0
    assert "march at step 2" in capsys.readouterr().out
    (folder,) = (trained / "stages").glob("gan-march-*")
    latents = np.random.default_rng(0).uniform(-1, 1, (2, 100)).astype(np.float32)
    np.testing.assert_array_equal(load(file)(latents), load(folder)(latents))
    for run, out in ((trained, "run"), (file, "file")):
        assert main(["generate", str(run), "--genre", "march", "--count", "2",
                     "--out", str(tmp_path / out)]) == 0  # fmt: skip
    manifests = [
        json.loads((tmp_path / out / "march" / "manifest.json").read_text())
        for out in ("run", "file")
    ]
    assert manifests[0]["provenance"].items() <= manifests[1]["provenance"].items()
    for name in manifests[0]["files"]:
        clips = [(tmp_path / out / "march" / name).read_bytes() for out in ("run", "file")]
        assert clips[0] == clips[1]


def test_separate_gans_have_no_line_between_genres(trained, tmp_path, capsys):
    said = fails(capsys, "interpolate", str(trained), "--genre", "drone", "--to-genre", "march")
    assert "makes drone alone" in said
    assert "conditional" in said
    assert "drone, march, techno" in fails(capsys, "interpolate", str(trained))
    out = ["--steps", "3", "--out", str(tmp_path / "line")]
    assert main(["interpolate", str(trained), "--genre", "drone", *out]) == 0
    assert len(list((tmp_path / "line").glob("*.wav"))) == 4


def test_a_folder_of_other_data_is_refused(trained, music, capsys):
    other = ["--data", str(music), *SMALL, "--split-seed", "7"]
    said = fails(capsys, "train", *other, "--out", str(trained))
    assert str(trained) in said
    assert "another run" in said


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--recipe", "net66"], "net6"),
        (["--split", "chunk"], "--split chunk"),
        (["--split", "artist"], "track, group, gtzan-filtered"),
        (["--arms", "real,imaginary"], "imaginary"),
        (["--seeds", "0"], "--seeds"),
        (["--gan-seeds", "9"], "--gan-seeds"),
        (["--num-samples", "20000"], "16384 and 32768"),
        (["--gan-dim", "0"], "dim must be at least 1"),
        (["--fractions", "0.5,0.4,0.3"], "add up to 1"),
        (["--data", "no/such/folder"], "no/such/folder"),
    ],
)
def test_bad_options_are_named(arguments, expected, capsys, tmp_path):
    assert expected in fails(capsys, "compare", *arguments, "--out", str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_bad_data_is_named(music, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert str(tmp_path / "empty") in fails(capsys, "compare", "--data", str(tmp_path / "empty"))
    shutil.copytree(music / "drone", tmp_path / "single" / "drone")
    assert "drone" in fails(capsys, "compare", "--data", str(tmp_path / "single"))
    few = tmp_path / "few"
    shutil.copytree(music, few)
    for file in sorted((few / "march").iterdir())[1:]:
        file.unlink()
    assert "march" in fails(capsys, "compare", "--data", str(few), *SMALL)
    long = ["--data", str(music), *SMALL, "--num-samples", "8192"]
    assert "--skip-short" in fails(capsys, "compare", *long)


def test_doctor_says_what_is_wrong_with_which_file(music, tmp_path, capsys):
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    assert "hardware" in said
    assert re.search(r"audio is read by libsndfile \d\S*, then PyAV \d\S* \(aac, m4a, ", said)
    assert main(["doctor", "--data", str(music)]) == 0
    assert "every track can be used" in capsys.readouterr().out
    root = tmp_path / "music"
    shutil.copytree(music, root)
    drone = root / "drone"
    noise = 0.1 * np.random.default_rng(0).standard_normal(4000)
    (drone / "empty.wav").write_bytes(b"")
    sf.write(drone / "silent.wav", np.zeros(4000), 4000)
    sf.write(
        drone / "nan.wav", np.where(np.arange(4000) == 9, np.nan, noise), 4000, subtype="FLOAT"
    )
    sf.write(drone / "clipped.wav", np.clip(50 * noise, -1, 1), 4000)
    sf.write(drone / "jazz.00054.wav", noise, 4000)
    sf.write(drone / "quiet.wav", 10 / 2**15 * np.sign(noise[::-1]), 4000)
    whole = (drone / "drone.00000.wav").read_bytes()
    (drone / "cut.wav").write_bytes(whole[: len(whole) // 2])
    (drone / "twin.wav").write_bytes(whole)
    assert main(["doctor", "--data", str(root)]) == 1
    said = capsys.readouterr().out
    for name, reason in (
        ("empty.wav", "empty"),
        ("silent.wav", "silent"),
        ("nan.wav", "finite"),
        ("cut.wav", "truncated"),
        ("twin.wav", "same content"),
    ):
        assert re.search(rf"cannot be used: .*{name}: .*{reason}", said), name
    assert "clipped: clipped" in said
    assert f"quiet: {drone / 'quiet.wav'}: no sample above -60 dB" in said
    assert "(peak 10/32768)" in said
    assert said.count("quiet: ") == 1
    assert "known fault: jazz.00054" in said
    assert "18 of 23 tracks can be used" in said


def test_doctor_says_what_read_which_tracks_and_what_would(music, tmp_path, capsys, monkeypatch):
    root = tmp_path / "music"
    shutil.copytree(music, root)
    sound, rate = load_audio(root / "drone" / "drone.00000.wav")
    write_container(root / "drone" / "whole.mp4", sound[::-1], rate, codec="alac", video=0.5)
    part = write_container(root / "drone" / "part.m4a", 0.5 * sound, rate, codec="alac")
    part.write_bytes(part.read_bytes()[:-100])
    assert main(["doctor", "--data", str(root)]) == 1
    said = capsys.readouterr().out
    assert f"format: MP4 ALAC {rate} Hz mono, read by PyAV: 1 tracks" in said
    assert re.search(r"cannot be used: .*part\.m4a: truncated: header promises", said)
    monkeypatch.setitem(sys.modules, "av", None)
    assert main(["doctor", "--data", str(root)]) == 0
    said = capsys.readouterr().out
    assert "are not read without PyAV: pip install '.[decode]'" in said
    assert re.search(r"passed over: 1, \.mp4 is not read .*'\.\[decode\]', or.*: drone/whole", said)


def test_doctor_lists_what_it_passes_over_and_a_class_of_one_track(music, tmp_path, capsys):
    root = tmp_path / "music"
    shutil.copytree(music, root)
    for file in sorted((root / "march").iterdir())[1:]:
        file.unlink()
    (root / "drone" / "a.voc").touch()
    (root / "b\nevery track can be used\x1b[2J.wav").touch()
    assert main(["doctor", "--data", str(root)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "passed over: 1, .voc is not read: convert it to wav or flac: drone/a.voc" in lines
    assert "too few: march: a split needs two tracks of it at least" in lines
    beside = next(line for line in lines if "audio beside the class folders" in line)
    assert beside.endswith(r"b\nevery track can be used\x1b[2J.wav")


def test_help_runs_as_a_module():
    done = subprocess.run(
        [sys.executable, "-m", "experiments", "--help"], capture_output=True, text=True, check=True
    )
    for command in ("doctor", "train", "generate", "compare", "report", "bench"):
        assert command in done.stdout


def test_an_out_that_is_a_file_is_refused_before_work(trained, music, tmp_path, capsys):
    file = tmp_path / "notes.txt"
    file.touch()
    for command in (
        ["train", "--data", str(music), *SMALL],
        ["generate", str(trained)],
        ["interpolate", str(trained), "--genre", "drone"],
    ):
        for out in (file, file / "below"):
            assert f"{file} is a file" in fails(capsys, *command, "--out", str(out))
    assert file.read_bytes() == b""


def test_an_edited_list_of_gans_is_refused(trained, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    names = json.loads((run / "gans.json").read_text())
    (run / "gans.json").write_text(json.dumps(names[:2]))
    for command in (["generate", str(run), "--out", str(tmp_path / "out")], ["report", str(run)]):
        assert "gans.json is damaged, it is not what was written" in fails(capsys, *command)
    assert main(["doctor", str(run)]) == 1
    assert f"changed: {run / 'gans.json'}" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


def test_a_link_in_a_run_leads_no_clips_out_of_it(trained, tmp_path, capsys):
    run, mine = tmp_path / "run", tmp_path / "mine"
    shutil.copytree(trained, run)
    mine.mkdir()
    for name in ("generated", "interpolated"):
        (run / name).symlink_to(mine)
    for command in (["generate", str(run)], ["interpolate", str(run), "--genre", "drone"]):
        assert "a link that leads out of" in fails(capsys, *command)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "march").symlink_to(mine)
    command = ["generate", str(run), "--genre", "march", "--out", str(tmp_path / "out")]
    assert "march is a link that leads out of" in fails(capsys, *command)
    assert not list(mine.iterdir())


@pytest.mark.parametrize("text", ["[]", '{"format": 2}', "[" * 100_000])
@pytest.mark.parametrize("name", ["config.json", "gans.json", "environment.json"])
def test_json_of_a_wrong_shape_in_a_run_is_no_traceback(
    trained, music, tmp_path, capsys, name, text
):
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    (run / name).write_text(text)
    main(["report", str(run)])
    main(["generate", str(run), "--count", "1", "--out", str(tmp_path / "out")])
    main(["predict", str(run), str(music)])
    main(["train", "--data", str(music), "--config", str(run / name), "--dry-run"])


@pytest.mark.parametrize(
    "provenance", [{"labels": 7}, {"label": 7}, {"label": "x", "tracks": []}, {"sample_rate": 1e99}]
)
def test_an_export_of_another_shape_is_no_traceback(trained, tmp_path, capsys, provenance):
    from wavegan.export import export

    generator = load(next((trained / "stages").glob("gan-*")))
    file = tmp_path / "x.safetensors"
    export(generator, file, metadata={"label": "x", "sample_rate": 4000, **provenance})
    said = fails(capsys, "generate", str(file), "--out", str(tmp_path / "out"))
    assert "x.safetensors" in said
    assert not (tmp_path / "out").exists()
