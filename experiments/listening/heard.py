"""Clips to hear, and beside them what their generators heard: real clips, the nearest ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from experiments.config import AuditionConfig, DataConfig
from experiments.report.terminal import Progress
from experiments.run import Run
from experiments.stages.data import open_dataset
from experiments.stages.gans import Gan
from features import Recording
from features.storage import understanding
from wavegan.embedding import embed
from wavegan.lookup import Lookup, drawn
from wavegan.train_config import DATA
from wavegan.trained_run import read_run

WINDOWS = 2048  # training windows in which clips are looked up, at most


@dataclass(frozen=True)
class Near:
    """The training window that is nearest to a clip; see `wavegan.lookup.Neighbours`."""

    clip: Clip
    distance: float
    nearer: float | None
    copied: bool


@dataclass(frozen=True)
class Clip:
    """A clip to hear.

    Attributes
    ----------
    name : to tell it by.
    label : its class.
    audio : (L, C); None where it can't be read.
    sample_rate : Hz.
    made : of a generated one what makes it again: ``generator``, ``run``, ``step``, ``class`` and
        ``latent``.
    nearest : of a generated one, where its training recordings are known.
    note : why it can't be read.
    """

    name: str
    label: str
    audio: np.ndarray | None
    sample_rate: int
    made: Mapping[str, Any] = field(default_factory=dict)
    nearest: Near | None = None
    note: str = ""


@dataclass(frozen=True)
class Row:
    """Clips of one source.

    Attributes
    ----------
    title, note : what it is.
    kind : "real" or "generated".
    clips : of each class; a class without any is not there.
    """

    title: str
    note: str
    kind: str
    clips: Mapping[str, Sequence[Clip]]


@dataclass(frozen=True)
class Heard:
    """The recordings that GANs were trained on.

    Attributes
    ----------
    recordings : sorted.
    shape : (num_samples, channels) of a clip.
    windows : what `Windows` was told in training.
    """

    recordings: Sequence[Recording]
    shape: tuple[int, int]
    windows: Mapping[str, Any]

    @cached_property
    def key(self) -> tuple:
        """What tells the recordings, and the clips cut of them, from others."""
        return (self.shape, self.sample_rate, *sorted(r.digest for r in self.recordings))

    @cached_property
    def lookup(self) -> Lookup:
        """Windows of them."""
        of = self.recordings, self.shape, self.sample_rate
        return Lookup(drawn(*of, WINDOWS, 0, self.windows))

    @property
    def sample_rate(self) -> int:
        return self.recordings[0].sample_rate

    def row(self, labels: Sequence[str], count: int) -> Row:
        """The middles of some of the recordings."""
        clips = dict[str, list[Clip]]()
        for recording in self.recordings:
            label = recording.track.label
            if label in labels and len(clips.setdefault(label, [])) < count:
                middle = max(0, recording.num_samples - self.shape[0]) // 2
                clips[label].append(self.window(recording, middle))
        ordered = {label: clips[label] for label in labels if label in clips}
        return Row("Real clips", "the middles of training tracks", "real", ordered)

    def window(self, recording: Recording, start: int) -> Clip:
        """A window as a clip, filled up with zeros where it goes beyond the recording."""
        sound = recording.read(start, min(start + self.shape[0], recording.num_samples))
        audio = np.zeros((self.shape[0], recording.channels), np.float32)
        audio[: len(sound)] = sound / 2**15
        track, at = recording.track, start / recording.sample_rate
        name = f"{track.track_id} from {at:.2f} s"
        return Clip(name, track.label, audio, recording.sample_rate)

    def beside(self, clips: Sequence[Clip]) -> list[Clip]:
        """Clips, each with the training window that is nearest to it."""
        audio = np.stack([clip.audio for clip in clips if clip.audio is not None])
        found = self.lookup.look_up(embed(audio, sample_rate=self.sample_rate))
        told = found.nearer.tolist() or [None] * len(clips)
        copies = found.copied.tolist() or [False] * len(clips)
        places = self.lookup.drawn.recording[found.index], self.lookup.drawn.start[found.index]
        windows = [
            self.window(self.recordings[i], start)
            for i, start in zip(*(p.tolist() for p in places), strict=True)
        ]
        parts = zip(clips, windows, found.distance.tolist(), told, copies, strict=True)
        return [replace(clip, nearest=Near(*rest)) for clip, *rest in parts]


def known(
    gans: Sequence[Gan], path: Path, config: AuditionConfig, progress: Progress
) -> Heard | str:
    """What the GANs in ``path`` heard, or why that is not known.

    Where ``config.data`` can't be used, or holds nothing of it, it is a ValueError.
    """
    digests = {digest for gan in gans for digest in gan.heard}
    if not digests:
        return "nothing says which recordings it heard, so that there are no nearest ones"
    of = DataConfig(config.data, pad_short=True) if config.data else _data_of(path)
    if of is None:
        return "give --data, the folder of the recordings that it heard, for the nearest ones"
    generator, _ = gans[0].generator(gans[0].choice)
    shape = generator.config.num_samples, generator.config.channels
    rate = gans[0].about(None, config.sample_rate)["sample_rate"]
    try:
        dataset = open_dataset(of, sample_rate=rate, channels=shape[1], progress=progress)
    except (ValueError, OSError) as error:
        if config.data:
            raise
        return f"the recordings that it heard are not there ({error}); --data says where they are"
    found = [r for r in dataset.recordings if r.digest in digests]
    if not found:
        told = f"{len(digests)} recordings that {path.name} heard"
        if config.data:
            raise ValueError(f"--data {config.data} holds none of the {told}: give their folder")
        return f"the data hold none of the {told}; --data says where they are"
    trained = None if gans[0].folder.is_file() else read_run(gans[0].folder).config["train"]
    settings = {name: trained[name] for name in DATA if name in trained} if trained else {}
    if trained is None and any(r.num_samples < shape[0] for r in found):
        settings["pad_end"] = True  # else it could not have been trained on them
    return Heard(found, shape, settings)


def _data_of(path: Path) -> DataConfig | None:
    """The data of a run, as its ``config.json`` says it; None where nothing does."""
    folder = next((p for p in (path, path.parent.parent) if (p / "config.json").exists()), None)
    if folder is None or not path.is_dir():
        return None
    data = Run(folder).read_json("config.json").get("data")
    if not isinstance(data, dict) or "root" not in data:
        return None
    with understanding(folder / "config.json", "restore it from a copy"):
        root, classes = data["root"], data.get("classes")
        return DataConfig(root, tuple(classes) if classes else None, pad_short=True)
