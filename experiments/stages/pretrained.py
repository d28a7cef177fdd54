"""What a network heard whose layers a recipe takes over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from flax import nnx

from classifiers.saved import take_over
from experiments.recipes import Recipe
from experiments.stages.data import Rows
from features import Clips, LeakError, extractors
from features.settings import differences


def check_pretrained(recipe: Recipe, num_samples: int, num_classes: int) -> dict[str, Any]:
    """What the file says of itself whose layers a recipe takes over; nothing where there is none.

    Raises
    ------
    FileNotFoundError, ValueError
        There is no such file, its layers do not fit, or it heard other features.
    """
    if recipe.pretrained is None:
        return {}
    shape = recipe.input_shape(num_samples)
    try:
        about = take_over(
            nnx.eval_shape(lambda: recipe.network(shape, num_classes)), recipe.pretrained
        )
    except (FileNotFoundError, ValueError) as error:
        raise type(error)(f"--pretrained {error}") from None
    here: dict[str, Any] = {"sample_rate": recipe.sample_rate, "silence": recipe.silence}
    here["input"] = extractors.as_dict(recipe.input)
    other = differences({name: about[name] for name in here if name in about},
                        {name: x for name, x in here.items() if name in about})  # fmt: skip
    if other:
        told = "; ".join(f"{name} was {x} there and is {y} here" for name, (x, y) in other.items())
        raise ValueError(
            f"--pretrained {recipe.pretrained} heard otherwise: {told}. Take the recipe and the "
            "options that it was trained with"
        )
    return about


def made_elsewhere(recipe: Recipe, about: Mapping[str, Any]) -> str:
    """What nobody here knows the training of, in words; empty where all of it is known."""
    if recipe.pretrained is None:
        return ""
    return str(about.get("made_elsewhere") or ("" if "tracks" in about else recipe.pretrained))


def refuse_taught(recipe: Recipe, about: Mapping[str, Any], clips: Clips, rows: Rows) -> None:
    """Make sure that what a recipe takes over was trained on no validation or test track.

    Raises
    ------
    LeakError
        Naming the tracks.
    """
    heard = list(about.get("tracks", {}).values())
    for side in ("valid", "test"):
        held = clips.select(rows[side])
        seen = dict.fromkeys(held.track_ids[np.isin(held.digests, heard)].tolist())
        if seen:
            shown = ", ".join([*seen][:5]) + (", …" if len(seen) > 5 else "")
            raise LeakError(
                f"--pretrained {recipe.pretrained} was trained on {len(seen)} tracks of the {side} "
                f"side ({shown}): give one that heard none of them, or the same --split-seed"
            )
