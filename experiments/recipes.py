"""Named recipes: everything that makes one published or demonstrated system.

Each says what it is, the command that runs it, how long that takes, and what to expect.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from flax import nnx

from classifiers import ARCHITECTURES, FitConfig, create
from features.extractors import Extractor, LogMel, LogMelPicture, LogMelTempogram, Mfcc, Picture
from features.registry import Registry
from wavegan import TrainConfig, WaveGANConfig
from wavegan.augmentation import AUGMENTATIONS

if TYPE_CHECKING:
    import optuna

GTZAN_TRACK = 29.9  # seconds that every track of GTZAN has


@dataclass(frozen=True)
class Recipe:
    """A classifier with its input, segmenting and training, and the GAN that augments it.

    Attributes
    ----------
    name, about : how it is called, and a line on what it is.
    architecture, options : for `classifiers.create`.
    input : features of a clip.
    sample_rate : Hz, of real and generated clips alike.
    num_samples : length of a clip, real or generated.
    per_track : so many clips of each track; where tracks are too short for that, clips are
        shorter. None takes all that a track has.
    silence : "samples" or "frames" are taken out of a track before it is cut; None keeps it all.
    fit : batch size, optimiser and epochs over the training clips, added ones among them.
    split, fractions : the published protocol; "chunk" has clips of a track on several sides.
    synthetic : whether generated clips, as many as real ones, are a part of it.
    published, note : the accuracy that its authors report, and what it is worth.
    takes : how long one training takes, and on what.
    gan, gan_train : the GAN of a comparison; its ``num_samples`` follows the recipe's.
    conditional : one GAN for all classes instead of one a class.
    search : what `recorded_search` reads, where a search found the sizes: tracks that it saw
        are no test tracks.
    """

    name: str
    about: str
    architecture: str
    input: Extractor
    sample_rate: int
    num_samples: int
    fit: FitConfig
    per_track: int | None = None
    silence: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    split: str = "chunk"
    fractions: tuple[float, float, float] = (0.7, 0.2, 0.1)
    synthetic: bool = False
    published: float | None = None
    note: str = ""
    takes: str = ""
    gan: WaveGANConfig = WaveGANConfig()
    gan_train: TrainConfig = TrainConfig()
    conditional: bool = False
    search: str | None = None

    @property
    def clip_gan(self) -> WaveGANConfig:
        """The GAN that makes clips of this recipe's length; a ValueError where none does."""
        return replace(self.gan, num_samples=self.num_samples)

    @property
    def clip_seconds(self) -> float:
        """Length of a clip."""
        return self.num_samples / self.sample_rate

    @property
    def command(self) -> str:
        """The command of the published protocol."""
        return f"wavegan classify --recipe {self.name} --data DIR --split {self.split}"

    def input_shape(self, num_samples: int) -> tuple[int, ...]:
        """Shape of the features of a clip of so many samples, without the batch axis."""
        audio = jax.ShapeDtypeStruct((1, num_samples, 1), np.float32)
        return jax.eval_shape(lambda x: self.input(x, self.sample_rate), audio).shape[1:]

    def network(
        self, input_shape: Sequence[int], num_classes: int, seed: int = 0, **options: Any
    ) -> nnx.Module:
        """The untrained classifier, its weights drawn from ``seed``; ``options`` beside its own."""
        return create(
            self.architecture,
            input_shape=input_shape,
            num_classes=num_classes,
            rngs=nnx.Rngs(seed),
            **{**self.options, **options},
        )

    def searched(self, search: str) -> Recipe:
        """The recipe with the sizes and the training that a search found, see `recorded_search`."""
        best = recorded_search(search)["best"]
        fit = replace(self.fit, **best["fit"])
        return replace(self, options=best["options"], fit=fit, search=search)


def recorded_search(name: str) -> dict[str, Any]:
    """What `wavegan search` wrote: of a recipe, by its name, or a ``search.json`` by its path.

    A file that is none is a ValueError.
    """
    kept = files("experiments").joinpath("results", "searches", f"{name}.json")
    file = kept if kept.is_file() else Path(name)
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        record["best"]["options"], record["best"]["fit"], record["best"]["tracks"]
    except (OSError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{name} is no search.json that `wavegan search` wrote ({error!r})"
        ) from None
    return record


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


