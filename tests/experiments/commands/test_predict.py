"""A trained classifier on files: any rate, any folder, and what it refuses."""

import base64
import csv
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from containers import write_container
from html_page import Page

from classifiers import SavedClassifier, save
from classifiers import predict as probabilities_of
from experiments.cli import main
from experiments.commands.classify import classify
from experiments.commands.predict import find_classifier, predict
from experiments.config import ClassifyConfig, DataConfig, PredictConfig
from features import Standardizer, load_audio, mfcc, remove_silence, save_audio
from features.generated import GENERATED


def predict_files(run, files, out, **options):
    return predict(PredictConfig(run, tuple(files), **options), out)


@pytest.fixture(scope="module")
def run(music, small_recipe, tmp_path_factory):
    data = DataConfig(str(music), fractions=(0.4, 0.2, 0.4))
    out = tmp_path_factory.mktemp("runs") / "run"
    classify(ClassifyConfig(small_recipe, data, splits=("chunk", "track"), seeds=2), out)
    return out


def test_one_file_is_what_its_clips_are(run, music, tmp_path):
    file = music / "march" / "march.00001.wav"
    found = predict_files(run, [file], tmp_path)["files"][0]
    classifier = find_classifier(run)
    audio, _ = load_audio(file)
    clips = audio[: len(audio) // 1024 * 1024].reshape(-1, 1024)
    features = mfcc(
        clips, sample_rate=4000, n_mfcc=8, n_fft=128, hop_length=64, n_mels=16, htk=True
    )
    scaler = Standardizer.from_dict(classifier.about["scaler"])
    expected = probabilities_of(classifier.model, scaler.apply(np.asarray(features)))
    np.testing.assert_allclose(found["over_time"], expected, atol=1e-5)
    np.testing.assert_allclose(found["probabilities"], expected.mean(0), atol=1e-5)
    assert found["predicted"] == classifier.labels[expected.mean(0).argmax()]
    assert found["times"] == [i * 1024 / 4000 for i in range(len(clips))]
    assert found["resampled_from"] is None


def test_what_read_a_file_is_said(run, music, tmp_path):
    file = music / "march" / "march.00001.wav"
    video = write_container(
        tmp_path / "march.mp4", load_audio(file)[0], 4000, codec="alac", video=1
    )
    found = predict_files(run, [file, video], tmp_path / "out")["files"]
    assert [one["decoder"] for one in found] == ["libsndfile", "PyAV"]
    np.testing.assert_allclose(found[1]["over_time"], found[0]["over_time"], atol=1e-3)


CRAFTED = {
    "num_samples": [-5, 0, 1024.5, 1e300, None, "1024"],
    "sample_rate": [0, "x"],
    "labels": [[], ["a"], {}, "abc", ["a"] * 3, ["a", "b", 3], [*"abcdefg"]],
    "scaler": [[1], "x", True, {"mean": [0.0], "std": [1.0]}],
    "silence": ["bogus", 3],
    "input": [{"type": "Mfcc", name: value} for name in ("n_fft", "hop_length", "n_mels", "n_mfcc")
              for value in (None, "x", 1.5)],
}  # fmt: skip


@pytest.mark.parametrize("name", CRAFTED)
def test_what_a_file_says_wrongly_is_refused_when_it_is_read(run, name, tmp_path):
    """Whoever wrote it: its hash is right."""
    classifier = find_classifier(run)
    for value in CRAFTED[name]:
        file = tmp_path / "crafted.safetensors"
        save(classifier.model, file, metadata={**classifier.about, name: value})
        with pytest.raises(ValueError, match=r"crafted\.safetensors"):
            SavedClassifier.read(file)


def test_a_label_steers_no_terminal(run, music, tmp_path, capsys):
    classifier = find_classifier(run)
    labels = [f"{label}\x1b[31m\n" for label in classifier.labels]
    file = tmp_path / "c.safetensors"
    save(classifier.model, file, metadata={**classifier.about, "labels": labels})
    track = music / "drone" / "drone.00000.wav"
    assert main(["predict", str(file), str(track), "--out", str(tmp_path / "out")]) == 0
    assert "\x1b" not in capsys.readouterr().out


def test_it_writes_into_no_run(run, music, tmp_path):
    file = music / "drone" / "drone.00000.wav"
    for out in (run, run / "stages", run / "stages" / "new"):
        with pytest.raises(ValueError, match="is in the finished work of the run"):
            predict_files(run, [file], out)


def test_the_honest_split_and_the_first_seed_are_taken(run):
    assert find_classifier(run).about["split"] == "track"
    assert find_classifier(run, "chunk", 1).about["seed"] == 1
    with pytest.raises(ValueError, match=r"--split group: RUN .* has chunk, track"):
        find_classifier(run, "group")
    with pytest.raises(ValueError, match=r"--seed 7: .* has 0, 1"):
        find_classifier(run, seed=7)


def test_a_classifiers_file_does_without_its_run(run, music, tmp_path):
    moved = tmp_path / "mine.safetensors"
    moved.write_bytes(find_classifier(run).path.read_bytes())
    file = music / "drone" / "drone.00000.wav"
    one, other = (predict_files(r, [file], tmp_path / "out")["files"] for r in (run, moved))
    assert one == other


def test_a_folder_held_against_its_labels(run, music, tmp_path):
    result = predict_files(run, [music], tmp_path, labelled=True)
    assert len(result["files"]) == 15
    assert json.loads((tmp_path / "predictions.json").read_text()) == result
    seen = find_classifier(run).about["tracks"]
    for found in result["files"]:
        assert found["trained_on"] == (Path(found["file"]).stem in seen)
        assert found["label"] == found["file"].split("/")[-2]
        assert found["correct"] == (found["label"] == found["predicted"])
    with (tmp_path / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["predicted"] for row in rows] == [f["predicted"] for f in result["files"]]
    assert "march.00001" in (tmp_path / "predictions.html").read_text()


def test_what_is_not_sure_is_unknown(run, music, tmp_path, capsys):
    files = sorted((music / "march").glob("*.wav"))
    sure = predict_files(run, files, tmp_path / "all", labelled=True)
    confidence = sorted(found["confidence"] for found in sure["files"])
    between = float(np.mean(confidence[2:4]))
    options = ["--labelled", "--threshold", str(between), "--out", str(tmp_path / "some")]
    assert main(["predict", str(run), *map(str, files), *options]) == 0
    found = json.loads((tmp_path / "some" / "predictions.json").read_text())
    assert [one["predicted"] for one in found["files"]] == [
        one["predicted"] if one["confidence"] >= between else "unknown" for one in sure["files"]
    ]
    assert [one["nearest"] for one in found["files"]] == [one["predicted"] for one in sure["files"]]
    assert not any(one["correct"] for one in found["files"] if one["predicted"] == "unknown")
    said = capsys.readouterr().out
    assert said.count("(in truth: march, perhaps") == 3
    assert "; 3 unknown" in said
    page = (tmp_path / "some" / "predictions.html").read_text()
    assert f"an answer below {100 * between:.0f}" in page
    assert "unknown, perhaps" in page
    with (tmp_path / "some" / "predictions.csv").open() as file:
        assert [row["predicted"] for row in csv.DictReader(file)].count("unknown") == 3


def test_thresholds_that_are_none_and_a_class_called_unknown(run, music, tmp_path):
    for threshold in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="--threshold is a probability"):
            PredictConfig(run, (music,), threshold=threshold)
    classifier = find_classifier(run)
    labels = ["unknown", *classifier.labels[1:]]
    file = tmp_path / "other.safetensors"
    save(classifier.model, file, metadata={**classifier.about, "labels": labels})
    with pytest.raises(ValueError, match="and that is a class of this classifier"):
        predict_files(file, [music], tmp_path / "out", threshold=0.5)
    assert not (tmp_path / "out").exists()


