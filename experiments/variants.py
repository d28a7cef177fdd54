"""Ways to train a GAN on little data, and the settings of a study that compares them."""

from __future__ import annotations

from dataclasses import dataclass

from experiments.config import DataConfig
from experiments.recipes import GanPreset
from wavegan import TrainConfig, WaveGANConfig
from wavegan.augmentation import AUGMENTATIONS

REFERENCE = "reference"

_R1 = {"loss": "logistic-r1", "penalty_every": 16, "critic_steps": 1}
_AUGMENT = {"augment": tuple(AUGMENTATIONS)}
_SPECTROGRAM = {"spectrogram_critic": True}

VARIANTS: dict[str, GanPreset] = {
    REFERENCE: GanPreset("WGAN-GP, 5 critic steps a generator step"),
    "logistic-r1": GanPreset("logistic loss, R1 every 16th step, 1 critic step", train=_R1),
    "augment": GanPreset("adaptive augmentation of what the critic sees", train=_AUGMENT),
    "spectral-norm": GanPreset("spectral norm of the critic", gan={"spectral_norm": True}),
    "spectrogram-critic": GanPreset("a second critic on spectrograms", gan=_SPECTROGRAM),
    "logistic-r1+augment": GanPreset("both", train=_R1 | _AUGMENT),
    "combined": GanPreset(
        "logistic-r1, augment and spectrogram-critic", gan=_SPECTROGRAM, train=_R1 | _AUGMENT
    ),
}


GAN_PRESETS: dict[str, GanPreset] = {
    # `wavegan train --gan reference --data DIR`: 200k steps took its authors 4 days on a P100.
    "reference": GanPreset(
        "as its authors trained it",
        gan={"dim": 64},
        train={"loss": "wgan-gp", "batch_size": 64, "critic_steps": 5, "steps": 200_000},
    ),
    # `wavegan train --gan small-data --data DIR`: what did best in `wavegan study` on gtzan-mini
    # and on fsdd, by the kernel distance to the training clips, for every seed.
    "small-data": VARIANTS["logistic-r1"],
}


@dataclass(frozen=True)
class StudyConfig:
    """A study of `VARIANTS`.

    Attributes
    ----------
    data : tracks and split; the GANs are trained on the training side, all classes together.
    seconds : of training of each run.
    seeds : runs of each variant, seeds 0 … seeds - 1.
    variants : names in `VARIANTS`, the reference among them.
    sample_rate, num_samples : Hz and length of a clip.
    gan_dim, batch_size, learning_rate : of every variant alike.
    pad_end : fill tracks shorter than a clip with zeros.
    count : clips of each run that are measured, and real windows they are compared with.
    """

    data: DataConfig = DataConfig()
    seconds: float = 60.0
    seeds: int = 3
    variants: tuple[str, ...] = tuple(VARIANTS)
    sample_rate: int = 16000
    num_samples: int = 16384
    gan_dim: int = 8
    batch_size: int = 16
    learning_rate: float = 4e-4
    pad_end: bool = False
    count: int = 512

    def __post_init__(self):
        if unknown := [name for name in self.variants if name not in VARIANTS]:
            raise ValueError(
                f"--variants {', '.join(unknown)}: there is none; take of {', '.join(VARIANTS)}"
            )
        if REFERENCE not in self.variants or len(set(self.variants)) < len(self.variants):
            raise ValueError(
                f"--variants takes different names, {REFERENCE} among them, which the others are "
                f"held against; found {', '.join(self.variants) or 'none'}"
            )
        for name in ("seconds", "sample_rate"):
            if not getattr(self, name) > 0:
                raise ValueError(f"--{name.replace('_', '-')} must be positive, found 0 or less")
        if self.seeds < 1:
            raise ValueError(f"--seeds must be at least 1, found {self.seeds}")
        for name in self.variants:
            self.gan(name), self.training(name)  # which check the rest, before any work

    def gan(self, variant: str) -> WaveGANConfig:
        """The networks of a variant."""
        changes = VARIANTS[variant].gan
        return WaveGANConfig(num_samples=self.num_samples, dim=self.gan_dim, **changes)

    def training(self, variant: str) -> TrainConfig:
        """How a variant is trained, but for its steps and seed."""
        settings = {
            "batch_size": self.batch_size,
            "learning_rate": self.learning_rate,
            "pad_end": self.pad_end,
            "accumulate": 1,  # parts of a batch would take longer: the same program for all
        }
        return TrainConfig(**{**settings, **VARIANTS[variant].train})
