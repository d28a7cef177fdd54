"""How often a study's controls come out as they must, over studies of new music.

    python -m experiments.bench.repeats --out FILE.json --repeats 20

Each repeat renders music that no other has and asks of 5 tracks a genre, in 3 folds and 5 draws,
what noise, clips under shuffled labels, further real clips and a short GAN's clips do to the
recipe ``floor``, whose fits take a second. What is done is kept in the file, and the same command
goes on with the rest.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from experiments.bench import Row
from experiments.commands.compare import compare
from experiments.config import CompareConfig, DataConfig
from experiments.recipes import RECIPES, Recipe
from experiments.report.formats import points
from experiments.report.terminal import Progress, print_table, text_table
from features.settings import another, differences
from features.storage import read_json, write_json
from features.synthetic import render_dataset
from wavegan.devices import hardware

ARMS = ("real", "real+noise", "real+shuffled", "real+oracle", "real+synthetic")
FOLDS, DRAWS, SHOTS = 3, 5, 5
FIRST = 1000  # seed of the music of the first repeat; the embedded music is that of seed 0


def recipe() -> Recipe:
    """The floor on clips of 2 s at 8 kHz, and a GAN of 100 steps."""
    demo, floor = RECIPES["demo"], RECIPES["floor"]
    gan = replace(demo.gan, dim=4)
    steps = replace(demo.gan_train, steps=100, checkpoint_every=100, inspect_every=100)
    return replace(floor, sample_rate=8000, num_samples=16_384, conditional=True, gan=gan,
                   gan_train=steps)  # fmt: skip


def repeated(
    repeats: Sequence[int], file: Path, *, say: Callable[[str], object] = print, **changed: Any
) -> list[Row]:
    """Do the repeats that ``file`` lacks, each row kept as it is done: all rows.

    Parameters
    ----------
    repeats : by the seeds of their music.
    changed : of the comparison's options, and ``tracks_per_genre`` and ``seconds`` of the music.
    """
    rows: list[Row] = read_json(file, "remove it", list) if file.exists() else []
    given = {name: repr(value) for name, value in changed.items()}
    about = {"version": version("wavegan"), "changed": given}
    for row in rows:
        if differing := differences({name: row[name] for name in about}, about):
            raise another(f"--out {file}", "repeat", differing, "Give another --out")
    music = {name: changed.pop(name) for name in ("tracks_per_genre", "seconds") if name in changed}
    for seed in (seed for seed in repeats if seed not in [row["seed"] for row in rows]):
        say(f"repeat {seed}")
        started = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            data = DataConfig(str(render_dataset(Path(folder) / "music", seed=seed, **music)))
            config = CompareConfig(
                **{"recipe": recipe(), "data": data, "folds": FOLDS, "shots": (SHOTS,),
                   "draws": DRAWS, "gan_seeds": DRAWS, "seeds": DRAWS, "arms": ARMS, "quality": 0,
                   **changed}
            )  # fmt: skip
            found = compare(config, Path(folder) / "run", progress=Progress(quiet=True))
        told = [
            {name: d[name] for name in ("arm", "mean", "ci95", "p", "verdict")}
            for d in found["differences"]
            if d["against"] == "real" and d["metric"] == "track_accuracy"
        ]
        seconds = round(time.monotonic() - started, 1)
        rows.append({"seed": seed, "differences": told, "seconds": seconds, "hardware": hardware(),
                     **about})  # fmt: skip
        write_json(file, rows)
    return rows


def table(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    """Of each arm the mean difference, and how often it was told to be what."""
    found = list[tuple[str, ...]]()
    for arm in dict.fromkeys(d["arm"] for row in rows for d in row["differences"]):
        own = [d for row in rows for d in row["differences"] if d["arm"] == arm]
        means = [d["mean"] for d in own]
        verdicts = [d["verdict"] for d in own]
        counts = [str(verdicts.count(name)) for name in ("benefit", "harm", "equivalent")]
        left = str(sum(name not in ("benefit", "harm", "equivalent") for name in verdicts))
        ends = f"{points(min(means))} to {points(max(means))}"
        found.append((arm, points(sum(means) / len(means)), ends, *counts, left))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", required=True, type=Path, help="file of the rows")
    parser.add_argument("--repeats", default=20, type=int)
    parser.add_argument("--start", default=0, type=int, help="the first repeat of this file")
    given = parser.parse_args()
    first = FIRST + given.start
    rows = repeated(range(first, first + given.repeats), given.out)
    heads = ("against real", "points", "from", "benefit", "harm", "equivalent", "neither")
    print_table(text_table(heads, table(rows)))


if __name__ == "__main__":
    main()
