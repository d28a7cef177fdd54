"""What `experiments.generate` and `interpolate` are asked to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from features.limits import check_counts, check_finite, check_rate

CHOICES = {"step": ("best",), "format": ("wav", "flac")}


@dataclass(frozen=True)
class GenerateConfig:
    """Clips of the GANs of a run, as files.

    Attributes
    ----------
    run : run folder of GANs, an exported generator, or the name of one in the package: digits.
    step : step of the checkpoint, or "best"; None takes the newest.
    label : make clips of this class only.
    count : clips of each class; None makes 16, or one for each given latent.
    seed : seed of the latents.
    latents : .npy file of latents (n, latent_dim) to turn into sound, or the .json file of
        favourites saved on the page of `wavegan audition`.
    truncation : latents are drawn between plus and minus this; less makes clips more typical.
    batch_size : clips made at a time; fewer take less memory.
    format : "wav" or "flac".
    sample_rate : Hz, where the run does not say it.
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
    step : step of the checkpoint, or "best"; None takes the newest.
    label : class of the first sound; may be left out where there is only one.
    to_label : class of the last sound, of a conditional GAN; None keeps the first one's.
    seed : seed of the first sound.
    to_seed : seed of the last sound; None takes the next one, or the same where the class changes.
    steps : number of sounds, the first and the last included.
    format : "wav" or "flac".
    sample_rate : Hz, where the run does not say it.
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
    if suffix not in CHOICES["format"]:
        raise ValueError(f"--format is wav or flac, found {suffix!r}")
    check_rate(sample_rate)
