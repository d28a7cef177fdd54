"""Clips of trained GANs as files, each with its latent, and a manifest of what made them."""

from __future__ import annotations

import glob
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from experiments.config import GenerateConfig, InterpolateConfig
from experiments.report.terminal import Progress
from experiments.stages.gans import Gan, find_gans, writing_rows
from features import save_audio
from features.storage import write_json
from wavegan import Generator
from wavegan import interpolate as interpolated
from wavegan.export import export as export_generator
from wavegan.sampling import draw_latents, generate_batches, line

MANIFEST = "manifest.json"
_PLAN = "manifest.part.json"  # the manifest of what is not finished


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

    What an interrupted call of the same options left is kept.

    Raises
    ------
    ValueError
        For a run without GANs, without that class, or of an unknown sample rate.
    CheckpointError
        For a checkpoint that is not there, or damaged.
    """
    progress = progress or Progress(quiet=True)
    out = Path(out) if out is not None else _beside(config.run, "generated")
    labels: list[str] = []
    files: list[str] = []
    for gan in _gans(config.run, config.label):
        generator, step = gan.generator(config.step)
        about = gan.about(step, config.sample_rate)
        for i, name in enumerate(gan.labels):
            if config.label not in (None, name):
                continue
            folder = out / (f"{name}-gan{gan.seed}" if gan.seed else name)
            clips = write_samples(
                generator,
                folder,
                config.count,
                name=name,
                about=about,
                label=i if gan.conditional else None,
                seed=config.seed,
                latents=config.latents,
                truncation=config.truncation,
                suffix=config.format,
                batch_size=config.batch_size,
            )
            for done, total in clips:
                progress.update(f"generating {name}", done, total, unit="clip")
            manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
            files += [f"{folder.name}/{file}" for file in manifest["files"]]
            labels.append(name)
    return Written(out, tuple(labels), tuple(files))


def interpolate(config: InterpolateConfig, out: str | Path | None = None) -> Written:
    """Write clips between two sounds into ``out`` (a folder in RUN/interpolated if None).

    The joined clip is the last of the files.

    Raises
    ------
    ValueError
        For a run with several GANs where none is named, or a class that the GAN does not make.
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
    name = f"{first}.s{config.seed}-{last}.s{to_seed}"
    folder = Path(out) if out is not None else _beside(config.run, "interpolated") / name
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
    run: str | Path, file: str | Path, *, step: int | str | None = None, label: str | None = None
) -> tuple[Gan, int | None]:
    """Write one generator of a run as one ``.safetensors`` file; return its GAN and step."""
    gan = _one_gan(Path(run), label)
    generator, found = gan.generator(step)
    metadata = {**gan.provenance, "step": found, "ema": True}
    export_generator(generator, file, metadata=metadata)
    return gan, found


def _gans(run: Path, label: str | None) -> list[Gan]:
    """The GANs of a run that make clips of ``label``, of any if None."""
    found = find_gans(run)
    gans = [gan for gan in found if label is None or label in gan.labels]
    if not gans:
        known = ", ".join(sorted({name for gan in found for name in gan.labels}))
        raise ValueError(f"--genre {label}: this run has {known}")
    return gans


def _one_gan(run: Path, label: str | None) -> Gan:
    """The only GAN of a run, or the only one of ``label``."""
    gans = _gans(run, label)
    if len({gan.label for gan in gans}) > 1:
        raise ValueError(f"--genre is missing: this run has {', '.join(g.label for g in gans)}")
    if len(gans) > 1:
        folders = ", ".join(str(gan.folder) for gan in gans)
        raise ValueError(f"RUN {run} has several GANs of {gans[0].label}: name one of {folders}")
    return gans[0]


def _beside(run: Path, name: str) -> Path:
    """A folder in a run, or beside an exported file."""
    return run / name if run.is_dir() else run.with_suffix("") / name


# --- files ---------------------------------------------------------------------------------------


