"""The main job: does adding a GAN's clips make the classifier better?

    tracks → split → a GAN a class (training tracks alone) → clips → features
           → one classifier an arm and seed → paired differences → results.json, report.html

How long the classifiers train is chosen on the validation tracks.

Features come from the cache; every other stage is kept in the run folder under a key of all that
went into it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from classifiers import FitConfig
from experiments.config import CompareConfig, as_dict
from experiments.executors import workers_of
from experiments.recipes import Recipe, looked_at
from experiments.report.compare import render_report
from experiments.report.sound import altered_clips
from experiments.report.tables import write_comparison
from experiments.report.terminal import Progress
from experiments.run import Run
from experiments.scores import Record, question
from experiments.stages.cells import Sides, of_cell, open_cells, open_folders, whole_material
from experiments.stages.comparison import Cell, TrainedArms, run_arms
from experiments.stages.data import Dataset, shared_groups
from experiments.stages.findings import told, validated
from experiments.stages.gan_stages import unfinished
from experiments.stages.gan_training import Watching, plan_judges, train_gans
from experiments.stages.gans import Gan, Tracks, refuse_leaks, sample_gan
from experiments.stages.parts import sharing
from experiments.stages.plan import CHOSEN, Plan, steps_of
from experiments.stages.quality import gan_quality, quality_gain
from experiments.stages.trials import Trial, is_done
from experiments.statistics import standard_errors
from experiments.verdicts import agreement
from features.checksums import key_of, was_sealed
from features.splits import SIDES
from features.storage import read_json, understanding, write_text
from wavegan.environment import environment

ENOUGH_DRAWS = 5  # fewer widen the intervals by more than the time they spare is worth
SHOWN_CLIPS = 12  # real and generated ones of each class in the report
OPENINGS, VALIDATION = "openings.json", "validation.json"  # in the run folder
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
    Interrupted
        Where ``should_stop`` said so; the same call goes on.
    """
    started, progress = time.monotonic(), progress or Progress(quiet=True)
    opened = open_cells(config, progress)
    every, dataset, clips = opened.every, opened.dataset, opened.clips
    folders = open_folders(opened, progress)
    Run(out).refuse_others("compare", opened.fixed)
    plan, classes = Plan(len(dataset.recordings), len(clips)), len(dataset.labels)
    plan.cells, plan.workers = len(every), workers_of(config.executor, config.shared)
    trainings = [cell.training for cell in every]
    if config.generates:
        for turn, left in unfinished(Run(out), trainings):
            plan.add_gans(turn, left, dataset.labels, progress)
    for recipe, cells in product(opened.recipes, opened.amounts):
        fit = _shared(recipe, config, cells)
        steps, fits = fit.steps or 0, _left(Run(out), recipe, config, cells, fit)
        every_arm = replace(recipe, fit=fit)
        plan.add_fits(every_arm, clips.num_samples, classes, fits, fits * steps, progress)
    if plan.fits and config.steps is None:
        plan.unless = CHOSEN
    if opened.judged:
        plan_judges(plan, Run(out), trainings, progress)
    if dry_run:
        return plan.as_dict()
    plan.say(progress, Path(out))
    if 1 < config.draws < ENOUGH_DRAWS:
        here, there = (standard_errors(n - 1) for n in (config.draws, ENOUGH_DRAWS))
        progress.say(
            f"where draws differ, {config.draws} make intervals of ±{here:.1f} standard errors, "
            f"{ENOUGH_DRAWS} of ±{there:.1f}: give --draws {ENOUGH_DRAWS} to tell small effects"
        )
    with (
        Run(out).working("compare", as_dict(config), opened.fixed) as run,
        sharing(config, run, progress, should_stop) as others,
    ):
        gans: Sequence[Sequence[Gan]] = [()] * len(every)
        if config.generates:
            gans = train_gans(
                run,
                trainings,
                at_once=config.at_once,
                progress=progress,
                should_stop=should_stop,
                watching=Watching(config.quality),
                elsewhere=partial(others.do, "GANs") if others else None,
                keep_going=True,
            )
        for cell, own in zip(every, gans, strict=True):
            valid, test = map(Tracks.of, cell.held_out)
            for gan in own:
                refuse_leaks(gan, valid=valid, test=test)
        if others and opened.judged:
            others.do("judges", [cell.data.name for cell in every])
        trained = []
        for recipe in opened.recipes:
            if config.beside:
                progress.say(f"the classifiers of {recipe.name}")
            whole = whole_material(opened, recipe, run, folders, progress)
            made = iter([of_cell(opened, whole, *of) for of in zip(every, gans, strict=True)])
            trained.append(
                [
                    run_arms(
                        config.declared,
                        [Cell(cell.data, cell.seeds, next(made)) for cell in cells],
                        _shared(recipe, config, cells),
                        seeds=config.seeds,
                        fixed=config.steps is not None,
                        batches=config.augmentations[1],
                        rates=config.tune,
                        should_stop=should_stop,
                        elsewhere=partial(others.do, "fits") if others else None,
                    )
                    for cells in opened.amounts
                ]
            )
        seconds = round(time.monotonic() - started, 1)
        how = {"command": command, "environment": environment() | {"session_seconds": seconds}}
        if config.sealed:
            said = [
                {"recipe": recipe.name, **validated(of)}
                for recipe, of in zip(opened.recipes, trained, strict=True)
            ]
            found = said[0] | ({"beside": said[1]} if said[1:] else {}) | how
            run.write_json(VALIDATION, found)
            return found
        openings = _opened(run, [amount for of in trained for amount in of])
        results = _results(config, dataset, every, trained) | how
        results["openings"] = openings
        run.write_json("results.json", results)
        write_text(run.path / "report.html", _page(config, trained[0][0], results))
        write_comparison(run.path, results)
    return results


