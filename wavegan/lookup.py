"""Windows of training recordings, in which generated clips are looked up: are they copies?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import numpy as np

from features.scaling import Standardizer
from wavegan.embedding import BATCH, embed
from wavegan.estimates import LEAST
from wavegan.neighbours import copied, nearest, nearest_distances
from wavegan.windows import Recordings, Windows

LEAST_SPREAD = 1.0  # dB that a feature's spread counts at least
STRETCH = 4  # clips: half the training windows are of every other stretch of so long, at most


class Drawn(NamedTuple):
    """Windows of some recordings, each there once, and how they were drawn.

    Attributes
    ----------
    draws : (m,), of each draw its window: all draws together have a recording as often as training
        does, of which there may be one window or thousands.
    points : (n, d), what `embed` says of each window.
    clips : (k, L, C), the first of them.
    recording, start : (n,), which recording each is of, and where it begins, in samples.
    half : (n,) 0 or 1, in turn for the stretches of a recording; -1 of a window in both. Stretches
        are four clips long, in a recording of 2 to 8 clips half of it; a shorter one is in either.
    """

    draws: np.ndarray
    points: np.ndarray
    clips: np.ndarray
    recording: np.ndarray
    start: np.ndarray
    half: np.ndarray


@dataclass(frozen=True)
class Neighbours:
    """The training window that is nearest to each of some clips.

    Attributes
    ----------
    index : (n,) of the window, among those drawn.
    distance : (n,) to it.
    nearer : (n,) share of windows of the same recordings that come as near to a training window
        without having been heard, in that half where it is the smaller; empty where too few
        windows tell that.
    copied : (n,) whether `memorised` counts it: nearer to a half than all but a 200th of the other
        half comes; empty, too.
    """

    index: np.ndarray
    distance: np.ndarray
    nearer: np.ndarray
    copied: np.ndarray


class Lookup:
    """Training windows as points that are scaled to unit variance, of which 1 dB is the least.

    Attributes
    ----------
    drawn : the windows.
    scale : of the points.
    points : (n, d), scaled.
    halves : those of the one half, and of the other.
    unheard : for each half the distances of the other half's windows to it: so near come sounds
        that were not heard. Empty where a half has fewer than 4 windows.
    """

    def __init__(self, drawn: Drawn):
        self.drawn = drawn
        scale = Standardizer.fit(drawn.points[drawn.draws])
        self.scale = Standardizer(scale.mean, np.hypot(scale.std, LEAST_SPREAD))
        self.points = self.scale.apply(drawn.points)
        one, other = self.halves = tuple(self.points[drawn.half == half] for half in range(2))
        self.unheard: list[np.ndarray] = []
        if min(len(one), len(other)) >= LEAST:
            self.unheard = [nearest_distances(other, one), nearest_distances(one, other)]

    def look_up(self, points: np.ndarray) -> Neighbours:
        """The neighbours of clips, of which `embed` said ``points`` (n, d), not scaled."""
        clips = self.scale.apply(points)
        index, distance = nearest(clips, self.points)
        if not self.unheard:
            return Neighbours(index, distance, np.empty(0), np.empty(0, bool))
        near = [nearest_distances(clips, half) for half in self.halves]
        shares = [
            np.searchsorted(np.sort(null), found, side="right") / len(null)
            for found, null in zip(near, self.unheard, strict=True)
        ]
        return Neighbours(index, distance, np.min(shares, axis=0), copied(near, self.unheard))


def drawn(
    audio: Recordings,
    shape: tuple[int, int],
    sample_rate: int | float,
    count: int,
    seed: int,
    windows: Mapping[str, Any],
    keep: int = 0,
) -> Drawn:
    """``count`` draws of windows of ``audio``, as training draws them.

    Parameters
    ----------
    shape : (num_samples, channels) of a window.
    sample_rate : Hz.
    seed : of the draw.
    windows : what `Windows` is told in training: ``pad_end``, ….
    keep : so many of the clips are kept.

    Raises
    ------
    ValueError
        For audio that `Windows` refuses.
    """
    length, channels = shape
    pool = Windows(audio, num_samples=length, channels=channels, store="host", **windows)
    key, numbers, draws = jax.random.key(seed), dict[tuple[int, int], int](), list[int]()
    parts, kept, places = list[np.ndarray](), list[np.ndarray](), list[tuple[int, int]]()
    for first in range(0, count, BATCH):
        part, number = jax.random.fold_in(key, first), min(BATCH, count - first)
        drawn = np.asarray(pool.draw(part, (number,)).clips)
        found = list(zip(*(x.tolist() for x in pool.places(part, number)), strict=True))
        new = []
        for i, (clip, (recording, _)) in enumerate(zip(drawn, found, strict=True)):
            mark = recording, hash(clip.tobytes())
            if mark not in numbers:
                numbers[mark] = len(numbers)
                new.append(i)
            draws.append(numbers[mark])
        if new:
            clips = drawn[new]
            places += [found[i] for i in new]
            parts.append(embed(clips, sample_rate=sample_rate))
            kept += list(clips[: max(0, keep - len(kept))])
    whose, start = np.array(places).T
    half_of_it = -(-pool.lengths[whose] // 2)
    stretch = np.where(half_of_it < length, np.inf, np.minimum(half_of_it, STRETCH * length))
    half = (start // stretch + whose) % 2
    inside = start % stretch + length <= stretch
    real = np.stack(kept) if kept else np.empty((0, *shape), np.float32)
    half = np.where(inside, half, -1).astype(int)
    return Drawn(np.array(draws), np.concatenate(parts), real, whose, start, half)
