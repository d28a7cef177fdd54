"""The compiled step: what it changes, and that devices and parts of a batch don't matter."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from functools import partial
from itertools import chain

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from gan_runs import lowered

from wavegan import LOSSES, TrainConfig, WaveGANConfig
from wavegan.devices import device_mesh, needed_bytes, place
from wavegan.networks import definitions
from wavegan.players import Players, initial_state
from wavegan.spectrogram_critic import log_spectrogram
from wavegan.step import compiled_step, state_shapes, training_step

MESH = device_mesh(1, 8, jax.devices()[:1])


@pytest.fixture(scope="module")
def config() -> WaveGANConfig:
    """Two layers (strides 4 and 2), the first one with phase shuffle."""
    return WaveGANConfig(num_samples=128, dim=2, latent_dim=4)


@pytest.fixture(scope="module")
def train_config(train_config) -> TrainConfig:
    """Without a penalty, whose gradients take longest to compile."""
    return replace(train_config, loss="dcgan")


@pytest.fixture(scope="module")
def penalised(train_config) -> TrainConfig:
    return replace(train_config, loss="wgan-gp")


@pytest.fixture(scope="module")
def classes(config) -> WaveGANConfig:
    """Of three classes; with `two_steps` it is the step of several tests, compiled once."""
    return replace(config, num_classes=3)


@pytest.fixture(scope="module")
def two_steps(train_config) -> TrainConfig:
    """Two critic steps a generator step, of augmented clips."""
    flipped = {"augment": ("polarity",), "augment_probability": 1.0}
    return replace(train_config, critic_steps=2, **flipped)


def run(config, train_config, real, *, seed=0, labels=None, **changes):
    """One step of one GAN: the states before and after it, and its terms."""
    state = initial_state(config, train_config, jax.random.key(seed)) | changes
    before = jax.device_get(state)
    if config.num_classes and labels is None:
        labels = drawn_classes(real)
    alone = jax.tree.map(lambda x: x[None], (before, real, labels))
    program = compiled_step(config, train_config, MESH)
    after, terms = jax.device_get(program(*place(alone, MESH, "gan")))
    return before, *jax.tree.map(lambda x: x[0], (after, terms))


def critic_step(config, train_config, real, labels=None):
    """A state's first critic step alone, as ``(state) -> (state, terms)``."""
    step = jax.jit(Players(config, train_config, True, MESH).critic_step)
    return lambda state: jax.device_get(step(state, real[0], labels, jax.random.key(1)))


def critic_terms(config, train_config, real, labels=None, *, penalised=True):
    """State and terms of one critic step in which no weight moves: gradients take longest to
    compile, and no term here is of them."""
    players = Players(config, train_config, penalised, MESH)
    players._over_parts = lambda objective, weights: (objective(weights, 0), weights)
    players._updated = lambda state, *_: dict(state)
    state, key = initial_state(config, train_config, jax.random.key(0)), jax.random.key(1)
    return jax.device_get(jax.jit(players.critic_step)(state, real[0], labels, key))


def clips(config, train_config, seed=0):
    shape = (train_config.critic_steps, train_config.batch_size, config.num_samples)
    values = np.random.default_rng(seed).uniform(-1, 1, (*shape, config.channels))
    return values.astype(np.float32)


def drawn_classes(real):
    return np.random.default_rng(0).integers(0, 3, real.shape[:2], np.int32)


def same(one, other) -> bool:
    return all(map(np.array_equal, jax.tree.leaves(one), jax.tree.leaves(other)))


def test_a_state_has_the_shapes_that_are_told_before(config, train_config):
    for name in ("wgan", "dcgan"):  # of another optimiser under the same name, too
        LOSSES["here"] = replace(LOSSES[name], learning_rate=0.5)
        settings = replace(train_config, loss="here")
        state = initial_state(config, settings, jax.random.key(1))
        shapes = jax.tree.map(lambda x: (x.shape, x.dtype), state)
        assert jax.tree.map(lambda x: (x.shape, x.dtype), state_shapes(config, settings)) == shapes


