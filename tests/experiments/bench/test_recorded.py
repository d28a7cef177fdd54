"""What is kept of a study says what its run said, and nothing of the machine's folders."""

from dataclasses import replace

import pytest

from experiments.bench.recorded import TABLES, main, record
from experiments.commands.compare import compare
from features.storage import read_json


def test_tables_and_what_the_verdict_rests_on_are_kept(small_config, render, tmp_path):
    run, out = tmp_path / "run", tmp_path / "kept" / "study"
    arms = ("real", "real+oversampled")
    music = render(tmp_path / "music", tracks=5, seconds=2.1)
    data = replace(small_config.data, root=str(music))
    recipe = replace(small_config.recipe, num_samples=4096)
    config = replace(
        small_config, recipe=recipe, data=data, arms=arms, steps=4, quality=0, beside="floor"
    )
    command = f"wavegan compare --data {music} --seeds 2 --out {run}"
    results = compare(config, run, command=command)
    record(run, out, note="on a busy machine")
    assert all((out / name).read_bytes() == (run / name).read_bytes() for name in TABLES)
    kept = read_json(out / "about.json", "")
    assert kept["command"] == "wavegan compare --data music --seeds 2"
    assert kept["note"] == "on a busy machine"
    assert str(tmp_path) not in (out / "about.json").read_text()
    assert kept["question"]["mean"] == pytest.approx(results["differences"][0]["mean"], rel=1e-4)
    assert kept["beside"]["recipe"] == "floor"
    assert kept["agreement"] == results["agreement"]
    assert kept["budgets"] == {results["amount"]: results["budget"]}


def test_what_is_not_finished_is_refused(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["recorded", str(tmp_path), str(tmp_path / "out")])
    with pytest.raises(SystemExit):
        main()
    assert "has no results.json, table.md, runs.csv" in capsys.readouterr().err
