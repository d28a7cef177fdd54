"""Blind listening tests: trials of sounds whose files tell nothing, and the key to them."""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from experiments.config import AuditionConfig, ListenConfig
from experiments.config.listening import HEARD
from experiments.listening.auditions import gather
from experiments.listening.heard import Clip, Row
from experiments.report.terminal import Progress
from features.loudness import PEAK, TARGET, loudness

FORMAT, VERSION = "wavegan listening test", 1
REAL = "real"
SCALE = {"1": "bad", "2": "poor", "3": "fair", "4": "good", "5": "excellent"}  # ITU-T P.800
BEEPS = ("1", "2", "3", "4")  # answers of a check: how many there are
_QUIETEST = -40.0  # LUFS, that one clip with a high peak may make of all


@dataclass(frozen=True)
class Sound:
    """A sound of a test.

    Attributes
    ----------
    number : random, by which the page knows it.
    audio : (L, C), as long, as loud and of as many channels as all others.
    source, label, name : what it is, for the key alone.
    """

    number: str
    audio: np.ndarray
    source: str
    label: str
    name: str


@dataclass(frozen=True)
class Trial:
    """A question about one sound or two.

    Attributes
    ----------
    number : random.
    question : that is asked.
    sounds : in the order that they are offered.
    choices : what may be answered, and what is shown of it; of two sounds their numbers.
    right : the answer that is right, of a check; None where that is what is asked.
    """

    number: str
    question: str
    sounds: Sequence[Sound]
    choices: Mapping[str, str]
    right: str | None = None


@dataclass(frozen=True)
class BlindTest:
    """A test.

    Attributes
    ----------
    number : random, which its answers have, too.
    kind : of `experiments.config.listening.TESTS`.
    labels : the classes.
    sources : "real" where real clips are among them, and the generators.
    sample_rate : Hz of all sounds.
    trials : the checks among them.
    """

    number: str
    kind: str
    labels: tuple[str, ...]
    sources: tuple[str, ...]
    sample_rate: int
    trials: Sequence[Trial]

    def key(self) -> dict[str, Any]:
        """What each sound is: for whoever analyses the answers, not for those who listen."""
        trials = [
            {
                "trial": trial.number,
                "choices": list(trial.choices),
                "right": trial.right,
                "sounds": [
                    {"sound": s.number, "source": s.source, "label": s.label, "name": s.name}
                    for s in trial.sounds
                ],
            }
            for trial in self.trials
        ]
        about = {"format": FORMAT, "version": VERSION, "test": self.number, "kind": self.kind}
        return {**about, "labels": list(self.labels), "sources": list(self.sources),
                "trials": trials}  # fmt: skip


def blind_test(config: ListenConfig, progress: Progress) -> BlindTest:
    """A test of a listener's ears; a ValueError where clips are missing that it needs."""
    rows, labels = _rows(config, progress)
    rng = np.random.default_rng(config.seed)
    clips = [(title, c) for title, row in rows.items() for c in _spread(row, labels, config.count)]
    alike, rate = _alike([clip for _, clip in clips])
    sounds: dict[str, list[Sound]] = {title: [] for title in rows}
    for (title, clip), audio in zip(clips, alike, strict=True):
        sounds[title].append(_numbered(Sound("", audio, title, clip.label, clip.name)))
    if config.test == "ab":
        trials = _pairs(sounds, rng)
    else:
        trials = [_single(config.test, one, labels) for found in sounds.values() for one in found]
    level = float(
        np.median([loudness(s.audio, sample_rate=rate) for t in trials for s in t.sounds])
    )
    shape = trials[0].sounds[0].audio.shape
    trials += [_check(shape, rate, level, rng) for _ in range(config.checks)]
    order = rng.permutation(len(trials))
    return BlindTest(
        secrets.token_hex(6), config.test, labels, tuple(sounds), rate, [trials[i] for i in order]
    )


def _rows(config: ListenConfig, progress: Progress) -> tuple[dict[str, Row], tuple[str, ...]]:
    """The rows of an audition that the test is of, by what they are called in its key."""
    single = len(config.run) == 1
    same = {name: getattr(config, name) for name in HEARD}
    asked = AuditionConfig(**same, steps=("best",), between=0)
    found = gather(asked, progress, nearest=False)
    for line in found.said:
        progress.say(line)
    real = [row for row in found.rows if row.kind == "real"]
    made = {row.title: row for row in found.rows if row.kind != "real"}
    if len(made) < sum(row.kind != "real" for row in found.rows):
        raise ValueError("two of the generators have the same name: give folders of other names")
    wants_real = config.test != "ab" or single
    if wants_real and not real and (config.test == "ab" or config.data):
        told = "; ".join(found.said) or "a folder of clips has none beside it"
        raise ValueError(f"there are no real clips to hear beside the generated ones: {told}")
    if config.test == "ab" and not single:
        real = []
    rows = ({REAL: real[0]} if real else {}) | made
    labels = found.labels
    if config.test == "ab":  # two sounds that are compared are of one class
        labels = tuple(x for x in labels if all(row.clips.get(x) for row in rows.values()))
    if not labels or (len(rows) < 2 and config.test == "ab"):
        told = "; ".join(f"{name} has {', '.join(row.clips)}" for name, row in rows.items())
        raise ValueError(f"--test ab compares two sources of the same classes: {told}")
    return rows, labels


