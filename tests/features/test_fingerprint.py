"""What tells one extractor from another: settings, code, versions, platform."""

import dataclasses
import importlib
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import features
from features import _fingerprint
from features._fingerprint import code_of, counted_in, fingerprint

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
    Plain(Plain(1).__call__),  # a method is told by what it belongs to
    Plain(Plain(2).__call__),
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
    found = [  # of plain ones: here the checker of annotations may add imports of its own
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert found[0] == found[1]
    assert len(found[0].strip()) == 32


class Loose:
    def __call__(self, audio, sample_rate):
        return audio


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (Plain(str.upper), r"^Plain\.value is <method"),
        (Plain(lambda x: x), r"^Plain\.value is .*lambda"),
        (Plain((0, object())), r"^Plain\.value\[1\]"),
        (Plain({"a": {1}}), r"^Plain\.value\['a'\]"),
        (Plain(Plain(iter(()))), r"^Plain\.value\.value"),
        (Loose(), "^Loose"),
    ],
    ids=["no module", "lambda", "object", "set", "iterator", "no dataclass"],
)
def test_what_has_no_value_to_tell_it_by(make, said):
    with pytest.raises(TypeError, match=said):
        fingerprint(make)


def test_code_without_a_file(monkeypatch):
    monkeypatch.setattr(Plain, "__module__", "nowhere")
    with pytest.raises(TypeError, match="defined in nowhere, which has no file: move it"):
        fingerprint(Plain())


@pytest.mark.parametrize("package", ["jax", "jaxlib", "numpy", "matplotlib"])
def test_versions_count(monkeypatch, package):
    before, there = fingerprint(Plain()), _fingerprint._version
    monkeypatch.setattr(
        _fingerprint, "_version", lambda name: "0.0.1" if name == package else there(name)
    )
    assert fingerprint(Plain()) != before


def test_the_platform_counts(monkeypatch):
    before = fingerprint(Plain())
    monkeypatch.setattr(_fingerprint.jax, "default_backend", lambda: "abacus")
    assert fingerprint(Plain()) != before


def test_versions_of_what_the_module_imports_count(monkeypatch):
    """Such as pytest here."""
    before = fingerprint(Plain())
    assert _fingerprint._version("pytest") == pytest.__version__
    there = _fingerprint._version
    monkeypatch.setattr(
        _fingerprint, "_version", lambda name: "0.0.1" if name == "pytest" else there(name)
    )
    assert fingerprint(Plain()) != before


def test_the_precision_of_products_counts():
    before = fingerprint(Plain())
    with jax.default_matmul_precision("highest"):
        assert fingerprint(Plain()) != before


@pytest.fixture
def copied(monkeypatch, tmp_path):
    """A copy of `features` that stands for the package, its files as old as they are."""
    package = Path(_fingerprint.__file__).parent
    copy = Path(shutil.copytree(package, tmp_path / "features"))
    monkeypatch.setattr(_fingerprint, "__file__", str(copy / "_fingerprint.py"))
    monkeypatch.setattr(_fingerprint, "_texts", {})
    return copy


@pytest.mark.parametrize("name", ["splits.py", "spectra.py", "__init__.py", "deeper/new.py"])
def test_every_module_of_features_counts(copied, monkeypatch, name):
    """Also one that the extractor doesn't import, and one in a folder."""
    before = fingerprint(Plain())
    edited = copied / name
    edited.parent.mkdir(exist_ok=True)
    with edited.open("a") as file:
        file.write("# edited\n")
    os.utime(edited, LONG_AGO)
    monkeypatch.setattr(_fingerprint, "_texts", {})
    assert fingerprint(Plain()) != before


def test_threads_come_to_the_same(copied):
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(fingerprint, [Plain(1)] * 64))) == 1


@pytest.fixture
def loaded(tmp_path, monkeypatch):
    """Writes a package, and loads its extractor as a new process would."""
    package = "package_of_" + tmp_path.name.replace("-", "_")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    texts = {
        f"{package}/__init__": "",
        f"{package}/extractor": "from .constants import A\nimport numpy as np\n"
        f"import {package}lone\nfrom {package}named import helper\n"
        "from dataclasses import dataclass\n\n@dataclass(frozen=True)\nclass Made:\n"
        "    def __call__(self, audio, sample_rate):\n"
        "        from .inside import late\n        return audio\n",
        f"{package}/constants": "A = 1\n",
        f"{package}/inside": "late = 1\n",
        f"{package}/deeper/__init__": "",
        f"{package}/deeper/unused": "B = 1\n",
        f"{package}lone": "C = 1\n",
        f"{package}named": f"import {package}far\ndef helper(): pass\n",
        f"{package}far": "D = 1\n",
    }

    def forget() -> None:
        for name in [name for name in sys.modules if name.startswith(package)]:
            del sys.modules[name]

    def load(edited: str | None = None, mtime: tuple[float, float] | None = LONG_AGO) -> Any:
        for name, text in texts.items():
            path = tmp_path / f"{name}.py"
            path.parent.mkdir(exist_ok=True)
            path.write_text(text + "# edited\n" * (name == f"{package}{edited}"))
            if mtime:
                os.utime(path, mtime)
        forget()
        importlib.invalidate_caches()
        return importlib.import_module(f"{package}.extractor").Made()

    yield load
    forget()


