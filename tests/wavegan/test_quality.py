import math
import re
from dataclasses import replace

import jax
import jax.numpy as jnp
import librosa
import numpy as np
import pytest
from flax import nnx
from scipy.spatial.distance import cdist

from features import load_audio, scan_tracks
from wavegan import Generator, WaveGANConfig, generate
from wavegan.distances import frechet_distance, kernel_distance
from wavegan.embedding import embed
from wavegan.metrics import METRICS, Metric, standing
from wavegan.quality import Quality
from wavegan.windows import Windows

RATE = 8000


def noise(seed, *shape, gain=0.1):
    return (gain * np.random.default_rng(seed).normal(size=shape)).astype(np.float32)


def tones(seed, count, length):
    """Recordings of one tone each, of any pitch, loudness and rate of beating."""
    rng = np.random.default_rng(seed)
    t = np.arange(length)[None] / RATE
    pitch, beat = rng.uniform(200, 3000, (count, 1)), rng.uniform(1, 8, (count, 1))
    loud = rng.uniform(0.05, 0.5, (count, 1))
    sound = loud * np.sin(2 * np.pi * pitch * t) * (1 + np.sin(2 * np.pi * beat * t)) / 2
    return (sound[..., None] + noise(seed, count, length, 1, gain=1e-3)).astype(np.float32)


# --- the embedding ---


@pytest.mark.parametrize(
    ("length", "rate", "channels"),
    [(1024, 8000, 1), (16384, 22050, 1), (65536, 48000, 2), (32, 8000, 1), (16384, 44100, 3)],
)
def test_clips_of_any_length_rate_and_channels(length, rate, channels):
    points = embed(noise(0, 3, length, channels), sample_rate=rate)
    assert points.shape == (3, 120 * channels)
    assert np.isfinite(points).all()
    assert len(np.unique(points, axis=0)) == 3


@pytest.mark.parametrize(("rate", "n_fft"), [(8000, 512), (22050, 1024), (48000, 2048)])
def test_the_embedding_by_librosa(rate, n_fft):
    clip = noise(0, 16384) * np.linspace(0, 1, 16384, dtype=np.float32)
    mel = librosa.feature.melspectrogram(
        y=clip.astype(np.float64),
        sr=rate,
        n_fft=n_fft,
        hop_length=n_fft // 4,
        n_mels=40,
        center=False,
        norm=None,
    )
    bands = 10 * np.log10(mel / (n_fft / 4) ** 2 + 1e-8)
    expected = [bands.mean(1), bands.std(1), np.abs(np.diff(bands, axis=1)).mean(1)]
    points = embed(clip[None, :, None], sample_rate=rate)
    np.testing.assert_allclose(points[0], np.concatenate(expected), atol=1e-3)


def test_loudness_is_heard_and_dither_is_not():
    """Double the gain is 6.02 dB in each band and changes nothing else; silence is -80 dB."""
    quiet, loud = embed(np.stack([noise(0, 4096, 1), 2 * noise(0, 4096, 1)]), sample_rate=RATE)
    np.testing.assert_allclose((loud - quiet)[:40], 20 * np.log10(2), atol=0.01)
    np.testing.assert_allclose((loud - quiet)[40:], 0, atol=0.01)
    silence, dither = np.zeros((4096, 1), np.float32), noise(1, 4096, 1, gain=2e-5)
    points = embed(np.stack([silence, dither]), sample_rate=RATE)
    np.testing.assert_allclose(points[0], [-80] * 40 + [0] * 80, atol=1e-4)
    np.testing.assert_allclose(points[1], points[0], atol=1.5)
    sine = np.sin(2 * np.pi * 1000 * np.arange(4096, dtype=np.float32) / RATE)
    assert embed(sine[None, :, None], sample_rate=RATE).max() == pytest.approx(0, abs=1.5)


def test_a_clip_is_embedded_alike_in_any_batch_and_channel():
    clips = noise(0, 70, 1024, 1)
    points = embed(clips, sample_rate=RATE)
    for i in (0, 63, 64, 69):
        np.testing.assert_allclose(embed(clips[i : i + 1], sample_rate=RATE)[0], points[i], 1e-5)
    stereo = np.concatenate([clips[:5], clips[5:10]], axis=2)
    expected = np.concatenate([points[:5], points[5:10]], axis=1)
    np.testing.assert_allclose(embed(stereo, sample_rate=RATE), expected, 1e-5)


