"""The spectra against librosa, on noise and real music, and their behaviour under JAX."""

from __future__ import annotations

import itertools
import random
import warnings

import jax
import jax.numpy as jnp
import librosa
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from features.pictures import spectrogram_picture, tempo_picture
from features.rhythm import beats, onset_strength, tempo, tempogram
from features.spectra import delta, log_mel, mel_spectrogram, mfcc
from features.tonal import chroma, spectral_contrast

RATE = 22050
GRID = {
    "n_fft": (400, 512, 900, 1024, 2048, 4096),
    "hop_length": (160, 256, 441, 512, 1024),
    "n_mels": (13, 40, 80, 128),
    "power": (2.0, 1.0),
    "htk": (False, True),
    "norm": ("slaney", None, 1, np.inf),
    "range": ((0.0, None), (300.0, 8000.0)),
    "center": (True, False),
}


def grid(count: int, seed: int) -> list[dict]:
    """``count`` option sets in which every value of every option takes its turn."""
    rng = random.Random(seed)
    columns = {}
    for name, values in GRID.items():
        column = list(itertools.islice(itertools.cycle(values), count))
        rng.shuffle(column)
        columns[name] = column
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    for row in rows:
        row["fmin"], row["fmax"] = row.pop("range")
    return rows


def name(options: dict) -> str:
    return "-".join(str(value) for value in options.values())


@pytest.fixture(scope="module")
def noise() -> np.ndarray:
    return (0.1 * np.random.default_rng(0).standard_normal((2, RATE + 7))).astype(np.float32)


@pytest.fixture(scope="module")
def sounds(noise, gtzan_mini) -> np.ndarray:
    """Noise, a pure tone (what float32 handles worst) and seconds of real music."""
    tone = 0.9 * np.sin(2 * np.pi * 440 * np.arange(noise.shape[1]) / RATE)
    tracks = ["blues/blues.00000", "classical/classical.00005", "hiphop/hiphop.00000"]
    music = [
        soundfile.read(gtzan_mini / f"{t}.flac", start=5 * RATE, frames=RATE + 7)[0] for t in tracks
    ]
    return np.stack([noise[0], tone, *music]).astype(np.float32)


