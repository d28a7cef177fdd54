"""Reading against soundfile, librosa and hand-made faulty files."""

import struct
from pathlib import Path

import audioread
import librosa
import numpy as np
import pytest
import soundfile as sf
import soxr
from hypothesis import given
from hypothesis import strategies as st

from features.audio import AudioError, described, load_audio, stream_audio, to_pcm

RATE = 22050


def tones(seconds=0.5, channels=1, rate=RATE):
    """Sines, another one a channel, with a peak of 0.5."""
    time = np.arange(int(seconds * rate)) / rate
    pitches = 220.0 * np.arange(1, channels + 1)
    return (0.5 * np.sin(2 * np.pi * time[:, None] * pitches)).astype(np.float32)


def cut(path: Path, keep: float) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    return path


@pytest.mark.parametrize(
    ("name", "subtype", "tolerance"),
    [
        ("a.wav", "PCM_U8", 2**-7),
        ("a.wav", "PCM_16", 2**-15),
        ("a.wav", "PCM_24", 2**-23),
        ("a.wav", "PCM_32", 2**-24),
        ("a.wav", "FLOAT", 0),
        ("a.wav", "DOUBLE", 0),
        ("a.flac", "PCM_24", 2**-23),
        ("a.au", "PCM_16", 2**-15),
        ("a.ogg", "VORBIS", 0.05),
        ("a.mp3", "MPEG_LAYER_III", 0.05),
    ],
)
def test_every_encoding_reads_as_written(tmp_path, name, subtype, tolerance):
    path = tmp_path / name
    sf.write(path, tones(channels=2), RATE, subtype=subtype)
    audio, rate = load_audio(path, channels=2)
    assert (rate, audio.dtype, audio.shape) == (RATE, np.float32, (RATE // 2, 2))
    np.testing.assert_allclose(audio, tones(channels=2), atol=tolerance)


def test_stereo_is_averaged_and_mono_repeated(tmp_path):
    sf.write(tmp_path / "two.wav", tones(channels=2), RATE, subtype="FLOAT")
    mono, _ = load_audio(tmp_path / "two.wav")
    np.testing.assert_allclose(mono[:, 0], tones(channels=2).mean(axis=1), atol=1e-7)
    sf.write(tmp_path / "one.wav", tones(), RATE, subtype="FLOAT")
    stereo, _ = load_audio(tmp_path / "one.wav", channels=2)
    np.testing.assert_array_equal(stereo, np.repeat(tones(), 2, axis=1))


def test_six_channels_do_not_become_two(tmp_path):
    sf.write(tmp_path / "six.wav", tones(channels=6), RATE)
    assert load_audio(tmp_path / "six.wav")[0].shape[1] == 1
    with pytest.raises(AudioError, match="6 channels, asked for 2; use channels=1"):
        load_audio(tmp_path / "six.wav", channels=2)


@pytest.mark.parametrize("target", [8000, 16000, 22050, 44100])
def test_resampling_of_96_khz_agrees_with_librosa(tmp_path, target):
    path = tmp_path / "high.wav"
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (2 * 96000, 2))
    sf.write(path, noise, 96000, subtype="PCM_24")
    audio, rate = load_audio(path, sample_rate=target)
    expected, _ = librosa.load(path, sr=target, mono=True, res_type="soxr_hq")
    assert rate == target
    assert len(audio) == 2 * target
    np.testing.assert_allclose(audio[:, 0], expected, atol=1e-6)


def test_offset_and_duration_are_a_slice(tmp_path):
    sf.write(tmp_path / "a.flac", tones(1.0), RATE)
    whole, _ = load_audio(tmp_path / "a.flac")
    part, _ = load_audio(tmp_path / "a.flac", offset=0.25, duration=0.5)
    np.testing.assert_array_equal(part, whole[5512 : 5512 + 11025])
    tail, _ = load_audio(tmp_path / "a.flac", offset=0.9, duration=5.0)
    np.testing.assert_array_equal(tail, whole[19845:])


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"offset": 2.0}, r"ends after 0.50 s, before offset=2.0"),
        ({"offset": -1.0}, "offset=-1.0"),
        ({"offset": float("nan")}, "offset=nan"),
        ({"duration": 0.0}, "duration=0.0"),
    ],
)
def test_a_part_outside_the_file_is_refused(tmp_path, part, message):
    sf.write(tmp_path / "a.wav", tones(), RATE)
    with pytest.raises(ValueError, match=message):
        load_audio(tmp_path / "a.wav", **part)


