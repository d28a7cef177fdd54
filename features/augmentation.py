"""Classical augmentation of clips: altered copies of them, made before their features are.

Everything is keyed and runs in JAX. Audio is a batch ``(n, L, C)`` in [-1, 1], or mono ``(n, L)``
or ``(L,)``, and so is the result: what would go beyond is turned down, not clipped. Each clip has
draws of its own, which its channels share. A key is one for the batch, split over its clips, or an
array of n, one for each clip: then what becomes of a clip does not depend on the batch that it is
in. One of your own is an entry, see `features.augmentation_registry.register_augmentation`.

Shifting, stretching and transposing take a clip as a loop: where its end is passed it begins
again, so that clips keep their length and get no silence.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from features import _vocoder
from features._framing import on_device
from features.augmentation_registry import (
    AUGMENTATIONS,
    Range,
    check_names,
    check_range,
    of_level,
    register_augmentation,
)
from features.feature_augmentation import FeatureAugmentation, keys_of

Keys = Key[Array, "*keys"]  # () or (n,)
Audio = Float[Array, "*clips"]  # (n, L, C), or mono: (n, L), (L,)
AudioLike = Float[Array | np.ndarray, "*clips"]

_WINDOW_SECONDS = 0.093  # of the phase vocoder: 2048 samples at 22050 Hz


@register_augmentation(
    "pitch",
    "higher or lower by semitones",
    setting="semitones",
    words="pitch {:+.3g} semitones",
    draw=0,
)
def pitch_shift(
    key: Keys,
    audio: AudioLike,
    *,
    semitones: Range = (-2.0, 2.0),
    n_fft: int | None = None,
    sample_rate: int = 22050,
) -> Audio:
    """Higher by semitones uniform in the range, at the same tempo.

    By a phase vocoder with frames of ``n_fft`` samples, 93 ms at ``sample_rate`` if None. Its
    spectral peaks are phase-locked, unlike those of ``librosa.effects.pitch_shift``, which blurs
    attacks and loses loudness.
    """
    ratios = 2 ** (_uniform_of_each(key, audio, semitones, "semitones") / 12)
    highest = 2 ** (semitones[1] / 12)
    return _by_channel(
        partial(_vocoder.transpose, n_fft=_frame(n_fft, sample_rate), highest=highest),
        audio,
        ratios,
    )


@register_augmentation(
    "stretch",
    "faster or slower at the same pitch",
    setting="rate",
    above=0.0,
    neutral=1.0,
    words="{:.3g} times as fast",
    draw=1,
)
def time_stretch(
    key: Keys,
    audio: AudioLike,
    *,
    rate: Range = (0.8, 1.25),
    n_fft: int | None = None,
    sample_rate: int = 22050,
) -> Audio:
    """Faster by a factor in the range, its logarithm uniform, at the same pitch.

    By the phase vocoder of `pitch_shift`, with its frames.
    """
    check_range(rate, "rate", above=0)
    logarithms = _uniform_of_each(key, audio, (np.log(rate[0]), np.log(rate[1])), "rate")
    return _by_channel(
        partial(_vocoder.stretch, n_fft=_frame(n_fft, sample_rate)), audio, jnp.exp(logarithms)
    )


@register_augmentation(
    "shift", "later or earlier, as a loop", setting="shift", words="shift by {:+.0%}", draw=2
)
def shift_time(key: Keys, audio: AudioLike, *, shift: Range = (-0.25, 0.25)) -> Audio:
    """Later by a share of the clip, uniform in the range; earlier where that is negative."""

    def one(key: Array, clip: Array) -> Array:
        by = jnp.round(_uniform(key, shift, "shift") * len(clip)).astype(jnp.int32)
        return jnp.roll(clip, by, axis=0)

    return _each(one, key, audio)


@register_augmentation(
    "polarity", "upside down", words="other polarity", shown=operator.neg, draw=3
)
def flip_polarity(key: Keys, audio: AudioLike) -> Audio:
    """Times 1 or -1, either as likely."""
    return _each(lambda key, clip: clip * jax.random.rademacher(key, (), clip.dtype), key, audio)


@register_augmentation(
    "noise",
    "white noise added",
    setting="snr_db",
    neutral=200.0,
    words="noise, {:.3g} dB below",
    draw=4,
)
def add_noise(key: Keys, audio: AudioLike, *, snr_db: Range = (10.0, 40.0)) -> Audio:
    """White Gaussian noise, ``snr_db`` (uniform in the range) below the clip's own power."""

    def one(key: Array, clip: Array) -> Array:
        k_level, k_noise = jax.random.split(key)
        ratio = _uniform(k_level, snr_db, "snr_db")
        level = jnp.sqrt((clip**2).mean()) * 10 ** (-ratio / 20)
        return clip + level * jax.random.normal(k_noise, clip.shape, clip.dtype)

    return _each(one, key, audio)


