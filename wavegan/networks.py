"""The WaveGAN generator and discriminator (Donahue et al., arXiv 1802.04208, appendix D)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import InitVar, dataclass, fields
from functools import lru_cache, wraps
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray

from features.initial_weights import glorot_uniform
from wavegan.convolution import nearest_conv, strided_conv, transposed_conv
from wavegan.layers import (
    BatchNorm,
    Convolution,
    Dense,
    MinibatchStddev,
    Modulation,
    SpectralNorm,
    draw_phases,
    shift_phase,
)
from wavegan.spectrogram_critic import RESOLUTIONS, SpectrogramCritic

FIRST_LENGTH = 16  # time steps that the generator's dense layer makes
SHUFFLED_LAYERS = 4  # the reference shuffles phases after layers 0 to 3, at every length
CHOICES = {
    "upsample": ("zeros", "nn"),
    "phase_shuffle_by": ("batch", "example"),
    "precision": ("float32", "tf32", "bfloat16"),
}
CONV_DTYPES = ("float32", "bfloat16")  # of `conv_dtype`, which `precision` was until 0.3


@dataclass(frozen=True)
class WaveGANConfig:
    """What a generator and its discriminator are; the defaults are the reference's.

    Attributes
    ----------
    num_samples : length of a clip; 16 times a power of two, from 32 on.
    channels : audio channels of a clip.
    dim : width; that of the published networks is 64.
    latent_dim : size of the latent, uniform on (-1, 1).
    kernel_size : taps of every convolution.
    num_classes : of a conditional GAN; 0 is unconditional. The class modulates the
        generator's channels and is projected in the discriminator (arXiv 1802.05637).
    batch_norm : batch normalisation: in the generator in all layers but the last, in the
        discriminator in all but the first.
    upsample : "zeros" (transposed convolutions) or "nn" (nearest neighbour, then a convolution).
    post_filter : taps of a last convolution without bias after the tanh (512 in the reference); 0
        leaves it out.
    phase_shuffle : largest shift of the discriminator's phase shuffle, in samples, after its first
        four layers but never after the last one; 0 leaves it out.
    phase_shuffle_by : one shift for a "batch" (as in the reference) or for each "example".
    spectral_norm : spectral normalisation of the discriminator's kernels (arXiv 1802.05957).
    spectrogram_critic : a second critic, on spectrograms of three resolutions, whose logit is
        added.
    minibatch_stddev : the discriminator, in training, is told how much the clips of a batch differ,
        in either critic: against generated clips that are all of one kind (arXiv 1710.10196). Where
        a batch is worked in parts, those of a part.
    precision : what the networks multiply in, on a device that has it: "float32"; "tf32", float32
        with 10 bits of mantissa, on NVIDIA GPUs from Ampere on (a CPU takes float32); "bfloat16", 7
        bits of mantissa in convolutions, on any device. Sums, losses, penalties, optimizers and
        averages are float32 in all of them.
    conv_dtype : an earlier name, only to be given: "float32" or "bfloat16".

    Raises
    ------
    ValueError
        Where a value makes no network, with what would.
    """

    num_samples: int = 16384
    channels: int = 1
    dim: int = 64
    latent_dim: int = 100
    kernel_size: int = 25
    num_classes: int = 0
    batch_norm: bool = False
    upsample: str = "zeros"
    post_filter: int = 0
    phase_shuffle: int = 2
    phase_shuffle_by: str = "batch"
    spectral_norm: bool = False
    spectrogram_critic: bool = False
    minibatch_stddev: bool = False
    precision: str = "float32"
    conv_dtype: InitVar[str | None] = None

    def __post_init__(self, conv_dtype: str | None):
        if conv_dtype is not None:
            if conv_dtype not in CONV_DTYPES:
                raise ValueError(
                    f"conv_dtype must be one of {', '.join(CONV_DTYPES)}; found {conv_dtype!r}"
                )
            object.__setattr__(self, "precision", conv_dtype)
        for name, least in {"channels": 1, "dim": 1, "latent_dim": 1, "post_filter": 0}.items():
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, found {getattr(self, name)}")
        for name, accepted in CHOICES.items():
            if getattr(self, name) not in accepted:
                raise ValueError(
                    f"{name} must be one of {', '.join(accepted)}; found {getattr(self, name)!r}"
                )
        if self.num_classes < 0 or self.num_classes == 1:
            raise ValueError(
                f"num_classes must be 0 (unconditional) or at least 2, found {self.num_classes}"
            )
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
        if self.spectrogram_critic and self.num_samples < 2 * RESOLUTIONS[0]:
            raise ValueError(
                f"spectrogram_critic needs num_samples of at least {2 * RESOLUTIONS[0]}, found "
                f"{self.num_samples}: take longer clips, or switch it off"
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


def _at_its_precision(method: Callable) -> Callable:
    """A network's method that multiplies as its configuration says, and so its gradients."""

    @wraps(method)
    def multiplying(self, *args, **options):
        tf32 = self.config.precision == "tf32"
        with jax.default_matmul_precision("tensorfloat32" if tf32 else "highest"):
            return method(self, *args, **options)

    return multiplying


