"""Speed of the features against librosa on the same cores: of arrays, and of files.

From files to features on disk librosa works in processes, as many as there are cores.
"""

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

_RATE, _CLIPS = 22050, 64
_TRACKS, _SECONDS = 40, 15


def cases(*, repeats: int = 7, hardware: str = "") -> list[Row]:
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
    noise = 0.1 * np.random.default_rng(0).standard_normal((_CLIPS, _RATE))
    clips = noise.astype(np.float32)
    rows = []
    for name, ours in (("mfcc", mfcc), ("log_mel", log_mel)):
        theirs = _of_librosa(name)
        jobs: dict[str, Job] = {
            "ours": partial(_run, ours, clips),
            "librosa, clip by clip": partial(_each, theirs, clips),
            "librosa, batch": partial(theirs, clips),
        }
        rows += timed(f"{name}, {_CLIPS} x 1 s", jobs, repeats, hardware)
    return rows + file_cases(repeats=repeats, hardware=hardware)


def _run(ours: Callable[..., Array], clips: np.ndarray) -> None:
    ours(clips, sample_rate=_RATE).block_until_ready()


def _each(theirs: Callable[[np.ndarray], np.ndarray], clips: np.ndarray) -> None:
    for clip in clips:
        theirs(clip)


def _of_librosa(what: str) -> Callable[[np.ndarray], np.ndarray]:
    """The feature of that name, of librosa."""
    import librosa

    if what == "mfcc":
        return lambda y: librosa.feature.mfcc(y=y, sr=_RATE)
    return lambda y: librosa.power_to_db(librosa.feature.melspectrogram(y=y, sr=_RATE))


# --- files ---------------------------------------------------------------------------------------


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
    repeats, hardware : as in `cases`.
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
    make, starts = _of_librosa(what), range(0, len(audio) - _RATE + 1, _RATE)
    features = [make(audio[start : start + _RATE]) for start in starts]
    np.save(out / f"{path.stem}.npy", np.stack(features))
