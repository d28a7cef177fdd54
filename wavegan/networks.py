"""The WaveGAN generator and discriminator (Donahue et al., arXiv 1802.04208, appendix D)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray

from wavegan.convolution import strided_conv, transposed_conv

FIRST_LENGTH = 16  # time steps that the generator's dense layer makes
SHUFFLED_LAYERS = 4  # the reference shuffles phases after layers 0 to 3, at every length


@dataclass(frozen=True)
class WaveGANConfig:
    """What a generator and its discriminator are.

    Attributes
    ----------
    num_samples : length of a clip; 16 times a power of two, from 32 on.
    channels : audio channels of a clip.
    dim : width; the published networks have 64.
    latent_dim : size of the latent, uniform on (-1, 1).
    kernel_size : taps of every convolution.
    phase_shuffle : largest shift of the discriminator's phase shuffle, after its first four
        layers but never after the last one; 0 switches it off.

    Raises
    ------
    ValueError
        Where a value makes no network, with the nearest lengths that do.
    """

    num_samples: int = 16384
    channels: int = 1
    dim: int = 64
    latent_dim: int = 100
    kernel_size: int = 25
    phase_shuffle: int = 2

    def __post_init__(self):
        for name in ("channels", "dim", "latent_dim"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, found {getattr(self, name)}")
        if self.kernel_size < 4:
            raise ValueError(
                f"kernel_size must be at least 4 (the stride), found {self.kernel_size}"
            )
        if not 0 <= self.phase_shuffle < FIRST_LENGTH:
            raise ValueError(f"phase_shuffle must lie in 0 … 15, found {self.phase_shuffle}")
        blocks = self.num_samples / FIRST_LENGTH
        if blocks < 2 or not math.log2(blocks).is_integer():
            below = FIRST_LENGTH * 2 ** max(1, math.floor(math.log2(max(blocks, 1))))
            raise ValueError(
                f"num_samples must be 16 times strides of 2 or 4 (a power of two from 32 on), "
                f"found {self.num_samples}; the nearest are {below} and {2 * below}"
            )

    @property
    def strides(self) -> tuple[int, ...]:
        """Stride of each layer of either network: fours, then a two where needed."""
        doublings = int(math.log2(self.num_samples // FIRST_LENGTH))
        return (4,) * (doublings // 2) + (2,) * (doublings % 2)

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of the discriminator's layers: dim, 2 dim, 4 dim, …"""
        return tuple(self.dim * 2**i for i in range(len(self.strides)))


class Generator(nnx.Module):
    """Latents to audio: a dense projection, then transposed convolutions."""

    def __init__(self, config: WaveGANConfig, *, rngs: nnx.Rngs):
        self.config = config
        widths = config.widths[::-1]
        self.project = Dense(config.latent_dim, FIRST_LENGTH * widths[0], rngs=rngs)
        self.layers = nnx.List(
            Convolution((config.kernel_size, c_out, c_in), bias=c_out, rngs=rngs)
            for c_in, c_out in zip(widths, (*widths[1:], config.channels), strict=True)
        )

    def __call__(
        self,
        z: Float[Array | np.ndarray, "n latent"],
        label: Int[Array | np.ndarray, " n"] | None = None,
    ) -> Float[Array, "n length c"]:
        """Audio (n, num_samples, channels) in (-1, 1) of latents z (n, latent_dim)."""
        _refuse_label(label)
        if z.shape[-1] != self.config.latent_dim:
            raise ValueError(f"z must be (n, {self.config.latent_dim}), found {z.shape}")
        x = jax.nn.relu(self.project(jnp.asarray(z)).reshape(len(z), FIRST_LENGTH, -1))
        for i, (layer, stride) in enumerate(zip(self.layers, self.config.strides, strict=True)):
            x = transposed_conv(x, layer.kernel[...], stride=stride) + layer.bias[None, None]
            x = jnp.tanh(x) if i == len(self.layers) - 1 else jax.nn.relu(x)
        return x


class Discriminator(nnx.Module):
    """Audio to one logit a clip: strided convolutions with phase shuffle, then a dense layer."""

    def __init__(self, config: WaveGANConfig, *, rngs: nnx.Rngs):
        self.config = config
        widths = config.widths
        self.layers = nnx.List(
            Convolution((config.kernel_size, c_in, c_out), bias=c_out, rngs=rngs)
            for c_in, c_out in zip((config.channels, *widths[:-1]), widths, strict=True)
        )
        self.output = Dense(FIRST_LENGTH * widths[-1], 1, rngs=rngs)

    def __call__(
        self,
        x: Float[Array | np.ndarray, "n length c"],
        label: Int[Array | np.ndarray, " n"] | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, " n"]:
        """Logits (n,) of clips x (n, num_samples, channels); ``key`` drives phase shuffle.

        Without a key no phase is shuffled.
        """
        _refuse_label(label)
        config = self.config
        if x.shape[1:] != (config.num_samples, config.channels):
            raise ValueError(
                f"clips must be (n, {config.num_samples}, {config.channels}), found {x.shape}"
            )
        x = jnp.asarray(x)
        shuffled = min(SHUFFLED_LAYERS, len(self.layers) - 1) if config.phase_shuffle else 0
        for i, (layer, stride) in enumerate(zip(self.layers, config.strides, strict=True)):
            x = strided_conv(x, layer.kernel[...], stride=stride) + layer.bias[None, None]
            x = jax.nn.leaky_relu(x, 0.2)
            if key is not None and i < shuffled:
                x = phase_shuffle(x, jax.random.fold_in(key, i), config.phase_shuffle)
        return self.output(x.reshape(len(x), -1))[:, 0]


class Convolution(nnx.Module):
    """Kernel and bias of a convolution: Glorot uniform and zero."""

    def __init__(self, shape: tuple[int, int, int], *, bias: int, rngs: nnx.Rngs):
        self.kernel = nnx.Param(nnx.initializers.glorot_uniform()(rngs.params(), shape))
        self.bias = nnx.Param(jnp.zeros(bias))


class Dense(nnx.Module):
    """A dense layer (n, inputs) → (n, outputs): Glorot uniform and zero."""

    def __init__(self, inputs: int, outputs: int, *, rngs: nnx.Rngs):
        self.kernel = nnx.Param(nnx.initializers.glorot_uniform()(rngs.params(), (inputs, outputs)))
        self.bias = nnx.Param(jnp.zeros(outputs))

    def __call__(self, x: Float[Array, "n inputs"]) -> Float[Array, "n outputs"]:
        return x @ self.kernel[...] + self.bias[None]


def phase_shuffle(
    x: Float[Array, "n length c"], key: PRNGKeyArray, radius: int
) -> Float[Array, "n length c"]:
    """Shift the whole batch by one draw from {-radius … radius}, reflecting at the edges."""
    padded = jnp.pad(x, ((0, 0), (radius, radius), (0, 0)), mode="reflect")
    start = jax.random.randint(key, (), 0, 2 * radius + 1)
    return jax.lax.dynamic_slice_in_dim(padded, start, x.shape[1], axis=1)


def _refuse_label(label):
    if label is not None:
        raise ValueError("this network is unconditional: it takes no label")
