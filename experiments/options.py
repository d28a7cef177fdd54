"""Options of a command line, most of them fields of a configuration dataclass.

A field's type says how a text is read, its class's docstring what it does, and its value in the
configuration that a command starts from what it is where it is not given. Nothing here knows of
a command.
"""

from __future__ import annotations

import argparse
import difflib
import inspect
import re
import sys
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, NoReturn, get_args, get_origin, get_type_hints

_NUMBER = re.compile(r"[-+]?\d+(\.\d*)?(e[-+]?\d+)?")
_WORDS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_KINDS = {int: "a whole number", float: "a number", bool: "true or false", Path: "a path"}
_METAVARS = {int: "N", float: "X", str: "NAME", Path: "PATH"}


class OptionError(ValueError):
    """An option, or a file of options, that can't be used."""


@dataclass(frozen=True)
class Option:
    """An option of a command.

    Attributes
    ----------
    name : without the dashes at its front.
    kind : type of its value.
    about : what it does.
    default : its value where it is not given; `dataclasses.MISSING` of what must be given.
    path : fields that lead to its value in the configuration; empty where it is not in there.
    group : title that it is listed under.
    choices : the names that it takes; empty where any text will do.
    several : a text is several of the names, with commas.
    metavar : what stands for its value in the help.
    positional : it is given by its place.
    """

    name: str
    kind: Any
    about: str
    default: Any = None
    path: tuple[str, ...] = ()
    group: str = ""
    choices: Collection[str] = ()
    several: bool = False
    metavar: str = ""
    positional: bool = False

    @property
    def kinds(self) -> tuple[Any, ...]:
        """The types of its value, but for None."""
        union = get_args(self.kind) if isinstance(self.kind, UnionType) else (self.kind,)
        return tuple(kind for kind in union if kind is not NoneType)

    @property
    def optional(self) -> bool:
        """Whether its value may be None."""
        return NoneType in get_args(self.kind)

    @property
    def listed(self) -> bool:
        """Whether a text is several values, with commas."""
        return self.several or any(get_origin(kind) is tuple for kind in self.kinds)

    @property
    def place(self) -> str:
        """What stands for it in the usage, where it is given by its place."""
        name = self.metavar or self.name.upper()
        return f"{name} …" if self.listed else name if self.default is MISSING else f"[{name}]"

    @property
    def accepted(self) -> str:
        """What it takes, in words."""
        words = []
        for kind in self.kinds:
            of = get_args(kind)
            if kind is str or of[:1] == (str,):
                words.append(", ".join(self.choices) or "a text")
            elif of:
                several = "numbers" if Ellipsis in of else f"{len(of)} numbers"
                words.append(f"{several} with commas")
            else:
                words.append(_KINDS[kind])
        none = self.optional and "none" not in self.choices
        return " or ".join([*words, "none"] if none else words)

    def read(self, text: str) -> Any:
        """The value that a text stands for; an ArgumentTypeError says what it should be."""
        if text == "none" and text not in self.choices and (self.optional or self.listed):
            return None if self.optional else ()
        for kind in self.kinds:
            try:
                return self._value(kind, text)
            except (ValueError, KeyError):
                continue
        number = {int, float} & {*self.kinds} and _NUMBER.fullmatch(text)
        if number and abs(float(text)) >= 2**63:
            raise argparse.ArgumentTypeError(f"takes numbers below {2**63:.1e}; found {text}")
        unknown = next((part for part in text.split(",") if part not in self.choices), text)
        raise argparse.ArgumentTypeError(
            f"takes {self.accepted}; found {text or 'nothing'}{near(unknown, self.choices)}"
        )

    def _value(self, kind: Any, text: str) -> Any:
        if of := get_args(kind):
            parts = [part.strip() for part in text.split(",")] if text else []
            if Ellipsis not in of and len(parts) != len(of):
                raise ValueError
            return tuple(self._value(of[0], part) for part in parts)
        names = {*text.split(",")} if self.several else {text}
        if kind is str and self.choices and names - {*self.choices}:
            raise ValueError
        value = _WORDS[text.lower()] if kind is bool else kind(text)
        if kind in (Path, str) and not text:  # a path of nothing would be the current folder's
            raise ValueError
        if kind in (int, float) and not abs(value) < 2**63:  # nor infinite, nor NaN
            raise ValueError
        return value

    def add_to(self, group: Any) -> None:
        """Add it to a parser's group; the namespace has it only where it was given."""
        about = self.about
        if not all(f'"{name}"' in about for name in self.choices):  # which says them all
            about += f"; {'any' if self.listed else 'one'} of {', '.join(self.choices)}"
        flag, settings = f"--{self.name}", dict[str, Any]()
        if self.positional:
            one = replace(self, kind=get_args(self.kind)[0]) if self.listed else self
            flag, settings = self.name, {"type": one.read}
            settings["metavar"] = self.metavar or self.name.upper()
            if self.listed or self.default is not MISSING:
                settings["nargs"] = "+" if self.listed else "?"
        else:
            about += f" (default: {shown(self.default)})"
            settings = {"dest": self.name, "default": argparse.SUPPRESS}
            if self.kind is bool:
                settings["action"] = argparse.BooleanOptionalAction
            else:
                metavar = "A,B,…" if self.listed else _METAVARS.get(self.kinds[0])
                settings |= {"type": self.read, "metavar": self.metavar or metavar}
        group.add_argument(flag, help=about.replace("%", "%%"), **settings)