def test_another_rate_is_resampled_and_said(run, music, tmp_path):
    audio, _ = load_audio(music / "techno" / "techno.00002.wav", sample_rate=11025)
    save_audio(tmp_path / "fast.wav", audio, 11025)
    found = predict_files(run, [tmp_path / "fast.wav"], tmp_path / "out")["files"][0]
    assert (found["sample_rate"], found["resampled_from"]) == (4000, 11025)


def test_what_cannot_be_classified_is_refused_by_name(run, music, tmp_path):
    save_audio(tmp_path / "short.wav", np.linspace(0, 0.5, 100, dtype=np.float32), 4000)
    (tmp_path / "broken.wav").write_bytes(b"RIFF nothing")
    good = music / "drone" / "drone.00000.wav"
    bad = [tmp_path / f"{name}.wav" for name in ("short", "broken")]
    result = predict_files(run, [*bad, good], tmp_path / "out")
    assert [found["file"] for found in result["files"]] == [str(good)]
    reasons = {entry["file"].split("/")[-1]: entry["reason"] for entry in result["refused"]}
    assert "0.03 s are too short for small, whose clips have 0.26 s" in reasons["short.wav"]
    assert set(reasons) == {path.name for path in bad}
    with pytest.raises(ValueError, match=r"none of 1 files can be classified: .*too short"):
        predict_files(run, [tmp_path / "short.wav"], tmp_path / "out")


