"""How long and how a classifier is trained."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace

import numpy as np
import optax

from classifiers.frameworks import FRAMEWORKS
from features.limits import check_finite, check_positive

LBFGS, MEMORY = AT_ONCE = ("lbfgs", "memory")  # which take all clips at once, not batch by batch
OPTIMIZERS: tuple[str, ...] = ("adam", "rmsprop", "sgd", *AT_ONCE)
CHOICES = {
    "optimizer": OPTIMIZERS,
    "framework": tuple(FRAMEWORKS),
    "schedule": ("constant", "cosine"),
    "compute_dtype": ("float32", "bfloat16"),
}


@dataclass(frozen=True)
class FitConfig:
    """How long and how to train. One of ``steps`` and ``epochs`` is needed.

    Parameters
    ----------
    batch_size : clips in a step.
    steps : optimiser steps to take.
    epochs : the same budget as passes over the training set.
    learning_rate : of the optimiser.
    optimizer : "adam", "rmsprop", "sgd", or one of two that take all training clips at once, so
        that the learning rate plays no part, and a batch is only what goes through the network at
        a time: "lbfgs" fits the last layer alone, as a logistic regression on what the layers below
        give, to its optimum, in at most as many iterations as there are steps; "memory" keeps the
        clips in a network that answers with the nearest.
    framework : "keras" or "torch", whose constants the optimiser has (Adam's epsilon is 1e-7 or
        1e-8, RMSProp's decay 0.9 or 0.99). The network of a recipe has the same framework's
        initial weights and batch normalisation.
    eval_every : steps between two evaluations; once an epoch by default. The last step is
        always evaluated; of "lbfgs" and "memory" no other is.
    patience : stop after so many evaluations in a row without a lower validation loss; None runs
        the whole budget.
    restore_best : end with the weights of the lowest validation loss, not with the last ones.
    schedule : "constant", or "cosine", which lets the learning rate fall to zero along half a
        period over the whole budget.
    warmup_steps : steps in which the learning rate first rises to its full value.
    momentum : of the optimiser "sgd".
    l2_penalty : this share of every weight is added to its gradient, as PyTorch's Adam has it.
    weight_decay : decoupled (arXiv 1711.05101): each step takes the learning rate times this
        share off every kernel; biases and the scales of a normalisation are left alone. Of
        "lbfgs" the loss has this times half the sum of the squares of the kernel for standardised
        inputs, which has the same gradient.
    class_weights : a weight for each class's share of the loss, which is summed over the clips
        of a batch and divided by their number; "balanced" takes N / (K · N_k) for the N_k
        training clips of class k of K. None weighs all alike.
    label_smoothing : this share of each target is spread evenly over the classes.
    compute_dtype : "float32", or "bfloat16" for a network that runs in half the bits: faster on
        an accelerator, not on a CPU. Weights, optimiser, batch statistics, loss and evaluation
        stay float32.
    """

    batch_size: int = 64
    steps: int | None = None
    epochs: int | None = None
    learning_rate: float = 1e-4
    optimizer: str = "adam"
    framework: str = "keras"
    eval_every: int | None = None
    patience: int | None = None
    restore_best: bool = True
    schedule: str = "constant"
    warmup_steps: int = 0
    momentum: float = 0.0
    l2_penalty: float = 0.0
    weight_decay: float = 0.0
    class_weights: str | tuple[float, ...] | None = None
    label_smoothing: float = 0.0
    compute_dtype: str = "float32"

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.epochs is None):
            raise ValueError(
                f"FitConfig takes one of steps and epochs, not steps={self.steps}, "
                f"epochs={self.epochs}"
            )
        for name in ("batch_size", "steps", "epochs", "eval_every", "patience"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"FitConfig: {name} is at least 1, not {value}")
        if not 0 < self.learning_rate < math.inf:
            raise ValueError(f"FitConfig: learning_rate is positive, not {self.learning_rate}")
        check_positive(learning_rate=self.learning_rate)  # as float32
        for name in ("warmup_steps", "l2_penalty", "weight_decay"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"FitConfig: {name} is not negative, not {getattr(self, name)}")
        for name in ("momentum", "label_smoothing"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"FitConfig: {name} lies in [0, 1), not {getattr(self, name)}")
        for name, accepted in CHOICES.items():
            if getattr(self, name) not in accepted:
                raise ValueError(
                    f"FitConfig: {name} is one of {accepted}, not {getattr(self, name)!r}"
                )
        if self.momentum and self.optimizer != "sgd":
            raise ValueError(
                f"FitConfig: momentum is for the optimizer 'sgd', not {self.optimizer!r}: "
                f"leave momentum={self.momentum} out"
            )
        if self.steps is not None and self.warmup_steps >= self.steps:
            raise ValueError(
                f"FitConfig: warmup_steps is below the {self.steps} steps there are, "
                f"not {self.warmup_steps}"
            )
        if self.optimizer in AT_ONCE:
            self._check_at_once()
        self._check_class_weights()
        check_finite(self)

    def _check_at_once(self) -> None:
        """Raise ValueError for what is of an optimiser that goes batch by batch."""
        usual = {field.name: field.default for field in fields(self)}
        names = ["patience", "schedule", "warmup_steps", "label_smoothing", "compute_dtype"]
        names += ["l2_penalty"]
        if self.optimizer == MEMORY:
            names += ["weight_decay", "class_weights"]
        for name in names:
            if getattr(self, name) != usual[name]:
                raise ValueError(
                    f"FitConfig: {name} is for an optimizer that goes batch by batch, not "
                    f"{self.optimizer!r}: leave {name}={getattr(self, name)!r} out, or take one of "
                    f"{', '.join(name for name in OPTIMIZERS if name not in AT_ONCE)}"
                )

    def _check_class_weights(self) -> None:
        weights = self.class_weights
        if weights is None or weights == "balanced":
            return
        if not isinstance(weights, tuple) or not all(0 <= w < math.inf for w in weights):
            raise ValueError(
                "FitConfig: class_weights is 'balanced', None or a tuple of numbers that are not "
                f"negative, one a class, not {weights!r}"
            )

    def steps_an_epoch(self, clips: int) -> int:
        """Steps in a pass over so many training clips."""
        return 1 if self.optimizer in AT_ONCE else -(-clips // self.batch_size)

    def resolved(self, labels: np.ndarray, num_classes: int) -> FitConfig:
        """The same in numbers for these training labels: ``steps``, ``eval_every``, weights.

        Raises
        ------
        ValueError
            Weights of another number of classes, or "balanced" ones of a class without clips;
            a warm-up that is longer than the training.
        """
        epoch = self.steps_an_epoch(len(labels))
        weights = self.class_weights
        if weights == "balanced":
            counts = np.bincount(labels, minlength=num_classes)
            if not counts.all():
                raise ValueError(
                    "FitConfig: class_weights='balanced' needs training clips of every class; "
                    f"class {int(counts.argmin())} of {num_classes} has none"
                )
            weights = tuple((len(labels) / (num_classes * counts)).tolist())
        steps = self.steps or (self.epochs or 0) * epoch
        found = self.checked(steps, num_classes)
        return replace(found, eval_every=self.eval_every or epoch, class_weights=weights)

    def checked(self, steps: int, num_classes: int) -> FitConfig:
        """The same with so many steps; errors as of `resolved`, but for classes without clips."""
        weights = self.class_weights
        if isinstance(weights, tuple) and len(weights) != num_classes:
            raise ValueError(
                f"FitConfig: class_weights is one number for each of the {num_classes} classes, "
                f"not {len(weights)}"
            )
        return replace(self, steps=steps, epochs=None)


def learning_rates(config: FitConfig) -> np.ndarray:
    """The learning rate (steps,), float32, of each step of a config that says ``steps``."""
    if config.steps is None:
        raise ValueError("learning_rates needs a FitConfig that says steps, not epochs")
    rate, warmup = config.learning_rate, config.warmup_steps
    if config.schedule == "constant" and not warmup:
        return np.full(config.steps, rate, np.float32)
    first = rate / (warmup + 1)  # not zero: no step is for nothing
    if config.schedule == "constant":
        schedule = optax.warmup_constant_schedule(first, rate, warmup)
    else:
        schedule = optax.warmup_cosine_decay_schedule(first, rate, warmup, config.steps)
    return np.asarray(schedule(np.arange(config.steps)), np.float32)
