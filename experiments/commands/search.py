"""A search for a recipe's sizes and its training, on the training side alone.

The tracks that the recipe's own runs test on are set aside first. Of the others, some train and
some judge each trial. The search can be stopped and resumed, and gives the same trials again.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from flax import nnx

from classifiers import fit
from experiments.config import SearchConfig, as_dict
from experiments.recipes import SPACES, Recipe
from experiments.report.terminal import Progress
from experiments.run import Run
from experiments.stages.clips import cut
from experiments.stages.data import Dataset, open_dataset
from experiments.stages.plan import Plan, steps_of
from features import Rows, Standardizer, extract, split_tracks
from features.storage import Interrupted
from wavegan.environment import environment

if TYPE_CHECKING:
    import optuna

Labelled = tuple[Rows, np.ndarray]  # features (N, ...) and labels (N,)
CUT = "cut off"  # a trial that fell behind the others halfway


def search(
    config: SearchConfig,
    out: str | Path,
    *,
    command: str = "",
    progress: Progress | None = None,
    should_stop: Callable[[], bool] | None = None,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Search, or go on, in the folder ``out``; what was found, as ``search.json`` there has it.

    Trials are proposed by a tree-structured Parzen estimator (Bergstra et al. 2011), one whose
    validation loss is worse than the median of the others after as many epochs is cut off, and the
    lowest validation loss wins. Parameters and errors are those of `experiments.compare`; too few
    tracks to set some aside are a ValueError, and it is an ImportError without Optuna.
    """
    try:
        import optuna
    except ImportError:
        raise ImportError("a search needs Optuna: pip install 'wavegan[search]'") from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    progress, recipe = progress or Progress(quiet=True), config.recipe
    dataset, held_out, train, judge = _prepared(config, progress)
    plan, steps = Plan(len(dataset.recordings)), steps_of(recipe.fit, len(train[1]))
    count, classes = config.trials, len(dataset.labels)
    plan.add_fits(recipe, recipe.num_samples, classes, count, count * steps, progress)
    if dry_run:
        return plan.as_dict()
    plan.say(progress, Path(out))
    fixed = {  # trials of other settings do not compare
        "recipe": recipe.name,
        "data": dataset.digest,
        "split": as_dict(config.data),
        "held_out_seeds": config.held_out_seeds,
        "clip": [recipe.sample_rate, recipe.num_samples, recipe.silence],
        "fit": as_dict(recipe.fit),
        "seed": config.seed,
    }
    with Run(out).working("search", as_dict(config), fixed) as run:
        study = _study(run.path / "trials.log")
        while (number := len(_ended(study))) < config.trials:
            # a sampler of its own for each trial, so that a resumed search goes on alike
            study.sampler = optuna.samplers.TPESampler(
                seed=config.seed + number, n_startup_trials=10
            )
            task = f"trial {number + 1} of {config.trials}"
            attempt = _Attempt(config, train, judge, classes, task, progress, should_stop)
            study.optimize(attempt, n_trials=1)
        result = {
            "recipe": recipe.name,
            "command": command,
            "environment": environment(),
            "held_out": sorted(held_out),
            "best": _best(study, recipe, dataset.digests),
            "trials": [_trial_record(trial) for trial in _ended(study)],
        }
        run.write_json("search.json", result)
    return result


def _prepared(
    config: SearchConfig, progress: Progress
) -> tuple[Dataset, set[str], Labelled, Labelled]:
    """The data without the ids that are held out of it, and what of it trains and what judges."""
    recipe, data = config.recipe, config.data
    dataset = open_dataset(
        data, sample_rate=recipe.sample_rate, num_samples=recipe.num_samples, progress=progress
    )
    seeds = range(data.split_seed, data.split_seed + config.held_out_seeds)
    splits = [dataset.split(replace(data, split_seed=seed)) for seed in seeds]
    held_out = {track.track_id for split in splits for track in split.test}
    kept = tuple(r for r in dataset.recordings if r.track.track_id not in held_out)
    dataset = replace(dataset, recordings=kept)
    parts = split_tracks([r.track for r in kept], fractions=(0.75, 0.0, 0.25), seed=config.seed)
    _, clips = cut(dataset, recipe, skip_short=data.skip_short, progress=progress)
    features = extract(clips, recipe.input, on_progress=progress.of("features", "clip"))
    ids = [[track.track_id for track in side] for side in (parts.train, parts.test)]
    rows = [np.flatnonzero(np.isin(clips.track_ids, side)) for side in ids]
    scaler = Standardizer.fit(Rows([features], rows[0]))
    train, judge = ((Rows([features], r, scaler), clips.labels[r]) for r in rows)
    return dataset, held_out, train, judge


