"""Two real processes that train one run, over JAX's coordinator and gloo."""

import json
import os
import socket
import subprocess
import sys

import jax
import numpy as np
import pytest

from wavegan import load
from wavegan.devices import device_memory
from wavegan.distributed import agreed, fetched, first, join
from wavegan.run_folder import RunFolder

# What both processes do; each prints a line for each thing to be seen.
CHILD = """
import json, sys
from dataclasses import replace
from pathlib import Path
port, me, folder, audio, config, train_config = sys.argv[1:]
from wavegan.distributed import agreed, first, join
join(f"127.0.0.1:{port}", 2, int(me), timeout=120)
import jax, numpy as np
from wavegan import Job, TrainConfig, WaveGANConfig, train, train_together
from wavegan.run_folder import RunFolder
from wavegan.players import initial_state

me, folder, audio = int(me), Path(folder), np.load(audio)
config = WaveGANConfig(**json.loads(config))
settings = TrainConfig(**json.loads(train_config) | {"augment": ()})

def tell(name, act):
    try:
        answer = act()
    except Exception as error:
        answer = f"{type(error).__name__}: {error}"
    print(json.dumps([name, answer]), flush=True)

tell("devices", lambda: [jax.process_index(), len(jax.local_devices()), len(jax.devices())])
tell("long message", lambda: len(first(lambda: "é" * 10_000)))
tell("who acts", lambda: first(lambda: jax.process_index()))
tell("one of them", lambda: [agreed(me == 1), agreed(False)])

asked = []
def stop():
    asked.append(True)
    return me == 1 and len(asked) == 3
heard = []
tell("stopped", lambda: train(audio, config, settings, run_dir=folder / "run", should_stop=stop))
tell("steps", lambda: RunFolder(folder / "run").steps())
tell("resumed", lambda: train(
    audio, config, settings, run_dir=folder / "run", on_log=heard.append).history)
tell("heard", lambda: [row["gan/step"] for row in heard])
tell("again", lambda: len(train(audio, config, settings, run_dir=folder / "run").history))
other = replace(settings, seed=1)
tell("another seed", lambda: train(audio, config, other, run_dir=folder / "run"))
tell("batch of 7", lambda: train(audio, config, replace(settings, batch_size=7)))

inspected = []
def inspect(step, generator):
    inspected.append(step)
    clips = generator(np.ones((2, config.latent_dim), np.float32))
    return {"quality/kernel_distance": 1 / step, "quality/peak": abs(clips).max()}
def team():
    jobs = [Job(audio, seed=s, run_dir=folder / f"team{s}", inspect=[inspect]) for s in (0, 1)]
    enough = replace(settings, inspect_every=1, keep_best="quality/gone", stop_when_done=True)
    return [[r.history, r.best_step] for r in train_together(jobs, config, enough)]
tell("team", team)
tell("inspected", lambda: inspected)

def broken(step, generator):
    raise OSError("no room")
tell("inspector", lambda: train(audio, config, replace(settings, steps=1), inspect=[broken]))

def tamper():
    run = RunFolder(folder / "run")
    step, state = run.restore(initial_state(config, settings, jax.random.key(0)))
    big = np.float32(1e15)
    run.save(step, state | {"critic": jax.tree.map(lambda w: big * w, state["critic"])})
first(tamper)
tell("diverged", lambda: train(audio, config, replace(settings, steps=9), run_dir=folder / "run"))
"""


