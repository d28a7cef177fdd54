"""What a feature extractor is, in one hash: its settings and the code that computes."""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import json
import secrets
import site
import sys
import sysconfig
import time
from collections.abc import Iterable, Iterator
from enum import Enum
from functools import cache
from importlib import metadata
from inspect import ismethod, ismodule
from pathlib import Path
from typing import Any

import jax
import numpy as np

_HERE = Path(__file__).parent
_OURS = {"features", "wavegan", "classifiers", "experiments"}  # one version has many texts
_BEHIND = ("jax", "jaxlib", "numpy", "matplotlib")  # what the numbers of `features` come from
_PLAIN = (bool, int, float, complex, str, bytes)
_STARTED = time.time()
_UNSURE = secrets.token_hex(16)  # stands for code that no later process can be sure to have
_INSTALLED = (
    *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
    *site.getsitepackages(),
)
_counted: set[str] = set()  # modules of users
_texts: dict[Path, tuple[object, str]] = {}  # of each source file the module's spec, and a hash


def fingerprint(make: Any) -> str:
    """Hash of what an extractor's numbers depend on besides the audio, 32 digits.

    That is its type and fields; the sources of `features` and of the whole package that defines
    it, or of its module alone where that is in none; of modules that its own names at the top,
    the same, or the version of what is installed; that module's numbers and texts, imported ones
    too; the platform, and the settings of JAX that change numbers. What modules outside its package
    import in turn does not count, nor what they import inside a function, nor a file that is no
    Python.

    Parameters
    ----------
    make : a dataclass object, or a function of a module.

    Raises
    ------
    TypeError
        What is inside ``make`` can't be told apart by its value, or its module has no file.
    """
    modules: set[str] = set()
    content = {
        "make": _described(make, modules, type(make).__name__),
        "code": _code(modules, own=_OURS | {_top(getattr(make, "__module__", ""))}),
        "versions": [_version(package) for package in _BEHIND],
        "platform": jax.default_backend(),
        "precision": [
            getattr(jax.config, f"jax_{n}") for n in ("enable_x64", "default_matmul_precision")
        ],
    }
    return _hash(json.dumps(content, sort_keys=True).encode())


@cache
def code_of(*modules: str, whole: bool = True) -> str:
    """Hash of the sources of `features` and of these packages, or parts of packages, 32 digits.

    It is that of the first call in a process: what is changed later does not run here. Modules that
    are `counted_in` are in it, too.

    Parameters
    ----------
    whole : count all of `features`; else what these packages import of it, as that does in turn.
    """
    import importlib

    found = {}
    for name in sorted({*modules, *_counted, *(["features"] if whole else [])}):
        file = Path(str(importlib.import_module(name).__file__))
        folder = file.parent
        for path in sorted(folder.rglob("*.py")) if file.name == "__init__.py" else [file]:
            found[f"{name}/{path.relative_to(folder).as_posix()}"] = path
    if not whole:
        for path in reached(found.values()):
            found[f"features/{path.relative_to(_HERE).as_posix()}"] = path
    hashes = {name: _hash(path.read_bytes()) for name, path in found.items()}
    return _hash(json.dumps(hashes, sort_keys=True).encode())


def reached(files: Iterable[Path]) -> set[Path]:
    """The sources of `features` that these files import, and what those import, and so on."""
    homes = sys.modules["features"]._HOMES
    left, found = list(files), set[Path]()
    while left:
        for name in _imported(ast.parse(left.pop().read_bytes())):
            of, *inside = name.split(".")[:2]
            if of != "features":
                continue
            module = "".join(homes.get(one, one) for one in inside)  # or the home of a function
            own = [_HERE / "__init__.py", _HERE / f"{module}.py", *(_HERE / module).rglob("*.py")]
            new = {path for path in own if path.is_file()} - found
            found |= new
            left += new
    return found


