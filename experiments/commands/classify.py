"""Training and testing a recipe on one split or several: a comparison with one arm.

    tracks → clips → features (once) → split → one classifier a seed → results.json, report.html

Several recipes run one after the other, into one table.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from experiments.config import ClassifyConfig, as_dict
from experiments.report.classify import render_classification
from experiments.report.recipes import recipe_table_markdown, recipe_table_text, render_recipe_table
from experiments.report.sound import altered_clips
from experiments.report.tables import write_tracks_csv
from experiments.report.terminal import Progress
from experiments.run import Run
from experiments.scores import Record
from experiments.stages.arms import Arm, arm_of
from experiments.stages.clips import (
    cut,
    one_by_one,
    refuse_searched,
    with_copies,
    with_embeddings,
    with_pictures,
)
from experiments.stages.data import Dataset, Rows, open_dataset, say_groups, shared_groups
from experiments.stages.examples import Material
from experiments.stages.gans import Gan, find_gans, gan_of, held_out, refuse_leaks
from experiments.stages.plan import Plan, steps_of, total
from experiments.stages.pretrained import check_pretrained, made_elsewhere, refuse_taught
from experiments.stages.robustness import robustness
from experiments.stages.trials import Trial, is_done, run_trial
from features import Clips, LeakError, extract
from features import Rows as FeatureRows
from features.augmentation import WaveformAugmentation, parse_augmentations
from features.embeddings import read_embeddings
from features.extractors import Augmented
from features.splits import SPLITS
from features.storage import understanding, write_text
from wavegan.environment import environment

HEARD = 3  # clips in the report, where there is augmentation to hear
_REDRAWN = 2  # of the seeds: sides are drawn otherwise
MISSED, MISSED_SECONDS = 16, 6.0  # wrong answers to hear there, and so long, at most


def classify(
    config: ClassifyConfig,
    out: str | Path,
    *,
    command: str = "",
    progress: Progress | None = None,
    should_stop: Callable[[], bool] | None = None,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Train and test a recipe, or what is left of it, in the folder ``out``; return its results.

    Parameters and errors are those of `experiments.compare`; for a training that diverged it is
    FloatingPointError.
    """
    started, progress = time.monotonic(), progress or Progress(quiet=True)
    recipe, supplied = config.recipe, None
    found = read_embeddings(config.embeddings) if config.embeddings is not None else None
    if found is None and recipe.missing:
        raise ValueError(recipe.missing)
    dataset = open_dataset(config.data, sample_rate=recipe.sample_rate, progress=progress)
    if found is not None:
        recipe, clips, supplied = with_embeddings(dataset, recipe, found, progress)
    else:
        short = {name: getattr(config.data, name) for name in ("skip_short", "pad_short")}
        dataset, clips = cut(dataset, recipe, progress=progress, **short)
    if config.pictures is not None:
        recipe, supplied = with_pictures(recipe, clips, config.pictures, progress)
    trained_on, (waveform, batches) = _arm(config), parse_augmentations(config.augment)
    original, copied = clips, dict[str, Augmented]()
    if waveform is not None and config.copies == "before":
        clips, copied = with_copies(clips, waveform), one_by_one(recipe.input, waveform)
    about = check_pretrained(recipe, clips.num_samples, len(dataset.labels))
    if any(SPLITS[split].groups for split in config.splits):
        say_groups(dataset.recordings, progress)
    published = config.protocol == "published"
    gans = [] if config.generated is None else find_gans(Path(config.generated))
    sides: dict[Trial, Rows] = {}  # of every run, before any training
    shared: dict[str, set[str]] = {split: set() for split in config.splits}
    for split, seed in itertools.product(config.splits, range(config.seeds)):
        data = config.sides(split, seed)
        rows = dataset.sides(clips, data)
        if published:
            rows = {**rows, "test": _redrawn(len(clips), len(rows["test"]), data.split_seed)}
        trial = Trial(split, trained_on.name, seed)
        sides[trial] = rows
        if not SPLITS[split].leaks:
            refuse_searched(recipe, clips, rows, data.split_seed)
            refuse_taught(recipe, about, clips, rows)
            shared[split] |= {*shared_groups(dataset.split(data))}
        if gans:
            _check_gans(config, gans, dataset, clips, trial)
    fixed = {"recipe": recipe.name, "data": dataset.digest}
    Run(out).refuse_others("classify", fixed)
    plan, classes = Plan(len(dataset.recordings), len(clips)), len(dataset.labels)
    for trial, rows in sides.items():
        if not is_done(Run(out), trial, recipe, recipe.fit):
            steps = steps_of(recipe.fit, len(rows["train"]) * len(trained_on.sources))
            plan.add_fits(recipe, clips.num_samples, classes, 1, steps, progress)
    if dry_run:
        return plan.as_dict()
    plan.say(progress, Path(out))
    with Run(out).working("classify", as_dict(config), fixed) as run:
        shown = progress.of("features", "clip")
        features = supplied or extract(original, recipe.input, on_progress=shown)
        for name, make in copied.items():
            shown = progress.of(f"copies, {name}", "clip")
            features = FeatureRows([features, extract(original, make, on_progress=shown)])
        splits: dict[str, Any] = {
            split: {
                # A clip may be a track; copies of it are not on one side for that.
                "leaks": SPLITS[split].leaks
                and (recipe.per_track != 1 or bool(copied) or published),
                "shared_groups": sorted(shared[split]),
                "runs": [],
            }
            for split in config.splits
        }
        whole = Material(run, recipe, clips, {}, features, progress, gans)
        whole = replace(whole, waveform=waveform, copy_seed=lambda seed, copy: seed)
        for trial, rows in sides.items():
            material = replace(whole, rows=rows)
            outcome = run_trial(
                trial,
                material,
                trained_on.training(material, trial.seed),
                recipe.fit,
                augment=batches,
                dropout=published,
                task=f"{recipe.name}, {trial.split} split, {trial.seed + 1}/{config.seeds}",
                should_stop=should_stop,
            )
            split_seed = config.sides(trial.split, trial.seed).split_seed
            more = {"seed": trial.seed, "split_seed": split_seed}
            record = {**outcome.record(), "tracks": outcome.tracks(), **outcome.sides(), **more}
            if supplied is None and not (copied or published):  # else there is no audio to alter
                record["robustness"] = robustness(outcome, material)
            splits[trial.split]["runs"].append(record)
        seconds = round(time.monotonic() - started, 1)
        missing = recipe.synthetic and config.generated is None
        note = recipe.note + ("; here real clips alone, no --generated" if missing else "")
        note += f"; of its own features, not {config.feature}" if config.feature else ""
        results = {
            "recipe": recipe.name,
            "version": environment()["versions"]["wavegan"],
            "command": command,
            "config": as_dict(config),
            "published": {"accuracy": recipe.published, "note": note},
            "data": {
                **dataset.about(),
                "tracks": len(dataset.recordings),
                "sample_rate": recipe.sample_rate,
                "num_samples": clips.num_samples,
                "clip_seconds": clips.num_samples / recipe.sample_rate,
            },
            "splits": splits,
            "vouched": [config.generated] if config.vouch else [],
            "made_elsewhere": made_elsewhere(recipe, about)
            or (f"the embeddings of {config.embeddings}" if found is not None else ""),
            "environment": environment() | {"session_seconds": seconds},
        }
        run.write_json("results.json", results)
        write_tracks_csv(run.path / "tracks.csv", results)
        page = render_classification(
            results, heard=_heard(clips, waveform), missed=_missed(results, clips)
        )
        write_text(run.path / "report.html", page)
    return results


