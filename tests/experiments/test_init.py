"""GANs that start from others: which, what they say of it, what is refused, one for all first."""

import json
import re
import shutil
from dataclasses import replace

import jax
import numpy as np
import pytest
from flax import nnx

from experiments import compare, train
from experiments.cli import main, parsed
from experiments.commands.generate import export
from experiments.config import DataConfig, TrainGansConfig, inspected
from experiments.recipes import GAN_PRESETS
from experiments.run import Run
from experiments.stages import ancestors, gan_training
from experiments.stages.ancestors import Ancestor, ancestors_in
from experiments.stages.gans import Gan, Tracks, find_gans, open_gan, refuse_leaks
from features import LeakError, load_audio, save_audio
from features.storage import Interrupted
from features.synthetic import synthesize
from wavegan import Discriminator, Generator, load, of_class
from wavegan import export as export_generator
from wavegan.reference import _variables
from wavegan.run_folder import RunFolder
from wavegan.start import read_networks

FRACTIONS = (0.4, 0.2, 0.4)


@pytest.fixture(scope="module")
def quick_recipe(small_recipe):
    """With GANs without a penalty, which compile quickly."""
    return replace(small_recipe, gan_train=replace(small_recipe.gan_train, loss="dcgan"))


@pytest.fixture(scope="module")
def config(music, quick_recipe) -> TrainGansConfig:
    return TrainGansConfig(quick_recipe, DataConfig(str(music), fractions=FRACTIONS), quality=0)


@pytest.fixture(scope="module")
def one_each(config, tmp_path_factory):
    """A run with a GAN of each class."""
    out = tmp_path_factory.mktemp("gans") / "each"
    train(config, out)
    return out


@pytest.fixture(scope="module")
def for_all(config, tmp_path_factory):
    """A run with one GAN of all classes."""
    out = tmp_path_factory.mktemp("gans") / "all"
    train(replace(config, recipe=replace(config.recipe, conditional=True)), out)
    return out


@pytest.fixture
def starts(monkeypatch):
    """The networks that GANs started from, by their labels, as `train` was given them."""
    found = {}
    alone = gan_training.train_together

    def watched(jobs, *others, **options):
        for job in jobs:
            labels = job.provenance.get("labels") or [job.provenance["label"]]
            found[", ".join(labels)] = job.init and (job.init.generator, job.init.critic)
        return alone(jobs, *others, **options)

    monkeypatch.setattr(gan_training, "train_together", watched)
    return found


