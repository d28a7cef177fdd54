"""A study of two real variants and one that is bound to fail, on clips of 1/16 s."""

import json
import shutil
from dataclasses import replace
from itertools import count

import numpy as np
import pytest

from experiments.cli import main
from experiments.commands.study import study
from experiments.config import DataConfig, StudyConfig
from experiments.recipes import REFERENCE, VARIANTS, GanPreset
from experiments.report.study import study_table
from experiments.scores import conclusions, curve
from experiments.stages.data import open_dataset
from experiments.stages.judge import load_judge
from features import save_audio
from features.storage import Interrupted
from wavegan import Quality, load
from wavegan.sampling import generate

FRACTIONS = (0.4, 0.2, 0.4)
NAMES = (REFERENCE, "lazy-r1", "broken")


@pytest.fixture(scope="module", autouse=True)
def small_variants():
    """A reference that compiles quickly, and a variant that explodes at once."""
    quick = {"critic_steps": 1, "loss": "dcgan"}
    fails = {**quick, "learning_rate": 1e30}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(VARIANTS, REFERENCE, GanPreset("DCGAN", train=quick))
        patch.setitem(VARIANTS, "broken", GanPreset("fails", train=fails))
        yield


@pytest.fixture(scope="module")
def config(music) -> StudyConfig:
    return StudyConfig(
        DataConfig(str(music), fractions=FRACTIONS),
        seconds=0.1,
        seeds=2,
        variants=NAMES,
        sample_rate=4000,
        num_samples=256,
        gan_dim=1,
        batch_size=4,
        count=64,
        inspections=2,
    )


@pytest.fixture(scope="module")
def done(config, tmp_path_factory):
    out = tmp_path_factory.mktemp("study") / "run"
    return out, study(config, out)


def rows(results, variant):
    return [row for row in results["runs"] if row["variant"] == variant]


def test_every_variant_gets_as_many_steps_as_fit_into_the_seconds(config, done):
    out, results = done
    pace = json.loads(next(out.glob("stages/calibration-*/seconds.json")).read_text())
    assert [(row["seed"], row["variant"]) for row in results["runs"]] == [
        (seed, name) for seed in (0, 1) for name in NAMES
    ]
    for row in results["runs"]:
        assert row["seconds_per_step"] == pace[row["variant"]] > 0
        assert abs(row["steps"] * pace[row["variant"]] - config.seconds) <= max(
            pace[row["variant"]] / 2, pace[row["variant"]] - config.seconds
        )
        if "failed" not in row:
            last = (out / "stages" / row["gan"] / "metrics.jsonl").read_text().splitlines()[-1]
            assert json.loads(last)["gan/step"] == row["steps"]


def test_no_gan_has_seen_a_track_of_another_side(config, done):
    dataset = open_dataset(config.data, sample_rate=4000)
    split = dataset.split(config.data)
    training, valid = (
        {r.track.track_id: r.digest for r in dataset.of(side)}
        for side in (split.train, split.valid)
    )
    gans = list(done[0].glob("stages/gan-*/config.json"))
    assert len(gans) == 6
    for file in gans:
        provenance = json.loads(file.read_text())["provenance"]
        assert provenance["tracks"] == training
        assert provenance["judged_by"] == valid
    others = {
        r.track.track_id for side in ("valid", "test") for r in dataset.of(getattr(split, side))
    }
    assert others
    assert not others & set(training)


def test_a_run_that_fails_stays_and_says_why(done):
    out, results = done
    assert ["not finite" in row["failed"] for row in rows(results, "broken")] == [True, True]
    assert not any("failed" in row for name in NAMES[:2] for row in rows(results, name))
    assert results["recommended"] in NAMES[:2]
    assert "broken (2 of 2 runs failed)" in (out / "study.md").read_text()