def test_blocks_add_up_to_the_whole(tmp_path):
    path = tmp_path / "long.wav"
    sf.write(path, tones(12.0, channels=2), RATE)
    blocks = list(stream_audio(path, sample_rate=16000, channels=2))
    assert max(len(block) for block in blocks) < 16000 * 4
    np.testing.assert_array_equal(
        np.concatenate(blocks), load_audio(path, sample_rate=16000, channels=2)[0]
    )


@pytest.mark.parametrize("suffix", ["wav", "au", "flac", "ogg"])
@pytest.mark.parametrize("keep", [0.5, 0.9])
def test_a_truncated_file_is_refused(tmp_path, suffix, keep):
    path = tmp_path / f"cut.{suffix}"
    sf.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, 5 * RATE), RATE)
    cut(path, keep)
    with pytest.raises(AudioError, match="truncated") as caught:
        load_audio(path)
    assert caught.value.path == path
    if suffix in ("wav", "au"):
        there = (path.stat().st_size - (44 if suffix == "wav" else 24)) // 2
        assert f"header promises 110250 frames, {there} are there" in caught.value.reason


def test_a_truncated_file_says_so_at_the_start_of_a_part_too(tmp_path):
    sf.write(tmp_path / "cut.wav", tones(), RATE)
    with pytest.raises(AudioError, match="truncated"):
        load_audio(cut(tmp_path / "cut.wav", 0.5), duration=0.01)


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFFFFF])
def test_a_streamed_wav_of_unknown_length_reads(tmp_path, size):
    path = tmp_path / "pipe.wav"
    sf.write(path, tones(), RATE)
    content = bytearray(path.read_bytes())
    content[40:44] = struct.pack("<I", size)
    path.write_bytes(content)
    assert len(load_audio(path)[0]) == RATE // 2


def test_other_wav_chunks_are_passed_over(tmp_path):
    path = tmp_path / "odd.wav"
    sf.write(path, tones(), RATE)
    content = path.read_bytes()
    path.write_bytes(content[:36] + b"LIST" + struct.pack("<I", 3) + b"abc\0" + content[36:])
    assert len(load_audio(path)[0]) == RATE // 2
    with pytest.raises(AudioError, match="truncated"):
        load_audio(cut(path, 0.9))


@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3", "ogg", "au", "raw"])
@pytest.mark.parametrize(
    ("content", "reason"), [(b"", "empty: 0 bytes"), (b"no audio" * 99, "unreadable")]
)
def test_what_is_no_audio_is_refused(tmp_path, suffix, content, reason):
    path = tmp_path / f"x.{suffix}"
    path.write_bytes(content)
    with pytest.raises(AudioError, match=reason) as caught:
        load_audio(path)
    assert str(caught.value).startswith(f"{path}: {caught.value.reason}; ")


def test_no_file_and_no_samples(tmp_path):
    with pytest.raises(AudioError, match="no such file; check the path"):
        load_audio(tmp_path / "none.wav")
    sf.write(tmp_path / "zero.wav", np.zeros(0), RATE)
    with pytest.raises(AudioError, match="a header without samples"):
        load_audio(tmp_path / "zero.wav")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_non_finite_samples_are_refused(tmp_path, bad):
    audio = tones()
    audio[100] = bad
    sf.write(tmp_path / "bad.wav", audio, RATE, subtype="FLOAT")
    with pytest.raises(AudioError, match="non-finite"):
        load_audio(tmp_path / "bad.wav")


@given(st.lists(st.integers(-32768, 32767), min_size=1, max_size=50))
def test_16_bit_values_survive_a_round_trip(values):
    audio = np.array(values, np.float32) / 32768
    np.testing.assert_array_equal(to_pcm(audio), values)


