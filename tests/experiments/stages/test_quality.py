"""Quality against gain, on GANs whose clips are known to bring more the nearer they are."""

import pytest

from experiments.stages.quality import quality_gain


def study(qualities, gains, runs=2):
    """GANs of such distances, and paired runs of arms that differ by such gains."""
    found = [{"seed": seed, "kernel_distance": x} for seed, x in enumerate(qualities)]
    seeds = [seed for _ in range(runs) for seed in range(len(gains))]
    against = [{"gan_seed": s, "track_accuracy": 0.5 + 0.01 * i} for i, s in enumerate(seeds)]
    arm = [
        row | {"track_accuracy": row["track_accuracy"] + gains[row["gan_seed"]]} for row in against
    ]
    return quality_gain(found, arm, against)


def test_nearer_clips_that_bring_more_are_found():
    found = study([3.0, 1.0, 2.0, 5.0, 4.0], [0.03, 0.05, 0.04, 0.01, 0.02])
    assert found["rank_correlation"] == pytest.approx(-1)
    assert found["points"][1] == {"gan": 1, "quality": 1.0, "gain": pytest.approx(0.05)}
    assert found["note"] == ""


def test_a_few_gans_tell_nothing():
    found = study([3.0, 1.0], [0.03, 0.05])
    assert found["rank_correlation"] is None
    assert found["note"].startswith("5 GANs or more are needed")


def test_equal_gains_have_no_rank():
    assert study([3.0, 1.0, 2.0, 5.0, 4.0], [0.0] * 5)["rank_correlation"] is None


def test_equal_gains_are_ties_whatever_the_accuracies_that_they_are_of():
    """Three GANs brought nothing, at the distances of those of the study `embedded-control`."""
    sixths = {0: [4, 3, 2], 1: [3, 1, 5], 2: [4, 5, 1], 3: [1, 2, 6], 4: [2, 6, 1]}
    gains = {0: [1, 1, 0], 1: [1, 1, -2], 2: [1, 0, 2], 3: [3, -1, -2], 4: [2, -1, -1]}
    runs = [(gan, i) for gan in sixths for i in range(3)]
    against = [{"gan_seed": gan, "track_accuracy": sixths[gan][i] / 6} for gan, i in runs]
    arm = [
        {"gan_seed": gan, "track_accuracy": (sixths[gan][i] + gains[gan][i]) / 6} for gan, i in runs
    ]
    distances = [0.7088, 0.83125, 0.71221, 0.7824, 0.62485]
    qualities = [{"seed": gan, "kernel_distance": x} for gan, x in enumerate(distances)]
    found = quality_gain(qualities, arm, against)
    assert [point["gain"] for point in found["points"]].count(0.0) == 3
    # Ranks 2, 5, 3, 4, 1 and 4, 2, 5, 2, 2: their product-moment correlation by hand.
    assert found["rank_correlation"] == pytest.approx(-(0.05**0.5))


def test_gans_of_a_class_each_are_averaged():
    qualities = [
        {"seed": seed, "kernel_distance": x} for seed, x in [(0, 1.0), (0, 3.0), (1, 4.0), (1, 6.0)]
    ]
    runs = [{"gan_seed": seed, "track_accuracy": 0.5} for seed in (0, 1)]
    found = quality_gain(qualities, runs, runs)
    assert [point["quality"] for point in found["points"]] == [2.0, 5.0]


def test_gans_that_were_not_measured_have_no_points():
    assert quality_gain([{"seed": 0}], [], []) is None
