"""One class of a conditional network as a network of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

import jax.numpy as jnp
from flax import nnx

from wavegan.layers import Convolution, Dense
from wavegan.networks import FIRST_LENGTH, Discriminator, Generator

Network = TypeVar("Network", Generator, Discriminator)


def of_class(network: Network, label: int) -> Network:
    """The unconditional network that computes what a conditional one does with class ``label``.

    A class scales and shifts the generator's channels and adds a weight for each channel to the
    critic's output: all of it linear, and so a part of the layer before it.

    Parameters
    ----------
    network : a conditional generator or discriminator, which stays as it is.
    label : the class, from 0.

    Raises
    ------
    ValueError
        The network is unconditional or has no such class; a discriminator's output is divided by
        its spectral norm, so that nothing can be added to it.

    Examples
    --------
    >>> techno = of_class(generator, genres.index("techno"))  # doctest: +SKIP
    """
    classes = network.config.num_classes
    if not 0 <= label < classes:
        there = f"classes 0 … {classes - 1}" if classes else "none: it is unconditional"
        raise ValueError(f"there is no class {label} in this network, which has {there}")
    one = nnx.clone(network)
    one.config = replace(network.config, num_classes=0)
    if isinstance(one, Generator):
        _fold_modulations(one, label)
    else:
        _fold_projection(one, label)
    return one


def _fold_modulations(generator: Generator, label: int) -> None:
    """Make x · (1 + scale) + shift, of each layer but the last, a part of the layer."""
    before: list[Dense | Convolution] = [generator.project, *generator.layers]
    for i, modulation in enumerate(generator.modulations):
        scale, shift = 1 + modulation.scale[label], modulation.shift[label]
        if generator.config.batch_norm:
            norm = generator.norms[i]
            norm.scale[...] = norm.scale[...] * scale
            norm.shift[...] = norm.shift[...] * scale + shift
            continue
        layer, axes = before[i], "tio" if generator.config.upsample == "nn" else "toi"
        if i == 0:  # whose outputs are the channels of each of the first time steps
            scale, shift = jnp.tile(scale, FIRST_LENGTH), jnp.tile(shift, FIRST_LENGTH)
            axes = "io"
        layer.kernel[...] = jnp.einsum(f"{axes},o->{axes}", layer.kernel[...], scale)
        layer.bias[...] = layer.bias[...] * scale + shift
    generator.modulations = nnx.List([])


def _fold_projection(critic: Discriminator, label: int) -> None:
    """Add the class's weight of each channel to the output's, which are those of each step."""
    if critic.config.spectral_norm:
        raise ValueError(
            "a discriminator with spectral_norm divides its output by its norm: the projection of "
            "a class can't be a part of it"
        )
    kernel = critic.output.kernel
    kernel[...] = kernel[...] + jnp.tile(critic.projection[label], FIRST_LENGTH)[:, None]
    del critic.projection
    if critic.config.spectrogram_critic:
        spectrogram = critic.spectrogram
        for output, projection in zip(spectrogram.outputs, spectrogram.projections, strict=True):
            output.kernel[...] = output.kernel[...] + projection[label][:, None]
        spectrogram.projections = nnx.List([])
