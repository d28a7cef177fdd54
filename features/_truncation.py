"""What is missing from an audio file that was cut short, or damaged where decoders say nothing."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

_W64 = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00"
_W64_DATA = b"data\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a"
_ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")  # the object that a wma begins with
_ASF_FILE = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")  # the one that says its size
_MATROSKA, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
_BOXES = (b"ftyp", b"mdat", b"moov", b"moof")  # of mp4: those without which there is no sound
_LAST = 4  # in the flags of an ogg's page: no page of the stream follows
_ROUGHLY = 2304  # samples at an mp3's ends that a decoder may leave out
_LONGEST_FRAME = 2048  # bytes of an mp3's frame, about
# kbit/s of MPEG audio, by the bits of the version (2 is of 2.5, too) and of the layer.
_KBITS = {
    (3, 3): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (3, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (3, 1): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 3): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 1): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES = (44100, 48000, 32000)  # Hz of version 1; the half of version 2, a quarter of 2.5
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))  # the bits of each byte


def truncated(promised: int, there: int) -> str:
    return f"truncated: header promises {promised} frames, {there} are there"


def truncation(path: Path, frames: int) -> str | None:
    """What is wrong with a file in which libsndfile found ``frames``; None where nothing is.

    libsndfile reads a cut wav (RF64 and W64 too), aiff, au, mp3 or ogg as a shorter one without
    a word, and an ogg with garbage inside, so the size fields are read here: of the ``data`` or
    ``SSND`` chunk, au's third word, an mp3's Xing header and its frames, and every page of an
    ogg, the last of which says that it is the last. An mp3 without a Xing header that is cut
    between two frames is one that ends there, and nothing in it tells of more.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(16)
        if head[:4] in (b"RIFF", b"RIFX", b"RF64") and head[8:12] == b"WAVE":
            return _of_chunks(file, ">" if head[:4] == b"RIFX" else "<", b"data", size, frames)
        if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
            return _of_chunks(file, ">", b"SSND", size, frames)
        if head == _W64:
            return _of_w64(file, size, frames)
        if head[:4] == b".snd":
            start, length = struct.unpack(">II", head[4:12])
            return _compared(length, size - start, frames)
        if head[:4] == b"OggS":
            return _of_pages(file, frames)
        return _of_mp3(file, size, frames)


def is_container(path: Path) -> bool:
    """Whether a file, whatever its name, begins as an mp4 (m4a), a matroska (webm) or a wma."""
    with path.open("rb") as file:
        head = file.read(16)
    return head[4:8] == b"ftyp" or head[:4] == _MATROSKA or head == _ASF


def container_truncation(path: Path) -> str | None:
    """What is missing of an mp4, matroska, wma or avi, by its own size fields; None of others.

    Decoders play what is there of a cut one, or say only that it is invalid.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(16)
        file.seek(0)
        promised = None
        if head[4:8] == b"ftyp":
            promised = _end_of_boxes(file, size)
        elif head[:4] == _MATROSKA:
            promised = _end_of_segment(file)
        elif head == _ASF:
            promised = _end_of_asf(file)
        elif head[:4] == b"RIFF" and head[8:12] == b"AVI ":
            promised = 8 + int.from_bytes(head[4:8], "little")
    if promised is None or promised <= size:
        return None
    return f"truncated: header promises {promised} bytes, {size} are there"


def _end_of_boxes(file: BinaryIO, size: int) -> int:
    """Where the boxes of an mp4 end that hold its sound and its index."""
    start = end = 0
    while start < size:
        file.seek(start)
        head = file.read(16)
        length, name = int.from_bytes(head[:4], "big"), head[4:8]
        if length == 1:  # the length has 64 bits
            length = int.from_bytes(head[8:], "big")
        if length < 8:  # up to the end of the file, or no box any more
            break
        start += length
        end = start if name in _BOXES else end
    return end


def _end_of_segment(file: BinaryIO) -> int | None:
    """Where a matroska's segment, all but its header, ends; None where that is not known."""
    file.seek(4)
    file.seek(_variable(file) or 0, io.SEEK_CUR)
    if file.read(4) != _SEGMENT or (length := _variable(file)) is None:
        return None
    return file.tell() + length


def _variable(file: BinaryIO) -> int | None:
    """A number of matroska: as many zeros lead as bytes follow the first; all ones are unknown."""
    first = (file.read(1) or b"\0")[0]
    more = 8 - first.bit_length()
    bits = 7 * (more + 1)
    value = int.from_bytes(bytes([first]) + file.read(more), "big") & ((1 << bits) - 1)
    return None if value == (1 << bits) - 1 else value


def _end_of_asf(file: BinaryIO) -> int | None:
    """The size that a wma says of itself; None of one that was sent while it was made."""
    start, count = 30, int.from_bytes(file.read(28)[24:28], "little")
    for _ in range(min(count, 64)):
        file.seek(start)
        head = file.read(24)
        if head[:16] == _ASF_FILE:
            properties = file.read(68)
            live = properties[64:65] and properties[64] & 1
            return None if live else int.from_bytes(properties[16:24], "little")
        start += max(24, int.from_bytes(head[16:24], "little"))
    return None


def _of_chunks(file: BinaryIO, order: str, wanted: bytes, size: int, frames: int) -> str | None:
    """The verdict on a file of named chunks, whose sizes have 32 bits, of RF64 a table of 64."""
    file.seek(4)
    end = min(size, 8 + struct.unpack(order + "I", file.read(4))[0])
    file.seek(12)
    whole = 0
    while len(chunk := file.read(8)) == 8:
        name, length = struct.unpack(order + "4sI", chunk)
        start = file.tell()
        if name == b"ds64" and len(table := file.read(16)) == 16:
            whole = struct.unpack("<QQ", table)[1]
        if name == wanted:
            if whole and length == 0xFFFFFFFF:
                return _compared(whole, size - start, frames, bound=2**62)
            cut, after = _compared(length, size - start, frames), start + length + length % 2
            return cut or _damaged_after(file, order, after, end)
        file.seek(start + length + length % 2)
    return None


