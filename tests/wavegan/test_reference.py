"""The reference's own numbers, and its definition written out in numpy."""

import os
import re
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
from flax import nnx

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
    audio = np.asarray(nnx.jit(generator)(parity["z"]))
    logit = np.asarray(nnx.jit(discriminator)(parity["x"]))
    assert np.abs(parity["audio"]).max() > 0.1
    assert np.abs(audio - parity["audio"]).max() < 1e-5
    assert np.abs(logit - parity["logit"]).max() < 1e-5


def test_variables_are_read_without_a_program_for_each_shape(parity, caplog):
    load_reference(WaveGANConfig(dim=4), parity)
    with jax.log_compiles():
        load_reference(STEREO, variables_of(STEREO))
    assert not caplog.messages


def test_an_open_npz_file_will_do(parity, tmp_path):
    np.savez(tmp_path / "weights.npz", **parity)
    with np.load(tmp_path / "weights.npz") as arrays:
        generator, _ = load_reference(WaveGANConfig(dim=4), arrays)
    np.testing.assert_array_equal(generator.project.bias[...], parity["G/z_project/dense/bias"])


# The reference's definition in numpy, in doubles: transposed convolutions scatter, others gather

STEREO = WaveGANConfig(num_samples=32768, channels=2, dim=1, latent_dim=5)
PLAIN = [
    STEREO,
    WaveGANConfig(num_samples=16384, dim=1, latent_dim=5),
    WaveGANConfig(num_samples=65536, dim=1, latent_dim=5),
]
OPTIONS = [
    replace(STEREO, batch_norm=True),
    replace(STEREO, upsample="nn"),
    replace(STEREO, post_filter=512),
    replace(STEREO, batch_norm=True, upsample="nn", post_filter=512),
    WaveGANConfig(dim=1, latent_dim=5, batch_norm=True, upsample="nn", post_filter=512),
    WaveGANConfig(num_samples=65536, dim=1, latent_dim=5, batch_norm=True),
]


def named(config):
    return ", ".join(f"{k}={v}" for k, v in vars(config).items() if v != vars(STEREO)[k]) or "plain"


def variables_of(config):
    """Random variables with the reference's names and shapes for ``config``."""
    widths = {16384: [16, 8, 4, 2, 1], 32768: [32, 16, 8, 4, 2, 1], 65536: [32, 16, 8, 4, 2, 1]}
    widths = [n * config.dim for n in widths[config.num_samples]]
    channels, latent = config.channels, config.latent_dim
    first = 16 * widths[0]
    shapes = {"G/z_project/dense": ((latent, first), first), "D/output/dense": ((first, 1), 1)}
    for i, (c_in, c_out) in enumerate(zip(widths, [*widths[1:], channels], strict=True)):
        if config.upsample == "zeros":
            shapes[f"G/upconv_{i}/conv2d_transpose"] = ((1, 25, c_out, c_in), c_out)
        else:
            shapes[f"G/upconv_{i}/conv1d"] = ((25, c_in, c_out), c_out)
    for i, (c_in, c_out) in enumerate(zip([channels, *widths[:0:-1]], widths[::-1], strict=True)):
        shapes[f"D/downconv_{i}/conv1d"] = ((25, c_in, c_out), c_out)
    rng, arrays = np.random.default_rng(0), {}
    for name, (kernel, bias) in shapes.items():
        scale = 1.5 / np.sqrt(np.prod(kernel[:-1]))
        arrays[f"{name}/kernel"] = rng.normal(size=kernel).astype(np.float32) * scale
        arrays[f"{name}/bias"] = rng.normal(size=bias).astype(np.float32) * 0.1
    if config.batch_norm:
        scopes = ["G/z_project", *(f"G/upconv_{i}" for i in range(len(widths) - 1))]
        normed = dict(zip(scopes, widths, strict=True))
        normed |= {f"D/downconv_{i}": n for i, n in enumerate(widths[::-1]) if i}
        for scope, channels in normed.items():
            name = f"{scope}/batch_normalization"
            arrays[f"{name}/gamma"] = rng.uniform(0.5, 1.5, channels).astype(np.float32)
            arrays[f"{name}/beta"] = rng.normal(size=channels).astype(np.float32) * 0.1
            arrays[f"{name}/moving_mean"] = rng.normal(size=channels).astype(np.float32) * 0.2
            arrays[f"{name}/moving_variance"] = rng.uniform(0.5, 2, channels).astype(np.float32)
    if config.post_filter:
        shape = (512, config.channels, config.channels)
        arrays["G/pp_filt/conv1d/kernel"] = rng.normal(size=shape).astype(np.float32) / 22
    return arrays


