"""Ways to train a GAN on little data, each held against the plain reference at equal wall time.

What a step of each variant costs is measured first, in turn with the others in one process, so
that what else the machine does befalls all alike. Each then gets as many steps as fit into the
same seconds. Every run is measured with its last weights and with the averaged ones.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments.bench import interleaved
from experiments.config import StudyConfig, as_dict
from experiments.recipes import REFERENCE, VARIANTS
from experiments.report.formats import duration
from experiments.report.study import study_table
from experiments.report.terminal import Progress
from experiments.run import Run
from experiments.scores import KERNEL, conclusions
from experiments.stages.data import open_dataset, shared_groups
from experiments.stages.judge import fitted_judge, load_judge
from experiments.stages.plan import Plan
from features import Recording
from features.splits import SIDES
from features.storage import Interrupted, write_json, write_text
from wavegan import (
    TrainConfig,
    TrainingDiverged,
    WaveGANConfig,
    load,
    train,
    training_states,
)
from wavegan.environment import environment
from wavegan.players import State
from wavegan.quality import Quality
from wavegan.run_folder import RunFolder
from wavegan.train_config import DATA
from wavegan.windows import Windows

ROUNDS = 7  # timings of each variant, one of each in turn
LEAST_TIMED = 4  # steps in a timing


def study(
    config: StudyConfig,
    out: Path,
    *,
    progress: Progress | None = None,
    should_stop: Callable[[], bool] | None = None,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Train and measure every variant; the same call resumes, with the step counts it had.

    Returns
    -------
    dict
        What ``out/results.json`` holds: the settings, ``seconds_per_step``, a row for each of
        ``runs``, the paired ``differences``, what is ``recommended``; ``out/study.md`` has it
        as a table. Of a ``dry_run`` it is the plan.

    Parameters and errors are those of `experiments.compare`, but that a run that diverges stays
    in the results as failed.
    """
    progress = progress or Progress(quiet=True)
    least = 1 if config.pad_end else config.num_samples
    dataset = open_dataset(
        config.data, sample_rate=config.sample_rate, num_samples=least, progress=progress
    )
    count = config.seeds * len(config.variants)
    plan = Plan(len(dataset.recordings), gans=count, seconds=count * config.seconds)
    if dry_run:
        return plan.as_dict()
    split = dataset.split(config.data)
    sides = {side: dataset.of(getattr(split, side)) for side in SIDES}
    settings = as_dict(config) | {"data": dataset.name}
    free = ("seconds", "seeds", "variants", "count")
    fixed = {name: value for name, value in settings.items() if name not in free}
    fixed |= {"digest": dataset.digest, "split": {**as_dict(config.data), "root": dataset.name}}
    with Run(out).working("study", as_dict(config), fixed) as run:
        work = _Work(run, dataset.name, dataset.labels, sides, config, progress, should_stop)
        pace = work.calibrated()
        progress.say(", ".join(f"{name} {t:.3g} s" for name, t in pace.items()) + " a step")
        runs = work.runs(pace)
        results = {
            "settings": settings,
            "tracks": {side: len(found) for side, found in sides.items()},
            "shared_groups": shared_groups(split),
            "environment": environment(),
            "variants": {name: VARIANTS[name].about for name in config.variants},
            "floor": {against: q.floor._asdict() for against, q in work.yardsticks.items()},
            "real": work.real(),
            "runs": runs,
            **conclusions(runs),
        }
        run.write_json("results.json", results)
        write_text(run.path / "study.md", study_table(results))
    return results


