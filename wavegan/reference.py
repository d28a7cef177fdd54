"""Weights of the reference TensorFlow WaveGAN (chrisdonahue/wavegan), by its variable names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from flax import nnx

from wavegan.networks import Convolution, Dense, Discriminator, Generator, WaveGANConfig


def load_reference(
    config: WaveGANConfig, arrays: Mapping[str, np.ndarray]
) -> tuple[Generator, Discriminator]:
    """Networks that compute what the reference computes with its variables ``arrays``.

    Parameters
    ----------
    config : the networks that the variables belong to.
    arrays : the reference's variables by name (``G/z_project/dense/kernel``, …); other keys
        are ignored, save those of layers that these networks lack (batch norm, a post
        filter). Transposed kernels are (1, taps, out, in), the others (taps, in, out).

    Raises
    ------
    ValueError
        Where a variable is missing, has another shape or has no place, naming it, what was
        found and what the configuration needs.
    """
    generator = Generator(config, rngs=nnx.Rngs(0))
    discriminator = Discriminator(config, rngs=nnx.Rngs(0))
    variables = dict(_variables(generator, discriminator))
    # Optimiser slots are named after their variable: kernel/Adam.
    unknown = [
        name
        for name in arrays
        if name.startswith(("G/", "D/")) and not name.startswith(tuple(variables))
    ]
    if unknown:
        raise ValueError(
            f"{config} has no place for {', '.join(sorted(unknown))}: were the weights made with "
            "batch norm, a post filter or another length?"
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
        param[...] = value.astype(np.float32)
    return generator, discriminator


def _variables(g: Generator, d: Discriminator) -> Iterator[tuple[str, nnx.Param]]:
    layers: list[tuple[str, Dense | Convolution]] = [
        ("G/z_project/dense", g.project),
        ("D/output/dense", d.output),
    ]
    layers += [(f"G/upconv_{i}/conv2d_transpose", layer) for i, layer in enumerate(g.layers)]
    layers += [(f"D/downconv_{i}/conv1d", layer) for i, layer in enumerate(d.layers)]
    for name, layer in layers:
        yield f"{name}/kernel", layer.kernel
        yield f"{name}/bias", layer.bias
