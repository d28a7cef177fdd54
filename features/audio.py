"""Audio out of files, block by block, with every fault named.

The libraries that read and resample are imported where they are used: what computes on arrays
alone runs without them.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Int32, Num

from features._truncation import truncated, truncation
from features.limits import MOST_CHANNELS, check_rate, wrong_rate

_BLOCK = 1 << 16  # frames: half a MiB of stereo, so an hour-long file needs no more than a clip


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


_OURS = (".wav", ".au", ".flac", ".ogg", ".mp3", ".aiff", ".raw")  # of libsndfile


class _UnknownFormat(AudioError):
    """libsndfile does not know what a file is, and by its name another decoder may."""


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
    path : wav, au, flac, ogg, mp3, or whatever else libsndfile reads; what it does not know goes
        through librosa's loader, which takes the decoders of the system (m4a by ffmpeg, say).
    sample_rate : Hz to resample to (soxr, HQ); None keeps the file's own.
    channels : 1 averages the file's channels; more repeats a mono file.
    offset, duration : the part to read, in seconds; None reads to the end.

    Returns
    -------
    audio : (L, channels) float32. Integer files lie in [-1, 1); float files as they are, with a
        warning where that is beyond ±1.
    sample_rate : Hz.

    Raises
    ------
    AudioError
        The file is missing, empty, truncated, damaged, unreadable, has non-finite samples, ends
        before ``offset``, has a sample rate outside 1 kHz … 768 kHz, or a number of channels
        that is above 16 or does not map onto ``channels``.
    ValueError
        A ``sample_rate`` outside 1 kHz … 768 kHz.

    Examples
    --------
    >>> audio, rate = load_audio("blues.00000.wav", sample_rate=16000)  # doctest: +SKIP
    >>> audio.shape  # doctest: +SKIP
    (480213, 1)
    """
    path = Path(path)
    check_rate(sample_rate)
    try:
        file = _open(path)
    except _UnknownFormat as error:
        return _loaded_otherwise(path, sample_rate, channels, offset, duration, error)
    with file:
        rate = sample_rate or file.samplerate
        peaks: list[float] = []
        blocks = list(_blocks(file, path, rate, channels, offset, duration, peaks))
    if (peak := max(peaks, default=0.0)) > 1:
        warnings.warn(
            f"{path}: its samples reach {peak:.4g}, beyond ±1; what expects audio in [-1, 1] will "
            "clip or refuse it: scale it down",
            stacklevel=2,
        )
    return np.concatenate(blocks), rate


def stream_audio(
    path: str | Path,
    *,
    sample_rate: int | None = None,
    channels: int = 1,
    heard: Callable[[np.ndarray, int], object] | None = None,
    opened: Callable[[str, int, int], object] | None = None,
) -> Iterator[Float32[np.ndarray, "n c"]]:
    """The audio of `load_audio` in blocks, in constant memory whatever the file's length.

    What only the decoders of the system read comes as one block.

    Parameters
    ----------
    heard : called with each block (n, channels) as it was before it was resampled, and with the
        file's sample rate.
    opened : called first, with what `described` says of the file, unless that is None.

    Yields
    ------
    (n, channels) float32, n varying and sometimes 0. A fault of the file is raised where it is
    met, a truncation thus after the last whole block.
    """
    path = Path(path)
    check_rate(sample_rate)
    try:
        file = _open(path)
    except _UnknownFormat as error:
        yield _loaded_otherwise(path, sample_rate, channels, 0.0, None, error, heard)[0]
        return
    with file:
        if opened is not None:
            opened(*_about(file))
        rate = sample_rate or file.samplerate
        yield from _blocks(file, path, rate, channels, 0.0, None, heard=heard)


def audio_info(path: str | Path) -> Any:
    """What an audio file's header says, as `soundfile.info`: of any name, in any encoding."""
    import soundfile as sf

    return sf.info(os.fsencode(path))


def described(path: str | Path) -> tuple[str, int, int] | None:
    """Encoding, sample rate in Hz and channels of a file; None where libsndfile cannot say."""
    import soundfile as sf

    try:
        return _about(audio_info(path))
    except (sf.SoundFileError, TypeError):
        return None


def _about(found: Any) -> tuple[str, int, int]:
    return f"{found.format} {found.subtype}", found.samplerate, found.channels


def to_pcm(audio: Num[np.ndarray, "*shape"], bits: int = 16) -> Int32[np.ndarray, "*shape"]:
    """Audio in [-1, 1] as signed integers of ``bits`` bits, rounded, and clipped beyond that range.

    The scale is 2**(bits - 1), the one that reading divides by, so integer files come back exact.
    """
    scale = 2.0 ** (bits - 1)
    wide = audio if bits <= 16 else audio.astype(np.float64)
    return np.clip(np.rint(wide * scale), -scale, scale - 1).astype(np.int32)