class Generator(nnx.Module):
    """Latents to audio: a dense projection, then upsampling convolutions."""

    def __init__(self, config: WaveGANConfig, *, rngs: nnx.Rngs):
        self.config = config
        widths = config.widths[::-1]
        self.project = Dense(config.latent_dim, FIRST_LENGTH * widths[0], rngs=rngs)
        taps, zeros = config.kernel_size, config.upsample == "zeros"
        self.layers = nnx.List(
            Convolution(
                (taps, c_out, c_in) if zeros else (taps, c_in, c_out), bias=c_out, rngs=rngs
            )
            for c_in, c_out in zip(widths, (*widths[1:], config.channels), strict=True)
        )
        # One for the projection and for each layer but the last.
        self.norms = nnx.List(BatchNorm(c, running=True) for c in widths if config.batch_norm)
        self.modulations = nnx.List(
            Modulation(config.num_classes, c, rngs=rngs) for c in widths if config.num_classes
        )
        if config.post_filter:
            shape = (config.post_filter, config.channels, config.channels)
            self.post_filter = nnx.Param(glorot_uniform(rngs.params(), shape))

    def __repr__(self) -> str:
        return _summary(self)

    @_at_its_precision
    def __call__(
        self,
        z: Float[Array | np.ndarray, "n latent"],
        label: Int[Array | np.ndarray, " n"] | Float[Array | np.ndarray, "n classes"] | None = None,
        *,
        training: bool = False,
    ) -> Float[Array, "n length c"]:
        """Audio (n, num_samples, channels) in (-1, 1) of latents z (n, latent_dim).

        Parameters
        ----------
        label : of a conditional generator: classes (n,), or weights of the classes
            (n, num_classes), between whose sounds the clip then lies.
        training : batch norm by the batch, which its averages follow.
        """
        config = self.config
        if z.shape[-1] != config.latent_dim:
            raise ValueError(f"z must be (n, {config.latent_dim}), found {z.shape}")
        classes = _class_weights(label, config, len(z))

        def activate(x: Array, i: int) -> Array:
            if config.batch_norm:
                x = self.norms[i](x, training=training)
            if classes is not None:
                x = self.modulations[i](x, classes)
            return jax.nn.relu(x)

        upsampling = transposed_conv if config.upsample == "zeros" else nearest_conv
        x = activate(self.project(jnp.asarray(z)).reshape(len(z), FIRST_LENGTH, -1), 0)
        for i, (layer, stride) in enumerate(zip(self.layers, config.strides, strict=True), 1):
            x = _convolved(upsampling, x, layer.kernel[...], stride, config)
            x = x + layer.bias[None, None]
            x = activate(x, i) if i < len(self.layers) else jnp.tanh(x)
        if config.post_filter:
            x = _convolved(strided_conv, x, self.post_filter[...], 1, config)
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
        self.norms = nnx.List(BatchNorm(c, running=False) for c in widths[1:] if config.batch_norm)
        self.spectral_norms = nnx.List(
            SpectralNorm(c, rngs=rngs) for c in (*widths, 1) if config.spectral_norm
        )
        if config.num_classes:
            shape = (config.num_classes, widths[-1])
            self.projection = nnx.Param(glorot_uniform(rngs.params(), shape))
        if config.spectrogram_critic:
            self.spectrogram = SpectrogramCritic(
                config.num_samples,
                config.channels,
                config.dim,
                config.num_classes,
                minibatch_stddev=config.minibatch_stddev,
                rngs=rngs,
            )
        if config.minibatch_stddev:
            self.stddev = MinibatchStddev(widths[-1], rngs=rngs)

    def __repr__(self) -> str:
        return _summary(self)

    @_at_its_precision
    def __call__(
        self,
        x: Float[Array | np.ndarray, "n length c"],
        label: Int[Array | np.ndarray, " n"] | Float[Array | np.ndarray, "n classes"] | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, " n"]:
        """Logits (n,) of clips x (n, num_samples, channels); ``key`` drives phase shuffle.

        Without a key, outside training, no phase is shuffled and each clip is scored by itself.
        ``label`` as `Generator` takes it.
        """
        logits = self.score_waveform(x, label, key)
        if self.config.spectrogram_critic:
            classes = _class_weights(label, self.config, len(x))
            together = key is not None
            logits = logits + self.spectrogram(jnp.asarray(x), classes, together=together)
        return logits

    @_at_its_precision
    def score_spectrogram(
        self,
        resolution: int,
        spectrogram: Float[Array, "n frames bins"],
        label: Int[Array | np.ndarray, " n"] | Float[Array | np.ndarray, "n classes"] | None = None,
    ) -> Float[Array, " n"]:
        """The logits (n,) of the spectrogram critic at one resolution, as in training.

        Parameters
        ----------
        resolution : place of the window in the critic's ``windows``, from 0.
        spectrogram : of the clips, as `log_spectrogram` makes it of that window.
        label : as `Generator` takes it.
        """
        classes = _class_weights(label, self.config, len(spectrogram))
        return self.spectrogram.score(resolution, spectrogram, classes, together=True)

    @_at_its_precision
    def score_waveform(
        self,
        x: Float[Array | np.ndarray, "n length c"],
        label: Int[Array | np.ndarray, " n"] | Float[Array | np.ndarray, "n classes"] | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, " n"]:
        """The logits without those of the spectrogram critic: what is penalised."""
        config = self.config
        if x.shape[1:] != (config.num_samples, config.channels):
            raise ValueError(
                f"clips must be (n, {config.num_samples}, {config.channels}), found {x.shape}"
            )
        classes = _class_weights(label, config, len(x))
        x = jnp.asarray(x)
        shuffled = min(SHUFFLED_LAYERS, len(self.layers) - 1)
        phases: Sequence[Array] = ()
        if key is not None and shuffled and config.phase_shuffle:
            count = None if config.phase_shuffle_by == "batch" else len(x)
            phases = list(draw_phases(key, shuffled, config.phase_shuffle, count))
        for i, (layer, stride) in enumerate(zip(self.layers, config.strides, strict=True)):
            x = _convolved(strided_conv, x, self._kernel(i, layer), stride, config)
            x = x + layer.bias[None, None]
            if config.batch_norm and i > 0:
                x = self.norms[i - 1](x)
            x = jax.nn.leaky_relu(x, 0.2)
            if i < len(phases):
                x = shift_phase(x, phases[i], config.phase_shuffle)
        flat = x.reshape(len(x), -1)
        logits = flat @ self._kernel(-1, self.output)[:, 0] + self.output.bias[...]
        if config.minibatch_stddev and key is not None:
            logits = logits + self.stddev(x.mean(axis=1))
        if classes is not None:
            logits = logits + jnp.sum((classes @ self.projection[...]) * x.sum(axis=1), axis=1)
        return logits

    @_at_its_precision
    def refresh_norms(self) -> None:
        """Sharpen the estimates of the kernels' spectral norms: once a critic step."""
        kernels = [*(layer.kernel for layer in self.layers), self.output.kernel]
        for norm, kernel in zip(self.spectral_norms, kernels, strict=False):
            norm.refresh(kernel[...])

    def _kernel(self, i: int, layer: Convolution | Dense) -> Array:
        kernel = layer.kernel[...]
        return self.spectral_norms[i](kernel) if self.config.spectral_norm else kernel


