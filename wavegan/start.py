"""What a training starts from: another GAN, an exported generator, the reference's weights."""

from __future__ import annotations

import hashlib
import warnings
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from features.storage import understanding
from wavegan.export import located, read_exported
from wavegan.networks import (
    Discriminator,
    Generator,
    WaveGANConfig,
    definitions,
    without_weights,
)
from wavegan.players import State
from wavegan.reference import load_reference
from wavegan.run_folder import RunFolder
from wavegan.step import state_shapes
from wavegan.train_config import TrainConfig

Network = Generator | Discriminator


@dataclass(frozen=True)
class Start:
    """Networks whose weights a training starts from.

    Attributes
    ----------
    name : what they are called: a folder or file.
    generator, critic : the networks; None where there is no critic.
    provenance : what their GAN says that it was trained on; None where it says nothing.
    """

    name: str
    generator: Generator
    critic: Discriminator | None = None
    provenance: Mapping[str, Any] | None = None

    @cached_property
    def digest(self) -> str:
        """A hash of all weights."""
        total = hashlib.blake2b(digest_size=16)
        given: list[Network] = [self.generator, *([self.critic] if self.critic else [])]
        for network in given:
            for layer, parts in _layers(network).items():
                for part, variable in parts.items():
                    value = np.asarray(variable[...])
                    total.update(f"{layer} {part} {value.dtype} {value.shape}".encode())
                    total.update(value.tobytes())
        return total.hexdigest()

    @property
    def ancestors(self) -> list[dict[str, Any]]:
        """What the provenance of a GAN that starts from here says of it, see `lineage`."""
        return lineage(self.name, self.digest, self.provenance)

    def problems(self, config: WaveGANConfig) -> dict[str, str]:
        """Why layers of ``config`` don't fit, by their names; none fits: ValueError."""
        generator, critic = without_weights(config)
        problems = dict(self._problems(generator, critic))
        if _layers(generator).keys() <= problems.keys():
            raise ValueError(
                f"init {self.name} fits no layer of the generator: found {self.generator!r}, "
                f"needed {generator!r}"
            )
        return problems

    def check(self, config: WaveGANConfig) -> None:
        """Name in a warning the layers of ``config`` that don't fit; none fits: ValueError."""
        named: dict[str, list[str]] = defaultdict(list)
        for name, problem in self.problems(config).items():
            named[problem].append(name)
        if named:
            said = "; ".join(f"{', '.join(names)} {problem}" for problem, names in named.items())
            warnings.warn(f"init {self.name} does not fit everywhere: {said}", stacklevel=2)

    def fill(self, generator: Generator, critic: Discriminator) -> None:
        """Put the weights into the layers that they fit; the others stay as they are."""
        for source, target in self._pairs(generator, critic):
            found, needed = _layers(source), _layers(target)
            for name, problem in _fitting(source, target):
                if problem is None:
                    for part, variable in needed[name].items():
                        variable[...] = jnp.asarray(found[name][part][...], jnp.float32)

    def _pairs(
        self, generator: Generator, critic: Discriminator
    ) -> Iterator[tuple[Network, Network]]:
        yield self.generator, generator
        if self.critic is not None:
            yield self.critic, critic

    def _problems(self, generator: Generator, critic: Discriminator) -> Iterator[tuple[str, str]]:
        """The name of each layer that does not fit, and why."""
        for source, target in self._pairs(generator, critic):
            of = "critic's " if isinstance(target, Discriminator) else ""
            for name, problem in _fitting(source, target):
                if problem is not None:
                    yield of + name, problem


Init = Generator | tuple[Generator, Discriminator] | str | Path | Start


