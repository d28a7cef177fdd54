"""Containers of sound, with a picture or without, made by PyAV."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

CODECS = {".wma": "wmav2", ".wmv": "wmav2", ".webm": "libopus", ".wv": "wavpack", ".tta": "tta"}
SAMPLES = {"wavpack": "s16p", "tta": "s16"}  # which take 8 bits unless they are told


def write_container(
    path: Path,
    audio: np.ndarray | None,
    rate: int,
    *,
    codec: str | None = None,
    video: float = 0.0,
    options: dict[str, str] | None = None,
) -> Path:
    """Write audio (L, C), or none, with ``video`` seconds of picture; by default in AAC."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(path, "w", options=options or {}) as container:
        sound = picture = None
        if audio is not None:
            name = codec or CODECS.get(path.suffix, "aac")
            sound = container.add_stream(name, rate=rate, layout=_layout(audio))
            sound.bit_rate = 128_000
            if name in SAMPLES:
                sound.codec_context.format = SAMPLES[name]
        if video:
            picture = container.add_stream("mpeg4", rate=10)
            picture.width = picture.height = 32
            picture.pix_fmt = "yuv420p"
            grey = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 99, np.uint8), format="rgb24")
            for frame in [grey] * round(10 * video) + [None]:
                container.mux(picture.encode(frame))
        if sound:
            interleaved = np.ascontiguousarray(audio, np.float32).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(interleaved, format="flt", layout=_layout(audio))
            frame.rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
            for part in (frame, None):
                container.mux(sound.encode(part))
    return path


def _layout(audio: np.ndarray) -> str:
    return {1: "mono", 2: "stereo"}[audio.shape[1]]
