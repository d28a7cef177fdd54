"""The GAN benchmark: its operation count, its peers' sizes, and its rows, at toy sizes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from experiments.bench import gan
from wavegan import devices, networks, step
from wavegan.networks import Discriminator, Generator, WaveGANConfig
from wavegan.train_config import TrainConfig

CONFIG = WaveGANConfig(num_samples=64, dim=2, latent_dim=4)


def torch_gan(**options):
    pytest.importorskip("torch")
    from experiments.bench._torch_gan import TorchGAN

    audio = np.random.default_rng(0).normal(size=(2, 100, 1)).astype(np.float32)
    return TorchGAN(CONFIG, 3, audio, **options)


def test_operations_are_those_that_xla_counts(monkeypatch):
    """XLA leaves out what meets padding at the edges, a few percent, and counts the rest."""
    monkeypatch.setattr(networks, "strided_conv", gan._direct_conv)
    monkeypatch.setattr(networks, "transposed_conv", gan._direct_transposed)
    config, train_config = WaveGANConfig(dim=16), TrainConfig(batch_size=2, critic_steps=2)
    mesh = devices.device_mesh(1, 2, jax.devices()[:1])
    state = jax.eval_shape(lambda: step.initial_state(config, train_config, jax.random.key(0)))
    real = jax.ShapeDtypeStruct((2, 2, config.num_samples, 1), jnp.float32)
    key = jax.eval_shape(lambda: jax.random.key(0))
    players = step.Players(config, train_config, True, mesh)

    def critic_step(state, real, key):
        return players.critic_step(state, real[0], None, key)[0]

    def iteration(state, real, key):
        for i in range(2):  # of a loop, one turn is counted
            state, _ = step._critic_turn(config, train_config, True, mesh, state, real, None, i)
        return step._last_turn(config, train_config, True, mesh, state, real, None)[0]

    for function, count in (
        (critic_step, gan.critic_step_flops(config, 2)),
        (iteration, gan.iteration_flops(config, 2, critic_steps=2)),
    ):
        found = jax.jit(function).lower(state, real, key).cost_analysis()["flops"]
        assert found == pytest.approx(count, rel=0.05)


def test_the_peer_has_as_many_weights_and_makes_such_clips():
    peer = torch_gan()
    for theirs, ours in ((peer.generator, Generator), (peer.critic, Discriminator)):
        state = nnx.state(ours(CONFIG, rngs=nnx.Rngs(0)), nnx.Param)
        count = sum(leaf.size for leaf in jax.tree.leaves(state))
        assert sum(p.numel() for p in theirs.parameters()) == count
    assert peer.generate(3).shape == (3, CONFIG.channels, CONFIG.num_samples)


def test_phase_shuffle_of_the_peer_is_one_thing_with_numbers_and_tensors():
    torch = pytest.importorskip("torch")
    from experiments.bench._torch_gan import _shifted

    x = torch.arange(6.0)[None, None]
    assert _shifted(x, 2)[0, 0].tolist() == [2, 1, 0, 1, 2, 3]
    for shift in range(-2, 3):
        assert torch.equal(_shifted(x, shift), _shifted(x, torch.tensor(shift)))


def test_rows(monkeypatch):
    sizes = gan.Sizes(CONFIG, 2, ("float32",), clips=4, clips_at_once=2, matrix=64)
    monkeypatch.setattr(gan, "torch_gans", lambda *a, **k: {})  # without PyTorch
    rows = gan._training(CONFIG, sizes, 1)
    assert {row["peer"] for row in rows} == {"direct strided and dilated convolutions"}
    for row in rows:
        assert row["ratio"] == row["peer_seconds"] / row["ours_seconds"]
        share = row["gflop"] / row["ours_seconds"] / row["matmul_gflops"]
        assert row["share_of_matmul"] == pytest.approx(share)


def test_the_loop_is_held_against_its_step():
    (row,) = gan.loop_rows(CONFIG, 2, repeats=1, steps=20)
    assert row["case"] == "a step of train, dim 2, 64 samples, batch 2"
    assert row["loop_share"] == pytest.approx(1 - row["ratio"])
    assert 0 < row["ours_seconds"] < 1
