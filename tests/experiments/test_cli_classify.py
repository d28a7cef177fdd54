"""The commands classify, predict and recipes, as they are typed."""

import json
import re

import numpy as np
import pytest
from panns_checkpoint import checkpoint
from PIL import Image
from safetensors.numpy import save_file

from classifiers import load
from experiments.cli import main
from experiments.recipes import RECIPES


def fails(capsys, *arguments: str) -> str:
    """The one line of a command that has to fail."""
    assert main(list(arguments)) == 2
    said = capsys.readouterr().err.strip()
    assert "Traceback" not in said
    return said.splitlines()[-1]


QUICK = ["--fractions", "0.4,0.2,0.4", "--seeds", "1", "--sample-rate", "4000",
         "--num-samples", "1024", "--fit-epochs", "1"]  # fmt: skip


@pytest.fixture(scope="module")
def classified(music, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "demo"
    command = ["classify", "--recipe", "demo", "--data", str(music), *QUICK, "--out", str(out)]
    assert main([*command, "--split", "chunk,track"]) == 0
    return out


def test_classify_says_what_came_out_and_where_it_is(classified, music, capsys):
    command = ["classify", "--recipe", "demo", "--data", str(music), *QUICK]
    assert main([*command, "--split", "chunk,track", "--out", str(classified)]) == 0
    said = capsys.readouterr().out
    assert "leaks: clips of a track on both sides" in said
    assert str(classified / "report.html") in said
    assert json.loads((classified / "results.json").read_text())["recipe"] == "demo"


def test_settings_of_the_training_are_options(classified):
    config = json.loads((classified / "config.json").read_text())
    assert config["recipe"]["fit"]["epochs"] == 1
    assert config["recipe"]["fit"]["batch_size"] == RECIPES["demo"].fit.batch_size


def test_resampled_tracks_are_told_of(music, tmp_path, capsys):
    command = ["classify", "--recipe", "demo", "--data", str(music), *QUICK, "--num-samples", "900"]
    command += ["--sample-rate", "3000", "--fit-class-weights", "1,2,0.5"]
    assert main([*command, "--out", str(tmp_path / "run")]) == 0
    assert "resampled to 3000 Hz: 15 of 4000 Hz" in capsys.readouterr().err
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["recipe"]["fit"]["class_weights"] == [1.0, 2.0, 0.5]


def test_predict(classified, music, tmp_path, capsys):
    out = tmp_path / "said"
    files = [str(music / "drone"), str(music / "march" / "march.00000.wav")]
    assert main(["predict", str(classified), *files, "--out", str(out), "--labelled"]) == 0
    said = capsys.readouterr().out
    assert said.count("drone.0000") >= 5
    assert re.search(r"\d of \d right \(.*; \d more it was trained on do not count", said)
    assert {f.name for f in out.iterdir()} >= {"predictions.html", "predictions.csv"}


def test_predictions_of_the_folder_one_is_in(classified, music, monkeypatch):
    monkeypatch.chdir(classified)
    assert main(["predict", ".", str(music / "drone" / "drone.00000.wav")]) == 0
    assert (classified.parent / f"{classified.name}-predictions" / "predictions.csv").exists()


def test_predict_with_something_refused_ends_in_1(classified, music, tmp_path, capsys):
    (tmp_path / "broken.wav").write_bytes(b"nothing")
    files = [str(tmp_path / "broken.wav"), str(music / "drone")]
    assert main(["predict", str(classified), *files, "--out", str(tmp_path / "out")]) == 1
    assert "refused" in capsys.readouterr().out


def test_a_linear_probe_of_embeddings(music, tmp_path, capsys):
    out, file = tmp_path / "run", tmp_path / "told.npz"
    tracks = sorted(path.stem for path in music.rglob("*.wav"))
    found = np.random.default_rng(0).normal(size=(len(tracks), 2))
    found += [[9 * ("march" in track), 9 * ("drone" in track)] for track in tracks]
    np.savez(file, track=tracks, embedding=found)
    command = ["classify", "--embeddings", str(file), "--data", str(music), "--out", str(out)]
    assert main([*command, *QUICK[:4]]) == 0
    said = capsys.readouterr().out
    assert f"the network behind the embeddings of {file} heard these tracks can't be told" in said
    results = json.loads((out / "results.json").read_text())
    assert results["recipe"] == "probe"
    assert results["splits"]["track"]["runs"][0]["track_accuracy"] == 1
    page = (out / "report.html").read_text()
    assert "What made this may have heard the test." in page
    assert "told.npz" in page
    assert main(["classify", "--config", str(out / "config.json"), "--out", str(out)]) == 0
    assert "nothing left to train" in capsys.readouterr().err

    wav = str(music / "drone" / "drone.00000.wav")
    said = fails(capsys, "predict", str(out), wav)
    assert "can't be used on audio: it takes embeddings that a file supplied" in said
    assert "give such inputs to `classifiers.predict`" in said
    assert "damaged" not in said
    np.savez(file, track=tracks[1:], embedding=found[1:])
    assert f"no embedding of 1 of 15 tracks ({tracks[0]})" in fails(capsys, *command)
    assert main([*command, "--classes", "march,techno", *QUICK[:4]]) == 2  # another data set's run
    file.unlink()
    assert f"{file}: no such file" in fails(capsys, *command)


def test_another_kind_of_features_in_the_place_of_its_own(music, tmp_path, capsys):
    """Raw samples, as net5 was also tried on."""
    out = tmp_path / "run"
    command = ["classify", "--recipe", "demo", "--data", str(music), *QUICK]
    assert main([*command, "--feature", "Waveform", "--out", str(out)]) == 0
    results = json.loads((out / "results.json").read_text())
    assert results["config"]["recipe"]["input"] == {"type": "Waveform", "frame": 1}
    assert results["published"]["note"].endswith("; of its own features, not Waveform")
    capsys.readouterr()
    wav = str(music / "drone" / "drone.00000.wav")
    assert main(["predict", str(out), wav]) == 0  # from the audio, as it was trained
    said = fails(capsys, *command, "--feature", "Waveforms")
    assert "found Waveforms: try Waveform" in said
    assert "Supplied" not in said  # which no audio has
    assert "does not fit the recipe demo" in fails(
        capsys, *command, "--feature", "Picture", "--num-samples", "2048"
    )


def test_ready_made_pictures_of_tracks(music, tmp_path, capsys):
    """A colour for each class: what the recipe would draw itself is not looked at."""
    out, pictures, tracks = tmp_path / "run", tmp_path / "images_original", {}
    for path in sorted(music.rglob("*.wav")):
        label, colour = path.parent.name, {"drone": 0, "march": 1, "techno": 2}
        shown = np.full((288, 432, 4), 255, np.uint8)
        shown[20:250, 50:400, :3] = 200 * np.eye(3)[colour[label]]
        file = pictures / label / f"{path.stem.replace('.', '')}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(shown).save(file)
        tracks[path.stem] = file
    command = ["classify", "--recipe", "net1", "--pictures", str(pictures), "--data", str(music),
               "--fractions", "0.4,0.2,0.4", "--out", str(out)]  # fmt: skip
    assert main([*command, "--seeds", "1", "--fit-steps", "12"]) == 0
    capsys.readouterr()
    results = json.loads((out / "results.json").read_text())
    run = results["splits"]["track"]["runs"][0]
    assert run["track_accuracy"] == 1
    assert 0 < run["loss"] < np.log(3)
    assert "robustness" not in run  # there is no audio to alter
    assert results["made_elsewhere"] == ""
    assert results["config"]["pictures"] == str(pictures)
    wav = str(music / "drone" / "drone.00000.wav")
    assert "it takes pictures that a folder supplied" in fails(capsys, "predict", str(out), wav)
    gone = sorted(tracks)[3]
    tracks[gone].unlink()
    assert f"has no picture of 1 of 15 tracks ({gone})" in fails(capsys, *command)
    other = ["classify", "--recipe", "cnn1", "--pictures", str(pictures), "--data", str(music)]
    assert "cnn1 draws none: give one of them as --recipe" in fails(capsys, *other)


def test_a_checkpoint_is_converted_once(tmp_path, capsys):
    tensors, source, file = checkpoint(), tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    save_file(tensors, source)
    assert main(["convert", str(source), str(file)]) == 0
    assert "<Classifier cnn14: (1001, 64) to 5, " in capsys.readouterr().out
    model, about = load(file)
    assert (model.spec.name, about) == ("cnn14", {"checkpoint": "a.safetensors"})
    del tensors["fc1.bias"]
    save_file(tensors, source)
    said = fails(capsys, "convert", str(source), str(tmp_path / "c.safetensors"))
    assert said.startswith(
        f"wavegan convert: {source} is no CNN14 of PANNs: it has no tensor fc1.b"
    )
    assert not (tmp_path / "c.safetensors").exists()
    assert "no such file" in fails(capsys, "convert", "none.pth", str(file))


def test_recipes_lists_all_and_shows_one(capsys):
    assert main(["recipes"]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in RECIPES)
    assert main(["recipes", "net5"]) == 0
    said = capsys.readouterr().out
    assert "wavegan classify --recipe net5 --data DIR --split chunk" in said
    assert "0.7954" in said
    assert main(["recipes", "cnn14"]) == 0
    said = capsys.readouterr().out
    assert "wavegan classify --recipe cnn14 --pretrained FILE --data DIR --split track" in said
    assert "learning_rate" not in said


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--recipe", "nett5"], "try net5"),
        (["--recipe", "cnn1,cn2"], "try cnn2"),
        (["--recipe", "net5", "--split", "tracks"], "--split takes track, group"),
        (["--recipe", "net5", "--fit-optimizer", "adm"], "adam"),
        (["--recipe", "net5", "--fractions", "0.8,0,0.2"], "--fit-patience 5"),
        (["--recipe", "all", "--num-samples", "4096"], "--num-samples belongs to one recipe"),
        (["--recipe", "cnn14"], "cnn14 takes over the layers of a trained network: give"),
        (
            ["--recipe", "probe"],
            "probe is fitted on embeddings that you supply: give",
        ),
        (
            ["--recipe", "cnn1", "--embeddings", "e.npz"],
            "features, which cnn1 computes: give",
        ),
        (["--embeddings", "e.npz", "--augment", "noise"], "leave --augment and --generated out"),
        (["--embeddings", "e.npz", "--feature", "Mfcc"], "give one of them"),
        (["--recipe", "cnn1", "--pictures", "p", "--feature", "Picture"], "give one of them"),
    ],
)
def test_what_is_refused(arguments, expected, music, tmp_path, capsys):
    command = ["classify", "--data", str(music), "--out", str(tmp_path / "run"), *arguments]
    assert expected in fails(capsys, *command)
    assert not (tmp_path / "run").exists()


