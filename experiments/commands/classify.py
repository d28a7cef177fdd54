"""Training and testing one recipe, on one split or several.

    tracks → clips → features (once) → split → one classifier a seed → results.json, report.html

Each classifier is kept in the run folder under a key of all that went into it.
"""

from __future__ import annotations

import hashlib
import json
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from classifiers import save
from experiments.commands.predict import describe
from experiments.config import ClassifyConfig, as_dict
from experiments.inputs import Augmented
from experiments.report.classify import render_classification
from experiments.report.sound import altered_clips
from experiments.report.tables import write_tracks_csv
from experiments.report.terminal import Progress
from experiments.run import Run, environment
from experiments.stages.data import Music, read_music, refuse_searched
from experiments.stages.gans import Gan, find_gans, refuse_leaks, sample_gan
from experiments.stages.results import classifier_record
from experiments.stages.segments import cut_recordings
from experiments.stages.trials import fit_classifier
from features import (
    Clips,
    LeakError,
    LeakWarning,
    Rows,
    Standardizer,
    check_disjoint,
    extract,
    fingerprint,
    split_clips,
)
from features.augmentation import parse_augmentations
from features.files import write_json, write_text
from features.splits import SIDES

HEARD = 3  # clips in the report, where there is augmentation to hear
Sides = dict[str, np.ndarray]  # rows of the clips on each side