def test_each_critic_step_has_its_own_batch(classes, two_steps):
    """Each of the batches matters, and so does their order."""
    real = clips(classes, two_steps)
    _, after, _ = run(classes, two_steps, real)
    halves = np.float32([[0.5, 1], [1, 0.5]])[..., None, None, None]
    for other in (real * halves[0], real * halves[1], real[::-1]):
        assert not same(after["critic"], run(classes, two_steps, other)[1]["critic"])
    assert same(after, run(classes, two_steps, real)[1])
    assert not same(after["critic"], run(classes, two_steps, real, seed=1)[1]["critic"])


def test_a_step_moves_both_players(classes, two_steps):
    """Adam moves a weight by its rate at most about once a step: twice for two critic steps."""
    before, after, _ = run(classes, two_steps, clips(classes, two_steps))
    for name, moves in (("generator", 1), ("critic", two_steps.critic_steps)):
        changes = jax.tree.map(lambda a, b: np.abs(a - b).max(), after[name], before[name])
        largest = max(jax.tree.leaves(changes))
        rate = two_steps.learning_rate
        assert 0.5 * rate * moves < largest < 2.5 * rate * moves
    assert after["step"] == 1


def test_one_compilation_serves_many_runs(classes, two_steps):
    """Other seeds, lengths, data and cadence."""
    one = compiled_step(classes, two_steps, MESH)
    other = replace(two_steps, seed=5, steps=3, overlap=0.5, slices="grid", checkpoint_every=1)
    assert compiled_step(classes, other, MESH) is one
    assert compiled_step(classes, replace(two_steps, loss="wgan"), MESH) is not one


def test_parts_of_a_batch_add_up_in_less_memory(config, train_config):
    """Without phase shuffle (of one layer), penalty and batch norm a clip's loss is its own."""
    config, train_config = replace(config, num_samples=64), replace(train_config, batch_size=64)
    real = clips(config, train_config)
    _, expected, terms = run(config, train_config, real)
    for parts in (2, 8):
        _, after, others = run(config, replace(train_config, accumulate=parts), real)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6),
            (after["critic_optimizer"], after["generator_optimizer"]),
            (expected["critic_optimizer"], expected["generator_optimizer"]),
        )
        for name in ("critic_loss", "critic_gap", "generator_loss", "critic_gradient_norm"):
            assert others[name] == pytest.approx(terms[name], rel=1e-4), name
    one, eight = (
        needed_bytes(compiled_step(config, replace(train_config, accumulate=n), MESH))
        for n in (None, 8)
    )
    assert eight < one / 2


def test_no_part_of_a_batch_repeats_another(config, train_config):
    """Two parts of equal clips: the second has weights between real and generated, and shifts, of
    its own. Drawn alike, its gradients would be those of the first, whatever it is."""
    config = replace(config, phase_shuffle_by="example")
    settings = replace(train_config, penalty="gradient", accumulate=2)
    players = Players(config, settings, True, MESH)
    for key in jax.random.split(jax.random.key(0), 3):
        first, second = (jax.random.key_data(players._key(key, part)) for part in (0, 1))
        assert not np.array_equal(first, second)
    real = clips(config, settings)
    seen = []

    def spy(critic, real, fake, key):
        jax.debug.callback(lambda *x: seen.append(x), jax.random.key_data(key))
        return jnp.sum(critic(real, key)) * 0

    players.penalty, state = spy, initial_state(config, settings, jax.random.key(0))
    jax.jit(players.critic_step)(state, real[0], None, jax.random.key(1))
    jax.effects_barrier()
    assert len({tuple(np.asarray(x).tolist()) for (x,) in seen}) == 2


