"""The report of a comparison: one page that needs nothing but itself.

Its parts come from `experiments.report.forest` (intervals), `experiments.report.curves` and
`experiments.report.sound`; the frame from `experiments.report.kit`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from experiments.report import forest
from experiments.report.confusion import CAPTION, confusion_figure
from experiments.report.curves import classifier_curves, gan_curves_section
from experiments.report.forest import points
from experiments.report.kit import counted, definitions, fill_page, folded, tiles
from experiments.report.provenance import id_list
from experiments.report.sound import listening_section
from experiments.scores import METRICS, Record, runs_of, spread, wilson
from experiments.scores import values as values_of
from features.splits import SIDES

_OPENINGS = {"benefit": "{} helped", "harm": "{} did harm", "": "No evidence that {} helped"}
_SUBJECTS = {"real+synthetic": "the GAN's clips", "real+classical": "altered copies"}


def render_report(
    results: Record,
    *,
    clips: Mapping[str, Mapping[str, np.ndarray]],
    gan_curves: Mapping[str, Sequence[Mapping[str, float]]],
    augmented: str = "",
) -> str:
    """The report page of a comparison.

    Parameters
    ----------
    results : content of ``results.json``; what is missing is left out of the page.
    clips : for each label ``"real"`` and ``"generated"`` audio, (n, L, C) in [-1, 1], at
        ``results["data"]["sample_rate"]`` Hz.
    gan_curves : for each label the lines of its GAN's ``metrics.jsonl``.
    augmented : HTML of the altered clips to listen to, where an arm trained on such.

    Returns
    -------
    str
        HTML with every picture, sound and script inside; the same for the same arguments.

    Raises
    ------
    ValueError
        For clips that hold NaN or Inf.
    """
    data = results.get("data", {})
    arms = results.get("arms", {})
    parts = {
        "What this test could show": _power(results),
        "The arms": _arms(results),
        "Differences between arms": _differences(results),
        "Genre by genre": _per_label(results),
        "What is taken for what": _confusions(arms, data.get("labels", [])),
        "How the classifiers trained": classifier_curves(arms),
        "How the GANs trained": gan_curves_section(gan_curves),
        "Listen": listening_section(clips, data["sample_rate"]) if clips else "",
        "What classical augmentation does": augmented,
        "Data, split and how to repeat it": _details(results),
    }
    name = data.get("name") or "Unnamed data"
    return fill_page(
        title=f"{name}: did {_subject(_question(results))} help?",
        banner=_leak_banner(results.get("split", {})),
        kicker=f"{name}, recipe {results.get('recipe', '?')}, {_seeds(arms)}",
        head=_verdict(results),
        parts=parts,
        version=results.get("version", ""),
    )


# --- the answer ----------------------------------------------------------------------------------


def _question(results: Record) -> Record | None:
    """The difference that the page is about: by track, of synthetic clips where there are any."""
    return min(
        (d for d in results.get("differences", []) if "+" in d["arm"]),
        key=lambda d: (
            d["arm"] != "real+synthetic",
            "synthetic" not in d["arm"],
            d["against"] != "real",
            d["metric"] != "track_accuracy",
        ),
        default=None,
    )


def _subject(question: Record | None) -> str:
    """What the page asks about."""
    arm = question["arm"] if question else "real+synthetic"
    return _SUBJECTS.get(arm, f"what {arm} adds")


def _verdict(results: Record) -> str:
    found = _question(results)
    if found is None:
        failed = [name for name, arm in results.get("arms", {}).items() if not arm.get("runs")]
        why = f"no run finished in {', '.join(failed)}" if failed else "no arm had further clips"
        return f'<div class="verdict"><h1>No verdict: {escape(why)}.</h1></div>'
    kind, metric = _kind(found), found["metric"]
    opening = _OPENINGS[kind].format(_subject(found))
    headline = (
        f"{opening[0].upper()}{opening[1:]}: {METRICS.get(metric, metric)} changed by "
        f"{points(found['mean'])} points (95 % interval {_ends(found)})."
    )
    text = f"{found['arm']} against {found['against']}, with the same number of training steps."
    for other in results["differences"]:
        same = (other["arm"], other["metric"]) == (found["arm"], metric)
        if same and other["against"] != found["against"]:
            text += f" Against {other['against']}: {points(other['mean'])} ({_ends(other)})."
    return (
        f'<div class="verdict {kind}"><h1>{escape(headline, quote=False)}</h1>'
        f'<p class="lead">{escape(text)}</p></div>'
    )


def _leak_banner(split: Record) -> str:
    if not split.get("leaks"):
        return ""
    return (
        '<div class="alarm" role="alert"><strong>This split leaks: quote nothing of this page.'
        f"</strong> It was made by {escape(str(split.get('by', 'chunk')))}: pieces of the same "
        "tracks are in training and in test, so the classifier is rewarded for recognising tracks, "
        "and the GAN has heard the tracks of the test. For figures that hold, split by track or by "
        "group.</div>"
    )


def _power(results: Record) -> str:
    found, data = _question(results) or {}, results.get("data", {})
    labels, leaks = data.get("labels", []), results.get("split", {}).get("leaks")
    runs = max((len(runs_of(arm)) for arm in results.get("arms", {}).values()), default=0)
    facts = {
        f"test tracks, {'also' if leaks else 'not'} heard in training": _test_tracks(results),
        "test clips, cut from those tracks": data.get("clips", {}).get("test"),
        "runs an arm": runs,
        "genres": len(labels),
        "right by guessing": f"{100 / len(labels):.3g} %" if labels else None,
    }
    detectable = found.get("detectable")
    text = ""
    if "detectable" in found and detectable is None:
        text = (
            '<p class="lead">Both arms gave the same answer for every test track: these runs '
            "say neither how much chance alone would change nor how large a true change this "
            "test would have missed.</p>"
        )
    elif detectable is not None and np.isfinite(detectable):
        text = (
            '<p class="lead">Only a true change of about <strong>±'
            f"{100 * detectable:.1f} points</strong> or more would have shown in four out of five "
            "such tests (80 % power at the 5 % level). A smaller one, to either side, may "
            "well be there and was missed.</p>"
        )
    return text + tiles(facts)


# --- arms and differences ------------------------------------------------------------------------


def _arms(results: Record) -> str:
    arms, labels = results.get("arms", {}), results.get("data", {}).get("labels", [])
    if not arms:
        return ""
    tracks = _test_tracks(results)
    values = {name: values_of(arm, "track_accuracy") for name, arm in arms.items()}
    ends = {name: wilson(float(np.mean(v)), tracks) for name, v in values.items() if v and tracks}
    drawn = [*values.values(), *ends.values()]
    scale = forest.Scale.around([0.0, *(share for shares in drawn for share in shares)])
    rows, table = [], []
    for name, arm in arms.items():
        shown = escape(name)
        if not runs_of(arm):
            error = escape(f"failed: {arm.get('error', 'no run finished')}")
            rows.append(forest.row(shown, f'<span class="failed">{error}</span>'))
            table.append(
                f'<tr><th scope="row">{shown}</th><td class="failed" colspan="5">{error}</td></tr>'
            )
            continue
        number = spread(values[name])
        picture = forest.interval(
            scale,
            mean=float(np.mean(values[name])) if values[name] else None,
            ends=ends.get(name),
            dots=values[name],
            reference=1 / len(labels) if labels else None,
            kind="arm",
            description=f"{shown}: track accuracy {number} percent",
        )
        rows.append(forest.row(shown, picture, f"{number} %"))
        cells = [spread(values_of(arm, metric)) for metric in METRICS]
        cells += [spread(values_of(arm, "best_step"), unit=1), str(len(runs_of(arm)))]
        table.append(
            f'<tr><th scope="row">{shown}</th>{"".join(f"<td>{c}</td>" for c in cells)}</tr>'
        )
    heads = ("arm", "track accuracy", "clip accuracy", "macro-F1", "best step", "runs")
    return (
        '<p class="note">Track accuracy in percent: a pale dot is a run (darker where several '
        "agree), the full dot their mean, the dashed line guessing. The bar is the 95 % interval "
        "that comes with so many test tracks (Wilson). All arms are tested on the same tracks, so "
        "the paired differences below are sharper than a comparison of these bars.</p>"
        f"{forest.plot(rows, scale, signed=False)}"
        '<div class="scroll"><table><thead><tr>'
        + "".join(f'<th scope="col">{head}</th>' for head in heads)
        + f"</tr></thead><tbody>{''.join(table)}</tbody></table></div>"
        '<p class="note">Percent, and steps: mean ± standard deviation over runs.</p>'
    )


def _differences(results: Record) -> str:
    differences = results.get("differences", [])
    if not differences:
        return ""
    reach = [end for d in differences for end in (*d["ci95"], d["mean"], d.get("detectable"))]
    scale = forest.Scale.around(reach, symmetric=True)
    plots = []
    for metric in dict.fromkeys(d["metric"] for d in differences):
        rows = [
            forest.row(
                f"{escape(d['arm'])}<small>against {escape(d['against'])}</small>",
                _difference(d, scale, d.get("detectable")),
                f"{points(d['mean'])} ({_ends(d)})<small>{escape(d.get('verdict', ''))}</small>",
            )
            for d in differences
            if d["metric"] == metric
        ]
        title = METRICS.get(metric, metric)
        plots.append(
            f"<h3>{escape(title[:1].upper() + title[1:])}</h3>"
            + forest.plot(rows, scale, signed=True)
        )
    return (
        '<p class="note">Paired differences in points with 95 % intervals; right of 0 the first '
        "arm is better. Grey: changes too small for this test set to show (80 % power).</p>"
        + "".join(plots)
    )


def _per_label(results: Record) -> str:
    found = results.get("per_label", [])
    if not found:
        return ""
    scale = forest.Scale.around([x for d in found for x in (*d["ci95"], d["mean"])], symmetric=True)
    figures = []
    for arm, against in dict.fromkeys((d["arm"], d["against"]) for d in found):
        rows = [
            forest.row(escape(d["label"]), _difference(d, scale), points(d["mean"]))
            for d in found
            if (d["arm"], d["against"]) == (arm, against)
        ]
        caption = f"{escape(arm)}<small>against {escape(against)}</small>"
        figures.append(
            f"<figure><figcaption>{caption}</figcaption>"
            f"{forest.plot(rows, scale, signed=True)}</figure>"
        )
    return (
        '<p class="note">Differences in recall by clip, in points, with 95 % intervals. Of '
        f"{len(found)} intervals, about one in twenty misses 0 by chance alone.</p>"
        f'<div class="grid">{"".join(figures)}</div>'
    )


def _difference(d: Record, scale: forest.Scale, band: float | None = None) -> str:
    return forest.interval(
        scale,
        mean=d["mean"],
        ends=(d["ci95"][0], d["ci95"][1]),
        band=band,
        reference=0.0,
        kind=_kind(d),
        description=f"{points(d['mean'])} points, 95 % interval {_ends(d)}",
    )


def _kind(difference: Record) -> str:
    """CSS class of a difference's verdict: "benefit", "harm" or none."""
    verdict = difference.get("verdict", "")
    return verdict if verdict in _OPENINGS else ""


