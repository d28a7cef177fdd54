"""The data of a run: tracks found, decoded and put on their sides of the split."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import soundfile as sf

from experiments.config import DataConfig
from experiments.recipes import Recipe, recorded_search
from experiments.report.terminal import Progress
from features import (
    Clips,
    LeakError,
    Quarantined,
    Recording,
    Split,
    cut_clips,
    decode_tracks,
    scan_tracks,
    split_tracks,
)
from features.cache import default_cache_dir
from features.splits import SIDES
from features.synthetic import render_dataset

Sides = dict[str, tuple[Recording, ...]]


@dataclass(frozen=True)
class Source:
    """Decoded recordings on the sides of a split.

    Attributes
    ----------
    name : of the data set.
    labels : the classes, sorted.
    sides : recordings of "train", "valid" and "test".
    split : the tracks of each side.
    quarantined : faulty tracks left out, with the reason.
    skipped : ids of tracks too short for a clip, left out on request.
    """

    name: str
    labels: tuple[str, ...]
    sides: Sides
    split: Split
    quarantined: tuple[Quarantined, ...]
    skipped: tuple[str, ...]

    @property
    def digests(self) -> dict[str, str]:
        """Content hash of each track, by track id."""
        return {r.track.track_id: r.digest for side in self.sides.values() for r in side}

    @property
    def digest(self) -> str:
        """A hash of all tracks' ids and contents."""
        return _digest(self.digests)

    def training(self, label: str) -> tuple[Recording, ...]:
        """The training recordings of one class."""
        return tuple(r for r in self.sides["train"] if r.track.label == label)

    def clips(self, side: str, num_samples: int) -> Clips:
        """All clips of a side, end to end."""
        return cut_clips(self.sides[side], num_samples=num_samples, label_names=self.labels)


@dataclass(frozen=True)
class Music:
    """Decoded recordings of a data set, not yet split.

    Attributes
    ----------
    name : of the data set.
    labels : the classes, sorted.
    recordings : those that can be used.
    quarantined : faulty tracks left out, with the reason.
    skipped : ids of tracks too short for a clip, left out on request.
    """

    name: str
    labels: tuple[str, ...]
    recordings: tuple[Recording, ...]
    quarantined: tuple[Quarantined, ...]
    skipped: tuple[str, ...]

    @property
    def digest(self) -> str:
        """A hash of all tracks' ids and contents."""
        return _digest({r.track.track_id: r.digest for r in self.recordings})

    def only(self, track_ids: Collection[str]) -> Music:
        """These tracks; the others are skipped. A ValueError where a class has none of them."""
        kept = tuple(r for r in self.recordings if r.track.track_id in track_ids)
        if lost := set(self.labels) - {r.track.label for r in kept}:
            raise ValueError(
                f"every track of {', '.join(sorted(lost))} is too short: choose a smaller "
                "--num-samples, or move the folder away"
            )
        ids = (r.track.track_id for r in self.recordings)
        skipped = tuple(track_id for track_id in ids if track_id not in track_ids)
        return replace(self, recordings=kept, skipped=self.skipped + skipped)

    def say_groups(self, progress: Progress) -> None:
        """Say it where nothing is known to keep together but each track."""
        if all(r.track.group == r.track.track_id for r in self.recordings):
            progress.say(
                "--split group: no artist or speaker is known, so that each track is a group of "
                "its own, as with --split track; --artist-index names GTZAN's artists"
            )

    def split(self, config: DataConfig) -> Source:
        """The recordings on the sides that ``config`` puts them on."""
        split = split_tracks(
            [recording.track for recording in self.recordings],
            fractions=config.fractions,
            seed=config.split_seed,
            by=config.split,
            lists=config.split_lists,
        )
        by_track = {recording.track: recording for recording in self.recordings}
        sides = {side: tuple(by_track[track] for track in getattr(split, side)) for side in SIDES}
        labels = tuple(sorted({track.label for track in split.train}))
        return Source(self.name, labels, sides, split, self.quarantined, self.skipped)


def open_source(
    config: DataConfig,
    *,
    sample_rate: int,
    num_samples: int,
    channels: int = 1,
    progress: Progress | None = None,
    cache_dir: Path | None = None,
) -> Source:
    """Find, decode (once) and split the tracks of ``config``; as `read_music` and its split."""
    music = read_music(
        config,
        sample_rate=sample_rate,
        num_samples=num_samples,
        channels=channels,
        progress=progress,
        cache_dir=cache_dir,
    )
    if config.split == "group" and progress is not None:
        music.say_groups(progress)
    return music.split(config)


