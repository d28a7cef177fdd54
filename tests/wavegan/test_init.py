"""Training from given weights: where they may come from, what fits, and what is said of them."""

import json
import shutil
import warnings
from dataclasses import replace

import jax
import numpy as np
import pytest
from flax import nnx
from gan_runs import same, weights

from wavegan import (
    Discriminator,
    Generator,
    Job,
    TrainingInterrupted,
    WaveGANConfig,
    export,
    load,
    train,
)
from wavegan.reference import _variables
from wavegan.run_folder import RunFolder
from wavegan.start import read_start
from wavegan.training_run import TrainingRun

TRACKS = {"a.00000": "0f" * 16}
ABOUT = {"label": "a", "tracks": TRACKS}


def begun(audio, config, train_config, init):
    """The state that a training from ``init`` begins with."""
    run = TrainingRun(Job(audio, train_config.seed, init=init), config, train_config)
    return jax.device_get(run.begin(0))


def state(network):
    return jax.device_get(nnx.state(network))


@pytest.fixture
def other(config):
    """Networks of another seed."""
    return Generator(config, rngs=nnx.Rngs(7)), Discriminator(config, rngs=nnx.Rngs(8))


def test_from_a_run_folder(finished_run, audio, config, train_config, state_of):
    """The averaged generator and the last critic; all else is as at the first step."""
    found = begun(audio, config, train_config, finished_run)
    drawn = begun(audio, config, train_config, None)
    there = state_of(finished_run)
    assert same(found["generator"], there["ema"])
    assert same(found["ema"], there["ema"])
    assert same(found["critic"], there["critic"])
    rest = [name for name in drawn if name not in ("generator", "ema", "critic")]
    assert same([found[name] for name in rest], [drawn[name] for name in rest])
    assert found["step"] == 0


def test_the_best_checkpoint_comes_first(finished_run, audio, config, train_config, state_of):
    RunFolder(finished_run).mark_best(4, "quality/kernel_distance", 0.5)
    found = begun(audio, config, train_config, finished_run)
    assert same(found["generator"], state_of(finished_run, 4)["ema"])
    assert same(found["critic"], state_of(finished_run, 4)["critic"])


def test_from_an_export_or_a_generator(audio, config, train_config, other, tmp_path):
    """The critic starts as drawn where there is none."""
    generator, critic = other
    export(generator, tmp_path / "other.safetensors")
    drawn = begun(audio, config, train_config, None)
    for init in (generator, tmp_path / "other.safetensors", str(tmp_path / "other.safetensors")):
        found = begun(audio, config, train_config, init)
        assert same(found["generator"], state(generator))
        assert same(found["critic"], drawn["critic"])
    both = begun(audio, config, train_config, other)
    assert same(both["critic"], state(critic))


