"""Clips on a page: a spectrogram that plays its sound when pressed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments.report.formats import percent
from features.augmentation import WaveformAugmentation
from features.display import sound_file, spectrograms, uri


@dataclass(frozen=True)
class ClipRow:
    """Clips side by side.

    Attributes
    ----------
    title : of the row.
    kind : "real" or "generated", which have their colours.
    audio : (n, L, C) in [-1, 1].
    names : to tell each clip by.
    all_of : what "Play all" plays, in words.
    captions : to show below each clip; none if empty.
    """

    title: str
    kind: str
    audio: np.ndarray
    names: Sequence[str]
    all_of: str
    captions: Sequence[str] = ()


def clip_rows(rows: Sequence[ClipRow], sample_rate: int) -> list[dict[str, Any]]:
    """Rows of clips for the macro of that name, their pictures all on one colour scale.

    Raises
    ------
    ValueError
        For a clip that holds NaN or Inf.
    """
    for row in rows:
        if not np.isfinite(row.audio).all():
            raise ValueError(f"{row.all_of}: some hold NaN or Inf, which have no sound")
    found = []
    pictures = spectrograms([row.audio for row in rows], sample_rate)
    for row, pngs in zip(rows, pictures, strict=True):
        captions = row.captions or [""] * len(row.names)
        clips = [
            {
                "name": name,
                "caption": caption,
                "picture": uri("image/png", png),
                "sound": uri("audio/flac", sound_file(clip, sample_rate, "FLAC")),
            }
            for name, caption, clip, png in zip(row.names, captions, row.audio, pngs, strict=True)
        ]
        found.append({"title": row.title, "kind": row.kind, "all_of": row.all_of, "clips": clips})
    return found


def listening(
    clips: Mapping[str, Mapping[str, np.ndarray]], sample_rate: int
) -> list[dict[str, Any]]:
    """A row of real and a row of generated clips for each label.

    Parameters
    ----------
    clips : for each label ``"real"`` and ``"generated"`` audio (n, L, C); an empty or missing
        one has no row.
    sample_rate : Hz.
    """
    found = []
    for label, kinds in clips.items():
        rows = []
        for kind in ("real", "generated"):
            if count := len(kinds.get(kind, ())):
                names = [f"{kind} {label} clip {i + 1}" for i in range(count)]
                every = f"all {kind} clips of {label}"
                rows.append(ClipRow(kind.capitalize(), kind, kinds[kind], names, every))
        found.append({"label": label, "rows": clip_rows(rows, sample_rate)})
    return found


def altered_clips(
    audio: np.ndarray,
    sample_rate: int,
    augmentation: WaveformAugmentation,
    *,
    titles: Sequence[str],
) -> dict[str, dict[str, np.ndarray]]:
    """Clips as they are, and with each alteration of ``augmentation`` alone, at its strongest.

    Parameters
    ----------
    audio : (n, L, C) in [-1, 1].
    sample_rate : Hz.
    titles : of the clips, such as their labels.

    Returns
    -------
    For each title, words for each version and its audio (L, C).
    """
    original = np.asarray(audio, np.float32)
    versions = {"as it is": original, **augmentation.versions(original, sample_rate)}
    return {
        title: {words: version[i] for words, version in versions.items()}
        for i, title in enumerate(titles)
    }


def altered_rows(
    altered: Mapping[str, Mapping[str, np.ndarray]], sample_rate: int
) -> list[dict[str, Any]]:
    """A row for each clip of `altered_clips`."""
    rows = []
    for title, versions in altered.items():
        audio, names = np.stack(list(versions.values())), [f"{title}, {x}" for x in versions]
        every = f"all versions of {title}"
        rows.append(ClipRow(title, "real", audio, names, every, list(versions)))
    return clip_rows(rows, sample_rate)


def missed_rows(
    missed: Sequence[tuple[Mapping[str, Any], np.ndarray]], sample_rate: int
) -> list[dict[str, Any]]:
    """A row of clips whose track was taken for another class.

    Parameters
    ----------
    missed : how each track was classified, as ``results.json`` says it, and a clip (L, C) of it.
    """
    if not missed:
        return []
    length = max(len(audio) for _, audio in missed)
    clips = np.stack([np.pad(a, ((0, length - len(a)), (0, 0))) for _, a in missed])
    names = [f"{row['track']}, taken for {row['predicted']}" for row, _ in missed]
    told = [f"{row['label']}, taken for {row['predicted']}, {percent(row['confidence'], 0)}"
            for row, _ in missed]  # fmt: skip
    row = ClipRow("Wrong answers", "real", clips, names, "all wrong answers", told)
    return clip_rows([row], sample_rate)
