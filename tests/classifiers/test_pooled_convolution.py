"""A convolution and the pooling behind it in one, against one layer after the other."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from classifiers import layers, pooled_convolution
from classifiers.chain import Chain
from classifiers.layers import Activation, BatchNorm, Convolution2D, Dropout, MaxPool
from classifiers.networks import leaky_relu, relu
from classifiers.pooled_convolution import pays
from experiments.recipes import RECIPES

BETWEEN = {
    "nothing": [],
    "relu": [relu],
    "norm": [BatchNorm],
    "relu-norm": [relu, BatchNorm],
    "norm-leaky": [BatchNorm, leaky_relu],
}
falls = partial(Activation, function=jnp.negative)


@pytest.fixture
def together(monkeypatch):
    """Whatever the size; two pictures at a time."""
    monkeypatch.setattr(layers, "pays", lambda *_: True)
    monkeypatch.setattr(pooled_convolution, "_BYTES_AT_A_TIME", 2 * 4 * 9 * 11 * 6)


def network(between, *, kernel=3, width=6, channels=1, window=3, padding="SAME"):
    """A chain with weights that a training may reach: factors of a normalisation below zero too."""
    convolution = partial(Convolution2D, width=width, kernel_size=kernel, padding=padding)
    pool = partial(MaxPool, window=window, stride=2, padding=padding)
    chain = Chain((9, 11, channels), [convolution, *between, pool], rngs=nnx.Rngs(0))
    noise = np.random.default_rng(0)
    for layer in chain.layers:
        if isinstance(layer, BatchNorm):
            layer.scale[...] = jnp.asarray(noise.normal(size=width), jnp.float32)
            layer.mean[...] = jnp.asarray(noise.normal(size=width), jnp.float32)
        if isinstance(layer, BatchNorm | Convolution2D):
            layer.bias[...] = jnp.asarray(noise.normal(size=width), jnp.float32)
    return chain


def pictures(n, channels=1):
    shape = (n, 9, 11, channels)
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)


# One program each: of eager operations, each is one to compile.


@nnx.jit
def answer(chain, x):
    return chain(x)


@nnx.jit
def one_after_the_other(layers, x):
    for layer in layers:
        x = layer(x)
    return x


def done_together(layers, x, *, train=False):
    """How many of the layers behind the first are in what that makes of ``x``."""
    counts = []

    def first(layers, x):
        convolution, *following = layers
        y, done = convolution.run(x, following, train=train)
        counts.append(done)
        return y

    nnx.eval_shape(first, layers, x)
    return counts[0]


def outcome(chain, x, *, train):
    """Values, the gradients of the sum of their sines, and what the network then is."""
    graph, params, rest = nnx.split(chain, nnx.Param, ...)

    @jax.jit
    def run(params, x):
        def loss(params, x):
            model = nnx.merge(graph, params, rest, copy=True)
            y = model(x, train=train)
            return jnp.sin(y).sum(), (y, nnx.split(model, nnx.Param, ...)[2])

        return jax.grad(loss, argnums=(0, 1), has_aux=True)(params, x)

    slopes, rest = run(params, x)
    return jax.tree.leaves(slopes), jax.tree.leaves(rest)


SIZES = {
    "taps": {"kernel": 3, "width": 6, "channels": 1, "window": 3, "padding": "SAME"},
    "winograd": {"kernel": 3, "width": 6, "channels": 8, "window": 2, "padding": "VALID"},
    "rows": {"kernel": 2, "width": 4, "channels": 3, "window": 2, "padding": "SAME"},
}


@pytest.mark.parametrize(
    ("form", "train"), [("taps", True), ("winograd", True), ("rows", True), ("taps", False)]
)
@pytest.mark.parametrize("between", BETWEEN)
def test_together_equals_one_after_the_other(request, between, form, train):
    sizes = SIZES[form]
    chain, x = network(BETWEEN[between], **sizes), pictures(6, sizes["channels"])
    plain = outcome(chain, x, train=train)
    request.getfixturevalue("together")
    ours = outcome(chain, x, train=train)
    assert done_together(chain.layers, x, train=train) == len(chain.layers) - 1
    for founds, wanteds in zip(ours, plain, strict=True):
        # That of a bias before a normalisation is zero: a rounding of the others' size.
        largest = max(np.abs(wanted).max() for wanted in wanteds)
        for found, wanted in zip(founds, wanteds, strict=True):
            np.testing.assert_allclose(found, wanted, atol=1e-5 * largest)


@pytest.mark.parametrize("n", [1, 5, 7])
def test_any_number_of_pictures(together, n):
    chain, x = network([relu, BatchNorm]), pictures(n)
    y = answer(chain, x)
    assert y.shape == (n, 5, 6, 6)
    alone = np.concatenate([answer(chain, x[i : i + 1]) for i in range(n)])
    np.testing.assert_allclose(y, alone, atol=1e-6)


def test_several_networks_at_a_time_as_each_alone(together):
    chain, x = network([relu, BatchNorm]), np.stack([pictures(4), 2 * pictures(4)])
    graph, state = nnx.split(chain)

    @jax.jit
    def slope(x):
        return jax.grad(lambda x: nnx.merge(graph, state, copy=True)(x, train=True).sum())(x)

    both = jax.jit(jax.vmap(slope))(x)
    for one, other in zip(np.asarray(both), map(slope, x), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_what_is_not_a_number_is_not_hidden(together):
    (x := pictures(4))[2, 4, 5] = np.nan
    y = np.asarray(answer(network([relu]), x))
    assert np.isnan(y[2]).any()
    assert not np.isnan(y[:2]).any()


@pytest.mark.parametrize(
    "between",
    [[falls], [relu, leaky_relu], [partial(Dropout, rate=0.5)], [relu, BatchNorm, BatchNorm]],
    ids=["falls", "twice", "dropout", "two norms"],
)
def test_what_cannot_change_places_with_a_pooling_is_done_before_it(together, between):
    chain, x = network(between), pictures(2)
    assert done_together(chain.layers, x) == 0
    np.testing.assert_array_equal(answer(chain, x), one_after_the_other(chain.layers, x))


class Halves(Convolution2D):
    """Somebody's own."""

    def __call__(self, x, *, train=False, key=None):
        return super().__call__(x, train=train, key=key) / 2


