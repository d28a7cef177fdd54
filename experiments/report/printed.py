"""What a command prints when its work is done; each function is called as its command is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from classifiers.fit_config import AT_ONCE
from experiments.report.formats import counted, duration, percent, points
from experiments.report.terminal import print_table, safe, text_table
from experiments.scores import (
    METRICS,
    Record,
    as_published,
    average,
    bounds,
    leaking,
    part_of,
    parts,
    question,
    runs_of,
)
from features.soundness import QUIET

if TYPE_CHECKING:
    from experiments.commands.audition import Auditioned
    from experiments.commands.generate import Written
    from experiments.recipes import Recipe


def compare(results: Record, out: Path) -> None:
    """The arms of a comparison, its differences, how long it took, and where the page is."""
    print()
    if results.get("sealed"):
        for part in parts(results):
            found = [
                (name, str(len(runs)), percent(sum(run["accuracy"] for run in runs) / len(runs)))
                for name, runs in part["validation"].items()
            ]
            arm = ", ".join(["arm", *part_of(part)])
            print_table(text_table((arm, "runs", "validation accuracy by clip"), found))
            for name, runs in part["failed"].items():
                why = "; ".join(dict.fromkeys(runs.values()))
                print(safe(f"{counted(len(runs), 'run')} of {name} failed: {why}"))
        print("the test side is sealed: repeat the command without --sealed to open it")
        return
    asked = question(results)
    for number, part in enumerate(parts(results)):
        if number:
            print()
        _print_scores(", ".join(["arm", *part_of(part)]), part["arms"])
    shown = [d for d in results["differences"] if d["metric"] == (asked or d)["metric"]]
    for part in parts(results)[1:]:
        same = (d for d in part["differences"] if asked and (_same(d, asked) or d.get("primary")))
        shown += [{**d, "primary": False, "of": part_of(part)} for d in same]
    rows = [
        (
            ", ".join([f"{d['arm']} against {d['against']}", *d.get("of", [])])
            + " (the question)" * bool(d.get("primary"))
            + " (the positive control)" * bool(d.get("positive_control")),
            points(d["mean"]),
            " to ".join(map(points, d["ci95"])),
            ", ".join(filter(None, (d["verdict"], bounds(results, d)))),
        )
        for d in sorted(shown, key=lambda d: not d.get("primary"))
    ]
    if rows:
        of = METRICS.get(shown[0]["metric"], shown[0]["metric"])
        heads = (f"difference in {of}", "points", "95 % interval", "verdict")
        print_table(text_table(heads, rows, words=(3,)))
        count = sum(len(part["differences"]) for part in parts(results))
        print(f"all {count} differences: {out / 'differences.csv'}")
    if agreed := results.get("agreement"):
        print(safe(f"{agreed['said']}; {agreed['same']} of {agreed['of']} differences in track "
                   "accuracy point the same way in both"))  # fmt: skip
    _print_cautions(results.get("split", {}), results.get("gan", {}).get("vouched"))
    answer = results.get("answer") or {}
    for reason in answer.get("because", ()):
        print(safe(f"no claim is made, since {reason}"))
    if untried := answer.get("untried"):
        print(safe(f"no arm tried {' or '.join(untried)}, so this does not say whether generated "
                   "clips do more than any other further clips would"))  # fmt: skip
    for one in results.get("missing_readings", ()):
        print(safe(f"no reading at {one['reading']}: {one['because']}"))
    other = results.get("beside") or {}
    for of, about in ((results, ""), (other, f" with {other.get('recipe')}")):
        for control in of.get("controls", ()):
            if control["wrong"]:
                print(safe(control["wrong"] + about))
    print(f"this session took {duration(results['environment']['session_seconds'])}")
    _print_page(out)


def repair(results: Record, out: Path) -> None:
    """A line for each rung, why runs failed, and what the last one says beside the first."""
    from experiments.report.repair import HEADS, cells, headline, lost

    print()
    print_table(text_table(HEADS, [cells(rung) for rung in results["ladder"]]))
    for rung in results["ladder"]:
        if why := lost(rung):
            print(safe(f"failed: {rung['repaired']}: {why}"))
    print(headline(results))
    _print_cautions(results["split"])
    _print_page(out)


def classify(results: Record | str, out: Path) -> None:
    """The splits, which of them leak, and what was published; a table of recipes is text."""
    if isinstance(results, str):
        print(results)
    else:
        from experiments.report.classify import ROBUSTNESS, robustness_rows

        print()
        _print_scores("split", results["splits"])
        if rows := list(robustness_rows(results["splits"])):
            print_table(text_table(ROBUSTNESS, rows, words=(1,)))
        for name in leaking(results["splits"]):
            why = "clips of a track on both sides"
            if as_published(results):
                why = "its test was drawn anew from all clips, as published, and is none"
            print(safe(f"the {name} split leaks: {why}"))
        for name, split in results["splits"].items():
            _print_cautions({"by": name, **split})
        _print_cautions({}, results.get("vouched"))
        if what := results.get("made_elsewhere"):
            print(safe(f"whether the network behind {what} heard these tracks can't be told here"))
        published = results["published"]
        if published["accuracy"] is not None:
            print(safe(f"published: {percent(published['accuracy'], 2)}; {published['note']}"))
    _print_page(out)


def _same(one: Record, other: Record) -> bool:
    """Whether two differences are of the same arms in the same metric."""
    return all(one[name] == other[name] for name in ("arm", "against", "metric"))


def _print_scores(what: str, records: Mapping[str, Record]) -> None:
    """Runs and means of arms or splits, and why some have none."""
    rows = [
        (name, str(len(runs_of(record))), *(percent(average(record, m)) for m in METRICS))
        for name, record in records.items()
    ]
    print_table(text_table((what, "runs", *METRICS.values()), rows))
    for name, record in records.items():
        if not runs_of(record):
            print(safe(f"{name} failed: {record.get('error', 'no run finished')}"))
        elif lost := record.get("failed_runs"):
            seeds = counted(len({run["classifier_seed"] for run in lost}), "run")
            print(safe(f"{seeds} of {name} failed: {lost[0]['error']}"))


def _print_cautions(split: Mapping[str, Any], vouched: Sequence[str] | None = None) -> None:
    """What a page says in a banner: shared artists or speakers, and a person's word."""
    if shared := split.get("shared_groups"):
        several = (
            "one artist or speaker" if len(shared) == 1 else f"{len(shared)} artists or speakers"
        )
        names = ", ".join(shared[:5]) + (", …" if len(shared) > 5 else "")
        print(safe(f"the {split.get('by')} split has {several} on two sides: {names}"))
    if vouched:
        print(safe(f"what {', '.join(vouched)} heard is one person's word (--vouch)"))


