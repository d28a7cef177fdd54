"""What the repository keeps of a study that was run: its tables, and what its verdict rests on.

    python -m experiments.bench.recorded RUN experiments/results/studies/NAME --note "…"

Where the run and its data lay on the machine is left out.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from features.storage import read_json, write_json, write_text

TABLES = ("table.md", "runs.csv", "differences.csv")
ABOUT = "about.json"
_OF_RUN = ("command", "version", "published", "quality_gain", "agreement")
_OF_CLASSIFIER = ("recipe", "answer", "readings", "missing_readings", "otherwise", "varies_with",
                  "controls")  # fmt: skip
_DIGITS = 5


def record(run: Path, out: Path, *, note: str = "") -> dict[str, Any]:
    """Write the tables of a finished run and ``about.json`` into ``out``; give what that says.

    Parameters
    ----------
    run : of ``wavegan compare``.
    note : what else a reader has to know of how it was run.

    Raises
    ------
    ValueError
        Where ``run`` is not finished.
    """
    if missing := [name for name in ("results.json", *TABLES) if not (run / name).is_file()]:
        raise ValueError(
            f"{run} has no {', '.join(missing)}: give the folder of a finished `wavegan compare`"
        )
    results = read_json(run / "results.json", "give a finished run")
    about = {name: results[name] for name in _OF_RUN if name in results}
    command = re.sub(r" --out \S+", "", about["command"])
    about["command"] = re.sub(r" --data \S*/([^/\s]+)", r" --data \1", command)
    about |= {"note": note, "environment": results["environment"]}
    about |= _classifier(results) | {"openings": len(results.get("openings", []))}
    if "beside" in results:
        about["beside"] = _classifier(results["beside"])
    gans = results.get("gan", {}).get("quality") or []
    about["gan_quality"] = [{k: v for k, v in gan.items() if k != "labels"} for gan in gans]
    out.mkdir(parents=True, exist_ok=True)
    for name in TABLES:
        write_text(out / name, (run / name).read_text())
    write_json(out / ABOUT, _short(about))
    return about


def _classifier(results: Mapping[str, Any]) -> dict[str, Any]:
    """What was asked and found with one classifier."""
    found = {name: results[name] for name in _OF_CLASSIFIER if name in results}
    found["question"] = next((d for d in results.get("differences", []) if d.get("primary")), None)
    amounts = [results, *results.get("amounts", [])] if "budget" in results else []
    return found | {"budgets": {one["amount"]: one["budget"] for one in amounts}}


def _short(value: Any) -> Any:
    """The same with the digits that mean something."""
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}")
    if isinstance(value, Mapping):
        return {name: _short(own) for name, own in value.items()}
    return [_short(own) for own in value] if isinstance(value, list) else value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--note", default="")
    given = parser.parse_args()
    try:
        record(given.run, given.out, note=given.note)
    except ValueError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
