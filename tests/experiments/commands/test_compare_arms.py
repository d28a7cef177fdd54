"""A comparison with arms of every kind, clips of another generator among them."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from compared import examples

from classifiers import load, predict
from experiments.commands.compare import compare
from experiments.report.terminal import Progress
from experiments.stages.clips import cut
from experiments.stages.data import open_dataset
from experiments.stages.gans import find_gans
from features import LeakError, Rows, Standardizer, load_audio, save_audio


@pytest.fixture(scope="module")
def folder(music, tmp_path_factory):
    """Clips of another generator: longer, shorter and of another rate; its provenance."""
    root = tmp_path_factory.mktemp("clips") / "other"
    for genre in ("drone", "march", "techno"):
        for i, (samples, rate) in enumerate([(3000, 4000), (700, 4000)] + [(2048, 8000)] * 20):
            audio = np.random.default_rng(i).uniform(-0.2, 0.2, samples).astype(np.float32)
            save_audio(root / genre / f"{i:03d}.wav", audio, rate)
    (root / "provenance.json").write_text(json.dumps({"tracks": {"another": "0" * 32}}))
    return root


@pytest.fixture(scope="module")
def every(small_config, music, folder, tmp_path_factory):
    """A comparison of all kinds of arms, its budget chosen: config, folder, results, said."""
    data = replace(small_config.data, train_share=0.5)
    config = replace(
        small_config,
        data=data,
        seeds=1,
        steps=None,
        arms=("controls", "real+mine@0.5"),
        folders=(f"mine={folder}",),
        augment="noise",
        synthetic_ratio=0.5,
    )
    out, said = tmp_path_factory.mktemp("runs") / "every", []
    progress = Progress()
    progress.say = said.append
    return config, out, compare(config, out, progress=progress), said


def test_every_kind_of_arm_comes_to_its_end(every):
    config, _, results, _ = every
    assert list(results["arms"]) == list(config.arms)
    assert len(config.arms) == 10
    assert all(len(arm["runs"]) == 1 for arm in results["arms"].values())
    roles = {name: arm["role"] for name, arm in results["arms"].items()}
    assert roles["real+mine@0.5"] == "generated"
    assert not results["arms"]["real+mine@0.5"]["generated"]  # by a GAN of this run


def test_the_oracle_has_what_is_held_back_and_no_other_arm_has(every):
    config, out, results, _ = every
    held = set(results["split"]["held_back"])
    assert len(held) == 3  # one of the two of each genre
    assert not held & {
        name for side in ("train", "valid", "test") for name in results["split"][side]
    }
    for gan in find_gans(out):
        assert not held & {*gan.provenance["tracks"]}
    assert results["data"]["clips"]["held"] == results["data"]["clips"]["train"]
    real, oracle = (examples(config, out, arm) for arm in ("real", "real+oracle"))
    added = np.asarray(oracle.features)[len(real.labels) :]
    everything = np.asarray(real.features)
    assert len(added) == round(0.5 * 3) * 3
    assert not any((row == everything).all((1, 2)).any() for row in added)


def test_noise_is_as_loud_as_real_clips_and_new_in_each_run(every):
    config, out, _, _ = every
    noise = [np.asarray(examples(config, out, "noise", seed).features) for seed in (0, 1)]
    assert np.abs(noise[0] - noise[1]).max((1, 2)).min() > 0
    assert len(np.unique(noise[0], axis=0)) == len(noise[0])


def test_shuffled_labels_are_the_only_difference(every):
    config, out, _, _ = every
    made = examples(config, out, "synthetic@2")
    dealt = examples(config, out, "shuffled@2")
    np.testing.assert_array_equal(np.asarray(made.features), np.asarray(dealt.features))
    np.testing.assert_array_equal(np.bincount(made.labels), np.bincount(dealt.labels))
    assert (made.labels != dealt.labels).any()


def test_the_budget_is_three_times_what_real_clips_need_or_doubled(every):
    _, _, results, said = every
    budget = results["budget"]
    assert budget["steps"] % (3 * budget["needed"]) == 0
    steps = {run["steps"] for arm in results["arms"].values() for run in arm["runs"]}
    assert steps == {budget["steps"]}
    assert any(line.startswith("budget of every arm: ") for line in said)
    late = {
        name
        for name, arm in results["arms"].items()
        if any(run["best_step"] > 0.9 * budget["steps"] for run in arm["runs"])
    }
    assert set(budget["late"]) == late
    question = next(row for row in results["differences"] if row["primary"])
    assert (question["verdict"] == "budget-limited") == bool(late)


def test_clips_are_judged_beside_what_they_bring(every):
    """GAN-test by the classifiers of real clips, sample metrics at the step that was taken."""
    config, out, results, _ = every
    qualities = results["gan"]["quality"]
    assert [(one["labels"], one["seed"]) for one in qualities] == [
        ([genre], 0) for genre in ("drone", "march", "techno")
    ]
    assert [one["step"] for one in qualities] == results["gan"]["chosen"]
    made, right = examples(config, out, "synthetic"), []
    for run in results["arms"]["real"]["runs"]:
        model, about = load(out / run["classifier"])
        scaler = Standardizer.from_dict(about["scaler"])
        right.append(predict(model, Rows([made.features], scaler=scaler)).argmax(1) == made.labels)
    shares = [np.mean([run[made.labels == i] for run in right]) for i in range(3)]
    assert [one["gan_test"] for one in qualities] == pytest.approx(shares)
    distances = [one["kernel_distance"] for one in qualities]
    assert results["quality_gain"]["points"][0]["quality"] == pytest.approx(np.mean(distances))


def test_a_finished_comparison_plans_nothing(every):
    config, out, *_ = every
    plan = compare(config, out, dry_run=True)
    assert (plan["gans"], plan["fits"], plan["unless"]) == (0, 0, "")
    anew = compare(config, out.parent / "another", dry_run=True)
    assert "validation tracks may ask for fewer or more" in anew["unless"]
    fixed = compare(replace(config, steps=10), out.parent / "another", dry_run=True)
    assert (fixed["fits"], fixed["unless"]) == (anew["fits"], "")


def test_a_claim_has_three_readings(every):
    _, _, results, _ = every
    needed = results["budget"]["needed"]
    first, *others = results["readings"]
    assert results["missing_readings"] == []
    question = next(row for row in results["differences"] if row["primary"])
    assert first["reading"] == "convergence"
    assert first["mean"] == question["mean"]
    arm, against = question["arm"], question["against"]
    assert others[0]["steps"] == {arm: needed, against: needed}
    assert arm == "real+synthetic"
    wanted = {"real": needed, "real+classical": round(1.5 * needed)}
    assert others[1]["steps"] == {arm: round(1.5 * needed), against: wanted[against]}


def test_phases_are_read_at_their_best_step_alone(every):
    """No step of theirs is like one of a training on all clips at once."""
    _, out, results, _ = every
    read = {
        name: sorted(f.name for f in (out / run["classifier"]).parent.glob("probabilities-*"))
        for name, arm in results["arms"].items()
        for run in arm["runs"]
    }
    needed = results["budget"]["needed"]
    assert read["synthetic-then-real"] == []
    assert read["synthetic"] == [f"probabilities-{needed}.npy"]
    assert f"probabilities-{round(1.5 * needed)}.npy" in read["real+synthetic"]


def test_clips_of_another_generator_are_made_to_fit_and_it_is_said(every, folder):
    *_, results, said = every
    (line,) = [line for line in said if line.startswith("clips of mine: ")]
    assert "60 resampled from 8000 Hz" in line
    assert "3 cut to a clip's length" in line
    assert "3 filled up with zeros" in line
    assert results["arms"]["real+mine@0.5"]["subject"] == "the clips of mine"


def test_a_folder_that_does_not_say_what_it_heard_needs_a_person(every, folder, tmp_path):
    config, *_ = every
    config = replace(config, arms=("real", "real+mine"), synthetic_ratio=0.5, augment=None)
    silent = tmp_path / "silent"
    shutil.copytree(folder, silent)
    (silent / "provenance.json").unlink()
    config = replace(config, folders=(f"mine={silent}",), seeds=1, steps=2)
    with pytest.raises(LeakError, match=r"nothing says .* --vouch mine says so"):
        compare(config, tmp_path / "run")
    results = compare(replace(config, vouch=("mine",)), tmp_path / "run")
    assert results["gan"]["vouched"] == ["mine"]
    (silent / "provenance.json").write_text('{"tracks": {}}')
    with pytest.raises(LeakError, match="nothing says"):
        compare(config, tmp_path / "run")


def test_nobody_can_vouch_for_a_generator_that_heard_a_test_track(every, folder, tmp_path):
    config, _, results, _ = every
    leaky = tmp_path / "leaky"
    shutil.copytree(folder, leaky)
    track = results["split"]["test"][0]
    told = {"tracks": {"renamed": results["split"]["hashes"][track]}}
    (leaky / "provenance.json").write_text(json.dumps(told))
    config = replace(config, arms=("real", "real+mine"), folders=(f"mine={leaky}",), augment=None)
    with pytest.raises(LeakError, match="was trained on tracks of the validation or"):
        compare(replace(config, vouch=("all",)), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_too_few_clips_of_a_folder_are_counted(every, folder, tmp_path):
    config, *_ = every
    config = replace(config, arms=("real", "real+mine@30"), augment=None)
    with pytest.raises(
        ValueError, match=r"22 clips of drone, and 90 are asked for: .*real\+mine@0"
    ):
        compare(config, tmp_path / "run")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"folders": ("mine",)}, "--arm takes NAME=FOLDER"),
        ({"folders": ("mine=x",)}, "no arm trains on it: add real"),
        ({"folders": ("real+x=y",)}, "one word of an arm's"),
        ({"folders": ("noise=x",)}, "noise is what arms are made of already"),
        ({"vouch": ("yours",)}, "--vouch yours: there is no such --arm; give all"),
        ({"arms": ("real", "real+oracle")}, "give --train-share below 1"),
        ({"question": "synthetic"}, "--question synthetic is none of the arms"),
        ({"arms": ("real",)}, "two or more different arms"),
    ],
)
def test_arms_that_can_not_be_are_refused(small_config, changes, expected):
    with pytest.raises(ValueError, match=expected):
        replace(small_config, **changes)


def test_few_shots_are_some_of_more_and_of_validation_too(small_config):
    dataset = open_dataset(small_config.data, sample_rate=4000, num_samples=1024)
    splits = [dataset.split(replace(small_config.data, shots=shots)) for shots in (1, 2)]
    assert {*splits[0].train} < {*splits[1].train}
    assert [len(split.train) for split in splits] == [3, 6]
    assert [len(split.valid) for split in splits] == [3, 3]
    assert splits[0].test == splits[1].test
    with pytest.raises(ValueError, match="--shots 3: drone has 2 training tracks"):
        dataset.split(replace(small_config.data, shots=3))
    with pytest.raises(ValueError, match=r"--train-share 0.2 leaves .* no training track of 2"):
        dataset.split(replace(small_config.data, train_share=0.2))


def test_tracks_shorter_than_a_clip_are_filled_up(small_config, music, tmp_path):
    root = tmp_path / "music"
    shutil.copytree(music, root)
    for genre in ("drone", "march", "techno"):
        for i in range(5, 8):
            audio, rate = load_audio(root / genre / f"{genre}.00000.wav", duration=0.22 + i / 1000)
            save_audio(root / genre / f"{genre}.{i:05d}.wav", audio * 0.5, rate)
    data = replace(small_config.data, root=str(root), pad_short=True)
    dataset = open_dataset(data, sample_rate=4000, num_samples=1024)
    _, clips = cut(
        dataset,
        small_config.recipe,
        skip_short=False,
        pad_short=True,
        progress=Progress(quiet=True),
    )
    short = clips.track_ids == "drone.00005"
    (clip,) = np.asarray(clips.audio)[short]
    assert np.abs(clip[:900]).max() > 0
    assert not clip[901:].any()
    config = replace(small_config, data=data, seeds=1, quality=0, arms=("real", "real+synthetic"))
    assert compare(config, tmp_path / "run")["arms"]["real"]["runs"]


def test_a_recipe_has_its_own_clips_where_no_arm_needs_a_gan(small_config, tmp_path):
    """No WaveGAN makes clips of 1500 samples."""
    recipe = replace(small_config.recipe, num_samples=1500, per_track=2)
    config = replace(small_config, recipe=recipe, arms=("real", "real+noise"), seeds=1, steps=2)
    results = compare(config, tmp_path / "run")
    assert results["data"]["num_samples"] == 1500
    with pytest.raises(ValueError, match="1500"):
        compare(replace(config, arms=("real", "real+synthetic")), tmp_path / "other")


def test_clips_that_are_pieces_of_held_out_tracks_are_refused(every, folder, music, tmp_path):
    """Wherever in the track, at another rate and softer; clips of half a second can be told."""
    config, _, results, _ = every
    recipe = replace(config.recipe, num_samples=2048)
    config = replace(
        config, recipe=recipe, arms=("real", "real+mine@0.1"), steps=2, seeds=1, augment=None
    )
    stolen = tmp_path / "stolen"
    shutil.copytree(folder, stolen)
    track = results["split"]["test"][0]
    audio, rate = load_audio(music / track.split(".")[0] / f"{track}.wav", sample_rate=8000)
    save_audio(stolen / "techno" / "zz.wav", 0.3 * audio[2345 : 2345 + 4096], rate)
    with pytest.raises(LeakError, match=rf"pieces of .*zz\.wav of {track}"):
        compare(replace(config, folders=(f"mine={stolen}",)), tmp_path / "run")
    (stolen / "techno" / "zz.wav").unlink()
    assert compare(replace(config, folders=(f"mine={stolen}",)), tmp_path / "run")["differences"]
