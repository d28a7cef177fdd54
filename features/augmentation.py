"""Classical augmentation of clips: altered copies of them, made before their features are.

Everything is keyed and runs in JAX. Audio is a batch ``(n, L, C)`` in [-1, 1], and so is the
result: what would go beyond is turned down, not clipped. Each clip has draws of its own, which
its channels share. A key is one for the batch, split over its clips, or an array of n, one for
each clip: then what becomes of a clip does not depend on the batch that it is in.

Shifting, stretching and transposing take a clip as a loop: where its end is passed it begins
again, so that clips keep their length and get no silence.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from features import _vocoder
from features.feature_augmentation import FeatureAugmentation, keys_of

Range = tuple[float, float]
Keys = Key[Array, "*keys"]  # () or (n,)
Audio = Float[Array, "n length c"]
AudioLike = Float[Array | np.ndarray, "n length c"]

_WINDOW_SECONDS = 0.093  # of the phase vocoder: 2048 samples at 22050 Hz


def add_noise(key: Keys, audio: AudioLike, *, snr_db: Range = (10.0, 40.0)) -> Audio:
    """White Gaussian noise, ``snr_db`` (uniform in the range) below the clip's own power."""

    def one(key: Array, clip: Array) -> Array:
        k_level, k_noise = jax.random.split(key)
        ratio = _uniform(k_level, snr_db, "snr_db")
        level = jnp.sqrt((clip**2).mean()) * 10 ** (-ratio / 20)
        return clip + level * jax.random.normal(k_noise, clip.shape, clip.dtype)

    return _each(one, key, audio)


def change_gain(key: Keys, audio: AudioLike, *, gain_db: Range = (-12.0, 0.0)) -> Audio:
    """Louder or quieter by decibels uniform in the range, no louder than full scale."""
    return _each(lambda key, x: x * 10 ** (_uniform(key, gain_db, "gain_db") / 20), key, audio)


def shift_time(key: Keys, audio: AudioLike, *, shift: Range = (-0.25, 0.25)) -> Audio:
    """Later by a share of the clip, uniform in the range; earlier where that is negative."""

    def one(key: Array, clip: Array) -> Array:
        by = jnp.round(_uniform(key, shift, "shift") * len(clip)).astype(jnp.int32)
        return jnp.roll(clip, by, axis=0)

    return _each(one, key, audio)


def flip_polarity(key: Keys, audio: AudioLike) -> Audio:
    """Times 1 or -1, either as likely."""
    return _each(lambda key, clip: clip * jax.random.rademacher(key, (), clip.dtype), key, audio)


def pitch_shift(
    key: Keys, audio: AudioLike, *, semitones: Range = (-2.0, 2.0), n_fft: int = 2048
) -> Audio:
    """Higher by semitones uniform in the range, at the same tempo.

    By a phase vocoder with frames of ``n_fft`` samples. Its spectral peaks are phase-locked,
    unlike those of ``librosa.effects.pitch_shift``, which blurs attacks and loses loudness.
    """
    ratios = 2 ** (_uniform_of_each(key, audio, semitones, "semitones") / 12)
    highest = 2 ** (semitones[1] / 12)
    return _by_channel(
        partial(_vocoder.transpose, n_fft=_frame(n_fft), highest=highest), audio, ratios
    )


def time_stretch(
    key: Keys, audio: AudioLike, *, rate: Range = (0.8, 1.25), n_fft: int = 2048
) -> Audio:
    """Faster by a factor in the range, its logarithm uniform, at the same pitch.

    By the phase vocoder of `pitch_shift`.
    """
    _check_range(rate, "rate", above=0)
    logarithms = _uniform_of_each(key, audio, (np.log(rate[0]), np.log(rate[1])), "rate")
    return _by_channel(partial(_vocoder.stretch, n_fft=_frame(n_fft)), audio, jnp.exp(logarithms))


@dataclass(frozen=True)
class WaveformAugmentation:
    """Altered copies of clips, made before their features are.

    Every transform named is applied to every clip; its draw does not depend on which others are
    named, nor on the order of the names.

    Parameters
    ----------
    names : of `WAVEFORM_AUGMENTATIONS`.
    snr_db : `add_noise`.
    gain_db : `change_gain`.
    shift : `shift_time`, in clips.
    semitones : `pitch_shift`.
    rate : `time_stretch`.

    Raises
    ------
    ValueError
        For a name that there is not, or none, and a range out of order.
    """

    names: tuple[str, ...] = ("noise", "gain", "shift", "pitch", "stretch", "polarity")
    snr_db: Range = (10.0, 40.0)
    gain_db: Range = (-12.0, 0.0)
    shift: Range = (-0.25, 0.25)
    semitones: Range = (-2.0, 2.0)
    rate: Range = (0.8, 1.25)

    def __post_init__(self) -> None:
        _check_names(self.names, WAVEFORM_AUGMENTATIONS)
        for name in ("snr_db", "gain_db", "shift", "semitones", "rate"):
            _check_range(getattr(self, name), name, above=0 if name == "rate" else -np.inf)

    def __call__(self, seed_or_key: int | Keys, audio: AudioLike, sample_rate: int) -> Audio:
        """One augmented copy of each clip of ``audio`` (n, L, C) at ``sample_rate`` Hz."""
        key = jax.random.key(seed_or_key) if isinstance(seed_or_key, int) else seed_or_key
        return _augmented(key, jnp.asarray(audio), self, sample_rate)


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
        found = AUGMENTATIONS if found == ("all",) else ()
    else:
        _check_names(found, AUGMENTATIONS, ", or 'all' or 'none' alone")
    waveform = tuple(name for name in found if name in WAVEFORM_AUGMENTATIONS)
    features = FeatureAugmentation(
        spec_augment="specaugment" in found, mixup_alpha=0.2 if "mixup" in found else 0.0
    )
    return (
        WaveformAugmentation(waveform) if waveform else None,
        features if len(found) > len(waveform) else None,
    )


