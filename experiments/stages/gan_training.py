"""Training the GANs of a run on training tracks alone, several in one program or by workers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax

from experiments.recipes import Recipe
from experiments.report.terminal import Progress
from experiments.run import Run, Stage
from experiments.stages.gan_stages import GanStage, GanTraining, opened, take_up, turns_of
from experiments.stages.gans import GAN_LIST, Gan
from experiments.stages.judge import Judge, fitted_judge, judge_inputs, judge_recipe, load_judge
from experiments.stages.plan import Plan, remember_gan_step
from features.checksums import check
from wavegan import (
    Job,
    Previews,
    Quality,
    TensorBoard,
    TrainingDiverged,
    WaveGANConfig,
    train_together,
)
from wavegan.distributed import first
from wavegan.run_folder import RunFolder
from wavegan.train_config import DATA

Team = tuple[str, ...]  # of GANs that are trained in one program the names of their stages
REAL_PREVIEWS = 8  # recordings to hear beside a GAN's previews


@dataclass(frozen=True)
class Watching:
    """What is watched of GANs in training.

    Attributes
    ----------
    quality : generated clips that the sample metrics are measured on; 0 measures none.
    judge : also by a classifier of the training tracks.
    tensorboard : write TensorBoard's event files, too.
    """

    quality: int = 256
    judge: bool = False
    tensorboard: bool = False


def train_gans(
    run: Run,
    trainings: Sequence[GanTraining],
    *,
    progress: Progress,
    should_stop: Callable[[], bool] | None = None,
    at_once: int | None = None,
    watching: Watching = Watching(quality=0),
    elsewhere: Callable[[Sequence[Team]], Mapping[Team, str]] | None = None,
    keep_going: bool = False,
) -> list[list[Gan]]:
    """The GANs of each of ``trainings``; finished ones are kept.

    Parameters
    ----------
    at_once : GANs trained in one program; None is as many as a training has on an accelerator or
        several devices, and one after another on a CPU.
    elsewhere : has teams trained by others, by `train_team`, where there are any and no judge, and
        says of those that failed why.
    keep_going : train the others where one fails, and say of it why it ``failed``.

    Raises
    ------
    ValueError
        As `unfinished`.
    TrainingDiverged, TrainingInterrupted
        As `wavegan.train`, naming the class; what is finished stays.
    """
    failed = dict[Path, str]()

    def lost(team: Sequence[GanStage], why: str) -> None:
        if not keep_going:
            raise TrainingDiverged(why)
        progress.say(why)
        failed.update({gan.stage.folder: why for gan in team if not gan.stage.finished})

    turns = [turns_of(run, training) for training in trainings]
    # Of two trainings on the same tracks the GANs are the same.
    every = list({g.stage.folder: g for of in turns for _, gans in of for g in gans}.values())
    judges: list[Judge | None] = [None] * len(trainings)
    if watching.judge:
        for i, training in enumerate(trainings):
            kept = keep_judge(run, training, progress)
            judges[i] = load_judge(kept, training.recipe.sample_rate)
    for folder in (gan.stage.folder for gan in every if gan.stage.finished):
        check(folder)
    unjudged = dict.fromkeys(g.name for g in every if not (g.stage.finished or g.judged_by))
    if watching.quality and unjudged:
        progress.say(
            f"too few validation tracks of {', '.join(unjudged)}: checkpoints are judged by "
            "training tracks, which favours a GAN that knows them by heart"
        )
    if at_once is None:
        idle = jax.default_backend() != "cpu" or len(jax.devices()) > 1
        at_once = max(len(gans) for of in turns for _, gans in of) if idle else 1
    for turn in (-2, -1):  # those that others start from, of all trainings, before these
        judge_of = {
            gan.stage.folder: judge
            for of, judge in zip(turns, judges, strict=True)
            for _, gans in of[turn : turn + 1 or None]
            for gan in gans
            if not gan.stage.finished
        }
        waiting = [(g, judge_of[g.stage.folder]) for g in every if g.stage.folder in judge_of]
        for gan, _ in waiting:
            if gan.ancestor and (why := failed.get(gan.ancestor.path)):
                lost([gan], f"the GAN of {gan.name} starts from one that failed: {why}")
        waiting = [one for one in waiting if one[0].stage.folder not in failed]
        first(partial(take_up, run, [gan for gan, _ in waiting]))
        teams = _teams(waiting, at_once)
        if elsewhere and teams:
            by_name = {tuple(gan.stage.folder.name for gan, _ in team): team for team in teams}
            for names, why in elsewhere([*by_name]).items():
                lost([gan for gan, _ in by_name[names]], why)
            teams = []
        for team in teams:
            done = sum(gan.stage.finished for gan in every)
            tasks = [
                f"GAN {done + i}/{len(every)} {gan.name}" for i, (gan, _) in enumerate(team, 1)
            ]
            try:
                _train(run, team, tasks, progress, should_stop, watching)
            except TrainingDiverged as error:
                lost([gan for gan, _ in team], str(error))
    found = [[opened(gan, failed.get(gan.stage.folder, "")) for gan in of[-1][1]] for of in turns]
    named = [gan.folder.name for gans in found for gan in gans if not gan.failed]
    first(lambda: run.write_json(GAN_LIST, list(dict.fromkeys(named))))
    return found


def _teams(
    waiting: Sequence[tuple[GanStage, Judge | None]], at_once: int
) -> list[Sequence[tuple[GanStage, Judge | None]]]:
    """So many at a time; those of a team that have no step in common, as after a failure, alone."""
    found = list[Sequence[tuple[GanStage, Judge | None]]]()
    for i in range(0, len(waiting), at_once):
        team = waiting[i : i + at_once]
        steps = [{*RunFolder(gan.stage.part).steps()} for gan, _ in team]
        every, first_save = set.union(*steps), team[0][0].settings.checkpoint_every
        together = set.intersection(*steps) or max(every, default=0) <= first_save
        found += [team] if together else [[one] for one in team]
    return found


def train_team(
    run: Run,
    trainings: Sequence[GanTraining],
    team: Team,
    *,
    watching: Watching,
    should_stop: Callable[[], bool] | None = None,
) -> None:
    """Train some GANs of ``trainings`` in one program, as `train_gans` asks others to."""
    turns = [turn for training in trainings for turn in turns_of(run, training)]
    gans = {gan.stage.folder.name: gan for _, of in turns for gan in of}
    left = [(gans[name], None) for name in team if not gans[name].stage.finished]
    if left:
        tasks = [f"GAN {gan.name}" for gan, _ in left]
        _train(run, left, tasks, Progress(quiet=True), should_stop, watching)


def keep_judge(run: Run, training: GanTraining, progress: Progress) -> Path:
    """The folder of the judge of some GANs, which `load_judge` reads; made once."""
    heard, clip = training.recordings, _judged(training.recipe)
    made = partial(fitted_judge, run, heard, training.labels, *clip, progress)
    return Path(first(lambda: str(made())))


def plan_judges(plan: Plan, run: Run, trainings: Sequence[GanTraining], progress: Progress) -> None:
    """Count the classifiers that `keep_judge` of ``trainings``, of one recipe, is yet to make."""
    recipe, labels, clip = trainings[0].recipe, trainings[0].labels, _judged(trainings[0].recipe)
    stages = [Stage(run, "judge", judge_inputs(one.recordings, *clip)) for one in trainings]
    left = len({stage.folder for stage in stages if not stage.finished})
    judge = judge_recipe(recipe.clip_gan, recipe.sample_rate)
    steps = left * (judge.fit.steps or 0)
    plan.add_fits(judge, recipe.num_samples, len(labels), left, steps, progress)


def _judged(recipe: Recipe) -> tuple[WaveGANConfig, int, bool]:
    """What a judge must know of the clips of a recipe's GANs."""
    return recipe.clip_gan, recipe.sample_rate, recipe.gan_train.peak_normalize


