"""CNN14 against PyTorch with the same weights, and checkpoints that are none of it."""

import sys

import jax
import numpy as np
import pytest
from flax import nnx
from panns_checkpoint import RATE, checkpoint
from safetensors.numpy import save_file

from classifiers import create, save
from classifiers.panns import cnn14, read_checkpoint
from classifiers.saved import take_over
from features.extractors import PannsLogMel

TORCH = "the reference is PyTorch's: pip install torch"


def sounds():
    """Two clips of 0.7 s: noise, and noise around a tone."""
    rng = np.random.default_rng(1)
    noise = rng.normal(0, 0.1, (2, 22_400))
    noise[1] += 0.5 * np.sin(2 * np.pi * 440 * np.arange(22_400) / RATE)
    return noise.astype(np.float32)


def reference(tensors, audio):
    """Log-mel (n, t, 64), embedding and logits of CNN14 as its paper and code describe it."""
    torch = pytest.importorskip("torch", reason=TORCH)
    f = torch.nn.functional
    w = {name: torch.tensor(x) for name, x in tensors.items()}

    def norm(name, x):
        parts = [w[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
        return f.batch_norm(x, *parts, training=False, eps=1e-5)

    with torch.no_grad():
        x = f.pad(torch.tensor(audio)[:, None], (512, 512), mode="reflect")
        stft = (w[f"spectrogram_extractor.stft.conv_{part}.weight"] for part in ("real", "imag"))
        power = sum(f.conv1d(x, each, stride=320) ** 2 for each in stft)
        mel = power.transpose(1, 2) @ w["logmel_extractor.melW"]
        decibels = 10 * torch.log10(mel.clamp(min=1e-10))
        x = norm("bn0", decibels.transpose(1, 2)[..., None]).permute(0, 3, 2, 1)
        for block in range(1, 7):
            for number in (1, 2):
                kernel = w[f"conv_block{block}.conv{number}.weight"]
                x = norm(f"conv_block{block}.bn{number}", f.conv2d(x, kernel, padding=1)).relu()
            x = f.avg_pool2d(x, 2 if block < 6 else 1)
        x = x.mean(3)
        x = x.amax(2) + x.mean(2)
        embedding = f.linear(x, w["fc1.weight"], w["fc1.bias"]).relu()
        logits = f.linear(embedding, w["fc_audioset.weight"], w["fc_audioset.bias"])
    return decibels.numpy(), embedding.numpy(), logits.numpy()


def embedded(model, x):
    """What the last layer sees."""
    for layer in list(model.layers)[:-1]:
        x = layer(x)
    return x


def test_it_hears_and_answers_as_pytorch_does(tmp_path):
    """And a new network for other clips and classes takes its layers over."""
    tensors = checkpoint(width=4)
    decibels, embedding, logits = reference(tensors, sounds())
    features = PannsLogMel()(sounds(), RATE)
    np.testing.assert_allclose(features, decibels, atol=2e-3)
    published, shape = cnn14(tensors, "a.pth"), features.shape[1:]
    save(published, tmp_path / "a.safetensors", metadata={"checkpoint": "a.pth"})
    sizes = {"input_shape": shape, "num_classes": 3, "width": 4}
    with pytest.raises(ValueError, match=r"the constants of torch, .* create it with framework="):
        take_over(create("cnn14", rngs=nnx.Rngs(0), **sizes), tmp_path / "a.safetensors")
    model = create("cnn14", rngs=nnx.Rngs(0), framework="torch", **sizes)
    last = np.asarray(model.layers[-1].kernel[...])
    assert take_over(model, tmp_path / "a.safetensors") == {"checkpoint": "a.pth"}
    ours = jax.jit(lambda x: embedded(model, x))(features)
    assert np.abs(embedding).mean() > 0.1
    np.testing.assert_allclose(ours, embedding, atol=1e-4 * np.abs(embedding).max())
    theirs = published.layers[-1](ours)
    np.testing.assert_allclose(theirs, logits, atol=1e-4 * np.abs(logits).max())
    np.testing.assert_array_equal(model.layers[-1].kernel[...], last)


def test_a_checkpoint_of_pytorch_is_read_without_running_it(tmp_path):
    torch = pytest.importorskip("torch", reason=TORCH)
    tensors = checkpoint()
    state = {name: torch.tensor(x) for name, x in tensors.items()}
    save_file(tensors, tmp_path / "a.safetensors")
    torch.save({"model": state, "iteration": 600_000}, tmp_path / "a.pth")
    torch.save(state, tmp_path / "b.pth")
    for name in ("a.safetensors", "a.pth", "b.pth"):
        found = read_checkpoint(tmp_path / name)
        assert found.keys() == tensors.keys()
        assert all((found[name] == x).all() for name, x in tensors.items())
    torch.save({"model": state, "sampler": Harmful(tmp_path / "done")}, tmp_path / "c.pth")
    with pytest.raises(ValueError, match=r"c.pth is no checkpoint that can be read without r"):
        read_checkpoint(tmp_path / "c.pth")
    assert not (tmp_path / "done").exists()


class Harmful:
    """What writes a file where its pickle is read."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return (open, (str(self.file), "w"))


def test_what_is_no_checkpoint(tmp_path, monkeypatch):
    (tmp_path / "a.safetensors").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"a.safetensors is no safetensors file"):
        read_checkpoint(tmp_path / "a.safetensors")
    with pytest.raises(FileNotFoundError, match=r"b.pth: no such file"):
        read_checkpoint(tmp_path / "b.pth")
    (tmp_path / "a.pth").write_bytes(b"nothing")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match=r"read by PyTorch, which is not installed: pip"):
        read_checkpoint(tmp_path / "a.pth")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.pop("conv_block5.bn1.running_var"), "has no tensor conv_block5.bn1.running_v"),
        (lambda t: t.update({"att.weight": t["fc1.bias"]}), "has the tensor att.weight, which CNN"),
        (
            lambda t: t.update({"fc1.weight": t["fc1.weight"][:, 1:]}),
            r"has the tensor fc1.weight of shape \(64, 63\), where CNN14 has \(64, 64\)",
        ),
        (lambda t: t.update({"bn0.bias": t["fc1.bias"][:3]}), r"bn0.bias of shape \(3,\)"),
        (
            lambda t: t.clear(),
            r"has no tensor spectrogram_extractor.* \(and \d+ more",
        ),
        (
            lambda t: t.update({"logmel_extractor.melW": t["logmel_extractor.melW"][:, ::-1]}),
            "logmel_extractor.melW of other mel bands than 50 Hz to 14 kHz at 32 kHz",
        ),
        (lambda t: t["conv_block1.bn2.bias"].fill(np.nan), "conv_block1.bn2.bias with a NaN"),
    ],
)
def test_a_checkpoint_of_another_network_names_the_tensor(change, said):
    tensors = checkpoint()
    change(tensors)
    with pytest.raises(ValueError, match=f"a.pth is no CNN14 of PANNs: it .*{said}"):
        cnn14(tensors, "a.pth")
