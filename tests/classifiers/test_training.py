"""Whole small trainings: learning, early stopping, determinism, and what is refused."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from classifiers.architectures import ARCHITECTURES, create
from classifiers.training import FitConfig, _batches, _compiled_step, fit, predict

SMALL = {
    "net3": ((16, 16, 3), {"conv_widths": (4, 4, 8, 8), "dense_sizes": (16,)}),
    "net5": ((10, 5), {"lstm_sizes": (12, 8), "dense_sizes": (8, 8)}),
    "net6": ((10, 5), {"lstm_sizes": (12, 8), "dense_sizes": (8, 8)}),
}


def small(name="net5", seed=0):
    shape, options = SMALL[name]
    return create(name, input_shape=shape, num_classes=3, rngs=nnx.Rngs(seed), **options)


def toy(name="net5", count=60, seed=0):
    """Noise whose level in the first feature (or colour) tells the class."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    inputs = rng.normal(size=(count, *SMALL[name][0])).astype(np.float32)
    inputs[..., 0] += (labels - 1).reshape(-1, *[1] * (inputs.ndim - 2)) * 1.5
    return inputs, labels


def weights(model):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(nnx.state(model))]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_learns(name):
    model, train, valid = small(name), toy(name), toy(name, 30, seed=1)
    config = FitConfig(batch_size=20, steps=60, learning_rate=1e-2, eval_every=10)
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
    config = FitConfig(batch_size=20, steps=60, learning_rate=rate, optimizer=optimizer)
    history = fit(small(), toy(), None, config, seed=0)
    assert history.train_loss[-1] < 0.8 * history.train_loss[0]


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


@pytest.mark.parametrize("name", ["net3", "net5"])
def test_the_seed_decides_the_result(name):
    def trained(seed):
        model = small(name)
        fit(model, toy(name), None, FitConfig(16, steps=5, learning_rate=1e-2), seed=seed)
        return weights(model)

    assert all((a == b).all() for a, b in zip(trained(3), trained(3), strict=True))
    assert any((a != b).any() for a, b in zip(trained(3), trained(4), strict=True))


def test_equal_networks_share_one_compiled_step():
    config = FitConfig(batch_size=20, steps=2, learning_rate=3e-3)
    fit(small(seed=0), toy(), None, config, seed=0)
    graph = nnx.split(small(seed=1))[0]
    before = _compiled_step.cache_info().misses
    fit(small(seed=1), toy(), None, config, seed=1)
    assert _compiled_step.cache_info().misses == before
    assert _compiled_step(graph, "adam", 3e-3)._cache_size() == 1


@pytest.mark.parametrize(("count", "size"), [(10, 4), (3, 8), (5, 5)])
def test_batches_are_full_and_use_every_clip_equally(count, size):
    batches = _batches(count, size, seed=0)
    drawn = np.concatenate([next(batches) for _ in range(count)])  # exactly ``size`` epochs
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


def test_predictions_do_not_depend_on_the_batch_size():
    model, (inputs, _) = small("net3"), toy("net3", 50)
    whole = predict(model, inputs)
    assert whole.shape == (50, 3)
    np.testing.assert_allclose(whole.sum(1), 1, atol=1e-6)
    expected = jax.nn.softmax(jax.jit(model)(jnp.asarray(inputs)))
    np.testing.assert_allclose(whole, expected, atol=1e-6)
    for batch_size in (7, 64):
        np.testing.assert_allclose(predict(model, inputs, batch_size=batch_size), whole, atol=1e-6)


def test_prediction_leaves_the_model_alone():
    model, before = small("net3"), weights(small("net3"))
    predict(model, toy("net3")[0])
    assert all((a == b).all() for a, b in zip(weights(model), before, strict=True))


def test_logs_tell_the_step_often_and_the_scores_at_evaluations():
    logs = []
    config = FitConfig(batch_size=20, steps=25, eval_every=15)
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
    first = next(step for step, batch in enumerate(_batches(60, 16, 0), 1) if 17 in batch)
    with pytest.raises(FloatingPointError, match=f"training loss is nan at step {first}:.*scaled"):
        fit(model, (inputs, labels), None, FitConfig(16, steps=20), seed=0)
    assert all((a == b).all() for a, b in zip(weights(model), before, strict=True))
    with pytest.raises(FloatingPointError, match="validation loss is nan at step 4"):
        fit(model, toy(), (inputs, labels), FitConfig(16, steps=5), seed=0)


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
    with pytest.raises(ValueError, match="no inputs"):
        predict(small(), inputs[:0])
    with pytest.raises(ValueError, match="batch_size"):
        predict(small(), inputs, batch_size=0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "one of steps and epochs"),
        ({"steps": 1, "epochs": 1}, "one of steps and epochs"),
        ({"steps": 0}, "steps is at least 1, not 0"),
        ({"steps": 1, "batch_size": 0}, "batch_size"),
        ({"epochs": 1, "patience": 0}, "patience"),
        ({"epochs": 1, "eval_every": -1}, "eval_every"),
        ({"steps": 1, "learning_rate": 0.0}, "learning_rate"),
        ({"steps": 1, "learning_rate": float("nan")}, "learning_rate"),
        ({"steps": 1, "optimizer": "adamw"}, "'adamw'"),
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        FitConfig(**settings)
