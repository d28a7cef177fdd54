"""The checker of annotations under pytest: as beartype, but an int is a float (PEP 484)."""

from collections import Counter
from collections.abc import Callable
from functools import wraps
from types import CodeType
from typing import Any

from beartype import BeartypeConf, beartype

_beartype = beartype(conf=BeartypeConf(is_pep484_tower=True))
_OFTEN = 3
_made: Counter[CodeType] = Counter()


def check(function: Callable) -> Callable:
    """``function``, which checks what it is given.

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
                checker = _beartype(function)
        return checker(*args, **options)

    return checked
