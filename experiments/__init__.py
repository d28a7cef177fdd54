"""Experiments: each command of `wavegan` as a function, and what users add to them.

A name is imported when it is first asked for, so that the command line starts at once.
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # `typing` takes longer to import than all else here
if TYPE_CHECKING:
    from typing import Any

    from experiments.audio_classifier import AudioClassifier
    from experiments.commands.audition import audition
    from experiments.commands.classify import classify
    from experiments.commands.compare import compare
    from experiments.commands.generate import export, generate, interpolate
    from experiments.commands.listen import analyse, listen
    from experiments.commands.predict import predict
    from experiments.commands.search import search
    from experiments.commands.study import study
    from experiments.commands.train import train
    from experiments.config import (
        AuditionConfig,
        ClassifyConfig,
        CompareConfig,
        DataConfig,
        GenerateConfig,
        InterpolateConfig,
        ListenConfig,
        PredictConfig,
        SearchConfig,
        StudyConfig,
        TrainGansConfig,
    )
    from experiments.recipes import RECIPES, Recipe
    from experiments.report.kit import FIGURES
    from experiments.stages.arms import SOURCES, Source

__all__ = ["FIGURES", "RECIPES", "SOURCES", "AudioClassifier", "Recipe", "Source"]
__all__ += ["AuditionConfig", "ClassifyConfig", "CompareConfig", "DataConfig", "GenerateConfig"]
__all__ += ["InterpolateConfig", "ListenConfig", "PredictConfig", "SearchConfig", "StudyConfig"]
__all__ += ["TrainGansConfig"]
__all__ += ["analyse", "audition", "classify", "compare", "export", "generate", "interpolate"]
__all__ += ["listen", "predict"]
__all__ += ["search", "study", "train"]

_HOMES = {
    "audio_classifier": ("AudioClassifier",),
    "report.kit": ("FIGURES",),
    "recipes": ("RECIPES", "Recipe"),
    "stages.arms": ("SOURCES", "Source"),
    "commands.generate": ("export", "generate", "interpolate"),
    "commands.listen": ("analyse", "listen"),
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    usual = "config" if name.endswith("Config") else f"commands.{name}"
    home = next((home for home, names in _HOMES.items() if name in names), usual)
    return getattr(import_module(f"experiments.{home}"), name)
