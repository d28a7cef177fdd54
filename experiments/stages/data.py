"""From a folder to tracks on their sides: they are found, decoded and split.

One data set, one way: `open_dataset` reads it, `experiments.stages.clips` cuts a recipe's clips of
it, and `Dataset.sides` says which of them train, validate and test.
"""

from __future__ import annotations

import hashlib
import re
import warnings
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from experiments.config import DataConfig
from experiments.options import near
from experiments.report.terminal import Progress
from features import (
    Clips,
    LeakError,
    LeakWarning,
    Quarantined,
    Recording,
    Split,
    Track,
    check_disjoint,
    decode_tracks,
    scan_tracks,
    split_clips,
    split_folds,
    split_tracks,
)
from features.audio import described
from features.cache import default_cache_dir, writing_to_cache
from features.dataset import gtzan_name, passed_over
from features.formats import LIBSNDFILE
from features.in_memory import InMemory
from features.soundness import QUIET
from features.splits import SIDES, SPLITS, ordered
from features.synthetic import render_dataset

Rows = Mapping[str, np.ndarray]  # of each side, the rows of its clips
INDEX = "GTZANindex.txt"  # Sturm's list of GTZAN's artists, as it is published
_GTZAN = r"(blues|classical|country|disco|hip-?hop|jazz|metal|pop|reggae|rock)\.\d{5}"
HELD = "held"  # the side of tracks that may train, but are held back
TOO_SHORT = (  # what to do about tracks shorter than a clip
    "choose a smaller --num-samples, fill them up with zeros (--pad-short), or leave them out with "
    "--skip-short"
)


@dataclass(frozen=True)
class Dataset:
    """Decoded recordings of a data set.

    Attributes
    ----------
    name : of the data set.
    labels : the classes, sorted.
    recordings : those that can be used.
    quarantined : faulty tracks left out, with the reason.
    skipped : ids of tracks too short for a clip, left out on request.
    quiet : ids of tracks of which rounding is a part of the sound, used all the same.
    """

    name: str
    labels: tuple[str, ...]
    recordings: tuple[Recording, ...]
    quarantined: tuple[Quarantined, ...]
    skipped: tuple[str, ...]
    quiet: tuple[str, ...] = ()
    _splits: dict[str, Split[tuple[Track, ...]]] = field(
        init=False, default_factory=dict, compare=False, repr=False
    )

    @property
    def digests(self) -> dict[str, str]:
        """Content hash of each track, by track id."""
        return {r.track.track_id: r.digest for r in self.recordings}

    @property
    def digest(self) -> str:
        """A hash of all tracks' ids and contents."""
        text = "".join(f"{name}{digest}" for name, digest in sorted(self.digests.items()))
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def about(self) -> dict[str, object]:
        """What results say of it, but for how many tracks were used."""
        faulty = [{"track": str(q.track.track_id), "reason": q.reason} for q in self.quarantined]
        decoders = defaultdict[str, list[str]](list)
        for recording in self.recordings:
            decoders[recording.decoder].append(recording.track.track_id)
        decoders.pop(LIBSNDFILE, None)
        return {
            "name": self.name,
            "labels": list(self.labels),
            "hash": self.digest,
            "quarantined": faulty,
            "skipped": list(self.skipped),
            "quiet": [name for name in self.digests if name in self.quiet],
            "decoders": dict(decoders),  # of what libsndfile, tried first, could not read
        }

    def only(self, track_ids: Collection[str], progress: Progress | None = None) -> Dataset:
        """These tracks; the others are skipped, which ``progress`` says.

        A ValueError where a class has none of them.
        """
        kept = tuple(r for r in self.recordings if r.track.track_id in track_ids)
        if lost := set(self.labels) - {r.track.label for r in kept}:
            raise ValueError(
                f"every track of {', '.join(sorted(lost))} is too short: choose a smaller "
                "--num-samples, or move the folder away"
            )
        skipped = [name for name in self.digests if name not in track_ids]
        if progress and skipped:
            progress.say(f"left out: {len(skipped)} tracks shorter than a clip")
        return replace(self, recordings=kept, skipped=(*self.skipped, *skipped))

    def split(self, config: DataConfig) -> Split[tuple[Track, ...]]:
        """The tracks on the sides that ``config`` puts them on, whole; not for chunks.

        Training tracks that it holds back are on none. Of few-shot data the validation side has
        no more tracks of a class, either.
        """
        split = self._whole_split(config)
        train = _kept(split.train, config)
        few = Counter(track.label for track in train)
        if config.shots and (least := min(few.values())) < config.shots:
            label = min(few, key=few.__getitem__)
            raise ValueError(
                f"--shots {config.shots}: {label} has {least} training tracks: give at most so "
                "many, or other --fractions"
            )
        valid = _kept(split.valid, config) if config.shots else split.valid
        return replace(split, train=train, valid=valid)

    def held_back(self, config: DataConfig) -> tuple[Track, ...]:
        """The training tracks that ``config`` keeps out of the training side."""
        whole = self._whole_split(config).train
        kept = {*_kept(whole, config)}
        return tuple(track for track in whole if track not in kept)

    def _whole_split(self, config: DataConfig) -> Split[tuple[Track, ...]]:
        """The sides before any training track is held back; drawn once."""
        whole = replace(config, shots=None, train_share=1.0, draw=0)
        if (key := repr(whole)) not in self._splits:
            self._splits[key] = self._drawn(whole)
        return self._splits[key]

    def _drawn(self, config: DataConfig) -> Split[tuple[Track, ...]]:
        tracks = [recording.track for recording in self.recordings]
        drawn: Any = {"fractions": config.fractions, "seed": config.split_seed, "by": config.split}
        if config.folds > 1:
            split = split_folds(tracks, folds=config.folds, **drawn)[config.fold]
        else:
            split = split_tracks(tracks, lists=config.split_lists, **drawn)
        identities = {r.track.track_id: r.identity for r in self.recordings}
        check_disjoint(split, groups=SPLITS[config.split].groups, identities=identities)
        if (shared := shared_groups(split)) and not config.allow_shared_groups:
            shown = ", ".join(shared[:5]) + (", …" if len(shared) > 5 else "")
            raise LeakError(
                f"--split {config.split} has {len(shared)} artists or speakers on two sides "
                f"({shown}), so that a classifier may know them instead of the classes: give "
                "--split group, or --allow-shared-groups, and every page says so"
            )
        return split

    def of(self, tracks: Sequence[Track]) -> tuple[Recording, ...]:
        """The recordings of ``tracks``, in their order."""
        by_track = {recording.track: recording for recording in self.recordings}
        return tuple(by_track[track] for track in tracks)

    def sides(self, clips: Clips, config: DataConfig) -> Rows:
        """The clips of each side; no track is on two of them but for the split of chunks.

        Beside `SIDES` there is `HELD`: training tracks that ``config`` holds back.
        """
        if SPLITS[config.split].of == "clips":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", LeakWarning)  # the results say so
                parts = split_clips(clips, fractions=config.fractions, seed=config.split_seed)
            row = {key: i for i, key in enumerate(_places(clips))}
            found = {side: [row[key] for key in _places(getattr(parts, side))] for side in SIDES}
            return {side: np.array(rows, int) for side, rows in found.items()}
        split, held = self.split(config), self.held_back(config)
        places = defaultdict[str, list[int]](list)
        for i, name in enumerate(clips.track_ids.tolist()):
            places[name].append(i)
        tracks = {side: getattr(split, side) for side in SIDES} | ({HELD: held} if held else {})
        return {
            side: np.array([i for track in of for i in places[track.track_id]], int)
            for side, of in tracks.items()
        }


