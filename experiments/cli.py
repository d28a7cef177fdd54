"""The command line `wavegan`: what is typed becomes a call of a command, an error a line.

Nothing heavy is imported before a command is known, so that `wavegan --help` is quick and Ctrl-C
quiet from the start.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.metadata import version
from inspect import signature
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from experiments.cli_commands import COMMANDS, OF_BASE, Command, Values
from experiments.options import (
    Option,
    OptionError,
    Parser,
    changed,
    joined,
    near,
    read_file,
    safe,
    value_at,
    written,
)
from experiments.studies import OPEN, STUDIES

ABOUT = "Does audio that a GAN generated make a classifier better?"
ENDING = """\
`wavegan COMMAND --help` lists the options of a command, and what each is where it is not given.
To complete commands and options in the shell, bash for one:
  wavegan --print-completion bash > ~/.local/share/bash-completion/completions/wavegan
"""
_TOLD = ("about", "note", "takes", "published", "differences")  # of a recipe: they change no result


@dataclass(frozen=True)
class Call:
    """A command as it was called.

    Attributes
    ----------
    name, command, options : which, and its options.
    values : of the options that were given.
    line : what was typed, for what shows it.
    changed : the options that are not those of the study that it is a run of.
    """

    name: str
    command: Command
    options: Sequence[Option]
    values: Values
    line: str = ""
    changed: tuple[str, ...] = ()

    def config(self, **values: Any) -> Any:
        """Its configuration, with other values of some options."""
        given = {**self.values, **values}
        rest = [one for one in self.options if one.name not in OF_BASE]
        config = changed(self.command.base(given), given, rest)
        return replace(config, changed=self.changed) if self.changed else config

    def work(
        self, function: Callable[..., Any], config: Any, quiet: bool = False, shown: str = ""
    ) -> Any:
        """Do it, with what the function takes, and print what came out; None of a dry run.

        ``shown`` is what prints it, where that hasn't the command's name.
        """
        from experiments.report import printed
        from experiments.report.terminal import Progress

        out, progress = self.values.get("out"), Progress(quiet=quiet)
        if self.command.long and out is None:
            recipe = (self.values.get("recipe") or config.recipe.name).replace(",", "-")
            out = Path("runs") / f"{time.strftime('%Y-%m-%d-%H%M%S')}-{self.name}-{recipe}"
        if self.values.get("dry-run"):
            printed.plan(function(config, out, progress=progress, dry_run=True))
            return None
        offered = {"command": self.line, "progress": progress}
        if self.command.long:
            progress.say(f"run folder: {out} (resume with --out {out})")
            offered["should_stop"] = stop_on_signals()
        takes = signature(function).parameters
        result = function(config, out, **{n: v for n, v in offered.items() if n in takes})
        if not quiet:
            getattr(printed, shown or self.name)(result, out)
        return result


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


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status is 0, 1 (a check failed), 2 (an error) or 130."""
    arguments = sys.argv[1:] if arguments is None else arguments
    call = None
    if isinstance(sys.stdout, TextIOWrapper):  # a file's name may be in another encoding
        sys.stdout.reconfigure(errors="replace")
    try:
        line, arguments = arguments, _without_plugins(arguments)
        call = replace(parsed(arguments), line=shlex.join(["wavegan", *line]))
        if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
            import jax

            from features.cache import default_cache_dir
            from features.limits import existing

            if os.access(existing(default_cache_dir()), os.W_OK):
                jax.config.update("jax_compilation_cache_dir", f"{default_cache_dir()}/compiled")
                # Compiling takes 50 MB, too, however short it is.
                jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
        return call.command.run(call) or 0
    except KeyboardInterrupt:
        kept = "; what is finished is kept, the same command resumes" if call else ""
        print(f"\nstopped{kept}", file=sys.stderr)
        return 130
    except Exception as error:
        status = _status(error)
        if not status or "--traceback" in arguments:
            raise
        said = _of_system(error) if isinstance(error, OSError) else error
        end = "; everything is saved, the same command resumes" if status == 130 else ""
        name = f"wavegan {_command(arguments)}".strip()
        print(safe(f"{name}: {said}{end}"), file=sys.stderr)
        return status


