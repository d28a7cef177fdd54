"""The folder of one GAN's training run: its configuration, metrics and checkpoints.

config.json        what is trained, how, and on what (`provenance`)
metrics.jsonl      a line a log interval
checkpoints/N/     everything after N generator steps (orbax)
checkpoints/N.json its digest, written last: without it the checkpoint is not whole
best.json          which checkpoint is the best, and by what
"""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import logging
import math
import shutil
import threading
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from typing import Any

import jax
import numpy as np

from features.checksums import SEAL, check
from features.json_lines import append_row, read_rows, write_rows
from features.settings import another, differences
from features.storage import (
    read_json,
    readable,
    refuse_links,
    remove_leftovers,
    sync_below,
    write_json,
)

_METADATA_BYTES = 2**18  # of a checkpoint, at most, beside its arrays


class CheckpointError(RuntimeError):
    """No whole checkpoint is there to read."""


class RunFolder:
    """Reads and writes the run folder at ``path``, which need not exist yet."""

    def __init__(self, path: str | Path):
        self.path = Path(path).absolute()

    def write_config(
        self,
        parts: Mapping[str, Any],
        extensible: tuple[str, ...] = (),
        defaults: Mapping[str, Any] | None = None,
    ) -> None:
        """Write ``config.json``, or make sure that the one there is the same.

        Values whose dotted name is in ``extensible`` may differ (a run may be trained on);
        ``defaults`` stand for what the file there does not say.

        Raises
        ------
        ValueError
            Where the folder holds a run of another configuration, naming what differs.
        """
        if readable(self.path) != str(self.path):  # orbax takes no other
            raise ValueError(
                f"run folder {readable(self.path)}: checkpoints can't be written to a path that "
                "is no UTF-8: choose another"
            )
        file = self.path / "config.json"
        if file.exists():
            found = differences(self.read_config(), parts, defaults)
            if differing := {name: found[name] for name in found if name not in extensible}:
                advice = "Choose another run folder, or the same settings to resume this one"
                raise another(str(self.path), "run", differing, advice)
        refuse_links(self.path)
        self._remove_leftovers()
        write_json(file, parts)

    def read_config(self) -> dict[str, Any]:
        """The content of ``config.json``; a missing or damaged one is a ValueError."""
        try:
            return read_json(self.path / "config.json", "restore it from a copy")
        except (FileNotFoundError, NotADirectoryError):
            what = "is a file, and no .safetensors" if self.path.is_file() else "has no config.json"
            raise ValueError(f"{self.path} is no run folder of a GAN: it {what}") from None

    def refuse_edits(self) -> None:
        """Make sure that a finished folder is what was written, and made from what it says.

        Checkpoints are left out: they have digests of their own.

        Raises
        ------
        ValueError
            Where its networks, what it is trained on, its training, or a file are others.
        """
        if not (self.path / SEAL).exists():
            return
        check(self.path, lambda file: not file.startswith("checkpoints/"))
        inputs = read_json(self.path / SEAL, "restore it from a copy")["inputs"]
        config = self.read_config()
        there = {name: config.get(name) for name in inputs} if isinstance(config, dict) else {}
        if isinstance(train := there.get("train"), dict):  # the cadence is left out of inputs
            there["train"] = {name: train.get(name) for name in inputs["train"]}
        if there != inputs:
            raise ValueError(
                f"{self.path / 'config.json'} is changed (not what was written): delete the folder "
                f"{self.path} and run the same command again, which makes it anew"
            )

    def append_metrics(self, metrics: Mapping[str, float]) -> None:
        """Add a line to ``metrics.jsonl``."""
        append_row(self.path / "metrics.jsonl", metrics)

    def read_metrics(self) -> list[dict[str, float]]:
        """All whole lines of ``metrics.jsonl``, oldest first."""
        rows = read_rows(self.path / "metrics.jsonl")
        return list(takewhile(lambda row: isinstance(row.get("gan/step"), int | float), rows))

    def rewind_metrics(self, step: int) -> list[dict[str, float]]:
        """Drop the lines after ``step`` and return the rest."""
        rows = [row for row in self.read_metrics() if row["gan/step"] <= step]
        write_rows(self.path / "metrics.jsonl", rows)
        return rows

    def save(self, step: int, state: Any) -> None:
        """Write the checkpoint of ``step``; `prune` then drops earlier ones."""
        folder = self._checkpoint(step)
        digest_file = folder.with_suffix(".json")
        digest_file.unlink(missing_ok=True)
        # Asked first: orbax answers a full disk with tracebacks from its threads.
        needed = sum(leaf.nbytes for leaf in jax.tree.leaves(state)) + _METADATA_BYTES
        folder.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder.parent).free
        if free < needed:
            raise OSError(
                errno.ENOSPC,
                f"the checkpoint {folder} needs {needed / 1e6:.1f} MB, {free / 1e6:.1f} MB are "
                "free: make room, then the same call goes on from the checkpoint before",
            )
        try:
            with _quiet_threads(), _checkpointer() as checkpointer:
                checkpointer.save(folder, state, force=True)
        except Exception as error:  # of many types, as from a disk that has become full
            self._remove_leftovers()
            said = str(error).partition("\n")[0]
            raise OSError(f"could not write the checkpoint {folder}: {said}") from error
        sync_below(folder)  # before its digest says that it is there
        saved = {"step": step, "digest": _digest(folder), "saved": time.time()}
        write_json(digest_file, saved)

    def prune(self, step: int, *, keep: int, hours: float | None = None) -> None:
        """Drop all checkpoints but the newest ``keep`` up to ``step``, the best one, and one
        of every so many ``hours``.

        Later ones go, too: a run is at ``step`` again because they are damaged.
        """
        earlier = [other for other in self.steps() if other <= step]
        kept = {*earlier[-keep:], self.best_step()}
        last = -math.inf
        for other in earlier:
            saved = self._recorded(other).get("saved", math.inf)
            if hours and saved >= last + hours * 3600:
                kept.add(other)
                last = saved
        for other in set(self.steps()) - kept:
            self._checkpoint(other).with_suffix(".json").unlink()
            shutil.rmtree(self._checkpoint(other), ignore_errors=True)

    def mark_best(self, step: int, metric: str, value: float) -> None:
        """Say in ``best.json`` that the checkpoint of ``step`` is the best by ``metric``."""
        write_json(self.path / "best.json", {"step": step, "metric": metric, "value": value})

    def best_step(self) -> int | None:
        """The step that ``best.json`` names, while its checkpoint is there."""
        try:
            best = read_json(self.path / "best.json", "remove it")["step"]
        except (OSError, ValueError, KeyError):
            return None
        return best if best in self.steps() else None

    def steps(self) -> list[int]:
        """Steps of the checkpoints that were written to the end, ascending."""
        # A kill may leave a digest under its temporary name.
        digests = (self.path / "checkpoints").glob("[0-9]*.json")
        return sorted(int(file.stem) for file in digests if file.stem.isdecimal())

    def whole_step(self, step: int | str | None = None) -> int:
        """The step of the newest whole checkpoint, or ``step`` where that one is whole.

        ``step`` "best" is the one that `mark_best` was told.

        A damaged checkpoint is passed over with a warning that names it, unless it is the one
        asked for.

        Raises
        ------
        CheckpointError
            Where none is whole, or that of ``step`` is not there or damaged.
        """
        steps = self.steps()
        if step == "best":
            step = self.best_step()
            if step is None:
                raise CheckpointError(
                    f"{self.path} has no best checkpoint: train with inspectors, or take one of "
                    f"the steps {steps}"
                )
        if step is not None and step not in steps:
            raise CheckpointError(
                f"{self.path} has no checkpoint of step {step}; there are {steps}"
            )
        for candidate in reversed(steps) if step is None else [step]:
            if self.is_whole(candidate):
                return candidate
            damage = (
                f"the checkpoint {self._checkpoint(candidate)} is damaged (its content is not "
                "what was written)"
            )
            if step is not None:
                raise CheckpointError(f"{damage}; there are {steps}")
            warnings.warn(f"{damage}; trying the one before", stacklevel=3)
        raise CheckpointError(
            f"{self.path} has no whole checkpoint, found steps {steps}: delete the folder to "
            "train again"
        )

    def restore(self, template: Any, *, step: int | str | None = None) -> tuple[int, Any]:
        """The newest whole checkpoint (or that of ``step``, or the "best") as (step, state).

        The state is in numpy arrays: a checkpoint of one device is read on any other.

        Parameters
        ----------
        template : a tree of the arrays (or their shapes) to restore.

        Raises
        ------
        CheckpointError
            As `whole_step`.
        """
        step = self.whole_step(step)
        blank = jax.tree.map(lambda leaf: np.empty(leaf.shape, leaf.dtype), template)
        with _checkpointer() as checkpointer:
            return step, checkpointer.restore(self._checkpoint(step), blank)

    def digest(self, step: int) -> str:
        """The hash of the checkpoint of ``step`` that was written beside it."""
        return str(self._recorded(step).get("digest"))

    def is_whole(self, step: int) -> bool:
        """Whether the checkpoint of ``step`` is what its digest says was written."""
        folder = self._checkpoint(step)
        recorded = self._recorded(step).get("digest")
        return folder.is_dir() and _digest(folder) == recorded

    def _recorded(self, step: int) -> dict[str, Any]:
        """What was written beside a checkpoint; nothing where that is cut short."""
        try:
            return read_json(self._checkpoint(step).with_suffix(".json"), "remove it")
        except (OSError, ValueError):
            return {}

    def _remove_leftovers(self) -> None:
        """Remove what killed writers left: half-written files, checkpoints without a digest."""
        remove_leftovers(self.path, "**/.*")
        for folder in (self.path / "checkpoints").glob("*"):
            if folder.is_dir() and not folder.with_name(f"{folder.name}.json").exists():
                shutil.rmtree(folder, ignore_errors=True)

    def _checkpoint(self, step: int) -> Path:
        return self.path / "checkpoints" / str(step)


