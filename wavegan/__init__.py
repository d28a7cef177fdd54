"""WaveGAN in JAX: networks, training, generation. Source: arXiv 1802.04208."""

from wavegan.networks import Discriminator, Generator, WaveGANConfig
from wavegan.reference import load_reference
from wavegan.run_folder import CheckpointError
from wavegan.sampling import Samples, generate, interpolate
from wavegan.training import (
    TrainConfig,
    TrainingInterrupted,
    TrainResult,
    load,
    train,
)
from wavegan.watch import TrainingDiverged

__all__ = [
    "CheckpointError",
    "Discriminator",
    "Generator",
    "Samples",
    "TrainConfig",
    "TrainResult",
    "TrainingDiverged",
    "TrainingInterrupted",
    "WaveGANConfig",
    "generate",
    "interpolate",
    "load",
    "load_reference",
    "train",
]