@pytest.mark.parametrize("penalty", ["gradient", "r1", "r1+r2"])
def test_a_penalty_leaves_the_spectrogram_critic_alone(train_config, penalty):
    """Its slopes are hundreds of times those of the waveform critic, and swamp the loss."""
    config = WaveGANConfig(num_samples=256, dim=2, latent_dim=4)
    settings = replace(train_config, loss="logistic-r1", penalty=penalty)
    real = clips(config, settings)
    expected, found = (
        critic_terms(replace(config, spectrogram_critic=second), settings, real)[1]
        for second in (False, True)
    )
    assert found["critic_gap"] != expected["critic_gap"]
    assert found["penalty"] == pytest.approx(expected["penalty"], rel=1e-4)


def test_a_spectrogram_critic_is_penalised_by_its_own_slopes(train_config):
    """Each resolution as a critic of log spectrograms, of the class asked for; by hand."""
    config = WaveGANConfig(
        num_samples=256, dim=2, latent_dim=4, num_classes=3, spectrogram_critic=True
    )
    settings = replace(train_config, loss="logistic-r1", spectrogram_penalty=0.5)
    real, state = clips(config, settings), initial_state(config, settings, jax.random.key(0))
    labels = np.arange(8) % 3
    found = critic_step(config, settings, real, labels)(state)[1]
    free = critic_terms(config, replace(settings, spectrogram_penalty=0.0), real, labels)[1]
    critic = nnx.merge(definitions(config)[1], state["critic"])
    seen = log_spectrogram(jnp.asarray(real[0]), 128)
    slopes = jax.jit(jax.grad(lambda x: critic.score_spectrogram(0, x, labels).sum()))(seen)
    expected = float(np.sum(np.square(slopes)) / 8 / 2)
    assert found["spectrogram_penalty"] == pytest.approx(expected, rel=1e-3)
    assert found["penalty"] == free["penalty"]
    assert "spectrogram_penalty" not in free
    weighed = free["critic_loss"] + 0.5 * found["spectrogram_penalty"]
    assert found["critic_loss"] == pytest.approx(weighed, rel=1e-4)


def test_pairs_move_both_players_by_both_sides(config, train_config):
    """Scores that all clips share cancel; of a plain loss the generator never sees a real clip."""
    config = replace(config, num_samples=64)
    paired = replace(train_config, loss="logistic-r1", penalty="r1+r2", relativistic=True)
    real, key = clips(config, paired), jax.random.key(1)
    step = jax.jit(Players(config, paired, True, MESH).generator_step)
    state = initial_state(config, paired, key)
    one, other = (step(state, x[0], None, key)[0]["generator"] for x in (real, real / 2))
    assert not same(one, other)
    _, terms = critic_terms(config, paired, real)
    assert terms["critic_loss"] == pytest.approx(np.log(2) + 10 * terms["penalty"], rel=0.05)
    _, terms = critic_terms(config, replace(paired, relativistic=False), real)
    assert terms["critic_loss"] == pytest.approx(2 * np.log(2) + 10 * terms["penalty"], rel=0.05)


def test_the_rate_falls_as_half_a_cosine(config, train_config):
    """Adam's first step is as large as the rate: full at first, half way down after half."""
    falling = replace(train_config, rate_decay_steps=8, rate_decay_to=0.1)
    step, moved = critic_step(config, falling, clips(config, falling)), {}
    state = initial_state(config, falling, jax.random.key(0))
    for done in (0, 4, 8, 100):
        after, _ = step(state | {"step": np.int32(done)})
        changes = jax.tree.map(lambda a, b: np.abs(a - b).max(), after["critic"], state["critic"])
        moved[done] = max(jax.tree.leaves(changes)) / falling.learning_rate
    shares = [moved[done] / moved[0] for done in (4, 8, 100)]
    np.testing.assert_allclose(shares, [0.55, 0.1, 0.1], rtol=1e-2)


