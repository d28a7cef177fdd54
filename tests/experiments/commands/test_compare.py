"""A comparison from its tracks to its page, what it keeps, and what it refuses."""

import csv
import json
import shutil
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from compared import examples, material_of, timeless

from experiments.commands.compare import compare
from experiments.commands.doctor import check_run
from experiments.report import printed
from experiments.report.terminal import Progress
from experiments.run import Run
from experiments.stages import gan_training, judge
from experiments.stages.arms import arm_of
from experiments.stages.gans import Gan, Tracks, find_gans, refuse_leaks, sample_gan
from features import LeakError, load_audio, save_audio
from features.checksums import write_sealed
from features.identity import Identity
from features.storage import Interrupted
from wavegan import TrainingDiverged, export, train_together


@pytest.fixture(scope="module")
def finished(small_config, tmp_path_factory):
    """A comparison run to its end: folder and results."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    return out, compare(small_config, out, command="wavegan compare …")


def stages(out: Path) -> dict[str, int]:
    return {folder.name: folder.stat().st_ino for folder in (out / "stages").iterdir()}


def test_results_hold_what_scripts_rely_on(finished, small_config):
    out, results = finished
    assert json.loads((out / "results.json").read_text()) == json.loads(json.dumps(results))
    assert results["recipe"] == "small"
    assert results["data"]["labels"] == ["drone", "march", "techno"]
    assert results["data"]["tracks"] == 15
    split = results["split"]
    assert {side: len(split[side]) for side in ("train", "valid", "test")} == {
        "train": 6,
        "valid": 3,
        "test": 6,
    }
    assert split["hashes"].keys() == {*split["train"], *split["valid"], *split["test"]}
    for arm in ("real", "real+oversampled", "real+synthetic"):
        runs = results["arms"][arm]["runs"]
        assert [run["classifier_seed"] for run in runs] == [0, 1]
        for run in runs:
            confusion = np.array(run["confusion"])
            assert confusion.sum() == results["data"]["clips"]["test"]
            assert run["accuracy"] == pytest.approx(np.trace(confusion) / confusion.sum())
            tracks = np.array(run["track_confusion"])
            assert run["track_accuracy"] == pytest.approx(np.trace(tracks) / 6)
    for row in results["differences"]:
        assert row["ci95"][0] <= row["mean"] <= row["ci95"][1]
    mean = np.mean([run["accuracy"] for run in results["arms"]["real+synthetic"]["runs"]])
    against = np.mean([run["accuracy"] for run in results["arms"]["real"]["runs"]])
    found = next(
        row
        for row in results["differences"]
        if (row["arm"], row["against"], row["metric"]) == ("real+synthetic", "real", "accuracy")
    )
    assert found["mean"] == pytest.approx(mean - against)


def test_every_arm_has_the_same_budget(finished):
    _, results = finished
    steps = {run["steps"] for arm in results["arms"].values() for run in arm["runs"]}
    assert len(steps) == 1


def test_each_run_says_what_it_cost(finished):
    out, results = finished
    real = results["data"]["clips"]["train"]
    for arm, added in (("real", 0), ("real+synthetic", results["gan"]["synthetic"])):
        for run in results["arms"][arm]["runs"]:
            assert run["train_clips"] == real + added
            assert run["seconds"] > 0
    for gan, seconds in zip(find_gans(out), results["gan"]["seconds"], strict=True):
        last = gan.curves()[-1]
        expected = last["gan/step"] / rate if (rate := last.get("gan/steps_per_second")) else 0
        assert seconds == pytest.approx(expected, abs=0.1)


def test_tables_lie_beside_the_page(finished):
    out, results = finished
    with (out / "runs.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    runs = [run for arm in results["arms"].values() for run in arm["runs"]]
    assert [float(row["accuracy"]) for row in rows] == [run["accuracy"] for run in runs]
    with (out / "differences.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    found = [*results["differences"], *results["per_label"]]
    assert [float(row["p_equivalent"]) for row in rows] == [d["p_equivalent"] for d in found]
    assert "real+synthetic against real" in (out / "table.md").read_text(encoding="utf-8")
    assert r"\bottomrule" in (out / "table.tex").read_text(encoding="utf-8")


def test_the_report_is_there_and_alone(finished):
    out, _ = finished
    page = (out / "report.html").read_text()
    assert "drone" in page
    assert page.count("data:audio/flac") >= 6


def test_a_second_run_redoes_nothing(finished, small_config):
    out, results = finished
    before = stages(out)
    assert timeless(compare(small_config, out)) == timeless(results)
    assert stages(out) == before


def test_a_changed_last_stage_keeps_the_gans(finished, small_config):
    out, results = finished
    before = stages(out)
    more = compare(replace(small_config, seeds=3), out)
    new = stages(out).keys() - before.keys()
    assert {name.rsplit("-", 1)[0] for name in new} == {
        "classifier-track-real-2",
        "classifier-track-real+oversampled-2",
        "classifier-track-real+synthetic-2",
    }
    for arm, found in more["arms"].items():
        assert found["runs"][:2] == results["arms"][arm]["runs"]


def test_an_interrupted_run_ends_as_the_whole_one(finished, small_config, tmp_path):
    _, results = finished
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return asked == 5  # in the second GAN

    with pytest.raises(Interrupted):
        compare(small_config, tmp_path / "run", should_stop=stop)
    assert not (tmp_path / "run" / "results.json").exists()
    assert timeless(compare(small_config, tmp_path / "run")) == timeless(results)


def altered_test_tracks(music: Path, root: Path, results: dict) -> Path:
    """The data with other audio in the test tracks."""
    shutil.copytree(music, root)
    for name in results["split"]["test"]:
        path = root / name.split(".")[0] / f"{name}.wav"
        audio, rate = load_audio(path)
        save_audio(path, audio[::-1] * 0.5, rate)
    return root


def test_training_never_sees_a_test_track(finished, small_config, music, tmp_path):
    """Other audio in the test tracks changes no GAN and no classifier's training."""
    _, results = finished
    other = altered_test_tracks(music, tmp_path / "music", results)
    config = replace(small_config, data=replace(small_config.data, root=str(other)))
    changed = compare(config, tmp_path / "run")
    assert changed["split"]["train"] == results["split"]["train"]
    assert changed["gan"]["stages"] == results["gan"]["stages"]
    for arm, found in changed["arms"].items():
        for run, original in zip(found["runs"], results["arms"][arm]["runs"], strict=True):
            assert run["history"] == original["history"]