@dataclass(frozen=True)
class Part:
    """Fields of a configuration, or of a part of it, that are options.

    Attributes
    ----------
    title : what the help lists them under.
    path : fields that lead to the part; empty is the configuration itself.
    only : the fields; all but those that are parts themselves if empty.
    without : fields that are no options.
    prefix : put before the name of each.
    names : options of another name than their field.
    """

    title: str
    path: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    prefix: str = ""
    names: Mapping[str, str] = field(default_factory=dict)

    def options(self, config: Any) -> Iterator[Option]:
        """An option for each field; its value in ``config``, which may be a class, the default.

        What a class has no default for is an argument that is given by its place. The names that
        a field takes are those of ``CHOICES`` in the module of its class.
        """
        part = value_at(config, self.path)
        kind = part if isinstance(part, type) else type(part)
        kinds, about = get_type_hints(kind), documented(kind)
        choices = vars(sys.modules[kind.__module__]).get("CHOICES", {})
        known = names_of(kind, self.prefix)
        flags = {name: self.names.get(name, option) for name, option in known.items()}

        def named(word: re.Match[str]) -> str:
            return f"--{flags[word[0]]}" if word[0] in flags else word[0]

        for name, flag in flags.items():
            value = getattr(part, name, MISSING)
            left_out = is_dataclass(value) or name in self.without
            if name in self.only or not (self.only or left_out):
                told, path = re.sub(r"\w+_\w+", named, about[name]), (*self.path, name)
                names, placed = choices.get(name, ()), value is MISSING
                yield Option(
                    flag, kinds[name], told, value, path, self.title, names, positional=placed
                )


def names_of(kind: type, prefix: str = "") -> dict[str, str]:
    """Of each field of a dataclass the name of its option."""
    return {one.name: prefix + one.name.replace("_", "-") for one in fields(kind)}


def documented(kind: type) -> dict[str, str]:
    """What the docstring of a dataclass says of each field, as a text of the help.

    An entry is ``name : text`` or ``name, name : text``, the lines that go on indented. What is
    in parentheses with backticks is for readers of Python and left out.
    """
    found: dict[str, str] = {}
    entry = re.compile(r"^(\w+(?:, \w+)*) : (.*(?:\n    .*)*)", re.MULTILINE)
    for names, lines in entry.findall(inspect.getdoc(kind) or ""):
        text = re.sub(r" \([^()]*`[^()]*\)", "", " ".join(lines.split()))
        text = re.sub(r"\bNone\b", "none", text.replace("`", "").rstrip("."))
        found |= dict.fromkeys(names.split(", "), text)
    return found


