"""One recipe trained and tested: its records, its leaks, and how it goes on after a stop."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from html_page import Page

from classifiers import SavedClassifier, load
from experiments.commands.classify import classify, classify_all
from experiments.commands.train import train
from experiments.config import ClassifyConfig, DataConfig, TrainGansConfig
from experiments.recipes import RECIPES
from experiments.report import printed
from experiments.report.terminal import Progress
from features import LeakError, load_audio, save_audio
from features.extractors import Statistics, TempoAndPicture
from features.storage import Interrupted

SPLITS = ("chunk", "track")


@pytest.fixture(scope="module")
def config(music, small_recipe):
    data = DataConfig(str(music), fractions=(0.4, 0.2, 0.4))
    return ClassifyConfig(small_recipe, data, splits=SPLITS, seeds=2)


@pytest.fixture(scope="module")
def finished(config, tmp_path_factory):
    """A finished run: its folder and its results."""
    out = tmp_path_factory.mktemp("runs") / "small"
    return out, classify(config, out, command="wavegan classify …")


def test_what_a_run_folder_holds(finished):
    out, results = finished
    assert {"config.json", "environment.json", "metrics.jsonl", "report.html", "tracks.csv"} <= {
        file.name for file in out.iterdir()
    }
    assert json.loads((out / "results.json").read_text())["splits"] == results["splits"]
    rows = (out / "tracks.csv").read_text().splitlines()
    tested = sum(len(r["tracks"]) for s in results["splits"].values() for r in s["runs"])
    assert len(rows) == 1 + tested
    assert not list(out.glob("stages/*/fit"))


def test_a_track_is_on_one_side_of_an_honest_split(finished):
    _, results = finished
    assert results["splits"]["chunk"]["leaks"]
    assert not results["splits"]["track"]["leaks"]
    for run in results["splits"]["track"]["runs"]:
        sides = [set(run["split"][side]) for side in ("train", "valid", "test")]
        assert sum(map(len, sides)) == len(set.union(*sides)) == 15
    shared = results["splits"]["chunk"]["runs"][0]["split"]
    assert set(shared["train"]) & set(shared["test"])


def test_short_tracks_are_filled_up_where_that_is_asked_for(config, tmp_path):
    longer = replace(config.recipe, num_samples=5000)
    asked = replace(config, recipe=longer, splits=("track",), seeds=1)
    with pytest.raises(ValueError, match="--pad-short"):
        classify(asked, tmp_path / "short")
    found = classify(replace(asked, data=replace(asked.data, pad_short=True)), tmp_path / "padded")
    assert sum(found["splits"]["track"]["runs"][0]["clips"].values()) == 15


def test_a_clip_that_is_its_whole_track_cannot_leak(config, tmp_path):
    recipe = replace(config.recipe, per_track=1)
    results = classify(replace(config, recipe=recipe, splits=("chunk",), seeds=1), tmp_path / "run")
    sides = results["splits"]["chunk"]["runs"][0]["split"]
    assert len(set.union(*map(set, sides.values()))) == sum(map(len, sides.values()))
    assert not results["splits"]["chunk"]["leaks"]


def test_groups_that_nothing_is_known_of_are_announced(config, tmp_path, capsys):
    one = replace(config, splits=("group",), seeds=1)
    classify(one, tmp_path / "run", progress=Progress())
    assert "no artist or speaker is known" in capsys.readouterr().err


def test_each_seed_has_its_own_split_unless_one_is_asked_for(finished, config, tmp_path):
    tests = [run["split"]["test"] for run in finished[1]["splits"]["track"]["runs"]]
    assert tests[0] != tests[1]
    one = replace(config, splits=("track",), one_split=True)
    runs = classify(one, tmp_path / "one")["splits"]["track"]["runs"]
    assert runs[0]["split"] == runs[1]["split"]
    assert runs[0]["confusion"] == finished[1]["splits"]["track"]["runs"][0]["confusion"]


def test_figures_agree_with_the_predictions_kept(finished):
    out, results = finished
    for run in results["splits"]["track"]["runs"]:
        probabilities = np.load((out / run["classifier"]).with_name("probabilities.npy"))
        confusion = np.array(run["confusion"])
        assert confusion.sum() == len(probabilities) == run["clips"]["test"]
        assert run["accuracy"] == pytest.approx(confusion.trace() / confusion.sum())
        right = [track["correct"] for track in run["tracks"]]
        assert run["track_accuracy"] == pytest.approx(np.mean(right))
        assert sum(track["clips"] for track in run["tracks"]) == len(probabilities)


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("floor", Statistics(n_mfcc=5, n_mels=20, n_fft=256, hop_length=64)),
        ("tempo", TempoAndPicture(size=12, n_fft=256, hop_length=64)),
    ],
)
def test_what_takes_all_clips_at_once_is_used_as_any(config, music, name, make, tmp_path):
    recipe = replace(RECIPES[name], input=make, sample_rate=4000, num_samples=3000)
    one = replace(config, recipe=recipe, splits=("track",), seeds=1)
    (run,) = classify(one, tmp_path / "run")["splits"]["track"]["runs"]
    assert run["track_accuracy"] > 1 / 3
    classifier = SavedClassifier.read(tmp_path / "run" / run["classifier"])
    track = run["tracks"][0]
    file = music / track["label"] / f"{track['track']}.wav"
    heard = classifier.hear(file).probabilities[: track["clips"]].mean(0)
    np.testing.assert_allclose(heard, track["probabilities"], atol=1e-4)
    file = tmp_path / "run" / run["classifier"]
    before = file.stat().st_mtime_ns
    classify(one, tmp_path / "run")
    assert file.stat().st_mtime_ns == before


def test_the_classifier_kept_says_what_it_has_heard(finished):
    out, results = finished
    run = results["splits"]["track"]["runs"][1]
    _, about = load(out / run["classifier"])
    assert about["labels"] == ["drone", "march", "techno"]
    assert set(about["tracks"]) == set(run["split"]["train"])


def test_other_test_audio_changes_no_training(music, render, config, finished, tmp_path):
    """Training sees nothing of the test side: not through a scaler, not through early stopping."""
    root = tmp_path / "other"
    shutil.copytree(music, root)
    one = replace(config, splits=("track",), seeds=1)
    tested = finished[1]["splits"]["track"]["runs"][0]["split"]["test"]
    render(tmp_path / "fresh", tracks=5 + len(tested))
    for i, track in enumerate(tested):
        genre = track.split(".")[0]
        fresh = tmp_path / "fresh" / genre / f"{genre}.{5 + i:05d}.wav"
        shutil.copy(fresh, root / genre / f"{track}.wav")
    other = classify(replace(one, data=replace(one.data, root=str(root))), tmp_path / "run")
    here, there = (r["splits"]["track"]["runs"][0] for r in (finished[1], other))
    assert here["split"]["train"] == there["split"]["train"]
    for name in ("train_loss", "valid_loss"):
        assert here["history"][name] == there["history"][name]


def test_stopped_and_resumed_it_comes_to_the_same(finished, config, tmp_path):
    asked = 0

    def stop_once() -> bool:
        nonlocal asked
        asked += 1
        return asked == 2

    one = replace(config, splits=("track",))
    with pytest.raises(Interrupted, match=r"small, track split, 1/2"):
        classify(one, tmp_path / "run", should_stop=stop_once)
    resumed = classify(one, tmp_path / "run")
    for here, there in zip(
        finished[1]["splits"]["track"]["runs"], resumed["splits"]["track"]["runs"], strict=True
    ):
        assert here["tracks"] == there["tracks"]
        assert here["history"]["train_loss"] == there["history"]["train_loss"]


def test_only_what_changed_is_done_again(config, tmp_path):
    one = replace(config, splits=("track",), seeds=1)
    classify(one, tmp_path / "run")
    stage = next((tmp_path / "run" / "stages").glob("classifier-track-real-0-*"))
    before = stage.stat().st_mtime_ns
    classify(replace(one, seeds=2), tmp_path / "run")
    assert stage.stat().st_mtime_ns == before
    assert len(list((tmp_path / "run" / "stages").glob("classifier-*"))) == 2


@pytest.mark.parametrize("per_track", [None, 2])
def test_only_tracks_that_have_clips_are_split(music, config, tmp_path, per_track):
    """Silence taken out can leave a track too short for a clip: it is on no side of a split."""
    root = tmp_path / "music"
    shutil.copytree(music, root)
    for name in ("drone.00000", "drone.00001"):
        audio, rate = load_audio(root / "drone" / f"{name}.wav")
        audio[500:] = 0
        save_audio(root / "drone" / f"{name}.wav", audio, rate)
    recipe = replace(config.recipe, silence="frames", per_track=per_track)
    data = replace(config.data, root=str(root), skip_short=True)
    one = replace(config, recipe=recipe, data=data, splits=("track",), seeds=1)
    results = classify(one, tmp_path / "run")
    assert results["data"]["skipped"] == ["drone.00000", "drone.00001"]
    split = results["splits"]["track"]["runs"][0]["split"]
    assert sum(map(len, split.values())) == 13
    for side in split.values():
        assert {name.split(".")[0] for name in side} == {"drone", "march", "techno"}
    save_audio(root / "drone" / "drone.00002.wav", audio, rate)
    (root / "drone" / "drone.00003.wav").unlink()
    (root / "drone" / "drone.00004.wav").unlink()
    with pytest.raises(ValueError, match=r"every track of drone is too short"):
        classify(one, tmp_path / "lost")


def test_generated_clips_only_of_gans_that_saw_no_held_out_track(
    small_gans, config, tmp_path_factory
):
    folder = tmp_path_factory.mktemp("generated")
    one = replace(config, splits=("track",), seeds=1, generated=str(small_gans))
    results = classify(one, folder / "right")
    assert results["splits"]["track"]["runs"][0]["track_accuracy"] >= 0
    stage = json.loads(next((folder / "right" / "stages").glob("cl*/stage.json")).read_text())
    assert stage["inputs"]["train"].count("generated") == 3
    other = replace(one, data=replace(one.data, split_seed=3))
    with pytest.raises(LeakError, match=r"trained on tracks of the validation or test side"):
        classify(other, folder / "leak")
    with pytest.raises(LeakError, match=r"run 1 has a split of its own: with --one-split"):
        classify(replace(one, seeds=2), folder / "second")
    assert not (folder / "second").exists()  # nothing was trained
    longer = replace(one, recipe=replace(one.recipe, num_samples=2048))
    with pytest.raises(ValueError, match=r"clips of 1024 samples at 4000 Hz; small takes 2048"):
        classify(longer, folder / "length")


def test_augmented_copies_are_of_training_clips_and_are_heard(config, finished, tmp_path):
    one = replace(config, splits=("track",), seeds=1, augment="noise,polarity,mixup")
    results = classify(one, tmp_path / "run")
    run, plain = (r["splits"]["track"]["runs"][0] for r in (results, finished[1]))
    assert run["clips"] == plain["clips"]  # of the data set; a copy of each is trained on as well
    assert run["steps"] > plain["steps"]
    page = (tmp_path / "run" / "report.html").read_text()
    assert "noise, 10 dB below" in page
    assert "audio/flac" in page
    with pytest.raises(ValueError, match=r"no augmentation 'nois': is it noise"):
        replace(config, augment="nois")


@pytest.fixture(scope="module")
def small_gans(music, small_recipe, tmp_path_factory):
    """A run of GANs on the training side of the split of seed 0."""
    data = DataConfig(str(music), fractions=(0.4, 0.2, 0.4))
    out = tmp_path_factory.mktemp("gans") / "run"
    train(TrainGansConfig(small_recipe, data, quality=0), out)
    return out


def test_sizes_found_on_test_tracks_are_refused(config, finished, tmp_path):
    """A search is training, too."""
    out, results = finished
    run = results["splits"]["track"]["runs"][0]
    digests = load(out / run["classifier"])[1]["tracks"]
    one = replace(config, splits=("track",), seeds=1)

    def with_search_over(tracks: dict) -> ClassifyConfig:
        best = {"options": {"lstm_sizes": [6, 4]}, "fit": {"learning_rate": 0.02}, "tracks": tracks}
        file = tmp_path / "search.json"
        file.write_text(json.dumps({"best": best}))
        return replace(one, recipe=one.recipe.searched(str(file)))

    classify(with_search_over(digests), tmp_path / "clean")
    fit = json.loads((tmp_path / "clean" / "config.json").read_text())["recipe"]["fit"]
    assert fit["learning_rate"] == 0.02
    other = results["splits"]["track"]["runs"][1]["split"]["test"]
    (tmp_path / "leak").mkdir()
    leaking = replace(with_search_over(digests), seeds=2)
    assert set(other) & set(digests)
    with pytest.raises(LeakError, match=r"sizes of small saw \d test tracks of split seed 1"):
        classify(leaking, tmp_path / "leak")
    assert not list((tmp_path / "leak").iterdir())
    with pytest.raises(ValueError, match=r"none.json is no search.json"):
        one.recipe.searched(str(tmp_path / "none.json"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"splits": ("tracks",)}, "--split takes track, group.*found tracks"),
        ({"splits": ()}, "found none"),
        ({"seeds": 0}, "seeds must lie in 1"),
        ({"splits": ("track", "gtzan-filtered")}, "--split gtzan-filtered.*give --split-lists"),
    ],
)
def test_settings_that_mean_nothing(config, change, said):
    with pytest.raises(ValueError, match=said):
        replace(config, **change)


def test_patience_needs_a_validation_side(config):
    recipe = replace(config.recipe, fit=replace(config.recipe.fit, patience=2))
    data = replace(config.data, fractions=(0.6, 0.0, 0.4))
    with pytest.raises(ValueError, match=r"stops early.*middle value above 0"):
        replace(config, recipe=recipe, data=data)
    replace(config, data=data)  # a fixed length of training needs none


def test_wrong_answers_of_the_honest_split_can_be_heard(finished):
    out, results = finished
    wrong: dict[str, set[str]] = {}
    for one in results["splits"]["track"]["runs"]:
        for row in one["tracks"]:
            if not row["correct"]:
                wrong.setdefault(row["track"], set()).add(row["predicted"])
    players = Page((out / "report.html").read_text()).all("audio")
    told = [player["aria-label"].split(", taken for ") for player in players]
    assert {track for track, _ in told} == wrong.keys()
    assert all(predicted in wrong[track] for track, predicted in told)
    assert len(told) == len(wrong)


def test_copies_made_before_the_split_train_and_are_tested(config, finished, tmp_path):
    """The published protocol: four times the clips, of which each side has its share."""
    asked = replace(config, augment="noise,gain,pitch", copies="before", splits=("chunk",), seeds=1)
    out = tmp_path / "run"
    results = classify(asked, out)
    (run,) = results["splits"]["chunk"]["runs"]
    (before, _) = finished[1]["splits"]["chunk"]["runs"]
    assert sum(run["clips"].values()) == 4 * sum(before["clips"].values())
    train, test = (set(run["split"][side]) for side in ("train", "test"))
    assert {name.partition("+")[0] for name in train} & {name.partition("+")[0] for name in test}
    assert {name.partition("+")[2] for name in train} == {"", "noise", "gain", "pitch"}
    file = out / run["classifier"]
    _, about = load(file)
    heard = SavedClassifier.read(file).about["tracks"]
    assert {*about["tracks"].values()} == {*heard.values()}
    assert all(len(digest) == 32 for digest in heard.values())  # of tracks, by which it is known
    assert results["splits"]["chunk"]["leaks"]
    assert "robustness" not in run
    assert "Altered copies of test clips were trained on, too." in (out / "report.html").read_text()


def test_copies_leak_where_a_clip_is_a_whole_track_too(config, tmp_path):
    """A track's copy trains, and the track is tested: no split of whole tracks is one of these."""
    recipe = replace(config.recipe, per_track=1)
    asked = replace(config, recipe=recipe, splits=("chunk",), seeds=1, augment="noise")
    results = classify(replace(asked, copies="before"), tmp_path / "run")
    sides = results["splits"]["chunk"]["runs"][0]["split"]
    train, test = ({name.partition("+")[0] for name in sides[side]} for side in ("train", "test"))
    assert train & test
    assert results["splits"]["chunk"]["leaks"]
    assert (
        "Altered copies of test clips were trained on"
        in (tmp_path / "run" / "report.html").read_text()
    )
    table = classify_all([replace(asked, copies="before")], tmp_path / "all")
    assert "chunk" in table
    assert not classify(replace(asked, copies="after"), tmp_path / "no")["splits"]["chunk"]["leaks"]


