"""Audio in, arrays out: files, data sets, splits, spectra, augmentation.

A name is imported when it is first asked for, from where `__init__.pyi` says: what only reads files
needs no JAX.
"""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path

import features._xla  # noqa: F401  # before anything that computes

TYPE_CHECKING = False  # `typing` takes longer to import than all else here
if TYPE_CHECKING:
    from typing import Any

_HOMES = {
    name.name: node.module
    for node in ast.parse(Path(__file__).with_suffix(".pyi").read_text()).body
    if isinstance(node, ast.ImportFrom)
    for name in node.names
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(f"features.{_HOMES[name]}"), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
