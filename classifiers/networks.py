"""The classifiers' networks, each as the list of its layers without the last dense one.

Their options are sizes and rates: the published values are the defaults, smaller ones make
demonstrations and tests. Log-mel inputs are time-major: sequences (time, bands), pictures
(time, bands, 1). Initial weights and constants are those of the framework that `create` is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import jax

from classifiers.architectures import architecture
from classifiers.averages import AveragePool, BandMean, GlobalMeanPool
from classifiers.chain import Build, Layers, Parallel
from classifiers.layers import (
    Activation,
    BatchNorm,
    Convolution1D,
    Convolution2D,
    Dense,
    Dropout,
    Flatten,
    GaussianNoise,
    GlobalMaxPool,
    MaxPool,
)
from classifiers.recurrent import GRU, LSTM, Bidirectional
from classifiers.sequences import Frames, OneChannel, OneFrame, Stream

Sizes = Sequence[int]
Rates = Sequence[float]


def _leaky_relu(x: jax.Array) -> jax.Array:
    return jax.nn.leaky_relu(x, 0.3)  # Keras's slope


relu = partial(Activation, function=jax.nn.relu, rises=True)
leaky_relu = partial(Activation, function=_leaky_relu, rises=True)


def conv(
    width: int,
    kernel_size: int,
    padding: str = "VALID",
    *,
    layer: Build = Convolution2D,
    batch_norm: bool = False,
    activation: Build = relu,
) -> Layers:
    """Convolution and its activation, with batch normalisation between them on request."""
    first = partial(layer, width=width, kernel_size=kernel_size, padding=padding)
    return [first, BatchNorm, activation] if batch_norm else [first, activation]


def pool(window: int | tuple[int, ...], padding: str = "VALID") -> Layers:
    """Max pooling whose stride is its window."""
    return [partial(MaxPool, window=window, padding=padding)]


def conv_pool(
    width: int, kernel_size: int, window: int, *, batch_norm: str = "none", dropout: float = 0.0
) -> Layers:
    """Convolution, ReLU and a pooling that halves the picture; then dropout.

    Batch normalisation comes "before" the pooling, "after" it, or not at all ("none").
    """
    halve: Build = partial(MaxPool, window=window, stride=2, padding="SAME")
    pooled = {"none": [halve], "before": [BatchNorm, halve], "after": [halve, BatchNorm]}
    return [*conv(width, kernel_size), *pooled[batch_norm], *drop(dropout)]


def drop(rate: float) -> Layers:
    """Dropout, unless ``rate`` is 0."""
    return [partial(Dropout, rate=rate)] if rate else []


def recurrent(*sizes: int, layer: Build = LSTM) -> Layers:
    """Recurrent layers; each hands on all its states, the last one its last state."""
    last = len(sizes) - 1
    return [partial(layer, units=size, sequence=i < last) for i, size in enumerate(sizes)]


def dense(*widths: int) -> Layers:
    """Dense layers, each with a ReLU."""
    return [layer for width in widths for layer in (partial(Dense, width=width), relu)]


def side_by_side(*branches: Layers) -> Layers:
    """Branches on the same input, their outputs one after another."""
    return [partial(Parallel, branches=branches)]


@architecture("net1")
def spectrogram_dense(*, dense_sizes: Sizes = (128, 64)) -> Layers:
    """``net1``: dense layers on spectrogram pictures, published at 180×180×3 in [0, 1]."""
    return [Flatten, *dense(*dense_sizes)]


@architecture("net3", "net4", batch_norm=True)
@architecture("net2")
def spectrogram_cnn(
    *,
    conv_widths: Sizes = (32, 64, 128, 256),
    dense_sizes: Sizes = (256,),
    batch_norm: bool = False,
) -> Layers:
    """``net2`` to ``net4``: twice two 3×3 convolutions and a pooling, on ``net1``'s pictures."""
    _expect(4, conv_widths=conv_widths)
    a, b, c, d = (conv(width, 3, batch_norm=batch_norm) for width in conv_widths)
    return [*a, *b, *pool(2), *c, *d, *pool(2), Flatten, *dense(*dense_sizes)]


@architecture("net5", "net6")
def mfcc_lstm(*, lstm_sizes: Sizes = (512, 256), dense_sizes: Sizes = (128, 64)) -> Layers:
    """``net5`` and ``net6``: LSTMs, the last one's last state, then dense layers.

    Input (frames, coefficients), published with 40 MFCC of about a second.
    """
    return [*recurrent(*lstm_sizes), *dense(*dense_sizes)]


