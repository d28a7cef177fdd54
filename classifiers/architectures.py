"""The classifiers by name, and how one is made."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from flax import nnx

from classifiers import networks
from classifiers.chain import Build, Chain, Layers, Shape
from classifiers.layers import Dense

_net3 = partial(networks.spectrogram_cnn, batch_norm=True)
_cnn2 = partial(
    networks.log_mel_cnn,
    dense_sizes=(128,),
    batch_norm=True,
    conv_dropouts=(0.2, 0.1, 0.1),
    dropout=0.5,
)
_NETWORKS: dict[str, Callable[..., Layers]] = {
    "net1": networks.spectrogram_dense,
    "net2": networks.spectrogram_cnn,
    "net3": _net3,
    "net4": _net3,
    "net5": networks.mfcc_lstm,
    "net6": networks.mfcc_lstm,
    "cnn1": networks.log_mel_cnn,
    "cnn2": _cnn2,
    "parallel_cnn": networks.parallel_cnn,
    "cnn_lstm": networks.cnn_lstm,
    "cnn_bilstm": networks.cnn_bilstm,
    "cnn_rnn": networks.cnn_rnn,
    "final_eff": networks.final_eff,
    "final_acc": networks.final_acc,
    "cnn_rnn_tempo": networks.cnn_rnn_tempo,
    "short_chunk_resnet": networks.short_chunk_resnet,
}

ARCHITECTURES: tuple[str, ...] = tuple(_NETWORKS)


@dataclass(frozen=True)
class Spec:
    """What it takes to make a classifier again: the arguments of :func:`create`.

    Attributes
    ----------
    name, input_shape, num_classes : as given.
    options : every option of the network with its value, sorted by name.
    """

    name: str
    input_shape: Shape
    num_classes: int
    options: tuple[tuple[str, Any], ...]


class Classifier(Chain):
    """A network that gives logits, and the ``spec`` that it was made from."""

    spec: Spec


def create(
    name: str, *, input_shape: Sequence[int], num_classes: int, rngs: nnx.Rngs, **options: Any
) -> Classifier:
    """Build a classifier.

    Parameters
    ----------
    name : one of :data:`ARCHITECTURES`.
    input_shape : shape of one example, without the batch axis.
    num_classes : number of logits.
    rngs : draws the initial weights.
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
        raise ValueError(f"no architecture {name!r}: did you mean {' or '.join(near)}?")
    if num_classes < 2:
        raise ValueError(f"a classifier needs at least two classes, not num_classes={num_classes}")
    if not isinstance(input_shape, Sequence):
        raise ValueError(
            f"{name}: input_shape is the shape of one example, as (44, 40), not {input_shape!r}"
        )
    network, shape = _NETWORKS[name], tuple(input_shape)
    known = {key: each.default for key, each in inspect.signature(network).parameters.items()}
    if unknown := set(options) - set(known):
        raise ValueError(
            f"{name} has no option {', '.join(sorted(unknown))}; it has {tuple(known)}"
        )
    resolved = {key: _frozen(value) for key, value in sorted((known | options).items())}
    try:
        layers: list[Build] = [*network(**resolved), partial(Dense, width=num_classes)]
        model = Classifier(shape, layers, rngs=rngs)
    except ValueError as error:
        raise ValueError(f"{name} on an input of {shape}: {error}") from None
    except TypeError as error:
        shown = ", ".join(f"{key}={value!r}" for key, value in options.items())
        raise ValueError(f"{name} takes no {shown}: {error}") from error
    model.spec = Spec(name, shape, num_classes, tuple(resolved.items()))
    return model


def _frozen(value: Any) -> Any:
    """``value`` with tuples for lists, so that it can be hashed."""
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value
