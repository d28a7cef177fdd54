"""The folder of a fit that can be resumed: one file, replaced whole at each save."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx

from classifiers.fit_config import FitConfig
from classifiers.history import Member
from classifiers.prediction import gather
from features.array_files import read_safetensors, write_safetensors
from features.settings import another, differences
from features.storage import MISREAD, understanding

_KEY = "fit"  # of the header's metadata: a JSON object
_SHARE = 0.05  # of the time, at most, goes into saving


class FitFolder:
    """Saves and restores the course of one fit in ``path``/fit.safetensors.

    Parameters
    ----------
    path : of the folder, which need not exist.
    identity : what makes this fit the one that it is, as JSON; see :func:`identity_of`.
    """

    def __init__(self, path: str | Path, identity: Mapping[str, Any]) -> None:
        self.file = Path(path) / "fit.safetensors"
        self.identity = json.loads(json.dumps(dict(identity)))
        self._due = -np.inf

    @property
    def due(self) -> bool:
        """Whether it is time to save again, so that saving takes a small share of the time."""
        return time.monotonic() >= self._due

    def save(self, taken: int, members: Sequence[Member], **trees: Any) -> None:
        """Keep how far it has come, and each tree of arrays that is not None."""
        start = time.monotonic()
        arrays = {
            f"{name}.{i}": leaf
            for name, tree in trees.items()
            for i, leaf in enumerate(jax.tree.leaves(tree))
        }
        course = {"taken": taken, "members": [asdict(member) for member in members]}
        write_safetensors(
            self.file, arrays, _KEY, json.dumps({"identity": self.identity, **course})
        )
        now = time.monotonic()
        self._due = now + (now - start) / _SHARE

    def restore(self, **templates: Any) -> tuple[int, list[Member], list[Any]] | None:
        """Steps taken, members and trees as last saved, or None where nothing was.

        A tree that was saved as None is None; the others are built like their templates.

        Raises
        ------
        ValueError
            The file is of another fit (what differs), or damaged.
        """
        if not self.file.exists():
            return None
        again = "delete it, and the same call starts again"
        arrays, header = read_safetensors(self.file, again, _KEY)
        try:
            about = json.loads(header[_KEY])
            identity, taken = dict(about["identity"]), int(about["taken"])
            members = [Member.from_dict(values) for values in about["members"]]
        except (*MISREAD, ValueError) as error:
            raise ValueError(f"{self.file} is damaged ({error}): {again}") from None
        self._check(identity)
        with understanding(self.file, again):
            return taken, members, [_filled(*item, arrays) for item in templates.items()]

    def _check(self, found: Mapping[str, Any]) -> None:
        if differing := differences(found, self.identity):
            advice = "Choose another run_dir, or make the same call to resume this one"
            raise another(str(self.file.parent), "fit", differing, advice)


def steps_taken(path: str | Path) -> int:
    """Steps that the fit in a folder had done when it was last saved; 0 where nothing was."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(FitFolder(path, {}).file, framework="numpy") as file:
            return int(json.loads((file.metadata() or {})[_KEY])["taken"])
    except (OSError, SafetensorError, *MISREAD, ValueError):  # `restore` tells
        return 0


def identity_of(
    models: Sequence[nnx.Module],
    data: Mapping[str, tuple[Any, np.ndarray] | None],
    config: FitConfig,
    seeds: Sequence[int],
    augment: Any,
    sample_weights: np.ndarray | None = None,
) -> dict[str, Any]:
    """All that decides what a fit comes to, short enough to be kept and compared.

    Inputs, which may be large, stand by their shape and three of their clips.
    """
    if augment is not None and not is_dataclass(augment):
        try:
            augment = f"{augment.__module__}.{augment.__qualname__}"
        except AttributeError:
            raise ValueError(
                f"augment of a fit with a run_dir must be told apart from others by a later "
                f"process: a frozen dataclass or a function, not {augment!r}"
            ) from None
    identity = {f"config.{name}": value for name, value in asdict(config).items()}
    identity |= {"seeds": list(map(int, seeds)), "augment": str(augment)}
    identity["weights at the start"] = _digest(*(nnx.state(model) for model in models))
    if sample_weights is not None:
        identity["sample_weights"] = f"hash {_digest(sample_weights)}"
    for name, pair in data.items():
        if pair is None:
            identity[name] = "none"
            continue
        inputs, labels = pair
        some = gather(inputs, np.array([0, len(labels) // 2, len(labels) - 1]))
        shape = (len(labels), *some.shape[1:])
        identity[name] = f"inputs {shape} and labels of hash {_digest(some, labels)}"
    return identity


def _filled(name: str, template: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    leaves, structure = jax.tree.flatten(template)
    if f"{name}.0" not in arrays:
        return None
    there = [arrays[f"{name}.{i}"] for i in range(len(leaves))]
    return jax.device_put(jax.tree.unflatten(structure, there), may_alias=False)  # steps take it


def _digest(*trees: Any) -> str:
    total = hashlib.blake2b(digest_size=8)
    for path, leaf in jax.tree_util.tree_leaves_with_path(trees):
        array = np.asarray(leaf, order="C")
        total.update(f"{jax.tree_util.keystr(path)} {array.dtype} {array.shape}".encode())
        total.update(array.tobytes())
    return total.hexdigest()
