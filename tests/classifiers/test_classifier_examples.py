"""The examples of classifiers/README.md run; its commands parse."""

import re
from pathlib import Path

import pytest
from page_examples import ExamplePage

from classifiers import architectures

PAGE = ExamplePage(Path(__file__).parents[2] / "classifiers" / "README.md")


def test_the_examples_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WAVEGAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(architectures, "_NETWORKS", dict(architectures._NETWORKS))
    names = PAGE.run()
    assert set(names["found"].labels) == set(names["train"].label_names)
    assert names["probabilities"].shape == (len(names["test"]), 6)
    assert names["about"] == {"labels": list(names["train"].label_names)}
    assert names["embedded"].shape == (len(names["test"]), 64)
    assert names["best"].predict_proba(names["paths"]).shape == (24, 6)
    assert list(names["other"].classes_) == ["other", "slow"]
    assert [history.num_steps > 0 for history in names["histories"]] == [True, True]


@pytest.mark.parametrize("command", PAGE.commands)
def test_commands_parse(command):
    assert callable(PAGE.parse(command).command.run)


def test_every_command_is_seen():
    assert len(PAGE.commands) == len(re.findall(r"^wavegan ", PAGE.text, flags=re.MULTILINE))
    used = {command.split()[0] for command in PAGE.commands}
    assert used >= {"classify", "predict", "recipes", "search", "compare"}
