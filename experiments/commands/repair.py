"""A published comparison made again, leaks and all, and its flaws repaired one after another.

`net6`, which also trained on generated clips, was compared with `net5`: on other clips, in other
batches, with chunks of each track in training and in test, both of which the GANs had heard, in
one run. Each rung of `LADDER` repairs one of these flaws and keeps what was repaired before it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from experiments.claims import clusters
from experiments.config import CompareConfig, DataConfig, as_dict
from experiments.recipes import RECIPES, Recipe, looked_at
from experiments.report.repair import render_repair, write_ladder
from experiments.report.terminal import Progress
from experiments.run import Run, environment
from experiments.stages.arms import arm_of
from experiments.stages.chunks import CHUNKS, chunk_recordings, written_chunks
from experiments.stages.clips import cut
from experiments.stages.data import Dataset, open_dataset, shared_groups
from experiments.stages.data import Rows as SideRows
from experiments.stages.examples import Material
from experiments.stages.gan_stages import GanTraining, unfinished
from experiments.stages.gan_training import train_gans
from experiments.stages.gans import Gan, held_out, refuse_leaks
from experiments.stages.plan import Plan, steps_of
from experiments.stages.trials import Outcome, Trial, is_done, run_trial
from experiments.statistics import accuracy, paired_difference, without_rounding
from features import Clips, Recording, Rows, extract
from features.storage import write_text

BASELINE, ARMS = "net5", ("real", "real+synthetic")
EPOCHS = 50  # of the published GANs
OPTIONS = ("seeds", "num-samples", "conditional", "classes", "fractions", "split-seed",
           "artist-index", "allow-shared-groups", "skip-short", "pad-short",
           "at-once")  # fmt: skip


@dataclass(frozen=True)
class Rung:
    """The comparison after a repair.

    Attributes
    ----------
    repaired : what was, in words.
    split : of the clips.
    heard : what the GANs have: "all chunks", the tested ones too, or "training chunks".
    alike : the arm without generated clips has the other's recipe.
    several : as many runs as are asked for, each with GANs of its own.
    same_steps : all runs take as many steps as the longest of the rung before, whatever the
        validation clips say, and end with the weights that are the best by these.
    """

    repaired: str
    split: str = "chunk"
    heard: str = "all chunks"
    alike: bool = True
    several: bool = False
    same_steps: bool = False


LADDER = (
    Rung("nothing: as published", alike=False),
    Rung("the same clips, features and training in both arms"),
    Rung("the GANs hear training chunks alone", heard="training chunks"),
    Rung("split by track", "track", "training chunks"),
    Rung("several runs, each with its own GANs", "track", "training chunks", several=True),
    Rung("the same training steps in both arms, the best of them kept", "track",
         "training chunks", several=True, same_steps=True),
)  # fmt: skip


@dataclass(frozen=True)
class _Ladder:
    """What all rungs have in common.

    Attributes
    ----------
    recipes : of each arm as published: without and with generated clips.
    clips : of these recipes, by their names.
    """

    config: CompareConfig
    dataset: Dataset
    recipes: tuple[Recipe, Recipe]
    clips: Mapping[str, Clips]

    @property
    def generates(self) -> Recipe:
        """The recipe with generated clips, whose GANs train as long as its source's."""
        return self.recipes[1]

    def data(self, rung: Rung) -> DataConfig:
        return replace(self.config.data, split=rung.split)

    def sides(self, rung: Rung, recipe: Recipe) -> SideRows:
        """The clips of each side of a rung."""
        return self.dataset.sides(self.clips[recipe.name], self.data(rung))

    @property
    def groups(self) -> dict[str, str]:
        """Of each track its artist or speaker, or itself."""
        return {r.track.track_id: r.track.group for r in self.dataset.recordings}

    def refuse_leaks(self, rung: Rung, gans: Sequence[Gan]) -> None:
        """As `experiments.stages.gans.refuse_leaks` for the tracks that a rung holds out whole."""
        valid, test = held_out(self.dataset, self.data(rung))
        for gan in gans:
            refuse_leaks(gan, valid=valid, test=test)

    def seeds(self, rung: Rung) -> range:
        return range(self.config.seeds if rung.several else 1)

    def heard(self, rung: Rung, run: Run | None) -> tuple[list[Recording], int]:
        """What the GANs of a rung hear, training chunks from ``run``, which has them; how many."""
        recordings, clips = self.dataset.recordings, self.clips[self.generates.name]
        if rung.heard == "all chunks":
            return list(recordings), len(clips)
        train = clips.select(self.sides(rung, self.generates)["train"])
        folder = written_chunks(run, recordings, train) if run else Path(CHUNKS)
        return chunk_recordings(recordings, train, folder), len(train)

    def training(self, rung: Rung, run: Run | None = None) -> GanTraining:
        """The GANs of a rung, a set for each of its runs; without ``run`` to be counted alone."""
        (recordings, count), recipe = self.heard(rung, run), self.generates
        if "gan-steps" not in self.config.changed:
            gans = 1 if recipe.conditional else len(self.dataset.labels)
            batches = count / gans / recipe.gan_train.batch_size
            settings = replace(recipe.gan_train, steps=EPOCHS * max(1, round(batches)))
            recipe = replace(recipe, gan_train=settings)
        return GanTraining(recordings, self.dataset.labels, recipe, list(self.seeds(rung)))

    def arms(self, rung: Rung, longest: int | None = None) -> list[tuple[str, Recipe, SideRows]]:
        """Of each arm of a rung its recipe and its clips.

        ``longest`` are the steps of runs that take the same; None, where no run is there yet or
        came to its end, is what epochs of the larger arm have at most.
        """
        both = (self.recipes[rung.alike], self.generates)
        return [
            (arm, _fitted(recipe, rung, rows, longest), rows)
            for arm, recipe in zip(ARMS, both, strict=True)
            for rows in (self.sides(rung, recipe),)
        ]


