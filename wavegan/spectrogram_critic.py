"""A second critic, on log spectrograms of several resolutions."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from features.initial_weights import glorot_uniform
from wavegan.convolution import strided_conv
from wavegan.layers import Convolution, Dense, MinibatchStddev

RESOLUTIONS = (128, 512, 2048)  # n_fft; hops are a quarter of each
STRIDES = (1, 2, 2)
_TAPS = 5
_FLOOR = 1e-6  # of the power, that of a full-scale sine being 1


class SpectrogramCritic(nnx.Module):
    """Scores clips by their spectrograms, the frequencies being channels of 1-D convolutions.

    It stands beside the waveform critic, never alone: spectrograms know nothing of phase.

    Parameters
    ----------
    num_samples, channels : of a clip; ``num_samples`` of at least 256, twice the shortest
        window.
    dim : its layers are four times as wide.
    num_classes : whose projections are added to the logits (arXiv 1802.05637); 0 is none.
    minibatch_stddev : the batch's variety is, too, where clips are scored together.
    """

    def __init__(
        self,
        num_samples: int,
        channels: int,
        dim: int,
        num_classes: int = 0,
        *,
        minibatch_stddev: bool = False,
        rngs: nnx.Rngs,
    ):
        self.windows = tuple(n for n in RESOLUTIONS if 2 * n <= num_samples)
        width = 4 * dim
        self.towers = nnx.List(
            nnx.List(
                Convolution((_TAPS, c_in, width), bias=width, rngs=rngs)
                for c_in in (channels * (n_fft // 2 + 1), *(width,) * (len(STRIDES) - 1))
            )
            for n_fft in self.windows
        )
        self.outputs = nnx.List(Dense(width, 1, rngs=rngs) for _ in self.windows)
        self.projections = nnx.List(
            nnx.Param(glorot_uniform(rngs.params(), (num_classes, width)))
            for _ in self.windows
            if num_classes
        )
        self.stddevs = nnx.List(
            MinibatchStddev(width, rngs=rngs) for _ in self.windows if minibatch_stddev
        )

    def __call__(
        self,
        x: Float[Array, "n length c"],
        classes: Float[Array, "n classes"] | None = None,
        *,
        together: bool = False,
    ) -> Float[Array, " n"]:
        """The sum over resolutions of the logits (n,) of clips x (n, length, c).

        ``classes`` are each clip's weights of the classes, where there are some; ``together`` as
        `score` takes it.
        """
        total = jnp.zeros(len(x))
        for i, n_fft in enumerate(self.windows):
            total += self.score(i, log_spectrogram(x, n_fft), classes, together=together)
        return total

    def score(
        self,
        resolution: int,
        spectrogram: Float[Array, "n frames bins"],
        classes: Float[Array, "n classes"] | None = None,
        *,
        together: bool = False,
    ) -> Float[Array, " n"]:
        """The logits (n,) by the log spectrograms of one resolution.

        ``together`` adds what the batch's variety says, else each clip is scored by itself.
        """
        y = spectrogram
        for layer, stride in zip(self.towers[resolution], STRIDES, strict=True):
            y = strided_conv(y, layer.kernel[...], stride=stride) + layer.bias[None, None]
            y = jax.nn.leaky_relu(y, 0.2)
        mean = y.mean(axis=1)
        logits = self.outputs[resolution](mean)[:, 0]
        if together and self.stddevs:
            logits += self.stddevs[resolution](mean)
        if classes is not None:
            logits += jnp.sum((classes @ self.projections[resolution][...]) * mean, axis=1)
        return logits


def log_spectrogram(x: Float[Array, "n length c"], n_fft: int) -> Float[Array, "n frames bins"]:
    """Log power, scaled to about [-1, 1], of Hann windows a quarter of ``n_fft`` apart.

    The bins of all channels lie side by side; there are ``length / (n_fft / 4)`` frames,
    reflected at the edges. The power of a full-scale sine is 1, that of silence 1e-6.
    """
    hop = n_fft // 4
    edge = (n_fft - hop) // 2
    x = jnp.pad(x.swapaxes(1, 2), ((0, 0), (0, 0), (edge, n_fft - hop - edge)), mode="reflect")
    blocks = x.reshape(*x.shape[:2], -1, hop)
    count = blocks.shape[2] - 3
    frames = jnp.concatenate([blocks[:, :, i : i + count] for i in range(4)], axis=-1)
    window = np.hanning(n_fft + 1)[:-1].astype(np.float32)
    spectrum = jnp.fft.rfft(frames * (2 * window / window.sum())[None, None, None])
    power = spectrum.real**2 + spectrum.imag**2
    scaled = 1 + jnp.log10(power + _FLOOR) / 3
    return scaled.swapaxes(1, 2).reshape(len(x), count, -1)
