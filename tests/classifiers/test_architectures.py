"""Networks as published: shapes and parameter counts worked out by hand."""

import math

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

from classifiers.architectures import ARCHITECTURES, create

SMALL = {
    "net3": {"conv_widths": (4, 4, 8, 8), "dense_sizes": (16,)},
    "net5": {"lstm_sizes": (12, 8), "dense_sizes": (8, 8)},
    "net6": {"lstm_sizes": (12, 8), "dense_sizes": (8, 8)},
}
SHAPES = {"net3": (16, 16, 3), "net5": (10, 5), "net6": (10, 5)}


def parameters(name, input_shape, num_classes):
    """Sizes of the weights; nothing is allocated."""
    model = nnx.eval_shape(
        lambda: create(name, input_shape=input_shape, num_classes=num_classes, rngs=nnx.Rngs(0))
    )
    return sum(math.prod(p.shape) for p in jax.tree.leaves(nnx.state(model, nnx.Param)))


def test_net3_has_the_published_size():
    convolutions = 27 * 32 + 32 + 288 * 64 + 64 + 576 * 128 + 128 + 1152 * 256 + 256
    normalisations = 2 * (32 + 64 + 128 + 256)
    dense = 42 * 42 * 256 * 256 + 256 + 256 * 10 + 10  # 180 → 178 → 176 → 88 → 86 → 84 → 42
    total = convolutions + normalisations + dense
    assert total == 115_997_706
    assert parameters("net3", (180, 180, 3), 10) == total


@pytest.mark.parametrize("name", ["net5", "net6"])
def test_net5_has_the_published_size(name):
    first = 4 * (40 * 512 + 512 * 512 + 512)
    last = 4 * (512 * 256 + 256 * 256 + 256)
    dense = 256 * 128 + 128 + 128 * 64 + 64 + 64 * 10 + 10
    assert first + last + dense == 1_961_802
    assert parameters(name, (103, 40), 10) == first + last + dense


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_gives_logits_and_has_gradients_everywhere(name):
    model = create(name, input_shape=SHAPES[name], num_classes=3, rngs=nnx.Rngs(0), **SMALL[name])
    x = jax.random.normal(jax.random.key(0), (8, *SHAPES[name]))
    assert jax.eval_shape(model, x).shape == (8, 3)
    graph, params, rest = nnx.split(model, nnx.Param, ...)

    def loss(params):
        logits = nnx.merge(graph, params, rest, copy=True)(x, train=True, key=jax.random.key(1))
        return jnp.square(logits - 1).sum()

    for path, gradient in jax.tree_util.tree_leaves_with_path(jax.jit(jax.grad(loss))(params)):
        assert jnp.isfinite(gradient).all(), path
        assert (gradient != 0).any() or "bias" in str(path), path  # batch norm undoes a bias


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_seed_decides_the_weights(name):
    def weights(seed):
        options = SMALL[name]
        rngs = nnx.Rngs(seed)
        model = create(name, input_shape=SHAPES[name], num_classes=3, rngs=rngs, **options)
        return jax.tree.leaves(nnx.state(model, nnx.Param))

    assert all((a == b).all() for a, b in zip(weights(0), weights(0), strict=True))
    assert any((a != b).any() for a, b in zip(weights(0), weights(1), strict=True))


def test_a_misspelt_name_gets_the_nearest():
    with pytest.raises(ValueError, match=r"'nett5': did you mean .*net5"):
        create("nett5", input_shape=(9, 4), num_classes=3, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="net3 or net5 or net6"):
        create("transformer", input_shape=(9, 4), num_classes=3, rngs=nnx.Rngs(0))


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match=r"net5 has no option widths; it has .*lstm_sizes"):
        create("net5", input_shape=(9, 4), num_classes=3, rngs=nnx.Rngs(0), widths=(1,))
    with pytest.raises(ValueError, match=r"conv_widths.* 4 .*\(8, 8\)"):
        create("net3", input_shape=(16, 16, 3), num_classes=3, rngs=nnx.Rngs(0), conv_widths=(8, 8))
    with pytest.raises(ValueError, match="num_classes=1"):
        create("net5", input_shape=(9, 4), num_classes=1, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"net3 on an input of \(44, 40\): layer 1, Convolution2D"):
        create("net3", input_shape=(44, 40), num_classes=3, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"net3 .*\(9, 20, 3\): layer 8, Convolution2D"):
        create("net3", input_shape=(9, 20, 3), num_classes=3, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"net6 .*layer 1, LSTM: .*time, features"):
        create("net6", input_shape=(16384,), num_classes=3, rngs=nnx.Rngs(0))
