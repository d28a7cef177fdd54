"""Features of clips, computed once and kept on disk under all that they depend on.

    features-v2/<extractor, code, sample rate, clip length>/<clips>.npy

A file holds the clips that one call found missing, so that another split of the same tracks, or
a further track, computes what is new and no more.
"""

from __future__ import annotations

import hashlib
import math
import os
import time
import warnings
import zlib
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.lib.format import open_memmap, write_array_header_1_0

from features._fingerprint import fingerprint
from features.array_files import PARSING
from features.cache import NO_SPACE, Recording, default_cache_dir, writing_to_cache
from features.clips import Clips, LazyAudio
from features.rows import Rows
from features.storage import remove_leftovers, replacing

_FORMAT = "features-v2"  # a folder's name: a change of what is stored below it needs a new one
_BATCH = 64  # clips in a batch, fewer where they are long
_BATCH_SAMPLES = 2**22
_MOST_FILES = 64  # that a set of clips is read from: each keeps a file open
_DAY = 86400  # seconds
_CLIP = np.dtype([("source", "S32"), ("start", "<i8")])
_IN_MEMORY = -1  # instead of a start: the source is the hash of the clip's own samples

Extractor = Callable[[np.ndarray, int], Any]
Audio = LazyAudio | np.ndarray
Key = tuple[bytes, int]  # of a clip: source and start
Place = tuple[Path, np.ndarray, int]  # of its features: file, the file's features, row there
T = TypeVar("T")
_checked: dict[Path, tuple[int, ...]] = {}  # files whose checksum held, and their state then


def extract(
    clips: Clips | np.ndarray,
    make: Extractor,
    *,
    sample_rate: int | None = None,
    cache_dir: str | Path | None = None,
    workers: int | None = None,
    on_progress: Callable[[int, int], object] | None = None,
) -> Rows:
    """Features of every clip, computed in batches of one shape, or found in the cache.

    The cache tells clips apart by their source file's content and their place there (or, those
    held in memory, by their samples), and extractors by `fingerprint`: an edit of a setting, of
    the audio or of code that computes features finds no older entry. Damaged files are made anew.

    Parameters
    ----------
    clips : `Clips`, or audio (N, L, C), (N, L) or (L,) as int16 or float32.
    make : from audio (N, L, C) float32 in [-1, 1] and the sample rate to features (N, ...); each
        clip's must not depend on the others. A frozen dataclass or a function of a module.
    sample_rate : Hz, with an array of audio; clips know theirs.
    cache_dir : `default_cache_dir` if None. ``$WAVEGAN_CACHE_GB`` bounds what features take
        there: those unused for longest go first.
    workers : threads that read audio while the device computes, 2 if None.
    on_progress : called after each batch as (clips done, clips to compute).

    Returns
    -------
    Rows
        (N, ...) float32, in the order of the clips, read from disk as they are asked for.

    Raises
    ------
    ValueError
        No clips; an array without its sample rate, or not of audio; features that aren't one row
        a clip.
    TypeError
        An extractor that can't be told from others, see `fingerprint`.
    OSError
        The cache can't be written; a full disk says what is needed and how to move the cache.
    """
    bound = _bound()
    audio, rate = _audio(clips, sample_rate)
    root = Path(cache_dir or default_cache_dir()) / _FORMAT
    setting = f"{fingerprint(make)} {rate} {audio.shape[1:]}"
    folder = root / hashlib.blake2b(setting.encode(), digest_size=16).hexdigest()
    keys = _keys(audio)
    found = _lookup(folder, set(keys))
    first = {key: row for row, key in reversed(list(enumerate(keys))) if key not in found}
    if missing := sorted(first, key=first.__getitem__):
        rows = np.array([first[key] for key in missing])
        # Not left to the garbage collector: what waits for threads there, in any thread, hangs.
        with closing(_batches(audio, rows, make, rate, workers or 2, on_progress)) as batches:
            path = _write(folder, missing, batches)
        part = _mapped(path)
        found |= {key: (path, part, row) for row, key in enumerate(missing)}
        _prune(root, bound, keep={path for path, _, _ in found.values()})
    parts = {path: part for path, part, _ in found.values()}
    ends = np.cumsum([0, *(len(part) for part in parts.values())])
    offsets = dict(zip(parts, ends[:-1], strict=True))
    return Rows(
        list(parts.values()), np.array([offsets[found[key][0]] + found[key][2] for key in keys])
    )


