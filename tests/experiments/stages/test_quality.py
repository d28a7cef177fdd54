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


def test_gans_of_a_class_each_are_averaged():
    qualities = [
        {"seed": seed, "kernel_distance": x} for seed, x in [(0, 1.0), (0, 3.0), (1, 4.0), (1, 6.0)]
    ]
    runs = [{"gan_seed": seed, "track_accuracy": 0.5} for seed in (0, 1)]
    found = quality_gain(qualities, runs, runs)
    assert [point["quality"] for point in found["points"]] == [2.0, 5.0]


def test_gans_that_were_not_measured_have_no_points():
    assert quality_gain([{"seed": 0}], [], []) is None
