"""Whether a training step fits on the device, and what is said where it does not."""

from __future__ import annotations

import os
import warnings
from dataclasses import replace
from typing import Any

import jax
from jax.sharding import Mesh

from wavegan.distributed import first
from wavegan.networks import WaveGANConfig
from wavegan.step import State, compiled_step
from wavegan.train_config import TrainConfig


class OutOfDeviceMemory(RuntimeError):
    """The training step does not fit on the device."""


def device_memory() -> int:
    """Bytes of memory that a device has; on a CPU all devices share the machine's."""
    stats = jax.local_devices()[0].memory_stats() or {}
    if "bytes_limit" in stats:
        return stats["bytes_limit"]
    if not hasattr(os, "sysconf"):
        return 8 * 2**30  # Windows: what most machines have at least
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // jax.local_device_count()


def needed_bytes(program: jax.stages.Compiled) -> int:
    """Memory that a compiled step takes on each device, its arguments included."""
    sizes: Any = program.memory_analysis()
    return (
        sizes.argument_size_in_bytes
        + sizes.output_size_in_bytes
        + sizes.temp_size_in_bytes
        - sizes.alias_size_in_bytes
    )


def fitted(config: WaveGANConfig, train_config: TrainConfig, mesh: Mesh, gans: int) -> TrainConfig:
    """The configuration with as few parts of a batch as fit on the device, if it leaves that open.

    Where more than one are needed, a warning says so.
    """
    limit, batch = first(device_memory), train_config.batch_size
    given = train_config.accumulate
    choices = [given] if given else [n for n in range(1, batch + 1) if batch % n == 0]
    needed, least = 0, 1.0
    for parts in choices:
        if parts < least:  # can't be enough: what is not the batch's share stays
            continue
        fitted = replace(train_config, accumulate=parts)
        needed = needed_bytes(compiled_step(config, fitted, mesh, gans=gans))
        if needed <= limit:
            if parts > 1 and not given:
                warnings.warn(
                    f"a batch of {batch} needs more than the device's {limit / 1e9:.1f} GB: its "
                    f"gradients are added up over {parts} parts",
                    stacklevel=3,
                )
            return fitted
        least = parts * needed / limit / 2
    raise OutOfDeviceMemory(_too_large(needed, limit, train_config))


def run(
    program: jax.stages.Compiled, state: State, batch: tuple, *, wait: bool
) -> tuple[State, dict[str, Any]]:
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


def _too_large(needed: int, limit: int, train_config: TrainConfig) -> str:
    return (
        f"a training step needs {needed / 1e9:.2f} GB on each device, which has "
        f"{limit / 1e9:.2f} GB: take a smaller batch_size (found {train_config.batch_size}), dim "
        f"or num_samples, or accumulate (found {train_config.accumulate}) in more parts"
    )