def _audio(clips: Clips | np.ndarray, sample_rate: int | None) -> tuple[Audio, int]:
    """The audio to compute from and its rate, checked."""
    audio = clips.audio if isinstance(clips, Clips) else clips
    rate = clips.sample_rate if isinstance(clips, Clips) else sample_rate
    if rate is None or sample_rate not in (None, rate):
        raise ValueError(
            f"{sample_rate=}: give an array of audio its rate in Hz, and clips none but their own"
        )
    if isinstance(audio, np.ndarray) and audio.ndim in (1, 2):  # mono, one clip or several
        audio = audio.reshape(-1, audio.shape[-1], 1)
    if audio.ndim != 3 or audio.dtype not in (np.int16, np.float32) or 0 in audio.shape:
        found = f"{audio.dtype} of shape {audio.shape}"
        raise ValueError(f"audio is {found}; give int16 or float32 (N, L, C), none of them 0")
    return audio, rate


def _keys(audio: Audio) -> list[Key]:
    """What each clip is: a recording's content and format and a place there, or the samples."""
    if not isinstance(audio, LazyAudio):
        return [_key_of(clip) for clip in audio]
    places = zip(audio.source.tolist(), audio.start.tolist(), strict=True)
    names = [
        _hash(f"{source.digest} {source.path.name} {source.sample_rate}".encode())
        if isinstance(source, Recording)
        else None
        for source in audio.sources
    ]
    length = audio.shape[1]
    return [
        (name, start)
        if (name := names[source])
        else _key_of(audio.sources[source][start : start + length])
        for source, start in places
    ]


def _key_of(clip: np.ndarray) -> Key:
    return _hash(np.ascontiguousarray(clip).tobytes() + clip.dtype.str.encode()), _IN_MEMORY


def _hash(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).hexdigest().encode()