def test_a_gan_that_saw_a_held_out_track_is_an_error(finished):
    out, results = finished
    gan = find_gans(out)[0]
    hashes = results["split"]["hashes"]
    valid, test = (
        Tracks({hashes[name]: name for name in results["split"][s]}) for s in ("valid", "test")
    )
    refuse_leaks(gan, valid=valid, test=test)
    track, digest = next(iter(gan.provenance["tracks"].items()))
    sound = Identity.parse(gan.provenance["sounds"][track])
    for known in (Tracks({digest: "renamed"}), Tracks(identities={"renamed": sound})):
        for side in ("valid", "test"):
            with pytest.raises(LeakError, match="renamed"):
                refuse_leaks(gan, **{"valid": valid, "test": test, side: known})


def test_a_gan_that_was_chosen_by_a_test_track_is_an_error(finished):
    """Its checkpoint is the best by validation tracks, which another split may test on."""
    out, results = finished
    gan = find_gans(out)[0]
    judges = gan.provenance["judged_by"]
    assert set(judges) == {n for n in results["split"]["valid"] if n.startswith("drone")}
    with pytest.raises(LeakError, match=f"was chosen by tracks of the test side: {min(judges)}"):
        refuse_leaks(gan, valid=Tracks(), test=Tracks({d: n for n, d in judges.items()}))