def test_a_lazy_penalty(config, penalised):
    """It is left out of a step, and weighs four times as much in every fourth."""
    lazy = replace(penalised, penalty_every=4)
    real = clips(config, lazy)
    _, every = critic_terms(config, replace(lazy, penalty_every=1), real)
    _, with_penalty = critic_terms(config, lazy, real)
    _, without = critic_terms(config, lazy, real, penalised=False)
    assert "penalty" not in without
    assert without["critic_loss"] == pytest.approx(-without["critic_gap"])
    assert with_penalty["penalty"] == pytest.approx(every["penalty"], rel=1e-5)
    expected = 40 * with_penalty["penalty"] - with_penalty["critic_gap"]
    assert with_penalty["critic_loss"] == pytest.approx(expected, rel=1e-5)


def test_wgan_clips_the_critic_and_not_the_generator(classes, two_steps):
    clipped = replace(two_steps, loss="wgan")
    _, after, _ = run(classes, clipped, clips(classes, clipped))
    assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(after["critic"])) <= 0.01
    assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(after["generator"])) > 0.05


@pytest.fixture
def normed(config, train_config):
    """Networks of both kinds of norms, whose weights stay nearly as they are."""
    config = replace(config, batch_norm=True, spectral_norm=True)
    return config, replace(train_config, learning_rate=1e-6)


def test_batch_norm_averages_follow_training(normed):
    """0.99 of the start (0 and 1) and 0.01 of the batch's; the average generator's follow."""
    before, after, _ = run(*normed, clips(*normed))
    for old, new in zip(
        before["generator"]["norms"].values(), after["generator"]["norms"].values(), strict=True
    ):
        assert not np.array_equal(old["mean"], new["mean"])
        assert np.abs(new["mean"]).max() < 0.1
        assert np.all(new["variance"][...] >= 0.99 - 1e-6)
    assert not any("mean" in norm for norm in after["critic"]["norms"].values())


def test_spectral_norms_sharpen(normed):
    """The critic's kernels, over their norms' estimates, come to norm 1 as steps go by."""
    state = jax.device_get(initial_state(*normed, jax.random.key(0)))
    state = place(jax.tree.map(lambda x: x[None], state), MESH, "gan")
    program = compiled_step(*normed, MESH)
    real = place(clips(*normed)[None], MESH, "gan")
    for _ in range(20):
        state, _ = program(state, real, None)
    critic = jax.device_get(jax.tree.map(lambda x: x[0], state["critic"]))
    for norm, layer in zip(
        critic["spectral_norms"].values(),
        [*critic["layers"].values(), critic["output"]],
        strict=True,
    ):
        kernel = np.asarray(layer["kernel"][...], np.float64)
        matrix = kernel.reshape(-1, kernel.shape[-1])
        u = np.asarray(norm["direction"][...], np.float64)
        v = matrix @ u / np.linalg.norm(matrix @ u)
        largest = np.linalg.svd(matrix, compute_uv=False)[0]
        assert v @ matrix @ u == pytest.approx(largest, rel=0.02)


def test_augmentation_adapts_to_the_critic(config, train_config):
    """A critic that tells real from fake (loud from faint) raises the probability by a step."""
    real = clips(config, train_config)

    def probabilities(**options) -> tuple[float, float]:
        """In the state after a step of the critic, and in its terms."""
        settings = replace(train_config, augment=("gain",), augment_ramp=10, **options)
        found = critic_terms(config, settings, real)
        state, terms = (float(x["augment_probability"]) for x in found)
        return state, terms

    assert probabilities(augment_target=-0.99) == pytest.approx((0.1, 0.1))
    assert probabilities(augment_target=0.99) == (0, 0)
    assert probabilities(augment_probability=0.5) == (0.5, 0.5)


def test_what_is_augmented_is_seen_by_both_players(classes, two_steps):
    """With polarity flipped for certain in half the clips, nothing stays as it was."""
    real = 0.5 + np.float32(0.1) * clips(classes, two_steps)
    _, before, _ = run(classes, two_steps, real, augment_probability=np.float32(0))
    _, after, _ = run(classes, two_steps, real)
    for name in ("critic", "generator"):
        assert not same(before[name], after[name])


