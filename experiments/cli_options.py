"""Settings of a configuration dataclass as options of the command line, one for each field."""

from __future__ import annotations

import argparse
import dataclasses
import re
import types
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, get_args, get_type_hints


def add_settings(
    group: Any,
    config: type,
    prefix: str,
    *,
    without: Collection[str] = (),
    names: Mapping[str, Iterable[str]] | None = None,
) -> None:
    """Add ``--PREFIX-field`` for each field, with the line that the class's docstring has of it.

    Parameters
    ----------
    without : fields that have no option.
    names : what some fields accept, for the help.
    """
    names = names or {}
    for name, kind, about in _settings(config, without):
        said = f"{about} ({', '.join(names[name])})" if name in names else about
        _add(group, f"--{prefix}-{name.replace('_', '-')}", kind, said)


def given_settings(
    options: argparse.Namespace, config: type, prefix: str, *, without: Collection[str] = ()
) -> dict[str, Any]:
    """The fields whose options were given, with their values."""
    found = {
        name: getattr(options, f"{prefix}_{name}") for name, _, _ in _settings(config, without)
    }
    return {name: value for name, value in found.items() if value is not None}


def _settings(config: type, without: Collection[str]) -> Iterator[tuple[str, Any, str]]:
    """Name, type and a line about each setting, as its class documents it."""
    sections = re.split(r"\n +(?:Parameters|Attributes|Raises)\n +-+\n", config.__doc__ or "")
    entries = re.findall(r"^ {4}(\w[\w, ]*) : (.+(?:\n {8}.+)*)", sections[1], re.MULTILINE)
    about = {name: text for names, text in entries for name in names.split(", ")}
    for name, kind in get_type_hints(config).items():
        if name in {field.name for field in dataclasses.fields(config)} - set(without):
            yield name, kind, " ".join(about[name].split()).rstrip(".")


def _add(group: Any, flag: str, kind: Any, about: str) -> None:
    about = about.replace("%", "%%")
    if kind is bool:
        group.add_argument(flag, action=argparse.BooleanOptionalAction, default=None, help=about)
    elif kind == tuple[str, ...]:
        group.add_argument(flag, type=_names, metavar="A,B,…", help=about)
    else:
        kinds = [k for k in get_args(kind) if k is not types.NoneType] or [kind]
        if tuple[float, ...] in kinds:
            group.add_argument(flag, type=_word_or_numbers, metavar="WORD|A,B,…", help=about)
            return
        group.add_argument(flag, type=kinds[0], metavar=kinds[0].__name__.upper(), help=about)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for name in text.split(",") if name)


def _word_or_numbers(text: str) -> str | tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        return text
