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


def run(config, train_config, real, *, seed=0, labels=None, **options):
    """One step of one GAN: the states before and after it, and its terms."""
    state = initial_state(config, train_config, jax.random.key(seed))
    before = jax.device_get(state)
    alone = jax.tree.map(lambda x: x[None], (state, real, labels))
    program = compiled_step(config, train_config, MESH, **options)
    after, terms = jax.device_get(program(place(alone[0], MESH, "gan"), *alone[1:]))
    return before, *jax.tree.map(lambda x: x[0], (after, terms))


def critic_terms(config, train_config, real, *, penalised=True):
    """The terms of one critic step of one GAN, without the rest of a step."""
    players = Players(config, train_config, penalised, MESH)
    state, key = initial_state(config, train_config, jax.random.key(0)), jax.random.key(1)
    step = jax.jit(lambda: players.critic_step(state, real[0], None, key)[1])
    return jax.device_get(step())


def clips(config, train_config, seed=0):
    shape = (train_config.critic_steps, train_config.batch_size, config.num_samples)
    values = np.random.default_rng(seed).uniform(-1, 1, (*shape, config.channels))
    return jnp.asarray(values, jnp.float32)


def same(one, other) -> bool:
    return all(map(np.array_equal, jax.tree.leaves(one), jax.tree.leaves(other)))


@pytest.fixture
def two_steps(train_config):
    """Two critic steps a generator step."""
    return replace(train_config, critic_steps=2)


def test_a_state_has_the_shapes_that_are_told_before(config, train_config):
    for name in ("wgan", "dcgan"):  # of another optimiser under the same name, too
        LOSSES["here"] = replace(LOSSES[name], learning_rate=0.5)
        settings = replace(train_config, loss="here")
        state = initial_state(config, settings, jax.random.key(1))
        shapes = jax.tree.map(lambda x: (x.shape, x.dtype), state)
        assert jax.tree.map(lambda x: (x.shape, x.dtype), state_shapes(config, settings)) == shapes


def test_each_critic_step_has_its_own_batch(config, two_steps):
    """Each of the batches matters, and so does their order."""
    real = clips(config, two_steps)
    _, after, _ = run(config, two_steps, real)
    for other in (real.at[0].multiply(0.5), real.at[1].multiply(0.5), real[::-1]):
        assert not same(after["critic"], run(config, two_steps, other)[1]["critic"])
    assert same(after, run(config, two_steps, real)[1])
    assert not same(after["critic"], run(config, two_steps, real, seed=1)[1]["critic"])


def test_a_step_moves_both_players(config, two_steps):
    """Adam moves a weight by its rate at most about once a step: twice for two critic steps."""
    before, after, _ = run(config, two_steps, clips(config, two_steps))
    for name, moves in (("generator", 1), ("critic", two_steps.critic_steps)):
        changes = jax.tree.map(lambda a, b: np.abs(a - b).max(), after[name], before[name])
        largest = max(jax.tree.leaves(changes))
        rate = two_steps.learning_rate
        assert 0.5 * rate * moves < largest < 2.5 * rate * moves
    assert after["step"] == 1


def test_one_compilation_serves_many_runs(config, train_config):
    """Other seeds, lengths, data and cadence."""
    one = compiled_step(config, train_config, MESH)
    other = replace(train_config, seed=5, steps=3, overlap=0.5, slices="grid", checkpoint_every=1)
    assert compiled_step(config, other, MESH) is one
    assert compiled_step(config, replace(train_config, loss="wgan"), MESH) is not one


def test_parts_of_a_batch_add_up(config, train_config):
    """Without phase shuffle, penalty and batch norm a clip's loss is its own."""
    config = replace(config, phase_shuffle=0)
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
    players.critic_step(state, real[0], None, jax.random.key(1))
    jax.effects_barrier()
    assert len({tuple(np.asarray(x).tolist()) for (x,) in seen}) == 2


