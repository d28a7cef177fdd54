"""Networks as published: shapes, and parameter counts worked out by hand."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from small_classifiers import LARGER, SMALL

from classifiers.architectures import ARCHITECTURES, create

PUBLISHED = (  # the fifteen of the literature, in their order
    "net1 net2 net3 net4 net5 net6 cnn1 cnn2 parallel_cnn cnn_lstm cnn_bilstm cnn_rnn final_eff "
    "final_acc cnn_rnn_tempo"
)


def small(name, seed=0, **options):
    (shape, sizes), rngs = SMALL[name], nnx.Rngs(jax.random.key(seed))
    return create(name, input_shape=shape, num_classes=3, rngs=rngs, **sizes, **options)


def test_all_published_systems_ours_and_what_they_are_held_against_are_there():
    ours = ("mel_tempo_rnn", "short_chunk_resnet", "cnn14", "linear", "tempo")
    assert (*PUBLISHED.split(), *ours) == ARCHITECTURES


def affine(inputs, outputs):
    return inputs * outputs + outputs


def conv(size, inputs, outputs):
    return affine(size * size * inputs, outputs)


def norm(width):
    return 2 * width


def lstm(features, units):
    return 4 * affine(features + units, units)


def conv4(normalised):
    """180 → 178 → 176 → 88 → 86 → 84 → 42."""
    convolutions = conv(3, 3, 32) + conv(3, 32, 64) + conv(3, 64, 128) + conv(3, 128, 256)
    scales = norm(32 + 64 + 128 + 256) if normalised else 0
    return convolutions + scales + affine(42 * 42 * 256, 256) + affine(256, 10)


def net5():
    return lstm(40, 512) + lstm(512, 256) + affine(256, 128) + affine(128, 64) + affine(64, 10)


def cnn1(dense, normalised):
    """130 → 128 → 64 → 62 → 31 → 30 → 15 frames; 128 → 126 → 63 → 61 → 31 → 30 → 15 bands."""
    convolutions = conv(3, 1, 32) + conv(3, 32, 64) + conv(2, 64, 64)
    scales = norm(32 + 64 + 64) if normalised else 0
    return convolutions + scales + affine(15 * 15 * 64, dense) + affine(dense, 10)


def four_blocks(width):
    """80 → 78 → 39 → 37 → 19 → 17 → 9 → 8 → 4; so 4 * 4 * width features."""
    return conv(3, 1, width) + 2 * conv(3, width, width) + conv(2, width, width) + 4 * norm(width)


def final_head(features):
    return affine(features, 128) + affine(128, 64) + affine(64, 10)


def lstm_head():
    return lstm(128, 32) + affine(32, 200) + affine(200, 10)


def tempo():
    """128 → 32 → 8 → 2 bands and 384 → 96 → 24 → 6 lags, 32 channels each."""
    stream = conv(3, 1, 16) + conv(3, 16, 32) + conv(3, 32, 32) + norm(16 + 32 + 32)
    return 2 * stream + lstm((2 + 6) * 32, 64) + affine(64, 64) + affine(64, 10)


def tempo_pictures():
    """500 → 498 → 249 → 247 → 123 → 121 → 60 → 58 → 29."""
    convolutions = conv(3, 3, 8) + conv(3, 8, 16) + conv(3, 16, 32) + conv(3, 32, 64)
    gru = 3 * (affine(29 * 29 * 64, 50) + affine(50, 50))
    return convolutions + gru + affine(50, 120) + affine(120, 10)


def resnet():
    def block(inputs, outputs):
        return 2 * conv(3, inputs, outputs) + conv(3, outputs, outputs) + 3 * norm(outputs)

    narrow = block(1, 128) + block(128, 128)
    wide = block(128, 256) + 3 * block(256, 256) + block(256, 512)
    return norm(1) + narrow + wide + affine(512, 512) + norm(512) + affine(512, 10)


def cnn14():
    """Two convolutions of each width, which have a bias here, and their norms."""
    widths = [64, 128, 256, 512, 1024, 2048]
    pairs = zip([1, *widths], widths, strict=False)
    blocks = sum(conv(3, i, o) + conv(3, o, o) + 2 * norm(o) for i, o in pairs)
    return norm(64) + blocks + affine(2048, 2048) + affine(2048, 10)


PICTURE, LOG_MEL, SQUARE = (180, 180, 3), (130, 128, 1), (80, 80, 1)
SIZES = {  # name: (input shape, parameters by layer, their sum worked out once more)
    "net1": (PICTURE, affine(97_200, 128) + affine(128, 64) + affine(64, 10), 12_450_634),
    "net2": (PICTURE, conv4(normalised=False), 115_996_746),
    "net3": (PICTURE, conv4(normalised=True), 115_997_706),
    "net4": (PICTURE, conv4(normalised=True), 115_997_706),
    "net5": ((103, 40), net5(), 1_961_802),
    "net6": ((103, 40), net5(), 1_961_802),
    "cnn1": (LOG_MEL, cnn1(64, normalised=False), 957_578),
    "cnn2": (LOG_MEL, cnn1(128, normalised=True), 1_880_202),
    "parallel_cnn": (
        SQUARE,
        conv(8, 1, 3) + conv(4, 1, 4) + affine(20 * 20 * 3 + 40 * 40 * 4, 10),
        76_273,
    ),
    # 80 → 77 → 38 → 36 → 18
    "cnn_lstm": (SQUARE, conv(4, 1, 8) + conv(3, 8, 6) + lstm(18 * 6, 128) + lstm_head(), 151_136),
    "cnn_rnn": (
        (80, 80),
        affine(4 * 80, 8) + affine(3 * 8, 6) + lstm(6, 128) + lstm_head(),
        101_056,
    ),
    "cnn_bilstm": (
        SQUARE,
        conv(3, 1, 16) + conv(3, 16, 32) + norm(16 + 32)
        + 2 * lstm(20 * 32, 128) + 2 * lstm(256, 64) + affine(128, 256) + affine(256, 10),
        992_298,
    ),
    "final_eff": (SQUARE, four_blocks(32) + final_head(16 * 32), 97_770),
    "final_acc": (SQUARE, four_blocks(32) + four_blocks(64) + final_head(16 * 96), 320_298),
    "cnn_rnn_tempo": ((500, 500, 3), tempo_pictures(), 8_113_258),
    "mel_tempo_rnn": ((130, 128 + 384), tempo(), 115_402),
    "short_chunk_resnet": (LOG_MEL, resnet(), 12_083_724),
    # 80,753,615 in its paper, of 527 classes and without biases of convolutions
    "cnn14": ((1001, 64), cnn14(), 80_753_615 - 2049 * 527 + 2049 * 10 + 2 * 4032),
    "linear": ((672,), affine(672, 10), 6_730),
    "tempo": ((6_401,), 0, 0),  # it keeps clips
}  # fmt: skip


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_published_size(name):
    shape, by_layer, total = SIZES[name]
    model = nnx.eval_shape(  # nothing is allocated
        lambda: create(name, input_shape=shape, num_classes=10, rngs=nnx.Rngs(0))
    )
    counted = sum(math.prod(p.shape) for p in jax.tree.leaves(nnx.state(model, nnx.Param)))
    assert counted == by_layer == total


def drawn(name, seed=0):
    """A small network as (graph, params, rest), with NumPy's weights: its own compile slowly."""
    rng = np.random.default_rng(seed)
    graph, params, rest = nnx.split(nnx.eval_shape(lambda: small(name)), nnx.Param, ...)
    params = jax.tree.map(lambda p: rng.normal(0, 0.3, p.shape).astype(np.float32), params)
    rest = jax.tree.map(lambda p: np.ones(p.shape, np.float32), rest)
    return graph, *jax.device_put((params, rest))


