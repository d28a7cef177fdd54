"""Named recipes: everything that makes one published or demonstrated system.

Each says what it is, the command that runs it, how long that takes, and what to expect.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from classifiers import FitConfig
from experiments.inputs import Input, Mfcc, Picture
from wavegan import TrainConfig, WaveGANConfig


@dataclass(frozen=True)
class Recipe:
    """A classifier with its input, segmenting and training, and the GAN that augments it.

    Attributes
    ----------
    name, about : how it is called, and a line on what it is.
    architecture, options : for `classifiers.create`.
    input : features of a clip.
    sample_rate, num_samples : Hz and length of a clip, for real and synthetic ones alike.
    fit : batch size, optimiser and epochs over the real training clips.
    gan, gan_train : the GAN of a comparison; its ``num_samples`` follows the recipe's.
    conditional : one GAN for all classes, not one a class.
    published : the accuracy that its authors report, and why it can or can't be compared.
    """

    name: str
    about: str
    architecture: str
    input: Input
    sample_rate: int
    num_samples: int
    fit: FitConfig
    options: Mapping[str, Any] = field(default_factory=dict)
    gan: WaveGANConfig = WaveGANConfig()
    gan_train: TrainConfig = TrainConfig()
    conditional: bool = False
    published: str = "none"

    @property
    def clip_gan(self) -> WaveGANConfig:
        """The GAN that makes clips of this recipe's length; a ValueError where none does."""
        return replace(self.gan, num_samples=self.num_samples)


@dataclass(frozen=True)
class GanPreset:
    """A named set of changes to a GAN.

    Attributes
    ----------
    about : a line on what it is.
    gan, train : settings of `WaveGANConfig` and `TrainConfig` that it changes.
    """

    about: str
    gan: Mapping[str, Any] = field(default_factory=dict)
    train: Mapping[str, Any] = field(default_factory=dict)


_ALL = (
    Recipe(
        name="demo",
        about="net6's network at an eighth of its width on 8 kHz clips, for a first look",
        # `wavegan compare --recipe demo`: under 5 minutes on 2 cores, embedded data.
        architecture="net6",
        options={"lstm_sizes": (64, 32), "dense_sizes": (32,)},
        input=Mfcc(n_mfcc=20, n_fft=512, hop_length=256, n_mels=40),
        sample_rate=8000,
        num_samples=8192,
        fit=FitConfig(batch_size=64, epochs=30, learning_rate=2e-3),
        gan=WaveGANConfig(dim=8),
        gan_train=TrainConfig(
            batch_size=16, steps=120, learning_rate=4e-4, ema_decay=0.98, checkpoint_every=40
        ),
    ),
    Recipe(
        name="net3",
        about="CNN with batch norm on spectrogram pictures",
        # `wavegan compare --recipe net3 --num-samples 65536 --data DIR`: hours on a CPU. A clip
        # is a 30 s track by default, which no WaveGAN makes: a comparison needs a shorter one.
        architecture="net3",
        input=Picture(),
        sample_rate=22050,
        num_samples=30 * 22050,
        fit=FitConfig(batch_size=32, epochs=50),
        published=".6138 on a random split of tracks; its clips are whole tracks",
    ),
    Recipe(
        name="net6",
        about="LSTM on MFCC of 16384-sample clips",
        # `wavegan compare --recipe net6 --data DIR`: a GAN a genre at the reference's size and
        # length takes days on a CPU; --gan-dim 16 --gan-steps 500 takes about an hour.
        architecture="net6",
        input=Mfcc(),
        sample_rate=22050,
        num_samples=16384,
        fit=FitConfig(batch_size=128, epochs=18),
        published=".8291 with chunks of a track on both sides: not comparable with a track split",
    ),
)

RECIPES: Mapping[str, Recipe] = {recipe.name: recipe for recipe in _ALL}
