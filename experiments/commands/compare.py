"""The main job: does adding a GAN's clips make the classifier better?

    tracks → split → a GAN a genre (training tracks alone) → clips → features
           → one classifier an arm and seed → paired differences → results.json, report.html

Features come from the cache; every other stage is kept in the run folder under a key of all that
went into it.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from classifiers import FitConfig
from experiments.config import CompareConfig, as_dict
from experiments.inputs import Augmented
from experiments.report.compare import render_report
from experiments.report.sound import altered_clips
from experiments.report.terminal import Progress
from experiments.run import Run, environment
from experiments.stages.data import Source, open_source, refuse_searched
from experiments.stages.examples import ARMS, Examples, joined, repeated
from experiments.stages.gan_training import train_gans
from experiments.stages.gans import Gan, gan_seed, refuse_leaks, sample_gan
from experiments.stages.results import Outcome, record, summarise
from experiments.stages.trials import fit_classifier
from features import Clips, Rows, Standardizer, extract, fingerprint
from features.augmentation import FeatureAugmentation
from features.files import write_json, write_text
from features.splits import SIDES

SHOWN_CLIPS = 12  # real and generated ones of each genre in the report
SHOWN_AUGMENTED = 3  # training clips whose augmented versions the report has


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
    if recipe.silence is not None:
        raise ValueError(
            f"{recipe.name} takes silence out of its tracks, and generated clips, all of one "
            "length, can't be treated alike: give --silence none"
        )
    source = open_source(
        config.data,
        sample_rate=recipe.sample_rate,
        num_samples=recipe.num_samples,
        channels=recipe.clip_gan.channels,
        progress=progress,
    )
    refuse_searched(recipe, source, config.data.split_seed)
    fixed = {"recipe": recipe.name, "data": source.digest, "split": as_dict(config.data)}
    with Run(out).working(as_dict(config), fixed) as run:
        gans: list[Gan] = []
        if any("synthetic" in ARMS[arm] for arm in config.arms):
            gans = train_gans(
                run,
                source,
                recipe,
                seeds=config.gan_seeds,
                progress=progress,
                should_stop=should_stop,
                at_once=config.at_once,
            )
        held_out = {r.digest for side in ("valid", "test") for r in source.sides[side]}
        for gan in gans:
            refuse_leaks(gan, held_out)
        comparison = Comparison(run, config, source, gans, progress, should_stop)
        arms: dict[str, list[Outcome]] = {}
        failed: dict[str, str] = {}
        for arm in config.arms:
            try:
                arms[arm] = [comparison.outcome(arm, seed) for seed in range(config.seeds)]
            except FloatingPointError as error:  # a failed arm stays in the report
                failed[arm] = str(error)
                progress.say(f"{arm} failed: {error}")
        results = summarise(
            config, source, comparison.clips, gans, sum(comparison.counts.values()), arms
        )
        results["arms"] |= {arm: {"runs": [], "error": error} for arm, error in failed.items()}
        results["command"] = command
        results["environment"] = environment() | {
            "session_seconds": round(time.monotonic() - started, 1)
        }
        write_json(run.path / "results.json", results)
        write_text(run.path / "report.html", comparison.report(results))
    return results


@dataclass(frozen=True)
class Comparison:
    """What all arms of a comparison share."""

    run: Run
    config: CompareConfig
    source: Source
    gans: Sequence[Gan]
    progress: Progress
    should_stop: Callable[[], bool] | None

    @cached_property
    def clips(self) -> dict[str, Clips]:
        """The real clips of each side of the split."""
        num_samples = self.config.recipe.num_samples
        return {side: self.source.clips(side, num_samples) for side in SIDES}

    @cached_property
    def counts(self) -> dict[int, int]:
        """Generated clips for each label: ``synthetic_ratio`` times its real training clips."""
        labels, ratio = self.clips["train"].labels, self.config.synthetic_ratio
        return {
            int(label): max(1, round(ratio * int((labels == label).sum())))
            for label in np.unique(labels)
        }

    @cached_property
    def real(self) -> dict[str, Examples]:
        """The real examples of each side."""
        return {side: self._examples(clips, side) for side, clips in self.clips.items()}

    def _examples(self, clips: Clips, name: str, make: Any = None) -> Examples:
        """Features of clips, those of the recipe or of ``make``."""
        make = make or self.config.recipe.input
        rows = zip(clips.digests, clips.starts, clips.labels, strict=True)
        text = "".join(f"{digest}:{start}:{label};" for digest, start, label in rows)
        content = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
        key = f"{content} {clips.sample_rate} {clips.num_samples} {fingerprint(make)}"
        return Examples(self._features(clips, make, f"features {name}"), clips.labels, key)

    def _features(self, clips: Clips | np.ndarray, make: Any, task: str) -> Rows:
        return extract(
            clips,
            make,
            sample_rate=self.config.recipe.sample_rate,
            on_progress=lambda done, total: self.progress.update(task, done, total, unit="clip"),
        )

    def training(self, arm: str, seed: int) -> Examples:
        """What an arm trains on in a run."""
        makers = {
            "repeated": self._repeated,
            "classical": lambda: self._classical(seed),
            "synthetic": lambda: self.synthetic[seed % self.config.gan_seeds],
        }
        extra = [examples for name in ARMS[arm] for examples in makers[name]()]
        return joined([self.real["train"], *extra])

    def _repeated(self) -> list[Examples]:
        """The real clips repeated, class by class, as often as there are generated ones."""
        real = self.real["train"]
        index = np.concatenate(list(repeated(real.labels, self.counts)))
        return [Examples(Rows([real.features], index), real.labels[index], f"{self.counts}")]

    def _classical(self, seed: int) -> list[Examples]:
        """Altered copies of the clips that `_repeated` repeats, drawn anew for each run."""
        waveform, _ = self.config.augmentations
        if waveform is None:
            return []
        train, task = self.clips["train"], f"altered copies, {seed + 1}/{self.config.seeds}"
        return [
            self._examples(
                train.select(rows),
                task,
                Augmented(self.config.recipe.input, waveform, gan_seed(seed, i)),
            )
            for i, rows in enumerate(repeated(train.labels, self.counts))
        ]

    @cached_property
    def synthetic(self) -> list[list[Examples]]:
        """Every genre's generated clips, of the GANs of each seed."""
        return [self._synthetic(seed) for seed in range(self.config.gan_seeds)]

    def _synthetic(self, seed: int) -> list[Examples]:
        recipe, examples = self.config.recipe, []
        for label, count in self.counts.items():
            name = self.source.labels[label]
            gan = next(g for g in self.gans if g.seed == seed and name in g.labels)
            audio = sample_gan(self.run, gan, count, name)
            features = self._features(audio, recipe.input, f"features of generated {name}")
            key = f"{gan.folder.name} {name} {count} {fingerprint(recipe.input)}"
            examples.append(Examples(features, np.full(count, label, np.int32), key))
        return examples

    def outcome(self, arm: str, seed: int) -> Outcome:
        """The record and the test probabilities of a run of an arm."""
        recipe, real = self.config.recipe, self.real
        clips = len(self.clips["train"])
        # Every arm has the same steps, and is evaluated as often: an epoch of the real clips.
        settings = replace(
            recipe.fit,
            steps=self.config.steps or _steps(recipe.fit, clips),
            epochs=None,
            patience=None,
            eval_every=recipe.fit.eval_every or -(-clips // recipe.fit.batch_size),
        )
        train = self.training(arm, seed)
        augment = self.config.augmentations[1] if "classical" in ARMS[arm] else None
        inputs = {
            "arm": arm,
            "architecture": recipe.architecture,
            "options": dict(recipe.options),
            "fit": as_dict(settings),
            "seed": seed,
            "train": train.key,
            "augment": augment and as_dict(augment),
            "valid": real["valid"].key,
            "test": real["test"].key,
        }

        def build(folder: Path) -> None:
            self._train(folder, arm, seed, train, settings, augment)

        folder = self.run.stage(f"classifier-{arm}-{seed}", json.loads(json.dumps(inputs)), build)
        probabilities = np.load(folder / "probabilities.npy")
        history = json.loads((folder / "history.json").read_text(encoding="utf-8"))
        gans = seed % self.config.gan_seeds
        return record(seed, gans, probabilities, self.clips["test"], history), probabilities

    def _train(
        self,
        folder: Path,
        arm: str,
        seed: int,
        train: Examples,
        settings: FitConfig,
        augment: FeatureAugmentation | None,
    ) -> None:
        """Fit and test a classifier into ``folder``."""
        recipe, real = self.config.recipe, self.real
        fit_classifier(
            self.run,
            folder,
            recipe,
            settings,
            train=(train.features, train.labels),
            valid=(real["valid"].features, real["valid"].labels),
            test=real["test"].features,
            scaler=Standardizer.fit(real["train"].features) if recipe.input.standardize else None,
            num_classes=len(self.source.labels),
            seed=seed,
            task=f"{arm} {seed + 1}/{self.config.seeds}",
            about={"arm": arm, "seed": seed},
            progress=self.progress,
            augment=augment,
            should_stop=self.should_stop,
        )

    def report(self, results: dict[str, Any]) -> str:
        """The page: results, and clips to listen to."""
        train = self.clips["train"]
        clips, curves = {}, {}
        for label, name in enumerate(self.source.labels):
            real = np.flatnonzero(train.labels == label)
            shown = np.random.default_rng(label).permutation(real)[:SHOWN_CLIPS]
            clips[name] = {"real": train.audio[np.sort(shown)]}
            for gan in (g for g in self.gans if g.seed == 0 and name in g.labels):
                generated = sample_gan(self.run, gan, self.counts[label], name)[:SHOWN_CLIPS]
                clips[name]["generated"] = np.asarray(generated, np.float32) / 32768
                curves[name] = gan.curves()
        return render_report(
            results, clips=clips, gan_curves=curves, augmented=self._augmented(clips)
        )

    def _augmented(
        self, clips: dict[str, dict[str, np.ndarray]]
    ) -> dict[str, dict[str, np.ndarray]]:
        """Altered copies to hear, where an arm trained on such."""
        waveform, _ = self.config.augmentations
        if waveform is None or not any("classical" in ARMS[arm] for arm in self.config.arms):
            return {}
        titles = list(clips)[:SHOWN_AUGMENTED]
        audio = np.stack([clips[title]["real"][0] for title in titles])
        return altered_clips(audio, self.config.recipe.sample_rate, waveform, titles=titles)


def _steps(settings: FitConfig, clips: int) -> int:
    """The recipe's budget over ``clips`` training clips."""
    return settings.steps or (settings.epochs or 1) * -(-clips // settings.batch_size)
