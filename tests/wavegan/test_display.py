"""What a notebook shows: results in a line, clips with a picture and a player."""

import base64
import io
import re

import numpy as np
import pytest
import soundfile as sf
from flax import nnx
from PIL import Image

from wavegan import Discriminator, Generator, Quality, Samples, WaveGANConfig, generate
from wavegan.display import SHOWN


def samples(count=3, *, sample_rate=None, labels=None, channels=1):
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (count, 256, channels))
    return Samples(noise.astype(np.float32), np.zeros((count, 4)), labels, sample_rate)


def encoded(html, kind):
    return [base64.b64decode(x) for x in re.findall(f'src="data:{kind};base64,([^"]*)"', html)]


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ({}, "Samples(3 clips of 256 samples)"),
        ({"sample_rate": 512, "channels": 2}, "Samples(3 clips of 0.50 s at 512 Hz, 2 channels)"),
        ({"labels": np.array([2, 0, 2])}, "Samples(3 clips of 256 samples, of classes 0, 2)"),
        (
            {"count": 7, "labels": np.arange(7)},
            "Samples(7 clips of 256 samples, of classes 0, 1, 2, 3, 4, …)",
        ),
        ({"labels": np.eye(3, dtype=np.float32)}, "Samples(3 clips of 256 samples)"),
    ],
)
def test_samples_in_a_line(options, shown):
    assert repr(samples(**options)) == shown


def test_clips_play_where_their_rate_is_known():
    given = samples(SHOWN + 2, sample_rate=8000, labels=np.arange(SHOWN + 2) % 3)
    html = given._repr_html_()
    sounds = [sf.read(io.BytesIO(x), always_2d=True) for x in encoded(html, "audio/wav")]
    assert [rate for _, rate in sounds] == [8000] * SHOWN
    for (sound, _), clip in zip(sounds, given.audio, strict=False):
        np.testing.assert_allclose(sound, clip, atol=2**-15)
    pictures = [Image.open(io.BytesIO(x)) for x in encoded(html, "image/png")]
    assert [picture.height for picture in pictures] == [64] * SHOWN
    assert f"; the first {SHOWN}:" in html
    assert html.count("<figcaption><small>clip 1, class 1</small></figcaption>") == 1


def test_clips_of_an_unknown_rate_are_seen_and_it_is_said():
    html = samples()._repr_html_()
    assert not encoded(html, "audio/wav")
    assert len(encoded(html, "image/png")) == 3
    assert "generate(…, sample_rate=…)" in html


def test_generated_clips_know_the_rate_that_was_told():
    generator = Generator(WaveGANConfig(num_samples=64, dim=1), rngs=nnx.Rngs(0))
    told, silent = (generate(generator, 2, sample_rate=rate) for rate in (8000, None))
    assert (told.sample_rate, silent.sample_rate) == (8000, None)
    np.testing.assert_array_equal(told.audio, silent.audio)


def test_networks_in_a_line():
    """What is not the reference's, the size, and the number of weights."""
    config = WaveGANConfig(num_samples=64, dim=1, batch_norm=True)
    generator = Generator(config, rngs=nnx.Rngs(0))
    count = sum(np.size(x[...]) for _, x in nnx.to_flat_state(nnx.state(generator, nnx.Param)))
    assert repr(generator) == (
        f"Generator(num_samples=64, dim=1, batch_norm=True: {count:,} weights)"
    )
    critic = nnx.eval_shape(lambda: Discriminator(WaveGANConfig(), rngs=nnx.Rngs(0)))
    assert repr(critic) == "Discriminator(num_samples=16384, dim=64: 17,427,969 weights)"


def test_a_yardstick_in_a_line():
    noise = np.random.default_rng(0).normal(size=(9, 1024)).astype(np.float32)
    quality = Quality(noise, sample_rate=8000, num_samples=1024, count=30)
    assert re.fullmatch(
        r"Quality\(30 real windows \(1024, 1\) at 8000 Hz, floor \S+ ± \S+\)", repr(quality)
    )
    deep = Quality(noise[..., None], sample_rate=8000, num_samples=1024, count=30)
    assert quality.measure(noise) == deep.measure(noise[..., None]), "mono without its channel"
