"""What came of a comparison, and what its arms trained on, from its own stages."""

import json

from experiments.report.terminal import Progress
from experiments.run import Run
from experiments.stages.arms import arm_of
from experiments.stages.clips import cut
from experiments.stages.data import open_dataset
from experiments.stages.examples import Material
from experiments.stages.gans import find_gans
from features import extract


def material_of(config, out):
    """What the arms of a run were made from, from the run's own stages."""
    quiet, recipe = Progress(quiet=True), config.recipe
    dataset = open_dataset(config.data, sample_rate=recipe.sample_rate)
    dataset, clips = cut(dataset, recipe, skip_short=False, progress=quiet)
    return Material(
        Run(out),
        recipe,
        clips,
        dataset.sides(clips, config.data),
        extract(clips, recipe.input),
        quiet,
        gans=find_gans(out),
        ratio=config.synthetic_ratio,
        waveform=config.augmentations[0],
        heard=dataset.of(dataset.split(config.data).train),
        judge=next((out / "stages").glob("judge-*"), None),
    )


def examples(config, out, arm, seed=0):
    """What an arm trained on in a run: features and labels, from the run's own stages."""
    (found,) = arm_of(arm).training(material_of(config, out), seed)
    return found


def timeless(results: dict) -> dict:
    """Results without how long, where and by what they were made."""
    found = json.loads(json.dumps(results))
    for name in ("executor", "workers"):
        del found["config"][name]
    both = [found, *([found["beside"]] if "beside" in found else [])]
    for part in (part for of in both for part in (of, *of["amounts"])):
        for run in (run for arm in part["arms"].values() for run in arm["runs"]):
            del run["seconds"]
    del found["gan"]["seconds"]
    made = ("environment", "command", "openings")
    return {k: v for k, v in found.items() if k not in made}