def shared_groups(split: Split[tuple[Track, ...]]) -> list[str]:
    """Known artists or speakers with tracks on more than one side of a split, sorted."""
    sides = [{t.group for t in getattr(split, s) if t.group != t.track_id} for s in SIDES]
    count = Counter(group for side in sides for group in side)
    return sorted(group for group, often in count.items() if often > 1)


def _kept(tracks: Sequence[Track], config: DataConfig) -> tuple[Track, ...]:
    """So many tracks of each class as ``config`` keeps, of fewer shots some of those of more."""
    by_label = defaultdict[str, list[Track]](list)
    for track in ordered(tracks, config.split_seed, config.fold, config.draw):
        by_label[track.label].append(track)
    kept = set[Track]()
    for label, found in by_label.items():
        count = config.shots or round(config.train_share * len(found))
        if not count:
            raise ValueError(
                f"--train-share {config.train_share:g} leaves {label} no training track of "
                f"{len(found)}: give {0.5 / len(found):.2g} or more"
            )
        kept |= {*found[:count]}
    return tuple(track for track in tracks if track in kept)


def _places(clips: Clips) -> list[tuple[str, int]]:
    """What tells each clip from others."""
    return list(zip(clips.track_ids.tolist(), clips.starts.tolist(), strict=True))


