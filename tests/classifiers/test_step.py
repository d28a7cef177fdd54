"""One step of training against PyTorch and against numbers worked out by hand."""

from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from classifier_toys import SMALL, same, small, toy
from flax import nnx
from small_classifiers import LARGER
from small_classifiers import SMALL as EVERY

from classifiers.architectures import ARCHITECTURES, create
from classifiers.fit_config import FitConfig
from classifiers.step import (
    _compiled_step,
    _optimizer,
    _rule,
    cross_entropy,
    each,
    member_of,
    split,
    stacked,
    training_step,
)


class Line(nnx.Module):
    """Logits x @ kernel + bias."""

    def __init__(self, kernel, bias):
        self.kernel, self.bias = nnx.Param(jnp.asarray(kernel)), nnx.Param(jnp.asarray(bias))

    def __call__(self, x, *, train=False, key=None):
        return x @ self.kernel[...] + self.bias[...][None]


@pytest.fixture
def line():
    rng = np.random.default_rng(0)
    kernel, bias = rng.normal(size=(4, 3)).astype(np.float32), np.float32([0.1, -0.2, 0.3])
    inputs = rng.normal(size=(5, 4)).astype(np.float32)
    targets = np.eye(3, dtype=np.float32)[[0, 1, 2, 1, 0]]
    return kernel, bias, inputs, targets


def steps(model, config, inputs, targets, count=1, augment=None):
    """Weights after ``count`` steps on one batch, and the last one's scores."""
    step, state = training_step([model], config, augment=augment)
    keys = jax.random.split(jax.random.key(1), 1)
    for number in range(1, count + 1):
        state, scores = step(state, inputs[None], targets[None], number, keys)
    return jax.tree.map(np.asarray, member_of(state, 0)), np.asarray(scores)[0]


def gradient(kernel, bias, inputs, targets):
    """Of the mean cross-entropy, by hand, in float64."""
    logits = inputs.astype(np.float64) @ kernel + bias
    odds = np.exp(logits - logits.max(1, keepdims=True))
    error = (odds / odds.sum(1, keepdims=True) - targets) / len(inputs)
    return inputs.T @ error, error.sum(0)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_loss_is_that_of_pytorch(smoothing, weighted):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    logits = (5 * rng.normal(size=(7, 4))).astype(np.float32)
    targets = rng.dirichlet(np.ones(4), 7).astype(np.float32)
    weights = np.float32([0.5, 1, 2, 3]) if weighted else None
    expected = torch.nn.functional.cross_entropy(
        torch.tensor(logits),
        torch.tensor(targets),
        weight=None if weights is None else torch.tensor(weights),
        label_smoothing=smoothing,
    )
    found = cross_entropy(
        jnp.asarray(logits),
        jnp.asarray(targets),
        None if weights is None else jnp.asarray(weights),
        smoothing=smoothing,
    )
    assert float(found) == pytest.approx(float(expected), rel=1e-5)


def test_class_weights_by_hand(line):
    """Two of class 0 at weight 2, two of class 1 at weight 0.5, one of class 2 at weight 0."""
    kernel, bias, inputs, targets = line
    logits = inputs.astype(np.float64) @ kernel + bias
    each = np.log(np.exp(logits).sum(1)) - (logits * targets).sum(1)
    config = FitConfig(steps=1, class_weights=(2.0, 0.5, 0.0))
    _, scores = steps(Line(kernel, bias), config, inputs, targets)
    expected = (2 * each[0] + 0.5 * each[1] + 0.5 * each[3] + 2 * each[4]) / 5
    np.testing.assert_allclose(scores, [expected, (logits.argmax(1) == targets.argmax(1)).mean()])


def test_sample_weights_by_hand(line):
    """Beside class weights and smoothing, on a batch whose second clip does not count."""
    kernel, bias, inputs, targets = line
    logits = inputs.astype(np.float64) @ kernel + bias
    smooth = 0.7 * targets + 0.1
    costs = np.log(np.exp(logits).sum(1, keepdims=True)) - logits
    losses = (smooth * [2, 0.5, 1] * costs).sum(1)
    config = FitConfig(steps=1, class_weights=(2.0, 0.5, 1.0), label_smoothing=0.3)
    step, state = training_step([Line(kernel, bias)], config)
    weights = np.float32([[3, 0, 1, 0.5, 0.5]])
    keys = jax.random.split(jax.random.key(1), 1)
    _, scores = step(state, inputs[None], targets[None], 1, keys, weights)
    expected = (3 * losses[0] + losses[2] + 0.5 * losses[3] + 0.5 * losses[4]) / 5
    np.testing.assert_allclose(scores[0, 0], expected, rtol=1e-5)


