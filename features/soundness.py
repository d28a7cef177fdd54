"""Whether recordings can be used: told while they are read, in parallel, in constant memory."""

from __future__ import annotations

import hashlib
import math
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
from jaxtyping import Int16

from features.audio import AudioError, Source, stream_audio, to_pcm
from features.dataset import Track
from features.identity import Identifier, Identity, twins

SILENT_PEAK = 3  # of 32768, -81 dB: silence with dither is silence
QUIET_PEAK = 32  # of 32768: what is no louder has as much rounding in its dB as sound
QUIET_LEVEL = f"no sample above {20 * math.log10(QUIET_PEAK / 2**15):.0f} dB"
QUIET = f"{QUIET_LEVEL}, so that rounding is a part of its sound"
_SMALL = 100_000  # bytes of a file
_MANY = 2000  # of such files: a process is ready after a second, in which it had read 500
LOUDEST_PEAK = 4.0  # overshoot of ±1 is clipped; beyond this the scale must be another


@runtime_checkable
class _Found(Protocol):
    @property
    def track(self) -> Track: ...
    @property
    def digest(self) -> str: ...
    @property
    def identity(self) -> Identity: ...


Result = TypeVar("Result")
Found = TypeVar("Found", bound=_Found)


@dataclass(frozen=True)
class Quarantined:
    """A track that cannot be used, and why.

    Attributes
    ----------
    first : the track that is the same recording, where that is why.
    """

    track: Track
    reason: str
    first: Track | None = None


@dataclass(frozen=True)
class Checked:
    """A track that can be used.

    Attributes
    ----------
    digest : hash of the file's content.
    identity : what the recording is known by, whatever file it is in.
    num_samples, sample_rate, channels : of the file, in Hz.
    encoding, decoder : of `features.audio.Source`.
    clipped : share of the samples that are at full scale.
    peak : of the mono sound, of 32768.
    """

    track: Track
    digest: str
    identity: Identity
    num_samples: int
    sample_rate: int
    channels: int
    encoding: str
    decoder: str
    clipped: float
    peak: int


def file_digest(path: Path) -> str:
    """The hash by which tracks are told apart: of a file's content, 32 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, partial(hashlib.blake2b, digest_size=16)).hexdigest()


def check_tracks(
    tracks: Sequence[Track],
    *,
    workers: int | None = None,
    processes: int = 1,
    on_progress: Callable[[int, int, str], object] | None = None,
) -> tuple[list[Checked], list[Quarantined]]:
    """What `features.decode_tracks` would use of ``tracks`` and pass over, writing nothing.

    Each is read at its own sample rate. Parameters are those of `features.decode_tracks`; that
    none can be used is the same ValueError. Of a recording in two classes the later one is passed
    over here, where `features.decode_tracks` refuses the data.

    Parameters
    ----------
    processes : that share thousands of small files, whose work is Python's. Each reads the
        caller's script anew: what that does must stand under ``if __name__ == "__main__"``.
    """
    if processes > 1 and len(tracks) >= _MANY and _are_small(tracks):
        results = _in_processes(_checked, tracks, processes, on_progress)
    else:
        results = each_track(_checked, tracks, workers, on_progress)
    checked, quarantined = without_twins(results)
    if not checked:
        raise none_usable(quarantined)
    return checked, quarantined


def _checked(track: Track) -> Checked | Quarantined:
    total = full = peak = 0
    identifier, sources = Identifier(), list[Source]()
    try:
        digest = file_digest(track.path)
        for pcm in sound_blocks(track.path, heard=identifier.add, opened=sources.append):
            total += len(pcm)
            peak = max(peak, peak_of(pcm))
            full += int(np.count_nonzero(pcm == 2**15 - 1) + np.count_nonzero(pcm == -(2**15)))
    except AudioError as error:
        return Quarantined(track, error.reason)
    except OSError as error:
        return Quarantined(track, f"unreadable: {error.strerror}")
    identity, ((encoding, rate, channels, decoder),) = identifier.identity(), sources
    read = (total, rate, channels, encoding, decoder)
    return Checked(track, digest, identity, *read, clipped=full / total, peak=peak)


def peak_of(pcm: Int16[np.ndarray, "n c"]) -> int:
    """The largest magnitude of 16-bit samples; 0 of none."""
    return max(int(pcm.max(initial=0)), -int(pcm.min(initial=0)))


def sound_blocks(
    source: Path,
    *,
    sample_rate: int | None = None,
    channels: int = 1,
    heard: Callable[[np.ndarray, int], object] | None = None,
    opened: Callable[[Source], object] | None = None,
) -> Iterator[Int16[np.ndarray, "n c"]]:
    """The audio of a file as 16-bit blocks.

    Parameters
    ----------
    sample_rate, channels : as in `features.load_audio`.
    heard, opened : as in `features.audio.stream_audio`.

    Raises
    ------
    AudioError
        Any fault of the file, where it is met: that it is silent, say, after its last block.
    """
    peak, total, ranges = 0, 0, list[np.ndarray]()

    def range_of(block: np.ndarray, rate: int) -> None:
        ranges.append(np.stack([block.min(0), block.max(0)]))
        if heard is not None:
            heard(block, rate)

    wanted: dict[str, Any] = {"sample_rate": sample_rate, "channels": channels}
    for block in stream_audio(source, **wanted, heard=range_of, opened=opened):
        if block.size and (loudest := float(max(block.max(), -block.min()))) > LOUDEST_PEAK:
            raise AudioError(source, f"out of range: samples reach {loudest:.4g}, beyond ±1")
        pcm = to_pcm(block).astype(np.int16)
        peak = max(peak, peak_of(pcm))
        total += len(pcm)
        yield pcm
    if total == 0:
        raise AudioError(source, f"empty: no sample is left at {sample_rate} Hz")
    if peak <= SILENT_PEAK:
        raise AudioError(source, f"silent: no sample above {SILENT_PEAK}/32768")
    found = np.array(ranges)
    if (found[:, 1].max(0) - found[:, 0].min(0)).max() * 2**15 <= 2 * SILENT_PEAK:
        raise AudioError(source, f"silent: a constant, about {peak}/32768")


def each_track(
    function: Callable[[Track], Result],
    tracks: Sequence[Track],
    workers: int | None = None,
    on_progress: Callable[[int, int, str], object] | None = None,
) -> list[Result]:
    """``function`` of each track, in their order, from ``workers`` threads.

    None is one a core, or of small files one in all: their work is mostly Python's, of which
    threads only wait for one another. An error ends it; what is under way ends first.
    ``on_progress`` is called in the calling thread after each track as (done, total, track_id).
    """
    with ThreadPoolExecutor(workers or (1 if _are_small(tracks) else os.cpu_count())) as pool:
        futures = {pool.submit(function, track): track for track in tracks}
        try:
            for done, future in enumerate(as_completed(futures), 1):
                future.result()
                if on_progress is not None:
                    on_progress(done, len(tracks), futures[future].track_id)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return [future.result() for future in futures]


def _in_processes(
    function: Callable[[Track], Result],
    tracks: Sequence[Track],
    processes: int,
    on_progress: Callable[[int, int, str], object] | None,
) -> list[Result]:
    """As `each_track`, with a function that is a module's own, from processes of their own."""
    quiet = signal.SIGINT, signal.SIG_IGN  # Ctrl-C is the caller's
    context, results = multiprocessing.get_context("spawn"), list[Result]()
    with ProcessPoolExecutor(processes, context, signal.signal, quiet) as pool:
        try:
            for track, result in zip(tracks, pool.map(function, tracks, chunksize=50), strict=True):
                results.append(result)
                if on_progress is not None:
                    on_progress(len(results), len(tracks), track.track_id)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return results