def test_from_the_reference(audio, config, train_config, other, tmp_path):
    """Its file, also for a network with more than the reference has, which starts as drawn."""
    values = {name: np.asarray(v[...]) for name, v in _variables(*other)}
    np.savez(tmp_path / "reference.npz", **values, z=np.zeros(3))
    found = begun(audio, config, train_config, tmp_path / "reference.npz")
    assert same(found["generator"], state(other[0]))
    assert same(found["critic"], state(other[1]))
    more = replace(config, num_classes=2, spectral_norm=True)
    start = read_start(tmp_path / "reference.npz", more)
    with pytest.warns(UserWarning, match=r"modulations\.0, critic's projection, .*as drawn"):
        start.check(more)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"PK nothing", "is no .npz file, or damaged"),
        (None, "has the shape .* needs .*: were the weights made with another dim"),
    ],
)
def test_a_reference_that_is_none(audio, config, train_config, tmp_path, content, said):
    file = tmp_path / "reference.npz"
    if content is None:
        wide = replace(config, dim=4)
        pair = Generator(wide, rngs=nnx.Rngs(0)), Discriminator(wide, rngs=nnx.Rngs(0))
        np.savez(file, **{name: np.asarray(v[...]) for name, v in _variables(*pair)})
    else:
        file.write_bytes(content)
    with pytest.raises(ValueError, match=rf"init .*reference\.npz.*{said}"):
        train(audio, config, train_config, init=file, run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_nothing_there(audio, config, train_config, tmp_path):
    for name, error in {"x": ValueError, "x.npz": OSError, "x.safetensors": OSError}.items():
        with pytest.raises(error, match="x"):
            train(audio, config, train_config, init=tmp_path / name)


# What fits


def test_other_settings_of_the_same_shapes(finished_run, audio, config, train_config):
    changed = replace(config, phase_shuffle=0, conv_dtype="bfloat16")
    loss = replace(train_config, loss="lsgan", penalty_every=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        begun(audio, changed, loss, finished_run)


@pytest.mark.parametrize(
    ("change", "said", "drawn"),
    [
        (
            {"kernel_size": 9},
            r": layers\.0, critic's layers\.0 as drawn \(kernel is \(25, 1, 2\) there and "
            r"\(9, 1, 2\) here\)$",
            "layers.0",
        ),
        ({"batch_norm": True}, r": norms\.0 as drawn \(not there\)$", "norms.0"),
        ({"num_classes": 2}, r": modulations\.0, critic's projection as drawn", "modulations.0"),
        ({"post_filter": 8}, r": post_filter as drawn \(not there\)$", "post_filter"),
        ({"latent_dim": 5}, r": project as drawn \(kernel is \(4, 32\)", "project"),
    ],
)
def test_layers_that_do_not_fit_are_named(audio, config, train_config, other, change, said, drawn):
    """They start as without ``init``, the others as there."""
    changed = replace(config, **change)
    labels = np.arange(8) % 2 if changed.num_classes else None
    runs = [
        TrainingRun(Job(audio, init=init, labels=labels), changed, train_config)
        for init in (other, None)
    ]
    with pytest.warns(UserWarning, match=said):
        found = runs[0].begin(0)
    here, scratch, there = (
        {".".join(map(str, place)): np.asarray(v[...]) for place, v in nnx.to_flat_state(x)}
        for x in (found["generator"], runs[1].begin(0)["generator"], nnx.state(other[0]))
    )
    for name, value in here.items():
        wanted = scratch if name.startswith(drawn) else there
        np.testing.assert_array_equal(value, wanted[name])


def test_kernels_of_another_upsampling_never_fit(audio, config, train_config):
    """Where a layer has as many inputs as outputs, the shapes alone would say that they do."""
    square = replace(config, channels=2)
    init = Generator(replace(square, upsample="nn"), rngs=nnx.Rngs(0))
    stereo = np.repeat(audio, 2, axis=2)
    with pytest.warns(UserWarning, match=r"layers\.0 as drawn \(upsample is nn there and zeros"):
        begun(stereo, square, train_config, init)


def test_a_class_too_many_is_left_out(audio, config, train_config):
    conditional = replace(config, num_classes=2)
    init = Generator(conditional, rngs=nnx.Rngs(0))
    with pytest.warns(UserWarning, match=r"modulations\.0 left out \(no place here\)$"):
        begun(audio, config, train_config, init)


def test_weights_that_fit_no_layer(audio, config, train_config, tmp_path):
    init = Generator(WaveGANConfig(num_samples=256, dim=3, latent_dim=5), rngs=nnx.Rngs(0))
    run = tmp_path / "run"
    with pytest.raises(
        ValueError,
        match=r"a generator given in Python fits no layer of the generator: found Generator\("
        r"num_samples=256, dim=3, .*needed Generator\(num_samples=64, dim=2",
    ):
        train(audio, config, train_config, init=init, run_dir=run)
    assert not run.exists()


# Resuming


def test_a_training_from_a_run_is_resumed(finished_run, audio, config, train_config, tmp_path):
    """Stopped and resumed, it ends as one that was not; its ancestor may be gone by then."""
    longer = replace(train_config, seed=3)
    whole = train(audio, config, longer, init=finished_run, run_dir=tmp_path / "whole")
    run, asked = tmp_path / "run", iter([False, False, True])
    with pytest.raises(TrainingInterrupted):
        train(
            audio, config, longer, init=finished_run, run_dir=run, should_stop=lambda: next(asked)
        )
    shutil.rmtree(finished_run)
    resumed = train(audio, config, longer, init=finished_run, run_dir=run)
    assert same(weights(resumed), weights(whole))
    scratch = train(audio, config, longer)
    assert not same(weights(resumed), weights(scratch))


def test_another_start_is_another_run(finished_run, audio, config, train_config, other, tmp_path):
    run, one_step = tmp_path / "run", replace(train_config, steps=1)
    train(audio, config, one_step, init=finished_run, run_dir=run)
    told = json.loads((run / "config.json").read_text())["init"]
    assert told["from"] == str(finished_run)
    assert len(told["digest"]) == 32
    moved = shutil.copytree(finished_run, tmp_path / "moved")
    train(audio, config, one_step, init=moved, run_dir=run)  # the same weights
    assert json.loads((run / "config.json").read_text())["init"] == told
    with pytest.raises(ValueError, match=r"init\.from is .*finished there and networks given in P"):
        train(audio, config, one_step, init=other, run_dir=run)
    with pytest.raises(ValueError, match=r"init\.digest is .* there and None here"):
        train(audio, config, one_step, run_dir=run)


# Lineage


def test_ancestors_in_the_provenance(audio, config, train_config, other, tmp_path):
    """Of a run, of a run from that one, and of an export of it; each with what it heard."""
    one_step = replace(train_config, steps=1)
    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    train(audio, config, one_step, run_dir=first, provenance=ABOUT)
    later = {"label": "b", "tracks": {"b.00000": "1e" * 16}}
    train(audio, config, one_step, run_dir=second, provenance=later, init=first)
    told = RunFolder(second).read_config()["provenance"]
    (ancestor,) = told["ancestors"]
    digest = read_start(first, config).digest
    assert ancestor == {**ABOUT, "name": "first", "digest": digest}
    assert told == {**later, "ancestors": [ancestor]}

    export(load(second), tmp_path / "second.safetensors", metadata=told)
    train(audio, config, one_step, run_dir=third, init=tmp_path / "second.safetensors")
    told = RunFolder(third).read_config()["provenance"]
    assert [one["name"] for one in told["ancestors"]] == ["second.safetensors", "first"]
    assert [one["tracks"] for one in told["ancestors"]] == [later["tracks"], TRACKS]


def test_an_ancestor_of_unknown_origin(audio, config, train_config, other, tmp_path):
    run = tmp_path / "run"
    train(audio, config, replace(train_config, steps=1), run_dir=run, init=other[0])
    (ancestor,) = RunFolder(run).read_config()["provenance"]["ancestors"]
    assert ancestor["name"] == "a generator given in Python"
    assert "tracks" not in ancestor


@pytest.mark.parametrize("ancestors", [7, [7], "x"])
def test_a_lineage_that_is_none(audio, config, train_config, other, tmp_path, ancestors):
    file, run = tmp_path / "other.safetensors", tmp_path / "run"
    export(other[0], file, metadata={"ancestors": ancestors})
    with pytest.raises(ValueError, match=r"the provenance of other\.safetensors is damaged"):
        train(audio, config, train_config, run_dir=run, init=file)
    assert not run.exists()
