"""How loud audio is, and what makes several clips equally loud (ITU-R BS.1770-4, by pyloudnorm)."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

from features.limits import check_rate

TARGET = -23.0  # LUFS, the level of EBU R 128
PEAK = -1.0  # dB of full scale that no sample is to pass
_BLOCK = 0.4  # seconds of a gating block
_LEAST_RATE = 16_000  # Hz, below which the standard's filters are far from their form, or unstable


def loudness(audio: Float[np.ndarray, "..."], *, sample_rate: int) -> float:
    """Integrated loudness of audio (L, C) or (L,) in LUFS, that of a silent one -inf.

    Audio shorter than a gating block of 0.4 s is one block. The standard knows up to 5 channels;
    of more the mean is measured, as of one. A full-scale sine of 997 Hz in one channel has -3.01.

    Raises
    ------
    ValueError
        For no samples, NaN or Inf, or a sample rate outside 1 kHz … 768 kHz.
    """
    import soxr
    from pyloudnorm import Meter

    check_rate(sample_rate)
    sound = np.asarray(audio, np.float64)
    sound = sound[:, None] if sound.ndim == 1 else sound
    if not sound.size or not np.isfinite(sound).all():
        raise ValueError(f"give finite samples, found {sound.shape} with NaN or Inf, or none")
    if sound.shape[1] > 5:
        sound = sound.mean(1, keepdims=True)
    if sample_rate < _LEAST_RATE:
        sound, sample_rate = soxr.resample(sound, sample_rate, 48_000), 48_000
    # Less by a rounding: the meter refuses a sound that its block, in samples again, goes beyond.
    whole = math.nextafter(len(sound) / sample_rate, 0)
    meter = Meter(sample_rate, block_size=min(_BLOCK, whole))
    return float(meter.integrated_loudness(sound))


def matching_gain(
    audio: Float[np.ndarray, "..."], *, sample_rate: int, target: float = TARGET
) -> float:
    """The gain in dB with which audio is as loud as ``target`` LUFS; 0 of a silent one.

    It is less where the loudest sample would pass -1 dB of full scale. Parameters and errors are
    those of `loudness`.
    """
    found, peak = loudness(audio, sample_rate=sample_rate), float(np.abs(audio).max())
    if not math.isfinite(found) or not peak:
        return 0.0
    return min(target - found, PEAK - 20 * math.log10(peak))
