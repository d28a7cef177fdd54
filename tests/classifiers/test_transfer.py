"""Embeddings of every network, and a new head on a trained body."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from classifier_toys import SMALL as TOYS
from classifier_toys import same, small, toy, weights
from flax import nnx
from small_classifiers import LARGER, SMALL

from classifiers import architectures
from classifiers.architectures import ARCHITECTURES, architecture, create
from classifiers.fit_config import FitConfig
from classifiers.layers import Dense
from classifiers.prediction import predict
from classifiers.saved import load, save
from classifiers.training import fit
from classifiers.transfer import fit_head, with_new_head

CONFIG = FitConfig(batch_size=16, steps=40, learning_rate=1e-2)


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch):
    monkeypatch.setattr(architectures, "_NETWORKS", dict(architectures._NETWORKS))


class Whole(nnx.Module):
    """A network of one's own that says what its head is."""

    def __init__(self, input_shape, num_classes, *, rngs, width=6):
        self.first = nnx.Linear(int(np.prod(input_shape)), width, rngs=rngs)
        self.head = Dense((width,), num_classes, rngs=rngs)

    def embed(self, x):
        return jax.nn.relu(self.first(x.reshape(len(x), -1)))

    def __call__(self, x, *, train=False, key=None):
        return self.head(self.embed(x))


def of_ones_own():
    architecture("mine")(Whole)
    return create("mine", input_shape=(10, 5), num_classes=3, rngs=nnx.Rngs(0))


def body_of(model):
    """All variables but the head's, by their places."""
    head = model.head_place()
    state = nnx.to_flat_state(nnx.state(model))
    return {place: np.asarray(v[...]) for place, v in state if place[: len(head)] != head}


# A larger network of the same parts is among the slow tests.
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(n, marks=pytest.mark.slow) if n in LARGER else n
        for n in ARCHITECTURES
        if n != "tempo"  # it has no layers, but clips
    ],
)
def test_an_embedding_is_what_the_last_layer_sees(name):
    shape, options = SMALL[name]
    model = create(name, input_shape=shape, num_classes=3, rngs=nnx.Rngs(0), **options)
    inputs = np.random.default_rng(0).normal(size=(5, *shape)).astype(np.float32)
    found = model.embed(inputs, batch_size=4)
    kernel, bias = (np.asarray(x[...], np.float64) for x in (model.head.kernel, model.head.bias))
    assert found.shape == (5, len(kernel))
    assert found.dtype == np.float32
    logits = found @ kernel + bias
    odds = np.exp(logits - logits.max(1, keepdims=True))
    np.testing.assert_allclose(predict(model, inputs), odds / odds.sum(1, keepdims=True), atol=1e-5)


def test_embedding_leaves_out_dropout_and_moves_no_statistic():
    model, inputs = small("net3"), toy("net3", 20)[0]
    before = weights(model)
    np.testing.assert_array_equal(model.embed(inputs), model.embed(inputs))
    assert all((a == b).all() for a, b in zip(before, weights(model), strict=True))


def test_batches_of_any_size_embed_alike():
    model, inputs = small(), toy(count=37)[0]
    np.testing.assert_allclose(
        model.embed(inputs), model.embed(inputs, batch_size=16), rtol=1e-4, atol=1e-6
    )
    for wrong, said in ((0, "batch_size is at least 1"), (-3, "batch_size is at least 1")):
        with pytest.raises(ValueError, match=said):
            model.embed(inputs, batch_size=wrong)
    with pytest.raises(ValueError, match="no inputs"):
        model.embed(inputs[:0])
    with pytest.raises(ValueError, match=r"the network takes \(N, \*\(10, 5\)\)"):
        model.embed(inputs[:, :4])


@pytest.mark.parametrize("make", [lambda: small("net3"), of_ones_own])
def test_only_the_head_is_new(make):
    model = make()
    before = weights(model)
    other = with_new_head(model, 5, rngs=nnx.Rngs(7))
    assert other.spec.num_classes == other.head.output_shape[0] == 5
    assert (other.spec.name, other.spec.options) == (model.spec.name, model.spec.options)
    for place, found in body_of(model).items():
        np.testing.assert_array_equal(body_of(other)[place], found)
    again = with_new_head(model, 3, rngs=nnx.Rngs(0))
    assert (again.head.kernel[...] == model.head.kernel[...]).all()  # as `create` drew it
    assert all((a == b).all() for a, b in zip(before, weights(model), strict=True))