def read_music(
    config: DataConfig,
    *,
    sample_rate: int,
    num_samples: int,
    channels: int = 1,
    progress: Progress | None = None,
    cache_dir: Path | None = None,
) -> Music:
    """Find and decode (once) the tracks of ``config``.

    Parameters
    ----------
    sample_rate : Hz that all recordings get.
    num_samples : length of a clip; no kept track is shorter.

    Raises
    ------
    ValueError
        For data that can't be used, as `features` says it; a track shorter than a clip,
        unless ``config.skip_short``; a class of which nothing is left.
    """
    progress = progress or Progress(quiet=True)
    cache = cache_dir or default_cache_dir()
    if config.root is None:
        root = render_dataset(
            cache / "embedded",
            on_progress=lambda done, total, name: progress.update(
                "rendering the embedded genres", done, total, name, "track"
            ),
        )
    else:
        root = Path(config.root)
    tracks = scan_tracks(root, artist_index=config.artist_index)
    decoded = decode_tracks(
        tracks,
        sample_rate=sample_rate,
        channels=channels,
        cache_dir=cache,
        on_progress=lambda done, total, name: progress.update(
            "reading tracks", done, total, name, "track"
        ),
    )
    for entry in decoded.quarantined:
        progress.say(f"left out: {entry.track.path.name}: {entry.reason}")
    if config.root is not None and (told := _resampled(decoded.recordings, sample_rate)):
        progress.say(told)
    kept: list[Recording] = []
    short: list[Recording] = []
    for recording in decoded.recordings:
        (kept if recording.num_samples >= num_samples else short).append(recording)
    if short and not config.skip_short:
        advice = (
            "leave them out with --skip-short, choose a smaller --num-samples, or, where only GANs "
            "are trained, fill them up with --gan-pad-end"
        )
        raise ValueError(too_short(short, num_samples, sample_rate, advice))
    if short:
        progress.say(f"left out: {len(short)} tracks shorter than a clip")
    if lost := {track.label for track in tracks} - {r.track.label for r in kept}:
        raise ValueError(
            f"no track of {', '.join(sorted(lost))} can be used (see the reasons above, or "
            "`wavegan doctor`): repair its files, or move the folder away"
        )
    return Music(
        name=root.resolve().name if config.root else "embedded",
        labels=tuple(sorted({recording.track.label for recording in kept})),
        recordings=tuple(kept),
        quarantined=decoded.quarantined,
        skipped=tuple(recording.track.track_id for recording in short),
    )


def refuse_searched(recipe: Recipe, source: Source, split_seed: int) -> None:
    """Make sure that no test track was seen by the search that found the recipe's sizes.

    Raises
    ------
    LeakError
        Naming the tracks.
    """
    if recipe.search is None:
        return
    seen = set(recorded_search(recipe.search)["best"]["tracks"].values())
    if both := [r.track.track_id for r in source.sides["test"] if r.digest in seen]:
        raise LeakError(
            f"the search that found the sizes of {recipe.name} saw {len(both)} test tracks of "
            f"split seed {split_seed} ({', '.join(both[:5])}): test on splits that it left out, or "
            "search again with `wavegan search` on this data and give its file with --sizes"
        )


def _resampled(recordings: Sequence[Recording], sample_rate: int) -> str:
    """What is to be said of files at other rates than ``sample_rate``; empty without any."""
    rates = Counter(sf.info(recording.track.path).samplerate for recording in recordings)
    others = {rate: count for rate, count in sorted(rates.items()) if rate != sample_rate}
    told = ", ".join(f"{count} of {rate} Hz" for rate, count in others.items())
    return f"resampled to {sample_rate} Hz: {told}" if told else ""


def _digest(digests: Mapping[str, str]) -> str:
    text = "".join(f"{name}{digest}" for name, digest in sorted(digests.items()))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def too_short(short: Sequence[Recording], num_samples: int, sample_rate: int, advice: str) -> str:
    """What is wrong with recordings that hold no clip, and what can be done."""
    shown = ", ".join(
        f"{r.track.path.name} ({r.num_samples / sample_rate:.2f} s)" for r in short[:5]
    )
    return (
        f"{len(short)} tracks are shorter than a clip of {num_samples / sample_rate:.2f} s "
        f"({num_samples} samples at {sample_rate} Hz): {shown}{' …' if len(short) > 5 else ''}; "
        f"{advice}"
    )