def lineage(name: str, digest: str, provenance: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """What the provenance of a GAN says of one that it started from, and of that one's ancestors.

    An ancestor without ``tracks`` is one of which nobody knows what it was trained on.
    """
    own = dict(provenance or {})
    with understanding(f"the provenance of {name}", "export or train it again"):
        earlier = [{**one} for one in own.pop("ancestors", [])]
    return [{**own, "name": name, "digest": digest}, *earlier]


def read_start(init: Init, config: WaveGANConfig) -> Start:
    """What ``init`` of a training is.

    Parameters
    ----------
    init : a generator, a generator and its critic, a run folder (the averaged generator and the
        critic of its best checkpoint, or else its newest), a ``.safetensors`` file of `export` (or
        the name of one of the package), or a ``.npz`` file of the reference's variables, as
        `load_reference` takes them; or what was read of these.
    config : of the networks that are trained.

    Raises
    ------
    ValueError, CheckpointError, OSError
        Where it holds no weights, saying what was found.
    """
    if isinstance(init, Start):
        return init
    if isinstance(init, Generator):
        return Start("a generator given in Python", init)
    if isinstance(init, tuple):
        return Start("networks given in Python", *init)
    path = located(init)
    if path.suffix == ".safetensors":
        generator, metadata = read_exported(path)
        return Start(path.name, generator, provenance=metadata)
    if path.suffix == ".npz":
        return Start(path.name, *_read_reference(path, config))
    folder = RunFolder(path)
    generator, critic = read_networks(folder, "best" if folder.best_step() else None)
    said = folder.read_config().get("provenance")
    return Start(path.absolute().name, generator, critic, said if isinstance(said, dict) else None)


def read_networks(
    folder: RunFolder, step: int | str | None = None
) -> tuple[Generator, Discriminator]:
    """The averaged generator and the critic of a checkpoint; parameters and errors of `load`."""
    config, state = read_state(folder, step)
    state = jax.device_put((state["ema"], state["critic"]))
    generator, critic = map(nnx.merge, definitions(config), state)
    return generator, critic


def read_state(folder: RunFolder, step: int | str | None = None) -> tuple[WaveGANConfig, State]:
    """The networks' configuration and all of a checkpoint; parameters and errors of `load`."""
    stored = folder.read_config()
    try:
        config = WaveGANConfig(**stored["wavegan"])
        train_config = TrainConfig(
            **stored["train"] | {"augment": tuple(stored["train"].get("augment", ()))}
        )
    except ValueError as error:  # a loss of the user's own, for one
        raise ValueError(f"{folder.path / 'config.json'}: {error}") from None
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"{folder.path / 'config.json'} describes no GAN that this version knows ({error}): "
            "is it the run folder of something else, or of a later version?"
        ) from None
    template = state_shapes(config, train_config)
    return config, folder.restore(template, step=step)[1]


def _read_reference(path: Path, config: WaveGANConfig) -> tuple[Generator, Discriminator]:
    # What the reference has not starts as drawn.
    plain = replace(
        config,
        num_classes=0,
        spectral_norm=False,
        spectrogram_critic=False,
        minibatch_stddev=False,
    )
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
    except FileNotFoundError:
        raise
    except Exception as error:  # what numpy and zipfile raise at damage has many types
        raise ValueError(f"init {path} is no .npz file, or damaged: {error}") from None
    try:
        return load_reference(plain, arrays)
    except ValueError as error:
        raise ValueError(f"init {path}: {error}") from None


def _layers(network: Network) -> dict[str, dict[str, nnx.Variable]]:
    """The variables of each layer by their names: ``layers.0`` has ``kernel`` and ``bias``."""
    layers: dict[str, dict[str, nnx.Variable]] = defaultdict(dict)
    for place, variable in nnx.to_flat_state(nnx.state(network)):
        inside, part = (place[:-1], place[-1]) if len(place) > 1 else (place, "")
        layers[".".join(map(str, inside))][str(part)] = variable
    return dict(layers)


def _fitting(source: Network, target: Network) -> Iterator[tuple[str, str | None]]:
    """The name of each layer of either network, and why it is not in both; None where it is."""
    found, needed = _layers(source), _layers(target)
    ways = source.config.upsample, target.config.upsample
    for name in dict.fromkeys([*needed, *found]):
        there, here = (
            {part: variable.shape for part, variable in layers.get(name, {}).items()}
            for layers in (found, needed)
        )
        if not there:
            yield name, "as drawn (not there)"
        elif not here:
            yield name, "left out (no place here)"
        elif there != here:
            part = next(p for p in (*here, *there) if there.get(p) != here.get(p))
            shapes = there.get(part), here.get(part)
            yield name, "as drawn ({} is {} there and {} here)".format(part, *shapes)
        elif isinstance(target, Generator) and name.startswith("layers.") and len({*ways}) > 1:
            yield name, "as drawn (upsample is {} there and {} here)".format(*ways)
        else:
            yield name, None
