"""How a trial's classifier does on test clips that are altered as others' recordings are."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from classifiers import SavedClassifier, predict
from classifiers.prediction import read_probabilities
from experiments.stages.examples import Material
from experiments.stages.trials import CLASSIFIER, Outcome, scored
from features import Rows, fingerprint
from features.alterations import ALTERATIONS
from features.extractors import Augmented
from features.storage import replacing

_METRICS = ("accuracy", "track_accuracy")


def robustness(outcome: Outcome, material: Material) -> dict[str, dict[str, float]]:
    """Accuracy by clip and by track for each of `ALTERATIONS`, kept in a stage of the run.

    Features are computed anew from the altered clips; scaler and classifier are the trial's. Clips
    are altered after silence was taken out of their tracks.
    """
    test, recipe = outcome.test, material.recipe
    made = {name: Augmented(recipe.input, altered, 0) for name, altered in ALTERATIONS.items()}
    files = {name: f"probabilities-{number}.npy" for number, name in enumerate(made)}

    def build(folder: Path) -> None:
        saved = SavedClassifier.read(outcome.folder / CLASSIFIER)
        for name, make in made.items():
            features = material.extract(test, make, f"test clips, {name}")
            with replacing(folder / files[name]) as temporary:
                np.save(temporary, predict(saved.model, Rows([features], scaler=saved.scaler)))

    inputs = {
        "classifier": outcome.folder.name,
        "test": material.side("test").key,
        "alterations": {name: fingerprint(make) for name, make in made.items()},
    }
    folder = material.run.stage(f"robustness-{outcome.trial.name}", inputs, build)
    shape = len(test), len(test.label_names)
    found = {n: scored(read_probabilities(folder / files[n], shape), test) for n in made}
    return {name: {metric: scores[metric] for metric in _METRICS} for name, scores in found.items()}
