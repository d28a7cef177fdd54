"""Broken audio, made here: refused by name and reason, or decoded as all that it holds."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from features import AudioError, decode_tracks, load_audio
from features._truncation import mpeg_frame
from features.dataset import Track

RATE, FRAMES = 16000, 16000
NOISE = np.random.default_rng(0).uniform(-0.5, 0.5, (FRAMES, 1))


def encoded(kind: str, audio=NOISE, rate=RATE, **more) -> bytes:
    file = io.BytesIO()
    sf.write(file, audio, rate, format=kind, **more)
    return file.getvalue()


def wav(
    *, tag=1, channels=1, rate=RATE, align=2, bits=16, said=None, riff=None, more=b"", fmt=True
) -> bytes:
    """A WAV whose header says what it is told to; ``more`` follows the audio."""
    data = np.rint(NOISE * 2**15).astype("<i2").tobytes()
    head = struct.pack("<HHIIHH", tag, channels, rate % 2**32, rate * align % 2**32, align, bits)
    chunks = b"fmt " + struct.pack("<I", 16) + head if fmt else b""
    chunks += b"data" + struct.pack("<I", len(data) if said is None else said) + data + more
    size = 4 + len(chunks) if riff is None else riff
    return b"RIFF" + struct.pack("<I", size) + b"WAVE" + chunks


def half(content: bytes) -> bytes:
    return content[: len(content) // 2]


def pages(ogg: bytes) -> list[int]:
    """Where its pages begin, and its end."""
    starts = [i for i in range(len(ogg)) if ogg[i : i + 4] == b"OggS"]
    return [*starts, len(ogg)]


def mp3_frames(content: bytes) -> list[bytes]:
    found = []
    while content:
        size, _ = mpeg_frame(content)
        found.append(content[:size])
        content = content[size:]
    return found


CBR = {"bitrate_mode": "CONSTANT", "compression_level": 0.5}
OGG, MP3 = encoded("OGG", np.tile(NOISE, (4, 1))), encoded("MP3", **CBR)
PLAIN_MP3 = b"".join(mp3_frames(MP3)[1:])  # without the frame of the Xing header
ID3 = b"ID3\x04\0\0\0\0\0\x0a" + b"\0" * 10
QUIET_END = NOISE * np.linspace(1, 0, FRAMES)[:, None] ** 4
NAN = np.where(np.arange(FRAMES) == 7, np.nan, NOISE[:, 0])

REFUSED = {
    "wav of no bytes": (b"", "empty: 0 bytes"),
    "wav of text": (b"notes of a recording\n" * 40, "unreadable"),
    "wav of zeros": (b"\0" * 999, "unreadable"),
    "wav of a picture": (b"\x89PNG\r\n\x1a\n" + b"\0" * 999, "unreadable"),
    "wav of a header": (wav()[:44], "truncated|empty"),
    "wav of half a header": (wav()[:20], "unreadable|empty"),
    "wav without a format": (wav(fmt=False), "unreadable|empty"),
    "wav without samples": (encoded("WAV", NOISE[:0]), "empty"),
    "wav cut in half": (half(wav()), "truncated"),
    "wav that says more": (wav(said=3 * FRAMES), "truncated"),
    "wav that says less": (wav(said=FRAMES), "damaged: 16000 bytes follow"),
    "wav with a broken chunk": (wav(more=b"LIST\xff\xff\0\0abcd"), "damaged: 12 bytes follow"),
    "wav of 1 Hz": (wav(rate=1), "sample rate must lie in"),
    "wav of 0 Hz": (wav(rate=0), "unreadable|sample rate"),
    "wav of 4 GHz": (wav(rate=2**32 - 1), "unreadable|sample rate"),
    "wav of 1024 channels": (wav(channels=1024, align=2048), "1024 channels, 16 are the most"),
    "wav of 0 channels": (wav(channels=0), "unreadable"),
    "wav of 0 bits": (wav(bits=0, align=0), "unreadable|empty"),
    "wav of an unknown encoding": (wav(tag=0x7777), "unreadable"),
    "wav of NaN": (encoded("WAV", NAN, subtype="FLOAT"), "non-finite"),
    "flac cut in half": (half(encoded("FLAC")), "truncated"),
    "flac of a header": (encoded("FLAC")[:42], "truncated|empty|unreadable"),
    "ogg cut in half": (half(OGG), "truncated|unreadable"),
    "ogg cut at a page": (OGG[: pages(OGG)[-2]], "truncated: its last page is missing"),
    "ogg without a page": (OGG[: pages(OGG)[2]] + OGG[pages(OGG)[3] :], "pages before byte"),
    "mp3 cut in half": (half(MP3), "truncated: header promises"),
    "mp3 without a Xing header, cut in half": (half(PLAIN_MP3)[:-7], "truncated: its last frame"),
    "mp3 with a tag, cut": (ID3 + PLAIN_MP3[:-7], "truncated: its last frame"),
    "mp3 of which a decoder leaves out the end": (
        b"".join(mp3_frames(encoded("MP3", QUIET_END))[1:]),
        r"no header says that it has \d+ frames, of which \d+ can be read",
    ),
    "aiff cut in half": (half(encoded("AIFF")), "truncated"),
    "au cut in half": (half(encoded("AU")), "truncated"),
    "rf64 cut in half": (half(encoded("RF64")), "truncated"),
    "w64 cut in half": (half(encoded("W64")), "truncated"),
}
WHOLE = {
    "wav": wav(),
    "wav of a stream, of unknown size": wav(said=2**32 - 1, riff=2**32 - 1),
    "wav with the size of its RIFF too large": wav(riff=2**30),
    "wav with the size of its RIFF too small": wav(riff=36),
    "wav with a tag behind its end": wav(riff=36 + 2 * FRAMES) + b"TAG" + b"\xff" * 125,
    "wav with a list behind the audio": wav(more=b"LIST\x04\0\0\0INFO"),
    "flac": encoded("FLAC"),
    "ogg": OGG,
    "mp3": MP3,
    "mp3 without a Xing header": PLAIN_MP3,
    "mp3 with tags": ID3 + PLAIN_MP3 + b"TAG" + b" " * 125,
    "aiff": encoded("AIFF"),
    "au": encoded("AU"),
    "rf64": encoded("RF64"),
    "w64": encoded("W64"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_broken_audio_is_refused_with_the_reason(tmp_path, name):
    content, reason = REFUSED[name]
    path = tmp_path / f"x.{name.split()[0]}"
    path.write_bytes(content)
    with pytest.raises(AudioError, match=rf"x\.\w+: .*({reason})"):
        load_audio(path)


@pytest.mark.parametrize("name", WHOLE)
def test_what_is_whole_is_decoded_as_all_that_it_holds(tmp_path, name):
    path = tmp_path / f"x.{name.split()[0]}"
    path.write_bytes(WHOLE[name])
    audio, rate = load_audio(path)
    length = 4 * FRAMES if name == "ogg" else FRAMES
    assert rate == RATE
    assert abs(len(audio) - length) <= (3000 if "mp3" in name else 0)


@pytest.mark.parametrize(
    ("rate", "channels"), [(8000, 1), (16000, 1), (22050, 2), (44100, 2), (48000, 1)]
)
def test_frames_of_an_mp3_follow_one_another(rate, channels):
    """Versions 1, 2 and 2.5: what a length leads to is the next frame, to the end."""
    content = encoded("MP3", np.tile(NOISE, (1, channels)), rate)
    frames = mp3_frames(content)
    assert b"".join(frames) == content
    assert {frame[:2] for frame in frames} == {content[:2]}


def test_an_mp3_cut_between_two_frames_is_one_that_ends_there(tmp_path):
    """Without a Xing header nothing in it tells of more."""
    frames = mp3_frames(PLAIN_MP3)
    (tmp_path / "x.mp3").write_bytes(b"".join(frames[: len(frames) // 2]))
    audio, _ = load_audio(tmp_path / "x.mp3")
    assert abs(len(audio) - FRAMES / 2) < 3000


@pytest.mark.parametrize(
    ("audio", "reason"),
    [
        (0 * NOISE, "silent: no sample above"),
        (0 * NOISE + 2**-15, "silent: no sample above"),
        (0 * NOISE + 0.5, "silent: a constant"),
    ],
)
def test_silence_of_any_level_is_passed_over(tmp_path: Path, audio, reason):
    tracks = []
    for name, sound in (("still", audio), ("loud", NOISE)):
        path = tmp_path / f"{name}.wav"
        path.write_bytes(encoded("WAV", sound))
        tracks.append(Track(path, "a", name, name))
    decoded = decode_tracks(tracks, sample_rate=RATE, cache_dir=tmp_path)
    assert [recording.track.track_id for recording in decoded.recordings] == ["loud"]
    assert reason in decoded.quarantined[0].reason
