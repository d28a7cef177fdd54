"""What `experiments.generate` and `interpolate` are asked to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from features.limits import check_counts, check_finite, check_rate


@dataclass(frozen=True)
class GenerateConfig:
    """Clips of the GANs of a run, as files.

    Attributes
    ----------
    run : run folder of GANs, an exported generator, or the name of one in the package: digits.
    step : of which checkpoint, or "best"; None is the newest.
    label : only this class.
    count : clips of each class; None is 16, or as many as there are latents.
    seed : of the latents.
    latents : .npy file of latents (n, latent_dim) to make the sounds of again, or the .json file
        of clips that were marked on the page of `wavegan audition`.
    truncation : latents are drawn from ± this; less is more typical.
    batch_size : clips at a time; less takes less memory.
    format : "wav" or "flac".
    sample_rate : Hz, where the run does not say.
    """

    run: Path
    step: int | str | None = None
    label: str | None = None
    count: int | None = None
    seed: int = 0
    latents: Path | None = None
    truncation: float = 1.0
    batch_size: int = 64
    format: str = "wav"
    sample_rate: int | None = None

    def __post_init__(self):
        check_finite(self)
        check_counts(count=self.count, batch_size=self.batch_size)
        _check_files(self.format, self.sample_rate)


@dataclass(frozen=True)
class InterpolateConfig:
    """Clips on the way from one sound to another.

    Attributes
    ----------
    run : run folder of GANs, an exported generator, or the name of one in the package: digits.
    step : of which checkpoint, or "best"; None is the newest.
    label : class of the first sound; None is the only one.
    to_label : class of the last sound, of a conditional GAN; None is the same.
    seed : of the first sound.
    to_seed : of the last sound; None is the next seed, or the same where the class differs.
    steps : sounds, both ends among them.
    format : "wav" or "flac".
    sample_rate : Hz, where the run does not say.
    """

    run: Path
    step: int | str | None = None
    label: str | None = None
    to_label: str | None = None
    seed: int = 0
    to_seed: int | None = None
    steps: int = 9
    format: str = "wav"
    sample_rate: int | None = None

    def __post_init__(self):
        _check_files(self.format, self.sample_rate)


def _check_files(suffix: str, sample_rate: int | None) -> None:
    if suffix not in ("wav", "flac"):
        raise ValueError(f"--format is wav or flac, found {suffix!r}")
    check_rate(sample_rate)
