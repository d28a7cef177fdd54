"""Networks with a framework's constants against that framework: its weights, and training steps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from classifiers import FitConfig, create, load, save
from classifiers.architectures import architecture
from classifiers.frameworks import FRAMEWORKS
from classifiers.layers import BatchNorm, Convolution2D, Dense
from classifiers.recurrent import GRU, LSTM
from classifiers.step import member_of, training_step

TORCH = FRAMEWORKS["torch"]
PICTURES = {"conv_widths": (3, 4, 4, 5), "dense_sizes": (6,)}
SEQUENCES = {"lstm_sizes": (5, 4), "dense_sizes": (6, 3)}


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def trained(model: nnx.Module, config: FitConfig, inputs, labels, count: int = 3):
    """The network after some steps on one batch."""
    step, state = training_step([model], config)
    targets = np.eye(model.spec.num_classes, dtype=np.float32)[labels]
    keys = jax.random.split(jax.random.key(1), 1)
    for number in range(1, count + 1):
        state, _ = step(state, inputs[None], targets[None], number, keys)
    nnx.update(model, *member_of(state[:2], 0))
    return model


# --- initial weights ------------------------------------------------------------------------------


def test_initial_weights_are_uniform_within_the_inverse_root_of_the_fan_in():
    rngs = nnx.Rngs(0)
    for layer, fan_in in (
        (Dense((50,), 400, rngs=rngs, framework=TORCH), 50),
        (Convolution2D((9, 9, 8), 300, 3, rngs=rngs, framework=TORCH), 9 * 8),
    ):
        limit = 1 / np.sqrt(fan_in)
        for values in (np.asarray(layer.kernel[...]), np.asarray(layer.bias[...])):
            assert 0.97 * limit < np.abs(values).max() <= limit
            assert values.std() == pytest.approx(limit / np.sqrt(3), rel=0.1)


def test_recurrent_weights_are_uniform_within_the_inverse_root_of_the_units():
    for kind, gates in ((LSTM, 4), (GRU, 3)):
        layer = kind((7, 3), 64, sequence=True, rngs=nnx.Rngs(0), framework=TORCH)
        for name in ("kernel", "recurrent", "bias", "recurrent_bias"):
            values = np.asarray(getattr(layer, name)[...])
            assert values.shape[-1] == gates * 64
            assert 0.97 / 8 < np.abs(values).max() <= 1 / 8


def test_an_lstm_of_keras_has_one_bias_which_opens_the_forget_gate():
    lstm = LSTM((7, 3), 5, sequence=True, rngs=nnx.Rngs(0))
    np.testing.assert_array_equal(lstm.bias[...], np.repeat([0, 1, 0, 0], 5))
    assert not hasattr(lstm, "recurrent_bias")


def test_the_framework_reaches_every_layer_and_stays_in_the_file(tmp_path):
    model = create("net3", input_shape=(18, 18, 3), num_classes=4, rngs=nnx.Rngs(0),
                   framework="torch", **PICTURES)  # fmt: skip
    assert {layer.epsilon for layer in model.layers if isinstance(layer, BatchNorm)} == {1e-5}
    assert np.abs(model.layers[-1].bias[...]).min() > 0
    x, answer = normal(2, 18, 18, 3), nnx.jit(lambda model, x: model(x))
    save(model, tmp_path / "net3.safetensors")
    found, _ = load(tmp_path / "net3.safetensors")
    assert found.spec == model.spec
    np.testing.assert_array_equal(answer(found, x), answer(model, x))


def test_an_unknown_framework_is_refused():
    with pytest.raises(ValueError, match="one of keras, torch, not 'jax'"):
        create("net1", input_shape=(3,), num_classes=2, rngs=nnx.Rngs(0), framework="jax")
    with pytest.raises(ValueError, match=r"framework is one of .*, not 'jax'"):
        FitConfig(steps=1, framework="jax")
    with pytest.raises(ValueError, match="'framework_of_its_own' has the option framework"):

        @architecture("framework_of_its_own")
        def network(*, framework="mine"):
            return []


# --- by hand --------------------------------------------------------------------------------------


def test_running_statistics_keep_nine_tenths_and_the_unbiased_variance():
    x = 3 + 2 * normal(8, 3)
    norm = BatchNorm((3,), rngs=nnx.Rngs(0), framework=TORCH)
    y = norm(jnp.asarray(x), train=True)
    np.testing.assert_allclose(norm.mean[...], 0.1 * x.mean(0), rtol=1e-5)
    np.testing.assert_allclose(norm.variance[...], 0.9 + 0.1 * x.var(0, ddof=1), rtol=1e-5)
    np.testing.assert_allclose(y, (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5), atol=1e-4)


def test_a_gru_equals_the_recurrence_by_hand():
    x, gru = normal(3, 7, 4), GRU((7, 4), 5, sequence=True, rngs=nnx.Rngs(0), framework=TORCH)
    kernel, recurrent, bias, more = (
        np.float64(getattr(gru, name)[...])
        for name in ("kernel", "recurrent", "bias", "recurrent_bias")
    )
    expected = np.zeros((3, 7, 5))
    for n, clip in enumerate(x):
        state = np.zeros(5)
        for t, frame in enumerate(clip):
            given, kept = frame @ kernel + bias, state @ recurrent + more
            reset, update = (1 / (1 + np.exp(-(given + kept)[i : i + 5])) for i in (0, 5))
            new = np.tanh(given[10:] + reset * kept[10:])
            state = (1 - update) * new + update * state
            expected[n, t] = state
    np.testing.assert_allclose(gru(jnp.asarray(x)), expected, atol=1e-6)
    gru.sequence = False
    np.testing.assert_allclose(gru(jnp.asarray(x)), expected[:, -1], atol=1e-6)


# --- the frameworks themselves --------------------------------------------------------------------


def torch_of(layers, torch) -> list:
    """PyTorch's layers with the weights of ours, one after another."""
    nn, found = torch.nn, []
    for layer in layers:
        kind = type(layer).__name__
        names = ("kernel", "bias", "recurrent", "recurrent_bias", "scale")
        ours = {name: getattr(layer, name) for name in names if hasattr(layer, name)}
        values = {name: torch.tensor(np.asarray(value[...])) for name, value in ours.items()}
        if kind == "Dense":
            made = nn.Linear(*values["kernel"].shape)
            weights = {"weight": values["kernel"].T, "bias": values["bias"]}
        elif kind == "Convolution2D":
            side, _, *channels = values["kernel"].shape
            made = nn.Conv2d(*channels, side)
            weights = {"weight": values["kernel"].permute(3, 2, 0, 1), "bias": values["bias"]}
        elif kind == "BatchNorm":
            made = nn.BatchNorm2d(len(values["scale"]))
            weights = {"weight": values["scale"], "bias": values["bias"]}
        elif kind in ("LSTM", "GRU"):
            gates = {"LSTM": 4, "GRU": 3}[kind]
            made = getattr(nn, kind)(
                len(values["kernel"]), values["kernel"].shape[1] // gates, batch_first=True
            )
            weights = {
                "weight_ih_l0": values["kernel"].T,
                "weight_hh_l0": values["recurrent"].T,
                "bias_ih_l0": values["bias"],
                "bias_hh_l0": values["recurrent_bias"],
            }
        else:
            made, weights = {"Activation": nn.ReLU, "Flatten": nn.Flatten,
                             "MaxPool": lambda: nn.MaxPool2d(2)}[kind](), {}  # fmt: skip
        for name, value in weights.items():
            getattr(made, name).data = value.contiguous()
        found.append(made)
    return found


