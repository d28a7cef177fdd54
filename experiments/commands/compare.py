"""The main job: does adding a GAN's clips make the classifier better?

    tracks → split → a GAN a class (training tracks alone) → clips → features
           → one classifier an arm and seed → paired differences → results.json, report.html

Features come from the cache; every other stage is kept in the run folder under a key of all that
went into it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from classifiers import FitConfig
from experiments import statistics
from experiments.config import CompareConfig, as_dict, inspected
from experiments.report.compare import render_report
from experiments.report.sound import altered_clips
from experiments.report.tables import write_comparison
from experiments.report.terminal import Progress
from experiments.run import Run
from experiments.stages.data import Dataset, cut, open_dataset, refuse_searched
from experiments.stages.examples import ARMS, Material, pairs, primary_pair
from experiments.stages.gan_training import GanTraining, Watching, train_gans, unfinished
from experiments.stages.gans import Gan, refuse_leaks, sample_gan
from experiments.stages.plan import Plan, steps_of
from experiments.stages.trials import Outcome, Trial, is_done, run_trial
from features import Split, extract
from features.splits import SIDES
from features.storage import write_text
from wavegan.environment import environment

SHOWN_CLIPS = 12  # real and generated ones of each class in the report
SHOWN_AUGMENTED = 3  # training clips whose altered versions the report has


def compare(
    config: CompareConfig,
    out: str | Path,
    *,
    command: str = "",
    progress: Progress | None = None,
    should_stop: Callable[[], bool] | None = None,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Run a comparison, or what is left of it, in the folder ``out``; return its results.

    Parameters
    ----------
    command : the line that a reader types to do the same, for the report.
    progress : what shows how far it is; None shows nothing.
    should_stop : asked after each step; what is done is kept when it says so.
    dry_run : stop at the plan, and return it.

    Raises
    ------
    ValueError
        For settings and data that can't be used, before any training.
    LeakError
        Where a GAN saw a validation or test track.
    TrainingDiverged
        As `wavegan.train`; what is finished is kept.
    Interrupted
        Where ``should_stop`` said so; the same call goes on.
    """
    started, progress = time.monotonic(), progress or Progress(quiet=True)
    recipe = replace(config.recipe, per_track=None)  # clips as long as the GAN's, end to end
    recipe = inspected(recipe) if config.quality else recipe
    rate, channels, data = recipe.sample_rate, recipe.clip_gan.channels, config.data
    dataset = open_dataset(data, sample_rate=rate, channels=channels, progress=progress)
    dataset, clips = cut(dataset, recipe, skip_short=data.skip_short, progress=progress)
    split, rows = dataset.split(data), dataset.sides(clips, data)
    refuse_searched(recipe, clips, rows, data.split_seed)
    fixed = {"recipe": recipe.name, "data": dataset.digest, "split": as_dict(data)}
    Run(out).refuse_others("compare", fixed)
    settings = _shared(recipe.fit, config.steps, len(rows["train"]))
    heard, judged_by = dataset.of(split.train), dataset.of(split.valid)
    training = GanTraining(heard, dataset.labels, recipe, config.gan_seeds, judged_by)
    needs_gans = any(ARMS[arm].needs_gans for arm in config.arms)
    plan, classes = Plan(len(dataset.recordings), len(clips)), len(dataset.labels)
    if needs_gans:
        for turn, left in unfinished(Run(out), training):
            plan.add_gans(turn, left, dataset.labels, progress)
    trials = (Trial(data.split, arm, s) for arm in config.arms for s in range(config.seeds))
    fits = sum(not is_done(Run(out), trial, recipe, settings) for trial in trials)
    steps = fits * (settings.steps or 0)
    plan.add_fits(recipe, clips.num_samples, classes, fits, steps, progress)
    if dry_run:
        return plan.as_dict()
    plan.say(progress, Path(out))
    with Run(out).working("compare", as_dict(config), fixed) as run:
        gans: Sequence[Gan] = ()
        if needs_gans:
            gans = train_gans(
                run,
                training,
                at_once=config.at_once,
                progress=progress,
                should_stop=should_stop,
                watching=Watching(config.quality),
            )
        valid, test = ({r.digest for r in dataset.of(s)} for s in (split.valid, split.test))
        for gan in gans:
            refuse_leaks(gan, valid=valid, test=test)
        waveform, _ = config.augmentations
        features = extract(clips, recipe.input, on_progress=progress.of("features", "clip"))
        material = Material(
            run, recipe, clips, rows, features, progress, gans, config.synthetic_ratio, waveform
        )
        arms, failed = _run_arms(config, material, settings, should_stop)
        results = _results(config, dataset, split, material, arms, failed)
        seconds = round(time.monotonic() - started, 1)
        results |= {"command": command, "environment": environment() | {"session_seconds": seconds}}
        run.write_json("results.json", results)
        write_text(run.path / "report.html", _page(config, material, results))
        write_comparison(run.path, results)
    return results