def write_samples(
    generator: Generator,
    folder: Path,
    count: int | None,
    *,
    name: str,
    about: Mapping[str, Any],
    label: int | None = None,
    seed: int = 0,
    latents: Path | None = None,
    truncation: float = 1.0,
    suffix: str = "wav",
    batch_size: int = 64,
) -> Iterator[tuple[int, int]]:
    """Write ``count`` clips, their latents and a manifest below ``folder``, in bounded memory.

    Files are ``<name>.s<seed>.<number>.<suffix>``, the latents ``latents.npy`` row by row, the
    manifest ``manifest.json`` (``about``, the options, the file of each row), written last.
    What an interrupted call of the same options left is kept.

    Parameters
    ----------
    count : of clips; None is 16, or as many as there are ``latents``.
    about : for the manifest; its ``sample_rate`` is the files', in Hz.
    label : the class, of a conditional generator.
    latents : an .npy file (n, latent_dim) to make the clips from.
    seed, truncation, batch_size : as `generate` takes them.

    Yields
    ------
    int, int
        How many clips are there so far, and how many there will be.
    """
    given = None if latents is None else _read_latents(latents)
    count = count or (16 if given is None else len(given))
    options: dict[str, Any] = {"latents": given, "truncation": truncation, "label": label}
    # Asked for before anything is written: it checks the options.
    generate_batches(generator, count, seed=seed, batch_size=batch_size, **options)

    origin = f"s{seed}" if latents is None else latents.stem
    files = [f"{name}.{origin}.{i:05d}.{suffix}" for i in range(count)]
    manifest = {
        **about,
        "label": name,
        "truncation": truncation,
        "latents": "latents.npy, row i makes file i",
    }
    manifest |= {"seed": seed} if latents is None else {"latents_from": _digest(latents)}
    resumed = any(_same_but_files(folder / found, manifest) for found in (_PLAN, MANIFEST))
    manifest["files"] = files
    write_json(folder / _PLAN, manifest)
    (folder / MANIFEST).unlink(missing_ok=True)
    for pattern in (f".{glob.escape(name)}.*", ".latents-*.npy"):
        for abandoned in folder.glob(pattern):  # temporary files of a killed process
            abandoned.unlink(missing_ok=True)
    finished = {f for f in files if (folder / f).exists()} if resumed else set[str]()

    latent_dim = generator.config.latent_dim
    with writing_rows(folder / "latents.npy", (count, latent_dim), "<f4") as rows:
        for start in range(0, count, batch_size):
            size = min(batch_size, count - start)
            if given is None:
                drawn = truncation * draw_latents(seed, size, latent_dim, start=start)
                rows.write(np.asarray(drawn).tobytes())
            else:
                rows.write(given[start : start + size].astype("<f4").tobytes())

    first = next((i for i, file in enumerate(files) if file not in finished), count)
    # From the start of a batch, so that the clips are the same bit for bit.
    done = start = first - first % batch_size if first < count else count
    written = np.load(folder / "latents.npy", mmap_mode="r")[start:]
    yield done, count
    if start < count:
        batches = generate_batches(generator, latents=written, label=label, batch_size=batch_size)
        for clip in (clip for batch in batches for clip in batch.audio):
            if files[done] not in finished:
                save_audio(folder / files[done], clip, about["sample_rate"])
            done += 1
            yield done, count
    (folder / _PLAN).replace(folder / MANIFEST)


def write_interpolation(
    generator: Generator,
    folder: Path,
    steps: int,
    *,
    name: str,
    about: Mapping[str, Any],
    seeds: tuple[int, int],
    labels: tuple[int, int] | None = None,
    suffix: str = "wav",
) -> Sequence[str]:
    """Write ``steps`` clips on the line between two latents, one by one and joined.

    Files are ``<name>.<number>.<suffix>`` and ``<name>.joined.<suffix>``, with ``latents.npy`` and
    ``manifest.json`` beside them.

    Parameters
    ----------
    about : for the manifest; its ``sample_rate`` is the files', in Hz.
    seeds : the ends are the first latents of these.
    labels : classes at the ends, of a conditional generator.

    Returns
    -------
    sequence of str
        The names of the files, the joined one last.
    """
    z0, z1 = (np.asarray(draw_latents(s, 1, generator.config.latent_dim))[0] for s in seeds)
    label0, label1 = labels or (None, None)
    audio = interpolated(generator, z0, z1, steps=steps, label0=label0, label1=label1)
    files = [f"{name}.{i:05d}.{suffix}" for i in range(steps)] + [f"{name}.joined.{suffix}"]
    joined = audio.reshape(-1, audio.shape[-1])
    for file, clip in zip(files, [*audio, joined], strict=True):
        save_audio(folder / file, clip, about["sample_rate"])
    latents = line(z0, z1, steps)
    with writing_rows(folder / "latents.npy", latents.shape, "<f4") as rows:
        rows.write(latents.tobytes())
    manifest = {
        **about,
        "seeds": list(seeds),
        "classes": None if labels is None else list(labels),
        "latents": "latents.npy, row i makes file i",
        "files": files,
    }
    write_json(folder / MANIFEST, manifest)
    return files


def _read_latents(path: Path) -> np.ndarray:
    """The latents in a file, memory-mapped."""
    try:
        latents = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise ValueError(f"--latents {path}: no such file") from None
    except (ValueError, EOFError) as error:
        raise ValueError(f"--latents {path} is no .npy file of numbers: {error}") from None
    if not isinstance(latents, np.ndarray) or latents.ndim != 2 or latents.dtype.kind != "f":
        found = getattr(latents, "shape", type(latents).__name__)
        kind = getattr(latents, "dtype", "")
        raise ValueError(f"--latents {path} must hold floats (n, latent_dim), found {kind} {found}")
    return latents


def _digest(path: Path) -> dict[str, str]:
    with path.open("rb") as file:
        return {"file": path.name, "blake2b": hashlib.file_digest(file, "blake2b").hexdigest()[:32]}


def _same_but_files(path: Path, manifest: Mapping[str, Any]) -> bool:
    """Whether ``path`` is ``manifest``, for any number of files."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return {**found, "files": None} == {**json.loads(json.dumps(manifest)), "files": None}