def _opened(run: Run, trained: Sequence[TrainedArms]) -> list[dict[str, Any]]:
    """When the test side was opened, now among them, and with which trials; kept in the run."""
    fits = (fits for one in trained for fits in one.outcomes.values())
    trials = [outcome.folder.name for of in fits for outcome in of]
    key = key_of(sorted(trials))
    file, there = run.path / OPENINGS, list[dict[str, Any]]()
    if file.exists():
        there = run.read_json(OPENINGS, list)
    elif was_sealed(file) or _tells_of_openings(run.path / "results.json"):
        raise ValueError(
            f"{file} is missing, which counts how often the test side was opened: restore it from "
            "a copy, or choose another --out"
        )
    with understanding(file, "restore it from a copy"):
        if not all(isinstance(one[name], str) for one in there for name in ("time", "trials")):
            raise TypeError("openings have a time and a key of trials")
        known = any(one["trials"] == key for one in there)
    if not known:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        there = [*there, {"time": now, "trials": key, "count": len(trials)}]
    if not known or not was_sealed(file):  # as a kill in between leaves it
        run.write_json(OPENINGS, there)
    return there


def _tells_of_openings(results: Path) -> bool:
    """Whether the results of an earlier opening are there."""
    try:
        return "openings" in read_json(results, "restore it from a copy")
    except FileNotFoundError:
        return False


