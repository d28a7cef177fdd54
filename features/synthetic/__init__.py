"""Music without a download: tracks of six genres that a program composes, plays and records.

A track draws its tempo, key, mode, chords, kit, players and recording from the style of its genre,
seeded by nothing but the seed, the genre's name and the track's number. The genres share
instruments, tempi and studios, and parts rest for bars on end, so that one second of a track is
often ambiguous.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32
from numpy.random import PCG64, Generator, SeedSequence

from features.saving import save_audio
from features.storage import read_json, write_json
from features.synthetic.genres import STYLES, Style, compose
from features.synthetic.instruments import DRUMS, Player, band_pass, room, shape, strike

GENRES: tuple[str, ...] = tuple(STYLES)
VERSION = 1  # of the sound: another one renders a folder again
MANIFEST = "synthetic.json"
LEAD_IN = 1.5  # seconds before the excerpt begins, of which only the ends of notes are heard
BALANCE = {"bass": 0, "chords": -7, "lead": -2} | dict.fromkeys(DRUMS, 10)  # dB


def synthesize(
    genre: str, track: int, *, seed: int = 0, seconds: float = 10.0, sample_rate: int = 16000
) -> Float32[np.ndarray, "l 1"]:
    """One track of synthetic music.

    Parameters
    ----------
    genre : one of ``GENRES``.
    track : which one, from 0.
    seed : which data set of such tracks.
    seconds : duration.
    sample_rate : in Hz, at least 4000; the notes do not depend on it.

    Returns
    -------
    ndarray, shape ``(round(seconds · sample_rate), 1)``
        In (-1, 1), root mean square -30 to -12 dBFS; the same for the same arguments.

    Raises
    ------
    ValueError
        For another genre, a negative number, or no duration.

    Examples
    --------
    >>> synthesize("waltz", 3, seconds=0.5).shape
    (8000, 1)
    """
    _check(genre, track, seed, seconds, sample_rate)
    style = STYLES[genre]
    score, sound = SeedSequence([seed, track, *genre.encode()]).spawn(2)
    piece, rng = compose(style, Generator(PCG64(score)), seconds), Generator(PCG64(sound))

    players = {part: Player.draw(voice, style.bright, rng) for part, voice in piece.voices.items()}
    drums = {note.part: None for note in piece.notes if note.pitch is None}
    hits = {drum: strike(drum, sample_rate, rng) for drum in drums}
    faders = {part: 10 ** (rng.normal(BALANCE[part], 3) / 20) for part in (*players, *hits)}

    lead_in = round(LEAD_IN * sample_rate)
    mix = np.zeros(lead_in + round(seconds * sample_rate))
    for part, start, length, pitch, level in piece.notes:
        if pitch is None:
            wave = level * hits[part]
        else:
            wave = players[part].play(pitch, length, level, sample_rate, rng)
        at = lead_in + round(start * sample_rate)
        wave = wave[max(-at, 0) : mix.size - at]
        mix[max(at, 0) :][: wave.size] += faders[part] * wave
    return record(mix, style, sample_rate, rng)[lead_in:, None].astype(np.float32)


def _check(genre: str, track: int, seed: int, seconds: float, sample_rate: int) -> None:
    if genre not in STYLES:
        raise ValueError(f"genre: there is no {genre!r}; take one of {', '.join(GENRES)}")
    if min(track, seed) < 0 or not seconds > 0 or sample_rate < 4000:
        raise ValueError(
            f"{genre}.{track:05d}: track {track} and seed {seed} must be at least 0, seconds "
            f"{seconds} more than 0, and sample_rate {sample_rate} at least 4000"
        )


def record(mix: np.ndarray, style: Style, sample_rate: int, rng: Generator) -> np.ndarray:
    """``mix`` ``(L,)`` as a studio leaves it: dynamics, room, tone controls, pressed, noisy."""
    t = np.arange(mix.size) / sample_rate
    swell = np.sin(2 * np.pi * (rng.uniform(0.03, 0.2) * t + rng.uniform()))
    mix = mix * 10 ** (rng.uniform(*style.swell) / 2 * swell / 20)

    echo = room(rng.uniform(*style.echo), sample_rate, rng) * rng.uniform(0.1, 0.7)
    echo[0] += 1
    low, high = 2 ** rng.uniform(np.log2((25, 3000)), np.log2((150, 9000)))
    slope = rng.uniform(-1.5, 1.5)  # dB an octave
    bells = [(2 ** rng.uniform(7, 12.5), rng.uniform(-5, 5)) for _ in range(3)]  # Hz, dB

    def tone(hz: np.ndarray) -> np.ndarray:
        octave = np.log2(np.maximum(hz, 20) / 500)
        gain = slope * octave
        for centre, peak in bells:
            gain = gain + peak * np.exp(-((octave - np.log2(centre / 500)) ** 2))
        reverb = np.fft.rfft(echo, 2 * (hz.size - 1))
        return reverb * 10 ** (gain / 20) * band_pass(hz, low, high)

    mix = shape(mix, tone, sample_rate)
    drive = rng.uniform(*style.drive)
    mix = np.tanh(drive * mix / (mix.std() + 1e-9))
    mix /= mix.std() + 1e-9

    hiss = rng.uniform(-1.2, 0)  # spectral slope of the noise
    noise = shape(rng.normal(size=mix.size), lambda hz: np.maximum(hz, 20) ** hiss, sample_rate)
    mix += noise / noise.std() * 10 ** (rng.uniform(-42, -24) / 20)
    return mix * min(10 ** (rng.uniform(-27, -13) / 20), 0.95 / np.abs(mix).max())


TONES = {"low": 300.0, "high": 1200.0}  # Hz


def render_tones(
    root: str | Path, *, tracks_per_tone: int = 20, seconds: float = 4.0, sample_rate: int = 8000
) -> Path:
    """Write a toy of two classes, each a tone, as ``root/{low,high}/*.wav``; return ``root``.

    Two modes as plain as can be, of which a generator that makes either alone has lost one. The
    tracks of a tone differ in loudness alone.
    """
    root, time = Path(root), np.arange(round(seconds * sample_rate)) / sample_rate
    for i, (name, frequency) in enumerate(TONES.items()):
        loud = Generator(PCG64(SeedSequence([i]))).uniform(0.3, 0.7, tracks_per_tone)
        for track, level in enumerate(loud):
            wave = level * np.sin(2 * np.pi * frequency * time)
            file = root / name / f"{name}.{track:05d}.wav"
            file.parent.mkdir(parents=True, exist_ok=True)
            save_audio(file, wave[:, None].astype(np.float32), sample_rate)
    return root


def render_dataset(
    root: str | Path,
    *,
    tracks_per_genre: int = 24,
    seconds: float = 10.0,
    sample_rate: int = 16000,
    seed: int = 0,
    on_progress: Callable[[int, int, str], object] | None = None,
) -> Path:
    """Render the synthetic data set into ``root/<genre>/<genre>.000NN.wav``, once.

    What is whole is kept, so that a call that was killed goes on where it was. A folder of other
    settings, or of another version of this program, is rendered again.

    Parameters
    ----------
    root : a new or empty folder, or one that this function wrote.
    tracks_per_genre, seconds, sample_rate, seed : see :func:`synthesize`.
    on_progress : called with the tracks done, their total, and the name of the newest.

    Returns
    -------
    Path
        ``root``.

    Raises
    ------
    FileExistsError
        When ``root`` holds something else. Nothing is deleted then.
    """
    root = Path(root)
    if tracks_per_genre < 1:
        raise ValueError(f"tracks_per_genre: {tracks_per_genre} makes no data set; take 1 or more")
    _check(GENRES[0], 0, seed, seconds, sample_rate)
    settings = {
        "what": "synthetic genres of wavegan",
        "version": VERSION,
        "genres": list(GENRES),
        "tracks_per_genre": tracks_per_genre,
        "seconds": seconds,
        "sample_rate": sample_rate,
        "seed": seed,
    }
    paths = _tracks(root, settings)
    _claim(root, settings)
    num_samples = round(seconds * sample_rate)
    missing = [path for path in paths if not _is_whole(path, num_samples, sample_rate)]

    def render(path: Path) -> str:
        genre, track = paths[path]
        audio = synthesize(genre, track, seed=seed, seconds=seconds, sample_rate=sample_rate)
        save_audio(path, audio, sample_rate)
        return path.name

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        renders = [pool.submit(render, path) for path in missing]
        try:
            for done, future in enumerate(as_completed(renders), len(paths) - len(missing) + 1):
                name = future.result()
                if on_progress is not None:
                    on_progress(done, len(paths), name)
        finally:
            pool.shutdown(cancel_futures=True)
    return root


def _tracks(root: Path, settings: Any) -> dict[Path, tuple[str, int]]:
    """Every file of a data set, and the genre and number of its track."""
    numbers = range(settings["tracks_per_genre"])
    return {
        root / genre / f"{genre}.{n:05d}.wav": (genre, n)
        for n in numbers
        for genre in settings["genres"]
    }


def _claim(root: Path, settings: dict[str, Any]) -> None:
    """Make ``root`` the folder of a data set of ``settings``, unless it is something else's."""
    manifest = root / MANIFEST
    found = {path for path in root.rglob("[!.]*") if not path.is_dir()}
    former = None
    if manifest in found:
        with suppress(ValueError):
            former = read_json(manifest, "remove it")
    foreign = found
    if former and former.get("what") == settings["what"]:
        foreign = {path for path in found if not _is_rendered(path, root, former)}
    if foreign or (root.exists() and not root.is_dir()):
        raise FileExistsError(
            f"{root} holds {min(foreign, default=root)}, which is not of a synthetic data set; "
            "name a new or empty folder (nothing was changed)"
        )
    if former != settings:
        for path in found - {manifest}:
            path.unlink()
        write_json(manifest, settings)


def _is_rendered(path: Path, root: Path, settings: dict[str, Any]) -> bool:
    """Whether ``path`` is the manifest, or a track of ``settings``; nothing in these is a path."""
    genre, number = path.parent.name, path.stem.rpartition(".")[2]
    genres, count = settings.get("genres"), settings.get("tracks_per_genre")
    if not (isinstance(genres, list) and isinstance(count, int) and genre in genres):
        return path == root / MANIFEST
    numbered = re.fullmatch("[0-9]{5,9}", number) is not None and int(number) < count
    return numbered and path == root / genre / f"{genre}.{number}.wav"


def _is_whole(path: Path, num_samples: int, sample_rate: int) -> bool:
    import soundfile

    try:
        info = soundfile.info(path)
    except soundfile.LibsndfileError:
        return False
    return (info.frames, info.samplerate, info.channels) == (num_samples, sample_rate, 1)
