"""Several GANs in one program: each as alone, in a folder of its own."""

import itertools
import shutil
from dataclasses import replace

import jax
import numpy as np
import pytest
from flax import nnx

from wavegan import (
    CheckpointError,
    Job,
    TrainingDiverged,
    TrainingInterrupted,
    load,
    train,
    train_together,
)
from wavegan.run_folder import RunFolder


@pytest.fixture(scope="module")
def sets(audio):
    """Data sets of different sizes: 8 recordings, 3, and 2 of different lengths."""
    return [audio, audio[:3], [audio[3], np.concatenate([audio[4], audio[5]])]]


def jobs(sets, folder=None, **options):
    """A GAN of each data set, of seeds 0, 1, …, in the folders gan0, gan1, …."""
    return [
        Job(audio, seed=i, run_dir=folder and folder / f"gan{i}", **options)
        for i, audio in enumerate(sets)
    ]


@pytest.fixture(scope="module")
def _two(sets, config, train_config, tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    train_together(jobs(sets[:2], folder), config, train_config)
    return folder


@pytest.fixture
def two(_two, tmp_path):
    """A copy of the folders of two GANs after 6 steps, with checkpoints 2, 4 and 6."""
    return shutil.copytree(_two, tmp_path / "two")


def folders(path):
    return [RunFolder(folder) for folder in sorted(path.iterdir())]


def assert_near(one, other):
    """The metrics of two runs, and their generators, apart from rounding."""
    for row, expected in zip(one.history, other.history, strict=True):
        assert row.keys() == expected.keys()
        for name in row.keys() - {"gan/steps_per_second"}:
            assert row[name] == pytest.approx(expected[name], rel=2e-3, abs=2e-4), name
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-2, atol=1e-3),
        nnx.state(one.ema_generator),
        nnx.state(other.ema_generator),
    )


def test_each_is_trained_as_alone(sets, config, train_config):
    """Another seed alone makes more of a difference than this."""
    sets = sets[::2]  # two at a time in all tests here: that is one program
    together = train_together(jobs(sets), config, train_config)
    alone = [train(a, config, replace(train_config, seed=i)) for i, a in enumerate(sets)]
    for one, other in zip(together, alone, strict=True):
        assert_near(one, other)
    with pytest.raises(AssertionError):
        assert_near(together[0], alone[1])


def test_stopped_together_resumed_one_by_one_and_back(sets, config, train_config, tmp_path):
    sets, calls = sets[:2], itertools.count(1)
    team = jobs(sets, tmp_path)
    with pytest.raises(TrainingInterrupted, match="stopped at step 3 of 6"):
        train_together(team, config, train_config, should_stop=lambda: next(calls) == 3)
    assert [folder.steps() for folder in folders(tmp_path)] == [[2, 3], [2, 3]]
    for i, audio in enumerate(sets):
        train(audio, config, replace(train_config, seed=i, steps=5), run_dir=team[i].run_dir)
    longer = replace(train_config, steps=8)
    for i, result in enumerate(train_together(team, config, longer)):
        assert_near(result, train(sets[i], config, replace(longer, seed=i)))
        assert RunFolder(team[i].run_dir).steps() == [2, 3, 4, 5, 6, 8]
    again = train_together(team, config, longer)  # nothing is left to do
    assert [len(result.history) for result in again] == [8, 8]


def test_one_that_diverges_leaves_the_others_to_finish(two, sets, state_of, config, train_config):
    broken, longer = folders(two)[1], replace(train_config, steps=9)
    state = state_of(broken.path)
    big = np.float32(1e15)
    broken.save(6, state | {"critic": jax.tree.map(lambda w: big * w, state["critic"])})
    with pytest.raises(TrainingDiverged, match="not finite at step 7"):
        train_together(jobs(sets[:2], two), config, longer)
    sound = folders(two)[0]
    assert [folder.steps() for folder in folders(two)] == [[2, 4, 6, 8, 9], [2, 4, 6]]
    assert [row["gan/step"] for row in sound.read_metrics()] == list(range(1, 10))
    assert len(broken.read_metrics()) == 6
    alone = train(sets[0], config, longer, run_dir=sound.path)  # only hands it out
    assert_near(alone, train(sets[0], config, longer))