@register_augmentation(
    "gain", "louder or quieter", setting="gain_db", words="gain {:+.3g} dB", draw=5
)
def change_gain(key: Keys, audio: AudioLike, *, gain_db: Range = (-12.0, 0.0)) -> Audio:
    """Louder or quieter by decibels uniform in the range, no louder than full scale."""
    return _each(lambda key, x: x * 10 ** (_uniform(key, gain_db, "gain_db") / 20), key, audio)


BUILT_IN: tuple[str, ...] = tuple(AUGMENTATIONS)


@register_augmentation(
    "specaugment",
    "bands of time and frequency hidden",
    level="features",
    switches={"spec_augment": True},
)
def _spec_augment(key: Array, inputs: Array, targets: Array) -> tuple[Array, Array]:
    return FeatureAugmentation(mixup_alpha=0.0)(key, inputs, targets)


@register_augmentation(
    "mixup", "examples blended in pairs", level="features", switches={"mixup_alpha": 0.2}
)
def _mixup(key: Array, inputs: Array, targets: Array) -> tuple[Array, Array]:
    return FeatureAugmentation(spec_augment=False)(key, inputs, targets)


@dataclass(frozen=True, init=False)
class WaveformAugmentation:
    """Altered copies of clips, made before their features are.

    Every transform named is applied to every clip; its draw does not depend on which others are
    named, nor on the order of the names.

    Parameters
    ----------
    names : of `AUGMENTATIONS` of the waveform; None takes those of this module.
    **ranges : of the settings of those named, where not the default: ``snr_db`` of "noise",
        ``gain_db``, ``shift`` (in clips), ``semitones`` of "pitch", ``rate`` of "stretch".

    Attributes
    ----------
    names : as given; they apply in the order of `AUGMENTATIONS`.
    ranges, functions : of each name the range of its setting (None where it has none), and what
        is called.

    Raises
    ------
    ValueError
        For a name that there is not, or none, a range out of order, or of what is not named.
    """

    names: tuple[str, ...]
    ranges: tuple[Range | None, ...]
    functions: tuple[Callable[..., Array], ...] = field(repr=False)

    def __init__(self, names: Sequence[str] | None = None, **ranges: Range) -> None:
        known, wanted = of_level("waveform"), BUILT_IN if names is None else tuple(names)
        check_names(wanted, known)
        entries = [known[name] for name in wanted]
        settings = {entry.setting: entry for entry in entries if entry.setting is not None}
        for name, limits in ranges.items():
            if name not in settings:
                raise ValueError(
                    f"{name} is no setting of {', '.join(wanted)}, which take "
                    f"{', '.join(settings) or 'none'}"
                )
            check_range(limits, name, settings[name].above)
        chosen = (ranges.get(e.setting, e.range) if e.setting else None for e in entries)
        object.__setattr__(self, "names", wanted)
        object.__setattr__(self, "ranges", tuple(r and (r[0], r[1]) for r in chosen))
        object.__setattr__(self, "functions", tuple(entry.function for entry in entries))

    def __call__(self, seed_or_key: int | Keys, audio: AudioLike, sample_rate: int) -> Audio:
        """One augmented copy of each clip of ``audio`` (n, L, C) at ``sample_rate`` Hz.

        A result has the shape of ``audio``, which may be mono, (n, L) or (L,).
        """
        key = jax.random.key(seed_or_key) if isinstance(seed_or_key, int) else seed_or_key
        clips = _clips(audio)
        keys = keys_of(key, len(clips))  # so that one program serves a seed and clips' own keys
        return _augmented(keys, clips, self, sample_rate).reshape(audio.shape)

    def versions(self, audio: AudioLike, sample_rate: int) -> dict[str, np.ndarray]:
        """Audio (n, L, C) with each alteration alone, the strongest of its range, by its words."""
        found = {}
        for name, limits in zip(self.names, self.ranges, strict=True):
            entry = AUGMENTATIONS[name]
            if entry.shown is not None:
                found[entry.words] = np.asarray(entry.shown(audio))
                continue
            alone: dict[str, Range] = {}
            value = None
            if entry.setting is not None and limits is not None:
                value = max(limits, key=lambda limit: (abs(limit - entry.neutral), limit))
                alone = {entry.setting: (value, value)}
            version = WaveformAugmentation((name,), **alone)(0, audio, sample_rate)
            words = entry.words.format(value).replace("-", "\N{MINUS SIGN}")
            found[words] = np.asarray(version)
        return found


