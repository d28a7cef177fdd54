"""The band behind the synthetic genres: pitched voices, drums, and the room they are recorded in.

A pitched note is a *scanned wavetable*: a voice says how loud each harmonic is at each moment, an
inverse FFT turns every moment into one period, and the note reads through these periods in time and
phase. A plucked string (its harmonics die out, the high ones first, as in Karplus and Strong,
Computer Music Journal 7(2), 1983), an organ, brass or FM are then a line each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy import exp, pi, sin
from numpy.random import Generator

PERIOD = 1024  # samples in one period of a wavetable
MOMENTS = 16  # periods that one note moves through
MAX_HARMONICS = 96
HEADROOM = 0.45  # highest frequency made, as a share of the sample rate

# (harmonic number (1, H), seconds (T, 1), brightness 0..1, colour 0..1) -> amplitudes (T, H)
Harmonics = Callable[[np.ndarray, np.ndarray, float, float], np.ndarray]


@dataclass(frozen=True)
class Voice:
    """A pitched instrument: its harmonics in time, and how its notes begin, waver and end."""

    harmonics: Harmonics
    attack: float  # seconds
    release: float  # seconds
    vibrato: float = 0.0  # semitones
    unison: int = 1  # players
    breath: float = 0.0  # noise, as a share of the tone
    cycles: int = 1  # of the note's pitch in one period of the table, so that FM can be inharmonic


def _pluck(h, t, bright, colour):
    return (
        abs(sin(pi * h * (0.1 + 0.35 * colour))) / h * exp(-t * (0.7 + h**1.3 / (1 + 5 * bright)))
    )


def _piano(h, t, bright, colour):
    two_stage = 0.7 * exp(-t * (2 + colour) * h**0.6) + 0.3 * exp(-0.6 * t * h**0.3)
    return h ** (bright - 1.9) * two_stage


def _organ(h, t, bright, colour):
    drawbars = np.isin(h, (1, 2, 3, 4, 6, 8, 12)) * (0.6 + 0.4 * np.cos(9 * colour * h))
    return drawbars * h ** (bright - 1) + 0 * t


def _strings(h, t, bright, colour):
    return h ** (0.8 * bright - 1.7) * (1 + 0.5 * np.cos(h * (1 + 2 * colour))) + 0 * t


def _brass(h, t, bright, colour):
    return h**-0.5 * exp(-h / (1 + (2 + 8 * bright) * (1 - exp(-t * (6 + 20 * colour)))))


def _reed(h, t, bright, colour):
    return (h % 2 + 0.6 * colour * (1 - h % 2)) * h ** (0.7 * bright - 1.4) + 0 * t


def _flute(h, t, bright, colour):
    return (0.1 + 0.35 * bright) ** (h - 1) * (1 + colour * (h == 2)) + 0 * t


def _synth(h, t, bright, colour):
    cutoff = 1 + 2 * colour + 18 * bright * exp(-t * (1 + 7 * colour))
    return 1 / h / (1 + (h / cutoff) ** 4)


def _fm(carrier: int, modulator: int, index: float) -> Harmonics:
    def harmonics(h, t, bright, colour):
        phase = 2 * pi * np.arange(PERIOD) / PERIOD
        depth = index * (0.3 + bright) * exp(-t * (1.5 + 4 * colour))
        wave = sin(carrier * phase + depth * sin(modulator * phase)) * exp(-t * (0.5 + colour))
        return np.fft.rfft(wave)[:, 1 : h.size + 1] * 2j / PERIOD

    return harmonics


VOICES = {
    "pluck": Voice(_pluck, attack=0.002, release=0.08),
    "piano": Voice(_piano, attack=0.004, release=0.12),
    "organ": Voice(_organ, attack=0.012, release=0.05, vibrato=0.06),
    "strings": Voice(_strings, attack=0.12, release=0.25, vibrato=0.15, unison=3),
    "brass": Voice(_brass, attack=0.03, release=0.07, vibrato=0.05),
    "reed": Voice(_reed, attack=0.03, release=0.06, vibrato=0.15, breath=0.03),
    "flute": Voice(_flute, attack=0.05, release=0.08, vibrato=0.2, breath=0.12),
    "synth": Voice(_synth, attack=0.005, release=0.06, unison=2),
    "keys": Voice(_fm(1, 1, 2.0), attack=0.003, release=0.1),
    "bell": Voice(_fm(2, 7, 1.5), attack=0.002, release=0.3, cycles=2),
}


@dataclass(frozen=True)
class Player:
    """One voice as one track has it: how bright, which colour and body, how well in tune."""

    voice: Voice
    bright: float
    colour: float
    body: tuple[float, float]  # centre (Hz) and gain (dB) of a resonance
    detune: float  # semitones off, and between the players of a unison
    waver: float  # Hz, of the vibrato

    @classmethod
    def draw(cls, name: str, bright: tuple[float | int, float | int], rng: Generator) -> Player:
        """Someone who plays the voice ``name``, with a brightness in the range ``bright``."""
        body = (float(rng.uniform(300, 2500)), float(rng.uniform(-6, 12)))
        colour, detune, waver = rng.uniform(), rng.normal(0, 0.08), rng.uniform(4.2, 6.5)
        return cls(VOICES[name], rng.uniform(*bright), colour, body, detune, waver)

    def play(
        self, pitch: int, length: float, level: float, sample_rate: int, rng: Generator
    ) -> np.ndarray:
        """One note, ``(length + release) · sample_rate`` samples.

        Parameters
        ----------
        pitch : MIDI number; 69 is 440 Hz.
        length : seconds until the release begins.
        level : loudness, 0 to 1; louder is also brighter.
        """
        voice = self.voice
        hz = 440 * 2 ** ((pitch - 69) / 12) / voice.cycles
        end = length + voice.release
        t = np.arange(int(end * sample_rate)) / sample_rate
        tables = self._tables(hz, end, level, sample_rate)
        wave = np.zeros_like(t)
        for player in range(voice.unison):
            cents = self.detune * (1 + player - voice.unison)
            sway = voice.vibrato * np.log(2) / 12 * (1 - np.cos(2 * pi * self.waver * t))
            seconds = t + sway / (2 * pi * self.waver)  # the integral of the wavering pitch
            phase = hz * 2 ** ((self.detune / 4 + cents) / 12) * seconds + rng.uniform()
            wave += _scan(tables, MOMENTS * np.sqrt(t / end), phase)
        if voice.breath:
            wave += voice.breath * np.abs(wave).max(initial=0) * rng.normal(size=t.size)
        return level * wave * _ramp(t / voice.attack) * _ramp((end - t) / voice.release)

    def _tables(self, hz: float, end: float, level: float, sample_rate: int) -> np.ndarray:
        """Single periods ``(MOMENTS + 1, PERIOD)``, denser in time where the note begins."""
        count = int(np.clip(HEADROOM * sample_rate / hz, 1, MAX_HARMONICS))
        h = np.arange(1.0, count + 1)[None]
        t = end * (np.arange(MOMENTS + 1)[:, None] / MOMENTS) ** 2
        amplitudes = self.voice.harmonics(h, t, self.bright * (0.4 + 0.6 * level), self.colour)
        centre, gain = self.body
        amplitudes = amplitudes * 10 ** (gain / 20 * exp(-(np.log2(h * hz / centre) ** 2)))
        power = np.sqrt((np.abs(amplitudes) ** 2).sum(-1).max()) * self.voice.unison**0.5
        spectrum = np.zeros((MOMENTS + 1, PERIOD // 2 + 1), complex)
        spectrum[:, 1 : count + 1] = -0.5j * PERIOD * amplitudes / power
        return np.fft.irfft(spectrum)


def _scan(tables: np.ndarray, moment: np.ndarray, phase: np.ndarray) -> np.ndarray:
    """Read ``tables`` at fractional rows and (cyclic) columns, linearly between the entries."""
    row = np.minimum(moment.astype(int), MOMENTS - 1)
    place = phase % 1 * PERIOD
    column = place.astype(int)
    down, right = moment - row, place - column
    flat, here, there = tables.ravel(), row * PERIOD + column % PERIOD, (column + 1) % PERIOD
    there = there + row * PERIOD
    now = flat[here] + right * (flat[there] - flat[here])
    next_ = flat[here + PERIOD] + right * (flat[there + PERIOD] - flat[here + PERIOD])
    return now + down * (next_ - now)


def _ramp(x: np.ndarray) -> np.ndarray:
    """0 to 1 as ``x`` goes from 0 to 1, with flat ends, so that no note clicks."""
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


@dataclass(frozen=True)
class Drum:
    """A tone that falls in pitch, and a burst of noise in a band."""

    tone: int  # Hz, where the tone ends
    bend: float  # how many times higher it begins, less one
    ring: float  # seconds, decay of the tone
    band: tuple[int, int]  # Hz, of the noise
    hiss: float  # level of the noise against the tone's 1
    fade: float  # seconds, decay of the noise
    attack: float = 0.001  # seconds


DRUMS = {
    "kick": Drum(48, 3.0, 0.16, (900, 4000), 0.15, 0.01),
    "tom": Drum(95, 0.6, 0.22, (300, 2000), 0.1, 0.03),
    "snare": Drum(185, 0.4, 0.08, (900, 7000), 0.8, 0.11),
    "clap": Drum(900, 0.0, 0.01, (800, 3500), 3.0, 0.12, attack=0.012),
    "rim": Drum(1650, 0.1, 0.018, (1500, 5000), 0.4, 0.012),
    "hat": Drum(7100, 0.0, 0.02, (4500, 14000), 4.0, 0.035),
    "open": Drum(6700, 0.0, 0.06, (4500, 14000), 4.0, 0.22),
    "ride": Drum(4300, 0.0, 0.05, (3800, 11000), 3.0, 0.25),
    "shaker": Drum(5200, 0.0, 0.01, (4000, 10000), 5.0, 0.06, attack=0.025),
    "brush": Drum(260, 0.2, 0.03, (1500, 9000), 3.0, 0.16, attack=0.03),
}


def strike(name: str, sample_rate: int, rng: Generator) -> np.ndarray:
    """One hit of the drum ``name``, as ``rng`` tunes it, peak 1."""
    drum = DRUMS[name]
    tone, ring, hiss, fade, low, high = np.array(
        [drum.tone, drum.ring, drum.hiss, drum.fade, *drum.band]
    ) * 2 ** rng.normal(0, 0.3, size=6)
    t = np.arange(int(5 * max(ring, fade) * sample_rate)) / sample_rate
    glide = drum.bend * 0.03 * (1 - exp(-t / 0.03))  # the integral of the falling pitch
    tone = min(tone, HEADROOM * sample_rate / (1 + drum.bend))
    wave = sin(2 * pi * tone * (t + glide)) * exp(-t / ring)
    noise = shape(rng.normal(size=t.size), lambda f: band_pass(f, low, high), sample_rate)
    wave += hiss * noise / (np.abs(noise).max() + 1e-9) * exp(-t / fade)
    wave *= _ramp(t / drum.attack) * _ramp((t[-1] - t) / 0.01)
    return wave / np.abs(wave).max()


def band_pass(hz: np.ndarray, low: float | int, high: float | int) -> np.ndarray:
    """Gain at ``hz`` of a filter that keeps ``low`` to ``high`` Hz, 12 dB an octave outside."""
    hz = np.maximum(hz, 1e-3)
    return 1 / np.sqrt((1 + (low / hz) ** 4) * (1 + (hz / high) ** 4))


def shape(
    wave: np.ndarray, gain: Callable[[np.ndarray], np.ndarray], sample_rate: int
) -> np.ndarray:
    """``wave`` with its spectrum multiplied by ``gain(hz)``; what rings past the end wraps."""
    step = 1 << max(wave.size.bit_length() - 5, 1)
    size = -(-wave.size // step) * step  # small factors only: a fast FFT
    hz = np.fft.rfftfreq(size, 1 / sample_rate)
    return np.fft.irfft(np.fft.rfft(wave, size) * gain(hz), size)[: wave.size]


def room(seconds: float | int, sample_rate: int, rng: Generator) -> np.ndarray:
    """The echo of a room that falls by 60 dB in ``seconds``, of unit energy."""
    t = np.arange(max(int(seconds * sample_rate), 1)) / sample_rate
    echo = rng.normal(size=t.size) * exp(-6.9 * t / seconds)
    dull = rng.uniform(1500, 6000)
    echo = shape(echo, lambda hz: band_pass(hz, 120, dull), sample_rate)
    return echo / np.sqrt((echo**2).sum())
