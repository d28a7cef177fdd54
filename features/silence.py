"""Recordings without their silence: by frames, or by samples as one published recipe does it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from jaxtyping import Bool, Float32, Float64, Real

from features.cache import _FORMAT, Recording, whole_entry, writing_entry
from features.in_memory import InMemory

Either = TypeVar("Either", Recording, InMemory, Recording | InMemory)

SILENCES: tuple[str, ...] = ("frames", "samples")  # what `remove_silence` takes out
TOP_DB = 40.0  # dB below the loudest frame: the quietest that counts as sound
THRESHOLD = 0.3  # times the mean magnitude: the largest sample that counts as silence
FRAME_LENGTH = 512  # samples
_BLOCK = 2**16  # samples that `sounding_blocks` holds at a time, about
_VERSION = 1  # in the names of cache entries: another is due when the same options keep others


def remove_silence(
    audio: Real[np.ndarray, "*shape"],
    *,
    by: str = "frames",
    frame_length: int = FRAME_LENGTH,
    top_db: int | float = TOP_DB,
    threshold: int | float = THRESHOLD,
) -> Real[np.ndarray, "*kept"]:
    """Leave out what is silent and join the rest.

    Parameters
    ----------
    audio : (L, C), or (L,) of one channel, floating point or integers. The channels are judged
        together, by their mean, and cut at the same places.
    by : "frames" drops whole frames, end to end (the last one may be shorter), whose root mean
        square is more than ``top_db`` below that of the loudest. What remains is as it was; it is
        joined without a cross-fade, so a quiet click is possible where a pause was.
        "samples" drops every single sample whose magnitude is at most ``threshold`` times the
        mean magnitude, also within each period of a sound, which distorts it. Keep it for the
        published recipe that was trained on such audio (net5).
    frame_length : samples; 512 are 23 ms at 22050 Hz.
    top_db, threshold : see ``by``.

    Returns
    -------
    (L', C) or (L',) of the same type, L' <= L; empty if all of it is digital silence.

    Raises
    ------
    ValueError
        For an unknown ``by``, and options that are not positive.
    """
    _check(by, frame_length, top_db, threshold)
    if not len(audio):
        return audio
    channels = audio[:, None] if audio.ndim == 1 else audio
    if by == "frames":
        power = _power(channels, frame_length)
        return audio[_loud(power, power.max(), top_db).repeat(frame_length)[: len(audio)]]
    magnitude = _magnitude(channels)
    return audio[magnitude > threshold * magnitude.mean(dtype=np.float64)]


def sounding_blocks(
    read: Callable[[], Iterable[Real[np.ndarray, "_ c"]]],
    *,
    by: str = "frames",
    frame_length: int = FRAME_LENGTH,
    top_db: int | float = TOP_DB,
    threshold: int | float = THRESHOLD,
) -> Iterator[Real[np.ndarray, "_ c"]]:
    """What `remove_silence` keeps of a recording, in blocks, whatever its length.

    Parameters
    ----------
    read : gives the recording in blocks, and is called twice.
    by, frame_length, top_db, threshold : as for `remove_silence`, with its errors.
    """
    _check(by, frame_length, top_db, threshold)
    if by == "frames":
        size = frame_length * (1 + _BLOCK // frame_length)
        loudest = max((_power(b, frame_length).max() for b in regrouped(read(), size)), default=0.0)
        for block in regrouped(read(), size):
            loud = _loud(_power(block, frame_length), loudest, top_db)
            yield block[loud.repeat(frame_length)[: len(block)]]
        return
    total, count = 0.0, 0
    for block in read():
        total, count = total + _magnitude(block).sum(dtype=np.float64), count + len(block)
    for block in read():
        yield block[_magnitude(block) > threshold * total / max(count, 1)]


def regrouped(
    blocks: Iterable[Real[np.ndarray, "_ c"]], size: int
) -> Iterator[Real[np.ndarray, "_ c"]]:
    """The same samples in blocks of ``size``, the last one shorter."""
    held, count = list[np.ndarray](), 0
    for block in blocks:
        while len(block):
            held.append(block[: size - count])
            block, count = block[size - count :], count + len(held[-1])
            if count == size:
                yield np.concatenate(held)
                held, count = [], 0
    if held:
        yield np.concatenate(held)


def without_silence(
    recordings: Sequence[Either],
    *,
    by: str = "frames",
    frame_length: int = FRAME_LENGTH,
    top_db: int | float = TOP_DB,
    threshold: int | float = THRESHOLD,
    cache_dir: str | Path | None = None,
    on_progress: Callable[[int, int, str], object] | None = None,
) -> tuple[Either, ...]:
    """Tracks after `remove_silence`; decoded ones are made once and kept in their cache.

    Parameters
    ----------
    recordings : of `features.cache.decode_tracks`, or in memory.
    by, frame_length, top_db, threshold : as for `remove_silence`.
    cache_dir : the cache to write to; None for the one that holds the recordings.
    on_progress : called after each recording as (done, total, track_id).

    Returns
    -------
    tuple of Recording or InMemory
        In their order, shorter, for `features.clips.cut_clips`. Track and digest are still those
        of the source, which is what tells leaks; the path is another for other options.

    Raises
    ------
    ValueError
        A recording of which nothing is left, named; options as for `remove_silence`.
    OSError
        The cache cannot be written.
    """
    how = f"{frame_length}-{float(top_db)}" if by == "frames" else f"{float(threshold)}"
    remove = partial(
        remove_silence, by=by, frame_length=frame_length, top_db=top_db, threshold=threshold
    )
    trimmed = list[Either]()
    for done, recording in enumerate(recordings, 1):
        if isinstance(recording, InMemory):
            sound = remove(recording.samples)
            _refuse_empty(sound, recording, by)
            trimmed.append(replace(recording, samples=sound))
        else:
            folder = Path(cache_dir) / _FORMAT if cache_dir else recording.path.parent
            path = folder / f"{recording.path.stem}-{by}{_VERSION}-{how}.npy"
            num_samples = whole_entry(path, recording.channels)
            if num_samples is None:
                sound = remove(recording.read(0, recording.num_samples))
                _refuse_empty(sound, recording, by)
                num_samples = len(sound)
                with writing_entry(path, recording.channels) as entry:
                    entry.write(sound)
            trimmed.append(replace(recording, path=path, num_samples=num_samples))
        if on_progress is not None:
            on_progress(done, len(recordings), recording.track.track_id)
    return tuple(trimmed)


def _refuse_empty(sound: np.ndarray, recording: Recording | InMemory, by: str) -> None:
    if not len(sound):
        raise ValueError(
            f"{recording.track.path}: nothing is left of its "
            f"{recording.num_samples / recording.sample_rate:.2f} s without silence "
            f"(by={by!r}): it is all digital silence; leave it out"
        )


def _check(by: str, frame_length: int, top_db: float, threshold: float) -> None:
    if by not in SILENCES:
        raise ValueError(f"by={by!r}: use 'frames', or 'samples' for the published net5")
    if not (frame_length > 0 and top_db > 0 and threshold > 0):
        raise ValueError(f"{frame_length=}, {top_db=}, {threshold=}: all must be positive")


def _power(audio: Real[np.ndarray, "l c"], frame_length: int) -> Float64[np.ndarray, " frames"]:
    starts = np.arange(0, len(audio), frame_length)
    energy = (audio.astype(np.float32) ** 2).mean(axis=1, dtype=np.float64)
    return np.add.reduceat(energy, starts) / np.diff(starts, append=len(audio))


def _loud(
    power: Float64[np.ndarray, " frames"], loudest: float, top_db: float
) -> Bool[np.ndarray, " frames"]:
    return power > max(0.0, loudest * 10 ** (-top_db / 10))


def _magnitude(audio: Real[np.ndarray, "l c"]) -> Float32[np.ndarray, " l"]:
    return np.abs(audio.astype(np.float32)).mean(axis=1)
