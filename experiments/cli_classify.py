"""The commands `classify`, `predict`, `recipes` and `search`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from classifiers import FitConfig
from experiments.cli_options import add_settings, given_settings
from experiments.cli_runs import (
    add_data_options,
    add_recipe_options,
    data_of,
    find_recipe,
    new_run,
    recipe_of,
    stop_on_signals,
)
from experiments.config import CLASSIFY_SPLITS, ClassifyConfig
from experiments.recipes import RECIPES, Recipe
from experiments.report.terminal import Progress, print_classification
from features.augmentation import AUGMENTATIONS

_PUBLISHED = tuple(name for name in RECIPES if name != "demo")  # what "all" means


def add_commands(command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the commands; ``command(name, function, about)`` makes a parser."""
    classify = command("classify", _classify, "train and test one classifier recipe, or all")
    data = add_data_options(classify, splits=CLASSIFY_SPLITS, split=None, fractions=None)
    add_recipe_options(data)
    add = classify.add_argument_group("runs").add_argument
    add("--seeds", type=int, default=3, help="runs of each split, each with its own (default 3)")
    add(
        "--one-split",
        action="store_true",
        help="every run on the sides of --split-seed, not on new ones",
    )
    add(
        "--generated",
        metavar="RUN",
        help="add clips of the GANs of this run, as many as real ones",
    )
    add(
        "--augment",
        default="none",
        metavar="A,B,…",
        help=f"of training clips: {', '.join(AUGMENTATIONS)}, or all (default none)",
    )
    add(
        "--sizes",
        metavar="FILE",
        help="sizes and training from the search.json of `wavegan search`",
    )
    fit = classify.add_argument_group("training (default: the recipe's)")
    add_settings(fit, FitConfig, "fit")

    predict = command("predict", _predict, "classify files or folders with a trained classifier")
    add = predict.add_argument
    add("run", type=Path, metavar="RUN", help="of `wavegan classify`, or a classifier's file")
    add("files", type=Path, nargs="+", metavar="FILE", help="audio files, or folders of them")
    add("--out", type=Path, help="folder of pictures and tables (default RUN-predictions)")
    add("--split", help="whose classifier (default: the first that does not leak)")
    add("--seed", type=int, default=0, help="which of the split's classifiers (default 0)")
    add("--labelled", action="store_true", help="each file's folder names its class: test on them")

    search = command("search", _search, "look for a recipe's sizes on the training side alone")
    data = add_data_options(search, fractions=None)
    add_recipe_options(data, default="cnn_rnn_tempo")
    add = search.add_argument_group("search").add_argument
    add("--trials", type=int, default=30, help="how many are tried (default 30)")
    add(
        "--held-out-seeds",
        type=int,
        default=3,
        metavar="N",
        help="the test tracks of N split seeds stay unseen, from --split-seed on (default 3)",
    )
    add("--seed", type=int, default=0, help="of the search (default 0)")
    add_settings(search.add_argument_group("training (default: the recipe's)"), FitConfig, "fit")

    recipes = command("recipes", _recipes, "list the recipes")
    recipes.add_argument("name", nargs="?", metavar="NAME", help="show one in full")


def _classify(options: argparse.Namespace) -> int:
    from experiments.commands.classify import classify, classify_all

    given_split, options.split = options.split, "track"  # of the data; each of splits in turn
    names = _PUBLISHED if options.recipe == "all" else tuple(options.recipe.split(","))
    several = len(names) > 1
    # The table of several holds what the leak is worth: the split that leaks beside the honest one.
    splits = tuple((given_split or ("chunk,track" if several else "track")).split(","))
    if several:
        given = [n for n in ("num_samples", "sample_rate") if getattr(options, n) is not None]
        if given:
            raise ValueError(
                f"--{given[0].replace('_', '-')} belongs to one recipe: several were asked for"
            )
    configs = [
        ClassifyConfig(
            recipe=recipe,
            data=data_of(_for(options, recipe)),
            splits=splits,
            seeds=options.seeds,
            one_split=options.one_split,
            generated=options.generated if recipe.synthetic or not several else None,
            augment=options.augment,
        )
        for recipe in (_recipe(options, name) for name in names)
    ]
    out = options.out or new_run(f"classify-{options.recipe.replace(',', '-')}")
    print(f"run folder: {out} (resume with --out {out})", file=sys.stderr)
    shared: dict[str, Any] = {
        "command": options.command_line,
        "progress": Progress(),
        "should_stop": stop_on_signals(),
    }
    if not several:
        print_classification(classify(configs[0], out, **shared))
    else:
        print(classify_all(configs, out, **shared))
    print(f"\nreport: {out / 'report.html'}")
    return 0


def _recipe(options: argparse.Namespace, name: str) -> Recipe:
    """A recipe with what was asked of its clips and its training."""
    find_recipe(name)
    recipe = recipe_of(argparse.Namespace(**{**vars(options), "recipe": name}))
    if getattr(options, "sizes", None):
        recipe = recipe.searched(options.sizes)
    given = given_settings(options, FitConfig, "fit")
    if "epochs" in given and "steps" not in given:
        given["steps"] = None
    if "steps" in given and "epochs" not in given:
        given["epochs"] = None
    return replace(recipe, fit=replace(recipe.fit, **given))


