"""What libsndfile does not read: containers by PyAV, and what becomes of them without it."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from pathlib import Path

import audioread
import av
import numpy as np
import pytest
import soundfile as sf
import soxr
from containers import write_container

from features.audio import AudioError, Source, described, load_audio, stream_audio
from features.cache import decode_tracks
from features.dataset import Track
from features.soundness import check_tracks

RATE = 44100
LOSSY = {
    ".m4a": "M4A AAC",
    ".mp4": "MP4 AAC",
    ".mka": "MATROSKA AAC",
    ".mkv": "MATROSKA AAC",
    ".wma": "ASF WMAV2",
    ".aac": "AAC AAC",
    ".avi": "AVI AAC",
}
EXACT = {".wv": "WV WAVPACK", ".tta": "TTA TTA"}


def tones(seconds: float = 1.0, channels: int = 2, rate: int = RATE) -> np.ndarray:
    """A tone for each channel, at the other end of which it is louder."""
    time = np.arange(round(seconds * rate)) / rate
    hertz = [440 * (channel + 1) for channel in range(channels)]
    sound = np.stack([0.4 * np.sin(2 * np.pi * one * time) for one in hertz], axis=1)
    return (sound * np.linspace(0.2, 1, len(time))[:, None]).astype(np.float32)


def cut(path: Path, share: float) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: round(share * len(content))])
    return path


@pytest.fixture
def without_pyav(monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)


@pytest.mark.parametrize(
    ("kind", "video"),
    [*((kind, 0.0) for kind in LOSSY), (".mp4", 1.5), (".mkv", 1.5), (".avi", 0.5)],
)
def test_the_sound_of_a_container_is_what_went_in(tmp_path, kind, video):
    path = write_container(tmp_path / f"a{kind}", tones(), RATE, video=video)
    audio, rate = load_audio(path, channels=2)
    assert (rate, audio.dtype, audio.shape[1]) == (RATE, np.float32, 2)
    assert 0.97 < len(audio) / RATE < 1.1
    # What codecs put before the sound is left out by some containers, not by others.
    window = tones()[2000:22000]
    starts = range(1000, 5000)
    alike = [np.vdot(audio[start : start + 20000], window) for start in starts]
    start = starts[int(np.argmax(alike))]
    error = audio[start : start + 20000] - window
    assert np.sqrt(np.mean(error**2)) < 0.03
    assert described(path) == Source(LOSSY[kind], RATE, 2, "PyAV")


@pytest.mark.parametrize(("kind", "codec"), [(".wv", None), (".tta", None), (".m4a", "alac"),
                                             (".mov", "pcm_s24le"), (".mka", "pcm_f32le"),
                                             (".avi", "pcm_u8")])  # fmt: skip
def test_a_lossless_one_comes_back_exactly_in_all_its_parts(tmp_path, kind, codec):
    sound = tones(0.7)
    path = write_container(tmp_path / f"a{kind}", sound, RATE, codec=codec)
    step = {"pcm_u8": 2**-7, "pcm_s24le": 2**-23, "pcm_f32le": 0.0}.get(codec, 2**-15)
    whole, _ = load_audio(path, channels=2)
    np.testing.assert_allclose(whole, sound, atol=1.01 * step)
    part, _ = load_audio(path, channels=2, offset=0.1, duration=0.25)
    np.testing.assert_array_equal(part, whole[4410 : 4410 + 11025])
    end, _ = load_audio(path, channels=2, offset=0.6, duration=5)
    np.testing.assert_array_equal(end, whole[26460:])
    mono, _ = load_audio(path, sample_rate=16000)
    right = soxr.resample(whole.mean(1), RATE, 16000, quality="HQ")
    np.testing.assert_allclose(mono[:, 0], right, atol=1e-4)


def test_parts_of_a_lossy_one_are_those_of_the_whole(tmp_path):
    path = write_container(tmp_path / "a.m4a", tones(2.0), RATE)
    whole, _ = load_audio(path)
    part, _ = load_audio(path, offset=1.25, duration=0.5)
    np.testing.assert_array_equal(part, whole[55125 : 55125 + 22050])
    np.testing.assert_array_equal(np.concatenate(list(stream_audio(path))), whole)
    for offset in (2.2, 1e6):
        with pytest.raises(AudioError, match=rf"ends after 2.0. s, before offset={offset}"):
            load_audio(path, offset=offset)


def test_mono_is_repeated_and_two_channels_are_not_three(tmp_path):
    path = write_container(tmp_path / "a.wma", tones(channels=1), RATE)
    both, _ = load_audio(path, channels=2)
    np.testing.assert_array_equal(both[:, 0], both[:, 1])
    with pytest.raises(AudioError, match="2 channels, asked for 3"):
        load_audio(write_container(tmp_path / "b.wma", tones(), RATE), channels=3)


@pytest.mark.parametrize("kind", [*LOSSY, *EXACT, ".webm"])
@pytest.mark.parametrize("share", [0.5, 0.93])
def test_a_part_of_a_file_is_refused(tmp_path, kind, share):
    rate = 48000 if kind == ".webm" else RATE
    path = write_container(tmp_path / f"a{kind}", tones(3.0, rate=rate), rate)
    load_audio(path)
    with pytest.raises(AudioError, match="truncated"):
        load_audio(cut(path, share))


def test_a_part_whose_index_comes_first_is_refused_before_it_is_read(tmp_path):
    options = {"movflags": "faststart"}
    path = write_container(tmp_path / "a.mp4", tones(3.0), RATE, video=1, options=options)
    size = path.stat().st_size
    said = rf"truncated: header promises {size} bytes, {round(size / 2)} are there"
    with pytest.raises(AudioError, match=said):
        load_audio(cut(path, 0.5), duration=0.1)


def test_a_container_that_lost_its_end_and_says_no_size_is_refused(tmp_path):
    path = write_container(tmp_path / "a.mka", tones(3.0), RATE)
    content = path.read_bytes()
    at = content.index(b"\x18\x53\x80\x67") + 4
    unknown = content[:at] + b"\x01" + b"\xff" * 7 + content[at + 8 :]
    path.write_bytes(unknown)
    assert len(load_audio(path)[0]) > 2.9 * RATE
    with pytest.raises(AudioError, match=r"truncated: header promises 3\.0. s, 1\.\d\d s are"):
        load_audio(cut(path, 0.5))


def test_garbage_inside_is_refused(tmp_path):
    path = write_container(tmp_path / "a.m4a", tones(3.0), RATE)
    content = bytearray(path.read_bytes())
    content[20_000:20_400] = b"\xff" * 400
    path.write_bytes(content)
    with pytest.raises(AudioError, match=r"damaged or truncated after \d\.\d\d s \(Invalid data"):
        load_audio(path)


@pytest.mark.parametrize("kind", EXACT)
def test_one_bit_of_a_codec_with_checksums_is_enough(tmp_path, kind):
    path = write_container(tmp_path / f"a{kind}", tones(), RATE)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(AudioError, match="damaged or truncated after"):
        load_audio(path)


def test_a_video_without_sound_says_so(tmp_path):
    path = write_container(tmp_path / "a.mp4", None, RATE, video=1)
    with pytest.raises(AudioError, match=r"a\.mp4: no audio in it, only video; convert"):
        load_audio(path)
    assert described(path) is None


def test_what_no_decoder_knows_says_what_each_said(tmp_path):
    (tmp_path / "a.m4a").write_bytes(b"a format unheard of " * 99)
    said = (
        r"a\.m4a: unreadable: no decoder takes it \(libsndfile: Format not recognised; "
        r"PyAV: Invalid.*; audioread: .*\); convert it to wav or flac, install ffmpeg"
    )
    with pytest.raises(AudioError, match=said):
        load_audio(tmp_path / "a.m4a")


def test_without_pyav_the_extra_is_named(tmp_path, without_pyav):
    (tmp_path / "a.m4a").write_bytes(b"a format unheard of " * 99)
    with pytest.raises(AudioError, match=r"pip install '\.\[decode\]', or leave it out") as caught:
        load_audio(tmp_path / "a.m4a")
    assert "PyAV: not installed, pip install '.[decode]'" in caught.value.reason


def test_a_list_of_addresses_is_not_followed(tmp_path, monkeypatch):
    monkeypatch.setattr(audioread, "available_backends", lambda *_, **__: [])
    secret = write_container(tmp_path / "secret.aac", tones(), RATE)
    text = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{secret}\n#EXT-X-ENDLIST\n"
    (tmp_path / "a.m3u8").write_text(text)
    with av.open(tmp_path / "a.m3u8") as container:  # as FFmpeg does by itself
        assert container.format.name == "hls"
    with pytest.raises(AudioError, match="no decoder takes it"):
        load_audio(tmp_path / "a.m3u8")


def test_a_container_under_the_name_of_an_mp3_is_read(tmp_path):
    path = write_container(tmp_path / "a.m4a", tones(), RATE).rename(tmp_path / "a.mp3")
    assert described(path) == Source("MOV AAC", RATE, 2, "PyAV")
    assert len(load_audio(path)[0]) > 0.98 * RATE


def test_a_name_that_looks_like_an_address_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_container(tmp_path / "a.m4a", tones(), RATE).rename(tmp_path / "concat:b.m4a")
    assert len(load_audio("concat:b.m4a")[0]) > 0.98 * RATE


def test_a_long_one_is_decoded_in_little_memory(tmp_path):
    sound = np.tile(tones(10.0, 1, 8000), (60, 1))
    path = write_container(tmp_path / "long.wma", sound, 8000)
    next(stream_audio(path))
    tracemalloc.start()
    length = sum(map(len, stream_audio(path, sample_rate=4000)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert length == pytest.approx(600 * 4000, rel=0.001)
    assert peak < sound.nbytes / 6


def track(path: Path, label: str = "a") -> Track:
    return Track(path, label, path.stem, path.stem)


def test_what_decoded_a_track_is_recorded_with_it(tmp_path, monkeypatch):
    sf.write(tmp_path / "one.wav", tones(), RATE)
    write_container(tmp_path / "two.m4a", tones()[::-1], RATE)
    tracks = [track(tmp_path / "one.wav"), track(tmp_path / "two.m4a")]
    settings = {"sample_rate": 8000, "cache_dir": tmp_path / "cache"}
    first = decode_tracks(tracks, **settings)
    assert [recording.decoder for recording in first.recordings] == ["libsndfile", "PyAV"]
    expected, _ = load_audio(tracks[1].path, sample_rate=8000)
    np.testing.assert_allclose(first.recordings[1].samples / 2**15, expected, atol=2**-15)
    monkeypatch.setattr("features.soundness.stream_audio", None)  # they are found again
    assert decode_tracks(tracks, **settings) == first


def test_a_check_says_what_read_each_track(tmp_path):
    sf.write(tmp_path / "one.aiff", tones(), RATE)
    write_container(tmp_path / "two.mp4", tones()[::-1], RATE, video=1)
    cut(write_container(tmp_path / "three.m4a", tones(), RATE), 0.5)
    names = ("one.aiff", "two.mp4", "three.m4a")
    used, (bad,) = check_tracks([track(tmp_path / name) for name in names])
    found = [(one.encoding, one.sample_rate, one.channels, one.decoder) for one in used]
    assert found == [("AIFF PCM_16", RATE, 2, "libsndfile"), ("MP4 AAC", RATE, 2, "PyAV")]
    assert bad.track.path.name == "three.m4a"
    assert "truncated" in bad.reason


def test_what_libsndfile_reads_imports_no_other_decoder(tmp_path):
    sf.write(tmp_path / "a.wav", tones(), RATE)
    code = (
        "import sys; from features.audio import load_audio; load_audio(sys.argv[1])\n"
        "print({'av', 'librosa'} & sys.modules.keys())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a.wav")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "set()"
