"""A saved classifier put to use: audio in, the probability of each class over time out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from classifiers.classifier import Classifier
from classifiers.prediction import predictor
from classifiers.saved import load
from features import Standardizer
from features.extractors import MadeElsewhere, from_dict
from features.limits import wrong_rate
from features.silence import SILENCES, regrouped, sounding_blocks
from features.soundness import sound_blocks
from features.storage import Unfit, understanding

_SAID = {"labels", "sample_rate", "num_samples", "input", "tracks", "silence", "recipe", "scaler"}
_BATCH = 16  # clips whose features are computed at a time: 32 take 25 MB more, and as long


@dataclass(frozen=True)
class Hearing:
    """What a classifier made of a recording.

    Attributes
    ----------
    probabilities : (clips, K), of clips end to end.
    seconds, heard_seconds : of the recording, and of it without what is silent.
    peak : its largest magnitude, 1 at full scale.
    """

    probabilities: np.ndarray
    seconds: float
    heard_seconds: float
    peak: float


@dataclass(frozen=True)
class SavedClassifier:
    """A trained classifier of audio, with all that its use needs.

    Attributes
    ----------
    path : its file.
    model : the network.
    about : what the file says of it: labels, clip, features, scaler, what it was trained on.
    """

    path: Path
    model: Classifier
    about: dict[str, Any]

    @staticmethod
    def read(path: Path) -> SavedClassifier:
        """The classifier in a file that `wavegan classify` wrote."""
        model, about = load(path)
        if missing := _SAID - about.keys():
            raise ValueError(
                f"{path} does not say its {', '.join(sorted(missing))}: give a classifier that "
                "`wavegan classify` wrote"
            )
        read = SavedClassifier(path, model, about)
        with understanding(path, "give a classifier that `wavegan classify` wrote"):
            read._check()
        return read

    def _check(self) -> None:
        """Raise Unfit, or what `MISREAD` has, where what the file says is not of its network."""
        self.about["tracks"].values()
        labels, length, spec = self.about["labels"], self.about["num_samples"], self.model.spec
        texts = isinstance(labels, list) and all(isinstance(label, str) for label in labels)
        if not texts or not len({*labels}) == len(labels) == spec.num_classes:
            raise Unfit(f"its {spec.num_classes} classes have the labels {labels!r:.80}")
        if wrong := wrong_rate(self.about["sample_rate"]):
            raise Unfit(f"sample_rate {wrong}")
        try:
            made = from_dict(self.about["input"])
        except ValueError as error:
            raise Unfit(str(error)) from None
        if isinstance(made, MadeElsewhere):
            raise ValueError(
                f"{self.path} can't be used on audio: it takes {made.what}, and what made them is "
                "not in it; give such inputs to `classifiers.predict` with what `classifiers.load` "
                "reads, standardised as training had them"
            )
        if type(length) is not int or not 1 <= length < 1 << 31:
            raise Unfit(f"a clip has {length!r:.40} samples")
        if (silence := self.about["silence"]) not in (None, *SILENCES):
            raise Unfit(f"silence is taken out by {silence!r:.40}, not by {', '.join(SILENCES)}")
        if (scaler := self.scaler) is not None:
            sizes, wanted = len(scaler.mean), spec.input_shape[-1]
            if sizes != wanted:
                raise Unfit(f"its scaler has {sizes} numbers, its network {wanted} features")

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(self.about["labels"])

    @property
    def scaler(self) -> Standardizer | None:
        """Of its features; None where they go in as they are."""
        said = self.about["scaler"]
        return None if said is None else Standardizer.from_dict(said)

    @property
    def clip_seconds(self) -> float:
        return self.about["num_samples"] / self.about["sample_rate"]

    def __call__(self, audio: np.ndarray) -> np.ndarray:
        """Probabilities (clips, K) of the clips, end to end, of audio (L, C) at its sample rate.

        What training took out of its audio as silence is in no clip. Where nothing is left of
        the length of a clip, that is a ValueError.
        """
        return self._hearing(lambda: [audio]).probabilities

    def hear(self, path: str | Path) -> Hearing:
        """What a file is classified as, heard as training heard its tracks.

        The memory it takes does not grow with the file.

        Raises
        ------
        AudioError
            A fault of the file; silence is one.
        ValueError
            It is too short, or too little of it is not silent.
        """
        rate = self.about["sample_rate"]
        return self._hearing(
            lambda: (pcm / np.float32(2**15) for pcm in sound_blocks(Path(path), sample_rate=rate))
        )

    def _hearing(self, read: Callable[[], Iterable[np.ndarray]]) -> Hearing:
        """``read`` gives the audio in blocks, and may be called twice."""
        length, rate, silence = (self.about[n] for n in ("num_samples", "sample_rate", "silence"))
        scaler = self.scaler
        make, classify = from_dict(self.about["input"]), predictor(self.model)
        total, peak = 0, 0.0

        def counted() -> Iterator[np.ndarray]:
            nonlocal total, peak
            total = 0
            for block in read():
                total += len(block)
                peak = max(peak, float(np.abs(block).max(initial=0)))
                yield block

        left, parts = 0, []
        blocks = sounding_blocks(counted, by=silence) if silence else counted()
        for block in regrouped(blocks, _BATCH * length):
            left += len(block)
            if count := len(block) // length:
                rows = np.arange(_BATCH) % count  # batches of one shape
                clips = block[: count * length].reshape(count, length, -1)
                inputs = np.asarray(make(clips[rows], rate))
                parts.append(classify(scaler.apply(inputs) if scaler else inputs, _BATCH)[:count])
        if not parts:
            found = f"{total / rate:.2f} s are too short"
            if total >= length:
                found = f"of {total / rate:.2f} s only {left / rate:.2f} s are not silent"
            raise ValueError(
                f"{found} for {self.about['recipe']}, whose clips have {self.clip_seconds:.2f} s"
            )
        return Hearing(np.concatenate(parts), total / rate, left / rate, peak)
