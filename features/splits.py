"""Training, validation and test sides that share no track, and where asked no artist."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from features._sides import SIDES as SIDES
from features._sides import listed, stratified, whole_groups
from features._sides import ordered as ordered
from features.clips import Clips
from features.dataset import Track
from features.identity import Identity, twins
from features.registry import check_takes

T = TypeVar("T")
_Function = TypeVar("_Function", bound=Callable[..., Any])


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
    by : which of `SPLITS`.
    """

    train: T
    valid: T
    test: T
    by: str

    def __repr__(self) -> str:
        counts = ", ".join(f"{len(getattr(self, side))} {side}" for side in SIDES)
        return f"Split({counts}, by {self.by}{', leaks' if self.leaks else ''})"

    @property
    def leaks(self) -> bool:
        """Whether chunks of one track lie on several sides, so that scores are too high."""
        return self.by in SPLITS and SPLITS[self.by].leaks


@dataclass(frozen=True)
class SplitRule:
    """A way to split, an entry of `SPLITS`.

    Attributes
    ----------
    name : as `split_tracks` takes it for ``by``.
    about : what it keeps apart, in a few words.
    function : of tracks (tracks, fractions, seed, lists) to a list of them for each fraction,
        which are those of train, valid and test, or of each fold; of clips (clips, fractions,
        seed) to three lists of places.
    of : "tracks", or "clips" for `split_clips`.
    needs : "lists" where the sides come from a folder of lists, not from fractions and a seed.
    groups : whether each group of tracks must be on one side.
    leaks : whether clips of one track are on several sides, by design.
    """

    name: str
    about: str
    function: Callable[..., Any]
    of: str = "tracks"
    needs: tuple[str, ...] = ()
    groups: bool = False
    leaks: bool = False


SPLITS: dict[str, SplitRule] = {}


def register_split(
    name: str,
    about: str,
    *,
    of: str = "tracks",
    needs: tuple[str, ...] = (),
    groups: bool = False,
    leaks: bool = False,
) -> Callable[[_Function], _Function]:
    """Register a function as the split ``name``, for ``by=`` of `split_tracks`; a decorator.

    Parameters are those of `SplitRule`. What the function gives is checked for leaks.

    Raises
    ------
    ValueError
        The name is another function's, ``of`` or ``needs`` is none of those above.
    TypeError
        The function does not take what it is called with.

    Examples
    --------
    >>> @register_split("by-year", "the newest tracks are the test side", needs=("lists",))
    ... def by_year(tracks, fractions, seed, lists):
    ...     return tracks[:6], tracks[6:8], tracks[8:]
    >>> del SPLITS["by-year"]
    """
    if of not in ("tracks", "clips") or set(needs) - {"lists"}:
        raise ValueError(
            f"split {name!r}: of={of!r}, needs={needs}; use 'tracks' or 'clips', and () or "
            "('lists',)"
        )

    def register(function: _Function) -> _Function:
        given = (of, "fractions", "seed") + ("lists",) * (of == "tracks")
        check_takes(f"split {name!r}", function, *given, gives="sides")
        there = SPLITS[name].function if name in SPLITS else function
        where = [f"{f.__module__}.{f.__qualname__}" for f in (there, function)]
        if where[0] != where[1]:
            raise ValueError(f"there is a split {name!r} already, {where[0]}: take another name")
        SPLITS[name] = SplitRule(name, about, function, of, needs, groups, leaks)
        return function

    return register


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
    by : of `SPLITS`: "track"; "group", which also keeps each artist or speaker on one side;
        "gtzan-filtered", the fault-filtered split of GTZAN, which takes its sides from ``lists``
        (and leaves out tracks in none of them), not from ``fractions`` and ``seed``; or one of
        your own, see `register_split`.
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
    tracks, rule = _sorted(tracks), _rule(by)
    if "lists" in rule.needs and lists is None:
        raise ValueError(f"by={by!r} needs lists=: the folder of train_filtered.txt and so on")
    if "lists" not in rule.needs:
        fractions = check_fractions(fractions)
    train, valid, test = _sides(rule, tracks, fractions, seed, lists)
    split = Split(train, valid, test, by)
    try:
        check_disjoint(split, groups=rule.groups)
    except LeakError as error:
        raise LeakError(f"{error}, by the lists in {lists}" if lists else str(error)) from None
    return split


