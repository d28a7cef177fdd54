"""Named entries of this package that take a user's own."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any, TypeVar

T = TypeVar("T")


class Registry(MutableMapping[str, T]):
    """Entries by name, in order: this package's own, then a user's, set as ``registry[name] = …``.

    A user's entry may be set anew or deleted, this package's may not: run folders name them.

    Parameters
    ----------
    name : what users call the registry, for messages.
    own : this package's entries.
    check : raises TypeError or ValueError where an entry lacks something, saying what.
    recipe : an entry as users write it, for messages.
    """

    def __init__(
        self, name: str, own: Mapping[str, T], check: Callable[[Any], None], *, recipe: str
    ):
        self.name, self.recipe = name, recipe
        self._own, self._entries, self._check = frozenset(own), dict(own), check

    def unknown(self, name: str) -> str:
        """What is said of a name that is not here: the nearest ones, and how to register it."""
        near = difflib.get_close_matches(name, self)
        meant = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
        return (
            f"{meant}One of your own must be registered first: "
            f"{self.name}[{name!r}] = {self.recipe}"
        )

    def __getitem__(self, name: str) -> T:
        if name not in self._entries:
            raise KeyError(f"no {name!r} in {self.name}: {self.unknown(name)}")
        return self._entries[name]

    def __setitem__(self, name: str, entry: T) -> None:
        if not isinstance(name, str) or not name.strip():
            raise TypeError(f"a name in {self.name} must be a word, found {name!r}")
        if "," in name:
            raise ValueError(f"a name in {self.name} has no comma, which parts names: {name!r}")
        self._refuse_own(name)
        try:
            self._check(entry)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{self.name}[{name!r}]: {error}") from error
        self._entries[name] = entry

    def __delitem__(self, name: str) -> None:
        self._refuse_own(name)
        del self._entries[name]

    def _refuse_own(self, name: str) -> None:
        if name in self._own:
            raise ValueError(
                f"{name!r} in {self.name} is this package's own: take another name for yours"
            )

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"{self.name}: {', '.join(self)}"


def check_takes(what: str, function: Any, *given: str, gives: str) -> None:
    """Raise TypeError unless ``function`` can be called with ``given``, by their places.

    Parameters
    ----------
    what, gives : the function's name in its entry, and what it returns, for the message.
    """
    accepted = f"{what} is a function ({', '.join(given)}) -> {gives}"
    if not callable(function):
        raise TypeError(f"{accepted}, found {function!r}")
    try:
        signature = inspect.signature(function)
    except ValueError:  # some that are written in C have none
        return
    try:
        signature.bind(*given)
    except TypeError as error:
        raise TypeError(f"{accepted}, found one that takes {signature}: {error}") from None