def _damaged_after(file: BinaryIO, order: str, start: int, end: int) -> str | None:
    """What is wrong where chunks do not lead from the audio to the ``end`` that the file says."""
    at = start
    while at + 8 <= end:
        file.seek(at)
        name, length = struct.unpack(order + "4sI", file.read(8))
        if not (name.isascii() and name.decode().isprintable()) or at + 8 + length > end:
            return f"damaged: {end - start} bytes follow the audio that are no part of it"
        at += 8 + length + length % 2
    return None


def _of_w64(file: BinaryIO, size: int, frames: int) -> str | None:
    """The verdict on a W64: chunks by GUID, whose sizes count their 24 bytes of header in."""
    file.seek(40)
    while len(chunk := file.read(24)) == 24:
        length = struct.unpack("<Q", chunk[16:])[0] - 24
        if chunk[:16] == _W64_DATA or length < 0:
            return _compared(length, size - file.tell(), frames, bound=2**62)
        file.seek(length + -length % 8, io.SEEK_CUR)
    return None


def _of_pages(file: BinaryIO, frames: int) -> str | None:
    """The verdict on an ogg: pages one after another, each with its checksum."""
    file.seek(0)
    ended, numbers = False, dict[bytes, int]()  # of each stream the number of its next page
    while head := file.read(27):
        at = file.tell() - len(head)
        table = file.read(head[26]) if len(head) == 27 else b""
        if head[:4] == b"OggS"[: len(head)]:
            body = file.read(sum(table))
            if len(head) < 27 or len(table) < head[26] or len(body) < sum(table):
                return f"truncated: its last page is cut, after {frames} frames"
            found = _page_checksum(head[:22] + bytes(4) + head[26:] + table + body)
            if found == int.from_bytes(head[22:26], "little"):
                stream, number = head[14:18], int.from_bytes(head[18:22], "little")
                if number != numbers.get(stream, number):
                    return f"damaged: pages before byte {at} are missing"
                numbers[stream], ended = number + 1, bool(head[5] & _LAST)
                continue
        return f"damaged: the page at byte {at} is none, or not as it was written"
    return None if ended else f"truncated: its last page is missing, after {frames} frames"


def _page_checksum(page: bytes) -> int:
    """Ogg's CRC-32, by zlib's: of the same polynomial, but with every bit order turned."""
    turned = zlib.crc32(page.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int.from_bytes(turned.to_bytes(4, "little").translate(_REVERSED), "big")


def _of_mp3(file: BinaryIO, size: int, frames: int) -> str | None:
    """The verdict on an mp3: its first frame may say how many bytes there are; None of others.

    Where it doesn't, libsndfile takes the first frames for all, and leaves the end out where
    later ones take more time for their bytes.
    """
    file.seek(0)
    head, start = file.read(10), 0
    if head[:3] == b"ID3" and len(head) == 10:  # a tag first, its length in 4 times 7 bits
        start = 10 + sum(byte << 7 * (3 - i) for i, byte in enumerate(head[6:]))
    file.seek(start)
    frame = file.read(200)
    if frame[:1] != b"\xff":
        return None
    tag = max(frame.find(b"Xing"), frame.find(b"Info"))
    if tag >= 0 and len(frame) >= tag + 16 and frame[tag + 7] & 2:  # 2: it says the bytes
        (promised,) = struct.unpack_from(">I", frame, tag + (12 if frame[tag + 7] & 1 else 8))
        if (there := size - start) + _LONGEST_FRAME < promised:
            return f"truncated: header promises {promised} bytes of audio, {there} are there"
    file.seek(start)
    whole, told = 0, tag >= 0 or b"VBRI" in frame
    while (found := mpeg_frame(file.read(4))) is not None:
        length, samples = found
        if start + length > size:
            there = size - start
            return f"truncated: its last frame has {length} bytes, {there} are there"
        start, whole = start + length, whole + samples
        file.seek(start)
    if not told and whole - frames > _ROUGHLY:
        return f"no header says that it has {whole} frames, of which {frames} can be read"
    return None


def mpeg_frame(head: bytes) -> tuple[int, int] | None:
    """Bytes and samples of the MPEG audio frame that begins so; None where it is none."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    kbits, rate, padding = head[2] >> 4, head[2] >> 2 & 3, head[2] >> 1 & 1
    if version == 1 or layer == 0 or kbits in (0, 15) or rate == 3:
        return None
    bits = 1000 * _KBITS[3 if version == 3 else 2, layer][kbits - 1]
    hertz = _RATES[rate] // {3: 1, 2: 2, 0: 4}[version]
    if layer == 3:
        return 4 * (12 * bits // hertz + padding), 384
    samples = 576 if layer == 1 and version != 3 else 1152
    return samples // 8 * bits // hertz + padding, samples


def _compared(promised: int, there: int, frames: int, bound: int = 0x7FFF0000) -> str | None:
    """The verdict on a size field in bytes.

    Sizes near 2**31 and 2**32, the ``bound`` of fields of 32 bits, are a stream's "unknown"; a
    few bytes too many are of writers that count the header in.
    """
    if promised >= bound or promised - there <= 64:
        return None
    width = there // frames  # bytes a frame; 0 for codecs with less than one
    return truncated(promised // width if width else frames * promised // there, frames)
