"""A checkpoint in the layout of PANNs' CNN14, of random weights and any width."""

import librosa
import numpy as np

RATE = 32_000


def norm(rng, width):
    return {
        "weight": rng.uniform(0.5, 1.5, width),
        "bias": rng.normal(0, 0.2, width),
        "running_mean": rng.normal(0, 0.2, width),
        "running_var": rng.uniform(0.5, 2, width),
    }


def checkpoint(width=2, classes=5, seed=0):
    """Its tensors by name, float32."""
    rng = np.random.default_rng(seed)
    angles = 2 * np.pi / 1024 * np.outer(np.arange(513), np.arange(1024))
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(1024) / 1024)
    found = {
        "spectrogram_extractor.stft.conv_real.weight": (np.cos(angles) * hann)[:, None],
        "spectrogram_extractor.stft.conv_imag.weight": (-np.sin(angles) * hann)[:, None],
        "logmel_extractor.melW": librosa.filters.mel(
            sr=RATE, n_fft=1024, n_mels=64, fmin=50, fmax=14_000
        ).T,
    }
    norms = {"bn0": norm(rng, 64) | {"running_mean": rng.normal(-20, 2, 64)}}
    norms["bn0"]["running_var"] = rng.uniform(50, 200, 64)
    channels = 1
    for block in range(1, 7):
        out = width * 2 ** (block - 1)
        for number in (1, 2):
            name, scale = f"conv_block{block}", (2 / (9 * channels)) ** 0.5
            found[f"{name}.conv{number}.weight"] = rng.normal(0, scale, (out, channels, 3, 3))
            norms[f"{name}.bn{number}"] = norm(rng, out)
            channels = out
    for name, out in (("fc1", channels), ("fc_audioset", classes)):
        found[f"{name}.weight"] = rng.normal(0, (2 / channels) ** 0.5, (out, channels))
        found[f"{name}.bias"] = rng.normal(0, 0.1, out)
    for name, values in norms.items():
        found |= {f"{name}.{part}": value for part, value in values.items()}
    found = {name: np.ascontiguousarray(x, np.float32) for name, x in found.items()}
    return found | {f"{name}.num_batches_tracked": np.array(7) for name in norms}
