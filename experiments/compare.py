"""The main job: does adding a GAN's clips make the classifier better?

    tracks → split → a GAN a genre (training tracks alone) → clips → features
           → one classifier an arm and seed → paired differences → results.json, report.html

Each stage is kept in the run folder under a key of all that went into it.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from flax import nnx
from numpy.lib.format import write_array_header_1_0

from classifiers import FitConfig, create, fit, predict
from experiments.arms import ARMS, Examples, Rows
from experiments.gan_training import train_gans
from experiments.gans import Gan, refuse_leaks, sample_gan
from experiments.inputs import Input
from experiments.progress import Progress
from experiments.report import render_report
from experiments.results import Outcome, record, summarise
from experiments.runs import Run, environment
from experiments.settings import CompareConfig, as_dict
from experiments.sources import Source, open_source
from features import Clips, Standardizer
from features.files import replacing, write_json, write_text
from wavegan import TrainingInterrupted

SHOWN_CLIPS = 12  # real and generated ones of each genre in the report
_BATCH = 64  # clips whose features are computed at a time


@dataclass(frozen=True)
class Side:
    """One side of the split as the classifiers see it."""

    clips: Clips
    features: np.ndarray
    key: str  # of the stage that made the features


def compare(
    config: CompareConfig,
    out: str | Path,
    *,
    command: str = "",
    progress: Progress | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> dict[str, Any]:
    """Run a comparison, or what is left of it, in the folder ``out``; return its results.

    Parameters
    ----------
    command : the line that a reader types to do the same, for the report.
    progress, should_stop : as in `train_gans`.

    Raises
    ------
    ValueError
        For settings and data that can't be used.
    LeakError
        Where a GAN saw a validation or test track.
    TrainingDiverged, TrainingInterrupted
        As `wavegan.train`; what is finished is kept.
    """
    started = time.monotonic()
    progress = progress or Progress(quiet=True)
    recipe = config.recipe
    source = open_source(
        config.data,
        sample_rate=recipe.sample_rate,
        num_samples=recipe.num_samples,
        channels=recipe.clip_gan.channels,
        progress=progress,
    )
    fixed = {"recipe": recipe.name, "data": source.digest, "split": as_dict(config.data)}
    with Run(out).working(as_dict(config), fixed) as run:
        gans = train_gans(
            run,
            source,
            recipe,
            seeds=config.gan_seeds,
            progress=progress,
            should_stop=should_stop,
            at_once=config.at_once,
        )
        sides = {
            side: _side(run, source.clips(side, recipe.num_samples), recipe.input, side, progress)
            for side in ("train", "valid", "test")
        }
        clips = {name: side.clips for name, side in sides.items()}
        counts = _synthetic_counts(clips["train"], config.synthetic_ratio)
        synthetic = [
            _synthetic_side(
                run, [g for g in gans if g.seed == seed], counts, source, config, progress
            )
            for seed in range(config.gan_seeds)
        ]
        arms: dict[str, list[Outcome]] = {}
        failed: dict[str, str] = {}
        for arm in config.arms:
            try:
                arms[arm] = _run_arm(run, arm, config, sides, synthetic, progress, should_stop)
            except FloatingPointError as error:  # a failed arm stays in the report
                failed[arm] = str(error)
                progress.say(f"{arm} failed: {error}")
        results = summarise(config, source, clips, gans, sum(counts.values()), arms)
        results["arms"] |= {arm: {"runs": [], "error": error} for arm, error in failed.items()}
        results["command"] = command
        results["environment"] = environment() | {
            "session_seconds": round(time.monotonic() - started, 1)
        }
        write_json(run.path / "results.json", results)
        write_text(run.path / "report.html", _report(run, results, source, config, gans, counts))
    return results


def _side(run: Run, clips: Clips, make: Input, name: str, progress: Progress) -> Side:
    """Features of clips, kept as a stage."""
    rows = zip(clips.digests, clips.starts, clips.labels, strict=True)
    text = "".join(f"{digest}:{start}:{clips.label_names[label]};" for digest, start, label in rows)
    inputs = {
        "clips": hashlib.blake2b(text.encode(), digest_size=16).hexdigest(),
        "sample_rate": clips.sample_rate,
        "num_samples": clips.num_samples,
        "input": {"type": type(make).__name__, **as_dict(make)},
    }

    def build(folder: Path) -> None:
        _write_features(folder, clips.audio, clips.sample_rate, make, f"features {name}", progress)

    folder = run.stage(f"features-{name}", inputs, build)
    return Side(clips, np.load(folder / "features.npy", mmap_mode="r"), folder.name)


def _write_features(
    folder: Path, audio: Any, sample_rate: int, make: Input, task: str, progress: Progress
) -> None:
    """``features.npy`` in ``folder``, computed in batches of one shape."""
    count = len(audio)

    def batch(start: int) -> np.ndarray:
        rows = np.arange(start, start + _BATCH) % count  # the last batch wraps around
        return np.asarray(make(np.asarray(audio[rows], np.float32), sample_rate))

    first = batch(0)
    header = {"descr": "<f4", "fortran_order": False, "shape": (count, *first.shape[1:])}
    with replacing(folder / "features.npy") as temporary, temporary.open("wb") as file:
        write_array_header_1_0(file, header)
        for start in range(0, count, _BATCH):
            values = batch(start) if start else first
            file.write(values[: count - start].astype("<f4", copy=False).tobytes())
            progress.update(task, min(start + _BATCH, count), count, unit="clip")


def _synthetic_counts(train: Clips, ratio: float) -> dict[int, int]:
    """Generated clips for each label: ``ratio`` times its real training clips."""
    return {
        int(label): max(1, round(ratio * int((train.labels == label).sum())))
        for label in np.unique(train.labels)
    }


def _synthetic_side(
    run: Run,
    gans: Sequence[Gan],
    counts: dict[int, int],
    source: Source,
    config: CompareConfig,
    progress: Progress,
) -> tuple[Examples, str]:
    """Features and labels of all genres' generated clips, and a key of what they are."""
    held_out = {r.digest for side in ("valid", "test") for r in source.sides[side]}
    make, sample_rate = config.recipe.input, config.recipe.sample_rate
    features, labels, keys = [], [], []
    for label, count in counts.items():
        name = source.labels[label]
        gan = next(g for g in gans if name in g.labels)
        refuse_leaks(gan, held_out)
        audio = sample_gan(run, gan, count, name)

        def build(folder: Path, audio=audio, name=name) -> None:
            scaled = _Float(audio)
            _write_features(
                folder, scaled, sample_rate, make, f"features of generated {name}", progress
            )

        inputs = {
            "gan": gan.folder.name,
            "label": name,
            "count": count,
            "input": {"type": type(make).__name__, **as_dict(make)},
        }
        folder = run.stage(f"features-{name}-{gan.seed}", inputs, build)
        features.append(np.load(folder / "features.npy", mmap_mode="r"))
        labels.append(np.full(count, label, np.int32))
        keys.append(folder.name)
    return Examples(Rows(features), np.concatenate(labels)), "+".join(keys)


