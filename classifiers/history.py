"""What happened in a training, and the book that is kept of it on the way."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from classifiers.fit_config import FitConfig

_CURVES = ("train_loss", "train_accuracy", "valid_loss", "valid_accuracy")


@dataclass(frozen=True)
class History:
    """What happened in :func:`classifiers.fit`: lists with one entry an evaluation, and more.

    Attributes
    ----------
    steps : optimiser steps taken at each evaluation.
    train_loss, train_accuracy : means over the batches since the evaluation before, in
        training mode: augmented, weighted and so on, as it is trained.
    valid_loss, valid_accuracy : on the whole validation set; empty without one.
    best_step : the step whose weights the model was left with (the last without validation).
    num_steps : optimiser steps taken.
    stopped_early : whether patience ran out before the budget.
    labels : where the classes were given by name: the names in the order of the network's
        outputs (sorted), so that ``history.labels[k]`` is class k.
    """

    steps: list[int] = field(default_factory=list)
    train_loss: list[float] = field(default_factory=list)
    train_accuracy: list[float] = field(default_factory=list)
    valid_loss: list[float] = field(default_factory=list)
    valid_accuracy: list[float] = field(default_factory=list)
    best_step: int = 0
    num_steps: int = 0
    stopped_early: bool = False
    labels: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The history as plain numbers and lists, for JSON; ``labels`` only where there are."""
        values = asdict(self) | {"labels": list(self.labels)}
        return {name: value for name, value in values.items() if name != "labels" or value}

    def __repr__(self) -> str:
        if not self.steps:
            return f"<History of {self.num_steps} steps>"
        best = self.steps.index(self.best_step) if self.best_step in self.steps else -1
        scores = [f"training accuracy {self.train_accuracy[best]:.1%}"]
        if self.valid_loss:
            scores.append(f"validation accuracy {self.valid_accuracy[best]:.1%}")
        early = ", stopped early" if self.stopped_early else ""
        return f"<History of {self.num_steps} steps{early}; at step {self.best_step}, kept: " + (
            f"{', '.join(scores)}>"
        )


def one_after_another(parts: Sequence[History]) -> History:
    """The history of a training in several phases: the best step is one of the last of them."""
    starts = np.cumsum([0, *(part.num_steps for part in parts)]).tolist()
    curves: dict[str, Any] = {
        name: [x for part in parts for x in getattr(part, name)] for name in _CURVES
    }
    curves["steps"] = [
        start + step for start, part in zip(starts, parts, strict=False) for step in part.steps
    ]
    best = starts[-2] + parts[-1].best_step
    return replace(parts[-1], best_step=best, num_steps=starts[-1], **curves)


@dataclass
class Member:
    """One network in training, as the host sees it.

    Attributes
    ----------
    seed : of the network's training.
    running : loss and accuracy of each step since the last evaluation.
    best_loss : the lowest validation loss so far.
    misses : evaluations in a row that did not lower it.
    done : whether the budget or the patience has run out.
    """

    seed: int
    history: History = field(default_factory=History)
    running: list[list[float]] = field(default_factory=list)
    best_loss: float = math.inf
    misses: int = 0
    done: bool = False

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Member:
        """The member of which ``values`` is `dataclasses.asdict`."""
        history = dict(values["history"])
        labels = tuple(history.pop("labels", ()))  # a list in JSON
        return cls(**{**values, "history": History(**history, labels=labels)})

    def record(self, scores: np.ndarray, taken: int, config: FitConfig) -> None:
        """Take down the scores (steps, 2) of the steps up to ``taken``; FloatingPointError
        names the first that is not finite."""
        for step, (loss, _) in enumerate(scores, taken - len(scores) + 1):
            self._check_finite("training", loss, step, config)
        self.running += scores.tolist()

    def evaluate(self, taken: int, scores: np.ndarray | None, config: FitConfig) -> bool:
        """Close the books on the steps up to ``taken``: whether its weights are to be kept.

        ``scores`` is the validation's loss and accuracy, where there is one.
        """
        loss, accuracy = np.mean(self.running, 0).tolist()
        self.running = []
        self.history.steps.append(taken)
        self.history.train_loss.append(loss)
        self.history.train_accuracy.append(accuracy)
        better = scores is None
        if scores is not None:
            valid_loss, valid_accuracy = scores.tolist()
            self._check_finite("validation", valid_loss, taken, config)
            self.history.valid_loss.append(valid_loss)
            self.history.valid_accuracy.append(valid_accuracy)
            better = valid_loss < self.best_loss
            self.best_loss = min(self.best_loss, valid_loss)
            self.misses = 0 if better else self.misses + 1
            better = better or not config.restore_best
        self.done = taken == config.steps or self.misses == config.patience
        self.history = replace(
            self.history,
            best_step=taken if better else self.history.best_step,
            num_steps=taken,
            stopped_early=self.done and taken != config.steps,
        )
        return better

    def values(self) -> dict[str, float]:
        """What there is to log: the last step's loss, or the scores of the evaluation."""
        if self.running:
            return {"loss": self.running[-1][0]}
        scores = {name: getattr(self.history, name) for name in _CURVES}
        return {name.removeprefix("train_"): list_[-1] for name, list_ in scores.items() if list_}

    def _check_finite(self, which: str, loss: float, step: int, config: FitConfig) -> None:
        if not np.isfinite(loss):
            raise FloatingPointError(
                f"the {which} loss is {loss} at step {step} (seed {self.seed}): check the inputs "
                "for NaN, Inf and values that are not scaled to about 1, or lower learning_rate "
                f"(now {config.learning_rate})"
            )