def test_classes_reach_both_players(classes, two_steps):
    """Other labels for the same clips change both; only the tables of classes seen move."""
    real = clips(classes, two_steps)
    labels = np.zeros(real.shape[:2], np.int32)
    before, zeros, _ = run(classes, two_steps, real, labels=labels)
    _, ones, _ = run(classes, two_steps, real, labels=labels + 1)
    assert not same(zeros["critic"], ones["critic"])
    assert not same(zeros["generator"], ones["generator"])
    tables = [m["shift"][...] for m in zeros["generator"]["modulations"].values()]
    assert all(np.any(table[0]) and not np.any(table[1:]) for table in tables)
    moved = zeros["critic"]["projection"][...] != before["critic"]["projection"][...]
    assert moved[0].any()
    assert not moved[1:].any()


def test_gans_in_one_program_are_as_alone(classes, two_steps):
    real = np.stack([clips(classes, two_steps, seed) for seed in range(3)])
    states = [initial_state(classes, two_steps, jax.random.key(seed)) for seed in range(3)]
    stacked = place(jax.tree.map(lambda *x: np.stack(x), *states), MESH, "gan")
    program = compiled_step(classes, two_steps, MESH, gans=3)
    labels = np.stack([drawn_classes(x) for x in real])
    after, terms = jax.device_get(program(stacked, *place((real, labels), MESH, "gan")))
    for seed in range(3):
        _, expected, alone = run(classes, two_steps, real[seed], seed=seed)
        jax.tree.map(
            lambda a, b, i=seed: np.testing.assert_allclose(a[i], b, rtol=1e-3, atol=2e-5),
            (after["generator"], after["critic"]),
            (expected["generator"], expected["critic"]),
        )
        for name, value in alone.items():
            assert terms[name][seed] == pytest.approx(value, rel=1e-3, abs=1e-4), name


FULL = WaveGANConfig(
    num_samples=256, dim=2, latent_dim=4, num_classes=3, batch_norm=True, phase_shuffle_by="example"
)


@pytest.mark.parametrize("backend", [pytest.param("cpu", marks=pytest.mark.slow), "gpu"])
@pytest.mark.parametrize(
    "change",
    [
        {"spectrogram_critic": True, "phase_shuffle_by": "batch"},
        {"upsample": "nn", "post_filter": 65, "spectral_norm": True},
    ],
    ids=str,
)
def test_several_gans_are_products_and_no_convolutions(train_config, change, backend, monkeypatch):
    """A convolution mapped over kernels is a grouped one, and its gradient's window thousands."""
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    settings = replace(train_config, augment=("shift", "gain"))
    text = lowered(replace(FULL, **change), settings, gans=10)
    assert "stablehlo.convolution" not in text
    assert text.count("batching_dims = [0]") > 20
    if backend == "gpu":
        assert "scatter" not in text
    alone = lowered(replace(FULL, **change), settings, gans=1)
    assert "stablehlo.convolution" in alone
    assert "_group_count = 1" in alone
    assert not re.search(r"_group_count = ([2-9]|1\d)", alone)


def test_critic_steps_are_compiled_once(classes, two_steps):
    """In one program a loop, however many they are; on a CPU a program of their own."""
    real = clips(classes, two_steps)
    labels = drawn_classes(real)
    state = initial_state(classes, two_steps, jax.random.key(0))
    traced = [
        jax.jit(partial(training_step, classes, given, True, MESH)).trace(state, *batch)
        for given, batch in (
            (replace(two_steps, critic_steps=3), (real[[0, 1, 1]], labels[[0, 1, 1]])),
            (two_steps, (real, labels)),
        )
    ]
    more, fewer = (len(str(one.jaxpr)) for one in traced)
    assert more < 1.1 * fewer
    after, terms = jax.device_get(traced[1].lower().compile()(state, real, labels))
    _, expected, others = run(classes, two_steps, real, labels=labels)
    assert terms.keys() == others.keys()
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=2e-5),
        (after, terms),
        (expected, others),
    )
    program = compiled_step(classes, two_steps, MESH)
    sizes = [needed_bytes(part) for part in (program.critic, program.last)]
    assert needed_bytes(program) == max(sizes)
    assert program.critic_steps == 2