def inputs(name, *count):
    x = np.random.default_rng(1).normal(size=(*count, *SMALL[name][0])).astype(np.float32)
    return jax.device_put(x)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_gives_logits(name):
    graph, params, rest = drawn(name)
    logits = jax.eval_shape(nnx.merge(graph, params, rest), inputs(name, 8))
    assert logits.shape == (8, 3)


@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if name not in LARGER])
def test_every_weight_has_a_gradient(name):
    graph, params, rest = drawn(name)
    x = inputs(name, 8)

    def loss(params):
        logits = nnx.merge(graph, params, rest, copy=True)(x, train=True, key=jax.random.key(1))
        return jnp.square(logits - 1).sum()

    for path, gradient in jax.tree_util.tree_leaves_with_path(jax.jit(jax.grad(loss))(params)):
        assert np.isfinite(gradient).all(), path
        # Batch norm undoes a bias, and a GRU of one step starts from a state of zeros.
        idle = "recurrent" if name == "cnn_rnn_tempo" else "bias"
        assert np.any(gradient) or idle in str(path), path


def test_seeds_can_train_in_one_program():
    """Logits, batch statistics and all: vmapped they are those of one model at a time."""
    name = "cnn_bilstm"
    graph, *_ = drawn(name)
    states = [drawn(name, seed)[1:] for seed in range(2)]
    x = inputs(name, 2, 6)
    keys = jax.random.split(jax.random.key(1))

    def forward(state, x, key):
        model = nnx.merge(graph, *state, copy=True)
        return model(x, train=True, key=key), nnx.state(model)

    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *states)
    together = jax.jit(jax.vmap(forward))(stacked, x, keys)
    one = jax.jit(forward)
    for seed, state in enumerate(states):
        alone = one(state, x[seed], keys[seed])
        for ours, theirs in zip(jax.tree.leaves(together), jax.tree.leaves(alone), strict=True):
            np.testing.assert_allclose(np.asarray(ours)[seed], theirs, atol=2e-5)


