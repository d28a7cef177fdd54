"""The classifiers by name, and how one is made."""

from __future__ import annotations

import copyreg
import difflib
import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np
from flax import nnx

from classifiers.chain import Build, Layers
from classifiers.classifier import Classifier, Spec, Whole
from classifiers.frameworks import FRAMEWORKS
from classifiers.layers import Dense

Network = Callable[..., Any]  # options -> layers, or input_shape, num_classes, rngs -> a module
_NETWORKS: dict[str, Network] = {}
_GIVEN = ("input_shape", "num_classes", "rngs")  # to a network that is a module of its own
_OF_CREATE = "framework"  # which is no option of a network


class _Names(Sequence[str]):
    """The names of all registered architectures, as a tuple that grows."""

    def __getitem__(self, index: Any) -> Any:
        return tuple(_NETWORKS)[index]

    def __len__(self) -> int:
        return len(_NETWORKS)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        return repr(tuple(self))


ARCHITECTURES: Sequence[str] = _Names()


def architecture(*names: str, **defaults: Any) -> Callable[[Network], Network]:
    """Decorator that registers a network for :func:`create`, :func:`load` and the command line.

    Parameters
    ----------
    *names : that it gets in :data:`ARCHITECTURES`.
    **defaults : of its options, where they are not its own.

    Notes
    -----
    What is decorated is either a function of options, all with defaults, that returns a list
    of layers (:mod:`classifiers.chain`; the last dense one, which gives the logits, is added),
    or a class of `flax.nnx.Module` (or a function that returns one) that takes ``input_shape``,
    ``num_classes`` and ``rngs`` beside its options and is called as ``module(x (N,
    *input_shape), train=False, key=None)`` for logits (N, num_classes). A module that also has
    ``embed(x)`` for activations (N, D), and a layer ``head`` that makes logits of them, has
    embeddings and can get a new head (:meth:`Classifier.embed`, :func:`with_new_head`).

    Raises
    ------
    ValueError
        A name that is taken by another network, or something that is no such function or class.
    """

    def register(network: Network) -> Network:
        _check_network(names, network)
        for name in names:
            _NETWORKS[name] = partial(network, **defaults) if defaults else network
        return network

    return register


def _check_network(names: tuple[str, ...], network: Network) -> None:
    """Raise ValueError unless ``network`` can be registered under these names."""
    if not names or not all(isinstance(name, str) and name for name in names):
        raise ValueError(f'a network needs a name, as in @architecture("mine"), not {names}')
    named = f"architecture {names[0]!r}"
    shape = (
        "a function of options with defaults that returns a list of layers, or an nnx.Module "
        "that takes input_shape, num_classes and rngs"
    )
    if not callable(network) or getattr(network, "__name__", "<lambda>") == "<lambda>":
        raise ValueError(
            f"{named} is {shape}, written with a name of its own, not {network!r}: "
            "put @architecture(...) above its def"
        )
    for name in names:
        there = getattr(_NETWORKS.get(name), "func", _NETWORKS.get(name))
        # Defined again, as when the cell of a notebook is run once more, it replaces itself.
        if there is not None and _place(there) != _place(network):
            raise ValueError(f"architecture {name!r} is {_place(there)} already: take another name")
    parameters = _parameters(network)
    given = _GIVEN if "rngs" in parameters else ()
    if lacking := set(given) - set(parameters):
        raise ValueError(f"{named}: {_place(network)} does not take {', '.join(sorted(lacking))}")
    if _OF_CREATE in parameters:
        raise ValueError(f"{named} has the option {_OF_CREATE}, which is one of create: rename it")
    for key, each in parameters.items():
        if key not in given and (
            each.default is each.empty or each.kind is inspect.Parameter.POSITIONAL_ONLY
        ):
            raise ValueError(
                f"{named} is {shape}; {_place(network)} has the parameter {each}: give it a default"
            )


def _parameters(network: Network) -> dict[str, inspect.Parameter]:
    """What a network takes, with the defaults that it was registered with."""
    function, defaults = getattr(network, "func", network), getattr(network, "keywords", {})
    # Flax's metaclass hides what a module's class takes.
    start = function.__init__ if isinstance(function, type) else function  # type: ignore[misc]
    found = inspect.signature(start).parameters
    return {
        key: each.replace(default=defaults.get(key, each.default))
        for key, each in list(found.items())[isinstance(function, type) :]
    }


def _place(network: Network) -> str:
    return f"{network.__module__}.{network.__qualname__}"