def numpy_conv(x, kernel, stride, pads):
    length, padded = x.shape[1], np.pad(x, ((0, 0), pads, (0, 0)))
    return sum(padded[:, t : t + length : stride] @ kernel[t] for t in range(len(kernel)))


def numpy_norm(x, v, scope, config, moments=None):
    if not config.batch_norm or f"{scope}/batch_normalization/gamma" not in v:
        return x
    name = f"{scope}/batch_normalization"
    mean, variance = moments or (v[f"{name}/moving_mean"], v[f"{name}/moving_variance"])
    return (x - mean) / np.sqrt(variance + 1e-3) * v[f"{name}/gamma"] + v[f"{name}/beta"]


def strides_of(config):
    return {16384: [4] * 5, 32768: [4] * 5 + [2], 65536: [4] * 6}[config.num_samples]


def numpy_generator(z, v, config):
    x = z @ v["G/z_project/dense/kernel"] + v["G/z_project/dense/bias"]
    x = np.maximum(numpy_norm(x.reshape(len(z), 16, -1), v, "G/z_project", config), 0)
    strides = strides_of(config)
    for i, stride in enumerate(strides):
        scope, left, length = f"G/upconv_{i}", {4: 10, 2: 11}[stride], stride * x.shape[1]
        if config.upsample == "nn":
            kernel = v[f"{scope}/conv1d/kernel"]
            x = numpy_conv(np.repeat(x, stride, axis=1), kernel, 1, (12, 12))
            x = x + v[f"{scope}/conv1d/bias"]
        else:
            kernel = v[f"{scope}/conv2d_transpose/kernel"][0]
            spread = np.zeros((len(z), length + 24, kernel.shape[1]))
            for tap in range(25):
                spread[:, tap : tap + length : stride] += x @ kernel[tap].T
            x = spread[:, left : left + length] + v[f"{scope}/conv2d_transpose/bias"]
        last = i == len(strides) - 1
        x = np.tanh(x) if last else np.maximum(numpy_norm(x, v, scope, config), 0)
    if config.post_filter:
        x = numpy_conv(x, v["G/pp_filt/conv1d/kernel"], 1, (255, 256))
    return x


def numpy_discriminator(x, v, config):
    for i, stride in enumerate(strides_of(config)):
        scope, pads = f"D/downconv_{i}", {4: (10, 11), 2: (11, 12)}[stride]
        x = numpy_conv(x, v[f"{scope}/conv1d/kernel"], stride, pads) + v[f"{scope}/conv1d/bias"]
        x = numpy_norm(x, v, scope, config, (x.mean((0, 1)), x.var((0, 1))))
        x = np.where(x > 0, x, 0.2 * x)
    return (x.reshape(len(x), -1) @ v["D/output/dense/kernel"] + v["D/output/dense/bias"])[:, 0]


@pytest.fixture
def variables():
    return variables_of(STEREO)


@pytest.mark.parametrize("config", PLAIN + OPTIONS, ids=named)
def test_every_network_of_the_reference(config):
    variables = variables_of(config)
    generator, discriminator = load_reference(config, variables)
    rng = np.random.default_rng(1)
    z = rng.uniform(-1, 1, (2, 5)).astype(np.float32)
    expected = numpy_generator(z.astype(np.float64), variables, config)
    assert expected.shape == (2, config.num_samples, config.channels)
    assert 0.01 < expected.std() < 2
    np.testing.assert_allclose(nnx.jit(generator)(z), expected, atol=2e-5)
    x = rng.uniform(-1, 1, (2, config.num_samples, config.channels)).astype(np.float32)
    expected = numpy_discriminator(x.astype(np.float64), variables, config)
    assert np.ptp(expected) > 1e-3
    np.testing.assert_allclose(nnx.jit(discriminator)(x), expected, atol=2e-5)


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


def test_what_the_reference_has_not():
    with pytest.raises(ValueError, match="the reference has no num_classes, found 3"):
        load_reference(replace(STEREO, num_classes=3), {})


def test_upsampling_of_the_other_kind():
    with pytest.raises(ValueError, match=r"no place for .*G/upconv_0/conv1d/kernel"):
        load_reference(STEREO, variables_of(replace(STEREO, upsample="nn")))
