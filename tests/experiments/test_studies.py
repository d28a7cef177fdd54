"""The studies that come with the package: what they are, and what makes them others."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from flax import nnx
from small_classifiers import SMALL

from classifiers import create
from classifiers.layers import BatchNorm
from experiments.cli import main, parsed
from experiments.options import OptionError
from experiments.recipes import RECIPES, VARIANTS, looked_at
from experiments.report.checks import checks
from experiments.studies import STUDIES, about

RECORDED = Path(__file__).parents[2] / "experiments" / "bench" / "results"


def config(*arguments):
    return parsed(["compare", *map(str, arguments)]).config()


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_is_what_its_file_says_and_leaves_open_where_and_by_whom(name, tmp_path):
    study = config("--preset", name)
    assert (study.preset, study.changed) == (name, ())
    elsewhere = config(
        "--preset",
        name,
        "--data",
        tmp_path,
        "--executor",
        "local",
        "--workers",
        2,
        "--beside",
        "net1",
    )
    assert elsewhere.changed == ()
    assert about(name)
    assert "#" not in about(name)


@pytest.mark.parametrize("name", ["embedded-control", "fsdd-speakers", "fsdd-speakers-fourfold"])
def test_studies_that_answer_have_folds_draws_and_controls(name):
    study = config("--preset", name)
    assert (study.folds, study.draws, study.seeds, study.gan_seeds) == (6, 5, 5, 5)
    assert {"real+noise", "real+shuffled", "real+oracle"} <= {*study.arms}


def test_the_ladder_has_the_published_gans():
    """Of that project's notebook; its epochs depend on the data, and are counted in the command."""
    study = config("--preset", "published-net6")
    recipe = study.recipe
    assert (recipe.name, recipe.num_samples, recipe.fit.epochs) == ("net6", 16_384, 100)
    assert (recipe.gan.dim, recipe.gan.phase_shuffle, recipe.conditional) == (16, 0, False)
    train = recipe.gan_train
    assert (train.loss, train.learning_rate, train.critic_steps) == ("dcgan", 1e-4, 1)
    assert (train.batch_size, train.slices) == (32, "grid")


def test_the_published_gans_have_one_home_and_change_nothing_else():
    """The resolved settings are those by which the study was fixed, each in a line of its file."""
    study = config("--preset", "published-net6").recipe
    own = RECIPES["net6"]
    assert study.gan == replace(own.gan, dim=16, phase_shuffle=0)
    assert study.gan_train == replace(
        own.gan_train,
        loss="dcgan",
        learning_rate=1e-4,
        critic_steps=1,
        batch_size=32,
        slices="grid",
    )
    alone = parsed(["train", "--recipe", "net6", "--gan", "net6"]).config().recipe
    assert (alone.gan, alone.gan_train) == (study.gan, study.gan_train)
    told = " ".join(text for row in own.differences for text in row)
    for words in ("BCE", "one critic step", "batches of 32", "6,250 steps", "--gan net6"):
        assert words in told


def test_published_recipes_whose_batch_norm_departs_say_so():
    """Keras' running statistics are warmed up here, wherever a network has them."""
    warmed = set()
    for name, recipe in RECIPES.items():
        if recipe.published is None or recipe.architecture not in SMALL:
            continue
        shape, options = SMALL[recipe.architecture]
        framework = recipe.fit.framework
        model = create(
            recipe.architecture,
            input_shape=shape,
            num_classes=3,
            rngs=nnx.Rngs(0),
            framework=framework,
            **options,
        )
        layers = [layer for _, layer in nnx.iter_graph(model) if isinstance(layer, BatchNorm)]
        if any(layer.warm_up for layer in layers):
            warmed.add(name)
    rows = {
        name
        for name, recipe in RECIPES.items()
        if any(row[0] == "running statistics of batch norm" for row in recipe.differences)
    }
    assert warmed == rows == {"cnn2", "cnn_bilstm", "final_eff", "final_acc"}


def test_what_is_typed_beside_it_makes_it_another_and_the_page_says_so():
    other = config("--preset", "fsdd-speakers", "--seeds", 10, "--gan-loss", "dcgan")
    assert (other.seeds, other.recipe.gan_train.loss) == (10, "dcgan")
    assert other.changed == ("gan-loss", "seeds")
    told = checks({"config": {"preset": "fsdd-speakers", "changed": other.changed}})
    assert told == [("study", "fsdd-speakers, but with other gan-loss and seeds: another study")]
    told = checks({"config": {"preset": "fsdd-speakers", "changed": ()}})
    assert told == [("study", "fsdd-speakers, as it was fixed")]


def test_a_file_of_options_and_a_runs_configuration_are_held_against_it_too(tmp_path, capsys):
    file = tmp_path / "mine.yaml"
    file.write_text("preset: embedded-control\ndraws: 1\n")
    other = config("--config", file)
    assert (other.preset, other.changed, other.draws) == ("embedded-control", ("draws",), 1)
    with pytest.raises(SystemExit):
        main(["compare", "--preset", "embedded-control", "--seeds", "10", "--print-config"])
    file.write_text(capsys.readouterr().out)
    assert config("--config", file).changed == ("seeds",)


def test_an_unknown_study_is_refused_with_what_comes_near():
    with pytest.raises(OptionError, match="found fsdd-speaker: try fsdd-speakers"):
        config("--preset", "fsdd-speaker")


def test_the_speakers_had_no_say_in_how_their_gans_are_trained():
    """The study of music that was recorded before them recommends it by its validation tracks."""
    recommended = json.loads((RECORDED / "study-gtzan-mini-0.4.json").read_text())["recommended"]
    recipe, variant = config("--preset", "fsdd-speakers").recipe, VARIANTS[recommended]
    for part, said in ((recipe.gan, variant.gan), (recipe.gan_train, variant.train)):
        assert {name: getattr(part, name) for name in said} == dict(said)
    assert looked_at(recipe) == ("gtzan-mini",)
    demo = RECIPES["demo"]
    assert recipe.gan_train.steps == demo.gan_train.steps
    assert (recipe.fit, recipe.input, recipe.options) == (demo.fit, demo.input, demo.options)
