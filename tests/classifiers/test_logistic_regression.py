"""The last layer at its optimum: scikit-learn's own answers, and the slope of the loss there."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from classifier_toys import same, small, toy, weights
from flax import nnx
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_info, threadpool_limits

from classifiers import FitConfig, architectures, create, fit, load, predict, save
from classifiers.training import FitInterrupted, fit_together

CONFIG = FitConfig(epochs=500, optimizer="lbfgs", weight_decay=0.02)


def linear(features=5, classes=3, seed=0):
    return create("linear", input_shape=(features,), num_classes=classes, rngs=nnx.Rngs(seed))


def rows(count=60, classes=3, seed=0):
    """Features of scales far apart, which tell the class less than wholly."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    found = rng.normal(size=(count, 5)) + np.outer(labels, [1, 0.5, 0, 0, 0])
    return (found * [1, 10, 0.1, 3, 1] + [0, 50, 0, -2, 0]).astype(np.float32), labels


def test_one_thread_does_the_small_products(monkeypatch):
    """Two took five times as long on 540 clips of 480 features, and ended at other bits."""
    solve, threads = LogisticRegression.fit, set()

    def spied(*given, **options):
        pools = threadpool_info()
        threads.update(pool["num_threads"] for pool in pools if pool["user_api"] == "blas")
        return solve(*given, **options)

    monkeypatch.setattr(LogisticRegression, "fit", spied)
    with threadpool_limits(2, user_api="blas"):
        fit(linear(), rows(), None, CONFIG, seed=0)
    assert threads == {1} or not any(pool["user_api"] == "blas" for pool in threadpool_info())


@pytest.mark.parametrize("classes", [2, 3])
def test_it_answers_as_scikit_learn_does(classes):
    """Which decays two classes' difference, whose square is twice that of their two kernels."""
    (inputs, labels), (others, _) = rows(classes=classes), rows(classes=classes, seed=1)
    model = linear(classes=classes)
    history = fit(model, (inputs, labels), None, CONFIG, seed=0)
    scaler = StandardScaler().fit(inputs.astype(np.float64))
    theirs = LogisticRegression(C=(1 + (classes == 2)) / (0.02 * len(labels)), max_iter=500)
    theirs.fit(scaler.transform(inputs), labels)
    wanted = theirs.predict_proba(scaler.transform(others))
    np.testing.assert_allclose(predict(model, others), wanted, atol=1e-4)
    assert history.num_steps == theirs.n_iter_[0] < 500
    right = (predict(model, inputs).argmax(1) == labels).mean()
    assert history.train_accuracy == [pytest.approx(right)]
    assert history.steps == [history.best_step] == [history.num_steps]
    assert not history.stopped_early


@pytest.mark.parametrize("of_class", [(0.5, 1.0, 2.0), (0.5, 2.0)])
def test_nothing_slopes_where_it_ends(of_class):
    """The gradient of the loss as the configuration describes it, of our own arithmetic."""
    inputs, labels = rows(classes=len(of_class))
    model, shares = linear(classes=len(of_class)), jnp.array(of_class)
    config = FitConfig(steps=500, optimizer="lbfgs", weight_decay=0.02, class_weights=of_class)
    fit(model, (inputs, labels), None, config, seed=0)
    mean, std = inputs.astype(np.float64).mean(0), inputs.astype(np.float64).std(0)
    z, layer = ((inputs - mean) / std).astype(np.float32), model.layers[-1]

    def loss(kernel, bias):
        log_p = jax.nn.log_softmax(z @ kernel + bias[None])
        costs = -jnp.take_along_axis(log_p, labels[:, None], 1)[:, 0] * shares[labels]
        return costs.mean() + 0.02 / 2 * jnp.square(kernel).sum()

    given, bias = np.asarray(layer.kernel), np.asarray(layer.bias)
    kernel = given * std.astype(np.float32)[:, None]
    bias = bias + mean.astype(np.float32) @ given
    slopes = jax.jit(jax.grad(loss, (0, 1)))
    for slope in slopes(kernel, bias):
        assert np.abs(slope).max() < 1e-3
    for slope in slopes(2 * kernel, bias):
        assert np.abs(slope).max() > 1e-2


