"""The page of a comparison: did the added clips help, how sure is that, and how do they sound?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from experiments import scores
from experiments.claims import TOO_FEW
from experiments.report import tables
from experiments.report.charts import Row, Scale, confusion
from experiments.report.checks import checks, gan_table, otherwise, readings
from experiments.report.curves import (
    classifier_figures,
    gan_figures,
    quality_panel,
    response_panels,
)
from experiments.report.formats import counted, percent, points, spread
from experiments.report.kit import render_results
from experiments.report.sound import altered_rows, listening
from experiments.scores import METRICS, Record, runs_of
from experiments.verdicts import CLAIMS

_OF_EACH = ("training steps", "runs that failed", "learning rates")  # amount and recipe


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

    Raises
    ------
    ValueError
        For clips that hold NaN or Inf.
    """
    data, arms = results.get("data", {}), results.get("arms", {})
    recipe, others = results.get("recipe"), scores.parts({"recipe": None, **results})[1:]
    tests, found = scores.held_out_tracks(results), scores.question(results)
    arm = found["arm"] if found else "real+synthetic"
    gained = results.get("quality_gain")
    sums = {name: scores.confusions(record, "confusion") for name, record in arms.items()}
    return render_results(
        "compare.html",
        results,
        question=found,
        subject=arms.get(arm, {}).get("subject") or f"what {arm} adds",
        bounds=scores.bounds(results, found) if found else "",
        same_steps=scores.same_steps(results, found) if found else True,
        varying=scores.varying(results),
        once=scores.ran_once(results),
        others=scores.beside(results, found) if found else [],
        checks=checks(results),
        readings=readings(results),
        otherwise=otherwise(results),
        gan_table=gan_table(results),
        answer=results.get("answer") or {"because": [], "untried": []},
        seeds=scores.paired_seeds(arms),
        tests=tests,
        runs=max((len(runs_of(record)) for record in arms.values()), default=0),
        arms=_arms(arms, tests),
        tables=tables.comparison_tables(results),
        amounts=[_again(part, tests) for part in others if part["recipe"] == recipe],
        beside=[_again(part, tests) for part in others if part["recipe"] != recipe],
        markdown=tables.comparison_markdown(results),
        latex=tables.comparison_latex(results),
        differences=_plots(results.get("differences", [])),
        positive=_positive(results),
        per_label=_plots(results.get("per_label", [])),
        claimed=[d for d in results.get("per_label", []) if d.get("verdict") in CLAIMS],
        few=list(
            dict.fromkeys(
                d["label"] for d in results.get("per_label", []) if d.get("verdict") == TOO_FEW
            )
        ),
        matrices=[
            confusion(name, counted(of[1], "run"), data.get("labels", []), of[0])
            for name, of in sums.items()
            if of
        ],
        responses=response_panels(results.get("curves") or []),
        gained=quality_panel(gained) if gained else None,
        classifiers=classifier_figures(arms),
        gans=gan_figures(gan_curves),
        heard=listening(clips, data["sample_rate"]) if clips else [],
        altered=altered_rows(augmented, data["sample_rate"]) if augmented else [],
    )


def _again(results: Record, tests: int) -> dict[str, Any]:
    """What the page has of a further amount of training tracks, or of the recipe beside."""
    return {
        "title": results["amount"] or results["recipe"],
        "arms": _arms(results["arms"], tests),
        "differences": _plots(
            [d for d in results["differences"] if d["metric"] == "track_accuracy"]
        ),
        "tables": tables.comparison_tables(results),
        "positive": _positive(results),
        "checks": [one for one in checks(results) if one[0] in _OF_EACH],
    }


def _positive(results: Record) -> list[str]:
    """The arms of positive controls."""
    return [d["arm"] for d in results.get("differences", []) if d.get("positive_control")]


def _arms(arms: Mapping[str, Record], tests: int) -> tuple[list[Row], Scale]:
    """Track accuracy of each arm with its interval."""
    rows = []
    for name, arm in arms.items():
        if not runs_of(arm):
            rows.append(Row(name, failed=f"failed: {arm.get('error', 'no run finished')}"))
            continue
        shares = scores.values(arm, "track_accuracy")
        ends = scores.interval(arm, "track_accuracy", tests)
        told = f"{name}: track accuracy {spread(shares)} %"
        told += f", 95 % interval {percent(ends[0])} to {percent(ends[1])}" if ends else ""
        told += f"; runs {', '.join(map(percent, shares))}" if len(shares) > 1 else ""
        rows.append(Row.of_runs(name, shares, ends, told=told))
    return rows, Scale.from_zero(rows)


def _plots(differences: Sequence[Record]) -> tuple[dict[Any, list[Row]], Scale]:
    """The differences of each metric; those that are of a label, by the arms."""
    plots: dict[Any, list[Row]] = {}
    for d in differences:
        mean, ends = points(d["mean"]), " to ".join(map(points, d["ci95"]))
        verdict = d.get("verdict", "")
        kind = verdict if verdict in CLAIMS else ""
        of = f"{d['arm']} against {d['against']}" + (f", {d['label']}" if "label" in d else "")
        told = f"{of}: {mean} points, 95 % interval {ends}" + (verdict and f", {verdict}")
        row = Row(d["arm"], told, mean=d["mean"], ends=d["ci95"], number=mean, kind=kind)
        if "label" in d:
            plots.setdefault((d["arm"], d["against"]), []).append(replace(row, name=d["label"]))
            continue
        row = replace(
            row,
            note=f"against {d['against']}" + ", positive control" * bool(d.get("positive_control")),
            band=d.get("detectable"),
            number=f"{mean} ({ends})",
            verdict=verdict,
        )
        plots.setdefault(METRICS.get(d["metric"], d["metric"]), []).append(row)
    reach = [abs(end) for d in differences for end in (*d["ci95"], d["mean"])]
    bands = [d["detectable"] for d in differences if d.get("detectable") is not None]
    reach += [band for band in bands if band < 2 * max(reach)]  # wider ones fill their row
    return plots, Scale.around(reach, symmetric=True)