def _spread(row: Row, labels: Sequence[str], count: int) -> list[Clip]:
    """The first clips of each class in turn, ``count`` in all; with fewer a ValueError."""
    columns = [[c for c in row.clips.get(x, ()) if c.audio is not None] for x in labels]
    turns = max(map(len, columns), default=0)
    found = [column[i] for i in range(turns) for column in columns if i < len(column)]
    if len(found) < count:
        raise ValueError(
            f"--count {count}: there are {len(found)} clips of {row.title} that can be heard: ask "
            "for fewer, or give more"
        )
    return found[:count]


def _alike(clips: Sequence[Clip]) -> tuple[list[np.ndarray], int]:
    """Clips of one length, rate, number of channels and loudness, so that none of it tells them."""
    import soxr

    rate = max(clip.sample_rate for clip in clips)
    sounds = [_sound(clip) for clip in clips]
    channels = min(sound.shape[1] for sound in sounds)
    sounds = [x if x.shape[1] == channels else x.mean(1, keepdims=True) for x in sounds]
    sounds = [
        x if clip.sample_rate == rate else soxr.resample(x, clip.sample_rate, rate)
        for clip, x in zip(clips, sounds, strict=True)
    ]
    length = min(map(len, sounds))
    sounds = [sound[:length] for sound in sounds]
    levels = [loudness(sound, sample_rate=rate) for sound in sounds]
    for clip, level in zip(clips, levels, strict=True):
        if not math.isfinite(level):
            raise ValueError(f"{clip.name} is silent: leave it out, or choose another --seed")
    room = [
        level + PEAK - 20 * math.log10(float(np.abs(sound).max()))
        for sound, level in zip(sounds, levels, strict=True)
    ]
    target = max(min(TARGET, *room), _QUIETEST)
    gains = [10 ** ((target - level) / 20) for level in levels]
    alike = [np.clip(x * gain, -1, 1) for x, gain in zip(sounds, gains, strict=True)]
    return [sound.astype(np.float32) for sound in alike], rate


def _sound(clip: Clip) -> np.ndarray:
    """The audio (L, 1 or 2) of a clip that can be heard."""
    audio = np.asarray(clip.audio, np.float32)
    audio = audio if audio.shape[1] <= 2 else audio.mean(1, keepdims=True)
    return np.clip(np.where(np.isfinite(audio), audio, 0), -1, 1)


def _numbered(sound: Sound) -> Sound:
    """A sound under a number of its own."""
    return replace(sound, number=secrets.token_hex(6))


def _pairs(sounds: Mapping[str, Sequence[Sound]], rng: np.random.Generator) -> list[Trial]:
    """Real against generated; without real clips each generator against each other one."""
    names = list(sounds)
    question = "Which of the two is a recording?"
    pairs = [(REAL, name) for name in names[1:]]
    if REAL not in sounds:
        question = "Which of the two sounds better?"
        pairs = [(one, other) for i, one in enumerate(names) for other in names[i + 1 :]]
    trials = []
    for one, other in pairs:
        for both in zip(sounds[one], sounds[other], strict=True):
            order = [both[i] for i in rng.permutation(2)]
            # A sound that is in several pairs has a number of its own in each.
            offered = [_numbered(sound) for sound in order]
            choices = {sound.number: text for sound, text in zip(offered, "AB", strict=True)}
            trials.append(Trial(secrets.token_hex(6), question, offered, choices))
    return trials


def _single(kind: str, sound: Sound, labels: Sequence[str]) -> Trial:
    if kind == "mos":
        return Trial(secrets.token_hex(6), "How good is this sound?", [sound], SCALE)
    choices = {label: label for label in labels}
    return Trial(secrets.token_hex(6), "Which class is this?", [sound], choices)


def _check(
    shape: tuple[int, ...], sample_rate: int, level: float, rng: np.random.Generator
) -> Trial:
    """Some beeps, which are to be counted."""
    right = BEEPS[rng.integers(len(BEEPS))]
    time = np.arange(shape[0]) / shape[0] * len(BEEPS)  # a beep in each part, or none
    within, part = time % 1, time.astype(int)
    seconds = np.arange(shape[0]) / sample_rate
    envelope = np.sin(np.pi * np.clip((within - 0.2) / 0.5, 0, 1)) ** 2 * (part < int(right))
    tone = np.sin(2 * np.pi * min(880, sample_rate / 5) * seconds) * envelope
    audio = np.repeat(tone[:, None], shape[1], axis=1).astype(np.float32)
    gain = min(level - loudness(audio, sample_rate=sample_rate), PEAK)
    sound = Sound(secrets.token_hex(6), audio * 10 ** (gain / 20), "check", "", f"{right} beeps")
    choices = {number: number for number in BEEPS}
    return Trial(secrets.token_hex(6), "How many beeps are there?", [sound], choices, right)
