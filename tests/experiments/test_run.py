import json

import pytest

from experiments.run import Run, environment


def test_a_stage_is_built_once_and_again_for_other_inputs(tmp_path):
    run, built = Run(tmp_path), []

    def build(folder):
        built.append(folder)
        (folder / "value").write_text("1")

    first = run.stage("a stage/of 1", {"x": 1}, build)
    assert run.stage("a stage/of 1", {"x": 1}, build) == first
    assert run.stage("a stage/of 1", {"x": 2}, build) != first
    assert len(built) == 2
    assert (first / "value").read_text() == "1"
    assert json.loads((first / "stage.json").read_text())["inputs"] == {"x": 1}
    assert first.parent == tmp_path / "stages"


@pytest.mark.parametrize("name", ["../../x", "/x", "..", "a\\b", "a\nb", "Ü" * 250, "\udcff"])
def test_a_stage_of_any_name_is_a_folder_of_stages(tmp_path, name):
    folder = Run(tmp_path / "run").stage(name, {"label": name}, lambda folder: None)
    assert folder.parent == tmp_path / "run" / "stages"
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_taking_a_folder_empties_no_file_that_a_link_leads_to(tmp_path):
    (tmp_path / "mine").write_text("precious")
    (tmp_path / "run" / "stages").mkdir(parents=True)
    (tmp_path / "run" / ".lock").symlink_to(tmp_path / "mine")
    with Run(tmp_path / "run").working("train", {}, {}):
        pass
    assert (tmp_path / "mine").read_text() == "precious"


def test_a_stage_that_broke_off_goes_on_with_what_was_there(tmp_path):
    run = Run(tmp_path)

    def breaks(folder):
        (folder / "half").write_text("so far")
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        run.stage("s", {}, breaks)

    def resumes(folder):
        assert (folder / "half").read_text() == "so far"

    assert (run.stage("s", {}, resumes) / "half").exists()


def test_a_folder_keeps_its_data_and_takes_other_settings(tmp_path):
    with Run(tmp_path).working("train", {"steps": 1}, {"data": "abc"}):
        pass
    with Run(tmp_path).working("train", {"steps": 2}, {"data": "abc"}) as run:
        assert run.read_json("config.json")["steps"] == 2
    with (
        pytest.raises(ValueError, match=r"holds another run: data is abc there and xyz here"),
        Run(tmp_path).working("train", {"steps": 2}, {"data": "xyz"}),
    ):
        pass


def test_a_folder_belongs_to_one_command(tmp_path):
    with Run(tmp_path).working("compare", {}, {"data": "abc"}):
        pass
    with (
        pytest.raises(ValueError, match=r"a run of `wavegan compare`, and this is `wavegan train`"),
        Run(tmp_path).working("train", {}, {"data": "abc"}),
    ):
        pass
    assert Run(tmp_path).read_json("config.json")["command"] == "compare"


def test_a_run_of_another_version_is_refused_with_its_version(tmp_path):
    (tmp_path / "config.json").write_text('{"fixed": {"data": "abc"}}')
    (tmp_path / "environment.json").write_text('{"versions": {"wavegan": "0.1.7"}}')
    with (
        pytest.raises(ValueError, match=r"a run of wavegan 0\.1\.7.*choose another folder"),
        Run(tmp_path).working("train", {}, {"data": "abc"}),
    ):
        pass
    assert not (tmp_path / "stages").exists()


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with (
        pytest.raises(ValueError, match="holds files but no run"),
        Run(tmp_path).working("train", {}, {}),
    ):
        pass
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]


def test_two_at_once_are_refused(tmp_path):
    with (
        Run(tmp_path).working("train", {}, {}),
        pytest.raises(ValueError, match="in use by another process"),
        Run(tmp_path).working("train", {}, {}),
    ):
        pass


def test_damaged_and_missing_json(tmp_path):
    run = Run(tmp_path)
    with pytest.raises(ValueError, match=r"no finished run: it has no results\.json"):
        run.read_json("results.json")
    (tmp_path / "results.json").write_text("{")
    with pytest.raises(ValueError, match=r"results\.json is damaged"):
        run.read_json("results.json")


def test_environment_names_versions_and_hardware():
    found = environment()
    assert {"jax", "flax", "numpy"} <= found["versions"].keys()
    assert "core" in found["hardware"]