@pytest.mark.parametrize(
    "name",
    ["/extractor", "/constants", "/inside", "/__init__", "/deeper/unused", "lone", "named"],
)
def test_an_edit_of_its_package_or_of_what_its_module_imports_counts(loaded, name):
    before = fingerprint(loaded())
    assert fingerprint(loaded()) == before
    assert fingerprint(loaded(name)) != before
    assert fingerprint(loaded()) == before


def test_what_others_import_in_turn_is_not_followed(loaded):
    """As the docstring says: a lone module behind a lone module."""
    assert fingerprint(loaded()) == fingerprint(loaded("far"))


def test_a_file_changed_while_the_process_runs_counts_for_that_process_alone(loaded, monkeypatch):
    """What is loaded may be older than the file: its features must not pass for the file's."""
    make = loaded(mtime=None)
    before = fingerprint(make)
    assert fingerprint(make) == before
    monkeypatch.setattr(_fingerprint, "_UNSURE", "another process")
    monkeypatch.setattr(_fingerprint, "_texts", {})
    assert fingerprint(make) != before


def test_the_code_of_packages_is_that_of_their_sources(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    for name, text in (("one", "x = 1"), ("two", "x = 2"), ("three", "x = 1")):
        (tmp_path / f"code_{name}").mkdir()
        (tmp_path / f"code_{name}" / "__init__.py").write_text(text)
    found = {name: code_of(f"code_{name}") for name in ("one", "two")}
    assert found["one"] != found["two"]
    assert len(found["one"]) == 32
    assert code_of("code_one") == found["one"] != code_of("code_three")  # its name tells, too
    (tmp_path / "code_one" / "__init__.py").write_text("x = 3")
    assert code_of("code_one") == found["one"]  # which runs here
    code_of.cache_clear()
    assert code_of("code_one") != found["one"]


@pytest.fixture
def changeable(tmp_path, monkeypatch):
    """`features` in a folder where it can be changed, for `code_of`."""
    folder = tmp_path / "features"
    shutil.copytree(Path(features.__file__).parent, folder)
    monkeypatch.setattr(_fingerprint, "_HERE", folder)
    code_of.cache_clear()
    yield folder
    code_of.cache_clear()


@pytest.mark.parametrize(
    ("module", "counts"),
    [("cache.py", True), ("storage.py", True), ("tonal.py", False), ("synthetic/genres.py", False)],
)
def test_what_a_package_does_not_import_of_features_does_not_count(changeable, module, counts):
    before = code_of("wavegan", whole=False)
    (changeable / module).write_text((changeable / module).read_text() + "\n# changed\n")
    code_of.cache_clear()
    assert (code_of("wavegan", whole=False) != before) == counts


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("import features.tonal", "tonal.py"),
        ("def late():\n    from features import load_audio", "audio.py"),
        ("from features.tonal import chroma", "tonal.py"),
        ("from features.synthetic import synthesize", "synthetic/instruments.py"),
        ("import features", "waveform.py"),  # what it takes of it is not known
        ("import json, wavegan", None),
    ],
)
def test_what_a_file_reaches_of_features(changeable, tmp_path, text, found):
    (file := tmp_path / "one.py").write_text(text)
    names = {path.relative_to(changeable).as_posix() for path in _fingerprint.reached([file])}
    assert found in names if found else not names


def test_all_that_a_process_loads_of_features_is_reached():
    """What runs says what counts: every module of `wavegan`, imported in a process of its own."""
    program = """
import importlib, pkgutil, sys, wavegan
for module in pkgutil.iter_modules(wavegan.__path__):
    importlib.import_module(f"wavegan.{module.name}")
print(*(m.__file__ for name, m in sys.modules.items() if name.split(".")[0] == "features"))
"""
    told = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, text=True
    )
    loaded = {Path(file) for file in told.stdout.split()}
    here = Path(features.__file__).parents[1]
    reached = _fingerprint.reached((here / "wavegan").rglob("*.py"))
    assert len(loaded) > 10
    assert loaded <= reached


def test_modules_of_ones_own_are_counted_in(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(_fingerprint, "_counted", set())
    found = [code_of("wavegan")]
    for text in ("x = 1", "x = 2"):
        (tmp_path / "code_mine.py").write_text(text)
        counted_in("code_mine")
        found.append(code_of("wavegan"))
    assert len({*found}) == 3
    monkeypatch.setattr(_fingerprint, "_counted", set())
    code_of.cache_clear()
    assert code_of("wavegan") == found[0]