def _without_plugins(arguments: Sequence[str]) -> list[str]:
    """The arguments without ``--plugin MODULE``, each of which is imported.

    A module registers a user's own arms, losses, architectures, …; one in the folder that the
    command runs in is found, and one that is not there is an ImportError.
    """
    plugins = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    plugins.add_argument("--plugin", nargs="?", action="append", default=[])
    found, rest = plugins.parse_known_args(joined(arguments))
    for name in found.plugin:
        if name is None:
            raise OptionError("--plugin takes the name of a module")
        if (here := str(Path.cwd())) not in sys.path:
            sys.path.insert(0, here)
        try:
            import_module(name)
        except (ModuleNotFoundError, TypeError, ValueError) as error:
            told = f"--plugin {name!r} takes the name of a module, as it is imported: {error}"
            raise ImportError(told) from None
        from features import counted_in

        counted_in(name)
    return rest


def _of_system(error: OSError) -> str:
    """What an error of the file system says, without its number."""
    if not error.filename or not error.strerror:
        return error.strerror or str(error)
    advice = ": ask its owner for it, or name another" * isinstance(error, PermissionError)
    return f"{error.filename}: {error.strerror}{advice}"


def _status(error: Exception) -> int:
    """The exit status of an error that is told in one line; 0 of any other."""
    if isinstance(error, ValueError | OSError | FloatingPointError | ImportError):
        return 2
    from features.storage import Interrupted
    from wavegan.devices import OutOfDeviceMemory
    from wavegan.run_folder import CheckpointError
    from wavegan.watch import TrainingDiverged

    if isinstance(error, Interrupted):
        return 130
    return 2 if isinstance(error, CheckpointError | TrainingDiverged | OutOfDeviceMemory) else 0


def _command(arguments: Sequence[str]) -> str:
    """The command on a command line, or nothing."""
    if arguments[:1] == ["--print-completion"]:
        return ""
    return next((text for text in arguments if not text.startswith("-")), "")


def parsed(arguments: Sequence[str]) -> Call:
    """The call of a command line; one that can't be is an OptionError with what comes near."""
    arguments = joined(arguments)
    if not (name := _command(arguments)):
        complete = arguments[:1] == ["--print-completion"]
        make_parser(everything() if complete else {}).parse_args(arguments)  # which ends here
    if name not in COMMANDS:
        raise OptionError(f"there is no command {name}{near(name, COMMANDS)}")
    command, rest = COMMANDS[name], arguments[arguments.index(name) + 1 :]
    known = {option.name: option for option in command.options(command.base({}))}
    first = Parser(add_help=False)  # what the others start from
    first.add_argument("--config", type=Path)
    first.add_options(
        known[one] for one in (*OF_BASE, "embeddings", "gan", "preset") if one in known
    )
    early = first.values(rest)
    of_study: dict[str, Any] = {}
    of_file: dict[str, Any] = {}
    if (file := early.pop("config")) is not None:
        of_file = read_file(file, name, known.values())
        if file.suffix == ".json" and command.recipe:
            _refuse_unsaid(file, Call(name, command, [*known.values()], layered(of_file)).config())
    if (preset := {**of_file, **early}.get("preset")) is not None:
        of_study = read_file(STUDIES[preset], name, known.values())
    of_file = layered(of_study, of_file)
    base = command.base({**of_file, **early})
    if {"-h", "--help"} & {*rest} and not isinstance(base, type):
        base = Call(name, command, command.options(base), layered(of_file, early)).config()
    options = command.options(base)
    given = vars(make_parser({name: options}).parse_args(arguments))
    call = Call(name, command, options, layered(of_file, given))
    if preset is not None:
        study = replace(call, values=layered(of_study)).config()
        call = replace(call, changed=_other_than(study, call.config(), options))
    if "print-config" in given:
        print(written(call.config(), options), end="")
        raise SystemExit(0)
    return call


