"""Parts of a run in processes of their own: done once, whatever happens to those processes."""

import os
import platform
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import psutil
import pytest

from experiments.executors import (
    Asked,
    WorkersLost,
    check_executor,
    cores,
    on_ray,
    open_workers,
    workers_of,
)
from experiments.stages.parts import Worker
from features.storage import Interrupted

# What workers do, by name, in a folder; in a module of its own, which they import.
_PARTS = """
import os
import signal
import time


def do(folder, part, should_stop):
    here = folder / part
    with here.open("a") as file:
        file.write(f"{sorted(os.sched_getaffinity(0))}\\n")
    if part.startswith("dies") and len(here.read_text().splitlines()) == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    if part.startswith("fatal"):
        os.kill(os.getpid(), signal.SIGKILL)
    if part.startswith("wrong"):
        raise KeyError("what a part raises")
    if part.startswith("long"):
        while not should_stop():
            time.sleep(0.01)
        (folder / "saved").touch()
    return "no number" if part.startswith("fails") else ""
"""


@pytest.fixture
def parts(tmp_path, monkeypatch):
    """The folder that parts write in, and the function that does them."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "own_parts.py").write_text(_PARTS)
    monkeypatch.syspath_prepend(tmp_path / "code")
    folder = tmp_path / "done"
    folder.mkdir()
    import own_parts

    yield folder, partial(own_parts.do, folder)
    del sys.modules["own_parts"]


def run(workers, names, **more):
    seen = []
    said = workers.run(names, on_done=lambda *n: seen.append(n), **{"should_stop": None, **more})
    return said, seen


def at_work():
    children = psutil.Process().children(recursive=True)
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


def test_parts_are_done_and_say_why_they_failed_and_a_dead_worker_costs_what_it_was_at(parts):
    folder, do = parts
    names = ["one", "fails", "dies", "two", "three"]
    with open_workers("local", do, Asked(2)) as workers:
        said, seen = run(workers, names)
        assert said == ["", "no number", "", "", ""]
        assert seen == [(i, 5) for i in range(1, 6)]
        assert len((folder / "dies").read_text().splitlines()) == 2
        assert run(workers, ["four"])[0] == [""]  # a pool after the one that broke
    assert not at_work()


def test_each_worker_has_cores_of_its_own(parts):
    folder, do = parts
    cores = sorted(os.sched_getaffinity(0))
    with open_workers("local", do, Asked(1)) as workers:
        run(workers, ["all"])
    assert (folder / "all").read_text() == f"{cores}\n"
    if len(cores) > 1:
        with open_workers("local", do, Asked(2)) as workers:
            run(workers, ["dies", "b", "c"])  # the new ones share them anew
        halves = {str(cores[: len(cores) // 2]), str(cores[len(cores) // 2 :])}
        assert {line for n in "bc" for line in (folder / n).read_text().splitlines()} <= halves


def test_what_a_part_raises_ends_the_others_after_their_step(parts):
    folder, do = parts
    with (
        open_workers("local", do, Asked(2)) as workers,
        pytest.raises(KeyError, match="what a part raises"),
    ):
        run(workers, ["long", "wrong", "never"])
    assert (folder / "saved").exists()
    assert not at_work()


def test_a_stop_has_workers_save(parts):
    folder, do = parts
    with open_workers("local", do, Asked(1)) as workers, pytest.raises(Interrupted):
        run(workers, ["long", "never"], should_stop=(folder / "long").exists)
    assert (folder / "saved").exists()
    assert not (folder / "never").exists()


def test_workers_that_die_again_and_again_are_given_up(parts):
    _, do = parts
    with (
        open_workers("local", do, Asked(1)) as workers,
        pytest.raises(WorkersLost, match=r"3 workers died .* 1 of 2 parts done: .*fewer --workers"),
    ):
        run(workers, ["one", "fatal"])


def driver_of(folder, guard):
    """A script that has a long part done under ``guard``, and what it runs in."""
    script = folder.parent / "driver.py"
    script.write_text(
        "import sys; from functools import partial; from pathlib import Path\n"
        f"sys.path.insert(0, {str(folder.parent / 'code')!r})\n"
        "import own_parts\n"
        "from experiments.executors import Asked, open_workers\n"
        f"{guard}:\n"
        f"    do = partial(own_parts.do, Path({str(folder)!r}))\n"
        "    with open_workers('local', do, Asked(1)) as workers:\n"
        "        workers.run(['long'], on_done=print, should_stop=None)\n"
    )
    return script, {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}


@pytest.mark.parametrize("typed", [False, True])
def test_a_script_that_workers_can_not_import_is_told_how_it_is_written(parts, typed):
    folder, _ = parts
    script, here = driver_of(folder, "if True")
    command = [sys.executable, "-" if typed else script]
    with script.open() as text:
        ended = subprocess.run(command, env=here, stdin=text, stderr=subprocess.PIPE, check=False)
    last = ended.stderr.decode().splitlines()[-1]
    assert re.search(r"WorkersLost: no worker came .* under if __name__ == '__main__':", last)
    assert not list(folder.iterdir())


def test_workers_end_with_the_process_that_they_work_for(parts):
    folder, _ = parts
    script, here = driver_of(folder, "if __name__ == '__main__'")
    with subprocess.Popen([sys.executable, script], env=here) as driver:
        _until((folder / "long").exists)
        workers = psutil.Process(driver.pid).children(recursive=True)
        assert workers
        driver.send_signal(signal.SIGKILL)
    _until(lambda: not any(_runs(worker) for worker in workers))


def _runs(process):
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def _until(holds, seconds=60):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_unknown_executors_and_workers_without_one_are_refused():
    with pytest.raises(ValueError, match="--executor 'cloud' is none of local, ray"):
        check_executor("cloud", Asked())
    with pytest.raises(ValueError, match="--workers 2 are those of an executor: give --executor"):
        check_executor(None, Asked(2))
    with pytest.raises(ValueError, match="--gpus is for a cluster: give --executor ray"):
        check_executor("local", Asked(gpus=1))
    with pytest.raises(ValueError, match="--cluster is for a cluster: give --executor ray"):
        check_executor("local", Asked(cluster="here:6379"))
    with pytest.raises(ValueError, match=r"--gpus lies in 0 … 64 a part, found -1"):
        check_executor("ray", Asked(gpus=-1))
    with pytest.raises(ValueError, match=r"--gpus 1\.5: above 1, .* give 1 or 2, or below 1"):
        check_executor("ray", Asked(gpus=1.5))
    for gpus in (0, 0.5, 1, 2.0):
        check_executor("ray", Asked(gpus=gpus))


def test_a_worker_that_lacks_the_data_says_who_and_where_it_is(small_config, tmp_path):
    (tmp_path / "config.json").touch()
    data = replace(small_config.data, root="nowhere")
    worker = Worker(replace(small_config, data=data), tmp_path)
    said = f"a worker on {platform.node()}, in {Path.cwd()}, does not see the data (nowhere: no "
    with pytest.raises(ValueError, match=re.escape(said)):
        worker.opened  # noqa: B018


def test_how_many_workers_there_are_is_known_but_of_a_cluster():
    assert workers_of("local", Asked()) == cores()
    assert workers_of("local", Asked(3)) == workers_of("ray", Asked(3)) == 3
    assert workers_of("ray", Asked()) is workers_of(None, Asked()) is None


# --- a cluster -----------------------------------------------------------------------------------


@pytest.fixture
def cluster(parts, tmp_path, monkeypatch):
    pytest.importorskip("ray", reason="Ray is an extra: make test-ray")
    there = [str(tmp_path / "code"), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, there)))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    return parts


@pytest.mark.slow
def test_a_cluster_does_parts_and_a_dead_worker_costs_what_it_was_at(cluster):
    folder, do = cluster
    with open_workers("ray", do, Asked(2)) as workers:
        said, seen = run(workers, ["one", "fails", "dies", "two", "three"])
        assert said == ["", "no number", "", "", ""]
        assert seen == [(i, 5) for i in range(1, 6)]
        assert len((folder / "dies").read_text().splitlines()) == 2
        with pytest.raises(KeyError, match="what a part raises"):
            run(workers, ["wrong"])
        with pytest.raises(WorkersLost, match="3 workers died one after another"):
            run(workers, ["fatal"])
        with pytest.raises(Interrupted):
            run(workers, ["long", "never"], should_stop=(folder / "long").exists)


@pytest.mark.slow
def test_an_error_among_tasks_that_end_leaves_this_process_and_no_task(cluster):
    """Ray ended the process, by one time in four, where a task was cancelled that was just done."""
    _, do = cluster
    with open_workers("ray", do, Asked(2)) as workers:
        for _ in range(30):
            with pytest.raises(KeyError, match="what a part raises"):
                run(workers, ["one", "wrong", "two", "three"])
        with pytest.raises(KeyError, match="what a part raises"):
            run(workers, ["long", "wrong"])
        assert _tasks()
    _until(lambda: not _tasks())


def _tasks():
    children = psutil.Process().children(recursive=True)
    return [one for one in children if _runs(one) and "ray::_do_on_ray" in " ".join(one.cmdline())]


@pytest.mark.slow
def test_a_cluster_that_is_too_small_or_not_there_is_refused(cluster, monkeypatch):
    with (
        pytest.raises(ValueError, match="the Ray cluster has 0 GPUs, and each part takes 2"),
        open_workers("ray", print, Asked(1, gpus=2)),
    ):
        pass
    for address in ("127.0.0.1:1", "here", "auto"):
        with (
            pytest.raises(ValueError, match=f"--cluster {address}: no Ray cluster answers there"),
            open_workers("ray", print, Asked(cluster=address)),
        ):
            pass


def test_what_a_part_takes_is_on_one_node():
    small = {"CPU": 8.0, "GPU": 1.0}
    on_ray._refuse_small([small, small], 1)
    with pytest.raises(ValueError, match=r"largest node of the Ray cluster has 1 GPUs, .* 2"):
        on_ray._refuse_small([small, small], 2)
    with pytest.raises(ValueError, match="node of the Ray cluster has 0 GPUs, and each part take"):
        on_ray._refuse_small([{"GPU": 4.0}, {"CPU": 1.0}], 1)
    with pytest.raises(ValueError, match="node of the Ray cluster has 0 CPUs"):
        on_ray._refuse_small([], 0)


def test_a_task_is_in_the_folder_of_who_asks_for_it(tmp_path, monkeypatch):
    monkeypatch.chdir(Path.cwd())
    monkeypatch.setattr(on_ray, "_on_ray", {})
    (tmp_path / "here").mkdir()

    def where(part, should_stop):
        return f"{Path(part).resolve()}"

    said = on_ray._do_on_ray("a", where, str(tmp_path / "here"), [], "data")
    assert said == str(tmp_path / "here" / "data")
    assert on_ray._do_on_ray("b", where, str(tmp_path / "nowhere"), [], "data") == said


def test_a_cluster_without_ray_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with (
        pytest.raises(ValueError, match=r"pip install 'wavegan\[ray\]', or give --executor local"),
        open_workers("ray", print, Asked()),
    ):
        pass