def parse_augmentations(
    names: str,
) -> tuple[WaveformAugmentation | None, FeatureAugmentation | None]:
    """What a list such as "noise,pitch,mixup" asks for: of the waveform, and of the features.

    Parameters
    ----------
    names : of `AUGMENTATIONS`, separated by commas; or "all" or "none".

    Returns
    -------
    Either is None where nothing of it is named.

    Raises
    ------
    ValueError
        For a name that there is not, with the nearest ones, or one named twice.
    """
    found = tuple(name.strip() for name in names.split(","))
    if found in (("all",), ("none",)):
        found = tuple(AUGMENTATIONS) if found == ("all",) else ()
    else:
        check_names(found, AUGMENTATIONS, ", or 'all' or 'none' alone")
    waveform = tuple(name for name in found if AUGMENTATIONS[name].level == "waveform")
    entries = [AUGMENTATIONS[name] for name in found if name not in waveform]
    switches = {key: value for entry in entries for key, value in entry.switches.items()}
    features = FeatureAugmentation(
        **{"spec_augment": False, "mixup_alpha": 0.0, **switches},
        own=tuple(entry.name for entry in entries if not entry.switches),
    )
    return WaveformAugmentation(waveform) if waveform else None, features if entries else None


@partial(jax.jit, static_argnames=("to", "sample_rate"))
def _augmented(keys: Keys, audio: Audio, to: WaveformAugmentation, sample_rate: int) -> Audio:
    ranges = dict(zip(to.names, to.ranges, strict=True))
    functions = dict(zip(to.names, to.functions, strict=True))
    for name in (name for name in AUGMENTATIONS if name in to.names):
        entry = AUGMENTATIONS[name]
        own = jax.vmap(jax.random.fold_in, (0, None))(keys, entry.draw)
        audio = functions[name](own, audio, **entry.of(sample_rate, ranges[name]))
    return audio


def _each(one: Callable[[Array, Array], Array], key: Keys, audio: AudioLike) -> Audio:
    clips = _clips(audio)
    return _within(jax.vmap(one)(keys_of(key, len(clips)), clips)).reshape(audio.shape)


def _by_channel(one: Callable[[Array, Array], Array], audio: AudioLike, values: Array) -> Audio:
    """``one`` of each channel (n, L) by itself, with the clip's value (n,)."""
    clips = _clips(audio)
    flat = jnp.moveaxis(clips, 2, 1).reshape(-1, clips.shape[1])
    done = one(flat, jnp.repeat(values, clips.shape[2]))
    done = jnp.moveaxis(done.reshape(len(clips), clips.shape[2], -1), 1, 2)
    return _within(done).reshape(audio.shape)


def _clips(audio: AudioLike) -> Float[Array, "n length c"]:
    """Mono clips (n, L), and one (L,), with all three axes."""
    clips = on_device(audio)
    return clips if clips.ndim == 3 else clips.reshape(-1, clips.shape[-1], 1)


def _within(audio: Audio) -> Audio:
    """Clips that go beyond full scale turned down to it."""
    return audio / jnp.maximum(1, jnp.abs(audio).max((1, 2), keepdims=True))


def _uniform(key: Array, limits: Range, name: str) -> Float[Array, ""]:
    check_range(limits, name)
    return jax.random.uniform(key, (), jnp.float32, *limits)


def _uniform_of_each(key: Keys, audio: AudioLike, limits: Range, name: str) -> Float[Array, " n"]:
    return jax.vmap(lambda key: _uniform(key, limits, name))(keys_of(key, len(_clips(audio))))


def _frame(n_fft: int | None, sample_rate: int) -> int:
    if n_fft is None:  # the power of two nearest to 93 ms
        return max(16, 2 ** round(np.log2(_WINDOW_SECONDS * sample_rate)))
    if n_fft < 16 or n_fft % 4:
        raise ValueError(f"n_fft={n_fft}: frames of a multiple of 4 samples, 16 or more, are taken")
    return n_fft