def _for(options: argparse.Namespace, recipe: Recipe) -> argparse.Namespace:
    """The options with the recipe's fractions, unless others were given."""
    fractions = options.fractions or recipe.fractions
    return argparse.Namespace(**{**vars(options), "fractions": fractions})


def _predict(options: argparse.Namespace) -> int:
    from experiments.commands.predict import predict
    from experiments.config import PredictConfig

    run = options.run if options.run.name else options.run.resolve()  # "." has no name
    name = run.name.removesuffix(".safetensors")
    out = options.out or run.with_name(f"{name}-predictions")
    config = PredictConfig(
        options.run, tuple(options.files), options.split, options.seed, options.labelled
    )
    result = predict(config, out, progress=Progress())
    for found in result["files"]:
        notes = []
        if options.labelled:
            notes.append("right" if found["correct"] else f"wrong: {found['label']}")
        if found["trained_on"]:
            notes.append("trained on")
        if found["resampled_from"]:
            rates = f"{found['resampled_from']} to {found['sample_rate']} Hz"
            notes.append(f"resampled from {rates}")
        note = f"  ({', '.join(notes)})" if notes else ""
        print(f"{found['confidence']:6.1%}  {found['predicted']:<12}  {found['file']}{note}")
    for refused in result["refused"]:
        print(f"refused  {refused['file']}: {refused['reason']}")
    if options.labelled:
        fresh = [found for found in result["files"] if not found["trained_on"]]
        known = len(result["files"]) - len(fresh)
        right = sum(found["correct"] for found in fresh)
        share = f" ({right / len(fresh):.1%})" if fresh else ""
        beside = f"; {known} more it was trained on do not count" if known else ""
        print(f"{right} of {len(fresh)} right{share}{beside}")
    print(f"\npictures: {out / 'predictions.html'}, table: {out / 'predictions.csv'}")
    return 1 if result["refused"] else 0


def _search(options: argparse.Namespace) -> int:
    from experiments.commands.search import search
    from experiments.config import SearchConfig

    recipe = _recipe(options, options.recipe)
    out = options.out or new_run(f"search-{recipe.name}")
    print(f"run folder: {out} (resume with --out {out})", file=sys.stderr)
    config = SearchConfig(
        recipe=recipe,
        data=data_of(_for(options, recipe)),
        trials=options.trials,
        held_out_seeds=options.held_out_seeds,
        seed=options.seed,
    )
    result = search(
        config,
        out,
        command=options.command_line,
        progress=Progress(),
        should_stop=stop_on_signals(),
    )
    best, trials = result["best"], result["trials"]
    finished = sum("valid_loss" in trial for trial in trials)
    print(f"{len(trials)} trials, {finished} of them to the end; the best:")
    print("\n".join(f"  {name:<16}{value}" for name, value in best["options"].items()))
    print("\n".join(f"  {name:<16}{value}" for name, value in best["fit"].items()))
    print(f"  validation loss {best['valid_loss']:.3f}, accuracy {best['valid_accuracy']:.1%}")
    print(f"\nrecord: {out / 'search.json'}")
    return 0


def _recipes(options: argparse.Namespace) -> int:
    if options.name is None:
        print(f"{'recipe':<20}{'published':>10}  what it is")
        for recipe in RECIPES.values():
            figure = "-" if recipe.published is None else f"{recipe.published:.4f}"
            print(f"{recipe.name:<20}{figure:>10}  {recipe.about}")
        print("\n`wavegan recipes NAME` shows one in full, its command with it.")
        return 0
    recipe = find_recipe(options.name)
    clips = f"{recipe.clip_seconds:.2f} s at {recipe.sample_rate} Hz"
    per_track = f", {recipe.per_track} a track" if recipe.per_track else ", end to end"
    train, valid, test = recipe.fractions
    lines = {
        "what it is": recipe.about,
        "command": recipe.command,
        "takes": recipe.takes or "not measured",
        "published": f"{recipe.published or 'no figure'}; {recipe.note}",
        "clips": clips + per_track + (f", silent {recipe.silence} out" if recipe.silence else ""),
        "features": str(recipe.input),
        "network": recipe.architecture + "".join(f", {n}={v}" for n, v in recipe.options.items()),
        "training": _shown(recipe.fit),
        "published split": f"{recipe.split}, {train:g} / {valid:g} / {test:g}",
        "generated clips": "as many as real ones (--generated RUN)" if recipe.synthetic else "none",
    }
    print("\n".join(f"{name:<17}{value}" for name, value in lines.items()))
    return 0


def _shown(fit: FitConfig) -> str:
    """The settings that are not as they always are."""
    usual = FitConfig(epochs=1)
    values = {name: value for name, value in vars(fit).items() if value != getattr(usual, name)}
    shown = {
        "optimizer": fit.optimizer,
        "learning_rate": fit.learning_rate,
        "batch_size": fit.batch_size,
    }
    return ", ".join(f"{name} {value}" for name, value in {**shown, **values}.items())