class Shifts(BatchNorm):
    def __call__(self, x, *, train=False, key=None):
        return super().__call__(x, train=train, key=key) + 1


def test_layers_of_your_own_do_what_they_do(together):
    pool, own = partial(MaxPool, window=2), partial(Convolution2D, width=6, kernel_size=3)
    for built in ([partial(Halves, width=6, kernel_size=3), relu, pool], [own, Shifts, pool]):
        chain, x = Chain((9, 11, 1), built, rngs=nnx.Rngs(0)), pictures(2)
        np.testing.assert_array_equal(answer(chain, x), one_after_the_other(chain.layers, x))


def test_strides_and_convolutions_without_a_pooling_are_done_alone(together):
    strided = partial(Convolution2D, width=6, kernel_size=3, stride=2)
    for built in ([strided, partial(MaxPool, window=2)], [strided], [strided, relu]):
        layers = Chain((9, 11, 1), built, rngs=nnx.Rngs(0)).layers
        assert done_together(layers, pictures(2)) == 0


def test_it_is_for_large_batches_of_floats_on_a_cpu(monkeypatch):
    kernel, picture = jnp.zeros((3, 3, 1, 32)), (78, 78, 32)
    many = jnp.zeros((64, 80, 80, 1))
    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
    assert pays(many, kernel, picture)
    assert not pays(many[:8], kernel, picture)
    assert not pays(many.astype(jnp.bfloat16), kernel, picture)
    assert not pays(many, jnp.zeros((8, 8, 1, 3)), (80, 80, 3))
    assert not pays(many, kernel, (400, 400, 32))
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert not pays(many, kernel, picture)


@pytest.mark.parametrize("name", ["cnn1", "cnn2", "final_eff"])
def test_the_published_networks_have_it_at_their_own_size(name):
    if jax.default_backend() != "cpu":
        pytest.skip("on a CPU alone")
    recipe = RECIPES[name]
    shape = recipe.input_shape(recipe.num_samples)
    model = recipe.network(shape, 10)
    x = jax.ShapeDtypeStruct((recipe.fit.batch_size, *shape), jnp.float32)
    program = str(jax.make_jaxpr(lambda x: model(x))(x))
    assert program.count("name=_pooled") >= 2
