"""Whole training runs of a network small enough to train in a blink."""

import contextlib
import itertools
import json
import signal
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from gan_runs import CHILD, METRICS, same, steps_logged, weights

from wavegan import (
    TrainConfig,
    TrainingDiverged,
    TrainingInterrupted,
    WaveGANConfig,
    load,
    seconds_per_step,
    train,
    training,
    training_states,
)
from wavegan.devices import device_mesh
from wavegan.players import initial_state
from wavegan.run_folder import RunFolder
from wavegan.step import compiled_step
from wavegan.training_run import Job, TrainingRun


@pytest.fixture(scope="module")
def result(audio, config, train_config):
    return train(audio, config, train_config)


@pytest.fixture(scope="module")
def lazy(train_config) -> TrainConfig:
    """With a penalty at every fifth step, the first one of each: two programs."""
    return replace(train_config, critic_steps=2, penalty_every=5)


# What a run gives


def test_metrics_of_a_run(result, audio):
    assert [row["gan/step"] for row in result.history] == [1, 2, 3, 4, 5, 6]
    for row in result.history:
        assert set(row) == METRICS
        assert all(np.isfinite(value) for value in row.values())
        assert row["gan/critic_loss"] == pytest.approx(
            10 * row["gan/penalty"] - row["gan/critic_gap"], abs=1e-5
        )
        assert row["gan/rms_real"] == pytest.approx(np.sqrt(np.mean(audio**2)), rel=0.1)


def test_a_run_learns(audio, config, train_config):
    """The recordings lie around 0.4: the clips, at first around zero, move there."""
    result = train(audio, config, replace(train_config, steps=80))
    latents = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (50, 4)), jnp.float32)
    first = initial_state(config, train_config, jax.random.key(0))["generator"]
    before = nnx.merge(nnx.graphdef(result.generator), first)(latents).mean()
    assert abs(before) < 0.1
    assert 0.2 < result.generator(latents).mean() < 0.7
    assert 0.2 < result.ema_generator(latents).mean() < 0.7


def test_a_result_in_a_line(result):
    assert repr(result) == (
        "TrainResult(step 6, 6 rows of history, "
        "Generator(num_samples=64, dim=2, latent_dim=4: 211 weights))"
    )


def test_the_seed_decides(result, audio, config, train_config):
    assert same(weights(result), weights(train(audio, config, train_config)))
    other = weights(train(audio, config, replace(train_config, seed=1)))
    for one, two in zip(jax.tree.leaves(weights(result)), jax.tree.leaves(other), strict=True):
        assert one.ndim == 1 or not np.array_equal(one, two)  # a bias may rest at zero


def test_a_run_folder_changes_nothing(result, finished_run, state_of):
    state = state_of(finished_run)
    assert same(weights(result), [state["generator"], state["ema"], state["critic"]])


def test_the_folder_of_a_run(finished_run):
    assert {file.name for file in finished_run.iterdir()} == {
        "checkpoints",
        "config.json",
        "metrics.jsonl",
    }
    assert steps_logged(finished_run) == [1, 2, 3, 4, 5, 6]
    assert RunFolder(finished_run).steps() == [2, 4, 6]


def test_when_it_logs(audio, config, train_config):
    """The first step, every log_every steps, and the last."""
    heard = []
    schedule = replace(train_config, log_every=2, steps=5)
    result = train(audio, config, schedule, on_log=heard.append)
    assert [row["gan/step"] for row in heard] == [1, 2, 4, 5]
    assert heard == result.history


def test_dcgan_in_stereo():
    """The critic learns to tell a hum from the generator's noise."""
    hum = np.sin(np.arange(400)[:, None] * np.pi / 4 + np.arange(2))
    config = WaveGANConfig(num_samples=64, channels=2, dim=2, latent_dim=4)
    schedule = TrainConfig(loss="dcgan", batch_size=8, steps=40, critic_steps=1, log_every=5)
    result = train([hum, 0.5 * hum], config, replace(schedule, learning_rate=1e-2))
    gaps = [row["gan/critic_gap"] for row in result.history]
    assert gaps[-1] > gaps[0] + 0.5
    assert all("gan/penalty" not in row for row in result.history)
    assert result.generator(jnp.zeros((2, 4))).shape == (2, 64, 2)


