"""Genre classifiers: published architectures, their training, and metrics."""

from classifiers import networks as _networks  # noqa: F401  (they register themselves)
from classifiers.architectures import ARCHITECTURES, architecture, create
from classifiers.classifier import Classifier, Spec
from classifiers.fit_config import FitConfig
from classifiers.history import History
from classifiers.metrics import Report, evaluate, vote_by_track
from classifiers.prediction import predict
from classifiers.saved import load, save
from classifiers.saved_classifier import SavedClassifier
from classifiers.training import FitInterrupted, fit, fit_together, seconds_per_step
from classifiers.transfer import fit_head, with_new_head

__all__ = [
    "ARCHITECTURES",
    "Classifier",
    "FitConfig",
    "FitInterrupted",
    "History",
    "Report",
    "SavedClassifier",
    "Spec",
    "architecture",
    "create",
    "evaluate",
    "fit",
    "fit_head",
    "fit_together",
    "load",
    "predict",
    "save",
    "seconds_per_step",
    "vote_by_track",
    "with_new_head",
]
