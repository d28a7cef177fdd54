"""A comparison on several sides of the data: folds, draws of few training tracks, amounts."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest

from experiments.commands import compare as command
from experiments.commands.compare import compare
from experiments.commands.generate import generate
from experiments.config import GenerateConfig
from experiments.recipes import RECIPES, looked_at
from experiments.report import printed
from experiments.report.terminal import Progress
from experiments.scores import held_out_tracks
from experiments.stages.gans import find_gans
from features import LeakError, save_audio


@pytest.fixture(scope="module")
def several(small_config, render, tmp_path_factory):
    """One GAN for all classes in each of two folds and two draws; shots of one and of two."""
    six = render(tmp_path_factory.mktemp("six"), tracks=6)
    config = replace(
        small_config,
        recipe=replace(small_config.recipe, conditional=True),
        arms=("real", "real+synthetic"),
        folds=2,
        shots=(1, 2),
        draws=2,
        steps=3,
        at_once=8,
        quality=0,
        data=replace(small_config.data, root=str(six), fractions=(0.6, 0.2, 0.2)),
    )
    out, said = tmp_path_factory.mktemp("runs") / "cells", list[str]()
    progress = Progress(quiet=True)  # which measures no step
    progress.say = said.append
    results = compare(config, out, progress=progress)
    expected = "2 make intervals of ±12.7 standard errors, 5 of ±2.8: give --draws 5"
    assert any(expected in line for line in said)
    return config, out, results


def of_cell(results, name):
    split = results["split"]
    (found,) = (one for one in split["others"] if one["name"] == name)
    return found


def test_every_track_is_tested_once(several):
    _, _, results = several
    tests = [results["split"]["test"], of_cell(results, "track-1shots-fold1")["test"]]
    assert not set(tests[0]) & set(tests[1])
    assert len({*tests[0], *tests[1]}) == held_out_tracks(results) == 18
    for metric in ("accuracy", "track_accuracy", "macro_f1"):
        assert len(results["arms"]["real"]["pooled"][metric]) == 2  # runs, over both folds


def test_a_run_is_scored_over_the_tracks_of_all_folds(several):
    _, _, results = several
    arm = results["arms"]["real"]
    for seed, accuracy in enumerate(arm["pooled"]["track_accuracy"]):
        fits = [run for run in arm["runs"] if run["classifier_seed"] == seed]
        assert [run["fold"] for run in fits] == [0, 1]
        assert accuracy == np.sum([np.trace(run["track_confusion"]) for run in fits]) / 18


def test_each_draw_and_fold_has_tracks_and_a_gan_of_its_own(several):
    _, out, results = several
    cells = [results["split"], *results["split"]["others"]]
    assert len(cells) == 2 * 2 * 2
    first = [cells[0]["train"], of_cell(results, "track-1shots-draw1-fold0")["train"]]
    assert first[0] != first[1]
    assert cells[0]["test"] == of_cell(results, "track-1shots-draw1-fold0")["test"]
    assert {len(cell["train"]) for cell in cells[:4]} == {3}
    assert {len(cell["train"]) for cell in cells[4:]} == {6}
    gans = find_gans(out)
    assert len(gans) == len(cells)
    assert [gan.seed for gan in gans] == [0, 1] * 4
    for gan, cell in zip(gans, cells, strict=True):
        assert sorted(gan.provenance["tracks"]) == sorted(cell["train"])


def test_runs_take_the_draws_and_their_gans_in_turn(several):
    _, _, results = several
    for part in (results, *results["amounts"]):
        runs = part["arms"]["real+synthetic"]["runs"]
        told = [(run["classifier_seed"], run["draw"], run["gan_seed"]) for run in runs]
        assert told == [(0, 0, 0), (0, 0, 0), (1, 1, 1), (1, 1, 1)]


def test_other_amounts_stand_beside_the_question(several):
    _, out, results = several
    assert results["amount"] == "1 track a class"
    (other,) = results["amounts"]
    assert other["amount"] == "2 tracks a class"
    assert [row["primary"] for row in other["differences"]] == [False] * 3
    (curve,) = [one for one in results["curves"] if one["over"].startswith("training tracks")]
    for series in curve["series"]:
        assert [point["x"] for point in series["points"]] == [1, 2]
        at = {1: results, 2: other}
        for point in series["points"]:
            arm = at[point["x"]]["arms"][series["name"]]
            assert point["mean"] == pytest.approx(np.mean(arm["pooled"]["track_accuracy"]))
    with (out / "runs.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["amount"] for row in rows] == ["1 track a class"] * 8 + ["2 tracks a class"] * 8


def test_the_page_and_the_terminal_have_all_of_it(several, capsys):
    _, out, results = several
    page = (out / "report.html").read_text(encoding="utf-8")
    for text in ("2 tracks a class", "1 track a class", "in 2 folds", "drawn 2 times", "McNemar",
                 "Nadeau and Bengio", "Bayesian", "18</b>"):  # fmt: skip
        assert text in page
    printed.compare(results, out)
    said = capsys.readouterr().out
    assert "arm, 2 tracks a class" in said
    assert "(the question)" in said


def test_other_tests_say_what_they_say_of_all_folds(several):
    _, _, results = several
    assert results["otherwise"].keys() == {"mcnemar", "improvement", "resampled", "bayes"}


def test_clips_of_every_gan_have_a_folder_of_their_own(several, tmp_path):
    _, out, _ = several
    written = generate(GenerateConfig(out, count=1), tmp_path / "clips")
    assert len(set(written.files)) == len(written.files) == 8 * 3
    assert all((written.folder / name).exists() for name in written.files)


def test_finished_cells_are_not_done_again(several, tmp_path):
    config, out, _ = several
    judged = compare(replace(config, quality=16), out, dry_run=True)
    assert judged["gans"] == 8  # of which other checkpoints may be the best
    plan = compare(config, out, dry_run=True)
    assert (plan["gans"], plan["fits"]) == (0, 0)
    assert plan["workers"] is plan["shared_seconds"] is None
    by_three = replace(config, executor="local", workers=3)
    plan = compare(by_three, tmp_path / "new", progress=Progress(), dry_run=True)
    assert (plan["cells"], plan["workers"]) == (8, 3)
    assert plan["shared_seconds"] == pytest.approx(plan["seconds"] / 3)
    more = compare(replace(config, shots=(1,)), out, dry_run=True)
    assert (more["gans"], more["fits"]) == (0, 0)


def test_a_gan_of_another_fold_is_caught(several, monkeypatch):
    """It heard what this fold tests: a planted leak."""
    config, out, _ = several
    there = command.train_gans
    monkeypatch.setattr(command, "train_gans", lambda *given, **more: there(*given, **more)[::-1])
    with pytest.raises(LeakError, match="was trained on tracks of the validation or test side"):
        compare(config, out)


def test_clips_of_a_generator_that_heard_any_track_are_refused(several, tmp_path):
    """Every track is held out in some fold."""
    config, *_ = several
    name = "techno.00000"
    (tmp_path / "clips").mkdir()
    said = json.dumps({"tracks": {name: "0" * 32}})
    (tmp_path / "clips" / "provenance.json").write_text(said)
    for label in ("drone", "march", "techno"):
        noise = np.random.default_rng(0).uniform(-0.1, 0.1, 1024).astype(np.float32)
        for i in range(3):
            save_audio(tmp_path / "clips" / label / f"{i}.wav", noise / (i + 1), 4000)
    heard = replace(
        config, folders=(f"mine={tmp_path / 'clips'}",), arms=("real", "real+mine"), shots=(1,)
    )
    with pytest.raises(LeakError, match="trained on tracks of the validation or test"):
        compare(heard, tmp_path / "run")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"draws": 2}, "all training tracks are used, so that there is nothing to draw"),
        ({"shots": (2, 2)}, "--shots 2,2 has one twice"),
        ({"shots": (2,), "train_share": (0.5,)}, "give one of them"),
        ({"shots": (1,), "draws": 2, "gan_seeds": 3}, "a multiple of --draws 2"),
        ({"shots": (1,), "draws": 5}, "--gan-seeds, at least --draws, lies in 1 … --seeds"),
        ({"tune": (1.0, 1.0)}, "above 0 and each once"),
        ({"tune": (0.0,)}, "above 0 and each once"),
        ({"train_share": (0.05, 1.5)}, "--train-share lies above 0 and up to 1, found 1.5"),
    ],
)
def test_what_cannot_be_is_said(small_config, changed, said):
    with pytest.raises(ValueError, match=said):
        replace(small_config, **changed)


def test_fewer_tracks_than_folds_or_shots_are_named(small_config, tmp_path):
    with pytest.raises(ValueError, match="6 folds: class 'drone' has 5 tracks, 6 are needed"):
        compare(replace(small_config, folds=6), tmp_path / "a")
    with pytest.raises(ValueError, match="--shots 3: drone has 2 training tracks"):
        compare(replace(small_config, shots=(1, 3)), tmp_path / "b")
    with pytest.raises(
        ValueError, match=r"--train-share 0\.1 leaves \w+ no training track of 2: give 0\.25"
    ):
        compare(replace(small_config, train_share=(1.0, 0.1)), tmp_path / "c")


def test_that_nothing_is_held_back_for_the_oracle_is_said_before_any_training(
    small_config, tmp_path
):
    """Two training tracks a class: 0.9 of them are both."""
    config = replace(small_config, arms=("real", "real+oracle"), train_share=(0.9,))
    with pytest.raises(ValueError, match=r"0\.9 of the training tracks are all 2 that drone has"):
        compare(config, tmp_path / "run")
    config = replace(small_config, shots=(2,), draws=2)
    with pytest.raises(ValueError, match="2 tracks a class are all 2 that drone has, so that none"):
        compare(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_each_arm_takes_its_best_learning_rate(small_config, tmp_path):
    config = replace(
        small_config, arms=("real", "real+oversampled"), tune=(1.0, 0.1, 1e-6), seeds=1
    )
    results = compare(config, tmp_path / "run")
    for arm in results["arms"].values():
        tried = {float(rate): accuracy for rate, accuracy in arm["tried"].items()}
        assert tried.keys() == {1.0, 0.1, 1e-6}
        assert tried[arm["learning_rate"]] == max(tried.values())
        history = arm["runs"][0]["history"]
        at = history["steps"].index(history["best_step"])
        assert history["valid_accuracy"][at] == pytest.approx(max(tried.values()))
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "learning rates" in page


def test_a_way_of_training_says_by_which_data_it_was_chosen(small_recipe):
    assert looked_at(RECIPES["demo"]) == ("gtzan-mini", "fsdd")
    assert looked_at(small_recipe) == ()
