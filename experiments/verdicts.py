"""What a comparison may claim: five verdicts, by a stated rule.

A difference is first judged by itself (`experiments.statistics`). What a comparison is about is
then held to more: all arms came to their end, every reading of it points the same way, and what
helped, helped more than classical augmentation and noise would have.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

CLAIMS = ("benefit", "harm")
CONTROLS = {"classical": "classical augmentation", "noise": "white noise in their place"}
Record = Mapping[str, Any]


def seeds_of(arm: Record) -> set[int]:
    """Of its runs that came to their end."""
    return {run["classifier_seed"] for run in arm.get("runs") or ()}


def lost_seeds(arm: Record) -> set[int]:
    """Of its runs that failed."""
    return {run["classifier_seed"] for run in arm.get("failed_runs") or ()}


def limited(
    rows: Sequence[dict[str, Any]],
    late: Sequence[str],
    failed: Collection[str] = (),
    *,
    once: bool = False,
) -> list[dict[str, Any]]:
    """Differences, of which those of arms that did not come to their end claim nothing.

    Nor do those of arms of which runs ``failed``: which are left is no matter of chance. Nor of
    arms that ran ``once`` each: what another run of each would change is not known.
    """
    found = []
    for row in rows:
        arms = {row["arm"], row["against"]}
        if arms & {*late}:
            row = row | {"verdict": "budget-limited"}
        elif (once or arms & {*failed}) and row["verdict"] in (*CLAIMS, "equivalent"):
            row = row | {"verdict": "undecided"}
        found.append(row)
    return found


def controls(
    rows: Sequence[Record], expected: Mapping[tuple[str, str], bool]
) -> list[dict[str, Any]]:
    """Of each control the verdict, and what is wrong where it is not what was known beforehand.

    Parameters
    ----------
    rows : differences with their verdicts and intervals.
    expected : of an arm and the one that it is held against, whether what it adds helps.

    Returns
    -------
    list of dict
        ``arm``, ``against``, ``verdict`` (None where no run finished), and ``wrong``: a sentence
        without its full stop, or None.
    """
    known = {(r["arm"], r["against"]): r for r in rows if r["metric"] == "track_accuracy"}
    found: list[dict[str, Any]] = []
    for (arm, against), helps in expected.items():
        row, wrong = known.get((arm, against)), None
        verdict = row and row["verdict"]
        if helps and verdict != "benefit":
            wrong = (
                f"that further real clips help did not show ({arm}: {verdict or 'no run finished'})"
            )
            wrong += ", so a gain as large as theirs may be missed" * (verdict == "undecided")
        elif row and not helps and row["ci95"][0] > 0:
            wrong = f"{arm} is better than {against}, so more of any clips may help here"
        found.append({"arm": arm, "against": against, "verdict": verdict, "wrong": wrong})
    return found


def answer(
    question: Record,
    beside: Sequence[Record],
    readings: Sequence[Record],
    arms: Mapping[str, Record],
    late: Sequence[str],
    *,
    once: bool = False,
) -> dict[str, Any]:
    """The verdict on what a comparison is about, why it is no more, and what was not tried.

    Parameters
    ----------
    question : the primary difference, with its verdict by itself.
    beside : the same arm's differences of the same metric against other arms.
    readings : the same difference at other steps.
    arms : of each its ``role`` and ``sources``, its ``runs`` that came to their end, and those
        that failed (``failed_runs``).
    late : arms that did not come to their end.
    once : whether each arm ran once alone.

    Returns
    -------
    dict
        ``verdict``, ``because`` (sentences without their full stop), and ``untried``: of what is
        generated, the `CONTROLS` that it was not held against, and which arm failed to be one.
    """
    pair = question["arm"], question["against"]
    made = arms[pair[0]]["role"] == "generated"
    others = {name: one for name, one in arms.items() if one["role"] in ("classical", "control")}
    untried = _untried(others) if made else {}
    found: dict[str, Any] = {"verdict": question["verdict"], "because": []}
    found["untried"] = [
        words + (f" ({', '.join(failed)} failed)" if failed else "")
        for words, failed in untried.items()
    ]
    lost = [why for name in pair if (why := _lost(name, arms[name]))]
    if late:
        of = f"{'its' if len(late) == 1 else 'their'} runs"
        short = (
            f"{', '.join(late)} may have needed more steps: in more than a tenth of {of} the best "
            "step was in the last tenth"
        )
        return found | {"verdict": "budget-limited", "because": [short, *lost]}
    if once:
        lost.append("each arm ran once, so what another run of each would change is not known")
    if lost:
        return found | {"verdict": "undecided", "because": lost}
    if question["verdict"] not in CLAIMS:
        return found
    turned = [r["reading"] for r in readings if r["mean"] * question["mean"] <= 0]
    because = [f"at {reading} the difference does not point the same way" for reading in turned]
    if question["verdict"] == "benefit" and made:
        weak = {row["against"] for row in beside if row["ci95"][0] <= 0}
        because += [
            f"the interval against {name} is not above 0" for name in others if name in weak
        ]
        because += [why for name, one in others.items() if (why := _lost(name, one))]
        because += [
            f"a benefit has to be one against {words}, too"
            for words, failed in untried.items()
            if not failed
        ]
    return found | ({"verdict": "undecided", "because": because} if because else {})


def _untried(arms: Mapping[str, Record]) -> dict[str, list[str]]:
    """The `CONTROLS` that no arm has in a run that finished, each with the arms that failed."""
    found = {}
    for source, words in CONTROLS.items():
        of = [name for name, arm in arms.items() if source in arm["sources"]]
        if not any(seeds_of(arms[name]) for name in of):
            found[words] = of
    return found


def _lost(name: str, arm: Record) -> str:
    """Why what is left of an arm shows nothing; empty where all of its runs came to their end."""
    failed, left = lost_seeds(arm), seeds_of(arm)
    if not left:
        return f"no run of {name} finished, so nothing says whether it does as well"
    if not failed:
        return ""
    return (
        f"{len(failed)} of {len(failed | left)} runs of {name} failed, and those left are not "
        "drawn at random"
    )


def agreement(name: str, first: Record, second: Record) -> dict[str, Any]:
    """Whether two classifiers, trained on the same clips, answer alike.

    An effect that one network alone shows is no finding about the clips.

    Parameters
    ----------
    name : recipe of the first.
    first, second : what was told of each (`experiments.stages.findings.told`), of the second with
        its ``recipe``.

    Returns
    -------
    dict
        ``verdict`` ("alike", "opposite", "one alone" or "untold"), ``said`` (a sentence without
        its full stop), and of all differences in track accuracy how many point the ``same`` way
        in both, and ``of`` how many.
    """
    names = name, second["recipe"]
    rows = [
        {(d["arm"], d["against"]): d for d in of["differences"] if d["metric"] == "track_accuracy"}
        for of in (first, second)
    ]
    pairs = [pair for pair in rows[0] if pair in rows[1]]
    same = sum(rows[0][pair]["mean"] * rows[1][pair]["mean"] > 0 for pair in pairs)
    found: dict[str, Any] = {"same": same, "of": len(pairs)}
    if None in (answers := [of["answer"] for of in (first, second)]):
        lost = " and ".join(n for n, a in zip(names, answers, strict=True) if a is None)
        return found | {"verdict": "untold", "said": f"no question was answered with {lost}"}
    one, other = (answer["verdict"] for answer in answers)
    if not {one, other} & {*CLAIMS, "equivalent"}:
        verdict, said = "untold", f"neither classifier tells: {names[0]} {one}, {names[1]} {other}"
    elif one == other:
        verdict, said = "alike", f"both classifiers, {names[0]} and {names[1]}, answer alike: {one}"
    elif {one, other} == {*CLAIMS}:
        verdict = "opposite"
        said = f"the classifiers contradict each other: {names[0]} {one}, {names[1]} {other}"
    else:
        verdict = "one alone"
        said = f"the classifiers do not agree: {names[0]} {one}, {names[1]} {other}"
        if {one, other} & {*CLAIMS}:
            said += "; what one of them alone shows is no finding about the clips"
    return found | {"verdict": verdict, "said": said}