_TRACKS = "a random split of whole tracks"
_CHUNKS = "chunks of a track on both sides"
_LOST = "its code is lost: sizes, clips and split here are our own"
_OURS = "ours; honest CNNs trained from scratch reach 50 to 60 % on GTZAN's filtered split"
# Of each recipe: the accuracy that its authors report, what it is worth, and how long a training
# takes on 80 tracks of 15 s and on GTZAN (a busy CPU core).
_TOLD: Mapping[str, tuple[float | None, str, str, str]] = {
    "net1": (0.4950, f"{_TRACKS} (.4257 after 50 epochs)", "2 min", "40 min"),
    "net2": (0.6039, f"{_TRACKS} (.5346 after 100 epochs)", "36 min", "15 h"),
    "net3": (0.6138, f"{_TRACKS} (.6138 after 100 epochs, too)", "36 min", "15 h"),
    "net4": (0.5445, f"{_TRACKS} (.5346 after 100 epochs)", "24 min", "10 h"),
    "net5": (0.7954, _CHUNKS, "68 min", "29 h"),
    "net6": (0.8291, f"{_CHUNKS}, which the GANs saw, too; one seed", "7 min", "3 h"),
    "cnn1": (0.723, f"{_CHUNKS} (.706 after 10 epochs)", "2 min", "52 min"),
    "cnn2": (0.819, _CHUNKS, "14 min", "6 h"),
    "parallel_cnn": (0.72, f"about; {_CHUNKS}, 8 genres", "4 min", "2 h"),
    "cnn_lstm": (0.59, f"about; {_CHUNKS}, 8 genres", "3 min", "85 min"),
    "cnn_bilstm": (0.85, f"about (its code shows .8154); {_CHUNKS}, 8 genres", "9 min", "4 h"),
    "cnn_rnn": (0.6758, f"{_CHUNKS}, 8 genres", "1 min", "11 min"),
    "final_eff": (0.8888, f"{_CHUNKS}, 8 genres", "14 min", "6 h"),
    "final_acc": (0.9042, f"{_CHUNKS}, 8 genres", "30 min", "13 h"),
    "cnn_rnn_tempo": (0.7960, _LOST, "7 min", "3 h"),
    "short_chunk_resnet": (None, _OURS, "12 min", "5 h"),
}
_OWN: dict[str, Recipe] = {}  # this module's, by their names


def _add(name: str, base: str = "", **settings: Any) -> None:
    """A recipe whose network has its name; what is not given is as in the recipe ``base``."""
    published, note, mini, gtzan = _TOLD[name]
    settings |= {
        "name": name,
        "architecture": name,
        "published": published,
        "note": note,
        "takes": f"{mini} a training on 80 tracks of 15 s, {gtzan} on GTZAN (a busy CPU core)",
    }
    _OWN[name] = replace(_OWN[base], **settings) if base else Recipe(sample_rate=22050, **settings)