def test_the_table_has_the_numbers_of_the_results(done):
    out, results = done
    assert json.loads((out / "results.json").read_text()) == results
    lines = (out / "study.md").read_text().splitlines()
    cells = {
        name: [
            [cell.strip() for cell in line.split("|")[2:-1]]
            for line in lines
            if line.replace("*", "").startswith(f"| {name} |")
        ]
        for name in NAMES[:2]
    }
    kernel = {
        (name, weights): np.array([r[weights]["test"]["kernel_distance"] for r in found])
        for name in NAMES[:2]
        for weights in ("ema", "last")
        for found in [rows(results, name)]
    }

    def shown(values, sign=""):
        middle, low, high = np.median(values), values.min(), values.max()
        return f"{middle:{sign}.3g} ({low:{sign}.3g} to {high:{sign}.3g})"

    for name in NAMES[:2]:
        metrics, differences, points = cells[name]
        assert metrics[0] == str(rows(results, name)[0]["steps"])
        assert metrics[2] == shown(kernel[name, "ema"])
        assert metrics[3] == shown(kernel[name, "last"])
        assert points == [f"{x:.3g}" for _, x in curve(results["runs"], name)]
        effect = kernel[name, "ema"] - kernel[name, "last"]
        assert differences[2] == f"{shown(effect, '+')}; better in {(effect < 0).sum()} of 2"
    effect = kernel["lazy-r1", "ema"] - kernel[REFERENCE, "ema"]
    shown_effect = cells["lazy-r1"][1][0]
    assert shown_effect == f"{shown(effect, '+')}; better in {(effect < 0).sum()} of 2"


def test_the_metrics_are_those_of_either_weights_against_either_side(config, done):
    out, results = done
    dataset = open_dataset(config.data, sample_rate=4000)
    split = dataset.split(config.data)
    row = rows(results, "lazy-r1")[1]
    judge = load_judge(next(out.glob("stages/judge-*")), 4000)
    for side in ("valid", "test"):
        recordings = dataset.of(getattr(split, side))
        quality = Quality(
            recordings,
            sample_rate=4000,
            num_samples=256,
            train=dataset.of(split.train),
            labels=[dataset.labels.index(r.track.label) for r in recordings],
            count=64,
            classify=judge,
        )
        assert results["floor"][side]["value"] == quality.floor.value
        for weights in ("last", "ema"):
            generator = load(out / "stages" / row["gan"], ema=weights == "ema")
            asked = quality._labels  # of the real windows, and so of the clips
            clips = generate(generator, 64, seed=0, label=asked).audio
            found = quality.measure(clips, labels=asked)
            assert row[weights][side] == {name.split("/")[1]: x for name, x in found.items()}
            assert {"coverage", "rarest_class", "class_agreement", "memorised"} <= set(
                row[weights][side]
            )
    assert row["last"] != row["ema"]


def test_the_curve_is_of_the_validation_tracks_on_the_way(done):
    """Of the averaged weights, the last of it at the end."""
    _, results = done
    for row in rows(results, "lazy-r1"):
        shares, distances = zip(*row["curve"], strict=True)
        assert shares[-1] == 1
        assert list(shares) == sorted(shares)
        assert len(shares) == min(2, row["steps"])
        assert distances[-1] == pytest.approx(row["ema"]["valid"]["kernel_distance"])


def test_the_same_call_trains_nothing_again(config, done):
    out, results = done
    before = {file: file.stat().st_mtime_ns for file in out.glob("stages/**/*")}
    again = study(config, out)
    assert again["runs"] == results["runs"]
    assert {file: file.stat().st_mtime_ns for file in out.glob("stages/**/*")} == before


def test_what_is_missing_is_trained_with_the_step_counts_there_were(config, done, tmp_path):
    out, results = done
    shutil.copytree(out, tmp_path / "run")
    gone = rows(results, "lazy-r1")[1]["gan"]
    for stage in (tmp_path / "run" / "stages").glob(f"*{gone}*"):
        shutil.rmtree(stage)
    asked = count(1)
    with pytest.raises(Interrupted):
        study(config, tmp_path / "run", should_stop=lambda: next(asked) == 2)
    again = study(config, tmp_path / "run")
    for old, new in zip(results["runs"], again["runs"], strict=True):
        assert {**new, "seconds": 0} == {**old, "seconds": 0}


def test_a_stop_while_the_variants_are_timed(config, tmp_path):
    with pytest.raises(Interrupted, match="timed"):
        study(replace(config, variants=(REFERENCE,)), tmp_path / "run", should_stop=lambda: True)
    assert not list(tmp_path.glob("run/stages/gan-*"))


