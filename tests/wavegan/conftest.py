"""One small GAN for all tests here: compiling its step takes longer than everything else."""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from wavegan import TrainConfig, WaveGANConfig, train
from wavegan import step as step_module
from wavegan.players import initial_state
from wavegan.run_folder import RunFolder


@pytest.fixture(scope="session")
def config() -> WaveGANConfig:
    """One layer, of stride 4: what the loop does with a GAN does not depend on its depth."""
    return WaveGANConfig(num_samples=64, dim=2, latent_dim=4)


@pytest.fixture(scope="session")
def train_config() -> TrainConfig:
    return TrainConfig(
        batch_size=8,
        steps=6,
        critic_steps=1,
        learning_rate=2e-3,
        ema_decay=0.3,  # reached at step 3, so that the ramp before it is seen, too
        log_every=1,
        checkpoint_every=2,
        keep_checkpoints=10,
    )


@pytest.fixture
def as_on_a_gpu() -> Iterator[pytest.MonkeyPatch]:
    """What is traced within the test, or until this is undone, is what a GPU gets."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jax, "default_backend", lambda: "gpu")
        afresh = lru_cache(step_module._compiled.__wrapped__)  # what a CPU has been given stays
        patch.setattr(step_module, "_compiled", afresh)
        yield patch


@pytest.fixture(scope="session")
def audio() -> np.ndarray:
    """Eight recordings of noise around 0.4, which a generator learns within a few steps."""
    noise = np.random.default_rng(0).uniform(-0.4, 0.4, (8, 300, 1))
    return (0.4 + noise).astype(np.float32)


@pytest.fixture(scope="session")
def _finished(tmp_path_factory, audio, config, train_config) -> Path:
    run = tmp_path_factory.mktemp("finished") / "run"
    train(audio, config, train_config, run_dir=run)
    return run


@pytest.fixture
def finished_run(_finished, tmp_path) -> Path:
    """A copy of a run of 6 steps with checkpoints 2, 4 and 6, to do with as a test likes."""
    return Path(shutil.copytree(_finished, tmp_path / "finished"))


@pytest.fixture(scope="session")
def state_of(config, train_config) -> Callable[..., Any]:
    """``state_of(run_dir, step=None)``: everything in a checkpoint, by default the newest."""
    template = jax.eval_shape(lambda: initial_state(config, train_config, jax.random.key(0)))
    return lambda run_dir, step=None: jax.device_get(
        RunFolder(run_dir).restore(template, step=step)[1]
    )


@pytest.fixture(scope="session")
def script_arguments(tmp_path_factory, audio, config, train_config) -> list[str]:
    """What the child process of a test needs: a file of audio and both configurations."""
    file = tmp_path_factory.mktemp("audio") / "audio.npy"
    np.save(file, audio)
    return [str(file), json.dumps(asdict(config)), json.dumps(asdict(train_config))]
