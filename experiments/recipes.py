"""Named recipes: everything that makes one published or demonstrated system.

Each says what it is, the command that runs it, how long that takes, and what to expect.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from flax import nnx

from classifiers import ARCHITECTURES, FitConfig, create
from classifiers.architectures import Classifier
from experiments.options import in_options, names_of
from experiments.run import Run
from features import Rows, Standardizer
from features.extractors import Extractor, MadeElsewhere, Supplied, from_dict
from features.limits import check_finite, check_rate
from features.registry import Registry
from features.silence import SILENCES
from features.storage import MISREAD, understanding
from wavegan import TrainConfig, WaveGANConfig
from wavegan.augmentation import AUGMENTATIONS

if TYPE_CHECKING:
    import optuna

CHOICES = {"silence": SILENCES}


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
    fit : batch size, optimiser and epochs over the training clips, added ones among them; the
        network has the constants of its framework.
    split, fractions : the published protocol; "chunk" has clips of a track on several sides.
    synthetic : whether generated clips, as many as real ones, are a part of it.
    published, note : the accuracy that its authors report, and what it is worth.
    takes : how long one training takes, and on what.
    differences : from the source, where it is public: of each what it is of, how it is as
        published, how here, and why.
    gan, gan_train : the GAN of a comparison; its ``num_samples`` follows the recipe's.
    conditional : one GAN for all classes instead of one a class.
    shared_steps : steps of one GAN for all classes, from which that of each class then starts; 0
        trains each from scratch.
    search : what `recorded_search` reads, where a search found the sizes: tracks that it saw
        are no test tracks.
    pretrained : file of a saved classifier of the same architecture, whose layers, all but the
        last, the network starts from; those stay as they are with the optimizer "lbfgs".
    flawed : options of the network in a published protocol whose test was none: it was drawn anew
        from all clips, and dropout was on; empty where the protocol can be repeated as it was.
    needs : "embeddings" or "pretrained", which a file supplies, where the recipe can't do without.
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
    differences: tuple[tuple[str, str, str, str], ...] = ()
    gan: WaveGANConfig = WaveGANConfig()
    gan_train: TrainConfig = TrainConfig()
    conditional: bool = False
    shared_steps: int = 0
    search: str | None = None
    pretrained: str | None = None
    flawed: Mapping[str, Any] = field(default_factory=dict)
    needs: str = ""

    def __post_init__(self) -> None:
        check_finite(self)
        check_rate(self.sample_rate)
        if self.num_samples < (window := getattr(self.input, "n_fft", 16)):
            raise ValueError(
                f"num_samples must be at least {window}, a window of the features of {self.name}, "
                f"found {self.num_samples}"
            )
        if self.shared_steps < 0:
            raise ValueError(f"shared_steps must be 0 or more, found {self.shared_steps}")
        if self.shared_steps and self.conditional:
            raise ValueError(
                f"shared_steps ({self.shared_steps}) is for a GAN a class, and this is one for all "
                "(conditional): leave one of them out"
            )

    @property
    def shared(self) -> Recipe | None:
        """Of the one GAN for all classes that the others start from; inspected as often as they."""
        if not self.shared_steps:
            return None
        settings = self.gan_train
        every = settings.inspect_every * self.shared_steps // settings.steps
        every = max(1, every) if settings.inspect_every else 0
        settings = replace(settings, steps=self.shared_steps, inspect_every=every)
        return replace(self, conditional=True, shared_steps=0, gan_train=settings)

    @property
    def clip_gan(self) -> WaveGANConfig:
        """The GAN that makes clips of this recipe's length; a ValueError where none does."""
        try:
            return replace(self.gan, num_samples=self.num_samples)
        except ValueError as error:
            names = names_of(WaveGANConfig, "gan-") | {"num_samples": "num-samples"}
            raise ValueError(in_options(error, names)) from None

    @property
    def clip_seconds(self) -> float:
        """Length of a clip."""
        return self.num_samples / self.sample_rate

    @property
    def command(self) -> str:
        """The command of the published protocol."""
        file = f" --{self.needs} FILE" if self.needs else ""
        return f"wavegan classify --recipe {self.name}{file} --data DIR --split {self.split}"

    @property
    def missing(self) -> str:
        """What is said where the file that it needs is not there; empty where it is."""
        if self.needs == "embeddings" and not (
            isinstance(self.input, Supplied) and self.input.size
        ):
            return (
                f"{self.name} is fitted on embeddings that you supply: give `wavegan classify` "
                "--embeddings FILE, an .npz, .npy or .parquet with the track of each"
            )
        if self.needs == "pretrained" and self.pretrained is None:
            return (
                f"{self.name} takes over the layers of a trained network: give `wavegan classify` "
                "--pretrained FILE; `wavegan convert` makes it from the checkpoint of PANNs, "
                "Cnn14_mAP=0.431.pth at zenodo.org/record/3987831"
            )
        return ""

    def input_shape(self, num_samples: int) -> tuple[int, ...]:
        """Shape of the features of a clip of so many samples, without the batch axis."""
        if isinstance(self.input, MadeElsewhere):
            return self.input.shape
        audio = jax.ShapeDtypeStruct((1, num_samples, 1), np.float32)
        try:
            return jax.eval_shape(lambda x: self.input(x, self.sample_rate), audio).shape[1:]
        except (jax.errors.TracerArrayConversionError, jax.errors.ConcretizationTypeError):
            silence = np.zeros(audio.shape, np.float32)  # it computes in NumPy, here too
            return self.input(silence, self.sample_rate).shape[1:]

    def scaler(self, train: np.ndarray | Rows) -> Standardizer | None:
        """Fitted on the features of training clips; None where features are not standardised."""
        return Standardizer.fit(train) if self.input.standardize else None

    def network(
        self, input_shape: Sequence[int], num_classes: int, seed: int = 0, **options: Any
    ) -> Classifier:
        """The untrained classifier, its weights drawn from ``seed``; ``options`` beside its own."""
        return create(
            self.architecture,
            input_shape=input_shape,
            num_classes=num_classes,
            rngs=nnx.Rngs(seed),
            framework=self.fit.framework,
            **{**self.options, **options},
        )

    def searched(self, search: str) -> Recipe:
        """The recipe with the sizes and the training that a search found, see `recorded_search`."""
        best = recorded_search(search)["best"]
        with understanding(search, "search again with `wavegan search`"):
            fit = replace(self.fit, **best["fit"])
        return replace(self, options=best["options"], fit=fit, search=search)