def equal(one, other):
    pairs = zip(jax.tree.leaves(nnx.state(one)), jax.tree.leaves(nnx.state(other)), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


def test_each_class_from_its_own_gan(config, one_each, starts, tmp_path):
    gans = train(replace(config, init=one_each), tmp_path / "run")
    earlier = {gan.label: gan for gan in find_gans(one_each)}
    assert starts.keys() == earlier.keys() == {"drone", "march", "techno"}
    for gan in gans:
        ancestor = earlier[gan.label]
        generator, critic = read_networks(RunFolder(ancestor.folder))
        assert equal(starts[gan.label][0], generator)
        assert equal(starts[gan.label][1], critic)
        (told,) = gan.provenance["ancestors"]
        assert told == {
            **ancestor.provenance,
            "step": 3,
            "name": ancestor.folder.name,
            "digest": RunFolder(ancestor.folder).digest(3),
        }
        assert gan.folder.name != ancestor.folder.name  # another stage
    settings = json.loads((tmp_path / "run" / "config.json").read_text())
    assert settings["init"] == str(one_each)


def test_each_class_from_one_gan_for_all(config, for_all, starts, tmp_path):
    """Folded, so that it sounds exactly as that class did."""
    train(replace(config, init=for_all), tmp_path / "run")
    (ancestor,) = find_gans(for_all)
    generator, critic = read_networks(RunFolder(ancestor.folder))
    for index, label in enumerate(ancestor.labels):
        assert equal(starts[label][0], of_class(generator, index))
        assert equal(starts[label][1], of_class(critic, index))


def test_a_normalised_critic_leaves_its_projection(config, monkeypatch, tmp_path):
    """The rest of it starts a class's GAN as it is; `Start.check` names what has no place."""
    told = replace(config.recipe.clip_gan, num_classes=2, spectral_norm=True)
    networks = Generator(told, rngs=nnx.Rngs(0)), Discriminator(told, rngs=nnx.Rngs(1))
    monkeypatch.setattr(ancestors, "read_networks", lambda folder, step: networks)
    start = Ancestor(tmp_path, ("a", "b"), ()).start(told, ["b"])
    assert equal(start.generator, of_class(networks[0], 1))
    assert start.critic is networks[1]
    with pytest.warns(UserWarning, match=r": critic's projection left out \(no place here\)$"):
        start.check(replace(told, num_classes=0))


def test_one_for_all_from_one_for_all(config, for_all, starts, tmp_path):
    conditional = replace(config.recipe, conditional=True)
    (gan,) = train(replace(config, recipe=conditional, init=for_all), tmp_path / "run")
    generator, critic = read_networks(RunFolder(find_gans(for_all)[0].folder))
    assert equal(starts[gan.label][0], generator)
    assert equal(starts[gan.label][1], critic)


def test_every_class_from_one_file(config, one_each, for_all, starts, tmp_path):
    """An export of one sound may become any; one with classes is asked for each of them."""
    export(one_each, tmp_path / "drone.safetensors", label="drone")
    gans = train(replace(config, init=tmp_path / "drone.safetensors"), tmp_path / "one")
    assert [gan.provenance["ancestors"][0]["label"] for gan in gans] == ["drone"] * 3
    assert all(equal(start[0], starts["drone"][0]) for start in starts.values())
    export(for_all, tmp_path / "all.safetensors")
    gans = train(replace(config, init=tmp_path / "all.safetensors"), tmp_path / "folded")
    generator = load(tmp_path / "all.safetensors")
    assert equal(starts["march"][0], of_class(generator, 1))


def test_from_the_reference(config, starts, tmp_path):
    """Nobody knows what it heard: said in the provenance, and refused in a comparison."""
    told = config.recipe.clip_gan
    networks = Generator(told, rngs=nnx.Rngs(5)), Discriminator(told, rngs=nnx.Rngs(6))
    file = tmp_path / "reference.npz"
    np.savez(file, **{name: np.asarray(v[...]) for name, v in _variables(*networks)})
    gans = train(replace(config, init=file), tmp_path / "run")
    assert all(equal(start[1], networks[1]) for start in starts.values())
    assert gans[0].unknown == ["reference.npz"]
    refuse_leaks(gans[0], valid=Tracks(), test=Tracks())
    with pytest.raises(LeakError, match=r"started from reference\.npz, and nothing says .*scratch"):
        refuse_leaks(gans[0], valid=Tracks({"0f": "a track"}), test=Tracks())


def test_an_ancestor_of_another_width_is_named(config, one_each, tmp_path):
    recipe = replace(config.recipe, gan=replace(config.recipe.gan, dim=config.recipe.gan.dim + 1))
    with pytest.raises(ValueError, match=rf"init {re.escape(str(one_each))}\S* fits no layer"):
        train(replace(config, recipe=recipe, init=one_each), tmp_path / "run")


def test_an_ancestor_that_fits_in_part_is_named(config, one_each, tmp_path):
    recipe = replace(config.recipe, gan=replace(config.recipe.gan, spectral_norm=True))
    said = rf"init {re.escape(str(one_each))}\S* does not fit everywhere: critic's spectral"
    with pytest.warns(UserWarning, match=said), pytest.raises(Interrupted):
        train(
            replace(config, recipe=recipe, init=one_each),
            tmp_path / "run",
            should_stop=lambda: True,
        )


def test_an_export_of_unknown_origin(config, tmp_path):
    generator = Generator(config.recipe.clip_gan, rngs=nnx.Rngs(0))
    export_generator(generator, tmp_path / "found.safetensors", metadata={"sample_rate": 4000})
    gans = train(replace(config, init=tmp_path / "found.safetensors"), tmp_path / "run")
    assert gans[0].unknown == ["found.safetensors"]


@pytest.mark.parametrize(
    ("conditional", "label", "said"),
    [
        (False, "waltz", r"has no GAN of waltz, only of drone; march; techno"),
        (True, "waltz", r"has no one GAN of all of drone, march, techno, waltz, only of drone; "),
    ],
)
def test_a_class_that_the_ancestors_lack(
    config, one_each, music, tmp_path, capsys, conditional, label, said
):
    data = shutil.copytree(music, tmp_path / "music")
    for i in range(5):
        audio = synthesize("waltz", i, seconds=1.0, sample_rate=4000)
        save_audio(data / label / f"{label}.{i}.wav", audio, 4000)
    recipe = replace(config.recipe, conditional=conditional)
    given = replace(config, recipe=recipe, init=one_each, data=replace(config.data, root=str(data)))
    with pytest.raises(ValueError, match=said):
        train(given, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_ancestor_that_is_not_there(config, tmp_path):
    for name, said in {"nothing": "no such folder", "nothing.npz": "nothing.npz"}.items():
        with pytest.raises((ValueError, OSError), match=said):
            train(replace(config, init=tmp_path / name), tmp_path / "run")


def test_a_run_does_not_start_from_itself(config, one_each):
    with pytest.raises(ValueError, match=r"--init .* is --out, too: choose another run folder"):
        train(replace(config, init=one_each), one_each)


# What an ancestor heard


def test_an_ancestor_that_heard_held_out_tracks(config, one_each, tmp_path, capsys):
    """Refused before work, whether it is known from a run, an export, or an ancestor's ancestor."""
    other = replace(config.data, split_seed=1)
    trained = {t for gan in find_gans(one_each) for t in gan.heard.values()}
    export(one_each, tmp_path / "drone.safetensors", label="drone")
    for init in (one_each, tmp_path / "drone.safetensors"):
        with pytest.raises(LeakError) as error:
            train(replace(config, data=other, init=init), tmp_path / "run")
        assert any(name in str(error.value) for name in trained)
        assert f"as --init {init} it would bring" in str(error.value)
    assert not (tmp_path / "run").exists()


def test_heard_are_own_and_ancestors_tracks(config, one_each, tmp_path):
    (drone, *_) = find_gans(one_each)
    export(one_each, tmp_path / "drone.safetensors", label="drone")
    second, third = tmp_path / "second", tmp_path / "third"
    train(replace(config, init=tmp_path / "drone.safetensors"), second)
    export(second, tmp_path / "march.safetensors", label="march")
    gans = train(replace(config, init=tmp_path / "march.safetensors"), third)
    techno = gans[-1]
    assert [one["label"] for one in techno.provenance["ancestors"]] == ["march", "drone"]
    own = {digest: name for name, digest in techno.provenance["tracks"].items()}
    assert own.items() < techno.heard.items()
    assert drone.heard.items() < techno.heard.items()
    assert techno.unknown == []
    track, name = next(iter(drone.heard.items()))
    with pytest.raises(LeakError, match=name):
        refuse_leaks(techno, valid=Tracks(), test=Tracks({track: name}))
    ((again,), path) = find_gans(tmp_path / "march.safetensors"), tmp_path / "march.safetensors"
    assert again.heard == find_gans(second)[1].heard
    with pytest.raises(LeakError, match=name):
        ancestors_in(path, valid=Tracks({track: name}), test=Tracks())(["techno"], 0)
    name, judge, _ = again.told("judged_by")[0]
    ancestors_in(path, valid=Tracks({judge: name}), test=Tracks())(["techno"], 0)
    with pytest.raises(LeakError, match=f"chosen by tracks of the test side: .*{name}"):
        ancestors_in(path, valid=Tracks(), test=Tracks({judge: name}))(["techno"], 0)


@pytest.mark.parametrize(
    "told", [7, [7], [{}], [{"name": 7}], [{"name": "x", "tracks": 7}],
                  [{"name": "x", "tracks": {"a": 7}}]],
)  # fmt: skip
def test_ancestors_that_are_none(one_each, tmp_path, told):
    folder = shutil.copytree(find_gans(one_each)[0].folder, tmp_path / "gan")
    (folder / "stage.json").unlink()
    config = json.loads((folder / "config.json").read_text())
    config["provenance"]["ancestors"] = told
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"config\.json is damaged"):
        open_gan(folder)


# One GAN for all, then each class from it


@pytest.fixture(scope="module")
def shared(config):
    return replace(config, recipe=replace(config.recipe, shared_steps=4))


@pytest.fixture(scope="module")
def all_then_one(shared, tmp_path_factory):
    out = tmp_path_factory.mktemp("gans") / "shared"
    train(shared, out)
    return out


def shared_gan(out) -> Gan:
    (folder,) = (out / "stages").glob("gan-all-0-*")
    return open_gan(folder)


def test_all_then_one(all_then_one):
    """The run's GANs are those of the classes; each says what the first one heard."""
    first, gans = shared_gan(all_then_one), find_gans(all_then_one)
    assert first.conditional
    assert [row["gan/step"] for row in first.curves()] == [1, 2, 3, 4]
    assert [gan.label for gan in gans] == ["drone", "march", "techno"]
    for gan in gans:
        assert [row["gan/step"] for row in gan.curves()] == [1, 2, 3]
        (told,) = gan.provenance["ancestors"]
        assert told["name"] == first.folder.name
        assert told["tracks"] == first.provenance["tracks"]
        assert gan.heard == first.heard


def test_each_class_starts_from_the_shared_gan(shared, starts, tmp_path):
    train(shared, tmp_path / "run")
    generator, critic = read_networks(RunFolder(shared_gan(tmp_path / "run").folder))
    assert list(starts) == ["drone, march, techno", "drone", "march", "techno"]
    assert equal(starts["techno"][0], of_class(generator, 2))
    assert equal(starts["techno"][1], of_class(critic, 2))


def test_it_is_resumed_at_any_step(shared, all_then_one, tmp_path):
    """Stopped again and again, in the shared GAN and in each class's, it ends the same."""
    for left in (1, 3, 1, 3):
        asked = iter([False] * left + [True])
        with pytest.raises(Interrupted):
            train(shared, tmp_path / "run", should_stop=lambda asked=asked: next(asked))
    gans = train(shared, tmp_path / "run")
    for one, other in zip(gans, find_gans(all_then_one), strict=True):
        assert one.folder.name == other.folder.name
        assert equal(one.generator()[0], other.generator()[0])


def test_what_is_finished_needs_no_shared_gan(shared, all_then_one, tmp_path, starts):
    out = shutil.copytree(all_then_one, tmp_path / "run")
    shutil.rmtree(shared_gan(out).folder)
    train(shared, out)
    assert not starts


def test_a_plan_of_all_then_one(shared, all_then_one, tmp_path):
    plan = train(shared, tmp_path / "run", dry_run=True)
    assert (plan["gans"], plan["gan_steps"]) == (4, 4 + 3 * 3)
    assert train(shared, all_then_one, dry_run=True)["gans"] == 0


def test_the_shared_gan_is_inspected_as_often(shared):
    recipe = replace(shared.recipe, gan_train=replace(shared.recipe.gan_train, steps=20))
    found = inspected(replace(recipe, shared_steps=100))
    assert found.gan_train.inspect_every == 2
    assert found.shared.gan_train.inspect_every == 10


def test_the_shared_gan_starts_from_init(shared, for_all, starts, tmp_path):
    train(replace(shared, init=for_all), tmp_path / "run")
    generator, _ = read_networks(RunFolder(find_gans(for_all)[0].folder))
    assert equal(starts["drone, march, techno"][0], generator)
    names = [one["name"] for one in find_gans(tmp_path / "run")[0].provenance["ancestors"]]
    assert names == [shared_gan(tmp_path / "run").folder.name, find_gans(for_all)[0].folder.name]


def test_the_preset(music):
    command = ["train", "--gan", "all-then-one", "--data", str(music)]
    recipe = parsed(command).config().recipe
    preset = GAN_PRESETS["all-then-one"]
    assert recipe.shared_steps == preset.shared_steps
    assert recipe.gan_train.loss == "logistic-r1"
    recipe = parsed([*command, "--gan-shared-steps", "7"]).config().recipe
    assert (recipe.shared_steps, recipe.gan_train.steps) == (7, preset.train["steps"])
    assert parsed(["compare", *command[1:]]).config().recipe.shared_steps == preset.shared_steps
    assert not recipe.conditional  # as the recipe's own GAN is


def test_a_comparison_of_all_then_one(small_config, tmp_path):
    """Its clips are those of the classes' GANs, all of which heard the training tracks alone."""
    recipe = replace(small_config.recipe, shared_steps=4)
    arms = ("real", "real+synthetic")
    compared = replace(small_config, recipe=recipe, seeds=1, arms=arms)
    results = compare(compared, tmp_path / "run")
    gans = find_gans(tmp_path / "run")
    assert results["gan"]["stages"] == [gan.folder.name for gan in gans]
    assert [gan.label for gan in gans] == ["drone", "march", "techno"]
    assert {*gans[0].heard.values()} == {*results["split"]["train"]}
    assert len(results["arms"]["real+synthetic"]["runs"]) == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["-1"], "--gan-shared-steps must be 0 or more, found -1"),
        (["5", "--conditional"], "--gan-shared-steps (5) is for a GAN a class"),
    ],
)
def test_shared_steps_that_can_not_be(capsys, options, said):
    assert main(["train", "--gan-shared-steps", *options]) == 2
    assert said in capsys.readouterr().err