def test_the_moving_average(finished_run, state_of, audio, config, train_config, tmp_path):
    """Decay (1 + k) / (10 + k) at step k, at most ema_decay (0.3, from step 3 on)."""
    run = tmp_path / "run"
    train(audio, config, replace(train_config, steps=5, checkpoint_every=1), run_dir=run)
    average = initial_state(config, train_config, jax.random.key(0))["generator"]
    for k in range(1, 6):
        state, decay = state_of(run, k), [2 / 11, 3 / 12, 0.3, 0.3, 0.3][k - 1]
        average = jax.tree.map(
            lambda a, w, d=decay: d * np.asarray(a) + (1 - d) * np.asarray(w),
            average,
            state["generator"],
        )
        jax.tree.map(
            lambda a, e: np.testing.assert_allclose(a, e, rtol=1e-5, atol=1e-7),
            average,
            state["ema"],
        )


# On an accelerator: several steps a call, which draw their clips themselves


@pytest.fixture
def calls(monkeypatch):
    """How many steps each call was."""
    counts, advance = [], training.advance

    def counted(program, state, given, **options):
        counts.append(int(given[1]) if isinstance(given[1], np.int32) else 1)
        return advance(program, state, given, **options)

    monkeypatch.setattr(training, "advance", counted)
    return counts


def test_several_steps_a_call_are_those_of_one_a_call(
    as_on_a_gpu, calls, audio, config, lazy, tmp_path
):
    """Logs, checkpoints and inspections at their steps, penalties before those without."""
    seen = []
    lazy = replace(lazy, steps=13, log_every=4, checkpoint_every=3, inspect_every=11)
    options = {"run_dir": tmp_path, "inspect": [lambda step, _: seen.append(step) or {}]}
    result = train(audio, config, lazy, **options)
    assert calls == [1, 2, 1, 1, 1, 2, 1, 1, 1, 1, 1]
    assert steps_logged(tmp_path) == [1, 4, 8, 11, 12, 13]
    assert RunFolder(tmp_path).steps() == [3, 6, 9, 12, 13]
    assert seen == [11, 13]
    as_on_a_gpu.undo()
    calls.clear()
    expected = train(audio, config, lazy)
    assert calls == [1] * 13
    for row, other in zip(result.history, expected.history, strict=True):
        for name in row.keys() - {"gan/steps_per_second"}:
            assert row[name] == pytest.approx(other[name], rel=2e-3, abs=2e-4), name


def test_a_stop_between_calls_changes_nothing(
    as_on_a_gpu, calls, audio, config, train_config, tmp_path
):
    """Asked at the latest after ten steps; the resumed run has the bits of one that was whole."""
    settings = replace(train_config, loss="dcgan", steps=30, log_every=100, checkpoint_every=100)
    whole = train(audio, config, settings)
    assert calls == [1, 10, 10, 9]
    times = itertools.count(1)
    with pytest.raises(TrainingInterrupted, match="stopped at step 11 of 30"):
        train(audio, config, settings, run_dir=tmp_path, should_stop=lambda: next(times) == 2)
    assert same(weights(train(audio, config, settings, run_dir=tmp_path)), weights(whole))


def test_what_lies_on_the_host_comes_a_step_at_a_time(
    as_on_a_gpu, calls, audio, config, train_config
):
    settings = replace(train_config, loss="dcgan", steps=3, log_every=3, store="host")
    train(audio, config, settings)
    assert calls == [1, 1, 1]


# Resuming