def recorded_search(name: str) -> dict[str, Any]:
    """What `wavegan search` wrote: of a recipe, by its name, or a ``search.json`` by its path.

    A file that is none is a ValueError.
    """
    kept = files("experiments").joinpath("results", "searches", f"{name}.json")
    file = Path(str(kept) if kept.is_file() else name)
    try:
        record = Run(file.parent).read_json(file.name)
        best = record["best"]
        {**best["options"]}, {**best["fit"]}, {*best["tracks"].values()}
    except (OSError, ValueError, *MISREAD) as error:
        raise ValueError(
            f"{name} is no search.json that `wavegan search` wrote ({error})"
        ) from None
    return record


@dataclass(frozen=True)
class GanPreset:
    """A named set of changes to a GAN.

    Attributes
    ----------
    about : a line on what it is.
    gan, train : settings of `WaveGANConfig` and `TrainConfig` that it changes.
    shared_steps : of one GAN for all classes, which the others start from; 0 is without.
    looked_at : names of the data sets by whose tracks it was chosen among others, in a study.
    """

    about: str
    gan: Mapping[str, Any] = field(default_factory=dict)
    train: Mapping[str, Any] = field(default_factory=dict)
    shared_steps: int = 0
    looked_at: tuple[str, ...] = ()

    @property
    def settings(self) -> dict[str, Any]:
        """All that it changes, by the names of the options without their ``gan-``."""
        shared = {"shared_steps": self.shared_steps} if self.shared_steps else {}
        return {**self.gan, **self.train, **shared}


