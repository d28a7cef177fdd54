"""Parts done by tasks of a Ray cluster, whose machines share the run folder and the data."""

from __future__ import annotations

import os
import secrets
import socket
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from experiments.executors import (
    ASKED,
    MOST_DEATHS,
    Asked,
    Do,
    ShouldStop,
    cores,
    lost,
    plugins,
    variables,
)
from features.storage import Interrupted

_PATIENCE = 10.0  # seconds for a cluster to answer
_ONE_CORE = {"NPROC": "1"}  # by which XLA knows how many threads a task has


@dataclass
class RayWorkers:
    """Tasks of a Ray cluster, whose machines all have the run folder and the data.

    Parameters
    ----------
    do : as of `LocalWorkers`.
    asked : what each task takes, and how many there are at a time.
    """

    do: Do
    asked: Asked
    _key: str = field(default_factory=lambda: secrets.token_hex(8), init=False)

    @property
    def about(self) -> str:
        return "on Ray"

    def run(
        self,
        parts: Sequence[Any],
        *,
        on_done: Callable[[int, int], object],
        should_stop: ShouldStop | None,
    ) -> list[str]:
        """As `LocalWorkers.run`; what is stopped goes on from its last checkpoint.

        Tasks that are then under way end with the block of `open_workers`: to cancel one that is
        just done makes Ray 2.60 end this process.
        """
        import ray

        takes: dict[str, Any] = {"num_cpus": 1, "num_gpus": self.asked.gpus}
        task = ray.remote(**takes, max_retries=MOST_DEATHS - 1)(_do_on_ray)
        do, here, modules, said = ray.put(self.do), os.getcwd(), plugins(), dict[int, str]()
        left, of = list(enumerate(parts)), dict[Any, int]()
        while left or of:
            while left and len(of) < (self.asked.workers or len(parts)):
                i, part = left.pop(0)
                of[task.remote(self._key, do, here, modules, part)] = i
            for one in ray.wait(list(of), timeout=ASKED)[0]:
                try:
                    said[of.pop(one)] = ray.get(one)
                except ray.exceptions.RayTaskError as error:
                    raise error.cause from None
                except ray.exceptions.RayError as error:  # of the worker, not of what it did
                    raise lost(MOST_DEATHS, len(said), len(parts)) from error
                on_done(len(said), len(parts))
            if should_stop is not None and should_stop():
                raise Interrupted("stopped")
        return [said[i] for i in range(len(parts))]


@contextmanager
def open_workers(do: Do, asked: Asked) -> Iterator[RayWorkers]:
    """Tasks of a cluster that is there, or of one that is started here and ends with the block."""
    try:
        import ray
    except ImportError:
        raise ValueError(
            "--executor ray needs Ray, which is not installed: pip install 'wavegan[ray]', or give "
            "--executor local"
        ) from None
    address = asked.cluster or os.environ.get("RAY_ADDRESS")
    known = {name: value for name, value in os.environ.items() if name.startswith("WAVEGAN_")}
    given: dict[str, Any] = {"runtime_env": {"env_vars": {**known, **variables(), **_ONE_CORE}}}
    if address:
        given["address"] = address
    else:
        given |= {"num_cpus": asked.workers or cores(), "include_dashboard": False}
    try:
        if address and address != "auto":  # Ray itself asks for minutes before it gives up
            host, _, port = address.removeprefix("ray://").rpartition(":")
            socket.create_connection((host, int(port)), timeout=_PATIENCE).close()
        with warnings.catch_warnings():  # of a fork, whose child is another program at once
            warnings.filterwarnings("ignore", "os.fork", RuntimeWarning)
            ray.init(**given, logging_level="error", log_to_driver=False)
    except (OSError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"--cluster {address}: no Ray cluster answers there ({str(error)[:200]}): give the "
            "HOST:PORT that `ray start --head` tells, with its version and RAY_AUTH_MODE, or leave "
            "it out for a cluster of this machine"
        ) from None
    try:
        _refuse_small([node["Resources"] for node in ray.nodes() if node["Alive"]], asked.gpus)
        yield RayWorkers(do, asked)
    finally:
        ray.shutdown()


def _refuse_small(nodes: Iterable[Mapping[str, float]], gpus: float) -> None:
    """Raise ValueError where no node has what a part takes: it would wait for ever."""
    for name, needed in (("CPU", 1.0), ("GPU", gpus)):
        if (has := max((node.get(name, 0.0) for node in nodes), default=0.0)) < needed:
            raise ValueError(
                f"the largest node of the Ray cluster has {has:g} {name}s, and each part takes "
                f"{needed:g}: give it more, or give a smaller --gpus"
            )
        nodes = [node for node in nodes if node.get(name, 0.0) >= needed]


# --- in a worker ---------------------------------------------------------------------------------

_on_ray = dict[str, Do]()  # what does parts here, by the run: it keeps what it has opened


def _do_on_ray(key: str, do: Do, here: str, modules: list[str], part: Any) -> str:
    if key not in _on_ray:
        if os.path.isdir(here):  # what paths are relative to
            os.chdir(here)
        for name in modules:
            import_module(name)
        _on_ray.clear()
        _on_ray[key] = do
    return _on_ray[key](part, lambda: False)
