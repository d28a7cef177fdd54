"""The options of a GAN, one for each setting of its networks and of its training."""

from __future__ import annotations

import argparse
import dataclasses
import re
import types
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, get_args, get_type_hints

from experiments.presets import Recipe
from experiments.variants import GAN_PRESETS
from wavegan import AUGMENTATIONS, LOSSES, TrainConfig, WaveGANConfig
from wavegan.quality import METRICS

_ELSEWHERE = {"num_samples", "num_classes", "seed"}  # of the recipe, --conditional, --gan-seeds
_NAMES = {"loss": LOSSES, "augment": AUGMENTATIONS, "keep_best": METRICS}  # what a setting takes
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
        for name, kind, about in _settings(config):
            _add(group, f"--gan-{name.replace('_', '-')}", kind, about)


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
        values = {name: getattr(options, f"gan_{name}") for name, _, _ in _settings(config)}
        values = {name: value for name, value in values.items() if value is not None}
        given[part] = replace(getattr(recipe, part), **values)
    if options.conditional is not None:
        given["conditional"] = options.conditional
    return replace(recipe, **given)


def _settings(config: type) -> Iterator[tuple[str, Any, str]]:
    """Name, type and a line about each setting, as its class documents it."""
    sections = re.split(r"\n +(?:Attributes|Raises)\n +-+\n", config.__doc__ or "")
    entries = re.findall(r"^ {4}(\w[\w, ]*) : (.+(?:\n {8}.+)*)", sections[1], re.MULTILINE)
    about = {name: text for names, text in entries for name in names.split(", ")}
    for name, kind in get_type_hints(config).items():
        if name in {field.name for field in dataclasses.fields(config)} - _ELSEWHERE:
            text = " ".join(about[name].split()).rstrip(".")
            yield name, kind, f"{text} ({', '.join(_NAMES[name])})" if name in _NAMES else text


def _add(group: Any, flag: str, kind: Any, about: str) -> None:
    about = about.replace("%", "%%")
    if kind is bool:
        group.add_argument(flag, action=argparse.BooleanOptionalAction, default=None, help=about)
    elif kind == tuple[str, ...]:
        group.add_argument(flag, type=_names, metavar="A,B,…", help=about)
    else:
        kinds = [k for k in get_args(kind) if k is not types.NoneType] or [kind]
        group.add_argument(flag, type=kinds[0], metavar=kinds[0].__name__.upper(), help=about)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for name in text.split(",") if name)
