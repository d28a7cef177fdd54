"""Training, validation and test sides that share no track, and where asked no artist."""

from __future__ import annotations

import math
import warnings
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np

from features.clips import Clips
from features.dataset import Track, gtzan_name

T = TypeVar("T")
SIDES = ("train", "valid", "test")


class LeakError(ValueError):
    """A track or a group on two sides of a split."""


class LeakWarning(UserWarning):
    """A split that shares tracks between its sides, by design."""


@dataclass(frozen=True)
class Split(Generic[T]):
    """Three sides, tuples of `Track` or `Clips`.

    Attributes
    ----------
    train, valid, test : the sides; ``valid`` is empty where its fraction was 0.
    by : what was kept whole: "track", "group", "gtzan-filtered", or "chunk" for nothing.
    """

    train: T
    valid: T
    test: T
    by: str

    @property
    def leaks(self) -> bool:
        """Whether chunks of one track lie on several sides, so that scores are too high."""
        return self.by == "chunk"


def split_tracks(
    tracks: Iterable[Track],
    *,
    fractions: Sequence[float] = (0.7, 0.2, 0.1),
    seed: int = 0,
    by: str = "track",
    lists: str | Path | None = None,
) -> Split[tuple[Track, ...]]:
    """Split tracks, each label by itself, so that no track is on two sides.

    The order of chance is a hash of the seed and the track's id: the same on every machine and
    for every order of ``tracks``.

    Parameters
    ----------
    tracks : with unique ``track_id``, as `scan_tracks` gives them.
    fractions : of train, valid and test; they add up to 1, and only valid may be 0.
    seed : any integer.
    by : "track"; "group", which also keeps each artist or speaker on one side; or
        "gtzan-filtered", the fault-filtered split of GTZAN, which takes its sides from ``lists``
        (and leaves out tracks in none of them), not from ``fractions`` and ``seed``.
    lists : folder of ``train_filtered.txt``, ``valid_filtered.txt``, ``test_filtered.txt`` with
        lines such as ``blues/blues.00029.wav``.

    Returns
    -------
    Split of tuples of Track, each sorted by label and id, with every label on every side.

    Raises
    ------
    ValueError
        Fractions that are none, an unknown ``by``, a label with too few tracks or groups.
    LeakError
        A track (or with by="group" a group) on two sides, e.g. by faulty lists.
    """
    tracks = sorted(tracks, key=lambda t: (t.label, t.track_id))
    if not tracks:
        raise ValueError("no tracks to split")
    if len({track.track_id for track in tracks}) < len(tracks):
        raise ValueError("tracks with one track_id twice cannot be kept apart; make the ids unique")
    if by == "gtzan-filtered":
        sides = _listed(tracks, lists)
    elif by == "track":
        labels = [track.label for track in tracks]
        sides = _stratified(
            labels, [t.track_id for t in tracks], check_fractions(fractions), seed, "tracks"
        )
    elif by == "group":
        sides = _whole_groups(tracks, check_fractions(fractions), seed)
    else:
        raise ValueError(
            f"by={by!r}: use 'track', 'group' or 'gtzan-filtered' (split_clips splits by chunk)"
        )
    train, valid, test = (tuple(tracks[i] for i in side) for side in sides)
    split = Split(train, valid, test, by)
    check_disjoint(split, groups=by == "group")
    return split


def split_clips(
    clips: Clips, *, fractions: Sequence[float] = (0.7, 0.2, 0.1), seed: int = 0
) -> Split[Clips]:
    """The split by chunk of many published figures, which leaks: clips of one track on all sides.

    Only for repeating such figures: it warns with `LeakWarning`, and the result has
    ``by == "chunk"`` and ``leaks``. Parameters and errors as for `split_tracks`.
    """
    warnings.warn(
        "clips of one track are on several sides of a split by chunk, so that its scores are "
        "too high; split_tracks keeps tracks whole",
        LeakWarning,
        stacklevel=2,
    )
    names = [clips.label_names[label] for label in clips.labels]
    keys = [f"{name}@{start}" for name, start in zip(clips.track_ids, clips.starts, strict=True)]
    sides = _stratified(names, keys, check_fractions(fractions), seed, "clips")
    train, valid, test = (clips.select(np.array(side, dtype=np.int64)) for side in sides)
    return Split(train, valid, test, "chunk")


def check_disjoint(split: Split, groups: bool = False) -> None:
    """Raise LeakError, naming them, where tracks (and groups, if asked) are on two sides.

    Parameters
    ----------
    split : of tracks or of clips; clips know no groups.
    groups : also check artists or speakers.
    """
    sides = {name: getattr(split, name) for name in SIDES}
    kinds = {"tracks": {name: _track_ids(side) for name, side in sides.items()}}
    if groups:
        kinds["groups"] = {name: {track.group for track in side} for name, side in sides.items()}
    for kind, members in kinds.items():
        for one, other in (("train", "valid"), ("train", "test"), ("valid", "test")):
            if shared := sorted(members[one] & members[other]):
                shown = ", ".join(shared[:5]) + (", …" if len(shared) > 5 else "")
                raise LeakError(f"{len(shared)} {kind} are in both {one} and {other}: {shown}")


def _track_ids(side: tuple[Track, ...] | Clips) -> set[str]:
    if isinstance(side, Clips):
        return set(side.track_ids.tolist())
    return {track.track_id for track in side}


