"""Writing against soundfile, and what can't be written."""

import errno
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest
import soundfile as sf

from features.audio import load_audio
from features.saving import save_audio

RATE = 22050


def tones(seconds=0.5, channels=1):
    """Sines, another one a channel, with a peak of 0.5."""
    time = np.arange(int(seconds * RATE)) / RATE
    pitches = 220.0 * np.arange(1, channels + 1)
    return (0.5 * np.sin(2 * np.pi * time[:, None] * pitches)).astype(np.float32)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "A.WAV"])
@pytest.mark.parametrize(("subtype", "bits"), [("PCM_16", 16), ("PCM_24", 24)])
def test_saved_audio_is_what_soundfile_reads(tmp_path, name, subtype, bits):
    save_audio(tmp_path / name, tones(channels=2), RATE, subtype=subtype)
    read, rate = sf.read(tmp_path / name, dtype="float64")
    assert rate == RATE
    assert sf.info(tmp_path / name).subtype == subtype
    assert np.abs(read - tones(channels=2)).max() <= 2.0**-bits
    again, _ = load_audio(tmp_path / name, channels=2)
    save_audio(tmp_path / "again.wav", again, RATE, subtype=subtype)
    np.testing.assert_array_equal(sf.read(tmp_path / "again.wav", dtype="float64")[0], read)


def test_jax_arrays_single_axes_full_scale_and_loud_floats_are_written(tmp_path):
    save_audio(tmp_path / "a.wav", jnp.array([1.0, -1.0, 0.0]), RATE)
    np.testing.assert_array_equal(sf.read(tmp_path / "a.wav", dtype="int16")[0], [32767, -32768, 0])
    save_audio(tmp_path / "b.wav", np.array([3.0, -2.0]), RATE, subtype="FLOAT")
    np.testing.assert_array_equal(sf.read(tmp_path / "b.wav")[0], [3.0, -2.0])


def test_a_long_ogg_is_vorbis(tmp_path):
    save_audio(tmp_path / "long.ogg", tones(60.0, channels=2), RATE)
    assert sf.info(tmp_path / "long.ogg").subtype == "VORBIS"
    audio, _ = load_audio(tmp_path / "long.ogg", channels=2)
    np.testing.assert_allclose(audio, tones(60.0, channels=2), atol=0.05)


@pytest.mark.parametrize(
    ("name", "audio", "options", "message"),
    [
        ("a.mp4", np.zeros(9), {}, r"cannot write '.mp4'; use .wav, .flac or .ogg"),
        ("a", np.zeros(9), {}, "no suffix"),
        (
            "a.flac",
            np.zeros(9),
            {"subtype": "FLOAT"},
            "FLAC has no subtype 'FLOAT'; it takes .*PCM_24",
        ),
        ("a.wav", np.zeros((1, 9, 1)), {}, r"shape \(1, 9, 1\)"),
        ("a.wav", np.zeros((2, 9000)), {}, "channels last"),
        ("a.wav", np.zeros((0, 1)), {}, r"shape \(0, 1\)"),
        ("a.wav", np.zeros(9, np.int16), {}, "audio is int16; give floats"),
        ("a.wav", np.array([0.0, -1.25]), {}, r"the peak is 1.25, beyond ±1"),
        ("a.ogg", np.array([0.0, -1.25]), {}, r"the peak is 1.25, beyond ±1"),
        ("a.wav", np.array([0.0, np.nan]), {}, "1 of 2 samples are NaN or Inf"),
        ("a.wav", np.array([np.inf, -np.inf]), {}, "2 of 2 samples are NaN or Inf"),
    ],
)
def test_what_cannot_be_written_is_refused(tmp_path, name, audio, options, message):
    with pytest.raises(ValueError, match=message):
        save_audio(tmp_path / name, audio, RATE, **options)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("rate", [1, 999, 1_000_000])
def test_rates_that_no_recording_has_are_refused(tmp_path, rate):
    with pytest.raises(ValueError, match=f"its sample rate must lie in 1,000 .* found {rate}"):
        save_audio(tmp_path / "b.wav", tones(), rate)


def test_a_full_disk_is_an_oserror_and_keeps_the_former_file(tmp_path):
    pytest.importorskip("resource")
    save_audio(tmp_path / "a.wav", tones(), RATE)
    before = (tmp_path / "a.wav").read_bytes()
    script = (
        "import resource, numpy as np; from features.saving import save_audio\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        f"try: save_audio({str(tmp_path / 'a.wav')!r}, np.zeros(22050), 22050)\n"
        "except OSError as error: print(error.errno, error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(f"{errno.EFBIG} ")
    assert "a.wav" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]
    assert (tmp_path / "a.wav").read_bytes() == before
