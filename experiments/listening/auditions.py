"""The clips of an audition: of generators at some steps, real ones, the nearest, those between."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from experiments.config import AuditionConfig
from experiments.listening.heard import Clip, Heard, Row, known
from experiments.options import near
from experiments.report.terminal import Progress
from experiments.stages.folders import class_folders
from experiments.stages.gans import Gan
from experiments.stages.trained import gans_in
from features import AudioError
from features.audio import described, load_audio
from features.limits import check_memory
from features.storage import readable
from wavegan import Generator, generate, interpolate
from wavegan.export import located
from wavegan.sampling import draw_latents, line
from wavegan.trained_run import TrainedRun, read_run

MOST_SECONDS = 30.0  # of a file that are heard
MOST_STEPS = 6  # of a run's checkpoints that are heard where none are asked for


@dataclass(frozen=True)
class Strip:
    """Sounds between two or more, in order."""

    title: str
    clips: Sequence[Clip]


@dataclass(frozen=True)
class Audition:
    """All that an audition's page is made of.

    Attributes
    ----------
    labels : the classes.
    rows : from the top.
    strips : of what lies between.
    said : what a listener should know of what is not there.
    """

    labels: tuple[str, ...]
    rows: Sequence[Row]
    strips: Sequence[Strip]
    said: Sequence[str]


def gather(config: AuditionConfig, progress: Progress, *, nearest: bool = True) -> Audition:
    """The clips of an audition, made or read.

    Parameters
    ----------
    nearest : look up the training clips that are nearest to generated ones.

    Raises
    ------
    ValueError
        For a path that holds neither GANs nor clips, a class that none has, ``data`` that holds
        nothing of what the GANs heard.
    CheckpointError
        For a step of which no GAN has a checkpoint, or a damaged one.
    """
    sources = [_source(path, config) for path in config.run]
    labels = _labels(sources, config.classes)
    rows, strips, said, heard = list[Row](), list[Strip](), list[str](), dict[Any, Heard]()
    for source in sources:
        if isinstance(source, _Folder):
            rows.append(source.row(labels, config.count, progress))
            continue
        found = known(source.gans, source.path, config, progress)
        if isinstance(found, str):
            said.append(f"{source.name}: {found}")
        elif found.key not in heard:
            heard[found.key] = found
            rows.insert(len(heard) - 1, found.row(labels, config.count))
        beside = None if isinstance(found, str) or not nearest else found
        for turn in source.turns(config.steps, alone=len(sources) == 1):
            row = _generated(source, turn, labels, config, beside, progress)
            rows += [row] if row.clips else []
        strips += _strips(source, labels, config, progress)
    return Audition(labels, rows, strips, said)


# --- what is auditioned --------------------------------------------------------------------------


@dataclass(frozen=True)
class _Turn:
    """GANs at a step each, no class twice: a row."""

    title: str
    note: str
    gans: Sequence[tuple[Gan, int | None]]


@dataclass(frozen=True)
class _Source:
    """The GANs of a run."""

    name: str
    path: Path
    gans: Sequence[Gan]

    @property
    def labels(self) -> list[str]:
        return [label for gan in self.gans for label in gan.labels]

    def sets(self) -> list[list[Gan]]:
        """Its GANs, those of one seed together, so that no class is twice in a set."""
        sets: list[list[Gan]] = []
        for gan in self.gans:
            for found in sets:
                taken = {label for one in found for label in one.labels}
                if found[0].seed == gan.seed and not taken & {*gan.labels}:
                    found.append(gan)
                    break
            else:
                sets.append([gan])
        return sets

    def turns(self, steps: Sequence[str] | None, *, alone: bool) -> Iterator[_Turn]:
        """A row for each set of GANs and each step that is asked for."""
        sets = self.sets()
        for number, gans in enumerate(sets, 1):
            title = self.name + (f", GAN {number}" if len(sets) > 1 else "")
            trained = [None if gan.folder.is_file() else read_run(gan.folder) for gan in gans]
            usual = _several(trained) if alone and len(sets) == 1 else ["best"]
            for step in usual if steps is None else _asked(steps, trained):
                at = [
                    (gan, found)
                    for gan, run in zip(gans, trained, strict=True)
                    if (found := _step(run, step)) is not None or run is None
                ]
                if at:
                    yield _Turn(title, _told(step, at, trained), at)
                elif step.isdecimal():  # which says which steps there are
                    gans[0].generator(int(step))


@dataclass(frozen=True)
class _Folder:
    """Clips of any generator, a folder a class."""

    name: str
    files: Mapping[str, Sequence[Path]]

    @property
    def labels(self) -> list[str]:
        return list(self.files)

    def row(self, labels: Sequence[str], count: int, progress: Progress) -> Row:
        clips = {}
        wanted = [label for label in labels if label in self.files]
        for done, label in enumerate(wanted, 1):
            files = self.files[label][:count]
            clips[label] = [
                _read(f"{self.name}, {label}, {readable(file.name)}", label, file) for file in files
            ]
            progress.update(f"reading {self.name}", done, len(wanted), label, "row")
        return Row(self.name, "files", "generated", clips)


def _read(name: str, label: str, file: Path) -> Clip:
    """The beginning of a file; one that can't be read says why."""
    source = described(file)
    channels = min(2, source.channels) if source else 1
    try:
        audio, rate = load_audio(file, channels=channels, duration=MOST_SECONDS)
    except AudioError as error:
        return Clip(name, label, None, 0, note=error.reason)
    return Clip(name, label, audio, rate)


