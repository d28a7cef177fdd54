"""Clips on a page: a spectrogram that plays its sound when pressed."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import soundfile as sf

from features.audio import to_pcm
from features.augmentation import WaveformAugmentation
from features.spectra import log_mel

_RANGE_DB = 80.0  # between the darkest and the brightest colour of a spectrogram


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
    pictures = spectrograms([row.audio for row in rows], sample_rate)
    return [
        {
            "title": row.title,
            "kind": row.kind,
            "all_of": row.all_of,
            "clips": [
                {
                    "name": name,
                    "caption": caption,
                    "picture": _uri("image/png", png),
                    "sound": _uri("audio/flac", _flac(clip, sample_rate)),
                }
                for name, clip, png, caption in zip(
                    row.names, row.audio, pngs, row.captions or [""] * len(row.names), strict=True
                )
            ],
        }
        for row, pngs in zip(rows, pictures, strict=True)
    ]


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
        rows = [
            ClipRow(
                kind.capitalize(),
                kind,
                kinds[kind],
                [f"{kind} {label} clip {i + 1}" for i in range(len(kinds[kind]))],
                f"all {kind} clips of {label}",
            )
            for kind in ("real", "generated")
            if len(kinds.get(kind, ()))
        ]
        found.append({"label": label, "rows": clip_rows(rows, sample_rate)})
    return found


def altered_clips(
    audio: np.ndarray,
    sample_rate: int,
    augmentation: WaveformAugmentation,
    *,
    titles: Sequence[str],
) -> dict[str, dict[str, np.ndarray]]:
    """Clips as they are, and with each alteration that ``augmentation`` names.

    Each alteration is alone, and the strongest of its range.

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
    rows = [
        ClipRow(
            title,
            "real",
            np.stack(list(versions.values())),
            [f"{title}, {words}" for words in versions],
            f"all versions of {title}",
            list(versions),
        )
        for title, versions in altered.items()
    ]
    return clip_rows(rows, sample_rate)


def spectrograms(groups: Sequence[np.ndarray], sample_rate: int) -> list[list[bytes]]:
    """Log-mel pictures of clips, all on one colour scale.

    Parameters
    ----------
    groups : arrays (n, L, C) of audio with n > 0; channels are averaged for the picture.
    sample_rate : Hz.

    Returns
    -------
    PNG files for each group. The brightest colour is the loudest point of all groups, the
    darkest lies 80 dB below. Time runs to the right, low frequencies are at the bottom.
    """
    decibels = []
    for audio in groups:
        hop_length = max(1, audio.shape[1] // 128)
        n_fft = 2 ** int(np.ceil(np.log2(max(sample_rate / 25, 2 * hop_length))))
        frames = log_mel(
            np.asarray(audio, np.float32).mean(-1),
            sample_rate=sample_rate,
            top_db=None,
            n_fft=n_fft,
            hop_length=hop_length,
            n_mels=64,
        )
        decibels.append(np.asarray(frames))
    top = max((float(frames.max()) for frames in decibels), default=0.0)
    return [[_png(1 + (clip - top) / _RANGE_DB) for clip in frames] for frames in decibels]


def spectrogram_colours() -> list[str]:
    """The colours of `spectrograms`, silence first."""
    return ["#" + bytes(rgb).hex() for rgb in _palette()[::17]]


def _palette() -> np.ndarray:
    import matplotlib as mpl

    return np.rint(mpl.colormaps["magma"](np.arange(256))[:, :3] * 255).astype(np.uint8)


def _png(brightness: np.ndarray) -> bytes:
    """(frames, bands) in [0, 1] as a picture with a palette: a fourth of the bytes of RGBA."""
    from PIL import Image  # a requirement of matplotlib

    levels = np.rint(np.clip(brightness.T[::-1], 0, 1) * 63) * 255 / 63  # fewer compress better
    image = Image.fromarray(np.rint(levels).astype(np.uint8))
    image.putpalette(_palette().tobytes())
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return file.getvalue()


def _flac(clip: np.ndarray, sample_rate: int) -> bytes:
    file = io.BytesIO()
    sf.write(file, to_pcm(clip).astype(np.int16), sample_rate, format="FLAC", subtype="PCM_16")
    return file.getvalue()


def _uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
