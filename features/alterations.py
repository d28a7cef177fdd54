"""How others' recordings differ from those that a classifier heard: level, band and noise.

Not augmentation: each alteration is one, of one strength, and of a clip always comes to the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from features.augmentation import WaveformAugmentation

Alteration = Callable[[Any, Any, int], Array]  # keys (n,), audio (n, L, C), sample rate: audio


@dataclass(frozen=True)
class LowPass:
    """What is below a cutoff, as a telephone or a small loudspeaker leaves it.

    A windowed sinc (Hamming) without delay; half as much as there was is left at the cutoff.

    Parameters
    ----------
    cutoff : a share of the Nyquist frequency, that is of half the sample rate.
    taps : of the filter, an odd number: the fall takes about 6.6 / ``taps`` of the band.

    Raises
    ------
    ValueError
        A cutoff that is not between 0 and 1, or an even number of taps.
    """

    cutoff: float = 0.25
    taps: int = 255

    def __post_init__(self) -> None:
        if not 0 < self.cutoff < 1:
            raise ValueError(f"cutoff is a share of the band between 0 and 1, not {self.cutoff}")
        if self.taps < 3 or self.taps % 2 == 0:
            raise ValueError(f"taps is an odd number of 3 or more, not {self.taps}")

    def __call__(
        self, key: Any, audio: Float[Array | np.ndarray, "n length c"], sample_rate: int
    ) -> Float[Array, "n length c"]:
        """Audio of the same shape; nothing is drawn, and the rate makes no difference."""
        places = np.arange(self.taps) - self.taps // 2
        kernel = np.sinc(self.cutoff * places) * np.hamming(self.taps)
        return _filtered(jnp.asarray(audio), np.float32(kernel / kernel.sum()))


@jax.jit
def _filtered(audio: Array, kernel: Array) -> Array:
    """Each channel convolved with ``kernel`` (taps,), as long as it was."""
    length, taps = audio.shape[1], kernel.shape[0]
    size = 2 ** int(np.ceil(np.log2(length + taps)))
    spectrum = jnp.fft.rfft(audio, size, axis=1)
    response = jnp.fft.rfft(kernel, size)[None, :, None]
    return jnp.fft.irfft(spectrum * response, size, axis=1)[:, taps // 2 : taps // 2 + length]


ALTERATIONS: Mapping[str, Alteration] = MappingProxyType(
    {
        "20 dB quieter": WaveformAugmentation(("gain",), gain_db=(-20.0, -20.0)),
        "low-pass at a quarter of the band": LowPass(0.25),
        "white noise 20 dB below": WaveformAugmentation(("noise",), snr_db=(20.0, 20.0)),
    }
)
