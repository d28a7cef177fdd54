"""Audio files in and out, block by block, with every fault named."""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile as sf
import soxr
from jaxtyping import Array, Float32, Int32, Num

from features.storage import replacing

WRITABLE = {".wav": "WAV", ".flac": "FLAC", ".ogg": "OGG"}
_BLOCK = 1 << 16  # frames: half a MiB of stereo, so an hour-long file needs no more than a clip
_INTEGER_BITS = {"PCM_S8": 8, "PCM_U8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32}


class AudioError(ValueError):
    """A file whose audio cannot be used.

    Attributes
    ----------
    path : the file.
    reason : what is wrong, short: ``"truncated: header promises 661794 frames, 1200 are there"``.
    """

    def __init__(
        self,
        path: str | Path,
        reason: str,
        advice: str = "replace it with a whole copy or leave it out",
    ) -> None:
        self.path = Path(path)
        self.reason = reason
        super().__init__(f"{path}: {reason}; {advice}")


def load_audio(
    path: str | Path,
    *,
    sample_rate: int | None = None,
    channels: int = 1,
    offset: float = 0.0,
    duration: float | None = None,
) -> tuple[Float32[np.ndarray, "l c"], int]:
    """Read an audio file.

    Parameters
    ----------
    path : wav, au, flac, ogg, mp3, or whatever else libsndfile reads.
    sample_rate : Hz to resample to (soxr, HQ); None keeps the file's own.
    channels : 1 averages the file's channels; more repeats a mono file.
    offset, duration : the part to read, in seconds; None reads to the end.

    Returns
    -------
    audio : (L, channels) float32. Integer files lie in [-1, 1); float files as they are.
    sample_rate : Hz.

    Raises
    ------
    AudioError
        The file is missing, empty, truncated, unreadable, has non-finite samples, ends before
        ``offset``, or has a number of channels that does not map onto ``channels``.

    Examples
    --------
    >>> audio, rate = load_audio("blues.00000.wav", sample_rate=16000)  # doctest: +SKIP
    >>> audio.shape  # doctest: +SKIP
    (480213, 1)
    """
    path = Path(path)
    with _open(path) as file:
        rate = sample_rate or file.samplerate
        return np.concatenate(list(_blocks(file, path, rate, channels, offset, duration))), rate


def stream_audio(
    path: str | Path, *, sample_rate: int | None = None, channels: int = 1
) -> Iterator[Float32[np.ndarray, "n c"]]:
    """The audio of `load_audio` in blocks, in constant memory whatever the file's length.

    Yields
    ------
    (n, channels) float32, n varying and sometimes 0. A fault of the file is raised where it is
    met, a truncation thus after the last whole block.
    """
    path = Path(path)
    with _open(path) as file:
        yield from _blocks(file, path, sample_rate or file.samplerate, channels, 0.0, None)


def save_audio(
    path: str | Path,
    audio: Num[Array, "*shape"] | Num[np.ndarray, "*shape"],
    sample_rate: int,
    *,
    subtype: str = "PCM_16",
) -> None:
    """Write a recording, whole or not at all.

    Parameters
    ----------
    path : the suffix gives the format: wav, flac or ogg.
    audio : (L,) or (L, C), floating, in [-1, 1].
    sample_rate : Hz.
    subtype : as in soundfile; ogg takes Vorbis instead of the default.
        16-bit values read by `load_audio` are written back unchanged.

    Raises
    ------
    ValueError
        An unknown suffix or subtype, another shape, NaN or Inf, or a peak beyond ±1, which only
        the subtypes ``"FLOAT"`` and ``"DOUBLE"`` can hold.
    OSError
        The file system refuses, a full disk for one.
    """
    path = Path(path)
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
        for start in range(
            0, len(samples), _BLOCK
        ):  # libvorbis overflows its stack on one long write
            file.write(samples[start : start + _BLOCK])
    with replacing(path) as temporary:
        temporary.write_bytes(encoded.getbuffer())


def to_pcm(audio: Num[np.ndarray, "*shape"], bits: int = 16) -> Int32[np.ndarray, "*shape"]:
    """Audio in [-1, 1] as signed integers of ``bits`` bits, rounded, and clipped beyond that range.

    The scale is 2**(bits - 1), the one that reading divides by, so integer files come back exact.
    """
    scale = 2.0 ** (bits - 1)
    wide = audio if bits <= 16 else audio.astype(np.float64)
    return np.clip(np.rint(wide * scale), -scale, scale - 1).astype(np.int32)


def _checked(path: Path, audio: np.ndarray, subtype: str) -> np.ndarray:
    """``audio`` as a float (L, C) that can be written, or a ValueError."""
    if audio.ndim not in (1, 2) or audio.size == 0 or (audio.ndim == 2 and audio.shape[1] > 16):
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


def _open(path: Path) -> sf.SoundFile:
    if not path.is_file():
        raise AudioError(path, "no such file", "check the path")
    if path.stat().st_size == 0:
        raise AudioError(path, "empty: 0 bytes")
    try:
        file = sf.SoundFile(path)
    except (sf.SoundFileError, TypeError) as error:  # TypeError: headerless .raw
        said = str(getattr(error, "error_string", error)).rstrip(".")
        raise AudioError(
            path, f"unreadable: {said}", "convert it to wav or flac, or leave it out"
        ) from error
    if file.format == "RAW":  # any .au without a header passes as telephone audio
        reason: str | None = "unreadable: no header"
    elif file.frames == 0:
        reason = "empty: a header without samples"
    else:
        reason = _truncation(path, file.frames)
    if reason is not None:
        file.close()
        raise AudioError(path, reason)
    return file


def _blocks(
    file: sf.SoundFile,
    path: Path,
    sample_rate: int,
    channels: int,
    offset: float,
    duration: float | None,
) -> Iterator[np.ndarray]:
    start, stop = _range(file, path, offset, duration)
    if file.channels not in (1, channels) and channels != 1:
        raise AudioError(path, f"{file.channels} channels, asked for {channels}", "use channels=1")
    resampler = None
    if sample_rate != file.samplerate:
        resampler = soxr.ResampleStream(
            file.samplerate, sample_rate, channels, dtype="float32", quality="HQ"
        )
    if start:
        file.seek(start)
    done = start
    while done < stop:
        try:
            block = file.read(min(_BLOCK, stop - done), dtype="float32", always_2d=True)
        except sf.SoundFileError as error:
            reason = f"damaged or {_truncated(file.frames, file.tell())}"
            raise AudioError(path, reason) from error
        if not len(block):
            break
        done += len(block)
        if not np.isfinite(block).all():
            raise AudioError(path, "non-finite: it has NaN or Inf samples")
        if channels == 1:
            block = block.mean(axis=1, keepdims=True)
        elif file.channels == 1:
            block = np.repeat(block, channels, axis=1)
        yield block if resampler is None else resampler.resample_chunk(block)
    # An mp3 says how long it is only roughly; one that decodes to nothing is no audio all the same.
    if done < stop and (file.format != "MP3" or done == start):
        raise AudioError(path, _truncated(file.frames, done))
    if resampler is not None:
        yield resampler.resample_chunk(np.zeros((0, channels), np.float32), last=True)


def _range(
    file: sf.SoundFile, path: Path, offset: float, duration: float | None
) -> tuple[int, int]:
    """First and last frame of a part given in seconds."""
    if not (math.isfinite(offset) and offset >= 0):
        raise ValueError(f"offset={offset}: give seconds from the start, 0 or more")
    if duration is not None and not (math.isfinite(duration) and duration > 0):
        raise ValueError(f"duration={duration}: give seconds above 0, or None for all")
    start = round(offset * file.samplerate)
    if start >= file.frames:
        seconds = file.frames / file.samplerate
        raise AudioError(
            path, f"ends after {seconds:.2f} s, before offset={offset}", "start earlier"
        )
    if duration is None:
        return start, file.frames
    return start, min(file.frames, start + max(1, round(duration * file.samplerate)))


def _truncated(promised: int, there: int) -> str:
    return f"truncated: header promises {promised} frames, {there} are there"


def _truncation(path: Path, frames: int) -> str | None:
    """What is missing from a file in which libsndfile found ``frames``; None where nothing is.

    libsndfile reads a cut wav, au or ogg as a shorter one without a word, so the size fields are
    read here: RIFF's ``data`` chunk, au's third word, the segment table of the last ogg page.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(12)
        if head[:4] in (b"RIFF", b"RIFX") and head[8:] == b"WAVE":
            order = "<" if head[:4] == b"RIFF" else ">"
            while len(chunk := file.read(8)) == 8:
                name, length = struct.unpack(order + "4sI", chunk)
                if name == b"data":
                    return _compared(length, size - file.tell(), frames)
                file.seek(length + length % 2, io.SEEK_CUR)
        elif head[:4] == b".snd":
            start, length = struct.unpack(">II", head[4:])
            return _compared(length, size - start, frames)
        elif head[:4] == b"OggS":
            file.seek(max(0, size - (1 << 17)))  # a page has at most 65307 bytes
            tail = file.read()
            page = tail[tail.rfind(b"OggS") :]
            segments = page[26] if len(page) > 26 else 255
            table = page[27 : 27 + segments]
            if len(table) < segments or len(page) < 27 + segments + sum(table):
                return f"truncated: its last page is cut, after {frames} frames"
    return None


def _compared(promised: int, there: int, frames: int) -> str | None:
    """The verdict on a size field in bytes.

    Sizes near 2**31 and 2**32 are a stream's "unknown"; a few bytes too many are of writers that
    count the header in.
    """
    if promised >= 0x7FFF0000 or promised - there <= 64:
        return None
    width = there // frames  # bytes a frame; 0 for codecs with less than one
    return _truncated(promised // width if width else frames * promised // there, frames)
