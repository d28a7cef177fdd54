"""The synthetic genres as a table of styles, and the composer that writes tracks in them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.random import Generator

MODES = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
    "phrygian": (0, 1, 3, 5, 7, 8, 10),
    "lydian": (0, 2, 4, 6, 7, 9, 11),
}
REGISTERS = {"bass": 40, "chords": 60, "lead": 72}  # MIDI number in the middle
LEVELS = {"X": 1.0, "o": 0.35}  # any other symbol: 0.7
MISSED = 0.06  # share of the notes that nobody plays
GRACE = 0.07  # seconds of a grace note

Range = tuple[float | int, float | int]


@dataclass(frozen=True)
class Part:
    """What one pitched part plays.

    A pattern is one bar, split evenly: ``.`` goes on (a rest, or the last note), ``x`` the chord,
    a digit that tone of the chord (``8`` is the octave), ``w`` a step from the next root, ``*``
    the next note of the melody.
    """

    patterns: str
    voices: str
    gate: Range  # share of the time to the next note for which it sounds
    presence: float | int  # chance that it plays in two given bars


@dataclass(frozen=True)
class Style:
    """What the tracks of a genre draw from. Ranges are uniform; words are equally likely."""

    beats: int  # a bar
    tempo: Range  # beats a minute
    swing: Range  # where in a beat its second half begins
    modes: str
    progressions: str  # the degree of each bar's chord
    sevenths: float  # chance of four-note chords
    kits: tuple[str, ...]  # "drum:pattern …", X loud, x normal, o soft
    drums: float  # chance that they play in two given bars
    bass: Part
    chords: Part
    lead: Part
    register: int  # semitones above the usual
    bright: Range  # of the instruments, 0 to 1
    swell: Range  # dB, of the slow dynamics
    drive: Range  # how hard the mix is pressed
    echo: Range  # seconds


STYLES: dict[str, Style] = {
    "ballad": Style(
        beats=4,
        tempo=(60, 96),
        swing=(0.5, 0.58),
        modes="major minor dorian",
        progressions="1645 1564 6415 1345 2516",
        sevenths=0.4,
        kits=(
            "kick:x.....x.x....... rim:....x.......x... hat:x.o.x.o.x.o.x.o.",
            "kick:x.......x.x..... rim:....x.......x... ride:x...x...x...x...",
            "shaker:o.x.o.x.o.x.o.x. tom:x...............",
            "brush:o...x...o...x...",
        ),
        drums=0.5,
        bass=Part("1... 1..5 1.....5. 1...1.53", "keys pluck keys strings", (0.8, 1), 0.7),
        chords=Part("13585358 1.5.8.5. 1538 x.x.", "pluck pluck piano keys", (0.8, 1.2), 1),
        lead=Part("*...*.*. *..*.... *.****.. *.......", "flute flute strings reed", (0.8, 1), 0.5),
        register=0,
        bright=(0.2, 0.6),
        swell=(2, 9),
        drive=(0.05, 0.2),
        echo=(0.5, 2),
    ),
    "drone": Style(
        beats=8,
        tempo=(56, 110),
        swing=(0.5, 0.5),
        modes="minor phrygian lydian dorian",
        progressions="1 12 17 11 16",
        sevenths=0.5,
        kits=(
            "tom:x...............",
            "shaker:o.x.o.x.o.x.o.x.",
            "kick:x.......o....... brush:..x...o...x...o.",
            "ride:x.......x.......",
        ),
        drums=0.3,
        bass=Part("1 1... 1.....5. 1111", "strings organ organ synth", (0.9, 1.1), 0.9),
        chords=Part("x x x... 1.5.8.5.", "strings strings organ bell", (0.9, 1.3), 0.9),
        lead=Part("*....*.. *...*...*.**.... *.......", "bell flute reed pluck", (0.7, 1.1), 0.5),
        register=-5,
        bright=(0.1, 0.6),
        swell=(3, 12),
        drive=(0.05, 0.5),
        echo=(1, 2.5),
    ),
    "march": Style(
        beats=4,
        tempo=(92, 132),
        swing=(0.5, 0.55),
        modes="major major minor mixolydian",
        progressions="1145 1414 1545 1625 1155",
        sevenths=0.15,
        kits=(
            "snare:X.xoX.xoX.xoXoxo kick:x...x...x...x...",
            "snare:x..xx.x.x..xxxxx tom:x.......x.......",
            "snare:o.x.o.x.o.x.o.xx kick:x...x...x...x... open:x...............",
            "kick:x.......x....... snare:x.xxx.x.x.xxx.x.",
        ),
        drums=0.85,
        bass=Part("1.5.1.5. 1.5. 1.1.5.5. 1.3.5.3.", "brass brass reed organ", (0.4, 0.8), 0.85),
        chords=Part(".x.x.x.x ..x...x. x.xxx.xx", "brass brass organ reed", (0.3, 0.9), 0.75),
        lead=Part(
            "*.***.** *...*.** **.***.* *.*.*...", "brass flute flute bell", (0.5, 0.95), 0.7
        ),
        register=2,
        bright=(0.4, 0.95),
        swell=(0, 7),
        drive=(0.05, 0.3),
        echo=(0.2, 1.2),
    ),
    "swing": Style(
        beats=4,
        tempo=(104, 190),
        swing=(0.58, 0.68),
        modes="major dorian mixolydian minor",
        progressions="2511 1625 1141 2514 1451",
        sevenths=0.9,
        kits=(
            "ride:x.xxx.xx hat:..x...x.",
            "brush:x.x.x.x. kick:o...o... ride:x.xxx.xx",
            "ride:x.x.x.xx snare:...o...x kick:x...x...",
            "hat:o.xoo.xo rim:......x.",
        ),
        drums=0.85,
        bass=Part("1w5w 135w 1853 1.5w", "pluck pluck pluck keys", (0.7, 0.95), 0.9),
        chords=Part(
            "...x..x. x..x.... .x..x..x ..x...x.", "piano piano keys organ", (0.3, 0.8), 0.8
        ),
        lead=Part("*.***.*. ..**.*.* ******.. *..*.**.", "reed reed brass piano", (0.6, 1), 0.7),
        register=-2,
        bright=(0.2, 0.7),
        swell=(0, 6),
        drive=(0.05, 0.25),
        echo=(0.2, 0.9),
    ),
    "techno": Style(
        beats=4,
        tempo=(108, 142),
        swing=(0.5, 0.56),
        modes="minor phrygian dorian",
        progressions="1 1167 16 1113",
        sevenths=0.3,
        kits=(
            "kick:X...X...X...X... hat:..x...x...x...x. clap:....x.......x...",
            "kick:X...X...X...X... open:..x...x...x...x. hat:xoxoxoxoxoxoxoxo",
            "kick:X...X...X..xX... rim:..x..x..x..x..x. shaker:o.x.o.x.o.x.o.x.",
            "kick:X.....X...X..... clap:....X.......X... hat:x.x.x.x.x.x.x.x.",
        ),
        drums=0.85,
        bass=Part(
            ".1.1.1.1 .111.111.111.115 1..1..1. 1", "synth synth keys organ", (0.4, 0.9), 0.8
        ),
        chords=Part(
            "..x..x..x.x..x.. 1358538153851358 x ..x.", "synth synth organ keys", (0.3, 1), 0.7
        ),
        lead=Part("*..*..*.*..*..*. *...*.*. **.*.**.", "synth synth bell keys", (0.3, 0.9), 0.5),
        register=-2,
        bright=(0.3, 1),
        swell=(0, 8),
        drive=(0.2, 1),
        echo=(0.2, 1.2),
    ),
    "waltz": Style(
        beats=3,
        tempo=(88, 168),
        swing=(0.5, 0.6),
        modes="major minor",
        progressions="1155 1451 1625 14251145",
        sevenths=0.3,
        kits=(
            "kick:x..... brush:..o.o.",
            "kick:x..... hat:..x.x.",
            "tom:x..... brush:..x.x.",
            "tom:x..... rim:..x.x.",
        ),
        drums=0.3,
        bass=Part("1.. 1 1.5 8..", "strings strings reed pluck", (0.5, 1), 0.85),
        chords=Part(".xx .xx ..x.x. 135853", "strings reed reed piano", (0.3, 0.9), 0.9),
        lead=Part("*.**.. *...*. *..... ******", "strings strings flute reed", (0.7, 1), 0.85),
        register=4,
        bright=(0.3, 0.8),
        swell=(1, 8),
        drive=(0.05, 0.25),
        echo=(0.4, 1.8),
    ),
}


class Note(NamedTuple):
    """``part`` (bass, chords, lead or a drum) sounds from ``start`` for ``length`` seconds."""

    part: str
    start: float
    length: float
    pitch: int | None  # MIDI number; a drum has none
    level: float  # 0 to 1


@dataclass(frozen=True)
class Piece:
    """A composed track."""

    tempo: float  # beats a minute
    tonic: int  # pitch class, 0 is C
    mode: str
    voices: dict[str, str]  # the instrument of each pitched part
    notes: tuple[Note, ...]


def compose(style: Style, rng: Generator, seconds: float) -> Piece:
    """Write ``seconds`` of a piece in ``style``, from the middle of a bar on, as an excerpt has it.

    Everything that a track keeps is drawn here first: tempo, key, instruments, the pattern of each
    part, chords, melody, swing and skill. Then the parts play bar by bar, and rest now and then.
    """
    parts = {name: getattr(style, name) for name in REGISTERS}
    voices = {name: _word(part.voices, rng) for name, part in parts.items()}
    patterns = dict(drum.split(":") for drum in rng.choice(style.kits).split())
    patterns |= {name: _word(part.patterns, rng) for name, part in parts.items()}
    gates = {name: rng.uniform(*part.gate) for name, part in parts.items()}
    progression = [int(degree) - 1 for degree in _word(style.progressions, rng)]
    mode = _word(style.modes, rng)
    harmony = Harmony.draw(MODES[mode], style.sevenths, rng)
    tempo, swing = rng.uniform(*style.tempo), rng.uniform(*style.swing)
    sloppy, ornate = rng.uniform(0, 0.014), rng.uniform(0, 0.25)  # seconds; share of grace notes
    beat = 60 / tempo
    bar = style.beats * beat
    begin = rng.uniform(0, bar)

    notes: list[Note] = []
    playing: set[str] = set()
    for number in range(int(np.ceil((seconds + begin) / bar))):
        if number % 2 == 0:
            playing = {name for name, part in parts.items() if rng.uniform() < part.presence}
            playing |= set() if playing else {"chords"}
            playing |= set(patterns) - set(parts) if rng.uniform() < style.drums else set()
        chord = progression[number % len(progression)]
        coming = progression[(number + 1) % len(progression)]
        for name in (name for name in patterns if name in playing):
            for at, until, symbol in _symbols(patterns[name]):
                start = bar * number + beat * _swung(at * style.beats, swing) - begin
                start += rng.normal(0, sloppy)
                if start >= seconds or rng.uniform() < MISSED:
                    continue
                level = float(np.clip(LEVELS.get(symbol, 0.7) + rng.normal(0, 0.08), 0.15, 1))
                if name not in parts:
                    notes.append(Note(name, start, 0.0, None, level))
                    continue
                length = gates[name] * (until - at) * bar
                register = REGISTERS[name] + style.register
                place = at + number % 2  # the melody is two bars long
                pitches = harmony.pitches(symbol, register, chord, coming, place, rng)
                if name == "lead" and rng.uniform() < ornate:
                    grace = harmony.above(pitches[0])
                    notes.append(Note(name, start - GRACE, GRACE, grace, level / 2))
                notes += [Note(name, start, length, pitch, level) for pitch in pitches]
    return Piece(tempo, harmony.tonic, mode, voices, tuple(notes))


@dataclass(frozen=True)
class Harmony:
    """Key, chord tones and melody of a track: what turns a pattern's symbol into pitches."""

    tonic: int  # pitch class, 0 is C
    scale: tuple[int, ...]  # semitones above the tonic
    tones: tuple[int, ...]  # of a chord, in steps of the scale
    melody: tuple[int, ...]  # 32 steps of the scale above the chord's root, over two bars

    @classmethod
    def draw(cls, scale: tuple[int, ...], sevenths: float, rng: Generator) -> Harmony:
        melody = np.clip(np.cumsum(rng.integers(-2, 3, size=32)), -4, 8)
        melody[::4] -= melody[::4] % 2  # chord tones on the beat
        tones = (0, 2, 4, 6) if rng.uniform() < sevenths else (0, 2, 4)
        return cls(int(rng.integers(12)), scale, tones, tuple(melody.tolist()))

    def pitches(
        self,
        symbol: str,
        register: int,
        chord: int,
        coming: int,
        place: float | int,
        rng: Generator,
    ) -> list[int]:
        """MIDI numbers of ``symbol`` over a ``chord``, at ``place`` (in bars) of the melody."""
        if symbol == "x":  # every tone near the register: an inversion that moves little
            return [self._near(register, chord + tone) for tone in self.tones]
        if symbol == "w":
            return [self._near(register, coming) + int(rng.choice((-2, -1, 1, 2)))]
        step = self.melody[int(16 * place)] if symbol == "*" else int(symbol) - 1
        rise = self._semitones(chord + step) - self._semitones(chord)
        return [self._near(register, chord) + rise]

    def above(self, pitch: int) -> int:
        """The next note of the scale above ``pitch``."""
        return next(p for p in range(pitch + 1, pitch + 4) if (p - self.tonic) % 12 in self.scale)

    def _near(self, register: int, step: int) -> int:
        return register + (self.tonic + self._semitones(step) - register + 6) % 12 - 6

    def _semitones(self, step: int) -> int:
        return self.scale[step % 7] + 12 * (step // 7)


def _word(words: str, rng: Generator) -> str:
    return str(rng.choice(words.split()))


def _symbols(pattern: str) -> Iterator[tuple[float, float, str]]:
    """Begin and end (shares of the bar) and symbol of everything in a pattern."""
    begins = [i for i, symbol in enumerate(pattern) if symbol != "."]
    for begin, end in zip(begins, [*begins[1:], len(pattern)], strict=True):
        yield begin / len(pattern), end / len(pattern), pattern[begin]


def _swung(beats: float, swing: float) -> float:
    """Where ``beats`` falls when the second half of a beat begins at ``swing`` of it."""
    whole, part = divmod(beats, 1)
    return whole + (2 * part * swing if part < 0.5 else swing + (2 * part - 1) * (1 - swing))