def shown(value: Any) -> str:
    """A value as it is typed."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple | list):
        return ",".join(map(str, value)) or "none"
    return "none" if value is None else str(value)


def near(name: str, names: Iterable[str]) -> str:
    """The end of an error: which of the names come near, if any does."""
    found = difflib.get_close_matches(name, list(names), n=3, cutoff=0.5)
    return f": try {', '.join(found)}" if found else ""


def safe(text: str, keep: str = "") -> str:
    """``text`` with control characters written out: a file's name can't steer a terminal."""
    return "".join(x if x.isprintable() or x in keep else repr(x)[1:-1] for x in text)


def changed(config: Any, values: Mapping[str, Any], options: Iterable[Option]) -> Any:
    """``config`` with the values of options, by their names, each in its place.

    Where it refuses them, an OptionError has its words, but with the options' names.
    """
    given = {option.path: option.name for option in options if option.name in values}
    given.pop((), None)  # what is not in the configuration

    def renewed(part: Any, path: tuple[str, ...]) -> Any:
        new = {}
        for name in (one.name for one in fields(part)):
            here = (*path, name)
            if here in given:
                new[name] = values[given[here]]
            elif any(other[: len(here)] == here for other in given):
                new[name] = renewed(getattr(part, name), here)
        try:
            return part(**new) if isinstance(part, type) else replace(part, **new)
        except ValueError as error:
            names = {name: given.get((*path, name), name) for name in new}
            raise OptionError(in_options(error, names)) from None

    return renewed(config, ()) if given else config


def in_options(error: ValueError, names: Mapping[str, str]) -> str:
    """What a configuration says that is wrong, with the ``names`` of options for its fields.

    That is for a field at the start, with an underscore or with a value (steps=…), not for a word
    that is one's name.
    """
    said = re.sub(r"^\w+Config: ", "", str(error))
    for name, option in names.items():
        word = rf"(?<![\w-]){name}(?![\w/-])"
        field_alone = word if "_" in name else rf"^{word}|{word}(?==)"
        said = re.sub(field_alone, f"--{option}", said)
    return said


_BRACKETS = 1000  # one within another cost YAML's reader their square: minutes of 100,000


def read_file(file: Path, command: str, options: Iterable[Option]) -> dict[str, Any]:
    """The values of options, by their names, in a YAML or TOML file or a run's ``config.json``.

    It is an OptionError where the file is not there or of another kind or command, or where an
    option is not known or does not take its value.
    """
    import yaml  # type: ignore[import-untyped]

    from features.storage import read_text

    said, values = f"--config {file}", {}
    try:
        text = read_text(file, "give a file of options").removeprefix("\ufeff")  # of some editors
        if (brackets := sum(map(text.count, "[{"))) > _BRACKETS:
            raise ValueError(f"it has {brackets} opening brackets, more than {_BRACKETS}")
        if file.suffix != ".toml" and any(isinstance(t, yaml.AliasToken) for t in yaml.scan(text)):
            raise ValueError("it has an alias (*name), of which a few make millions: write it out")
        if file.suffix == ".toml":
            found = tomllib.loads(text)
        else:
            root = yaml.compose(text)
            pairs = root.value if isinstance(root, yaml.MappingNode) else []
            keys = [key.value for key, _ in pairs]
            if twice := [key for i, key in enumerate(keys) if key in keys[:i]]:
                raise ValueError(f"it has {twice[0]} twice")
            found = yaml.safe_load(text)
    except OSError as error:
        raise OptionError(f"{said}: {error.strerror}") from None
    except Exception as error:  # a constructor of YAML has any
        raise OptionError(f"{said}: {' '.join(str(error).split())}") from None
    if not isinstance(found, dict):
        raise OptionError(f"{said} holds no options: write each as a line `name: value`")
    named = {option.name: option for option in options if not option.positional}
    if "fixed" in found:  # the configuration of a run: options where they belong
        if found.get("command", command) != command:
            raise OptionError(f"{said} is of a run of `wavegan {found['command']}`")
        paths = {name: option.path for name, option in named.items() if option.path}
        inside = {name: value_at(found, path) for name, path in paths.items()}
        found = {name: value for name, value in inside.items() if value is not MISSING}
    for key, value in found.items():
        name = str(key).replace("_", "-")
        if name not in named:
            raise OptionError(f"{said}: there is no option {key}{near(name, named)}")
        try:
            none = value is None and named[name].optional
            values[name] = None if none else named[name].read(shown(value))
        except (argparse.ArgumentTypeError, RecursionError) as error:
            raise OptionError(f"{said}: --{name} {error}") from None
    return values


def written(config: Any, options: Iterable[Option]) -> str:
    """The options that make ``config``, as a YAML file that `read_file` reads."""
    import yaml

    values = {o.name: value_at(config, o.path) for o in options if o.path and not o.positional}
    for name, value in values.items():
        if isinstance(value, tuple | Path):
            values[name] = list(value) if isinstance(value, tuple) else str(value)
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


def value_at(config: Any, path: Iterable[str]) -> Any:
    """What fields, or keys, lead to; `dataclasses.MISSING` where there is none."""
    for name in path:
        inside = isinstance(config, dict)
        config = config.get(name, MISSING) if inside else getattr(config, name, MISSING)
    return config


class Parser(argparse.ArgumentParser):
    """A parser that takes no abbreviations; an error is an OptionError that says what is near."""

    def __init__(self, **settings: Any):
        kind = partial(argparse.RawDescriptionHelpFormatter, max_help_position=32)
        super().__init__(allow_abbrev=False, formatter_class=kind, **settings)

    def error(self, message: str) -> NoReturn:
        message = re.sub(r"^argument ([^:]+): ", r"\1 ", message)
        see = f" (`{self.prog} --help` says more)" if "required" in message else ""
        raise OptionError(message + see)

    def parse_known_args(self, args=None, namespace=None):
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            flag = unknown[0].split("=")[0]
            known = [name for name in self._option_string_actions if name.startswith("--")]
            hint = near(flag, known) or f": `{self.prog} --help` lists what there is"
            raise OptionError(f"there is no option or argument {flag}{hint}")
        return found, unknown

    def values(self, arguments: Sequence[str]) -> dict[str, Any]:
        """Those of its options on a command line that has others, too."""
        return vars(super().parse_known_args(arguments)[0])

    def add_switch(self, name: str, about: str) -> None:
        """Add an option that has no value and is no setting."""
        off = argparse.SUPPRESS
        self.add_argument(f"--{name}", dest=name, action="store_true", default=off, help=about)

    def add_options(self, options: Iterable[Option]) -> None:
        """Add options, those of a group one after another, each in its group."""
        for title, found in groupby(options, key=lambda option: option.group):
            group = self.add_argument_group(title) if title else self
            for option in found:
                option.add_to(group)

    def completion(self, shell: str) -> str:
        """A script that makes a shell complete the commands, their options and what these take."""
        import shtab

        (commands,) = (a for a in self._actions if isinstance(a, argparse._SubParsersAction))
        for action in (a for command in commands.choices.values() for a in command._actions):
            option = getattr(action.type, "__self__", None)
            if isinstance(option, Option) and option.choices:
                action.choices = list(option.choices)
            elif action.metavar in ("DIR", "FILE", "RUN", "RUN|FILE"):
                action.complete = shtab.FILE
        return shtab.complete(self, shell)


def joined(arguments: Sequence[str]) -> list[str]:
    """Arguments where a value such as -1,1,1 belongs to the option before it."""
    found: list[str] = []
    for text in arguments:
        if re.match(r"-[\d.]", text) and found and re.fullmatch(r"--[\w-]+", found[-1]):
            found[-1] += f"={text}"
        else:
            found.append(text)
    return found