def without_weights(config: WaveGANConfig) -> tuple[Generator, Discriminator]:
    """Networks whose variables are shapes alone, to be filled."""
    shapes = jax.tree.map(lambda x: x, _abstract(config))  # their variables are made here and now
    generator, critic = (nnx.merge(*parts) for parts in shapes)
    return generator, critic


def definitions(config: WaveGANConfig) -> tuple[nnx.GraphDef, nnx.GraphDef]:
    """What a generator and its discriminator are but for their weights, for `nnx.merge`."""
    (generator, _), (critic, _) = _abstract(config)
    return generator, critic


@lru_cache(maxsize=64)
def _abstract(config: WaveGANConfig) -> tuple[Any, Any]:
    key = jax.random.key(0)  # traced: nothing is drawn
    generator = nnx.eval_shape(lambda key: Generator(config, rngs=nnx.Rngs(key)), key)
    critic = nnx.eval_shape(lambda key: Discriminator(config, rngs=nnx.Rngs(key)), key)
    return nnx.split(generator), nnx.split(critic)


def _summary(network: Generator | Discriminator) -> str:
    """A network in a line: what of its configuration is not the reference's, and its size."""
    config = network.config
    told = [
        f"{field.name}={getattr(config, field.name)!r}"
        for field in fields(config)
        if field.name in ("num_samples", "dim") or getattr(config, field.name) != field.default
    ]
    weights = sum(leaf.size for leaf in jax.tree.leaves(nnx.state(network, nnx.Param)))
    return f"{type(network).__name__}({', '.join(told)}: {weights:,} weights)"


