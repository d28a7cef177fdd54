"""The run folder, on real checkpoints: of a small tree here, of a run in `finished_run`."""

import json
import os
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wavegan import CheckpointError, load
from wavegan.run_folder import RunFolder


def state(value):
    return {
        "weights": {"kernel": np.full((3, 2), value, np.float32)},
        "step": np.asarray(value, np.int32),
    }


@pytest.fixture
def folder(tmp_path):
    """Checkpoints 1, 2 and 3, each holding its own number."""
    folder = RunFolder(tmp_path / "run")
    for step in (1, 2, 3):
        folder.save(step, state(step))
    return folder


def truncate(folder, step):
    """Cut the largest file of a checkpoint in half, as a full disk or a bad copy would."""
    files = (f for f in (folder.path / "checkpoints" / str(step)).rglob("*") if f.is_file())
    largest = max(files, key=lambda file: file.stat().st_size)
    largest.write_bytes(largest.read_bytes()[: largest.stat().st_size // 2])


def restored(folder, step=None):
    found, tree = folder.restore(state(0), step=step)
    jax.tree.map(np.testing.assert_array_equal, tree, state(found))
    return found


# Checkpoints


def test_what_killed_writers_left_goes_when_the_run_goes_on(folder):
    checkpoints = folder.path / "checkpoints"
    (checkpoints / "3.json").unlink()  # a kill came between the checkpoint and its digest
    (checkpoints / "4.orbax-checkpoint-tmp").mkdir()
    for left in (folder.path / ".best-a1b2c3d4.part.json", checkpoints / ".3-abcdefgh.part.json"):
        left.write_text("{")
    folder.write_config({"wavegan": {}})
    assert restored(folder) == 2
    assert {p.name for p in checkpoints.iterdir()} == {"1", "1.json", "2", "2.json"}
    assert not list(folder.path.rglob(".*part*"))


def test_the_newest_or_the_one_asked_for(folder):
    assert folder.steps() == [1, 2, 3]
    assert restored(folder) == 3
    assert restored(folder, step=1) == 1


def test_a_step_that_is_not_there(folder):
    with pytest.raises(CheckpointError, match=r"no checkpoint of step 7; there are \[1, 2, 3\]"):
        folder.restore(state(0), step=7)


def test_a_truncated_checkpoint_is_passed_over(folder):
    truncate(folder, 3)
    with pytest.warns(UserWarning, match=r"checkpoints/3 is damaged"):
        assert restored(folder) == 2


@pytest.mark.parametrize("damage", ["changed byte", "missing file", "extra file", "no folder"])
def test_any_other_damage_is_noticed(folder, damage):
    checkpoint = folder.path / "checkpoints/3"
    file = max((f for f in checkpoint.rglob("*") if f.is_file()), key=lambda f: f.stat().st_size)
    content = file.read_bytes()
    if damage == "changed byte":
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif damage == "missing file":
        file.unlink()
    elif damage == "extra file":
        (checkpoint / "more").write_bytes(b"")
    else:
        checkpoint.rename(folder.path / "elsewhere")
    with pytest.warns(UserWarning, match=r"checkpoints/3 is damaged"):
        assert restored(folder) == 2


@pytest.mark.parametrize("content", ["", '{"step": 3', "{}"])
def test_a_damaged_digest_is_damage_too(folder, content):
    (folder.path / "checkpoints/3.json").write_text(content)
    with pytest.warns(UserWarning, match=r"checkpoints/3 is damaged"):
        assert restored(folder) == 2


def test_a_full_disk_is_said_before_anything_is_written(folder):
    """The state is asked to be larger than any disk: an array's size without its memory."""
    huge = {"w": np.lib.stride_tricks.as_strided(np.zeros(1), (2**50,), (0,))}
    with pytest.raises(OSError, match=r"checkpoints/4 needs .* MB, .* are free: make room"):
        folder.save(4, huge)
    assert folder.steps() == [1, 2, 3]


def test_all_damaged(folder):
    for step in (1, 2, 3):
        truncate(folder, step)
    with (
        pytest.warns(UserWarning, match="is damaged"),
        pytest.raises(CheckpointError, match=r"no whole checkpoint, found steps \[1, 2, 3\]"),
    ):
        folder.restore(state(0))


def test_the_one_asked_for_is_damaged(folder):
    """No other one is read in its place, nor promised."""
    truncate(folder, 3)
    with pytest.raises(CheckpointError, match=r"checkpoints/3 is damaged"):
        folder.restore(state(0), step=3)


def test_a_half_written_checkpoint_is_no_checkpoint(folder):
    """A kill between the arrays and their digest, and one within the digest."""
    checkpoints = folder.path / "checkpoints"
    (checkpoints / "3.json").rename(checkpoints / ".3-x7f9.json")
    assert folder.steps() == [1, 2]
    assert restored(folder) == 2
    folder.save(3, state(3))
    assert restored(folder) == 3


def test_a_kill_while_the_arrays_are_written(folder):
    """What orbax leaves then: its temporary folder. The same step is written again."""
    checkpoints = folder.path / "checkpoints"
    (checkpoints / "3.json").unlink()
    (checkpoints / "3").rename(checkpoints / "3.orbax-checkpoint-tmp")
    assert restored(folder) == 2
    folder.save(3, state(3))
    assert restored(folder) == 3


def test_a_checkpoint_of_another_device(folder):
    """Trained where there are more devices than here, as with a GPU; read here."""
    script = (
        "import sys, jax, numpy as np; from wavegan.run_folder import RunFolder;"
        "state = {'weights': {'kernel': np.full((3, 2), 4, np.float32)}, 'step': np.array(4)};"
        "state = jax.device_put(state, jax.devices()[2]);"
        "RunFolder(sys.argv[1]).save(4, state)"
    )
    devices = "--xla_force_host_platform_device_count=3"
    flags = {"XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {devices}", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", script, str(folder.path)]
    subprocess.run(command, env=os.environ | flags, check=True, timeout=300)
    template = jax.eval_shape(lambda: jax.tree.map(jnp.asarray, state(0)))
    found, tree = folder.restore(template)
    assert found == 4
    jax.tree.map(np.testing.assert_array_equal, tree, state(4))


def test_the_newest_few_are_kept(folder):
    folder.save(10, state(10))
    folder.prune(10, keep=2)
    assert folder.steps() == [3, 10]
    names = sorted(file.name for file in (folder.path / "checkpoints").iterdir())
    assert names == ["10", "10.json", "3", "3.json"]


def test_the_best_stays_beside_the_newest(folder):
    assert folder.best_step() is None
    with pytest.raises(CheckpointError, match=r"has no best checkpoint: .* \[1, 2, 3\]"):
        folder.whole_step("best")
    folder.mark_best(1, "quality/kernel_distance", 0.5)
    folder.save(4, state(4))
    folder.prune(4, keep=1)
    assert folder.steps() == [1, 4]
    assert restored(folder, step="best") == 1
    folder.mark_best(4, "quality/kernel_distance", 0.4)
    folder.prune(4, keep=1)
    assert folder.steps() == [4]


def test_a_best_that_is_gone_is_none(folder):
    folder.mark_best(7, "quality/kernel_distance", 0.5)
    assert folder.best_step() is None
    (folder.path / "best.json").write_text("{")
    assert folder.best_step() is None


def test_one_an_hour_is_kept(folder):
    """Written at hours 0, 0.5, 1.2, 1.9 and 2.3: of these 0, 1.2 and 2.3, and the newest."""
    for step, hours in {1: 0.0, 2: 0.5, 3: 1.2, 4: 1.9, 5: 2.3, 6: 2.5}.items():
        folder.save(step, state(step))
        record = folder.path / "checkpoints" / f"{step}.json"
        content = json.loads(record.read_text())
        assert abs(content["saved"] - time.time()) < 60
        record.write_text(json.dumps(content | {"saved": 3600 * hours}))
    folder.prune(6, keep=1, hours=1.0)
    assert folder.steps() == [1, 3, 5, 6]


def test_a_damaged_newer_one_pushes_no_whole_one_out(folder):
    """After falling back to 1 the run goes on from there; 2 and 3 are of no use to anyone."""
    truncate(folder, 3)
    truncate(folder, 2)
    with pytest.warns(UserWarning, match="is damaged"):
        assert restored(folder) == 1
    folder.save(2, state(2))
    folder.prune(2, keep=1)
    assert restored(folder) == 2


def test_a_digest_covers_the_whole_state(finished_run, state_of):
    whole = state_of(finished_run)
    assert set(whole) >= {
        "generator",
        "critic",
        "ema",
        "generator_optimizer",
        "critic_optimizer",
        "step",
    }
    assert whole["step"] == 6


# Configuration


def test_the_configuration_is_kept_and_compared(tmp_path):
    folder = RunFolder(tmp_path / "run")
    parts = {"train": {"seed": 0, "steps": 5}, "provenance": {"tracks": ("a", "b")}}
    folder.write_config(parts)
    folder.write_config(parts)  # the same again, tuples and all
    assert folder.read_config()["provenance"]["tracks"] == ["a", "b"]
    other = {"train": {"seed": 1, "steps": 6}, "provenance": {"tracks": ("a",)}}
    with pytest.raises(ValueError, match="holds another run") as error:
        folder.write_config(other, extensible=("train.steps",))
    assert "train.seed is 0 there and 1 here" in str(error.value)
    assert "provenance.tracks" in str(error.value)
    assert "train.steps" not in str(error.value)
    folder.write_config({**parts, "train": {"seed": 0, "steps": 6}}, extensible=("train.steps",))
    assert folder.read_config()["train"]["steps"] == 6


def test_no_run_folder(tmp_path):
    with pytest.raises(ValueError, match=r"is no run folder of a GAN: it has no config\.json"):
        load(tmp_path)
    with pytest.raises(ValueError, match=r"missing.* is no run folder"):
        load(tmp_path / "missing")
    assert not (tmp_path / "missing").exists()


def test_a_file_is_no_run_folder(tmp_path):
    (tmp_path / "report.html").write_text("")
    with pytest.raises(ValueError, match=r"report\.html is no run folder .* no \.safetensors"):
        load(tmp_path / "report.html")


def test_a_path_in_another_encoding_is_refused_before_training(tmp_path):
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    with pytest.raises(ValueError, match=r"caf\\xe9: checkpoints can't be written .* no UTF-8"):
        RunFolder(folder).write_config({})
    assert not folder.exists()


def test_a_damaged_configuration(finished_run):
    (finished_run / "config.json").write_text('{"wavegan": ')
    with pytest.raises(ValueError, match=r"config\.json is damaged"):
        load(finished_run)


@pytest.mark.parametrize("content", [{"recipe": "net6"}, {"wavegan": {"depth": 3}, "train": {}}])
def test_the_configuration_of_something_else(finished_run, content):
    """The folder of a comparison has a config.json as well, and so has a later version's run."""
    (finished_run / "config.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"config\.json"):
        load(finished_run)


# Metrics


def test_metrics_are_lines_of_json(tmp_path):
    folder = RunFolder(tmp_path)
    assert folder.read_metrics() == []
    rows = [{"gan/step": step, "gan/critic_gap": 0.5 * step} for step in (1, 10, 20)]
    for row in rows:
        folder.append_metrics(row)
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == rows == folder.read_metrics()


def test_metrics_are_rewound_past_a_cut_line(tmp_path):
    folder = RunFolder(tmp_path)
    for step in (1, 10, 20):
        folder.append_metrics({"gan/step": step})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"gan/step": 30, "gan/cr')
    assert [row["gan/step"] for row in folder.rewind_metrics(10)] == [1, 10]
    assert (tmp_path / "metrics.jsonl").read_text() == '{"gan/step": 1}\n{"gan/step": 10}\n'