def test_a_stopped_run_ends_as_if_never_stopped(
    finished_run, state_of, audio, config, train_config, tmp_path
):
    run, calls = tmp_path / "run", itertools.count(1)
    with pytest.raises(TrainingInterrupted, match="stopped at step 3 of 6"):
        train(audio, config, train_config, run_dir=run, should_stop=lambda: next(calls) == 3)
    assert RunFolder(run).steps() == [2, 3]
    result = train(audio, config, train_config, run_dir=run)
    assert same(state_of(run), state_of(finished_run))
    assert steps_logged(run) == [1, 2, 3, 4, 5, 6]
    assert [row["gan/step"] for row in result.history] == [1, 2, 3, 4, 5, 6]


def test_a_stop_at_the_last_step_is_the_end(audio, config, train_config):
    result = train(audio, config, replace(train_config, steps=1), should_stop=lambda: True)
    assert result.history[-1]["gan/step"] == 1


def test_a_kill_before_checkpoints_are_dropped_keeps_none_too_many(
    finished_run, audio, config, train_config
):
    train(audio, config, replace(train_config, keep_checkpoints=1), run_dir=finished_run)
    assert RunFolder(finished_run).steps() == [6]


def test_a_killed_run_ends_as_if_never_killed(
    finished_run, state_of, script_arguments, audio, config, train_config, tmp_path
):
    """kill -9 after step 5 (logged, not saved); the last checkpoint is 4."""
    run = tmp_path / "run"
    command = [sys.executable, "-c", CHILD, *script_arguments, str(run), "5"]
    child = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert child.returncode == -signal.SIGKILL, child.stderr
    assert RunFolder(run).steps() == [2, 4]
    assert steps_logged(run) == [1, 2, 3, 4, 5]
    result = train(audio, config, train_config, run_dir=run)
    assert same(state_of(run), state_of(finished_run))
    assert steps_logged(run) == [row["gan/step"] for row in result.history] == [1, 2, 3, 4, 5, 6]


@pytest.mark.slow
def test_a_run_killed_at_any_moment(
    state_of, script_arguments, audio, config, train_config, tmp_path
):
    """Again and again, also while it writes; it goes on each time and ends the same."""
    schedule = replace(train_config, steps=60, checkpoint_every=1, keep_checkpoints=2)
    train(audio, config, schedule, run_dir=tmp_path / "whole")
    run, rng = tmp_path / "killed", np.random.default_rng(0)
    arguments = [*script_arguments[:2], json.dumps(vars(schedule)), str(run), "-1"]
    for _ in range(6):
        child = subprocess.Popen([sys.executable, "-c", CHILD, *arguments])
        lines = len(steps_logged(run)) if (run / "metrics.jsonl").exists() else 0
        while child.poll() is None and (
            not (run / "metrics.jsonl").exists() or len(steps_logged(run)) < lines + 3
        ):
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(0.01 + 0.1 * rng.random())
        child.kill()
        child.wait()
    assert 0 < RunFolder(run).steps()[-1] < 60
    train(audio, config, schedule, run_dir=run)
    assert same(state_of(run), state_of(tmp_path / "whole"))


def test_a_finished_run_trains_on(finished_run, audio, config, train_config, state_of, tmp_path):
    longer = replace(train_config, steps=9)
    extended = train(audio, config, longer, run_dir=finished_run)
    assert [row["gan/step"] for row in extended.history] == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert same(weights(extended), weights(train(audio, config, longer)))
    assert RunFolder(finished_run).read_config()["train"]["steps"] == 9
    again = train(audio, config, longer, run_dir=finished_run)  # nothing is left to do
    assert same(weights(again), weights(extended))
    assert again.history == extended.history


def test_fewer_steps_than_are_done(finished_run, audio, config, train_config):
    """Neither the shorter run nor the longer one would be an honest answer."""
    with pytest.raises(ValueError, match=r"steps.* 4.* 6|6.*steps.* 4"):
        train(audio, config, replace(train_config, steps=4), run_dir=finished_run)
    assert RunFolder(finished_run).read_config()["train"]["steps"] == 6


