"""How a classifier's results came about, as the last part of its page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from experiments.report.kit import counted, definitions, folded
from experiments.scores import Record, runs_of
from features.splits import SIDES


def provenance(results: Record) -> str:
    """The command, and folded below it data, files left out, splits, settings and machine.

    Parameters
    ----------
    results : content of the ``results.json`` of `wavegan classify`.
    """
    data, config = results.get("data", {}), results.get("config", {})
    quarantined, skipped = data.get("quarantined") or [], data.get("skipped") or []
    faulty = {row.get("track", "?"): row.get("reason", "") for row in quarantined}
    out = definitions(faulty, verbatim=True)
    out += id_list(f"Too short for a clip: {len(skipped)}", skipped)
    plain = {k: v for k, v in config.items() if not isinstance(v, Mapping)}
    nested = {k: v for k, v in config.items() if isinstance(v, Mapping)}
    settings = definitions(plain) + "".join(
        f"<h3>{escape(k.replace('_', ' '))}</h3>{definitions(v)}" for k, v in nested.items()
    )
    parts = {
        "Data": definitions(data, without=("quarantined", "skipped")),
        f"Files left out: {len(quarantined) + len(skipped)}": out,
        **{
            f"{escape(name)} split, seed {escape(str(run.get('seed', i)))}": _split(run)
            for name, split in results.get("splits", {}).items()
            for i, run in enumerate(runs_of(split))
        },
        "Settings": settings,
        "Machine and versions": definitions(results.get("environment", {})),
    }
    command = results.get("command")
    return (f"<pre><code>{escape(command)}</code></pre>" if command else "") + folded(parts)


def _split(run: Record) -> str:
    """How many clips each side has, and of which tracks."""
    ids, clips = run.get("split") or {}, run.get("clips") or {}
    facts = {f"{side} clips": clips.get(side) for side in SIDES}
    lists = (id_list(f"{side}: {counted(len(ids[side]), 'track')}", ids[side]) for side in SIDES
             if ids.get(side))  # fmt: skip
    return definitions({"split_seed": run.get("split_seed")} | facts) + "".join(lists)


def id_list(title: str, ids: Sequence[str]) -> str:
    """Names of tracks in small type under a title; empty without any."""
    if not ids:
        return ""
    return f'<h3>{escape(title)}</h3><p class="ids">{escape(", ".join(map(str, ids)))}</p>'
