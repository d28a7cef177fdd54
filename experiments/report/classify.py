"""The report of a trained classifier: what it scored, on which split, and on which tracks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from experiments.report import forest
from experiments.report.confusion import CAPTION, confusion_figure
from experiments.report.curves import classifier_curves
from experiments.report.forest import points
from experiments.report.kit import counted, fill_page, table, tiles
from experiments.report.provenance import provenance
from experiments.scores import (
    METRICS,
    Record,
    best_split,
    chance,
    comparable,
    joined,
    leaking,
    leaks_worth,
    percent,
    runs_of,
    spread,
    values,
    whole_tracks,
    wilson,
)


def render_classification(results: Record, *, heard: str = "") -> str:
    """The report page of `wavegan classify`.

    Parameters
    ----------
    results : content of ``results.json``; what is missing is left out of the page.
    heard : HTML of a section to listen to, as of `experiments.report.sound`.

    Returns
    -------
    str
        HTML with every picture and script inside; the same for the same arguments.
    """
    splits, data = results.get("splits", {}), results.get("data", {})
    labels = data.get("labels", [])
    recipe, name = results.get("recipe", "?"), data.get("name") or "unnamed data"
    alone = best_split(splits) in (None, *leaking(splits))  # what the headline is of leaks
    alarm = "" if whole_tracks(results) else _alarm(splits)
    parts = {
        "Accuracy": _accuracy(results),
        "What is taken for what": _confusions(splits, labels),
        "How it trained": classifier_curves({_titled(n): s for n, s in splits.items()}),
        "Listen": heard,
        "Track by track": _tracks(splits),
        "Data, split and how to repeat it": provenance(results),
    }
    return fill_page(
        title=f"{recipe} on {name}",
        banner=alarm if alone else "",
        kicker=f"{name}, recipe {recipe}",
        head=_head(results) + ("" if alone else alarm) + _facts(results),
        parts=parts,
        version=results.get("version", ""),
    )


# --- the answer ----------------------------------------------------------------------------------


def _titled(split: str) -> str:
    return f"{split} split"


def _head(results: Record) -> str:
    """The headline: what came out; below it, how sure that is and what was published."""
    splits, labels = results.get("splits", {}), results.get("data", {}).get("labels", [])
    name = best_split(splits)
    if name is None:
        errors = "; ".join(str(s["error"]) for s in splits.values() if s.get("error"))
        headline = f"No run finished{f': {errors}' if errors else ''}."
        return f'<div class="verdict"><h1>{escape(headline)}</h1>{_published(results)}</div>'
    split = splits[name]
    metric = "accuracy" if split.get("leaks") else "track_accuracy"
    what = "clips" if split.get("leaks") else "tracks"
    found = values(split, metric)
    score = f"{100 * np.mean(found):.1f} %" if found else "An unknown share"
    guess = chance(labels)
    headline = f"{score} of test {what} right ({counted(len(runs_of(split)), 'seed')})"
    headline += f", chance {100 * guess:.3g} %." if guess else "."
    text = ""
    tracks = _test_tracks(split)
    if found and tracks and metric == "track_accuracy":
        low, high = wilson(float(np.mean(found)), tracks)
        text = (
            f"With {counted(tracks, 'test track')} a seed, such a score stands for a true one of "
            f"{100 * low:.0f} to {100 * high:.0f} % (95 % interval)."
        )
        text = f'<p class="lead">{escape(text)}</p>'
    return f'<div class="verdict"><h1>{escape(headline)}</h1>{text}{_published(results)}</div>'


def _published(results: Record) -> str:
    if not (published := results.get("published")):
        return ""
    share, note = published.get("accuracy"), comparable(results)
    figure = "none" if share is None else percent(share, 2)
    rest = f" {note[:1].upper()}{note[1:]}{'' if note[-1:] in '.!?' else '.'}" if note else ""
    return f'<p class="lead"><strong>Published: {figure}.</strong>{escape(rest)}</p>'


def _alarm(splits: Mapping[str, Record]) -> str:
    leaks = leaking(splits)
    if not leaks:
        return ""
    which = f"The {joined(leaks)} split leaks: "
    which += "these figures are" if len(leaks) > 1 else "this figure is"
    held = best_split(splits)
    if held and held not in leaks:
        advice = f"Quote the {escape(held)} split instead."
    else:
        advice = "For a figure that holds, run it again with --split track."
    return (
        f'<div class="alarm" role="alert"><strong>{escape(which)} too high.</strong> Chunks of one '
        "track are on both sides, in training and in test, so the classifier is rewarded for "
        f"recognising tracks, not genres. {advice}</div>"
    )


def _facts(results: Record) -> str:
    splits, labels = results.get("splits", {}), results.get("data", {}).get("labels", [])
    facts: dict[str, Any] = {}
    for name, split in splits.items():
        leaks = ", which leaks" if split.get("leaks") and not whole_tracks(results) else ""
        for metric, what in (("track_accuracy", "tracks"), ("accuracy", "clips")):
            if (found := values(split, metric)) and not (leaks and metric == "track_accuracy"):
                facts[f"of test {what} right, {_titled(name)}{leaks}"] = percent(
                    float(np.mean(found))
                )
    if (worth := leaks_worth(splits)) and not whole_tracks(results):
        facts["points of clip accuracy that the leak is worth"] = points(float(np.mean(worth)))
    published = (results.get("published") or {}).get("accuracy")
    facts["published"] = percent(published, 2)
    facts["right by guessing"] = f"{100 / len(labels):.3g} %" if labels else None
    return tiles(facts)


# --- accuracy ------------------------------------------------------------------------------------


def _accuracy(results: Record) -> str:
    splits = results.get("splits", {})
    if not splits:
        return ""
    drawn = list(_drawn(results))
    scale = forest.Scale.around([0.0, *(x for _, dots, ends, _ in drawn for x in (*dots, *ends))])
    labels = results.get("data", {}).get("labels", [])
    rows = [
        forest.row(
            escape(name) + f"<small>{escape(note)}</small>",
            forest.interval(
                scale,
                mean=float(np.mean(dots)),
                ends=(ends[0], ends[1]) if ends else None,
                dots=dots if len(dots) > 1 else [],
                reference=chance(labels),
                kind="arm",
                description=f"{escape(name)}, {escape(note)}: {spread(dots)} percent",
            ),
            f"{spread(dots)} %",
        )
        for name, dots, ends, note in drawn
    ]
    picture = (
        '<p class="note">In percent: a pale dot is a seed, the full dot their mean, the dashed '
        "line guessing. The bar is the 95 % interval that comes with so many test tracks "
        "(Wilson); clips of a track rise and fall together and have none.</p>"
        + forest.plot(rows, scale, signed=False)
    )
    heads = ("split", "seed", *METRICS.values(), "best step", "steps", "seconds")
    return (picture if rows else "") + table(heads, _rows(splits)) + _coincide(results)


def _drawn(
    results: Record,
) -> Iterator[tuple[str, list[float], list[float], str]]:
    """Name, values of the seeds, ends of the interval and a note for each line."""
    for name, split in results.get("splits", {}).items():
        leaks = split.get("leaks") and not whole_tracks(results)
        for metric, what in (("track_accuracy", "by track"), ("accuracy", "by clip")):
            if found := values(split, metric):
                tracks = _test_tracks(split) if metric == "track_accuracy" else 0
                ends = list(wilson(float(np.mean(found)), tracks)) if tracks else []
                note = f"{what}, too high: leaks" if leaks else what
                yield _titled(name), found, ends, note
    published = (results.get("published") or {}).get("accuracy")
    if published is not None:
        yield "published", [published], [], "see the note above"


def _rows(splits: Mapping[str, Record]) -> Iterator[Sequence[str]]:
    for name, split in splits.items():
        title, runs = escape(_titled(name)), runs_of(split)
        if not runs:
            why = escape(str(split.get("error", "no run finished")))
            failed = f'<small><span class="failed">failed: {why}</span></small>'
            yield (title + failed, *[""] * 7)
        for run in runs:
            stopped = "<small>stopped early</small>" if run.get("stopped_early") else ""
            yield (
                title,
                str(run.get("seed", "")),
                *(percent(run.get(metric)) for metric in METRICS),
                _whole(run.get("best_step")),
                _whole(run.get("steps")) + stopped,
                _whole(run.get("seconds")),
            )
        if len(runs) > 1:
            cells = [f"<b>{spread(found)} %</b>" if (found := values(split, metric)) else ""
                     for metric in METRICS]  # fmt: skip
            yield (title, "<b>mean ± sd</b>", *cells, "", "", "")


def _coincide(results: Record) -> str:
    if not whole_tracks(results):
        return ""
    return (
        '<p class="note">A clip is a whole track here: no split can put clips of one track on '
        "both sides, so none leaks.</p>"
    )


def _confusions(splits: Mapping[str, Record], labels: Sequence[str]) -> str:
    figures = []
    for name, split in splits.items():
        kinds = {"track_confusion": "tracks", "confusion": "clips"}
        for key in list(kinds)[bool(split.get("leaks")) :]:  # a leak's tracks are half in training
            counts = [np.asarray(run[key]) for run in runs_of(split) if run.get(key)]
            if counts:
                note = f"{kinds[key]}, {counted(len(counts), 'seed')} together"
                title = f"{_titled(name)}{', which leaks' * bool(split.get('leaks'))}"
                figures.append(
                    confusion_figure(title, note, labels, np.sum(counts, 0), numbers="counts")
                )
    if not figures:
        return ""
    return f'<p class="note">{CAPTION}</p><div class="grid">{"".join(figures)}</div>'


# --- tracks --------------------------------------------------------------------------------------


def _tracks(splits: Mapping[str, Record]) -> str:
    """A table a split: wrong ones first, the surest of them at the top."""
    parts = []
    for name, split in splits.items():
        rows = [
            (row, run.get("seed", "")) for run in runs_of(split) for row in run.get("tracks") or []
        ]
        if not rows:
            continue
        rows.sort(key=lambda r: (_right(r[0]), -r[0].get("confidence", 0)))
        wrong = sum(not _right(row) for row, _ in rows)
        body = table(
            ("track", "truth", "predicted", "confidence", "answer", "seed"),
            [
                (
                    escape(str(row["track"])),
                    escape(str(row["label"])),
                    escape(str(row["predicted"])),
                    percent(row.get("confidence"), 0),
                    "right" if _right(row) else '<span class="failed">wrong</span>',
                    str(seed),
                )
                for row, seed in rows
            ],
            words=(1, 2, 4),
        )
        title = f"{escape(_titled(name))}: {wrong} of {len(rows)} answers wrong"
        parts.append(f'<h3>{title}</h3><div class="tall">{body}</div>')
    if not parts:
        return ""
    return (
        '<p class="note">A track is voted on by its clips: confidence is their mean probability '
        "of the answer. Wrong ones first, the surest at the top; a row a track and seed.</p>"
        + "".join(parts)
    )


def _right(row: Record) -> bool:
    return bool(row.get("correct", row.get("label") == row.get("predicted")))


# --- numbers --------------------------------------------------------------------------------------


def _test_tracks(split: Record) -> int:
    """Test tracks of a run: the fewest of them, where seeds differ."""
    return min((len(run.get("tracks") or []) for run in runs_of(split)), default=0)


def _whole(number: float | None) -> str:
    return "" if number is None else f"{number:,.0f}"
