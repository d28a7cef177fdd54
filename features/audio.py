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
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float32, Int32, Num

from features._truncation import container_truncation, is_container, truncated, truncation
from features.formats import EXTRA, LIBSNDFILE, SUFFIXES
from features.limits import MOST_CHANNELS, check_rate, wrong_rate

if TYPE_CHECKING:
    from features._decoders import AudioFile

_BLOCK = 1 << 16  # frames: half a MiB of stereo, so an hour-long file needs no more than a clip
NO_END = 1 << 62  # frames of a file that does not say how many it has


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


class Source(NamedTuple):
    """What an audio file is.

    Attributes
    ----------
    encoding : of container and codec: "WAV PCM_16", "M4A AAC".
    sample_rate : Hz.
    decoder : what reads it, of `features.formats.DECODERS`.
    """

    encoding: str
    sample_rate: int
    channels: int
    decoder: str


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
    path : wav, au, flac, ogg, mp3, or whatever else libsndfile reads. What it does not know is
        read by PyAV where that is installed, the extra ``decode`` (m4a, wma, aac, the sound of mp4,
        mkv, webm and other videos); else by audioread, which takes the decoders of the system.
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
        The file is missing, empty, truncated, damaged, unreadable, without audio, has non-finite
        samples, ends before ``offset``, has a sample rate outside 1 kHz … 768 kHz, or a number of
        channels that is above 16 or does not map onto ``channels``.
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
    with _open(path) as file:
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
    opened: Callable[[Source], object] | None = None,
) -> Iterator[Float32[np.ndarray, "n c"]]:
    """The audio of `load_audio` in blocks, in constant memory whatever the file's length.

    What only audioread reads is in memory as a whole.

    Parameters
    ----------
    heard : called with each block (n, channels) as it was before it was resampled, and with the
        file's sample rate.
    opened : called first, with what the file is.

    Yields
    ------
    (n, channels) float32, n varying and sometimes 0. A fault of the file is raised where it is
    met, a truncation thus after the last whole block.
    """
    path = Path(path)
    check_rate(sample_rate)
    with _open(path) as file:
        if opened is not None:
            opened(_source(file))
        rate = sample_rate or file.samplerate
        yield from _blocks(file, path, rate, channels, 0.0, None, heard=heard)


def audio_info(path: str | Path) -> Any:
    """What an audio file's header says, as `soundfile.info`: of any name, in any encoding."""
    import soundfile as sf

    return sf.info(os.fsencode(path))


def described(path: str | Path) -> Source | None:
    """What an audio file is; None where no decoder can say."""
    import soundfile as sf

    try:
        return _source(audio_info(path))
    except (sf.SoundFileError, TypeError):
        pass
    try:
        with _open(Path(path)) as file:
            return _source(file)
    except AudioError:
        return None


def _source(found: Any) -> Source:
    encoding = f"{found.format} {found.subtype}".strip()
    decoder = getattr(found, "decoder", LIBSNDFILE)
    return Source(encoding, found.samplerate, found.channels, decoder)


def to_pcm(audio: Num[np.ndarray, "*shape"], bits: int = 16) -> Int32[np.ndarray, "*shape"]:
    """Audio in [-1, 1] as signed integers of ``bits`` bits, rounded, and clipped beyond that range.

    The scale is 2**(bits - 1), the one that reading divides by, so integer files come back exact.
    """
    scale = 2.0 ** (bits - 1)
    wide = audio if bits <= 16 else audio.astype(np.float64)
    return np.clip(np.rint(wide * scale), -scale, scale - 1).astype(np.int32)


def _open(path: Path) -> Any:
    """A file, checked as far as that goes without reading it: a SoundFile, or an `AudioFile`."""
    import soundfile as sf

    if not path.is_file():
        raise AudioError(path, "no such file", "check the path")
    if path.stat().st_size == 0:
        raise AudioError(path, "empty: 0 bytes")
    try:
        file: Any = sf.SoundFile(os.fsencode(path))  # bytes: a name may be in another encoding
    except (sf.SoundFileError, TypeError) as error:  # TypeError: headerless .raw
        said = str(getattr(error, "error_string", error)).rstrip(".")
        if path.suffix.lower() in (*SUFFIXES, ".raw") and not is_container(path):
            advice = "convert it to wav or flac, or leave it out"
            raise AudioError(path, f"unreadable: {said}", advice) from error
        file = _opened_otherwise(path, said)
    if file.format == "RAW":  # any .au without a header passes as telephone audio
        reason: str | None = "unreadable: no header"
    elif file.frames == 0:
        reason = "empty: a header without samples"
    elif wrong := wrong_rate(file.samplerate):
        reason = f"damaged: its sample rate {wrong}"
    elif file.channels > MOST_CHANNELS:
        reason = f"damaged: {file.channels} channels, {MOST_CHANNELS} are the most"
    else:
        reason = truncation(path, file.frames) if isinstance(file, sf.SoundFile) else None
    if reason is not None:
        file.close()
        raise AudioError(path, reason)
    return file


def _opened_otherwise(path: Path, said: str) -> AudioFile:
    """A file of which libsndfile ``said`` that it can't read it, by the next decoder that can."""
    from features._decoders import AudioreadFile, PyAVFile

    if (reason := container_truncation(path)) is not None:
        raise AudioError(path, reason)
    failures, advice = [f"libsndfile: {said}"], "install ffmpeg"
    for kind in (PyAVFile, AudioreadFile):
        try:
            return kind(path)
        except AudioError:
            raise
        except ImportError:
            failures.append(f"{kind.decoder}: not installed, {EXTRA}")
            advice = EXTRA
        except Exception as error:  # each decoder has errors of its own
            why = getattr(error, "strerror", None) or str(error) or type(error).__name__
            failures.append(f"{kind.decoder}: {why.rstrip('.')}")
    reason = f"unreadable: no decoder takes it ({'; '.join(failures)})"
    raise AudioError(path, reason, f"convert it to wav or flac, {advice}, or leave it out")


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
        if file.tell() < start:  # of a container that does not say how long it is
            raise _ended(path, file.tell() / file.samplerate, offset)
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
    # An mp3 says how long it is only roughly, and a container raises its own error; what decodes to
    # nothing is no audio all the same.
    if done == start and done < stop and file.frames == NO_END:
        raise _ended(path, done / file.samplerate, offset)
    if done < stop and (done == start or (file.format != "MP3" and file.frames < NO_END)):
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
        raise _ended(path, file.frames / file.samplerate, offset)
    if duration is None:
        return start, file.frames
    return start, min(file.frames, start + max(1, round(duration * file.samplerate)))


def _ended(path: Path, seconds: float, offset: float) -> AudioError:
    found = f"ends after {seconds:.2f} s, before offset={offset}"
    return AudioError(path, found, "start earlier")
