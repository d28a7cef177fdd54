"""What a command prints when it has done its work: text of plain values, in one function each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.report.terminal import duration

if TYPE_CHECKING:
    from experiments.recipes import Recipe

_MEANS = ("track_accuracy", "accuracy", "macro_f1")


def compare(results: Mapping[str, Any], out: Path) -> str:
    """The table of the arms and the verdicts."""
    lines = [*_scores("arm", results["arms"]), ""]
    for row in results["differences"]:
        low, high = row["ci95"]
        lines.append(
            f"{row['arm']} against {row['against']}, {row['metric'].replace('_', ' ')}: "
            f"{row['mean']:+.3f} (95 % interval {low:+.3f} to {high:+.3f}): {row['verdict']}"
        )
    return "\n".join([*lines, "", _page(out)])


def classify(results: Mapping[str, Any] | str, out: Path) -> str:
    """The table of the splits and the published figure; that of several recipes is text already."""
    if isinstance(results, str):
        return f"{results}\n\n{_page(out)}"
    lines, published = _scores("split", results["splits"]), results["published"]
    if published["accuracy"] is not None:
        lines.append(f"published: {published['accuracy']:.4f}; {published['note']}")
    return "\n".join([*lines, "", _page(out)])


def _page(out: Path) -> str:
    return f"report: {out / 'report.html'}"


def _scores(title: str, outcomes: Mapping[str, Any]) -> list[str]:
    """A line for each arm or split, with the means of its runs."""
    lines = [f"\n{title:<24}{'runs':>5}{'track accuracy':>16}{'clip accuracy':>15}{'macro-F1':>10}"]
    for name, outcome in outcomes.items():
        if not (runs := outcome["runs"]):
            lines.append(f"{name:<24} failed: {outcome['error']}")
            continue
        track, clip, f1 = (sum(run[metric] for run in runs) / len(runs) for metric in _MEANS)
        leak = "  leaks: clips of a track on both sides" if outcome.get("leaks") else ""
        lines.append(f"{name:<24}{len(runs):>5}{track:>16.1%}{clip:>15.1%}{f1:>10.3f}{leak}")
    return lines


def train(gans: Sequence[Any], out: Path) -> str:
    """How many GANs there are, and what comes next."""
    count = f"{len(gans)} GAN{'s' * (len(gans) > 1)}"
    return f"{count} in {out}; clips: wavegan generate {out}\n{_page(out)}"


def generate(written: Any, out: Path | None) -> str:
    """How many clips of each class, and where."""
    count = len(written.files) // len(written.labels)
    return f"{count} clips of {', '.join(written.labels)} in {written.folder}"


def interpolate(written: Any, out: Path | None) -> str:
    """How many clips, and which file has them all."""
    *clips, whole = written.files
    return f"{len(clips)} clips in {written.folder}, one after another in {whole}"


def predict(result: Mapping[str, Any], out: Path) -> str:
    """A line a file; where the folders name the classes, the share that is right."""
    lines, labelled = [], any("correct" in found for found in result["files"])
    for found in result["files"]:
        notes = []
        if labelled:
            notes.append("right" if found["correct"] else f"wrong: {found['label']}")
        if found["trained_on"]:
            notes.append("trained on")
        if rate := found["resampled_from"]:
            notes.append(f"resampled from {rate} to {found['sample_rate']} Hz")
        note = f"  ({', '.join(notes)})" if notes else ""
        lines.append(f"{found['confidence']:6.1%}  {found['predicted']:<12}  {found['file']}{note}")
    lines += [f"refused  {refused['file']}: {refused['reason']}" for refused in result["refused"]]
    if labelled:
        fresh = [found for found in result["files"] if not found["trained_on"]]
        known, right = len(result["files"]) - len(fresh), sum(found["correct"] for found in fresh)
        share = f" ({right / len(fresh):.1%})" if fresh else ""
        beside = f"; {known} more it was trained on do not count" if known else ""
        lines.append(f"{right} of {len(fresh)} right{share}{beside}")
    pages = f"pictures: {out / 'predictions.html'}, table: {out / 'predictions.csv'}"
    return "\n".join([*lines, "", pages])


def search(result: Mapping[str, Any], out: Path) -> str:
    """What the best trial had."""
    best, trials = result["best"], result["trials"]
    finished = sum("valid_loss" in trial for trial in trials)
    lines = [f"{len(trials)} trials, {finished} of them to the end; the best:"]
    lines += [f"  {name:<16}{value}" for name, value in {**best["options"], **best["fit"]}.items()]
    score = f"  validation loss {best['valid_loss']:.3f}, accuracy {best['valid_accuracy']:.1%}"
    return "\n".join([*lines, score, "", f"record: {out / 'search.json'}"])


def study(results: Mapping[str, Any], out: Path) -> str:
    """The table of the variants."""
    from experiments.report.study import study_table

    return f"{study_table(results)}\nresults: {out / 'results.json'}, {out / 'study.md'}"


def recipes(found: Mapping[str, Recipe]) -> str:
    """A line a recipe."""
    lines = [f"{'recipe':<20}{'published':>10}  what it is"]
    for name, recipe in found.items():
        figure = "-" if recipe.published is None else f"{recipe.published:.4f}"
        lines.append(f"{name:<20}{figure:>10}  {recipe.about}")
    ending = "`wavegan recipes NAME` shows one in full, its command with it."
    return "\n".join([*lines, "", ending])


def recipe(one: Recipe) -> str:
    """All of a recipe, of its training what is not as it always is."""
    usual = vars(type(one.fit)(epochs=1))
    told = ("optimizer", "learning_rate", "batch_size")
    fit = {n: v for n, v in vars(one.fit).items() if n in told or v != usual[n]}
    per_track = f"{one.per_track} a track" if one.per_track else "end to end"
    silence = f", silent {one.silence} out" if one.silence else ""
    return _aligned(
        {
            "what it is": one.about,
            "command": one.command,
            "takes": one.takes or "not measured",
            "published": f"{one.published or 'no figure'}; {one.note}",
            "clips": f"{one.clip_seconds:.2f} s at {one.sample_rate} Hz, {per_track}{silence}",
            "features": one.input,
            "network": ", ".join([one.architecture, *(f"{n}={v}" for n, v in one.options.items())]),
            "training": ", ".join(f"{name} {value}" for name, value in fit.items()),
            "published split": f"{one.split}, {' / '.join(f'{x:g}' for x in one.fractions)}",
            "generated clips": "as many as real ones (--generated RUN)" * one.synthetic or "none",
        }
    )


def plan(found: Mapping[str, Any]) -> str:
    """What there is to do: counts as they are, ``seconds`` and ``disk_bytes`` in their units."""
    lines = {name: f"{value:,}" for name, value in found.items() if isinstance(value, int)}
    lines |= {name: value for name, value in found.items() if isinstance(value, str)}
    lines.pop("disk_bytes", None)
    lines.pop("seconds", None)
    if (seconds := found.get("seconds")) is not None:
        lines["time"] = f"about {duration(seconds)}"
    if (size := found.get("disk_bytes")) is not None:
        lines["disk"] = f"{size / 1e6:.0f} MB" if size < 1e9 else f"{size / 1e9:.1f} GB"
    return _aligned(lines)


def _aligned(lines: Mapping[str, Any]) -> str:
    return "\n".join(f"{name.replace('_', ' '):<17}{value}" for name, value in lines.items())