def split_folds(
    tracks: Iterable[Track],
    *,
    folds: int,
    fractions: Sequence[float] = (0.7, 0.2, 0.1),
    seed: int = 0,
    by: str = "track",
) -> list[Split[tuple[Track, ...]]]:
    """Splits of the same tracks, each of which is on the test side of one of them.

    With as many folds as artists or speakers and by="group", each of these is left out once.

    Parameters
    ----------
    folds : 2 or more, of each label as large as another's, to a track or group: what is left over
        is tested in the first ones, of every label.
    fractions : those of train and valid say how what is not tested is shared.
    tracks, seed, by : as for `split_tracks`; not a split whose sides come from lists.

    Raises
    ------
    ValueError
        As `split_tracks`; fewer tracks or groups of a label than folds, naming it.
    """
    tracks, rule = _sorted(tracks), _rule(by)
    train, valid, _ = check_fractions(fractions)
    if "lists" in rule.needs or folds < 2:
        raise ValueError(
            f"folds={folds}, by={by!r}: two folds or more, of a split whose sides are drawn"
        )
    rest = train / (train + valid), valid / (train + valid), 0.0
    found = []
    try:
        for test in _sides(rule, tracks, (1 / folds,) * folds, seed):
            tested = {*test}
            others = [track for track in tracks if track not in tested]
            heard, judged, _ = _sides(rule, others, rest, seed)
            found.append(Split(heard, judged, test, by))
            check_disjoint(found[-1], groups=rule.groups)
    except LeakError:
        raise
    except ValueError as error:
        raise ValueError(f"{folds} folds: {error}") from None
    return found


def _sorted(tracks: Iterable[Track]) -> list[Track]:
    """The tracks by label and id; a ValueError where there are none, or an id comes twice."""
    found = sorted(tracks, key=lambda t: (t.label, t.track_id))
    if not found:
        raise ValueError("no tracks to split")
    if len({track.track_id for track in found}) < len(found):
        raise ValueError("tracks with one track_id twice cannot be kept apart; make the ids unique")
    return found


def _rule(by: str) -> SplitRule:
    rule = SPLITS.get(by)
    if rule is None or rule.of != "tracks":
        known = [repr(name) for name, other in SPLITS.items() if other.of == "tracks"]
        raise ValueError(
            f"by={by!r}: use {', '.join(known[:-1])} or {known[-1]} (split_clips splits by chunk)"
        )
    return rule


def _sides(
    rule: SplitRule,
    tracks: list[Track],
    fractions: Sequence[float],
    seed: int,
    lists: str | Path | None = None,
) -> list[tuple[Track, ...]]:
    """What the rule makes of the tracks: as many sides as ``fractions``, sorted."""
    sides = rule.function(tracks, fractions, seed, lists)
    if len(sides) != len(fractions) or not {t for side in sides for t in side} <= set(tracks):
        raise ValueError(
            f"the split {rule.name!r} gave {sides!r:.200}: a list of the tracks that it was given "
            f"for each of {len(fractions)} fractions, as train, valid and test, is accepted"
        )
    return [tuple(sorted(side, key=lambda t: (t.label, t.track_id))) for side in sides]


@register_split("track", "each track on one side")
def _by_track(
    tracks: list[Track], fractions: Sequence[float], seed: int, lists: Any
) -> list[list[Track]]:
    labels, keys = [track.label for track in tracks], [track.track_id for track in tracks]
    sides = stratified(labels, keys, fractions, seed, "tracks")
    return [[tracks[i] for i in side] for side in sides]


@register_split("group", "each artist or speaker on one side", groups=True)
def _by_group(
    tracks: list[Track], fractions: Sequence[float], seed: int, lists: Any
) -> list[list[Track]]:
    return [[tracks[i] for i in side] for side in whole_groups(tracks, fractions, seed)]


@register_split("gtzan-filtered", "the fault-filtered lists of GTZAN", needs=("lists",))
def _by_lists(
    tracks: list[Track], fractions: Sequence[float], seed: int, lists: str | Path
) -> list[list[Track]]:
    return [[tracks[i] for i in side] for side in listed(tracks, lists)]


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
    sides = SPLITS["chunk"].function(clips, check_fractions(fractions), seed)
    train, valid, test = (clips.select(np.array(side, dtype=np.int64)) for side in sides)
    return Split(train, valid, test, "chunk")


@register_split(
    "chunk", "clips of a track on all sides, as in published figures", of="clips", leaks=True
)
def _by_chunk(clips: Clips, fractions: Sequence[float], seed: int) -> list[list[int]]:
    names = [clips.label_names[label] for label in clips.labels]
    keys = [f"{name}@{start}" for name, start in zip(clips.track_ids, clips.starts, strict=True)]
    return stratified(names, keys, fractions, seed, "clips")


def check_disjoint(
    split: Split, groups: bool = False, identities: Mapping[str, Identity] | None = None
) -> None:
    """Raise LeakError, naming them, where tracks (and groups, if asked) are on two sides.

    Parameters
    ----------
    split : of tracks or of clips; clips know no groups.
    groups : also check artists or speakers.
    identities : by track id, to also check that no two tracks are one recording.
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
    side_of = {track_id: name for name, ids in kinds["tracks"].items() for track_id in ids}
    known = {track_id: who for track_id, who in (identities or {}).items() if track_id in side_of}
    pairs = [(a, b) for a, b in twins(known) if side_of[a] != side_of[b]]
    if pairs:
        shown = ", ".join(f"{a} ({side_of[a]}) and {b} ({side_of[b]})" for a, b in pairs[:5])
        shown += ", …" if len(pairs) > 5 else ""
        raise LeakError(
            f"{len(pairs)} recordings are on two sides, as tracks of two names: {shown}; leave out "
            "one of each"
        )


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