def _other_than(study: Any, config: Any, options: Iterable[Option]) -> tuple[str, ...]:
    """The options that are not those of a study, which leaves a few open."""
    paths = {option.name: option.path for option in options if option.path}
    other = {n for n, path in paths.items() if value_at(study, path) != value_at(config, path)}
    return tuple(sorted(other - OPEN - {"preset"}))


def layered(*layers: Values) -> dict[str, Any]:
    """The values of all, later ones before earlier ones and each before those of its preset."""
    from experiments.recipes import GAN_PRESETS

    found: dict[str, Any] = {}
    for layer in layers:
        settings: dict[str, Any] = {}
        if (name := layer.get("gan")) is not None:
            settings = GAN_PRESETS[name].settings
        new = {f"gan-{field.replace('_', '-')}": value for field, value in settings.items()}
        new |= layer
        for one, other in (("fit-steps", "fit-epochs"), ("fit-epochs", "fit-steps")):
            if new.get(one) is not None and other not in new:
                new[other] = None  # a training is as long as one of them says
        if new.get("gan-shared-steps"):
            new.setdefault("conditional", False)  # what is shared is for a GAN a class
        found |= new
    return found


def _refuse_unsaid(file: Path, config: Any) -> None:
    """Make sure that options can say all that a run's ``config.json`` says of its recipe."""
    from experiments.config import as_dict
    from features.storage import read_json, understanding

    found = read_json(file, advice := "restore it from a copy")
    made = json.loads(json.dumps(as_dict(config)))["recipe"]
    with understanding(file, advice):
        there = found["recipe"] if "fixed" in found else {}
        other = [n for n in there if there[n] != made.get(n) and n not in _TOLD]
    if other:
        raise OptionError(
            f"--config {file}: {', '.join(other)} of its recipe are not those of "
            f"{made['name']}, and no option says them: repeat that run in Python"
        )


def make_parser(commands: Mapping[str, Iterable[Option]]) -> Parser:
    """A parser of all commands, with the options of some."""
    parser = Parser(prog="wavegan", description=ABOUT, epilog=ENDING)
    parser.add_argument("--version", action="version", version=f"wavegan {version('wavegan')}")
    about = "print a script that completes commands and options in this shell"
    shells = ("bash", "zsh")
    parser.add_argument("--print-completion", choices=shells, action=_Completion, help=about)
    parser.add_argument(
        "--plugin", metavar="MODULE", help="import a module that registers your own arms, losses, …"
    )
    parser.add_switch("traceback", "show where in the code an error came from")
    added = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        options = list(commands.get(name, ()))
        places = [option.place for option in options if option.positional]
        usage = " ".join(["wavegan", name, *places, "[OPTION …]"])
        one = added.add_parser(name, help=command.about, description=command.about, usage=usage)
        if command.parts:
            about = "YAML or TOML file of options, or a run's config.json; typed options win"
            one.add_argument("--config", type=Path, metavar="FILE", help=about)
            one.add_switch("print-config", "print all options as such a file, and end")
        if command.long:
            one.add_switch("dry-run", "print what there is to do and how long it takes, and end")
        one.add_switch("traceback", "show where in the code an error came from")
        one.add_options(options)
    return parser


class _Completion(argparse.Action):
    """Prints the script of a shell and ends."""

    def __call__(self, parser, namespace, values, option_string=None):
        print(parser.completion(values))
        parser.exit()


def everything() -> dict[str, Iterable[Option]]:
    """The options of all commands."""
    return {name: command.options(command.base({})) for name, command in COMMANDS.items()}