def test_clips_that_have_no_embedding():
    broken = np.zeros((70, 64, 1), np.float32)
    broken[66, 3] = np.nan
    with pytest.raises(ValueError, match="clip 66 holds NaN or Inf"):
        embed(broken, sample_rate=RATE)
    for shape in [(2, 31, 1), (0, 64, 1)]:
        with pytest.raises(ValueError, match=r"1 clip or more of 32 samples, found"):
            embed(np.zeros(shape, np.float32), sample_rate=RATE)


# --- the inspector ---


@pytest.fixture(scope="module")
def recordings():
    return list(tones(0, 40, 4000))


@pytest.fixture(scope="module")
def quality(recordings):
    return Quality(recordings, sample_rate=RATE, num_samples=1024, count=100)


def windows_of(recordings, seed, count=100):
    rng = np.random.default_rng(seed)
    starts = rng.integers(0, len(recordings[0]) - 1024, count)
    chosen = rng.integers(0, len(recordings), count)
    return np.stack([recordings[i][s : s + 1024] for i, s in zip(chosen, starts, strict=True)])


def test_sounds_of_the_kind_are_near_and_others_far(quality):
    alike = quality.measure(windows_of(tones(1, 40, 4000), 0))
    assert set(alike) == {
        f"quality/{name}"
        for name in (
            *("kernel_distance", "kernel_distance_error", "frechet_distance"),
            *("kernel_distance_floor", "kernel_distance_floor_error"),
            *("frechet_distance_error", "memorised", "memorised_error", "nearest"),
            *("kernel_distance_own_error", "frechet_distance_own_error"),
            *("nearest_train", "coverage", "coverage_error"),
            *("variety", "variety_error", "variety_own_error"),
        )
    }
    assert all(type(value) is float for value in alike.values())
    noises = quality.measure(noise(0, 100, 1024, 1))
    quiet = quality.measure(0.1 * windows_of(tones(1, 40, 4000), 0))
    for name in ("quality/kernel_distance", "quality/frechet_distance"):
        assert alike[name] + 3 * alike[f"{name}_error"] < quiet[name] < noises[name]
    assert alike["quality/kernel_distance"] < quality.floor.value + 4 * quality.floor.error
    assert alike["quality/memorised"] < 0.1
    assert noises["quality/nearest"] > 2 * alike["quality/nearest"]


def test_windows_of_the_training_set_are_memorised(recordings):
    """Of recordings so short that others tell how near comes what was not heard."""
    short = [x[:2000] for x in recordings]
    quality = Quality(short, sample_rate=RATE, num_samples=1024, count=100)
    copies = quality.measure(windows_of(short, 5))  # at any offset
    fresh = quality.measure(windows_of(tones(1, 40, 4000), 5))
    assert copies["quality/memorised"] > 0.8
    assert copies["quality/nearest"] < 0.8 * fresh["quality/nearest"]  # one half lacks it
    assert copies["quality/nearest_train"] == fresh["quality/nearest_train"]


def music(seed, seconds, count=8):
    """Recordings of some notes each, which come again all the time, beating at any rate."""
    rng = np.random.default_rng(seed)
    t, sounds = np.arange(int(seconds * RATE)) / RATE, []
    for _ in range(count):
        notes, phase = rng.uniform(200, 3000, 3), 2 * np.pi * np.cumsum(rng.normal(4, 8, len(t)))
        sound = sum(np.sin(2 * np.pi * note * t) for note in notes) * (1 + np.sin(phase / RATE)) / 8
        sounds.append((sound[:, None] + rng.normal(0, 0.01, (len(t), 1))).astype(np.float32))
    return sounds


@pytest.mark.parametrize(("num_samples", "count"), [(1024, 8), (2 * RATE, 24)])
def test_seconds_that_were_not_heard_are_no_copies(num_samples, count):
    """Of the same recordings, whose sounds are nearer to each other than to other recordings'."""
    whole, length = music(0, 14, count), 8 * RATE
    heard = [x[:length] for x in whole]  # 62 clips, or 4
    quality = Quality(heard, sample_rate=RATE, num_samples=num_samples, count=100)
    rng = np.random.default_rng(1)

    def windows(lo, hi):
        starts = rng.integers(lo, hi - num_samples, 200)
        return np.stack([whole[i % count][s:][:num_samples] for i, s in enumerate(starts)])

    unheard, heard = (quality.measure(windows(*r)) for r in ((length, 14 * RATE), (0, length)))
    assert unheard["quality/memorised"] < 0.04
    assert heard["quality/memorised"] > 0.3
    assert unheard["quality/nearest"] == pytest.approx(unheard["quality/nearest_train"], rel=0.1)