def _open(path: Path) -> Any:
    import soundfile as sf

    if not path.is_file():
        raise AudioError(path, "no such file", "check the path")
    if path.stat().st_size == 0:
        raise AudioError(path, "empty: 0 bytes")
    try:
        file = sf.SoundFile(os.fsencode(path))  # bytes: a name may be in another encoding
    except (sf.SoundFileError, TypeError) as error:  # TypeError: headerless .raw
        said = str(getattr(error, "error_string", error)).rstrip(".")
        kind = AudioError if path.suffix.lower() in _OURS else _UnknownFormat
        raise kind(
            path, f"unreadable: {said}", "convert it to wav or flac, or leave it out"
        ) from error
    if file.format == "RAW":  # any .au without a header passes as telephone audio
        reason: str | None = "unreadable: no header"
    elif file.frames == 0:
        reason = "empty: a header without samples"
    elif wrong := wrong_rate(file.samplerate):
        reason = f"damaged: its sample rate {wrong}"
    elif file.channels > MOST_CHANNELS:
        reason = f"damaged: {file.channels} channels, {MOST_CHANNELS} are the most"
    else:
        reason = truncation(path, file.frames)
    if reason is not None:
        file.close()
        raise AudioError(path, reason)
    return file


def _loaded_otherwise(
    path: Path,
    sample_rate: int | None,
    channels: int,
    offset: float,
    duration: float | None,
    error: AudioError,
    heard: Callable[[np.ndarray, int], object] | None = None,
) -> tuple[np.ndarray, int]:
    """`load_audio` by librosa, for what libsndfile does not know; ``error`` if that fails too."""
    import librosa  # slow to import, and seldom needed

    failed = ""
    with warnings.catch_warnings():  # that libsndfile failed is known; decoders leave files open
        warnings.simplefilter("ignore")
        try:
            found, rate = librosa.load(path, sr=None, mono=False, offset=offset, duration=duration)
        except Exception as other:  # each decoder has errors of its own
            failed = str(other).rstrip(".") or type(other).__name__
    if failed:
        raise AudioError(
            path,
            f"{error.reason}, and no other decoder of this system reads it ({failed})",
            "convert it to wav or flac, install ffmpeg, or leave it out",
        ) from error
    if wrong := wrong_rate(rate):
        raise AudioError(path, f"damaged: its sample rate {wrong}")
    audio = np.atleast_2d(found).T
    if not audio.size or not np.isfinite(audio).all():
        what = (
            "non-finite: it has NaN or Inf samples" if audio.size else f"no audio after {offset} s"
        )
        raise AudioError(path, what)
    if audio.shape[1] not in (1, channels) and channels != 1:
        advice = "use channels=1"
        raise AudioError(path, f"{audio.shape[1]} channels, asked for {channels}", advice)
    audio = (
        audio.mean(1, keepdims=True)
        if channels == 1
        else np.broadcast_to(audio, (len(audio), channels))
    )
    audio = np.ascontiguousarray(audio, np.float32)
    if heard is not None:
        heard(audio, int(rate))
    if sample_rate in (None, rate):
        return audio, int(rate)
    import soxr

    return soxr.resample(audio, rate, sample_rate, quality="HQ"), int(sample_rate)


def _blocks(
    file: Any,
    path: Path,
    sample_rate: int,
    channels: int,
    offset: float,
    duration: float | None,
    peaks: list[float] | None = None,
    heard: Callable[[np.ndarray, int], object] | None = None,
) -> Iterator[np.ndarray]:
    """The part asked for; the peak of each block of a float file is added to ``peaks``, and
    ``heard`` is that of `stream_audio`.
    """
    import soundfile as sf
    import soxr

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
            reason = f"damaged or {truncated(file.frames, file.tell())}"
            raise AudioError(path, reason) from error
        if not len(block):
            break
        done += len(block)
        if not np.isfinite(block).all():
            raise AudioError(path, "non-finite: it has NaN or Inf samples")
        if peaks is not None and file.subtype in ("FLOAT", "DOUBLE"):
            peaks.append(float(np.abs(block).max()))
        if channels == 1:
            block = block if file.channels == 1 else block.mean(axis=1, keepdims=True)
        elif file.channels == 1:
            block = np.repeat(block, channels, axis=1)
        if heard is not None:
            heard(block, file.samplerate)
        yield block if resampler is None else resampler.resample_chunk(block)
    # An mp3 says how long it is only roughly; one that decodes to nothing is no audio all the same.
    if done < stop and (file.format != "MP3" or done == start):
        raise AudioError(path, truncated(file.frames, done))
    if resampler is not None:
        yield resampler.resample_chunk(np.zeros((0, channels), np.float32), last=True)


def _range(file: Any, path: Path, offset: float, duration: float | None) -> tuple[int, int]:
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
