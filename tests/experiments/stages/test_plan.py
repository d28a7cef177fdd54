"""What a run is going to take: counted, and a step of each kind measured once."""

import os
from dataclasses import replace
from itertools import product

import pytest

from experiments import compare, train
from experiments.config import TrainGansConfig
from experiments.recipes import RECIPES
from experiments.report.terminal import Progress
from experiments.run import Run
from experiments.stages import judge, plan
from experiments.stages.cells import open_cells
from experiments.stages.gan_training import keep_judge
from experiments.stages.plan import (
    Plan,
    remember_gan_step,
    seconds_a_fit_step,
    seconds_a_gan_step,
    total,
)
from features import remembered
from wavegan import TrainConfig, WaveGANConfig


@pytest.fixture
def measured(monkeypatch, tmp_path):
    """Nothing is known of any step."""
    monkeypatch.setenv("WAVEGAN_CACHE", str(tmp_path))
    monkeypatch.setattr(plan, "recall", remembered.recall)


def test_a_step_is_measured_once_and_remembered(measured, small_recipe, capsys):
    shape = small_recipe.input_shape(small_recipe.num_samples)
    arguments = (small_recipe, shape, 3, Progress())
    seconds = seconds_a_fit_step(*arguments)
    assert 0 < seconds < 10
    assert "a step of small, to tell how long all will take" in capsys.readouterr().err
    assert seconds_a_fit_step(*arguments) == seconds
    assert not capsys.readouterr().err
    more = replace(small_recipe, fit=replace(small_recipe.fit, batch_size=2))
    assert seconds_a_fit_step(more, *arguments[1:]) != seconds  # which is another step


def test_a_step_of_a_gan_too(measured, capsys):
    config, settings = WaveGANConfig(num_samples=1024, dim=2), TrainConfig(batch_size=2)
    seconds = seconds_a_gan_step(config, settings, Progress())
    assert 0 < seconds < 10
    assert "a step of a GAN" in capsys.readouterr().err
    longer = replace(settings, steps=9 * settings.steps, log_every=1)  # the same step
    assert seconds_a_gan_step(config, longer, Progress()) == seconds
    assert not capsys.readouterr().err


def test_a_step_by_other_cores_or_on_another_machine_is_another(measured, monkeypatch):
    """A worker's step, of the one core that it has, is no guess for all cores."""
    step = WaveGANConfig(num_samples=1024, dim=2), TrainConfig(batch_size=2)
    names = [plan.hardware(), "another processor"]
    for i, (cores, machine) in enumerate(product((1, 9), names)):
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid, n=cores: {*range(n)})
        monkeypatch.setattr(plan, "hardware", lambda machine=machine: machine)
        assert plan.recall(plan._gan_name(*step)) is None
        remember_gan_step(*step, i + 0.5)
        assert seconds_a_gan_step(*step, Progress()) == i + 0.5


def test_a_plan_is_so_many_steps_of_so_many_seconds(monkeypatch, small_recipe):
    monkeypatch.setattr(plan, "recall", lambda name: 0.25)
    found = Plan(tracks=15, clips=45)
    found.add_fits(small_recipe, small_recipe.num_samples, 3, 4, 4 * 10, Progress())
    assert (found.fits, found.fit_steps, found.seconds) == (4, 40, 10.0)
    found.add_gans(small_recipe, 2, ["a", "b"], Progress())
    steps = small_recipe.gan_train.steps
    assert (found.gans, found.gan_steps) == (2, 2 * steps)
    assert found.seconds == 10 + 2 * steps * 0.25
    assert total([found.as_dict(), found.as_dict()])["fits"] == 8
    assert total([found.as_dict(), found.as_dict()])["tracks"] == 15
    assert str(found).startswith("plan: 15 tracks, 45 real clips, 2 GANs to train (")


def test_a_plan_says_what_so_many_workers_need_at_least(monkeypatch, small_recipe):
    """Never more of them than there are parts: two GANs are no faster on four."""
    monkeypatch.setattr(plan, "recall", lambda name: 0.25)
    found = Plan(cells=30)
    found.add_gans(small_recipe, 2, ["a", "b"], Progress())
    found.add_fits(small_recipe, small_recipe.num_samples, 3, 8, 8 * 40, Progress())
    alone, steps = str(found), small_recipe.gan_train.steps
    assert (found.shared_seconds, "worker" in alone) == (None, False)
    assert "30 cells (folds, draws, amounts), 2 GANs to train" in alone
    found.workers = 4
    assert found.seconds == 2 * steps * 0.25 + 80
    assert found.as_dict()["shared_seconds"] == steps * 0.25 + 20
    assert "about 1 min 22 s of training, at least 21 s by 4 workers" in str(found)


def test_a_plan_says_what_may_make_its_steps_others(monkeypatch, small_recipe):
    monkeypatch.setattr(plan, "recall", lambda name: 0.25)

    def planned(patience):
        recipe = replace(small_recipe, fit=replace(small_recipe.fit, patience=patience))
        found = Plan()
        found.add_fits(recipe, recipe.num_samples, 3, 4, 4 * 10, Progress())
        return str(found)

    assert "about 10 s of training (less where validation stops a classifier before" in planned(2)
    assert "about 10 s of training, about" in planned(None)


def test_what_is_fitted_at_once_has_no_steps_to_measure(measured, capsys):
    found, recipe = Plan(), RECIPES["floor"]
    found.add_fits(recipe, recipe.num_samples, 3, 2, 2, Progress())
    assert (found.fits, found.seconds) == (2, None)
    assert not capsys.readouterr().err


def test_judges_are_classifiers_to_train(small_config, monkeypatch, tmp_path):
    monkeypatch.setattr(judge, "FIT", replace(judge.FIT, epochs=2))  # of batches of 64 of 512 clips
    config, run = replace(small_config, steps=4), Run(tmp_path / "run")

    def planned(*arms, progress=None):
        return compare(replace(config, arms=arms), run.path, progress=progress, dry_run=True)

    plain = planned("real", "real+synthetic")
    judged = planned("real", "real+confident", progress=Progress())
    assert judged["fits"] == plain["fits"] + 1
    assert judged["fit_steps"] == plain["fit_steps"] + 2 * 8
    steps = judged["fit_steps"] + judged["gan_steps"]
    assert judged["seconds"] == pytest.approx(0.01 * steps)  # see `known_steps`
    opened = open_cells(replace(config, arms=("real", "real+confident")), Progress(quiet=True))
    keep_judge(run, opened.every[0].training, Progress(quiet=True))
    assert planned("real", "real+confident")["fits"] == plain["fits"]
    gans = TrainGansConfig(config.recipe, config.data, judge=True)
    assert train(gans, tmp_path / "gans", dry_run=True)["fits"] == 1


def test_nobody_who_reads_no_plan_waits_for_a_measurement(measured, small_recipe):
    found, quiet = Plan(), Progress(quiet=True)
    found.add_fits(small_recipe, small_recipe.num_samples, 3, 1, 1, quiet)
    found.add_gans(small_recipe, 1, ["a"], quiet)
    assert found.seconds is None
    assert found.disk_bytes > 0
