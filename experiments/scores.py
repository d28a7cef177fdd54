"""What results say in numbers: which figure holds, what a leak is worth, which variant is best.

Pages and tables show what is decided here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import product
from statistics import median
from typing import Any

import numpy as np

from experiments.recipes import REFERENCE
from experiments.statistics import FEWEST_CLUSTERS, FEWEST_GANS
from features.synthetic import GENRES

Record = Mapping[str, Any]  # an object of results.json

METRICS = {"track_accuracy": "track accuracy", "accuracy": "clip accuracy", "macro_f1": "macro-F1"}
KERNEL = "kernel_distance"
UNALTERED = "as they are"  # test clips
MUSIC = {  # labels that are genres: the embedded ones, GTZAN's and FMA's, in small letters alone
    *GENRES, "blues", "classical", "country", "disco", "hiphop", "jazz", "metal", "pop", "reggae",
    "rock", "electronic", "experimental", "folk", "instrumental", "international",
    "easylistening", "historic", "oldtimehistoric", "soulrnb", "spoken",
}  # fmt: skip


def wilson(share: float, count: int) -> tuple[float, float]:
    """95 % interval of a share seen in ``count`` independent cases (Wilson 1927)."""
    z2 = 1.96**2
    middle = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = (z2 * (share * (1 - share) / count + z2 / (4 * count**2))) ** 0.5 / (1 + z2 / count)
    return middle - half, middle + half


def chance(labels: Sequence[Any]) -> float | None:
    """Share that guessing gets right; None without labels."""
    return 1 / len(labels) if labels else None


def noun(labels: Sequence[str]) -> str:
    """What a label is called: a "genre" where all are known ones of music, else a "class"."""
    names = {re.sub("[^a-z]", "", str(label).lower()) for label in labels}
    return "genre" if names and names <= MUSIC else "class"


# --- runs -----------------------------------------------------------------------------------------


def runs_of(record: Record | None) -> Sequence[Record]:
    """The runs of a split or of an arm; none of one that failed."""
    return (record or {}).get("runs") or []


def values(record: Record | None, metric: str) -> list[float]:
    """The metric in each run that has it, over all of its folds where there are several."""
    pooled = (record or {}).get("pooled") or {}
    return pooled.get(metric) or [
        run[metric] for run in runs_of(record) if run.get(metric) is not None
    ]


def average(record: Record | None, metric: str) -> float | None:
    """The metric's mean over the runs; None where none has it."""
    found = values(record, metric)
    return float(np.mean(found)) if found else None


def interval(record: Record | None, metric: str, count: int) -> tuple[float, float] | None:
    """`wilson` of the mean, seen in ``count`` cases; None without cases or runs."""
    share = average(record, metric)
    return wilson(share, count) if count and share is not None else None


def confusions(record: Record | None, key: str) -> tuple[np.ndarray, int] | None:
    """The sum of the runs' confusion matrices, and of how many; None without any."""
    found = [np.asarray(run[key]) for run in runs_of(record) if run.get(key)]
    return (np.sum(found, axis=0), len(found)) if found else None


def tested_tracks(split: Record) -> int:
    """Test tracks of a run of a split: the fewest of them, where seeds differ."""
    return min((len(run.get("tracks") or []) for run in runs_of(split)), default=0)


# --- a comparison ---------------------------------------------------------------------------------


def parts(results: Record) -> list[Record]:
    """The results of each amount of training tracks, then those of the recipe beside.

    The first is that of the question.
    """
    other = results.get("beside")
    both = [results, {**results, **other}] if other else [results]
    amounts = ([{}, *({"per_label": [], **part} for part in of.get("amounts", []))] for of in both)
    return [{**of, **part} for of, parts in zip(both, amounts, strict=True) for part in parts]


def part_of(results: Record) -> list[str]:
    """Which recipe, where there are two, and which amount results are of."""
    recipe = results["recipe"] if results.get("beside") else None
    return [str(what) for what in (recipe, results.get("amount")) if what]


def held_out_tracks(results: Record) -> int:
    """Test tracks, those of all folds together."""
    split = results.get("split", {})
    return split.get("tests") or len(split.get("test", ()))


def question(results: Record) -> dict[str, Any] | None:
    """The difference that a comparison is about; None where an arm of it did not finish."""
    return next((d for d in results.get("differences", []) if d.get("primary")), None)


