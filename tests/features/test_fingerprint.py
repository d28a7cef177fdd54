"""What tells one extractor from another: settings, code, versions, platform."""

import dataclasses
import importlib
import os
import subprocess
import sys
from enum import Enum
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from features import _fingerprint
from features._fingerprint import fingerprint

LONG_AGO = (1e9, 1e9)


@dataclasses.dataclass(frozen=True)
class Plain:
    value: Any = None
    hidden: int = dataclasses.field(default=0, repr=False, compare=False)

    def __call__(self, audio, sample_rate):
        return audio


@dataclasses.dataclass(frozen=True)
class Derived(Plain):
    pass


class Window(Enum):
    HANN = 1
    HAMMING = 2


def as_it_is(audio, sample_rate):
    return audio


VARIANTS = [
    Plain(),
    Derived(),
    Plain(hidden=1),
    Plain(1),
    Plain(1.0),
    Plain(np.float32(1)),
    Plain(True),
    Plain("1"),
    Plain(b"1"),
    Plain((1,)),
    Plain([1]),
    Plain(((1,),)),
    Plain((1, None)),
    Plain({"a": 1}),
    Plain({"a": 2}),
    Plain(Plain()),
    Plain(Derived()),
    Plain(Window.HANN),
    Plain(Window.HAMMING),
    Plain(np.zeros(3000)),
    Plain(np.zeros((3000, 1))),
    Plain(np.zeros(3000, np.float32)),
    Plain(jnp.zeros(3000)),
    Plain(np.eye(1, 3000, 1500)[0]),  # whose text is that of the zeros, with the middle left out
    Plain(jnp.max),
    Plain(jnp.min),
    as_it_is,
]


def test_whatever_differs_tells_extractors_apart():
    assert len({fingerprint(make) for make in VARIANTS}) == len(VARIANTS)
    again = [fingerprint(make) for make in VARIANTS]
    assert again == [fingerprint(make) for make in VARIANTS]


def test_another_process_comes_to_the_same():
    code = (
        "from features._fingerprint import fingerprint; from features.splits import Split\n"
        "print(fingerprint(Split((1,), ('a', 2.5), ({'b': None},), by='track')))"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(found) == 1


class Loose:
    def __call__(self, audio, sample_rate):
        return audio


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (Plain(lambda x: x), r"^Plain\.value is .*lambda"),
        (Plain((0, object())), r"^Plain\.value\[1\]"),
        (Plain({"a": {1}}), r"^Plain\.value\['a'\]"),
        (Plain(Plain(iter(()))), r"^Plain\.value\.value"),
        (Loose(), "^Loose"),
    ],
    ids=["lambda", "object", "set", "iterator", "no dataclass"],
)
def test_what_has_no_value_to_tell_it_by(make, said):
    with pytest.raises(TypeError, match=said):
        fingerprint(make)


def test_code_without_a_file(monkeypatch):
    monkeypatch.setattr(Plain, "__module__", "nowhere")
    with pytest.raises(TypeError, match="defined in nowhere, which has no file: move it"):
        fingerprint(Plain())


@pytest.mark.parametrize(
    "change",
    [
        lambda patch: patch.setattr(_fingerprint.jax, "__version__", "0.0.1"),
        lambda patch: patch.setattr(_fingerprint.jax, "default_backend", lambda: "abacus"),
        lambda patch: patch.setattr(_fingerprint, "_version", lambda package: "0.0.1"),
    ],
    ids=["jax", "platform", "packages"],
)
def test_versions_and_the_platform_count(monkeypatch, change):
    before = fingerprint(Plain())
    change(monkeypatch)
    assert fingerprint(Plain()) != before


def test_the_precision_of_products_counts():
    before = fingerprint(Plain())
    with jax.default_matmul_precision("highest"):
        assert fingerprint(Plain()) != before


@pytest.mark.parametrize("name", ["splits", "spectra", "cache", "__init__"])
def test_every_module_of_features_counts(monkeypatch, tmp_path, name):
    """Also one that the extractor doesn't import."""
    before = fingerprint(Plain())
    where, edited = _fingerprint._file, tmp_path / "edited.py"
    edited.write_text(Path(where(f"features.{name}")).read_text() + "# edited\n")
    os.utime(edited, LONG_AGO)
    monkeypatch.setattr(_fingerprint, "_texts", {})
    monkeypatch.setattr(
        _fingerprint, "_file", lambda n: str(edited) if n == f"features.{name}" else where(n)
    )
    assert fingerprint(Plain()) != before


@pytest.fixture
def loaded(tmp_path, monkeypatch):
    """Writes a package, and loads its extractor as a new process would."""
    package = "package_of_" + tmp_path.name.replace("-", "_")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    texts = {
        "__init__": "",
        "extractor": "from . import constants\nfrom .relative import CONSTANT\n"
        f"from {package}.absolute import NUMBER\nimport {package}.whole\n"
        "from dataclasses import dataclass\n\n@dataclass(frozen=True)\nclass Made:\n"
        "    def __call__(self, audio, sample_rate):\n"
        "        from .inside import late\n        return audio\n",
        "constants": "A = 1\n",
        "relative": "CONSTANT = 1\n",
        "absolute": "from .deeper import NUMBER\n",
        "deeper": "NUMBER = 1\n",
        "whole": "B = 1\n",
        "inside": "late = 1\n",
        "stranger": "C = 1\n",
    }

    def forget() -> None:
        for name in [name for name in sys.modules if name.startswith(package)]:
            del sys.modules[name]

    def load(edited: str | None = None, mtime: tuple[float, float] | None = LONG_AGO) -> Any:
        for name, text in texts.items():
            path = tmp_path / package / f"{name}.py"
            path.parent.mkdir(exist_ok=True)
            path.write_text(text + "# edited\n" * (name == edited))
            if mtime:
                os.utime(path, mtime)
        forget()
        importlib.invalidate_caches()
        return importlib.import_module(f"{package}.extractor").Made()

    yield load
    forget()


@pytest.mark.parametrize(
    "name", ["extractor", "constants", "relative", "absolute", "deeper", "whole", "inside"]
)
def test_an_edit_of_what_the_extractor_imports_counts(loaded, name):
    before = fingerprint(loaded())
    assert fingerprint(loaded()) == before
    assert fingerprint(loaded(name)) != before
    assert fingerprint(loaded()) == before


def test_an_edit_of_what_it_does_not_import_is_nothing(loaded):
    assert fingerprint(loaded()) == fingerprint(loaded("stranger"))


def test_a_file_changed_while_the_process_runs_counts_for_that_process_alone(loaded, monkeypatch):
    """What is loaded may be older than the file: its features must not pass for the file's."""
    make = loaded(mtime=None)
    before = fingerprint(make)
    assert fingerprint(make) == before
    monkeypatch.setattr(_fingerprint, "_UNSURE", "another process")
    monkeypatch.setattr(_fingerprint, "_texts", {})
    assert fingerprint(make) != before