def torch_logits(torch, layers, x):
    """What PyTorch's layers make of our inputs, whose channels are last."""
    pictures = x.ndim == 4
    y = torch.tensor(x.transpose(0, 3, 1, 2) if pictures else x)
    for i, layer in enumerate(layers):
        if isinstance(layer, torch.nn.Flatten):
            y = y.permute(0, 2, 3, 1)
        y = layer(y)
        if isinstance(layer, torch.nn.LSTM):
            y = y[0] if isinstance(layers[i + 1], torch.nn.LSTM) else y[0][:, -1]
    return y


# The bias of a convolution before a batch norm has no effect but on the running mean, and its
# gradient is rounding, which Adam and RMSProp make steps of: those are compared by the batch.
CASES = {
    "net3, Adam": ("net3", (18, 18, 3), PICTURES, {}, True),
    "net4, RMSProp": ("net4", (18, 18, 3), PICTURES, {"optimizer": "rmsprop"}, True),
    "net3, SGD": ("net3", (18, 18, 3), PICTURES, {"optimizer": "sgd"}, False),
    "net1, L2": ("net1", (5, 4, 3), {"dense_sizes": (6, 5)}, {"l2_penalty": 0.05}, False),
    "net5, Adam": ("net5", (9, 4), SEQUENCES, {}, False),
}


