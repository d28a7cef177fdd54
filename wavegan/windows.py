"""Random windows of recordings, drawn on the device."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray


@runtime_checkable
class Recordings(Protocol):
    """Audio one recording at a time: an array (N, L, C), a list of (L_i, C), lazily read clips."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


class Windows:
    """All windows of ``num_samples`` samples in a set of recordings, each equally likely.

    The recordings lie one after another on the device (int16 stays int16), so that drawing a
    batch is a gather there and not a transfer.

    Parameters
    ----------
    audio : clips (N, L, C), or a sequence of recordings (L_i, C) of any lengths; float in
        [-1, 1] or int16.
    num_samples, channels : of a window.

    Raises
    ------
    ValueError
        Where a recording is shorter than a window, has other channels, another type of
        number, or is not finite.
    """

    def __init__(self, audio: Recordings, *, num_samples: int, channels: int):
        if len(audio) == 0:
            raise ValueError("there is no audio to train on: found 0 recordings")
        recordings = [np.asarray(audio[i]) for i in range(len(audio))]
        for i, recording in enumerate(recordings):
            if recording.ndim != 2 or recording.shape[1] != channels:
                raise ValueError(
                    f"recording {i} must be (samples, {channels}), found {recording.shape}: "
                    "audio is (N, L, C), channel last"
                )
            if len(recording) < num_samples:
                raise ValueError(
                    f"recording {i} has {len(recording)} samples, a clip needs {num_samples}: "
                    "leave it out, or choose a smaller num_samples"
                )
            if recording.dtype != np.int16 and recording.dtype.kind != "f":
                raise ValueError(
                    f"recording {i} holds {recording.dtype}: give int16, or float in [-1, 1]"
                )
            if not np.isfinite(recording).all():
                raise ValueError(f"recording {i} holds NaN or Inf: leave it out or repair it")
        if not all(recording.dtype == np.int16 for recording in recordings):
            recordings = [_as_float(recording) for recording in recordings]
        lengths = np.array([len(recording) for recording in recordings])
        if lengths.sum() >= 2**31:
            raise ValueError(
                f"{lengths.sum()} samples are more than one GAN can index (2³¹): train one GAN a "
                "genre, or leave recordings out"
            )
        self.num_samples = num_samples
        self._tape = jnp.asarray(np.concatenate(recordings))
        # Window w of all belongs to the first recording whose count, summed up, exceeds w.
        counts = lengths - num_samples + 1
        self._ends = jnp.asarray(np.cumsum(counts), jnp.int32)
        self._skipped = jnp.asarray(np.arange(len(counts)) * (num_samples - 1), jnp.int32)

    def digest(self) -> str:
        """A hash of the recordings' samples and lengths."""
        digest = hashlib.blake2b(np.asarray(self._ends).tobytes(), digest_size=16)
        digest.update(np.asarray(self._tape).tobytes())
        return digest.hexdigest()

    def draw(self, key: PRNGKeyArray, shape: tuple[int, ...]) -> Float[Array, "..."]:
        """Windows (*shape, num_samples, C), float32 in [-1, 1], independently and uniformly."""
        return _draw(self._tape, self._ends, self._skipped, key, shape, self.num_samples)


@partial(jax.jit, static_argnums=(4, 5))
def _draw(tape, ends, skipped, key, shape, num_samples):
    window = jax.random.randint(key, (int(np.prod(shape)),), 0, ends[-1])
    start = window + skipped[jnp.searchsorted(ends, window, side="right")]
    cut = jax.vmap(lambda s: jax.lax.dynamic_slice_in_dim(tape, s, num_samples))
    audio = cut(start).reshape(*shape, num_samples, tape.shape[1])
    return audio.astype(jnp.float32) / 32768 if tape.dtype == jnp.int16 else audio


def _as_float(recording: np.ndarray) -> np.ndarray:
    if recording.dtype == np.int16:
        return recording.astype(np.float32) / 32768
    return recording.astype(np.float32, copy=False)
