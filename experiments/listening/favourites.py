"""Clips that a listener marked on an audition's page, to be made again from their latents."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from experiments.stages.gans import Gan
from features.storage import Unfit, read_json, understanding

FORMAT, VERSION = "wavegan favourites", 1
_ADVICE = "export the favourites again from the page of `wavegan audition`"


@dataclass(frozen=True)
class Favourites:
    """The latents of marked clips.

    Attributes
    ----------
    file : that they are read from.
    latents : (n, latent_dim) for each generator's key, class and step.
    """

    file: Path
    latents: Mapping[tuple[str, str, int | None], np.ndarray]

    def of(self, gan: Gan, label: str) -> dict[int | None, np.ndarray]:
        """Those of a GAN and a class, by their steps; of a file, which has one, by None."""
        own, file = (gan.key, label), gan.folder.is_file()
        found = {key[2]: rows for key, rows in self.latents.items() if key[:2] == own}
        return {None if file else step: rows for step, rows in found.items()}

    def refuse_others(self, gans: Sequence[Gan]) -> None:
        """Raise ValueError where none of the clips is of one of the GANs."""
        keys = {gan.key for gan in gans}
        if not any(key in keys for key, *_ in self.latents):
            raise ValueError(
                f"--latents {self.file}: none of its clips is of a generator of this run; give the "
                "RUN whose clips were marked"
            )


def read_favourites(file: Path) -> Favourites:
    """What the page of `wavegan audition` exported; a ValueError where it is something else."""
    try:
        content = read_json(file, _ADVICE)
    except FileNotFoundError:
        raise ValueError(f"--latents {file}: no such file") from None
    with understanding(file, _ADVICE):
        if (content.get("format"), content.get("version")) != (FORMAT, VERSION):
            raise Unfit(f"it has no favourites of version {VERSION}")
        rows = defaultdict[tuple[str, str, int | None], list[np.ndarray]](list)
        for clip in content["clips"]:
            rows[clip["generator"], clip["label"], _step(clip["step"])].append(_latent(clip))
        if not rows:
            raise Unfit("no clip is marked in it")
        if any(len({row.size for row in found}) > 1 for found in rows.values()):
            raise Unfit("latents of one generator have different lengths")
    return Favourites(file, {key: np.stack(found) for key, found in rows.items()})


def _step(step: Any) -> int | None:
    if step is not None and (type(step) is not int or step < 0):
        raise Unfit(f"a step is a whole number or null, found {step!r:.50}")
    return step


def _latent(clip: Mapping[str, Any]) -> np.ndarray:
    numbers = clip["latent"]
    if not isinstance(numbers, list) or not numbers or {*map(type, numbers)} - {int, float}:
        raise Unfit(f"the latent of {clip.get('name')!r:.80} is no row of numbers")
    return np.asarray(numbers, np.float32)
