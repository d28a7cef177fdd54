"""The checker of annotations under pytest: jaxtyping's shapes and beartype's types, at little cost.

jaxtyping wraps a function where it is defined, in two that it compiles, and binds the arguments of
every call. Here that is done at the first call, and only where annotations name a shape.
"""

import builtins
import re
from collections import Counter
from collections.abc import Callable
from functools import wraps
from types import CodeType, FunctionType
from typing import Any

import jaxtyping
from beartype import BeartypeConf, beartype
from jaxtyping import install_import_hook

_jaxtyped = jaxtyping.jaxtyped
# An int is a float (PEP 484).
_beartype = beartype(conf=BeartypeConf(is_pep484_tower=True, violation_type=TypeError))
_OFTEN = 3
_made: Counter[CodeType] = Counter()


def install(packages: list[str]) -> None:
    """Check the annotations of all that is imported from ``packages`` from now on."""
    jaxtyping.jaxtyped = _sparing
    install_import_hook(packages, "typechecking.check").__enter__()


def _sparing(target: Any = None, **options: Any) -> Any:
    """As `jaxtyping.jaxtyped`, which the import hook decorates with; functions by `check`."""
    if target is None:
        return lambda found: _sparing(found, **options)
    return check(target) if isinstance(target, FunctionType) else _jaxtyped(target, **options)


def check(function: Callable) -> Callable:
    """``function``, which checks what it is given and what it returns.

    A checker takes a millisecond to compile: it is at the first call, and of a function within
    another, which is made anew at every call of that one, only the first few times.
    """
    checker: Callable | None = None

    @wraps(function)
    def checked(*args: Any, **options: Any) -> Any:
        nonlocal checker
        if checker is None:
            checker = function
            code = getattr(function, "__code__", None)
            _made[code] += "<locals>" in function.__qualname__
            if _made[code] <= _OFTEN:
                checker = _checker(function)
        return checker(*args, **options)

    return checked


def _checker(function: Callable) -> Callable:
    """`jaxtyped` where an annotation is one of shapes, or of a name that is only known to mypy."""
    words = " ".join(map(str, function.__annotations__.values()))
    known = vars(builtins) | function.__globals__
    names = re.findall(r"(?<![\w.])[A-Za-z_]\w*", words)
    if all(name in known and "jaxtyping" not in repr(known[name]) for name in names):
        return _beartype(function)
    return _jaxtyped(function, typechecker=_beartype)
