"""How audio shows itself: spectrograms and sounds as files, and cards of both in a notebook."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape

import numpy as np

from features.audio import to_pcm
from features.spectra import log_mel

_BANDS = 64  # mel bands, and rows of a picture
_WAVE = 24  # rows of a picture's waveform
_RANGE_DB = 80.0  # between the darkest and the brightest colour of a spectrogram
# Every 17th colour of matplotlib's magma.
_STOPS = """
000004 0b0924 20114b 3b0f70 57157e 721f81 8c2981 a8327d
c43c75 de4968 f1605d fa7f5e fe9f6d febf84 fddea0 fcfdbf
"""
_WIDTH = 240  # pixels of a card
_SECONDS = 30.0  # that a card holds, at most


def cards(
    title: str, sounds: Sequence[tuple[str, np.ndarray]], sample_rate: int | None, note: str = ""
) -> str:
    """A line of plain text and, under it, each sound with its name, as HTML.

    Parameters
    ----------
    title, note : plain text, and HTML after it.
    sounds : names, and audio (L, C) in [-1, 1].
    sample_rate : Hz; None leaves out the players.
    """
    shown = "".join(
        f'<figure style="display:inline-block;margin:4px 8px 4px 0">'
        f'<img alt="Spectrogram of {escape(name)}" style="display:block;width:{_WIDTH}px;'
        f'height:{_BANDS}px" src="{uri("image/png", _picture(audio, sample_rate))}">'
        f"{_player(audio, sample_rate) if sample_rate else ''}"
        f"<figcaption><small>{escape(name)}</small></figcaption></figure>"
        for name, audio in (_audible(*sound) for sound in sounds)
    )
    return f"<div><code>{escape(title)}</code>{note}<br>{shown}</div>"


def _audible(name: str, audio: np.ndarray) -> tuple[str, np.ndarray]:
    """A sound in which samples that are no numbers are silent, and its name says so."""
    if (finite := np.isfinite(audio)).all():
        return name, audio
    note = f"{name}: {(~finite).sum():,} samples are no numbers, silent here"
    return note, np.where(finite, audio, 0)


def first_part(num_samples: int, sample_rate: int) -> int:
    """So many samples of a recording are shown."""
    return min(num_samples, round(_SECONDS * sample_rate))


def _picture(audio: np.ndarray, sample_rate: int | None) -> bytes:
    return spectrograms([audio[None]], sample_rate or 16_000, frames=_WIDTH)[0][0]


def _player(audio: np.ndarray, sample_rate: int) -> str:
    source = uri("audio/wav", sound_file(audio, sample_rate, "WAV"))
    return f'<audio controls style="width:{_WIDTH}px;height:32px" src="{source}"></audio>'


def spectrograms(
    groups: Sequence[np.ndarray], sample_rate: int, *, frames: int = 128
) -> list[list[bytes]]:
    """Log-mel pictures of clips, all on one colour scale.

    Parameters
    ----------
    groups : arrays (n, L, C) of audio with n > 0; channels are averaged for the picture.
    sample_rate : Hz.
    frames : pixels in width, about.

    Returns
    -------
    PNG files for each group. The brightest colour is the loudest point of all groups, the
    darkest lies 80 dB below. Time runs to the right, low frequencies are at the bottom.
    """
    decibels = [_decibels(audio, sample_rate, max(1, audio.shape[1] // frames)) for audio in groups]
    top = max((float(found.max()) for found in decibels), default=0.0)
    return [[_file(1 + (clip - top) / _RANGE_DB, "PNG") for clip in found] for found in decibels]


def sound_pictures(clips: Sequence[np.ndarray], sample_rates: Sequence[int]) -> list[bytes]:
    """Of each clip its waveform above its log-mel spectrogram, all on one colour scale.

    Parameters
    ----------
    clips : audio (L, C) in [-1, 1] of any lengths; channels are averaged.
    sample_rates : Hz of each.

    Returns
    -------
    WebP files, 24 rows of waveform above 64 mel bands, 65 to 128 columns wide.
    """
    alike: dict[tuple[int, int], list[int]] = {}
    for i, (clip, rate) in enumerate(zip(clips, sample_rates, strict=True)):
        # Few lengths, few compilations.
        alike.setdefault((rate, 2 ** int(np.ceil(np.log2(max(len(clip), 256))))), []).append(i)
    decibels = dict[int, np.ndarray]()
    for (rate, length), places in alike.items():
        hop_length = length // 128
        for start in range(0, len(places), 64):
            some = places[start : start + 64]
            batch = np.zeros((len(some), length, 1), np.float32)
            for row, i in enumerate(some):
                batch[row, : len(clips[i])] = clips[i].mean(1, keepdims=True)
            for i, found in zip(some, _decibels(batch, rate, hop_length), strict=True):
                decibels[i] = found[: -(-len(clips[i]) // hop_length)]
    top = max((float(found.max()) for found in decibels.values()), default=0.0)
    return [
        _file(np.hstack([1 + (found - top) / _RANGE_DB, _wave(clips[i], len(found))]), "WEBP")
        for i, found in sorted(decibels.items())
    ]


def _decibels(audio: np.ndarray, sample_rate: int, hop_length: int) -> np.ndarray:
    """Log-mel bands (n, frames, bands) of clips (n, L, C), their channels averaged."""
    # 25 windows a second tell notes apart.
    n_fft = 2 ** int(np.ceil(np.log2(max(sample_rate / 25, 2 * hop_length))))
    found = log_mel(
        np.asarray(audio, np.float32).mean(-1),
        sample_rate=sample_rate,
        top_db=None,
        n_fft=min(n_fft, audio.shape[1]),
        hop_length=hop_length,
        n_mels=_BANDS,
    )
    return np.asarray(found)


def _wave(clip: np.ndarray, columns: int) -> np.ndarray:
    """The waveform as brightness (columns, 24): bright from the least to the largest sample."""
    mono = clip.mean(1)
    ends = np.linspace(0, len(mono), columns + 1).astype(int)
    starts = np.minimum(ends[:-1], len(mono) - 1)
    least, largest = (f.reduceat(mono, starts)[:, None] for f in (np.minimum, np.maximum))
    height = (np.arange(_WAVE)[None] + 0.5) / _WAVE * 2 - 1  # of each row, the lowest first
    inside = (height > least - 1 / _WAVE) & (height < largest + 1 / _WAVE)
    return np.where(inside, 0.8, 0.0)


def spectrogram_colours() -> list[str]:
    """The colours of `spectrograms`, silence first, as CSS."""
    return [f"#{colour}" for colour in _STOPS.split()]


def sound_file(audio: np.ndarray, sample_rate: int, kind: str) -> bytes:
    """Audio (L, C) in [-1, 1] as a file of 16 bits: "WAV", or "FLAC"."""
    import soundfile as sf

    file = io.BytesIO()
    samples = to_pcm(np.asarray(audio)).astype(np.int16)
    sf.write(file, samples, sample_rate, format=kind, subtype="PCM_16")
    return file.getvalue()


def uri(kind: str, content: bytes) -> str:
    """A file's content as the address of itself."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _palette() -> np.ndarray:
    """Magma's 256 colours, within 3 levels: matplotlib is slow to import."""
    stops = [[int(text[i : i + 2], 16) for i in (0, 2, 4)] for text in _STOPS.split()]
    places = np.arange(256), np.linspace(0, 255, len(stops))
    return np.rint([np.interp(*places, channel) for channel in zip(*stops, strict=True)]).T.astype(
        np.uint8
    )


def _file(brightness: np.ndarray, kind: str) -> bytes:
    """(frames, bands) in [0, 1] as a picture: "PNG", or "WEBP", which takes less than half.

    A PNG has a palette: a fourth of the bytes of RGBA.
    """
    from PIL import Image

    levels = np.rint(np.clip(brightness.T[::-1], 0, 1) * 63) * 255 / 63  # fewer compress better
    image = Image.fromarray(np.rint(levels).astype(np.uint8))
    image.putpalette(_palette().tobytes())
    file = io.BytesIO()
    if kind == "PNG":
        image.save(file, kind, optimize=True)
    else:
        image.convert("RGB").save(file, kind, quality=50)
    return file.getvalue()