@dataclass
class _Work:
    """A study under way in its run folder."""

    run: Run
    name: str  # of the data
    labels: Sequence[str]
    sides: Mapping[str, Sequence[Recording]]
    config: StudyConfig
    progress: Progress
    should_stop: Callable[[], bool] | None

    def __post_init__(self):
        config, heard = self.config, self.sides["train"]
        clip, rate = WaveGANConfig(num_samples=config.num_samples), config.sample_rate
        folder = fitted_judge(self.run, heard, self.labels, clip, rate, False, self.progress)
        judge = load_judge(folder, rate)
        self.yardsticks = {
            side: Quality(
                self.sides[side],
                sample_rate=config.sample_rate,
                num_samples=config.num_samples,
                train=heard,
                labels=self._classes(side),
                count=config.count,
                classify=judge,
                pad_end=config.pad_end,
            )
            for side in ("valid", "test")
        }

    def _classes(self, side: str) -> list[int]:
        return [self.labels.index(r.track.label) for r in self.sides[side]]

    @property
    def _targets(self) -> list[int] | None:
        return self._classes("train") if self.config.conditional else None

    def calibrated(self) -> dict[str, float]:
        """Seconds that a step of each variant takes, measured once when the study began."""
        names, config = self.config.variants, self.config
        timed = {name: max(LEAST_TIMED, config.training(name).penalty_every) for name in names}
        turns = itertools.count()

        def job(name: str, states: Iterator[State]) -> None:
            if self.should_stop and self.should_stop():
                raise Interrupted("stopped while the variants were timed")
            turn = next(turns) - len(names)
            if turn < 0:
                self.progress.update("compiling", turn + len(names), len(names), name, "variant")
            else:
                total = ROUNDS * len(names)
                self.progress.update("timing a step of each", turn, total, name, "timing")
            jax.block_until_ready(next(itertools.islice(states, timed[name] - 1, None)))

        def build(folder: Path) -> None:
            jobs = dict[str, Callable[[], object]]()
            for name in names:
                settings = config.gan(name, len(self.labels)), config.training(name)
                states = training_states(self.sides["train"], *settings, labels=self._targets)
                jobs[name] = partial(job, name, states)
            seconds = interleaved(jobs, ROUNDS)
            write_json(folder / "seconds.json", {n: t / timed[n] for n, t in seconds.items()})

        inputs = {
            name: {
                "wavegan": as_dict(config.gan(name, len(self.labels))),
                "train": as_dict(config.training(name)),
            }
            for name in names
        }
        heard = [r.digest for r in self.sides["train"]]
        folder = self.run.stage("calibration", inputs | {"data": heard}, build)
        return Run(folder).read_json("seconds.json")

    def runs(self, pace: Mapping[str, float]) -> list[dict[str, Any]]:
        """A row for each seed and variant, trained for as many steps as its pace allows."""
        config, rows = self.config, list[dict[str, Any]]()
        total = config.seeds * len(config.variants)
        self.progress.say(f"{total} runs, {duration(total * config.seconds)} of training in all")
        # Seeds outside: a study that is stopped early has still compared all variants.
        for seed, name in itertools.product(range(config.seeds), config.variants):
            steps = max(1, round(config.seconds / pace[name]))
            task = f"run {len(rows) + 1}/{total}: {name}, seed {seed}"
            every = max(1, -(-steps // config.inspections))
            lengths: dict[str, Any] = {"steps": steps, "inspect_every": every}
            lengths |= {"checkpoint_every": steps, "keep_checkpoints": 1}
            training = replace(config.training(name), seed=seed, **lengths)
            gan = self._trained(name, training, task)
            row = {"variant": name, "seed": seed, "steps": steps, "seconds_per_step": pace[name]}
            rows.append(row | self._measured(gan, steps))
        return rows

    def _trained(self, name: str, training: TrainConfig, task: str) -> Path:
        """The folder of one GAN of all training tracks; one that diverged has a failed.json."""
        config, recordings = self.config.gan(name, len(self.labels)), self.sides["train"]
        classes = {"labels": [*self.labels]} if self.config.conditional else {"label": self.name}
        provenance = {
            **classes,
            "seed": training.seed,
            "sample_rate": self.config.sample_rate,
            "tracks": {r.track.track_id: r.digest for r in recordings},
            "judged_by": {r.track.track_id: r.digest for r in self.sides["valid"]},
        }

        def on_log(row: Mapping[str, float]) -> None:
            note = f"gap {row['gan/critic_gap']:.3g}"
            self.progress.update(task, int(row["gan/step"]), training.steps, note)

        def build(folder: Path) -> None:
            try:
                train(
                    recordings,
                    config,
                    training,
                    labels=self._targets,
                    run_dir=folder,
                    provenance=provenance,
                    on_log=on_log,
                    should_stop=self.should_stop,
                    inspect=[self.yardsticks["valid"]],
                )
            except TrainingDiverged as error:
                write_json(folder / "failed.json", {"failed": str(error)})

        parts = {"wavegan": as_dict(config), "train": as_dict(training), "provenance": provenance}
        return self.run.stage(f"gan-{name}-{training.seed}", parts, build)

    def _measured(self, gan: Path, steps: int) -> dict[str, Any]:
        """Metrics of a GAN's clips, by its last and its averaged weights; or why it failed.

        Of the end of the training; the ``curve`` is of the averaged weights on the way there.
        """
        if (gan / "failed.json").exists():
            return {"gan": gan.name, **Run(gan).read_json("failed.json")}
        count = self.config.count

        def build(folder: Path) -> None:
            found = {}
            for weights in ("last", "ema"):
                generator = load(gan, ema=weights == "ema", step=steps)
                found[weights] = {
                    side: _named(yard(steps, generator)) for side, yard in self.yardsticks.items()
                }
            write_json(folder / "metrics.json", found)

        folder = self.run.stage(f"quality-{gan.name}", {"gan": gan.name, "count": count}, build)
        rows = RunFolder(gan).read_metrics()
        rate = rows[-1]["gan/steps_per_second"]
        distance = f"quality/{KERNEL}"
        curve = [[r["gan/step"] / steps, r[distance]] for r in rows if distance in r]
        found = {"gan": gan.name, "seconds": steps / rate if rate else None, "curve": curve}
        return found | Run(folder).read_json("metrics.json")

    def real(self) -> dict[str, dict[str, float]]:
        """The metrics of real windows of the other side, as if they were generated."""
        settings, found = self.config.training(REFERENCE), {}
        data: dict[str, Any] = {name: getattr(settings, name) for name in DATA}
        for against, side in (("valid", "test"), ("test", "valid")):
            windows = Windows(
                self.sides[side],
                num_samples=self.config.num_samples,
                channels=1,
                labels=self._classes(side),
                num_classes=len(self.labels),
                **data,
            )
            drawn = windows.draw(jax.random.key(1), (self.config.count,))
            labels = np.asarray(drawn.labels)
            found[against] = _named(self.yardsticks[against].measure(drawn.clips, labels=labels))
        return found


def _named(metrics: Mapping[str, float]) -> dict[str, float]:
    return {name.removeprefix("quality/"): value for name, value in metrics.items()}