def classify(
    config: ClassifyConfig,
    out: str | Path,
    *,
    command: str = "",
    progress: Progress | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> dict[str, Any]:
    """Train and test a recipe, or what is left of it, in the folder ``out``; return its results.

    Parameters
    ----------
    command : the line that a reader types to do the same, for the report.
    progress, should_stop : as in `experiments.commands.compare.compare`.

    Raises
    ------
    ValueError
        For settings and data that can't be used, before any training.
    LeakError
        Where generated clips come of a GAN that saw a validation or test track.
    FloatingPointError
        For a training that diverged.
    TrainingInterrupted
        Where ``should_stop`` said so; the same call goes on.
    """
    started = time.monotonic()
    progress = progress or Progress(quiet=True)
    recipe = config.recipe
    music = read_music(
        config.data,
        sample_rate=recipe.sample_rate,
        num_samples=1,  # which tracks are too short shows when they are cut
        progress=progress,
    )
    clips = cut_recordings(
        recipe,
        music.recordings,
        labels=music.labels,
        skip_short=config.data.skip_short,
        progress=progress,
    )
    found = len(music.recordings)
    music = music.only(set(clips.track_ids.tolist()))
    if "group" in config.splits:
        music.say_groups(progress)
    if left := found - len(music.recordings):
        progress.say(f"left out: {left} tracks shorter than a clip")
    sides = {  # of every run, before any training
        (split, seed): _sides(config, music, clips, split, seed)
        for split in config.splits
        for seed in range(config.seeds)
    }
    for (split, seed), rows in sides.items():
        _gans(config, clips, split, seed, rows)
    fixed = {"recipe": recipe.name, "data": music.digest}
    with Run(out).working(as_dict(config), fixed) as run:
        features = extract(
            clips,
            recipe.input,
            on_progress=lambda done, total: progress.update("features", done, total, unit="clip"),
        )
        job = _Job(run, config, clips, features, progress, should_stop)
        splits: dict[str, Any] = {}
        for split in config.splits:
            runs = [job.run_one(split, seed, sides[split, seed]) for seed in range(config.seeds)]
            leaks = split == "chunk" and recipe.per_track != 1  # a clip that is a track is whole
            splits[split] = {"leaks": leaks, "runs": runs}
        results = {
            "recipe": recipe.name,
            "version": environment()["versions"]["wavegan"],
            "command": command,
            "config": as_dict(config),
            "published": {"accuracy": recipe.published, "note": _note(config)},
            "data": {
                "name": music.name,
                "labels": list(music.labels),
                "tracks": len(set(clips.track_ids)),
                "sample_rate": recipe.sample_rate,
                "num_samples": clips.num_samples,
                "clip_seconds": clips.num_samples / recipe.sample_rate,
                "hash": music.digest,
                "quarantined": [
                    {"track": q.track.track_id, "reason": q.reason} for q in music.quarantined
                ],
                "skipped": list(music.skipped),
            },
            "splits": splits,
            "environment": environment()
            | {"session_seconds": round(time.monotonic() - started, 1)},
        }
        write_json(run.path / "results.json", results)
        write_tracks_csv(run.path / "tracks.csv", results)
        page = render_classification(results, heard=_heard(config, clips))
        write_text(run.path / "report.html", page)
    return results


def _heard(config: ClassifyConfig, clips: Clips) -> dict[str, dict[str, np.ndarray]]:
    """A clip of each of some classes as the waveform's augmentations alter it, as HTML."""
    waveform, _ = parse_augmentations(config.augment)
    if waveform is None:
        return {}
    first = [int(np.argmax(clips.labels == label)) for label in range(len(clips.label_names))]
    shown = np.sort(first[:HEARD])
    titles = [clips.label_names[clips.labels[i]] for i in shown]
    return altered_clips(clips.audio[shown], clips.sample_rate, waveform, titles=titles)


def _note(config: ClassifyConfig) -> str:
    """What the published figure is worth, and what is missing here for repeating it."""
    missing = config.recipe.synthetic and config.generated is None
    return config.recipe.note + ("; here real clips alone, no --generated" if missing else "")


def _sides(
    config: ClassifyConfig, music: Music, clips: Clips, split: str, seed: int
) -> dict[str, np.ndarray]:
    """The clips of each side; no track is on two of them but for the split of chunks."""
    if split == "chunk":
        data = config.sides("track", seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", LeakWarning)  # the results say so
            parts = split_clips(clips, fractions=data.fractions, seed=data.split_seed)
        row = {key: i for i, key in enumerate(zip(clips.track_ids, clips.starts, strict=True))}
        return {
            side: np.array(
                [
                    row[key]
                    for part in [getattr(parts, side)]
                    for key in zip(part.track_ids, part.starts, strict=True)
                ],
                int,
            )
            for side in SIDES
        }
    data = config.sides(split, seed)
    source = music.split(data)
    tracks = source.split
    check_disjoint(tracks, groups=split == "group")
    refuse_searched(config.recipe, source, data.split_seed)
    ids = {side: [track.track_id for track in getattr(tracks, side)] for side in SIDES}
    return {side: np.flatnonzero(np.isin(clips.track_ids, ids[side])) for side in SIDES}


def _gans(config: ClassifyConfig, clips: Clips, split: str, seed: int, sides: Sides) -> list[Gan]:
    """The GAN of each class of a run, if any are given; it saw nothing of what is held out."""
    if config.generated is None:
        return []
    given, gans, chosen = f"--generated {config.generated}", find_gans(Path(config.generated)), []
    held_out = {str(d) for side in ("valid", "test") for d in clips.digests[sides[side]]}
    for name in clips.label_names:
        fitting = [gan for gan in gans if name in gan.labels]
        if not fitting:
            known = ", ".join(label for gan in gans for label in gan.labels)
            raise ValueError(f"{given} has no GAN of {name!r}, only of {known}")
        gan = fitting[seed % len(fitting)]
        try:
            refuse_leaks(gan, () if split == "chunk" else held_out)
        except LeakError as error:
            if config.one_split or seed == 0:
                raise
            raise LeakError(
                f"{error}; run {seed} has a split of its own: with --one-split all have the first's"
            ) from None
        rate, length = gan.provenance.get("sample_rate"), gan.generator()[0].config.num_samples
        if (rate, length) != (clips.sample_rate, clips.num_samples):
            raise ValueError(
                f"{given}: clips of {length} samples at {rate} Hz; {config.recipe.name} takes "
                f"{clips.num_samples} at {clips.sample_rate} Hz: train GANs with "
                f"--recipe {config.recipe.name}"
            )
        chosen.append(gan)
    return chosen


@dataclass(frozen=True)
class _Added:
    """Training examples beside the real clips: generated ones, or altered copies."""

    features: Rows
    labels: np.ndarray
    key: str
    altered: bool = False


@dataclass(frozen=True)
class _Job:
    """What the runs of one recipe share."""

    run: Run
    config: ClassifyConfig
    clips: Clips
    features: Rows
    progress: Progress
    should_stop: Callable[[], bool] | None

    def run_one(self, split: str, seed: int, sides: Sides) -> dict[str, Any]:
        """Train and test one classifier; the record of it."""
        recipe, clips = self.config.recipe, self.clips
        added = [*self._generated(split, seed, sides), *self._altered(seed, sides)]

        def build(folder: Path) -> None:
            self._train(folder, split, seed, sides, added)

        rows = {
            side: [f"{clips.digests[i]}:{clips.starts[i]}:{clips.labels[i]}" for i in index]
            for side, index in sides.items()
        }
        inputs = {
            "architecture": recipe.architecture,
            "options": dict(recipe.options),
            "fit": as_dict(recipe.fit),
            "seed": seed,
            "input": fingerprint(recipe.input),
            "clip": [recipe.sample_rate, clips.num_samples, recipe.silence],
            "rows": hashlib.blake2b(json.dumps(rows).encode(), digest_size=16).hexdigest(),
            "generated": [more.key for more in added if not more.altered],
            "augment": self.config.augment,
            "labels": list(clips.label_names),
        }
        name = f"classifier-{split}-{seed}"
        folder = self.run.stage(name, json.loads(json.dumps(inputs)), build)
        return classifier_record(folder, clips, sides) | {
            "seed": seed,
            "split_seed": self.config.sides("track", seed).split_seed,
            "classifier": f"stages/{folder.name}/classifier.safetensors",
        }

    def _train(
        self, folder: Path, split: str, seed: int, sides: Sides, added: Sequence[_Added]
    ) -> None:
        """Fit and test a classifier into ``folder``."""
        recipe, clips = self.config.recipe, self.clips
        rows = {side: Rows([self.features], index) for side, index in sides.items()}
        scaler = Standardizer.fit(rows["train"]) if recipe.input.standardize else None
        labels = np.concatenate([clips.labels[sides["train"]], *(more.labels for more in added)])
        model = fit_classifier(
            self.run,
            folder,
            recipe,
            recipe.fit,
            train=(Rows([rows["train"], *(more.features for more in added)]), labels),
            valid=(rows["valid"], clips.labels[sides["valid"]]) if len(sides["valid"]) else None,
            test=rows["test"],
            scaler=scaler,
            num_classes=len(clips.label_names),
            seed=seed,
            task=f"{recipe.name}, {split} split, {seed + 1}/{self.config.seeds}",
            about={"split": split, "seed": seed},
            progress=self.progress,
            augment=parse_augmentations(self.config.augment)[1],
            should_stop=self.should_stop,
        )
        about = describe(recipe, clips, sides["train"], scaler, split=split, seed=seed)
        save(model, folder / "classifier.safetensors", metadata=about)

    def _altered(self, seed: int, sides: Sides) -> list[_Added]:
        """An altered copy of each training clip, where the waveform is to be augmented."""
        waveform, _ = parse_augmentations(self.config.augment)
        if waveform is None:
            return []
        make = Augmented(self.config.recipe.input, waveform, seed)
        clips = self.clips.select(sides["train"])
        features = extract(clips, make, on_progress=self._on_features("augmented features"))
        return [_Added(features, clips.labels, fingerprint(make), altered=True)]

    def _on_features(self, task: str) -> Callable[[int, int], None]:
        return lambda done, total: self.progress.update(task, done, total, unit="clip")

    def _generated(self, split: str, seed: int, sides: Sides) -> list[_Added]:
        """Generated clips, as many as real ones of each class, where a run of GANs is given."""
        if self.config.generated is None:
            return []
        names = self.clips.label_names
        counts = np.bincount(self.clips.labels[sides["train"]], minlength=len(names))
        gans = _gans(self.config, self.clips, split, seed, sides)
        return [self._of_gan(gan, i, int(counts[i])) for i, gan in enumerate(gans)]

    def _of_gan(self, gan: Gan, label: int, count: int) -> _Added:
        """``count`` clips of a class."""
        recipe, rate = self.config.recipe, self.clips.sample_rate
        name = self.clips.label_names[label]
        audio = sample_gan(self.run, gan, count, name)
        task = f"features of generated {name}"
        features = extract(
            audio, recipe.input, sample_rate=rate, on_progress=self._on_features(task)
        )
        key = f"{gan.folder.name}:{name}:{count}"
        return _Added(features, np.full(count, label, np.int32), key)