def test_a_damaged_checkpoint_is_trained_again(finished_run, audio, config, train_config, state_of):
    expected = state_of(finished_run)
    newest = finished_run / "checkpoints/6"
    for file in (f for f in newest.rglob("*") if f.is_file()):
        file.write_bytes(file.read_bytes()[:10])
    with pytest.warns(UserWarning, match=r"checkpoints/6 is damaged"):
        train(audio, config, train_config, run_dir=finished_run)
    assert same(state_of(finished_run), expected)
    assert steps_logged(finished_run) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"seed": 9}, "train.seed is 0 there and 9 here"),
        ({"learning_rate": None}, "train.learning_rate is 0.002 there and None here"),
        ({"phase_shuffle": 1}, "wavegan.phase_shuffle is 2 there and 1 here"),
    ],
)
def test_another_configuration_in_the_folder(
    finished_run, audio, config, train_config, change, field
):
    if "phase_shuffle" in change:
        config = replace(config, **change)
    else:
        train_config = replace(train_config, **change)
    with pytest.raises(ValueError, match=field):
        train(audio, config, train_config, run_dir=finished_run)
    assert steps_logged(finished_run) == [1, 2, 3, 4, 5, 6]


def test_other_provenance_in_the_folder(finished_run, audio, config, train_config):
    with pytest.raises(ValueError, match=r"provenance\.tracks is None there and \['a'\] here"):
        train(audio, config, train_config, run_dir=finished_run, provenance={"tracks": ["a"]})


# Runs that can't go on


def changed(run, state_of, change):
    """Change the newest checkpoint of ``run`` by ``change(state)``."""
    state = state_of(run)
    change(state)
    RunFolder(run).save(int(state["step"]), jax.tree.map(jnp.asarray, state))


def scale(state, names, factor):
    for name in names:
        state[name] = jax.tree.map(lambda w: (factor * w).astype(w.dtype), state[name])


def test_a_loss_that_is_not_finite(finished_run, state_of, audio, config, train_config):
    changed(finished_run, state_of, lambda state: scale(state, ["critic"], np.float32(1e15)))
    with pytest.raises(TrainingDiverged, match=r"gan/.* not finite at step 7.*learning_rate"):
        train(audio, config, replace(train_config, steps=20), run_dir=finished_run)
    assert RunFolder(finished_run).steps() == [2, 4, 6]
    assert steps_logged(finished_run) == [1, 2, 3, 4, 5, 6]
    clips = load(finished_run)(jnp.zeros((1, 4)))  # the last good one
    assert np.isfinite(clips).all()


def test_broken_weights_are_never_saved(finished_run, state_of, audio, config, train_config):
    """A step that is not logged, either, keeps them out of the checkpoints."""
    changed(finished_run, state_of, lambda state: scale(state, ["critic"], np.float32(1e15)))
    quiet = replace(train_config, steps=20, log_every=20)
    with pytest.raises(TrainingDiverged, match="not finite at step"):
        train(audio, config, quiet, run_dir=finished_run)
    assert RunFolder(finished_run).steps() == [2, 4, 6]


def test_a_learning_rate_that_blows_up(tmp_path):
    """A real divergence, the whole way from sound weights."""
    noise = np.random.default_rng(0).uniform(-1, 1, (4, 64, 1)).astype(np.float32)
    config = WaveGANConfig(num_samples=64, dim=1, latent_dim=2)
    schedule = TrainConfig(batch_size=2, steps=200, critic_steps=1, learning_rate=1e6)
    with pytest.raises(TrainingDiverged, match="not finite at step"):
        train(noise, config, replace(schedule, log_every=1, checkpoint_every=1), run_dir=tmp_path)
    if RunFolder(tmp_path).steps():
        for leaf in jax.tree.leaves(nnx.state(load(tmp_path))):
            assert np.isfinite(leaf).all()


