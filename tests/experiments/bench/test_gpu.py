"""The benchmark of a GPU, rehearsed at toy size on the CPU, with JAX's own stack alone."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.bench import gan, gpu
from wavegan import WaveGANConfig

BARE = """
import sys

class Missing:
    # What a machine with JAX, Flax, Optax and Orbax lacks.
    names = ("librosa", "soundfile", "soxr", "sklearn", "matplotlib", "PIL", "jinja2", "torch",
             "safetensors", "shtab", "numba", "tensorboardX", "optuna", "tensorflow", "keras")

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
from experiments.__main__ import main
sys.exit(main())
"""


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory):
    """What it said, and its rows."""
    file = tmp_path_factory.mktemp("gpu") / "rows.json"
    arguments = ["bench", "gpu", "--size", "toy", "--repeats", "1", "--json", str(file)]
    command = [sys.executable, "-c", BARE, *arguments]
    root = Path(__file__).parents[3]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout, json.loads(file.read_text())


@pytest.mark.slow
def test_it_runs_with_jax_alone_and_says_that_there_is_no_gpu(rehearsal):
    said, rows = rehearsal
    assert "there is no GPU here: the CPU stands for it, at size toy" in said
    assert "left out" not in said
    steps = ("a step of 1 critic", "a step of 2 GANs", "a step of train")
    for name in ("clips", "gradients", *steps, "net2", "net5", "log_mel", "mfcc"):
        assert any(name in row["case"] for row in rows), name
    for row in rows:
        assert row["ratio"] == row["peer_seconds"] / row["ours_seconds"] > 0
        assert row["size"] == "toy"
        assert row["hardware"] in said


@pytest.mark.slow
def test_numbers_are_held_against_those_of_float32(rehearsal):
    """On a CPU float32 and TF32 are one; bfloat16 differs, and holds to what it is allowed."""
    rows = [row for row in rehearsal[1] if "precision" in row and "error" in row]
    assert len(rows) == 9
    assert all(row["holds"] == (row["error"] <= row["tolerance"]) for row in rows)
    assert all(row["holds"] for row in rows)
    assert all((row["error"] > 1e-5) == (row["precision"] == "bfloat16") for row in rows)


@pytest.mark.slow
def test_steps_have_their_share_and_memory(rehearsal):
    rows = [row for row in rehearsal[1] if row["case"].startswith("a step of 1 critic")]
    assert [row["precision"] for row in rows] == ["bfloat16", "tf32", "float32"]
    for row in rows:
        assert row["share_of_matmul"] == pytest.approx(row["ratio"])
        assert row["needed_bytes"] > 0


def test_operations_are_counted_with_all_critic_steps():
    """By arithmetic they are less, by the padded taps: 28 in place of 25."""
    config = WaveGANConfig(num_samples=4096, dim=16)
    needed = gan.iteration_flops(config, 4)
    assert 1 < gpu.counted_flops(config, 4) / needed < 1.25