def _batches(
    audio: Audio,
    rows: np.ndarray,
    make: Extractor,
    sample_rate: int,
    workers: int,
    on_progress: Callable[[int, int], object] | None,
) -> Generator[np.ndarray, None, None]:
    """Features of the clips at ``rows``; reading, computing and what the caller does overlap."""
    size = int(np.clip(_BATCH_SAMPLES // np.prod(audio.shape[1:]), 1, _BATCH))
    starts = range(0, len(rows), size)

    def read(start: int) -> np.ndarray:
        here = np.resize(rows[start : start + size], size)  # the last batch repeats its clips
        found = audio[here]
        return found if found.dtype == np.float32 else found * np.float32(2**-15)

    with ThreadPoolExecutor(workers, "features") as pool:
        reading = _ahead((pool.submit(read, start) for start in starts), workers)
        computing = _ahead((make(batch.result(), sample_rate) for batch in reading), 1)
        for start, made in zip(starts, computing, strict=True):
            values = np.asarray(made, np.float32)
            if values.shape[:1] != (size,) or values.size == 0:
                raise ValueError(
                    f"{make} made features of shape {values.shape} from {size} clips; "
                    "it must give a row for each"
                )
            done = min(start + size, len(rows))
            yield values[: done - start]
            if on_progress is not None:
                on_progress(done, len(rows))


def _ahead(items: Iterable[T], count: int) -> Iterator[T]:
    """The same items, each asked for ``count`` items early."""
    queue: deque[T] = deque()
    for item in items:
        queue.append(item)
        if len(queue) > count:
            yield queue.popleft()
    yield from queue


def _write(folder: Path, keys: list[Key], batches: Iterator[np.ndarray]) -> Path:
    """A file of features, the keys of their clips, and a checksum of both."""
    path = folder / f"{_hash(repr(keys).encode()).decode()}.npy"
    first = next(batches)
    shape = (len(keys), *first.shape[1:])
    checksum = zlib.crc32(repr(shape).encode())
    remove_leftovers(folder.parent, "*/.*")
    try:
        with (
            writing_to_cache(folder.parents[1]),
            replacing(path, sync=False) as temporary,
            temporary.open("wb") as file,
        ):
            write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
            for values in chain([first], batches):
                data = np.ascontiguousarray(values, "<f4").data
                checksum = zlib.crc32(data, checksum)
                file.write(data)
            clips = np.array(keys, _CLIP).tobytes()
            file.write(clips + zlib.crc32(clips, checksum).to_bytes(4, "little"))
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise
        raise OSError(
            error.errno,
            f"no space left for the features cache in {folder.parent}: {len(keys)} clips need "
            f"{4e-6 * math.prod(shape):.1f} MB; free some, or set WAVEGAN_CACHE to a folder on a "
            "larger disk",
        ) from error
    return path


def _lookup(folder: Path, wanted: set[Key]) -> dict[Key, Place]:
    """Where wanted clips are stored; what is damaged is removed."""
    found: dict[Key, Place] = {}
    files = _files(folder, "[!.]*.npy")
    for path, _ in sorted(files, key=lambda file: file[1].st_size, reverse=True):
        try:
            part, clips, checksum = _read(path)
            keys = enumerate(np.frombuffer(clips, _CLIP).tolist())
            here = {key: (path, part, row) for row, key in keys if key in wanted}
            if here.keys() <= found.keys():
                continue
            _check(path, part, clips, checksum)
            found = here | found
        except OSError:  # removed by another process, or not for us to read
            continue
        except Exception:  # what numpy's parser raises at damage has many types
            with suppress(OSError):
                path.unlink()
            warnings.warn(f"{path}: damaged, what it holds is computed anew", stacklevel=3)
    used = {path for path, _, _ in found.values()}
    return found if len(used) <= _MOST_FILES else {}  # then all goes into a file of its own


def _read(path: Path) -> tuple[np.ndarray, bytes, int]:
    part = _mapped(path)
    with path.open("rb") as file:
        file.seek(part.offset + part.nbytes)
        clips, checksum = file.read(len(part) * _CLIP.itemsize), file.read()
    if part.dtype != np.float32 or len(clips) < len(part) * _CLIP.itemsize or len(checksum) != 4:
        raise ValueError(f"{path}: damaged")
    return part, clips, int.from_bytes(checksum, "little")


def _mapped(path: Path) -> np.memmap:
    with PARSING:
        return open_memmap(path, mode="r")


def _check(path: Path, part: np.ndarray, clips: bytes, checksum: int) -> None:
    """Compare with the checksum, once a process; leave the time of this use."""
    if _checked.get(path) != _state(path):
        found = zlib.crc32(repr(part.shape).encode())
        for content in (part.data, clips):
            found = zlib.crc32(content, found)
        if found != checksum:
            raise ValueError(f"{path}: damaged")
    with suppress(OSError):  # a read-only cache serves too
        os.utime(path)
    _checked[path] = _state(path)


def _state(path: Path) -> tuple[int, ...]:
    stat = path.stat()
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def _bound() -> float:
    """Bytes that features may take."""
    text = os.environ.get("WAVEGAN_CACHE_GB") or "inf"
    try:
        size = float(text)
    except ValueError:
        size = math.nan
    if not size >= 0:
        raise ValueError(f"WAVEGAN_CACHE_GB={text!r}: give a number of gigabytes, 0 or more")
    return 1e9 * size


def _prune(root: Path, bound: float, keep: set[Path]) -> None:
    """Remove what is beyond ``bound`` bytes, longest unused first, but nothing of ``keep``.

    What killed processes left half-written goes after a day.
    """
    total = 0
    for path, stat in sorted(_files(root, "*/*.npy"), key=lambda f: f[1].st_mtime, reverse=True):
        left = path.name.startswith(".")
        total += stat.st_size
        if path not in keep and (time.time() - stat.st_mtime > _DAY if left else total > bound):
            total -= stat.st_size
            with suppress(OSError):
                path.unlink()


def _files(folder: Path, pattern: str) -> list[tuple[Path, os.stat_result]]:
    """Files and their state; another process may remove some meanwhile."""
    found = []
    for path in folder.glob(pattern):
        with suppress(OSError):
            found.append((path, path.stat()))
    return found
