"""Decoders of what libsndfile does not read, each with what is used of `soundfile.SoundFile`."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from jaxtyping import Float32

from features.audio import NO_END, AudioError
from features.formats import AUDIOREAD, PYAV

# Of FFmpeg's formats those that are files by themselves: what lists other files, or addresses to
# fetch, is none of them.
_FORMATS = "mov,asf,matroska,avi,aac,tta,wv"
_UNTOLD = ("aac",)  # formats without a header that says how long they are: FFmpeg guesses
_CHECKSUMS = ("wavpack", "tta")  # codecs whose frames have one, of which FFmpeg only warns
_LATE = 0.25  # seconds by which what a header promises may be rounded
_BLOCK = 1 << 16  # frames
_MICROSECONDS = 1e6


class AudioFile(Protocol):
    """What is used of `soundfile.SoundFile`, and the name of the decoder.

    Attributes
    ----------
    frames : as the file promises; `NO_END` where it does not say.
    format, subtype : the names of container and codec.
    """

    decoder: str
    samplerate: int
    channels: int
    frames: int
    format: str
    subtype: str

    def read(
        self, frames: int, dtype: str = "float32", always_2d: bool = True
    ) -> Float32[np.ndarray, "n c"]:
        """The next samples, fewer than ``frames`` at the end."""
        ...

    def seek(self, frames: int) -> Any: ...
    def tell(self) -> int: ...
    def close(self) -> None: ...
    def __enter__(self) -> AudioFile: ...
    def __exit__(self, *_: object) -> None: ...


class _Blocks(ABC):
    """Reads what comes in blocks of any length."""

    _held: np.ndarray
    _done = 0

    @abstractmethod
    def _next(self) -> np.ndarray | None:
        """The next block (n, C), float32; None at the end."""

    def read(
        self, frames: int, dtype: str = "float32", always_2d: bool = True
    ) -> Float32[np.ndarray, "n c"]:
        parts = [self._held[:frames]]
        self._held, left = self._held[frames:], frames - len(parts[0])
        while left and (block := self._next()) is not None:
            parts.append(block[:left])
            self._held, left = block[left:], left - len(parts[-1])
        found = np.concatenate(parts)
        self._done += len(found)
        return found

    def seek(self, frames: int) -> None:
        """Go to a frame by decoding all before it: no container's index is exact to the frame."""
        while self._done < frames and len(self.read(min(_BLOCK, frames - self._done))):
            pass

    def tell(self) -> int:
        return self._done

    @abstractmethod
    def close(self) -> None:
        """Let go of the file, or of what was read of it."""

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class PyAVFile(_Blocks):
    """The sound of a container, decoded by FFmpeg as it is read; of several streams its best.

    Raises
    ------
    AudioError
        No audio in it, or damaged; by reading, too, where the damage is met.
    ImportError
        PyAV is not installed.
    av.FFmpegError
        No container that FFmpeg knows.
    """

    decoder, frames = PYAV, NO_END  # what a header says is not exact to the frame

    def __init__(self, path: Path):
        import av

        self._path, self._ffmpeg_error = path, av.FFmpegError
        self._file = path.open("rb")  # FFmpeg takes some names for addresses
        try:
            self._container: Any = av.open(
                self._file, options={"format_whitelist": _FORMATS}, metadata_errors="replace"
            )
        except BaseException:
            self._file.close()
            raise
        self._decoding: Iterator[np.ndarray] = iter(())
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        container, names = self._container, self._container.format.name.split(",")
        stream = container.streams.best("audio")
        if stream is None or stream.codec_context is None:
            kinds = ", ".join(sorted({one.type for one in container.streams}))
            found = f"no audio in it, only {kinds or 'an empty container'}"
            if stream is not None:
                found = "its audio has a codec that FFmpeg does not know"
            raise AudioError(self._path, found, "convert it to wav or flac, or leave it out")
        if stream.codec_context.name in _CHECKSUMS:
            stream.codec_context.options = {"err_detect": "crccheck+explode"}
        suffix = self._path.suffix[1:].lower()
        self.format = (suffix if suffix in names else names[0]).upper()
        self.subtype = stream.codec_context.name.upper()
        told = container.duration is not None and names[0] not in _UNTOLD
        self._seconds = container.duration / _MICROSECONDS if told else None
        self._format: tuple[int, int] | None = None
        self._decoding = self._decoded(stream)
        first = next(self._decoding, None)
        if first is None or self._format is None:
            raise AudioError(self._path, "empty: a header without samples")
        self._held, (self.samplerate, self.channels) = first, self._format

    def _next(self) -> np.ndarray | None:
        return next(self._decoding, None)

    def _decoded(self, stream: Any) -> Iterator[np.ndarray]:
        """Blocks of samples; that the file is cut is an error after the last one."""
        container, path = self._container, self._path
        end, begin = 0.0, (container.start_time or 0) / _MICROSECONDS
        try:
            # Also of the other streams, which may be longer: their end is the file's.
            for packet in container.demux():
                if packet.is_corrupt:
                    raise AudioError(path, f"damaged or truncated after {end:.2f} s")
                if packet.pts is not None and packet.time_base is not None:
                    after = float((packet.pts + (packet.duration or 0)) * packet.time_base)
                    end = max(end, after - begin)
                if packet.stream.index == stream.index:
                    yield from map(self._samples, packet.decode())
        except self._ffmpeg_error as error:
            raise AudioError(
                path, f"damaged or truncated after {end:.2f} s ({error.strerror})"
            ) from error
        if self._seconds is not None and end < self._seconds - _LATE:
            promised = f"header promises {self._seconds:.2f} s, {end:.2f} s are there"
            raise AudioError(path, f"truncated: {promised}")

    def _samples(self, frame: Any) -> Float32[np.ndarray, "n c"]:
        """The samples of a frame, of whatever type, as libsndfile scales them."""
        found = frame.sample_rate, frame.layout.nb_channels
        if self._format not in (None, found):
            raise AudioError(
                self._path,
                f"damaged: (sample rate, channels) change from {self._format} to {found}",
            )
        self._format = found
        values = frame.to_ndarray()
        values = values.T if frame.format.is_planar else values.reshape(-1, found[1])
        if values.dtype == np.uint8:
            return (values.astype(np.float32) - 128) / 128
        if values.dtype.kind == "i":
            return values.astype(np.float32) * np.float32(2.0 ** (1 - 8 * values.dtype.itemsize))
        return np.ascontiguousarray(values, np.float32)

    def close(self) -> None:
        self._decoding = iter(())  # which holds this object
        self._container.close()
        self._file.close()


class AudioreadFile(_Blocks):
    """A whole file as librosa reads it by audioread, from the decoders of the system."""

    decoder, subtype = AUDIOREAD, ""

    def __init__(self, path: Path):
        import librosa  # slow to import, and seldom needed

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # libsndfile failed; decoders leave files open
            found, rate = librosa.load(path, sr=None, mono=False)
        self._held = np.ascontiguousarray(np.atleast_2d(found).T, np.float32)
        self.frames, self.channels = self._held.shape
        self.samplerate, self.format = int(rate), path.suffix[1:].upper()

    def _next(self) -> None:
        return None

    def close(self) -> None:
        self._held = self._held[:0].copy()
