"""Checkpoints that are written in a thread, by whole training runs."""

import itertools
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from types import SimpleNamespace

import pytest
from gan_runs import CHILD, same, steps_logged

from wavegan import train, training
from wavegan.run_folder import RunFolder


@pytest.fixture
def in_background(monkeypatch):
    """Also what is written quickly."""
    monkeypatch.setattr(training, "QUICK", 0)


@pytest.fixture
def slow_disk(monkeypatch, in_background):
    """Each checkpoint is written once ``go`` is set; ``asked`` says which were begun."""
    save, disk = RunFolder.save, SimpleNamespace(go=threading.Event(), asked=[])

    def slowly(folder, step, state):
        disk.asked.append(step)
        assert disk.go.wait(60)
        save(folder, step, state)

    monkeypatch.setattr(RunFolder, "save", slowly)
    return disk


def test_training_goes_on_while_a_checkpoint_is_written(
    slow_disk, finished_run, state_of, audio, config, train_config, tmp_path
):
    """What is written is the state of its step, and one is done before the next begins."""

    def on_log(row):
        if row["gan/step"] == 3:
            assert slow_disk.asked == [2]
            assert RunFolder(tmp_path).steps() == []
            slow_disk.go.set()

    train(audio, config, train_config, run_dir=tmp_path, on_log=on_log)
    assert slow_disk.asked == [2, 4, 6]
    for saved in (2, 4, 6):
        assert same(state_of(tmp_path, saved), state_of(finished_run, saved))


@pytest.mark.parametrize("end", ["the next checkpoint", "a stop", "the end"])
def test_a_checkpoint_that_fails_is_told_in_its_turn(
    end, audio, config, train_config, tmp_path, monkeypatch, in_background
):
    def full(folder, step, state):
        raise OSError(f"no room for {step}")

    monkeypatch.setattr(RunFolder, "save", full)
    heard, stop = [], iter([False, False, end == "a stop"])
    settings = replace(train_config, checkpoint_every=2 if end == "the next checkpoint" else 100)
    options = {"on_log": lambda row: heard.append(row["gan/step"]), "run_dir": tmp_path}
    failed = {"the next checkpoint": "2", "a stop": "3"}.get(end, "6")
    with pytest.raises(OSError, match=f"no room for {failed}"):
        train(audio, config, settings, should_stop=lambda: next(stop, False), **options)
    assert heard[-1] == {"the next checkpoint": 4, "a stop": 3}.get(end, 6)


def test_a_run_killed_while_it_writes_ends_as_if_never_killed(
    finished_run, state_of, script_arguments, audio, config, train_config, tmp_path
):
    """After step 5; whether the checkpoint of 4 is whole by then is the disk's affair."""
    child = CHILD.replace("audio, config", "training.QUICK = 0\naudio, config", 1)
    child = child.replace("import TrainConfig", "import training, TrainConfig", 1)
    command = [sys.executable, "-c", child, *script_arguments, str(tmp_path / "run"), "5"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert RunFolder(tmp_path / "run").steps() in ([], [2], [2, 4])
    train(audio, config, train_config, run_dir=tmp_path / "run")
    assert same(state_of(tmp_path / "run"), state_of(finished_run))
    assert steps_logged(tmp_path / "run") == [1, 2, 3, 4, 5, 6]


def test_another_error_waits_for_what_is_written(slow_disk, audio, config, train_config, tmp_path):
    def on_log(row):
        if row["gan/step"] == 3:
            slow_disk.go.set()
            raise ValueError("of the caller")

    with pytest.raises(ValueError, match="of the caller"):
        train(audio, config, train_config, run_dir=tmp_path, on_log=on_log)
    assert RunFolder(tmp_path).steps() == [2]
    assert not [t for t in threading.enumerate() if t.name.startswith("checkpoints")]


def test_checkpoints_by_minutes(audio, config, train_config, tmp_path, monkeypatch):
    """A step takes 20 seconds here: one is a minute old at 3, at 6 after that of 3."""
    now = itertools.count()
    clock = SimpleNamespace(perf_counter=lambda: 20 * steps[0] + next(now) / 1e6)
    steps = [0]

    def a_step():
        steps[0] += 1
        return False

    monkeypatch.setattr(training, "time", clock)
    settings = replace(train_config, checkpoint_every=100, checkpoint_minutes=1.0, steps=8)
    train(audio, config, settings, run_dir=tmp_path, should_stop=a_step)
    assert RunFolder(tmp_path).steps() == [3, 6, 8]