def _redrawn(clips: int, count: int, seed: int) -> np.ndarray:
    """Rows of a test that is drawn from all clips, whichever trained, as a published one was."""
    return np.sort(np.random.default_rng([seed, _REDRAWN]).choice(clips, count, replace=False))


def _arm(config: ClassifyConfig) -> Arm:
    """The one arm: real clips, with generated ones and altered copies where they are asked for."""
    made = ["synthetic"] if config.generated is not None else []
    copied = config.augment != "none" and config.copies == "after"
    return arm_of("+".join(["real", *made, *(["classical"] if copied else [])]))


def _heard(clips: Clips, waveform: WaveformAugmentation | None) -> dict[str, dict[str, np.ndarray]]:
    """A clip of each of some classes as the waveform's augmentations alter it."""
    if waveform is None:
        return {}
    first = [int(np.argmax(clips.labels == label)) for label in range(len(clips.label_names))]
    shown = np.sort(first[:HEARD])
    titles = [clips.label_names[clips.labels[i]] for i in shown]
    return altered_clips(clips.audio[shown], clips.sample_rate, waveform, titles=titles)


def _missed(results: Record, clips: Clips) -> list[tuple[Record, np.ndarray]]:
    """Tracks with the surest wrong answers of splits that don't leak, each with a clip of it."""
    splits = (split for split in results["splits"].values() if not split["leaks"])
    every = (row for split in splits for run in split["runs"] for row in run["tracks"])
    wrong = sorted((row for row in every if not row["correct"]), key=lambda r: -r["confidence"])
    surest = {row["track"]: row for row in reversed(wrong)}
    shown = sorted(surest.values(), key=lambda row: -row["confidence"])[:MISSED]
    places = [np.flatnonzero(clips.track_ids == row["track"]) for row in shown]
    length = round(MISSED_SECONDS * clips.sample_rate)
    found = zip(shown, places, strict=True)
    return [(row, np.asarray(clips.audio[at[len(at) // 2]])[:length]) for row, at in found]


def _check_gans(
    config: ClassifyConfig, gans: Sequence[Gan], dataset: Dataset, clips: Clips, trial: Trial
) -> None:
    """Make sure that each class has a GAN with fitting clips that saw nothing held out."""
    given = f"--generated {config.generated}"
    valid, test = held_out(dataset, config.sides(trial.split, trial.seed))
    for name in clips.label_names:
        try:
            gan = gan_of(gans, name, trial.seed)
        except ValueError as error:
            raise ValueError(f"{given} has {error}") from None
        try:
            refuse_leaks(gan, valid=valid, test=test, vouch="--vouch", vouched=config.vouch)
        except LeakError as error:
            if config.one_split or trial.seed == 0:
                raise
            raise LeakError(
                f"{error}; run {trial.seed} has a split of its own: with --one-split all have the "
                "first's"
            ) from None
        rate, length = gan.provenance.get("sample_rate"), gan.generator()[0].config.num_samples
        if (rate, length) != (clips.sample_rate, clips.num_samples):
            raise ValueError(
                f"{given}: clips of {length} samples at {rate} Hz; {config.recipe.name} takes "
                f"{clips.num_samples} at {clips.sample_rate} Hz: train GANs with "
                f"--recipe {config.recipe.name}"
            )


# --- several recipes -----------------------------------------------------------------------------


def classify_all(
    configs: Sequence[ClassifyConfig],
    out: str | Path,
    *,
    command: str = "",
    progress: Progress | None = None,
    should_stop: Callable[[], bool] | None = None,
    dry_run: bool = False,
) -> str | dict[str, Any]:
    """Run each recipe in a folder of its own in ``out``; the table as text, or the plan of all.

    A recipe that can't be run stays in the table, with the reason. After each recipe the table
    so far is written: ``results.json``, ``table.md`` and ``report.html``.
    """
    out, progress = Path(out), progress or Progress(quiet=True)
    one = partial(
        classify, command=command, progress=progress, should_stop=should_stop, dry_run=dry_run
    )
    found: list[dict[str, Any]] = []
    for config in configs:
        recipe = config.recipe
        # The clip is the track: both splits are one, but for copies that are dealt out themselves.
        as_published = config.copies == "before" or config.protocol == "published"
        if recipe.per_track == 1 and not as_published:
            splits = tuple(dict.fromkeys("track" if s == "chunk" else s for s in config.splits))
            config = replace(config, splits=splits)
        progress.say(f"{recipe.name} ({len(found) + 1} of {len(configs)}): {recipe.about}")
        try:
            results = one(config, out / recipe.name)
        except (ValueError, FloatingPointError) as error:
            progress.say(f"{recipe.name} failed: {error}")
            published = {"accuracy": recipe.published, "note": recipe.note}
            results = {"recipe": recipe.name, "published": published, "error": str(error)}
        found.append(results)
        if not dry_run:
            _write_table(out, found, command)
    plans = [plan for plan in found if "error" not in plan]
    if dry_run and not plans:
        raise ValueError("none of the recipes can be run: the reasons are above")
    if dry_run:
        return total(plans)
    return recipe_table_text(found)


def gather_recipes(out: Path) -> list[dict[str, Any]]:
    """Write the table of the recipes that have been run in folders in ``out``; their results."""
    runs = sorted(out.glob("*/results.json"))
    read = [Run(file.parent).read_json("results.json") for file in runs]
    if found := [results for results in read if "splits" in results]:
        with understanding(out, "one of its results.json: restore it from a copy"):
            _write_table(out, found, "")
    return found


def _write_table(out: Path, found: Sequence[dict[str, Any]], command: str) -> None:
    made = {"command": command, "environment": environment()}
    Run(out).write_json("results.json", {**made, "recipes": list(found)})
    write_text(out / "table.md", recipe_table_markdown(found))
    write_text(out / "report.html", render_recipe_table(found))
