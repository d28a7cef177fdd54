"""What a run keeps of a GAN in training: inspectors' metrics, the best checkpoint, when to stop."""

import itertools
import json
import re
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from gan_runs import METRICS, same, steps_logged, weights

from wavegan import (
    TrainConfig,
    TrainingInterrupted,
    WaveGANConfig,
    load,
    train,
)
from wavegan.players import initial_state
from wavegan.run_folder import RunFolder
from wavegan.training import _stacked
from wavegan.training_run import with_weights

# The begin and the end


def test_no_shape_of_an_array_is_a_program_of_its_own(caplog):
    """Beside those of keys there are both optimisers' memory, and that of the whole state."""
    config = WaveGANConfig(num_samples=256, dim=3, latent_dim=5, num_classes=3)
    with jax.log_compiles():
        state = initial_state(config, TrainConfig(), jax.random.key(0))
        begun = jax.device_get(_stacked([state]))
        with_weights(config, begun["ema"])
    compiled = re.findall(r"Finished XLA compilation of jit\((\w+)\)", caplog.text)
    assert compiled.count("_stacked") == 1
    assert len(compiled) <= 14 < len(jax.tree.leaves(state))


# Inspectors, and the best checkpoint


def inspector(values, seen=None):
    """Metrics that are known beforehand; ``seen`` takes the generators."""

    def inspect(step, generator):
        if seen is not None:
            seen[step] = jax.device_get(nnx.state(generator))
        return {"quality/kernel_distance": values[step]}

    return inspect


def loudness(step, generator):
    return {"loudness": jnp.abs(generator(jnp.ones((2, 4)))).max()}


def test_inspectors_see_the_averaged_generator(audio, config, train_config, state_of, tmp_path):
    """Every inspect_every steps and at the end; what they say joins the other metrics."""
    seen, run = {}, tmp_path / "run"
    values = {2: 0.5, 4: 0.25, 5: 0.75}
    schedule = replace(train_config, steps=5, inspect_every=2, log_every=3)
    result = train(
        audio, config, schedule, run_dir=run, inspect=[inspector(values, seen), loudness]
    )
    assert list(seen) == [2, 4, 5]
    for step, averaged in seen.items():
        assert same(averaged, state_of(run, step)["ema"])
    rows = {row["gan/step"]: row for row in result.history}
    assert list(rows) == [1, 2, 3, 4, 5]
    assert RunFolder(run).read_metrics() == result.history
    for step, row in rows.items():
        assert row.get("quality/kernel_distance") == values.get(step)
        assert ("loudness" in row) == (step in values)
        assert set(row) >= METRICS
    assert result.best_step == 4


def test_an_inspector_that_fails_ends_the_run(audio, config, train_config):
    with pytest.raises(KeyError, match="7"):
        train(audio, config, replace(train_config, steps=1), inspect=[lambda *_: {}[7]])


def test_the_best_checkpoint_is_kept(audio, config, train_config, tmp_path):
    """A NaN is never the best; what is best lies beside the newest and between checkpoints."""
    seen, run = {}, tmp_path / "run"
    values = {1: np.nan, 2: 0.5, 3: 0.2, 4: 0.3, 5: 0.4, 6: 0.4}
    schedule = replace(train_config, inspect_every=1, keep_checkpoints=1)
    result = train(audio, config, schedule, run_dir=run, inspect=[inspector(values, seen)])
    assert result.best_step == 3
    assert RunFolder(run).steps() == [3, 6]
    best = json.loads((run / "best.json").read_text())
    assert best == {"step": 3, "metric": "quality/kernel_distance", "value": 0.2}
    assert same(jax.device_get(nnx.state(load(run, step="best"))), seen[3])
    assert same(jax.device_get(nnx.state(load(run))), seen[6])


