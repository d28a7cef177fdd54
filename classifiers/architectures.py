"""The classifiers by name, and how one is made."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from classifiers import prediction
from classifiers.chain import Build, Chain, Layer, Layers, Shape
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


class _Whole(Layer):
    """A module of its own as the only layer of a classifier."""

    def __init__(
        self, input_shape: Shape, network: Network, num_classes: int, *, rngs: nnx.Rngs
    ) -> None:
        self.network = network(input_shape=input_shape, num_classes=num_classes, rngs=rngs)
        self.output_shape = (num_classes,)

    def __call__(self, x: Array, *, train: bool = False, key: PRNGKeyArray | None = None) -> Array:
        logits = self.network(x, train=train, key=key)
        if logits.shape != (len(x), *self.output_shape):
            raise ValueError(
                f"{type(self.network).__name__} gives {logits.shape} for {x.shape}: "
                f"logits are {(len(x), *self.output_shape)}"
            )
        return logits


@dataclass(frozen=True)
class Spec:
    """What it takes to make a classifier again: the arguments of :func:`create`.

    Attributes
    ----------
    name, input_shape, num_classes, framework : as given.
    options : every option of the network with its value, sorted by name.
    """

    name: str
    input_shape: Shape
    num_classes: int
    options: tuple[tuple[str, Any], ...]
    framework: str = "keras"


class Classifier(Chain):
    """A network that gives logits, and the ``spec`` that it was made from.

    Its last dense layer is its ``head``, all before that its body.
    """

    spec: Spec

    def embed(self, inputs: Any, *, batch_size: int = 256) -> Float[np.ndarray, "n d"]:
        """What the head sees of inputs (N, ...): activations (N, D), float32.

        Computed as :func:`classifiers.predict` does it, without dropout and noise, in batches of
        equal size.

        Raises
        ------
        ValueError
            No inputs, or a network that is a module of its own and has no ``embed``.
        """
        self.head_place()  # which says what is missing
        return prediction.embed(Classifier.body, self, inputs, batch_size=batch_size)

    def body(self, x: Float[Array, "n ..."]) -> Float[Array, "n d"]:
        """The activations that the head makes logits of."""
        self.expect_input(x)
        *layers, last = self.layers
        if isinstance(last, _Whole):
            return last.network.embed(x)
        for layer in layers:
            x = layer(x)
        return x

    @property
    def head(self) -> Layer:
        """The last dense layer: of activations (n, D) it makes logits (n, K)."""
        self.head_place()  # which says what is missing
        last = self.layers[-1]
        return last.network.head if isinstance(last, _Whole) else last

    def head_place(self) -> tuple[int | str, ...]:
        """Where the head is in the state: its variables' names begin with this.

        Raises
        ------
        ValueError
            For a module of its own without ``embed`` and ``head``.
        """
        place, last = ("layers", len(self.layers) - 1), self.layers[-1]
        if not isinstance(last, _Whole):
            return place
        if lacking := [name for name in ("embed", "head") if not hasattr(last.network, name)]:
            raise ValueError(
                f"{self.spec.name} is a module of its own, and nothing says what comes before its "
                f"last layer: give {type(last.network).__name__} "
                f"{' and '.join(lacking)}, see classifiers.architecture"
            )
        return (*place, "network", "head")

    def __repr__(self) -> str:
        sizes = [each.size for each in jax.tree.leaves(nnx.state(self, nnx.Param))]
        shape, classes = self.spec.input_shape, self.spec.num_classes
        return f"<Classifier {self.spec.name}: {shape} to {classes}, {sum(sizes):,} parameters>"


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
                partial(_Whole, network=partial(network, **resolved), num_classes=num_classes)
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