def _are_small(tracks: Sequence[Track]) -> bool:
    """Whether most files are small, by some of them."""
    some = [track.path for track in tracks[:: max(1, len(tracks) // 64)]]
    sizes = sorted(path.stat().st_size for path in some if path.is_file())
    return bool(sizes) and sizes[len(sizes) // 2] < _SMALL


def without_twins(results: Iterable[Found | Quarantined]) -> tuple[list[Found], list[Quarantined]]:
    """Of files of one recording only the first stays: two would leak across a split."""
    results = list(results)
    found = {i: one for i, one in enumerate(results) if not isinstance(one, Quarantined)}
    firsts = dict[int, int]()
    for one, other in twins({i: result.identity for i, result in found.items()}):
        firsts.setdefault(other, firsts.get(one, one))
    quarantined = [
        result if isinstance(result, Quarantined) else _twin(result, found[firsts[i]])
        for i, result in enumerate(results)
        if i not in found or i in firsts
    ]
    return [result for i, result in found.items() if i not in firsts], quarantined


def _twin(found: Found, first: Found) -> Quarantined:
    """A track that is left out for an earlier one, with how that is known."""
    how = "the same sound as"
    if found.identity.samples == first.identity.samples:
        how = "same content as" if found.digest == first.digest else "the same samples as"
    reason = f"{how} {first.track.track_id} ({first.track.path})"
    if first.track.label != found.track.label:
        reason += (
            f", which is {first.track.label}, not {found.track.label}: remove one of them, or both "
            "where nobody knows which class is right"
        )
    return Quarantined(found.track, reason, first.track)


def refuse_two_classes(quarantined: Iterable[Quarantined]) -> None:
    """Raise ValueError, naming the files and what to do, where a recording is in two classes."""
    found = [bad for bad in quarantined if bad.first and bad.first.label != bad.track.label]
    if found:
        shown = "; ".join(f"{bad.track.path} is {bad.reason}" for bad in found[:3])
        more = " (`wavegan doctor --data` lists them all)" if len(found) > 3 else ""
        raise ValueError(f"{len(found)} recordings are in two classes: {shown}{more}")


def none_usable(quarantined: Sequence[Quarantined]) -> ValueError:
    """The error of tracks of which every one is faulty, to be raised."""
    shown = "; ".join(f"{bad.track.path}: {bad.reason}" for bad in quarantined[:3])
    return ValueError(f"none of the {len(quarantined)} tracks can be used: {shown}")
