"""The devices that train: how GANs and batches lie on them, and whether a step fits."""

from __future__ import annotations

import math
import os
import platform
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array

from wavegan.distributed import first
from wavegan.train_config import TrainConfig

CLIP_AXES = ("gan", None, "data")  # of clips (gans, critic_steps, n, length, c) and their labels


class OutOfDeviceMemory(RuntimeError):
    """The training step does not fit on the device."""


@runtime_checkable
class Program(Protocol):
    """A compiled step."""

    def __call__(self, *arguments: Any) -> Any: ...
    def memory_analysis(self) -> Any: ...


def device_mesh(gans: int, batch_size: int, devices: Sequence[jax.Device] | None = None) -> Mesh:
    """All devices as a mesh ("gan", "data"): GANs first, then the clips of a batch.

    As many devices as divide the batch are used.
    """
    devices = jax.devices() if devices is None else devices
    along_gans = math.gcd(gans, len(devices))
    along_data = len(devices) // along_gans
    while batch_size % along_data:
        along_data -= 1
    used = np.array(devices[: along_gans * along_data]).reshape(along_gans, along_data)
    return Mesh(used, ("gan", "data"))


def place(tree: Any, mesh: Mesh, *axes: str | None) -> Any:
    """Arrays on the devices of ``mesh``, their leading axes along its ``axes``."""
    sharding = NamedSharding(mesh, PartitionSpec(*axes))
    if jax.process_count() == 1:
        return jax.device_put(tree, sharding)

    def one(leaf: Any) -> Array:  # every process holds the whole and gives its devices' part
        whole = np.asarray(leaf)
        return jax.make_array_from_callback(whole.shape, sharding, whole.__getitem__)

    return jax.tree.map(one, tree)


def whole_mesh(gans: int, batch_size: int) -> Mesh:
    """The mesh of all devices, some of each process; a warning tells of those left out.

    Raises
    ------
    ValueError
        Where a process would have no device in it.
    """
    mesh, processes = device_mesh(gans, batch_size), jax.process_count()
    used, there = mesh.devices.size, len(jax.devices())
    if len({device.process_index for device in mesh.devices.flat}) < processes:
        raise ValueError(
            f"batch_size {batch_size} can't be divided among the {there} devices of {processes} "
            f"processes: take a multiple of {there}, or fewer processes"
        )
    if used < there:
        warnings.warn(
            f"{used} of {there} devices are used: batch_size {batch_size} can't be divided among "
            "more",
            stacklevel=4,
        )
    return mesh


def device_memory() -> int:
    """Bytes of memory that a device has; on a CPU all devices share the machine's."""
    stats = jax.local_devices()[0].memory_stats() or {}
    if "bytes_limit" in stats:
        return stats["bytes_limit"]
    if not hasattr(os, "sysconf"):
        return 8 * 2**30  # Windows: what most machines have at least
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // jax.local_device_count()


def needed_bytes(program: Program) -> int:
    """Memory that a compiled step takes on each device, its arguments included."""
    sizes = program.memory_analysis()
    return (
        sizes.argument_size_in_bytes
        + sizes.output_size_in_bytes
        + sizes.temp_size_in_bytes
        - sizes.alias_size_in_bytes
    )


def fitted(train_config: TrainConfig, compiled: Callable[[TrainConfig], Program]) -> TrainConfig:
    """The configuration with as few parts of a batch as fit on the device, if it leaves that open.

    Where more than one are needed, a warning says so. ``compiled`` gives the step of a
    configuration.
    """
    limit, batch = first(device_memory), train_config.batch_size
    given = train_config.accumulate
    choices = [given] if given else [n for n in range(1, batch + 1) if batch % n == 0]
    needed, least = 0, 1.0
    for parts in choices:
        if parts < least:  # can't be enough: what is not the batch's share stays
            continue
        fitted = replace(train_config, accumulate=parts)
        needed = needed_bytes(compiled(fitted))
        if needed <= limit:
            if parts > 1 and not given:
                warnings.warn(
                    f"a batch of {batch} needs more than the device's {limit / 1e9:.1f} GB: its "
                    f"gradients are added up over {parts} parts",
                    stacklevel=5,
                )
            return fitted
        least = parts * needed / limit / 2
    raise OutOfDeviceMemory(_too_large(needed, limit, train_config))


def advance(
    program: Program, state: Any, batch: tuple, *, wait: bool
) -> tuple[Any, dict[str, Any]]:
    """A step; ``wait`` for its end, for memory may run out after it has begun."""
    try:
        new = program(state, *batch)
        return jax.block_until_ready(new) if wait else new
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        raise OutOfDeviceMemory(
            f"the device ran out of memory in a training step, which needs "
            f"{needed_bytes(program) / 1e9:.2f} GB: other programs may hold some; "
            "set accumulate=2 (or more), or a smaller batch_size, dim or num_samples"
        ) from None


def hardware() -> str:
    """What this machine computes with, in words: processor, cores, and JAX's devices."""
    devices = jax.devices()
    backend = f"jax {jax.__version__} on {len(devices)} {devices[0].device_kind}"
    return f"{_processor()}, {os.cpu_count()} cores; {backend}"


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    found = re.search(r"^model name\s*:\s*(.*\S)", text, re.MULTILINE)
    return found[1] if found else platform.machine()


def _too_large(needed: int, limit: int, train_config: TrainConfig) -> str:
    return (
        f"a training step needs {needed / 1e9:.2f} GB on each device, which has "
        f"{limit / 1e9:.2f} GB: take a smaller batch_size (found {train_config.batch_size}), dim "
        f"or num_samples, or accumulate (found {train_config.accumulate}) in more parts"
    )