def _shared(recipe: Recipe, config: CompareConfig, cells: Sequence[Sides]) -> FitConfig:
    """The budget of every arm: the same steps, and evaluated as often, an epoch of real clips."""
    fit, clips = recipe.fit, len(cells[0].rows["train"])
    steps = config.steps or steps_of(fit, clips)
    every = fit.eval_every or -(-clips // fit.batch_size)
    return replace(fit, steps=steps, epochs=None, patience=None, eval_every=every)


def _left(
    run: Run, recipe: Recipe, config: CompareConfig, cells: Sequence[Sides], fit: FitConfig
) -> int:
    """How many fits are still to do."""
    chosen, arms = config.steps is None, config.declared
    trials = (Trial(c.data.name, arm.name, s) for c in cells for arm in arms for s in c.seeds)
    left = sum(not is_done(run, one, recipe, fit, any_steps=chosen) for one in trials)
    return left * max(1, len(config.tune))


def _results(
    config: CompareConfig,
    dataset: Dataset,
    cells: Sequence[Sides],
    classifiers: Sequence[Sequence[TrainedArms]],
) -> dict[str, Any]:
    """What ``results.json`` holds, but for how it was made.

    ``cells`` are those of all amounts; ``classifiers`` has for each recipe its arms, trained on
    each amount.
    """
    amounts = classifiers[0]
    recipe, data, trained = config.recipe, config.data, amounts[0]
    material, split = trained.cells[0].material, cells[0].split
    seeds = np.arange(config.seeds)
    by_fold = {cell.data.fold: len(cell.rows["test"]) for cell in cells}
    tested = {"test": sum(by_fold.values())}
    tests = {track: None for cell in cells for track in cell.split.test}
    groups = {track.track_id: track.group for track in tests}
    answered, *beside = (
        told(
            of,
            groups=groups,
            gans=seeds % config.gan_seeds,
            draws=np.array([config.draw_of(seed) for seed in range(config.seeds)]),
            question=config.question,
        )
        for of in classifiers
    )
    if beside:
        answered["beside"] = {"recipe": config.beside, **beside[0]}
        answered["agreement"] = agreement(recipe.name, answered, answered["beside"])
    qualities = [
        {"fold": cell.data.fold, "draw": cell.data.draw, **quality}
        for cell in trained.cells
        for quality in gan_quality(cell.material, trained.of(cell, "real"))
    ]
    every = [gan for one in amounts for cell in one.cells for gan in cell.material.gans]
    gans = [gan for gan in every if not gan.failed]
    asked, gained = question(answered), None
    if asked and answered["arms"][asked["arm"]]["generated"]:
        gained = quality_gain(qualities, *_paired(answered["arms"], asked))
    used = {
        r.track.track_id: r.digest
        for c in cells
        for s in SIDES
        for r in dataset.of(getattr(c.split, s))
    }
    return {
        "recipe": recipe.name,
        "version": environment()["versions"]["wavegan"],
        "config": as_dict(config),
        "data": {
            **dataset.about(),
            "tracks": len(used),
            "clips": {**{side: len(rows) for side, rows in material.rows.items()}, **tested},
            "sample_rate": recipe.sample_rate,
            "num_samples": material.clips.num_samples,
        },
        "split": {
            "by": split.by,
            "leaks": split.leaks,
            "seed": data.split_seed,
            "fractions": list(data.fractions),
            "folds": config.folds,
            "draws": config.draws,
            "shared_groups": sorted({name for cell in cells for name in shared_groups(cell.split)}),
            "test_groups": len({*groups.values()}),
            "tests": len(tests),
            **{side: [track.track_id for track in getattr(split, side)] for side in SIDES},
            "held_back": [track.track_id for track in dataset.held_back(cells[0].data)],
            "others": [
                {"name": cell.data.name}
                | {side: [track.track_id for track in getattr(cell.split, side)] for side in SIDES}
                for cell in cells[1:]
            ],
            "hashes": used,
        },
        "gan": {
            "loss": recipe.gan_train.loss,
            "dim": recipe.gan.dim,
            "steps": recipe.gan_train.steps,
            "seeds": config.gan_seeds,
            "synthetic": sum(material.counts.values()),
            "stages": [gan.folder.name for gan in gans],
            "chosen": [gan.choice for gan in gans],
            "vouched": list(config.vouch),
            "looked_at": list(looked_at(recipe)) if config.generates else [],
            "quality": qualities,
            "seconds": [round(gan.seconds, 1) for gan in gans],
            "failed": {gan.folder.name: gan.failed for gan in every if gan.failed},
        },
        "quality_gain": gained,
        **answered,
    }


def _paired(arms: Record, asked: Record) -> tuple[list[Record], list[Record]]:
    """The fits that both arms of a difference have, in one order."""
    one, other = (
        {(run["classifier_seed"], run["fold"]): run for run in arms[asked[name]]["runs"]}
        for name in ("arm", "against")
    )
    both = sorted(one.keys() & other.keys())
    return [one[fit] for fit in both], [other[fit] for fit in both]


def _page(config: CompareConfig, trained: TrainedArms, results: dict[str, Any]) -> str:
    """The report: results, and clips to listen to."""
    material = trained.cells[0].material
    train, clips, curves = material.train, {}, {}
    for label, name in enumerate(train.label_names):
        real = np.flatnonzero(train.labels == label)
        shown = np.random.default_rng(label).permutation(real)[:SHOWN_CLIPS]
        clips[name] = {"real": train.audio[np.sort(shown)]}
        shown_gans = (gan for gan in material.gans if gan.seed == 0 and not gan.failed)
        for gan in (gan for gan in shown_gans if name in gan.labels):
            count = material.counts[label]
            generated = sample_gan(material.run, gan, count, name)[:SHOWN_CLIPS]
            clips[name]["generated"] = np.asarray(generated, np.float32) / 32768
            curves[name] = gan.curves()
    augmented: dict[str, dict[str, np.ndarray]] = {}
    if material.waveform and any(arm.needs("augmentation") for arm in config.declared):
        titles = list(clips)[:SHOWN_AUGMENTED]
        audio = np.stack([clips[title]["real"][0] for title in titles])
        augmented = altered_clips(audio, train.sample_rate, material.waveform, titles=titles)
    return render_report(results, clips=clips, gan_curves=curves, augmented=augmented)
