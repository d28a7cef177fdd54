"""Augmentation of features inside a training step: examples blended, or partly hidden."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from features.augmentation_registry import AUGMENTATIONS, check_names, of_level


def mixup(
    key: Key[Array, ""],
    inputs: Float[Array | np.ndarray, "n ..."],
    targets: Float[Array | np.ndarray, "n k"],
    *,
    alpha: float = 0.2,
) -> tuple[Float[Array, "n ..."], Float[Array, "n k"]]:
    """Each example blended with another one of the batch (Zhang et al. 2018).

    Parameters
    ----------
    inputs, targets : (n, …) and one-hot (or soft) targets (n, K).
    alpha : the example's share is drawn from Beta(alpha, alpha), for each example anew.
    """
    if not alpha > 0:
        raise ValueError(f"alpha={alpha}: mixup takes one above 0, 0.2 for mostly faint blends")
    k_order, k_share = jax.random.split(key)
    inputs, targets = jnp.asarray(inputs), jnp.asarray(targets)
    other = jax.random.permutation(k_order, len(inputs))
    share = jax.random.beta(k_share, alpha, alpha, (len(inputs),), targets.dtype)

    def blend(x: Array) -> Array:
        weight = share.reshape(-1, *[1] * (x.ndim - 1)).astype(x.dtype)
        return weight * x + (1 - weight) * x[other]

    return blend(inputs), blend(targets)


def spec_augment(
    key: Key[Array, "*keys"],
    features: Float[Array | np.ndarray, "n ..."],
    *,
    time_masks: int = 2,
    time_width: float = 0.15,
    frequency_masks: int = 2,
    frequency_width: float = 0.15,
) -> Float[Array, "n ..."]:
    """Bands of time and of frequency blotted out with the example's mean (Park et al. 2019).

    Parameters
    ----------
    features : (n, T, F), or (n, T, F, C) where each channel has its own mean.
    time_masks, frequency_masks : bands of each kind; they may overlap.
    time_width, frequency_width : the widest that a band may be, as a share of its axis. Its
        width in frames or bins is uniform from 0 to that.
    """
    if not (0 <= time_width <= 1 and 0 <= frequency_width <= 1):
        raise ValueError(
            f"time_width={time_width}, frequency_width={frequency_width}: they are shares of the "
            "axis, from 0 to 1"
        )
    if time_masks < 0 or frequency_masks < 0:
        raise ValueError(f"{time_masks=}, {frequency_masks=}: 0 or more")
    if features.ndim not in (3, 4):
        raise ValueError(
            f"SpecAugment takes features (n, T, F) or (n, T, F, C), not {features.shape}"
        )

    def bands(key: Array, size: int, count: int, share: float) -> Array:
        k_width, k_start = jax.random.split(key)
        width = jax.random.randint(k_width, (count,), 0, int(share * size) + 1)
        start = jax.random.randint(k_start, (count,), 0, size - width + 1)
        at = np.arange(size)[:, None]
        return jnp.any((at >= start[None]) & (at < (start + width)[None]), axis=1)

    def one(key: Array, example: Array) -> Array:
        k_time, k_frequency = jax.random.split(key)
        frames, bins = example.shape[:2]
        time = bands(k_time, frames, time_masks, time_width)
        frequency = bands(k_frequency, bins, frequency_masks, frequency_width)
        hidden = time[:, None] | frequency[None]
        return jnp.where(
            hidden.reshape(frames, bins, *[1] * (example.ndim - 2)),
            example.mean((0, 1), keepdims=True),
            example,
        )

    return jax.vmap(one)(keys_of(key, len(features)), jnp.asarray(features))


@dataclass(frozen=True)
class FeatureAugmentation:
    """Alterations of a batch of features inside the training step, for ``fit(augment=…)``.

    Parameters
    ----------
    spec_augment : whether features (n, T, F) or (n, T, F, C) go through `spec_augment`, with
        the masks' settings below.
    mixup_alpha : of `mixup`, which comes after it; 0 for none.
    own : names of further augmentations of features, as `register_augmentation` took them, which
        come last.
    """

    spec_augment: bool = True
    mixup_alpha: float = 0.2
    time_masks: int = 2
    time_width: float = 0.15
    frequency_masks: int = 2
    frequency_width: float = 0.15
    own: tuple[str, ...] = ()
    functions: tuple[Callable[..., Any], ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        known = of_level("features")
        if self.own:
            check_names(self.own, known)
        object.__setattr__(self, "functions", tuple(known[name].function for name in self.own))

    def __call__(
        self,
        key: Key[Array, ""],
        inputs: Float[Array | np.ndarray, "n ..."],
        targets: Float[Array | np.ndarray, "n k"],
    ) -> tuple[Float[Array, "n ..."], Float[Array, "n k"]]:
        """The batch augmented: inputs (n, …) and targets (n, K)."""
        k_masks, k_mixup = jax.random.split(key)
        if self.spec_augment:
            inputs = spec_augment(
                k_masks,
                inputs,
                time_masks=self.time_masks,
                time_width=self.time_width,
                frequency_masks=self.frequency_masks,
                frequency_width=self.frequency_width,
            )
        if self.mixup_alpha:
            inputs, targets = mixup(k_mixup, inputs, targets, alpha=self.mixup_alpha)
        for name, function in zip(self.own, self.functions, strict=True):
            drawn = jax.random.fold_in(key, AUGMENTATIONS[name].draw)
            given = inputs.shape, targets.shape
            inputs, targets = function(drawn, inputs, targets)
            if (jnp.shape(inputs), jnp.shape(targets)) != given:
                raise ValueError(
                    f"augmentation {name!r} must give inputs and targets of the shapes that it is "
                    f"given, {given}; found {jnp.shape(inputs), jnp.shape(targets)}"
                )
        return jnp.asarray(inputs), jnp.asarray(targets)


def keys_of(key: Key[Array, "*keys"], count: int) -> Key[Array, " n"]:
    """A key for each of ``count`` examples: ``key`` split, or as it is where there is one each."""
    return key if key.ndim else jax.random.split(key, count)