def as_dict(config: Any) -> dict[str, Any]:
    """The fields of a configuration dataclass, ready for JSON."""
    return dataclasses.asdict(config)


def _checkpointer():
    """Reads and writes in this process alone: others of a distributed run don't wait for it."""
    import orbax.checkpoint as ocp

    me = jax.process_index()
    alone = ocp.options.MultiprocessingOptions(
        primary_host=me, active_processes={me}, barrier_sync_key_prefix=f"process{me}"
    )
    return ocp.StandardCheckpointer(multiprocessing_options=alone)


@contextmanager
def _quiet_threads() -> Iterator[None]:
    """Orbax raises what goes wrong in its threads; they need not tell it, with tracebacks, too."""
    log, told = logging.getLogger("absl"), threading.excepthook
    disabled = log.disabled

    def tell(failed: threading.ExceptHookArgs) -> None:
        if not type(failed.thread).__module__.startswith("orbax."):
            told(failed)

    log.disabled, threading.excepthook = True, tell
    try:
        yield
    finally:
        log.disabled, threading.excepthook = disabled, told


def _digest(folder: Path) -> str:
    """A hash of the names and contents of all files under ``folder``."""
    total = hashlib.blake2b(digest_size=16)
    for file in sorted(p for p in folder.rglob("*") if p.is_file()):
        total.update(str(file.relative_to(folder)).encode())
        with file.open("rb") as handle:
            total.update(hashlib.file_digest(handle, "blake2b").digest())
    return total.hexdigest()