def test_the_clips_are_those_of_the_best_checkpoint(finished):
    """By the validation tracks, not the last one."""
    out, results = finished
    gans = find_gans(out)
    assert results["gan"]["chosen"] == [gan.choice for gan in gans]
    chosen = {gan.choice for gan in gans}
    assert chosen <= {1, 2, 3}
    for gan in gans:
        rows = [row for row in gan.curves() if "quality/kernel_distance" in row]
        best = min(rows, key=lambda row: row["quality/kernel_distance"])
        assert gan.choice == best["gan/step"]
        sampled = json.loads(
            next((out / "stages").glob(f"samples-{gan.label}-0-*/stage.json")).read_text()
        )
        assert sampled["inputs"]["step"] == gan.choice


def test_a_tampered_gan_stops_the_comparison(finished, small_config, tmp_path):
    """A GAN's own folder says that it saw a track of the validation side: somebody wrote that."""
    out, results = finished
    shutil.copytree(out, tmp_path / "run")
    file = next((tmp_path / "run" / "stages").glob("gan-drone-0-*")) / "config.json"
    config = json.loads(file.read_text())
    held_out = results["split"]["hashes"][results["split"]["valid"][0]]
    config["provenance"]["tracks"]["stowaway"] = held_out
    file.write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"config\.json is changed \(not what was written\)"):
        compare(small_config, tmp_path / "run")


def test_each_gan_knows_its_training_tracks(finished):
    out, results = finished
    gans = find_gans(out)
    assert [gan.label for gan in gans] == ["drone", "march", "techno"]
    for gan in gans:
        expected = [name for name in results["split"]["train"] if name.startswith(gan.label)]
        assert sorted(gan.provenance["tracks"]) == sorted(expected)
        assert isinstance(gan, Gan)
        stored = json.loads((gan.folder / "config.json").read_text())["provenance"]
        assert stored == gan.provenance


def test_a_failed_arm_stays_in_the_results_and_the_report(finished, small_config, tmp_path):
    """With a learning rate beyond all bounds every arm's loss overflows."""
    out, _ = finished
    shutil.copytree(out, tmp_path / "run")
    recipe = small_config.recipe
    recipe = replace(recipe, fit=replace(recipe.fit, learning_rate=1e38))
    results = compare(replace(small_config, recipe=recipe), tmp_path / "run")
    for outcome in results["arms"].values():
        assert outcome["runs"] == []
        assert "learning_rate" in outcome["error"]
    assert results["differences"] == []
    assert "failed" in (tmp_path / "run" / "report.html").read_text()


@pytest.mark.parametrize("executor", [None, "local"])
def test_gans_that_diverge_leave_the_other_arms(finished, small_config, tmp_path, executor):
    """With a learning rate beyond all bounds the losses of all GANs overflow."""
    recipe = small_config.recipe
    recipe = replace(recipe, gan_train=replace(recipe.gan_train, learning_rate=1e38))
    config = replace(small_config, recipe=recipe, executor=executor, workers=executor and 1)
    results = compare(config, tmp_path / "run")
    _, before = finished
    for name in ("real", "real+oversampled"):
        own, other = (json.loads(json.dumps(of["arms"][name])) for of in (results, before))
        for run in (*own["runs"], *other["runs"]):
            del run["seconds"]
        assert own == other
    arm = results["arms"]["real+synthetic"]
    assert arm["runs"] == []
    assert arm["error"].startswith("the GAN of drone: ")
    assert [run["classifier_seed"] for run in arm["failed_runs"]] == [0, 1]
    assert len(results["gan"]["failed"]) == 3
    assert results["answer"] is None
    assert "GANs that failed" in (tmp_path / "run" / "report.html").read_text()
    rows = (tmp_path / "run" / "runs.csv").read_text().splitlines()
    assert sum("the GAN of drone" in row for row in rows) == 2
    with pytest.raises(ValueError, match="no finished GAN"):
        find_gans(tmp_path / "run")


