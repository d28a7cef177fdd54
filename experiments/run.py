"""The run folder, which this module alone knows.

config.json       the resolved configuration
environment.json  versions and hardware
metrics.jsonl     what was logged, a line a time
results.json      the outcome
report.html       the page to open
stages.json       the stages that the outcome came from
hashes.json       what the files above, and tables, are known by
stages/NAME-KEY/  what each stage made, under a key of all that went into it
"""

from __future__ import annotations

import fcntl
import json
import os
import platform
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import jax

from features import code_of
from features.checksums import check, check_sealed, key_of, seal, seal_files, write_sealed
from features.dataset import refuse_recordings
from features.json_lines import Log
from features.limits import check_folder
from features.settings import another, differences
from features.storage import (
    alone,
    inside,
    is_leftover,
    read_json,
    refuse_links,
    remove_leftovers,
    shortened,
    understanding,
)
from wavegan.environment import environment

FORMAT = 6  # of run folders, from wavegan 0.9 on; those before have their own
CODE = ("wavegan", "classifiers", "experiments.stages")  # what, beside `features`, stages come from
STAGES = "stages.json"
_PAGE = ("results.json", "report.html")
OUTCOME = {  # what a finished run of each command has
    "train": ("gans.json", "report.html"),
    "study": ("results.json", "study.md"),
    "search": ("search.json",),
    "classify": (*_PAGE, "tracks.csv"),
    "compare": (*_PAGE, "runs.csv", "differences.csv", "table.md", "table.tex"),
}
_AGAIN = "restore it from a copy, or remove it and run the command that made it again"


class Run:
    """A run folder, locked against a second process while it is worked on."""

    def __init__(self, path: str | Path):
        self.path = Path(path).absolute()
        self.log = Log(self.path / "metrics.jsonl")
        self.used: set[str] = set()  # names of finished stages that were asked for

    @contextmanager
    def working(
        self, command: str, config: Mapping[str, Any], fixed: Mapping[str, Any]
    ) -> Iterator[Run]:
        """Take the folder, or resume what is there.

        Parameters
        ----------
        command : which the folder belongs to.
        config : written to ``config.json``.
        fixed : the part of it that a folder keeps for good; other settings may change, and
            what depends on them is done again.

        Raises
        ------
        ValueError
            Where the folder holds something else, naming what differs, or another process
            is at work in it.
        """
        if jax.process_index() > 0:  # of a distributed run: the first process holds the folder
            yield self
            return
        self.refuse_others(command, fixed)
        (self.path / "stages").mkdir(parents=True, exist_ok=True)
        with (self.path / ".lock").open("a+", errors="replace") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                lock.seek(0)
                raise ValueError(
                    f"--out {self.path} is in use by another process, {lock.read(200)}: wait for "
                    "it, or choose another folder"
                ) from None
            lock.truncate(0)
            print(f"number {os.getpid()} on {platform.node()}", end="", file=lock, flush=True)
            remove_leftovers(self.path, "**/.*")
            kept = {"format": FORMAT, "command": command, "fixed": dict(fixed), "code": code()}
            kept |= config
            self.write_json("config.json", kept)
            self.write_json("environment.json", environment())
            yield self
            self.write_json(STAGES, sorted(self.used))
            seal_files([self.path / name for name in OUTCOME.get(command, ())])

    def refuse_others(self, command: str, fixed: Mapping[str, Any]) -> None:
        """Make sure that what the folder holds, if anything, is this run, made by this version.

        Parameters and errors are those of `working`.
        """
        holds = f"--out {self.path} holds"
        check_folder(self.path, "--out")
        refuse_links(self.path)
        if not (self.path / "config.json").exists():
            there = self.path.iterdir() if self.path.exists() else ()
            if {f.name for f in there if not is_leftover(f)} - {"stages", ".lock"}:
                raise ValueError(f"{holds} files but no run (no config.json): choose a new folder")
            return
        found = self.read_config()
        with understanding(self.path / "config.json", _AGAIN):
            if found.get("format") != FORMAT:
                made = "environment.json"
                versions = self.read_json(made)["versions"] if (self.path / made).exists() else {}
                raise ValueError(
                    f"{holds} a run of wavegan {versions.get('wavegan', '0.1')}, whose stages "
                    "this version can't go on with: choose another folder, or finish it with the "
                    "version that made it"
                )
            if found["command"] != command:
                raise ValueError(
                    f"{holds} a run of `wavegan {found['command']}`, and this is `wavegan "
                    f"{command}`: choose another folder"
                )
            if differing := differences(found["fixed"], fixed):
                advice = "Choose another folder, or give the same settings to resume it"
                raise another(f"--out {self.path}", "run", differing, advice)

    @property
    def of_other_code(self) -> bool:
        """Whether the folder holds a run that other code was at work on last."""
        return (self.path / "config.json").exists() and self.read_config().get("code") != code()

    def stage(self, name: str, inputs: Mapping[str, Any], build: Callable[[Path], None]) -> Path:
        """The folder of a finished stage, built now where it is not there yet.

        Parameters
        ----------
        name : what the stage is called in the folder's name.
        inputs : all that the result depends on but the code; the hash of both is the key.
        build : makes the stage in the folder given. After a kill it is called on the same
            folder again, with what was there; it may resume from that.

        A finished stage that is not what was written is a ValueError.
        """
        stage = Stage(self, name, inputs)
        if stage.finished:
            check(stage.folder)
        else:
            with alone(stage.part, wait=True):  # another worker may be at it
                if stage.finished:
                    with suppress(OSError):  # renamed when it was finished, or made just now
                        stage.part.rmdir()
                else:
                    build(stage.part)
                    stage.finish()
        return stage.folder

    def read_config(self) -> dict[str, Any]:
        """The content of ``config.json``; a ValueError where it describes no run."""
        found = self.read_json("config.json", object)
        whole = isinstance(found, dict) and isinstance(found.get("fixed"), dict)
        if not whole or not isinstance(found.get("command", found.get("format", "")), str):
            raise ValueError(
                f"{self.path / 'config.json'} is damaged, it describes no run: restore it from a "
                "copy, or choose another folder"
            )
        return found

    def read_json(self, name: str, kind: type = dict) -> Any:
        """The content of a JSON file of the run; a missing or damaged one is a ValueError."""
        check_sealed(self.path / name)
        try:
            return read_json(self.path / name, _AGAIN, kind)
        except FileNotFoundError:
            raise ValueError(f"{self.path} is no finished run: it has no {name}") from None

    def write_json(self, name: str, value: Any) -> None:
        """Write a JSON file of the run, of which `read_json` knows whether it was changed."""
        write_sealed(self.path / name, value)


