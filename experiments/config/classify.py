"""What `experiments.classify` and `predict` are asked to do."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from experiments.config.data import MOST_RUNS, DataConfig
from experiments.recipes import Recipe
from features.augmentation import parse_augmentations
from features.extractor_registry import EXTRACTORS
from features.extractors import MadeElsewhere, Picture
from features.limits import check_counts
from features.splits import SPLITS


def kinds_of_features() -> list[str]:
    """The names of those that are computed from audio."""
    return [name for name, kind in EXTRACTORS.items() if not issubclass(kind, MadeElsewhere)]


CHOICES: dict[str, Collection[str]] = {
    "split": SPLITS,
    "splits": SPLITS,
    "copies": ("after", "before"),  # the split
    "protocol": ("sound", "published"),
}


@dataclass(frozen=True)
class ClassifyConfig:
    """Training and testing one recipe.

    Attributes
    ----------
    recipe : classifier, features, clip and training.
    data : tracks and fractions; its ``split`` is each of ``splits`` in turn.
    splits : "track" keeps all clips of a track on one side, "group" all tracks of an artist or
        speaker, "gtzan-filtered" takes the sides from lists; "chunk", the split of most published
        figures, puts clips of one track on several sides.
    seeds : runs of each split; the classifier seed and the split seed count up from run to run.
    one_split : use the first split seed in every run.
    generated : run folder of GANs; as many of their clips as there are real ones of each class join
        the training side.
    vouch : you know that these GANs heard no held-out track, although nothing says so; the page
        says that you vouched.
    embeddings : file with one vector or several for each track, made by any network; the recipe
        "probe" fits a logistic regression on them. An .npz with the arrays track and embedding, an
        .npy with such fields, or a .parquet with such columns.
    pictures : folder with a ready-made spectrogram picture of each track, as images_original beside
        GTZAN; they take the place of those that net1 to net4 draw.
    feature : a kind of features that takes the place of the recipe's own, with its usual settings:
        "Waveform", the samples themselves, is what net5 was also tried on.
    augment : what is done to training clips (see `parse_augmentations`): alterations of the
        waveform make an altered copy of each clip, those of features alter the batches.
    copies : when altered copies of waveforms are made: "after" the split, of training clips alone;
        or "before" it, of every clip one for each alteration, as some published figures had it, so
        that copies of test clips train. Before is for the split "chunk" alone.
    protocol : "published" repeats what is wrong with a published figure, that of cnn_rnn_tempo, of
        which the GRU goes over the batch and the test is drawn anew from all clips, those that
        trained among them, with dropout on. It is for the split "chunk" alone.
    """

    recipe: Recipe
    data: DataConfig = DataConfig()
    splits: tuple[str, ...] = ("track",)
    seeds: int = 3
    one_split: bool = False
    generated: str | None = None
    vouch: bool = False
    embeddings: str | None = None
    pictures: str | None = None
    feature: str | None = None
    augment: str = "none"
    copies: str = "after"
    protocol: str = "sound"

    def __post_init__(self):
        waveform, _ = parse_augmentations(self.augment)
        for name in ("copies", "protocol"):
            if (given := getattr(self, name)) not in CHOICES[name]:
                raise ValueError(f"--{name} {given!r} is none of {', '.join(CHOICES[name])}")
        if self.copies == "before" and (self.splits != ("chunk",) or waveform is None):
            raise ValueError(
                "--copies before lets altered copies of test clips train, as in published figures: "
                "it takes --split chunk alone, and --augment with alterations of the waveform"
            )
        if self.protocol == "published":
            self._repeat_published()
        if self.vouch and self.generated is None:
            raise ValueError("--vouch is for the GANs of --generated: give it, too")
        name = self.recipe.name
        if self.feature is not None:
            if self.embeddings is not None or self.pictures is not None:
                raise ValueError(
                    "--feature, --embeddings and --pictures each say what the network is given: "
                    "give one of them"
                )
            if self.feature not in (kinds := kinds_of_features()):
                raise ValueError(f"--feature {self.feature} is none of {', '.join(kinds)}")
            recipe = replace(self.recipe, input=EXTRACTORS[self.feature]())
            object.__setattr__(self, "recipe", recipe)
        if self.embeddings is not None and self.recipe.needs != "embeddings":
            raise ValueError(
                f"--embeddings takes the place of features, which {name} computes: give --recipe "
                "probe, or none"
            )
        if self.pictures is not None and not isinstance(self.recipe.input, Picture):
            raise ValueError(
                f"--pictures takes the place of those that net1 to net4 draw, and {name} draws "
                "none: give one of them as --recipe"
            )
        for given in ("embeddings", "pictures"):
            if getattr(self, given) and (self.augment != "none" or self.generated is not None):
                raise ValueError(
                    f"--{given} are of the tracks as they are, and altered or generated clips have "
                    "none: leave --augment and --generated out"
                )
        if not self.splits or (unknown := set(self.splits) - set(SPLITS)):
            raise ValueError(
                f"--split takes {', '.join(SPLITS)}, with commas for several; found "
                f"{', '.join(sorted(unknown)) if self.splits else 'none'}"
            )
        for split in self.splits:
            self.sides(split, 0)  # which checks its options
        check_counts(MOST_RUNS, seeds=self.seeds)
        if self.data.fractions[1] == 0 and self.recipe.fit.patience is not None:
            raise ValueError(
                f"{self.recipe.name} stops early (--fit-patience {self.recipe.fit.patience}), "
                "which needs a validation side: give --fractions a middle value above 0"
            )

    def _repeat_published(self) -> None:
        """The recipe with the network of its flawed protocol; a ValueError where it has none."""
        if not self.recipe.flawed:
            raise ValueError(
                "--protocol published repeats a test that was none, and that of "
                f"{self.recipe.name} is not known to be such: leave it out, or give --recipe "
                "cnn_rnn_tempo"
            )
        if self.splits != ("chunk",) or self.augment != "none" or self.generated is not None:
            raise ValueError(
                "--protocol published tests clips that trained, as a published figure did: it "
                "takes --split chunk alone, without --augment and --generated"
            )
        options = {**self.recipe.options, **self.recipe.flawed}
        object.__setattr__(self, "recipe", replace(self.recipe, options=options))

    def sides(self, split: str, seed: int) -> DataConfig:
        """The data of run ``seed`` on ``split``."""
        shift = 0 if self.one_split else seed
        return replace(self.data, split=split, split_seed=self.data.split_seed + shift)


@dataclass(frozen=True)
class PredictConfig:
    """Files classified by a trained classifier.

    Attributes
    ----------
    run : run folder of `wavegan classify`, or the file of a classifier.
    files : audio files, or folders of them.
    split : the split whose classifier is used; None takes the first that does not leak.
    seed : which of the split's classifiers is used.
    labelled : the folder of each file names its class: count how many answers are right.
    threshold : an answer that is less probable than this becomes "unknown".
    """

    run: Path
    files: tuple[Path, ...]
    split: str | None = None
    seed: int = 0
    labelled: bool = False
    threshold: float = 0.0

    def __post_init__(self):
        if not 0 <= self.threshold <= 1:
            raise ValueError(f"--threshold is a probability, 0 … 1; found {self.threshold}")