def _fitted(recipe: Recipe, rung: Rung, rows: SideRows, longest: int | None) -> Recipe:
    """The recipe with the steps of a rung."""
    if not rung.same_steps:
        return recipe
    fit, most = recipe.fit, 2 * len(rows["train"])  # of the arm with generated clips
    every, steps = fit.eval_every or fit.steps_an_epoch(most), longest or steps_of(fit, most)
    same: dict[str, Any] = {"steps": steps, "epochs": None, "eval_every": every, "patience": None}
    return replace(recipe, fit=replace(fit, **same, restore_best=True))


def repair(
    config: CompareConfig,
    out: str | Path,
    *,
    baseline: Recipe | None = None,
    command: str = "",
    progress: Progress | None = None,
    should_stop: Callable[[], bool] | None = None,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Climb the `LADDER`, or what is left of it, in the folder ``out``; return its results.

    Parameters
    ----------
    config : the recipe with generated clips and its GANs, the data, and the runs of the later
        rungs; arms and splits are the ladder's own.
    baseline : the recipe without generated clips, as published; None is ``net5``.
    command, progress, should_stop, dry_run : as `experiments.compare` has them.

    Raises
    ------
    ValueError
        For settings and data that can't be used, before any training.
    LeakError
        Where a GAN heard a track that a rung holds out whole.
    Interrupted
        Where ``should_stop`` said so; the same call goes on.
    """
    started, progress = time.monotonic(), progress or Progress(quiet=True)
    ladder = _open(config, baseline or RECIPES[BASELINE], progress)
    fixed = {"recipe": config.recipe.name, "data": ladder.dataset.digest, "preset": config.preset}
    Run(out).refuse_others("compare", fixed)
    plan = _plan(ladder, Run(out), progress)
    if dry_run:
        return plan.as_dict()
    plan.say(progress, Path(out))
    with Run(out).working("compare", as_dict(config), fixed) as run:
        features = {
            recipe.name: extract(
                ladder.clips[recipe.name], recipe.input, on_progress=progress.of("features", "clip")
            )
            for recipe in ladder.recipes
        }
        rungs: list[dict[str, Any]] = []
        for rung in LADDER:
            rungs.append(_climb(ladder, run, features, progress, should_stop, rung, rungs))
        split = ladder.dataset.split(ladder.data(LADDER[-1]))
        results = {
            "ladder": rungs,
            "version": environment()["versions"]["wavegan"],
            "command": command,
            "config": as_dict(config),
            "published": [recipe.published for recipe in ladder.recipes],
            "data": {**ladder.dataset.about(), "tracks": len(ladder.dataset.recordings)},
            "split": {"by": LADDER[-1].split, "shared_groups": shared_groups(split)},
            "gan": {
                "looked_at": list(looked_at(ladder.generates)),
                "failed": {
                    name: why for rung in rungs for name, why in rung["failed_gans"].items()
                },
            },
            "environment": environment(),
        }
        results["environment"]["session_seconds"] = round(time.monotonic() - started, 1)
        run.write_json("results.json", results)
        write_ladder(run.path, results)
        write_text(run.path / "report.html", render_repair(results))
    return results


def _open(config: CompareConfig, baseline: Recipe, progress: Progress) -> _Ladder:
    """Data, clips and recipes; of both the weights that are kept are those of the source."""
    of_gans = (name for name in config.changed if name.startswith("gan-") and name != "gan-seeds")
    other = sorted({*config.changed} - {*OPTIONS, *of_gans})
    other += [name for name in ("beside", "executor") if getattr(config, name) is not None]
    if other:
        named = ", ".join(f"--{name}" for name in other)
        raise ValueError(
            f"{named}: the study has its own arms, splits, steps and GANs of each run, and trains "
            f"one after another; it takes {', '.join(f'--{name}' for name in OPTIONS)} and how the "
            "GANs are and train (--gan-…)"
        )
    fit = replace(config.recipe.fit, restore_best=baseline.fit.restore_best)
    recipes = baseline, replace(config.recipe, fit=fit)
    rates = [recipe.sample_rate for recipe in recipes]
    if rates[0] != rates[1]:
        raise ValueError(
            f"{recipes[0].name} is of {rates[0]} Hz and {recipes[1].name} of {rates[1]} Hz: give "
            "both one sample_rate"
        )
    opened = open_dataset(config.data, sample_rate=rates[1], progress=progress)
    short = {name: getattr(config.data, name) for name in ("skip_short", "pad_short")}
    found = [cut(opened, recipe, progress=progress, **short) for recipe in recipes]
    kept = set[str].intersection(*({*clips.track_ids.tolist()} for _, clips in found))
    clips = {
        recipe.name: one.select(np.isin(one.track_ids, [*kept]))
        for recipe, (_, one) in zip(recipes, found, strict=True)
    }
    return _Ladder(config, opened.only(kept), recipes, clips)


def _plan(ladder: _Ladder, run: Run, progress: Progress) -> Plan:
    plan = Plan(len(ladder.dataset.recordings), len(ladder.clips[ladder.generates.name]))
    classes, trainings = len(ladder.dataset.labels), []
    counted = set[tuple[Any, ...]]()  # rungs share those that no repair changes
    for rung in LADDER:
        trainings.append(ladder.training(rung))
        for arm, recipe, rows in ladder.arms(rung):
            made, fits = arm != ARMS[0], 0
            for trial in (Trial(rung.split, arm, seed) for seed in ladder.seeds(rung)):
                key = trial, recipe.name, recipe.fit, rung.heard if made else ""
                done = is_done(run, trial, recipe, recipe.fit, any_steps=rung.same_steps)
                fits += key not in counted and not done
                counted.add(key)
            steps = fits * steps_of(recipe.fit, len(rows["train"]) * (1 + made))
            num_samples = ladder.clips[recipe.name].num_samples
            plan.add_fits(recipe, num_samples, classes, fits, steps, progress)
    for recipe, left in unfinished(run, trainings):
        plan.add_gans(recipe, left, ladder.dataset.labels, progress)
    return plan


def _climb(
    ladder: _Ladder,
    run: Run,
    features: Mapping[str, Rows],
    progress: Progress,
    should_stop: Callable[[], bool] | None,
    rung: Rung,
    before: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Train and test both arms of a rung; what came of it, and ``before`` of the earlier ones."""
    progress.say(f"rung {LADDER.index(rung) + 1} of {len(LADDER)}: {rung.repaired}")
    training = ladder.training(rung, run)
    (gans,) = train_gans(
        run,
        [training],
        progress=progress,
        should_stop=should_stop,
        at_once=ladder.config.at_once,
        keep_going=True,
    )
    ladder.refuse_leaks(rung, gans)
    arms: dict[str, dict[str, Any]] = {}
    outcomes: dict[str, list[Outcome]] = {}
    for arm, own, rows in ladder.arms(rung, _longest(before[-1]) if rung.same_steps else None):
        name = own.name
        material = Material(run, own, ladder.clips[name], rows, features[name], progress, gans)
        runs, failed = _trained(rung, arm, material, ladder.seeds(rung), should_stop)
        outcomes[arm] = [*runs.values()]
        arms[arm] = {
            "recipe": name,
            "runs": [{"classifier_seed": seed, **one.record()} for seed, one in runs.items()],
            "failed_runs": [{"classifier_seed": s, "error": why} for s, why in failed.items()],
        }
    whole = not any(arm["failed_runs"] for arm in arms.values())
    return {
        **asdict(rung),
        "gan_steps": training.recipe.gan_train.steps,
        "failed_gans": {gan.folder.name: gan.failed for gan in gans if gan.failed},
        "arms": arms,
        # Which runs are left where some failed is no matter of chance.
        "differences": _differences(outcomes, ladder.groups, alike=rung.alike) if whole else {},
    }


def _trained(
    rung: Rung,
    arm: str,
    material: Material,
    seeds: Sequence[int],
    should_stop: Callable[[], bool] | None,
) -> tuple[dict[int, Outcome], dict[int, str]]:
    """The runs of an arm that come to their end, by their seeds, and why others do not."""
    made, recipe, done, failed = arm_of(arm), material.recipe, dict[int, Outcome](), {}
    for seed in seeds:
        if made.needs("gans") and (why := material.lost(seed)):
            failed[seed] = why
            continue
        task = f"{recipe.name}, {arm}, {rung.split} split, run {seed + 1}"
        try:
            done[seed] = run_trial(
                Trial(rung.split, arm, seed),
                material,
                made.training(material, seed),
                recipe.fit,
                task=task,
                should_stop=should_stop,
            )
        except FloatingPointError as error:
            failed[seed] = str(error)
    for seed, why in failed.items():
        material.progress.say(f"{arm}, run {seed + 1} failed: {why}")
    return done, failed


def _longest(found: Mapping[str, Any]) -> int | None:
    """The steps of the longest run of a rung; None where none came to its end."""
    steps = (run["steps"] for arm in found["arms"].values() for run in arm["runs"])
    return max(steps, default=None)


def _differences(
    outcomes: Mapping[str, Sequence[Outcome]], groups: Mapping[str, str], *, alike: bool
) -> dict[str, Any]:
    """Of clip and of track accuracy; with an interval where both arms have the same test clips.

    That is over the ``groups`` of the test tracks, as `clusters` takes them, and over runs.
    """
    against, arm = (outcomes[name] for name in ARMS)
    found: dict[str, Any] = {}
    for metric in ("accuracy", "track_accuracy"):
        one, other = (
            np.array([outcome.record()[metric] for outcome in runs]) for runs in (arm, against)
        )
        found[metric] = {"mean": without_rounding((one - other).mean())}
    if alike:
        test = arm[0].test
        one, other = (
            np.stack([outcome.probabilities.argmax(1) for outcome in runs])
            for runs in (arm, against)
        )
        units = clusters(test.track_ids, groups)
        judged = paired_difference(test.labels, one, other, units, accuracy)
        found["accuracy"] |= judged.interval()
    return found