@pytest.mark.parametrize("case", CASES)
def test_three_training_steps_equal_pytorch(case):
    torch = pytest.importorskip("torch")
    name, shape, options, settings, by_batch = CASES[case]
    model = create(
        name, input_shape=shape, num_classes=3, rngs=nnx.Rngs(0), framework="torch", **options
    )
    config = FitConfig(steps=3, learning_rate=3e-3, framework="torch", **settings)
    x, labels = normal(6, *shape), np.array([0, 1, 2, 2, 1, 0])
    layers = torch.nn.ModuleList(torch_of(model.layers, torch))
    np.testing.assert_allclose(
        model(jnp.asarray(x)), torch_logits(torch, layers.eval(), x).detach(), atol=1e-5
    )
    kinds = {"adam": torch.optim.Adam, "rmsprop": torch.optim.RMSprop, "sgd": torch.optim.SGD}
    optimizer = kinds[config.optimizer](
        layers.parameters(), lr=config.learning_rate, weight_decay=config.l2_penalty
    )
    layers.train()
    for _ in range(3):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(
            torch_logits(torch, layers, x), torch.tensor(labels)
        )
        loss.backward()
        optimizer.step()
    before = model(jnp.asarray(x), train=by_batch)
    after = trained(model, config, x, labels)(jnp.asarray(x), train=by_batch)
    expected = torch_logits(torch, layers.train(by_batch), x).detach()
    np.testing.assert_allclose(after, expected, atol=1e-4)
    assert np.abs(after - before).max() > 2e-3, "there was something to learn"


@pytest.mark.parametrize("sequence", [True, False])
def test_a_gru_equals_pytorch(sequence):
    torch = pytest.importorskip("torch")
    gru = GRU((7, 4), 5, sequence=sequence, rngs=nnx.Rngs(0), framework=TORCH)
    (theirs,) = torch_of([gru], torch)
    x = normal(3, 7, 4)
    expected = theirs(torch.tensor(x))[0].detach().numpy()
    np.testing.assert_allclose(
        gru(jnp.asarray(x)), expected if sequence else expected[:, -1], atol=1e-6
    )


def test_three_training_steps_equal_keras():
    """cnn2 without its dropout, which is drawn; by the batch's statistics, since ours warm up."""
    keras = pytest.importorskip("keras")
    options = {"conv_widths": (3, 4, 4), "dense_sizes": (6,), "conv_dropouts": (0.0,) * 3}
    model = create(
        "cnn2", input_shape=(20, 16, 1), num_classes=3, rngs=nnx.Rngs(0), dropout=0.0, **options
    )
    x, labels = normal(6, 20, 16, 1), np.array([0, 1, 2, 2, 1, 0])
    made = {
        "Convolution2D": lambda o: keras.layers.Conv2D(o.output_shape[-1], o.kernel.shape[0]),
        "Activation": lambda o: keras.layers.ReLU(),
        "BatchNorm": lambda o: keras.layers.BatchNormalization(),
        "MaxPool": lambda o: keras.layers.MaxPooling2D(o.window, strides=2, padding="same"),
        "Flatten": lambda o: keras.layers.Flatten(),
        "Dense": lambda o: keras.layers.Dense(o.output_shape[-1]),
    }
    theirs = keras.Sequential([made[type(layer).__name__](layer) for layer in model.layers])
    theirs.build(x.shape)
    for ours, layer in zip(model.layers, theirs.layers, strict=True):
        for name, attribute in (("kernel", "kernel"), ("bias", "bias")):
            if hasattr(ours, name) and hasattr(layer, attribute):
                getattr(layer, attribute).assign(np.asarray(getattr(ours, name)[...]))
    np.testing.assert_allclose(model(jnp.asarray(x)), theirs(x), atol=1e-5)
    theirs.compile(
        optimizer=keras.optimizers.Adam(3e-3),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    for _ in range(3):
        theirs.train_on_batch(x, labels)
    config = FitConfig(steps=3, learning_rate=3e-3)
    after = trained(model, config, x, labels)(jnp.asarray(x), train=True)
    np.testing.assert_allclose(after, theirs(x, training=True), atol=2e-4)