def _confusions(arms: Mapping[str, Record], labels: Sequence[str]) -> str:
    figures = []
    for name, arm in arms.items():
        counts = [np.asarray(run["confusion"]) for run in runs_of(arm) if "confusion" in run]
        if counts:
            note, total = counted(len(counts), "run"), np.sum(counts, axis=0)
            figures.append(confusion_figure(name, note, labels, total, numbers="percent"))
    if not figures:
        return ""
    return (
        f'<p class="note">{CAPTION} In percent of the genre\'s test clips, over all runs of an '
        f'arm; below 0.5 % left blank.</p><div class="grid">{"".join(figures)}</div>'
    )


# --- how it was made -----------------------------------------------------------------------------


def _details(results: Record) -> str:
    data, split = results.get("data", {}), results.get("split", {})
    quarantined, skipped = data.get("quarantined", []), data.get("skipped", [])
    faulty = {row.get("track", "?"): row.get("reason", "") for row in quarantined}
    left_out = definitions(faulty, verbatim=True)
    left_out += id_list(f"Too short for a clip: {len(skipped)}", skipped)
    ids = "".join(
        id_list(f"{side}: {counted(len(split.get(side, [])), 'track')}", split.get(side, []))
        for side in SIDES
    )
    parts = {
        "Data": definitions(data, without=("quarantined", "skipped")),
        f"Files left out: {len(quarantined) + len(skipped)}": left_out,
        "Split": definitions(split, without=(*SIDES, "hashes")) + ids,
        "GAN": definitions(results.get("gan", {}), without=("stages",)),
        "Machine and versions": definitions(results.get("environment", {})),
    }
    command = results.get("command")
    repeat = f"<pre><code>{escape(command)}</code></pre>" if command else ""
    return repeat + folded(parts)


# --- numbers -------------------------------------------------------------------------------------


def _test_tracks(results: Record) -> int:
    return len(results.get("split", {}).get("test", ()))


def _seeds(arms: Mapping[str, Record]) -> str:
    pairs = {
        (run.get("classifier_seed"), run.get("gan_seed"))
        for arm in arms.values()
        for run in runs_of(arm)
    }
    return counted(len(pairs), "paired seed")


def _ends(difference: Record) -> str:
    low, high = difference["ci95"]
    return f"{points(low)} to {points(high)}"