def _run_arms(
    config: CompareConfig,
    material: Material,
    settings: FitConfig,
    should_stop: Callable[[], bool] | None,
) -> tuple[dict[str, list[Outcome]], dict[str, str]]:
    """The outcomes of each arm, and why an arm failed."""
    _, batches = config.augmentations
    arms: dict[str, list[Outcome]] = {}
    failed: dict[str, str] = {}
    for name in config.arms:
        arm = ARMS[name]
        try:
            arms[name] = [
                run_trial(
                    Trial(config.data.split, name, seed),
                    material,
                    arm.training(material, seed),
                    settings,
                    augment=batches if arm.alters_batches else None,
                    task=f"{name} {seed + 1}/{config.seeds}",
                    should_stop=should_stop,
                )
                for seed in range(config.seeds)
            ]
        except FloatingPointError as error:  # a failed arm stays in the report
            failed[name] = str(error)
            material.progress.say(f"{name} failed: {error}")
    return arms, failed


def _shared(fit: FitConfig, steps: int | None, clips: int) -> FitConfig:
    """The budget of every arm: the same steps, and evaluated as often, an epoch of real clips."""
    steps, every = steps or steps_of(fit, clips), fit.eval_every or -(-clips // fit.batch_size)
    return replace(fit, steps=steps, epochs=None, patience=None, eval_every=every)


def _results(
    config: CompareConfig,
    dataset: Dataset,
    split: Split,
    material: Material,
    arms: Mapping[str, Sequence[Outcome]],
    failed: Mapping[str, str],
) -> dict[str, Any]:
    """What ``results.json`` holds, but for how it was made."""
    recipe, gan_seeds = material.recipe, np.arange(config.seeds) % config.gan_seeds
    tested = {name: [(o.probabilities, o.test) for o in found] for name, found in arms.items()}
    held = [pair for pair in pairs(config.arms) if arms.keys() >= set(pair)]
    differences, per_label = statistics.compare_arms(
        tested,
        held,
        groups={track.track_id: track.group for track in split.test},
        gans=gan_seeds,
        generated=[name for name in arms if ARMS[name].needs_gans],
        primary=primary_pair(config.arms),
    )
    used = {r.track.track_id: r.digest for s in SIDES for r in dataset.of(getattr(split, s))}
    shown: dict[str, Any] = {}
    for name, found in arms.items():
        arm = ARMS[name]
        about = {"about": arm.about, "subject": arm.subject, "generated": arm.needs_gans}
        shown[name] = {**about, "runs": []}
        for o in found:
            seeds = {"classifier_seed": o.trial.seed, "gan_seed": int(gan_seeds[o.trial.seed])}
            shown[name]["runs"].append(seeds | o.record())
    shown |= {name: {"runs": [], "error": error} for name, error in failed.items()}
    return {
        "recipe": recipe.name,
        "version": environment()["versions"]["wavegan"],
        "config": as_dict(config),
        "data": {
            **dataset.about(),
            "tracks": len(used),
            "clips": {side: len(rows) for side, rows in material.rows.items()},
            "sample_rate": recipe.sample_rate,
            "num_samples": recipe.num_samples,
        },
        "split": {
            "by": split.by,
            "leaks": split.leaks,
            "seed": config.data.split_seed,
            "fractions": list(config.data.fractions),
            "test_groups": len({track.group for track in split.test}),
            **{side: [track.track_id for track in getattr(split, side)] for side in SIDES},
            "hashes": used,
        },
        "gan": {
            "loss": recipe.gan_train.loss,
            "dim": recipe.gan.dim,
            "steps": recipe.gan_train.steps,
            "seeds": config.gan_seeds,
            "synthetic": sum(material.counts.values()),
            "stages": [gan.folder.name for gan in material.gans],
            "chosen": [gan.choice for gan in material.gans],
            "seconds": [round(gan.seconds, 1) for gan in material.gans],
        },
        "arms": shown,
        "differences": differences,
        "per_label": per_label,
    }


def _page(config: CompareConfig, material: Material, results: dict[str, Any]) -> str:
    """The report: results, and clips to listen to."""
    train, clips, curves = material.train, {}, {}
    for label, name in enumerate(train.label_names):
        real = np.flatnonzero(train.labels == label)
        shown = np.random.default_rng(label).permutation(real)[:SHOWN_CLIPS]
        clips[name] = {"real": train.audio[np.sort(shown)]}
        for gan in (g for g in material.gans if g.seed == 0 and name in g.labels):
            generated = sample_gan(material.run, gan, material.counts[label], name)[:SHOWN_CLIPS]
            clips[name]["generated"] = np.asarray(generated, np.float32) / 32768
            curves[name] = gan.curves()
    augmented: dict[str, dict[str, np.ndarray]] = {}
    if material.waveform and any(ARMS[arm].needs_augmentation for arm in config.arms):
        titles = list(clips)[:SHOWN_AUGMENTED]
        audio = np.stack([clips[title]["real"][0] for title in titles])
        augmented = altered_clips(audio, train.sample_rate, material.waveform, titles=titles)
    return render_report(results, clips=clips, gan_curves=curves, augmented=augmented)
