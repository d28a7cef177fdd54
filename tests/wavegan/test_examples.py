"""The examples of wavegan/README.md run, in order and in one session; its commands parse."""

import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from flax import nnx
from page_examples import ExamplePage

from wavegan import Discriminator, Generator, WaveGANConfig
from wavegan.reference import _variables

PAGE = ExamplePage(Path(__file__).parents[2] / "wavegan" / "README.md")


@pytest.fixture
def played(monkeypatch) -> list[tuple[np.ndarray, int]]:
    """What IPython's player, which is no dependency, is given to play."""
    sounds: list[tuple[np.ndarray, int]] = []
    display = ModuleType("IPython.display")
    vars(display)["Audio"] = lambda data, rate: sounds.append((data, rate))
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    return sounds


def write_reference(path):
    """Random variables under the names and in the shapes that the reference has them."""
    told = WaveGANConfig(
        num_samples=32768, channels=2, dim=2, batch_norm=True, upsample="nn", post_filter=512
    )
    networks = Generator(told, rngs=nnx.Rngs(0)), Discriminator(told, rngs=nnx.Rngs(1))
    np.savez(path, **{name: np.asarray(value[...]) for name, value in _variables(*networks)})


def test_the_examples_run(tmp_path, monkeypatch, played):
    pytest.importorskip("tensorboardX")
    monkeypatch.chdir(tmp_path)
    write_reference("reference.npz")
    names = PAGE.run()
    ((clip, rate),) = played
    assert clip.shape == (256,)
    assert rate == 8000
    assert names["stereo"].shape == (2, 32768, 2)
    assert names["way"].shape == (5, 256, 1)
    assert list(Path("runs/watched/previews").glob("step-*.flac"))
    assert list(Path("runs/watched/tensorboard").iterdir())


def test_the_first_example_has_ten_lines():
    assert len(PAGE.blocks[1][1].strip().splitlines()) <= 10
    assert "Audio(" in PAGE.blocks[1][1]


@pytest.mark.parametrize("command", PAGE.commands)
def test_commands_parse(command):
    assert callable(PAGE.parse(command).command.run)


def test_every_command_is_seen():
    assert len(PAGE.commands) >= 15
    assert len(PAGE.commands) == len(re.findall(r"^wavegan ", PAGE.text, flags=re.MULTILINE))
    assert {c.split()[0] for c in PAGE.commands} >= {
        "train", "generate", "interpolate", "export", "report", "study", "bench"
    }  # fmt: skip
