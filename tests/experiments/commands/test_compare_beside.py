"""A comparison with a second classifier on the same clips and GANs."""

import csv
import shutil
from dataclasses import replace

import pytest
from compared import timeless

from experiments.commands.compare import compare
from experiments.recipes import RECIPES
from experiments.report import printed
from experiments.report.terminal import Progress
from experiments.stages import cells
from experiments.stages.cells import open_cells


@pytest.fixture(scope="module")
def config(small_config, render, tmp_path_factory):
    eight = render(tmp_path_factory.mktemp("eight"), tracks=8, seconds=2.1)
    data = replace(small_config.data, root=str(eight), fractions=(0.4, 0.3, 0.3))
    recipe = replace(small_config.recipe, num_samples=4096, conditional=True)
    arms = ("real", "real+oracle", "real+synthetic")
    return replace(
        small_config, recipe=recipe, data=data, arms=arms, shots=(1, 2), steps=4, quality=0
    )


@pytest.fixture(scope="module")
def alone(config, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "alone"
    return out, compare(config, out)


@pytest.fixture(scope="module")
def both(alone, config, tmp_path_factory):
    """The same run, gone on with another classifier: folder and results."""
    shutil.copytree(alone[0], out := tmp_path_factory.mktemp("runs") / "both")
    return out, compare(replace(config, beside="floor"), out)


def test_it_goes_on_in_the_folder_and_changes_nothing_of_the_first(alone, both):
    out, results = both
    after, before = timeless(results), timeless(alone[1])
    assert {name for name in after if after[name] != before.get(name)} == {
        "config",
        "beside",
        "agreement",
    }
    new = {f.name for f in (out / "stages").iterdir()}
    new -= {f.name for f in (alone[0] / "stages").iterdir()}
    assert new
    assert all(name.startswith("classifier-track-") for name in new)


def test_the_second_has_the_same_test_clips_and_its_own_answer(both):
    _, results = both
    second = results["beside"]
    assert second["recipe"] == "floor"
    assert second["arms"].keys() == results["arms"].keys()
    for name, arm in second["arms"].items():
        for own, other in zip(arm["runs"], results["arms"][name]["runs"], strict=True):
            assert [sum(row) for row in own["confusion"]] == [
                sum(row) for row in other["confusion"]
            ]
            assert own["train_clips"] == other["train_clips"]
            assert own["classifier"] != other["classifier"]
    assert len(second["amounts"]) == 1
    assert results["agreement"]["of"] == 2  # the oracle and the GAN's clips, against real


def test_the_oracle_is_a_check_with_either(both, capsys):
    out, results = both
    for of in (results, results["beside"]):
        checks = [row for row in of["differences"] if row["positive_control"]]
        assert [(row["arm"], row["against"], row["metric"]) for row in checks] == [
            ("real+oracle", "real", "track_accuracy")
        ]
        (control,) = of["controls"]
        assert (control["arm"], control["verdict"]) == ("real+oracle", checks[0]["verdict"])
        assert (control["wrong"] is None) == (checks[0]["verdict"] == "benefit")
        assert not any(
            row["positive_control"] for part in of["amounts"] for row in part["differences"]
        )
    second = results["beside"]["controls"][0]["wrong"] or ""
    printed.compare(results, out)
    assert (f"{second} with floor" in capsys.readouterr().out) == bool(second)


def test_workers_come_to_the_same(both, config, tmp_path):
    shared = replace(config, beside="floor", executor="local", workers=1)
    assert timeless(compare(shared, tmp_path / "run")) == timeless(both[1])


def test_page_tables_and_terminal_tell_of_both(both, capsys):
    out, results = both
    said = results["agreement"]["said"]
    page = (out / "report.html").read_text()
    assert page.count(said[0].upper() + said[1:]) == 2  # in the head and in its section
    with (out / "differences.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {(row["recipe"], row["amount"]) for row in rows} == {
        (recipe, amount)
        for recipe in ("small", "floor")
        for amount in (results["amount"], results["amounts"][0]["amount"])
    }
    assert "Arms, of floor, of" in (out / "table.md").read_text(encoding="utf-8")
    printed.compare(results, out)
    told = capsys.readouterr().out
    assert f"arm, floor, {results['amount']}" in told
    assert said in told


def test_a_sealed_one_says_what_both_say_of_the_validation_tracks(both, config, capsys):
    out, _ = both
    found = compare(replace(config, beside="floor", sealed=True), out)
    assert [found["recipe"], found["beside"]["recipe"]] == ["small", "floor"]
    assert found["beside"]["validation"].keys() == {*config.arms}
    printed.compare(found, out)
    assert "arm, floor, " in capsys.readouterr().out


def test_the_clips_are_the_first_ones(config):
    first, second = replace(config, beside="net1").recipes
    assert second.input == RECIPES["net1"].input
    assert (second.sample_rate, second.num_samples) == (first.sample_rate, first.num_samples)
    assert second.gan_train == first.gan_train
    assert second.fit.restore_best


def test_the_clips_are_cut_alike_and_no_search_of_the_second_saw_a_test_track(config, monkeypatch):
    padded = replace(config, data=replace(config.data, pad_short=True), beside="floor")
    opened = open_cells(padded, Progress(quiet=True))
    first, second = opened.recipes
    assert second.gan_train == first.gan_train
    assert second.gan_train.pad_end
    assert second.per_track is None
    seen = []

    def refuse(recipe, *_):
        seen.append(recipe.name)

    monkeypatch.setattr(cells, "refuse_searched", refuse)
    open_cells(replace(config, beside="floor"), Progress(quiet=True))
    assert {*seen} == {"small", "floor"}


def test_clips_that_do_not_fit_the_second_are_refused_before_any_work(config, tmp_path):
    short = replace(config, recipe=replace(config.recipe, num_samples=2048), beside="floor")
    with pytest.raises(ValueError, match=r"0.512 s does not fit the recipe floor.*take a smaller"):
        compare(short, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"beside": "demo2"},
            "--beside demo2 is no other recipe: give one of net1, .* tempo, demo",
        ),
        ({"beside": "probe"}, "probe starts from what was made elsewhere: give another --beside"),
        ({"beside": "floor", "tune": (0.5, 1.0)}, "floor is fitted at once"),
        (
            {"beside": "floor", "recipe": {"num_samples": 1024}},
            "at least 2048, a window of the fe.* of floor",
        ),
    ],
)
def test_what_can_not_stand_beside_is_refused(config, settings, said):
    if changes := settings.pop("recipe", None):
        settings = {**settings, "recipe": replace(config.recipe, **changes)}
    with pytest.raises(ValueError, match=said):
        replace(config, **settings)