@pytest.mark.parametrize(
    "settings",
    [
        {"splits": ("track",), "augment": "noise"},
        {"splits": ("chunk", "track"), "augment": "noise"},
        {"splits": ("chunk",)},
        {"splits": ("chunk",), "augment": "mixup"},
    ],
)
def test_copies_before_the_split_are_for_the_published_protocol_alone(config, settings):
    with pytest.raises(ValueError, match="it takes --split chunk alone, and --augment with"):
        replace(config, copies="before", **settings)
    with pytest.raises(ValueError, match="--copies 'during' is none of after, before"):
        replace(config, copies="during")


def test_a_test_that_was_none_is_repeated_on_request_and_said(config, tmp_path, capsys):
    """That of a published figure: tracks that trained among it, dropout on, another network."""
    changes = {"per_track": 1, "published": 0.796, "split": "track"}
    recipe = replace(config.recipe, flawed={"dense_sizes": (5,)}, **changes)
    asked = replace(config, recipe=recipe, splits=("chunk",), seeds=2, protocol="published")
    out = tmp_path / "run"
    results = classify(asked, out)
    found = results["splits"]["chunk"]
    assert found["leaks"]
    for run in found["runs"]:
        train, test = (set(run["split"][side]) for side in ("train", "test"))
        assert len(test) == run["clips"]["test"]
        assert train & test
        assert "robustness" not in run
        inputs = json.loads((out / run["classifier"]).with_name("stage.json").read_text())["inputs"]
        assert inputs["dropout"] is True
        assert inputs["options"]["dense_sizes"] == [5]
    assert found["runs"][0]["split"]["test"] != found["runs"][1]["split"]["test"]
    page = " ".join(Page((out / "report.html").read_text()).text.split())
    assert "The chunk split leaks: this figure is too high." in page
    assert "The test was drawn anew from all tracks, those that trained among them" in page
    assert "this is no test. For a figure that holds, run it again with --split track and" in page
    assert "Chunks of one track are on both sides" not in page
    assert "compare it with" not in page
    printed.classify(results, out)
    assert "leaks: its test was drawn anew from all clips" in capsys.readouterr().out
    table = classify_all([asked], tmp_path / "all")
    assert "none: a clip is" not in table


def test_the_published_protocol_is_of_one_recipe_and_asked_for_by_name(config):
    tempo = ClassifyConfig(RECIPES["cnn_rnn_tempo"], splits=("chunk",), protocol="published")
    assert tempo.recipe.options == {"over_batch": True}
    assert tempo.recipe.published == 0.796
    assert ClassifyConfig(RECIPES["cnn_rnn_tempo"]).recipe.options == {}
    with pytest.raises(ValueError, match="that of small is not known to be such"):
        replace(config, splits=("chunk",), protocol="published")
    for changes in ({"splits": ("track",)}, {"splits": SPLITS}, {"augment": "noise"}):
        with pytest.raises(ValueError, match="it takes --split chunk alone, without --augment"):
            replace(tempo, **changes)
    with pytest.raises(ValueError, match="--protocol 'own' is none of sound, published"):
        replace(config, protocol="own")
