"""Comparisons that workers do, of which any may be killed at any moment."""

import json
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from compared import timeless

from experiments.commands.doctor import check_run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def driven(small_config, tmp_path_factory):
    """Starts a comparison in a process of its own; one that nobody disturbed is called "calm"."""
    root = tmp_path_factory.mktemp("driven")
    arms = ("real", "real+oversampled", "real+synthetic", "real+confident")
    config = replace(small_config, arms=arms, seeds=12, gan_seeds=2, workers=2, executor="local")
    (root / "driver.py").write_text(
        "import pickle, sys; from dataclasses import replace; from pathlib import Path\n"
        "import experiments\n"
        "if __name__ == '__main__':\n"
        "    config = pickle.loads(Path('config.pickle').read_bytes())\n"
        "    experiments.compare(replace(config, executor=sys.argv[2]), sys.argv[1])\n"
    )
    (root / "config.pickle").write_bytes(pickle.dumps(config))
    paths = [str(Path(__file__).parents[3]), os.environ.get("PYTHONPATH", "")]
    here = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}

    def start(out, executor="local", **options):
        command = [sys.executable, "driver.py", root / out, executor]
        return subprocess.Popen(command, env=here, cwd=root, **options)

    with start("calm") as calm:
        assert calm.wait() == 0
    return root, start


def children(driver, name):
    found = psutil.Process(driver.pid).children(recursive=True)
    return [child for child in found if name in " ".join(child.cmdline())]


def lasts(process, seconds):
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return True
    return False


def assert_as_undisturbed(root, out):
    there = (json.loads((root / name / "results.json").read_text()) for name in (out, "calm"))
    assert len({json.dumps(timeless(one), sort_keys=True) for one in there}) == 1
    assert check_run(root / out)[1]


def test_workers_and_their_driver_may_be_killed_at_any_moment(driven):
    root, start = driven
    rng, killed = np.random.default_rng(0), {"worker": 0, "driver": 0}
    calm = json.loads((root / "calm" / "results.json").read_text())["environment"]
    soon = 0.07 * calm["session_seconds"]  # fifteen times half of it is within the work
    for _ in range(30):
        with start("wild") as driver:
            while not children(driver, "spawn_main") and lasts(driver, 0.1):
                pass  # a busy machine takes its time
            for victim, most in (("worker", 10), ("worker", 10), ("driver", 5)):
                if killed[victim] < most and lasts(driver, rng.uniform(0.1 * soon, soon)):
                    workers = children(driver, "spawn_main") if victim == "worker" else [driver]
                    for process in rng.permutation(np.array(workers, object))[:1]:
                        process.kill()
                        killed[victim] += 1
            if driver.wait() == 0:
                break
    assert killed == {"worker": 10, "driver": 5}
    assert_as_undisturbed(root, "wild")


def test_a_disk_that_is_full_on_one_worker_is_told_and_costs_no_finished_part(driven):
    root, start = driven
    stages = root / "full" / "stages"

    def finished():
        seals = (folder / "stage.json" for folder in stages.glob("*") if folder.suffix != ".part")
        return {seal: seal.stat().st_mtime_ns for seal in seals if seal.exists()}

    with start("full", stderr=subprocess.PIPE, text=True) as driver:
        while len(finished()) < 8:
            assert lasts(driver, 0.1)
        one, *others = children(driver, "spawn_main")
        assert others
        one.rlimit(psutil.RLIMIT_FSIZE, (64, psutil.RLIM_INFINITY))  # of a file, in bytes
        said = driver.stderr.read()
        assert driver.wait() == 1
    assert f"could not write {root}/full/" in said.splitlines()[-1]
    kept = finished()
    assert len(kept) >= 8
    with start("full") as driver:
        assert driver.wait() == 0
    assert kept.items() <= finished().items()
    assert_as_undisturbed(root, "full")


def test_a_cluster_comes_to_the_same_also_where_a_worker_is_killed(driven):
    pytest.importorskip("ray", reason="Ray is an extra: make test-ray")
    root, start = driven
    with start("ray", "ray") as driver:
        while not (at_work := children(driver, "ray::_do_on_ray")):
            assert lasts(driver, 0.2)
        at_work[0].kill()
        assert driver.wait() == 0
    assert_as_undisturbed(root, "ray")
