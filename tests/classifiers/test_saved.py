"""A saved classifier is the same classifier, and a file that holds none is named."""

import copy
import json
import pickle
import struct

import jax
import numpy as np
import pytest
from classifier_toys import same, small, toy
from damaged_files import with_a_bit_changed
from flax import nnx
from safetensors.numpy import load_file, save_file
from small_classifiers import SMALL

from classifiers.architectures import ARCHITECTURES, create
from classifiers.fit_config import FitConfig
from classifiers.prediction import predict
from classifiers.saved import load, save, take_over
from classifiers.training import fit
from features.array_files import write_safetensors


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "genres.safetensors"
    save(small("net3"), path, metadata={"labels": ["a", "b", "c"]})
    return path


def rewrite(path, *, about=None, **arrays):
    """The file with other arrays (None: without it) and other words in its header."""
    content = load_file(path)
    size = struct.unpack("<Q", path.read_bytes()[:8])[0]
    said = json.loads(json.loads(path.read_bytes()[8 : 8 + size])["__metadata__"]["classifier"])
    content = {name: each for name, each in (content | arrays).items() if each is not None}
    del said["blake2b"]
    write_safetensors(path, content, "classifier", json.dumps(said | (about or {})))


@pytest.mark.parametrize("name", ["net3", "net5"])
def test_a_trained_classifier_predicts_the_same_bit_for_bit(name, tmp_path):
    model, (inputs, labels) = small(name), toy(name, 24)
    fit(model, (inputs, labels), None, FitConfig(8, steps=6, learning_rate=1e-2), seed=0)
    path = tmp_path / "new" / "genres.safetensors"
    metadata = {"labels": ["blues", "Volksmusik", "für Elise"], "sample_rate": 22050}
    save(model, path, metadata=metadata)
    again, said = load(path)
    assert said == metadata
    assert again.spec == model.spec
    assert nnx.graphdef(again) == nnx.graphdef(model)
    np.testing.assert_array_equal(predict(again, inputs), predict(model, inputs))
    assert [each.name for each in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_is_read_as_it_was_written(name, tmp_path):
    shape, options = SMALL[name]
    model = nnx.eval_shape(
        lambda: create(name, input_shape=shape, num_classes=3, rngs=nnx.Rngs(0), **options)
    )
    rng = np.random.default_rng(0)
    for _, variable in nnx.to_flat_state(nnx.state(model)):
        variable.set_value(jax.device_put(np.float32(rng.standard_normal(variable.shape))))
    save(model, tmp_path / "a.safetensors")
    again, metadata = load(tmp_path / "a.safetensors")
    assert metadata == {}
    assert nnx.graphdef(again) == nnx.graphdef(model)
    for (place, one), (other_place, other) in zip(
        nnx.to_flat_state(nnx.state(model)), nnx.to_flat_state(nnx.state(again)), strict=True
    ):
        assert place == other_place
        np.testing.assert_array_equal(one[...], other[...])


def test_all_layers_but_the_last_are_taken_over(file):
    net3 = {"input_shape": (16, 16, 3), "conv_widths": (4, 4, 8, 8), "dense_sizes": (16,)}
    model = create("net3", num_classes=5, rngs=nnx.Rngs(9), **net3)
    last = np.asarray(model.layers[-1].kernel[...])
    there, metadata = load(file)
    assert take_over(model, file) == metadata
    np.testing.assert_array_equal(model.layers[-1].kernel[...], last)
    for mine, theirs in zip(list(model.layers)[:-1], list(there.layers)[:-1], strict=True):
        for a, b in zip(jax.tree.leaves(mine), jax.tree.leaves(theirs), strict=True):
            np.testing.assert_array_equal(a, b)
    wider = create("net3", num_classes=5, rngs=nnx.Rngs(9), **net3 | {"dense_sizes": (9,)})
    with pytest.raises(ValueError, match=r"genres\.safetensors: the variable layers.* net3 needs"):
        take_over(wider, file)
    with pytest.raises(ValueError, match="holds a net3, and its layers are to be those of a net5"):
        take_over(small("net5"), file)


def test_the_file_reads_without_this_package(file):
    arrays = load_file(file)
    model = small("net3")
    np.testing.assert_array_equal(arrays["layers.0.kernel"], model.layers[0].kernel[...])
    np.testing.assert_array_equal(arrays["layers.1.variance"], model.layers[1].variance[...])


def test_what_cannot_be_written(tmp_path):
    with pytest.raises(ValueError, match=r"weights\.npz: .* ends in .safetensors"):
        save(small(), tmp_path / "weights.npz")
    for value in (object(), float("nan")):
        with pytest.raises(ValueError, match="metadata must be fit for JSON"):
            save(small(), tmp_path / "a.safetensors", metadata={"value": value})
    with pytest.raises(ValueError, match=r"no spec: make it with classifiers\.create"):
        save(nnx.Linear(2, 3, rngs=nnx.Rngs(0)), tmp_path / "a.safetensors")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("length", [0, 5, 200, -1])
def test_a_file_cut_short(file, length):
    file.write_bytes(file.read_bytes()[:length])
    with pytest.raises(ValueError, match=r"genres\.safetensors is no safetensors file, or cut"):
        load(file)


def test_something_else(tmp_path):
    path = tmp_path / "other.safetensors"
    with pytest.raises(FileNotFoundError, match=r"other\.safetensors: no such file"):
        load(path)
    with pytest.raises(FileNotFoundError, match=f"{tmp_path}: a folder"):
        load(tmp_path)
    save_file({"weight": np.zeros(3, np.float32)}, path)
    with pytest.raises(ValueError, match="holds no classifier"):
        load(path)
    save_file({"weight": np.zeros(3, np.float32)}, path, {"classifier": "{"})
    with pytest.raises(ValueError, match="describes no classifier that this version knows"):
        load(path)


SPEC = {"name": "net3", "input_shape": [16, 16, 3], "num_classes": 3, "options": {}}


@pytest.mark.parametrize(
    ("about", "message"),
    [
        ({"version": 2}, "format version 2, this is version 1"),
        ({"spec": SPEC | {"name": "net33"}}, "no architecture 'net33': did you mean net3"),
        ({"spec": SPEC | {"options": {"colour": 3}}}, "net3 has no option colour"),
        ({"spec": SPEC | {"input_shape": [2, 2, 3]}}, r"net3 on an input of \(2, 2, 3\)"),
        ({"spec": {"name": "net3"}}, "describes no classifier"),
        ({"spec": None}, "describes no classifier"),
        ({"spec": SPEC | {"num_classes": 10**12}}, r"a size of 1e\+12, and has \d+ numbers"),
        ({"spec": SPEC | {"options": {"dense_sizes": [1] * 10**5}}}, "it says 100000 sizes"),
    ],
    ids=["version", "name", "option", "shape", "incomplete", "none", "large", "long"],
)
def test_another_version_or_architecture(file, about, message):
    rewrite(file, about=about)
    with pytest.raises(ValueError, match=message) as error:
        load(file)
    assert file.name in str(error.value)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"layers.0.bias": None}, r"the variable layers\.0\.bias is missing"),
        ({"layers.99.bias": np.zeros(8, np.float32)}, r"layers\.99\.bias has no place in net3"),
        (
            {"layers.0.bias": np.zeros(5, np.float32)},
            r"layers\.0\.bias is float32 \(5,\), net3 needs float32 \(4,\)",
        ),
        (
            {"layers.0.bias": np.zeros(4, np.float16)},
            r"layers\.0\.bias is float16 \(4,\), net3 needs float32 \(4,\)",
        ),
        ({"layers.0.bias": np.full(4, np.nan, np.float32)}, r"0\.bias has numbers that are none"),
    ],
    ids=["missing", "extra", "shape", "dtype", "NaN"],
)
def test_other_variables(file, arrays, message):
    rewrite(file, **arrays)
    with pytest.raises(ValueError, match=message) as error:
        load(file)
    assert file.name in str(error.value)


def test_a_changed_weight_or_word_is_refused(file):
    for _ in with_a_bit_changed(file, b"version"):
        with pytest.raises(ValueError, match=r"is damaged .*: save the classifier again"):
            load(file)


@pytest.mark.parametrize("name", ["net3", "net5"])
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_a_pickle_or_a_copy_is_the_same_classifier(name, copied):
    model = small(name)
    fit(model, toy(name), None, FitConfig(16, steps=3), seed=0)
    again = copied(model)
    assert same(again, model)
    assert again.spec == model.spec
    fit(model, toy(name), None, FitConfig(16, steps=1), seed=0)
    assert not same(again, model)


def test_a_network_with_nothing_below_its_last_layer_gives_nothing(tmp_path):
    linear = create("linear", input_shape=(5,), num_classes=3, rngs=nnx.Rngs(0))
    save(linear, tmp_path / "linear.safetensors")
    with pytest.raises(ValueError, match="holds a linear, which has a last layer and no other"):
        take_over(linear, tmp_path / "linear.safetensors")