def _pitch(key: Keys, audio: Audio, to: WaveformAugmentation, sample_rate: int) -> Audio:
    return pitch_shift(key, audio, semitones=to.semitones, n_fft=_frame_of(sample_rate))


def _stretch(key: Keys, audio: Audio, to: WaveformAugmentation, sample_rate: int) -> Audio:
    return time_stretch(key, audio, rate=to.rate, n_fft=_frame_of(sample_rate))


_WAVEFORM: dict[str, Callable[[Keys, Audio, WaveformAugmentation, int], Audio]] = {
    "pitch": _pitch,
    "stretch": _stretch,
    "shift": lambda key, audio, to, _: shift_time(key, audio, shift=to.shift),
    "polarity": lambda key, audio, to, _: flip_polarity(key, audio),
    "noise": lambda key, audio, to, _: add_noise(key, audio, snr_db=to.snr_db),
    "gain": lambda key, audio, to, _: change_gain(key, audio, gain_db=to.gain_db),
}  # in the order that they apply
WAVEFORM_AUGMENTATIONS: tuple[str, ...] = tuple(_WAVEFORM)
AUGMENTATIONS: tuple[str, ...] = (*WAVEFORM_AUGMENTATIONS, "specaugment", "mixup")


@partial(jax.jit, static_argnames=("to", "sample_rate"))
def _augmented(key: Keys, audio: Audio, to: WaveformAugmentation, sample_rate: int) -> Audio:
    keys = keys_of(key, len(audio))
    for i, (name, transform) in enumerate(_WAVEFORM.items()):
        if name in to.names:
            audio = transform(
                jax.vmap(jax.random.fold_in, (0, None))(keys, i), audio, to, sample_rate
            )
    return audio


def _each(one: Callable[[Array, Array], Array], key: Keys, audio: AudioLike) -> Audio:
    return _within(jax.vmap(one)(keys_of(key, len(audio)), jnp.asarray(audio)))


def _by_channel(one: Callable[[Array, Array], Array], audio: AudioLike, values: Array) -> Audio:
    """``one`` of each channel (n, L) by itself, with the clip's value (n,)."""
    flat = jnp.moveaxis(jnp.asarray(audio), 2, 1).reshape(-1, audio.shape[1])
    done = one(flat, jnp.repeat(values, audio.shape[2]))
    return _within(jnp.moveaxis(done.reshape(len(audio), audio.shape[2], -1), 1, 2))


def _within(audio: Audio) -> Audio:
    """Clips that go beyond full scale turned down to it."""
    return audio / jnp.maximum(1, jnp.abs(audio).max((1, 2), keepdims=True))


def _uniform(key: Array, limits: Range, name: str) -> Float[Array, ""]:
    _check_range(limits, name)
    return jax.random.uniform(key, (), jnp.float32, *limits)


def _uniform_of_each(key: Keys, audio: AudioLike, limits: Range, name: str) -> Float[Array, " n"]:
    return jax.vmap(lambda key: _uniform(key, limits, name))(keys_of(key, len(audio)))


def _frame(n_fft: int) -> int:
    if n_fft < 16 or n_fft % 4:
        raise ValueError(f"n_fft={n_fft}: frames of a multiple of 4 samples, 16 or more, are taken")
    return n_fft


def _frame_of(sample_rate: int) -> int:
    """Samples of the phase vocoder's frame: the power of two nearest to 93 ms."""
    return max(16, 2 ** round(np.log2(_WINDOW_SECONDS * sample_rate)))


def _check_range(limits: Range, name: str, above: float = -np.inf) -> None:
    if len(limits) != 2 or not above < limits[0] <= limits[1] < np.inf:
        positive = " above 0" if above == 0 else ""
        raise ValueError(f"{name}={limits}: a range is (lowest, highest), two numbers{positive}")


def _check_names(names: tuple[str, ...], known: tuple[str, ...], or_else: str = "") -> None:
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=2)
            tip = f"is it {' or '.join(near)}? " if near else ""
            raise ValueError(
                f"no augmentation {name!r}: {tip}name any of {', '.join(known)}{or_else}"
            )
    if not names or len(set(names)) < len(names):
        raise ValueError(
            f"augmentations {', '.join(names) or '(none)'}: name one or more of "
            f"{', '.join(known)}, each once"
        )
