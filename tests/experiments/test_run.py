import json
import os
import subprocess
import sys

import pytest

import experiments.run
from experiments.commands.doctor import check_run
from experiments.run import Run
from experiments.stages.gans import open_gan
from wavegan.environment import environment


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


@pytest.mark.parametrize(
    "link", [".lock", "config.json", "metrics.jsonl", "stages", "stages/s-1.part", "stages/a/b"]
)
def test_nothing_is_written_where_a_link_leads_out_of_the_folder(tmp_path, link):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("precious")
    path = tmp_path / "run" / link
    path.parent.mkdir(parents=True)
    for target in ("mine", "mine/file", "new"):
        path.symlink_to(tmp_path / target)
        with (
            pytest.raises(ValueError, match=f"{link} is a link that leads out of .*{target}"),
            Run(tmp_path / "run").working("train", {}, {}),
        ):
            pass
        path.unlink()
    assert sorted(tmp_path.rglob("*")) == sorted(
        [tmp_path / "mine", tmp_path / "mine/file", *path.parents[: -len(tmp_path.parents) - 1]]
    )
    assert (tmp_path / "mine" / "file").read_text() == "precious"


def test_a_link_that_stays_in_the_folder_is_like_any_file(tmp_path):
    (tmp_path / "stages").mkdir()
    (tmp_path / "stages" / "newest").symlink_to("../stages")
    with Run(tmp_path).working("train", {}, {}):
        pass


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
        pytest.raises(
            ValueError, match=rf"in use by another process, number {os.getpid()} on \S+:"
        ),
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


def make(folder):
    (folder / "below").mkdir()
    (folder / "below" / "value").write_text("1")


@pytest.mark.parametrize(
    ("file", "change", "problem"),
    [
        ("below/value", lambda file: file.write_text("2"), "changed"),
        ("below/value", lambda file: file.unlink(), "missing"),
        ("stage.json", lambda file: file.unlink(), "missing"),
        ("stage.json", lambda file: file.write_text("[" * 100_000), "damaged"),
        ("stage.json", lambda file: file.write_text("[1]"), "damaged"),
        (
            "stage.json",
            lambda file: file.write_text(file.read_text().replace(": 77", ": 78")),
            "changed",
        ),
    ],
)
def test_a_stage_that_is_not_what_was_written_is_refused(tmp_path, file, change, problem):
    folder = Run(tmp_path).stage("s", {"x": {"y": 77}}, make)
    text = (folder / "stage.json").read_text()
    (folder / "stage.json").write_text(text)  # written again, the same
    assert Run(tmp_path).stage("s", {"x": {"y": 77}}, make) == folder
    change(folder / file)
    with pytest.raises(ValueError, match=f"{file} is {problem} .*: delete the folder .* again"):
        Run(tmp_path).stage("s", {"x": {"y": 77}}, make)


def test_a_stage_without_hashes_is_of_an_earlier_version_and_read(tmp_path):
    folder = Run(tmp_path).stage("s", {"x": 1}, make)
    said = json.loads((folder / "stage.json").read_text())
    del said["files"]
    (folder / "stage.json").write_text(json.dumps(said))
    assert Run(tmp_path).stage("s", {"x": 1}, make) == folder
    (folder / "stage.json").write_text(json.dumps(said | {"inputs": {"x": 2}}))
    with pytest.raises(ValueError, match=r"stage\.json is changed"):
        Run(tmp_path).stage("s", {"x": 1}, make)


def test_what_other_code_made_is_no_part_of_a_result(tmp_path, monkeypatch):
    """It is left where it is and made anew; a changed text of the code in a stage is named."""
    with Run(tmp_path).working("compare", {}, {}) as run:
        folder = run.stage("s", {"x": 1}, make)
    assert not Run(tmp_path).of_other_code
    monkeypatch.setattr(experiments.run, "code", lambda: "another")
    assert Run(tmp_path).of_other_code
    other = Run(tmp_path).stage("s", {"x": 1}, make)
    assert other != folder
    assert folder.exists()
    said = json.loads((other / "stage.json").read_text())
    (other / "stage.json").write_text(json.dumps(said | {"code": "a third"}))
    with pytest.raises(ValueError, match=r"stage\.json is changed"):
        Run(tmp_path).stage("s", {"x": 1}, make)