def test_a_gan_that_diverges_costs_the_runs_that_have_its_clips(
    finished, small_config, tmp_path, monkeypatch, capsys
):
    """Two GANs a class, of which the second of techno fails: the second run has no clips."""

    def diverging(jobs, *settings, **options):
        if jobs[0].provenance["label"] == "techno" and jobs[0].provenance["seed"] == 1:
            raise TrainingDiverged("silent at step 2")
        return train_together(jobs, *settings, **options)

    monkeypatch.setattr(gan_training, "train_together", diverging)
    results = compare(replace(small_config, gan_seeds=2), tmp_path / "run")
    arm = results["arms"]["real+synthetic"]
    assert [run["classifier_seed"] for run in arm["runs"]] == [0]
    why = "the GAN of techno: silent at step 2"
    assert arm["failed_runs"] == [{"classifier_seed": 1, "gan_seed": 1, "error": why}]
    assert (
        arm["runs"][0]["accuracy"] == finished[1]["arms"]["real+synthetic"]["runs"][0]["accuracy"]
    )
    assert len(results["gan"]["stages"]) == 5
    assert len(results["gan"]["quality"]) == 5
    assert results["answer"]["verdict"] in ("undecided", "budget-limited")
    assert "1 of 2 runs of real+synthetic failed" in results["answer"]["because"][-1]
    printed.compare(results, tmp_path / "run")
    assert f"1 run of real+synthetic failed: {why}" in capsys.readouterr().out
    page = (tmp_path / "run" / "report.html").read_text()
    assert f"1 of 2 runs of real+synthetic ({why})" in page
    assert check_run(tmp_path / "run")[1]  # its unfinished GAN is told of
    sealed = compare(replace(small_config, gan_seeds=2, sealed=True), tmp_path / "run")
    assert sealed["failed"] == {"real+synthetic": {"1": why}}
    printed.compare(sealed, tmp_path / "run")
    assert f"1 run of real+synthetic failed: {why}" in capsys.readouterr().out
    monkeypatch.undo()  # and where it does not fail, the same command goes on
    whole = compare(replace(small_config, gan_seeds=2), tmp_path / "run")
    assert [run["classifier_seed"] for run in whole["arms"]["real+synthetic"]["runs"]] == [0, 1]
    assert whole["gan"]["failed"] == {}


def test_a_worker_with_all_cores_comes_to_the_same_bits(finished, small_config, tmp_path):
    shared = compare(replace(small_config, executor="local", workers=1), tmp_path / "run")
    assert timeless(shared) == timeless(finished[1])
    assert check_run(tmp_path / "run")[1]


def test_one_conditional_gan_augments_every_class(small_config, tmp_path):
    recipe = replace(small_config.recipe, conditional=True)
    config = replace(small_config, recipe=recipe, seeds=1, arms=("real", "real+synthetic"))
    results = compare(config, tmp_path / "run")
    (gan,) = find_gans(tmp_path / "run")
    assert gan.labels == ("drone", "march", "techno")
    trained_on = set(gan.provenance["tracks"])
    assert trained_on == set(results["split"]["train"])
    clips = {
        folder.name.split("-")[1]: np.load(folder / "audio.npy")
        for folder in (tmp_path / "run" / "stages").glob("samples-*")
    }
    assert clips.keys() == {"drone", "march", "techno"}
    assert not np.array_equal(clips["drone"][:1], clips["march"][:1])
    assert len(results["arms"]["real+synthetic"]["runs"]) == 1


CLASSICAL = ("real", "real+oversampled", "real+classical", "real+classical+synthetic")


@pytest.fixture(scope="module")
def classical(finished, small_config, tmp_path_factory):
    """A comparison with altered copies, of the same GANs: its configuration, folder, results."""
    config = replace(small_config, arms=CLASSICAL, augment="noise,gain,mixup", seeds=2)
    out = tmp_path_factory.mktemp("runs") / "classical"
    shutil.copytree(finished[0], out)
    return config, out, compare(config, out)


