"""What several processes of one run do together."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

T = TypeVar("T")
_BLOCK = 4096  # bytes: messages of few lengths are few programs to compile


def join(
    coordinator: str | None = None,
    processes: int | None = None,
    process: int | None = None,
    *,
    timeout: int = 300,
) -> None:
    """Make this process one of several that train together, before it uses JAX for anything else.

    All of them then make the same calls with the same data and settings, and share one file
    system. Under SLURM, Open MPI and on TPU pods no arguments are needed. Where one of them dies,
    the others end within two minutes; the same calls resume the run.

    Parameters
    ----------
    coordinator : "host:port", where process 0 listens.
    processes, process : how many they are, and which (from 0) this is.
    timeout : seconds to wait for the others.

    Raises
    ------
    ValueError
        For arguments that don't fit together, or none where nothing else tells them.
    ConnectionError
        Where nobody listens at ``coordinator``.
    """
    given = (coordinator, processes, process)
    if coordinator is None or processes is None or process is None:
        if any(value is not None for value in given):
            raise ValueError(
                "coordinator, processes and process go together; found "
                f"{coordinator}, {processes} and {process}"
            )
    else:
        host, _, port = coordinator.rpartition(":")
        if not host or not (port.isdecimal() and 0 < int(port) < 2**16):
            raise ValueError(
                f"coordinator must be HOST:PORT, a port of 1 to 65535, found {coordinator!r}"
            )
        if not 0 <= process < processes:
            raise ValueError(f"process must lie in 0 to {processes - 1}, found {process}")
        if process > 0:
            _reach(coordinator, host, int(port), timeout)
    try:
        jax.distributed.initialize(*given, initialization_timeout=timeout)
    except ValueError as error:
        raise ValueError(
            f"nothing here tells the processes of a run ({error}): give coordinator (HOST:PORT), "
            "processes and process"
        ) from None


def _reach(coordinator: str, host: str, port: int, timeout: int) -> None:
    """Wait until somebody listens there: JAX would abort the interpreter where nobody does."""
    end = time.monotonic() + timeout
    while True:
        try:
            return socket.create_connection((host, port), 5).close()
        except OSError as error:
            if time.monotonic() > end:
                raise ConnectionError(
                    f"process 0 does not listen at the coordinator {coordinator} ({error}): start "
                    "it there, or check the address and the firewall"
                ) from None
        time.sleep(0.2)


def first(act: Callable[[], T]) -> T:
    """What ``act`` returns in the first process, which alone runs it; the others wait.

    What it returns must be JSON. Where it fails, all fail.
    """
    if jax.process_count() == 1:
        return act()
    answer: dict[str, Any] = {}
    failure = None
    if jax.process_index() == 0:
        try:
            answer["value"] = act()
        except Exception as error:
            failure = error
            answer["failure"] = f"{type(error).__name__}: {error}"
    text = json.dumps(answer).encode()
    blocks = int(multihost_utils.broadcast_one_to_all(np.int32(-(-len(text) // _BLOCK))))
    message = np.full(blocks * _BLOCK, ord(" "), np.uint8)
    if jax.process_index() == 0:
        message[: len(text)] = np.frombuffer(text, np.uint8)
    answer = json.loads(multihost_utils.broadcast_one_to_all(message).tobytes())
    if "failure" in answer:
        raise failure or RuntimeError(f"the first process failed: {answer['failure']}")
    return answer["value"]


def agreed(flag: bool) -> bool:
    """Whether any process says so."""
    if jax.process_count() == 1:
        return flag
    return bool(np.any(multihost_utils.process_allgather(np.asarray(flag))))


def fetched(tree: Any) -> Any:
    """The whole of arrays that lie on the devices of all processes, in numpy arrays."""
    if jax.process_count() == 1:
        return jax.device_get(tree)

    def one(leaf: jax.Array) -> np.ndarray:
        if leaf.is_fully_replicated:
            return np.asarray(leaf.addressable_data(0))
        return multihost_utils.process_allgather(leaf, tiled=True)

    return jax.tree.map(one, tree)