def _source(path: Path, config: AuditionConfig) -> _Source | _Folder:
    """GANs, or class folders with clips."""
    of_gans = not path.is_dir() or any(
        (path / name).exists() for name in ("config.json", "gans.json", "checkpoints")
    )
    if not of_gans and (files := class_folders(path)):
        return _Folder(readable(path.resolve().name), files)
    gans = gans_in(path)
    for gan in gans:
        if gan.provenance.get("sample_rate") is None and config.sample_rate is None:
            gan.about(None)  # which says what to give
    name = path.stem if located(path).is_file() else path.resolve().name
    return _Source(readable(name), path, gans)


def _labels(sources: Sequence[_Source | _Folder], classes: Sequence[str] | None) -> tuple[str, ...]:
    """The classes, in order, of all sources; a ValueError where none has one that is asked for."""
    there = list(dict.fromkeys(label for source in sources for label in source.labels))
    if classes is None:
        return tuple(there)
    if unknown := [name for name in classes if name not in there]:
        raise ValueError(
            f"--classes: there is no {', '.join(unknown)}{near(unknown[0], there)}; the classes "
            f"are {', '.join(there)}"
        )
    return tuple(classes)


def _kept(trained: Sequence[TrainedRun | None]) -> list[int]:
    """The steps of which GANs have checkpoints, ascending."""
    return sorted({step for run in trained if run for step in run.checkpoints})


def _several(trained: Sequence[TrainedRun | None]) -> list[str]:
    """All steps or, of many, the first, some between, the best ones and the last."""
    if not (kept := _kept(trained)):
        return ["best"]
    some = {kept[i] for i in np.rint(np.linspace(0, len(kept) - 1, MOST_STEPS)).astype(int)}
    best = {run.choice for run in trained if run and run.choice is not None}
    return [str(step) for step in sorted(some | best)]


def _asked(steps: Sequence[str], trained: Sequence[TrainedRun | None]) -> list[str]:
    """The steps in order, "all" as the numbers that it stands for."""
    kept, found = _kept(trained), list[str]()
    for step in steps:
        found += map(str, kept) if step == "all" and kept else [step]
    return list(dict.fromkeys("best" if step == "all" else step for step in found))


def _step(run: TrainedRun | None, step: str) -> int | None:
    """The checkpoint of a GAN that a step is; None where it has none, or is a file."""
    if run is None:
        return None
    if step in ("best", "newest"):
        return run.choice if step == "best" else max(run.checkpoints, default=None)
    return int(step) if int(step) in run.checkpoints else None


def _told(
    step: str, at: Sequence[tuple[Gan, int | None]], trained: Sequence[TrainedRun | None]
) -> str:
    """A step in words."""
    steps = sorted({found for _, found in at if found is not None})
    if not steps:
        return "an exported generator"
    best = {run.best for run in trained if run and run.best is not None}
    shown = f"step {steps[0]:,}" + (f" to {steps[-1]:,}" if len(steps) > 1 else "")
    return f"{shown}, best" if best and (step == "best" or best == {*steps}) else shown


def makers(config: AuditionConfig) -> list[Maker]:
    """The GANs of the runs at their best, or newest, step: the first that makes each class."""
    sources = [
        source for path in config.run if isinstance(source := _source(path, config), _Source)
    ]
    return [Maker.of(gan, gan.choice, source.name, config)
            for source in sources for gan in source.sets()[0]]  # fmt: skip


# --- what generators make ------------------------------------------------------------------------