def test_altered_copies_are_as_many_as_generated_clips(classical):
    config, out, results = classical
    real = examples(config, out, "real")
    repeated = examples(config, out, "real+oversampled")
    altered = examples(config, out, "real+classical")
    both = examples(config, out, "real+classical+synthetic")
    np.testing.assert_array_equal(repeated.labels, altered.labels)
    copies = np.bincount(altered.labels) - np.bincount(real.labels)
    assert copies.sum() == results["gan"]["synthetic"]
    np.testing.assert_array_equal(np.bincount(both.labels) - np.bincount(altered.labels), copies)
    # the copy of each clip is that clip's, altered
    originals, changed = np.asarray(repeated.features), np.asarray(altered.features)
    np.testing.assert_array_equal(originals[: len(real.labels)], changed[: len(real.labels)])
    moved = np.abs(originals - changed)[len(real.labels) :].max((1, 2))
    assert (moved > 0).all()
    other = np.asarray(examples(config, out, "real+classical", seed=1).features)
    assert np.abs(other - changed)[len(real.labels) :].max((1, 2)).min() > 0


def test_further_copies_of_a_clip_are_drawn_anew(classical):
    config, out, _ = classical
    twice = replace(config, synthetic_ratio=2.0)
    altered = np.asarray(examples(twice, out, "real+classical").features)
    real, first, second = np.split(altered, 3)
    assert (np.abs(first - real).max((1, 2)) > 0).all()
    assert (np.abs(first - second).max((1, 2)) > 0).all()


def test_differences_say_what_the_copies_add(classical):
    _, out, results = classical
    pairs = {(d["arm"], d["against"]) for d in results["differences"]}
    assert {
        ("real+classical", "real"),
        ("real+classical+synthetic", "real+oversampled"),
        ("real+classical+synthetic", "real+classical"),
    } <= pairs
    page = (out / "report.html").read_text()
    assert "What classical augmentation does" in page
    assert "noise, 10 dB below" in page


def test_augmentation_is_of_the_classical_arms_alone(classical, finished, small_config):
    _, _, results = classical
    _, without = finished
    for arm in ("real", "real+oversampled"):
        assert results["arms"][arm] == without["arms"][arm]


def test_test_audio_changes_no_altered_copy(classical, music, tmp_path):
    config, _, results = classical
    other = altered_test_tracks(music, tmp_path / "music", results)
    arms = ("real", "real+classical")  # no arm needs a GAN
    config = replace(config, arms=arms, data=replace(config.data, root=str(other)))
    changed = compare(config, tmp_path / "run")
    assert changed["gan"]["stages"] == []
    for arm in arms:
        for run, original in zip(
            changed["arms"][arm]["runs"], results["arms"][arm]["runs"], strict=True
        ):
            assert run["history"] == original["history"]
    page = (tmp_path / "run" / "report.html").read_text()
    assert "altered copies" in page


def test_augment_asks_for_an_arm(small_config):
    with pytest.raises(ValueError, match="real\\+classical: name it in --arms"):
        replace(small_config, augment="noise")
    with pytest.raises(ValueError, match="--augment none"):
        replace(small_config, augment="none", arms=CLASSICAL)
    with pytest.raises(ValueError, match="is it noise"):
        replace(small_config, augment="nois", arms=CLASSICAL)


# --- the sealed test -----------------------------------------------------------------------------


def test_a_sealed_comparison_looks_at_validation_alone(finished, small_config, tmp_path, capsys):
    _, results = finished
    out = tmp_path / "run"
    sealed = compare(replace(small_config, sealed=True), out)
    assert not (out / "results.json").exists()
    assert not (out / "report.html").exists()
    assert not (out / "openings.json").exists()
    said = json.dumps(sealed)
    assert "test" not in said
    for name, runs in sealed["validation"].items():
        for run, outcome in zip(runs, results["arms"][name]["runs"], strict=True):
            history = outcome["history"]
            assert run["loss"] == min(history["valid_loss"])
    printed.compare(sealed | {"environment": {}}, out)
    assert "the test side is sealed" in capsys.readouterr().out
    assert outcome_of_opening(small_config, out) == 1


def outcome_of_opening(config, out) -> int:
    return len(compare(config, out)["openings"])


