"""How audio shows itself in a notebook: a line, a player and a spectrogram."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape

import numpy as np
import soundfile as sf

from features.audio import to_pcm
from features.spectra import log_mel

_HEIGHT = 64  # of a picture, mel bands and pixels
_WIDTH = 240  # frames, about
_SECONDS = 30.0  # that a player holds, at most


def cards(title: str, sounds: Sequence[tuple[str, np.ndarray]], sample_rate: int) -> str:
    """A line of plain text and, under it, each sound with its name, as HTML.

    Parameters
    ----------
    title : plain text.
    sounds : names, and audio (L, C) in [-1, 1].
    sample_rate : Hz.
    """
    shown = "".join(
        f'<figure style="display:inline-block;margin:4px 8px 4px 0">'
        f'<img alt="Spectrogram of {escape(name)}" style="display:block;width:{_WIDTH}px;'
        f'height:{_HEIGHT}px" src="{_uri("image/png", _spectrogram(audio, sample_rate))}">'
        f'<audio controls style="width:{_WIDTH}px;height:32px" '
        f'src="{_uri("audio/wav", _wav(audio, sample_rate))}"></audio>'
        f"<figcaption><small>{escape(name)}</small></figcaption></figure>"
        for name, audio in sounds
    )
    return f"<div><code>{escape(title)}</code><br>{shown}</div>"


def first_part(num_samples: int, sample_rate: int) -> int:
    """So many samples of a recording are shown."""
    return min(num_samples, round(_SECONDS * sample_rate))


def _spectrogram(audio: np.ndarray, sample_rate: int) -> bytes:
    """A grey PNG of the mono sound, time to the right, low at the bottom."""
    from PIL import Image

    mono = np.asarray(audio, np.float32).mean(-1)
    n_fft = max(64, min(2048, 2 ** int(np.log2(max(2, len(mono) // 4)))))
    hop_length = max(1, len(mono) // _WIDTH)
    decibels = np.asarray(
        log_mel(mono, sample_rate=sample_rate, n_fft=n_fft, hop_length=hop_length, n_mels=_HEIGHT)
    )
    brightness = 1 + (decibels.T[::-1] - decibels.max()) / 80
    picture = Image.fromarray((255 * np.clip(brightness, 0, 1)).astype(np.uint8))
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def _wav(audio: np.ndarray, sample_rate: int) -> bytes:
    file = io.BytesIO()
    sf.write(file, to_pcm(np.asarray(audio)).astype(np.int16), sample_rate, format="WAV")
    return file.getvalue()


def _uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