def check_fractions(fractions: Sequence[float]) -> tuple[float, ...]:
    values = tuple(float(value) for value in fractions)
    good = len(values) == 3 and all(0 <= value <= 1 for value in values)
    if not (
        good and math.isclose(sum(values), 1, abs_tol=1e-6) and values[0] > 0 and values[2] > 0
    ):
        raise ValueError(
            f"fractions={tuple(fractions)}: give three numbers for train, valid and test that "
            "add up to 1; train and test must be above 0"
        )
    return values


def _order(seed: int, key: Hashable) -> bytes:
    return blake2b(f"{seed}:{key}".encode(), digest_size=16).digest()


def _counts(total: int, fractions: Sequence[float]) -> list[int]:
    """``total`` by largest remainder, at least 1 wherever the fraction is not 0."""
    exact = [total * fraction for fraction in fractions]
    counts = [math.floor(value + 1e-9) for value in exact]
    by_remainder = sorted(range(3), key=lambda i: round(counts[i] - exact[i], 9))
    for i in by_remainder[: total - sum(counts)]:
        counts[i] += 1
    for i in range(3):
        if fractions[i] > 0 and counts[i] == 0:
            counts[counts.index(max(counts))] -= 1
            counts[i] = 1
    return counts


def _stratified(
    labels: list[str], keys: list[str], fractions: Sequence[float], seed: int, what: str
) -> list[list[int]]:
    """Indices of each side."""
    by_label: dict[str, list[int]] = defaultdict(list)
    for i in sorted(range(len(labels)), key=lambda i: (_order(seed, keys[i]), i)):
        by_label[labels[i]].append(i)
    needed = sum(fraction > 0 for fraction in fractions)
    sides: list[list[int]] = [[], [], []]
    for label, members in sorted(by_label.items()):
        if len(members) < needed:
            raise ValueError(
                f"class {label!r} has {len(members)} {what}, {needed} are needed for one on each "
                "side; add some, leave the class out, or set the fraction of valid to 0"
            )
        train, valid, _ = _counts(len(members), fractions)
        sides[0] += members[:train]
        sides[1] += members[train : train + valid]
        sides[2] += members[train + valid :]
    return [sorted(side) for side in sides]


def _whole_groups(
    tracks: list[Track], fractions: Sequence[float], seed: int, attempts: int = 32
) -> list[list[int]]:
    """Indices of each side, groups whole, as near to the fractions in each label as found.

    Groups in an order of chance go one by one to the side that lacks most of their labels, else to
    where they most reduce the squared relative distance from the wanted counts; of some such
    orders the best result is taken.
    """
    labels = sorted({track.label for track in tracks})
    members: dict[str, list[int]] = defaultdict(list)
    for i, track in enumerate(tracks):
        members[track.group].append(i)
    sizes = {
        group: np.bincount([labels.index(tracks[i].label) for i in indices], minlength=len(labels))
        for group, indices in members.items()
    }
    used = [side for side in range(3) if fractions[side] > 0]
    _require_groups(labels, sizes, len(used))
    total = np.sum(list(sizes.values()), axis=0)
    wanted = np.array([total * fractions[side] for side in used])

    def distance(counts: np.ndarray) -> np.ndarray:
        return ((counts / wanted - 1) ** 2).sum(axis=1)

    best: tuple[float, dict[str, int]] = (math.inf, {})
    for attempt in range(attempts):
        counts, place = np.zeros_like(wanted), {}
        for group in sorted(sizes, key=lambda g: _order(seed, f"{attempt}:{g}")):
            size = sizes[group]
            covered = ((counts == 0) & (size > 0)).sum(axis=1)
            moved = distance(counts + size) - distance(counts)
            place[group] = int(np.lexsort((moved, -covered))[0])
            counts[place[group]] += size
        score = float(distance(counts).sum())
        if (counts > 0).all() and score < best[0]:
            best = score, place
    if not best[1]:
        raise ValueError(
            f"no way found to put the {len(sizes)} groups on {len(used)} sides with every class on "
            "each; split by track (--split track), or use other fractions, or more groups a class"
        )
    sides: list[list[int]] = [[], [], []]
    for group, indices in members.items():
        sides[used[best[1][group]]] += indices
    return [sorted(side) for side in sides]


def _require_groups(labels: list[str], sizes: dict[str, np.ndarray], needed: int) -> None:
    for i, label in enumerate(labels):
        groups = sorted(group for group, size in sizes.items() if size[i])
        if len(groups) < needed:
            raise ValueError(
                f"class {label!r} has {len(groups)} group(s) ({', '.join(groups)}), {needed} are "
                "needed for one on each side; split by track (--split track), or add other artists "
                "or speakers"
            )


def _listed(tracks: list[Track], lists: str | Path | None) -> list[list[int]]:
    """Indices of each side as three lists have it."""
    if lists is None:
        raise ValueError(
            "by='gtzan-filtered' needs lists=: the folder of train_filtered.txt and so on"
        )
    index = {(track.label, gtzan_name(track.path.name)): i for i, track in enumerate(tracks)}
    sides = []
    for name in SIDES:
        path = Path(lists) / f"{name}_filtered.txt"
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such list; lists= is the folder of all three")
        named = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
        keys = ((gtzan_name(Path(n).parent.name), gtzan_name(n)) for n in named if n)
        sides.append(sorted({index[key] for key in keys if key in index}))
    for label in sorted({track.label for track in tracks}):
        for name, side in zip(SIDES, sides, strict=True):
            if not any(tracks[i].label == label for i in side):
                raise ValueError(
                    f"class {label!r} has none of its tracks in {Path(lists) / name}_filtered.txt, "
                    "one is needed; split by track (--split track) for a part of GTZAN or another "
                    "data set"
                )
    return sides