def _own() -> dict[str, Recipe]:
    """The recipes of ``recipes.toml``, by their names."""
    text = files("experiments").joinpath("recipes.toml").read_text(encoding="utf-8")
    kinds = {"fit": FitConfig, "gan": WaveGANConfig, "gan_train": TrainConfig}
    found: dict[str, Recipe] = {}
    for name, told in _tuples(tomllib.loads(text)).items():
        base, search = told.pop("base", None), told.pop("search", None)
        settings = {"name": name, "architecture": name, **told}
        settings |= {part: kind(**told[part]) for part, kind in kinds.items() if part in told}
        if "input" in told:  # TOML has no None
            settings["input"] = from_dict(
                {name: None if x == "none" else x for name, x in told["input"].items()}
            )
        recipe = replace(found[base], **settings) if base else Recipe(**settings)
        found[name] = recipe.searched(search) if search else recipe
    return found


def _tuples(value: Any) -> Any:
    """Lists as tuples, which a frozen dataclass can hold."""
    if isinstance(value, dict):
        return {name: _tuples(part) for name, part in value.items()}
    return tuple(value) if isinstance(value, list) else value


def _check(recipe: Any) -> None:
    if not isinstance(recipe, Recipe):
        raise TypeError(f"give a Recipe, as replace(RECIPES['net6'], name=…), found {recipe!r}")
    if recipe.architecture not in ARCHITECTURES:
        near = difflib.get_close_matches(recipe.architecture, ARCHITECTURES) or ARCHITECTURES
        raise ValueError(
            f"architecture {recipe.architecture!r}: there is {', '.join(near)}; register your own "
            "first"
        )


class _Recipes(Registry[Recipe]):
    """The registry of recipes, each under its own name: run folders and pages say that."""

    def __setitem__(self, name: str, recipe: Recipe) -> None:
        if isinstance(recipe, Recipe) and recipe.name != name:
            raise ValueError(
                f"{self.name}[{name!r}]: its name is {recipe.name!r}, by which results would call "
                f"it: give replace(recipe, name={name!r})"
            )
        super().__setitem__(name, recipe)


RECIPES: Registry[Recipe] = _Recipes(
    "experiments.RECIPES",
    _own(),
    _check,
    recipe='dataclasses.replace(experiments.RECIPES["net6"], name=…, …)',
)


# --- searches ------------------------------------------------------------------------------------


def mel_tempo_rnn(trial: optuna.trial.BaseTrial) -> tuple[dict[str, Any], dict[str, Any]]:
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
SPACES: Mapping[str, Space] = {"mel_tempo_rnn": mel_tempo_rnn}


# --- GANs ----------------------------------------------------------------------------------------

REFERENCE = "reference"

_LAZY_R1 = {"loss": "logistic-r1", "penalty_every": 16, "critic_steps": 1}
_BOTH = {"loss": "logistic-r1", "penalty": "r1+r2", "critic_steps": 1}
_PAIRS = _BOTH | {"relativistic": True}
_FAST = {"learning_rate": 1e-3}
_AUGMENT = {"augment": tuple(AUGMENTATIONS)}
_SPECTROGRAM = {"spectrogram_critic": True}
_VARIED = {"minibatch_stddev": True}
_PENALISED = _PAIRS | {"spectrogram_penalty": 1.0}