def test_a_silent_generator(finished_run, state_of, audio, config, train_config):
    """Weights and momenta zero on both sides: no gradient ever wakes the generator."""
    players = ["generator", "critic", "generator_optimizer", "critic_optimizer"]
    changed(finished_run, state_of, lambda state: scale(state, players, 0))
    with pytest.raises(TrainingDiverged, match=r"generator is silent at step 26 \(rms 0"):
        train(audio, config, replace(train_config, steps=60), run_dir=finished_run)
    assert RunFolder(finished_run).steps()[-1] == 6, "no checkpoint of a silent generator is kept"


def test_a_collapsed_generator(finished_run, state_of, audio, config, train_config):
    """Its latents are cut off: all clips are the output's bias, which alone goes on learning."""
    player = ["generator", "generator_optimizer"]
    changed(finished_run, state_of, lambda state: scale(state, player, 0))
    with pytest.raises(TrainingDiverged, match="collapsed to one clip at step"):
        train(audio, config, replace(train_config, steps=80), run_dir=finished_run)


def test_a_silent_generator_does_not_count_as_finished(
    finished_run, state_of, audio, config, train_config
):
    """At the last step one silent log is enough, however patient the watch is before."""
    players = ["generator", "critic", "generator_optimizer", "critic_optimizer"]
    changed(finished_run, state_of, lambda state: scale(state, players, 0))
    with pytest.raises(TrainingDiverged, match="generator is silent at step 8"):
        train(audio, config, replace(train_config, steps=8), run_dir=finished_run)
    assert RunFolder(finished_run).steps()[-1] == 6


# Options of the loop


def test_a_lazy_penalty_is_known_after_resuming(audio, config, lazy, tmp_path):
    """Also where the first steps after it have none."""
    run = tmp_path / "run"
    whole = train(audio, config, lazy)
    train(audio, config, replace(lazy, steps=2), run_dir=run)
    resumed = train(audio, config, lazy, run_dir=run)
    assert [r["gan/penalty"] for r in resumed.history] == [r["gan/penalty"] for r in whole.history]


def test_a_lazy_penalty_is_in_the_critics_program_alone(config, lazy):
    """On a CPU, where the generator's turn is compiled once for both kinds of steps."""
    whole, mesh = replace(lazy, accumulate=1), device_mesh(1, lazy.batch_size)
    some, others = (compiled_step(config, whole, mesh, penalised=each) for each in (True, False))
    assert some.critic is not others.critic
    assert some.last is others.last


def test_a_lazy_penalty_stays_in_the_metrics(audio, config, lazy, tmp_path):
    """Laid on at steps 1 and 6 of 7, five times as heavy; a stop between changes nothing."""
    lazy = replace(lazy, steps=7)
    rows = (result := train(audio, config, lazy)).history
    penalties = [row["gan/penalty"] for row in rows]
    assert penalties == [penalties[0]] * 5 + [penalties[5]] * 2
    assert penalties[0] != penalties[5]
    for i, row in enumerate(rows):
        expected = -row["gan/critic_gap"] + (0 if i % 5 else 50 * row["gan/penalty"])
        assert row["gan/critic_loss"] == pytest.approx(expected, abs=1e-5)
    calls = itertools.count(1)
    with pytest.raises(TrainingInterrupted):
        train(audio, config, lazy, run_dir=tmp_path, should_stop=lambda: next(calls) == 2)
    assert same(weights(train(audio, config, lazy, run_dir=tmp_path)), weights(result))


def test_states_for_timing_are_those_of_training(result, audio, config, train_config):
    states = training_states(audio, config, train_config)
    sixth = jax.device_get(next(itertools.islice(states, train_config.steps - 1, None)))
    ours = [jax.tree.map(lambda x: x[0], sixth[name]) for name in ("generator", "ema", "critic")]
    assert same([jax.tree.leaves(x) for x in ours], [jax.tree.leaves(x) for x in weights(result)])
    assert next(states)["step"] == train_config.steps + 1, "there is no end"