def refuse_run(out: Path) -> None:
    """Raise ValueError where a folder or file to write is a run, or in the stages of one."""
    out = out.absolute()
    for folder in (out, *out.parents):
        of_stages = folder.name == "stages" and (folder.parent / "config.json").exists()
        if of_stages or (folder == out and (folder / "config.json").exists()):
            run = folder.parent if of_stages else folder
            raise ValueError(
                f"{out} is in the finished work of the run {run}: write into a folder of its own"
            )


def own_folder(out: str | Path | None, run: Path, name: str) -> Path:
    """The folder to write into: ``out``, or if None ``name`` in a run, or beside a file.

    One that can't be written to, that is a run or in the stages of one, or that holds recordings
    is a ValueError.
    """
    beside = run if run.is_dir() else run.with_suffix("")
    folder = inside(beside, name) if out is None else Path(out)
    check_folder(folder, "--out")
    refuse_run(folder)
    refuse_recordings(folder)
    return folder


def as_folder(stage: str) -> str:
    """How the name of a stage begins the name of its folder."""
    return shortened(re.sub(r"[^\w.+-]+", "_", stage))


def code() -> str:
    """A hash of the code that stages come from: what other code made is no part of a result."""
    return code_of(*CODE)


class Stage:
    """A part of a run that is done once: under way in ``part``, finished in ``folder``.

    Parameters
    ----------
    by : a hash of the code that makes it, another part of its key.
    """

    def __init__(self, run: Run, name: str, inputs: Mapping[str, Any], by: str | None = None):
        by, inputs = by or code(), json.loads(json.dumps(inputs, sort_keys=True))
        self.run = run
        self.content: dict[str, Any] = {"stage": name, "inputs": inputs, "code": by}
        self.folder = run.path / "stages" / f"{as_folder(name)}-{key_of([inputs, by])}"
        self.part = self.folder.with_name(self.folder.name + ".part")

    @property
    def finished(self) -> bool:
        if self.folder.exists():
            self.run.used.add(self.folder.name)
        return self.folder.exists()

    def finish(self) -> None:
        """What is in ``part`` is all that the stage is to hold."""
        seal(self.part, self.folder, self.content)
        self.run.used.add(self.folder.name)