def test_sgd_with_momentum_and_decay_by_hand(line):
    kernel, bias, inputs, targets = line
    config = FitConfig(
        steps=4,
        optimizer="sgd",
        learning_rate=0.2,
        momentum=0.9,
        weight_decay=0.1,
        schedule="cosine",
        warmup_steps=1,
    )
    (params, *_), _ = steps(Line(kernel, bias), config, inputs, targets, count=4)
    kernel, bias = kernel.astype(np.float64), bias.astype(np.float64)
    moved = [np.zeros_like(kernel), np.zeros_like(bias)]
    for rate in (0.1, *(0.1 * (1 + np.cos(np.pi * np.arange(3) / 3)))):
        now = gradient(kernel, bias, inputs, targets)
        moved = [0.9 * before + new for before, new in zip(moved, now, strict=True)]
        kernel = kernel - rate * (moved[0] + 0.1 * kernel)  # the bias does not decay
        bias = bias - rate * moved[1]
    np.testing.assert_allclose(params["kernel"][...], kernel, rtol=2e-5, atol=1e-6)
    np.testing.assert_allclose(params["bias"][...], bias, rtol=2e-5, atol=1e-6)


def test_adam_with_decay_is_pytorchs_adamw(line):
    torch = pytest.importorskip("torch")
    kernel, bias, inputs, targets = line
    config = FitConfig(steps=5, learning_rate=0.05, weight_decay=0.1)
    (params, *_), _ = steps(Line(kernel, bias), config, inputs, targets, count=5)
    theirs = [torch.tensor(each, requires_grad=True) for each in (kernel, bias)]
    groups = [{"params": theirs[:1], "weight_decay": 0.1}, {"params": theirs[1:]}]
    optimizer = torch.optim.AdamW(groups, lr=0.05, eps=1e-7, weight_decay=0.0)
    for _ in range(5):
        optimizer.zero_grad()
        logits = torch.tensor(inputs) @ theirs[0] + theirs[1]
        torch.nn.functional.cross_entropy(logits, torch.tensor(targets)).backward()
        optimizer.step()
    for name, their in zip(("kernel", "bias"), theirs, strict=True):
        np.testing.assert_allclose(params[name][...], their.detach().numpy(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", SMALL)
def test_bfloat16_computes_about_the_same_and_keeps_float32(name):
    model, (inputs, labels) = small(name), toy(name, 16)
    targets = np.eye(3, dtype=np.float32)[labels]
    config = FitConfig(steps=3, learning_rate=1e-3)
    exact, scores = steps(model, config, inputs, targets, 3)
    config = replace(config, compute_dtype="bfloat16")
    rough, about = steps(model, config, inputs, targets, 3)
    assert about[0] != scores[0]
    assert about[0] == pytest.approx(scores[0], rel=0.02)
    for a, b in zip(jax.tree.leaves(exact), jax.tree.leaves(rough), strict=True):
        assert a.dtype == b.dtype != jnp.bfloat16
    for a, b in zip(jax.tree.leaves(exact[:2]), jax.tree.leaves(rough[:2]), strict=True):
        np.testing.assert_allclose(a, b, rtol=0.05, atol=0.02)


# A larger network of the same parts is among the slow tests.
TRACED = [
    pytest.param(name, marks=pytest.mark.slow) if name in LARGER else name for name in ARCHITECTURES
]


@pytest.mark.parametrize("name", TRACED)
def test_every_architecture_is_traced_in_bfloat16_and_several_at_once(name):
    shape, options = EVERY[name]
    rule = _rule(FitConfig(steps=1, compute_dtype="bfloat16"))

    def initial():
        model = create(name, input_shape=shape, num_classes=3, rngs=nnx.Rngs(0), **options)
        params, rest = split(model)[1:]
        return stacked([(params, rest, _optimizer(rule).init(params))] * 2)

    graph = split(
        nnx.eval_shape(
            lambda: create(name, input_shape=shape, num_classes=3, rngs=nnx.Rngs(0), **options)
        )
    )[0]
    state = jax.eval_shape(initial)
    inputs, targets = np.zeros((2, 4, *shape), np.float32), np.zeros((2, 4, 3), np.float32)
    step, keys = _compiled_step(graph, rule, None, 2), jax.random.split(jax.random.key(0), 2)
    after, scores = jax.eval_shape(step, state, inputs, targets, keys, 1, np.float32(0.1), None)
    assert jax.tree.map(lambda x: (x.shape, x.dtype), (after, scores)) == jax.tree.map(
        lambda x: (x.shape, x.dtype), (state, jax.ShapeDtypeStruct((2, 2), np.float32))
    )


def test_bfloat16_is_what_the_network_sees(line):
    seen = []

    class Spy(Line):
        def __call__(self, x, *, train=False, key=None):
            seen.append((x.dtype, self.kernel[...].dtype))
            return super().__call__(x)

    kernel, bias, inputs, targets = line
    steps(Spy(kernel, bias), FitConfig(steps=1, compute_dtype="bfloat16"), inputs, targets)
    assert set(seen) == {(jnp.dtype("bfloat16"), jnp.dtype("bfloat16"))}


@dataclass(frozen=True)
class Doubled:
    """Clips twice as loud, of which a key drawn at random is the last feature."""

    def __call__(self, key, inputs, targets):
        noise = jax.random.normal(key, inputs[:, -1].shape)
        return (2 * inputs).at[:, -1].set(noise), jnp.roll(targets, 1, axis=-1)


def test_augmentation_is_part_of_the_step(line):
    """Anew each step: the same as the batches augmented beforehand."""
    kernel, bias, inputs, targets = line
    config = FitConfig(steps=2, learning_rate=0.1, optimizer="sgd")
    (params, *_), _ = steps(Line(kernel, bias), config, inputs, targets, 2, Doubled())
    key = jax.random.fold_in(jax.random.split(jax.random.key(1), 1)[0], 0)
    batches = [Doubled()(jax.random.fold_in(key, i), jnp.asarray(inputs), targets) for i in (1, 2)]
    assert (batches[0][0] != batches[1][0]).any()
    for x, t in batches:
        d_kernel, d_bias = gradient(kernel, bias, np.asarray(x), np.asarray(t))
        kernel, bias = kernel - 0.1 * d_kernel, bias - 0.1 * d_bias
    np.testing.assert_allclose(params["kernel"][...], kernel, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(params["bias"][...], bias, rtol=1e-5, atol=1e-6)


def test_the_models_stay_as_they_are():
    model, (inputs, labels) = small("net3"), toy("net3", 16)
    steps(model, FitConfig(steps=2), inputs, np.eye(3, dtype=np.float32)[labels], 2)
    assert same(model, small("net3"))


def test_learning_rate_and_weights_do_not_compile_anew(line):
    kernel, bias, inputs, targets = line
    config = FitConfig(steps=7, label_smoothing=0.125, class_weights=(1.0, 2.0, 3.0))
    steps(Line(kernel, bias), config, inputs, targets)
    other = replace(config, learning_rate=0.5, class_weights=(3.0, 2.0, 1.0), schedule="cosine")
    steps(Line(2 * kernel, bias), other, inputs, targets, 2)
    graph = split(Line(kernel, bias))[0]
    assert _compiled_step(graph, _rule(other), None, 1)._cache_size() == 1


def test_an_augmentation_that_cannot_be_hashed_is_refused():
    @dataclass
    class Changing:
        level: float = 1.0

        def __call__(self, key, inputs, targets):
            return inputs, targets

    with pytest.raises(ValueError, match=r"augment is .* a frozen dataclass, hashable, not .*1\.0"):
        training_step([small()], FitConfig(steps=1), augment=Changing())


def test_other_architectures_do_not_go_together():
    with pytest.raises(ValueError, match="not of one architecture"):
        training_step([small("net5"), small("net3")], FitConfig(steps=1))


@pytest.mark.parametrize("count", [1, 3])
def test_mapping_over_networks(count):
    trees = [{"a": np.full(2, i, np.float32), "b": np.arange(3) + i} for i in range(count)]
    whole = stacked(trees)
    summed = each(lambda tree, x: tree["a"].sum() + tree["b"] * x, count, shared=(1,))(whole, 10)
    for i, tree in enumerate(trees):
        np.testing.assert_array_equal(summed[i], tree["a"].sum() + tree["b"] * 10)
        np.testing.assert_array_equal(member_of(whole, i)["b"], tree["b"])


def test_several_networks_in_one_step_are_as_each_alone(line):
    kernel, bias, inputs, targets = line
    models = [Line(factor * kernel, bias) for factor in (1, 2)]
    data = [(inputs, targets), (inputs[::-1] + 1, targets)]
    config = FitConfig(steps=1, learning_rate=1e-2, class_weights=(1.0, 2.0, 3.0))
    step, state = training_step(models, config)
    keys = jnp.stack([jax.random.key(1)] * 2)
    state, scores = step(state, *map(np.stack, zip(*data, strict=True)), 1, keys)
    for i, model in enumerate(models):
        alone, expected = steps(model, config, *data[i])
        np.testing.assert_allclose(scores[i], expected, rtol=1e-5)
        for a, b in zip(jax.tree.leaves(member_of(state, i)), jax.tree.leaves(alone), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    assert not np.allclose(scores[0], scores[1])
