"""Clips of a generator as files, each with its latent, and a manifest of what made them."""

from __future__ import annotations

import glob
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from features.array_files import read_npy
from features.checksums import file_hash
from features.generated import GENERATED, LATENTS, MANIFESTS
from features.limits import check_disk, check_memory
from features.saving import save_audio
from features.storage import (
    NAME_BYTES,
    alone,
    plain_name,
    read_json,
    remove_leftovers,
    replacing,
    write_json,
)
from wavegan.networks import Generator
from wavegan.sampling import draw_latents, generate_batches, interpolate, line

MANIFEST, _PLAN = MANIFESTS  # of what is finished, and of what is not
_FREE = {"files": None, "blake2b": None}  # of a manifest: what grows with the number of clips
_TEMPORARY = 20  # bytes that a file's name is longer by while it is written
_NAME = 600  # bytes of memory that a file's name and hash take, in a list and as text
_HEADER = 44  # bytes of a wav file
_ROWS = 1 << 16  # of given latents that are looked at together


@contextmanager
def writing_rows(path: Path, shape: tuple[int, ...], dtype: str) -> Iterator[BinaryIO]:
    """An .npy file of ``shape`` to write the rows to, one after another; whole or not at all.

    Unlike a memory-mapped file, it takes no memory as it grows, and a full disk is an OSError.
    """
    with replacing(path) as temporary, temporary.open("wb") as file:
        header = {"descr": dtype, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        yield file


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
    rows: np.ndarray | None = None,
    truncation: float = 1.0,
    suffix: str = "wav",
    batch_size: int = 64,
) -> Iterator[tuple[int, int]]:
    """Write ``count`` clips, their latents and a manifest below ``folder``, in bounded memory.

    Files are ``<name>.s<seed>.<number>.<suffix>``, the latents ``latents.npy`` row by row, the
    manifest ``manifest.json`` (``about``, the options, the file of each row and its hash), last.
    By it, and by the comment in each file, `features.scan_tracks` knows that they are no data.
    What an interrupted call of the same options left is kept.

    Parameters
    ----------
    count : of clips; None is 16, or as many as there are ``latents``.
    about : for the manifest; its ``sample_rate`` is the files', in Hz.
    label : the class, of a conditional generator.
    latents : an .npy file (n, latent_dim) to make the clips from.
    rows : the latents (n, latent_dim), where ``latents`` is another kind of file that has them.
    seed, truncation, batch_size : as `generate` takes them.

    Yields
    ------
    int, int
        How many clips are there so far, and how many there will be.
    """
    given = _read_latents(latents) if latents is not None and rows is None else rows
    count = count or (16 if given is None else len(given))
    options: dict[str, Any] = {"latents": given, "truncation": truncation, "label": label}
    # Asked for before anything is written: it checks the options.
    generate_batches(generator, count, seed=seed, batch_size=batch_size, **options)
    _check_room(generator, folder, count)

    origin = f"s{seed}" if latents is None else latents.stem
    _check_names(folder, name, f"{name}.{origin}.{count:05d}.{suffix}")
    files = [f"{name}.{origin}.{i:05d}.{suffix}" for i in range(count)]
    manifest = {
        **about,
        "label": name,
        "truncation": truncation,
        "latents": LATENTS,
    }
    manifest |= {"seed": seed} if latents is None else {"latents_from": _digest(latents)}
    with alone(folder):
        resumed = any(_same_but_files(folder / found, manifest) for found in (_PLAN, MANIFEST))
        known = _hashes(folder / MANIFEST) if resumed else {}
        manifest["files"] = files
        write_json(folder / _PLAN, manifest)
        (folder / MANIFEST).unlink(missing_ok=True)
        remove_leftovers(folder)
        for pattern in (f".{glob.escape(name)}.*", ".latents-*.npy"):
            for abandoned in folder.glob(pattern):  # those of wavegan 0.2.0
                abandoned.unlink(missing_ok=True)
        length = generator.config.num_samples
        finished = {
            f
            for f in files
            if resumed
            and _is_whole(folder / f, length)
            and known.get(f) in (None, file_hash(folder / f))
        }

        latent_dim = generator.config.latent_dim
        with writing_rows(folder / "latents.npy", (count, latent_dim), "<f4") as file:
            for start in range(0, count, batch_size):
                size = min(batch_size, count - start)
                if given is None:
                    drawn = truncation * draw_latents(seed, size, latent_dim, start=start)
                    file.write(np.asarray(drawn).tobytes())
                else:
                    file.write(given[start : start + size].astype("<f4").tobytes())

        first = next((i for i, file in enumerate(files) if file not in finished), count)
        # From the start of a batch, so that the clips are the same bit for bit.
        done = start = first - first % batch_size if first < count else count
        written = np.load(folder / "latents.npy", mmap_mode="r")[start:]
        yield done, count
        if start < count:
            batches = generate_batches(
                generator, latents=written, label=label, batch_size=batch_size
            )
            for clip in (clip for batch in batches for clip in batch.audio):
                if files[done] not in finished:
                    path = folder / files[done]
                    save_audio(path, clip, about["sample_rate"], comment=GENERATED)
                done += 1
                yield done, count
        manifest["blake2b"] = [file_hash(folder / file) for file in files]
        write_json(folder / _PLAN, manifest)
        (folder / _PLAN).replace(folder / MANIFEST)