# Refused before work


def test_classes_with_almost_no_audio(config, render, tmp_path, capsys):
    music = render(tmp_path / "music", tracks=3)
    for file in (music / "drone").glob("*.wav"):
        audio, rate = load_audio(file, duration=0.3)
        save_audio(file, audio, rate)
    given = replace(config, data=DataConfig(str(music), fractions=(0.34, 0.33, 0.33)))
    with pytest.raises(
        ValueError,
        match=r"too little audio of drone \(0\.30 s\) for a GAN: at least 2 clips of 0\.26 s are "
        r"needed, 0\.51 s; .*--num-samples",
    ):
        train(given, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_command_line(music, for_all, tmp_path, capsys):
    """`wavegan train --init RUN`, and what is wrong named with the option and the track."""
    small = ["--num-samples", "1024", "--sample-rate", "4000", "--gan-dim", "2", "--quality", "0"]
    small += ["--gan", "one-critic-step", "--gan-steps", "2", "--gan-batch-size", "2"]
    given = ["--data", str(music), "--no-conditional", "--fractions", "0.4,0.2,0.4"]
    command = ["train", *given, *small]
    out = ["--out", str(tmp_path / "run")]
    assert main([*command, "--init", str(for_all), *out]) == 0
    assert len(find_gans(tmp_path / "run")) == 3
    assert Run(tmp_path / "run").read_json("config.json")["init"] == str(for_all)
    leaking = [*command, "--split-seed", "1", "--init", str(for_all)]
    assert main([*leaking, "--out", str(tmp_path / "leak")]) == 2
    assert "was trained on tracks of the validation or test side" in capsys.readouterr().err
    assert main([*command, "--init", str(tmp_path / "none"), "--out", str(tmp_path / "x")]) == 2
    assert "none: no such folder" in capsys.readouterr().err
    longer = [*command, "--num-samples", "8192", "--out", str(tmp_path / "x")]
    assert main(longer) == 2
    assert "drone.00000.wav (1.00 s)" in capsys.readouterr().err