def _reduced(model: Classifier) -> tuple[Any, ...]:
    """A classifier for pickles and copies: without functions of JAX, which layers hold."""
    state = nnx.to_flat_state(nnx.state(model))
    return _made_again, (model.spec, {place: np.asarray(v[...]) for place, v in state})


copyreg.pickle(Classifier, _reduced)


def _made_again(spec: Spec, arrays: Mapping[Any, np.ndarray]) -> Classifier:
    """The classifier of a spec with these weights and statistics, by their places."""
    made = create(
        spec.name,
        input_shape=spec.input_shape,
        num_classes=spec.num_classes,
        rngs=nnx.Rngs(0),
        framework=spec.framework,
        **dict(spec.options),
    )
    for place, variable in nnx.to_flat_state(nnx.state(made)):
        variable.set_value(jax.device_put(arrays[place]))
    return made


def create(
    name: str,
    *,
    input_shape: Sequence[int],
    num_classes: int,
    rngs: nnx.Rngs,
    framework: str = "keras",
    **options: Any,
) -> Classifier:
    """Build a classifier.

    Parameters
    ----------
    name : one of :data:`ARCHITECTURES`.
    input_shape : shape of one example, without the batch axis.
    num_classes : number of logits.
    rngs : draws the initial weights.
    framework : "keras" or "torch", whose initial weights, biases and batch normalisation its layers
        have; a network that is a module of its own has what it says itself.
    **options : sizes and rates other than the published ones; ``create(...).spec.options`` of
        a network lists what it has.

    Returns
    -------
    Classifier
        Called as ``model(x (N, *input_shape), train=False, key=None)`` it gives logits
        (N, num_classes). ``train=True`` updates batch statistics and, where the network has
        dropout or noise, needs a ``key``. ``model.spec`` says how it was made.

    Raises
    ------
    ValueError
        Unknown name or option, or an input shape that a layer cannot take.

    Examples
    --------
    >>> model = create("net5", input_shape=(44, 40), num_classes=10, rngs=nnx.Rngs(0))
    >>> model(jax.numpy.zeros((2, 44, 40))).shape
    (2, 10)
    """
    if name not in _NETWORKS:
        near = difflib.get_close_matches(name, ARCHITECTURES) or ARCHITECTURES
        raise ValueError(
            f"no architecture {name!r}: did you mean {' or '.join(near)}? One of your own is "
            f"registered by @classifiers.architecture({name!r}) above its function, which "
            "must have run before"
        )
    if num_classes < 2:
        raise ValueError(f"a classifier needs at least two classes, not num_classes={num_classes}")
    if not isinstance(input_shape, Sequence):
        raise ValueError(
            f"{name}: input_shape is the shape of one example, as (44, 40), not {input_shape!r}"
        )
    if framework not in FRAMEWORKS:
        raise ValueError(f"framework is one of {', '.join(FRAMEWORKS)}, not {framework!r}")
    network, shape = _NETWORKS[name], tuple(input_shape)
    parameters = _parameters(network)
    whole = "rngs" in parameters
    given = _GIVEN if whole else ()
    known = {key: each.default for key, each in parameters.items() if key not in given}
    if unknown := set(options) - set(known):
        raise ValueError(
            f"{name} has no option {', '.join(sorted(unknown))}; it has {tuple(known)}"
        )
    resolved = {key: _frozen(value) for key, value in sorted((known | options).items())}
    try:
        if whole:
            layers: list[Build] = [
                partial(Whole, network=partial(network, **resolved), num_classes=num_classes)
            ]
        else:
            layers = [*_layers(name, network(**resolved)), partial(Dense, width=num_classes)]
        model = Classifier(shape, layers, rngs=rngs, framework=FRAMEWORKS[framework])
    except ValueError as error:
        raise ValueError(f"{name} on an input of {shape}: {error}") from None
    except TypeError as error:
        shown = ", ".join(f"{key}={value!r}" for key, value in options.items())
        raise ValueError(f"{name} takes no {shown}: {error}") from error
    model.spec = Spec(name, shape, num_classes, tuple(resolved.items()), framework)
    return model


def _layers(name: str, made: Any) -> Layers:
    """What a network's function returned, or a ValueError where that is no list of layers."""
    if not isinstance(made, list | tuple) or not all(callable(layer) for layer in made):
        raise ValueError(
            f"the function of {name} returns a list of layers to be built, as "
            f"[Flatten, partial(Dense, width=8)], not {made!r}"
        )
    return list(made)


def _frozen(value: Any) -> Any:
    """``value`` with tuples for lists, so that it can be hashed."""
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value
