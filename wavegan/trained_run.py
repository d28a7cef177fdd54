"""A run folder as far as its GAN is trained: how it stands, and which checkpoint to take."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from wavegan.metrics import Row, Standing, own_error, standing
from wavegan.run_folder import RunFolder
from wavegan.train_config import TrainConfig


@dataclass(frozen=True)
class TrainedRun:
    """A GAN, as far as it is trained.

    Attributes
    ----------
    config : of its networks (``wavegan``) and its training (``train``).
    rows : of its metrics, in order.
    checkpoints : the steps that have one, ascending.
    """

    config: Mapping[str, Any]
    rows: Sequence[Row]
    checkpoints: Sequence[int]

    def __repr__(self) -> str:
        best = "" if self.best is None else f", best at step {self.best:,}"
        return f"TrainedRun(step {self.step:,} of {self.planned:,}{best})"

    @property
    def step(self) -> int:
        return int(self.rows[-1]["gan/step"]) if self.rows else 0

    @property
    def planned(self) -> int:
        return self.config["train"]["steps"]

    @property
    def rate(self) -> float:
        """Generator steps a second when last logged; 0 where not known."""
        return self.rows[-1].get("gan/steps_per_second", 0.0) if self.rows else 0.0

    @property
    def seconds(self) -> float:
        return self.step / self.rate if self.rate else 0.0

    @property
    def kept_by(self) -> str:
        """The metric that checkpoints are kept by."""
        return self.config["train"].get("keep_best", TrainConfig.keep_best)

    @cached_property
    def standing(self) -> Standing:
        """How far the GAN has come by its rows; what these said of it at the time counts not."""
        patience = self.config["train"].get("patience", TrainConfig.patience)
        return standing(self.rows, metric=self.kept_by, patience=patience)

    @property
    def best(self) -> int | None:
        """The step that is best by `kept_by`."""
        return int(self.standing.best["gan/step"]) if self.standing.best else None

    @property
    def finished(self) -> bool:
        """Whether training has ended; `Standing.doubt` says why it may have failed."""
        stopped = self.config["train"].get("stop_when_done") and self.standing.trained
        return self.step >= self.planned or bool(stopped)

    @property
    def choice(self) -> int | None:
        """The checkpoint to take: the best one, or the newest; None where there is none."""
        if not self.checkpoints:
            return None
        return self.best if self.best in self.checkpoints else self.checkpoints[-1]

    @property
    def as_good(self) -> int | None:
        """The last measured step, where it is as good as the best one within the errors."""
        metric, best = self.kept_by, self.standing.best
        last = next((row for row in reversed(self.rows) if metric in row), None)
        if last is None or best is None or last is best:
            return None
        errors = math.hypot(*(own_error(row, metric) for row in (best, last)))
        return int(last["gan/step"]) if abs(last[metric] - best[metric]) <= errors else None


def read_run(run_dir: str | Path) -> TrainedRun:
    """What a run folder of `wavegan.train` holds, finished or not.

    Raises
    ------
    ValueError
        For a folder that is none.
    """
    folder = RunFolder(run_dir)
    config = folder.read_config()
    if not {"wavegan", "train"} <= config.keys():
        raise ValueError(f"{run_dir} is no run folder of a GAN: its config.json describes none")
    rows = [row for row in folder.read_metrics() if "gan/step" in row]
    return TrainedRun(config, rows, folder.steps())
