"""What an augmentation is: one entry, from which names, help, ranges and listening pages follow."""

from __future__ import annotations

import difflib
import inspect
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import jax

Range = tuple[float, float]
LEVELS = ("waveform", "features")


@dataclass(frozen=True)
class Augmentation:
    """A way to alter training examples.

    Attributes
    ----------
    name : as `parse_augmentations` takes it.
    about : what it does, in a few words.
    function : of the waveform ``(key or keys, audio (n, L, C), *, SETTING=(low, high))`` to audio
        of that shape; it may take ``sample_rate``, too. Of features ``(key, inputs (n, …),
        targets (n, K))`` to both.
    level : "waveform" or "features".
    setting : the name of its range, None where it has none; ``range`` is its default.
    above : what the range must lie above.
    neutral : the setting's value that leaves a clip alone.
    words : for a version, with the setting's value if it has one: "gain {:+.3g} dB".
    shown : how a clip sounds where it is altered, if a draw may leave it as it is.
    switches : of features, the fields of `FeatureAugmentation` that switch it on instead of
        ``function``; for what is written there.
    draw : folded into a clip's key, so that what is drawn does not depend on what else is named.
    """

    name: str
    about: str
    function: Callable[..., Any]
    level: str = "waveform"
    setting: str | None = None
    range: Range | None = None
    above: float = float("-inf")
    neutral: float = 0.0
    words: str = ""
    shown: Callable[[Any], Any] | None = None
    switches: Mapping[str, Any] = field(default_factory=dict)
    draw: int = 0

    def of(self, sample_rate: int, chosen: Range | None) -> dict[str, Any]:
        """The keywords that ``function`` is called with."""
        takes_rate = "sample_rate" in inspect.signature(self.function).parameters
        rate = {"sample_rate": sample_rate} if takes_rate else {}
        return rate if self.setting is None else {**rate, self.setting: chosen}


AUGMENTATIONS: dict[str, Augmentation] = {}  # by name, in the order that they apply
_Function = TypeVar("_Function", bound=Callable[..., Any])


def register_augmentation(
    name: str,
    about: str,
    *,
    level: str = "waveform",
    setting: str | None = None,
    above: float = float("-inf"),
    neutral: float = 0.0,
    words: str = "",
    shown: Callable[[Any], Any] | None = None,
    switches: Mapping[str, Any] | None = None,
    draw: int | None = None,
) -> Callable[[_Function], _Function]:
    """Register a function as the augmentation ``name``; a decorator.

    Parameters are those of `Augmentation`. The default range is the one that ``setting`` has in
    the function's signature; ``draw`` follows from the name.

    Raises
    ------
    TypeError
        The entry lacks something, or the function does not take what it is called with, or gives
        audio of another shape than it is given.
    ValueError
        The name is taken, or cannot stand in a list such as "noise,pitch".

    Examples
    --------
    >>> import numpy as np
    >>> from features.augmentation import WaveformAugmentation
    >>> @register_augmentation("reversed", "played backwards", words="backwards")
    ... def play_backwards(key, audio):
    ...     return audio[:, ::-1]
    >>> WaveformAugmentation(("reversed",))(0, np.float32([[[0.1], [0.2]]]), 8000).ravel()
    Array([0.2, 0.1], dtype=float32)
    >>> del AUGMENTATIONS["reversed"]
    """

    def register(function: _Function) -> _Function:
        entry = Augmentation(
            name,
            about,
            function,
            level,
            setting,
            _default_of(name, function, level, setting),
            above,
            neutral,
            words or name,
            shown,
            switches or {},
            zlib.crc32(name.encode()) if draw is None else draw,
        )
        there = AUGMENTATIONS.get(name, entry).function
        ours = (function.__module__, function.__qualname__)
        if (there.__module__, there.__qualname__) != ours:
            raise ValueError(
                f"there is an augmentation {name!r} already, {there.__module__}."
                f"{there.__qualname__}: give yours another name"
            )
        if setting is not None:
            check_range(entry.range, setting, above)
        if level == "waveform" and not function.__module__.startswith(f"{__package__}."):
            _check_shape(entry)  # of this package's own, tests do
        AUGMENTATIONS[name] = entry
        return function

    if not name.strip() or set(name) & set(", ") or name in ("all", "none"):
        raise ValueError(f"an augmentation can't be called {name!r}: use a word without commas")
    if level not in LEVELS:
        raise TypeError(f"augmentation {name!r}: level={level!r}; use {' or '.join(LEVELS)}")
    return register


def _default_of(name: str, function: Any, level: str, setting: str | None) -> Range | None:
    """The default range of the setting, after a look at what the function takes."""
    given = ["key", "audio"] if level == "waveform" else ["key", "inputs", "targets"]
    taken = inspect.signature(function).parameters
    must = [n for n, p in taken.items() if p.default is p.empty and p.kind is not p.VAR_KEYWORD]
    must = [n for n in must if n != "sample_rate"]
    if len(must) != len(given) or list(taken)[: len(given)] != must:
        raise TypeError(
            f"augmentation {name!r}: its function takes {inspect.signature(function)}; one of the "
            f"{level} takes ({', '.join(given)}), then keywords with defaults"
            + (", and sample_rate if it wants" if level == "waveform" else "")
        )
    if setting is None:
        return None
    if setting not in taken or taken[setting].default is inspect.Parameter.empty:
        raise TypeError(
            f"augmentation {name!r}: its function has no keyword {setting} with a default range, "
            f"such as {setting}=(0.0, 1.0)"
        )
    return taken[setting].default


def _check_shape(entry: Augmentation) -> None:
    """Raise TypeError unless two clips, a second each, are of the same shape afterwards."""
    rate = 22050
    clips = jax.ShapeDtypeStruct((2, rate, 1), "float32")
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), 2))
    try:
        altered = partial(entry.function, **entry.of(rate, entry.range))
        found = jax.eval_shape(altered, keys, clips)
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
        raise TypeError(f"augmentation {entry.name!r} fails on clips: {said}") from error
    if getattr(found, "shape", None) != clips.shape:
        raise TypeError(
            f"augmentation {entry.name!r} must give clips of the shape that it is given, "
            f"{clips.shape}; found {getattr(found, 'shape', found)}"
        )


def of_level(level: str) -> dict[str, Augmentation]:
    """The entries of the waveform or of features, in the order that they apply."""
    return {name: entry for name, entry in AUGMENTATIONS.items() if entry.level == level}


def check_range(limits: Any, name: str, above: float = float("-inf")) -> None:
    """Refuse what is no range (lowest, highest) of numbers above ``above``."""
    if len(limits) != 2 or not above < limits[0] <= limits[1] < float("inf"):
        bound = f" above {above:g}" if above > float("-inf") else ""
        raise ValueError(f"{name}={limits}: a range is (lowest, highest), two numbers{bound}")


def check_names(names: tuple[str, ...], known: Iterable[str], or_else: str = "") -> None:
    """Refuse names that are not known, with the nearest ones, none, or one named twice."""
    known = tuple(known)
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=2)
            tip = f"is it {' or '.join(near)}? " if near else ""
            raise ValueError(
                f"no augmentation {name!r}: {tip}name any of {', '.join(known)}{or_else}"
            )
    if not names or len(set(names)) < len(names):
        raise ValueError(
            f"augmentations {', '.join(names) or '(none)'}: name one or more of "
            f"{', '.join(known)}, each once"
        )
