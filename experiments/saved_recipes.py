"""The recipe of a saved classifier, so that it can be trained on, or another be trained like it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from classifiers import FitConfig, SavedClassifier
from experiments.recipes import RECIPES, Recipe
from features.extractors import from_dict


def heard(saved: SavedClassifier) -> dict[str, Any]:
    """What of a recipe a saved classifier fixes: its network, features and clips."""
    spec, about = saved.model.spec, saved.about
    clip = {name: about[name] for name in ("sample_rate", "num_samples", "silence")}
    network = {"architecture": spec.name, "options": dict(spec.options)}
    return {**network, **clip, "input": from_dict(about["input"])}


def recipe_of(saved: SavedClassifier) -> Recipe:
    """The recipe of a saved classifier, by what its file says, else by its name."""
    name, training = saved.about["recipe"], saved.about.get("training")
    if training is None:
        if name not in RECIPES:
            raise ValueError(
                f"{saved.path} is of the recipe {name!r}, and does not say how it trains: "
                f"{RECIPES.unknown(str(name))}"
            )
        fit = replace(RECIPES[name].fit, framework=saved.model.spec.framework)
        return replace(RECIPES[name], fit=fit, **heard(saved))
    weights = training["fit"]["class_weights"]
    weights = tuple(weights) if isinstance(weights, list) else weights
    return Recipe(
        name=name,
        about=f"read from {saved.path.name}",
        fit=FitConfig(**{**training["fit"], "class_weights": weights}),
        per_track=training["per_track"],
        **heard(saved),
    )