def _is_whole(file: Path, length: int) -> bool:
    """Whether a clip of so many samples is there, which nobody cut short."""
    from soundfile import LibsndfileError, info

    try:
        return file.exists() and info(file).frames == length
    except LibsndfileError:
        return False


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
    _check_names(folder, name, f"{name}.{steps:05d}.{suffix}")
    check_memory(12 * steps * _values(generator), f"{steps:,} clips", "take fewer steps")
    _check_room(generator, folder, 2 * steps)
    z0, z1 = (np.asarray(draw_latents(s, 1, generator.config.latent_dim))[0] for s in seeds)
    label0, label1 = labels or (None, None)
    audio = interpolate(generator, z0, z1, steps=steps, label0=label0, label1=label1)
    files = [f"{name}.{i:05d}.{suffix}" for i in range(steps)] + [f"{name}.joined.{suffix}"]
    joined = audio.reshape(-1, audio.shape[-1])
    for file, clip in zip(files, [*audio, joined], strict=True):
        save_audio(folder / file, clip, about["sample_rate"], comment=GENERATED)
    latents = line(z0, z1, steps)
    with writing_rows(folder / "latents.npy", latents.shape, "<f4") as rows:
        rows.write(latents.tobytes())
    manifest = {
        **about,
        "seeds": list(seeds),
        "classes": None if labels is None else list(labels),
        "latents": LATENTS,
        "files": files,
    }
    write_json(folder / MANIFEST, manifest)
    return files


def _check_names(folder: Path, name: str, longest: str) -> None:
    """Raise ValueError unless these are names of files."""
    plain_name(name, f"clips for {folder}")
    plain_name(longest, f"clips for {folder}", most=NAME_BYTES - _TEMPORARY)


def _check_room(generator: Generator, folder: Path, count: int) -> None:
    """Raise ValueError where the files of ``count`` clips, or their names, do not fit."""
    check_memory(_NAME * count, f"the names of {count:,} files", "ask for fewer clips")
    size = _HEADER + 2 * _values(generator) + 4 * generator.config.latent_dim
    check_disk(size * count, folder, f"{count:,} clips", "ask for fewer, or another folder")


def _values(generator: Generator) -> int:
    """Samples of a clip, of all channels."""
    return generator.config.num_samples * generator.config.channels


def _read_latents(path: Path) -> np.ndarray:
    """The latents in a file, memory-mapped."""
    try:
        latents = read_npy(path, "give floats (n, latent_dim)", mapped=True)
    except FileNotFoundError:
        raise ValueError(f"latents {path}: no such file") from None
    except ValueError as error:
        raise ValueError(f"latents {path} is no .npy file of numbers: {error}") from None
    if latents.ndim != 2 or latents.dtype.kind != "f" or not len(latents):
        found = f"{latents.dtype} {latents.shape}"
        raise ValueError(f"latents {path} must hold floats (n, latent_dim), found {found}")
    for start in range(0, len(latents), _ROWS):
        with np.errstate(over="ignore"):  # which is told
            rows = latents[start : start + _ROWS].astype(np.float32)
        if len(wrong := np.flatnonzero(~np.isfinite(rows).all(1))):
            raise ValueError(
                f"latents {path}: row {start + wrong[0]} has a NaN, an infinity or a number too "
                "large for float32: draw it again, or leave it out"
            )
    return latents


def _digest(path: Path) -> dict[str, str]:
    with path.open("rb") as file:
        return {"file": path.name, "blake2b": hashlib.file_digest(file, "blake2b").hexdigest()[:32]}


def _same_but_files(path: Path, manifest: Mapping[str, Any]) -> bool:
    """Whether ``path`` is ``manifest``, for any number of files."""
    try:
        found = read_json(path, "remove it")
    except (OSError, ValueError):
        return False
    wanted = json.loads(json.dumps(manifest))
    return {**found, **_FREE} == {**wanted, **_FREE}


def _hashes(manifest: Path) -> dict[str, str]:
    """What a manifest says of the content of each file; a folder that is not finished has none."""
    try:
        found = read_json(manifest, "remove it")
        hashes = dict(zip(found["files"], found["blake2b"], strict=True))
    except (FileNotFoundError, KeyError, TypeError, ValueError):
        return {}
    return hashes if all(isinstance(x, str) for pair in hashes.items() for x in pair) else {}