def test_held_out_recordings_are_compared_and_training_ones_copied():
    """The distance is to the held-out ones, copies are of those that the GAN heard."""
    train, held_out = (list(tones(seed, 40, 2000)) for seed in range(2))
    quality = Quality(held_out, sample_rate=RATE, num_samples=1024, count=100, train=train)
    heard, fresh = (quality.measure(windows_of(x, 5)) for x in (train, held_out))
    assert heard["quality/memorised"] > 0.8
    assert fresh["quality/memorised"] < 0.1
    for name in ("kernel_distance", "frechet_distance"):
        assert heard[f"quality/{name}"] > fresh[f"quality/{name}"]


def test_a_recording_counts_as_often_as_in_training():
    """18 recordings of one window of low tones, 2 of some hundred windows of high ones."""
    rng = np.random.default_rng(0)

    def sound(pitch, length):
        phase = 2 * np.pi * pitch * rng.uniform(0.97, 1.03) * np.arange(length) / RATE
        tone = 0.3 * np.sin(phase + rng.uniform(0, 6)) + rng.normal(0, 0.01, length)
        return tone.astype(np.float32)[:, None]

    low, high = ([sound(pitch, 1024) for _ in range(100)] for pitch in (300, 1200))
    audio = [*low[:18], *(sound(1200, 1400) for _ in range(2))]
    labels, shape = [0] * 18 + [1] * 2, {"sample_rate": RATE, "num_samples": 1024}
    quality = Quality(audio, **shape, count=100, labels=labels, train=audio)
    share = 2 * 1400 / 1024 / (18 + 2 * 1400 / 1024)  # .13
    assert quality._labels.mean() == pytest.approx(share, abs=0.1)
    wanted, half, many = (
        quality.measure(np.stack(high[:n] + low[n:]))["quality/kernel_distance"]
        for n in (13, 50, 74)
    )
    assert wanted < half < many
    assert abs(quality.train_distance.value) < half


def test_errors_are_over_recordings():
    """A few recordings say less of others than their windows do of one another."""
    audio = tones(0, 6, 20_000)
    fake = windows_of([x[:4000] for x in audio], 0)
    options = {"sample_rate": RATE, "num_samples": 1024, "count": 100}
    by_window = Quality(audio, **options, groups=np.zeros(6, int)).measure(fake)
    by_recording = Quality(audio, **options).measure(fake)
    name = "quality/kernel_distance"
    assert by_recording[name] == by_window[name]
    assert by_recording[f"{name}_error"] > 1.5 * by_window[f"{name}_error"]
    assert by_recording[f"{name}_own_error"] == by_window[f"{name}_own_error"]


def test_the_metrics_are_those_of_the_statistics():
    """Of 20 recordings of a window each: which were drawn is all that is by chance."""
    audio, fake = tones(0, 20, 1024), tones(1, 20, 1024)
    quality = Quality(audio, sample_rate=RATE, num_samples=1024, count=40)
    drawn = Windows(audio, num_samples=1024, channels=1, store="host")
    which = [
        drawn.places(jax.random.fold_in(jax.random.key(0), i), 64)[0] for i in range(0, 320, 64)
    ]
    which = np.concatenate(which)
    points, generated = (embed(x, sample_rate=RATE).astype(np.float64) for x in (audio, fake))
    mean, spread = points[which].mean(0), np.hypot(points[which].std(0), 1)
    points, generated = (points - mean) / spread, (generated - mean) / spread
    metrics = quality.measure(fake)
    for name, distance in {"kernel": kernel_distance, "frechet": frechet_distance}.items():
        value = distance(points[which[:40]], generated).value
        np.testing.assert_allclose(metrics[f"quality/{name}_distance"], value, rtol=1e-3)
    even, odd = points[::2], points[1::2]  # each recording is in one half
    null = [cdist(a, b).min(1) for a, b in ((even, odd), (odd, even))]
    expected = np.median(np.concatenate(null))
    np.testing.assert_allclose(metrics["quality/nearest_train"], expected, 1e-4)
    nearest = [cdist(generated, half).min(1) for half in (odd, even)]
    expected = np.median(np.concatenate(nearest))
    np.testing.assert_allclose(metrics["quality/nearest"], expected, 1e-4)
    copied = [near < unheard.min() for near, unheard in zip(nearest, null, strict=True)]
    assert metrics["quality/memorised"] == np.mean(copied[0] | copied[1])