def test_what_is_below_the_last_layer_stays():
    model, before = small("net5"), small("net5")
    train, valid = toy(), toy(seed=1)
    logs = []
    history = fit(model, train, valid, CONFIG, seed=0, on_log=logs.append)
    for part, old in zip(list(model.layers)[:-1], list(before.layers)[:-1], strict=True):
        assert same(part, old)
    assert not same(model.layers[-1], before.layers[-1])
    right = (predict(model, valid[0]).argmax(1) == valid[1]).mean()
    assert history.valid_accuracy == [pytest.approx(right)]
    assert history.train_accuracy[0] > 0.6  # of weights that nobody trained
    (told,) = logs
    assert told["classifier/step"] == history.num_steps
    assert told["classifier/total_steps"] == 500
    assert told["classifier/valid_loss"] == history.valid_loss[0]


def test_the_seed_of_a_linear_model_changes_nothing():
    models = [linear(seed=seed) for seed in range(2)]
    assert not same(*models)
    first, second = fit_together(models, rows(), None, CONFIG, seeds=[0, 1])
    assert same(*models)
    assert first == second


def test_a_short_budget_and_snapshots_are_the_same_iterations():
    model, short, seen = linear(), linear(), {}
    history = fit(
        model,
        rows(),
        None,
        CONFIG,
        seed=0,
        snapshots=[2, 400],
        on_snapshot=lambda step, at: seen.update({step: weights(at)}),
    )
    config = FitConfig(steps=2, optimizer="lbfgs", weight_decay=0.02)
    assert fit(short, rows(), None, config, seed=0).num_steps == 2
    assert history.num_steps > 2
    for found, model_then in ((seen[2], short), (seen[400], model)):
        for a, b in zip(found, weights(model_then), strict=True):
            np.testing.assert_array_equal(a, b)
    assert not same(model, short)


def test_without_a_penalty_and_with_a_feature_that_never_varies():
    inputs, labels = rows(300)
    inputs[:, 2] = 7
    model = linear()
    config = FitConfig(epochs=500, optimizer="lbfgs")
    assert np.isfinite(fit(model, (inputs, labels), None, config, seed=0).train_loss[0])
    assert np.isfinite(predict(model, inputs)).all()


def test_it_is_saved_as_any_other(tmp_path):
    model, (inputs, labels) = linear(), rows()
    fit(model, (inputs, labels), None, CONFIG, seed=0)
    save(model, tmp_path / "a.safetensors")
    again, _ = load(tmp_path / "a.safetensors")
    np.testing.assert_array_equal(predict(again, inputs), predict(model, inputs))


class Whole(nnx.Module):
    def __init__(self, input_shape, num_classes, *, rngs):
        self.last = nnx.Linear(*input_shape, num_classes, rngs=rngs)

    def __call__(self, x, *, train=False, key=None):
        return self.last(x)


def test_a_network_without_a_dense_layer_at_its_end(monkeypatch):
    monkeypatch.setattr(architectures, "_NETWORKS", dict(architectures._NETWORKS))
    architectures.architecture("whole")(Whole)
    model = create("whole", input_shape=(5,), num_classes=3, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="whole is a module of its own, and nothing says"):
        fit(model, rows(), None, CONFIG, seed=0)


def test_what_cannot_be_solved_for_is_named():
    inputs, labels = rows()
    with pytest.raises(ValueError, match="'lbfgs' needs training clips of every class; class 1"):
        fit(linear(), (inputs, 2 * (labels // 2)), None, CONFIG, seed=0)
    wrong = inputs.copy()
    wrong[7, 0] = np.nan
    with pytest.raises(ValueError, match="example 7 holds a NaN"):
        fit(linear(), (wrong, labels), None, CONFIG, seed=0)
    with pytest.raises(ValueError, match="augment alters batches, and 'lbfgs' has"):
        fit(linear(), (inputs, labels), None, CONFIG, seed=0, augment=lambda key, x, y: (x, y))
    before = linear()
    with pytest.raises(FitInterrupted, match="step 0 of 500"):
        fit(before, (inputs, labels), None, CONFIG, seed=0, should_stop=lambda: True)
    assert same(before, linear())