def peer(function, clips: np.ndarray, **options) -> np.ndarray:
    """librosa, clip by clip, time-major."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of empty bands, and of clips shorter than n_fft
        return np.stack([function(y=clip, sr=RATE, **options).T for clip in clips])


def peer_log_mel(y: np.ndarray, *, top_db: float | None = 80.0, ref=1.0, **options) -> np.ndarray:
    return librosa.power_to_db(
        librosa.feature.melspectrogram(y=y, **options), ref=ref, top_db=top_db
    )


def largest_errors(clips: np.ndarray, options: dict) -> tuple[float, float, float]:
    """Of the mel spectrogram (relative, element by element), log_mel (dB) and mfcc."""
    mel = np.asarray(mel_spectrogram(clips, sample_rate=RATE, **options))
    right = peer(librosa.feature.melspectrogram, clips, **options)
    assert mel.shape == right.shape
    np.testing.assert_array_equal(mel[right == 0], 0)  # empty bands
    relative = np.max(np.abs(mel - right)[right > 0] / right[right > 0])

    decibels = np.asarray(log_mel(clips, sample_rate=RATE, **options))
    in_db = np.max(np.abs(decibels - peer(peer_log_mel, clips, **options)))

    n_mfcc = min(20, options["n_mels"])
    cepstrum = np.asarray(mfcc(clips, sample_rate=RATE, n_mfcc=n_mfcc, **options))
    renamed = {k: v for k, v in options.items() if k != "norm"} | {"mel_norm": options["norm"]}
    right = peer(librosa.feature.mfcc, clips, n_mfcc=n_mfcc, **renamed)
    return relative, in_db, np.max(np.abs(cepstrum - right))


@pytest.mark.parametrize("options", grid(12, seed=0), ids=name)
def test_agrees_with_librosa(sounds, options):
    relative, in_db, cepstral = largest_errors(sounds, options)
    assert relative <= 1e-4
    assert in_db <= 1e-3
    assert cepstral <= 1e-3


@pytest.mark.parametrize(
    "framing",
    [
        {"win_length": 400, "pad_mode": "reflect"},
        {"win_length": 333, "window": "hamming", "pad_mode": "edge"},
        {"window": "boxcar", "pad_mode": "symmetric"},
        {"win_length": 512, "window": ("kaiser", 8.0), "center": False},
        {"win_length": 301, "window": np.hanning(301)},
    ],
    ids=["shorter", "hamming", "boxcar", "kaiser", "array"],
)
def test_windows_and_margins_agree_with_librosa(sounds, framing):
    clips = sounds[:, : RATE // 3]
    errors = largest_errors(clips, {"n_fft": 512, "n_mels": 40, "norm": None, **framing})
    assert np.all(np.array(errors) <= [1e-4, 1e-3, 1e-3]), errors


@pytest.mark.slow
@pytest.mark.parametrize("n_fft", GRID["n_fft"])
def test_agrees_with_librosa_over_the_grid(sounds, n_fft):
    """All of n_fft × hop × bands × power × center; the rest of the options take turns."""
    crossed = ("hop_length", "n_mels", "power", "center")
    rows = list(itertools.product(*(GRID[key] for key in crossed)))
    worst = np.zeros(3)
    for row, others in zip(rows, grid(len(rows), seed=n_fft), strict=True):
        options = others | dict(zip(crossed, row, strict=True)) | {"n_fft": n_fft}
        errors = largest_errors(sounds, options)
        assert np.all(np.array(errors) <= [1e-4, 1e-3, 1e-3]), (options, errors)
        worst = np.maximum(worst, errors)
    print(f"n_fft {n_fft}: mel {worst[0]:.1e} relative, log_mel {worst[1]:.1e} dB, "
          f"mfcc {worst[2]:.1e}")  # fmt: skip


@pytest.mark.parametrize(
    ("samples", "options"),
    [
        (RATE + 7, {"n_fft": 2048, "hop_length": 512, "n_mels": 128}),
        (200000, {"n_fft": 1024, "hop_length": 256, "n_mels": 70}),
        (RATE + 7, {"n_fft": 400, "hop_length": 160, "n_mels": 40, "fmin": 300.0, "fmax": 8000.0}),
    ],
    ids=["usual", "long", "speech"],
)
def test_agrees_with_the_plain_form(samples, options):
    """Frames, window, transform and one product with all filters, all in float64."""
    clips = np.stack([np.sin(np.arange(samples) * pitch) for pitch in (0.1, 0.3, 1.0)])
    clips = (clips + 1e-5 * np.random.default_rng(3).standard_normal(clips.shape)).astype("float32")
    n_fft, filters = options["n_fft"], {k: v for k, v in options.items() if k != "hop_length"}
    padded = np.pad(clips.astype(np.float64), ((0, 0), (n_fft // 2, n_fft // 2)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft, axis=-1)
    frames = frames[:, :: options["hop_length"]] * np.hanning(n_fft + 1)[:-1]
    energies = np.abs(np.fft.rfft(frames)) ** 2
    mel = energies @ librosa.filters.mel(sr=RATE, dtype=np.float64, **filters).T
    ours = mel_spectrogram(clips, sample_rate=RATE, **options)
    np.testing.assert_allclose(ours, mel, rtol=2e-6)
    in_db = librosa.power_to_db(mel, top_db=None)
    np.testing.assert_allclose(
        log_mel(clips, sample_rate=RATE, top_db=None, **options), in_db, atol=1.5e-5
    )


@pytest.mark.parametrize("ref", [1e-3, -2.0, np.max], ids=["faint", "negative", "max"])
@pytest.mark.parametrize("top_db", [None, 30.0])
def test_ref_and_top_db_agree_with_librosa(sounds, ref, top_db):
    ours = log_mel(sounds, sample_rate=RATE, ref=ref, top_db=top_db)
    right = peer(peer_log_mel, sounds, ref=ref, top_db=top_db)
    np.testing.assert_allclose(ours, right, atol=1e-3)


def test_a_batch_gives_what_each_clip_alone_gives(sounds):
    quiet = sounds * np.float32([[1], [1e-3], [1], [1e-2], [1]])
    batch = log_mel(quiet.reshape(5, 1, -1), sample_rate=RATE)
    alone = np.stack([log_mel(clip, sample_rate=RATE) for clip in quiet])
    np.testing.assert_allclose(batch[:, 0], alone, atol=1e-4)


def test_a_long_recording_is_cut_into_parts_without_a_seam(gtzan_mini):
    clip = soundfile.read(gtzan_mini / "jazz/jazz.00000.flac", dtype="float32")[0]
    errors = largest_errors(clip[None], {"n_fft": 1024, "hop_length": 300, "n_mels": 40,
                                         "norm": "slaney"})  # fmt: skip
    assert np.all(np.array(errors) <= [1e-4, 1e-3, 1e-3])


@given(
    samples=st.integers(1, 3000),
    n_fft=st.sampled_from([7, 64, 255]),
    hop=st.sampled_from([1, 10, 64, 300]),
)
@settings(max_examples=15)
@pytest.mark.filterwarnings("ignore:n_fft=.* is too large")
def test_any_length_has_the_frames_of_librosa(samples, n_fft, hop):
    y = np.sin(np.arange(samples, dtype=np.float32))
    options = {"n_fft": n_fft, "hop_length": hop, "n_mels": 3, "norm": None}
    ours = mel_spectrogram(y, sample_rate=RATE, **options)
    right = peer(librosa.feature.melspectrogram, y[None], **options)[0]
    np.testing.assert_allclose(ours, right, rtol=1e-4, atol=1e-6 * right.max())


@pytest.mark.parametrize(
    "function",
    [
        mel_spectrogram,
        log_mel,
        mfcc,
        chroma,
        spectral_contrast,
        onset_strength,
        tempogram,
        tempo,
        beats,
        spectrogram_picture,
        tempo_picture,
    ],
)
def test_a_clip_shorter_than_a_frame_is_warned_of_by_all(function, noise, recwarn):
    function(noise[0, :2048], sample_rate=RATE)
    assert not recwarn
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        function(noise[0, :2047], sample_rate=RATE)
    said = "n_fft=2048 is too large for a clip of 2047 samples"
    assert said in str(found[0].message)


def test_slopes_of_what_is_no_number_are_refused_unless_traced():
    x = np.zeros((2, 20, 3), np.float32)
    x[1, 4, 2], x[0, 0, 0] = np.nan, np.inf
    with pytest.raises(ValueError, match="of 120 features 2 are NaN or infinite"):
        delta(x)
    assert np.isnan(jax.jit(delta)(x)).any()


@pytest.mark.parametrize(("width", "order"), [(3, 1), (9, 1), (9, 2), (7, 3)])
@pytest.mark.parametrize("frames", [9, 44])
def test_delta_agrees_with_librosa(width, order, frames):
    x = np.random.default_rng(1).standard_normal((2, frames, 5)).astype(np.float32)
    right = librosa.feature.delta(x, width=width, order=order, axis=-2)
    np.testing.assert_allclose(delta(x, width=width, order=order), right, atol=1e-5)


def test_delta_of_a_line_is_its_slope_to_the_edges():
    line = 3.0 * np.arange(20, dtype=np.float32)[:, None] + 7
    np.testing.assert_allclose(delta(line), np.full((20, 1), 3.0), rtol=1e-5)


def features_of(y):
    cepstrum = mfcc(y, sample_rate=RATE, n_fft=512, n_mfcc=13)
    loudness = log_mel(y, sample_rate=RATE, n_fft=512, n_mels=13, power=1.0, ref=jnp.max)
    return jnp.concatenate([cepstrum, delta(cepstrum), loudness], axis=-1)


def test_jit_vmap_and_scan_change_nothing(noise):
    plain = features_of(noise)
    tolerance = {"atol": 1e-4}
    np.testing.assert_allclose(jax.jit(features_of)(noise), plain, **tolerance)
    np.testing.assert_allclose(jax.vmap(features_of)(noise), plain, **tolerance)
    np.testing.assert_allclose(jax.lax.map(features_of, jnp.asarray(noise)), plain, **tolerance)
    in_scans = jax.vmap(lambda pair: jax.lax.map(features_of, pair))(noise[:, None])
    np.testing.assert_allclose(in_scans[:, 0], plain, **tolerance)


def test_gradient_is_the_slope(noise):
    y, step = noise[0, :6000].astype(np.float64), 1e-3
    direction = np.random.default_rng(2).standard_normal(y.shape) * 0.1

    @jax.jit
    def loss(y):
        return jnp.mean(features_of(y) ** 2)

    measured = (loss(y + step * direction) - loss(y - step * direction)) / (2 * step)
    gradient = jax.grad(loss)(noise[0, :6000])
    np.testing.assert_allclose(jnp.vdot(gradient, direction), measured, rtol=2e-2)
    each = jax.vmap(jax.grad(loss))(noise[:, :6000])
    np.testing.assert_allclose(each[0], gradient, atol=1e-4 * np.abs(gradient).max())


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_gradients_of_silence_are_finite(power, noise):
    half_silent = noise * (np.arange(noise.shape[1]) < 11000)
    clips = np.stack([np.zeros_like(noise[0]), half_silent[0]]).astype(np.float32)
    for function in (mel_spectrogram, mfcc):
        total = lambda y, f=function: f(y, sample_rate=RATE, power=power).sum()  # noqa: E731
        assert np.isfinite(jax.jit(jax.grad(total))(clips)).all()


def test_silence_is_the_floor_of_decibels():
    np.testing.assert_array_equal(log_mel(np.zeros(4096, np.float32), sample_rate=RATE), -100)


def test_an_empty_batch_gives_an_empty_batch():
    assert mfcc(np.zeros((2, 0, 4096), np.float32), sample_rate=RATE).shape == (2, 0, 9, 20)


def test_float64_audio_gives_float32(noise):
    ours = mfcc(noise.astype(np.float64), sample_rate=RATE)
    assert ours.dtype == jnp.float32
    np.testing.assert_array_equal(ours, mfcc(noise, sample_rate=RATE))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_fft": 0}, "n_fft is 0"),
        ({"hop_length": -1}, "hop_length is -1"),
        ({"n_mels": 0}, "n_mels is 0"),
        ({"power": 0.0}, "power is 0"),
        ({"fmax": 12000.0}, r"fmax=12000.*11025"),
        ({"fmin": 900.0, "fmax": 900.0}, "fmin=900"),
        ({"fmin": -1.0}, "fmin=-1"),
        ({"norm": "l2"}, "norm is 'l2'"),
        ({"norm": -2}, "norm is -2"),
        ({"norm": True}, "norm is True"),
        ({"center": False}, r"1000 samples; at least 2048 \(0.09288 s\).*, a smaller n_fft or cen"),
        ({"pad_mode": "reflect"}, "1000 samples; at least 1025 .*or pad_mode='constant'"),
        ({"pad_mode": "wrap"}, "pad_mode is 'wrap'; constant, edge"),
        ({"win_length": 3000}, "win_length is 3000; 1 to n_fft=2048"),
        ({"window": "honn"}, "window is 'honn', which scipy.*; a name such as"),
    ],
)
def test_bad_options_are_named(options, message):
    for function in (mel_spectrogram, log_mel, mfcc):
        with pytest.raises(ValueError, match=message):
            function(np.zeros(1000, np.float32), sample_rate=RATE, **options)


def test_bad_audio_is_refused():
    with pytest.raises(TypeError, match=r"int16.*32768"):
        mfcc(np.zeros(4096, np.int16), sample_rate=RATE)
    with pytest.raises(ValueError, match="0 samples"):
        mfcc(np.zeros((2, 0), np.float32), sample_rate=RATE)


def test_audio_that_is_not_finite_is_refused_unless_traced(noise):
    broken = noise.copy()
    broken[1, [500, 7000]] = np.nan, np.inf
    said = r"2 samples .*, of 44114, in 1 of 2 clips; the first is nan at index \(1, 500\)"
    for audio in (broken, jnp.asarray(broken)):
        with pytest.raises(ValueError, match=said):
            mfcc(audio, sample_rate=RATE)
    traced = jax.jit(lambda y: mfcc(y, sample_rate=RATE))
    assert np.isnan(traced(broken)).any(axis=(1, 2)).tolist() == [False, True]
    jax.eval_shape(lambda: mfcc(jnp.asarray(broken), sample_rate=RATE))  # a constant in a jit


def test_large_audio_whose_sum_is_infinite_is_finite():
    loud = jnp.full(4096, 1e38, jnp.float32)
    assert not np.isfinite(loud.sum())
    assert mfcc(loud, sample_rate=RATE).shape == (9, 20)


def test_bad_counts_are_named():
    y = np.zeros(4096, np.float32)
    with pytest.raises(ValueError, match="n_mfcc is 41"):
        mfcc(y, sample_rate=RATE, n_mfcc=41, n_mels=40)
    with pytest.raises(ValueError, match="top_db is -1"):
        log_mel(y, sample_rate=RATE, top_db=-1)
    with pytest.raises(ValueError, match="8 frames"):
        delta(np.zeros((8, 2), np.float32))
    with pytest.raises(ValueError, match="width=4"):
        delta(np.zeros((8, 2), np.float32), width=4)
    with pytest.raises(ValueError, match="order=0"):
        delta(np.zeros((9, 2), np.float32), order=0)
