"""Clips on a page: a spectrogram that plays its sound when pressed."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
import soundfile as sf

from experiments.report.plots import spectrograms
from features.audio import to_pcm
from features.augmentation import WaveformAugmentation

_ICON = (
    '<svg viewBox="0 0 24 24" aria-hidden="true"><circle cx="12" cy="12" r="12"/>'
    '<path class="go" d="M9 6.5v11l9-5.5z"/><path class="stop" d="M8 8h8v8H8z"/></svg>'
)


def listening_section(clips: Mapping[str, Mapping[str, np.ndarray]], sample_rate: int) -> str:
    """A row of real and a row of generated clips for each label, as HTML.

    Parameters
    ----------
    clips : for each label ``"real"`` and ``"generated"`` audio (n, L, C); an empty or missing
        one has no row.
    sample_rate : Hz.

    Raises
    ------
    ValueError
        For a clip that holds NaN or Inf.
    """
    genres = []
    for i, (label, kinds) in enumerate(clips.items()):
        rows = {kind: kinds[kind] for kind in ("real", "generated") if len(kinds.get(kind, ()))}
        for kind, audio in rows.items():
            if not np.isfinite(audio).all():
                raise ValueError(f"{kind} clips of {label!r} hold NaN or Inf: they have no sound")
        pictures = spectrograms(list(rows.values()), sample_rate)
        shown = "".join(
            clip_row(
                kind.capitalize(),
                [f"{kind} {label} clip {number}" for number in range(1, len(audio) + 1)],
                audio,
                pngs,
                sample_rate,
                kind=kind,
                all_of=f"all {kind} clips of {label}",
            )
            for (kind, audio), pngs in zip(rows.items(), pictures, strict=True)
        )
        genres.append(
            f'<section class="genre" id="genre-{i}"><h3>{escape(label)}</h3>{shown}</section>'
        )
    links = "".join(f'<a href="#genre-{i}">{escape(label)}</a>' for i, label in enumerate(clips))
    return (
        '<p class="note">Press a picture to hear its clip, Esc to stop. Log-mel spectrograms: time '
        "to the right, low at the bottom. All clips of a genre share one colour scale, from 80 dB "
        'below their loudest point <span class="colours" role="img" aria-label="dark to bright">'
        f'</span> up to it.</p><nav aria-label="Genres">{links}</nav>{"".join(genres)}'
    )


def augmentation_section(
    audio: np.ndarray,
    sample_rate: int,
    augmentation: WaveformAugmentation,
    *,
    titles: Sequence[str] = (),
) -> str:
    """Clips as they are, and with each alteration that ``augmentation`` names, as HTML.

    Each alteration is alone, and the strongest of its range.

    Parameters
    ----------
    audio : (n, L, C) in [-1, 1].
    sample_rate : Hz.
    titles : of the clips, plain text, such as their labels; numbers if not given.
    """
    titles = titles or [f"clip {number}" for number in range(1, len(audio) + 1)]
    original = np.asarray(audio, np.float32)
    versions = {"as it is": original, **augmentation.versions(original, sample_rate)}
    pictures = spectrograms(list(versions.values()), sample_rate)
    rows = "".join(
        clip_row(
            title,
            [f"{title}, {caption}" for caption in versions],
            np.stack([sound[i] for sound in versions.values()]),
            [of_version[i] for of_version in pictures],
            sample_rate,
            kind="real",
            all_of=f"all versions of {title}",
            captions=list(versions),
        )
        for i, title in enumerate(titles)
    )
    return (
        '<p class="note">Clips as they are and with each alteration alone, the strongest of its '
        "range; polarity alone can't be heard. A copy that a classifier trains on has all of them, "
        f'each drawn anew.</p><div class="wide">{rows}</div>'
    )


def clip_row(
    title: str,
    names: Sequence[str],
    audio: np.ndarray,
    pictures: Sequence[bytes],
    sample_rate: int,
    *,
    kind: str,
    all_of: str,
    captions: Sequence[str] = (),
) -> str:
    """Clips side by side under a title, with a button that plays all, as HTML.

    Parameters
    ----------
    title, names, captions : plain text: of the row, to tell each clip by, and to show below it.
    audio, pictures : (n, L, C) in [-1, 1] and the PNG file of each.
    kind : "real" or "generated", which have their colours.
    all_of : what "Play all" plays, in words.
    """
    cards = []
    captions = captions or [""] * len(names)
    for name, clip, png, caption in zip(names, audio, pictures, captions, strict=True):
        name, shown = escape(name), f"<small>{escape(caption)}</small>" if caption else ""
        cards.append(
            f'<li class="clip"><button type="button" aria-pressed="false" aria-label="Play {name}">'
            f'<img alt="Spectrogram of {name}" src="{_uri("image/png", png)}"><i></i>{_ICON}'
            f'</button>{shown}<audio controls preload="none" aria-label="{name}" '
            f'src="{_uri("audio/flac", _flac(clip, sample_rate))}"></audio></li>'
        )
    return (
        f'<div class="row {kind}"><h4>{escape(title)}<button type="button" class="all" '
        f'aria-label="Play or stop {escape(all_of)}">Play all</button></h4>'
        f'<ul class="clips">{"".join(cards)}</ul></div>'
    )


def _flac(clip: np.ndarray, sample_rate: int) -> bytes:
    file = io.BytesIO()
    sf.write(file, to_pcm(clip).astype(np.int16), sample_rate, format="FLAC", subtype="PCM_16")
    return file.getvalue()


def _uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
