"""Training the GANs of a data set: one a class, or one for all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax

from experiments.config import TrainGansConfig, as_dict, inspected
from experiments.report.terminal import Progress
from experiments.report.train import render_training
from experiments.run import Run
from experiments.stages.ancestors import ancestors_in
from experiments.stages.data import open_dataset, shared_groups
from experiments.stages.gan_stages import GanTraining, unfinished
from experiments.stages.gan_training import Watching, plan_judges, train_gans
from experiments.stages.gans import Gan, held_out
from experiments.stages.plan import Plan
from experiments.stages.trained import read_training
from features.checksums import seal_files, was_sealed
from features.storage import Interrupted, understanding, write_text
from wavegan import TrainingDiverged
from wavegan.distributed import first


def train(
    config: TrainGansConfig,
    out: str | Path,
    *,
    command: str = "",
    progress: Progress | None = None,
    should_stop: Callable[[], bool] | None = None,
    dry_run: bool = False,
) -> list[Gan] | dict[str, Any]:
    """Train GANs, or what is left of it, in the folder ``out``; they and ``report.html`` are there.

    Of a distributed run every process makes the same call, and the first one writes. Parameters
    and errors are those of `experiments.compare`; the page shows what there is when it stops.
    """
    config.check_clips()
    progress, recipe = progress or Progress(quiet=True), inspected(config.recipe)
    dataset = open_dataset(
        config.data,
        sample_rate=recipe.sample_rate,
        num_samples=1 if recipe.gan_train.pad_end else recipe.num_samples,
        channels=recipe.gan.channels,
        progress=progress,
    )
    split = dataset.split(config.data)
    heard, judged_by, ancestry = dataset.of(split.train), dataset.of(split.valid), None
    if config.init is not None:
        if config.init.resolve() == Path(out).resolve():  # the next call would start from these
            raise ValueError(f"--init {config.init} is --out, too: choose another run folder")
        valid, test = held_out(dataset, config.data)
        ancestry = ancestors_in(config.init, valid=valid, test=test)
    fixed = {"recipe": recipe.name, "data": dataset.digest, "split": as_dict(config.data)}
    Run(out).refuse_others("train", fixed)
    plan = Plan(len(dataset.recordings))
    training = GanTraining(heard, dataset.labels, recipe, range(config.seeds), judged_by, ancestry)
    for turn, left in unfinished(Run(out), [training]):
        plan.add_gans(turn, left, dataset.labels, progress)
    if config.judge:
        plan_judges(plan, Run(out), [training], progress)
    if dry_run:
        return plan.as_dict()
    plan.say(progress, Path(out))
    settings = as_dict(replace(config, recipe=recipe)) | {"command_line": command}
    settings["shared_groups"] = shared_groups(split)
    with Run(out).working("train", settings, fixed) as run:
        try:
            (gans,) = train_gans(
                run,
                [training],
                at_once=config.at_once,
                progress=progress,
                should_stop=should_stop,
                watching=Watching(config.quality, config.judge, config.tensorboard),
            )
        except (Interrupted, TrainingDiverged):
            if jax.process_index() == 0:
                progress.say(f"so far: {write_training_page(run.path)}")
            raise
        first(lambda: str(write_training_page(run.path)))
    return gans


def write_training_page(run: Path) -> Path:
    """Write ``report.html`` of a run of `train`, finished or not, or of one GAN, in its folder.

    Where no GAN is there, a ValueError says what was found.
    """
    page = run / "report.html"
    with understanding(run, "restore it from a copy"):
        write_text(page, render_training(read_training(run)))
    if was_sealed(page):
        seal_files([page])
    return page
