"""A search for a recipe's sizes and its training, on the training side alone.

The tracks that the recipe's own runs test on are set aside first. Of the others, some train and
some judge each trial. The search can be stopped and resumed, and gives the same trials again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from flax import nnx

from classifiers import fit
from experiments.config import SearchConfig, as_dict
from experiments.recipes import SPACES, Recipe
from experiments.report.terminal import Progress
from experiments.run import Run, environment
from experiments.stages.data import Dataset, cut, open_dataset
from experiments.stages.plan import Plan, steps_of
from features import Rows, Standardizer, extract, split_tracks
from features.storage import Interrupted, write_json

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
    lowest validation loss wins. A ``dry_run`` stops at the plan, which it returns.

    Raises
    ------
    ImportError
        Without Optuna.
    ValueError
        For data that can't be used, or too few tracks to set some aside.
    Interrupted
        Where ``should_stop`` said so; the same call goes on.
    """
    try:
        import optuna
    except ImportError:
        raise ImportError("a search needs Optuna: pip install 'wavegan[search]'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
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
            trial = _asked(study, config.seed + number)
            options, settings = SPACES[recipe.name](trial)
            task = f"trial {number + 1} of {config.trials}"
            with _telling(study, trial, task):
                _try(config, trial, options, settings, train, judge,
                     len(dataset.labels), task, progress, should_stop)  # fmt: skip
        result = {
            "recipe": recipe.name,
            "command": command,
            "environment": environment(),
            "held_out": sorted(held_out),
            "best": _best(study, recipe, dataset.digests),
            "trials": [_trial_record(trial) for trial in _ended(study)],
        }
        write_json(run.path / "search.json", result)
    return result


def _prepared(
    config: SearchConfig, progress: Progress
) -> tuple[Dataset, set[str], Labelled, Labelled]:
    """The data without the ids that are held out of it, and what of it trains and what judges."""
    recipe = config.recipe
    dataset = open_dataset(
        config.data,
        sample_rate=recipe.sample_rate,
        num_samples=recipe.num_samples,
        progress=progress,
    )
    held_out = _held_out(config, dataset)
    kept = tuple(r for r in dataset.recordings if r.track.track_id not in held_out)
    dataset = replace(dataset, recordings=kept)
    parts = split_tracks([r.track for r in kept], fractions=(0.75, 0.0, 0.25), seed=config.seed)
    _, clips = cut(dataset, recipe, skip_short=config.data.skip_short, progress=progress)
    features = extract(clips, recipe.input, on_progress=progress.of("features", "clip"))
    ids = [[track.track_id for track in side] for side in (parts.train, parts.test)]
    rows = [np.flatnonzero(np.isin(clips.track_ids, side)) for side in ids]
    scaler = Standardizer.fit(Rows([features], rows[0]))
    train, judge = ((Rows([features], r, scaler), clips.labels[r]) for r in rows)
    return dataset, held_out, train, judge


def _held_out(config: SearchConfig, dataset: Dataset) -> set[str]:
    """Ids of the tracks that the recipe's runs test on."""
    data = config.data
    seeds = range(data.split_seed, data.split_seed + config.held_out_seeds)
    splits = [dataset.split(replace(data, split_seed=seed)) for seed in seeds]
    return {track.track_id for split in splits for track in split.test}


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


def _asked(study: optuna.Study, seed: int) -> optuna.Trial:
    """The next trial; a sampler of its own for each, so that a resumed search goes on alike."""
    import optuna

    study.sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=10)
    return study.ask()


@contextmanager
def _telling(study: optuna.Study, trial: optuna.Trial, task: str):
    """Tell the study what became of a trial that ends early."""
    import optuna

    state = optuna.trial.TrialState
    try:
        yield
    except optuna.TrialPruned:
        study.tell(trial, state=state.PRUNED)
    except FloatingPointError:  # diverged: the worst there is
        study.tell(trial, state=state.PRUNED)
    except Interrupted as stopped:
        study.tell(trial, state=state.FAIL)
        raise Interrupted(f"stopped in {task}") from stopped
    else:
        study.tell(trial, trial.user_attrs["valid_loss"])


def _try(
    config: SearchConfig,
    trial: optuna.Trial,
    options: dict[str, Any],
    settings: dict[str, Any],
    train: Labelled,
    judge: Labelled,
    num_classes: int,
    task: str,
    progress: Progress,
    should_stop: Callable[[], bool] | None,
) -> None:
    """Train once; the lowest validation loss and its accuracy become the trial's attributes."""
    import optuna

    recipe = config.recipe
    model = recipe.network(train[0].shape[1:], num_classes, config.seed, **options)
    evaluations = 0

    def on_log(row: dict[str, float]) -> None:
        nonlocal evaluations
        done, total = (int(row[f"classifier/{name}"]) for name in ("step", "total_steps"))
        progress.update(task, done, total, f"loss {row['classifier/loss']:.3f}")
        if "classifier/valid_loss" in row:
            evaluations += 1  # epochs, so that batches of all sizes compare
            trial.report(row["classifier/valid_loss"], evaluations)
            if trial.should_prune():
                raise optuna.TrialPruned

    history = fit(
        model,
        train,
        judge,
        replace(recipe.fit, **settings),
        seed=config.seed,
        on_log=on_log,
        should_stop=should_stop,
    )
    best = int(np.argmin(history.valid_loss))
    weights = jax.tree.leaves(nnx.state(model, nnx.Param))
    for name, value in {
        "valid_loss": history.valid_loss[best],
        "valid_accuracy": history.valid_accuracy[best],
        "steps": history.num_steps,
        "parameters": sum(weight.size for weight in weights),
    }.items():
        trial.set_user_attr(name, value)


def _ended(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """Trials that came to an end, cut off or not."""
    import optuna

    state = optuna.trial.TrialState
    return study.get_trials(states=(state.COMPLETE, state.PRUNED))


def _best(study: optuna.Study, recipe: Recipe, digests: Mapping[str, str]) -> dict[str, Any]:
    import optuna

    try:
        best = study.best_trial
    except ValueError:
        raise ValueError(
            "no trial came to its end, all were cut off or diverged: look at the data with "
            "`wavegan doctor`, or ask for more --trials"
        ) from None
    options, settings = SPACES[recipe.name](optuna.trial.FixedTrial(best.params))
    return {
        "options": {**recipe.options, **options},
        "fit": settings,
        "valid_loss": best.value,
        "valid_accuracy": best.user_attrs["valid_accuracy"],
        "tracks": dict(digests),
    }


def _trial_record(trial: optuna.trial.FrozenTrial) -> dict[str, Any]:
    outcome = dict(trial.user_attrs) if trial.value is not None else {"outcome": CUT}
    seconds = trial.duration.total_seconds() if trial.duration else 0.0
    return {"params": trial.params, **outcome, "seconds": round(seconds, 1)}