VARIANTS: dict[str, GanPreset] = {
    REFERENCE: GanPreset("WGAN-GP, 5 critic steps a generator step"),
    "one-critic-step": GanPreset("WGAN-GP, 1 critic step", train={"critic_steps": 1}),
    "lazy-r1": GanPreset("logistic loss, R1 every 16th step, 1 critic step", train=_LAZY_R1),
    "r1+r2": GanPreset("logistic loss, R1 and R2 (10) every step, 1 critic step", train=_BOTH),
    "pairs": GanPreset("r1+r2 of relativistic pairs", train=_PAIRS),
    "lazy-pairs": GanPreset("pairs, penalised every 4th step", train=_PAIRS | {"penalty_every": 4}),
    "pairs+spectrogram": GanPreset(
        "pairs with a second critic on spectrograms", gan=_SPECTROGRAM, train=_PAIRS
    ),
    "fast-lazy-r1": GanPreset("lazy-r1 at a learning rate of 1e-3", train=_LAZY_R1 | _FAST),
    "fast-spectrogram": GanPreset(
        "pairs+spectrogram at a learning rate of 1e-3",
        gan=_SPECTROGRAM,
        train=_PAIRS | _FAST | {"spectrogram_penalty": 0.0},
        looked_at=("gtzan-mini",),
    ),
    "penalised-spectrogram": GanPreset(
        "pairs+spectrogram, the spectrogram critic penalised by its own slopes",
        gan=_SPECTROGRAM,
        train=_PENALISED,
    ),
    "fast-penalised-spectrogram": GanPreset(
        "penalised-spectrogram at a learning rate of 1e-3",
        gan=_SPECTROGRAM,
        train=_PENALISED | _FAST,
        looked_at=("gtzan-mini", "fsdd"),
    ),
    "varied": GanPreset(
        "penalised-spectrogram, the critics told how much the clips of a batch differ",
        gan=_SPECTROGRAM | _VARIED,
        train=_PENALISED,
    ),
    "fast-varied": GanPreset(
        "varied at a learning rate of 1e-3", gan=_SPECTROGRAM | _VARIED, train=_PENALISED | _FAST
    ),
    "pairs+augment": GanPreset(
        "pairs with adaptive augmentation of what the critic sees", train=_PAIRS | _AUGMENT
    ),
    "spectral-norm": GanPreset("WGAN-GP, spectral norm of the critic", gan={"spectral_norm": True}),
}


def looked_at(recipe: Recipe) -> tuple[str, ...]:
    """The data sets by whose tracks the way of training of a recipe's GAN was chosen."""

    def same(variant: GanPreset) -> bool:
        parts = ((recipe.gan, variant.gan), (recipe.gan_train, variant.train))
        return all(getattr(of, name) == x for of, said in parts for name, x in said.items())

    return next((v.looked_at for v in VARIANTS.values() if v.looked_at and same(v)), ())


# A preset is all of a way of training: nothing of the recipe's own is left in it.
_GAN = {"spectral_norm": False, "spectrogram_critic": False, "minibatch_stddev": False}
_TRAIN = {
    "loss": "wgan-gp", "relativistic": False, "learning_rate": None, "rate_decay_steps": None,
    "penalty": None, "penalty_weight": None, "penalty_every": 1, "spectrogram_penalty": 0.0,
    "critic_steps": 5, "augment": (),
}  # fmt: skip


def _preset(
    variant: GanPreset, about: str = "", *, shared_steps: int = 0, **changes: Any
) -> GanPreset:
    """A variant as a preset, with other sizes of the training."""
    gan, train = _GAN | dict(variant.gan), _TRAIN | dict(variant.train) | changes
    return replace(
        variant, about=about or variant.about, gan=gan, train=train, shared_steps=shared_steps
    )


_SMALL_DATA = VARIANTS["fast-penalised-spectrogram"]

GAN_PRESETS: dict[str, GanPreset] = {
    # `wavegan train --gan reference --data DIR`: 200k steps took its authors 4 days on a P100.
    "reference": replace(
        _preset(
            VARIANTS[REFERENCE], "as the WaveGAN's authors trained it", batch_size=64, steps=200_000
        ),
        gan={**_GAN, "dim": 64},
    ),
    "one-critic-step": _preset(VARIANTS["one-critic-step"], batch_size=16),
    # `wavegan train --recipe net6 --gan net6 --gan-steps 6250 --data DIR`: 50 epochs of GTZAN.
    "net6": replace(
        _preset(
            VARIANTS[REFERENCE],
            "as net6's authors trained theirs, but for the steps: 50 epochs",
            loss="dcgan",
            learning_rate=1e-4,
            critic_steps=1,
            batch_size=32,
            slices="grid",
        ),
        gan={**_GAN, "dim": 16, "phase_shuffle": 0},
    ),
    # `wavegan train --gan small-data --data DIR`: why these, wavegan/README.md says in section 4.
    "small-data": _preset(_SMALL_DATA, batch_size=16),
    # `wavegan train --gan all-then-one --data DIR`: for ten classes as many steps in all as
    # `--gan small-data --gan-steps 4000`, ten from scratch. Which is better is not measured yet.
    "all-then-one": _preset(
        _SMALL_DATA,
        "small-data: one GAN of all classes, from which a GAN of each class goes on",
        shared_steps=20_000,
        batch_size=16,
        steps=2000,
    ),
}
