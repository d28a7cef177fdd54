"""Results as tables: CSV for other programs, Markdown and LaTeX for a paper."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np

from experiments.listening.answers import Answers, Key
from experiments.report.formats import counted, duration, points, reach, spread
from experiments.report.kit import render
from experiments.scores import METRICS, Record, bounds, part_of, parts, runs_of, values
from features.storage import write_text

_TRACK = ("split", "seed", "track", "label", "predicted", "confidence", "correct")
# In Hz the rate that a file was resampled from, if it was; the reason where it was refused.
_FILE = ("file", "seconds", "sample_rate", "resampled_from", "trained_on", "label", "predicted",
         "nearest", "confidence", "correct", "refused")  # fmt: skip
# Of runs and differences, shares as they are; of what failed the seeds and the reason alone.
_RUN = ("recipe", "amount", "arm", "classifier_seed", "gan_seed", "fold", "draw", "steps",
        "best_step", "train_clips", *METRICS, "loss", "seconds", "error")  # fmt: skip
_DIFFERENCE = ("recipe", "amount", "arm", "against", "metric", "label", "mean", "low", "high", "p",
               "p_equivalent", "verdict", "primary", "detectable", "holds",
               "positive_control")  # fmt: skip

_ANSWER = ("listener", "counts", "trial", "check", "choice", "source", "label", "against", "right")


def write_answers_csv(path: str | Path, key: Key, answers: Sequence[Answers]) -> None:
    """Write what listeners answered: a row a listener and trial, in the order of the key.

    ``source`` and ``label`` are of what was heard, of two sounds of the one that was chosen
    (``against`` the other); ``right`` where something is.
    """
    write_rows(path, _ANSWER, (), (row for one in answers for row in _answers(key, one)))


def _answers(key: Key, answers: Answers) -> Iterator[dict[str, Any]]:
    for name, trial in key.trials.items():
        choice, sounds = answers.said[name], trial["sounds"]
        chosen = next((s for s in sounds if s["sound"] == choice), sounds[0])
        others = [s["source"] for s in sounds if s is not chosen]
        right = trial["right"] or (chosen["label"] if key.kind == "genre" else None)
        yield {
            "listener": answers.listener,
            "counts": not answers.wrong(key),
            "trial": name,
            "check": trial["right"] is not None,
            "choice": choice if len(sounds) == 1 else "",
            "source": chosen["source"],
            "label": chosen["label"],
            "against": "".join(others),
            "right": None if right is None else choice == right,
        }


def write_tracks_csv(path: str | Path, results: Record) -> None:
    """Write how `wavegan classify` classified each test track: a row a split, seed and track.

    ``results`` is the content of its ``results.json``. After the columns of `_TRACK` comes the
    probability of each label, under ``p_`` and its name.
    """
    rows = (
        {**row, "split": name, "seed": run.get("seed")}
        for name, split in results.get("splits", {}).items()
        for run in runs_of(split)
        for row in run.get("tracks") or []
    )
    write_rows(path, _TRACK, results.get("data", {}).get("labels", []), rows)


def write_predictions_csv(path: str | Path, prediction: Record) -> None:
    """Write what `wavegan predict` heard: a row a file, those that it refused last.

    ``prediction`` is as for `experiments.report.predict.render_predictions`. After the columns of
    `_FILE`, of which those not known are empty, comes the probability of each label, under ``p_``
    and its name.
    """
    refused = ({"file": r["file"], "refused": r["reason"]} for r in prediction.get("refused", []))
    rows = [*prediction.get("files", []), *refused]
    write_rows(path, _FILE, prediction.get("labels", []), rows)


def write_comparison(folder: str | Path, results: Record) -> None:
    """Write what a comparison leaves for a paper beside its page.

    ``results`` is the content of its ``results.json``. ``runs.csv`` has a row a run of an arm,
    those that failed too, ``differences.csv`` a row a difference, those of single classes
    (recall by clip, under ``label``) last; ``table.md`` and ``table.tex`` have `comparison_tables`.
    """
    folder = Path(folder)
    write_rows(folder / "runs.csv", _RUN, (), _runs(results))
    write_rows(folder / "differences.csv", _DIFFERENCE, (), _differences(results))
    write_text(folder / "table.md", comparison_markdown(results))
    write_text(folder / "table.tex", comparison_latex(results))


def comparison_markdown(results: Record) -> str:
    """`comparison_tables` of all recipes and amounts of training tracks as GitHub Markdown."""
    return render("table.md", tables=_all_tables(results))


def comparison_latex(results: Record) -> str:
    """`comparison_tables` of all recipes and amounts as LaTeX, for the package booktabs."""
    return render("table.tex", tables=_all_tables(results))


def _all_tables(results: Record) -> list[dict[str, Any]]:
    return [table for part in parts(results) for table in comparison_tables(part).values()]


def comparison_tables(results: Record) -> dict[str, dict[str, Any]]:
    """The arms, what each cost, and the differences, as text; tables without rows are left out.

    Returns
    -------
    dict
        ``arms``, ``cost`` and ``differences``, each with a ``caption``, ``heads``, ``rows`` and
        the columns that are ``words``.
    """
    arms, of = results.get("arms", {}), "".join(f", of {what}" for what in part_of(results))
    controlled = any(d.get("positive_control") for d in results.get("differences", []))
    control = "the positive control at another, " * controlled
    tables: dict[str, dict[str, Any]] = {
        "arms": {
            "caption": f"Arms{of}: percent, mean ± standard deviation over runs; best step too.",
            "heads": ["arm", *METRICS.values(), "best step", "runs"],
            "rows": [_scores(name, arm) for name, arm in arms.items()],
            "words": (0,),
        },
        "cost": {
            "caption": f"Cost of each arm{of}: clips that it trains on, training steps of a run, "
            "time of a run, fitting and testing, and of all." + _gan_cost(results),
            "heads": ["arm", "clips", "steps", "time of a run", "of all runs"],
            "rows": [_cost(name, arm) for name, arm in arms.items() if runs_of(arm)],
            "words": (0,),
        },
        "differences": {
            "caption": f"Paired differences in points with 95 % intervals{of}. The primary one is "
            f"judged at the 5 % level, {control}all others together at another (Holm).",
            "heads": ["difference", "of", "points", "95 % interval", "verdict"],
            "rows": [_told(d, results) for d in results.get("differences", [])],
            "words": (0, 1, 4),
        },
    }
    return {name: table for name, table in tables.items() if table["rows"]}


def _scores(name: str, arm: Record) -> list[str]:
    """The cells of an arm; of one that failed why."""
    if not runs_of(arm):
        return [f"{name} (failed: {arm.get('error', 'no run finished')})", *[""] * 5]
    cells = [spread(values(arm, metric)) for metric in METRICS]
    return [name, *cells, spread(values(arm, "best_step"), unit=1), str(len(runs_of(arm)))]


def _cost(name: str, arm: Record) -> list[str]:
    """What an arm took; what is not known is empty."""
    clips = values(arm, "train_clips")
    heard = f"{np.mean(clips):,.0f}" if clips else ""
    seconds, steps = values(arm, "seconds"), values(arm, "steps")
    times = [duration(float(of(seconds)), 1) if seconds else "" for of in (np.mean, np.sum)]
    return [name, heard, reach([int(n) for n in steps]) if steps else "", *times]


def _gan_cost(results: Record) -> str:
    """A sentence about the GANs; empty where it is not known how long one of them took."""
    seconds = results.get("gan", {}).get("seconds") or []
    if not seconds or not all(seconds):
        return ""
    together = results.get("config", {}).get("at_once") or 1
    beside = f", {min(together, len(seconds))} at once" if together > 1 else ""
    each = duration(float(np.mean(seconds)))
    return f" {counted(len(seconds), 'GAN')} took about {each} of training each{beside}."


def _told(d: Record, results: Record) -> list[str]:
    """A difference in words."""
    names, ends = f"{d['arm']} against {d['against']}", " to ".join(map(points, d["ci95"]))
    metric = str(METRICS.get(d["metric"], d["metric"]))
    said = d.get("verdict", "") + " (primary)" * bool(d.get("primary"))
    said += " (positive control)" * bool(d.get("positive_control"))
    verdict = ", ".join(filter(None, (said, bounds(results, d))))
    return [names, metric, points(d["mean"]), ends, verdict]


def _runs(results: Record) -> Iterator[Record]:
    for part in parts(results):
        about = {name: part.get(name, "") for name in ("recipe", "amount")}
        for name, arm in part.get("arms", {}).items():
            failed = arm.get("failed_runs", ())
            yield from ({**run, **about, "arm": name} for run in (*runs_of(arm), *failed))
            if not runs_of(arm) and not failed:
                yield {**about, "arm": name, "error": arm.get("error", "no run finished")}


def _differences(results: Record) -> Iterator[Record]:
    for part in parts(results):
        recalls = ({"metric": "recall", **d} for d in part.get("per_label", []))
        for d in (*part.get("differences", []), *recalls):
            low, high = d["ci95"]
            about = {name: part.get(name, "") for name in ("recipe", "amount")}
            about["holds"] = bounds(results, d)
            yield {**d, **about, "low": low, "high": high}


def write_rows(
    path: str | Path, columns: Sequence[str], labels: Sequence[str], rows: Iterable[Record]
) -> None:
    """Write rows as CSV, with the ``probabilities`` of each under ``p_LABEL``."""
    shares = [f"p_{label}" for label in labels]
    file = StringIO()
    table = csv.DictWriter(file, [*columns, *shares], extrasaction="ignore", lineterminator="\n")
    table.writeheader()
    for row in rows:
        known = dict(zip(shares, row.get("probabilities") or (), strict=False))
        table.writerow({**row, **known})
    write_text(path, file.getvalue())