def beside(results: Record, found: Record) -> list[Record]:
    """The differences of the same arm and metric as ``found`` against other arms."""
    same = [d for d in results.get("differences", []) if d["against"] != found["against"]]
    return [d for d in same if (d["arm"], d["metric"]) == (found["arm"], found["metric"])]


def same_steps(results: Record, found: Record) -> bool:
    """Whether all runs of both arms took as many steps, which fits to an optimum do not."""
    arms = results.get("arms", {})
    both = (runs_of(arms.get(found[arm])) for arm in ("arm", "against"))
    return len({run.get("steps") for runs in both for run in runs}) == 1


def bounds(results: Record, found: Record) -> str:
    """For what alone a difference holds, in words: a run or seed, one GAN, a few artists."""
    split, arms, words = results.get("split", {}), results.get("arms", {}), []
    both = [arms.get(found[arm], {}) for arm in ("arm", "against")]
    if ran_once(results):
        words.append("for this run of each")
    elif _of_one_seed(results):  # folds have its luck in common
        words.append("for this seed")
    seeds, folds = results.get("gan", {}).get("seeds"), split.get("folds", 1)
    if any(arm.get("generated") for arm in both) and seeds:
        gans = seeds * folds
        # GANs of as many seeds, or folds, are what the difference varies with.
        if (gans if seeds > 1 or results.get("varies_with") == "folds" else seeds) < FEWEST_GANS:
            words.append(f"for these {gans} GANs" if gans > 1 else "for this GAN")
    if any(arm.get("role") == "generated" and not arm.get("generated") for arm in both):
        words.append("for these clips")  # of a generator that was trained once, elsewhere
    groups = split.get("test_groups")
    if groups and groups < min(FEWEST_CLUSTERS, held_out_tracks(results)):
        several = f"these {groups} artists or speakers" if groups > 1 else "this artist or speaker"
        words.append(f"for {several}")
    return " and ".join(words)


def varying(results: Record) -> str:
    """What its differences vary with, in words."""
    folds = results.get("varies_with") == "folds"
    draws = results.get("split", {}).get("draws", 1) > 1
    rows = "draws of the training tracks" if draws else "runs (GANs, where there are several)"
    columns = "folds" if folds else "tracks (artists or speakers, where known)"
    return f"{columns} alone" if _of_one_seed(results) else f"{columns} and {rows}"


def ran_once(results: Record) -> bool:
    """Whether each arm ran once, so that nothing says how much another run would differ."""
    return results.get("varies_with") != "folds" and _of_one_seed(results)


def _of_one_seed(results: Record) -> bool:
    """Whether all runs are of one seed, in each fold one."""
    drawn = results.get("split", {}).get("draws", 1) > 1
    return not drawn and paired_seeds(results.get("arms", {})) == 1


def paired_seeds(arms: Mapping[str, Record]) -> int:
    """Pairs of a classifier's and a GAN's seed that some arm has run."""
    runs = [run for arm in arms.values() for run in runs_of(arm)]
    return len({(run.get("classifier_seed"), run.get("gan_seed")) for run in runs})


# --- a classification -----------------------------------------------------------------------------


def leaking(splits: Mapping[str, Record]) -> list[str]:
    """Names of the splits with clips of a track on several sides."""
    return [name for name, split in splits.items() if split.get("leaks")]


def best_split(splits: Mapping[str, Record]) -> str | None:
    """The split whose figure holds: of those that ran, one without a leak if there is one."""
    ran = [name for name in splits if runs_of(splits[name])]
    return min(ran, key=lambda n: (bool(splits[n].get("leaks")), n != "track"), default=None)


def as_published(results: Record) -> bool:
    """Whether what is wrong with a published protocol was repeated: then its test is none."""
    return results.get("config", {}).get("protocol") == "published"


def whole_tracks(results: Record) -> bool:
    """Whether a clip is a whole track: clips can't be split other than by track then.

    Not where the test of a published protocol is drawn from all of them.
    """
    if as_published(results):
        return False
    runs = [run for split in results.get("splits", {}).values() for run in runs_of(split)]
    clips = {row.get("clips") for run in runs for row in run.get("tracks") or []}
    tracks = results.get("data", {}).get("tracks") or 0
    return clips == {1} and all(sum((run.get("clips") or {}).values()) <= tracks for run in runs)