def test_int16_and_the_options_of_the_windows(recordings):
    """Halved and as int16: normalised by their peaks, they are the same sounds."""
    fake = windows_of(tones(1, 40, 4000), 0)
    options = {"sample_rate": RATE, "num_samples": 1024, "count": 50, "peak_normalize": True}
    halved = [np.round(x * 2**14).astype(np.int16) for x in recordings]
    first = Quality(recordings, **options).measure(fake)
    second = Quality(halved, **options).measure(fake)
    for name, value in first.items():
        np.testing.assert_allclose(second[name], value, rtol=0.1, atol=0.02)
    short = [*recordings, recordings[0][:100]]
    with pytest.raises(ValueError, match="recording 40 has 100 samples"):
        Quality(short, **options)
    Quality(short, **options, pad_end=True).measure(fake)


@pytest.fixture(scope="module")
def generator():
    return Generator(WaveGANConfig(num_samples=1024, dim=1, latent_dim=3), rngs=nnx.Rngs(0))


def test_a_generator_is_measured_by_its_clips(quality, generator):
    metrics = quality(7, generator)
    assert metrics == quality(8, generator)
    assert metrics == quality.measure(generate(generator, 100, seed=0).audio)


def test_a_conditional_generator_makes_the_classes_of_the_real_windows(recordings):
    """Every fifth recording is of class 1, which is the louder one here."""
    config = WaveGANConfig(num_samples=1024, dim=1, latent_dim=3, num_classes=2)
    generator = Generator(config, rngs=nnx.Rngs(0))
    for modulation in generator.modulations:
        modulation.shift[...] = modulation.shift[...].at[1].set(3.0)
    labels = np.arange(40) % 5 == 0
    quality = Quality(
        recordings, sample_rate=RATE, num_samples=1024, count=200, labels=labels.astype(int)
    )
    chosen = quality._labels
    assert 0.1 < chosen.mean() < 0.3
    expected = generate(generator, 200, seed=0, label=chosen).audio
    assert quality(0, generator) == quality.measure(expected, labels=chosen)
    others = generate(generator, 200, seed=0)
    assert quality(0, generator) != quality.measure(others.audio, labels=others.labels)


def brighter(clips):
    """Two classes, by the most of a sound's changes: a classifier that knows what is asked for."""
    change = np.abs(np.diff(clips, axis=1)).mean((1, 2))
    loud = 1 / (1 + np.exp(50 * (0.05 - change)))
    return np.stack([1 - loud, loud], axis=1).astype(np.float32)


def test_a_metric_says_whether_the_class_steers(recordings):
    """A generator whose classes differ as asked, one that ignores them, and one of a class."""
    config = WaveGANConfig(num_samples=1024, dim=1, latent_dim=3, num_classes=2)
    steered = Generator(config, rngs=nnx.Rngs(0))
    for modulation in steered.modulations:
        modulation.scale[...] = modulation.scale[...].at[0].set(-1.0).at[1].set(4.0)
        modulation.shift[...] = modulation.shift[...].at[1].set(2.0)
    labels = brighter(np.stack(recordings)).argmax(1)
    assert 0.2 < labels.mean() < 0.8
    options = {"sample_rate": RATE, "num_samples": 1024, "count": 100, "classify": brighter}
    quality, name = Quality(recordings, **options, labels=labels), "quality/class_agreement"
    found = quality(0, steered)
    assert found[name] > 0.95
    assert found[f"{name}_real"] > 0.8
    for modulation in steered.modulations:
        modulation.scale[...] = modulation.scale[...].at[0].set(4.0)
        modulation.shift[...] = modulation.shift[...].at[0].set(2.0)
    assert quality(0, steered)[name] == pytest.approx(quality._labels.mean())  # all are loud
    alone = Generator(replace(config, num_classes=0), rngs=nnx.Rngs(0))
    ones = Quality(recordings, **options, labels=np.ones(40, int))
    loud = brighter(generate(alone, 100, seed=0).audio).argmax(1).mean()
    assert ones(0, alone)[name] == pytest.approx(loud)
    assert name not in Quality(recordings, **options)(0, alone)