def test_openings_of_the_test_side_are_counted(finished, small_config, tmp_path):
    """Once for each set of trials, however often its page is written."""
    out = tmp_path / "run"
    shutil.copytree(finished[0], out)
    before = outcome_of_opening(small_config, out)
    assert outcome_of_opening(replace(small_config, seeds=1), out) == before + 1
    assert outcome_of_opening(small_config, out) == before + 1
    file, hashes = out / "openings.json", json.loads((out / "hashes.json").read_text())
    known = hashes.pop(file.name)  # as a kill before it was sealed leaves it
    (out / "hashes.json").write_text(json.dumps(hashes))
    assert outcome_of_opening(small_config, out) == before + 1
    assert json.loads((out / "hashes.json").read_text())[file.name] == known
    kept = json.loads(file.read_text())
    file.unlink()
    with pytest.raises(ValueError, match=r"openings\.json is missing, which counts how often"):
        compare(small_config, out)
    (out / "hashes.json").unlink()  # nor does it help to take away what says so
    with pytest.raises(ValueError, match=r"openings\.json is missing, which counts how often"):
        compare(small_config, out)
    del kept[0]["time"]
    write_sealed(file, kept)
    with pytest.raises(ValueError, match=r"openings\.json is damaged \(KeyError: 'time'\)"):
        compare(small_config, out)


def test_several_ratios_make_a_curve_that_begins_at_real_clips_alone(
    finished, small_config, tmp_path
):
    shutil.copytree(finished[0], tmp_path / "run")
    arms = ("real", "real+synthetic@0.5", "real+synthetic", "real+synthetic@2", "real+noise")
    results = compare(replace(small_config, arms=arms, seeds=1), tmp_path / "run")
    (curve,) = results["curves"]
    (series,) = curve["series"]  # noise has one ratio alone
    assert series["name"] == "synthetic"
    assert [point["x"] for point in series["points"]] == [0, 0.5, 1, 2]
    shares = [results["arms"][arm]["runs"][0]["track_accuracy"] for arm in arms[:4]]
    assert [point["mean"] for point in series["points"]] == shares
    assert all(low <= x <= high for x, (low, high) in
               ((point["mean"], point["ci95"]) for point in series["points"]))  # fmt: skip
    assert finished[1]["curves"] == []
    page = (tmp_path / "run" / "report.html").read_text()
    assert "further clips for each real one" in page


# --- filters of generated clips ------------------------------------------------------------------

FILTERS = ("confident", "accepted")


@pytest.fixture(scope="module")
def filtered(finished, small_config, tmp_path_factory):
    """A comparison of filtered clips, of the same GANs: config, folder, results, what was said."""
    arms = ("real", *(f"real+{name}" for name in FILTERS))
    config = replace(small_config, seeds=1, arms=arms)
    out, said = tmp_path_factory.mktemp("runs") / "filtered", []
    shutil.copytree(finished[0], out)
    progress = Progress(quiet=True)
    progress.say = said.append
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judge, "FIT", replace(judge.FIT, epochs=2))
        return config, out, compare(config, out, progress=progress), said


def kept(out, name, label):
    """Of a filter's stage: its clips, its manifest, and all that its key is of."""
    (folder,) = (out / "stages").glob(f"{name}-{label}-0-*")
    about, key = (json.loads((folder / f"{of}.json").read_text()) for of in ("manifest", "stage"))
    return np.load(folder / "audio.npy"), about, key["inputs"]


def test_filtered_clips_are_as_many_as_real_ones_and_of_their_gan(filtered):
    _, out, results, said = filtered
    assert results["arms"].keys() == {"real", "real+confident", "real+accepted"}
    assert all(arm["generated"] for name, arm in results["arms"].items() if name != "real")
    wanted = results["data"]["clips"]["train"] // 3
    for gan, (name, most) in product(find_gans(out), {"confident": 2, "accepted": 8}.items()):
        audio, about, _ = kept(out, name, gan.label)
        made = sample_gan(Run(out), gan, most * wanted)
        np.testing.assert_array_equal(audio, made[about["rows"]])
        assert len(set(about["rows"])) == wanted
        assert wanted <= about["candidates"] <= most * wanted
        share = (wanted - about["filled"]) / about["candidates"]
        assert about["accepted"] == pytest.approx(share)
        assert about["provenance"] == gan.provenance
        (line,) = (one for one in said if one.startswith(f"{name} clips of {gan.label}, GAN 0: "))
        assert f"{wanted} of {about['candidates']} candidates" in line


