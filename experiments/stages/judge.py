"""A classifier of the training tracks alone, by whose eyes generated clips are judged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx

from classifiers import FitConfig, create, fit, predict
from experiments.config import as_dict
from experiments.report.terminal import Progress
from features import Recording, Standardizer
from features.extractors import Mfcc
from features.storage import replacing
from wavegan import WaveGANConfig
from wavegan.windows import Windows

ARCHITECTURE = "net6"
OPTIONS: dict[str, Any] = {"lstm_sizes": (64, 32), "dense_sizes": (32,)}
CLIPS = 2048  # windows of the training tracks that it learns from
FIT = FitConfig(batch_size=64, epochs=15, learning_rate=2e-3)
_BATCH = 64

Judge = Callable[[np.ndarray], np.ndarray]


def train_judge(
    recordings: Sequence[Recording],
    labels: Sequence[str],
    config: WaveGANConfig,
    sample_rate: int,
    peak_normalize: bool,
    folder: Path,
    progress: Progress,
) -> None:
    """Fit the classifier on random windows of the training tracks, and keep it in ``folder``.

    It is `net6` at an eighth of its width, on MFCC that are standardised by the training clips,
    which are as loud as those that the GAN is trained on.
    """
    windows = Windows(
        recordings,
        num_samples=config.num_samples,
        channels=config.channels,
        labels=[labels.index(r.track.label) for r in recordings],
        num_classes=len(labels),
        pad_end=True,
        peak_normalize=peak_normalize,
    )
    batch = windows.draw(jax.random.key(0), (CLIPS,))
    features = _features(np.asarray(batch.clips), sample_rate)
    scaler = Standardizer.fit(features)
    model = _model(features.shape[1:], len(labels))
    fit(
        model,
        (scaler.apply(features), np.asarray(batch.labels)),
        None,
        FIT,
        seed=0,
        on_log=lambda row: progress.update(
            "judge", int(row["classifier/step"]), int(row["classifier/total_steps"])
        ),
    )
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(nnx.state(model))]
    with replacing(folder / "judge.npz") as temporary:
        np.savez(temporary, *leaves, mean=scaler.mean, std=scaler.std, shape=features.shape[1:])


def load_judge(folder: Path, num_classes: int, sample_rate: int) -> Judge:
    """The function of clips (n, L, C) to probabilities (n, classes) that is kept in ``folder``."""
    with np.load(folder / "judge.npz", allow_pickle=False) as stored:
        scaler = Standardizer(stored["mean"], stored["std"])
        model = _model(tuple(int(n) for n in stored["shape"]), num_classes)
        found, structure = jax.tree.flatten(nnx.state(model))
        leaves = [stored[f"arr_{i}"] for i in range(len(found))]
    nnx.update(model, jax.tree.unflatten(structure, leaves))
    return lambda clips: predict(model, scaler.apply(_features(clips, sample_rate)))


def judge_inputs(
    recordings: Sequence[Recording], config: WaveGANConfig, sample_rate: int, peak_normalize: bool
) -> dict:
    """All that a judge depends on, as a stage's key."""
    return {
        "tracks": {r.track.track_id: r.digest for r in recordings},
        "clip": [config.num_samples, config.channels, sample_rate, peak_normalize, CLIPS],
        "classifier": [ARCHITECTURE, {k: list(v) for k, v in OPTIONS.items()}],
        "fit": as_dict(FIT),
    }


def _features(clips: np.ndarray, sample_rate: int) -> np.ndarray:
    # Windows of about a thirtieth of the clip.
    n_fft = int(2 ** np.clip(np.floor(np.log2(clips.shape[1] / 16)), 6, 11))
    make = Mfcc(n_fft=n_fft, hop_length=n_fft // 2, n_mels=40)
    parts = []
    for start in range(0, len(clips), _BATCH):
        part = clips[start : start + _BATCH]
        whole = np.resize(part, (_BATCH, *part.shape[1:]))  # batches of one shape
        parts.append(np.asarray(make(whole, sample_rate))[: len(part)])
    return np.concatenate(parts)


def _model(input_shape: tuple[int, ...], num_classes: int) -> nnx.Module:
    rngs = nnx.Rngs(0)
    return create(
        ARCHITECTURE, input_shape=input_shape, num_classes=num_classes, rngs=rngs, **OPTIONS
    )