def _print_page(out: Path) -> None:
    print(f"\nreport: {out / 'report.html'}")


def train(gans: Sequence[Any], out: Path) -> None:
    """How many GANs there are, and what comes next."""
    print(f"{counted(len(gans), 'GAN')} in {out}; clips: wavegan generate {out}")
    _print_page(out)


def generate(written: Written, out: Path | None) -> None:
    """How many clips of each class, and where."""
    count, left = divmod(len(written.files), len(written.labels))
    told = f"{len(written.files)} clips, " if left else f"{count} clips "
    print(f"{told}of {', '.join(written.labels)} in {written.folder}")


def audition(found: Auditioned, out: Path | None) -> None:
    """How many clips there are to hear, and where."""
    print(f"{counted(found.clips, 'clip')} to hear on this page:")
    print(found.page)


def interpolate(written: Written, out: Path | None) -> None:
    """How many clips, and which file has them all."""
    *clips, whole = written.files
    print(f"{len(clips)} clips in {written.folder}, one after another in {whole}")


def listen(page: Path, out: Path | None) -> None:
    """Which file is for listeners, and which is not."""
    print(f"give listeners {page}, and not the key.json beside it; then:")
    print(f"wavegan listen analyse ANSWERS … --key {page.with_name('key.json')}")


def answers(found: Record) -> None:
    """Shares or scores with their intervals, who was left out, and how far listeners agree."""
    rows = [(f"{one['chosen']} of {one['one']} and {one['other']}", one)
            for one in found.get("pairs", [])]  # fmt: skip
    rows += [(one["source"], one) for one in found.get("classes", [])]
    if rows:
        columns = ("chosen", "answers", "share", "95 % interval", "exact binomial")
        cells = [
            (name, f"{one['hits']} of {one['count']}", percent(one["share"]),
             " to ".join(map(percent, one["ci95"])), " to ".join(map(percent, one["exact"])))
            for name, one in rows
        ]  # fmt: skip
        print_table(text_table(columns, cells))
    if scores := found.get("scores"):
        opinions = [
            (one["source"], str(one["clips"]), f"{one['mean']:.2f}",
             " to ".join(f"{x:.2f}" for x in one["ci95"]))
            for one in scores
        ]  # fmt: skip
        print_table(
            text_table(("source", "clips", "mean opinion score", "95 % interval"), opinions)
        )
    left_out = [one["listener"] for one in found["listeners"] if not one["counts"]]
    count = counted(len(found["listeners"]) - len(left_out), "listener")
    agreed = found["agreement"]
    told = "" if agreed is None else f", agreement (Krippendorff's alpha) {agreed:.2f}"
    print(f"{count}, {found['trials']} questions each{told}; intervals for {found['holding_for']}")
    if left_out:
        print(safe(f"left out for a wrong answer to a check: {', '.join(left_out)}"))


