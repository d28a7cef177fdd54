"""Altered test clips: known answers of what a classifier goes by, and of what it does not."""

import json
from dataclasses import replace

import numpy as np
import pytest

from classifiers import FitConfig
from experiments.commands.classify import classify
from experiments.config import ClassifyConfig, DataConfig
from experiments.report import printed
from features import save_audio
from features.extractors import LogMelPicture

QUIETER, LOW_PASS, NOISE = (
    "20 dB quieter",
    "low-pass at a quarter of the band",
    "white noise 20 dB below",
)
LEVELS = {"loud": 0.3, "middling": 0.1, "quiet": 0.033}


@pytest.fixture(scope="module")
def leveled(tmp_path_factory):
    """White noise whose level alone tells its class."""
    root, rng = tmp_path_factory.mktemp("leveled"), np.random.default_rng(0)
    for label, level in LEVELS.items():
        for i in range(5):
            noise = np.clip(rng.normal(0, level, (4000, 1)), -1, 1).astype(np.float32)
            save_audio(root / label / f"{label}.{i:05d}.wav", noise, 4000)
    return root


def classified(recipe, root, out):
    data = DataConfig(str(root), fractions=(0.6, 0.0, 0.4))
    return classify(ClassifyConfig(recipe, data, seeds=1), out)


@pytest.fixture(scope="module")
def by_level(leveled, small_recipe, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "level"
    recipe = replace(small_recipe, fit=FitConfig(batch_size=8, epochs=60, learning_rate=1e-2))
    return out, classified(recipe, leveled, out)


def test_a_classifier_of_levels_falls_to_chance_where_the_level_is_another(by_level):
    """Each class is then as quiet as the quietest or more so, and taken for that."""
    (run,) = by_level[1]["splits"]["track"]["runs"]
    assert run["accuracy"] == run["track_accuracy"] == 1
    assert {*run["robustness"]} == {QUIETER, LOW_PASS, NOISE}
    assert run["robustness"][QUIETER] == {
        "accuracy": pytest.approx(1 / 3),
        "track_accuracy": pytest.approx(1 / 3),
    }
    assert run["robustness"][NOISE]["accuracy"] == 1  # noise is what these are


def test_a_classifier_of_shapes_is_as_good_at_another_level(music, small_recipe, tmp_path):
    """Decibels below each clip's loudest band."""
    recipe = replace(
        small_recipe,
        input=LogMelPicture(frames=16, n_mels=16, n_fft=256, sequence=True),
        fit=FitConfig(batch_size=8, epochs=20, learning_rate=1e-2),
    )
    out = tmp_path / "run"
    (run,) = classified(recipe, music, out)["splits"]["track"]["runs"]
    assert run["accuracy"] > 0.5
    assert run["robustness"][QUIETER] == {
        metric: run[metric] for metric in ("accuracy", "track_accuracy")
    }
    (kept,) = (out / "stages").glob("robustness-track-real-0-*")
    plain = np.load((out / run["classifier"]).with_name("probabilities.npy"))
    quieter, filtered, _ = (np.load(kept / f"probabilities-{i}.npy") for i in range(3))
    np.testing.assert_allclose(quieter, plain, atol=1e-3)
    assert abs(filtered - plain).max() > 0.01


def test_it_is_kept_printed_and_on_the_page(by_level, leveled, small_recipe, capsys):
    out, results = by_level
    (stage,) = (out / "stages").glob("robustness-*")
    before = stage.stat().st_mtime_ns
    recipe = replace(small_recipe, fit=FitConfig(batch_size=8, epochs=60, learning_rate=1e-2))
    again = classified(recipe, leveled, out)
    assert (
        again["splits"]
        == results["splits"]
        == json.loads((out / "results.json").read_text())["splits"]
    )
    assert stage.stat().st_mtime_ns == before
    printed.classify(results, out)
    lines = capsys.readouterr().out.splitlines()
    assert next(line for line in lines if "as they are" in line).count("100.0 %") == 2
    assert next(line for line in lines if QUIETER in line).count("33.3 %") == 2
    page = (out / "report.html").read_text()
    assert "On altered recordings" in page
    assert "\N{MINUS SIGN}66.7" in page
    assert "A quarter of the band ends at 500" in page
