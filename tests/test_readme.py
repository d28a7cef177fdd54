"""What the README says to run does run."""

import re
from pathlib import Path

from experiments.cli import parsed
from experiments.recipes import RECIPES

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def test_the_api_example_runs(tmp_path, monkeypatch):
    (example,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert len([line for line in example.splitlines() if line.strip()]) <= 15
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(compile(example, "README.md", "exec"), names)
    assert 0 <= names["report"].accuracy <= 1
    assert (tmp_path / "techno.wav").stat().st_size > 44


def test_every_command_is_one_the_parser_takes():
    commands = re.findall(r"^wavegan ((?:[^\n\\]|\\\n)+)$", README, flags=re.MULTILINE)
    assert len(commands) >= 5
    for command in commands:
        arguments = command.replace("\\\n", " ").split("#")[0].split()
        assert parsed(arguments).values.get("recipe", "demo") in {*RECIPES, "all"}


def test_every_recipe_is_named():
    for name in RECIPES:
        assert f"`{name}`" in README
