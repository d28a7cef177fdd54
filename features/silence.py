"""Recordings without their silence: by frames, or by samples as one published recipe does it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Real

from features.cache import _FORMAT, Recording, whole_entry, writing_entry

SILENCES: tuple[str, ...] = ("frames", "samples")  # what `remove_silence` takes out
TOP_DB = 40.0  # dB below the loudest frame: the quietest that counts as sound
THRESHOLD = 0.3  # times the mean magnitude: the largest sample that counts as silence
FRAME_LENGTH = 512  # samples
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
    if by not in SILENCES:
        raise ValueError(f"by={by!r}: use 'frames', or 'samples' for the published net5")
    if not (frame_length > 0 and top_db > 0 and threshold > 0):
        raise ValueError(f"{frame_length=}, {top_db=}, {threshold=}: all must be positive")
    if not len(audio):
        return audio
    channels = audio[:, None] if audio.ndim == 1 else audio
    kept = (
        _loud_frames(channels, frame_length, top_db)
        if by == "frames"
        else _large_samples(channels, threshold)
    )
    return audio[kept]


def without_silence(
    recordings: Sequence[Recording],
    *,
    by: str = "frames",
    frame_length: int = FRAME_LENGTH,
    top_db: int | float = TOP_DB,
    threshold: int | float = THRESHOLD,
    cache_dir: str | Path | None = None,
    on_progress: Callable[[int, int, str], object] | None = None,
) -> tuple[Recording, ...]:
    """Recordings after `remove_silence`, made once and kept in the cache of decoded audio.

    Parameters
    ----------
    recordings : of `features.cache.decode_tracks`.
    by, frame_length, top_db, threshold : as for `remove_silence`.
    cache_dir : the cache to write to; None for the one that holds the recordings.
    on_progress : called after each recording as (done, total, track_id).

    Returns
    -------
    tuple of Recording
        In their order, shorter, for `features.clips.cut_clips`. Track and digest are still those
        of the source, which is what tells leaks; the path is another for other options.

    Raises
    ------
    ValueError
        A recording of which nothing is left, named; options as for `remove_silence`.
    OSError
        The cache cannot be written.
    """
    trimmed = []
    for done, recording in enumerate(recordings, 1):
        how = f"{frame_length}-{float(top_db)}" if by == "frames" else f"{float(threshold)}"
        folder = Path(cache_dir) / _FORMAT if cache_dir else recording.path.parent
        path = folder / f"{recording.path.stem}-{by}{_VERSION}-{how}.npy"
        num_samples = whole_entry(path, recording.channels)
        if num_samples is None:
            sound = remove_silence(
                recording.read(0, recording.num_samples),
                by=by,
                frame_length=frame_length,
                top_db=top_db,
                threshold=threshold,
            )
            if not (num_samples := len(sound)):
                raise ValueError(
                    f"{recording.track.path}: nothing is left of its "
                    f"{recording.num_samples / recording.sample_rate:.2f} s without silence "
                    f"(by={by!r}): it is all digital silence; leave it out"
                )
            with writing_entry(path, recording.channels) as entry:
                entry.write(sound)
        trimmed.append(replace(recording, path=path, num_samples=num_samples))
        if on_progress is not None:
            on_progress(done, len(recordings), recording.track.track_id)
    return tuple(trimmed)


def _loud_frames(
    audio: Real[np.ndarray, "l c"], frame_length: int, top_db: float
) -> Bool[np.ndarray, " l"]:
    starts = np.arange(0, len(audio), frame_length)
    lengths = np.diff(starts, append=len(audio))
    energy = (audio.astype(np.float32) ** 2).mean(axis=1, dtype=np.float64)
    power = np.add.reduceat(energy, starts) / lengths
    loud = power > max(0.0, power.max() * 10 ** (-top_db / 10))
    return np.repeat(loud, lengths)


def _large_samples(audio: Real[np.ndarray, "l c"], threshold: float) -> Bool[np.ndarray, " l"]:
    magnitude = np.abs(audio.astype(np.float32)).mean(axis=1)
    return magnitude > threshold * magnitude.mean(dtype=np.float64)
