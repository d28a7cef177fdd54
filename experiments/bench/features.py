"""Speed of the features against librosa on the same cores: of arrays, and of files."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np

from experiments.bench import Job, timed
from features.spectra import log_mel, mfcc

_RATE, _CLIPS = 22050, 64


def cases(*, repeats: int = 7, hardware: str = "") -> list[dict[str, Any]]:
    """Time MFCC (20) and log-mel (128) at n_fft 2048, hop 512: 64 clips of a second, then files.

    Parameters
    ----------
    repeats : timings of each; ours and the peers' alternate, so that a busy machine slows
        them alike, and the medians count.
    hardware : copied into the rows.

    Returns
    -------
    One row a case and peer: ``case``, ``peer``, ``ours_seconds``, ``peer_seconds`` (for all
    clips), ``ratio`` (peer over ours) and ``hardware``.
    """
    import librosa

    from experiments.bench._feature_files import file_cases

    noise = 0.1 * np.random.default_rng(0).standard_normal((_CLIPS, _RATE))
    clips = noise.astype(np.float32)

    def librosa_mfcc(y: np.ndarray) -> np.ndarray:
        return librosa.feature.mfcc(y=y, sr=_RATE, n_mfcc=20)

    def librosa_log_mel(y: np.ndarray) -> np.ndarray:
        return librosa.power_to_db(librosa.feature.melspectrogram(y=y, sr=_RATE))

    rows = []
    for name, ours, theirs in (("mfcc", mfcc, librosa_mfcc), ("log_mel", log_mel, librosa_log_mel)):
        jobs: dict[str, Job] = {
            "ours": partial(_run, ours, clips),
            "librosa, clip by clip": partial(_each, theirs, clips),
            "librosa, batch": partial(theirs, clips),
        }
        rows += timed(f"{name}, {_CLIPS} x 1 s", jobs, repeats, hardware)
    return rows + file_cases(repeats=repeats, hardware=hardware)


def _run(ours: Callable[..., jax.Array], clips: np.ndarray) -> None:
    ours(clips, sample_rate=_RATE).block_until_ready()


def _each(theirs: Callable[[np.ndarray], np.ndarray], clips: np.ndarray) -> None:
    for clip in clips:
        theirs(clip)
