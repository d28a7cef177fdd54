"""The published comparison, and what each rung of the ladder repairs of it."""

import json
from dataclasses import replace

import numpy as np
import pytest
from html_page import check_page

from experiments.cli import main
from experiments.commands.doctor import check_run
from experiments.commands.repair import ARMS, LADDER, chunk_recordings, repair
from experiments.report.repair import cells, headline, render_repair
from experiments.report.terminal import Progress
from experiments.stages.clips import cut
from experiments.stages.data import open_dataset
from experiments.stages.gans import find_gans
from features import LeakWarning, split_clips
from features.checksums import check_sealed
from features.storage import Interrupted


@pytest.fixture(scope="module")
def config(small_config):
    fit = replace(small_config.recipe.fit, epochs=3, patience=1, learning_rate=0.1)
    recipe = replace(small_config.recipe, fit=fit)
    # GANs of the recipe's few steps, not of as many epochs as the published ones.
    return replace(small_config, recipe=recipe, quality=0, steps=None, changed=("gan-steps",))


@pytest.fixture(scope="module")
def baseline(config):
    """Other clips than those with generated ones, as published."""
    fit = replace(config.recipe.fit, restore_best=False)
    return replace(config.recipe, name="smaller", num_samples=512, fit=fit)


@pytest.fixture(scope="module")
def climbed(config, baseline, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "ladder"
    return out, repair(config, out, baseline=baseline, command="wavegan compare …")


def test_each_rung_keeps_what_was_repaired_before_it(climbed):
    _, results = climbed
    rungs = results["ladder"]
    assert [rung["repaired"] for rung in rungs] == [rung.repaired for rung in LADDER]
    assert [rung["split"] for rung in rungs] == ["chunk"] * 3 + ["track"] * 3
    recipes = [rung["arms"][ARMS[0]]["recipe"] for rung in rungs]
    assert recipes == ["smaller", *["small"] * 5]
    assert [len(rung["arms"][arm]["runs"]) for rung in rungs for arm in ARMS] == [1] * 8 + [2] * 4
    steps = [{run["steps"] for arm in ARMS for run in rung["arms"][arm]["runs"]} for rung in rungs]
    assert len(steps[4]) > 1, "each run stops by itself"
    assert steps[5] == {max(steps[4])}, "as many as the longest of them, whatever is validated"
    for rung, best in ((rungs[4], False), (rungs[5], True)):
        for arm in ARMS:
            for run in rung["arms"][arm]["runs"]:
                valid, at = run["history"]["valid_loss"], run["history"]["steps"]
                kept = at[int(np.argmin(valid))] if best else at[-1]
                assert run["best_step"] == kept


def test_differences_are_of_the_runs_and_have_intervals_where_they_pair(climbed):
    _, results = climbed
    for rung in results["ladder"]:
        for metric, found in rung["differences"].items():
            one, other = (
                np.mean([run[metric] for run in rung["arms"][arm]["runs"]]) for arm in ARMS
            )
            assert found["mean"] == pytest.approx(other - one)
        ends = rung["differences"]["accuracy"].get("ci95")
        assert (ends is None) == (not rung["alike"])
        assert ends is None or ends[0] <= rung["differences"]["accuracy"]["mean"] <= ends[1]


def test_gans_hear_what_the_rung_says(climbed, config):
    """All tracks as published; then training chunks, in the end of training tracks alone."""
    out, _ = climbed
    dataset = open_dataset(config.data, sample_rate=4000)
    split = dataset.split(config.data)
    training, test = ({track.track_id for track in of} for of in (split.train, split.test))
    last = [{*gan.provenance["tracks"]} for gan in find_gans(out)]
    assert all(heard <= training and not heard & test for heard in last)
    folders = {f.name.rsplit("-", 1)[0] for f in (out / "stages").glob("gan-*")}
    genres, seeds = ("drone", "march", "techno"), (0, 1)
    assert folders == {f"gan-{genre}-{seed}" for genre in genres for seed in seeds}
    files = (out / "stages").glob("gan-drone-0-*/config.json")
    told = [json.loads(file.read_text())["provenance"]["tracks"] for file in files]
    few, chunks, every = sorted(told, key=len)
    assert (len(few), len(every)) == (2, 5)
    assert 2 < len(chunks) <= 5
    assert not {*few.values()} & {*chunks.values()} & {*every.values()}


def test_training_chunks_are_the_training_chunks(config, tmp_path):
    dataset = open_dataset(config.data, sample_rate=4000)
    quiet = Progress(quiet=True)
    _, clips = cut(dataset, config.recipe, skip_short=False, progress=quiet)
    with pytest.warns(LeakWarning):
        train = split_clips(clips, fractions=config.data.fractions, seed=0).train
    found = chunk_recordings(dataset.recordings, train, tmp_path)
    assert sum(r.num_samples for r in found) == len(train) * clips.num_samples
    assert {r.track.track_id for r in found} == {*train.track_ids.tolist()}
    assert len({r.digest for r in (*found, *dataset.recordings)}) == len(found) + 15


def test_it_goes_on_where_it_was_stopped_and_ends_the_same(climbed, config, baseline, tmp_path):
    asked, out = iter(range(10_000)), tmp_path / "run"
    with pytest.raises(Interrupted):
        repair(config, out, baseline=baseline, should_stop=lambda: next(asked) == 60)
    again = repair(config, out, baseline=baseline)

    def told(results):
        return [rung["differences"] for rung in results["ladder"]]

    assert told(again) == told(climbed[1])
    check_sealed(out / "results.json")
    lines, whole = check_run(out)
    assert whole, lines
    rows = (out / "differences.csv").read_text().splitlines()
    assert len(rows) == 1 + 2 * len(LADDER)
    assert rows[1].startswith("1,nothing: as published,accuracy,")
    assert len((out / "runs.csv").read_text().splitlines()) == 1 + 16
    assert "the GANs hear training chunks alone" in (out / "table.md").read_text()


def test_the_page_says_what_leaks_and_what_each_repair_did(climbed, faults_of):
    out, results = climbed
    html = (out / "report.html").read_text()
    page = check_page(html)
    assert "The first rows leak: do not quote them as results." in page.text
    assert headline(results) in page.text
    for rung in LADDER:
        assert rung.repaired in page.text
    published = {**results, "published": [0.7955, 0.8291]}
    assert headline(published).startswith("Published +3.4; made again as published")
    assert cells(results["ladder"][0])[2].startswith("smaller: ")
    assert faults_of(render_repair(published)) == []


def test_the_plan_counts_what_is_left(climbed, config, baseline, tmp_path):
    plan = repair(config, tmp_path / "new", baseline=baseline, dry_run=True)
    assert (plan["gans"], plan["gan_steps"], plan["clips"]) == (12, 36, 45)
    assert not (tmp_path / "new").exists()
    done = repair(config, climbed[0], baseline=baseline, dry_run=True)
    assert (done["gans"], done["fits"]) == (0, 0)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"changed": ("folds", "gan-steps")}, "--folds: the study has its own arms, splits"),
        ({"changed": ("gan-seeds", "gan-steps")}, "--gan-seeds: .* steps and GANs of each run"),
        ({"executor": "local"}, "--executor: .* one after another"),
        ({"beside": "net5"}, "--beside: .* its own arms"),
    ],
)
def test_options_without_an_effect_are_refused(config, baseline, tmp_path, settings, said):
    with pytest.raises(ValueError, match=said):
        repair(replace(config, **settings), tmp_path / "run", baseline=baseline)
    with pytest.raises(ValueError, match="smaller is of 2000 Hz and small of 4000 Hz"):
        repair(config, tmp_path / "run", baseline=replace(baseline, sample_rate=2000))


def test_the_command_runs_the_study(music, capsys):
    command = ["compare", "--preset", "published-net6", "--data", str(music), "--dry-run"]
    short = ["--num-samples", "1024", "--gan-steps", "3"]
    assert main([*command, *short]) == 2
    assert "lengths without silence" in capsys.readouterr().err  # net5's, a second of 22050 Hz