def classify(clips):
    """Three classes by the brightness of a sound: the share of its power in the differences."""
    change = np.diff(clips, axis=1)
    bright = np.sqrt((change**2).mean((1, 2)) / ((clips**2).mean((1, 2)) + 1e-9))[:, None]
    weights = np.exp(-8 * (bright - np.array([[0.3, 1.0, 1.7]])) ** 2)
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)


def test_a_classifier_tells_variety(recordings):
    quality = Quality(recordings, sample_rate=RATE, num_samples=1024, count=160, classify=classify)
    many = quality.measure(windows_of(tones(1, 40, 4000), 0, 160))
    one = quality.measure(windows_of(tones(1, 40, 4000), 0, 160)[:1].repeat(160, 0))
    assert 1.5 < many["quality/inception_score"] <= 3
    assert one["quality/inception_score"] == pytest.approx(1, abs=1e-6)
    assert many["quality/different_bins"] + 0.3 < one["quality/different_bins"]
    for metrics in (many, one):
        bare = {name.removesuffix("_error").removesuffix("_own") for name in metrics}
        asked = {"class_agreement", "class_agreement_real", "rarest_class"}  # of no classes here
        asked = {f"quality/{name}" for name in (*asked, "kernel_distance_train")}  # nor of a train
        assert bare == {name for name in METRICS if name.startswith("quality/")} - asked
        medians = {"quality/nearest", "quality/nearest_train"}
        assert {f"{name}_error" for name in bare - medians} <= set(metrics)
        assert metrics["quality/kernel_distance_floor"] == quality.floor.value


def test_a_single_short_recording_says_nothing_of_copies():
    whole = Quality([noise(0, 2000, 1)], sample_rate=RATE, num_samples=1024, count=50)
    metrics = whole.measure(noise(1, 50, 1024, 1))
    assert not {"quality/memorised", "quality/nearest", "quality/nearest_train"} & set(metrics)
    assert abs(whole.floor.value) < 5 * whole.floor.error
    longer = Quality([noise(0, 20_000, 1)], sample_rate=RATE, num_samples=1024, count=50)
    assert longer.measure(noise(1, 50, 1024, 1))["quality/memorised"] < 0.1


def test_the_floor_is_between_recordings():
    """Recordings of one pitch each differ more than the halves of one set of windows."""
    audio = tones(0, 6, 20_000)
    options = {"sample_rate": RATE, "num_samples": 1024, "count": 60}
    apart = Quality(audio, **options).floor
    mixed = Quality(audio, **options, groups=np.zeros(6, int)).floor
    assert apart.value > 10 * abs(mixed.value)


def test_an_ideal_generator_is_not_accused_where_the_held_out_sound_otherwise():
    """Of a speaker who is twice as loud, say: to sound as what was heard is all one can do."""
    heard, others = noise(0, 40, 4000, 1), noise(1, 40, 4000, 1, gain=0.2)
    quality = Quality(others, sample_rate=RATE, num_samples=1024, count=100, train=heard)
    doubts = []
    for clips in (noise(2, 100, 1024, 1), noise(2, 100, 1024, 1, gain=0.01)):
        row = quality.measure(clips) | {"gan/step": 1.0}
        assert row["quality/kernel_distance_train"] == quality.train_distance.value
        doubts.append(standing([row], metric="quality/kernel_distance", patience=1).doubt)
    assert quality.train_distance.value > 3 * (quality.floor.value + 2 * quality.floor.error)
    assert doubts[0] == ""
    assert "far from real ones" in doubts[1]


@pytest.mark.parametrize(
    ("audio", "options", "message"),
    [
        ([], {}, "no audio"),
        (noise(0, 7, 1024, 1), {}, "7 different windows of 1024 samples are too few"),
        (noise(0, 9, 1024, 1), {"count": 3}, "2 different windows .* at least 8 are needed"),
        (
            noise(0, 9, 1024, 1),
            {"groups": [1, 2]},
            r"groups must be one a recording \(9\), found 2",
        ),
        (noise(0, 9, 1024, 1), {"labels": [1]}, r"labels must be one a recording \(9\), found 1"),
        (noise(0, 9, 1024, 2), {}, r"recording 0 must be \(samples, 1\)"),
    ],
)
def test_audio_that_makes_no_comparison(audio, options, message):
    with pytest.raises(ValueError, match=message):
        Quality(audio, sample_rate=RATE, num_samples=1024, **options)


