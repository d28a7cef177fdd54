"""The commands `generate`, `interpolate` and `export`: what a trained GAN gives."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from experiments.config import GenerateConfig, InterpolateConfig
from experiments.report.terminal import Progress


def add_commands(command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the three commands; ``command(name, function, about)`` makes a parser."""
    add = command("generate", _generate, "clips to files, with the latent of each").add_argument
    _add_common(add)
    add("--count", type=int, help="clips of each genre (default 16, or all --latents)")
    add("--seed", type=int, default=0, help="of the latents (default 0)")
    add("--latents", type=Path, metavar="FILE.npy", help="make the sounds of these latents again")
    add("--truncation", type=float, default=1.0, help="latents from ±T: less is more typical")
    add("--genre", help="only this genre")
    add("--batch-size", type=int, default=64, help="clips at a time; less takes less memory")
    add("--out", type=Path, help="folder to write to (default RUN/generated)")

    about = "clips on the way from one sound to another"
    add = command("interpolate", _interpolate, about).add_argument
    _add_common(add)
    add("--genre", help="of the first sound; of a run with one genre, that one")
    add("--to-genre", help="of the last sound, by a conditional GAN (default: the same)")
    add("--seed", type=int, default=0, help="of the first sound (default 0)")
    add("--to-seed", type=int, help="of the last (default: the next; with --to-genre the same)")
    add("--steps", type=int, default=9, help="sounds, both ends among them (default 9)")
    add("--out", type=Path, help="folder to write to (default: one in RUN/interpolated)")

    add = command("export", _export, "one generator as one .safetensors file").add_argument
    _add_source(add)
    add("file", type=Path, metavar="OUT.safetensors")
    add("--genre", help="which GAN, where the run has several")


def _add_source(add: Callable[..., argparse.Action]) -> None:
    add("run", type=Path, metavar="RUN", help="run folder of `train` or `compare`, or an export")
    add("--step", type=_step, help='of this checkpoint, or "best" (default: the newest)')


def _add_common(add: Callable[..., argparse.Action]) -> None:
    _add_source(add)
    add("--format", choices=("wav", "flac"), default="wav")
    add("--sample-rate", type=int, help="Hz, where the run does not say")


def _step(text: str) -> int | str:
    try:
        return text if text == "best" else int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"a number, or best; found {text!r}") from None


def _generate(options: argparse.Namespace) -> int:
    from experiments.commands.generate import generate

    config = GenerateConfig(
        run=options.run,
        step=options.step,
        label=options.genre,
        count=options.count,
        seed=options.seed,
        latents=options.latents,
        truncation=options.truncation,
        batch_size=options.batch_size,
        format=options.format,
        sample_rate=options.sample_rate,
    )
    found = generate(config, options.out, progress=Progress())
    each = len(found.files) // len(found.labels)
    print(f"{each} clips of {', '.join(found.labels)} in {found.folder}")
    return 0


def _interpolate(options: argparse.Namespace) -> int:
    from experiments.commands.generate import interpolate

    config = InterpolateConfig(
        run=options.run,
        step=options.step,
        label=options.genre,
        to_label=options.to_genre,
        seed=options.seed,
        to_seed=options.to_seed,
        steps=options.steps,
        format=options.format,
        sample_rate=options.sample_rate,
    )
    found = interpolate(config, options.out)
    print(f"{options.steps} clips in {found.folder}, one after another in {found.files[-1]}")
    return 0


def _export(options: argparse.Namespace) -> int:
    from experiments.commands.generate import export

    gan = export(options.run, options.file, step=options.step, label=options.genre)
    size = options.file.stat().st_size / 1e6
    print(f"the generator of {gan.label} in {options.file} ({size:.1f} MB)")
    return 0
