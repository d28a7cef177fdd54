"""A file of each kind that is read, small: what tests change and read again."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf
from classify_results import fake_classification
from flax import nnx

import classifiers
import wavegan
from classifiers.fit_folder import FitFolder
from classifiers.history import Member
from experiments.cli import parsed
from experiments.commands.compare import OPENINGS
from experiments.config import as_dict
from experiments.listening.answers import seal
from experiments.listening.blind_tests import SCALE, BlindTest, Sound, Trial
from experiments.listening.favourites import FORMAT as FAVOURITES
from experiments.recipes import RECIPES
from experiments.run import Run
from experiments.stages.folders import PROVENANCE
from features import Standardizer, extractors, save_audio
from features.extractors import Mfcc
from features.generated import MANIFESTS
from features.identity import identify
from features.storage import write_json
from features.synthetic import render_dataset
from wavegan import Previews, TrainConfig, WaveGANConfig
from wavegan.export import export
from wavegan.run_folder import RunFolder

RATE = 4000
FEATURES = Mfcc(n_mfcc=4, n_fft=32, hop_length=16, n_mels=8)
GAN = WaveGANConfig(num_samples=64, dim=1, latent_dim=4)
TRAIN = TrainConfig(batch_size=2, steps=2, critic_steps=1, log_every=1, checkpoint_every=1)
TRAINED_ON = {"data": "abc"}
COMPARED = replace(
    RECIPES["demo"],
    options={"lstm_sizes": (8, 4), "dense_sizes": (4, 4)},
    input=FEATURES,
    sample_rate=RATE,
    num_samples=256,
)
EMBEDDED = {"tracks_per_genre": 1, "seconds": 0.02, "sample_rate": RATE}


def write_world(root: Path) -> None:
    """A run and an exported generator, a classifier, audio, folders of clips, vectors, texts."""
    _write_audio(root)
    _write_gans(root)
    _write_classifier(root)
    _write_folders(root)
    openings = [{"time": "2026-01-01T00:00:00+00:00", "trials": "0f", "count": 2}]
    Run(root / "compared").write_json(OPENINGS, openings)
    _write_vectors(root)
    _write_texts(root)
    _write_heard(root)
    render_dataset(root / "embedded", **EMBEDDED)


def _write_heard(root: Path) -> None:
    clip = {"generator": "x", "label": "a", "step": 2, "latent": [0.5, -0.25], "name": "a 1"}
    favourites = {"format": FAVOURITES, "version": 1, "clips": [clip, clip]}
    write_json(root / "favourites.json", favourites)
    silent = np.zeros((8, 1))
    asked = Trial("t0", "How good?", [Sound("0a", silent, "x", "a", "a 1")], SCALE)
    check = Trial("t1", "Beeps?", [Sound("0b", silent, "check", "", "1")], {"1": "", "2": ""}, "1")
    test = BlindTest("abc", "mos", ("a", "b"), ("x",), RATE, [asked, check])
    write_json(root / "heard" / "key.json", test.key())
    rows = [{"trial": t, "choice": "1", "milliseconds": 9, "plays": 1} for t in ("t0", "t1")]
    said = {"format": "wavegan answers", "version": 1, "test": "abc", "listener": "l"}
    said |= {"started": "a", "ended": "b", "answers": rows}
    write_json(root / "heard" / "answers.json", said | {"seal": seal(said)})


def _write_audio(root: Path) -> None:
    for label in ("a", "b"):
        for i in range(3):
            noise = np.random.default_rng(10 * i + ord(label)).uniform(-0.5, 0.5, (512, 1))
            save_audio(root / "music" / label / f"{label}.{i:05d}.wav", noise, RATE)
    (root / "audio").mkdir()
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (4000, 1))
    for kind in ("WAV", "FLAC", "OGG", "MP3", "AIFF", "AU", "RF64", "W64"):
        sf.write(root / "audio" / f"x.{kind.lower()}", noise, 16000, format=kind)


def _write_gans(root: Path) -> None:
    audio = np.random.default_rng(0).uniform(-0.5, 0.5, (4, 300, 1)).astype(np.float32)
    heard: dict[str, Any] = {"tracks": {"drone.0": "0f" * 16}}
    heard |= {"sounds": {"drone.0": str(identify(root / "audio" / "x.wav"))}}
    told = {"label": "drone", "seed": 0, "sample_rate": RATE, **heard}
    told |= {"ancestors": [{"name": "x", **heard}]}
    inputs = {"wavegan": wavegan.run_folder.as_dict(GAN), "provenance": told}

    def build(folder: Path) -> None:
        inspect = [Previews(folder / "previews", sample_rate=RATE, count=2, real=audio)]
        wavegan.train(audio, GAN, TRAIN, run_dir=folder, provenance=told, inspect=inspect)
        RunFolder(folder).mark_best(1, "quality/kernel_distance", 0.5)

    with Run(root / "trained").working("train", {"data": {"root": "x"}}, TRAINED_ON) as run:
        stage = run.stage("gan-drone-0", inputs, build)
        run.write_json("gans.json", [stage.name])
    (root / "trained" / "report.html").write_text("")
    export(wavegan.load(stage), root / "drone.safetensors", metadata=told)
    np.save(root / "latents.npy", np.random.default_rng(0).uniform(-1, 1, (3, 4)).astype("<f4"))


def _write_classifier(root: Path) -> None:
    make = FEATURES
    shape = tuple(extractors.from_dict(extractors.as_dict(make))(np.zeros((1, 64, 1)), RATE).shape)
    sizes = {"lstm_sizes": (8, 4), "dense_sizes": (4, 4)}
    model = classifiers.create(
        "net6", input_shape=shape[1:], num_classes=2, rngs=nnx.Rngs(0), **sizes
    )
    scaler = Standardizer.fit(np.random.default_rng(0).normal(size=(9, *shape[1:])))
    about = {
        "labels": ["a", "b"], "sample_rate": RATE, "num_samples": 64, "silence": None,
        "recipe": "small", "input": extractors.as_dict(make), "scaler": scaler.to_dict(),
        "tracks": {"a.0": "0f" * 16},
    }  # fmt: skip

    def build(folder: Path) -> None:
        classifiers.save(model, folder / "classifier.safetensors", metadata=about)
        np.save(folder / "probabilities.npy", np.full((3, 2), 0.5, np.float32))

    with Run(root / "classified").working("classify", {}, TRAINED_ON) as run:
        stage = run.stage("classifier-track-real-0", {}, build)
        results = fake_classification(("a", "b"), levels={"track": 0.3}, seeds=1)
        file = f"stages/{stage.name}/classifier.safetensors"
        results["splits"]["track"]["runs"][0] |= {"seed": 0, "classifier": file}
        run.write_json("results.json", results)
        for name in ("report.html", "tracks.csv"):
            (run.path / name).write_text("")
    Run(root / "recipes" / "net5").write_json("results.json", results)
    fit_folder(root).save(3, [Member(seed=0)], weights={"w": np.arange(4.0)})


def fit_folder(root: Path) -> FitFolder:
    return FitFolder(root / "fit", {"seeds": [0], "labels": "inputs (3, 2)"})


def _write_folders(root: Path) -> None:
    """Clips of two other generators: one tells what all are from, the other class by class."""
    heard = root / "audio" / "x.wav"
    said = {"tracks": {"x": "0f" * 16}, "sounds": {"x": str(identify(heard))}}
    said |= {"ancestors": [{"name": "y", **said}], "judged_by": said["tracks"]}
    for folder in ("made", "told"):
        for label in ("a", "b"):
            noise = np.random.default_rng(ord(label)).uniform(-0.5, 0.5, (300, 1))
            save_audio(root / folder / label / "0.wav", noise, RATE)
    for label in ("a", "b"):
        told = {"latents": "", "provenance": {"seed": 1, "label": label, **said}}
        (root / "told" / label / MANIFESTS[0]).write_text(json.dumps(told))
    (root / "made" / PROVENANCE).write_text(json.dumps(said))


def _write_vectors(root: Path) -> None:
    tracks, vectors = np.array(["a", "b"]), np.array([[0.5, 1], [2, 3]], np.float32)
    rows = np.array(list(zip(tracks, vectors, strict=True)), "U1, (2,)f4")
    rows.dtype.names = ("track", "embedding")
    np.savez(root / "told.npz", track=tracks, embedding=vectors)
    np.save(root / "told.npy", rows)


def _write_texts(root: Path) -> None:
    (root / "options.yaml").write_text("gan-steps: 7\nfractions: [0.6, 0.2, 0.2]\ngan-loss: wgan\n")
    (root / "options.toml").write_text("gan-steps = 7\nfractions = [0.6, 0.2, 0.2]\n")
    (root / "artists.txt").write_text("a.00000.wav ::: Ü ::: t\nb.00000.wav ::: x ::: t\n")
    (root / "lists").mkdir()
    for i, side in enumerate(("train", "valid", "test")):
        lines = f"a/a.{i:05d}.wav\nb/b.{i:05d}.wav\n"
        (root / "lists" / f"{side}_filtered.txt").write_text(lines)
    config = as_dict(parsed(["train", "--gan-steps", "7"]).config())
    with Run(root / "configured").working("train", config, TRAINED_ON):
        pass
    best = {"options": {"lstm_units": 4}, "fit": {"learning_rate": 0.01}, "tracks": {"a.0": "0f"}}
    Run(root / "searched").write_json("search.json", {"best": best, "trials": []})
