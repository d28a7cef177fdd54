"""The commands `generate`, `interpolate` and `export`: what a trained GAN gives."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.report.terminal import Progress

if TYPE_CHECKING:
    from experiments.stages.gans import Gan


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
    from experiments.commands.generate import write_samples

    if options.count is not None and options.count < 1:
        raise ValueError(f"--count must be at least 1, found {options.count}")
    progress, written, total = Progress(), [], 0
    out = options.out or _beside(options.run, "generated")
    for gan in _gans(options.run, options.genre):
        generator, step = gan.generator(options.step)
        about = gan.about(step, options.sample_rate)
        for i, name in enumerate(gan.labels):
            if options.genre not in (None, name):
                continue
            folder = out / (f"{name}-gan{gan.seed}" if gan.seed else name)
            clips = write_samples(
                generator,
                folder,
                options.count,
                name=name,
                about=about,
                label=i if gan.conditional else None,
                seed=options.seed,
                latents=options.latents,
                truncation=options.truncation,
                suffix=options.format,
                batch_size=options.batch_size,
            )
            for done, total in clips:
                progress.update(f"generating {name}", done, total, unit="clip")
            written.append(name)
    print(f"{total} clips of {', '.join(written)} in {out}")
    return 0


def _interpolate(options: argparse.Namespace) -> int:
    from experiments.commands.generate import write_interpolation

    gan = _one_gan(options.run, options.genre)
    first = options.genre or (gan.labels[0] if len(gan.labels) == 1 else None)
    if first is None:
        raise ValueError(f"--genre is missing: this GAN has {', '.join(gan.labels)}")
    last = options.to_genre or first
    if last not in gan.labels:
        raise ValueError(
            f"--to-genre {last}: this GAN has {', '.join(gan.labels)}"
            if gan.conditional
            else f"--to-genre {last}: this GAN makes {first} alone, and the latents of another GAN "
            "mean other sounds; train one conditional GAN for all genres, or leave --to-genre out"
        )
    ahead = 0 if options.to_genre else 1
    to_seed = options.seed + ahead if options.to_seed is None else options.to_seed
    name = f"{first}.s{options.seed}-{last}.s{to_seed}"
    out = options.out or _beside(options.run, "interpolated") / name
    generator, step = gan.generator(options.step)
    files = write_interpolation(
        generator,
        out,
        options.steps,
        name=name,
        about=gan.about(step, options.sample_rate),
        seeds=(options.seed, to_seed),
        labels=(gan.labels.index(first), gan.labels.index(last)) if gan.conditional else None,
        suffix=options.format,
    )
    print(f"{options.steps} clips in {out}, one after another in {files[-1]}")
    return 0


def _export(options: argparse.Namespace) -> int:
    from wavegan.export import export

    gan = _one_gan(options.run, options.genre)
    generator, step = gan.generator(options.step)
    export(generator, options.file, metadata={**gan.provenance, "step": step, "ema": True})
    size = options.file.stat().st_size / 1e6
    print(f"the generator of {gan.label} at step {step} in {options.file} ({size:.1f} MB)")
    return 0


def _gans(run: Path, genre: str | None) -> list[Gan]:
    """The GANs of a run that make clips of ``genre``, of any if None."""
    from experiments.stages.gans import find_gans

    found = find_gans(run)
    gans = [gan for gan in found if genre is None or genre in gan.labels]
    if not gans:
        known = ", ".join(sorted({label for gan in found for label in gan.labels}))
        raise ValueError(f"--genre {genre}: this run has {known}")
    return gans


def _one_gan(run: Path, genre: str | None) -> Gan:
    """The only GAN of a run, or the only one of ``genre``."""
    gans = _gans(run, genre)
    if len({gan.label for gan in gans}) > 1:
        raise ValueError(f"--genre is missing: this run has {', '.join(g.label for g in gans)}")
    if len(gans) > 1:
        folders = ", ".join(str(gan.folder) for gan in gans)
        raise ValueError(f"RUN {run} has several GANs of {gans[0].label}: name one of {folders}")
    return gans[0]


def _beside(run: Path, name: str) -> Path:
    """A folder in a run, or beside an exported file."""
    return run / name if run.is_dir() else run.with_suffix("") / name
