"""Genre classifiers: published architectures, their training, and metrics."""

from classifiers.architectures import ARCHITECTURES, create
from classifiers.metrics import Report, evaluate, vote_by_track
from classifiers.training import FitConfig, History, fit, predict

__all__ = [
    "ARCHITECTURES",
    "FitConfig",
    "History",
    "Report",
    "create",
    "evaluate",
    "fit",
    "predict",
    "vote_by_track",
]
