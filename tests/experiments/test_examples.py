"""The examples of experiments/README.md run, in order and in one session."""

import sys
from pathlib import Path

from page_examples import ExamplePage

PAGE = ExamplePage(Path(__file__).parents[2] / "experiments" / "README.md")


def test_the_examples_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "own", raising=False)
    names = PAGE.run()
    assert names["results"]["recipe"] == "mine"
    assert {d["arm"] for d in names["results"]["differences"]} >= {"real+again", "real+synthetic"}


def test_where_things_are_is_true():
    root = PAGE.path.parents[1]
    named = [part for line in PAGE.text.splitlines() if line.startswith("| ")
             for part in line.split("`")[1::2]]  # fmt: skip
    paths = [name for name in named if name.endswith((".py", ".html", ".toml"))]
    assert len(paths) > 15
    for path in paths:
        if "NAME" not in path:
            places = (root / path, PAGE.path.parent / path)
            assert any(place.exists() for place in places), path
