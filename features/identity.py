"""Whether two files are one recording: told by their samples, or by how they sound."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float32, Int64

from features._landmarks import RATE, Landmarks, Listener
from features.audio import stream_audio, to_pcm
from features.storage import Unfit

_VERSION = "1"  # of the print: others can't be compared with it
_MARKS = 64  # landmarks in a print
_SOME = 4 * _MARKS  # landmarks of a block that are looked at first
_SHORT, _SHORT_MARKS = 3.0, 32  # seconds, and the landmarks that shorter sounds have in theirs
_AGREE, _SHARE = 11, 1 / 3  # landmarks at one distance in time that tell: so many, and this share
_TICK = 3  # frames, 15 ms, in which a print tells times, modulo 256
# What an index of many prints is made of:
_NEAR = 6  # landmarks, in the order of their hashes, that are looked at in pairs
_HINTS = 3  # such pairs that two prints share, to be compared
_COMMON = 100  # tracks: a pair that more of them share tells none of them

Name = TypeVar("Name")


@dataclass(frozen=True)
class Identity:
    """What a recording is known by.

    ``str`` of it is text for provenance, and `Identity.parse` reads that.

    Attributes
    ----------
    samples : hash of the decoded samples, as 16-bit numbers at the file's own rate, of the mean of
        its channels: 32 hexadecimal digits.
    print : acoustic fingerprint, base64 of 64 landmarks of the sound (of 32 where it is shorter
        than 3 s; 344 and 172 characters), in four bytes each: a hash, and when it is. It is
        empty where a sound is too short or too plain (a tone) to have 32.
    """

    samples: str
    print: str = ""

    def __post_init__(self) -> None:
        if not re.fullmatch("[0-9a-f]{32}", self.samples):
            raise Unfit(
                f"the identity of a recording has no samples {self.samples!r:.60}: 32 hexadecimal "
                "digits are accepted; take it from a file that is whole"
            )
        try:
            data = base64.b64decode(self.print, validate=True)
        except (binascii.Error, ValueError):
            data = b"?"
        marks = np.frombuffer(data[: len(data) // 4 * 4], "<u4").astype(np.int64)
        if len(data) not in (0, 4 * _SHORT_MARKS, 4 * _MARKS) or (np.diff(marks >> 8) <= 0).any():
            raise Unfit(
                f"the identity of a recording has no print {self.print!r:.60}: base64 of landmarks "
                "in order is accepted; take it from a file that is whole"
            )

    def __str__(self) -> str:
        return f"{_VERSION}:{self.samples}:{self.print}"

    @classmethod
    def parse(cls, text: Any) -> Identity:
        """The identity that `str` gave ``text`` for; an `Unfit`, a ValueError, where it is anything
        else.
        """
        version, *parts = text.split(":") if isinstance(text, str) else [""]
        if version != _VERSION or len(parts) != 2:
            raise Unfit(
                f"{text!r:.60} is no identity of a recording that this version can compare: text "
                f"such as '{_VERSION}:samples:print' is accepted; take it from a file that is "
                "whole, or make that anew with this version"
            )
        return cls(*parts)

    @cached_property
    def _marks(self) -> Int64[np.ndarray, " n"]:
        """Landmarks in the order of their hashes: 24 bits of hash, 8 bits of time."""
        return np.frombuffer(base64.b64decode(self.print), "<u4").astype(np.int64)


def identify(path: str | Path) -> Identity:
    """The identity of an audio file, which is read once, at its own rate, in constant memory.

    Raises
    ------
    AudioError
        As `features.load_audio`.
    """
    identifier = Identifier()
    for _ in stream_audio(path, heard=identifier.add):
        pass
    return identifier.identity()


class Identifier:
    """Makes an identity of audio that comes in blocks, as ``heard`` of `stream_audio` gives it.

    The print is the smallest hashes of all landmarks (a bottom-k sketch: Broder, "On the
    resemblance and containment of documents", 1997): what two sounds share of all their
    landmarks, they share of these.
    """

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=16)
        self._listener = Listener()
        self._resampler: Any = None
        self._first: np.ndarray | None = None
        self._seconds = 0.0
        self._hashes, self._frames = np.zeros(0, np.int64), np.zeros(0, np.int64)

    def add(self, block: Float32[np.ndarray, "n c"], sample_rate: int) -> None:
        """Hear a block, at the file's own rate."""
        if not len(block):
            return
        sound = block[:, 0] if block.shape[1] == 1 else block.mean(axis=1)
        self._hash.update(to_pcm(sound).astype("<i2").tobytes())
        self._seconds += len(sound) / sample_rate
        if self._first is None:
            self._first = sound[0]
            if sample_rate != RATE:
                import soxr

                self._resampler = soxr.ResampleStream(sample_rate, RATE, 1, "float32", "LQ")
        sound = sound - self._first  # an offset would click where the sound begins
        if self._resampler is not None:
            sound = self._resampler.resample_chunk(sound)
        self._keep(self._listener.add(sound))

    def identity(self) -> Identity:
        """That of what was heard."""
        if self._resampler is not None:
            rest = self._resampler.resample_chunk(np.zeros(0, np.float32), last=True)
            self._keep(self._listener.add(rest))
        self._keep(self._listener.end())
        count = _MARKS if self._seconds >= _SHORT and len(self._hashes) == _MARKS else _SHORT_MARKS
        marks = self._hashes << 8 | self._frames // _TICK % 256
        found = marks[:count].astype("<u4").tobytes() if len(marks) >= count else b""
        return Identity(self._hash.hexdigest(), base64.b64encode(found).decode())

    def _keep(self, found: Landmarks) -> None:
        """Of landmarks with one hash the first, of these those with the smallest hashes."""
        hashes, frames = found
        if not len(hashes):
            return
        if len(self._hashes) == _MARKS:
            small = hashes <= self._hashes[-1]
            hashes, frames = hashes[small], frames[small]
        hashes = np.concatenate([self._hashes, hashes])
        frames = np.concatenate([self._frames, frames])
        if len(hashes) > _SOME:  # a few of which make a print, unless one comes again and again
            small = hashes <= np.partition(hashes, _SOME)[_SOME]
            if len(np.unique(hashes[small])) >= _MARKS:
                hashes, frames = hashes[small], frames[small]
        self._hashes, places = np.unique(hashes, return_index=True)
        self._hashes, self._frames = self._hashes[:_MARKS], frames[places[:_MARKS]]


def same_recording(one: Identity, other: Identity) -> bool:
    """Whether two identities are of one recording.

    They are where the samples are the same, or a third of the landmarks in their prints (11 at
    least), at one distance in time. Copies of 20 real tracks of 15 s (resampled; mp3 at 128 kb/s;
    a sample or half a second cut off; louder, softer, with an offset) have 52 to 64 of 64 in
    common, all other pairs of 80 such tracks, and of 144 embedded ones, 4 at most. Copies of 100
    takes of 0.4 s (mp3 at 64 kb/s; not with half a second cut off) have 18 to 32 of 32, all 4.5
    million other pairs of 3000 takes 6 at most. Of a sound much longer than a minute a print tells
    the beginning above all; a copy without more than a third of the sound may not be found.

    What was played at another speed, or lies in noise, is another recording here from some point
    on. Of 20 real tracks of 15 s all are found 0.1 % slower, 8 of them 0.2 % slower, and none from
    0.5 % on; all in white noise 40 dB below them, 19 at 30 dB, 12 at 20 dB and 1 at 10 dB.
    """
    return one.samples == other.samples or _agree(one, other)


def _agree(one: Identity, other: Identity) -> bool:
    count = min(len(one._marks), len(other._marks))
    return _votes(one, other) >= max(_AGREE, _SHARE * count)


def _votes(one: Identity, other: Identity) -> int:
    """How many landmarks both prints have, at the distance in time at which most of them are."""
    count = min(len(one._marks), len(other._marks))
    mine, others = one._marks[:count], other._marks[:count]
    _, i, j = np.intersect1d(mine >> 8, others >> 8, assume_unique=True, return_indices=True)
    apart = np.bincount((mine[i] - others[j]) % 256, minlength=256)
    return int((apart + np.roll(apart, -1)).max())


def twins(identities: Mapping[Name, Identity]) -> list[tuple[Name, Name]]:
    """Pairs of names whose identities are of one recording, each in the mapping's order.

    All pairs of up to a hundred; of more, each with the next. Of several with the same samples each
    is paired with the first. 10,000 prints of music take some
    7 s and 760 MB, 3000 of short takes a tenth of a second.
    """
    names, pairs, firsts = list(identities), list[tuple[int, int]](), dict[str, int]()
    for i, identity in enumerate(identities.values()):
        if (first := firsts.setdefault(identity.samples, i)) != i:
            pairs.append((first, i))
    places = list(firsts.values())
    told = [identities[names[i]] for i in places]
    pairs += [(places[i], places[j]) for i, j in _candidates(told) if _agree(told[i], told[j])]
    return [(names[i], names[j]) for i, j in sorted(pairs)]


def _candidates(identities: Sequence[Identity]) -> list[tuple[int, int]]:
    """Places of pairs that may agree, by an index of what few prints share.

    That is two hashes near one another in a print, and how far apart in time they are.
    """
    keys, owners = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for count in (_SHORT_MARKS, _MARKS):
        places = [i for i, identity in enumerate(identities) if len(identity._marks) == count]
        marks = np.array([identities[i]._marks for i in places], np.int64).reshape(-1, count)
        for step in range(1, _NEAR + 1):
            one, other = marks[:, :-step], marks[:, step:]
            key = (one >> 8) << 32 | (other >> 8) << 8 | (one - other) % 256
            keys.append(key.ravel())
            owners.append(np.repeat(np.array(places, np.int64), key.shape[1]))
    key, owner = np.concatenate(keys), np.concatenate(owners)
    order = np.lexsort((owner, key))
    _, counts = np.unique(key, return_counts=True)
    few = np.repeat(counts <= _COMMON, counts)
    key, owner = key[order], owner[order]
    same = key[:-1] == key[1:]
    found = [owner[:-1][same] * len(identities) + owner[1:][same]]
    key, owner = key[few], owner[few]
    for step in range(2, min(_COMMON, len(key))):
        same = key[:-step] == key[step:]
        found.append(owner[:-step][same] * len(identities) + owner[step:][same])
    pairs, counts = np.unique(np.concatenate(found), return_counts=True)
    return [divmod(pair, len(identities)) for pair in pairs[counts >= _HINTS].tolist()]