def test_half_precision_is_near(config, penalised):
    """bfloat16 keeps 8 bits, an error of 0.4 % a number; weights stay float32."""
    real, half = clips(config, penalised), replace(config, precision="bfloat16")
    state = initial_state(config, penalised, jax.random.key(0))
    (_, expected), (after, terms) = (
        critic_step(which, penalised, real)(state) for which in (config, half)
    )
    step = Players(half, penalised, True, MESH).generator_step
    moved, _ = jax.eval_shape(step, state, real[0], None, jax.random.key(1))
    for leaf in jax.tree.leaves((after, moved)):
        assert leaf.dtype != jnp.bfloat16
    for name in ("critic_loss", "penalty", "critic_gradient_norm"):
        assert terms[name] != expected[name]
        assert terms[name] == pytest.approx(expected[name], rel=0.05), name


# Several devices: eight of a CPU, in a process of their own

DEVICES = """
import json, sys
import jax, jax.numpy as jnp, numpy as np
from wavegan import TrainConfig, WaveGANConfig
from wavegan.devices import CLIP_AXES, device_mesh, place
from wavegan.players import initial_state
from wavegan.step import compiled_step

def losses(config, settings, seeds, devices):
    # The mesh, and of each GAN the terms of three steps.
    mesh = device_mesh(len(seeds), settings.batch_size, devices)
    shape = settings.critic_steps, settings.batch_size
    states, clips, labels = [], [], []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        states.append(initial_state(config, settings, jax.random.key(seed)))
        clips.append(rng.uniform(-1, 1, (*shape, config.num_samples, 1)).astype(np.float32))
        labels.append(rng.integers(0, 3, shape).astype(np.int32))
    state = place(jax.tree.map(lambda *x: jnp.stack(x), *states), mesh, "gan")
    batch = np.stack(clips), np.stack(labels) if config.num_classes else None
    program = compiled_step(config, settings, mesh, gans=len(seeds))
    rows = [[] for _ in seeds]
    for _ in range(3):
        state, terms = program(state, *place(batch, mesh, *CLIP_AXES))
        for i, row in enumerate(rows):
            row.append({k: float(v[i]) for k, v in terms.items()})
    return dict(mesh.shape), rows

settings = TrainConfig(batch_size=8, critic_steps=1, learning_rate=1e-4)
plain = WaveGANConfig(num_samples=128, dim=2, latent_dim=4)
full = WaveGANConfig(num_samples=256, dim=2, latent_dim=4, num_classes=3, batch_norm=True,
                     spectrogram_critic=True)
found = []
for config, gans in ((full, 1), (plain, 4)):
    alone = [losses(config, settings, [i], jax.devices()[:1])[1][0] for i in range(gans)]
    found.append([alone, *losses(config, settings, range(gans), jax.devices())])
print(json.dumps(found))
"""


@pytest.mark.slow  # two processes of test_distributed.py share their GANs in every run of the tests
def test_eight_devices_give_the_losses_of_one():
    """Of one GAN over all of them, and of several as each has them alone on one."""
    devices = "--xla_force_host_platform_device_count=8"
    flags = {"XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {devices}", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", DEVICES]
    child = subprocess.run(
        command, env=os.environ | flags, check=True, timeout=600, capture_output=True, text=True
    )
    meshes = []
    for alone, mesh, together in json.loads(child.stdout.splitlines()[-1]):
        meshes.append((mesh["gan"], mesh["data"]))
        rows = (chain.from_iterable(gans) for gans in (alone, together))
        for expected, found in zip(*rows, strict=True):
            for name, value in expected.items():
                np.testing.assert_allclose(found[name], value, rtol=1e-3, atol=1e-4, err_msg=name)
    assert meshes == [(1, 8), (4, 2)]
