"""What the metrics of a run say of its GAN: known curves and what must be said of each."""

import math
import re

import pytest

from wavegan import METRICS, Metric
from wavegan.metrics import best_row, standing

DISTANCE = "quality/kernel_distance"


def rows(values, error=0.0, *, name=DISTANCE, real=0.11, fake=0.1, floor=None):
    found = [
        {
            "gan/step": 100 * (i + 1),
            name: value,
            f"{name}_error": error,
            "gan/rms_real": real,
            "gan/rms_fake": fake,
        }
        for i, value in enumerate(values)
    ]
    if floor:
        for row in found:
            row[f"{name}_floor"], row[f"{name}_floor_error"] = floor
    return found


def stands(logged, *, metric=DISTANCE, patience=3):
    return standing(logged, metric=metric, patience=patience)


@pytest.mark.parametrize(
    ("values", "error", "step"),
    [
        ([5, 4, 3, 2, 1], 0.1, None),  # always better
        ([5, 1, 2, 2], 0.1, None),  # two inspections are less than the patience
        ([5, 1, 2, 2, 2], 0.1, 200),  # a plateau
        ([5, 1, 0.9, 1.1, 1.2], 0.1, 300),  # the best of those that the error does not tell apart
        ([5, 1, 0.9, 0.8, 0.7], 0.1, None),  # slowly, but 0.3 in all
        # Less than both errors together, 0.42: enough, once the newest is not the best of all.
        ([5, 1, 0.9, 0.8, 0.7], 0.3, None),
        ([5, 1, 0.9, 0.8, 0.7, 0.8], 0.3, 500),
        ([5, 1, 2, 2, 2, 0.1], 0.1, None),  # later it helped after all
        ([5, 1, 2, 2, 2, 0.1, 0.2, 0.2, 0.2], 0.1, 600),  # and then no longer
        ([5, 1, float("nan"), 2, 2], 0.1, None),  # no inspection
        ([], 0.1, None),
    ],
)
def test_since_when_more_training_has_not_helped(values, error, step):
    found = stands(rows(values, error))
    assert found.enough_since == step
    assert found.doubt == ""
    assert found.trained == (step is not None)


def test_what_rows_said_when_they_were_logged_does_not_count():
    """Of a run whose curve was level from step 100 on, and fell again at step 600."""
    logged = rows([1, 2, 2, 2, 2, 0.5])
    for row in logged[3:5]:
        row["quality/enough_since"] = 100
    found = stands(logged)
    assert (found.enough_since, found.best["gan/step"]) == (None, 600)


def test_a_silent_generator_is_never_trained():
    """Its distance may be level; rms 0.0003 against 0.11 is 51 dB below."""
    found = stands(rows([5, 1, 2, 2, 2], fake=0.0003))
    assert found.enough_since == 200
    assert not found.trained
    assert found.doubt == (
        "its clips are nearly silent at step 500: rms 0.0003 against 0.11 of real ones"
    )
    assert stands(rows([5, 1, 2, 2, 2], fake=0.11 / 20)).trained, "26 dB below: quiet"


@pytest.mark.parametrize("silent", [1, 4])
def test_the_newest_and_the_best_row_are_heard(silent):
    logged = rows([5, 1, 2, 2, 2])
    logged[silent]["gan/rms_fake"] = 0.0
    assert f"nearly silent at step {100 * (silent + 1)}" in stands(logged).doubt
    assert "silent" in stands([logged[silent] | {DISTANCE: math.nan}]).doubt, "not inspected"
    logged[silent]["gan/rms_fake"], logged[2]["gan/rms_fake"] = 0.1, 0.0
    assert stands(logged).doubt == "", "silent in between"


def test_a_plateau_far_from_the_floor_is_not_trained():
    """Real clips have 0.3 ± 0.1 from one another, so up to 0.5: three times that is 1.5."""
    found = stands(rows([9, 1.7, 2, 2, 2], 0.1, floor=(0.3, 0.1)))
    assert found.enough_since == 200
    assert not found.trained
    assert found.doubt == (
        "its clips are far from real ones even at step 200, its best: kernel distance 1.7, where "
        "real ones have up to 0.5 from one another"
    )
    for near in (
        rows([9, 1.7, 2, 2, 2], 0.3, floor=(0.3, 0.1)),  # within its error
        rows([9, 1.4, 2, 2, 2], 0.0, floor=(0.3, 0.1)),
        rows([9, 1.7, 2, 2, 2], 0.1),  # an older run, which did not log the floor
        [  # what was heard is as far
            row | {f"{DISTANCE}_train": 0.5, f"{DISTANCE}_train_error": 0.1}
            for row in rows([9, 1.7, 2, 2, 2], 0.0, floor=(0.3, 0.1))
        ],
    ):
        assert stands(near).trained


