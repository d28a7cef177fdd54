"""The reference's own numbers, and its definition written out in numpy."""

import os
import re
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from wavegan import WaveGANConfig, load_reference


@pytest.fixture(scope="module")
def parity():
    """Variables, inputs and outputs of the TensorFlow WaveGAN (``WAVEGAN_PARITY``), or a skip."""
    default = Path(__file__).parents[2] / "../shared/parity/wavegan_16384_1ch.npz"
    file = Path(os.environ.get("WAVEGAN_PARITY", default))
    if not file.is_file():
        pytest.skip(f"no outputs of the reference at {file}: set WAVEGAN_PARITY to the npz file")
    with np.load(file) as arrays:
        return dict(arrays)


def test_the_reference_outputs(parity):
    generator, discriminator = load_reference(WaveGANConfig(dim=4), parity)
    audio = np.asarray(generator(jnp.asarray(parity["z"])))
    logit = np.asarray(discriminator(jnp.asarray(parity["x"])))
    assert np.abs(parity["audio"]).max() > 0.1
    assert np.abs(audio - parity["audio"]).max() < 1e-5
    assert np.abs(logit - parity["logit"]).max() < 1e-5


def test_an_open_npz_file_will_do(parity, tmp_path):
    np.savez(tmp_path / "weights.npz", **parity)
    with np.load(tmp_path / "weights.npz") as arrays:
        generator, _ = load_reference(WaveGANConfig(dim=4), arrays)
    np.testing.assert_array_equal(generator.project.bias[...], parity["G/z_project/dense/bias"])


# A longer, stereo network in numpy: transposed convolutions scatter, the others gather.

STEREO = WaveGANConfig(num_samples=32768, channels=2, dim=1, latent_dim=5)
STRIDES = (4, 4, 4, 4, 4, 2)


@pytest.fixture
def variables():
    """Random variables of the 32768-sample stereo reference at dim 1, with its shapes."""
    widths = [32, 16, 8, 4, 2, 1]
    shapes = {"G/z_project/dense": ((5, 16 * 32), 16 * 32), "D/output/dense": ((16 * 32, 1), 1)}
    for i, (c_in, c_out) in enumerate(zip(widths, [*widths[1:], 2], strict=True)):
        shapes[f"G/upconv_{i}/conv2d_transpose"] = ((1, 25, c_out, c_in), c_out)
    for i, (c_in, c_out) in enumerate(zip([2, *widths[:0:-1]], widths[::-1], strict=True)):
        shapes[f"D/downconv_{i}/conv1d"] = ((25, c_in, c_out), c_out)
    rng, arrays = np.random.default_rng(0), {}
    for name, (kernel, bias) in shapes.items():
        scale = 1.5 / np.sqrt(np.prod(kernel[:-1]))
        arrays[f"{name}/kernel"] = rng.normal(size=kernel).astype(np.float32) * scale
        arrays[f"{name}/bias"] = rng.normal(size=bias).astype(np.float32) * 0.1
    return arrays


def numpy_generator(z, v):
    x = z @ v["G/z_project/dense/kernel"] + v["G/z_project/dense/bias"]
    x = np.maximum(x.reshape(len(z), 16, -1), 0)
    for i, stride in enumerate(STRIDES):
        name = f"G/upconv_{i}/conv2d_transpose"
        kernel, left = v[f"{name}/kernel"][0], {4: 10, 2: 11}[stride]
        length = stride * x.shape[1]
        spread = np.zeros((len(z), length + 24, kernel.shape[1]))
        for tap in range(25):
            spread[:, tap : tap + length : stride] += x @ kernel[tap].T
        x = spread[:, left : left + length] + v[f"{name}/bias"]
        x = np.tanh(x) if i == 5 else np.maximum(x, 0)
    return x


def numpy_discriminator(x, v):
    for i, stride in enumerate(STRIDES):
        name = f"D/downconv_{i}/conv1d"
        kernel, pads = v[f"{name}/kernel"], {4: (10, 11), 2: (11, 12)}[stride]
        length, padded = x.shape[1], np.pad(x, ((0, 0), pads, (0, 0)))
        x = sum(padded[:, tap : tap + length : stride] @ kernel[tap] for tap in range(25))
        x = x + v[f"{name}/bias"]
        x = np.where(x > 0, x, 0.2 * x)
    return (x.reshape(len(x), -1) @ v["D/output/dense/kernel"] + v["D/output/dense/bias"])[:, 0]


def test_the_longer_stereo_network(variables):
    generator, discriminator = load_reference(STEREO, variables)
    rng = np.random.default_rng(1)
    z = rng.uniform(-1, 1, (2, 5)).astype(np.float32)
    expected = numpy_generator(z.astype(np.float64), variables)
    assert expected.shape == (2, 32768, 2)
    assert 0.01 < expected.std() < 0.9
    np.testing.assert_allclose(generator(jnp.asarray(z)), expected, atol=1e-5)
    x = rng.uniform(-1, 1, (2, 32768, 2)).astype(np.float32)
    expected = numpy_discriminator(x.astype(np.float64), variables)
    assert np.ptp(expected) > 1e-3
    np.testing.assert_allclose(discriminator(jnp.asarray(x)), expected, atol=1e-5)


# Errors


def test_a_missing_variable(variables):
    del variables["G/upconv_5/conv2d_transpose/kernel"]
    with pytest.raises(ValueError, match=r"G/upconv_5/conv2d_transpose/kernel is missing; found: "):
        load_reference(STEREO, variables)
    with pytest.raises(ValueError, match="G/z_project/dense/kernel is missing; found: none"):
        load_reference(STEREO, {})


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("G/z_project/dense/kernel", (100, 512)),
        ("G/upconv_0/conv2d_transpose/kernel", (2, 25, 16, 32)),  # a true 2-D kernel
        ("G/upconv_1/conv2d_transpose/kernel", (1, 25, 16, 8)),  # in and out swapped
        ("D/downconv_5/conv1d/kernel", (25, 16, 31)),
        ("D/output/dense/bias", ()),
    ],
)
def test_a_variable_of_another_shape(variables, name, shape):
    variables[name] = np.zeros(shape, np.float32)
    message = rf"{name} has the shape {re.escape(str(shape))}, .* needs \("
    with pytest.raises(ValueError, match=message):
        load_reference(STEREO, variables)


def test_weights_of_another_length_or_width(parity):
    with pytest.raises(ValueError, match="G/z_project/dense/kernel has the shape"):
        load_reference(WaveGANConfig(dim=8), parity)
    with pytest.raises(ValueError, match="G/z_project/dense/kernel has the shape"):
        load_reference(WaveGANConfig(dim=4, num_samples=65536), parity)


@pytest.mark.parametrize(
    "name",
    ["G/upconv_0/batch_normalization/gamma", "D/downconv_1/batch_normalization/moving_mean"],
)
def test_variables_that_these_networks_have_no_place_for(variables, name):
    """Without its batch norm a network would compute something else, in silence."""
    variables[name] = np.ones(4, np.float32)
    with pytest.raises(ValueError, match=name):
        load_reference(STEREO, variables)


def test_what_is_not_the_networks_is_ignored(variables):
    extra = {"global_step": np.int64(3), "z": np.zeros((3, 100)), "beta1_power": np.float32(1)}
    extra["G/z_project/dense/kernel/Adam"] = np.zeros(3)  # optimiser slots of a checkpoint
    load_reference(STEREO, variables | extra)
