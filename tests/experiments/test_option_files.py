"""Files of options: YAML, TOML, a run's configuration; what is printed as one."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from experiments import RECIPES, CompareConfig
from experiments.cli import main, parsed
from experiments.config import as_dict
from experiments.options import OptionError
from features.storage import write_json


def refused(*arguments: str) -> str:
    with pytest.raises(OptionError) as error:
        parsed(arguments).config()
    return str(error.value)


def test_files_of_options_and_what_is_typed(tmp_path):
    yaml, toml = tmp_path / "a.yaml", tmp_path / "a.toml"
    yaml.write_text(
        "recipe: net6\nseeds: 2\narms: [real, real+synthetic]\ngan_dim: 16\nconditional: true\n"
        "fractions: [0.5, 0.25, 0.25]\ngan-learning-rate: 4e-4\nat-once: null\nout: runs/mine\n"
    )
    toml.write_text(
        'recipe = "net6"\nseeds = 2\narms = ["real", "real+synthetic"]\ngan-dim = 16\n'
        'conditional = true\nfractions = "0.5,0.25,0.25"\ngan-learning-rate = 4e-4\n'
        'out = "runs/mine"\n'
    )
    calls = [parsed(["compare", "--config", str(file), "--seeds", "5"]) for file in (yaml, toml)]
    assert calls[0].config() == calls[1].config()
    config = calls[0].config()
    assert (config.recipe.name, config.seeds) == ("net6", 5)
    assert config.arms == ("real", "real+synthetic")
    assert (config.recipe.gan.dim, config.recipe.gan_train.learning_rate) == (16, 4e-4)
    assert config.recipe.conditional
    assert str(calls[0].values["out"]) == "runs/mine"
    call = parsed(["compare", "--config", str(yaml), "--recipe", "demo", "--no-conditional"])
    assert (call.config().recipe.name, call.config().recipe.conditional) == ("demo", False)


@pytest.mark.parametrize(("name", "line"), [("a.yaml", "seeds: 3"), ("a.toml", "seeds = 3")])
def test_the_mark_that_some_editors_put_before_a_text_is_no_option(name, line, tmp_path):
    (tmp_path / name).write_text(line, encoding="utf-8-sig")
    assert parsed(["compare", "--config", str(tmp_path / name)]).config().seeds == 3


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("sedds: 3\n", "there is no option sedds: try seeds"),
        ("gan-loss: wgan-pg\n", "--gan-loss takes"),
        ("seeds: many\n", "--seeds takes a whole number; found many"),
        ("seeds: [1, 2]\n", "--seeds takes a whole number; found 1,2"),
        ("- seeds\n", "write each as a line `name: value`"),
        ("", "write each as a line `name: value`"),
        ("seeds: [3\n", "mine.yaml: while parsing"),
        ("a: &a [1]\nseeds: *a\n", "mine.yaml: it has an alias"),
        ("seeds: 1\ndata: x\nseeds: 2\n", "mine.yaml: it has seeds twice"),
        ("[" * 100_000, "mine.yaml: it has 100000 opening brackets, more than 1000"),
        ('["]", ' * 2000, "mine.yaml: it has 2000 opening brackets, more than 1000"),
        ("dry-run: true\n", "there is no option dry-run"),
    ],
)
def test_a_file_that_can_not_be_used_is_named(content, expected, tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(content)
    said = refused("compare", "--config", str(file))
    assert str(file) in said
    assert expected in said
    assert "\n" not in said


def test_other_files_that_can_not_be_used(tmp_path):
    assert "no.yaml: No such file" in refused("compare", "--config", str(tmp_path / "no.yaml"))
    file = tmp_path / "mine.toml"
    file.write_text("seeds: 3\n")
    assert "mine.toml: Expected '='" in refused("compare", "--config", str(file))
    os.mkfifo(tmp_path / "pipe.yaml")
    for endless in (tmp_path / "pipe.yaml", Path("/dev/zero")):
        assert "is a pipe or a device" in refused("compare", "--config", str(endless))
    file.write_bytes(b"\xff\xfe\x00")
    assert "mine.toml" in refused("compare", "--config", str(file))
    file.write_text('run = "runs/a"\n')
    assert "there is no option run" in refused("generate", "r", "--config", str(file))


@pytest.mark.parametrize(
    "line",
    [
        "compare --recipe net6 --gan small-data --arms real,real+synthetic --fractions .5,.2,.3",
        "train --gan-augment gain,noise --gan-learning-rate none --quality 0",
        "classify --recipe mel_tempo_rnn --fit-steps 9 --fit-class-weights 1,2 --silence frames",
        "classify --recipe demo --split chunk,track --fit-class-weights balanced",
        "search --trials 3 --fit-epochs 2",
        "study --variants reference,pairs --out here",
        "generate run --step best --latents a.npy --count 3",
    ],
)
def test_printed_options_make_the_same_configuration(line, tmp_path, capsys):
    call = parsed(line.split())
    with pytest.raises(SystemExit):
        main([*line.split(), "--print-config"])
    file = tmp_path / "all.yaml"
    file.write_text(capsys.readouterr().out)
    places = [word for word in line.split()[1:2] if word == "run"]
    assert parsed([call.name, *places, "--config", str(file)]).config() == call.config()


def test_a_run_is_repeated_from_its_configuration(tmp_path):
    line = ["--recipe", "net6", "--gan", "small-data", "--steps", "7", "--gan-dim", "3"]
    config = parsed(["compare", *line]).config()
    file = tmp_path / "config.json"
    write_json(file, {"format": 2, "command": "compare", "fixed": {}, **as_dict(config)})
    assert parsed(["compare", "--config", str(file)]).config() == config
    changed_one = replace(
        config, recipe=replace(config.recipe, gan=replace(config.recipe.gan, dim=9))
    )
    assert parsed(["compare", "--config", str(file), "--gan-dim", "9"]).config() == changed_one
    assert "is of a run of `wavegan compare`" in refused("train", "--config", str(file))


def test_a_run_that_no_options_make_is_refused(tmp_path):
    recipe = replace(RECIPES["demo"], options={"lstm_sizes": (8, 8)}, note="other words")
    file = tmp_path / "config.json"
    write_json(file, {"command": "compare", "fixed": {}, **as_dict(CompareConfig(recipe))})
    assert "options of its recipe" in refused("compare", "--config", str(file))


def test_a_preset_that_is_typed_wins_over_a_file(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text("gan-loss: lsgan\ngan-critic-steps: 3\n")
    line = ["train", "--config", str(file), "--gan", "reference"]
    train = parsed(line).config().recipe.gan_train
    assert (train.loss, train.critic_steps) == ("wgan-gp", 5)
