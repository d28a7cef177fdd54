"""The page of `wavegan audition`: clips to hear, compare and choose."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from experiments.listening.auditions import Audition, Strip
from experiments.listening.favourites import FORMAT, VERSION
from experiments.listening.heard import Clip, Row
from experiments.report.kit import render
from features.display import sound_file, sound_pictures, uri
from features.loudness import TARGET, matching_gain

_LIMITED = 0.25  # of full scale, what a clip beyond it is played at
FOLDER = "clips"  # beside the page


@dataclass(frozen=True)
class Page:
    """A page and what lies beside it.

    Attributes
    ----------
    html : of the page.
    clips : on it, of the rows, the strips and the nearest ones.
    files : the content of those in `FOLDER`, by name; of a page in a single file there are none.
    """

    html: str
    clips: int
    files: Mapping[str, bytes]


@dataclass
class _Sounds:
    """Every clip of a page once, in order."""

    clips: list[Clip] = field(default_factory=list)
    sounds: list[np.ndarray] = field(default_factory=list)
    told: list[dict[str, Any]] = field(default_factory=list)
    places: dict[tuple[str, str], int] = field(default_factory=dict)

    def add(self, clip: Clip, where: str) -> int | None:
        """The number of a clip on the page; None of one that can't be read."""
        if clip.audio is None:
            return None
        sound, about = _played(clip.audio, clip.sample_rate)
        place = about["key"], clip.name
        if place in self.places:
            return self.places[place]
        number = self.places[place] = len(self.told)
        about |= {"name": clip.name, "label": clip.label, "where": where}
        if clip.made:
            latent = np.asarray(clip.made["latent"], "<f4").tobytes()
            about |= {n: clip.made[n] for n in ("generator", "run", "step", "class")}
            about["latent"] = base64.b64encode(latent).decode("ascii")
        self.clips.append(clip)
        self.sounds.append(sound)
        self.told.append(about)
        if near := clip.nearest:
            about["nearest"] = self.add(near.clip, "training clips")
            about |= {"distance": round(near.distance, 2), "copied": near.copied}
            about["nearer"] = None if near.nearer is None else round(near.nearer, 4)
        return number


def render_audition(
    audition: Audition,
    *,
    runs: Sequence[str],
    single_file: bool,
    studio: Sequence[Mapping[str, Any]] = (),
) -> Page:
    """The page of an audition.

    Parameters
    ----------
    runs : what was auditioned, as it was typed.
    single_file : put every sound and picture into the page.
    studio : of a page that is served, the GANs that make new clips (`Studio.about`).
    """
    found = _Sounds()
    rows = [_row(row, found, audition.labels) for row in audition.rows]
    strips = [_strip(strip, found) for strip in audition.strips]
    gains = [10 ** (told["gain"] / 20) for told in found.told]
    matched = [np.clip(s * g, -1, 1) for s, g in zip(found.sounds, gains, strict=True)]
    pictures = sound_pictures(matched, [clip.sample_rate for clip in found.clips])
    files, sources, inline = dict[str, bytes](), list[str](), dict[str, str]()
    for told, clip, sound, picture in zip(
        found.told, found.clips, found.sounds, pictures, strict=True
    ):
        key, flac = told["key"], sound_file(sound, clip.sample_rate, "FLAC")
        if single_file:
            inline[key] = base64.b64encode(flac).decode("ascii")
            sources.append(uri("image/webp", picture))
        else:
            files |= {f"{key}.js": _script(key, flac), f"{key}.webp": picture}
            sources.append(f"{FOLDER}/{key}.webp")
    html = render(
        "audition.html",
        runs=runs,
        labels=audition.labels,
        rows=rows,
        heard=sum(row["heard"] for row in rows),
        strips=strips,
        said=audition.said,
        clips=found.told,
        pictures=sources,
        inline=inline,
        target=TARGET,
        single_file=single_file,
        studio=studio,
        page=_key(np.frombuffer("".join(t["key"] for t in found.told).encode(), np.uint8), 0),
        favourites={"format": FORMAT, "version": VERSION},
    )
    return Page(html, len(found.told), files)


def clip_files(audio: np.ndarray, sample_rate: int) -> tuple[dict[str, Any], bytes]:
    """What a page is told of a new clip, and its FLAC file."""
    sound, told = _played(audio, sample_rate)
    gain = 10 ** (told["gain"] / 20)
    (picture,) = sound_pictures([np.clip(sound * gain, -1, 1)], [sample_rate])
    told["picture"] = uri("image/webp", picture)
    return told, sound_file(sound, sample_rate, "FLAC")


def _played(audio: np.ndarray, sample_rate: int) -> tuple[np.ndarray, dict[str, Any]]:
    """Audio as it is played, and what a page is told of it."""
    sound, note = playable(audio)
    gain = matching_gain(sound, sample_rate=sample_rate)
    told = {"key": _key(sound, sample_rate), "seconds": round(len(sound) / sample_rate, 4)}
    return sound, told | {"gain": round(gain, 2), "note": note}


def playable(audio: np.ndarray) -> tuple[np.ndarray, str]:
    """Audio (L, 1 or 2) that can be played, and what was done to it, if anything.

    Samples that are no numbers are silent, and a clip beyond full scale is limited and quiet.
    """
    notes, sound = list[str](), np.asarray(audio, np.float32)
    if sound.shape[1] > 2:
        sound = sound.mean(1, keepdims=True)
    if not (finite := np.isfinite(sound)).all():
        notes.append(f"{(~finite).sum():,} samples are no numbers: silent here")
        sound = np.where(finite, sound, 0)
    if (peak := float(np.abs(sound).max(initial=0))) > 1:
        notes.append(f"up to {peak:.3g} of full scale: limited and played quietly")
        sound = _LIMITED * np.clip(sound, -1, 1)
    elif not peak:
        notes.append("silent")
    return sound, "; ".join(notes)


def _row(row: Row, found: _Sounds, labels: Sequence[str]) -> dict[str, Any]:
    where = f"{row.title}, {row.note}"
    cells = [
        [(found.add(clip, where), clip.name, clip.note) for clip in row.clips.get(label, ())]
        for label in labels
    ]
    numbers = [number for cell in cells for number, *_ in cell if number is not None]
    near = [found.told[i] for i in numbers if "nearest" in found.told[i]]
    return {
        "title": row.title,
        "note": row.note,
        "kind": row.kind,
        "cells": cells,
        "heard": len(numbers),
        "looked_up": len(near),
        "copies": sum(told["copied"] for told in near),
    }


def _strip(strip: Strip, found: _Sounds) -> dict[str, Any]:
    numbers = [found.add(clip, strip.title) for clip in strip.clips]
    return {"title": strip.title, "clips": [number for number in numbers if number is not None]}


def _key(sound: np.ndarray, sample_rate: int) -> str:
    """What tells a sound from others: 12 hexadecimal digits."""
    known = f"{sample_rate} {sound.shape}".encode() + np.ascontiguousarray(sound).tobytes()
    return hashlib.blake2b(known, digest_size=6).hexdigest()


def _script(key: str, content: bytes) -> bytes:
    """A script that hands a file over to the page, which may read no file from a disk.

    It is text in the encoding x-user-defined, in which every byte is a character: a sixtieth
    longer than the file, where base64 would be a third.
    """
    quoted = re.sub(rb"[\\`$\r]", lambda found: _QUOTED[found[0]], content)
    return b'heard("' + key.encode() + b'", `' + quoted + b"`);\n"


_QUOTED = {b"\\": b"\\\\", b"`": b"\\`", b"$": b"\\$", b"\r": b"\\r"}