@dataclass(frozen=True)
class Maker:
    """A GAN at a step, as it makes clips for a page.

    Attributes
    ----------
    generator : its averaged one.
    run : the name of its run.
    step : None where it is not known.
    sample_rate : Hz.
    """

    gan: Gan
    generator: Generator
    run: str
    step: int | None
    sample_rate: int

    @classmethod
    def of(cls, gan: Gan, step: int | None, run: str, config: AuditionConfig) -> Maker:
        generator, step = gan.generator(step)
        return cls(gan, generator, run, step, gan.about(step, config.sample_rate)["sample_rate"])

    def latents(self, count: int, seed: int, truncation: float = 1.0) -> np.ndarray:
        """The first latents (count, latent_dim) of a seed."""
        some = draw_latents(seed, count, self.generator.config.latent_dim)
        return np.asarray(truncation * some, np.float32)

    def clips(self, label: str, latents: np.ndarray, names: Sequence[str]) -> list[Clip]:
        """A clip of each latent."""
        values = self.generator.config.num_samples * self.generator.config.channels
        check_memory(12 * len(latents) * values, f"{len(latents):,} clips", "ask for fewer")
        index = self.gan.labels.index(label) if self.gan.conditional else None
        audio = generate(self.generator, latents=latents, label=index).audio
        made = {"generator": self.gan.key, "run": self.run, "step": self.step, "class": index}
        return [
            Clip(name, label, sound, self.sample_rate, {**made, "latent": latent})
            for name, sound, latent in zip(names, audio, latents, strict=True)
        ]

    def mixes(self, labels: Sequence[str], config: AuditionConfig) -> Iterator[Strip]:
        """The first latent, from each class to the next."""
        (latent,) = self.latents(1, config.seed, config.truncation)
        shares = np.linspace(0, 100, config.between)
        for one, other in pairwise(labels):
            first, last = map(self.gan.labels.index, (one, other))
            audio = interpolate(
                self.generator, latent, latent, steps=config.between, label0=first, label1=last
            )
            names = [f"{self.run}, {100 - x:.0f} % {one}, {x:.0f} % {other}" for x in shares]
            clips = [Clip(name, one, sound, self.sample_rate)
                     for name, sound in zip(names, audio, strict=True)]  # fmt: skip
            yield Strip(f"{self.run}: clip 1 from {one} to {other}", clips)


def _generated(
    source: _Source,
    turn: _Turn,
    labels: Sequence[str],
    config: AuditionConfig,
    heard: Heard | None,
    progress: Progress,
) -> Row:
    """The row of a turn, each clip with its nearest training window where that is known."""
    clips = dict[str, list[Clip]]()
    for gan, step in turn.gans:
        if not (wanted := [label for label in gan.labels if label in labels]):
            continue
        maker = Maker.of(gan, step, source.name, config)
        latents = maker.latents(config.count, config.seed, config.truncation)
        at = turn.title + (f" step {maker.step:,}" if maker.step is not None else "")
        for label in wanted:
            names = [f"{at}, {label}, clip {i + 1}" for i in range(config.count)]
            clips[label] = maker.clips(label, latents, names)
            progress.update(f"generating {at}", len(clips), len(labels), label, "row")
    if heard is not None:
        progress.say_once(f"looking for the nearest training clips for {source.name}")
        clips = {label: heard.beside(found) for label, found in clips.items()}
    ordered = {label: clips[label] for label in labels if label in clips}
    return Row(turn.title, turn.note, "generated", ordered)


def _strips(
    source: _Source, labels: Sequence[str], config: AuditionConfig, progress: Progress
) -> list[Strip]:
    """From one latent to the next in each class and, of a conditional GAN, from class to class."""
    strips, mixes, count = list[Strip](), list[Strip](), config.between
    gans = source.sets()[0] if count else []
    wanted = [(gan, [label for label in gan.labels if label in labels]) for gan in gans]
    for gan, own in wanted:
        if not own:
            continue
        maker = Maker.of(gan, gan.choice, source.name, config)
        first, second = maker.latents(2, config.seed, config.truncation)
        for label in own:
            names = [f"{source.name}, {label}, {i + 1} of {count} between clips 1 and 2"
                     for i in range(count)]  # fmt: skip
            clips = maker.clips(label, line(first, second, count), names)
            strips.append(Strip(f"{source.name}, {label}: from clip 1 to clip 2", clips))
            total = sum(len(names) for _, names in wanted)
            progress.update(f"between sounds of {source.name}", len(strips), total, label, "row")
        if gan.conditional:
            mixes += maker.mixes(own, config)
    return strips + mixes