def test_the_judge_takes_none_that_is_left_out_more_surely(filtered):
    _, out, _, _ = filtered
    (folder,) = (out / "stages").glob("judge-*")
    said = judge.load_judge(folder, 4000)
    for index, gan in enumerate(find_gans(out)):
        audio, about, _ = kept(out, "confident", gan.label)
        candidates = sample_gan(Run(out), gan, 2 * len(audio)) / np.float32(32768)
        sure = np.asarray(said(candidates))[:, index]
        assert sure[about["rows"]].min() >= np.delete(sure, about["rows"]).max()
        assert about["candidates"] == len(candidates)


def test_filters_hear_training_tracks_alone_and_a_judge_is_made_where_one_asks(filtered, finished):
    _, out, results, _ = filtered
    (folder,) = (out / "stages").glob("judge-*")
    train = {name: results["split"]["hashes"][name] for name in results["split"]["train"]}
    assert json.loads((folder / "stage.json").read_text())["inputs"]["tracks"] == train
    for gan in find_gans(out):
        assert kept(out, "confident", gan.label)[2]["judge"] == folder.name
        own = {name: digest for name, digest in train.items() if name.startswith(gan.label)}
        assert kept(out, "accepted", gan.label)[2]["tracks"] == own
    assert not list((finished[0] / "stages").glob("judge-*"))


@pytest.mark.slow
def test_test_audio_changes_no_filter(small_config, music, tmp_path):
    """Of a GAN of all classes: the stages hold what they held, under the same keys."""
    recipe, arms = replace(small_config.recipe, conditional=True), ("real", "confident", "accepted")
    config = replace(small_config, recipe=recipe, seeds=1, arms=arms)
    results = compare(config, tmp_path / "run")
    other = altered_test_tracks(music, tmp_path / "music", results)
    compare(replace(config, data=replace(config.data, root=str(other))), tmp_path / "again")
    found = [name for name in stages(tmp_path / "run") if name.startswith(("judge-", *FILTERS))]
    assert len(found) == 1 + 2 * 3
    for name in found:
        for file in (tmp_path / "run" / "stages" / name).iterdir():
            there = tmp_path / "again" / "stages" / name / file.name
            assert there.read_bytes() == file.read_bytes()


def test_the_same_clips_come_again_where_a_run_was_killed(filtered, tmp_path):
    config, out, _, _ = filtered
    shutil.copytree(out, tmp_path / "run")
    for name in FILTERS:
        (folder,) = (tmp_path / "run" / "stages").glob(f"{name}-drone-0-*")
        shutil.rmtree(folder)
        examples(config, tmp_path / "run", name)
        assert folder.is_dir()
        again, before = kept(tmp_path / "run", name, "drone"), kept(out, name, "drone")
        np.testing.assert_array_equal(again[0], before[0])
        assert again[1:] == before[1:]
    assert stages(tmp_path / "run").keys() == stages(out).keys()


def test_a_filter_without_what_it_asks_is_an_error(filtered, tmp_path):
    config, out, _, _ = filtered
    material = material_of(config, out)
    with pytest.raises(ValueError, match="material has no judge"):
        arm_of("confident").training(replace(material, judge=None), 0)
    gan, file = find_gans(out)[0], tmp_path / "gan.safetensors"
    export(gan.generator()[0], file, metadata=gan.provenance)
    alone = replace(material, gans=find_gans(file))
    with pytest.raises(ValueError, match="is an exported generator, without the critic"):
        arm_of("accepted").training(alone, 0)


def test_what_is_fitted_at_once_has_one_phase_and_no_rate(small_config):
    fit = replace(small_config.recipe.fit, optimizer="lbfgs")
    at_once = replace(small_config.recipe, fit=fit)
    for settings in ({"arms": ("real", "noise-then-real")}, {"tune": (0.3, 1.0)}):
        replace(small_config, **settings)
        with pytest.raises(ValueError, match=r"would forget its first clips, and --tune"):
            replace(small_config, recipe=at_once, **settings)
