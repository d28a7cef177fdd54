"""Answers of a blind listening test: read, checked against its key, and what they say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from experiments.config.listening import TESTS
from experiments.listening.blind_tests import FORMAT as KEY
from experiments.listening.blind_tests import REAL, SCALE
from experiments.listening.blind_tests import VERSION as KEY_VERSION
from experiments.statistics import crossed_mean
from features.storage import Unfit, read_json, understanding

FORMAT, VERSION = "wavegan answers", 1
ONE_LISTENER = "this listener alone"  # of whom nothing says how others differ
ONE_CLIP = "one clip of each"  # the same
_AGAIN = "give the file as the page saved it"


@dataclass(frozen=True)
class Key:
    """What `BlindTest.key` says, from its file."""

    test: str
    kind: str
    labels: tuple[str, ...]
    sources: tuple[str, ...]
    trials: Mapping[str, Mapping[str, Any]]

    @property
    def asked(self) -> dict[str, Mapping[str, Any]]:
        """The trials that are no checks."""
        return {name: one for name, one in self.trials.items() if one["right"] is None}


@dataclass(frozen=True)
class Answers:
    """What one listener said, by trial."""

    listener: str
    said: Mapping[str, str]

    def wrong(self, key: Key) -> int:
        """How many checks they got wrong."""
        return sum(self.said[name] != one["right"] for name, one in key.trials.items()
                   if one["right"] is not None)  # fmt: skip


def read_key(file: Path) -> Key:
    """The key of a test; a ValueError where it is something else."""
    content = read_json(file, advice := "restore it from a copy")
    with understanding(file, advice):
        if (content.get("format"), content.get("version")) != (KEY, KEY_VERSION):
            raise Unfit(f"it is no key of a listening test of version {KEY_VERSION}")
        labels, sources = tuple(content["labels"]), tuple(content["sources"])
        key = Key(content["test"], content["kind"], labels, sources,
                  {one["trial"]: one for one in content["trials"]})  # fmt: skip
        if key.kind not in TESTS or not all(isinstance(x, str) for x in (*labels, *sources)):
            raise Unfit("its kind, classes or sources are none")
        for one in key.trials.values():
            _check_trial(one, key)
        if not key.asked:
            raise Unfit("it asks for nothing")
        return key


def _check_trial(one: Mapping[str, Any], key: Key) -> None:
    """Raise Unfit unless a trial can be one of the test."""
    sounds, choices = one["sounds"], one["choices"]
    known = {"ab": [s["sound"] for s in sounds], "mos": [*SCALE], "genre": [*key.labels]}[key.kind]
    if one["right"] is not None:
        fits = len(sounds) == 1 and one["right"] in choices
    else:
        fits = len(sounds) == (2 if key.kind == "ab" else 1) and choices == known
        fits = fits and all(s["source"] in key.sources for s in sounds)
        fits = fits and all(s["label"] in key.labels for s in sounds)
    if not fits or not all(isinstance(s["sound"], str) for s in sounds):
        raise Unfit(f"the trial {one['trial']!r:.40} is none of a test of this kind")


def read_answers(file: Path, key: Key) -> Answers:
    """The answers that the page of a test saved.

    Raises
    ------
    ValueError
        For those of another test, with a change since they were saved, or that are not complete.
    """
    content = read_json(file, _AGAIN)
    with understanding(file, _AGAIN):
        if (content.get("format"), content.get("version")) != (FORMAT, VERSION):
            raise Unfit(f"it has no answers of version {VERSION}")
        if content["test"] != key.test:
            raise Unfit(f"these are answers to the test {content['test']!r:.40}, not to {key.test}")
        rows = content["answers"]
        if content["seal"] != seal(content):
            raise Unfit("they are not what the page saved: somebody has changed them")
        said = {row["trial"]: row["choice"] for row in rows}
        if len(said) < len(rows):
            raise Unfit("a trial is answered twice")
        if missing := key.trials.keys() - said.keys():
            raise Unfit(f"{len(missing)} of {len(key.trials)} trials have no answer")
        for name, choice in said.items():
            if name not in key.trials or choice not in key.trials[name]["choices"]:
                raise Unfit(f"{choice!r:.40} is no answer to the trial {name!r:.40}")
        return Answers(str(content["listener"]), said)


def seal(content: Mapping[str, Any]) -> str:
    """What the page puts under answers: FNV-1a of 64 bits over all that they say.

    It tells a change by hand, not one by somebody who reads the page's script.
    """
    rows = [f"{a['trial']}={a['choice']}@{a['milliseconds']}x{a['plays']}"
            for a in content["answers"]]  # fmt: skip
    said = [content[name] for name in ("test", "listener", "started", "ended")]
    found = 0xCBF29CE484222325
    for byte in "\n".join(map(str, [*said, *rows])).encode(errors="replace"):
        found = (found ^ byte) * 0x100000001B3 % 2**64
    return f"{found:016x}"


def analysed(key: Key, answers: Sequence[Answers]) -> dict[str, Any]:
    """What the answers of listeners say, without those who got a check wrong.

    Returns
    -------
    ``kind``, ``labels``, ``sources``, ``trials`` (checks not counted), ``listeners`` (each with
    ``wrong_checks`` and whether it ``counts``), ``agreement`` (Krippendorff's alpha; None of one
    listener), and by kind ``pairs``, ``scores`` or ``classes``, with intervals that are
    ``holding_for`` those listeners and clips. A ValueError where nobody is left.
    """
    told = [{"listener": a.listener, "wrong_checks": a.wrong(key), "counts": not a.wrong(key)}
            for a in answers]  # fmt: skip
    left = [a for a in answers if not a.wrong(key)]
    if not left:
        raise ValueError(
            f"all {len(answers)} listeners got a check wrong: their answers say nothing"
        )
    of_kind = {"ab": _pairs, "mos": _scores, "genre": _classes}[key.kind]
    about = {"kind": key.kind, "labels": list(key.labels), "sources": list(key.sources)}
    found = of_kind(key, left)
    (rows,) = found.values()
    others = "other listeners" if len(left) > 1 else ONE_LISTENER
    clips = "other clips" if len(key.asked) > len(rows) else f"{ONE_CLIP} alone"
    return {
        **about,
        "test": key.test,
        "trials": len(key.asked),
        "listeners": told,
        "agreement": _agreement(key, left),
        "holding_for": f"{others} and {clips}",
        **found,
    }


def _pairs(key: Key, answers: Sequence[Answers]) -> dict[str, Any]:
    """Of each pair of sources how often the second one was chosen."""
    found: dict[tuple[str, str], list[str]] = {}
    for name, trial in key.asked.items():
        one, other = sorted((s["source"] for s in trial["sounds"]), key=key.sources.index)
        found.setdefault((one, other), []).append(name)
    pairs = []
    for (one, other), names in found.items():
        # Of a recording against a generated clip: how often the recording was found.
        wanted = one if one == REAL else other
        of = {s["sound"]: s["source"] for n in names for s in key.trials[n]["sounds"]}
        table = np.array([[of[a.said[name]] == wanted for name in names] for a in answers], float)
        pairs.append({"one": one, "other": other, "chosen": wanted, **_share(table)})
    return {"pairs": pairs}


def _scores(key: Key, answers: Sequence[Answers]) -> dict[str, Any]:
    """Of each source the mean opinion score with its interval."""
    scores = []
    for source, names in _by_source(key).items():
        table = np.array([[float(a.said[name]) for name in names] for a in answers])
        mean, interval = crossed_mean(table, within=(1.0, float(len(SCALE))))
        counts = Counter(int(x) for x in table.ravel())
        scores.append(
            {"source": source, "clips": len(names), "mean": mean, "ci95": list(interval),
             "counts": [counts[i] for i in range(1, len(SCALE) + 1)]}
        )  # fmt: skip
    return {"scores": scores}


def _classes(key: Key, answers: Sequence[Answers]) -> dict[str, Any]:
    """Of each source the share of clips whose class was heard, and what for what."""
    classes = []
    for source, names in _by_source(key).items():
        true = [key.trials[name]["sounds"][0]["label"] for name in names]
        said = [[a.said[name] for name in names] for a in answers]
        table = np.array([[x == y for x, y in zip(row, true, strict=True)] for row in said], float)
        counts = np.zeros((len(key.labels),) * 2, int)
        for row in said:
            for x, y in zip(true, row, strict=True):
                counts[key.labels.index(x), key.labels.index(y)] += 1
        guessed = 1 / len(key.labels)
        classes.append({"source": source, **_share(table, guessed), "counts": counts.tolist()})
    return {"classes": classes}


def _by_source(key: Key) -> dict[str, list[str]]:
    """The trials of one sound, by what that is of."""
    found: dict[str, list[str]] = {source: [] for source in key.sources}
    for name, trial in key.asked.items():
        found[trial["sounds"][0]["source"]].append(name)
    return {source: names for source, names in found.items() if names}


def _share(table: np.ndarray, guessed: float = 0.5) -> dict[str, Any]:
    """A share of answers (listeners, trials), with two intervals.

    ``exact`` is the binomial one (Clopper and Pearson), as if no two answers had a listener or a
    clip in common; ``ci95`` knows that they have (`crossed_mean`), and is the exact one of a single
    listener or clip. ``p`` is of so many, or so few, where each is ``guessed`` right with that
    chance.
    """
    from scipy import stats

    mean, interval = crossed_mean(table, within=(0.0, 1.0))
    hits, count = int(table.sum()), table.size
    test = stats.binomtest(hits, count, guessed)
    low, high = test.proportion_ci(0.95, method="exact")
    exact = [float(low), float(high)]
    return {
        "hits": hits,
        "count": count,
        "share": mean,
        "ci95": exact if 1 in table.shape else list(interval),
        "exact": exact,
        "p": float(test.pvalue),
        "by_listener": table.mean(1).tolist(),
    }


def _agreement(key: Key, answers: Sequence[Answers]) -> float | None:
    """Krippendorff's alpha of the listeners over the trials; None of one listener."""
    if len(answers) < 2:
        return None
    names = list(key.asked)
    if key.kind == "mos":
        return alpha([[float(a.said[n]) for n in names] for a in answers], ordered=True)
    choices = [[key.trials[n]["choices"].index(a.said[n]) for n in names] for a in answers]
    return alpha(choices, ordered=False)


def alpha(values: Sequence[Sequence[float]], *, ordered: bool) -> float | None:
    """Krippendorff's alpha: 1 where raters agree on all, 0 where they do as by chance.

    Source: Krippendorff, Computing Krippendorff's Alpha-Reliability, 2011.

    Parameters
    ----------
    values : (raters, units); NaN where a rater gave none.
    ordered : whether distances count (interval data) or only being different (nominal data).

    Returns
    -------
    float or None
        None where no two values could differ.
    """
    table = np.asarray(values, float)
    there = [unit[~np.isnan(unit)] for unit in table.T]
    pairable = [unit for unit in there if len(unit) > 1]
    every = np.concatenate(pairable) if pairable else np.empty(0)

    def apart(x: np.ndarray) -> float:
        """The sum over all pairs, both ways round, without making them."""
        if ordered:
            return 2 * len(x) ** 2 * float((x - x[0]).var())
        return len(x) ** 2 - float((np.unique(x, return_counts=True)[1] ** 2).sum())

    if not (len(every) and (expected := apart(every))):
        return None
    observed = sum(apart(unit) / (len(unit) - 1) for unit in pairable)
    return 1 - observed * (len(every) - 1) / expected