def leaks_worth(splits: Mapping[str, Record]) -> list[float]:
    """Clip accuracy with a leak minus without one, for each seed that has both; shares."""
    leaks, held = leaking(splits), best_split(splits)
    if not leaks or held is None or held in leaks:
        return []
    high, low = (
        {run.get("seed"): run["accuracy"] for run in runs_of(splits[name]) if "accuracy" in run}
        for name in (leaks[0], held)
    )
    return [high[seed] - low[seed] for seed in high if seed in low]


def robustness(split: Record) -> dict[str, dict[str, list[float]]]:
    """Accuracies of each run on test clips as they are, then on those of each alteration.

    Of a split that leaks by clip alone; nothing where no run has any.
    """
    runs = [run for run in runs_of(split) if run.get("robustness")]
    metrics = ("accuracy",) if split.get("leaks") else ("track_accuracy", "accuracy")
    names = dict.fromkeys(name for run in runs for name in run["robustness"])
    found = {UNALTERED: runs} if runs else {}
    found |= {name: [run["robustness"].get(name, {}) for run in runs] for name in names}
    return {
        name: {m: [row[m] for row in rows if row.get(m) is not None] for m in metrics}
        for name, rows in found.items()
    }


def comparable(results: Record) -> str:
    """What the published figure is worth, and which split of the results it compares with."""
    published = results.get("published") or {}
    note = str(published.get("note") or "").strip()
    if published.get("accuracy") is None:
        return "" if note == "none" else note.removeprefix("none; ")
    protocol = results.get("config", {}).get("recipe", {}).get("split")
    if as_published(results) or not protocol or (protocol == "chunk" and whole_tracks(results)):
        return note
    return "; ".join(filter(None, [note, f"compare it with the {protocol} split only"]))


# --- a study --------------------------------------------------------------------------------------


def conclusions(runs: Sequence[Record]) -> dict[str, Any]:
    """Paired ``differences`` of a study, and the variant that is ``recommended``.

    Differences of kernel distances, below 0 where better: of each variant's averaged weights to
    the reference's of the same seed, and to the last weights of the same run. Recommended is
    the variant with the least median distance to the validation tracks, if none of its runs
    failed; the test tracks have no say in it.

    Parameters
    ----------
    runs : rows with ``variant``, ``seed`` and either ``failed`` or the metrics of ``last`` and
        ``ema`` weights against ``valid`` and ``test`` windows.
    """
    variants = list(dict.fromkeys(row["variant"] for row in runs))

    def distances(variant: str, weights: str, windows: str) -> dict[str, float]:
        rows = finished(runs, variant)
        return {str(row["seed"]): row[weights][windows][KERNEL] for row in rows}

    found = []
    for variant, windows in product(variants, ("valid", "test")):
        others = {"last weights": (variant, "last")}
        if variant != REFERENCE:
            others[REFERENCE] = (REFERENCE, "ema")
        for minus, of in others.items():
            own, other = distances(variant, "ema", windows), distances(*of, windows)
            by_seed = {seed: own[seed] - other[seed] for seed in own if seed in other}
            better = sum(difference < 0 for difference in by_seed.values())
            found.append(
                {"variant": variant, "minus": minus, "windows": windows, "by_seed": by_seed}
                | {"better": better, "median": median(by_seed.values()) if by_seed else None}
            )
    medians = {
        variant: median(own.values())
        for variant in variants
        if len(own := distances(variant, "ema", "valid"))
        == sum(row["variant"] == variant for row in runs)
    }
    recommended = min(medians, key=medians.__getitem__, default=None)
    return {"differences": found, "recommended": recommended}


def curve(runs: Sequence[Record], variant: str) -> list[tuple[float, float]]:
    """Share of the time and the median kernel distance to the validation tracks at it."""
    rows = [row["curve"] for row in finished(runs, variant)]
    return [
        (float(median(share for share, _ in points)), float(median(x for _, x in points)))
        for points in zip(*rows, strict=False)
    ]


def finished(runs: Sequence[Record], variant: str) -> list[Record]:
    """The runs of a study's variant that did not fail."""
    return [row for row in runs if row["variant"] == variant and "failed" not in row]
