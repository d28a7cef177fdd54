"""A trained classifier as one file that is safe to read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx

from classifiers.architectures import create
from classifiers.classifier import Classifier
from features.array_files import check_sizes, read_safetensors, write_safetensors
from features.storage import MISREAD, parsed_json

VERSION = 1  # of the format; another one is refused
_KEY = "classifier"  # of the header's metadata: a JSON object of version, spec and metadata


def save(model: nnx.Module, path: str | Path, *, metadata: Mapping[str, Any] | None = None) -> None:
    """Write a classifier to one ``.safetensors`` file, whole or not at all.

    It holds every weight and batch statistic under its readable name (``layers.0.kernel``),
    what :func:`classifiers.create` made the network from, and ``metadata``: no pickle, nothing
    that runs.

    Parameters
    ----------
    model : from :func:`classifiers.create`.
    path : to write to; its suffix is ``.safetensors``.
    metadata : what else the file should say, as JSON: labels, sample_rate, ….

    Raises
    ------
    ValueError
        A model that ``create`` did not make, another suffix, or metadata that JSON cannot hold.
    OSError
        The file system refuses, a full disk for one.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"{path}: the name of a saved classifier ends in .safetensors")
    if not isinstance(model, Classifier):
        raise ValueError(
            f"{path}: the classifier cannot be made again from a file, since it has no spec: "
            "make it with classifiers.create"
        )
    about = {"version": VERSION, "spec": asdict(model.spec), "metadata": dict(metadata or {})}
    try:
        text = json.dumps(about, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: metadata must be fit for JSON: {error}") from None
    arrays = {name: each[...] for name, each in _variables(model).items()}
    write_safetensors(path, arrays, _KEY, text)


def load(path: str | Path) -> tuple[Classifier, dict[str, Any]]:
    """The classifier that `save` wrote to ``path``, and the metadata given there.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        The file is something else, cut short, changed, of another version, of an architecture that
        this version has not, or its variables are not those of its architecture.
    """
    path = Path(path)
    arrays, header = read_safetensors(path, "save the classifier again", _KEY)
    model, metadata = _described(path, header, arrays)
    _fill(path, model.spec.name, _variables(model), arrays)
    return model, metadata


def take_over(model: Classifier, path: str | Path) -> dict[str, Any]:
    """Give a network the layers of a saved one, all but the last; the metadata of that.

    Parameters
    ----------
    model : of the same architecture, for as many classes as it likes.
    path : of a file that `save` wrote.

    Raises
    ------
    FileNotFoundError, ValueError
        As `load`; for another architecture, framework, or sizes that do not fit (which variable);
        for a network without layers below its last one.
    """
    there, metadata = load(path)
    if there.spec.name != model.spec.name:
        raise ValueError(
            f"{path} holds a {there.spec.name}, and its layers are to be those of a "
            f"{model.spec.name}: give a file of that, or take the recipe of the other"
        )
    if there.spec.framework != model.spec.framework:
        raise ValueError(
            f"{path} holds a network with the constants of {there.spec.framework}, and its layers "
            f"are to have those of {model.spec.framework}: create it with "
            f"framework={there.spec.framework!r}"
        )
    last = ".".join(map(str, model.head_place())) + "."
    found, own = (
        {name: x for name, x in _variables(one).items() if not name.startswith(last)}
        for one in (there, model)
    )
    if not own:
        raise ValueError(f"{path} holds a {there.spec.name}, which has a last layer and no other")
    _fill(Path(path), model.spec.name, own, {name: np.asarray(x[...]) for name, x in found.items()})
    return metadata


def _described(
    path: Path, header: Mapping[str, str], arrays: Mapping[str, np.ndarray]
) -> tuple[Classifier, dict[str, Any]]:
    """The network of a file's header, without weights, and the metadata."""
    if _KEY not in header:
        raise ValueError(f"{path} holds no classifier: classifiers.save did not write it")
    try:
        about = parsed_json(header[_KEY], path, "save it again")
        version = about["version"]
        if version == VERSION:
            spec = dict(about["spec"])
            options = dict(spec.pop("options"))
            check_sizes([spec, options], arrays)
            key = jax.eval_shape(lambda: jax.random.key(0))  # none is drawn: they are filled
            model = nnx.eval_shape(lambda k: create(**spec, rngs=nnx.Rngs(k), **options), key)
            return model, dict(about["metadata"])
    except (*MISREAD, ValueError) as error:
        raise ValueError(
            f"{path} describes no classifier that this version knows: {error}"
        ) from None
    raise ValueError(
        f"{path} is of format version {version}, this is version {VERSION}: read it with the "
        "version of wavegan that wrote it"
    )


def _fill(
    path: Path,
    architecture: str,
    variables: Mapping[str, nnx.Variable],
    arrays: Mapping[str, np.ndarray],
) -> None:
    """Put ``arrays`` into the variables of the same names, each of which there must be."""
    for problem, names in (
        ("is missing", variables.keys() - arrays.keys()),
        (f"has no place in {architecture}", arrays.keys() - variables.keys()),
    ):
        if names:
            raise ValueError(f"{path}: the variable {min(names)} {problem}")
    for name, variable in variables.items():
        found, needed = arrays[name], variable.get_value()
        if (found.shape, found.dtype) != (needed.shape, needed.dtype):
            raise ValueError(
                f"{path}: the variable {name} is {found.dtype} {found.shape}, "
                f"{architecture} needs {needed.dtype} {needed.shape}"
            )
        variable.set_value(jax.device_put(found))


def _variables(model: nnx.Module) -> dict[str, nnx.Variable]:
    """Every variable, batch statistics among them, by its name."""
    return {".".join(map(str, place)): v for place, v in nnx.to_flat_state(nnx.state(model))}
