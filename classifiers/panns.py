"""CNN14 of PANNs from the checkpoint that its authors publish, tensor by tensor.

The layout is that of github.com/qiuqiangkong/audioset_tagging_cnn: the state of a PyTorch module,
alone or under "model". Nothing in such a file is run.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx

from classifiers.architectures import Classifier, create
from classifiers.chain import Layer, Shape
from classifiers.layers import BatchNorm, Convolution2D, Dense
from features.extractors import PannsLogMel
from features.mel import mel_filters

_FRAMES = 1001  # of 10 s, which they were trained on; any number will do
_BLOCKS = range(1, 7)
_CONVOLUTIONS = [f"conv_block{n}.conv{i}" for n in _BLOCKS for i in (1, 2)]
_NORMS = ["bn0", *(f"conv_block{n}.bn{i}" for n in _BLOCKS for i in (1, 2))]
_DENSE = ["fc1", "fc_audioset"]
_MEL = "logmel_extractor.melW"
_STFT = [f"spectrogram_extractor.stft.conv_{part}.weight" for part in ("real", "imag")]


def read_checkpoint(path: str | Path) -> dict[str, np.ndarray]:
    """The tensors of a PyTorch checkpoint, or of a safetensors file, by name.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ImportError
        It is a file of PyTorch, which has to read it, and PyTorch is not installed.
    ValueError
        It is something else, or holds more than tensors, numbers and texts.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    try:
        import torch
    except ImportError:
        raise ImportError(
            f"{path} is read by PyTorch, which is not installed: pip install torch, or save its "
            "tensors as .safetensors"
        ) from None
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what its parser raises has many types
        said = str(error).strip().splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(
            f"{path} is no checkpoint that can be read without running what is in it ({said}): "
            "give one of tensors alone"
        ) from None
    found = found.get("model", found) if isinstance(found, Mapping) else {}
    tensors = found.items() if isinstance(found, Mapping) else ()
    return {str(name): x.numpy() for name, x in tensors if isinstance(x, torch.Tensor)}


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} is no safetensors file ({error})") from None


def cnn14(tensors: Mapping[str, np.ndarray], path: str | Path) -> Classifier:
    """The network ``cnn14`` with the weights of a checkpoint.

    Parameters
    ----------
    tensors : of `read_checkpoint`.
    path : of the file, for errors.

    Raises
    ------
    ValueError
        They are of another network, naming the first tensor that is missing, further or of another
        shape, or they hear other mel bands.
    """
    _check(tensors, path)
    width, classes = (len(tensors[f"{name}.weight"]) for name in (_CONVOLUTIONS[0], _DENSE[-1]))
    shape = (_FRAMES, tensors["bn0.weight"].size)
    model: Classifier = nnx.eval_shape(  # no weights are drawn: all are there
        lambda: create(
            "cnn14",
            input_shape=shape,
            num_classes=classes,
            rngs=nnx.Rngs(0),
            framework="torch",
            width=width,
        )
    )
    for names, kind in ((_CONVOLUTIONS, Convolution2D), (_NORMS, BatchNorm), (_DENSE, Dense)):
        layers = [layer for layer in model.layers if isinstance(layer, kind)]
        for name, layer in zip(names, layers, strict=True):
            for variable, values in _values(layer, name, tensors).items():
                getattr(layer, variable).set_value(jnp.asarray(values, jnp.float32))
    return model


def _values(layer: Layer, name: str, tensors: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The variables of a layer, channels last."""
    weight = tensors[f"{name}.weight"]
    if isinstance(layer, Convolution2D):  # the published ones have no bias
        return {"kernel": weight.transpose(2, 3, 1, 0), "bias": np.zeros(len(weight))}
    bias = tensors[f"{name}.bias"]
    if isinstance(layer, Dense):
        return {"kernel": weight.T, "bias": bias}
    statistics = {"mean": "running_mean", "variance": "running_var"}
    statistics |= {"updates": "num_batches_tracked"}
    found = {mine: tensors[f"{name}.{theirs}"] for mine, theirs in statistics.items()}
    return {"scale": weight, "bias": bias, **found}


def _layout(width: int, classes: int) -> dict[str, Shape]:
    """The shape of every tensor of a published CNN14."""
    widths = [width * 2**n for n in range(6) for _ in (1, 2)]
    into = [1, *widths[:-1]]
    found: dict[str, Shape] = {**dict.fromkeys(_STFT, (513, 1, 1024)), _MEL: (513, 64)}
    for name, channels in zip(_NORMS, [64, *widths], strict=True):
        parts = ("weight", "bias", "running_mean", "running_var")
        found |= {f"{name}.{part}": (channels,) for part in parts}
        found[f"{name}.num_batches_tracked"] = ()
    for name, out, channels in zip(_CONVOLUTIONS, widths, into, strict=True):
        found[f"{name}.weight"] = (out, channels, 3, 3)
    for name, out in zip(_DENSE, (widths[-1], classes), strict=True):
        found |= {f"{name}.weight": (out, widths[-1]), f"{name}.bias": (out,)}
    return found


def _check(tensors: Mapping[str, np.ndarray], path: str | Path) -> None:
    """Raise ValueError unless these are all tensors of a CNN14, and of its shapes."""
    sizes = [tensors.get(f"{name}.weight") for name in (_CONVOLUTIONS[0], _DENSE[-1])]
    width, classes = (1 if x is None or not x.shape else len(x) for x in sizes)
    layout = _layout(width, classes)
    wrong = [f"has no tensor {name}" for name in layout if name not in tensors]
    wrong += [
        f"has the tensor {name}, which CNN14 has not" for name in tensors if name not in layout
    ]
    wrong += [
        f"has the tensor {name} of shape {tensors[name].shape}, where CNN14 has {shape}"
        for name, shape in layout.items()
        if name in tensors and tensors[name].shape != shape
    ]
    if not wrong:
        mel: dict[str, Any] = {"n_fft": 1024, "n_mels": 64, "fmin": 50, "fmax": 14_000}
        filters = mel_filters(sample_rate=PannsLogMel.sample_rate, **mel).T
        if not np.allclose(tensors[_MEL], filters, atol=1e-6):
            wrong = [f"has the tensor {_MEL} of other mel bands than 50 Hz to 14 kHz at 32 kHz"]
        names = (name for name, x in tensors.items() if not np.isfinite(x).all())
        wrong += [f"has the tensor {name} with a NaN or an infinity" for name in names]
    if wrong:
        more = f" (and {len(wrong) - 1} more differences)" if wrong[1:] else ""
        raise ValueError(
            f"{path} is no CNN14 of PANNs: it {wrong[0]}{more}; give the checkpoint that is "
            "published as Cnn14_mAP=0.431.pth"
        )
