"""Weights of the reference TensorFlow WaveGAN (chrisdonahue/wavegan), by its variable names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import jax
import numpy as np
from flax import nnx

from wavegan.layers import BatchNorm, Convolution, Dense
from wavegan.networks import Discriminator, Generator, WaveGANConfig

# The discriminator is in training mode always: the reference keeps these and never reads them.
_UNREAD = ("moving_mean", "moving_variance")


def load_reference(
    config: WaveGANConfig, arrays: Mapping[str, np.ndarray]
) -> tuple[Generator, Discriminator]:
    """Networks that compute what the reference computes with its variables ``arrays``.

    Parameters
    ----------
    config : the networks that the variables belong to: of any length, channels and width,
        with either upsampling, batch norm and a post filter as the reference was told.
    arrays : the reference's variables by name (``G/z_project/dense/kernel``, …); other keys
        are ignored, save those of layers that these networks lack. Transposed kernels are
        (1, taps, out, in), the others (taps, in, out).

    Raises
    ------
    ValueError
        Where a variable is missing, has another shape or has no place, naming it, what was
        found and what the configuration needs; for networks that the reference has not.
    """
    for name in ("num_classes", "spectral_norm", "spectrogram_critic", "minibatch_stddev"):
        if getattr(config, name):
            raise ValueError(
                f"the reference has no {name}, found {getattr(config, name)}: its weights make "
                "a network without"
            )
    generator = Generator(config, rngs=nnx.Rngs(0))
    discriminator = Discriminator(config, rngs=nnx.Rngs(0))
    variables = dict(_variables(generator, discriminator))
    # Optimiser slots are named after their variable: kernel/Adam.
    unknown = [
        name
        for name in arrays
        if name.startswith(("G/", "D/"))
        and not name.startswith(tuple(variables))
        and not (config.batch_norm and name.startswith("D/") and name.endswith(_UNREAD))
    ]
    if unknown:
        raise ValueError(
            f"{config} has no place for {', '.join(sorted(unknown))}: were the weights made with "
            "batch norm, a post filter, other upsampling or another length?"
        )
    for name, param in variables.items():
        if name not in arrays:
            given = ", ".join(sorted(k for k in arrays if k[:2] in ("G/", "D/"))) or "none"
            raise ValueError(f"the variable {name} is missing; found: {given}")
        value = np.asarray(arrays[name])
        if "conv2d_transpose/kernel" in name and value.shape[:1] == (1,):
            value = value[0]
        if value.shape != param.shape:
            raise ValueError(
                f"the variable {name} has the shape {np.shape(arrays[name])}, {config} needs "
                f"{param.shape}: were the weights made with another dim, length or channels?"
            )
        param.set_value(jax.device_put(value.astype(np.float32)))
    return generator, discriminator


def _variables(g: Generator, d: Discriminator) -> Iterator[tuple[str, nnx.Variable]]:
    """The networks' variables under the names that they have in the reference."""
    upsampling = "conv2d_transpose" if g.config.upsample == "zeros" else "conv1d"
    layers: dict[str, Dense | Convolution] = {
        "G/z_project/dense": g.project,
        "D/output/dense": d.output,
    }
    layers |= {f"G/upconv_{i}/{upsampling}": layer for i, layer in enumerate(g.layers)}
    layers |= {f"D/downconv_{i}/conv1d": layer for i, layer in enumerate(d.layers)}
    for name, layer in layers.items():
        yield f"{name}/kernel", layer.kernel
        yield f"{name}/bias", layer.bias
    norms = {"G/z_project" if i == 0 else f"G/upconv_{i - 1}": n for i, n in enumerate(g.norms)}
    norms |= {f"D/downconv_{i}": norm for i, norm in enumerate(d.norms, 1)}
    for scope, norm in norms.items():
        yield from _norm_variables(f"{scope}/batch_normalization", norm)
    if g.config.post_filter:
        yield "G/pp_filt/conv1d/kernel", g.post_filter


def _norm_variables(name: str, norm: BatchNorm) -> Iterator[tuple[str, nnx.Variable]]:
    yield f"{name}/gamma", norm.scale
    yield f"{name}/beta", norm.shift
    if norm.running:
        yield f"{name}/moving_mean", norm.mean
        yield f"{name}/moving_variance", norm.variance
