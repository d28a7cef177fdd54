import shutil
from dataclasses import replace

import numpy as np
import pytest

from experiments.config import TrainGansConfig
from experiments.report.terminal import Progress
from experiments.run import Run
from experiments.stages import judge
from experiments.stages.data import open_dataset
from experiments.stages.gan_stages import GanTraining, unfinished
from experiments.stages.gan_training import Watching, train_gans
from experiments.stages.gans import gan_of
from wavegan import TrainingDiverged, TrainingInterrupted, generate, load


@pytest.fixture(scope="module")
def quick_recipe(small_recipe):
    """With GANs of two layers and no penalty, which compile quickly."""
    quick = replace(small_recipe.gan_train, loss="dcgan")
    return replace(small_recipe, num_samples=256, gan_train=quick)


@pytest.fixture(scope="module")
def heard(small_config):
    recipe = small_config.recipe
    dataset = open_dataset(small_config.data, sample_rate=recipe.sample_rate)
    return dataset.of(dataset.split(small_config.data).train), dataset.labels


def trained(heard, recipe, out, **options):
    with Run(out).working("train", {}, {}) as run:
        (gans,) = train_gans(
            run, [GanTraining(*heard, recipe)], progress=Progress(quiet=True), **options
        )
        return gans


@pytest.fixture(scope="module")
def one_by_one(heard, quick_recipe, tmp_path_factory):
    return trained(heard, quick_recipe, tmp_path_factory.mktemp("gans") / "alone", at_once=1)


def test_gans_in_one_program_are_as_one_after_another(heard, quick_recipe, one_by_one, tmp_path):
    together = trained(heard, quick_recipe, tmp_path / "together", at_once=3)
    assert [gan.label for gan in together] == ["drone", "march", "techno"]
    for one, other in zip(together, one_by_one, strict=True):
        assert one.folder.name == other.folder.name  # the same stage, however it was trained
        clips = [generate(load(gan.folder), 4, seed=0).audio for gan in (one, other)]
        np.testing.assert_allclose(*clips, atol=1e-4)


def test_two_trainings_on_the_same_tracks_have_one_gan(heard, quick_recipe, tmp_path):
    recipe = replace(quick_recipe, conditional=True)
    twice = [GanTraining(*heard, recipe)] * 2
    with Run(tmp_path / "run").working("train", {}, {}) as run:
        assert [count for _, count in unfinished(run, twice)] == [1, 0]
        (one,), (other,) = train_gans(run, twice, progress=Progress(quiet=True))
        assert one.folder == other.folder
        assert [count for _, count in unfinished(run, twice)] == [0, 0]
    assert len(list((tmp_path / "run" / "stages").iterdir())) == 1


def test_how_often_it_is_saved_is_no_other_gan(heard, quick_recipe, one_by_one):
    """A finished GAN stays, whatever its cadence; other steps or data make another."""
    out = one_by_one[0].folder.parent.parent
    before = {gan.folder: gan.folder.stat().st_mtime_ns for gan in one_by_one}
    cadence = replace(quick_recipe.gan_train, log_every=2, checkpoint_every=1, keep_checkpoints=5)
    again = trained(heard, replace(quick_recipe, gan_train=cadence), out)
    assert {gan.folder: gan.folder.stat().st_mtime_ns for gan in again} == before


def test_what_is_watched(heard, quick_recipe, tmp_path, monkeypatch):
    """Sample metrics, previews beside real clips of each class, the judge's eyes, event files."""
    monkeypatch.setattr(judge, "CLIPS", 128)
    monkeypatch.setattr(judge, "FIT", replace(judge.FIT, epochs=1))
    settings = replace(quick_recipe.gan_train, inspect_every=2, batch_size=4)
    recipe = replace(quick_recipe, gan_train=settings, conditional=True)
    watching = Watching(quality=32, judge=True, tensorboard=True)
    (gan,) = trained(heard, recipe, tmp_path / "run", watching=watching)
    inspected = [row for row in gan.curves() if "quality/kernel_distance" in row]
    assert [row["gan/step"] for row in inspected] == [2, 3]
    assert {"quality/inception_score", "quality/different_bins", "quality/memorised"} <= set(
        inspected[0]
    )
    previews = {file.name for file in (gan.folder / "previews").glob("*.flac")}
    assert previews == {"real.flac", "step-00000002.flac", "step-00000003.flac"}
    assert list((gan.folder / "tensorboard").iterdir())
    assert gan.generator("best")[1] in (2, 3)


def test_more_steps_train_on(heard, quick_recipe, one_by_one, tmp_path):
    """As many steps at once end the same; what there was is not left behind."""
    longer = replace(quick_recipe, gan_train=replace(quick_recipe.gan_train, steps=5))
    shutil.copytree(one_by_one[0].folder.parent.parent, tmp_path / "run")
    on = trained(heard, longer, tmp_path / "run")
    whole = trained(heard, longer, tmp_path / "whole")
    assert len(list((tmp_path / "run" / "stages").glob("gan-*"))) == 3
    for one, other in zip(on, whole, strict=True):
        assert one.folder.name == other.folder.name
        assert [row["gan/step"] for row in one.curves()] == [1, 2, 3, 4, 5]
        clips = [generate(load(gan.folder), 4, seed=0).audio for gan in (one, other)]
        np.testing.assert_array_equal(*clips)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"at_once": 0}, "at_once must be at least 1, found 0"),
        ({"seeds": 0}, "seeds must lie in 1 … 10,000, found 0"),
        ({"quality": -1}, "--quality must be 0 or more clips, found -1"),
    ],
)
def test_counts_that_are_too_small(quick_recipe, change, said):
    with pytest.raises(ValueError, match=said):
        TrainGansConfig(quick_recipe, **change)


def test_gans_that_stand_at_other_steps_are_trained_alone(heard, quick_recipe, tmp_path):
    """As one that failed before stands: with it, those that have just begun could not go on."""
    recipe = replace(quick_recipe, gan_train=replace(quick_recipe.gan_train, steps=6))
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return asked == 11  # at step 5 of the second GAN

    with pytest.raises(TrainingInterrupted):
        trained(heard, recipe, tmp_path / "run", at_once=1, should_stop=stop)
    gans = trained(heard, recipe, tmp_path / "run", at_once=2)  # of the second and the third
    whole = trained(heard, recipe, tmp_path / "whole", at_once=1)
    for one, other in zip(gans, whole, strict=True):
        clips = [generate(load(gan.folder), 4, seed=0).audio for gan in (one, other)]
        np.testing.assert_array_equal(*clips)


def test_a_failure_that_nobody_keeps_going_after_ends_the_training(heard, quick_recipe, tmp_path):
    recipe = replace(quick_recipe, gan_train=replace(quick_recipe.gan_train, learning_rate=1e38))
    with pytest.raises(TrainingDiverged, match="the GAN of drone: "):
        trained(heard, recipe, tmp_path / "run", at_once=1)


def test_gans_that_start_from_one_that_failed_fail_too(heard, quick_recipe, tmp_path):
    settings = replace(quick_recipe.gan_train, learning_rate=1e38)
    recipe = replace(quick_recipe, gan_train=settings, shared_steps=3)
    gans = trained(heard, recipe, tmp_path / "run", keep_going=True)
    assert [gan.label for gan in gans] == ["drone", "march", "techno"]
    assert gans[1].failed.startswith("the GAN of march starts from one that failed: the GAN of all")
    with pytest.raises(TrainingDiverged, match="starts from one that failed"):
        gan_of(gans, "techno", 0)
