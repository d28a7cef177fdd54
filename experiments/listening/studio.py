"""New clips on request: a point between three latents, a mix of classes, one clip at a time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from experiments.listening.auditions import Maker
from wavegan import generate

REACH = 2.0  # of the pad's coordinates, of which (0, 0), (1, 0) and (0, 1) are drawn latents
CORNERS = 3


@dataclass(frozen=True)
class Rendered:
    """A clip: audio (L, C), its rate in Hz, its latent, and the class where it is of one alone."""

    audio: np.ndarray
    sample_rate: int
    latent: np.ndarray
    label: str | None


@dataclass(frozen=True)
class Studio:
    """GANs that make clips of what they are asked for.

    Attributes
    ----------
    makers : the GANs.
    seed : of the latents between which the clips lie.
    """

    makers: Sequence[Maker]
    seed: int

    @cached_property
    def corners(self) -> list[np.ndarray]:
        """The three latents (3, latent_dim) of each GAN."""
        return [maker.latents(CORNERS, self.seed) for maker in self.makers]

    def about(self) -> list[dict[str, Any]]:
        """What a page has to know of each GAN."""
        return [
            {"name": f"{maker.run}, {maker.gan.label}" if not maker.gan.conditional else maker.run,
             "labels": list(maker.gan.labels), "generator": maker.gan.key, "run": maker.run,
             "step": maker.step}
            for maker in self.makers
        ]  # fmt: skip

    def render(self, asked: Mapping[str, Any]) -> Rendered:
        """The clip that is asked for.

        Parameters
        ----------
        asked : ``gan`` (which), ``x`` and ``y`` (±2), ``truncation`` (above 0, up to 1) and
            ``weights`` (of each class, 0 or more, not all 0).

        Raises
        ------
        ValueError
            Naming what is missing or out of bounds.
        """
        number = asked.get("gan")
        if type(number) is not int or not 0 <= number < len(self.makers):
            raise ValueError(f"gan lies in 0 … {len(self.makers) - 1}, found {number!r:.40}")
        maker, corners = self.makers[number], self.corners[number]
        x, y = (_number(asked, name, -REACH, REACH) for name in ("x", "y"))
        truncation = _number(asked, "truncation", 1e-3, 1.0)
        weights, labels = asked.get("weights"), maker.gan.labels
        if not isinstance(weights, list) or len(weights) != len(labels):
            raise ValueError(f"weights are {len(labels)} numbers, found {weights!r:.40}")
        shares = np.array([_number({"weights": one}, "weights", 0.0, 1.0) for one in weights])
        if not shares.sum():
            raise ValueError("weights must not all be 0")
        shares = (shares / shares.sum()).astype(np.float32)
        origin, across, up = corners
        latent = origin + x * (across - origin) + y * (up - origin)
        latent = np.clip(truncation * latent, -1, 1).astype(np.float32)
        label = shares if maker.gan.conditional else None
        made = generate(maker.generator, latents=latent[None], label=label, batch_size=1)
        alone = labels[int(shares.argmax())] if np.count_nonzero(shares) == 1 else None
        return Rendered(made.audio[0], maker.sample_rate, latent, alone)


def _number(asked: Mapping[str, Any], name: str, low: float, high: float) -> float:
    value: Any = asked.get(name)
    if type(value) not in (int, float) or not math.isfinite(value) or not low <= value <= high:
        raise ValueError(f"{name} is a number in {low:g} … {high:g}, found {value!r:.40}")
    return float(value)