def _train(
    run: Run,
    judged: Sequence[tuple[GanStage, Judge | None]],
    tasks: Sequence[str],
    progress: Progress,
    should_stop: Callable[[], bool] | None,
    watching: Watching,
) -> None:
    """Train some GANs in one program, and finish the stages of those that come to their end.

    Each of ``judged`` is a GAN and the judge of its clips, where it has one.
    """
    team = [gan for gan, _ in judged]
    config, settings, steps = team[0].config, team[0].settings, team[0].settings.steps
    boards = [
        TensorBoard(gan.stage.part / "tensorboard", previews=gan.stage.part / "previews")
        for gan in team
        if watching.tensorboard and jax.process_index() == 0
    ]

    def on_log(i: int, metrics: dict[str, float]) -> None:
        about = team[i].provenance
        run.log.append({"gan": about.get("label", "all"), "seed": about["seed"]}, metrics)
        if boards:
            boards[i](metrics)
        if i == 0:  # the others of a team are as far
            progress.update(tasks[0], int(metrics["gan/step"]), steps, _note(metrics))

    jobs = [
        Job(
            gan.recordings,
            seed=gan.settings.seed,
            labels=gan.targets,
            run_dir=gan.stage.part,
            provenance=gan.provenance,
            on_log=partial(on_log, i),
            inspect=_inspectors(gan, watching, judge),
            init=gan.ancestor.start(config, gan.labels) if gan.ancestor else None,
        )
        for i, (gan, judge) in enumerate(judged)
    ]
    ended: Sequence[GanStage] = ()
    done = max(RunFolder(team[0].stage.part).steps(), default=0)
    progress.compiling(tasks[0], done, steps)
    try:
        trained = train_together(jobs, config, settings, should_stop=should_stop)
        ended = team
        rate = trained[0].history[-1]["gan/steps_per_second"]
        if rate and len(team) == 1 and jax.process_index() == 0:
            remember_gan_step(config, settings, 1 / rate)
    except TrainingDiverged as error:
        ended = [gan for gan in team if RunFolder(gan.stage.part).steps()[-1:] == [steps]]
        names = ", ".join(gan.name for gan in team if gan not in ended)
        raise TrainingDiverged(f"the GAN of {names}: {error}") from None
    finally:
        for board in boards:
            board.close()
        for gan in ended:
            first(gan.stage.finish)


