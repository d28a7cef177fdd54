"""Augmentation of what the critic sees, of real and generated clips alike (arXiv 2006.06676).

The critic of a small data set learns its clips by heart. Transforms of everything that it sees,
with gradients to the generator through them (arXiv 2006.10738), keep it from that. The generator
learns none of them as long as the distribution of the clips can be told from that of the
augmented ones: what is drawn includes the identity, the probability stays below 1, and nothing
is clipped, so values may leave [-1, 1].
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from features.registry import Registry
from wavegan.layers import phase_shuffle

Clips = Float[Array, "n length c"]
Scalar = Float[Array, ""]
Transform = Callable[[Clips, PRNGKeyArray], Clips]

MAX_GAIN_DB = 6.0
MAX_SHIFT = 1 / 8  # of the clip
MAX_MUTE = 1 / 8  # of the clip
MUTE_FADE = 1 / 256  # of the clip, at either end of what is muted
MAX_NOISE = 0.03  # standard deviation: 30 dB below full scale


def augment(
    clips: Float[Array | np.ndarray, "n length c"],
    key: PRNGKeyArray,
    probability: Scalar | float,
    names: tuple[str, ...],
) -> Clips:
    """Clips with each named transform applied to each clip with a probability.

    Every clip and transform draws separately, the channels of a clip share what is drawn; a
    transform's draws do not depend on which others are named. They apply in this order, then a
    user's own in the order of ``names``:

    - gain: a factor log-uniform within 6 dB up or down;
    - polarity: a sign, either one as likely (so half of the chosen clips change);
    - shift: in time, by a whole number of samples, uniform up to 1/8 of the clip either way;
      the edge is filled by reflection, which makes neither a jump nor silence;
    - mute: silence for up to 1/8 of the clip, uniform length and place, faded at its ends;
    - noise: white and Gaussian, of standard deviation uniform up to 0.03 (each channel its own);
    - rotate: the phase of every frequency but zero, by one angle uniform on the circle.

    Parameters
    ----------
    clips : (n, length, c).
    probability : in [0, 1]; at 0 the clips come back as they are.
    names : of `AUGMENTATIONS`; only these are computed. Static under ``jax.jit``.

    Returns
    -------
    (n, length, c), differentiable with respect to the clips. Not clipped to [-1, 1].

    Raises
    ------
    ValueError
        See `check_augmentations`.
    """
    check_augmentations(names)
    augmented = jnp.asarray(clips)
    numbers = {name: number for number, name in enumerate(_OWN) if name in names}
    # A user's draw by their names: it does not matter what else a session has registered.
    numbers |= {name: zlib.crc32(name.encode()) for name in names if name not in _OWN}
    for name, number in numbers.items():
        k_chosen, k_transform = jax.random.split(jax.random.fold_in(key, number))
        chosen = _uniform(augmented, k_chosen, 0, 1) < probability
        augmented = jnp.where(chosen, AUGMENTATIONS[name](augmented, k_transform), augmented)
    return augmented


def separation(real_logits: Float[Array, " n"], fake_logits: Float[Array, " m"]) -> Scalar:
    """How far the critic tells real clips from generated ones, in [-1, 1].

    The mean sign of the real logits about the midpoint of the two means: the r_t of arXiv
    2006.06676 without its assumption that logits are centred, which a Wasserstein critic's are
    not. 0 is no better than chance; at 0.6, 80 % of the real clips lie on their side.
    """
    return jnp.sign(real_logits - (real_logits.mean() + fake_logits.mean()) / 2).mean()


def adapted(
    probability: Scalar | float,
    separation: Scalar | float,
    *,
    target: float = 0.6,
    step: Scalar | float,
    ceiling: float = 0.8,
) -> Scalar:
    """The next probability: ``step`` up where the separation exceeds its target, else down.

    Parameters
    ----------
    probability, separation : the present ones; the separation of *augmented* clips.
    target : of the separation; 0.6 in arXiv 2006.06676.
    step : clips seen since the last change, over the clips that 0 to 1 is to take (500,000
        there).
    ceiling : the highest probability. From 0.82 = 1 / (1 + 0.217) on, a uniform shift or
        gain hides some of the clips' distribution (the Fourier transform of a uniform
        density falls to -0.217), and the generator may learn to shift and amplify.

    Returns
    -------
    Scalar in [0, ceiling].
    """
    change = jnp.where(separation > target, step, -step)
    return jnp.clip(probability + change, 0.0, ceiling)


def check_augmentations(names: tuple[str, ...]) -> None:
    """Refuse names that are not in `AUGMENTATIONS`, or there twice.

    Raises
    ------
    ValueError
        With what was found and what is accepted.
    """
    unknown = [name for name in names if name not in AUGMENTATIONS]
    if unknown or len(set(names)) < len(names):
        what = f"no augmentation {unknown[0]!r}" if unknown else "an augmentation is named twice"
        hint = f". {AUGMENTATIONS.unknown(unknown[0])}" if unknown else ""
        raise ValueError(
            f"{what} in {', '.join(map(repr, names))}: name any of "
            f"{', '.join(AUGMENTATIONS)}, each once{hint}"
        )


def _check(transform: Any) -> None:
    if not callable(transform):
        raise TypeError(f"give a function (clips (n, l, c), key) -> clips, found {transform!r}")
    clips = jax.ShapeDtypeStruct((2, 64, 1), "float32")
    try:
        found = jax.eval_shape(lambda x: transform(x, jax.random.key(0)), clips)
    except Exception as error:
        raise TypeError(f"it fails on clips: {type(error).__name__}: {error}") from error
    if (getattr(found, "shape", None), getattr(found, "dtype", None)) != (clips.shape, clips.dtype):
        raise TypeError(f"it must give clips of the shape and type it is given, found {found}")


def _gain(clips: Clips, key: PRNGKeyArray) -> Clips:
    return clips * 10 ** (_uniform(clips, key, -MAX_GAIN_DB, MAX_GAIN_DB) / 20)


def _polarity(clips: Clips, key: PRNGKeyArray) -> Clips:
    return clips * jax.random.rademacher(key, (len(clips), 1, 1), clips.dtype)


def _shift(clips: Clips, key: PRNGKeyArray) -> Clips:
    return phase_shuffle(clips, key, int(MAX_SHIFT * clips.shape[1]), by="example")


def _mute(clips: Clips, key: PRNGKeyArray) -> Clips:
    """Silence within ``reach`` of a centre, rising linearly to 1 beyond."""
    k_centre, k_reach = jax.random.split(key)
    length = clips.shape[1]
    centre = _uniform(clips, k_centre, 0, length)
    reach = _uniform(clips, k_reach, 0, MAX_MUTE * length / 2)
    fade = max(1.0, MUTE_FADE * length)
    distance = jnp.abs(jnp.arange(length)[None, :, None] - centre)
    return clips * jnp.clip((distance - reach) / fade, 0, 1)


def _noise(clips: Clips, key: PRNGKeyArray) -> Clips:
    k_deviation, k_noise = jax.random.split(key)
    deviation = _uniform(clips, k_deviation, 0, MAX_NOISE)
    return clips + deviation * jax.random.normal(k_noise, clips.shape, clips.dtype)


def _rotate(clips: Clips, key: PRNGKeyArray) -> Clips:
    """Positive frequencies times e^(iθ), the mean kept.

    Of the clip and its mirror image: repeated by itself, a clip jumps at its ends, and the
    Hilbert transform of a jump is a spike.
    """
    length = clips.shape[1]
    spectrum = jnp.fft.rfft(jnp.concatenate([clips, clips[:, ::-1]], axis=1), axis=1)
    turn = jnp.exp(1j * _uniform(clips, key, -np.pi, np.pi))
    turned = spectrum * jnp.where(jnp.arange(length + 1)[None, :, None] > 0, turn, 1)
    return jnp.fft.irfft(turned, 2 * length, axis=1)[:, :length]


def _uniform(clips: Clips, key: PRNGKeyArray, low: float, high: float) -> Float[Array, "n 1 1"]:
    """One draw a clip."""
    return jax.random.uniform(key, (len(clips), 1, 1), clips.dtype, low, high)


_OWN: dict[str, Transform] = {
    "gain": _gain,
    "polarity": _polarity,
    "shift": _shift,
    "mute": _mute,
    "noise": _noise,
    "rotate": _rotate,
}
AUGMENTATIONS: Registry[Transform] = Registry(
    "wavegan.AUGMENTATIONS", _OWN, _check, recipe="a function (clips (n, l, c), key) -> clips"
)
