"""The command `study`: ways to train a GAN, each at the same wall time."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from experiments.cli_runs import add_data_options, data_of, stop_on_signals
from experiments.config import StudyConfig
from experiments.recipes import VARIANTS
from experiments.report.terminal import Progress


def add_command(command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = command("study", _study, "ways to train a GAN on little data, at equal wall time")
    add_data_options(parser)
    add = parser.add_argument_group("study").add_argument
    add("--seconds", type=float, default=60.0, help="of training of each run (default 60)")
    add("--seeds", type=int, default=3, help="runs of each variant (default 3)")
    add("--variants", help=f"with commas, of {', '.join(VARIANTS)} (default all)")
    add("--sample-rate", type=int, default=16000, help="Hz (default 16000)")
    add("--num-samples", type=int, default=16384, help="of a clip (default 16384)")
    add("--gan-dim", type=int, default=8, help="width of the networks (default 8)")
    add("--batch-size", type=int, default=16, help="clips in a batch (default 16)")
    add("--learning-rate", type=float, default=4e-4, help="of all variants (default 4e-4)")
    add("--pad-end", action="store_true", help="fill short tracks with zeros")
    add("--count", type=int, default=512, help="clips of each run to measure (default 512)")
    add("--json", type=Path, help="write the results to this file, too")


def _study(options: argparse.Namespace) -> int:
    from experiments.commands.study import study
    from experiments.report.study import study_table
    from features.files import write_json

    if options.out is None:
        raise ValueError("--out is missing: a study takes long, and the same --out resumes it")
    config = StudyConfig(
        data=data_of(options),
        seconds=options.seconds,
        seeds=options.seeds,
        variants=tuple(options.variants.split(",")) if options.variants else tuple(VARIANTS),
        sample_rate=options.sample_rate,
        num_samples=options.num_samples,
        gan_dim=options.gan_dim,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        pad_end=options.pad_end,
        count=options.count,
    )
    results = study(config, options.out, progress=Progress(), should_stop=stop_on_signals())
    if options.json:
        write_json(options.json, results)
    print(study_table(results))
    print(f"results: {options.out / 'results.json'}, {options.out / 'study.md'}")
    return 0