def test_silence_is_passed_over_with_the_reason(run, music, tmp_path):
    good = music / "drone" / "drone.00000.wav"
    for name, level in (("still", 0.0), ("constant", 0.25)):
        sf.write(tmp_path / f"{name}.wav", np.full(22050, level), 11025)  # another rate
    files = [tmp_path / "still.wav", good, tmp_path / "constant.wav"]
    result = predict_files(run, files, tmp_path / "out")
    assert [found["file"] for found in result["files"]] == [str(good)]
    reasons = [entry["reason"] for entry in result["refused"]]
    assert reasons[0] == "silent: no sample above 3/32768"
    assert reasons[1].startswith("silent: a constant, about ")


def test_a_quiet_file_is_told_of(run, music, tmp_path, capsys):
    noise = np.sign(np.random.default_rng(0).standard_normal(8000))
    for name, peak in (("quiet", 32), ("loud", 33)):
        sf.write(tmp_path / f"{name}.wav", peak / 2**15 * noise, 4000)
    files = [str(tmp_path / f"{name}.wav") for name in ("quiet", "loud")]
    assert main(["predict", str(run), *files, "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out.splitlines()
    assert ["quiet: no sample above -60 dB" in line for line in said[:2]] == [True, False]
    page = Page((tmp_path / "out" / "predictions.html").read_text())
    assert page.text.count("It is quiet, no sample above -60 dB") == 1


def test_nothing_is_written_where_a_link_leads_out(run, music, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "0001-x.png").write_text("precious")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "pictures").symlink_to(tmp_path / "mine")
    with pytest.raises(ValueError, match="pictures is a link that leads out of"):
        predict_files(run, [music / "drone"], tmp_path / "out")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["0001-x.png"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["pictures"]


def test_edited_results_are_refused(run, music, tmp_path, capsys):
    edited = tmp_path / "run"
    shutil.copytree(run, edited)
    assert find_classifier(edited).labels == find_classifier(run).labels
    results = json.loads((edited / "results.json").read_text())
    results["splits"]["track"]["runs"][0]["accuracy"] = 1.0
    (edited / "results.json").write_text(json.dumps(results))
    with pytest.raises(ValueError, match=r"results\.json is damaged, it is not what was written"):
        predict_files(edited, [music / "drone"], tmp_path / "out")
    assert main(["report", str(edited)]) == 2
    assert "results.json is damaged" in capsys.readouterr().err
    assert main(["doctor", str(edited)]) == 1
    assert f"changed: {edited / 'results.json'}" in capsys.readouterr().out


def test_a_name_that_is_not_utf8_is_shown_with_replacements(run, music, tmp_path):
    content = (music / "drone" / "drone.00000.wav").read_bytes()
    for name, written in ((b"caf\xe9.wav", content), (b"th\xe9.wav", b"RIFF nothing")):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_bytes(written)
    result = predict_files(run, [tmp_path], tmp_path / "out")
    assert result["files"][0]["file"].endswith(r"/caf\xe9.wav")
    assert result["refused"][0]["file"].endswith(r"/th\xe9.wav")
    assert r"/caf\xe9.wav" in (tmp_path / "out" / "predictions.csv").read_text(encoding="utf-8")
    assert r"caf\xe9.wav" in (tmp_path / "out" / "predictions.html").read_text(encoding="utf-8")


def test_what_is_not_there(run, tmp_path):
    with pytest.raises(ValueError, match=r"nowhere.wav: no such file or folder"):
        predict_files(run, [tmp_path / "nowhere.wav"], tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"empty holds no audio"):
        predict_files(run, [tmp_path / "empty"], tmp_path / "out")
    with pytest.raises(ValueError, match=r"no such folder or file"):
        find_classifier(tmp_path / "norun")


def test_pictures_are_those_of_the_last_prediction(run, music, tmp_path):
    for name in ("drone.00000", "drone.00001"):
        predict_files(run, [music / "drone" / f"{name}.wav"], tmp_path)
        (picture,) = (tmp_path / "pictures").iterdir()
        assert name in picture.name


def test_what_is_large_and_draws_nothing_is_not_imported(run, music, tmp_path):
    code = (
        "import sys\n"
        "from experiments.cli import main\n"
        "assert main(['predict', *sys.argv[1:]]) == 0\n"
        "heavy = {'matplotlib', 'librosa', 'numba', 'scipy', 'sklearn', 'orbax', 'tensorstore'}\n"
        "assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()\n"
    )
    file, out = music / "march" / "march.00001.wav", tmp_path / "out"
    subprocess.run([sys.executable, "-c", code, run, file, "--out", out], check=True)
    assert len(list((out / "pictures").glob("*.png"))) == 1


def test_pictures_of_others_are_left_alone(run, music, tmp_path):
    others = [tmp_path / "pictures" / name for name in ("beach.png", "0001-beach.jpg", "12-x.png")]
    others[0].parent.mkdir()
    for picture in others:
        picture.write_bytes(b"precious")
    predict_files(run, [music / "drone" / "drone.00000.wav"], tmp_path)
    assert all(picture.read_bytes() == b"precious" for picture in others)


def test_a_file_of_the_longest_name_has_a_picture(run, music, tmp_path):
    audio, rate = load_audio(music / "drone" / "drone.00000.wav")
    save_audio(tmp_path / "x.wav", audio, rate)
    (tmp_path / "x.wav").rename(tmp_path / f"{'Ü' * 125}.wav")
    predict_files(run, [tmp_path / f"{'Ü' * 125}.wav"], tmp_path / "out")
    (picture,) = (tmp_path / "out" / "pictures").iterdir()
    assert picture.name == f"0001-{'Ü' * 100}.png"


def test_generated_files_are_classified_as_others_are(run, music, tmp_path):
    audio, rate = load_audio(music / "drone" / "drone.00000.wav")
    save_audio(tmp_path / "real.wav", audio, rate)
    save_audio(tmp_path / "made.wav", audio, rate, comment=GENERATED)
    files = [tmp_path / "real.wav", tmp_path / "made.wav"]
    real, made = predict_files(run, files, tmp_path / "out")["files"]
    assert real["probabilities"] == made["probabilities"]


def test_labels_that_the_classifier_has_not(run, music, tmp_path):
    audio, rate = load_audio(music / "drone" / "drone.00000.wav")
    save_audio(tmp_path / "polka" / "x.wav", audio, rate)
    with pytest.raises(ValueError, match=r"no class polka, only drone, march, techno"):
        predict_files(run, [tmp_path / "polka"], tmp_path / "out", labelled=True)


def test_silence_is_taken_out_as_in_training(run, music):
    classifier = find_classifier(run)
    file = music / "march" / "march.00003.wav"
    audio, _ = load_audio(file)
    about = classifier.about | {"silence": "samples"}
    hearing = SavedClassifier(classifier.path, classifier.model, about).hear(file)
    quiet = remove_silence(audio, by="samples")
    assert (hearing.seconds, hearing.heard_seconds) == (len(audio) / 4000, len(quiet) / 4000)
    np.testing.assert_allclose(hearing.probabilities, classifier(quiet), atol=1e-5)
    whole = classifier.hear(file)
    assert whole.heard_seconds == whole.seconds == hearing.seconds > hearing.heard_seconds
    np.testing.assert_allclose(whole.probabilities, classifier(audio), atol=1e-5)


def test_silence_is_no_part_of_a_length(run, music, tmp_path):
    """A file's length is its own; where too little of it sounds, the reason says that."""
    classifier = find_classifier(run)
    mine = tmp_path / "mine.safetensors"
    save(classifier.model, mine, metadata=classifier.about | {"silence": "frames"})
    audio, rate = load_audio(music / "drone" / "drone.00000.wav")
    still = np.zeros((2 * rate, 1), np.float32)
    save_audio(tmp_path / "some.wav", np.concatenate([audio, still]), rate)
    audio[100:] = 0
    save_audio(tmp_path / "little.wav", audio, rate)
    files = [tmp_path / "some.wav", tmp_path / "little.wav"]
    result = predict_files(mine, files, tmp_path / "out")
    (found,) = result["files"]
    assert found["seconds"] == 3.0
    assert found["clip_seconds"] <= found["heard_seconds"] <= 1.1
    assert "3.0 s, 1." in (tmp_path / "out" / "predictions.html").read_text()
    assert "of 1.00 s only 0.13 s are not silent" in result["refused"][0]["reason"]


def test_a_run_of_several_recipes_names_them(tmp_path):
    (tmp_path / "results.json").write_text(json.dumps({"recipes": [{"recipe": "net5"}]}))
    with pytest.raises(ValueError, match=r"several recipes: give one of .*/net5"):
        find_classifier(tmp_path)


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../run/x.safetensors", "stages//x", "stages/../../x", "a\\b", "", "\n"]
)
def test_results_name_nothing_outside_their_run(tmp_path, path):
    split = {"leaks": False, "runs": [{"seed": 0, "classifier": path}]}
    for results in ({"splits": {"track": split}}, {"recipes": [{"recipe": path}]}):
        (tmp_path / "results.json").write_text(json.dumps(results))
        with pytest.raises(ValueError, match=r"results.json: .* name of a file or folder"):
            find_classifier(tmp_path)


def test_a_run_of_another_command(tmp_path):
    (tmp_path / "results.json").write_text("{}")
    with pytest.raises(ValueError, match=r"no run of `wavegan classify`"):
        find_classifier(tmp_path)


def test_the_page_plays_where_a_file_sounds_most_like_its_answer(run, music, tmp_path):
    files = [music / "march" / "march.00001.wav", music / "drone" / "drone.00002.wav"]
    found = predict_files(run, files, tmp_path)["files"]
    page = Page((tmp_path / "predictions.html").read_text())
    players = page.all("audio")
    assert [player["aria-label"] for player in players] == [file.name for file in files]
    for player, file, one in zip(players, files, found, strict=True):
        flac = base64.b64decode(player["src"].removeprefix("data:audio/flac;base64,"))
        heard, rate = sf.read(io.BytesIO(flac), always_2d=True)
        column = int(np.argmax(one["probabilities"]))
        start = one["times"][int(np.argmax([row[column] for row in one["over_time"]]))]
        whole, _ = load_audio(file)
        first = round(start * rate)
        np.testing.assert_allclose(heard, whole[first : first + len(heard)], atol=2**-15)
        assert len(heard) == min(rate, len(whole) - first)  # a second, of shorter clips
