"""Which side of a split each track, clip or group goes to, as indices."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from hashlib import blake2b
from pathlib import Path

import numpy as np

from features.dataset import Track, gtzan_name
from features.storage import read_text

SIDES = ("train", "valid", "test")


def _order(seed: int, key: Hashable) -> bytes:
    return blake2b(f"{seed}:{key}".encode(), digest_size=16).digest()


def ordered(tracks: Iterable[Track], seed: int, fold: int = 0, draw: int = 0) -> list[Track]:
    """Tracks in an order of chance, the same for every order that they come in.

    Each ``fold`` and ``draw`` of a seed has another: with that of the split itself, the first of
    the training side would be the same tracks in nearly every fold.
    """

    def place(track: Track) -> tuple[bytes, str]:
        key = f"{track.track_id} {fold} {draw}" if fold or draw else track.track_id
        return _order(seed, key), track.track_id

    return sorted(tracks, key=place)


def _counts(total: int, fractions: Sequence[float]) -> list[int]:
    """``total`` by largest remainder, at least 1 wherever the fraction is not 0."""
    exact, sides = [total * fraction for fraction in fractions], range(len(fractions))
    counts = [math.floor(value + 1e-9) for value in exact]
    by_remainder = sorted(sides, key=lambda i: round(counts[i] - exact[i], 9))
    for i in by_remainder[: total - sum(counts)]:
        counts[i] += 1
    for i in sides:
        if fractions[i] > 0 and counts[i] == 0:
            counts[counts.index(max(counts))] -= 1
            counts[i] = 1
    return counts


def stratified(
    labels: list[str], keys: list[str], fractions: Sequence[float], seed: int, what: str
) -> list[list[int]]:
    """Indices of each side, of which there are as many as ``fractions``."""
    by_label: dict[str, list[int]] = defaultdict(list)
    for i in sorted(range(len(labels)), key=lambda i: (_order(seed, keys[i]), i)):
        by_label[labels[i]].append(i)
    needed = sum(fraction > 0 for fraction in fractions)
    sides: list[list[int]] = [[] for _ in fractions]
    for label, members in sorted(by_label.items()):
        if len(members) < needed:
            raise ValueError(
                f"class {label!r} has {len(members)} {what}, {needed} are needed for one on each "
                "side; add some, leave the class out, or take fewer sides (a fraction of valid of "
                "0, fewer folds)"
            )
        ends = np.cumsum(_counts(len(members), fractions)).tolist()
        for side, start, end in zip(sides, [0, *ends], ends, strict=False):
            side += members[start:end]
    return [sorted(side) for side in sides]


def whole_groups(
    tracks: list[Track], fractions: Sequence[float], seed: int, attempts: int = 32
) -> list[list[int]]:
    """Indices of each side, groups whole, as near to the fractions in each label as found.

    There are as many sides as ``fractions``. Groups in an order of chance go one by one to the side
    that lacks most of their labels, else to where they most reduce the squared relative distance
    from the wanted counts; of some such orders the best result is taken.
    """
    labels = sorted({track.label for track in tracks})
    members: dict[str, list[int]] = defaultdict(list)
    for i, track in enumerate(tracks):
        members[track.group].append(i)
    sizes = {
        group: np.bincount([labels.index(tracks[i].label) for i in indices], minlength=len(labels))
        for group, indices in members.items()
    }
    used = [side for side, fraction in enumerate(fractions) if fraction > 0]
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
            "each; split by track (by='track'), or use other fractions, or more groups a class"
        )
    sides: list[list[int]] = [[] for _ in fractions]
    for group, indices in members.items():
        sides[used[best[1][group]]] += indices
    return [sorted(side) for side in sides]


def _require_groups(labels: list[str], sizes: dict[str, np.ndarray], needed: int) -> None:
    for i, label in enumerate(labels):
        groups = sorted(group for group, size in sizes.items() if size[i])
        if len(groups) < needed:
            raise ValueError(
                f"class {label!r} has {len(groups)} group(s) ({', '.join(groups)}), {needed} are "
                "needed for one on each side; split by track (by='track'), or add other artists "
                "or speakers"
            )


def listed(tracks: list[Track], lists: str | Path) -> list[list[int]]:
    """Indices of each side as three lists have it."""
    index = {(track.label, gtzan_name(track.path.name)): i for i, track in enumerate(tracks)}
    sides = []
    for name in SIDES:
        path = Path(lists) / f"{name}_filtered.txt"
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such list; lists= is the folder of all three")
        named = (line.strip() for line in read_text(path, "save it as UTF-8").splitlines())
        keys = ((gtzan_name(Path(n).parent.name), gtzan_name(n)) for n in named if n)
        sides.append(sorted({index[key] for key in keys if key in index}))
    for label in sorted({track.label for track in tracks}):
        for name, side in zip(SIDES, sides, strict=True):
            if not any(tracks[i].label == label for i in side):
                raise ValueError(
                    f"class {label!r} has none of its tracks in {Path(lists) / name}_filtered.txt, "
                    "one is needed; split by track (by='track') for a part of GTZAN or another "
                    "data set"
                )
    return sides
