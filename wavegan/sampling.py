"""Clips from a generator."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import jax
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from features.limits import check_memory
from wavegan.networks import Generator, WaveGANConfig

Label = int | Int[Array | np.ndarray, " n"] | Float[Array | np.ndarray, "..."]


@dataclass(frozen=True)
class Samples:
    """Generated clips.

    Attributes
    ----------
    audio : (N, num_samples, channels) float32 in [-1, 1].
    latents : (N, latent_dim) float32; the generator makes each clip again from its own.
    labels : of a conditional generator: classes (N,) int32, or where weights of the classes
        were asked for, those (N, num_classes) float32; else None.
    sample_rate : Hz, where it was told: a notebook then plays the clips.
    """

    audio: np.ndarray
    latents: np.ndarray
    labels: np.ndarray | None
    sample_rate: int | None = None

    def __repr__(self) -> str:
        count, length, channels = self.audio.shape
        told = f"{count} clips of {length} samples"
        if self.sample_rate:
            told = f"{count} clips of {length / self.sample_rate:.2f} s at {self.sample_rate} Hz"
        told += f", {channels} channels" * (channels > 1)
        if self.labels is not None and self.labels.ndim == 1:
            classes = sorted(set(self.labels.tolist()))
            shown = [*classes[:5], "…"] if len(classes) > 5 else classes
            told += f", of classes {', '.join(map(str, shown))}"
        return f"Samples({told})"

    def _repr_html_(self) -> str:
        from wavegan.display import clips_html

        return clips_html(repr(self), self.audio, self.sample_rate, self.labels)


def generate(
    generator: Generator,
    count: int | None = None,
    *,
    seed: int = 0,
    label: Label | None = None,
    latents: Float[Array | np.ndarray, "n latent"] | None = None,
    truncation: float = 1.0,
    batch_size: int = 64,
    sample_rate: int | None = None,
) -> Samples:
    """Generate ``count`` clips.

    Clip i depends on ``seed`` and i alone: a larger count begins with the same clips.

    Parameters
    ----------
    generator : from `train` or `load`.
    count : number of clips; not needed where ``latents`` are given.
    seed : of the latents.
    label : of a conditional generator: one class for all clips, a class for each (count,), or
        weights of the classes, (num_classes,) for all or (count, num_classes). Without it the
        classes take turns: 0, 1, …, num_classes - 1, 0, ….
    latents : make the clips from these (at least ``count`` rows) instead of drawing: the
        latents of earlier samples make the same sounds again.
    truncation : draw latents from (-truncation, truncation), at most 1: nearer to the middle
        the clips are more typical and more alike.
    batch_size : clips made at a time, always so many: the same size gives the same clips bit
        for bit, another one the same to rounding.
    sample_rate : Hz of the audio that the generator has learned from, for a notebook's player;
        it changes no clip.

    Raises
    ------
    ValueError
        Where an option fits neither the generator nor the others, with what would.

    Examples
    --------
    >>> from flax import nnx
    >>> from wavegan import Generator, WaveGANConfig
    >>> generator = Generator(WaveGANConfig(num_samples=64, dim=1), rngs=nnx.Rngs(0))
    >>> generate(generator, 3, seed=7).audio.shape
    (3, 64, 1)
    """
    length = generator.config.num_samples * generator.config.channels
    check_memory(8 * (count or 0) * length, f"{count or 0:,} clips", "ask for fewer at a time")
    batches = generate_batches(
        generator,
        count,
        seed=seed,
        label=label,
        latents=latents,
        truncation=truncation,
        batch_size=batch_size,
    )
    parts = list(batches)
    labels = [part.labels for part in parts if part.labels is not None]
    return Samples(
        np.concatenate([part.audio for part in parts]),
        np.concatenate([part.latents for part in parts]),
        np.concatenate(labels) if labels else None,
        sample_rate,
    )


def generate_batches(
    generator: Generator,
    count: int | None = None,
    *,
    seed: int = 0,
    label: Label | None = None,
    latents: Float[Array | np.ndarray, "n latent"] | None = None,
    truncation: float = 1.0,
    batch_size: int = 64,
) -> Iterator[Samples]:
    """The clips of `generate`, at most ``batch_size`` at a time, in memory that no count changes.

    ``latents`` may be a memory-mapped file. While a batch is in use the next one is computed.
    """
    config = generator.config
    if latents is not None:
        if latents.ndim != 2 or latents.shape[1] != config.latent_dim:
            raise ValueError(f"latents must be (n, {config.latent_dim}), found {latents.shape}")
        if truncation != 1:
            raise ValueError("truncation is for latents that are drawn: scale the given ones")
        count = len(latents) if count is None else count
        if count > len(latents):
            raise ValueError(f"count is {count}, but there are {len(latents)} latents")
    if count is None or count < 1:
        raise ValueError(f"count must be at least 1, found {count}")
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, found {batch_size}")
    if not 0 < truncation <= 1:
        raise ValueError(f"truncation must lie in 0 (excluded) … 1, found {truncation}")
    # The last layer but one of a WaveGAN is its largest: a quarter as long, dim channels wide.
    wide = config.num_samples * (2 * config.channels + config.dim / 4) + config.latent_dim
    check_memory(4 * batch_size * wide, f"a batch of {batch_size:,} clips", "take a smaller one")
    labels = np.arange(config.num_classes, dtype=np.int32) if config.num_classes else None
    if label is not None:
        labels = _checked_labels(label, config, count)
    return _batches(generator, count, seed, labels, latents, truncation, batch_size)


def interpolate(
    generator: Generator,
    z0: Float[Array | np.ndarray, " latent"],
    z1: Float[Array | np.ndarray, " latent"],
    *,
    steps: int,
    label0: int | Float[Array | np.ndarray, " classes"] | None = None,
    label1: int | Float[Array | np.ndarray, " classes"] | None = None,
) -> Float[np.ndarray, "steps length c"]:
    """Clips (steps, num_samples, channels) on the line from latent z0 to z1, ends included.

    Parameters
    ----------
    steps : at least 2.
    label0, label1 : class, or weights of the classes, at either end of a conditional
        generator's line, between which its classes mix; ``label1`` is ``label0`` if None.
    """
    config, label = generator.config, None
    if label0 is not None:
        first = _checked_labels(label0, config, 1)
        last = first if label1 is None else _checked_labels(label1, config, 1)
        label = line(_weights(first, config)[0], _weights(last, config)[0], steps)
    elif config.num_classes or label1 is not None:
        raise ValueError("label0 is missing: a conditional generator starts from a class")
    latents = line(z0, z1, steps)
    return generate(generator, latents=latents, label=label, batch_size=min(steps, 64)).audio


def line(
    start: Float[Array | np.ndarray, " n"], end: Float[Array | np.ndarray, " n"], steps: int
) -> Float[np.ndarray, "steps n"]:
    """Points (steps, n) from ``start`` to ``end``, evenly, ends included."""
    if steps < 2:
        raise ValueError(f"steps must be at least 2 (the two ends), found {steps}")
    check_memory(12 * steps * len(start), f"{steps:,} steps", "take fewer")
    weight = np.linspace(0, 1, steps, dtype=np.float32)[:, None]
    return (1 - weight) * np.asarray(start)[None] + weight * np.asarray(end)[None]


def draw_latents(
    seed: int, count: int, latent_dim: int, *, start: int = 0
) -> Float[Array, "count latent"]:
    """Latents ``start`` … ``start + count - 1`` of ``seed``, uniform on (-1, 1).

    Latent i depends on ``seed`` and i alone.
    """
    if not 0 <= seed < 2**32:  # JAX would drop the bits above
        raise ValueError(f"seed must lie in 0 … {2**32 - 1}, found {seed}")
    return _draw(jax.random.key(seed), start + np.arange(count, dtype=np.uint32), latent_dim)


def _batches(
    generator: Generator,
    count: int,
    seed: int,
    labels: np.ndarray | None,
    latents: Array | np.ndarray | None,
    truncation: float,
    batch_size: int,
) -> Iterator[Samples]:
    config = generator.config
    graphdef, weights = nnx.split(generator)

    def dispatched(start: int) -> tuple[int, Array, Array | np.ndarray, np.ndarray | None]:
        """A batch that the device has begun with."""
        size = min(batch_size, count - start)
        z: Array | np.ndarray
        if latents is None:
            z = truncation * draw_latents(seed, batch_size, config.latent_dim, start=start)
        else:
            z = _padded(np.asarray(latents[start : start + size], np.float32), batch_size)
        # Fewer labels than clips come round again.
        chosen = None if labels is None else labels[np.arange(start, start + size) % len(labels)]
        classes = None if chosen is None else _padded(_weights(chosen, config), batch_size)
        return size, _apply(graphdef, weights, z, classes), z, chosen

    def fetched(size, audio, z, chosen) -> Samples:
        return Samples(np.asarray(audio)[:size], np.asarray(z)[:size], chosen)

    # One batch ahead: the device works while the host copies, encodes and writes.
    ahead = dispatched(0)
    for start in range(batch_size, count, batch_size):
        ahead, ready = dispatched(start), ahead
        yield fetched(*ready)
        del ready
    yield fetched(*ahead)


def _checked_labels(label: Label, config: WaveGANConfig, count: int) -> np.ndarray:
    """Labels (m,) or weights of the classes (m, num_classes), m either 1 or ``count``."""
    classes = config.num_classes
    if not classes:
        raise ValueError("this generator is unconditional: it takes no label")
    labels = np.asarray(label)
    if np.issubdtype(labels.dtype, np.floating):
        if labels.shape in ((classes,), (count, classes)) and np.isfinite(labels).all():
            return labels.reshape(-1, classes).astype(np.float32)
    elif np.issubdtype(labels.dtype, np.integer) and labels.shape in ((), (count,)):
        if outside := sorted(set(labels.reshape(-1).tolist()) - set(range(classes))):
            raise ValueError(f"labels lie in 0 … {classes - 1}, found {outside[:5]}")
        return labels.reshape(-1).astype(np.int32)
    raise ValueError(
        f"label must be a class in 0 … {classes - 1}, classes ({count},), or finite weights of "
        f"the classes ({classes},) or ({count}, {classes}); found {labels.dtype} {labels.shape}"
    )


def _weights(labels: np.ndarray, config: WaveGANConfig) -> np.ndarray:
    """Labels as weights of the classes: both go through one compiled program."""
    return labels if labels.ndim == 2 else np.eye(config.num_classes, dtype=np.float32)[labels]


def _padded(rows: np.ndarray, length: int) -> np.ndarray:
    return np.resize(rows, (length, *rows.shape[1:]))


@partial(jax.jit, static_argnums=2)
def _draw(key, indices, latent_dim):
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, indices)
    return jax.vmap(lambda k: jax.random.uniform(k, (latent_dim,), minval=-1.0))(keys)


@partial(jax.jit, static_argnums=0)
def _apply(graphdef, weights, latents, classes):
    return nnx.merge(graphdef, weights)(latents, classes)
