"""What ends a training run that leads nowhere: losses, weights and sounds that are broken."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np


class TrainingDiverged(RuntimeError):
    """The run can't go on: a loss that is not finite, or a silent or collapsed generator."""


class Watch:
    """Raises TrainingDiverged where a run can't lead anywhere any more.

    Silence and collapse must last for ``patience`` log intervals: early in training a
    generator may pass through either.
    """

    patience = 20
    silence = 1e-3  # of the rms of the real clips
    collapse = 1e-3  # spread between clips, of their rms

    def __init__(self):
        self._silent = self._collapsed = 0

    @property
    def doubtful(self) -> bool:
        """Whether the generator was silent or collapsed when last seen: no state to keep."""
        return self._silent > 0 or self._collapsed > 0

    def check(self, metrics: Mapping[str, float], *, last: bool = False) -> None:
        """Raise where training can't go on; at the ``last`` step a doubt is enough."""
        step = metrics["gan/step"]
        broken = [name for name, value in metrics.items() if not np.isfinite(value)]
        if broken:
            raise TrainingDiverged(
                f"{', '.join(broken)} not finite at step {step}: the last good checkpoint is kept; "
                "start a new run with a smaller learning_rate"
            )
        fake = metrics["gan/rms_fake"]
        self._silent = self._silent + 1 if fake < self.silence * metrics["gan/rms_real"] else 0
        self._collapsed = self._collapsed + 1 if metrics["gan/spread"] < self.collapse * fake else 0
        for count, what in ((self._silent, "silent"), (self._collapsed, "collapsed to one clip")):
            if count >= (1 if last else self.patience):
                raise TrainingDiverged(
                    f"the generator is {what} at step {step} (rms {fake:.2g}, spread between clips "
                    f"{metrics['gan/spread']:.2g}): the last checkpoint is kept; try another seed, "
                    "a smaller learning_rate or more critic_steps"
                )


def refuse_broken(state: Any, step: int) -> None:
    """Keep weights that are not finite out of the checkpoints."""
    if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state)):
        raise TrainingDiverged(
            f"the weights are not finite at step {step}: the last good checkpoint is kept; "
            "start a new run with a smaller learning_rate"
        )
