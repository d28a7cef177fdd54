"""Clips of trained GANs as files, each with its latent, and a manifest of what made them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from experiments.config import GenerateConfig, InterpolateConfig
from experiments.listening.favourites import read_favourites
from experiments.report.terminal import Progress
from experiments.run import Run, own_folder, refuse_run
from experiments.stages.gans import Gan, find_gans
from features.limits import check_file
from features.storage import inside, plain_name
from wavegan.export import export as export_generator
from wavegan.sample_files import MANIFEST, write_interpolation, write_samples


@dataclass(frozen=True)
class Written:
    """What a command wrote.

    Attributes
    ----------
    folder : where the files are.
    labels : the classes of the clips.
    files : their names below the folder's; of `generate` those of each class.
    """

    folder: Path
    labels: tuple[str, ...]
    files: tuple[str, ...]


def generate(
    config: GenerateConfig, out: str | Path | None = None, *, progress: Progress | None = None
) -> Written:
    """Write clips of the GANs of a run, a folder a class, into ``out`` (RUN/generated if None).

    What an interrupted call of the same options left is kept. A run without GANs, without that
    class, or of an unknown sample rate is a ValueError, and a checkpoint that is not there, or
    damaged, a CheckpointError.
    """
    progress = progress or Progress(quiet=True)
    out = own_folder(out, config.run, "generated")
    labels, files = list[str](), list[str]()
    gans = _gans(config.run, config.label)
    makers = Counter((gan.seed, name) for gan in gans for name in gan.labels)
    favourites = None
    if config.latents is not None and config.latents.suffix.lower() == ".json":
        favourites = read_favourites(config.latents)
        favourites.refuse_others(gans)
    asked = [(gan, name) for gan in gans for name in gan.labels if config.label in (None, name)]
    for gan, name in asked:
        marked = favourites.of(gan, name) if favourites else {config.step: None}
        for at, latents in marked.items():
            generator, step = gan.generator(at if config.step is None else config.step)
            below = f"{name}-gan{gan.seed}" if gan.seed else name
            if makers[gan.seed, name] > 1:  # of several folds, draws or amounts
                below += f"-{gan.folder.name.rpartition('-')[2]}"
            if len(marked) > 1:
                below += f"-step{at}"
            folder = inside(out, plain_name(below, gan.folder))
            clips = write_samples(
                generator,
                folder,
                config.count,
                name=name,
                about=gan.about(step, config.sample_rate),
                label=gan.labels.index(name) if gan.conditional else None,
                seed=config.seed,
                latents=config.latents,
                rows=latents,
                truncation=config.truncation,
                suffix=config.format,
                batch_size=config.batch_size,
            )
            for done, total in clips:
                progress.update(f"generating {name}", done, total, unit="clip")
            files += [f"{folder.name}/{f}" for f in Run(folder).read_json(MANIFEST)["files"]]
        labels += [name] * bool(marked)
    return Written(out, tuple(labels), tuple(files))


def interpolate(config: InterpolateConfig, out: str | Path | None = None) -> Written:
    """Write clips between two sounds into ``out`` (a folder in RUN/interpolated if None).

    The joined clip is the last of the files. A run with several GANs where none is named, or a
    class that the GAN does not make, is a ValueError.
    """
    gan = _one_gan(config.run, config.label)
    first = config.label or (gan.labels[0] if len(gan.labels) == 1 else None)
    if first is None:
        raise ValueError(f"--genre is missing: this GAN has {', '.join(gan.labels)}")
    last = config.to_label or first
    if last not in gan.labels:
        raise ValueError(
            f"--to-genre {last}: this GAN has {', '.join(gan.labels)}"
            if gan.conditional
            else f"--to-genre {last}: this GAN makes {first} alone, and the latents of another GAN "
            "mean other sounds; train one conditional GAN for all genres, or leave --to-genre out"
        )
    ahead = 0 if config.to_label else 1
    to_seed = config.seed + ahead if config.to_seed is None else config.to_seed
    name = plain_name(f"{first}.s{config.seed}-{last}.s{to_seed}", gan.folder)
    folder = own_folder(out, config.run, f"interpolated/{name}")
    generator, step = gan.generator(config.step)
    files = write_interpolation(
        generator,
        folder,
        config.steps,
        name=name,
        about=gan.about(step, config.sample_rate),
        seeds=(config.seed, to_seed),
        labels=(gan.labels.index(first), gan.labels.index(last)) if gan.conditional else None,
        suffix=config.format,
    )
    return Written(folder, (first, last), tuple(files))


def export(
    run: str | Path,
    file: str | Path,
    *,
    step: int | str | None = None,
    label: str | None = None,
    dtype: str = "float32",
) -> tuple[Gan, int | None]:
    """Write one generator of a run as one ``.safetensors`` file; return its GAN and step.

    ``dtype`` is `wavegan.export`'s.
    """
    refuse_run(Path(file))
    check_file(file, "OUT")
    gan = _one_gan(Path(run), label)
    generator, found = gan.generator(step)
    about = {**gan.provenance, "step": found, "ema": True}
    export_generator(generator, file, metadata=about, dtype=dtype)
    return gan, found


def _gans(run: Path, label: str | None) -> list[Gan]:
    """The GANs of a run that make clips of ``label``, of any if None."""
    found = find_gans(run)
    if gans := [gan for gan in found if label is None or label in gan.labels]:
        return gans
    known = ", ".join(sorted({name for gan in found for name in gan.labels}))
    raise ValueError(f"--genre {label}: this run has {known}")


def _one_gan(run: Path, label: str | None) -> Gan:
    """The only GAN of a run, or the only one of ``label``."""
    gans = _gans(run, label)
    if len({gan.label for gan in gans}) > 1:
        raise ValueError(f"--genre is missing: this run has {', '.join(g.label for g in gans)}")
    if len(gans) > 1:
        folders = ", ".join(str(gan.folder) for gan in gans)
        raise ValueError(f"RUN {run} has several GANs of {gans[0].label}: name one of {folders}")
    return gans[0]