class _Float:
    """int16 clips read as float32 in [-1, 1]."""

    def __init__(self, audio: np.ndarray):
        self._audio = audio

    def __len__(self) -> int:
        return len(self._audio)

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        return self._audio[rows] / np.float32(32768)


def _run_arm(
    run: Run,
    arm: str,
    config: CompareConfig,
    sides: dict[str, Side],
    synthetic: Sequence[tuple[Examples, str]],
    progress: Progress,
    should_stop: Callable[[], bool] | None = None,
) -> list[Outcome]:
    """The record and the test probabilities of each paired run of an arm."""
    recipe = config.recipe
    train, valid, test = (sides[side] for side in ("train", "valid", "test"))
    budget = config.steps or _steps(recipe.fit, len(train.clips))
    # Every arm is evaluated as often: an epoch of the real clips, whatever its own size.
    eval_every = recipe.fit.eval_every or -(-len(train.clips) // recipe.fit.batch_size)
    settings = replace(recipe.fit, steps=budget, epochs=None, patience=None, eval_every=eval_every)
    scaler = Standardizer.fit(train.features) if recipe.input.standardize else None
    num_classes = len(train.clips.label_names)
    runs = []
    for seed in range(config.seeds):
        gan_seed = seed % config.gan_seeds
        examples, synthetic_key = synthetic[gan_seed]
        parts, index, labels = ARMS[arm].build(
            Examples(train.features, train.clips.labels), examples
        )

        def build(folder: Path, parts=parts, index=index, labels=labels, seed=seed) -> None:
            model = create(
                recipe.architecture,
                input_shape=train.features.shape[1:],
                num_classes=num_classes,
                rngs=nnx.Rngs(seed),
                **recipe.options,
            )

            def on_log(metrics: dict[str, float]) -> None:
                if should_stop is not None and should_stop():
                    raise TrainingInterrupted(f"stopped in {arm}, run {seed + 1}")
                run.append_metrics({"arm": arm, "seed": seed} | metrics)
                note = f"loss {metrics['classifier/loss']:.3f}"
                progress.update(
                    f"{arm} {seed + 1}/{config.seeds}",
                    int(metrics["classifier/step"]),
                    budget,
                    note,
                )

            history = fit(
                model,
                (Rows(parts, index, scaler), labels),
                (Rows([valid.features], scaler=scaler), valid.clips.labels),
                settings,
                seed=seed,
                on_log=on_log,
            )
            with replacing(folder / "probabilities.npy") as temporary:
                np.save(temporary, predict(model, Rows([test.features], scaler=scaler)))
            write_json(folder / "history.json", history.to_dict())

        inputs = {
            "arm": arm,
            "architecture": recipe.architecture,
            "options": dict(recipe.options),
            "fit": as_dict(settings),
            "seed": seed,
            "features": [sides[side].key for side in ("train", "valid", "test")],
            "synthetic": synthetic_key if ARMS[arm].synthetic else len(labels),
        }
        folder = run.stage(f"classifier-{arm}-{seed}", json.loads(json.dumps(inputs)), build)
        probabilities = np.load(folder / "probabilities.npy")
        history = json.loads((folder / "history.json").read_text(encoding="utf-8"))
        runs.append((record(seed, gan_seed, probabilities, test.clips, history), probabilities))
    return runs


def _steps(settings: FitConfig, clips: int) -> int:
    """The recipe's budget over ``clips`` training clips."""
    return settings.steps or (settings.epochs or 1) * -(-clips // settings.batch_size)


def _report(
    run: Run,
    results: dict[str, Any],
    source: Source,
    config: CompareConfig,
    gans: Sequence[Gan],
    counts: dict[int, int],
) -> str:
    """The page: results, and clips to listen to."""
    train = source.clips("train", config.recipe.num_samples)
    clips, curves = {}, {}
    for label, name in enumerate(source.labels):
        gan = next(g for g in gans if name in g.labels)
        real = np.flatnonzero(train.labels == label)
        shown = np.random.default_rng(label).permutation(real)[:SHOWN_CLIPS]
        generated = sample_gan(run, gan, counts[label], name)[:SHOWN_CLIPS]
        clips[name] = {
            "real": train.audio[np.sort(shown)],
            "generated": np.asarray(generated, np.float32) / 32768,
        }
        curves[name] = gan.curves()
    return render_report(results, clips=clips, gan_curves=curves)
