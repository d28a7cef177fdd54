"""Audio into files, whole or not at all."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from jaxtyping import Array, Num

from features.audio import to_pcm
from features.limits import MOST_CHANNELS, check_rate
from features.storage import replacing

WRITABLE = {".wav": "WAV", ".flac": "FLAC", ".ogg": "OGG"}
_BLOCK = 1 << 16  # frames: libvorbis overflows its stack on one long write
_INTEGER_BITS = {"PCM_S8": 8, "PCM_U8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32}


def save_audio(
    path: str | Path,
    audio: Num[Array, "*shape"] | Num[np.ndarray, "*shape"],
    sample_rate: int,
    *,
    subtype: str = "PCM_16",
    comment: str = "",
) -> None:
    """Write a recording, whole or not at all.

    Parameters
    ----------
    path : the suffix gives the format: wav, flac or ogg.
    audio : (L,) or (L, C), floating, in [-1, 1].
    sample_rate : Hz.
    subtype : as in soundfile; ogg takes Vorbis instead of the default.
        16-bit values read by `load_audio` are written back unchanged.
    comment : kept in the file's metadata: `features.generated` has one.

    Raises
    ------
    ValueError
        An unknown suffix or subtype, a rate outside 1 kHz … 768 kHz, another shape, NaN or Inf,
        or a peak beyond ±1, which only the subtypes ``"FLOAT"`` and ``"DOUBLE"`` can hold.
    OSError
        The file system refuses, a full disk for one.
    """
    import soundfile as sf

    path = Path(path)
    check_rate(sample_rate, f"{path}: its sample rate")
    kind = WRITABLE.get(path.suffix.lower())
    if kind is None:
        raise ValueError(
            f"{path}: cannot write {path.suffix or 'no suffix'!r}; use .wav, .flac or .ogg"
        )
    if kind == "OGG" and subtype == "PCM_16":
        subtype = "VORBIS"
    if not sf.check_format(kind, subtype):
        accepted = ", ".join(sf.available_subtypes(kind))
        raise ValueError(f"{path}: {kind} has no subtype {subtype!r}; it takes {accepted}")
    samples = _checked(path, np.asarray(audio), subtype)
    if subtype in _INTEGER_BITS:
        bits = _INTEGER_BITS[subtype]
        samples = to_pcm(samples, bits) << (32 - bits)
    encoded = io.BytesIO()  # libsndfile hides a full disk; Python's own write does not
    with sf.SoundFile(encoded, "w", sample_rate, samples.shape[1], subtype, format=kind) as file:
        if comment:
            file.comment = comment
        for start in range(0, len(samples), _BLOCK):
            file.write(samples[start : start + _BLOCK])
    with replacing(path) as temporary:
        # No view: one that an error's frames hold crashes CPython 3.12.1 as it ends.
        temporary.write_bytes(encoded.getvalue())


def _checked(path: Path, audio: np.ndarray, subtype: str) -> np.ndarray:
    """``audio`` as a float (L, C) that can be written, or a ValueError."""
    if (
        audio.ndim not in (1, 2)
        or audio.size == 0
        or (audio.ndim == 2 and audio.shape[1] > MOST_CHANNELS)
    ):
        raise ValueError(
            f"{path}: audio has shape {audio.shape}; give (L,) or (L, C), channels last"
        )
    if not np.issubdtype(audio.dtype, np.floating):
        raise ValueError(f"{path}: audio is {audio.dtype}; give floats in [-1, 1]")
    if not np.isfinite(audio).all():
        count = int((~np.isfinite(audio)).sum())
        raise ValueError(f"{path}: {count} of {audio.size} samples are NaN or Inf; not written")
    peak = float(np.abs(audio).max())
    if peak > 1 and subtype not in ("FLOAT", "DOUBLE"):
        raise ValueError(
            f"{path}: the peak is {peak:.4g}, beyond ±1, which {subtype} cannot hold; "
            "scale the audio, or write a wav with subtype='FLOAT'"
        )
    audio = audio.astype(np.float64 if audio.dtype == np.float64 else np.float32, copy=False)
    return audio[:, None] if audio.ndim == 1 else audio