def _study(path: Path) -> optuna.Study:
    """The study kept in a file; trials that a kill left unfinished are failed ones."""
    import optuna
    from optuna.storages.journal import JournalFileBackend, JournalStorage

    study = optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(path))),
        study_name="search",
        load_if_exists=True,
        pruner=optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=5),
    )
    for trial in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
    return study


@dataclass(frozen=True)
class _Attempt:
    """A trial: called with what was proposed, it trains once and gives the validation loss."""

    config: SearchConfig
    train: Labelled
    judge: Labelled
    num_classes: int
    task: str
    progress: Progress
    should_stop: Callable[[], bool] | None

    def __call__(self, trial: optuna.Trial) -> float:
        import optuna

        recipe, seed = self.config.recipe, self.config.seed
        options, settings = SPACES[recipe.name](trial)
        model = recipe.network(self.train[0].shape[1:], self.num_classes, seed, **options)
        epochs = itertools.count(1)  # so that batches of all sizes compare
        shown = self.progress.of_fit(self.task)

        def on_log(row: dict[str, float]) -> None:
            shown(row)
            if "classifier/valid_loss" in row:
                trial.report(row["classifier/valid_loss"], next(epochs))
                if trial.should_prune():
                    raise optuna.TrialPruned

        try:
            history = fit(
                model,
                self.train,
                self.judge,
                replace(recipe.fit, **settings),
                seed=seed,
                on_log=on_log,
                should_stop=self.should_stop,
            )
        except FloatingPointError:  # diverged: the worst there is
            raise optuna.TrialPruned from None
        except Interrupted as stopped:
            raise Interrupted(f"stopped in {self.task}") from stopped
        best = int(np.argmin(history.valid_loss))
        weights = jax.tree.leaves(nnx.state(model, nnx.Param))
        trial.set_user_attr("valid_loss", history.valid_loss[best])
        trial.set_user_attr("valid_accuracy", history.valid_accuracy[best])
        trial.set_user_attr("steps", history.num_steps)
        trial.set_user_attr("parameters", sum(weight.size for weight in weights))
        return history.valid_loss[best]


def _ended(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """Trials that came to an end, cut off or not."""
    return [trial for trial in study.trials if trial.state.name in ("COMPLETE", "PRUNED")]


def _best(study: optuna.Study, recipe: Recipe, digests: Mapping[str, str]) -> dict[str, Any]:
    try:
        best = study.best_trial
    except ValueError:
        raise ValueError(
            "no trial came to its end, all were cut off or diverged: look at the data with "
            "`wavegan doctor`, or ask for more --trials"
        ) from None
    options, settings = SPACES[recipe.name](best)
    return {
        "options": {**recipe.options, **options},
        "fit": settings,
        "valid_loss": best.value,
        "valid_accuracy": best.user_attrs["valid_accuracy"],
        "tracks": dict(digests),
    }


def _trial_record(trial: optuna.trial.FrozenTrial) -> dict[str, Any]:
    cut_off = trial.state.name == "PRUNED"  # which has a value, too: the last that it reported
    outcome = {"outcome": CUT} if cut_off else dict(trial.user_attrs)
    seconds = trial.duration.total_seconds() if trial.duration else 0.0
    return {"params": trial.params, **outcome, "seconds": round(seconds, 1)}