def test_the_best_outlives_a_kill(audio, config, train_config, tmp_path):
    """Stopped at 5, with the note of the best as a kill leaves it: not yet that of step 4.

    After that, the best is of a step that was logged but not saved: it is found again.
    """
    run, calls = tmp_path / "run", itertools.count(1)
    values = {2: 0.5, 4: 0.2, 6: 0.3, 8: 0.1, 10: 0.4}
    schedule = replace(train_config, steps=10, inspect_every=2, keep_checkpoints=1)
    arguments = {"run_dir": run, "inspect": [inspector(values)]}
    with pytest.raises(TrainingInterrupted):
        train(audio, config, schedule, should_stop=lambda: next(calls) == 5, **arguments)
    RunFolder(run).mark_best(2, "quality/kernel_distance", 0.5)

    def full_disk(metrics):
        if metrics["gan/step"] == 8:
            raise OSError("no room")

    with pytest.raises(OSError, match="no room"):
        train(audio, config, schedule, on_log=full_disk, **arguments)
    assert RunFolder(run).steps() == [4, 6]
    assert RunFolder(run).best_step() == 4
    result = train(audio, config, schedule, **arguments)
    assert result.best_step == RunFolder(run).best_step() == 8
    assert RunFolder(run).steps() == [8, 10]
    assert steps_logged(run) == list(range(1, 11))


def test_when_more_training_does_not_help(audio, config, train_config, tmp_path):
    """Two inspections are no better than step 2: said in the metrics, and the end where asked."""
    seen, run = {}, tmp_path / "run"
    values = dict.fromkeys(range(1, 9), 0.5) | {1: 1.0, 2: 0.4}
    schedule = replace(train_config, steps=6, inspect_every=1, patience=2, stop_when_done=True)
    arguments = {"run_dir": run, "inspect": [inspector(values, seen)]}
    result = train(audio, config, schedule, **arguments)
    since = [row.get("quality/enough_since") for row in result.history]
    assert since == [None, None, None, 2]
    assert RunFolder(run).steps() == [1, 2, 4], "1 and 2 were the best once"
    seen.clear()
    again = train(audio, config, replace(schedule, steps=8), **arguments)
    assert again.history == result.history
    assert same(weights(again), weights(result))
    assert not seen
    further = train(audio, config, replace(schedule, stop_when_done=False), **arguments)
    assert list(seen) == [5, 6]
    assert [row.get("quality/enough_since") for row in further.history][4:] == [2, 2]


def test_a_generator_in_doubt_trains_on(audio, config, train_config):
    """The same curve, but real clips are nearer to one another: 0.4 is more than thrice 0.1."""
    values = dict.fromkeys(range(1, 7), 0.5) | {1: 1.0, 2: 0.4}
    schedule = replace(train_config, steps=6, inspect_every=1, patience=2, stop_when_done=True)
    for floor, last in ((0.1, 6), (0.2, 4)):
        inspect = [inspector(values), lambda *_, f=floor: {"quality/kernel_distance_floor": f}]
        result = train(audio, config, schedule, inspect=inspect)
        assert result.history[-1]["gan/step"] == last
        assert result.history[-1]["quality/enough_since"] == 2


def test_one_checkpoint_of_so_many_hours_stays(audio, config, train_config, tmp_path):
    for hours, steps in ((None, [6]), (1e-9, [2, 4, 6]), (10.0, [2, 6])):
        run, sparing = tmp_path / str(hours), replace(train_config, keep_checkpoints=1)
        train(audio, config, replace(sparing, keep_hours=hours), run_dir=run)
        assert RunFolder(run).steps() == steps


def test_a_penalty_on_a_critic_that_is_not_there(audio, config, train_config, tmp_path):
    """Refused before a folder is made."""
    penalised = replace(train_config, spectrogram_penalty=1.0)
    with pytest.raises(ValueError, match=r"spectrogram_penalty=1\.0 needs a spectrogram critic"):
        train(audio, config, penalised, run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_clips_that_have_none_to_differ_from(audio, config, train_config, tmp_path):
    varied = replace(config, minibatch_stddev=True)
    alone = replace(train_config, accumulate=train_config.batch_size)
    with pytest.raises(ValueError, match=r"one alone \(batch_size=\d+, accumulate=\d+\): take a"):
        train(audio, varied, alone, run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()
