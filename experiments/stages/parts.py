"""The parts of a comparison that workers do: GANs, judges and fits."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from experiments.config import CompareConfig
from experiments.executors import Workers, open_workers
from experiments.report.terminal import Progress
from experiments.run import Run
from experiments.stages.cells import (
    Opened,
    Sides,
    of_cell,
    open_cells,
    open_folders,
    whole_material,
)
from experiments.stages.comparison import Fit
from experiments.stages.examples import Material
from experiments.stages.gan_stages import open_gans
from experiments.stages.gan_training import Team, Watching, keep_judge, train_team
from wavegan import TrainingDiverged


@contextmanager
def sharing(
    config: CompareConfig, run: Run, progress: Progress, should_stop: Callable[[], bool] | None
) -> Iterator[Others | None]:
    """The workers of a comparison, while the block lasts; None where it has none."""
    if config.executor is None:
        yield None
        return
    with open_workers(config.executor, Worker(config, run.path), config.shared) as workers:
        yield Others(workers, progress, should_stop)


@dataclass
class Others:
    """Has the parts of a comparison done by workers, each part once."""

    workers: Workers
    progress: Progress
    should_stop: Callable[[], bool] | None
    known: dict[Any, str] = field(default_factory=dict)

    def do(self, task: str, parts: Sequence[Any]) -> dict[Any, str]:
        """Why parts of a task ("GANs", "judges", "fits") failed, of those that did."""
        left = [part for part in dict.fromkeys(parts) if part not in self.known]
        if left:
            shown = self.progress.of(f"{task}, {self.workers.about}", task.rstrip("s"))
            shown(0, len(left))
            said = self.workers.run(left, on_done=shown, should_stop=self.should_stop)
            self.known |= dict(zip(left, said, strict=True))
        return {part: self.known[part] for part in parts if self.known[part]}


@dataclass
class Worker:
    """What a worker does: a team of GANs, the judge of a cell, or a fit."""

    config: CompareConfig
    out: Path
    materials: dict[tuple[str, str], Material] = field(default_factory=dict, init=False)

    def __call__(self, part: Team | str | Fit, should_stop: Callable[[], bool]) -> str:
        """Do a part; why it failed."""
        if isinstance(part, tuple):
            trainings = [cell.training for cell in self.opened.every]
            watching = Watching(self.config.quality)
            try:
                train_team(self.run, trainings, part, watching=watching, should_stop=should_stop)
            except TrainingDiverged as error:  # its runs have failed, and the others go on
                return str(error)
        elif isinstance(part, str):
            keep_judge(self.run, self.cells[part].training, Progress(quiet=True))
        else:
            material = self.material(part.trial.split, part.recipe)
            try:
                part.run(self.config.declared, material, should_stop)
            except FloatingPointError as error:
                return str(error)
        return ""

    @cached_property
    def run(self) -> Run:
        return Run(self.out)

    @cached_property
    def opened(self) -> Opened:
        if not (self.run.path / "config.json").exists():
            raise ValueError(
                f"a worker on {platform.node()} does not see the run folder {self.run.path}: have "
                "it, and the data, on a file system that all machines share"
            )
        try:
            found = open_cells(self.config, Progress(quiet=True))
        except FileNotFoundError as error:
            raise ValueError(
                f"a worker on {platform.node()}, in {Path.cwd()}, does not see the data ({error}): "
                "have them, and the run folder, on a file system that all machines share"
            ) from error
        self.run.refuse_others("compare", found.fixed)
        if self.run.of_other_code:
            raise ValueError(
                f"a worker on {platform.node()} has other code than the process that it works for: "
                "have the same version of the package in both, and start the run again"
            )
        return found

    @cached_property
    def cells(self) -> dict[str, Sides]:
        return {cell.data.name: cell for cell in self.opened.every}

    @cached_property
    def whole(self) -> dict[str, Material]:
        quiet = Progress(quiet=True)
        folders = open_folders(self.opened, quiet)
        return {
            recipe.name: whole_material(self.opened, recipe, self.run, folders, quiet)
            for recipe in self.opened.recipes
        }

    def material(self, name: str, recipe: str) -> Material:
        """That of a cell, for a recipe."""
        key = name, recipe
        if key not in self.materials:
            cell = self.cells[name]
            gans = open_gans(self.run, cell.training) if self.config.generates else []
            self.materials[key] = of_cell(self.opened, self.whole[recipe], cell, gans)
        return self.materials[key]