@pytest.mark.parametrize("penalty", ["gradient", "r1", "r1+r2"])
def test_a_penalty_leaves_the_spectrogram_critic_alone(train_config, penalty):
    """Its slopes are hundreds of times those of the waveform critic, and swamp the loss."""
    config = WaveGANConfig(num_samples=256, dim=2, latent_dim=4)
    settings = replace(train_config, loss="logistic-r1", penalty=penalty)
    expected, found = (
        critic_terms(replace(config, spectrogram_critic=second), settings, clips(config, settings))
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
    real, state = clips(config, settings)[0], initial_state(config, settings, jax.random.key(0))
    labels = jnp.arange(len(real)) % 3

    def terms(settings):
        step = jax.jit(Players(config, settings, True, MESH).critic_step)
        return jax.device_get(step(state, real, labels, jax.random.key(1))[1])

    found, free = terms(settings), terms(replace(settings, spectrogram_penalty=0.0))
    critic = nnx.merge(definitions(config)[1], state["critic"])
    seen = log_spectrogram(real, 128)
    slopes = jax.jit(jax.grad(lambda x: critic.score_spectrogram(0, x, labels).sum()))(seen)
    expected = float(np.sum(np.square(slopes)) / len(real) / 2)
    assert found["spectrogram_penalty"] == pytest.approx(expected, rel=1e-3)
    assert found["penalty"] == free["penalty"]
    assert "spectrogram_penalty" not in free
    weighed = free["critic_loss"] + 0.5 * found["spectrogram_penalty"]
    assert found["critic_loss"] == pytest.approx(weighed, rel=1e-4)


def test_pairs_move_both_players_by_both_sides(config, train_config):
    """Scores that all clips share cancel; of a plain loss the generator never sees a real clip."""
    paired = replace(train_config, loss="logistic-r1", penalty="r1+r2", relativistic=True)
    real = clips(config, paired)
    _, after, terms = run(config, paired, real)
    _, other, _ = run(config, paired, 0.5 * real)
    assert not same(after["generator"], other["generator"])
    assert terms["critic_loss"] == pytest.approx(np.log(2) + 10 * terms["penalty"], rel=0.05)
    plain = replace(paired, relativistic=False)
    _, after, terms = run(config, plain, real)
    assert terms["critic_loss"] == pytest.approx(2 * np.log(2) + 10 * terms["penalty"], rel=0.05)


def test_the_rate_falls_as_half_a_cosine(config, train_config):
    """Adam's first step is as large as the rate: full at first, half way down after half."""
    falling = replace(train_config, rate_decay_steps=8, rate_decay_to=0.1)
    program, moved = compiled_step(config, falling, MESH), {}
    real = clips(config, falling)[None]
    for done in (0, 4, 8, 100):
        state = initial_state(config, falling, jax.random.key(0)) | {"step": jnp.asarray(done)}
        before = jax.device_get(state["critic"])
        after, _ = program(place(jax.tree.map(lambda x: x[None], state), MESH, "gan"), real, None)
        changes = jax.tree.map(lambda a, b: np.abs(a[0] - b).max(), after["critic"], before)
        moved[done] = max(jax.tree.leaves(changes)) / falling.learning_rate
    shares = [moved[done] / moved[0] for done in (4, 8, 100)]
    np.testing.assert_allclose(shares, [0.55, 0.1, 0.1], rtol=1e-2)


def test_parts_of_a_batch_need_less_memory():
    config = WaveGANConfig(num_samples=1024, dim=2)
    whole = TrainConfig(batch_size=64, critic_steps=1, loss="dcgan")
    one, eight = (
        needed_bytes(compiled_step(config, replace(whole, accumulate=n), MESH)) for n in (1, 8)
    )
    assert eight < one / 2


def test_a_lazy_penalty(config, penalised):
    """It is left out of a step, and weighs four times as much in every fourth."""
    lazy = replace(penalised, penalty_every=4)
    real = clips(config, lazy)
    every = critic_terms(config, replace(lazy, penalty_every=1), real)
    with_penalty = critic_terms(config, lazy, real)
    without = critic_terms(config, lazy, real, penalised=False)
    assert "penalty" not in without
    assert without["critic_loss"] == pytest.approx(-without["critic_gap"])
    assert with_penalty["penalty"] == pytest.approx(every["penalty"], rel=1e-5)
    expected = 40 * with_penalty["penalty"] - with_penalty["critic_gap"]
    assert with_penalty["critic_loss"] == pytest.approx(expected, rel=1e-5)


def test_wgan_clips_the_critic_and_not_the_generator(config, train_config):
    clipped = replace(train_config, loss="wgan")
    _, after, _ = run(config, clipped, clips(config, clipped))
    assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(after["critic"])) <= 0.01
    assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(after["generator"])) > 0.05


def test_batch_norm_averages_follow_training(config, train_config):
    """0.99 of the start (0 and 1) and 0.01 of the batch's; the average generator's follow."""
    config = replace(config, batch_norm=True)
    before, after, _ = run(config, train_config, clips(config, train_config))
    for old, new in zip(
        before["generator"]["norms"].values(), after["generator"]["norms"].values(), strict=True
    ):
        assert not np.array_equal(old["mean"], new["mean"])
        assert np.abs(new["mean"]).max() < 0.1
        assert np.all(new["variance"][...] >= 0.99 - 1e-6)
    assert not any("mean" in norm for norm in after["critic"]["norms"].values())


