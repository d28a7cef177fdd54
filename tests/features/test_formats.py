"""Which suffixes are audio, and which of them are read."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from containers import write_container

from features.audio import described, load_audio
from features.formats import (
    CONTAINERS,
    OTHERS,
    SUFFIXES,
    has_pyav,
    is_audio,
    is_readable,
    readable_suffixes,
    unread,
)

WRITTEN = {  # libsndfile's name of the format, and of the codec
    ".aif": ("AIFF", "PCM_16"),
    ".aifc": ("AIFF", "FLOAT"),
    ".aiff": ("AIFF", "PCM_24"),
    ".au": ("AU", "PCM_16"),
    ".caf": ("CAF", "ALAC_16"),
    ".flac": ("FLAC", "PCM_16"),
    ".mp2": ("MP3", "MPEG_LAYER_II"),
    ".mp3": ("MP3", "MPEG_LAYER_III"),
    ".oga": ("OGG", "VORBIS"),
    ".ogg": ("OGG", "VORBIS"),
    ".opus": ("OGG", "OPUS"),
    ".rf64": ("RF64", "PCM_16"),
    ".snd": ("AU", "FLOAT"),
    ".w64": ("W64", "PCM_16"),
    ".wav": ("WAV", "PCM_16"),
    ".wave": ("WAV", "PCM_U8"),
}


def test_a_suffix_is_of_one_kind():
    kinds = (SUFFIXES, CONTAINERS, OTHERS)
    assert len({suffix for kind in kinds for suffix in kind}) == sum(map(len, kinds))
    assert sorted(SUFFIXES) == sorted(WRITTEN)


@pytest.mark.parametrize("suffix", WRITTEN)
def test_libsndfile_reads_its_suffixes(tmp_path, suffix):
    kind, codec = WRITTEN[suffix]
    path, sound = tmp_path / f"a{suffix}", 0.5 * np.sin(np.arange(48000) / 10)
    if suffix == ".mp2":  # which it does not write
        write_container(path, sound[:, None], 48000, codec="mp2")
    else:
        sf.write(path, sound, 48000, format=kind, subtype=codec)
    audio, _ = load_audio(path)
    assert abs(len(audio) - 48000) < 2400
    assert described(path) == (f"{kind} {codec}", 48000, 1, "libsndfile")


def test_what_is_read_hangs_on_pyav(monkeypatch):
    files = [Path("a.WAV"), Path("a.m4a"), Path("a.mp4"), Path("a.voc"), Path("a.txt"), Path("wav")]
    assert list(map(is_audio, files)) == [True, True, True, True, False, False]
    assert has_pyav()
    assert list(map(is_readable, files)) == [True, True, True, False, False, False]
    assert unread(files[0]) is unread(files[1]) is None
    assert unread(files[3]) == ".voc is not read: convert it to wav or flac"
    monkeypatch.setitem(sys.modules, "av", None)
    assert readable_suffixes() == SUFFIXES
    assert list(map(is_readable, files)) == [True, False, False, False, False, False]
    assert unread(files[1]).startswith(".m4a is not read without PyAV: pip install '.[decode]'")