def test_an_ideal_generator_is_trained():
    """At the floor, at times below 0 by chance, as loud as the real ones."""
    found = stands(rows([40, 2, 0.02, -0.01, 0.01, 0.0, 0.01], 0.02, floor=(-0.01, 0.02)))
    assert found == ({**found.best}, 400, "")
    assert found.trained


def test_more_is_better_of_an_inception_score():
    name = "quality/inception_score"
    found = stands(rows([1, 3, 2, 2], name=name), metric=name, patience=2)
    assert (found.enough_since, found.best["gan/step"]) == (200, 200)
    assert stands(rows([3, 1, 1, 4], name=name), metric=name, patience=2).enough_since is None


def test_rows_without_the_metric_are_no_inspections():
    logged = [{"gan/step": i, "gan/penalty": 1.0} for i in range(20)]
    inspected = rows([1, 2, 2])
    assert stands([*logged, *inspected, *logged]).enough_since is None
    assert stands([*logged, *inspected, *rows([2])]).enough_since == 100
    bare = [{"gan/step": 1, "mine": 1.0}, {"gan/step": 2, "mine": 1.5}]  # no error: exact
    assert stands(bare, metric="mine", patience=1).enough_since == 1
    with pytest.raises(ValueError, match="patience must be at least 1, found 0"):
        stands(bare, metric="mine", patience=0)
    assert stands(logged) == (None, None, "")


def test_the_best_row_is_by_the_metrics_own_direction():
    def best(name, values):
        row = best_row(rows(values, name=name), name)
        return row and row["gan/step"]

    assert best(DISTANCE, [0.3, 0.1, 0.2, 0.1, float("nan")]) == 200
    assert best("quality/inception_score", [1.0, 2.0, 3.0]) == 300
    assert best("quality/memorised", [0.0, 0.1]) is None  # nothing to choose a checkpoint by
    assert best("mine", [2.0, 1.0]) == 200
    assert best(DISTANCE, [float("nan")]) is None


# A user's own


def test_a_metric_of_ones_own_has_a_direction(monkeypatch):
    monkeypatch.setattr(METRICS, "_entries", dict(METRICS))
    METRICS["mine/beat"] = Metric("beat", "How steady the beat is.", less_is_better=False)
    assert best_row(rows([1, 3, 2], name="mine/beat"), "mine/beat")["gan/step"] == 200
    assert list(METRICS)[-1] == "mine/beat"
    METRICS["mine/beat"] = Metric("beat", "How wobbly the beat is.", less_is_better=True)
    assert best_row(rows([1, 3, 2], name="mine/beat"), "mine/beat")["gan/step"] == 100
    del METRICS["mine/beat"]
    assert "mine/beat" not in METRICS


@pytest.mark.parametrize(
    ("name", "entry", "message"),
    [
        ("mine", True, "wavegan.METRICS['mine']: give a Metric(title, meaning, less_is_better)"),
        ("mine", Metric("", "Words."), "title must be words, found ''"),
        ("mine", Metric("a", "b", "less"), "less_is_better must be True, False or None, found 'l"),
        ("m", Metric("a", "b", None, abs), "measure is a function (generated, real, sample_rate)"),
        (" ", Metric("a", "b"), "a name in wavegan.METRICS must be a word, found ' '"),
        (DISTANCE, Metric("a", "b"), "wavegan.METRICS is this package's own: take another name"),
    ],
)
def test_entries_that_are_no_metrics(name, entry, message):
    with pytest.raises((TypeError, ValueError), match=re.escape(message)):
        METRICS[name] = entry
    with pytest.raises(ValueError, match="this package's own"):
        del METRICS[DISTANCE]


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(KeyError, match=r"quality/kernel_distance.*must be registered first"):
        METRICS["quality/kernel_dist"]