def predict(result: Mapping[str, Any], out: Path) -> None:
    """A line a file; where the folders name the classes, the share that is right."""
    files, labelled = result["files"], any("correct" in found for found in result["files"])
    for found in files:
        notes = []
        if labelled:
            said = "wrong" if found["nearest"] == found["predicted"] else "in truth"
            notes.append("right" if found["correct"] else f"{said}: {found['label']}")
        if found["nearest"] != found["predicted"]:
            notes.append(f"perhaps {found['nearest']}")
        if found["quiet"]:
            notes.append(f"quiet: {QUIET}")
        if found["trained_on"]:
            notes.append("trained on")
        if rate := found["resampled_from"]:
            notes.append(f"resampled from {rate} to {found['sample_rate']} Hz")
        note = f"  ({', '.join(notes)})" if notes else ""
        print(safe(f"{found['confidence']:6.1%}  {found['predicted']:<12}  {found['file']}{note}"))
    for refused in result["refused"]:
        print(safe(f"refused  {refused['file']}: {refused['reason']}"))
    if labelled:
        fresh = [found["correct"] for found in files if not found["trained_on"]]
        known, right = len(files) - len(fresh), sum(fresh)
        share = f" ({right / len(fresh):.1%})" if fresh else ""
        beside = f"; {known} more it was trained on do not count" if known else ""
        unsure = sum(found["nearest"] != found["predicted"] for found in files)
        beside += f"; {unsure} unknown" if unsure else ""
        print(f"{right} of {len(fresh)} right{share}{beside}")
    print(f"\npictures: {out / 'predictions.html'}, table: {out / 'predictions.csv'}")


def search(result: Mapping[str, Any], out: Path) -> None:
    """What the best trial had."""
    best, trials = result["best"], result["trials"]
    finished = sum("valid_loss" in trial for trial in trials)
    print(f"{len(trials)} trials, {finished} of them to the end; the best:")
    for name, value in {**best["options"], **best["fit"]}.items():
        print(f"  {name:<16}{value}")
    print(f"  validation loss {best['valid_loss']:.3f}, accuracy {best['valid_accuracy']:.1%}")
    print(f"\nrecord: {out / 'search.json'}")


def study(results: Mapping[str, Any], out: Path) -> None:
    """The table of the variants."""
    from experiments.report.study import study_table

    print(f"{study_table(results)}\nresults: {out / 'results.json'}, {out / 'study.md'}")


def recipes(found: Mapping[str, Recipe]) -> None:
    """A line a recipe."""
    print(f"{'recipe':<20}{'published':>10}  what it is")
    for name, recipe in found.items():
        figure = "-" if recipe.published is None else f"{recipe.published:.4f}"
        print(f"{name:<20}{figure:>10}  {recipe.about}")
    print("\n`wavegan recipes NAME` shows one in full, its command with it.")


def recipe(one: Recipe) -> None:
    """All of a recipe, of its training what is not as it always is."""
    usual = vars(type(one.fit)(epochs=1))
    by_batches = one.fit.optimizer not in AT_ONCE
    told = ("optimizer", *(("learning_rate", "batch_size") if by_batches else ()))
    fit = {n: v for n, v in vars(one.fit).items() if n in told or v != usual[n]}
    per_track = f"{one.per_track} a track" if one.per_track else "end to end"
    silence = f", silent {one.silence} out" if one.silence else ""
    _print_aligned(
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
    for what, published, here, why in one.differences:
        print(f"\ndiffers from its source in: {what}")
        _print_aligned({"  as published": published, "  here": here, "  why": why})


def plan(found: Mapping[str, Any]) -> None:
    """What there is to do: counts as they are, times and ``disk_bytes`` in their units."""
    rest = {name: x for name, x in found.items() if name not in ("disk_bytes", "seconds")}
    lines = {name: f"{x:,}" for name, x in rest.items() if isinstance(x, int)}
    lines |= {name: x for name, x in rest.items() if x and isinstance(x, str)}
    if (seconds := found.get("seconds")) is not None:
        lines["time"] = f"about {duration(seconds)}"
    if (least := found.get("shared_seconds")) is not None:
        lines["time by workers"] = f"at least {duration(least)}"
    if (size := found.get("disk_bytes")) is not None:
        lines["disk"] = f"{size / 1e6:.0f} MB" if size < 1e9 else f"{size / 1e9:.1f} GB"
    _print_aligned(lines)


def _print_aligned(lines: Mapping[str, Any]) -> None:
    for name, value in lines.items():
        print(f"{name.replace('_', ' '):<17}{value}")
