"""Whole small trainings: learning, stopping, resuming, several at once, and what is refused."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from classifier_toys import SMALL, same, small, toy, weights

from classifiers.fit_config import FitConfig
from classifiers.prediction import predict
from classifiers.step import _compiled_step
from classifiers.training import FitInterrupted, _batches, fit, fit_together, seconds_per_step


@pytest.mark.parametrize("name", SMALL)
def test_networks_learn(name):
    model, train, valid = small(name), toy(name), toy(name, 30, seed=1)
    config = FitConfig(batch_size=16, steps=60, learning_rate=1e-2, eval_every=10)
    history = fit(model, train, valid, config, seed=0)
    assert history.steps == [10, 20, 30, 40, 50, 60]
    assert history.train_loss[-1] < 0.5 * history.train_loss[0]
    assert max(history.valid_accuracy) > 0.7
    best = history.steps.index(history.best_step)
    assert history.valid_loss[best] == min(history.valid_loss)
    accuracy = (predict(model, valid[0]).argmax(1) == valid[1]).mean()
    assert accuracy == pytest.approx(history.valid_accuracy[best])
    json.dumps(history.to_dict(), allow_nan=False)


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop", "sgd"])
def test_every_optimizer_lowers_the_loss(optimizer):
    rate = 0.3 if optimizer == "sgd" else 1e-2
    config = FitConfig(batch_size=16, steps=60, learning_rate=rate, optimizer=optimizer)
    history = fit(small(), toy(), None, config, seed=0)
    assert history.train_loss[-1] < 0.8 * history.train_loss[0]


def test_a_step_takes_less_than_its_compiling():
    config = FitConfig(batch_size=16, epochs=3, patience=1, schedule="cosine", warmup_steps=5)
    began = time.perf_counter()
    seconds = seconds_per_step(small(), toy(), config)
    assert 0 < 3 * seconds < time.perf_counter() - began


def test_early_stopping_restores_the_best_weights():
    """Labels that only the training clips have: the validation loss soon rises."""
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(24, 10, 5)).astype(np.float32)
    train, valid = (inputs, rng.integers(0, 3, 24)), toy(count=30, seed=1)
    config = FitConfig(batch_size=8, epochs=100, learning_rate=2e-2, patience=4)
    model = small()
    history = fit(model, train, valid, config, seed=0)
    assert history.stopped_early
    assert history.num_steps == history.steps[-1] < 300
    assert history.best_step == history.steps[-5]

    again = small()
    fit(again, train, None, FitConfig(8, steps=history.best_step, learning_rate=2e-2), seed=0)
    for a, b in zip(weights(model), weights(again), strict=True):
        np.testing.assert_array_equal(a, b)

    last = small()
    history = fit(last, train, valid, replace(config, restore_best=False), seed=0)
    assert history.best_step == history.num_steps > history.steps[-5]
    again = small()
    fit(again, train, None, FitConfig(8, steps=history.num_steps, learning_rate=2e-2), seed=0)
    for a, b in zip(weights(last), weights(again), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", ["net3", "net5"])
def test_the_seed_decides_the_result(name):
    def trained(seed):
        model = small(name)
        fit(model, toy(name), None, FitConfig(16, steps=5, learning_rate=1e-2), seed=seed)
        return weights(model)

    assert all((a == b).all() for a, b in zip(trained(3), trained(3), strict=True))
    assert any((a != b).any() for a, b in zip(trained(3), trained(4), strict=True))


def test_equal_networks_share_one_compiled_step():
    config = FitConfig(batch_size=16, steps=2)
    fit(small(seed=0), toy(), None, config, seed=0)
    before = _compiled_step.cache_info().misses
    fit(small(seed=1), toy(), None, replace(config, steps=3, learning_rate=1e-2), seed=1)
    assert _compiled_step.cache_info().misses == before


@pytest.mark.parametrize(("count", "size"), [(10, 4), (3, 8), (5, 5)])
def test_batches_are_full_and_use_every_clip_equally(count, size):
    batches = _batches(count, size, [0, 1])
    both = np.hstack([next(batches) for _ in range(count)])  # exactly ``size`` epochs
    assert (both[0] != both[1]).any()
    drawn, other = both
    alone = _batches(count, size, [1])
    np.testing.assert_array_equal(other, np.hstack([next(alone) for _ in range(count)])[0])
    assert len(drawn) == count * size
    for epoch in drawn.reshape(size, count):
        assert sorted(epoch) == list(range(count))
    assert len({tuple(epoch) for epoch in drawn.reshape(size, count)}) > 1


def test_inputs_may_be_a_memory_map_or_jax(tmp_path):
    inputs, labels = toy()
    mapped = np.memmap(tmp_path / "inputs", np.float32, "w+", shape=inputs.shape)
    mapped[:] = inputs
    results = []
    for each in (inputs, mapped, jnp.asarray(inputs)):
        model = small()
        fit(model, (each, labels), None, FitConfig(16, steps=2), seed=0)
        results.append(weights(model))
    for other in results[1:]:
        assert all((a == b).all() for a, b in zip(results[0], other, strict=True))


def test_logs_tell_the_step_often_and_the_scores_at_evaluations():
    logs = []
    config = FitConfig(batch_size=16, steps=25, eval_every=15)
    history = fit(small(), toy(), toy(seed=1), config, seed=0, on_log=logs.append)
    assert [log["classifier/step"] for log in logs] == [10, 15, 20, 25]
    assert all(log["classifier/total_steps"] == 25 for log in logs)
    evaluations = [log for log in logs if "classifier/valid_loss" in log]
    assert [log["classifier/step"] for log in evaluations] == history.steps == [15, 25]
    assert [log["classifier/valid_loss"] for log in evaluations] == history.valid_loss
    assert [log["classifier/loss"] for log in evaluations] == history.train_loss


def test_an_evaluation_an_epoch_by_default():
    history = fit(small(), toy(), toy(seed=1), FitConfig(batch_size=16, epochs=2), seed=0)
    assert history.steps == [4, 8]  # 60 clips are four batches of 16, the last shared
    assert not history.stopped_early


def test_a_loss_that_is_not_finite_stops_and_leaves_the_model():
    inputs, labels = toy()
    inputs[17, 3, 2] = np.nan
    model, before = small(), weights(small())
    first = next(step for step, batch in enumerate(_batches(60, 16, [0]), 1) if 17 in batch)
    with pytest.raises(FloatingPointError, match=f"training loss is nan at step {first} .*scaled"):
        fit(model, (inputs, labels), None, FitConfig(16, steps=20), seed=0)
    assert all((a == b).all() for a, b in zip(weights(model), before, strict=True))
    with pytest.raises(FloatingPointError, match="validation loss is nan at step 4"):
        fit(model, toy(), (inputs, labels), FitConfig(16, steps=5), seed=0)


def test_labels_may_be_names():
    inputs, labels = toy()
    names = np.array(["rock", "blues", "jazz"])[labels]
    numbers = np.array([2, 0, 1])[labels]
    one, other = small(), small()
    history = fit(one, (inputs, names), (inputs, list(names)), FitConfig(16, steps=2), seed=0)
    expected = fit(other, (inputs, numbers), (inputs, numbers), FitConfig(16, steps=2), seed=0)
    assert history.labels == ("blues", "jazz", "rock")
    assert same(one, other)
    assert replace(history, labels=()) == expected
    assert "labels" not in expected.to_dict()
    with pytest.raises(ValueError, match=r"valid labels have 'pop', which no training clip has"):
        fit(small(), (inputs, names), (inputs[:1], ["pop"]), FitConfig(steps=1), seed=0)
    with pytest.raises(ValueError, match=r"train labels name 1 classes.* network has 3: create"):
        fit(small(), (inputs, ["rock"] * 60), None, FitConfig(steps=1), seed=0)


def test_data_that_do_not_fit_are_refused():
    inputs, labels = toy()
    config = FitConfig(16, steps=1)
    with pytest.raises(ValueError, match=r"train is a pair.*60 inputs and labels \(59,\)"):
        fit(small(), (inputs, labels[1:]), None, config, seed=0)
    with pytest.raises(ValueError, match="N > 0"):
        fit(small(), (inputs[:0], labels[:0]), None, config, seed=0)
    with pytest.raises(ValueError, match="train labels run from 0 to 3; with 3 classes"):
        fit(small(), (inputs, np.arange(60) % 4), None, config, seed=0)
    with pytest.raises(ValueError, match="valid labels"):
        fit(small(), (inputs, labels), (inputs, labels - 1), config, seed=0)
    with pytest.raises(ValueError, match=r"takes .*10, 5.*not \(1, 9, 5\)"):
        fit(small(), (inputs[:, 1:], labels), None, config, seed=0)
    with pytest.raises(ValueError, match="patience"):
        fit(small(), (inputs, labels), None, FitConfig(steps=1, patience=1), seed=0)
    with pytest.raises(ValueError, match=r"valid inputs: .*10, 5.*not \(1, 10, 5, 1\)"):
        fit(small(), (inputs, labels), (inputs[..., None], labels), config, seed=0)
    with pytest.raises(ValueError, match=r"a batch of 100,000,000,000 clips, .*: take a"):
        fit(small(), (inputs, labels), None, FitConfig(10**11, steps=1), seed=0)
    with pytest.raises(ValueError, match="2 models and 1 seeds: give one seed a model"):
        fit_together([small(), small()], (inputs, labels), None, config, seeds=[0])


@dataclass(frozen=True)
class Noise:
    level: float

    def __call__(self, key, inputs, targets):
        return inputs + self.level * jax.random.normal(key, inputs.shape), targets


NOISE = Noise(0.3)
# Few different programs, since compiling them takes most of the time of these tests; and an
# optimizer whose steps are not much changed by rounding.
MOVED = FitConfig(8, steps=8, learning_rate=0.05, optimizer="sgd", momentum=0.9)


def test_augmentation_is_for_training_alone():
    config = MOVED
    plain, noisy, again = small(), small(), small()
    fit(plain, toy(), None, config, seed=0)
    loud = fit(noisy, toy(), toy(seed=1), config, seed=0, augment=NOISE)
    fit(again, toy(), toy(seed=1), config, seed=0, augment=NOISE)
    assert same(noisy, again)
    assert not same(noisy, plain)
    assert loud.best_step == 8
    odds = predict(noisy, toy(seed=1)[0])[np.arange(60), toy()[1]]
    assert loud.valid_loss[-1] == pytest.approx(-np.log(odds).mean(), rel=1e-5)


RESUMED = replace(MOVED, steps=35, eval_every=4, patience=6, schedule="cosine")


def resumable(folder, **options):
    """The fit that the tests of resuming interrupt: the model and its history."""
    model = small("net3")
    data = toy("net3", 24), toy("net3", 12, seed=1)
    history = fit(model, *data, RESUMED, seed=5, augment=NOISE, run_dir=folder, **options)
    return model, history


@pytest.fixture(scope="module")
def whole():
    """That fit without an interruption."""
    return resumable(None)


@pytest.mark.parametrize("step", [3, 4, 17, 33])
def test_a_fit_that_was_stopped_goes_on_as_if_it_had_not_been(step, tmp_path, whole):
    asked = iter(range(1, 100))
    with pytest.raises(FitInterrupted, match=f"at step {step} of 35; the same call goes on"):
        resumable(tmp_path, should_stop=lambda: next(asked) == step)
    logs = []
    model, history = resumable(tmp_path, on_log=logs.append)
    assert logs[0]["classifier/step"] > step
    assert history == whole[1]
    assert same(model, whole[0])
    # The same call once more has nothing to do, and the state is not kept for it.
    model, history = resumable(tmp_path, on_log=lambda _: pytest.fail("trained again"))
    assert history == whole[1]
    assert same(model, whole[0])
    (file,) = tmp_path.iterdir()
    assert file.stat().st_size < 2 * sum(each.nbytes for each in weights(model)) + 10_000


def test_a_killed_fit_goes_on_as_if_it_had_not_been(tmp_path, whole):
    """Killed for good (SIGKILL), at any moment after the first evaluation."""
    code = (
        "import time, pathlib, test_training\n"
        "def slowly(values):\n"
        "    time.sleep(0.05)\n"
        f"test_training.resumable(pathlib.Path({str(tmp_path)!r}), on_log=slowly)\n"
    )
    here = Path(__file__).parent
    path = os.pathsep.join(map(str, (here, here.parent, here.parents[1])))
    process = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path})
    deadline = time.monotonic() + 120
    while not (tmp_path / "fit.safetensors").exists() and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    model, history = resumable(tmp_path)
    assert history == whole[1]
    assert same(model, whole[0])


def test_stopping_without_a_folder_loses_the_fit():
    model = small()
    with pytest.raises(FitInterrupted, match=r"at step 2 of 9; .*with a run_dir it would"):
        fit(
            model,
            toy(),
            None,
            FitConfig(16, steps=9),
            seed=0,
            should_stop=iter([False, True]).__next__,
        )
    assert same(model, small())


def test_stopping_after_the_last_step_is_an_end():
    config = FitConfig(16, steps=2)
    history = fit(small(), toy(), None, config, seed=0, should_stop=iter([False, True]).__next__)
    assert history.num_steps == 2


@pytest.mark.parametrize("name", SMALL)
def test_seeds_at_once_come_to_what_each_comes_to_alone(name):
    seeds = [3, 4, 5]
    train, valid = toy(name, 24), toy(name, 12, seed=1)
    config = replace(MOVED, steps=12, eval_every=6)
    models, alone = [small(name, seed) for seed in seeds], [small(name, seed) for seed in seeds]
    histories = fit_together(models, train, valid, config, seeds=seeds, augment=NOISE)
    for seed, model, one, history in zip(seeds, models, alone, histories, strict=True):
        expected = fit(one, train, valid, config, seed=seed, augment=NOISE)
        assert history.steps == expected.steps
        np.testing.assert_allclose(history.train_loss, expected.train_loss, rtol=2e-3)
        np.testing.assert_allclose(history.valid_loss, expected.valid_loss, rtol=2e-3)
        for a, b in zip(weights(model), weights(one), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-2, atol=1e-3)
    assert len({history.train_loss[-1] for history in histories}) == 3


def test_each_seed_stops_for_itself(tmp_path):
    """Labels that only the training clips have: the seeds soon stop, at different steps."""
    rng = np.random.default_rng(0)
    train = rng.normal(size=(24, 10, 5)).astype(np.float32), rng.integers(0, 3, 24)
    valid, seeds, logs = toy(count=12, seed=1), [0, 1, 2], []
    config = replace(MOVED, steps=90, learning_rate=0.3, eval_every=6, patience=2)

    def together(folder, **options):
        models = [small(seed=seed) for seed in seeds]
        return models, fit_together(
            models, train, valid, config, seeds=seeds, augment=NOISE, run_dir=folder, **options
        )

    models, histories = together(None, on_log=logs.append)
    assert len({history.num_steps for history in histories}) > 1
    for seed, model, history in zip(seeds, models, histories, strict=True):
        mine = [log for log in logs if log["classifier/seed"] == seed]
        assert mine[-1]["classifier/step"] == history.num_steps == history.steps[-1]
        assert [log["classifier/valid_loss"] for log in mine if "classifier/valid_loss" in log] == (
            history.valid_loss
        )
        assert history.best_step == history.steps[int(np.argmin(history.valid_loss))]
        best = -np.log(predict(model, valid[0])[np.arange(12), valid[1]]).mean()
        assert best == pytest.approx(min(history.valid_loss), rel=1e-5)

    first = min(history.num_steps for history in histories)
    asked = iter(range(1, 100))
    with pytest.raises(FitInterrupted):
        together(tmp_path, should_stop=lambda: next(asked) == first + 1)
    for (resumed, again), (model, history) in zip(
        zip(*together(tmp_path), strict=True), zip(models, histories, strict=True), strict=True
    ):
        assert again == history
        assert same(resumed, model)