def test_the_pace_is_the_median_round_of_penalties(audio, config, lazy, monkeypatch):
    """Two rounds of a second and one of ten: five steps a round, whatever compiling took."""
    ticks = iter([0, 1, 1, 11, 11, 12])
    monkeypatch.setattr(training, "time", SimpleNamespace(perf_counter=lambda: next(ticks)))
    assert seconds_per_step(audio, config, lazy, seconds=11.5) == 0.2


def test_classes_are_learned(config, train_config):
    """Recordings of class 0 lie around 0.4, those of class 1 around -0.4."""
    noise = np.random.default_rng(0).uniform(-0.4, 0.4, (8, 300, 1))
    labels = np.arange(8) % 2
    audio = (noise + np.where(labels, -0.4, 0.4)[:, None, None]).astype(np.float32)
    conditional = replace(config, num_classes=2)
    result = train(audio, conditional, replace(train_config, steps=150), labels=labels)
    latents = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (50, 4)), jnp.float32)
    high, low = (np.asarray(result.ema_generator(latents, jnp.full(50, k))).mean() for k in (0, 1))
    assert high > 0.1
    assert low < -0.1


def test_audio_that_makes_no_batch(audio, config, train_config):
    with pytest.raises(ValueError, match=r"has 5 windows of 64 samples, a batch needs 8"):
        train(audio[:1, :68], config, train_config)
    labels = [0, 1, 0, 1, 0, 1, 0, 2]
    with pytest.raises(ValueError, match=r"recording 7 has label 2: give 0 to 1"):
        train(audio, replace(config, num_classes=2), train_config, labels=labels)


# Folders of other versions


def test_a_folder_of_an_earlier_version(finished_run, audio, config, train_config):
    """It knows none of the options that came later, nor what audio it was trained on."""
    file = finished_run / "config.json"
    stored = json.loads(file.read_text())
    later = ("penalty_every", "slices", "augment", "accumulate", "keep_best", "inspect_every")
    for name in later:
        del stored["train"][name]
    del stored["wavegan"]["spectral_norm"], stored["audio"]
    file.write_text(json.dumps(stored))
    assert load(finished_run).config == config
    with pytest.raises(ValueError, match=r"train\.penalty_every is 1 there and 2 here"):
        train(audio, config, replace(train_config, penalty_every=2), run_dir=finished_run)
    result = train(audio, config, replace(train_config, steps=7), run_dir=finished_run)
    assert result.history[-1]["gan/step"] == 7
    assert "audio" in RunFolder(finished_run).read_config()


def test_a_folder_of_a_later_version(finished_run, audio, config, train_config):
    file = finished_run / "config.json"
    stored = json.loads(file.read_text())
    stored["train"]["momentum"] = 0.5
    file.write_text(json.dumps(stored))
    with pytest.raises(ValueError, match=r"config\.json describes no GAN .*momentum.* later v"):
        load(finished_run)
    with pytest.raises(ValueError, match=r"train\.momentum is 0\.5 there and None here"):
        train(audio, config, train_config, run_dir=finished_run)


def test_audio_beyond_full_scale_is_warned_of(audio, config, train_config):
    """A generator ends in a tanh: it can't make it. Rounding is no matter."""
    short = replace(train_config, steps=1)
    with pytest.warns(UserWarning, match=r"the audio reaches 2\.5, beyond the ±1 .* divide it"):
        TrainingRun(Job([*audio[1:], audio[0] * 2.5 / audio[0].max()]), config, short)
    TrainingRun(Job([*audio[1:], audio[0] * 1.00001 / audio[0].max()]), config, short)
    TrainingRun(Job(audio * 9), config, replace(short, peak_normalize=True))


def test_audio_and_labels_that_do_not_fit(audio, config, train_config, tmp_path):
    with pytest.raises(ValueError, match="labels"):
        train(audio, config, train_config, labels=np.zeros(8, int), run_dir=tmp_path / "run")
    with pytest.raises(ValueError, match="recording 0 has 50 samples, a clip needs 64"):
        train(audio[:, :50], config, train_config, run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()