@pytest.fixture(scope="module")
def both(script_arguments, tmp_path_factory):
    """The folder, and what each of the two processes has said."""
    folder = tmp_path_factory.mktemp("two")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    devices = "--xla_force_host_platform_device_count=1"
    flags = {"XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {devices}", "JAX_PLATFORMS": "cpu"}
    children = [
        subprocess.Popen(
            [sys.executable, "-c", CHILD, port, str(me), str(folder), *script_arguments],
            env=os.environ | flags,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for me in range(2)
    ]
    try:
        outputs = [child.communicate(timeout=480) for child in children]
    finally:
        for child in children:
            child.kill()
    for child, (_, errors) in zip(children, outputs, strict=True):
        assert child.returncode == 0, errors
    lines = [[x for x in out.splitlines() if x.startswith('["')] for out, _ in outputs]
    return folder, [dict(map(json.loads, said)) for said in lines]


def assert_near(history, expected):
    assert len(history) == len(expected)
    for row, other in zip(history, expected, strict=True):
        for name in other.keys() - {"gan/steps_per_second"}:
            np.testing.assert_allclose(row[name], other[name], rtol=1e-3, atol=1e-4, err_msg=name)


def test_they_speak_to_each_other(both):
    for me, said in enumerate(both[1]):
        assert said["devices"] == [me, 1, 2]
        assert said["long message"] == 10_000
        assert said["who acts"] == 0
        assert said["one of them"] == [True, False]


def test_they_stop_resume_and_end_as_one_process_does(both, finished_run, state_of):
    """The second alone asks to stop, at step 3."""
    folder, (zero, one) = both
    expected = RunFolder(finished_run).read_metrics()
    for said in (zero, one):
        assert said["stopped"] == "TrainingInterrupted: stopped at step 3 of 6"
        assert said["steps"] == [2, 3]
        assert_near(said["resumed"], expected)
        assert said["again"] == 6
    assert zero["resumed"] == one["resumed"] == RunFolder(folder / "run").read_metrics()
    assert (zero["heard"], one["heard"]) == ([4, 5, 6], []), "only the first one logs"
    ours, alone = state_of(folder / "run", 3), state_of(finished_run, 2)
    assert jax.tree.structure(ours) == jax.tree.structure(alone)
    assert np.isfinite(load(folder / "run", step=3)(np.zeros((1, 4), np.float32))).all()


def test_what_is_wrong_is_wrong_in_both(both):
    _, (zero, one) = both
    assert zero["another seed"].startswith("ValueError: ")
    assert "train.seed is 0 there and 1 here" in zero["another seed"]
    assert one["another seed"] == f"RuntimeError: the first process failed: {zero['another seed']}"
    for said in (zero, one):
        assert "batch_size 7 can't be divided among the 2 devices of 2 proc" in said["batch of 7"]
        assert said["inspector"].endswith("OSError: no room")
        assert said["diverged"].startswith("TrainingDiverged: gan/")


def test_gans_are_spread_over_processes(both, finished_run):
    """One on each: the first process sees both, and inspects both."""
    folder, (zero, one) = both
    assert zero["team"] == one["team"]
    for seed, (history, best) in enumerate(zero["team"]):
        assert best is None, "nothing is called quality/gone"
        assert history == RunFolder(folder / f"team{seed}").read_metrics()
        assert [row["quality/kernel_distance"] for row in history] == [1 / s for s in range(1, 7)]
        assert all(0 < row["quality/peak"] < 1 for row in history)
    assert_near(zero["team"][0][0], RunFolder(finished_run).read_metrics())
    assert zero["inspected"] == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6]
    assert one["inspected"] == []


# One process


def test_alone_nobody_is_waited_for():
    assert first(lambda: {"a": 1}) == {"a": 1}
    assert agreed(True)
    assert not agreed(False)
    assert isinstance(fetched({"a": jax.numpy.ones(3)})["a"], np.ndarray)


def test_memory_of_a_device():
    """A CPU's is the machine's: more than this process has of it, less than a petabyte."""
    assert 2**27 < device_memory() * jax.local_device_count() < 2**50


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("here:1", 2, None), "go together; found here:1, 2 and None"),
        ((None, None, 0), "go together; found None, None and 0"),
        (("here", 2, 0), "a port of 1 to 65535, found 'here'"),
        ((":80", 2, 0), "a port of 1 to 65535, found ':80'"),
        (("here:99999", 2, 1), "coordinator must be HOST:PORT, a port of 1 to 65535, found"),
        (("here:http", 2, 0), "a port of 1 to 65535, found 'here:http'"),
        (("here:1", 2, 2), "process must lie in 0 to 1, found 2"),
        (("here:1", 2, -1), "process must lie in 0 to 1, found -1"),
    ],
)
def test_arguments_that_join_nothing(arguments, message):
    with pytest.raises(ValueError, match=message):
        join(*arguments)


def test_nobody_listens():
    with socket.socket() as taken:  # bound, but deaf
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ConnectionError, match=f"does not listen at the coordinator {address}"):
            join(address, 2, 1, timeout=0)


def test_too_late():
    jax.devices()
    with pytest.raises(RuntimeError, match="must be called before"):
        join("127.0.0.1:1", 2, 0)
