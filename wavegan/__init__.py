"""WaveGAN in JAX: networks, training, generation. Source: arXiv 1802.04208."""

from wavegan.augmentation import AUGMENTATIONS
from wavegan.classes import of_class
from wavegan.devices import OutOfDeviceMemory
from wavegan.export import export, read_exported
from wavegan.losses import LOSSES, Loss
from wavegan.metrics import METRICS, Metric
from wavegan.networks import Discriminator, Generator, WaveGANConfig
from wavegan.previews import Previews
from wavegan.quality import Quality
from wavegan.reference import load_reference
from wavegan.run_folder import CheckpointError
from wavegan.sample_files import write_interpolation, write_samples
from wavegan.sampling import Samples, generate, generate_batches, interpolate
from wavegan.tensorboard import TensorBoard
from wavegan.train_config import TrainConfig
from wavegan.trained_run import TrainedRun, read_run
from wavegan.training import (
    TrainingInterrupted,
    TrainResult,
    load,
    seconds_per_step,
    train,
    train_together,
    training_states,
)
from wavegan.training_run import Job
from wavegan.watch import TrainingDiverged

__all__ = [
    "AUGMENTATIONS",
    "LOSSES",
    "METRICS",
    "CheckpointError",
    "Discriminator",
    "Generator",
    "Job",
    "Loss",
    "Metric",
    "OutOfDeviceMemory",
    "Previews",
    "Quality",
    "Samples",
    "TensorBoard",
    "TrainConfig",
    "TrainResult",
    "TrainedRun",
    "TrainingDiverged",
    "TrainingInterrupted",
    "WaveGANConfig",
    "export",
    "generate",
    "generate_batches",
    "interpolate",
    "load",
    "load_reference",
    "of_class",
    "read_exported",
    "read_run",
    "seconds_per_step",
    "train",
    "train_together",
    "training_states",
    "write_interpolation",
    "write_samples",
]
