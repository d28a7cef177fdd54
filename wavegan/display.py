"""What a notebook shows of clips: a player and a spectrogram each, in HTML that holds all of it."""

from __future__ import annotations

import base64
import io
from html import escape

import numpy as np
import soundfile as sf
from jaxtyping import Float

from features.pictures import spectrogram_picture

SHOWN = 6  # clips, the first ones
_PICTURE = (128, 128)  # rows and columns of a clip
_NOMINAL = 16_000  # Hz, of pictures whose sample rate is not known: they have no axis


def clip_pictures(clips: Float[np.ndarray, "n l c"], sample_rate: int | float) -> list[np.ndarray]:
    """A log-mel spectrogram of each clip, mixed to mono, as bytes (128, 128, 3)."""
    hop_length = max(1, clips.shape[1] // _PICTURE[1])
    # 25 windows a second tell notes apart; shorter clips than that take what they have.
    n_fft = 2 ** int(np.ceil(np.log2(max(sample_rate / 25, 2 * hop_length))))
    colours = spectrogram_picture(
        clips.mean(-1),
        sample_rate=sample_rate,
        size=_PICTURE,
        n_fft=n_fft,
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
    first = clips[:SHOWN]
    parts = [f"<p>{escape(summary)}"]
    if len(first) < len(clips):
        parts.append(f"; the first {len(first)}:")
    if sample_rate is None:
        parts.append(
            "<br>Their sample rate is not known: <code>generate(…, sample_rate=…)</code> makes "
            "them play."
        )
    parts.append("</p>")
    for i, (clip, picture) in enumerate(
        zip(first, clip_pictures(first, sample_rate or _NOMINAL), strict=True)
    ):
        name = f"clip {i}"
        if labels is not None and labels.ndim == 1:
            name += f", class {labels[i]}"
        player = "" if sample_rate is None else f"<br>{_player(clip, sample_rate)}"
        parts.append(
            '<figure style="display: inline-block; margin: 4px">'
            f'<img alt="spectrogram of {name}" src="data:image/png;base64,{_png(picture)}">'
            f"{player}<figcaption>{name}</figcaption></figure>"
        )
    return "".join(parts)


def _player(clip: Float[np.ndarray, "l c"], sample_rate: int) -> str:
    file = io.BytesIO()
    sf.write(file, np.clip(clip, -1, 1), sample_rate, format="WAV", subtype="PCM_16")
    encoded = base64.b64encode(file.getvalue()).decode()
    return (
        '<audio controls preload="none" style="width: 128px" '
        f'src="data:audio/wav;base64,{encoded}"></audio>'
    )


def _png(picture: np.ndarray) -> str:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(picture).quantize(64).save(file, "PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode()