@pytest.mark.parametrize("name", ["parallel_cnn", "net5"])
def test_the_seed_decides_the_weights(name):
    def weights(seed):
        return jax.device_get(jax.tree.leaves(nnx.state(small(name, seed), nnx.Param)))

    assert all((a == b).all() for a, b in zip(weights(0), weights(0), strict=True))
    assert any((a != b).any() for a, b in zip(weights(0), weights(1), strict=True))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_spec_makes_the_network_again(name):
    def structure(model):
        return nnx.split(model)[0]

    def again(spec):
        return create(
            spec.name,
            input_shape=spec.input_shape,
            num_classes=spec.num_classes,
            rngs=nnx.Rngs(0),
            **dict(spec.options),
        )

    model = nnx.eval_shape(lambda: small(name))
    copy = nnx.eval_shape(lambda: again(model.spec))
    assert copy.spec == model.spec
    assert hash(copy.spec) == hash(model.spec)
    assert structure(copy) == structure(model)  # so that one compiled step serves both
    assert hash(structure(copy)) == hash(structure(model))


def test_the_spec_has_every_option():
    model = create("net1", input_shape=[4, 4, 3], num_classes=3, rngs=nnx.Rngs(0), dense_sizes=[5])
    assert model.spec.input_shape == (4, 4, 3)
    assert model.spec.options == (("dense_sizes", (5,)),)
    options = dict(small("cnn2").spec.options)
    assert options["dropout"] == 0.5
    assert options["conv_widths"] == (4, 4, 8)


def test_the_reference_takes_short_and_narrow_inputs():
    def logits(x):
        shape = x.shape[1:]
        rngs = nnx.Rngs(0)
        model = create("short_chunk_resnet", input_shape=shape, num_classes=3, rngs=rngs, width=2)
        return model(x)

    assert jax.eval_shape(logits, jnp.zeros((2, 1, 3, 1))).shape == (2, 3)


