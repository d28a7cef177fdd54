"""Clips of equal length cut from recordings, read from the cache as they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import EllipsisType

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import DTypeLike

from features.cache import Recording, decode_tracks
from features.dataset import Track
from features.display import cards
from features.in_memory import InMemory
from features.soundness import Quarantined

_SHOWN = 4  # clips in a notebook
Index = int | np.integer | slice | EllipsisType | np.ndarray | Sequence[int] | Sequence[bool]


class LazyAudio:
    """Audio (N, L, C) that is read when indexed, as float32 in [-1, 1].

    Indexing takes an integer, a slice, an array of integers or a mask, along the first axis
    only, and gives numpy; ``np.asarray(audio)`` reads it all. A clip is read and its file closed
    again, so that neither memory nor open files grow with the data set. What a clip has beyond the
    end of its source is silence.

    Parameters
    ----------
    sources : recordings, or arrays (n, C) already in memory.
    source, start : (N,) each: the source of each clip, and its first sample there.
    num_samples, channels : L and C.
    """

    dtype = np.dtype(np.float32)
    ndim = 3

    def __init__(
        self,
        sources: Sequence[Recording | np.ndarray],
        source: Int[np.ndarray, " n"],
        start: Int[np.ndarray, " n"],
        num_samples: int,
        channels: int,
    ) -> None:
        self.sources = tuple(sources)
        self.source = source
        self.start = start
        self.shape = (len(start), num_samples, channels)

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        return f"LazyAudio(shape={self.shape} of float32, {len(self.sources)} sources, unread)"

    def __getitem__(self, index: Index) -> Float[np.ndarray, "*shape"]:
        rows = np.arange(len(self))[index]
        return self._gathered(rows.ravel()).reshape(*rows.shape, *self.shape[1:])

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("lazily read audio has no array to share: it is always copied")
        return self[:].astype(dtype or np.float32, copy=False)

    def select(self, index: Index) -> LazyAudio:
        """The same clips or some of them, still unread."""
        rows = np.atleast_1d(np.arange(len(self))[index])
        return LazyAudio(self.sources, self.source[rows], self.start[rows], *self.shape[1:])

    def _gathered(self, rows: np.ndarray) -> np.ndarray:
        out = np.zeros((len(rows), *self.shape[1:]), np.float32)
        for place, row in enumerate(rows):
            source, start = self.sources[self.source[row]], int(self.start[row])
            stop = start + self.shape[1]
            if isinstance(source, Recording):
                part = source.read(start, min(stop, source.num_samples)) * np.float32(2**-15)
            else:
                part = source[start:stop]
            out[place, : len(part)] = part
        return out


@dataclass(frozen=True, eq=False)
class Clips:
    """Labelled clips of equal length.

    Attributes
    ----------
    audio : (N, L, C) float32 in [-1, 1]: `LazyAudio`, or a plain array; given as (N, L), it is
        of one channel.
    labels : (N,) int32, positions in ``label_names``.
    track_ids : (N,) str, the track of each clip.
    label_names : the classes, in the order of the labels.
    sample_rate : Hz.
    digests : (N,) str, the hash of each clip's source file.
    starts : (N,) int64, each clip's first sample in its track.
    skipped : track_ids of tracks too short for a clip.
    quarantined : tracks left out as faulty, with the reason.
    """

    audio: LazyAudio | np.ndarray
    labels: np.ndarray
    track_ids: np.ndarray
    label_names: tuple[str, ...]
    sample_rate: int
    digests: np.ndarray
    starts: np.ndarray
    skipped: tuple[str, ...] = ()
    quarantined: tuple[Quarantined, ...] = ()

    def __post_init__(self) -> None:
        if isinstance(self.audio, np.ndarray) and self.audio.ndim == 2:
            object.__setattr__(self, "audio", self.audio[..., None])
        if self.audio.ndim != 3 or self.audio.dtype != np.float32:
            found = f"{self.audio.dtype} of shape {self.audio.shape}"
            raise ValueError(f"clips have audio of {found}; give float32 (N, L, C)")
        for name in ("labels", "track_ids", "digests", "starts"):
            if getattr(self, name).shape != (len(self),):
                found = getattr(self, name).shape
                raise ValueError(f"{len(self)} clips have {name} of shape {found}; give one each")
        if len(self) and not 0 <= self.labels.min() <= self.labels.max() < len(self.label_names):
            raise ValueError(
                f"labels run from {self.labels.min()} to {self.labels.max()}; "
                f"the {len(self.label_names)} label names allow 0 to {len(self.label_names) - 1}"
            )

    def __len__(self) -> int:
        return self.audio.shape[0]

    def __repr__(self) -> str:
        channels = {1: "mono", 2: "stereo"}.get(self.channels, f"{self.channels} channels")
        seconds = f"{self.num_samples / self.sample_rate:.2f} s at {self.sample_rate} Hz"
        return f"Clips({len(self)} of {seconds}, {channels}, {len(self.label_names)} classes)"

    def _repr_html_(self) -> str:
        """The first clips of different classes, to see and hear in a notebook."""
        _, first = np.unique(self.labels, return_index=True)
        sounds = [
            (f"{self.label_names[self.labels[i]]}, {self.track_ids[i]}", np.asarray(self.audio[i]))
            for i in first[:_SHOWN]
        ]
        return cards(repr(self), sounds, self.sample_rate)

    @property
    def num_samples(self) -> int:
        """Length of a clip."""
        return self.audio.shape[1]

    @property
    def channels(self) -> int:
        """Channels of a clip."""
        return self.audio.shape[2]

    def select(self, index: Index) -> Clips:
        """Some of the clips, by a mask, a slice or integers; lazy audio stays unread."""
        rows = np.atleast_1d(np.arange(len(self))[index])
        audio = self.audio.select(rows) if isinstance(self.audio, LazyAudio) else self.audio[rows]
        return Clips(
            audio,
            self.labels[rows],
            self.track_ids[rows],
            self.label_names,
            self.sample_rate,
            self.digests[rows],
            self.starts[rows],
            self.skipped,
            self.quarantined,
        )


def load_clips(
    tracks: Iterable[Track],
    *,
    sample_rate: int,
    num_samples: int,
    hop: int | None = None,
    channels: int = 1,
    cache_dir: str | Path | None = None,
    on_short: str = "raise",
    on_bad: str = "raise",
    label_names: Sequence[str] | None = None,
    workers: int | None = None,
    on_progress: Callable[[int, int, str], object] | None = None,
) -> Clips:
    """Decode tracks (once, see `decode_tracks`) and cut them into clips.

    Parameters
    ----------
    tracks : of one side of a split, say.
    sample_rate : Hz.
    num_samples : length of a clip, samples at ``sample_rate``.
    hop : samples from one clip's start to the next; None puts them end to end. What is left at
        the end of a track, shorter than a clip, is not used.
    channels : 1 or 2.
    cache_dir, workers, on_progress : as in `decode_tracks`.
    on_short : "raise", "skip" to leave out tracks shorter than a clip, listed in ``skipped``, or
        "pad" to fill them up with zeros.
    on_bad : "raise", or "quarantine" to leave out faulty tracks, listed in ``quarantined``.
    label_names : order of the classes; None sorts those of ``tracks``. Give all sides of a split
        the same.

    Raises
    ------
    ValueError
        A faulty or too short track, a label not in ``label_names``, settings out of range.
    OSError
        As `decode_tracks`.
    """
    if on_bad not in ("raise", "quarantine"):
        raise ValueError(f"on_bad={on_bad!r}: use 'raise' or 'quarantine'")
    tracks = list(tracks)
    decoded = decode_tracks(
        tracks,
        sample_rate=sample_rate,
        channels=channels,
        cache_dir=cache_dir,
        workers=workers,
        on_progress=on_progress,
    )
    if decoded.quarantined and on_bad == "raise":
        bad = [f"{entry.track.path}: {entry.reason}" for entry in decoded.quarantined]
        more = f"\n  and {len(bad) - 5} more" if len(bad) > 5 else ""
        raise ValueError(
            f"{len(bad)} of {len(tracks)} tracks cannot be used; replace them, or leave them out "
            "with on_bad='quarantine':\n  " + "\n  ".join(bad[:5]) + more
        )
    return cut_clips(
        decoded.recordings,
        num_samples=num_samples,
        hop=hop,
        on_short=on_short,
        label_names=label_names or sorted({track.label for track in tracks}),
        quarantined=decoded.quarantined,
    )


def cut_clips(
    recordings: Sequence[Recording | InMemory],
    *,
    num_samples: int,
    hop: int | None = None,
    on_short: str = "raise",
    label_names: Sequence[str] | None = None,
    quarantined: tuple[Quarantined, ...] = (),
) -> Clips:
    """Cut tracks, decoded or in memory, into clips; parameters and errors as for `load_clips`.

    ``quarantined`` is passed on to the result.
    """
    hop = num_samples if hop is None else hop
    if num_samples < 1 or hop < 1:
        raise ValueError(f"{num_samples=}, {hop=}: give samples, 1 or more")
    if on_short not in ("raise", "skip", "pad"):
        raise ValueError(f"on_short={on_short!r}: use 'raise', 'skip' or 'pad'")
    least = 1 if on_short == "pad" else num_samples
    short = [recording for recording in recordings if recording.num_samples < least]
    kept = [recording for recording in recordings if recording.num_samples >= least]
    if short and (on_short == "raise" or not kept):
        raise ValueError(_too_short(short, num_samples, option=on_short == "raise"))
    if not kept:
        raise ValueError("no recordings to cut into clips")
    formats = {(recording.sample_rate, recording.channels) for recording in kept}
    if len(formats) > 1:
        raise ValueError(
            f"recordings differ in (sample rate, channels): {sorted(formats)}; use one"
        )
    names = tuple(label_names or sorted({recording.track.label for recording in recordings}))
    if unknown := {recording.track.label for recording in kept} - set(names):
        raise ValueError(f"labels {sorted(unknown)} are not in label_names {names}")
    counts = [max(0, recording.num_samples - num_samples) // hop + 1 for recording in kept]
    source = np.repeat(np.arange(len(kept)), counts)
    starts = np.concatenate([np.arange(count) * hop for count in counts])
    sources = [r.samples if isinstance(r, InMemory) else r for r in kept]
    return Clips(
        audio=LazyAudio(sources, source, starts, num_samples, kept[0].channels),
        labels=np.array([names.index(r.track.label) for r in kept], np.int32)[source],
        track_ids=np.array([r.track.track_id for r in kept])[source],
        label_names=names,
        sample_rate=kept[0].sample_rate,
        digests=np.array([r.digest for r in kept])[source],
        starts=starts,
        skipped=tuple(recording.track.track_id for recording in short),
        quarantined=quarantined,
    )


def concatenate_clips(*clips: Clips) -> Clips:
    """Clips one after the other, lazily; real and synthetic ones may be mixed.

    Raises
    ------
    ValueError
        They differ in label names, sample rate, length or channels; or none are given.
    """
    if not clips:
        raise ValueError("no clips to concatenate")
    for name in ("label_names", "sample_rate", "num_samples", "channels"):
        values = [getattr(part, name) for part in clips]
        if any(value != values[0] for value in values):
            raise ValueError(f"clips differ in {name}: {values}; make them with one setting")
    audio = [_lazy(part.audio) for part in clips]
    offsets = np.cumsum([0, *(len(part.sources) for part in audio[:-1])])
    joined = LazyAudio(
        [source for part in audio for source in part.sources],
        np.concatenate([part.source + n for part, n in zip(audio, offsets, strict=True)]),
        np.concatenate([part.start for part in audio]),
        *audio[0].shape[1:],
    )
    arrays = {
        name: np.concatenate([getattr(part, name) for part in clips])
        for name in ("labels", "track_ids", "digests", "starts")
    }
    return Clips(
        audio=joined,
        label_names=clips[0].label_names,
        sample_rate=clips[0].sample_rate,
        skipped=tuple(dict.fromkeys(name for part in clips for name in part.skipped)),
        quarantined=tuple(dict.fromkeys(bad for part in clips for bad in part.quarantined)),
        **arrays,
    )


def _lazy(audio: LazyAudio | np.ndarray) -> LazyAudio:
    if isinstance(audio, LazyAudio):
        return audio
    count, num_samples, channels = audio.shape
    starts = np.arange(count) * num_samples
    return LazyAudio([audio.reshape(-1, channels)], 0 * starts, starts, num_samples, channels)


def _too_short(short: list[Recording | InMemory], num_samples: int, option: bool) -> str:
    first = short[0]
    rate = first.sample_rate
    others = f" (and {len(short) - 1} more are)" if len(short) > 1 else ""
    advice = (
        "use on_short='skip' to leave it out, 'pad' to fill it up with zeros, or shorter clips"
        if option
        else "use shorter clips"
    )
    return (
        f"{first.track.path}: {first.num_samples / rate:.2f} s is too short for a clip{others}; "
        f"{num_samples / rate:.2f} s are needed ({num_samples} samples at {rate} Hz); {advice}"
    )
