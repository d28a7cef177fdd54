"""A saved classifier put to use: audio in, the probability of each class over time out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from flax import nnx

from classifiers.prediction import predict
from classifiers.saved import load
from features import Standardizer
from features.extractors import from_dict
from features.limits import check_rate
from features.silence import remove_silence
from features.storage import understanding

_SAID = {"labels", "sample_rate", "num_samples", "input", "tracks", "silence", "recipe", "scaler"}
_BATCH = 32  # clips whose features are computed at a time


@dataclass(frozen=True)
class AudioClassifier:
    """A trained classifier of audio, with all that its use needs.

    Attributes
    ----------
    path : its file.
    model : the network.
    about : what the file says of it: labels, clip, features, scaler, what it was trained on.
    """

    path: Path
    model: nnx.Module
    about: dict[str, Any]

    @staticmethod
    def read(path: Path) -> AudioClassifier:
        """The classifier in a file that `wavegan classify` wrote."""
        model, about = load(path)
        if missing := _SAID - about.keys():
            raise ValueError(
                f"{path} does not say its {', '.join(sorted(missing))}: give a classifier that "
                "`wavegan classify` wrote"
            )
        read = AudioClassifier(path, model, about)
        with understanding(path, "give a classifier that `wavegan classify` wrote"):
            check_rate(about["sample_rate"])
            read.clip_seconds, from_dict(about["input"]), about["tracks"].values()
            if not all(isinstance(label, str) for label in about["labels"]):
                raise TypeError("labels are texts")
        return read

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(self.about["labels"])

    @property
    def clip_seconds(self) -> float:
        return self.about["num_samples"] / self.about["sample_rate"]

    def heard(self, audio: np.ndarray) -> np.ndarray:
        """Audio (L, C) without what training took out of it as silence."""
        silence = self.about["silence"]
        return audio if silence is None else remove_silence(audio, by=silence)

    def __call__(self, audio: np.ndarray) -> np.ndarray:
        """Probabilities (clips, K) of the clips, end to end, of `heard` audio at its sample rate.

        Audio shorter than a clip is a ValueError that says how long that is.
        """
        length = self.about["num_samples"]
        count = len(audio) // length
        if count == 0:
            raise ValueError(
                f"{len(audio) / self.about['sample_rate']:.2f} s are too short for "
                f"{self.about['recipe']}, whose clips have {self.clip_seconds:.2f} s"
            )
        clips = audio[: count * length].reshape(count, length, -1)
        make, rate = from_dict(self.about["input"]), self.about["sample_rate"]
        parts = []
        for start in range(0, count, _BATCH):
            rows = np.arange(start, start + _BATCH) % count  # batches of one shape
            parts.append(np.asarray(make(clips[rows], rate))[: count - start])
        features = np.concatenate(parts)
        if self.about["scaler"]:
            features = Standardizer.from_dict(self.about["scaler"]).apply(features)
        return predict(self.model, features)
