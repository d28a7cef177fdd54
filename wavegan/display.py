"""What a notebook and a board show of clips: a player and a spectrogram each."""

from __future__ import annotations

from html import escape

import numpy as np
from jaxtyping import Float

from features.display import cards
from features.pictures import spectrogram_picture

SHOWN = 6  # clips, the first ones
_PICTURE = (128, 128)  # rows and columns of a clip


def clip_pictures(clips: Float[np.ndarray, "n l c"], sample_rate: int | float) -> list[np.ndarray]:
    """A log-mel spectrogram of each clip, mixed to mono, as bytes (128, 128, 3)."""
    hop_length = max(1, clips.shape[1] // _PICTURE[1])
    # 25 windows a second tell notes apart; shorter clips than that take what they have.
    n_fft = 2 ** int(np.ceil(np.log2(max(sample_rate / 25, 2 * hop_length))))
    colours = spectrogram_picture(
        clips.mean(-1),
        sample_rate=sample_rate,
        size=_PICTURE,
        n_fft=min(n_fft, clips.shape[1]),
        hop_length=hop_length,
        n_mels=64,
        cmap="magma",
    )
    return list(np.rint(np.asarray(colours) * 255).astype(np.uint8))


def clips_html(
    summary: str,
    clips: Float[np.ndarray, "n l c"],
    sample_rate: int | None,
    labels: np.ndarray | None,
) -> str:
    """The first clips, each with its picture and, where the sample rate is known, a player."""
    note = f"; the first {SHOWN}:" if len(clips) > SHOWN else ""
    if sample_rate is None:
        asked = escape("generate(…, sample_rate=…)")
        note += f"<br>Their sample rate is not known: <code>{asked}</code> makes them play."
    classes = labels if labels is not None and labels.ndim == 1 else None
    names = [
        f"clip {i}" + ("" if classes is None else f", class {classes[i]}")
        for i in range(min(SHOWN, len(clips)))
    ]
    return cards(summary, list(zip(names, clips[:SHOWN], strict=True)), sample_rate, note)