def test_the_newest_checkpoint_in_common(two, sets, config, train_config):
    """One has lost its last checkpoint, the other's before that is damaged."""
    zero, one = folders(two)
    expected = [load(folder.path)(np.ones((3, 4), np.float32)) for folder in (zero, one)]
    (one.path / "checkpoints/6.json").unlink()
    (zero.path / "checkpoints/4.json").write_text("{}")
    heard = []
    team = jobs(sets[:2], two, on_log=heard.append)
    results = train_together(team, config, train_config)
    assert [row["gan/step"] for row in heard] == [3, 3, 4, 4, 5, 5, 6, 6], "on from 2"
    for folder, result, clips in zip((zero, one), results, expected, strict=True):
        assert folder.steps() == [2, 4, 6]
        assert [row["gan/step"] for row in folder.read_metrics()] == [1, 2, 3, 4, 5, 6]
        np.testing.assert_allclose(result.ema_generator(np.ones((3, 4))), clips, atol=1e-4)


def test_nothing_in_common_is_not_trained_anew(two, sets, config, train_config):
    """A finished GAN beside a new one, or beside one that keeps nothing."""
    zero, one = folders(two)
    shutil.rmtree(one.path)
    team = jobs(sets[:2], two)
    with pytest.raises(CheckpointError, match=r"gan0, .*gan1: not all GANs .* one at a time"):
        train_together(team, config, train_config)
    with pytest.raises(CheckpointError, match="gan0: not all GANs"):
        train_together([team[0], replace(team[1], run_dir=None)], config, train_config)
    assert zero.steps() == [2, 4, 6]
    assert len(zero.read_metrics()) == 6


def test_a_kill_between_the_first_checkpoints(two, sets, config, train_config):
    """Only one was written: both begin again."""
    zero, one = folders(two)
    for folder, kept in ((zero, [2]), (one, [])):
        for step in {2, 4, 6} - set(kept):
            (folder.path / f"checkpoints/{step}.json").unlink()
    results = train_together(jobs(sets[:2], two), config, train_config)
    assert [len(result.history) for result in results] == [6, 6]
    assert [folder.steps() for folder in (zero, one)] == [[2, 4, 6], [2, 4, 6]]


def test_the_old_checkpoint_stays_until_all_have_a_new_one(sets, config, train_config, tmp_path):
    """The second's fourth can't be written; the first's second is still there to resume from."""
    sparing = replace(train_config, keep_checkpoints=1)
    obstacle = tmp_path / "gan1/checkpoints/4.json"
    team = jobs(sets[:2], tmp_path)
    hinder = replace(team[1], on_log=lambda row: row["gan/step"] == 3 and obstacle.mkdir())
    with pytest.raises(OSError, match=r"4\.json"):
        train_together([team[0], hinder], config, sparing)
    obstacle.rmdir()
    assert [folder.steps() for folder in folders(tmp_path)] == [[2, 4], [2]]
    train_together(team, config, sparing)
    assert [folder.steps() for folder in folders(tmp_path)] == [[6], [6]]


def test_each_has_its_own_best(sets, config, train_config, tmp_path):
    """What is the best for one is saved for all, that they can go on together."""
    values = [{1: 0.5, 3: 0.2, 5: 0.3, 6: 0.4}, {1: 0.5, 3: 0.4, 5: 0.2, 6: 0.1}]
    team = [
        replace(job, inspect=[lambda step, _, v=v: {"quality/kernel_distance": v[step]}])
        for job, v in zip(jobs(sets[:2], tmp_path), values, strict=True)
    ]
    schedule = replace(train_config, keep_checkpoints=1, checkpoint_every=100)
    for steps in (1, 3, 5, 6):  # inspected at the end of each
        results = train_together(team, config, replace(schedule, steps=steps))
    assert [result.best_step for result in results] == [3, 6]
    assert [folder.steps() for folder in folders(tmp_path)] == [[3, 6], [6]]
    assert [folder.best_step() for folder in folders(tmp_path)] == [3, 6]
