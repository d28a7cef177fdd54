"""Experiments: each command of `wavegan` as a function, and what users add to them."""

from experiments.commands.classify import classify
from experiments.commands.compare import compare
from experiments.commands.generate import export, generate, interpolate
from experiments.commands.predict import predict
from experiments.commands.search import search
from experiments.commands.study import study
from experiments.commands.train import train
from experiments.config import (
    ClassifyConfig,
    CompareConfig,
    DataConfig,
    GenerateConfig,
    InterpolateConfig,
    PredictConfig,
    SearchConfig,
    StudyConfig,
    TrainGansConfig,
)
from experiments.recipes import RECIPES, Recipe
from experiments.report.kit import FIGURES
from experiments.stages.examples import ARMS, Arm

__all__ = [
    "ARMS",
    "FIGURES",
    "RECIPES",
    "Arm",
    "ClassifyConfig",
    "CompareConfig",
    "DataConfig",
    "GenerateConfig",
    "InterpolateConfig",
    "PredictConfig",
    "Recipe",
    "SearchConfig",
    "StudyConfig",
    "TrainGansConfig",
    "classify",
    "compare",
    "export",
    "generate",
    "interpolate",
    "predict",
    "search",
    "study",
    "train",
]
