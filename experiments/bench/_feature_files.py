"""From audio files to features on disk, against librosa in processes on the same cores."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from unittest.mock import patch

import numpy as np
from jax import Array

from experiments.bench import Job, Row, timed
from features.clips import load_clips
from features.dataset import scan_tracks
from features.feature_cache import extract
from features.rows import Rows
from features.saving import save_audio
from features.spectra import log_mel, mfcc

_RATE = 22050
_TRACKS, _SECONDS = 40, 15


@dataclass(frozen=True)
class _Mfcc:
    def __call__(self, audio: np.ndarray, sample_rate: int) -> Array:
        return mfcc(audio[..., 0], sample_rate=sample_rate)


@dataclass(frozen=True)
class _LogMel:
    def __call__(self, audio: np.ndarray, sample_rate: int) -> Array:
        return log_mel(audio[..., 0], sample_rate=sample_rate)


def file_cases(*, repeats: int = 7, hardware: str = "") -> list[Row]:
    """Time tracks of 15 s, half flac and half wav, to features of their clips of 1 s on disk.

    Ours decodes into its cache, cuts, computes and writes, from an empty cache folder. The peer
    loads each track with librosa, computes its features clip by clip and saves them with numpy,
    in as many processes as there are cores, started and warmed beforehand.

    Parameters
    ----------
    repeats, hardware : as in `cases` of `experiments.bench.features`.
    """
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tracks = _write_tracks(folder / "tracks")
        for what, make in (("mfcc", _Mfcc()), ("log_mel", _LogMel())):
            with _pool() as pool:
                jobs: dict[str, Job] = {"ours": partial(_ours, folder, make)}
                peer = f"librosa, {os.cpu_count()} processes"
                jobs[peer] = partial(_theirs, folder, tracks, what, pool)
                case = f"{_TRACKS} files x {_SECONDS} s to cached {what}"
                rows += timed(case, jobs, repeats, hardware)
    return rows


def _write_tracks(root: Path) -> list[Path]:
    """Decaying partials and noise, of two classes."""
    rng = np.random.default_rng(0)
    time = np.arange(_SECONDS * _RATE) / _RATE
    paths = []
    for i in range(_TRACKS):
        tones = sum(np.sin(2 * np.pi * f * time) for f in rng.uniform(80, 3000, 4))
        audio = 0.2 * tones * np.exp(-4 * (time % 0.5)) + 0.02 * rng.standard_normal(len(time))
        paths.append(root / "ab"[i % 2] / f"{i:02}{('.flac', '.wav')[i // 2 % 2]}")
        save_audio(paths[-1], audio.clip(-0.99, 0.99), _RATE)
    return paths


def _ours(folder: Path, make: Callable[[np.ndarray, int], Array]) -> Rows:
    cache = folder / "cache"
    shutil.rmtree(cache, ignore_errors=True)
    tracks = scan_tracks(folder / "tracks")
    clips = load_clips(tracks, sample_rate=_RATE, num_samples=_RATE, cache_dir=cache)
    return extract(clips, make, cache_dir=cache)


@contextmanager
def _pool() -> Iterator[multiprocessing.pool.Pool]:
    """Processes of one thread each, so that they don't crowd each other out."""
    one = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}
    with patch.dict(os.environ, one):
        pool = multiprocessing.get_context("spawn").Pool(os.cpu_count())
    with pool:
        yield pool


def _theirs(folder: Path, tracks: list[Path], what: str, pool: multiprocessing.pool.Pool) -> None:
    out = folder / "librosa"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    pool.map(partial(_librosa, out=out, what=what), tracks, chunksize=1)


def _librosa(path: Path, *, out: Path, what: str) -> None:
    import librosa

    audio, _ = librosa.load(path, sr=_RATE)
    features = []
    for start in range(0, len(audio) - _RATE + 1, _RATE):
        y = audio[start : start + _RATE]
        if what == "mfcc":
            features.append(librosa.feature.mfcc(y=y, sr=_RATE))
        else:
            features.append(librosa.power_to_db(librosa.feature.melspectrogram(y=y, sr=_RATE)))
    np.save(out / f"{path.stem}.npy", np.stack(features))
