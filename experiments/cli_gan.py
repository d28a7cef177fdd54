"""The options of a GAN, one for each setting of its networks and of its training."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from experiments.cli_options import add_settings, given_settings
from experiments.recipes import GAN_PRESETS, Recipe
from wavegan import AUGMENTATIONS, LOSSES, TrainConfig, WaveGANConfig
from wavegan.metrics import METRICS

_ELSEWHERE = {"num_samples", "num_classes", "seed"}  # of the recipe, --conditional, --gan-seeds
_BESTS = [name for name, metric in METRICS.items() if metric.less_is_better is not None]
# What a setting takes.
_NAMES: dict[str, Iterable[str]] = {
    "loss": LOSSES,
    "augment": AUGMENTATIONS,
    "keep_best": _BESTS,
}
_CONFIGS = {"gan": WaveGANConfig, "gan_train": TrainConfig}


def add_gan_options(parser: argparse.ArgumentParser) -> None:
    """Add the preset's option, ``--conditional``, and ``--gan-…`` for each setting."""
    group = parser.add_argument_group("GANs (default: the recipe's)")
    group.add_argument(
        "--gan",
        choices=tuple(GAN_PRESETS),
        metavar="PRESET",
        help="; ".join(f"{name}: {preset.about}" for name, preset in GAN_PRESETS.items()),
    )
    group.add_argument("--gan-seeds", type=int, default=1, help="GANs a genre (default 1)")
    group.add_argument(
        "--conditional",
        action=argparse.BooleanOptionalAction,
        help="one GAN for all genres instead of one a genre",
    )
    group.add_argument(
        "--at-once",
        type=int,
        metavar="N",
        help="GANs trained in one program (default: all on an accelerator, 1 on a CPU)",
    )
    for config in _CONFIGS.values():
        add_settings(group, config, "gan", without=_ELSEWHERE, names=_NAMES)


def with_gan_options(recipe: Recipe, options: argparse.Namespace) -> Recipe:
    """``recipe`` with the preset and the settings that were given."""
    if options.gan:
        preset = GAN_PRESETS[options.gan]
        recipe = replace(
            recipe,
            gan=replace(recipe.gan, **preset.gan),
            gan_train=replace(recipe.gan_train, **preset.train),
        )
    given: dict[str, Any] = {}
    for part, config in _CONFIGS.items():
        values = given_settings(options, config, "gan", without=_ELSEWHERE)
        given[part] = replace(getattr(recipe, part), **values)
    if options.conditional is not None:
        given["conditional"] = options.conditional
    return replace(recipe, **given)