@pytest.mark.parametrize("name", ["net3", "net5"])
def test_a_head_is_fitted_and_not_a_bit_of_the_body_changes(name, tmp_path):
    """The body learns two of three classes, the head then all; net3 has batch statistics."""
    inputs, labels = toy(name, 60)
    two = labels < 2
    shape, options = TOYS[name]
    body = create(name, input_shape=shape, num_classes=2, rngs=nnx.Rngs(0), **options)
    fit(body, (inputs[two], labels[two]), None, CONFIG, seed=0)
    model = with_new_head(body, 3, rngs=nnx.Rngs(1))
    before, head = body_of(model), np.asarray(model.head.kernel[...])
    test = toy(name, 60, seed=1)
    history = fit_head(model, (inputs, labels), test, CONFIG, seed=0)
    after = body_of(model)
    assert all((after[place] == found).all() for place, found in before.items())
    assert (np.asarray(model.head.kernel[...]) != head).any()
    assert history.train_loss[-1] < history.train_loss[0]
    answers = predict(model, test[0]).argmax(1)
    assert (answers == test[1]).mean() > 0.55  # chance is 0.33
    assert (answers == test[1]).mean() == pytest.approx(max(history.valid_accuracy), abs=0.2)
    save(model, tmp_path / "new.safetensors")
    assert same(load(tmp_path / "new.safetensors")[0], model)


def test_the_fit_of_a_head_is_a_linear_model_on_embeddings():
    """Gradient descent on the mean cross-entropy, by hand, in float64."""
    model, (inputs, labels) = small(), toy(count=12)
    kernel, bias = (np.asarray(x[...], np.float64) for x in (model.head.kernel, model.head.bias))
    seen, targets = model.embed(inputs).astype(np.float64), np.eye(3)[labels]
    config = FitConfig(batch_size=12, steps=5, learning_rate=0.2, optimizer="sgd")
    fit_head(model, (inputs, labels), None, config, seed=0)
    for _ in range(5):
        odds = np.exp(seen @ kernel + bias)
        error = (odds / odds.sum(1, keepdims=True) - targets) / 12
        kernel, bias = kernel - 0.2 * seen.T @ error, bias - 0.2 * error.sum(0)
    np.testing.assert_allclose(model.head.kernel[...], kernel, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(model.head.bias[...], bias, rtol=1e-4, atol=1e-6)


def test_options_of_a_fit_are_those_of_the_fit_of_a_head(tmp_path):
    """Names for labels, weights of clips and a folder to resume from."""
    model, (inputs, labels) = small(), toy(count=24)
    config = FitConfig(batch_size=8, steps=4)
    names = np.array(["a", "b", "c"])[labels]
    options = {"seed": 0, "sample_weights": np.arange(24), "run_dir": tmp_path}
    history = fit_head(model, (inputs, names), None, config, **options)
    assert history.labels == ("a", "b", "c")
    again = small()
    fit_head(again, (inputs, names), None, config, **options)
    assert same(model, again)
    with pytest.raises(ValueError, match="augment alters the inputs of the body"):
        fit_head(model, (inputs, labels), None, config, seed=0, augment=lambda k, x, t: (x, t))


def test_a_module_of_ones_own_says_what_its_head_is():
    model, inputs = of_ones_own(), toy(count=8)[0]
    assert model.embed(inputs).shape == (8, 6)
    np.testing.assert_allclose(
        model.head(jnp.asarray(model.embed(inputs))), model(jnp.asarray(inputs)), rtol=1e-5
    )
    before = body_of(model)
    fit_head(model, toy(count=24), None, CONFIG, seed=0)
    assert all((body_of(model)[place] == found).all() for place, found in before.items())

    class Closed(nnx.Module):
        def __init__(self, input_shape, num_classes, *, rngs):
            self.last = nnx.Linear(int(np.prod(input_shape)), num_classes, rngs=rngs)

        def __call__(self, x, *, train=False, key=None):
            return self.last(x.reshape(len(x), -1))

    architecture("closed")(Closed)
    closed = create("closed", input_shape=(10, 5), num_classes=3, rngs=nnx.Rngs(0))
    for use in (
        lambda: closed.embed(inputs),
        lambda: with_new_head(closed, 3, rngs=nnx.Rngs(0)),
        lambda: fit_head(closed, toy(count=8), None, CONFIG, seed=0),
    ):
        with pytest.raises(
            ValueError, match=r"closed is a module of its own.*Closed embed and head"
        ):
            use()
    with pytest.raises(ValueError, match="at least two classes"):
        with_new_head(model, 1, rngs=nnx.Rngs(0))


def test_a_new_head_keeps_the_constants_of_the_framework():
    """PyTorch's batch norm has another epsilon than Keras's."""
    shape, options = SMALL["net3"]
    body = create("net3", input_shape=shape, num_classes=3, rngs=nnx.Rngs(0), framework="torch",
                  **options)  # fmt: skip
    made, x = with_new_head(body, 5, rngs=nnx.Rngs(1)), np.ones((2, *shape), np.float32)
    assert made.spec.framework == "torch"
    np.testing.assert_array_equal(made.embed(x), body.embed(x))


def test_a_head_may_be_a_logistic_regression():
    body, (inputs, labels) = small("net5"), toy(count=60)
    config = FitConfig(optimizer="lbfgs", epochs=200, weight_decay=0.01)
    alone, whole = (
        with_new_head(body, 3, rngs=nnx.Rngs(1)),
        with_new_head(body, 3, rngs=nnx.Rngs(1)),
    )
    fit_head(alone, (inputs, labels), None, config, seed=0)
    fit(whole, (inputs, labels), None, config, seed=0)
    np.testing.assert_allclose(alone.head.kernel[...], whole.head.kernel[...], rtol=1e-5)
