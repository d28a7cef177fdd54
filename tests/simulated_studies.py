"""Simulated studies: what arms answer whose true difference is known."""

import numpy as np

LABELS = 10


def speakers(rng, tracks):
    return np.arange(tracks) // 10 % 6


def artists(rng, tracks):
    """Most with a track or two, some with dozens, as in GTZAN."""
    shares = rng.pareto(1.2, 88) + 1
    more = rng.choice(88, tracks - 88, p=shares / shares.sum())
    return np.concatenate([np.arange(88), more])


STUDIES = {
    "20 tracks, 3 seeds": {"tracks": 20, "runs": 3},
    "200 tracks, 5 seeds": {"tracks": 200, "runs": 5},
    "6 speakers": {"tracks": 120, "runs": 5, "groups": speakers, "of_group": 0.5, "of_track": 0.3},
    "88 artists": {"tracks": 290, "runs": 5, "groups": artists, "of_group": 0.8},
    "3 GANs of 3": {"tracks": 60, "runs": 9, "gans": 3, "of_gan": 0.5},
    "5 GANs of 3": {"tracks": 60, "runs": 15, "gans": 5, "of_gan": 0.5},
    "3 GANs of 3 that differ little": {"tracks": 200, "runs": 9, "gans": 3, "of_gan": 0.15},
}


def simulated(
    rng, tracks, runs, *, groups=None, gans=1, of_group=0.0, of_track=0.0, of_gan=0.0, gain=0.0,
    arms=2,
):  # fmt: skip
    """Truth and group of each track, GAN of each run, and (arm, runs, tracks, 5 clips) predictions.

    The first arm differs from the others by ``gain`` on average over tracks, groups and GANs (in
    logits, as all spreads); what confuses a track is mostly the same in all runs.
    """
    truth = np.arange(tracks) % LABELS
    group = np.arange(tracks) if groups is None else groups(rng, tracks)
    gan = np.arange(runs) % gans
    hard = (
        0.3 + rng.normal(0, 2, tracks) + (rng.normal(0, 1, group.max() + 1)[group] if groups else 0)
    )
    helped = (
        gain + rng.normal(0, of_track, tracks) + rng.normal(0, of_group, group.max() + 1)[group]
    )
    helped = (
        helped + (rng.normal(0, of_gan, (gans, 1)) + rng.normal(0, of_gan / 2, (gans, tracks)))[gan]
    )
    logit = hard + rng.normal(0, 0.2, (arms, runs, 1)) + rng.normal(0, 0.8, (arms, runs, tracks))
    logit[0] += helped
    shape = (arms, runs, tracks, 5)
    right = rng.random(shape) < 1 / (1 + np.exp(-logit[..., None]))
    usual = rng.integers(1, LABELS, (tracks, 1))
    wrong = np.where(rng.random(shape) < 0.6, usual, rng.integers(1, LABELS, shape))
    return truth, group, gan, (truth[:, None] + ~right * wrong) % LABELS