def _inspectors(gan: GanStage, watching: Watching, judge: Judge | None):
    if not watching.quality:
        return ()
    sample_rate: int = gan.provenance["sample_rate"]
    settings: dict[str, Any] = {name: getattr(gan.settings, name) for name in DATA}
    held_out = gan.judged_by or gan.recordings
    quality = Quality(
        held_out,
        sample_rate=sample_rate,
        num_samples=gan.config.num_samples,
        channels=gan.config.channels,
        train=gan.recordings if gan.judged_by else None,
        labels=[gan.classes.index(r.track.label) for r in held_out],
        count=watching.quality,
        classify=judge,
        **settings,
    )
    real = [r.samples for r in gan.recordings[:REAL_PREVIEWS]]
    if gan.targets is not None:  # of each class one
        firsts = {r.track.label: r for r in reversed(gan.recordings)}
        real = [firsts[label].samples for label in gan.labels]
    previews = Previews(gan.stage.part / "previews", sample_rate=sample_rate, real=real)
    return quality, previews


def _note(metrics: Mapping[str, float]) -> str:
    """How a GAN does, in a few words."""
    words, distance = [f"gap {metrics['gan/critic_gap']:.3g}"], "quality/kernel_distance"
    if "gan/penalty" in metrics:
        words.append(f"penalty {metrics['gan/penalty']:.3g}")
    if distance in metrics:
        error = metrics[f"{distance}_error"]
        words.append(f"kernel distance {metrics[distance]:.3g} ± {error:.2g}")
    if "quality/enough_since" in metrics:
        words.append(f"no better since step {metrics['quality/enough_since']:,.0f}")
    return "  ".join(words)
