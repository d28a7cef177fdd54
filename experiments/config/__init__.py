"""What each command is asked to do: a frozen dataclass for each, checked when it is made."""

from experiments.config.classify import ClassifyConfig, PredictConfig
from experiments.config.compare import DEFAULT_ARMS, CompareConfig
from experiments.config.data import DataConfig, as_dict
from experiments.config.generate import GenerateConfig, InterpolateConfig
from experiments.config.listening import AuditionConfig, ListenConfig
from experiments.config.study import SearchConfig, StudyConfig
from experiments.config.train import INSPECTIONS, TrainGansConfig, inspected

__all__ = [
    "DEFAULT_ARMS",
    "INSPECTIONS",
    "AuditionConfig",
    "ClassifyConfig",
    "CompareConfig",
    "DataConfig",
    "GenerateConfig",
    "InterpolateConfig",
    "ListenConfig",
    "PredictConfig",
    "SearchConfig",
    "StudyConfig",
    "TrainGansConfig",
    "as_dict",
    "inspected",
]
