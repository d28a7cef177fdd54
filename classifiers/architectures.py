"""The classifiers by name. Each network is a function that lists its layers.

A network's options (its widths) have the published values as defaults and exist so that
demonstrations and tests can be small. ``create`` adds the last dense layer, one logit a class.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
from flax import nnx

from classifiers.layers import (
    LSTM,
    Activation,
    BatchNorm,
    Build,
    Chain,
    Convolution2D,
    Dense,
    Flatten,
    MaxPool,
)

Layers = list[Build]

relu = partial(Activation, function=jax.nn.relu)


def conv(width: int, kernel_size: int, *, batch_norm: bool = False) -> Layers:
    """Valid convolution and ReLU, with batch normalisation between them on request."""
    convolution = partial(Convolution2D, width=width, kernel_size=kernel_size)
    return [convolution, BatchNorm, relu] if batch_norm else [convolution, relu]


def pool(window: int) -> Layers:
    """Max pooling."""
    return [partial(MaxPool, window=window)]


def lstm(units: int, *, sequence: bool) -> Layers:
    """LSTM that hands on every state (``sequence``) or the last one."""
    return [partial(LSTM, units=units, sequence=sequence)]


def dense(*widths: int) -> Layers:
    """Dense layers, each with a ReLU."""
    return [layer for width in widths for layer in (partial(Dense, width=width), relu)]


def spectrogram_cnn(
    *, conv_widths: Sequence[int] = (32, 64, 128, 256), dense_sizes: Sequence[int] = (256,)
) -> Layers:
    """``net3``: twice two batch-normalised 3×3 convolutions and a pooling, then dense layers.

    Input (height, width, channels), published with 180×180×3 pictures with values in [0, 1].
    """
    _expect(4, conv_widths=conv_widths)
    a, b, c, d = (conv(width, 3, batch_norm=True) for width in conv_widths)
    return [*a, *b, *pool(2), *c, *d, *pool(2), Flatten, *dense(*dense_sizes)]


def mfcc_lstm(
    *, lstm_sizes: Sequence[int] = (512, 256), dense_sizes: Sequence[int] = (128, 64)
) -> Layers:
    """``net5`` and ``net6``: two LSTMs, the second one's last state, then dense layers.

    Input (frames, coefficients), published with 40 MFCC of about a second.
    """
    _expect(2, lstm_sizes=lstm_sizes)
    first, last = lstm_sizes
    return [*lstm(first, sequence=True), *lstm(last, sequence=False), *dense(*dense_sizes)]


_NETWORKS: dict[str, Callable[..., Layers]] = {
    "net3": spectrogram_cnn,
    "net5": mfcc_lstm,
    "net6": mfcc_lstm,
}

ARCHITECTURES: tuple[str, ...] = tuple(_NETWORKS)


def create(
    name: str, *, input_shape: Sequence[int], num_classes: int, rngs: nnx.Rngs, **options: Any
) -> nnx.Module:
    """Build a classifier.

    Parameters
    ----------
    name : one of :data:`ARCHITECTURES`.
    input_shape : shape of one example, without the batch axis.
    num_classes : number of logits.
    rngs : draws the initial weights.
    **options : sizes other than the published ones: ``conv_widths``, ``dense_sizes`` (net3);
        ``lstm_sizes``, ``dense_sizes`` (net5, net6).

    Returns
    -------
    nnx.Module
        Called as ``model(x (N, *input_shape), train=False, key=None)`` it gives logits
        (N, num_classes). ``train=True`` updates batch statistics and, where the network has
        dropout, needs a ``key``.

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
    known = tuple(inspect.signature(_NETWORKS[name]).parameters)
    if unknown := set(options) - set(known):
        raise ValueError(f"{name} has no option {', '.join(sorted(unknown))}; it has {known}")
    layers: Layers = [*_NETWORKS[name](**options), partial(Dense, width=num_classes)]
    try:
        return Chain(tuple(input_shape), layers, rngs=rngs)
    except ValueError as error:
        raise ValueError(f"{name} on an input of {tuple(input_shape)}: {error}") from None


def _expect(count: int, **option: Sequence[int]) -> None:
    """Raise ValueError unless the option has ``count`` sizes."""
    ((name, sizes),) = option.items()
    if len(sizes) != count:
        raise ValueError(f"{name} is {count} sizes, not {tuple(sizes)}")
