"""A user's own architectures: registered, trained, saved, loaded; and what is none."""

from functools import partial

import jax
import numpy as np
import pytest
from classifier_toys import toy
from flax import nnx

from classifiers import architectures
from classifiers.architectures import ARCHITECTURES, architecture, create
from classifiers.chain import Layers
from classifiers.fit_config import FitConfig
from classifiers.layers import Activation, Dense, Flatten
from classifiers.prediction import predict
from classifiers.saved import load, save
from classifiers.training import fit


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch):
    monkeypatch.setattr(architectures, "_NETWORKS", dict(architectures._NETWORKS))


def mine(*, width: int = 6) -> Layers:
    return [Flatten, partial(Dense, width=width), partial(Activation, function=jax.nn.relu)]


class Whole(nnx.Module):
    """A network without any of our layers."""

    def __init__(self, input_shape, num_classes, *, rngs, width=6, offset=0):
        self.first = nnx.Linear(int(np.prod(input_shape)), width, rngs=rngs)
        self.last = nnx.Linear(width, num_classes + offset, rngs=rngs)

    def __call__(self, x, *, train=False, key=None):
        return self.last(jax.nn.relu(self.first(x.reshape(len(x), -1))))


@pytest.mark.parametrize("network", [mine, Whole])
def test_a_network_of_ones_own_trains_saves_and_loads(network, tmp_path, monkeypatch):
    assert architecture("mine")(network) is network
    assert ARCHITECTURES[-1] == "mine"
    assert "mine" in ARCHITECTURES
    model = create("mine", input_shape=(10, 5), num_classes=3, rngs=nnx.Rngs(0), width=8)
    assert model.spec.options[-1] == ("width", 8)
    data = toy(count=24)
    config = FitConfig(8, steps=20, learning_rate=1e-2)
    history = fit(model, data, None, config, seed=0)
    assert history.train_loss[-1] < history.train_loss[0]
    file = tmp_path / "mine.safetensors"
    save(model, file)
    np.testing.assert_array_equal(predict(load(file)[0], data[0]), predict(model, data[0]))

    monkeypatch.delitem(architectures._NETWORKS, "mine")
    with pytest.raises(ValueError, match=r"mine\.safetensors .*no architecture 'mine'.*registered"):
        load(file)


def test_defaults_of_several_names():
    architecture("narrow", "thin", width=2)(mine)
    for name in ("narrow", "thin"):
        model = create(name, input_shape=(4,), num_classes=3, rngs=nnx.Rngs(0))
        assert model.spec.options == (("width", 2),)


def test_what_is_defined_again_replaces_itself():
    architecture("mine")(mine)
    architecture("mine")(mine)
    with pytest.raises(ValueError, match=r"'mine' is .*test_registry\.mine already"):
        architecture("mine")(Whole)


def no_default(width):
    return [partial(Dense, width=width)]


def without_shape(*, rngs, width=3):
    return Whole((3,), 3, rngs=rngs, width=width)


@pytest.mark.parametrize(
    ("names", "network", "message"),
    [
        (("net5",), mine, r"'net5' is classifiers\.networks\.mfcc_lstm already: take another"),
        (("a",), lambda: [Flatten], "'a' is a function of options .*, written with a name"),
        (("a",), partial(mine), r"not functools\.partial.*: put @architecture"),
        (("a",), no_default, "no_default has the parameter width: give it a default"),
        (("a",), without_shape, "without_shape does not take input_shape, num_classes"),
        ((), mine, "needs a name"),
        (("",), mine, "needs a name"),
    ],
)
def test_what_cannot_be_registered_is_refused(names, network, message):
    before = tuple(ARCHITECTURES)
    with pytest.raises(ValueError, match=message):
        architecture(*names)(network)
    assert before == ARCHITECTURES


def nothing():
    return None


def test_what_a_network_must_return():
    architecture("nothing")(nothing)
    with pytest.raises(ValueError, match=r"function of nothing returns a list of layers.*not None"):
        create("nothing", input_shape=(4,), num_classes=3, rngs=nnx.Rngs(0))
    architecture("wide", offset=1)(Whole)
    model = create("wide", input_shape=(10, 5), num_classes=3, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"Whole gives \(1, 4\) .* logits are \(1, 3\)"):
        fit(model, toy(), None, FitConfig(steps=1), seed=0)


def test_a_short_repr():
    model = create("net1", input_shape=(4,), num_classes=3, rngs=nnx.Rngs(0), dense_sizes=(5,))
    assert repr(model) == "<Classifier net1: (4,) to 3, 43 parameters>"
    assert repr(ARCHITECTURES).startswith("('net1', 'net2',")