@architecture(
    "cnn2",
    dense_sizes=(128,),
    batch_norm=True,
    conv_dropouts=(0.2, 0.1, 0.1),
    dropout=0.5,
)
@architecture("cnn1")
def log_mel_cnn(
    *,
    conv_widths: Sizes = (32, 64, 64),
    dense_sizes: Sizes = (64,),
    batch_norm: bool = False,
    conv_dropouts: Rates = (0.0, 0.0, 0.0),
    dropout: float = 0.0,
) -> Layers:
    """``cnn1`` and ``cnn2``: three convolutions, each with a pooling, on 3 s of log-mel."""
    _expect(3, conv_widths=conv_widths, conv_dropouts=conv_dropouts)
    normalised = "before" if batch_norm else "none"
    convolutions = [
        layer
        for width, size, rate in zip(conv_widths, (3, 3, 2), conv_dropouts, strict=True)
        for layer in conv_pool(width, size, size, batch_norm=normalised, dropout=rate)
    ]
    return [*convolutions, Flatten, *dense(*dense_sizes), *drop(dropout)]


@architecture("parallel_cnn")
def parallel_cnn(*, conv_widths: Sizes = (3, 4)) -> Layers:
    """Two convolutions side by side, of large and of small patterns, on 80×80×1 log-mel."""
    _expect(2, conv_widths=conv_widths)
    large, small = (
        [*conv(width, size, "SAME", activation=leaky_relu), *pool(size // 2), Flatten]
        for width, size in zip(conv_widths, (8, 4), strict=True)
    )
    return side_by_side(large, small)


@architecture("cnn_lstm")
def cnn_lstm(
    *,
    conv_widths: Sizes = (8, 6),
    lstm_sizes: Sizes = (128, 32),
    dense_sizes: Sizes = (200,),
    dropout: float = 0.2,
) -> Layers:
    """Two convolutions, then LSTMs over the time that is left, on 80×80×1 log-mel."""
    _expect(2, conv_widths=conv_widths)
    first, second = conv_widths
    convolutions = [*conv(first, 4), *pool(2), *conv(second, 3), *pool(2)]
    return [*convolutions, Frames, *recurrent(*lstm_sizes), *dense(*dense_sizes), *drop(dropout)]


@architecture("cnn_bilstm")
def cnn_bilstm(
    *,
    noise: float = 0.05,
    conv_widths: Sizes = (16, 32),
    lstm_sizes: Sizes = (128, 64),
    dense_sizes: Sizes = (256,),
    dropout: float = 0.3,
) -> Layers:
    """Noise, two convolutions, then LSTMs from both ends of the time, on 80×80×1 log-mel."""
    convolutions = [
        layer for width in conv_widths for layer in [*conv(width, 3, "SAME"), BatchNorm, *pool(2)]
    ]
    both_ways = recurrent(*lstm_sizes, layer=Bidirectional)
    first = partial(GaussianNoise, sigma=noise)
    return [first, *convolutions, Frames, *both_ways, *dense(*dense_sizes), *drop(dropout)]


@architecture("cnn_rnn")
def cnn_rnn(
    *,
    conv_widths: Sizes = (8, 6),
    lstm_sizes: Sizes = (128, 32),
    dense_sizes: Sizes = (200,),
    dropout: float = 0.2,
) -> Layers:
    """``cnn_lstm`` with convolutions over time alone, on 80 frames of 80 log-mel bands."""
    _expect(2, conv_widths=conv_widths)
    conv1d = partial(conv, layer=Convolution1D, activation=leaky_relu)
    first, second = conv_widths
    convolutions = [*conv1d(first, 4), *pool(2), *conv1d(second, 3), *pool(2)]
    return [*convolutions, *recurrent(*lstm_sizes), *dense(*dense_sizes), *drop(dropout)]


def four_blocks(width: int) -> Layers:
    """The convolutions of ``final_eff`` and ``final_acc``."""
    block = partial(conv_pool, width, window=3, batch_norm="after")
    return [*block(3), *block(3), *block(3), *block(2, dropout=0.3), Flatten]


@architecture("final_eff")
def final_eff(*, conv_width: int = 32, dense_sizes: Sizes = (128, 64)) -> Layers:
    """Four convolutions of one width, each with a pooling, on 80×80×1 log-mel."""
    return [*four_blocks(conv_width), *dense(*dense_sizes)]


@architecture("final_acc")
def final_acc(*, conv_widths: Sizes = (32, 64), dense_sizes: Sizes = (128, 64)) -> Layers:
    """``final_eff``'s convolutions at several widths side by side."""
    return [*side_by_side(*map(four_blocks, conv_widths)), *dense(*dense_sizes)]


@architecture("cnn_rnn_tempo")
def cnn_rnn_tempo(
    *,
    conv_widths: Sizes = (8, 16, 32, 64),
    gru_units: int = 50,
    dense_size: int = 120,
    dropout: float = 0.5,
    over_batch: bool = False,
) -> Layers:
    """A CNN, then a GRU of one step, on a picture of the tempogram and the spectrogram of a track.

    Published at 500×500×3 in [-1, 1]. There the GRU was given arrays of two axes, so that the batch
    was its time and each answer hung on the clips before it: ``over_batch`` does the same.
    """
    convolutions = [layer for width in conv_widths for layer in [*conv(width, 3), *pool(2)]]
    gru = partial(GRU, units=gru_units, sequence=False, over_batch=over_batch)
    return [*convolutions, Flatten, OneFrame, gru, *dense(dense_size), *drop(dropout)]


@architecture("mel_tempo_rnn")
def mel_tempo_rnn(
    *,
    conv_widths: Sizes = (16, 32, 32),
    lstm_units: int = 64,
    dense_size: int = 64,
    dropout: float = 0.3,
    tempo_lags: int = 384,
) -> Layers:
    """A CNN on log-mel beside one on the tempogram, joined at each frame, then an LSTM.

    Input (frames, bands + ``tempo_lags``): log-mel bands, then the tempogram's lags. Pooling
    takes fours of the bands and lags, of the time only once a two. The design is ours.
    """
    windows = [(2 if i == 0 else 1, 4) for i in range(len(conv_widths))]
    convolutions = [
        layer
        for width, window in zip(conv_widths, windows, strict=True)
        for layer in [*conv(width, 3, "SAME", batch_norm=True), *pool(window, "SAME")]
    ]
    mel: Layers = [partial(Stream, count=tempo_lags, rest=True), *convolutions, Frames]
    tempo: Layers = [partial(Stream, count=tempo_lags), *convolutions, Frames]
    joined = side_by_side(mel, tempo)
    return [*joined, *recurrent(lstm_units), *drop(dropout), *dense(dense_size)]


@architecture("short_chunk_resnet")
def short_chunk_resnet(*, width: int = 128, dropout: float = 0.5) -> Layers:
    """Our reference on log-mel pictures: the residual short-chunk CNN of Won et al. (2020).

    Seven residual blocks that halve the picture (arXiv:2006.00751; 12 million parameters at
    the published width of 128), then the largest value of each channel.
    """
    blocks = [layer for factor in (1, 1, 2, 2, 2, 2, 4) for layer in residual_block(factor * width)]
    last: Layers = [partial(Dense, width=4 * width), BatchNorm, relu]
    return [BatchNorm, *blocks, GlobalMaxPool, *last, *drop(dropout)]


def residual_block(width: int) -> Layers:
    """Two 3×3 convolutions, the first of stride 2, added to one of stride 2."""
    same = partial(Convolution2D, width=width, kernel_size=3, padding="SAME")
    halve = partial(same, stride=2)
    body: Layers = [halve, BatchNorm, relu, same, BatchNorm]
    shortcut: Layers = [halve, BatchNorm]
    return [partial(Parallel, branches=(body, shortcut), join="add"), relu]


@architecture("cnn14")
def cnn14(*, width: int = 64, block_dropout: float = 0.2, dropout: float = 0.5) -> Layers:
    """CNN14 of PANNs (Kong et al. 2020, arXiv:1912.10211), on 64 log-mel bands as a sequence.

    Six blocks of two 3×3 convolutions, each twice as wide as the one before (81 million
    parameters at the published width of 64). What the last layer sees is the published embedding
    of ``32 * width`` numbers, where the framework is "torch".
    """
    halve: Layers = [partial(AveragePool, window=2)]
    blocks: Layers = []
    for number in range(6):
        same = partial(Convolution2D, width=width * 2**number, kernel_size=3, padding="SAME")
        blocks += [same, BatchNorm, relu] * 2
        blocks += [*(halve if number < 5 else []), *drop(block_dropout)]
    both = partial(Parallel, branches=([GlobalMaxPool], [GlobalMeanPool]), join="add")
    last = [*drop(dropout), *dense(32 * width), *drop(dropout)]
    return [BatchNorm, OneChannel, *blocks, BandMean, both, *last]


@architecture("linear")
def linear() -> Layers:
    """Nothing but the last layer: a logistic regression of the features as they come."""
    return [Flatten]


def _expect(count: int, **options: Sequence[float]) -> None:
    """Raise ValueError unless each option has ``count`` values."""
    for name, values in options.items():
        if len(values) != count:
            raise ValueError(f"{name} is {count} numbers, not {tuple(values)}")
