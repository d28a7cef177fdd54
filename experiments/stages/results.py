"""What `results.json` holds: each run's record, and the differences between arms."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from classifiers import evaluate, vote_by_track
from experiments import statistics
from experiments.config import CompareConfig, as_dict
from experiments.run import environment
from experiments.stages.data import Source
from experiments.stages.examples import pairs
from experiments.stages.gans import Gan
from features import Clips

Outcome = tuple[dict[str, Any], np.ndarray]  # a run's record, and its test probabilities


def record(
    seed: int, gan_seed: int, probabilities: np.ndarray, test: Clips, history: dict[str, Any]
) -> dict[str, Any]:
    """What ``results.json`` of a comparison holds of one run of an arm.

    Parameters
    ----------
    probabilities : (N, K) of the test clips.
    """
    seeds = {"classifier_seed": seed, "gan_seed": gan_seed}
    return seeds | _figures(probabilities, test, history)


def _figures(probabilities: np.ndarray, test: Clips, history: dict[str, Any]) -> dict[str, Any]:
    """Steps and scores of a run, by clip and by track."""
    by_clip = evaluate(probabilities, test.labels)
    by_track = evaluate(*_votes(probabilities, test))
    return {
        "steps": history["num_steps"],
        "best_step": history["best_step"],
        "accuracy": by_clip.accuracy,
        "track_accuracy": by_track.accuracy,
        "macro_f1": by_clip.macro_f1,
        "confusion": np.asarray(by_clip.confusion).tolist(),
        "track_confusion": np.asarray(by_track.confusion).tolist(),
        "history": history,
    }


def _votes(probabilities: np.ndarray, test: Clips) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities and labels of the tracks."""
    names, votes = vote_by_track(probabilities, test.track_ids)
    label = dict(zip(test.track_ids, test.labels, strict=True))
    return votes, np.array([label[name] for name in names], np.int32)


def summarise(
    config: CompareConfig,
    source: Source,
    clips: dict[str, Clips],
    gans: Sequence[Gan],
    generated: int,
    arms: dict[str, list[Outcome]],
) -> dict[str, Any]:
    """What ``results.json`` holds, but for how it was made."""
    recipe, test = config.recipe, clips["test"]
    predicted = {
        arm: (
            np.stack([p.argmax(1) for _, p in runs]),
            np.stack([_votes(p, test)[0].argmax(1) for _, p in runs]),
        )
        for arm, runs in arms.items()
    }
    first = np.sort(np.unique(test.track_ids, return_index=True)[1])  # in the votes' order
    track_truth = test.labels[first]
    gan_seeds = np.arange(config.seeds) % config.gan_seeds
    unit = {r.track.track_id: r.track for r in source.sides["test"]}
    cluster = np.array(  # whole artists where the split keeps them whole
        [unit[i].group if source.split.by == "group" else i for i in test.track_ids]
    )
    differences, per_label = [], []
    for arm, against in pairs(config.arms):
        if not predicted.keys() >= {arm, against}:  # one of them failed
            continue
        (clips_a, tracks_a), (clips_b, tracks_b) = predicted[arm], predicted[against]
        by_track = (track_truth, tracks_a, tracks_b, cluster[first])
        by_clip = (test.labels, clips_a, clips_b, cluster)
        for name, data, metric in (
            ("track_accuracy", by_track, statistics.accuracy),
            ("accuracy", by_clip, statistics.accuracy),
            ("macro_f1", by_clip, statistics.macro_f1),
        ):
            found = statistics.paired_difference(*data, metric, groups=gan_seeds)
            differences.append(
                {
                    "arm": arm,
                    "against": against,
                    "metric": name,
                    "mean": found.mean,
                    "ci95": list(found.ci95),
                    "verdict": found.verdict,
                    "detectable": found.detectable,
                }
            )
        for label, name in enumerate(source.labels):
            recall = statistics.recall_of(label)
            found = statistics.paired_difference(*by_clip, recall, groups=gan_seeds)
            per_label.append(
                {
                    "arm": arm,
                    "against": against,
                    "label": name,
                    "mean": found.mean,
                    "ci95": list(found.ci95),
                }
            )
    return {
        "recipe": recipe.name,
        "version": environment()["versions"]["wavegan"],
        "config": as_dict(config),
        "data": {
            "name": source.name,
            "labels": list(source.labels),
            "tracks": len(source.digests),
            "clips": {name: len(side) for name, side in clips.items()},
            "sample_rate": recipe.sample_rate,
            "num_samples": recipe.num_samples,
            "hash": source.digest,
            "quarantined": [
                {"track": str(q.track.track_id), "reason": q.reason} for q in source.quarantined
            ],
            "skipped": list(source.skipped),
        },
        "split": {
            "by": source.split.by,
            "leaks": source.split.leaks,
            "seed": config.data.split_seed,
            "fractions": list(config.data.fractions),
            **{name: [r.track.track_id for r in rs] for name, rs in source.sides.items()},
            "hashes": source.digests,
        },
        "gan": {
            "loss": recipe.gan_train.loss,
            "dim": recipe.gan.dim,
            "steps": recipe.gan_train.steps,
            "seeds": config.gan_seeds,
            "synthetic": generated,
            "stages": [gan.folder.name for gan in gans],
        },
        "arms": {arm: {"runs": [record for record, _ in runs]} for arm, runs in arms.items()},
        "differences": differences,
        "per_label": per_label,
    }


def classifier_record(
    folder: Path, clips: Clips, sides: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    """The figures of one run of `wavegan classify`, from its stage.

    Parameters
    ----------
    clips : of all sides.
    sides : the rows of the clips on each.
    """
    probabilities = np.load(folder / "probabilities.npy")
    history = json.loads((folder / "history.json").read_text(encoding="utf-8"))
    timing = json.loads((folder / "timing.json").read_text(encoding="utf-8"))
    test = clips.select(sides["test"])
    names, votes = vote_by_track(probabilities, test.track_ids)
    _, truth = _votes(probabilities, test)
    tracks = [
        {
            "track": str(name),
            "label": clips.label_names[label],
            "predicted": clips.label_names[int(vote.argmax())],
            "confidence": float(vote.max()),
            "probabilities": [float(p) for p in vote],
            "clips": int((test.track_ids == name).sum()),
            "correct": bool(vote.argmax() == label),
        }
        for name, vote, label in zip(names, votes, truth, strict=True)
    ]
    return _figures(probabilities, test, history) | {
        "stopped_early": history["stopped_early"],
        "seconds": timing["seconds"],
        "clips": {side: len(index) for side, index in sides.items()},
        "split": {
            side: sorted({str(name) for name in clips.track_ids[index]})
            for side, index in sides.items()
        },
        "tracks": tracks,
    }
