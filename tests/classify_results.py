"""Results and predictions that no classifier made, for the tests of pages and tables."""

import numpy as np

GENRES = ("blues", "classical", "country", "disco", "hip-hop", "jazz", "metal", "pop", "reggae",
          "rock")  # fmt: skip


def fake_run(labels, seed: int, level: float, *, tracks: int, clips: int, whole: bool) -> dict:
    """A run's record: ``tracks`` test tracks a label with ``clips`` clips each."""
    rng = np.random.default_rng(seed)
    rows, confusion = [], np.zeros((len(labels), len(labels)), int)
    votes = np.zeros_like(confusion)
    for i, label in enumerate(labels):
        for j in range(tracks):
            heard = i if rng.random() < 1.4 * level else rng.integers(len(labels))
            chance = np.full(len(labels), 0.4 / len(labels))
            chance[heard] += 0.6  # a track is mistaken for one other, as a whole
            counts = rng.multinomial(clips, chance)
            confusion[i] += counts
            shares = (counts + 0.2) / (counts + 0.2).sum()
            answer = int(shares.argmax())
            votes[i, answer] += 1
            rows.append(
                {
                    "track": f"{label}.{10 * seed + j:05}", "label": label, "clips": clips,
                    "predicted": labels[answer], "confidence": float(shares[answer]),
                    "probabilities": shares.tolist(), "correct": answer == i,
                }
            )  # fmt: skip
    steps = np.arange(10, 410, 10)
    valid = 1.2 + np.exp(-steps / 60) + (steps / 700) ** 2 + rng.normal(0, 0.04, len(steps))
    count = len(labels) * tracks * (1 if whole else clips)
    return {
        "seed": seed, "split_seed": seed, "steps": 400, "best_step": int(steps[valid.argmin()]),
        "stopped_early": seed == 1,
        "accuracy": float(np.trace(confusion) / confusion.sum()),
        "track_accuracy": float(np.trace(votes) / votes.sum()),
        "macro_f1": float(np.trace(confusion) / confusion.sum()) - 0.02,
        "loss": 1.2 + seed / 8,
        "confusion": confusion.tolist(), "track_confusion": votes.tolist(),
        "history": {
            "steps": steps.tolist(),
            "train_loss": (2.2 * np.exp(-steps / 150) + 0.05 * rng.random(40)).tolist(),
            "valid_loss": valid.tolist(),
            "train_accuracy": (1 - 0.9 * np.exp(-steps / 120)).tolist(),
            "valid_accuracy": (level * (1 - np.exp(-steps / 60))).tolist(),
        },
        "seconds": 61.25,
        "clips": {"train": 7 * count, "valid": 2 * count, "test": count},
        "split": {side: [f"{x}.{n:05}" for x in labels for n in range(first, first + size)]
                  for side, first, size in (("train", 20, 5), ("valid", 30, 1), ("test", 0, 2))},
        "tracks": rows,
    }  # fmt: skip


def fake_classification(labels=GENRES, *, recipe="net5", levels=None, seeds=3, clips=15) -> dict:
    """What `wavegan classify` writes, with answers drawn at random.

    ``levels`` are the share beyond chance that each split gets right; ``clips=1`` makes a clip
    a whole track.
    """
    levels = levels or {"track": 0.35, "chunk": 0.6}
    return {
        "recipe": recipe, "version": "0.1.0",
        "command": f"wavegan classify --recipe {recipe} --data music --seeds {seeds}",
        "config": {"seeds": seeds, "recipe": {"name": recipe, "split": "chunk",
                   "fit": {"batch_size": 64}},
                   "data": {"path": "music", "fractions": [0.7, 0.2, 0.1]}},
        "environment": {"hardware": "2 cores", "versions": {"jax": "0.10.2"}},
        "published": {"accuracy": 0.7954, "note": "chunks of a track on both sides"},
        "data": {"name": "music", "labels": list(labels), "tracks": 20 * len(labels),
                 "sample_rate": 22050, "num_samples": 22050, "clip_seconds": 1.0, "hash": "8c2f",
                 "quarantined": [{"track": "jazz.00054", "reason": "truncated: 3 of 30 s"}],
                 "skipped": ["pop.00037"]},
        "splits": {
            name: {"leaks": name == "chunk",
                   "runs": [fake_run(labels, seed, level, tracks=2, clips=clips,
                                     whole=clips == 1) for seed in range(seeds)]}
            for name, level in levels.items()
        },
    }  # fmt: skip


def fake_prediction(labels=GENRES, *, files=2, pieces=40) -> dict:
    """What `wavegan predict` writes: probabilities that wander."""
    rng = np.random.default_rng(5)
    shown = []
    for i in range(files):
        walk = rng.normal(0, 0.6, (pieces, len(labels))).cumsum(0) / 2
        shares = np.exp(walk) / np.exp(walk).sum(1, keepdims=True)
        mean = shares.mean(0)
        shown.append(
            {
                "file": f"songs/song {i}.mp3", "seconds": 0.75 * pieces + 0.3,
                "sample_rate": 22050, "resampled_from": None if i else 44100,
                "predicted": labels[int(mean.argmax())], "confidence": float(mean.max()),
                "probabilities": mean.tolist(), "times": (0.75 * np.arange(pieces)).tolist(),
                "clip_seconds": 0.75, "over_time": shares.tolist(),
            }
        )  # fmt: skip
    refused = [{"file": "songs/short.wav", "reason": "0.2 s: a clip has 0.75 s"}]
    return {"run": "net5-on-music", "labels": list(labels), "files": shown, "refused": refused}
