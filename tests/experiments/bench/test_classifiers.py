"""The classifier benchmark: peers of the same size, and its rows, at toy sizes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from classifiers.architectures import create
from classifiers.layers import BatchNorm
from experiments.bench import _classifier_peers as peers
from experiments.bench import classifiers as bench


def count(build):
    """Weights of a network, without computing them."""
    return sum(leaf.size for leaf in jax.tree.leaves(nnx.state(nnx.eval_shape(build), nnx.Param)))


def ours(name, shape):
    return count(lambda: create(name, input_shape=shape, num_classes=10, rngs=nnx.Rngs(0)))


@pytest.mark.parametrize(("name", "network"), [("net2", "FlaxCNN"), ("net5", "FlaxLSTM")])
def test_flax_peers_have_the_networks_weights(name, network):
    shape = {"net2": (28, 24, 3), "net5": (6, 5)}[name]
    assert count(lambda: getattr(peers, network)(shape, 10)) == ours(name, shape)


@pytest.mark.parametrize(("name", "shape"), [("net2", (28, 24, 3)), ("net5", (6, 5))])
def test_torch_peers_have_the_networks_weights(name, shape):
    pytest.importorskip("torch")
    theirs = peers.torch_network(name, shape, 10)
    found = sum(weights.numel() for weights in theirs.parameters())
    # An LSTM of PyTorch has two biases.
    more = sum(4 * units for units in peers._LSTM_SIZES) if name == "net5" else 0
    assert found == ours(name, shape) + more


def test_rows_of_a_small_case():
    pytest.importorskip("torch")
    table = {"net5": bench.Case((3, 4), 2, 4, ("PyTorch",))}
    (row,) = bench.cases(repeats=1, hardware="here", table=table)
    assert row["case"] == "net5 training epoch, 4 of 3x4 in batches of 2"
    assert row["peer"] == "PyTorch"
    assert row["hardware"] == "here"
    assert row["ratio"] == row["peer_seconds"] / row["ours_seconds"]


@pytest.mark.parametrize("name", ["final_acc", "cnn2", "cnn_bilstm"])
def test_keras_peers_have_the_networks_weights(name):
    pytest.importorskip("keras")
    shape = bench.CASES[name].shape if name in bench.CASES else (80, 80, 1)
    theirs = peers.keras_network(name, shape, 10)
    found = sum(np.prod(v.shape) for v in theirs.trainable_variables)
    assert found == ours(name, shape)


def test_a_keras_peers_running_statistics_move_as_ours():
    keras = pytest.importorskip("keras")
    ours = BatchNorm((5,), rngs=nnx.Rngs(0))
    theirs = peers._warming(keras)()
    rng = np.random.default_rng(0)
    for _ in range(12):
        x = jnp.asarray(rng.normal(2.0, 3.0, (6, 5)), jnp.float32)
        np.testing.assert_allclose(theirs(x, training=True), ours(x, train=True), atol=1e-5)
    np.testing.assert_allclose(theirs.moving_mean, ours.mean[...], rtol=1e-5)
    np.testing.assert_allclose(theirs.moving_variance, ours.variance[...], rtol=1e-5)
    np.testing.assert_allclose(theirs(x, training=False), ours(x), atol=1e-5)


def test_a_missing_peer_is_said(monkeypatch, capsys):
    def missing(*args, **options):
        raise ImportError("No module named 'keras'")

    monkeypatch.setattr(peers, "keras_epoch", missing)
    assert bench.cases(repeats=1, table={"cnn2": bench.CASES["cnn2"]}) == []
    assert "cnn2: no rows of Keras" in capsys.readouterr().out
