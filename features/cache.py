"""Each track decoded and resampled once, into 16-bit arrays on disk that map into memory."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from jaxtyping import Int16

from features.array_files import read_npy
from features.audio import AudioError, Source, audio_info, stream_audio
from features.checksums import key_of
from features.dataset import Track
from features.display import cards, first_part
from features.formats import DECODERS, LIBSNDFILE
from features.identity import Identifier, Identity
from features.limits import check_rate
from features.soundness import (
    QUIET_PEAK,
    Quarantined,
    each_track,
    file_digest,
    none_usable,
    peak_of,
    refuse_two_classes,
    sound_blocks,
    without_twins,
)
from features.storage import read_json, remove_leftovers, replacing, state_of, write_text

_FORMAT = "audio-v1"  # a folder's name: a change of what is stored below it needs a new one
_HEADER = 128  # bytes of an .npy header of version 1 for these arrays
_HASH = 16  # bytes of the hash, of samples and header, that follows the samples
_BLOCK = 2**20  # bytes that are read at once to hash them
_PART = 2**16  # samples that are read at once to find one that is not quiet
_whole = set[tuple[int, ...]]()  # states of entries whose hash held
NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NO_RIGHT = (errno.EACCES, errno.EPERM, errno.EROFS)


@dataclass(frozen=True)
class Recording:
    """A decoded track.

    Attributes
    ----------
    track : where it comes from.
    digest : hash of the source file's content, 32 hexadecimal digits.
    path : the .npy file in the cache.
    num_samples, channels, sample_rate : of the decoded audio.
    identity : what the recording is known by, whatever file it is in.
    decoder : what read the file, of `features.formats.DECODERS`: that before it could not.
    """

    track: Track
    digest: str
    path: Path
    num_samples: int
    channels: int
    sample_rate: int
    identity: Identity
    decoder: str = LIBSNDFILE

    def __repr__(self) -> str:
        seconds = f"{self.num_samples / self.sample_rate:.2f} s at {self.sample_rate} Hz"
        channels = {1: "mono", 2: "stereo"}.get(self.channels, f"{self.channels} channels")
        return f"Recording({self.track.track_id}, {self.track.label}, {seconds}, {channels})"

    def _repr_html_(self) -> str:
        """Its beginning, to see and hear in a notebook."""
        part = self.read(0, first_part(self.num_samples, self.sample_rate))
        sound = part.astype(np.float32) / 2**15
        return cards(repr(self), [(self.track.track_id, sound)], self.sample_rate)

    @property
    def quiet(self) -> bool:
        """Whether no sample is above `QUIET_PEAK`: read up to the first that is."""
        starts = range(0, self.num_samples, _PART)
        parts = (self.read(start, min(start + _PART, self.num_samples)) for start in starts)
        return all(peak_of(part) <= QUIET_PEAK for part in parts)

    @property
    def samples(self) -> Int16[np.ndarray, "l c"]:
        """The audio as a read-only memory map, mapped anew at each access.

        A map keeps a file open and its touched pages count as memory: for parts of many
        recordings use `read`.
        """
        return np.load(self.path, mmap_mode="r")

    def read(self, start: int, stop: int) -> Int16[np.ndarray, "n c"]:
        """Samples from ``start`` to ``stop``, copied, the file closed again.

        Twice as fast as a map for a clip of a second, and nothing stays mapped.
        """
        count = (stop - start) * self.channels
        offset = _HEADER + 2 * start * self.channels
        found = np.fromfile(self.path, "<i2", count, offset=offset)
        if len(found) < count:
            raise OSError(
                f"{self.path}: cut short since it was checked; run again to decode it anew"
            )
        return found.reshape(-1, self.channels)


@dataclass(frozen=True)
class Decoded:
    """What `decode_tracks` made of its tracks, both in their order."""

    recordings: tuple[Recording, ...]
    quarantined: tuple[Quarantined, ...]

    def __repr__(self) -> str:
        return f"Decoded({len(self.recordings)} recordings, {len(self.quarantined)} quarantined)"


def default_cache_dir() -> Path:
    """``$WAVEGAN_CACHE``, else ``$XDG_CACHE_HOME/wavegan``, else ``~/.cache/wavegan``."""
    if folder := os.environ.get("WAVEGAN_CACHE"):
        return Path(folder)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "wavegan"


@contextmanager
def writing_to_cache(folder: Path) -> Iterator[None]:
    """Work on a cache; that it may not be written is an OSError that says how to move it."""
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_RIGHT:
            raise
        raise OSError(
            error.errno,
            f"the cache {folder} can't be written ({error.strerror}): set WAVEGAN_CACHE to a "
            "folder that is yours",
        ) from error


def decode_tracks(
    tracks: Iterable[Track],
    *,
    sample_rate: int,
    channels: int = 1,
    cache_dir: str | Path | None = None,
    workers: int | None = None,
    keep_twins: bool = False,
    on_progress: Callable[[int, int, str], object] | None = None,
) -> Decoded:
    """Decode tracks into the cache, in parallel, or find them there.

    Entries are keyed by the source file's content and the settings, so that a renamed or moved
    track is not decoded again; an index of path, size and times spares reading it at all.

    Parameters
    ----------
    tracks : at least one.
    sample_rate : Hz.
    channels : 1 (the mean of a file's channels) or 2.
    cache_dir : `default_cache_dir` if None.
    workers : threads, one a core if None; libsndfile and soxr run outside the interpreter's lock.
    keep_twins : several files of one recording are all decoded, whatever their classes: where
        each needs an answer, and none is on another side of a split.
    on_progress : called in the calling thread after each track as (done, total, track_id).

    Returns
    -------
    Decoded
        Faulty tracks (unreadable, empty, truncated, silent, non-finite, of the same recording as
        an earlier one of their class) are in its ``quarantined``, with the reason, and end nothing.

    Raises
    ------
    ValueError
        No track, settings out of range, every track faulty, or one recording in two classes.
    OSError
        The cache cannot be written; a full disk says what is needed and how to move the cache.
    """
    tracks = list(tracks)
    if not tracks:
        raise ValueError("no tracks to decode")
    check_rate(sample_rate)
    if channels not in (1, 2):
        raise ValueError(f"{channels=}: give 1 or 2 channels")
    folder = Path(cache_dir or default_cache_dir()) / _FORMAT
    remove_leftovers(folder)
    index = _Index(folder / "index.json")
    decode = partial(
        _decoded, folder=folder, index=index, sample_rate=sample_rate, channels=channels
    )
    try:
        with writing_to_cache(folder.parent):
            results = each_track(decode, tracks, workers, on_progress)
    except OSError as error:
        if error.errno in NO_SPACE:
            raise _full(error, folder, tracks, sample_rate, channels) from error
        raise
    finally:
        index.write()
    recordings = [r for r in results if isinstance(r, Recording)]
    quarantined = [r for r in results if isinstance(r, Quarantined)]
    if not keep_twins:
        recordings, quarantined = without_twins(results)
    if not recordings:
        raise none_usable(quarantined)
    refuse_two_classes(quarantined)
    return Decoded(tuple(recordings), tuple(quarantined))


def _decoded(
    track: Track, *, folder: Path, index: _Index, sample_rate: int, channels: int
) -> Recording | Quarantined:
    try:
        digest = index.digest(track.path)
    except OSError as error:
        return Quarantined(track, f"unreadable: {error.strerror}")
    name, identity = f"{digest}-{sample_rate}-{channels}", _kept_identity(folder, digest)
    identifier = Identifier()
    heard = None if identity else identifier.add
    try:
        entry = _found(folder, name, channels)
        if entry is None:
            entry = _write_entry(folder, name, track.path, sample_rate, channels, digest, heard)
        elif heard is not None:
            for _ in stream_audio(track.path, heard=heard):
                pass
            _refuse_changed(track.path, digest)
    except AudioError as error:
        return Quarantined(track, error.reason)
    if identity is None:
        identity = identifier.identity()
        _keep_identity(folder, digest, identity)
    path, num_samples, decoder = entry
    return Recording(track, digest, path, num_samples, channels, sample_rate, identity, decoder)


def _entry_path(folder: Path, name: str, decoder: str) -> Path:
    """Where an entry is: its name says what decoded it, unless libsndfile did."""
    return folder / f"{name}{'' if decoder == LIBSNDFILE else f'-{decoder}'}.npy"


def _found(folder: Path, name: str, channels: int) -> tuple[Path, int, str] | None:
    """An entry's path, number of samples and decoder; None where there is none that is whole."""
    for decoder in DECODERS:
        path = _entry_path(folder, name, decoder)
        if (num_samples := whole_entry(path, channels)) is not None:
            return path, num_samples, decoder
    return None


def _write_entry(
    folder: Path,
    name: str,
    source: Path,
    sample_rate: int,
    channels: int,
    digest: str,
    heard: Callable[[np.ndarray, int], object] | None,
) -> tuple[Path, int, str]:
    """Decode ``source`` block by block into an .npy file; what `_found` gives of it."""
    sources = list[Source]()
    wanted: dict[str, Any] = {"sample_rate": sample_rate, "channels": channels}
    blocks = sound_blocks(source, **wanted, heard=heard, opened=sources.append)
    first = next(blocks)
    decoder = sources[0].decoder
    path = _entry_path(folder, name, decoder)
    with writing_entry(path, channels) as entry:
        for pcm in chain([first], blocks):
            entry.write(pcm)
        _refuse_changed(source, digest)
    return path, entry.num_samples, decoder


def _refuse_changed(source: Path, digest: str) -> None:
    """Raise AudioError where a file's hash is not ``digest`` any more: something else was read."""
    if file_digest(source) != digest:
        raise AudioError(source, "changed while it was read: run again")


def _kept_identity(folder: Path, digest: str) -> Identity | None:
    """The identity of a file of this content; None where none is kept, or not as it was written."""
    path = folder / f"{digest}.identity"
    try:
        text, _, kept = path.read_text(encoding="ascii").partition(" ")
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        text = kept = ""
    with suppress(ValueError):
        if kept == key_of([digest, text]):
            return Identity.parse(text)
    warnings.warn(f"{path}: this entry of the cache is damaged, it is made anew", stacklevel=2)
    return None


def _keep_identity(folder: Path, digest: str, identity: Identity) -> None:
    text = str(identity)
    with replacing(folder / f"{digest}.identity", sync=False) as temporary:
        temporary.write_text(f"{text} {key_of([digest, text])}", encoding="ascii")


class Entry:
    """An entry of the cache that is being written."""

    def __init__(self, file: BinaryIO, channels: int) -> None:
        self.num_samples = 0
        self._file, self._channels = file, channels
        self._hash = hashlib.blake2b(digest_size=_HASH)
        file.write(_header(0, channels))

    def write(self, samples: Int16[np.ndarray, "n c"]) -> None:
        """Add samples."""
        data = np.ascontiguousarray(samples, "<i2").tobytes()
        self._hash.update(data)
        self._file.write(data)
        self.num_samples += len(samples)

    def end(self) -> None:
        """Add the hash, and say in the header how many samples there are."""
        header = _header(self.num_samples, self._channels)
        self._hash.update(header)
        self._file.write(self._hash.digest())
        self._file.seek(0)
        self._file.write(header)


@contextmanager
def writing_entry(path: Path, channels: int) -> Iterator[Entry]:
    """An entry to write samples to, in the cache when the block ends."""
    # Not synced: the hash tells what is not whole, and 10,000 syncs take half a minute.
    with replacing(path, sync=False) as temporary, temporary.open("wb") as file:
        entry = Entry(file, channels)
        yield entry
        entry.end()


def _header(num_samples: int, channels: int) -> bytes:
    # numpy leaves room for the first axis to grow, so a rewritten header has the same length
    shape = (num_samples, channels)
    header = {"descr": "<i2", "fortran_order": False, "shape": shape}
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, header)
    if file.tell() != _HEADER:
        raise RuntimeError(f"numpy wrote an .npy header of {file.tell()} bytes, not {_HEADER}")
    return file.getvalue()


