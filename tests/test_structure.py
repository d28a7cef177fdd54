"""The layout holds: which package imports which, and what an import costs."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import features
from classifiers import FitInterrupted
from features.storage import Interrupted
from wavegan import TrainingInterrupted

ROOT = Path(__file__).parents[1]
ALLOWED = {
    "features": set(),
    "wavegan": {"features"},
    "classifiers": {"features"},
    "experiments": {"features", "wavegan", "classifiers"},
}


@pytest.mark.parametrize("package", ALLOWED)
def test_imports_run_one_way(package):
    for file in (ROOT / package).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            for name in names:
                top = name.split(".")[0]
                if top in ALLOWED and top != package:
                    assert top in ALLOWED[package], f"{file} imports {name}"
                if package != "experiments":
                    assert top not in ("argparse", "tqdm"), f"{file} knows of the command line"


def test_importing_loads_nothing_heavy():
    code = (
        "import importlib, sys\n"
        "heavy = {'matplotlib', 'librosa', 'sklearn', 'orbax', 'torch', 'scipy.signal'}\n"
        "for package in ('features', 'experiments.cli', 'wavegan', 'classifiers'):\n"
        "    importlib.import_module(package)\n"
        "    print(package, sorted(heavy & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert lines == [
        f"{name} []" for name in ("features", "experiments.cli", "wavegan", "classifiers")
    ]


@pytest.mark.parametrize("module", ["features", "features.soundness", "experiments.executors"])
def test_what_reads_files_alone_needs_no_jax(module):
    code = f"import sys, {module}; print('jax' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_every_name_of_features_is_there():
    assert {"load_audio", "Rows", "twins"} <= {*dir(features)}
    for name in features.__all__:
        assert hasattr(features, name), name
    assert not hasattr(features, "sing")


def test_one_exception_catches_every_stop():
    assert issubclass(FitInterrupted, Interrupted)
    assert issubclass(TrainingInterrupted, Interrupted)


def test_the_wheel_works_outside_the_checkout(tmp_path):
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", tmp_path, ROOT]
    subprocess.run([*pip, *build], check=True, capture_output=True, cwd=tmp_path)
    (wheel,) = tmp_path.glob("wavegan-*.whl")
    shutil.unpack_archive(wheel, site := tmp_path / "site", "zip")  # as pip installs it
    code = (
        "import wavegan, features, classifiers, experiments, pathlib\n"
        "from experiments.report.compare import render_report\n"
        "for m in (wavegan, features, classifiers, experiments): print(m.__file__)\n"
        "page = 'report/templates/base.html'\n"
        "print((pathlib.Path(experiments.__file__).parent / page).exists())\n"
        "print(wavegan.load('digits').config.num_classes)\n"
    )
    env = {"PYTHONPATH": str(site), "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=env,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    doctor = [sys.executable, "-m", "experiments", "doctor"]
    found = subprocess.run(
        doctor, env=env, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "hardware" in found.stdout
    *files, template, classes = done.stdout.split()
    assert all(file.startswith(str(site)) for file in files)
    assert (template, classes) == ("True", "10")
