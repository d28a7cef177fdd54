"""A small folder of music and a small recipe, so that whole runs take seconds."""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import jax
import pytest
from flax import nnx

from classifiers import FitConfig
from experiments.config import CompareConfig, DataConfig
from experiments.recipes import RECIPES, Recipe
from experiments.stages import judge, plan
from features import decode_tracks, save_audio, scan_tracks
from features.extractors import Mfcc
from features.synthetic import synthesize
from wavegan import Generator, TrainConfig, WaveGANConfig
from wavegan.export import export

GENRES = ("drone", "march", "techno")
FRACTIONS = (0.4, 0.2, 0.4)


def write_music(root: Path, *, tracks: int = 5, seconds: float = 1.0) -> Path:
    for genre in GENRES:
        for i in range(tracks):
            audio = synthesize(genre, i, seconds=seconds, sample_rate=4000)
            save_audio(root / genre / f"{genre}.{i:05d}.wav", audio, 4000)
    return root


@pytest.fixture(scope="session")
def render():
    """The function that writes such music: ``render(folder, tracks=5, seconds=1.0)``."""
    return write_music


@pytest.fixture(scope="session")
def music(tmp_path_factory) -> Path:
    """3 genres of 5 tracks of a second, 4 kHz."""
    return write_music(tmp_path_factory.mktemp("data") / "music")


@pytest.fixture(scope="session", autouse=True)
def quick_judge():
    """A judge learns from fewer windows here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judge, "CLIPS", 512)
        yield


@pytest.fixture(scope="session", autouse=True)
def known_steps():
    """What a step of any network takes is known, so that no plan measures it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "recall", lambda name: 0.01)
        yield patch


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("WAVEGAN_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def small_recipe() -> Recipe:
    return replace(
        RECIPES["demo"],
        name="small",
        options={"lstm_sizes": (8, 4), "dense_sizes": (4, 4)},
        input=Mfcc(n_mfcc=8, n_fft=128, hop_length=64, n_mels=16),
        sample_rate=4000,
        num_samples=1024,
        conditional=False,
        fit=FitConfig(batch_size=8, epochs=2, learning_rate=1e-2),
        gan=WaveGANConfig(dim=2),
        gan_train=TrainConfig(
            batch_size=2, steps=3, critic_steps=1, log_every=1, checkpoint_every=2
        ),
    )


@pytest.fixture(scope="session")
def small_config(music, small_recipe) -> CompareConfig:
    data = DataConfig(str(music), fractions=FRACTIONS)
    arms = ("real", "real+oversampled", "real+synthetic")
    return CompareConfig(small_recipe, data, seeds=2, arms=arms, steps=6, quality=16)


@pytest.fixture(scope="session")
def genres_file(music, tmp_path_factory):
    """``genres_file(num_samples)``: an exported generator of `GENRES` at 4 kHz that heard `music`.

    An untrained one is as quiet as none: its weights are larger.
    """

    def write(num_samples: int) -> Path:
        file = tmp_path_factory.mktemp("genres") / "genres.safetensors"
        config = WaveGANConfig(num_samples=num_samples, dim=1, latent_dim=4, num_classes=3)
        graph, state = nnx.split(Generator(config, rngs=nnx.Rngs(1)))
        loud = nnx.merge(graph, jax.tree.map(lambda weights: 2.5 * weights, state))
        heard = decode_tracks(scan_tracks(music), sample_rate=4000, cache_dir=file.parent)
        tracks = {r.track.track_id: r.digest for r in heard.recordings}
        about = {"sample_rate": 4000, "labels": list(GENRES), "step": 9, "seed": 0}
        export(loud, file, metadata={**about, "tracks": tracks})
        return file

    return write


@pytest.fixture(scope="session")
def browser() -> Iterator:
    """A headless Chromium, of the system; without one, the tests of what pages do are skipped."""
    names = ("chromium", "chromium-browser", "google-chrome")
    if (found := next(filter(None, map(shutil.which, names)), None)) is None:
        pytest.skip("no Chromium here, which .ci/run installs: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    settings = ["--disable-gpu", "--disable-background-networking", "--mute-audio"]
    with sync_playwright() as browsers:
        opened = browsers.chromium.launch(
            executable_path=found, args=settings, chromium_sandbox=os.geteuid() != 0
        )
        yield opened
        opened.close()


@pytest.fixture
def faults_of(browser, tmp_path) -> Callable[[str], list[str]]:
    """What axe-core finds on a page, light on a desktop and dark on a phone, where it fits both."""
    from axe_playwright_python.sync_playwright import Axe

    def faults(html: str) -> list[str]:
        (file := tmp_path / "page.html").write_text(html)
        found = []
        for scheme, width in (("light", 1200), ("dark", 390)):
            size = {"width": width, "height": 800}
            context = browser.new_context(bypass_csp=True, color_scheme=scheme, viewport=size)
            page = context.new_page()
            page.goto(f"file://{file}")
            for one in Axe().run(page).response["violations"]:
                places = [node["target"] for node in one["nodes"][:2]]
                found.append(f"{one['id']} ({one['impact']}, {scheme}): {places}")
            if page.evaluate("document.documentElement.scrollWidth") > width:
                found.append(f"wider than {width}")
            context.close()
        return found

    return faults
