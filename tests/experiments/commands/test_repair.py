"""The published comparison, and what each rung of the ladder repairs of it."""

import csv
import json
import shutil
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from html_page import check_page

from experiments.cli import main
from experiments.commands import repair as module
from experiments.commands.doctor import check_run
from experiments.commands.repair import ARMS, LADDER, repair
from experiments.report import printed
from experiments.report.repair import cells, headline, render_repair
from experiments.report.terminal import Progress
from experiments.stages.chunks import chunk_recordings
from experiments.stages.clips import cut
from experiments.stages.data import open_dataset
from experiments.stages.gans import find_gans
from experiments.statistics import paired_difference
from features import LeakError, LeakWarning, split_clips
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


def test_a_gan_that_heard_a_track_held_out_whole_is_an_error(
    climbed, config, baseline, tmp_path, monkeypatch
):
    def everything(ladder, rung, folder):
        return list(ladder.dataset.recordings), len(ladder.clips[ladder.generates.name])

    monkeypatch.setattr(module._Ladder, "heard", everything)  # as in the first rungs
    out = shutil.copytree(climbed[0], tmp_path / "run")
    with pytest.raises(LeakError, match=r"the GAN of drone in .* was trained on tracks of the val"):
        repair(config, out, baseline=baseline)


@pytest.fixture(scope="module")
def shared(config, baseline, tmp_path_factory):
    """Artists of two tracks each; the baseline's training overflows."""
    out, clusters = tmp_path_factory.mktemp("runs") / "shared", []
    index = out.with_name("artists.txt")
    tracks = product(("drone", "march", "techno"), range(5))
    index.write_text("".join(f"{g}.{i:05d}.wav ::: {g} {i // 2} ::: x\n" for g, i in tracks))
    data = replace(config.data, artist_index=str(index), allow_shared_groups=True)
    changed = ("allow-shared-groups", "artist-index", "gan-steps")
    config = replace(config, data=data, preset="published-net6", changed=changed)
    fit = replace(baseline.fit, learning_rate=1e30)

    def judged(truth, arm, against, cluster, metric):
        clusters.append({*cluster.tolist()})
        return paired_difference(truth, arm, against, cluster, metric)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "paired_difference", judged)
        return out, repair(config, out, baseline=replace(baseline, fit=fit)), clusters


def test_shared_artists_and_another_study_are_told(shared, capsys):
    out, results, _ = shared
    names = results["split"]["shared_groups"]
    assert names
    assert results["split"]["by"] == "track"
    text = check_page((out / "report.html").read_text()).text
    several = "artists or speakers" if len(names) > 1 else "artist or speaker"
    assert f"{len(names)} {several} on two sides." in text
    assert "published-net6, but with other allow-shared-groups, artist-index and gan-" in text
    assert f"{len(names)} of them on two sides: {', '.join(names[:5])}" in text
    assert "it is no verdict on generated clips" in text
    printed.repair(results, out)
    said = capsys.readouterr().out
    assert f"the track split has {len(names) if len(names) > 1 else 'one'} {several}" in said


def test_intervals_allow_for_other_artists_where_there_are_enough(shared):
    *_, clusters = shared
    artists = {f"{g} {i}" for g, i in product(("drone", "march", "techno"), range(3))}
    assert len(clusters) == 5
    assert all(len(found) >= 6 and found <= artists for found in clusters[:2])  # chunks of all
    assert all(len(found) == 6 for found in clusters[2:])  # of which there are as many tracks


def test_a_failed_run_costs_its_rung_alone_and_stands_there_with_its_reason(shared, capsys):
    out, results, _ = shared
    first, *others = results["ladder"]
    failed = first["arms"]["real"]
    assert (failed["runs"], first["differences"]) == ([], {})
    assert [run["classifier_seed"] for run in failed["failed_runs"]] == [0]
    why = failed["failed_runs"][0]["error"]
    assert all(rung["differences"]["accuracy"]["ci95"] for rung in others)
    assert not any(arm["failed_runs"] for rung in others for arm in rung["arms"].values())
    text = check_page((out / "report.html").read_text()).text
    assert f"failed: 1 of 1 runs of real ({why})" in text
    assert "made again as published unknown, since runs failed; with all repairs " in text
    with (out / "runs.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["error"] for row in rows if row["error"]] == [why]
    assert len(rows) == 16
    printed.repair(results, out)
    assert f"failed: nothing: as published: 1 of 1 runs of real ({why})" in capsys.readouterr().out


def test_gans_that_fail_cost_the_runs_that_need_them(config, baseline, tmp_path):
    diverging = replace(config.recipe.gan_train, learning_rate=1e30, steps=20)
    recipe = replace(config.recipe, gan_train=diverging)
    results = repair(replace(config, recipe=recipe), tmp_path / "run", baseline=baseline)
    for rung in results["ladder"]:
        real, made = (rung["arms"][arm] for arm in ARMS)
        assert len(real["runs"]) == len(made["failed_runs"]) == (2 if rung["several"] else 1)
        assert not made["runs"]
        assert "the GAN of drone" in made["failed_runs"][0]["error"]
    assert len(results["gan"]["failed"]) == 12
    assert "GANs that failed" in (tmp_path / "run" / "report.html").read_text()


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


def test_one_gan_for_all_classes_trains_as_many_epochs(config, baseline, tmp_path):
    """It hears each clip as often as a GAN of a class does, and has more of them."""
    recipe = replace(config.recipe, conditional=True)
    shared = replace(config, recipe=recipe, changed=("conditional",))
    plan, single = (
        repair(one, tmp_path / "run", baseline=baseline, dry_run=True)
        for one in (shared, replace(config, changed=()))
    )
    assert (plan["gans"], single["gans"]) == (4, 12)
    clips = (45, 18, 18, 18)  # all, training chunks, and those of training tracks for two runs
    assert plan["gan_steps"] == sum(50 * round(count / 2) for count in clips)
    assert single["gan_steps"] == 3 * sum(50 * round(count / 3 / 2) for count in clips)


@pytest.mark.slow
def test_the_ladder_climbs_with_one_gan_for_all_classes(config, baseline, tmp_path):
    recipe = replace(config.recipe, conditional=True)
    changed = replace(config, recipe=recipe, changed=("conditional", "gan-steps"))
    results = repair(changed, tmp_path / "run", baseline=baseline)
    assert len(find_gans(tmp_path / "run")) == 2
    for rung in results["ladder"]:
        assert [len(rung["arms"][arm]["runs"]) for arm in ARMS] == [1 + rung["several"]] * 2


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
