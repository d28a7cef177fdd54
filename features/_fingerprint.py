"""What a feature extractor is, in one hash: its settings and the code that computes."""

from __future__ import annotations

import dataclasses
import dis
import hashlib
import json
import secrets
import site
import sys
import sysconfig
import time
from contextlib import suppress
from enum import Enum
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from types import CodeType
from typing import Any

import jax
import jaxlib
import numpy as np

_PACKAGE = Path(__file__).parent
_OURS = {"features", "wavegan", "classifiers", "experiments"}  # one version has many texts
_STARTED = time.time()
_UNSURE = secrets.token_hex(16)  # stands for code that no later process can be sure to have
_INSTALLED = (
    *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
    *site.getsitepackages(),
)
_texts: dict[str, tuple[object, str, set[str]]] = {}  # spec, hash, imports


def fingerprint(make: Any) -> str:
    """Hash of all that an extractor's numbers depend on besides the audio, 32 digits.

    That is its type and fields; the source text of `features`, of the modules that define the
    extractor and of what those import; the versions of installed packages that they import, the
    platform, and the settings of JAX that change numbers.

    Parameters
    ----------
    make : a dataclass object, or a function of a module.

    Raises
    ------
    TypeError
        What is inside ``make`` can't be told apart by its value, or its module has no file.
    """
    modules: set[str] = set()
    what = _described(make, modules, type(make).__name__)
    content = {
        "make": what,
        "code": _code(modules, own=_OURS | {_top(getattr(make, "__module__", ""))}),
        "versions": [jax.__version__, jaxlib.__version__],
        "platform": jax.default_backend(),
        "precision": [
            getattr(jax.config, f"jax_{n}") for n in ("enable_x64", "default_matmul_precision")
        ],
    }
    return _hash(json.dumps(content, sort_keys=True).encode())


def _described(value: Any, modules: set[str], name: str) -> Any:
    """``value`` as JSON; the modules that define what it does are added to ``modules``."""
    kind = type(value)
    described = [kind.__module__, kind.__qualname__]
    if dataclasses.is_dataclass(kind):
        modules.update(base.__module__ for base in kind.__mro__[:-1])
        return described + [
            [field.name, _described(getattr(value, field.name), modules, f"{name}.{field.name}")]
            for field in dataclasses.fields(kind)
        ]
    if value is None or isinstance(
        value, (bool, int, float, complex, str, bytes, Enum, np.generic)
    ):
        return [*described, repr(value)]
    if isinstance(value, (tuple, list)):
        return described + [_described(v, modules, f"{name}[{i}]") for i, v in enumerate(value)]
    if isinstance(value, dict):
        items = [[repr(k), _described(v, modules, f"{name}[{k!r}]")] for k, v in value.items()]
        return [*described, items]
    if isinstance(value, (np.ndarray, jax.Array)):
        array = np.asarray(value)
        return [*described, array.dtype.str, array.shape, _hash(array.tobytes())]
    where = getattr(value, "__qualname__", "<unknown>")
    if not callable(value) or "<" in where:  # a lambda's or closure's name doesn't say what it does
        raise TypeError(
            f"{name} is {value!r}, which the features cache can't tell from others: use numbers, "
            "strings, arrays, tuples, dataclasses, or functions defined in a module"
        )
    modules.add(value.__module__)
    return [value.__module__, where]


def _code(modules: set[str], own: set[str]) -> dict[str, str]:
    """Hash of the text of each module of `features`, ``modules`` and of what they import.

    Of installed packages it is the version instead, unless they are among ``own``.
    """
    todo = modules | {f"features.{path.stem}" for path in _PACKAGE.glob("*.py")}
    code: dict[str, str] = {}
    while todo:
        name = todo.pop()
        top = _top(name)
        if name in code or top in sys.stdlib_module_names:
            continue
        if top not in own and (_file(top) or "").startswith(_INSTALLED):
            code[top] = code.get(top) or _version(top)
        elif file := _file(name):
            code[name], imports = _text(name, Path(file))
            todo |= imports
        elif name in modules:
            raise TypeError(
                f"an extractor is defined in {name}, which has no file: move it into one, so that "
                "the features cache can tell when its code changes"
            )
    return code


def _top(name: str) -> str:
    return name.partition(".")[0]


def _file(name: str) -> str | None:
    """Where a module comes from; None where ``name`` is no module, or one without a file."""
    if name in sys.modules:
        return getattr(sys.modules[name], "__file__", None)
    with suppress(ImportError, ValueError):
        spec = find_spec(name)
        return spec.origin if spec else None
    return None


@cache
def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:  # distributed under another name
        names = metadata.packages_distributions().get(package, [])
        return " ".join(f"{name} {metadata.version(name)}" for name in sorted(set(names)))


def _text(name: str, path: Path) -> tuple[str, set[str]]:
    """Hash of a module's text, read once for each time that it is loaded, and what it imports.

    A file changed since this process began need not be what runs here: an entry made by it is
    for this process alone.
    """
    spec = getattr(sys.modules.get(name), "__spec__", None)
    if spec is None or name not in _texts or _texts[name][0] is not spec:
        late = _UNSURE if path.stat().st_mtime >= _STARTED else ""
        text = path.read_bytes()
        _texts[name] = (spec, _hash(text + late.encode()), _imports(name, path, text))
    return _texts[name][1:]


@cache
def _imports(name: str, path: Path, text: bytes) -> set[str]:
    """All that the text imports, inside functions too; some are names in a module, not modules.

    Read off the byte code, since the parser of `ast` is not safe in threads of Python 3.11.
    """
    try:
        codes = [compile(text, path, "exec", dont_inherit=True)]
    except (SyntaxError, ValueError):  # compiled, or in the middle of an edit
        return set()
    package = name.split(".") if path.stem == "__init__" else name.split(".")[:-1]
    found: set[str] = set()
    for code in codes:
        codes += [const for const in code.co_consts if isinstance(const, CodeType)]
        if dis.opmap["IMPORT_NAME"] not in code.co_code[::2]:
            continue
        steps = [step for step in dis.get_instructions(code) if step.opname != "EXTENDED_ARG"]
        for level, names, step in zip(steps, steps[1:], steps[2:], strict=False):
            if step.opname == "IMPORT_NAME":
                above = package[: len(package) - level.argval + 1] if level.argval else []
                base = ".".join([*above, *filter(None, [step.argval])])
                found |= {base} | {f"{base}.{part}" for part in names.argval or ()}
    return found


def _hash(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()