def test_both_streams_of_tempo_reach_the_logits():
    graph, params, rest = drawn("mel_tempo_rnn")
    x = inputs("mel_tempo_rnn", 1)
    gradient = jax.jit(jax.grad(lambda x: nnx.merge(graph, params, rest, copy=True)(x).sum()))(x)
    assert np.any(gradient, (0, 1)).all()


def test_a_published_gru_takes_the_batch_for_its_time():
    """An answer hangs on the clips before it; ours on its own clip alone."""
    x, signs = inputs("cnn_rnn_tempo", 3), np.ones((3, 1, 1, 1), np.float32)
    other_first, others_last = signs.copy(), signs.copy()
    other_first[0], others_last[1:] = -1, -1
    for over_batch in (True, False):
        model = jax.jit(small("cnn_rnn_tempo", over_batch=over_batch))
        whole, first, last = (np.asarray(model(of * x)) for of in (signs, other_first, others_last))
        assert np.allclose(whole[1:], first[1:], atol=1e-6) != over_batch
        np.testing.assert_allclose(whole[0], last[0], atol=1e-6)


def test_a_misspelt_name_gets_the_nearest():
    with pytest.raises(ValueError, match=r"'nett5': did you mean .*net5"):
        create("nett5", input_shape=(9, 4), num_classes=3, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"net1 or net2 or .* or short_chunk_resnet"):
        create("xyz", input_shape=(9, 4), num_classes=3, rngs=nnx.Rngs(0))


@pytest.mark.parametrize(
    ("name", "shape", "options", "message"),
    [
        ("net5", (9, 4), {"widths": (1,)}, r"net5 has no option widths; it has .*lstm_sizes"),
        ("net3", (16, 16, 3), {"conv_widths": (8, 8)}, r"conv_widths is 4 .*\(8, 8\)"),
        ("cnn1", (20, 18, 1), {"conv_dropouts": (0.1,)}, r"conv_dropouts is 3 .*\(0.1,\)"),
        ("net1", (8, 8, 3), {"dense_sizes": (0,)}, "layer 2, Dense: .*at least 1, not 0"),
        ("net5", (9, 4), {"lstm_sizes": (-3,)}, "layer 1, LSTM: .*at least 1, not -3"),
        ("net2", (16, 16, 3), {"conv_widths": (2, 0, 1, 1)}, "layer 3, Conv.*at least 1, not 0"),
        ("cnn2", (20, 18, 1), {"dropout": 1.0}, r"Dropout: .*\[0, 1\), not 1.0"),
        ("net3", (44, 40), {}, r"net3 on an input of \(44, 40\): layer 1, Convolution2D: needs"),
        ("net3", (9, 20, 3), {}, r"\(9, 20, 3\): layer 8, Convolution2D: .*smaller"),
        ("net6", (16384,), {}, r"layer 1, LSTM: .*\(time, features\)"),
        ("net5", (80, 80, 1), {}, r"layer 1, LSTM: .*\(time, features\).* not \(80, 80, 1\)"),
        ("cnn_rnn", (80, 80, 1), {}, r"layer 1, Convolution1D: .*\(time, channels\)"),
        ("final_acc", (20, 80, 1), {}, "layer 1, Parallel: branch 1: layer .*, Convolution2D"),
        ("mel_tempo_rnn", (130, 128), {}, r"branch 1: layer 1, Stream: .*384.*\(130, 128\)"),
    ],
)
def test_what_a_network_cannot_take_is_named(name, shape, options, message):
    with pytest.raises(ValueError, match=message):
        nnx.eval_shape(
            lambda: create(name, input_shape=shape, num_classes=3, rngs=nnx.Rngs(0), **options)
        )


def test_one_class_is_refused():
    with pytest.raises(ValueError, match="num_classes=1"):
        create("net5", input_shape=(9, 4), num_classes=1, rngs=nnx.Rngs(0))


def test_what_is_no_list_of_sizes_is_named():
    with pytest.raises(ValueError, match=r"net5 takes no lstm_sizes=3"):
        create("net5", input_shape=(9, 4), num_classes=3, rngs=nnx.Rngs(0), lstm_sizes=3)
