"""Probabilities do not depend on how they are computed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from classifier_toys import same, small, toy
from flax import nnx
from small_classifiers import SMALL

from classifiers.architectures import create
from classifiers.prediction import gather, predict, read_probabilities, score
from classifiers.step import split, stacked


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
    model = small("net3")
    predict(model, toy("net3")[0])
    assert same(model, small("net3"))


def test_what_cannot_be_predicted_is_refused():
    with pytest.raises(ValueError, match="no inputs"):
        predict(small(), toy()[0][:0])
    with pytest.raises(ValueError, match="batch_size"):
        predict(small(), toy()[0], batch_size=0)


@pytest.mark.parametrize("count", [1, 3])
def test_scores_of_several_networks(count):
    models, (inputs, labels) = [small(seed=i) for i in range(count)], toy(count=20)
    graph = split(models[0])[0]
    state = stacked([split(model)[1:] for model in models])
    found = score(graph, state, count, (inputs, labels), 8)
    for model, (loss, accuracy) in zip(models, found, strict=True):
        probabilities = predict(model, inputs).astype(np.float64)
        assert loss == pytest.approx(-np.log(probabilities[np.arange(20), labels]).mean())
        assert accuracy == (probabilities.argmax(1) == labels).mean()


def test_clips_are_gathered_where_they_lie():
    clips = np.arange(12).reshape(6, 2)
    index = np.array([[5, 0, 1], [1, 1, 2]])
    for inputs, kind in ((clips, np.ndarray), (jnp.asarray(clips), jax.Array)):
        found = gather(inputs, index)
        assert isinstance(found, kind)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, clips[index])


def test_probabilities_are_read_and_anything_else_is_refused(tmp_path):
    good, file = np.array([[0.25, 0.75], [1, 0]], np.float32), tmp_path / "p.npy"
    np.save(file, good)
    np.testing.assert_array_equal(read_probabilities(file, (2, 2)), good)
    for bad, message in (
        ([[2e38, 0], [1, 0]], "no probabilities"),
        ([[-0.5, 1.5], [1, 0]], "no probabilities"),
        ([[0.5, 0.6], [1, 0]], "no probabilities"),
        ([[1, 0]], r"holds float32 \(1, 2\), not the float32 \(2, 2\)"),
    ):
        np.save(file, np.array(bad, np.float32))
        with pytest.raises(ValueError, match=rf"p\.npy .*{message}.*: delete the folder"):
            read_probabilities(file, (2, 2))
    for content in (b"", b"PK", b"\x93NUMPY\x01\x00v\x00{'descr': }"):
        file.write_bytes(content)
        with pytest.raises(ValueError, match=r"p\.npy is damaged .*: delete the folder"):
            read_probabilities(file, (2, 2))


def test_dropout_stays_on_by_a_key_alone():
    shape, options = SMALL["cnn1"]
    model = create(
        "cnn1", input_shape=shape, num_classes=3, rngs=nnx.Rngs(0), **options, dropout=0.5
    )
    inputs = np.random.default_rng(0).normal(size=(3, *shape)).astype(np.float32)
    key, other = jax.random.split(jax.random.key(0))
    expected = jax.nn.softmax(model(jnp.asarray(inputs), train=True, key=key))
    found = predict(model, inputs, dropout=key, batch_size=3)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert not np.allclose(predict(model, inputs, dropout=other, batch_size=3), found, atol=1e-3)
    assert not np.allclose(predict(model, inputs), found, atol=1e-3)
