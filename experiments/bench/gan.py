"""Speed of a WGAN-GP critic step against the direct form of its convolutions, and PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax

from experiments.bench import interleaved, row
from wavegan import networks
from wavegan.convolution import same_padding
from wavegan.losses import LOSSES
from wavegan.networks import Discriminator, Generator, WaveGANConfig

BATCH = 16
CONFIG = WaveGANConfig(dim=32)
PENALTY = 10.0
_LAYOUT = ("NWC", "WIO", "NWC")


def cases(*, repeats: int = 5, hardware: str = "") -> list[dict[str, Any]]:
    """Time a critic step at dim 32, batch 16, 16384 samples: fake clips, loss, gradient, Adam.

    Parameters
    ----------
    repeats : timings of each; ours and the peers' alternate, the medians count.
    hardware : copied into the rows.

    Returns
    -------
    One row a peer, as `experiments.bench` describes them; without PyTorch its row is missing.
    """
    jobs: dict[str, Callable[[], object]] = {"ours": _jax_step()}
    with (
        mock.patch.object(networks, "strided_conv", _direct_conv),
        mock.patch.object(networks, "transposed_conv", _direct_transposed),
    ):
        direct = jobs["direct strided and dilated convolutions"] = _jax_step()
        direct()  # traced while the direct forms are in place
    try:
        jobs["PyTorch"] = _torch_step()
    except ImportError:
        print("PyTorch is not installed: its row is left out (pip install torch)")
    seconds = interleaved(jobs, repeats)
    case = f"critic step, dim {CONFIG.dim}, batch {BATCH}, {CONFIG.num_samples} samples"
    ours = seconds.pop("ours")
    return [row(case, peer, ours, time, hardware) for peer, time in seconds.items()]


def _jax_step() -> Callable[[], object]:
    loss = LOSSES["wgan-gp"]
    generator_def, generator = nnx.split(Generator(CONFIG, rngs=nnx.Rngs(0)))
    critic_def, critic = nnx.split(Discriminator(CONFIG, rngs=nnx.Rngs(1)))
    optimizer = loss.optimizer(loss.learning_rate)
    latents = (BATCH, CONFIG.latent_dim)

    @jax.jit(donate_argnums=(0, 1))
    def step(critic, moments, generator, real, key):
        k_latent, k_loss = jax.random.split(key)
        fake = nnx.merge(generator_def, generator)(jax.random.uniform(k_latent, latents, minval=-1))

        def objective(weights):
            network = nnx.merge(critic_def, weights)
            return loss.critic(lambda x, k: network(x, key=k), real, fake, k_loss, PENALTY)

        gradients = jax.grad(objective, has_aux=True)(critic)[0]
        updates, moments = optimizer.update(gradients, moments, critic)
        return jax.tree.map(jnp.add, critic, updates), moments

    state = critic, optimizer.init(critic)
    real = jnp.asarray(_real_clips())
    key = jax.random.key(0)

    def run() -> None:
        nonlocal state
        state = jax.block_until_ready(step(*state, generator, real, key))

    return run


def _direct_conv(x: jax.Array, kernel: jax.Array, *, stride: int) -> jax.Array:
    padding = [same_padding(len(kernel), stride)]
    return lax.conv_general_dilated(x, kernel, (stride,), padding, dimension_numbers=_LAYOUT)


def _direct_transposed(x: jax.Array, kernel: jax.Array, *, stride: int) -> jax.Array:
    left, right = same_padding(len(kernel), stride)
    padding = [(len(kernel) - 1 - left, len(kernel) - 1 - right + stride - 1)]
    flipped = jnp.flip(kernel, 0).swapaxes(1, 2)
    y = lax.conv_general_dilated(
        x, flipped, (1,), padding, lhs_dilation=(stride,), dimension_numbers=_LAYOUT
    )
    return y[:, : x.shape[1] * stride]


def _torch_step() -> Callable[[], object]:
    """The same step in PyTorch: its own convolutions, Adam, autograd through the penalty."""
    import torch
    from torch import nn
    from torch.nn import functional

    strides, widths = CONFIG.strides, CONFIG.widths
    taps = CONFIG.kernel_size

    class TorchGenerator(nn.Module):
        def __init__(self):
            super().__init__()
            self.project = nn.Linear(CONFIG.latent_dim, 16 * widths[-1])
            down = (*widths[::-1], CONFIG.channels)
            # Padding 11 and output padding 1: the right length, one sample off the reference.
            self.layers = nn.ModuleList(
                nn.ConvTranspose1d(a, b, taps, stride, padding=11, output_padding=1)
                for a, b, stride in zip(down, down[1:], strides, strict=False)
            )

        def forward(self, z):
            x = functional.relu(self.project(z).view(len(z), widths[-1], 16))
            for layer in self.layers[:-1]:
                x = functional.relu(layer(x))
            return torch.tanh(self.layers[-1](x))

    class TorchCritic(nn.Module):
        def __init__(self):
            super().__init__()
            up = (CONFIG.channels, *widths)
            self.layers = nn.ModuleList(
                nn.Conv1d(a, b, taps, stride, padding=11)
                for a, b, stride in zip(up, up[1:], strides, strict=False)
            )
            self.output = nn.Linear(16 * widths[-1], 1)

        def forward(self, x):
            for i, layer in enumerate(self.layers):
                x = functional.leaky_relu(layer(x), 0.2)
                if i < len(self.layers) - 1:
                    shift = int(torch.randint(-2, 3, ()))
                    padded = functional.pad(x, (2, 2), mode="reflect")
                    x = padded[..., 2 + shift : 2 + shift + x.shape[-1]]
            return self.output(x.flatten(1))[:, 0]

    generator, critic = TorchGenerator(), TorchCritic()
    optimizer = torch.optim.Adam(critic.parameters(), 1e-4, betas=(0.5, 0.9))
    real = torch.from_numpy(_real_clips()).transpose(1, 2).contiguous()

    def run() -> None:
        with torch.no_grad():
            fake = generator(2 * torch.rand(BATCH, CONFIG.latent_dim) - 1)
        alpha = torch.rand(BATCH, 1, 1)
        between = (real + alpha * (fake - real)).requires_grad_()
        slopes = torch.autograd.grad(critic(between).sum(), between, create_graph=True)[0]
        penalty = ((slopes.flatten(1).norm(dim=1) - 1) ** 2).mean()
        loss = critic(fake).mean() - critic(real).mean() + PENALTY * penalty
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return run


def _real_clips() -> np.ndarray:
    shape = (BATCH, CONFIG.num_samples, CONFIG.channels)
    return 0.1 * np.random.default_rng(0).standard_normal(shape).astype(np.float32)