def test_recipes_of_an_unknown_name(capsys):
    assert "try net1" in fails(capsys, "recipes", "net11")


def test_a_table_of_several_recipes(render, tmp_path, capsys):
    out, music = tmp_path / "all", render(tmp_path / "music", seconds=1.6)
    command = ["classify", "--recipe", "cnn_rnn,cnn1,net1", "--data", str(music), "--seeds", "1",
               "--fractions", "0.4,0.2,0.4", "--fit-steps", "1", "--out", str(out)]  # fmt: skip
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "cnn_rnn" in said
    found = {r["recipe"]: r for r in json.loads((out / "results.json").read_text())["recipes"]}
    assert set(found["cnn_rnn"]["splits"]) == {"chunk", "track"}
    assert set(found["net1"]["splits"]) == {"track"}
    assert "shorter than a clip of 3.00 s" in found["cnn1"]["error"]
    assert "cnn1" in (out / "table.md").read_text()
    (out / "table.md").unlink()
    assert main(["report", str(out)]) == 0  # gathers what was run
    assert "cnn_rnn" in capsys.readouterr().out
    assert "net1" in (out / "table.md").read_text()


def test_a_plan_of_recipes_that_all_fail(render, tmp_path, capsys):
    music = render(tmp_path / "music", seconds=1.6)
    said = fails(capsys, "classify", "--recipe", "cnn1,cnn2", "--data", str(music), "--dry-run")
    assert "none of the recipes can be run" in said


def test_a_fit_that_does_not_fit_the_data_is_refused_with_the_plan(render, tmp_path, capsys):
    music = render(tmp_path / "music", seconds=1.6)
    line = ["classify", "--data", str(music), "--dry-run", "--fit-steps", "9"]
    for more, expected in (
        (["--fit-class-weights", "1,2"], "-class-weights is one number for each of the 3 classes"),
        (["--fit-warmup-steps", "9"], "--fit-warmup-steps is below the 9 "),
        (["--fit-epochs", "1", "--fit-steps", "none", "--fit-warmup-steps", "9"], "the 1 steps"),
    ):
        assert expected in fails(capsys, *line, *more)


def test_report_finds_the_page(classified, capsys):
    assert main(["report", str(classified)]) == 0
    assert capsys.readouterr().out.strip() == str(classified / "report.html")
