"""Landmarks of a sound: pairs of spectral peaks, which survive a codec, a gain and a cut."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32, Int64

RATE = 8000  # Hz at which sounds are compared
HOP = 40  # samples from frame to frame, 5 ms
_WINDOW = 512  # samples, 64 ms
_BINS = slice(4, 240)  # 62 Hz to 3.7 kHz: no offset, no mains hum, and what any file has
_REACH = 8  # frames before and after, among which a peak is the highest
_SPREAD = 3  # bins below and above
_FLOOR = 1e-5  # of the power of the loudest bin nearby, -50 dB
_AHEAD = 64  # frames to the second peak of a landmark, at most
_ASIDE = 24  # bins to it, at most
_COARSE = 6  # frames that its distance is told to
_CHUNK = 200  # frames that are transformed at a time: what the caches of a core hold
_HANN = np.hanning(_WINDOW + 1)[:-1].astype(np.float32)

Landmarks = tuple[Int64[np.ndarray, " _"], Int64[np.ndarray, " _"]]


class Listener:
    """Hears a sound block by block, in constant memory, and tells its landmarks.

    Source: Wang, "An industrial-strength audio search algorithm" (ISMIR 2003): a landmark is two
    peaks of the spectrogram, told by their frequencies and their distance in time. Here all peaks
    that follow in a zone are paired, not a few, so that each pair stands or falls by itself.
    """

    def __init__(self) -> None:
        context = _WINDOW // 2 + _REACH * HOP
        self._sound = np.zeros(context, np.float32)  # from frame `_first` on
        self._first, self._before = -_REACH, np.zeros(0, np.float32)
        self._times, self._bins = np.zeros(0, np.int64), np.zeros(0, np.int64)

    def add(self, sound: Float32[np.ndarray, " n"]) -> Landmarks:
        """Hear more, at `RATE`; the hashes (24 bits) and frames of the landmarks found by now."""
        # Differences of samples hold no offset, and lift what is high and weak.
        before = self._before if len(self._before) else sound[:1]
        sound = np.concatenate([before, sound])
        self._sound = np.concatenate([self._sound, sound[1:] - sound[:-1]])
        self._before = sound[-1:]
        size = (_CHUNK + 2 * _REACH - 1) * HOP + _WINDOW
        found = [self._none()]
        while len(self._sound) >= size:
            found.append(self._landmarks(self._sound[:size]))
            self._sound = self._sound[_CHUNK * HOP :]
            self._first += _CHUNK
        return _joined(found)

    def end(self) -> Landmarks:
        """The rest of them."""
        found = self.add(np.repeat(self._before, _WINDOW // 2 + _REACH * HOP))
        return _joined([found, self._landmarks(self._sound)])

    def _landmarks(self, sound: np.ndarray) -> Landmarks:
        if len(sound) < 2 * _REACH * HOP + _WINDOW:
            return self._none()
        times, bins = _peaks(sound)
        held = self._times > self._first + _REACH - _AHEAD
        held_times, held_bins = self._times[held], self._bins[held]
        self._times = np.concatenate([held_times, times + self._first])
        self._bins = np.concatenate([held_bins, bins])
        return _paired(self._times, self._bins, len(held_times))

    def _none(self) -> Landmarks:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)


def _joined(found: list[Landmarks]) -> Landmarks:
    hashes, frames = zip(*found, strict=True)
    return np.concatenate(hashes), np.concatenate(frames)


def _peaks(sound: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Frames (without the first and last `_REACH`) and bins of the peaks, in order of time."""
    import scipy.fft  # of 32-bit numbers in rows, seven times as fast as numpy's

    count, step = (len(sound) - _WINDOW) // HOP + 1, sound.itemsize
    frames = np.ndarray((count, _WINDOW), sound.dtype, sound, strides=(HOP * step, step))
    spectrum = scipy.fft.rfft(frames * _HANN)[:, _BINS]
    power = spectrum.real**2 + spectrum.imag**2
    aside = 2 * _SPREAD + 1
    beside = np.empty_like(power)  # from one row into the next, too, where no peak is looked for
    beside.ravel()[: power.size - aside + 1] = _highest(power.ravel(), aside)
    near = _highest(beside[:, : 1 - aside], _REACH)
    inner = power[_REACH:-_REACH, _SPREAD:-_SPREAD]
    # Of frames that are all the same the first is the peak.
    peak = inner == near[_REACH : _REACH + len(inner)]
    peak &= inner > near[: len(inner)]
    peak &= inner > _FLOOR * power.max()
    times, bins = np.divmod(np.flatnonzero(peak), inner.shape[1])
    return times + _REACH, bins


def _highest(values: np.ndarray, count: int) -> np.ndarray:
    """The highest of each ``count`` rows that follow one another."""
    width = 1
    while width < count:
        step = min(width, count - width)
        values = np.maximum(values[:-step], values[step:])
        width += step
    return values


def _paired(times: np.ndarray, bins: np.ndarray, held: int) -> Landmarks:
    """Each peak with those after it in its zone, of which one at least is not ``held``."""
    last = np.searchsorted(times, times + _AHEAD, side="right")
    first = np.searchsorted(times, times, side="right")  # of two at one time neither is later
    begin = np.maximum(first, held)
    counts = np.maximum(last - begin, 0)
    one = np.repeat(np.arange(len(times), dtype=np.int32), counts)
    other = np.arange(len(one), dtype=np.int32)
    other += np.repeat((begin - np.cumsum(counts) + counts).astype(np.int32), counts)
    low = bins.astype(np.int32)
    aside = low[other] - low[one] + _ASIDE
    fit = np.flatnonzero(aside.view(np.uint32) <= 2 * _ASIDE)  # none is below 0
    one, other, aside = one[fit], other[fit], aside[fit]
    begun = times[one]
    later = (times[other] - begun).astype(np.uint32) // np.uint32(_COARSE)
    code = low[one] << 16 | aside << 8 | later.view(np.int32)
    return _mixed(code.astype(np.uint64)), begun


def _mixed(code: np.ndarray) -> np.ndarray:
    """24 bits of a hash of each whole number (the mixing of Steele et al., SplitMix64)."""
    code = (code + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    code = (code ^ (code >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    return (code >> np.uint64(40)).astype(np.int64)
