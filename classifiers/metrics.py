"""How good predictions are, by clip and by track."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Report:
    """Scores of a set of predictions.

    Attributes
    ----------
    accuracy : share of right answers.
    macro_f1 : mean F1 over the classes that occur as truth (the averaged F1 of Opitz and Burst,
        arXiv:1911.03347): of a class that was not tested there is no recall, so that its F1 says
        nothing; that it was answered lowers the recall of another.
    confusion : (K, K) counts; rows are the truth, columns the prediction.
    per_class : ``precision``, ``recall``, ``f1`` and ``support`` (true count), each (K,);
        a score without any case (0/0) is 0.
    loss : mean cross-entropy in nats, of probabilities no smaller than float32 has them.
    """

    accuracy: float
    macro_f1: float
    confusion: np.ndarray
    per_class: dict[str, np.ndarray]
    loss: float

    def to_dict(self) -> dict[str, Any]:
        """The report as plain numbers and lists, for JSON."""
        return {
            "accuracy": self.accuracy,
            "macro_f1": self.macro_f1,
            "loss": self.loss,
            "confusion": self.confusion.tolist(),
            "per_class": {name: values.tolist() for name, values in self.per_class.items()},
        }

    def __repr__(self) -> str:
        clips, classes = int(self.confusion.sum()), len(self.confusion)
        return (
            f"<Report on {clips} of {classes} classes: accuracy {self.accuracy:.1%}, "
            f"macro F1 {self.macro_f1:.3f}>"
        )

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{k}</th>" for k in range(len(self.confusion)))
        rows = "".join(
            f"<tr><th>{k}</th>{''.join(f'<td>{count}</td>' for count in row)}</tr>"
            for k, row in enumerate(self.confusion)
        )
        scores = f"Accuracy {self.accuracy:.1%}, macro F1 {self.macro_f1:.3f}"
        return f"<p>{scores}</p><table><tr><th>true \\ predicted</th>{head}</tr>{rows}</table>"


def expect_every_class(labels: np.ndarray, num_classes: int, optimizer: str) -> None:
    """Raise ValueError unless each class has a training clip, as an optimizer needs it."""
    if missing := sorted({*range(num_classes)} - {*labels.tolist()}):
        raise ValueError(
            f"the optimizer {optimizer!r} needs training clips of every class; class {missing[0]} "
            f"of {num_classes} has none"
        )


def evaluate(probabilities: np.ndarray, labels: np.ndarray) -> Report:
    """Score predictions.

    Parameters
    ----------
    probabilities : (N, K); the largest is the answer (the first of equals).
    labels : (N,) true classes, 0 to K - 1.

    Raises
    ------
    ValueError
        Different lengths, nothing to score, labels out of range, or NaN.
    """
    probabilities, labels = np.asarray(probabilities), np.asarray(labels)
    if probabilities.ndim != 2 or labels.shape != probabilities.shape[:1] or not len(labels):
        raise ValueError(
            f"evaluate takes probabilities (N, K) and labels (N,) with N > 0, "
            f"not {probabilities.shape} and {labels.shape}"
        )
    if np.isnan(probabilities).any():
        raise ValueError("probabilities hold NaN: the model's weights or its inputs are not finite")
    classes = probabilities.shape[1]
    check_labels(labels, classes)
    confusion = np.zeros((classes, classes), int)
    np.add.at(confusion, (labels, probabilities.argmax(1)), 1)

    right, support, predicted = np.diag(confusion), confusion.sum(1), confusion.sum(0)
    f1 = _ratio(2 * right, support + predicted)
    per_class = {
        "precision": _ratio(right, predicted),
        "recall": _ratio(right, support),
        "f1": f1,
        "support": support,
    }
    given = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    loss = -np.log(np.maximum(given, np.finfo(np.float32).tiny)).mean()
    accuracy, macro_f1 = float(right.sum() / len(labels)), float(f1[support > 0].mean())
    return Report(accuracy, macro_f1, confusion, per_class, float(loss))


def vote_by_track(
    probabilities: np.ndarray, track_ids: Sequence[Any] | np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Average the probabilities of each track's clips.

    Parameters
    ----------
    probabilities : (N, K), one row a clip.
    track_ids : (N,) the track of each clip.

    Returns
    -------
    track_ids : (tracks,) in the order in which they first occur.
    probabilities : (tracks, K) means.
    """
    probabilities, ids = np.asarray(probabilities), np.asarray(track_ids)
    if probabilities.ndim != 2 or ids.shape != probabilities.shape[:1]:
        raise ValueError(
            f"vote_by_track takes probabilities (N, K) and track_ids (N,), "
            f"not {probabilities.shape} and {ids.shape}"
        )
    _, first, track = np.unique(ids, return_index=True, return_inverse=True)
    order = np.argsort(first)
    totals = np.zeros((len(first), probabilities.shape[1]))
    np.add.at(totals, track, probabilities)
    means = totals / np.bincount(track, minlength=len(first))[:, None]
    return ids[first[order]], means[order]


def check_labels(labels: np.ndarray, classes: int, what: str = "labels") -> None:
    """Raise ValueError unless ``labels`` are whole numbers from 0 to ``classes`` - 1."""
    if not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"{what} are class indices (integers), not {labels.dtype}")
    if len(labels) and (labels.min() < 0 or labels.max() >= classes):
        raise ValueError(
            f"{what} run from {labels.min()} to {labels.max()}; "
            f"with {classes} classes they are 0 to {classes - 1}"
        )


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, 0 where whole is 0."""
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)