def open_dataset(
    config: DataConfig,
    *,
    sample_rate: int,
    num_samples: int = 1,
    channels: int = 1,
    progress: Progress | None = None,
) -> Dataset:
    """Find and decode (once) the tracks of ``config``.

    Parameters
    ----------
    sample_rate : Hz that all recordings get.
    num_samples : the least length of a track that is kept.

    Raises
    ------
    ValueError
        For data that can't be used, as `features` says it; a track that is too short, unless
        ``config.skip_short`` or ``pad_short``; a class of which nothing is left.
    """
    progress = progress or Progress(quiet=True)
    root = _root(config, progress)
    tracks = scan_tracks(root, artist_index=_artist_index(config, root, progress))
    if config.classes is not None:
        tracks = _of_classes(tracks, config.classes, root)
    decoded = decode_tracks(
        tracks,
        sample_rate=sample_rate,
        channels=channels,
        on_progress=progress.of("reading tracks", "track"),
    )
    for entry in decoded.quarantined:
        progress.say(f"left out: {entry.track.path.name}: {entry.reason}")
    if left := [one for one in passed_over(root) if one.audio]:
        first = f"{left[0].path}: {left[0].reason}"
        progress.say(f"passed over: {len(left)} files ({first}); `wavegan doctor` lists them all")
    if config.root is not None:
        _say_rates(decoded.recordings, sample_rate, progress)
    if SPLITS[config.split].groups:
        say_groups(decoded.recordings, progress)
    every = decoded.recordings
    if lost := {track.label for track in tracks} - {r.track.label for r in every}:
        raise ValueError(
            f"no track of {', '.join(sorted(lost))} can be used (see the reasons above, or "
            "`wavegan doctor`): repair its files, or move the folder away"
        )
    dataset = Dataset(
        name=root.resolve().name if config.root else "embedded",
        labels=tuple(sorted({recording.track.label for recording in every})),
        recordings=every,
        quarantined=decoded.quarantined,
        skipped=(),
        quiet=_quiet(every, progress),
    )
    least = 1 if config.pad_short else num_samples
    short = [r for r in every if r.num_samples < least]
    if short and not config.skip_short:
        raise too_short(short, least)
    return dataset.only({r.track.track_id for r in every if r.num_samples >= least}, progress)


def _quiet(recordings: Sequence[Recording], progress: Progress) -> tuple[str, ...]:
    """The ids of tracks that are too quiet, which is said."""
    quiet = [recording.track for recording in recordings if recording.quiet]
    if quiet:
        shown = ", ".join(track.path.name for track in quiet[:5]) + (" …" if len(quiet) > 5 else "")
        progress.say(
            f"quiet: {len(quiet)} tracks ({shown}): {QUIET}, and level alone may tell them; take "
            "louder copies, or leave them out"
        )
    return tuple(track.track_id for track in quiet)


def _root(config: DataConfig, progress: Progress) -> Path:
    """The folder of the data; that of the embedded genres is rendered where it is not there."""
    if config.root is not None:
        return Path(config.root)
    cache = default_cache_dir()
    shown = progress.of("rendering the embedded genres", "track")
    with writing_to_cache(cache):
        return render_dataset(cache / "embedded", on_progress=shown)


def _of_classes(tracks: Sequence[Track], names: Sequence[str], root: Path) -> tuple[Track, ...]:
    """The tracks of some classes; a ValueError where there is none of one."""
    wanted, there = {gtzan_name(name) for name in names}, {track.label for track in tracks}
    if unknown := sorted(wanted - there):
        raise ValueError(
            f"--classes: {root} has no {', '.join(unknown)}{near(unknown[0], there)}; its classes "
            f"are {', '.join(sorted(there))}"
        )
    return tuple(track for track in tracks if track.label in wanted)


def _artist_index(config: DataConfig, root: Path, progress: Progress) -> str | Path | None:
    """The file that names the artists; of GTZAN's tracks one that is near, where none is given."""
    if config.artist_index is not None or config.root is None:
        return config.artist_index
    if not all(re.fullmatch(_GTZAN, track.path.stem) for track in scan_tracks(root)):
        return None
    beside = root.resolve().parent
    places = [root, beside, Path(config.split_lists or root), *sorted(beside.glob("*/"))]
    found = next((p / INDEX for p in places if (p / INDEX).is_file()), None)
    if found is None:
        progress.say(
            f"these are GTZAN's tracks, whose artists no {INDEX} near them names: without "
            "--artist-index an artist may be on two sides, and nothing tells"
        )
    else:
        progress.say(f"artists of GTZAN's tracks: {found}")
    return found


def _say_rates(recordings: Sequence[Recording], sample_rate: int, progress: Progress) -> None:
    """Say which files have other rates than ``sample_rate``."""
    found = (described(recording.track.path) for recording in recordings)
    rates = Counter(source.sample_rate for source in found if source)
    del rates[sample_rate]
    if rates:
        told = ", ".join(f"{count} of {rate} Hz" for rate, count in sorted(rates.items()))
        progress.say(f"resampled to {sample_rate} Hz: {told}")


def say_groups(recordings: Sequence[Recording], progress: Progress) -> None:
    """Say it where nothing is known to keep together but each track."""
    if all(r.track.group == r.track.track_id for r in recordings):
        progress.say(
            "--split group: no artist or speaker is known, so that each track is a group of "
            "its own, as with --split track; --artist-index names GTZAN's artists"
        )


def too_short(
    short: Sequence[Recording | InMemory], num_samples: int, advice: str = TOO_SHORT
) -> ValueError:
    """What is wrong with recordings that hold no clip, and what can be done."""
    sample_rate = short[0].sample_rate
    names = [f"{r.track.path.name} ({r.num_samples / sample_rate:.2f} s)" for r in short]
    return ValueError(
        f"{len(short)} tracks are shorter than a clip of {num_samples / sample_rate:.2f} s "
        f"({num_samples} samples at {sample_rate} Hz): {', '.join(names[:5])}"
        f"{' …' if len(short) > 5 else ''}; {advice}"
    )
