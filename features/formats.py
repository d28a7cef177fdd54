"""Which files are audio, by their suffix, and what reads them."""

from __future__ import annotations

import importlib.util
from pathlib import Path

SUFFIXES = (  # that libsndfile reads, and of which `features._truncation` tells a part
    *(".wav", ".au", ".flac", ".ogg", ".mp3"),
    *(".aif", ".aifc", ".aiff", ".caf", ".mp2", ".oga", ".opus", ".rf64", ".snd", ".w64", ".wave"),
)
CONTAINERS = (  # that PyAV reads; of the last ones it is the sound of a video
    *(".aac", ".m4a", ".m4b", ".mka", ".tta", ".wma", ".wv"),
    *(".3gp", ".avi", ".m4v", ".mkv", ".mov", ".mp4", ".webm", ".wmv"),
)
OTHERS = (".ac3", ".amr", ".ape", ".dsf", ".ra", ".spx", ".voc")  # audio that is not read
LIBSNDFILE, PYAV, AUDIOREAD = DECODERS = ("libsndfile", "PyAV", "audioread")  # tried in this order
EXTRA = "pip install '.[decode]'"  # brings PyAV


def has_pyav() -> bool:
    """Whether PyAV, the extra ``decode``, is installed."""
    return importlib.util.find_spec("av") is not None


def readable_suffixes() -> tuple[str, ...]:
    """The suffixes of files that are read from data sets and folders here."""
    return SUFFIXES + CONTAINERS * has_pyav()


def is_readable(path: Path) -> bool:
    """Whether a file is read from data sets and folders here, by its suffix."""
    return path.suffix.lower() in readable_suffixes()


def unread(path: Path) -> str | None:
    """Why a file, of audio by its suffix, is not read, and what to do; None where it is read."""
    suffix = path.suffix.lower()
    if suffix in OTHERS:
        return f"{suffix} is not read: convert it to wav or flac"
    if suffix in CONTAINERS and not has_pyav():
        return f"{suffix} is not read without PyAV: {EXTRA}, or convert it to wav or flac"
    return None


def is_audio(path: Path) -> bool:
    """Whether a file is audio, or a video, by its suffix, read or not."""
    return path.suffix.lower() in (*SUFFIXES, *CONTAINERS, *OTHERS)