def test_spectral_norms_sharpen(config, train_config):
    """The critic's kernels, over their norms' estimates, come to norm 1 as steps go by."""
    config = replace(config, spectral_norm=True)
    train_config = replace(train_config, learning_rate=1e-6)
    state = place(
        jax.tree.map(lambda x: x[None], initial_state(config, train_config, jax.random.key(0))),
        MESH,
        "gan",
    )
    program = compiled_step(config, train_config, MESH)
    real = clips(config, train_config)[None]
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
    real = clips(config, train_config)[0]

    def probabilities(**options) -> tuple[float, float]:
        """In the state after a step of the critic, and in its terms."""
        settings = replace(train_config, augment=("gain",), augment_ramp=10, **options)
        players = Players(config, settings, True, MESH)
        state = initial_state(config, settings, jax.random.key(0))
        after, terms = jax.jit(players.critic_step)(state, real, None, jax.random.key(1))
        return float(after["augment_probability"]), float(terms["augment_probability"])

    assert probabilities(augment_target=-0.99) == pytest.approx((0.1, 0.1))
    assert probabilities(augment_target=0.99) == (0, 0)
    assert probabilities(augment_probability=0.5) == (0.5, 0.5)


def test_what_is_augmented_is_seen_by_both_players(config, train_config):
    """With polarity flipped for certain in half the clips, nothing stays as it was."""
    real = 0.5 + 0.1 * clips(config, train_config)
    _, before, _ = run(config, train_config, real)
    flipped = replace(train_config, augment=("polarity",), augment_probability=1.0)
    _, after, _ = run(config, flipped, real)
    for name in ("critic", "generator"):
        assert not same(before[name], after[name])


def test_classes_reach_both_players(config, train_config):
    """Other labels for the same clips change both; only the tables of classes seen move."""
    config = replace(config, num_classes=3)
    real = clips(config, train_config)
    labels = jnp.zeros(real.shape[:2], jnp.int32)
    before, zeros, _ = run(config, train_config, real, labels=labels)
    _, ones, _ = run(config, train_config, real, labels=labels + 1)
    assert not same(zeros["critic"], ones["critic"])
    assert not same(zeros["generator"], ones["generator"])
    tables = [m["shift"][...] for m in zeros["generator"]["modulations"].values()]
    assert all(np.any(table[0]) and not np.any(table[1:]) for table in tables)
    moved = zeros["critic"]["projection"][...] != before["critic"]["projection"][...]
    assert moved[0].any()
    assert not moved[1:].any()


def test_gans_in_one_program_are_as_alone(config, train_config):
    real = jnp.stack([clips(config, train_config, seed) for seed in range(3)])
    states = [initial_state(config, train_config, jax.random.key(seed)) for seed in range(3)]
    stacked = place(jax.tree.map(lambda *x: jnp.stack(x), *states), MESH, "gan")
    program = compiled_step(config, train_config, MESH, gans=3)
    after, terms = jax.device_get(program(stacked, real, None))
    for seed in range(3):
        _, expected, alone = run(config, train_config, real[seed], seed=seed)
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


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
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


def test_critic_steps_are_compiled_once(config, train_config):
    """In one program a loop, however many they are; on a CPU a program of their own."""
    settings = replace(train_config, critic_steps=3, augment=("gain",))
    config = replace(config, num_classes=2)
    real = clips(config, settings)
    labels = jnp.asarray(np.random.default_rng(0).integers(0, 2, real.shape[:2]), jnp.int32)
    state = initial_state(config, settings, jax.random.key(0))
    traced = [
        jax.jit(partial(training_step, config, given, True, MESH)).trace(state, *batch)
        for given, batch in (
            (settings, (real, labels)),
            (replace(settings, critic_steps=2), (real[:2], labels[:2])),
        )
    ]
    more, fewer = (len(str(one.jaxpr)) for one in traced)
    assert more < 1.1 * fewer
    after, terms = jax.device_get(traced[0].lower().compile()(state, real, labels))
    _, expected, others = run(config, settings, real, labels=labels)
    assert terms.keys() == others.keys()
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=2e-5),
        (after, terms),
        (expected, others),
    )
    program = compiled_step(config, settings, MESH)
    sizes = [needed_bytes(part) for part in (program.critic, program.last)]
    assert needed_bytes(program) == max(sizes)
    assert program.critic_steps == 3


def test_half_precision_is_near(config, penalised):
    """bfloat16 keeps 8 bits, an error of 0.4 % a number; weights stay float32."""
    *_, expected = run(config, penalised, clips(config, penalised))
    half = replace(config, precision="bfloat16")
    _, after, terms = run(half, penalised, clips(config, penalised))
    assert all(leaf.dtype != jnp.bfloat16 for leaf in jax.tree.leaves(after))
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