# net1 to net4: a picture of each whole track. No WaveGAN makes clips of that length: a
# comparison needs a shorter one, as --num-samples 65536.
_add(
    "net1",
    about="dense network on spectrogram pictures",
    input=Picture(),
    num_samples=round(GTZAN_TRACK * 22050),
    per_track=1,
    fit=FitConfig(batch_size=32, epochs=100),
    split="track",
)
_add("net2", "net1", about="CNN on spectrogram pictures", fit=FitConfig(batch_size=32, epochs=50))
_add("net3", "net2", about="net2 with batch norm")
_add(
    "net4",
    "net3",
    about="net3 trained with RMSProp",
    fit=FitConfig(batch_size=32, epochs=50, optimizer="rmsprop"),
)
_add(
    "net5",
    about="LSTM on MFCC of 1 s clips, quiet samples taken out",
    input=Mfcc(),
    num_samples=22050,
    silence="samples",
    # Stopped at epoch 27 by its authors; the budget is for a patience that never runs out.
    fit=FitConfig(batch_size=64, epochs=100, patience=5),
)
_add(
    "net6",
    "net5",
    about="net5 on 16384-sample clips, silence kept, real and generated",
    num_samples=16384,
    silence=None,
    fit=FitConfig(batch_size=128, epochs=18),
    synthetic=True,
)
_add(
    "cnn1",
    about="CNN on log-mel spectrograms of 3 s clips",
    input=LogMel(),
    num_samples=3 * 22050,
    fit=FitConfig(batch_size=64, epochs=15),
    fractions=(0.8, 0.0, 0.2),
)
_add(
    "cnn2",
    "cnn1",
    about="cnn1 with batch norm and dropout",
    fit=FitConfig(batch_size=64, epochs=40),
)
_add(
    "parallel_cnn",
    about="two parallel CNNs on 80x80 log-mel pictures, 15 a song",
    input=LogMelPicture(),
    num_samples=round(GTZAN_TRACK / 15 * 22050),
    per_track=15,
    fit=FitConfig(batch_size=128, epochs=50, optimizer="sgd", learning_rate=0.01),
    fractions=(0.8, 0.0, 0.2),
)
_add("cnn_lstm", "parallel_cnn", about="CNN, then two LSTMs, on 80x80 log-mel pictures")
_add(
    "cnn_bilstm",
    "parallel_cnn",
    about="noise, CNN, then two bidirectional LSTMs, on 80x80 log-mel pictures",
    fit=FitConfig(batch_size=128, epochs=50, learning_rate=5e-4),
)
_add(
    "cnn_rnn",
    "parallel_cnn",
    about="1-D CNN, then two LSTMs, on 80x80 log-mel sequences",
    input=LogMelPicture(sequence=True),
    fit=FitConfig(batch_size=128, epochs=50, optimizer="sgd", learning_rate=0.1),
)
_add(
    "final_eff",
    "parallel_cnn",
    about="CNN of four blocks on 80x80 log-mel pictures",
    fit=FitConfig(batch_size=128, epochs=50, learning_rate=1e-3),
)
_add("final_acc", "final_eff", about="final_eff at widths 32 and 64 side by side")
_add(
    "cnn_rnn_tempo",
    "cnn1",
    about="CNNs on log-mel and tempogram, joined, then an RNN; sizes found by our own search",
    options={"tempo_lags": 128},
    input=LogMelTempogram(),
    fit=FitConfig(batch_size=64, epochs=40, learning_rate=1e-3, patience=10),
    fractions=(0.7, 0.2, 0.1),
)
# by 10 trials of 8 epochs on a part of GTZAN
_OWN["cnn_rnn_tempo"] = _OWN["cnn_rnn_tempo"].searched("cnn_rnn_tempo")
_add(
    "short_chunk_resnet",
    "cnn1",
    about="the modern reference: residual CNN on 3 s log-mel (Won et al. 2020), a quarter as wide",
    options={"width": 32},
    fit=FitConfig(batch_size=32, epochs=40, learning_rate=5e-4, patience=10),
    split="track",
    fractions=(0.7, 0.2, 0.1),
)
_OWN["demo"] = Recipe(
    name="demo",
    about="net6's network at an eighth of its width on 8 kHz clips, for a first look",
    architecture="net6",
    options={"lstm_sizes": (64, 32), "dense_sizes": (32,)},
    input=Mfcc(n_mfcc=20, n_fft=512, hop_length=256, n_mels=40),
    sample_rate=8000,
    num_samples=8192,
    fit=FitConfig(batch_size=64, epochs=30, learning_rate=2e-3),
    split="track",
    note="none",
    takes="a comparison about 4 min (2 CPU cores)",
    gan=WaveGANConfig(dim=8),
    gan_train=TrainConfig(
        batch_size=16, steps=120, learning_rate=4e-4, ema_decay=0.98, checkpoint_every=40
    ),
)


def _check(recipe: Any) -> None:
    if not isinstance(recipe, Recipe):
        raise TypeError(f"give a Recipe, as replace(RECIPES['net6'], name=…), found {recipe!r}")
    if recipe.architecture not in ARCHITECTURES:
        near = difflib.get_close_matches(recipe.architecture, ARCHITECTURES) or ARCHITECTURES
        raise ValueError(
            f"architecture {recipe.architecture!r}: there is {', '.join(near)}; register your own "
            "first"
        )


RECIPES = Registry(
    "experiments.RECIPES",
    _OWN,
    _check,
    recipe='dataclasses.replace(experiments.RECIPES["net6"], name=…, …)',
)


# --- searches ------------------------------------------------------------------------------------


def cnn_rnn_tempo(trial: optuna.trial.BaseTrial) -> tuple[dict[str, Any], dict[str, Any]]:
    """Network options and settings of the training to try."""
    width = trial.suggest_categorical("width", [8, 16, 32])
    options = {
        "conv_widths": (width, 2 * width, 2 * width),
        "lstm_units": trial.suggest_categorical("lstm_units", [32, 64, 128]),
        "dense_size": trial.suggest_categorical("dense_size", [32, 64, 128]),
        "dropout": trial.suggest_float("dropout", 0.1, 0.5, step=0.1),
    }
    settings = {
        "learning_rate": trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True),
        "batch_size": trial.suggest_categorical("batch_size", [16, 32, 64]),
    }
    return options, settings


Space = Callable[["optuna.trial.BaseTrial"], tuple[dict[str, Any], dict[str, Any]]]
SPACES: Mapping[str, Space] = {"cnn_rnn_tempo": cnn_rnn_tempo}


# --- GANs ----------------------------------------------------------------------------------------

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