def whole_entry(path: Path, channels: int) -> int | None:
    """Number of samples of a cache entry; None where it is missing, or not what was written.

    A warning names what is there and can't be used. Each entry is hashed once a process.
    """
    if not path.exists():
        return None
    with suppress(OSError, ValueError):
        found: Any = read_npy(path, "it is made anew", mapped=True)
        fits = (found.dtype, found.shape[1:], found.offset) == (np.int16, (channels,), _HEADER)
        if fits and len(found) and _hash_holds(path, len(found), channels):
            return len(found)
    warnings.warn(f"{path}: this entry of the cache is damaged, it is made anew", stacklevel=2)
    return None


def _hash_holds(path: Path, count: int, channels: int) -> bool:
    """Whether ``count`` samples, and the header, have the hash that follows them."""
    with path.open("rb") as file:
        state, size = state_of(file), 2 * count * channels
        if state in _whole:
            return True
        header, found = file.read(_HEADER), hashlib.blake2b(digest_size=_HASH)
        old = os.fstat(file.fileno()).st_size == _HEADER + size
        if old:  # wavegan 0.2.0 kept no hash, or a changed header has it among the samples
            size -= _HASH
            header = _header(size // (2 * channels), channels)
        for start in range(0, size, _BLOCK):
            found.update(file.read(min(_BLOCK, size - start)))
        found.update(header)
        holds = (file.read() == found.digest()) is not old
        if holds:
            _whole.add(state)
        return holds


def _full(
    error: OSError, folder: Path, tracks: list[Track], sample_rate: int, channels: int
) -> OSError:
    """The error of a full disk with what its reader needs to act on it."""
    import soundfile as sf

    seconds = 0.0
    for track in tracks:
        with suppress(sf.SoundFileError, TypeError):
            seconds += audio_info(track.path).duration
    needed = 2e-6 * seconds * sample_rate * channels
    return OSError(
        error.errno,
        f"no space left for the audio cache in {folder}: {len(tracks)} tracks need {needed:.1f} MB "
        f"at {sample_rate} Hz; free some, or set WAVEGAN_CACHE to a folder on a larger disk",
    )


def _digest(text: Any) -> bool:
    """Whether it is what `file_digest` gives: it becomes a part of a path."""
    return isinstance(text, str) and re.fullmatch("[0-9a-f]{32}", text) is not None


class _Index:
    """Digests of files already read, by absolute path, valid while size and times stay the same.

    Processes that write it at one time may lose each other's additions, never damage it: a lost
    one costs reading that file again.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.known = self._read()
        self.added: dict[str, Any] = {}

    def digest(self, source: Path) -> str:
        stat = source.stat()
        state = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]
        key = str(source.absolute())
        entry = self.known.get(key)
        known: Any = entry[3] if isinstance(entry, list) and len(entry) == 5 else None
        if _digest(known) and entry == self._entry(key, state, known):
            return known
        digest = file_digest(source)
        self.added[key] = self._entry(key, state, digest)
        return digest

    def _entry(self, key: str, state: list[int], digest: str) -> list[Any]:
        """What is kept of a file, with a hash of it all."""
        return [*state, digest, key_of([key, *state, digest])]

    def write(self) -> None:
        if self.added:
            with suppress(OSError):  # a full or read-only cache still serves without its index
                write_text(self.path, json.dumps(self._read() | self.added, indent=0))

    def _read(self) -> dict[str, Any]:
        try:
            return read_json(self.path, "remove it")
        except (OSError, ValueError):
            return {}
