"""The examples of wavegan/README.md run, in order and in one session; its commands parse."""

import io
import re
import sys
from contextlib import redirect_stdout
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from flax import nnx

from experiments.cli import _parser
from wavegan import Discriminator, Generator, WaveGANConfig
from wavegan.reference import _variables

PAGE = Path(__file__).parents[2] / "wavegan" / "README.md"
TEXT = PAGE.read_text(encoding="utf-8")
# Each Python block, with the output that a block of text right after it promises.
BLOCKS = list(re.finditer(r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", TEXT, flags=re.DOTALL))
COMMANDS = re.findall(r"^wavegan ((?:[^\n\\]|\\\n)+)$", TEXT, flags=re.MULTILINE)


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
    names: dict = {}
    for block in BLOCKS:
        code, promised = block.groups()
        line = TEXT.count("\n", 0, block.start(1))
        printed = io.StringIO()
        with redirect_stdout(printed):
            exec(compile("\n" * line + code, str(PAGE), "exec"), names)
        if promised is not None:
            assert printed.getvalue() == promised
    ((clip, rate),) = played
    assert clip.shape == (256,)
    assert rate == 8000
    assert names["stereo"].shape == (2, 32768, 2)
    assert names["way"].shape == (5, 256, 1)
    assert list(Path("runs/watched/previews").glob("step-*.flac"))
    assert list(Path("runs/watched/tensorboard").iterdir())


def test_the_first_example_has_ten_lines():
    assert len(BLOCKS[1][1].strip().splitlines()) <= 10
    assert "Audio(" in BLOCKS[1][1]


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_parse(command):
    arguments = command.replace("\\\n", " ").split("#")[0].split()
    options = _parser().parse_args(arguments)
    assert callable(options.function)


def test_every_command_is_seen():
    assert len(COMMANDS) >= 15
    assert len(COMMANDS) == len(re.findall(r"^wavegan ", TEXT, flags=re.MULTILINE))
    assert {c.split()[0] for c in COMMANDS} >= {
        "train", "generate", "interpolate", "export", "report", "study", "bench"
    }  # fmt: skip
