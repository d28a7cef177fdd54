"""Studies that come with the package: files of options of `wavegan compare`, fixed before the run.

The first line of each says what it is; ``wavegan compare --preset NAME`` runs it. It leaves open
where the data are, who does the work, and which other classifier stands beside (`OPEN`); any other
option that is typed makes it another study, and the results say which.
"""

from __future__ import annotations

from pathlib import Path

STUDIES = {file.stem: file for file in sorted(Path(__file__).parent.glob("*.yaml"))}
OPEN = {"data", "out", "beside", "executor", "workers", "cluster", "gpus", "at-once"}


def about(name: str) -> str:
    """What a study is, in a line."""
    return STUDIES[name].read_text(encoding="utf-8").splitlines()[0].lstrip("# ")
