"""A generator as one file that is safe to read: weights in safetensors, the rest in its header."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from features.array_files import check_sizes, read_safetensors, write_safetensors
from features.limits import check_kinds
from features.storage import MISREAD, parsed_json
from wavegan.networks import Generator, WaveGANConfig, without_weights

VERSION = 1  # of the format; another one is refused
_MODELS = Path(__file__).parent / "models"  # generators of the package, each with its card
DTYPES = ("float32", "bfloat16")
_KEY = "wavegan"  # of the header's metadata: a JSON object of version, config and metadata


def export(
    generator: Generator,
    path: str | Path,
    *,
    metadata: Mapping[str, Any] | None = None,
    dtype: str = "float32",
) -> None:
    """Write a generator to one ``.safetensors`` file, whole or not at all.

    It holds every variable under its readable name (``layers.0.kernel``), the configuration,
    and ``metadata``: no pickle, nothing that runs.

    Parameters
    ----------
    path : to write to; its suffix is ``.safetensors``.
    metadata : what else the file should say, as JSON: sample_rate (`wavegan generate` needs
        it), labels, step, ….
    dtype : "bfloat16" halves the file and keeps 8 bits of each weight: sounds differ by some
        -40 dB. What is read is float32 again.

    Raises
    ------
    ValueError
        Another suffix or dtype, or metadata that JSON cannot hold.
    OSError
        The file system refuses, a full disk for one.

    Examples
    --------
    >>> export(generator, "drums.safetensors", metadata={"sample_rate": 16000})  # doctest: +SKIP
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"{path}: the name of an exported generator ends in .safetensors")
    if dtype not in DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(DTYPES)}; found {dtype!r}")
    about = {
        "version": VERSION,
        "config": asdict(generator.config),
        "metadata": dict(metadata or {}),
    }
    try:
        text = json.dumps(about, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: metadata must be fit for JSON: {error}") from None
    arrays = {name: variable[...].astype(dtype) for name, variable in _variables(generator)}
    write_safetensors(path, arrays, _KEY, text)


def models() -> list[str]:
    """The names of the generators that come with the package."""
    return sorted(file.stem for file in _MODELS.glob("*.safetensors"))


def located(path: str | Path) -> Path:
    """``path``, or the file of a generator of the package, where it is the name of one.

    A run folder of that name in the working folder goes first.
    """
    path = Path(path)
    own = str(path) in models() and not (path / "config.json").exists()
    return _MODELS / f"{path}.safetensors" if own else path


def read_exported(path: str | Path) -> tuple[Generator, dict[str, Any]]:
    """The generator that `export` wrote to ``path``, and the metadata given there.

    The name of one that comes with the package, ``"digits"``, will do.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        The file is something else, cut short, changed, of another version, or its variables are not
        those of its configuration: which one, what was found and what is needed.
    """
    path = located(path)
    arrays, header = read_safetensors(path, "export the generator again", _KEY)
    config, metadata = _described(path, header, arrays)
    generator, _ = without_weights(config)
    _fill(path, generator, arrays)
    return generator, metadata


def _described(
    path: Path, header: Mapping[str, str], arrays: Mapping[str, np.ndarray]
) -> tuple[WaveGANConfig, dict[str, Any]]:
    """The configuration and the metadata in a file's header."""
    if _KEY not in header:
        raise ValueError(f"{path} holds no generator: `wavegan export` did not write it")
    try:
        about = parsed_json(header[_KEY], path, "export it again")
        version = about["version"]
        if version == VERSION:
            config = WaveGANConfig(**about["config"])
            check_kinds(config)
            check_sizes(about["config"], arrays)
            return config, dict(about["metadata"])
    except (*MISREAD, ValueError) as error:
        raise ValueError(
            f"{path} describes no generator that this version knows: {error}"
        ) from None
    raise ValueError(
        f"{path} is of format version {version}, this is version {VERSION}: export it again "
        "with this version of wavegan, or read it with the one that wrote it"
    )


def _fill(path: Path, generator: Generator, arrays: Mapping[str, np.ndarray]) -> None:
    """Put ``arrays`` into the variables of the same names, each of which there must be."""
    variables = dict(_variables(generator))
    if missing := sorted(variables.keys() - arrays.keys()):
        raise ValueError(
            f"{path}: the variable {missing[0]} is missing; found: {', '.join(sorted(arrays))}"
        )
    if extra := sorted(arrays.keys() - variables.keys()):
        raise ValueError(
            f"{path}: the variable {extra[0]} has no place in {generator.config}, which has "
            f"{', '.join(sorted(variables))}"
        )
    for name, variable in variables.items():
        found, needed = arrays[name], variable.get_value()
        if found.shape != needed.shape or found.dtype not in (needed.dtype, jnp.bfloat16):
            raise ValueError(
                f"{path}: the variable {name} is {found.dtype} {found.shape}, "
                f"{generator.config} needs {needed.dtype} {needed.shape}"
            )
        variable.set_value(jax.device_put(found.astype(needed.dtype)))


def _variables(generator: Generator) -> list[tuple[str, nnx.Variable]]:
    """Every variable, averages of batch norm among them, with its name."""
    flat = nnx.to_flat_state(nnx.state(generator))
    return [(".".join(map(str, place)), variable) for place, variable in flat]