class Decoder:
    """Stands for a decoder of the system, of a format that libsndfile does not know."""

    samplerate, channels, duration = RATE, 2, 0.5

    def __init__(self, path):
        if b"unheard of" not in Path(path).read_bytes():
            raise audioread.DecodeError("not mine")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def __iter__(self):
        pcm = np.rint(tones(channels=2) * 2**15).astype("<i2")
        yield from (part.tobytes() for part in np.array_split(pcm, 7))


@pytest.fixture
def decoder(monkeypatch):
    monkeypatch.setattr(audioread, "available_backends", lambda *_, **__: [Decoder])


def test_what_no_other_decoder_knows_goes_through_audioread(tmp_path, decoder):
    path = tmp_path / "a.m4a"
    path.write_bytes(b"a format unheard of")
    assert described(path) == ("M4A", RATE, 2, "audioread")
    audio, rate = load_audio(path, channels=2)
    assert (rate, audio.dtype) == (RATE, np.float32)
    np.testing.assert_allclose(audio, tones(channels=2), atol=2**-15)
    part, rate = load_audio(path, sample_rate=RATE // 2, offset=0.1, duration=0.2)
    assert (rate, part.shape) == (RATE // 2, (2205, 1))
    expected = tones(channels=2).mean(1)[2205:6615]
    np.testing.assert_allclose(
        part[:, 0], soxr.resample(expected, RATE, RATE // 2, quality="HQ"), atol=1e-4
    )
    with pytest.raises(AudioError, match=r"a\.m4a: 2 channels, asked for 3"):
        load_audio(path, channels=3)


def test_what_no_decoder_knows_says_so(tmp_path, decoder):
    (tmp_path / "a.m4a").write_bytes(b"another")
    with pytest.raises(
        AudioError, match=r"no decoder takes it \(libsndfile: Format not recognised.*install ffmpeg"
    ):
        load_audio(tmp_path / "a.m4a")


def test_samples_beyond_full_scale_are_warned_of(tmp_path):
    sf.write(tmp_path / "loud.wav", 3 * tones(), RATE, subtype="FLOAT")
    with pytest.warns(UserWarning, match=r"loud\.wav: its samples reach 1\.5, beyond ±1"):
        audio, _ = load_audio(tmp_path / "loud.wav")
    assert np.abs(audio).max() == pytest.approx(1.5)


@pytest.mark.parametrize("kind", ["RF64", "W64", "AIFF", "MP3", "OGG", "WAV", "AU"])
def test_half_a_file_of_any_kind_is_refused(tmp_path, kind):
    path = tmp_path / "a.wav"
    sf.write(path, tones(4.0), RATE, format=kind)
    whole, _ = load_audio(path)
    assert abs(len(whole) - 4 * RATE) < 2000
    with pytest.raises(AudioError, match=r"truncated|empty"):
        load_audio(cut(path, 0.5))


def test_an_ogg_with_garbage_inside_is_refused(tmp_path):
    path = tmp_path / "a.ogg"
    sf.write(path, tones(20.0), RATE)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(AudioError, match="damaged: the page at byte"):
        load_audio(path)


@pytest.mark.parametrize("rate", [1, 999, 1_000_000])
def test_rates_that_no_recording_has_are_refused(tmp_path, rate):
    sf.write(tmp_path / "a.wav", tones(), rate)
    with pytest.raises(AudioError, match=f"its sample rate must lie in 1,000 .* found {rate}"):
        load_audio(tmp_path / "a.wav")
    with pytest.raises(ValueError, match="sample_rate must lie in"):
        load_audio(tmp_path / "a.wav", sample_rate=rate)


def test_more_channels_than_a_recording_has_are_refused(tmp_path):
    sf.write(tmp_path / "a.wav", np.zeros((99, 1024)), RATE)
    with pytest.raises(AudioError, match="1024 channels, 16 are the most"):
        load_audio(tmp_path / "a.wav")


def test_what_no_decoder_can_describe_is_none(tmp_path):
    sf.write(tmp_path / "a.wav", tones(channels=2), RATE)
    assert described(tmp_path / "a.wav") == ("WAV PCM_16", RATE, 2, "libsndfile")
    for name in ("a.m4a", "a.raw"):
        (tmp_path / name).write_bytes(b"ftypM4A " * 99)
        assert described(tmp_path / name) is None
