"""Previews on disk against what the generator makes, and the errors of folders."""

import re

import jax.numpy as jnp
import numpy as np
import pytest
import soundfile as sf
from flax import nnx
from PIL import Image

from features.generated import is_generated
from wavegan import Generator, WaveGANConfig
from wavegan.previews import Previews, preview_steps, read_previews
from wavegan.sampling import draw_latents

RATE = 8000
GAP = 800  # 0.1 s


def generator(seed=0, **options) -> Generator:
    config = WaveGANConfig(num_samples=128, dim=2, latent_dim=4, **options)
    return Generator(config, rngs=nnx.Rngs(seed))


def test_the_files_hold_the_clips_of_the_fixed_latents(tmp_path):
    inspect = Previews(tmp_path / "previews", sample_rate=RATE, count=3, seed=5)
    first, later = generator(0), generator(1)
    assert inspect(200, first) == {}
    assert inspect(1400, later) == {}
    assert preview_steps(tmp_path / "previews") == [200, 1400]
    for step, network in ((200, first), (1400, later)):
        expected = np.asarray(network(draw_latents(5, 3, 4)))
        sound, rate = sf.read(tmp_path / f"previews/step-{step:08d}.flac", always_2d=True)
        assert rate == RATE
        assert sound.shape == (3 * 128 + 2 * GAP, 1)
        for i in range(3):
            start = i * (128 + GAP)
            np.testing.assert_allclose(sound[start : start + 128], expected[i], atol=2**-15)
            assert not sound[start + 128 : start + 128 + GAP].any()
        clips, labels, rate = read_previews(tmp_path / "previews", step)
        assert (labels, rate) == (None, RATE)
        np.testing.assert_allclose(clips, expected, atol=2**-15)
        assert is_generated(tmp_path / f"previews/step-{step:08d}.flac")
    names = {file.name for file in (tmp_path / "previews").iterdir()}
    assert len(names) == 5  # nothing half-written beside them


def test_the_picture_shows_each_clip(tmp_path):
    time = np.arange(16384) / 22050
    tones = np.stack([np.sin(2 * np.pi * f * time) for f in (200, 8000)])[..., None]
    inspect = Previews(tmp_path, sample_rate=22050)
    inspect._write("step-00000001", tones.astype(np.float32))
    picture = np.asarray(Image.open(tmp_path / "step-00000001.png").convert("L")).astype(float)
    assert picture.shape == (128, 2 * 128 + 4)
    assert picture[:, :128].mean(1).argmax() > 0.85 * 128  # low frequencies at the bottom
    assert picture[:, -128:].mean(1).argmax() < 0.25 * 128
    assert (picture[:, 128:132] == 255).all()


def test_a_resumed_run_writes_each_step_once(tmp_path):
    Previews(tmp_path, sample_rate=RATE)(10, generator(0))
    before = (tmp_path / "step-00000010.flac").read_bytes()
    again = Previews(tmp_path, sample_rate=RATE)
    again(10, generator(0))
    again(20, generator(1))
    assert preview_steps(tmp_path) == [10, 20]
    assert (tmp_path / "step-00000010.flac").read_bytes() == before
    assert (tmp_path / "step-00000020.flac").read_bytes() != before


@pytest.mark.parametrize(
    ("options", "labels"),
    [({"count": 5}, [0, 1, 2, 0, 1]), ({"count": 1}, [0, 1, 2]), ({"labels": (2, 2)}, [2, 2])],
)
def test_a_conditional_generator_makes_every_class(tmp_path, options, labels):
    network = generator(num_classes=3)
    # Their classes sound alike before training: make them differ.
    for modulation in network.modulations:
        modulation.shift[...] = jnp.arange(3.0)[:, None] / 10
    Previews(tmp_path, sample_rate=RATE, **options)(1, network)
    clips, found, _ = read_previews(tmp_path, 1)
    assert found == labels
    expected = network(draw_latents(0, len(labels), 4), np.asarray(labels, np.int32))
    np.testing.assert_allclose(clips, np.asarray(expected), atol=2**-15)


def test_real_clips_are_the_middles_of_the_recordings(tmp_path):
    rng = np.random.default_rng(0)
    recording = rng.integers(-32768, 32768, (300, 2), dtype=np.int16)
    short = rng.uniform(-1, 1, (100, 2)).astype(np.float32)
    inspect = Previews(tmp_path, sample_rate=RATE, count=2, real=[recording, short, recording])
    inspect(1, generator(channels=2))
    clips, _, _ = read_previews(tmp_path, None)
    assert clips.shape == (2, 128, 2)
    np.testing.assert_array_equal(clips[0], recording[86:214] / np.float32(32768))
    np.testing.assert_allclose(clips[1, 14:114], short, atol=2**-15)
    assert not clips[1, :14].any()
    assert not clips[1, 114:].any()


def test_more_channels_than_a_file_holds(tmp_path):
    Previews(tmp_path, sample_rate=RATE, count=2)(1, generator(channels=10))
    assert read_previews(tmp_path, 1)[0].shape == (2, 128, 8)


def test_what_does_not_fit_is_refused(tmp_path):
    with pytest.raises(ValueError, match="count must be at least 1, found 0"):
        Previews(tmp_path, sample_rate=RATE, count=0)
    with pytest.raises(ValueError, match="holds no previews"):
        read_previews(tmp_path, 1)
    Previews(tmp_path, sample_rate=RATE, seed=1)(1, generator())
    with pytest.raises(ValueError, match=re.escape(str(tmp_path)) + ".* seed 1, not 2"):
        Previews(tmp_path, sample_rate=RATE, seed=2)
    with pytest.raises(ValueError, match="unconditional"):
        Previews(tmp_path, sample_rate=RATE, seed=1, labels=[0])(2, generator())
    (tmp_path / "previews.json").write_text("{")
    with pytest.raises(ValueError, match="damaged"):
        read_previews(tmp_path, 1)
