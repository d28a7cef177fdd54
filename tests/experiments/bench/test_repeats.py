"""Studies of new music, at toy size: what is told of each control is counted."""

from dataclasses import replace

import pytest

from experiments.bench.repeats import FIRST, recipe, repeated, table
from features.storage import read_json, write_json


def test_each_repeat_has_music_of_its_own_and_is_done_once(tmp_path):
    file, own, said = tmp_path / "rows.json", recipe(), []
    small = {"recipe": replace(own, num_samples=8192), "arms": ("real", "real+oracle")}
    small |= {"shots": (2,), "folds": 2}
    small |= {"draws": 1, "gan_seeds": 1, "seeds": 1, "tracks_per_genre": 10, "seconds": 1.1}
    (first,) = repeated([FIRST], file, say=said.append, **small)
    assert [d["arm"] for d in first["differences"]] == ["real+oracle"]
    rows = repeated([FIRST, FIRST + 1], file, say=said.append, **small)
    assert rows == read_json(file, "", list)
    assert (rows[0], [row["seed"] for row in rows]) == (first, [FIRST, FIRST + 1])
    assert said == [f"repeat {FIRST}", f"repeat {FIRST + 1}"]
    means = [[d["mean"] for d in row["differences"]] for row in rows]
    assert means[0] != means[1]
    with pytest.raises(ValueError, match=r"changed\.tracks_per_genre is 10 there and None here"):
        repeated([FIRST], file)
    with pytest.raises(ValueError, match=r"repeat: changed\.seconds is 1\.1 there and 2\.2 here"):
        repeated([FIRST], file, **small | {"seconds": 2.2})
    # as 0.14 wrote them: options by their names alone
    write_json(file, [row | {"version": "0.14.0", "changed": ["arms"]} for row in rows])
    with pytest.raises(ValueError, match=r"rows\.json holds another .* version is 0\.14\.0 there"):
        repeated([FIRST], file, **small)


def test_the_table_counts_what_was_told():
    def row(oracle, noise):
        told = (("real+oracle", 0.1, oracle), ("real+noise", -0.02, noise))
        return {"differences": [{"arm": a, "mean": m, "verdict": v} for a, m, v in told]}

    rows = [row("benefit", "undecided"), row("benefit", "harm"), row("budget-limited", "undecided")]
    oracle, noise = table(rows)
    assert oracle == ("real+oracle", "+10.0", "+10.0 to +10.0", "2", "0", "0", "1")
    assert noise[3:] == ("0", "1", "0", "2")