def _convolved(convolution, x: Array, kernel: Array, stride: int, config: WaveGANConfig) -> Array:
    """A convolution at the configuration's precision; float32 comes out."""
    dtype = jnp.bfloat16 if config.precision == "bfloat16" else jnp.float32
    return convolution(x.astype(dtype), kernel.astype(dtype), stride=stride).astype(jnp.float32)


def _class_weights(
    label: Array | np.ndarray | None, config: WaveGANConfig, count: int
) -> Float[Array, "n classes"] | None:
    """Weights (n, num_classes) of the classes; None for an unconditional network."""
    classes = config.num_classes
    if not classes:
        if label is not None:
            raise ValueError("this network is unconditional: it takes no label")
        return None
    found = "none" if label is None else f"{label.dtype} {label.shape}"
    if label is None or label.shape not in {(count,), (count, classes)}:
        raise ValueError(
            f"this network is conditional: label must be classes ({count},) in 0 … {classes - 1} "
            f"or weights of the classes ({count}, {classes}); found {found}"
        )
    if label.ndim == 2:
        return jnp.asarray(label, jnp.float32)
    if not isinstance(label, jax.core.Tracer) and not np.isin(label, np.arange(classes)).all():
        outside = np.setdiff1d(label, np.arange(classes))
        raise ValueError(f"labels lie in 0 … {classes - 1}, found {outside[:5].tolist()}")
    return jax.nn.one_hot(label, classes)
