"""The command line `wavegan`: options into typed configurations, errors into one line."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import jax

from experiments import cli_classify, cli_generate, cli_study
from experiments.cli_gan import add_gan_options, with_gan_options
from experiments.cli_runs import (
    add_data_options,
    add_recipe_options,
    data_of,
    new_run,
    recipe_of,
    stop_on_signals,
)
from experiments.config import DEFAULT_ARMS, CompareConfig, TrainGansConfig
from experiments.report.terminal import Progress, print_comparison
from features.augmentation import AUGMENTATIONS
from features.cache import default_cache_dir
from features.storage import Interrupted
from wavegan.devices import OutOfDeviceMemory
from wavegan.run_folder import CheckpointError
from wavegan.watch import TrainingDiverged

_ERRORS = (
    ValueError,
    OSError,
    CheckpointError,
    TrainingDiverged,
    FloatingPointError,
    OutOfDeviceMemory,
    ImportError,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status is 0, 1 (a check failed), 2 (an error) or 130."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    options = _parser().parse_args(arguments)
    options.command_line = shlex.join(["wavegan", *arguments])
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        jax.config.update("jax_compilation_cache_dir", str(default_cache_dir() / "compiled"))
    try:
        return options.function(options)
    except Interrupted as stopped:
        print(f"\n{stopped}; everything is saved, the same command resumes", file=sys.stderr)
        return 130
    except KeyboardInterrupt:
        print("\nstopped; what is finished is kept, the same command resumes", file=sys.stderr)
        return 130
    except _ERRORS as error:
        if options.traceback:
            raise
        said = error.strerror if isinstance(error, OSError) and not error.filename else None
        print(f"wavegan {options.command}: {said or error}", file=sys.stderr)
        return 2


def _compare(options: argparse.Namespace) -> int:
    from experiments.commands.compare import compare

    recipe = with_gan_options(recipe_of(options), options)
    config = CompareConfig(
        recipe=recipe,
        data=data_of(options),
        seeds=options.seeds,
        gan_seeds=options.gan_seeds,
        steps=options.steps,
        synthetic_ratio=options.synthetic_ratio,
        arms=tuple(options.arms.split(",")),
        augment=options.augment,
        at_once=options.at_once,
    )
    out = options.out or new_run(f"compare-{recipe.name}")
    print(f"run folder: {out} (resume with --out {out})", file=sys.stderr)
    results = compare(
        config,
        out,
        command=options.command_line,
        progress=Progress(),
        should_stop=stop_on_signals(),
    )
    print()
    print_comparison(results)
    print(f"\nreport: {out / 'report.html'}")
    return 0


def _train(options: argparse.Namespace) -> int:
    from experiments.commands.train import train

    alone = _joined(options)
    config = TrainGansConfig(
        recipe=with_gan_options(recipe_of(options), options),
        data=data_of(options),
        seeds=options.gan_seeds,
        at_once=options.at_once,
        quality=options.quality,
        judge=options.judge,
        tensorboard=options.tensorboard,
    )
    out, progress = options.out or new_run("train"), Progress(quiet=not alone)
    progress.say(f"run folder: {out} (resume with --out {out})")
    gans = train(
        config,
        out,
        command=options.command_line,
        progress=progress,
        should_stop=stop_on_signals(),
    )
    if alone:
        print(f"{len(gans)} GAN{'s' * (len(gans) > 1)} in {out}; clips: wavegan generate {out}")
        print(f"report: {out / 'report.html'}")
    return 0


def _joined(options: argparse.Namespace) -> bool:
    """Join the other processes of a distributed run; whether this one speaks and writes."""
    given = (options.coordinator, options.processes, options.process)
    if not options.distributed and all(value is None for value in given):
        return True
    import jax

    from wavegan.distributed import join

    if options.out is None:
        raise ValueError("--out is missing: the processes of a run share one folder")
    join(*given)
    return jax.process_index() == 0


def _report(options: argparse.Namespace) -> int:
    from experiments.commands.classify import gather_recipes
    from experiments.commands.report import write_training_page
    from experiments.report.recipes import recipe_table_text
    from experiments.run import Run

    run, page = options.run, options.run / "report.html"
    config = Run(run).read_json("config.json") if (run / "config.json").exists() else {}
    if (command := config.get("command")) in ("compare", "classify"):
        if not page.exists():
            raise ValueError(
                f"{run} has no report.html: finish its run with the same `wavegan {command}`"
            )
    elif recipes := gather_recipes(run):
        print(recipe_table_text(recipes))
    else:
        page = write_training_page(run)
    print(page)
    return 0


def _doctor(options: argparse.Namespace) -> int:
    from experiments.commands.doctor import check_data, check_machine

    print("\n".join(check_machine()))
    if options.data is None:
        return 0
    lines, sound = check_data(options.data, Progress())
    print("\n".join(lines))
    return 0 if sound else 1


def _bench(options: argparse.Namespace) -> int:
    from experiments.bench import run_benchmark

    run_benchmark(options.what, repeats=options.repeats, json_file=options.json)
    return 0


def _parser() -> argparse.ArgumentParser:
    from experiments.stages.examples import ARMS

    parser = argparse.ArgumentParser(
        prog="wavegan",
        description="Does audio that a GAN generated make a classifier better?",
    )
    parser.add_argument("--traceback", action="store_true", help="show where an error came from")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name, function, about):
        added = commands.add_parser(name, help=about, description=about)
        added.set_defaults(function=function)
        return added

    compare = command("compare", _compare, "baseline against augmented, end to end: the main job")
    train = command("train", _train, "train one GAN a genre, or one for all")
    for added in (compare, train):
        add_recipe_options(add_data_options(added))
        add_gan_options(added)
    add = compare.add_argument_group("comparison").add_argument
    add("--seeds", type=int, default=3, help="paired runs of each arm (default 3)")
    add("--steps", type=int, help="optimiser steps of every run (default: the recipe's epochs)")
    add(
        "--synthetic-ratio",
        type=float,
        default=1.0,
        help="generated for each real clip (default 1)",
    )
    add(
        "--arms",
        default=",".join(DEFAULT_ARMS),
        help=f"with commas, of {', '.join(ARMS)}; the first is the baseline",
    )
    add(
        "--augment",
        metavar="A,B,…",
        help=f"of the classical arms: {', '.join(AUGMENTATIONS)}, or all "
        "(default: all of the waveform)",
    )

    add = train.add_argument_group("what is watched").add_argument
    add(
        "--quality",
        type=int,
        default=256,
        metavar="N",
        help="clips that the sample metrics are measured on; 0 measures none (default 256)",
    )
    add(
        "--judge",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="also by a classifier of the training tracks: inception score, different bins",
    )
    add("--tensorboard", action="store_true", help="write event files for TensorBoard, too")

    add = train.add_argument_group("several processes, on one host or many").add_argument
    add(
        "--distributed",
        action="store_true",
        help="join the processes that SLURM, Open MPI or a TPU pod has started",
    )
    add("--coordinator", metavar="HOST:PORT", help="where process 0 listens, for the others")
    add("--processes", type=int, metavar="N", help="how many there are")
    add("--process", type=int, metavar="I", help="which one this is, from 0")

    cli_generate.add_commands(command)
    cli_study.add_command(command)
    cli_classify.add_commands(command)

    report = command(
        "report", _report, "write the page of a training run or of recipes, find that of another"
    )
    report.add_argument("run", type=Path, metavar="RUN")

    doctor = command("doctor", _doctor, "check this machine, and a data set")
    doctor.add_argument("--data", help="folder of class folders to check")

    bench = command("bench", _bench, "speed against peers, side by side in one run")
    bench.add_argument("what", choices=("gan", "features", "classifiers"))
    bench.add_argument("--json", type=Path, help="write the rows to this file, too")
    bench.add_argument("--repeats", type=int, default=5, help="of each timing (default 5)")
    return parser
