"""The page of a comparison: did the added clips help, how sure is that, and how do they sound?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from experiments.report.charts import Row, Scale, confusion
from experiments.report.curves import classifier_figures, gan_figures
from experiments.report.formats import counted, points, spread
from experiments.report.kit import render
from experiments.report.sound import altered_rows, listening
from experiments.scores import (
    METRICS,
    Record,
    average,
    beside,
    chance,
    confusions,
    interval,
    noun,
    paired_seeds,
    question,
    runs_of,
    values,
)
from features.splits import SIDES

_SUBJECTS = {"real+synthetic": "the GAN's clips", "real+classical": "altered copies"}


def render_report(
    results: Record,
    *,
    clips: Mapping[str, Mapping[str, np.ndarray]],
    gan_curves: Mapping[str, Sequence[Mapping[str, float]]],
    augmented: Mapping[str, Mapping[str, np.ndarray]] | None = None,
) -> str:
    """The report page of a comparison.

    Parameters
    ----------
    results : content of ``results.json``; what is missing is left out of the page.
    clips : for each label ``"real"`` and ``"generated"`` audio, (n, L, C) in [-1, 1], at
        ``results["data"]["sample_rate"]`` Hz.
    gan_curves : for each label the lines of its GAN's ``metrics.jsonl``.
    augmented : of `experiments.report.sound.altered_clips`, where an arm trained on such.

    Returns
    -------
    str
        HTML with every picture, sound and script inside; the same for the same arguments.

    Raises
    ------
    ValueError
        For clips that hold NaN or Inf.
    """
    data, arms = results.get("data", {}), results.get("arms", {})
    labels, found = data.get("labels", []), question(results)
    arm = found["arm"] if found else "real+synthetic"
    return render(
        "compare.html",
        results=results,
        version=results.get("version", ""),
        metrics=METRICS,
        sides=SIDES,
        noun=noun(labels),
        question=found,
        subject=_SUBJECTS.get(arm, f"what {arm} adds"),
        others=beside(results, found) if found else [],
        seeds=paired_seeds(arms),
        tests=_test_tracks(results),
        runs=max((len(runs_of(record)) for record in arms.values()), default=0),
        chance=chance(labels),
        arms=_arms(results),
        table=[_scores(name, record) for name, record in arms.items()],
        differences=_differences(results),
        per_label=_per_label(results),
        matrices=_matrices(arms, labels),
        classifiers=classifier_figures(arms),
        gans=gan_figures(gan_curves),
        heard=listening(clips, data["sample_rate"]) if clips else [],
        altered=altered_rows(augmented, data["sample_rate"]) if augmented else [],
    )


def _test_tracks(results: Record) -> int:
    return len(results.get("split", {}).get("test", ()))


def _arms(results: Record) -> tuple[list[Row], Scale]:
    """Track accuracy of each arm with its interval."""
    rows, tracks, metric = [], _test_tracks(results), "track_accuracy"
    for name, arm in results.get("arms", {}).items():
        if not runs_of(arm):
            rows.append(Row(name, failed=f"failed: {arm.get('error', 'no run finished')}"))
            continue
        dots = values(arm, metric)
        rows.append(
            Row(
                name,
                told=f"{name}: track accuracy {spread(dots)} percent",
                mean=average(arm, metric),
                ends=interval(arm, metric, tracks),
                dots=dots,
                number=f"{spread(dots)} %",
                kind="arm",
            )
        )
    return rows, Scale.around([0.0, *(x for row in rows for x in (*row.dots, *(row.ends or ())))])


def _scores(name: str, arm: Record) -> list[str] | dict[str, str]:
    """The cells of an arm, or its name and why it has none."""
    if not runs_of(arm):
        return {"arm": name, "error": arm.get("error", "no run finished")}
    cells = [spread(values(arm, metric)) for metric in METRICS]
    return [name, *cells, spread(values(arm, "best_step"), unit=1), str(len(runs_of(arm)))]


def _differences(results: Record) -> tuple[dict[str, list[Row]], Scale]:
    """For each metric the differences between arms."""
    differences = results.get("differences", [])
    reach = [end for d in differences for end in (*d["ci95"], d["mean"], d.get("detectable"))]
    plots: dict[str, list[Row]] = {}
    for d in differences:
        number = f"{points(d['mean'])} ({_ends(d)})"
        row = replace(
            _difference(d, d["arm"], number),
            note=f"against {d['against']}",
            band=d.get("detectable"),
            verdict=d.get("verdict", ""),
        )
        plots.setdefault(METRICS.get(d["metric"], d["metric"]), []).append(row)
    return plots, Scale.around(reach, symmetric=True)


def _per_label(results: Record) -> tuple[dict[tuple[str, str], list[Row]], Scale]:
    """For each pair of arms the differences in recall, label by label."""
    found = results.get("per_label", [])
    plots: dict[tuple[str, str], list[Row]] = {}
    for d in found:
        row = _difference(d, d["label"], points(d["mean"]))
        plots.setdefault((d["arm"], d["against"]), []).append(row)
    return plots, Scale.around([x for d in found for x in (*d["ci95"], d["mean"])], symmetric=True)


def _difference(d: Record, name: str, number: str) -> Row:
    told = f"{points(d['mean'])} points, 95 % interval {_ends(d)}"
    kind = {"benefit": "benefit", "harm": "harm"}.get(d.get("verdict", ""), "")
    return Row(name, told, mean=d["mean"], ends=d["ci95"], number=number, kind=kind)


def _ends(difference: Record) -> str:
    return " to ".join(map(points, difference["ci95"]))


def _matrices(arms: Mapping[str, Record], labels: Sequence[str]) -> list[Record]:
    found = {name: confusions(arm, "confusion") for name, arm in arms.items()}
    return [
        confusion(name, counted(sums[1], "run"), labels, sums[0])
        for name, sums in found.items()
        if sums
    ]