def test_the_command_resumes_and_writes_the_rows(music, done, tmp_path, capsys):
    out, results = done
    options = f"study --data {music} --out {out} --fractions 0.4,0.2,0.4 --seconds 0.1 --seeds 2"
    options += f" --variants {','.join(NAMES)} --sample-rate 4000 --num-samples 256 --gan-dim 1"
    options += " --batch-size 4 --count 64 --inspections 2"
    assert main([*options.split(), "--json", str(tmp_path / "rows.json")]) == 0
    assert json.loads((tmp_path / "rows.json").read_text())["runs"] == results["runs"]
    assert study_table(results) in capsys.readouterr().out
    assert main([*options.split(), "--learning-rate", "2e-3"]) == 2
    assert "learning_rate is None there and 0.002 here" in capsys.readouterr().err


def test_short_tracks_are_filled_up_when_asked_for(config, tmp_path):
    """Of as many labels as the music has, so that the steps are those compiled for it."""
    rng = np.random.default_rng(0)
    for label in ("one", "three", "two"):
        for i, length in enumerate((100, 200, 300, 400, 500) * 3):
            audio = rng.uniform(-0.5, 0.5, (length, 1)).astype(np.float32)
            save_audio(tmp_path / "data" / label / f"{i}.wav", audio, 4000)
    short = replace(
        config,
        data=DataConfig(str(tmp_path / "data"), fractions=FRACTIONS),
        variants=(REFERENCE,),
        seeds=1,
        seconds=0.01,
        count=16,
    )
    with pytest.raises(ValueError, match="shorter than a clip"):
        study(short, tmp_path / "run")
    results = study(replace(short, pad_end=True), tmp_path / "run")
    assert results["tracks"] == {"train": 18, "valid": 9, "test": 18}
    assert results["runs"][0]["ema"]["test"]["kernel_distance"] > 0


def row(variant, seed, ema, last=0.0):
    one = {name: {"kernel_distance": x} for name, x in {"valid": ema, "test": -ema}.items()}
    two = {name: {"kernel_distance": last} for name in one}
    return {"variant": variant, "seed": seed, "ema": one, "last": two}


def test_differences_are_paired_by_seed_and_a_failed_variant_is_not_recommended():
    failed = {"variant": "a", "seed": 2, "failed": "diverged"}
    runs = [row(REFERENCE, 0, 4.0), row("a", 0, 1.0), row("b", 0, 3.0, last=5.0)]
    runs += [row(REFERENCE, 2, 6.0), failed, row("b", 2, 6.5, last=5.0)]
    found = conclusions(runs)
    assert found["recommended"] == "b"  # 4.75; the reference 5, and "a" failed once
    by = {(d["variant"], d["minus"], d["windows"]): d for d in found["differences"]}
    assert by["a", REFERENCE, "valid"]["by_seed"] == {"0": -3.0}
    assert by["b", REFERENCE, "valid"]["by_seed"] == {"0": -1.0, "2": 0.5}
    assert (by["b", REFERENCE, "valid"]["better"], by["b", REFERENCE, "valid"]["median"]) == (
        1,
        -0.25,
    )
    assert by["b", REFERENCE, "test"]["by_seed"] == {"0": 1.0, "2": -0.5}
    assert by["b", "last weights", "valid"]["by_seed"] == {"0": -2.0, "2": 1.5}
    assert (REFERENCE, REFERENCE, "valid") not in by
    assert conclusions([failed])["recommended"] is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"variants": (REFERENCE, "r1")}, "--variants r1: there is none"),
        ({"variants": ("pairs",)}, "reference among them"),
        ({"variants": (REFERENCE, REFERENCE)}, "different names"),
        ({"seconds": 0.0}, "seconds must be positive, found 0.0"),
        ({"seeds": 0}, "seeds must lie in 1 … 10,000, found 0"),
        ({"num_samples": 1000}, "the nearest are 512 and 1024"),
        (
            {"variants": (REFERENCE, "pairs+spectrogram"), "num_samples": 128},
            "spectrogram_critic needs",
        ),
        ({"data": DataConfig(fractions=(0.9, 0.0, 0.1))}, "validation side empty, by which"),
    ],
)
def test_settings_that_cannot_be_are_refused_before_any_work(changes, message):
    with pytest.raises(ValueError, match=message):
        StudyConfig(**changes)
