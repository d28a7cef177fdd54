"""Clips of any other generator, in class folders, with what it was trained on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from experiments.recipes import Recipe
from experiments.report.terminal import Progress
from experiments.stages.gans import Gan, provenance_of
from features import LeakError, Recording
from features.audio import audio_info, load_audio, to_pcm
from features.excerpt_search import LEAST_SECONDS, excerpts
from features.formats import is_readable, readable_suffixes
from features.generated import MANIFESTS
from features.limits import check_memory
from features.storage import read_json, readable, understanding

PROVENANCE = "provenance.json"  # {"tracks": {name: hash of the file}, …}, as a GAN's


@dataclass(frozen=True)
class FolderClips:
    """Generated clips of each class.

    Attributes
    ----------
    name : of their source, see `experiments.SOURCES`.
    folder : that holds a folder for each class.
    files : of each class, sorted.
    gans : what made them, as far as it is told: one for all, or one a class.
    sample_rate, num_samples, channels : Hz and shape that all clips get.
    """

    name: str
    folder: Path
    files: dict[str, tuple[Path, ...]]
    gans: tuple[Gan, ...]
    sample_rate: int
    num_samples: int
    channels: int

    def audio(self, label: str, count: int) -> np.ndarray:
        """The first clips of a class (count, L, C), int16 as real clips are.

        Those of another sample rate are resampled, longer ones are cut, shorter ones filled up
        with zeros. Fewer than ``count`` of them are a ValueError.
        """
        files = self.files[label]
        if len(files) < count:
            share = np.floor(100 * len(files) / count) / 100
            raise ValueError(
                f"--arm {self.name}={self.folder}: {len(files)} clips of {label}, and {count} are "
                f"asked for: add some, or take fewer for each real clip, as real+{self.name}@"
                f"{share:g} does"
            )
        shape = count, self.num_samples, self.channels
        check_memory(2 * int(np.prod(shape)), f"{count:,} clips", "ask for fewer of them")
        clips = np.zeros(shape, np.int16)
        for clip, file in zip(clips, files, strict=False):
            audio, _ = load_audio(file, sample_rate=self.sample_rate, channels=self.channels)
            audio = audio[: self.num_samples]
            clip[: len(audio)] = to_pcm(np.clip(audio, -1, 1))
        return clips

    def refuse_excerpts(self, held_out: Sequence[Recording], progress: Progress) -> None:
        """Raise LeakError where clips are pieces of recordings that are held out, naming them."""
        if self.num_samples < self.sample_rate * LEAST_SECONDS:
            progress.say(
                f"clips of {self.name} are shorter than {LEAST_SECONDS} s: whether they are pieces "
                "of held-out tracks can't be told"
            )
            return
        found = {
            files[i]: track
            for label, files in self.files.items()
            for i, track in excerpts(
                self.audio(label, len(files)), held_out, self.sample_rate
            ).items()
        }
        if found:
            told = [f"{file} of {track}" for file, track in found.items()]
            more = f" and {len(told) - 5} more" if len(told) > 5 else ""
            raise LeakError(
                f"--arm {self.name}={self.folder}: clips are pieces of validation or test tracks "
                f"({', '.join(told[:5])}{more}): leave such clips out, or split so that these "
                "tracks train"
            )

    def say(self, progress: Progress) -> None:
        """Say what becomes of clips that do not fit."""
        from soundfile import SoundFileError

        found: Counter[str] = Counter()
        for file in (file for files in self.files.values() for file in files):
            try:
                about = audio_info(file)
            except SoundFileError:  # one that libsndfile does not know, or that `audio` refuses
                continue
            wanted = round(self.num_samples * about.samplerate / self.sample_rate)
            found[f"resampled from {about.samplerate} Hz"] += about.samplerate != self.sample_rate
            found["cut to a clip's length"] += about.frames > wanted + 1
            found["filled up with zeros"] += about.frames < wanted - 1
        if told := [f"{count} {what}" for what, count in found.items() if count]:
            progress.say(f"clips of {self.name}: {', '.join(told)}")


def open_folder(said: str, labels: Sequence[str], recipe: Recipe, num_samples: int) -> FolderClips:
    """The clips of ``NAME=FOLDER``; a ValueError where a class has none, or what is told is wrong.

    What made them is told by `PROVENANCE` in the folder, or by the manifests that `wavegan
    generate` writes into the class folders.
    """
    name, _, place = said.partition("=")
    folder = Path(place)
    if not folder.is_dir():
        raise ValueError(f"--arm {said}: no such folder; give one that holds a folder per class")
    files = {label: _audio(folder / label) for label in labels}
    if lost := [label for label, found in files.items() if not found]:
        there = sorted(path.name for path in folder.glob("[!.]*/"))
        raise ValueError(
            f"--arm {said}: no audio ({', '.join(readable_suffixes())}) of {', '.join(lost)}; a "
            "folder per class is needed, named as in the data, and there is "
            f"{', '.join(there) or 'none'}"
        )
    gans = _told(name, folder, labels)
    channels = recipe.gan.channels
    return FolderClips(name, folder, files, gans, recipe.sample_rate, num_samples, channels)


def class_folders(folder: Path) -> dict[str, tuple[Path, ...]]:
    """The audio files of each folder in ``folder`` that holds any, by its name, sorted."""
    below = (path for path in sorted(folder.iterdir()) if path.name[0] != "." and path.is_dir())
    found = {readable(path.name): _audio(path) for path in below}
    return {label: files for label, files in found.items() if files}


def _told(name: str, folder: Path, labels: Sequence[str]) -> tuple[Gan, ...]:
    """What made the clips: of all by one file, else class by class."""
    if (file := folder / PROVENANCE).exists():
        found: Any = read_json(file, "write it again")
        with understanding(file, "write it again"):
            return (Gan(folder, provenance_of(file, {**found, "label": name}, 0, name)),)
    gans = []
    for label in labels:
        file = folder / label / MANIFESTS[0]
        found = read_json(file, "generate the clips again") if file.exists() else {}
        with understanding(file, "generate the clips again"):
            said = {**found.get("provenance", {}), "label": label}
            said.pop("labels", None)
            gans.append(Gan(file.parent, provenance_of(file, said, 0, label)))
    return tuple(gans)


def _audio(folder: Path) -> tuple[Path, ...]:
    found = (path for path in folder.iterdir() if path.name[0] != "." and is_readable(path))
    return tuple(sorted(path for path in found if path.is_file()))
