"""The registry of extractors: what makes one, and how its settings are written and read."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
from jax import Array


@runtime_checkable
class Extractor(Protocol):
    """What every extractor has."""

    @property
    def standardize(self) -> bool:
        """Whether its features are scaled with the training clips' moments."""
        ...

    def __call__(self, audio: np.ndarray | Array, sample_rate: int) -> np.ndarray | Array:
        """Features (N, ...) of clips (N, L, C) in [-1, 1]; none depends on the other clips."""
        ...


EXTRACTORS: dict[str, type[Extractor]] = {}  # by name, in the order of their registration
_Kind = TypeVar("_Kind", bound=type)
_PLAIN = {"bool", "int", "float", "str", "tuple", "None"}  # what JSON has, lists as tuples


def register_extractor(kind: _Kind) -> _Kind:
    """Register a class of extractors, so that `from_dict` finds it by its name; a decorator.

    Raises
    ------
    TypeError
        It lacks something of what an extractor must have.
    ValueError
        Another one has its name.

    Examples
    --------
    >>> from features import rms
    >>> @register_extractor
    ... @dataclass(frozen=True)
    ... class Loudness:
    ...     hop_length: int = 512
    ...     standardize: ClassVar[bool] = True
    ...     def __call__(self, audio, sample_rate):
    ...         return rms(mono(audio), hop_length=self.hop_length)
    >>> from_dict({"type": "Loudness", "hop_length": 256})
    Loudness(hop_length=256)
    """
    parameters = getattr(kind, "__dataclass_params__", None)
    lacking = [
        what
        for what, there in (
            ("@dataclass(frozen=True)", parameters is not None and parameters.frozen),
            ("__call__(self, audio, sample_rate)", "__call__" in dir(kind)),
            (
                "standardize: ClassVar[bool] = True or False",
                isinstance(getattr(kind, "standardize", None), bool),
            ),
        )
        if not there
    ]
    if lacking:
        raise TypeError(f"the extractor {kind.__name__} lacks {' and '.join(lacking)}")
    there = EXTRACTORS.setdefault(kind.__name__, kind)
    if (there.__module__, there.__qualname__) != (kind.__module__, kind.__qualname__):
        raise ValueError(
            f"there is an extractor {kind.__name__} already, of {there.__module__}: "
            "give yours another name"
        )
    EXTRACTORS[kind.__name__] = kind  # of a module that was loaded again
    return kind


def as_dict(made: Extractor) -> dict[str, Any]:
    """An extractor's settings with the name of its type, as JSON takes them."""
    settings: dict[str, Any] = dataclasses.asdict(made)  # type: ignore[call-overload]
    return {"type": type(made).__name__, **settings}


def from_dict(values: Mapping[str, Any]) -> Extractor:
    """The extractor that `as_dict` wrote.

    Raises
    ------
    ValueError
        There is none of its type, or that has no such setting.
    """
    settings = {name: _tuples(value) for name, value in values.items() if name != "type"}
    kind = EXTRACTORS.get(name := str(values.get("type")))
    if kind is None:
        near = difflib.get_close_matches(name, EXTRACTORS, n=2)
        raise ValueError(
            f"no extractor {name!r}{': is it ' + ' or '.join(near) + '?' if near else ''}; there "
            f"are {', '.join(EXTRACTORS)}; import the module that registers another one first"
        )
    known = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    if unknown := settings.keys() - set(known):
        raise ValueError(
            f"the extractor {name} has no {', '.join(sorted(unknown))}; it has {', '.join(known)}"
        )
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]
        wanted, found = _kinds(field), settings.get(field.name, field.default)
        of = type(found).__name__.removesuffix("Type")  # NoneType is None in annotations
        if wanted and of not in wanted and not (of == "int" and "float" in wanted):
            raise ValueError(
                f"the extractor {name} has {field.name} {found!r:.40}, where "
                f"{' or '.join(sorted(wanted))} is needed"
            )
    return kind(**settings)


def _kinds(field: dataclasses.Field) -> set[str]:
    """The types of a setting as its annotation names them, else that of its default.

    Empty where they are none of those that JSON has.
    """
    annotation = getattr(field.type, "__name__", str(field.type))
    annotated = {part.strip().partition("[")[0] for part in annotation.split("|")}
    return next(
        (some for some in (annotated, {type(field.default).__name__}) if some <= _PLAIN), set()
    )


def mono(audio: np.ndarray | Array) -> np.ndarray | Array:
    """Clips (N, L, C) averaged over their channels, (N, L); mono ones (N, L) or (L,) as they are.

    Raises
    ------
    ValueError
        Another number of axes.
    """
    if audio.ndim not in (1, 2, 3):
        raise ValueError(
            f"audio has the shape {audio.shape}; clips (N, L, C), or (N, L) or (L,) of one "
            "channel, are accepted"
        )
    if audio.ndim < 3:
        return audio
    return audio[..., 0] if audio.shape[-1] == 1 else audio.mean(-1)


def _tuples(value: Any) -> Any:
    """The lists of JSON as tuples, which a frozen dataclass can hold."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
