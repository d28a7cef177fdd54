"""What is missing from an audio file that was cut short."""

from __future__ import annotations

import io
import struct
from pathlib import Path


def truncated(promised: int, there: int) -> str:
    return f"truncated: header promises {promised} frames, {there} are there"


def truncation(path: Path, frames: int) -> str | None:
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
    return truncated(promised // width if width else frames * promised // there, frames)
