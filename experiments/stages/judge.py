"""A classifier of the training tracks alone, by whose eyes generated clips are judged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from classifiers import FitConfig, fit, load, predict, save
from experiments.config import as_dict
from experiments.recipes import Recipe
from experiments.report.terminal import Progress
from experiments.run import Run
from experiments.stages.plan import steps_of
from features import Recording, Standardizer
from features.extractors import Mfcc
from wavegan import WaveGANConfig
from wavegan.windows import Windows

ARCHITECTURE = "net6"
OPTIONS: dict[str, Any] = {"lstm_sizes": (64, 32), "dense_sizes": (32,)}
CLIPS = 2048  # windows of the training tracks that it learns from
FIT = FitConfig(batch_size=64, epochs=15, learning_rate=2e-3)
_FILE = "judge.safetensors"
_BATCH = 64

Judge = Callable[[np.ndarray], np.ndarray]


def fitted_judge(
    run: Run,
    recordings: Sequence[Recording],
    labels: Sequence[str],
    config: WaveGANConfig,
    sample_rate: int,
    peak_normalize: bool,
    progress: Progress,
) -> Path:
    """The folder, a stage of the run, of a classifier of the training tracks; it is fitted once.

    It is `net6` at an eighth of its width, on MFCC of random windows that are standardised by
    these, and as loud as those that the GAN is trained on.
    """

    def build(folder: Path) -> None:
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
        recipe = judge_recipe(config, sample_rate)
        model = recipe.network(features.shape[1:], len(labels))
        fit(
            model,
            (scaler.apply(features), np.asarray(batch.labels)),
            None,
            FIT,
            seed=0,
            on_log=progress.of_fit("judge"),
        )
        save(model, folder / _FILE, metadata={"scaler": scaler.to_dict()})

    return run.stage("judge", judge_inputs(recordings, config, sample_rate, peak_normalize), build)


def load_judge(folder: Path, sample_rate: int) -> Judge:
    """The function of clips (n, L, C) to probabilities (n, classes) that is kept in ``folder``."""
    model, about = load(folder / _FILE)
    scaler = Standardizer.from_dict(about["scaler"])
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


def judge_recipe(config: WaveGANConfig, sample_rate: int) -> Recipe:
    """A judge of the clips of such GANs as a recipe."""
    make, length = _extractor(config.num_samples), config.num_samples
    return Recipe(
        name="a judge",
        about="tells the classes of clips",
        architecture=ARCHITECTURE,
        options=OPTIONS,
        input=make,
        sample_rate=sample_rate,
        num_samples=max(length, make.n_fft),
        fit=replace(FIT, epochs=None, steps=steps_of(FIT, CLIPS)),
    )


def _extractor(num_samples: int) -> Mfcc:
    """With windows of about a thirtieth of a clip."""
    n_fft = int(2 ** np.clip(np.floor(np.log2(num_samples / 16)), 6, 11))
    return Mfcc(n_fft=n_fft, hop_length=n_fft // 2, n_mels=40)


def _features(clips: np.ndarray, sample_rate: int) -> np.ndarray:
    make, parts = _extractor(clips.shape[1]), []
    for start in range(0, len(clips), _BATCH):
        part = clips[start : start + _BATCH]
        whole = np.resize(part, (_BATCH, *part.shape[1:]))  # batches of one shape
        parts.append(np.asarray(make(whole, sample_rate))[: len(part)])
    return np.concatenate(parts)