def test_clips_that_can_not_be_compared(quality, generator):
    with pytest.raises(ValueError, match=r"clips must be \(n, 1024, 1\), found \(9, 512, 1\)"):
        quality.measure(noise(0, 9, 512, 1))
    with pytest.raises(ValueError, match="holds NaN or Inf"):
        quality.measure(np.full((9, 1024, 1), np.nan, np.float32))
    with pytest.raises(ValueError, match="generated must be at least 4 points"):
        quality.measure(noise(0, 3, 1024, 1))
    other = Generator(replace(generator.config, num_samples=512), rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="clips must be"):
        quality(0, other)


def test_real_music_is_nearer_to_music_than_noise_is(gtzan_mini):
    """Two tracks a genre stand in for a generator that has learned the others' genres."""
    tracks = scan_tracks(gtzan_mini)
    audio = [load_audio(track.path, duration=6.0)[0] for track in tracks]
    fresh = np.arange(len(audio)) % 4 == 0
    assert {t.label for t, new in zip(tracks, fresh, strict=True) if new} == {
        t.label for t in tracks
    }
    train = [x for x, new in zip(audio, fresh, strict=True) if not new]
    quality = Quality(train, sample_rate=22050, num_samples=16384, count=128)

    def windows(recordings, seed):
        rng = np.random.default_rng(seed)
        starts = rng.integers(0, 5 * 22050, (128,))
        return np.stack([recordings[i % len(recordings)][s:][:16384] for i, s in enumerate(starts)])

    real = windows([x for x, new in zip(audio, fresh, strict=True) if new], 0)
    music, copies = quality.measure(real), quality.measure(windows(train, 1))
    silence = quality.measure(np.zeros_like(real))
    rms = np.sqrt((real**2).mean((1, 2), keepdims=True))
    noises = quality.measure(rms * noise(0, *real.shape, gain=1))
    for name in ("quality/kernel_distance", "quality/frechet_distance"):
        assert music[name] + 3 * music[f"{name}_error"] < noises[name] < silence[name]
    assert music["quality/memorised"] < 0.04 < 0.3 < copies["quality/memorised"]
    assert copies["quality/nearest"] < 0.9 * copies["quality/nearest_train"]


def test_a_users_own_metric_is_measured_with_the_others():
    METRICS["loudness ratio"] = Metric(
        "loudness ratio",
        "Generated over real.",
        measure=lambda generated, real, sample_rate: generated.std() / real.std(),
    )
    try:
        rng = np.random.default_rng(0)
        recordings = [rng.normal(0, 0.1, (2000, 1)).astype(np.float32) for _ in range(4)]
        quality = Quality(recordings, sample_rate=4000, num_samples=256, count=32)
        generated = rng.normal(0, 0.2, (32, 256, 1)).astype(np.float32)
        assert quality.measure(generated)["loudness ratio"] == pytest.approx(2, rel=0.05)
    finally:
        del METRICS["loudness ratio"]
    with pytest.raises(TypeError, match=r"function \(generated, real, sample_rate\)"):
        METRICS["loudness ratio"] = Metric("loudness", "How loud.", measure=3)


@pytest.mark.parametrize("found", [np.ones(2), None, "0.5", math.nan, math.inf], ids=repr)
def test_a_users_own_metric_that_is_no_number_is_named(quality, monkeypatch, found):
    metric = Metric("mine", "Mine.", measure=lambda generated, real, sample_rate: found)
    monkeypatch.setitem(METRICS, "mine", metric)
    said = f"measure of wavegan.METRICS['mine'] must return one finite number, found {found!r}"
    with pytest.raises(ValueError, match=re.escape(said)):
        quality.measure(noise(0, 100, 1024, 1))


@pytest.mark.parametrize("found", [2, np.float32(2), jnp.float32(2)], ids=repr)
def test_a_users_own_metric_may_be_any_kind_of_number(quality, monkeypatch, found):
    metric = Metric("mine", "Mine.", measure=lambda generated, real, sample_rate: found)
    monkeypatch.setitem(METRICS, "mine", metric)
    value = quality.measure(noise(0, 100, 1024, 1))["mine"]
    assert (value, type(value)) == (2.0, float)
