"""What the commands that work in a run folder share: options of data and recipe, Ctrl-C."""

from __future__ import annotations

import argparse
import difflib
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from experiments.config import SPLITS, DataConfig
from experiments.recipes import RECIPES, Recipe
from features.silence import SILENCES


def add_data_options(
    parser: argparse.ArgumentParser,
    *,
    splits: Sequence[str] = SPLITS,
    split: str | None = "track",
    fractions: tuple[float, float, float] | None = (0.7, 0.2, 0.1),
) -> Any:
    """Add the options that say which tracks there are and on which side each is; their group.

    Parameters
    ----------
    splits, split : what ``--split`` takes, and its default.
    fractions : the default of ``--fractions``; None leaves it to the recipe.
    """
    group = parser.add_argument_group("data")
    add = group.add_argument
    add("--data", help="folder of class folders (default: the embedded synthetic genres)")
    add("--out", type=Path, help="run folder (default runs/<date>-<name>); resumes what is there")
    add("--split", default=split, help=f"{', '.join(splits)} (default track)")
    about = "of the tracks on each side (default " + (
        ",".join(map(str, fractions)) if fractions else "the recipe's"
    )
    add(
        "--fractions",
        type=_fractions,
        default=fractions,
        metavar="TRAIN,VALID,TEST",
        help=f"{about})",
    )
    add("--split-seed", type=int, default=0)
    add("--split-lists", help="folder of the gtzan-filtered lists (train_filtered.txt, …)")
    add("--artist-index", help="file that names each GTZAN track's artist")
    add("--skip-short", action="store_true", help="leave out tracks shorter than a clip")
    return group


def add_recipe_options(group: Any, *, default: str = "demo") -> None:
    """Add the recipe (``default`` where none is given), and what of its clips can be changed."""
    add = group.add_argument
    add("--recipe", default=default, help=f"{', '.join(RECIPES)} (default {default})")
    add("--sample-rate", type=int, help="Hz (default: the recipe's)")
    add("--num-samples", type=int, help="of a clip (default: the recipe's)")
    add(
        "--silence",
        choices=("none", *SILENCES),
        help="taken out of each track before it is cut (default: the recipe's)",
    )


def data_of(options: argparse.Namespace) -> DataConfig:
    """The tracks and the split that were asked for."""
    return DataConfig(
        root=options.data,
        split=options.split,
        fractions=options.fractions,
        split_seed=options.split_seed,
        split_lists=options.split_lists,
        artist_index=options.artist_index,
        skip_short=options.skip_short,
    )


def recipe_of(options: argparse.Namespace) -> Recipe:
    """The named recipe with the options that were given put into it."""
    clip = {"sample_rate": options.sample_rate, "num_samples": options.num_samples}
    given: dict[str, Any] = {name: value for name, value in clip.items() if value is not None}
    if options.silence is not None:
        given["silence"] = None if options.silence == "none" else options.silence
    return replace(find_recipe(options.recipe), **given)


def find_recipe(name: str) -> Recipe:
    """The recipe of that name; a ValueError names those that come near."""
    if name not in RECIPES:
        near = difflib.get_close_matches(name, RECIPES, n=3, cutoff=0.5) or list(RECIPES)
        raise ValueError(
            f"--recipe {name}: there is none; try {', '.join(near)} (`wavegan recipes` lists all)"
        )
    return RECIPES[name]


def new_run(name: str) -> Path:
    """A run folder of the present moment."""
    return Path("runs") / f"{time.strftime('%Y-%m-%d-%H%M%S')}-{name}"


def stop_on_signals() -> Callable[[], bool]:
    """A question whether Ctrl-C or SIGTERM came; the second one stops at once."""
    came = False

    def handle(number: int, frame: object) -> None:
        nonlocal came
        if came:
            raise KeyboardInterrupt
        came = True
        print("\nstopping after this step, saving (again: stop at once)", file=sys.stderr)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handle)
    return lambda: came


def _fractions(text: str) -> tuple[float, float, float]:
    try:
        train, valid, test = (float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"three numbers with commas for train, valid and test, as 0.7,0.2,0.1; found {text!r}"
        ) from None
    return train, valid, test