@pytest.mark.parametrize("name", [".config-a1b2c3d4.json", ".config-a1b2c3d4.part.json"])
def test_a_kill_before_the_first_configuration_blocks_no_folder(tmp_path, name):
    (tmp_path / "stages").mkdir()
    (tmp_path / ".lock").touch()
    (tmp_path / name).write_text("{")
    with Run(tmp_path).working("train", {}, {}):
        assert not (tmp_path / name).exists()
    with Run(tmp_path).working("train", {}, {}):
        pass


def test_a_killed_writer_leaves_what_the_next_start_removes(tmp_path):
    code = (
        "import os, sys\nfrom features.storage import replacing\n"
        "with replacing(sys.argv[1]): os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "config.json"], check=False)
    assert done.returncode == -9
    assert len(list(tmp_path.iterdir())) == 1
    with Run(tmp_path).working("train", {}, {}):
        found = {path.name for path in tmp_path.iterdir()}
    assert found == {".lock", "config.json", "environment.json", "hashes.json", "stages"}


def test_a_start_removes_what_killed_writers_left_anywhere_in_the_run(tmp_path):
    left = tmp_path / "stages" / "s-1.part" / ".probabilities-a1b2c3d4.part.npy"
    left.parent.mkdir(parents=True)
    left.write_text("half")
    with Run(tmp_path).working("train", {}, {}):
        assert not left.exists()


@pytest.mark.parametrize("content", ["{}", "[]", '{"format": 2}', '{"format": 2, "command": 1}'])
def test_a_configuration_that_lacks_something_is_damaged(tmp_path, content):
    with Run(tmp_path).working("train", {}, {}):
        pass
    (tmp_path / "config.json").write_text(content)
    with (
        pytest.raises(ValueError, match=r"config\.json is damaged, .*: .*another folder"),
        Run(tmp_path).working("train", {}, {}),
    ):
        pass
    with pytest.raises(ValueError, match=r"config\.json is damaged"):
        check_run(tmp_path)


def test_a_gan_of_another_configuration_is_named(tmp_path):
    """Also where no hash tells, in a stage of an earlier version."""
    inputs = {"wavegan": {"dim": 2}, "train": {"steps": 3}, "provenance": {"tracks": {"a": "0f"}}}
    config = inputs | {"train": {"steps": 3, "log_every": 1}, "audio": "1e"}

    def build(folder):
        (folder / "config.json").write_text(json.dumps(config))

    folder = Run(tmp_path).stage("gan-a-0", inputs, build)
    kept = json.loads((folder / "stage.json").read_text())
    for stage in (kept, {name: kept[name] for name in ("stage", "inputs", "code")}):
        (folder / "stage.json").write_text(json.dumps(stage))
        (folder / "config.json").write_text(json.dumps(config))
        assert Run(tmp_path).stage("gan-a-0", inputs, build) == folder
        for part, value in (
            ("wavegan", {"dim": 3}),
            ("train", {"steps": 4}),
            ("provenance", {"tracks": {}}),
            ("provenance", {"tracks": {"a": "0f", "b": "1e"}}),
        ):
            (folder / "config.json").write_text(json.dumps(config | {part: value}))
            with pytest.raises(ValueError, match=r"config\.json is changed"):
                open_gan(folder)


def test_doctor_tells_what_of_a_run_is_missing_changed_or_left_over(tmp_path):
    with Run(tmp_path).working("compare", {}, {}) as run:
        folder = run.stage("s", {}, make)
        (tmp_path / "results.json").write_text("{}")
        for name in ("report.html", "runs.csv", "differences.csv", "table.md", "table.tex"):
            (tmp_path / name).write_text("")
        (tmp_path / "notes.md").write_text("a user's own")
    (tmp_path / "notes.md").write_text("and changed")
    lines, sound = check_run(tmp_path)
    assert sound
    assert lines == [f"{tmp_path}: a run of `wavegan compare`, all is as it was written"]
    kept = folder.rename(tmp_path / "kept")
    lines, sound = check_run(tmp_path)
    assert (lines[0], sound) == (f"missing: {folder}", False)
    kept.rename(folder)
    (tmp_path / "runs.csv").write_text("edited")
    (tmp_path / "out").symlink_to("/etc")
    lines, sound = check_run(tmp_path)
    assert not sound
    assert lines[0] == f"changed: {tmp_path}/runs.csv"
    assert lines[1].startswith(f"a link: {tmp_path}/out is a link that leads out of")
    (tmp_path / "out").unlink()
    (folder / "below" / "value").write_text("2")
    (folder / "more").write_text("2")
    (tmp_path / "report.html").unlink()
    (tmp_path / "hashes.json").unlink()
    (tmp_path / "table.md").unlink()
    (tmp_path / "stages" / "empty").mkdir()
    (tmp_path / "stages" / "e\x1b[31mx\ny").mkdir()
    (tmp_path / "gans.json").write_text('["gan-a-0-0123456789ab"]')
    (tmp_path / "stages" / "t-0123456789ab.part").mkdir()
    (tmp_path / "stages" / ".x-a1b2c3d4.part").touch()
    lines, sound = check_run(tmp_path)
    assert not sound
    found = {line.split(": ")[0]: line for line in lines}
    assert set(found) == {"changed", "left over", "missing", "unfinished", str(tmp_path)}
    said = "\n".join(lines)
    for name in ("value", "more", "report.html", "gan-a-0-", "t-0123456789ab.part", ".x-a1b2c3d4",
                 "hashes.json", "table.md", "stages/empty", "stages/e\\x1b[31mx\\ny"):  # fmt: skip
        assert name in said
    with pytest.raises(ValueError, match="no such folder"):
        check_run(tmp_path / "none")


def test_doctor_believes_no_hashes_that_say_nothing(tmp_path):
    with Run(tmp_path).working("search", {}, {}) as run:
        run.write_json("search.json", {})
    assert check_run(tmp_path)[1]
    (tmp_path / "hashes.json").write_text("{}")
    *lines, _ = check_run(tmp_path)[0]
    assert lines == [f"unknown: {tmp_path}/{name}.json, of which hashes.json says nothing"
                     for name in ("config", "search")]  # fmt: skip


def test_doctor_goes_through_the_runs_of_several_recipes(tmp_path):
    for name in ("net5", "net6"):
        with Run(tmp_path / name).working("classify", {}, {}):
            (tmp_path / name / "results.json").write_text("{}")
            (tmp_path / name / "report.html").write_text("")
            (tmp_path / name / "tracks.csv").write_text("")
    lines, sound = check_run(tmp_path)
    assert sound
    assert [line.split(":")[0] for line in lines] == [f"{tmp_path}/net5", f"{tmp_path}/net6"]
    (tmp_path / "net5" / "report.html").unlink()
    lines, sound = check_run(tmp_path)
    assert not sound
    assert lines[0] == f"missing: {tmp_path}/net5/report.html"


def test_what_is_finished_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    synced, sync = [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda handle: (synced.append(os.fstat(handle)), sync(handle)))
    folder = Run(tmp_path).stage("s", {}, make)
    inodes = {stat.st_ino for stat in synced}
    assert {path.stat().st_ino for path in folder.rglob("*")} <= inodes
    assert {folder.stat().st_ino, folder.parent.stat().st_ino} <= inodes
