"""What a study of training variants shows: paired differences, and the table to read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import mean
from typing import Any

from experiments.recipes import REFERENCE

KERNEL = "kernel_distance"
Row = Mapping[str, Any]


def conclusions(runs: Sequence[Row]) -> dict[str, Any]:
    """Paired ``differences`` and the variant that is ``recommended``.

    Differences of kernel distances, below 0 where better: of each variant's averaged weights to
    the reference's of the same seed, and to the last weights of the same run. Recommended is
    the variant with the least mean distance to the training windows, if none of its runs failed.

    Parameters
    ----------
    runs : rows with ``variant``, ``seed`` and either ``failed`` or the metrics of ``last`` and
        ``ema`` weights against ``train`` and ``held_out`` windows.
    """
    variants = list(dict.fromkeys(row["variant"] for row in runs))
    reference = {row["seed"]: row for row in _whole(runs, REFERENCE)}
    found = []
    for variant in variants:
        rows = _whole(runs, variant)
        for against in ("train", "held_out"):
            ema = {row["seed"]: row["ema"][against][KERNEL] for row in rows}
            pairs = {"last weights": {row["seed"]: row["last"][against][KERNEL] for row in rows}}
            if variant != REFERENCE:
                pairs[REFERENCE] = {s: r["ema"][against][KERNEL] for s, r in reference.items()}
            for other, values in pairs.items():
                by_seed = {str(s): ema[s] - values[s] for s in ema if s in values}
                found.append(
                    {"variant": variant, "minus": other, "windows": against, "by_seed": by_seed}
                    | {"better": sum(d < 0 for d in by_seed.values())}
                    | {"mean": mean(by_seed.values()) if by_seed else None}
                )
    means = {
        variant: mean(row["ema"]["train"][KERNEL] for row in rows)
        for variant in variants
        if len(rows := _whole(runs, variant)) == sum(row["variant"] == variant for row in runs)
    }
    return {"differences": found, "recommended": min(means, key=means.__getitem__, default=None)}


def study_table(results: Mapping[str, Any]) -> str:
    """The results of a study as Markdown: metrics, paired differences, and their caption."""
    return "\n".join(
        [
            *_metrics(results),
            "",
            *_differences(results),
            "",
            *(f"- {name}: {about}." for name, about in results["variants"].items()),
            "",
            _caption(results),
            "",
        ]
    )


def _metrics(results: Mapping[str, Any]) -> Iterable[str]:
    columns = {
        "kernel distance": ("ema", "train", KERNEL),
        "by the last weights": ("last", "train", KERNEL),
        "Fréchet distance": ("ema", "train", "frechet_distance"),
        "nearest": ("ema", "train", "nearest"),
        "copies": ("ema", "train", "memorised"),
        "kernel, held out": ("ema", "held_out", KERNEL),
        "Fréchet, held out": ("ema", "held_out", "frechet_distance"),
    }
    yield _line(["variant", "steps", *columns])
    yield _line(["---", *["---:"] * (len(columns) + 1)])
    for variant in results["variants"]:
        runs = [row for row in results["runs"] if row["variant"] == variant]
        rows = _whole(runs, variant)
        lost = f" ({len(runs) - len(rows)} of {len(runs)} runs failed)" if rows != runs else ""
        best = "**" if variant == results["recommended"] else ""
        cells = [
            _spread([row[w][a].get(metric) for row in rows]) for w, a, metric in columns.values()
        ]
        yield _line([f"{best}{variant}{best}{lost}", str(runs[0]["steps"]), *cells])
    real = results["real"]
    cells = [_spread([real[a].get(m)]) if w == "ema" else "" for w, a, m in columns.values()]
    yield _line(["real clips of the other side", "", *cells])


def _differences(results: Mapping[str, Any]) -> Iterable[str]:
    found = {(d["variant"], d["minus"], d["windows"]): d for d in results["differences"]}
    columns = {
        "to the reference": (REFERENCE, "train"),
        "to the reference, held out": (REFERENCE, "held_out"),
        "averaged to last weights": ("last weights", "train"),
        "averaged to last, held out": ("last weights", "held_out"),
    }
    yield _line(["difference of kernel distances", *columns])
    yield _line(["---", *["---:"] * len(columns)])
    for variant in results["variants"]:
        cells = []
        for key in columns.values():
            difference = found.get((variant, *key), {"by_seed": {}})
            values = list(difference["by_seed"].values())
            better = f"; better in {difference['better']} of {len(values)}" if values else ""
            cells.append(_spread(values, sign="+") + better)
        yield _line([variant, *cells])


def _caption(results: Mapping[str, Any]) -> str:
    settings, tracks, floor = results["settings"], results["tracks"], results["floor"]
    versions = results["environment"]["versions"]
    errors = [row["ema"]["train"][f"{KERNEL}_error"] for row in results["runs"] if "ema" in row]
    uncertain = f" (standard error of one run about {mean(errors):.2g})" if errors else ""
    chosen = results["recommended"] or "none, since each has failed runs"
    return (
        f"{settings['data']}: one GAN of {tracks['train']} training tracks, {tracks['test']} "
        f"tracks held out; clips of {settings['num_samples']} samples at "
        f"{settings['sample_rate']} Hz, dim {settings['gan_dim']}, batches of "
        f"{settings['batch_size']}, learning rate {settings['learning_rate']:g} for all. Each run "
        f"has {settings['seconds']:g} s of training, as many steps as fit; seeds 0 to "
        f"{settings['seeds'] - 1}; mean (lowest to highest) over the seeds. {settings['count']} "
        f"generated clips{uncertain} are compared with as many windows of the training tracks and "
        "of the tracks held out; less is better, but for nearest. Real windows are from those of "
        f"other tracks {floor['train']['value']:.3g} ± {floor['train']['error']:.1g} away (held "
        f"out: {floor['held_out']['value']:.3g} ± {floor['held_out']['error']:.1g}). Averaged "
        "weights, where not said otherwise. A difference below 0 is an improvement; so few seeds "
        f"bear no p-value. Recommended: {chosen}, chosen by the mean kernel distance to the "
        "training windows with averaged weights; what is held out is only reported. "
        f"{results['environment']['hardware']}, flax {versions['flax']}, wavegan "
        f"{versions['wavegan']}."
    )


def _whole(runs: Sequence[Row], variant: str) -> list[Row]:
    return [row for row in runs if row["variant"] == variant and "failed" not in row]


def _spread(values: Iterable[float | None], sign: str = "") -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    middle = f"{mean(known):{sign}.3g}"
    if len(known) == 1:
        return middle
    return f"{middle} ({min(known):{sign}.3g} to {max(known):{sign}.3g})"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
