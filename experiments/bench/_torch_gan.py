"""The PyTorch WaveGAN that the benchmark measures against: same sizes, losses, steps and data.

Written with care: what a step reads lies on the device, clips are contiguous channels-first as
its convolutions want them, Adam is the fused one, cuDNN picks its algorithms by trial and, where
asked, multiplies in bfloat16. Gradients are taken by `torch.func`, so that a whole step can be
compiled, the penalty's inner gradient included (`backward` through a compiled gradient is not
supported).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad
from torch.nn import functional

from wavegan.networks import FIRST_LENGTH, SHUFFLED_LAYERS, WaveGANConfig

PENALTY = 10.0
Weights = dict[str, Tensor]


class TorchGenerator(nn.Module):
    """Latents to clips (n, channels, num_samples)."""

    def __init__(self, config: WaveGANConfig) -> None:
        super().__init__()
        self.width = config.widths[-1]
        self.project = nn.Linear(config.latent_dim, FIRST_LENGTH * self.width)
        down = (*config.widths[::-1], config.channels)
        # Padding 11 and output padding 1: the right length, one sample off the reference.
        self.layers = nn.ModuleList(
            nn.ConvTranspose1d(
                a, b, config.kernel_size, stride, padding=13 - stride // 2, output_padding=1
            )
            for a, b, stride in zip(down, down[1:], config.strides, strict=False)
        )

    def forward(self, z: Tensor) -> Tensor:
        x = functional.relu(self.project(z).view(len(z), self.width, FIRST_LENGTH))
        for layer in self.layers[:-1]:
            x = functional.relu(layer(x))
        return torch.tanh(self.layers[-1](x))


class TorchCritic(nn.Module):
    """Clips to logits; ``shifts`` are those of the phase shuffle, a layer each."""

    def __init__(self, config: WaveGANConfig) -> None:
        super().__init__()
        up = (config.channels, *config.widths)
        self.layers = nn.ModuleList(
            nn.Conv1d(a, b, config.kernel_size, stride, padding=13 - stride // 2)
            for a, b, stride in zip(up, up[1:], config.strides, strict=False)
        )
        self.output = nn.Linear(FIRST_LENGTH * config.widths[-1], 1)

    def forward(self, x: Tensor, shifts: Any) -> Tensor:
        for layer, shift in zip(self.layers, [*shifts, None], strict=False):
            x = functional.leaky_relu(layer(x), 0.2)
            if shift is not None:
                x = _shifted(x, shift)
        return self.output(x.flatten(1))[:, 0]


class TorchGAN:
    """Both players, their optimizers and the recordings.

    Parameters
    ----------
    config, batch_size : sizes.
    audio : recordings (tracks, samples, channels), float32.
    compiled : whether gradients and generator run through `torch.compile`.
    precision : of what is multiplied: "float32", "tf32" or "bfloat16" (autocast).
    """

    def __init__(
        self,
        config: WaveGANConfig,
        batch_size: int,
        audio: np.ndarray,
        *,
        compiled: bool = False,
        precision: str = "float32",
    ) -> None:
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        rounded = precision != "float32"
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = rounded
        torch.backends.cudnn.benchmark = True
        self.config, self.batch_size, self.compiled = config, batch_size, compiled
        self.bfloat16 = precision == "bfloat16"
        self.generator = TorchGenerator(config).to(self.device).requires_grad_(False)
        self.critic = TorchCritic(config).to(self.device).requires_grad_(False)
        self.optimizers: dict[nn.Module, torch.optim.Optimizer] = {
            network: torch.optim.Adam(network.parameters(), 1e-4, betas=(0.5, 0.9), fused=True)
            for network in (self.generator, self.critic)
        }
        tape = torch.from_numpy(np.ascontiguousarray(audio.transpose(2, 0, 1)))
        self.windows = tape.to(self.device).unfold(2, config.num_samples, 1)
        maybe: Callable[[Any], Any] = torch.compile if compiled else lambda function: function
        self._make = maybe(self.make)
        self._critic_gradient = maybe(grad(self.critic_objective))
        self._generator_gradient = maybe(grad(self.generator_objective))

    def make(self, weights: Weights, z: Tensor) -> Tensor:
        """Clips of latents, in float32."""
        with self._precision():
            return functional_call(self.generator, weights, z).float()

    def score(self, weights: Weights, clips: Tensor, shifts: Any) -> Tensor:
        """Logits of clips, in float32."""
        with self._precision():
            return functional_call(self.critic, weights, (clips, shifts)).float()

    def critic_objective(
        self, weights: Weights, real: Tensor, fake: Tensor, alpha: Tensor, shifts: Any
    ) -> Tensor:
        """WGAN-GP of the critic."""
        between = real + alpha * (fake - real)
        slopes = grad(lambda x: self.score(weights, x, shifts[2]).sum())(between)
        penalty = ((slopes.flatten(1).norm(dim=1) - 1) ** 2).mean()
        gap = self.score(weights, real, shifts[0]).mean() - self.score(weights, fake, shifts[1])
        return PENALTY * penalty - gap.mean()

    def generator_objective(
        self, weights: Weights, critic: Weights, z: Tensor, shifts: Any
    ) -> Tensor:
        """WGAN-GP of the generator."""
        return -self.score(critic, self.make(weights, z), shifts[0]).mean()

    def critic_step(self) -> None:
        """Random windows, generated clips, the gradient and Adam."""
        fake = self._make(_weights(self.generator), self._latents())
        alpha = torch.rand(self.batch_size, 1, 1, device=self.device)
        inputs = self._real(), fake, alpha, self._shifts(3)
        self._update(self.critic, self._critic_gradient(_weights(self.critic), *inputs))

    def iteration(self, critic_steps: int = 5) -> None:
        """All critic steps and the generator's."""
        for _ in range(critic_steps):
            self.critic_step()
        inputs = _weights(self.critic), self._latents(), self._shifts(1)
        self._update(self.generator, self._generator_gradient(_weights(self.generator), *inputs))

    def generate(self, count: int) -> np.ndarray:
        """Clips in memory of the host, a batch at a time."""
        weights, parts = _weights(self.generator), []
        for _ in range(0, count, self.batch_size):
            parts.append(self._make(weights, self._latents()).cpu().numpy())
        return np.concatenate(parts)

    def wait(self) -> None:
        """Until the device has done what it was given."""
        if self.device == "cuda":
            torch.cuda.synchronize()

    def held_bytes(self) -> int:
        """What weights and recordings take (Adam's moments come with the first step)."""
        weights = [*self.generator.parameters(), *self.critic.parameters()]
        return sum(w.nbytes for w in weights) + self.windows.untyped_storage().nbytes()

    def peak_bytes(self) -> int | None:
        """The most that tensors took on a GPU; None without one."""
        return torch.cuda.max_memory_allocated() if self.device == "cuda" else None

    def _real(self) -> Tensor:
        tracks, starts = self.windows.shape[1:3]
        track = torch.randint(tracks, (self.batch_size,), device=self.device)
        start = torch.randint(starts, (self.batch_size,), device=self.device)
        return self.windows[:, track, start].transpose(0, 1).contiguous()

    def _latents(self) -> Tensor:
        shape = (self.batch_size, self.config.latent_dim)
        return 2 * torch.rand(shape, device=self.device) - 1

    def _shifts(self, passes: int) -> Any:
        """Of each pass and layer: numbers, or a tensor where a number would be compiled in."""
        layers = min(SHUFFLED_LAYERS, len(self.config.strides) - 1)
        radius = self.config.phase_shuffle
        shifts = torch.randint(-radius, radius + 1, (passes, layers))
        return shifts.to(self.device) if self.compiled else shifts.tolist()

    def _update(self, network: nn.Module, gradients: Weights) -> None:
        for name, weight in network.named_parameters():
            weight.grad = gradients[name]
        self.optimizers[network].step()

    def _precision(self) -> Any:
        return torch.autocast(self.device, torch.bfloat16, enabled=self.bfloat16)


def _weights(network: nn.Module) -> Weights:
    return dict(network.named_parameters())


def _shifted(x: Tensor, shift: int | Tensor) -> Tensor:
    """Phase shuffle by ``shift``, reflecting at the edges."""
    length = x.shape[-1]
    if isinstance(shift, int):
        side = functional.pad(x, (max(shift, 0), max(-shift, 0)), mode="reflect")
        return side[..., :length] if shift > 0 else side[..., -length:]
    source = (torch.arange(length, device=x.device) - shift).abs()
    source = torch.where(source >= length, 2 * length - 2 - source, source)
    return x.index_select(-1, source)