def _imported(tree: ast.Module) -> Iterator[str]:
    """What a source imports: modules, and of each what it takes from it, as ``module.name``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def counted_in(module: str) -> None:
    """Make a module, or package, of your own part of every `code_of`: what it registers, say.

    Where it is changed, what a run folder has of it is made anew.
    """
    _counted.add(module)
    code_of.cache_clear()


def counted_modules() -> set[str]:
    """Those that are `counted_in`, for a process that is to have them, too."""
    return set(_counted)


def _described(value: Any, modules: set[str], name: str) -> Any:
    """``value`` as JSON; the modules that define what it does are added to ``modules``."""
    kind = type(value)
    parts: dict[str, Any] | None = None
    if dataclasses.is_dataclass(kind):
        modules.update(base.__module__ for base in kind.__mro__[:-1])
        parts = {f".{field.name}": getattr(value, field.name) for field in dataclasses.fields(kind)}
    elif isinstance(value, (tuple, list)):
        parts = {f"[{i}]": item for i, item in enumerate(value)}
    elif isinstance(value, dict):
        parts = {f"[{key!r}]": item for key, item in value.items()}
    elif isinstance(value, (np.ndarray, jax.Array)):
        parts = {"hash": _hash(np.asarray(value).tobytes()), "type": value.dtype.str}
        parts["shape"] = tuple(value.shape)
    if parts is not None:
        found = [[part, _described(item, modules, name + part)] for part, item in parts.items()]
        return [kind.__module__, kind.__qualname__, found]
    if value is None or isinstance(value, (*_PLAIN, Enum, np.generic)):
        return [kind.__module__, kind.__qualname__, repr(value)]
    if ismethod(value):
        return [value.__name__, _described(value.__self__, modules, f"{name}.__self__")]
    where, module = getattr(value, "__qualname__", "<"), getattr(value, "__module__", None)
    # a lambda's or closure's name doesn't say what it does
    if not callable(value) or "<" in where or not isinstance(module, str):
        raise TypeError(
            f"{name} is {value!r}, which the features cache can't tell from others: use numbers, "
            "strings, arrays, tuples, dataclasses, or functions defined in a module"
        )
    modules.add(module)
    return [module, where]


def _code(modules: set[str], own: set[str]) -> dict[str, str]:
    """Hashes of the sources of `features`, of ``modules`` and of what these import.

    Of installed packages it is the version instead, unless they are among ``own``.
    """
    code = _sources(Path(__file__), __name__)
    imported: set[str] = set()
    for name in modules - code.keys():
        named, values = _names(name)
        imported |= named
        code[f"{name}: values"] = _hash(repr(values).encode())
    for name in sorted(modules | imported):
        top, file = _top(name), getattr(sys.modules.get(name), "__file__", None)
        if name in code or top in sys.stdlib_module_names:
            continue
        if top not in own and (file or "").startswith(_INSTALLED):
            code[top] = _version(top)
        elif file:
            code |= _sources(Path(file), name)
        elif name in modules:
            raise TypeError(
                f"an extractor is defined in {name}, which has no file: move it into one, so that "
                "the features cache can tell when its code changes"
            )
    return code


def _names(name: str) -> tuple[set[str], list[tuple[str, Any]]]:
    """Modules that a module names at its top, whole or by what is in them; its plain values."""
    there = list(vars(sys.modules[name]).items()) if name in sys.modules else []
    found = {getattr(v, "__name__" if ismodule(v) else "__module__", None) for _, v in there}
    values = [(n, v) for n, v in there if n[:2] != "__" and isinstance(v, _PLAIN)]
    return {module for module in found if isinstance(module, str)}, sorted(values)


def _sources(file: Path, name: str) -> dict[str, str]:
    """Hashes of a module's file, or of all Python files of the outermost package that it is in."""
    top = file.parent
    if not (top / "__init__.py").exists():
        return {name: _text(file, name)}
    while (top.parent / "__init__.py").exists():
        top = top.parent
    found = {}
    for path in sorted(top.rglob("*.py")):
        parts = path.relative_to(top.parent).with_suffix("").parts
        name = ".".join(parts).removesuffix(".__init__")
        found[name] = _text(path, name)
    return found


def _text(path: Path, name: str) -> str:
    """Hash of a module's source, read once for each time that it is loaded.

    A file changed since this process began need not be what runs here: an entry made by it is
    for this process alone.
    """
    loaded = getattr(sys.modules.get(name), "__spec__", None)
    if loaded is None or path not in _texts or _texts[path][0] is not loaded:
        late = _UNSURE if path.stat().st_mtime >= _STARTED else ""
        _texts[path] = (loaded, _hash(path.read_bytes() + late.encode()))
    return _texts[path][1]


def _top(name: str) -> str:
    return name.partition(".")[0]


@cache
def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:  # distributed under another name
        names = metadata.packages_distributions().get(package, [])
        return " ".join(f"{name} {metadata.version(name)}" for name in sorted(set(names)))


def _hash(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()
