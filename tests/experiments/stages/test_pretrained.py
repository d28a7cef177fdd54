"""A recipe that takes the layers of a trained network over: frozen, tuned, and what it heard."""

from dataclasses import replace

import numpy as np
import pytest
from html_page import Page
from panns_checkpoint import checkpoint

from classifiers import FitConfig, load, save
from classifiers.panns import cnn14
from experiments.commands.classify import classify
from experiments.config import ClassifyConfig, CompareConfig, DataConfig
from experiments.recipes import RECIPES
from experiments.stages.pretrained import made_elsewhere
from features import LeakError, decode_tracks, scan_tracks

CNN14 = replace(
    RECIPES["cnn14"],
    options={"width": 2},
    num_samples=16_000,
    fit=replace(RECIPES["cnn14"].fit, epochs=20),
)


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    file = tmp_path_factory.mktemp("panns") / "cnn14.safetensors"
    save(cnn14(checkpoint(), "a.pth"), file, metadata={"checkpoint": "a.pth"})
    return file


def config(music, recipe, file, **options):
    data = DataConfig(str(music), fractions=(0.4, 0.2, 0.4))
    return ClassifyConfig(replace(recipe, pretrained=str(file)), data, seeds=1, **options)


def layers_of(file):
    """Variables by name, but for the last layer's."""
    arrays = {}
    for i, layer in enumerate(list(load(file)[0].layers)[:-1]):
        for name in ("kernel", "bias", "scale", "mean", "variance"):
            if hasattr(layer, name):
                arrays[f"{i}.{name}"] = np.asarray(getattr(layer, name)[...])
    return arrays


def test_the_layers_stay_as_they_are_below_a_new_last_one(music, published, tmp_path):
    results = classify(config(music, CNN14, published), tmp_path / "run")
    (run,) = results["splits"]["track"]["runs"]
    file = tmp_path / "run" / run["classifier"]
    there, here = layers_of(published), layers_of(file)
    assert there.keys() == here.keys()
    assert all((there[name] == here[name]).all() for name in there)
    model, about = load(file)
    assert model.spec.num_classes == 3
    assert about["made_elsewhere"] == results["made_elsewhere"] == str(published)
    page = Page((tmp_path / "run" / "report.html").read_text())
    assert f"Whether the network behind {published} was trained on these tracks" in page.text

    tuned = replace(CNN14, fit=FitConfig(batch_size=8, steps=2, framework="torch"))
    results = classify(config(music, tuned, published), tmp_path / "tuned")
    file = tmp_path / "tuned" / results["splits"]["track"]["runs"][0]["classifier"]
    here = layers_of(file)
    assert all((there[name] != here[name]).any() for name in there if "kernel" in name)


def test_other_weights_in_the_file_are_another_trial(music, published, tmp_path):
    file = tmp_path / "a.safetensors"
    found = []
    for seed in (0, 0, 1):
        save(cnn14(checkpoint(seed=seed), "a.pth"), file)
        results = classify(config(music, CNN14, file), tmp_path / "run")
        found.append(results["splits"]["track"]["runs"][0]["classifier"])
    assert found[0] == found[1] != found[2]


def test_tracks_that_it_was_trained_on_are_refused_as_test_tracks(music, published, tmp_path):
    recordings = decode_tracks(scan_tracks(music), sample_rate=32_000).recordings
    heard = {r.track.track_id: r.digest for r in recordings}
    model, file = cnn14(checkpoint(), "a.pth"), tmp_path / "a.safetensors"
    save(model, file, metadata={"tracks": heard})
    with pytest.raises(LeakError, match=r"--pretrained .*a\.safetensors was trained on 3 tr"):
        classify(config(music, CNN14, file), tmp_path / "run")
    results = classify(config(music, CNN14, file, splits=("chunk",)), tmp_path / "chunks")
    assert not results["made_elsewhere"]  # it is known what it heard
    save(model, file, metadata={"tracks": {"elsewhere": "0f"}})
    results = classify(config(music, CNN14, file), tmp_path / "other")
    (run,) = results["splits"]["track"]["runs"]
    about = load(tmp_path / "other" / run["classifier"])[1]
    assert set(about["tracks"]) == {"body: elsewhere", *run["split"]["train"]}


def test_what_is_not_known_is_handed_on():
    recipe = replace(CNN14, pretrained="a.safetensors")
    assert made_elsewhere(recipe, {}) == "a.safetensors"
    assert made_elsewhere(recipe, {"tracks": {}}) == ""
    assert (
        made_elsewhere(recipe, {"tracks": {}, "made_elsewhere": "b.safetensors"}) == "b.safetensors"
    )
    assert made_elsewhere(CNN14, {}) == ""


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"pretrained": None}, "cnn14 takes over the layers of a trained network: give .*convert"),
        ({"pretrained": "none.safetensors"}, r"--pretrained none\.safetensors: no such file"),
        ({"options": {"width": 3}}, r"the variable layers\.2\..* cnn14 needs float32 \(.*3,?\)"),
    ],
)
def test_a_file_that_does_not_fit(music, published, tmp_path, change, said):
    one = config(music, CNN14, published)
    with pytest.raises((ValueError, FileNotFoundError), match=said):
        classify(replace(one, recipe=replace(one.recipe, **change)), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["probe", "cnn14"])
def test_a_comparison_starts_from_nothing(name):
    with pytest.raises(ValueError, match=f"trains from nothing, and {name} starts from what"):
        CompareConfig(RECIPES[name])


def test_a_body_that_heard_other_features_is_refused(music, published, tmp_path):
    model, file = cnn14(checkpoint(), "a.pth"), tmp_path / "a.safetensors"
    save(model, file, metadata={"sample_rate": 16_000, "silence": None, "tracks": {}})
    with pytest.raises(ValueError, match="heard otherwise: sample_rate was 16000 there and is 32"):
        classify(config(music, CNN14, file), tmp_path / "run")
