"""The pages of `wavegan listen`: a blind test, and what its answers say."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from experiments.listening.answers import FORMAT, ONE_CLIP, ONE_LISTENER, VERSION
from experiments.listening.blind_tests import REAL, SCALE, BlindTest
from experiments.report.charts import Row, Scale, confusion
from experiments.report.formats import percent
from experiments.report.kit import render
from experiments.scores import Record
from features.display import sound_file

CONSENT = (
    "Taking part is voluntary, and you may stop at any time. The page asks for nothing about you. "
    "Your answers stay in this browser until you save them as a file, which you may give to "
    "whoever asked you, and which they may publish."
)


def render_test(test: BlindTest, consent: str = CONSENT) -> str:
    """The page of a blind test, all in one file, which tells nothing of what its sounds are.

    All are WAV files of one length, under random numbers, sorted by these.
    """
    trials = [
        {
            "trial": trial.number,
            "question": trial.question,
            "sounds": [sound.number for sound in trial.sounds],
            "choices": None if len(trial.sounds) > 1 else list(trial.choices.items()),
        }
        for trial in test.trials
    ]
    sounds = {
        sound.number: base64.b64encode(sound_file(sound.audio, test.sample_rate, "WAV")).decode(
            "ascii"
        )
        for trial in test.trials
        for sound in trial.sounds
    }
    return render(
        "listen.html",
        test=test.number,
        trials=trials,
        sounds=sorted(sounds.items()),
        paragraphs=[part for part in consent.split("\n\n") if part.strip()],
        about={"format": FORMAT, "version": VERSION, "test": test.number, "trials": trials},
    )


def render_answers(found: Record) -> str:
    """The page of what `experiments.listening.answers.analysed` found."""
    labels, chance = found["labels"], 1 / max(1, len(found["labels"]))
    pairs = [_row(f"{one['chosen']} rather than {_other(one)}", one)
             for one in found.get("pairs", [])]  # fmt: skip
    scores = [_score(one) for one in found.get("scores", [])]
    classes = [_row(one["source"], one) for one in found.get("classes", [])]
    matrices = [
        confusion(one["source"], f"{one['count']} answers", labels, np.array(one["counts"]))
        for one in found.get("classes", [])
    ]
    left = [one for one in found["listeners"] if one["counts"]]
    one_each = found["trials"] == len(pairs or scores or classes)
    few = [ONE_LISTENER] * (len(left) == 1) + [ONE_CLIP] * one_each
    return render(
        "answers.html",
        found=found,
        listeners=len(left),
        inattentive=[one for one in found["listeners"] if not one["counts"]],
        headline=f"for {' and '.join(few)}: " * bool(few) + "; ".join(_headline(found)),
        forest_rows=pairs or classes,
        reference=0.5 if pairs else chance,
        shares=Scale(0.0, 1.0, (0.0, 0.25, 0.5, 0.75, 1.0)),
        score_rows=scores,
        score_scale=Scale(1.0, 5.0, (1.0, 2.0, 3.0, 4.0, 5.0)),
        matrices=matrices,
        exact=found.get("pairs", []) or found.get("classes", []),
        scale=SCALE,
    )


def _headline(found: Record) -> list[str]:
    """What may be said, a sentence for each pair or source."""
    said = []
    for one in found.get("pairs", []):
        low, high = one["ci95"]
        real = one["chosen"] == REAL
        best = one["chosen"] if low > 0.5 else _other(one)
        if low <= 0.5 <= high:
            told = ("{other} and recordings were not told apart" if real
                    else "neither of {chosen} and {other} was preferred")  # fmt: skip
        elif real:
            told = ("recordings were told from {other}" if low > 0.5
                    else "clips of {other} were taken for the recordings")  # fmt: skip
        else:
            told = f"{best} was preferred"
        said.append(told.format(chosen=one["chosen"], other=_other(one)))
    for one in found.get("scores", []):
        said.append(f"{_clips(one['source'])} scored {one['mean']:.2f} of 5")
    chance = 1 / max(1, len(found["labels"]))
    for one in found.get("classes", []):
        low, high = one["ci95"]
        told = f"the class of {_clips(one['source'])} was heard in {percent(one['share'], 0)}"
        if high < chance:
            told += ", worse than guessing, as where labels are turned about"
        elif low <= chance:
            told += ", which may be chance"
        said.append(told)
    return said


def _clips(source: str) -> str:
    """What a source is called in a sentence."""
    return "real clips" if source == REAL else source


def _other(pair: Mapping[str, Any]) -> str:
    return pair["other"] if pair["chosen"] == pair["one"] else pair["one"]


def _row(name: str, one: Mapping[str, Any]) -> Row:
    """A share with its interval, and a dot for each listener where there are several."""
    dots = one["by_listener"] if len(one["by_listener"]) > 1 else ()
    note = f"{one['hits']} of {one['count']} answers"
    return replace(_with_interval(name, one["share"], one["ci95"], percent), note=note, dots=dots)


def _score(one: Mapping[str, Any]) -> Row:
    """A mean opinion score with its interval."""
    row = _with_interval(one["source"], one["mean"], one["ci95"], "{:.2f}".format)
    return replace(row, note=f"{one['clips']} clips")


def _with_interval(
    name: str, mean: float, ends: Sequence[float], written: Callable[[float], str]
) -> Row:
    number, low, high = map(written, (mean, *ends))
    told = f"{name}: {number}, interval from {low} to {high}"
    verdict = f"{low} to {high}"
    return Row(name, told, mean=mean, ends=ends, number=number, verdict=verdict, kind="arm")
