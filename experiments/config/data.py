"""Which tracks a command works with, and on which side of the split each is."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

from features.limits import check_counts, check_finite
from features.splits import SPLITS, check_fractions

CHOICES = {"split": SPLITS}
MOST_RUNS = 10_000  # seeds or trials: what is more takes for ever


@dataclass(frozen=True)
class DataConfig:
    """Which tracks, and which side of the split each is on.

    Attributes
    ----------
    root : folder with a folder for each class; None takes the embedded synthetic genres.
    classes : the classes to use, two or more; None uses all of them.
    split : "track" keeps all clips of a track on one side, "group" all tracks of an artist or
        speaker, "gtzan-filtered" takes the sides from ``split_lists``; "chunk" keeps nothing
        together.
    fractions : shares of the tracks that train, validate and test.
    split_seed : seed of the draw of the sides.
    split_lists : folder of train_filtered.txt, valid_filtered.txt and test_filtered.txt.
    artist_index : file with the artist of each GTZAN track; None looks for a GTZANindex.txt in the
        data's folder, beside it and in ``split_lists``, where the tracks have GTZAN's names.
    allow_shared_groups : split even where a known artist or speaker ends up on two sides, which a
        classifier may recognise instead of the class; every page says so.
    skip_short : leave out tracks shorter than a clip instead of stopping.
    pad_short : fill up tracks shorter than a clip with zeros instead of stopping.
    train_share : share of the training tracks of each class that trains; the others are held back,
        for the arm real+oracle.
    shots : number of training and of validation tracks of each class, instead of a share; None uses
        the share.
    folds : parts of the tracks, of which ``fold``, from 0, is the test side; 1 draws that by
        ``fractions``.
    draw : which of several draws, from 0, of the training tracks that a share or shots keep.
    """

    root: str | None = None
    classes: tuple[str, ...] | None = None
    split: str = "track"
    fractions: tuple[float, float, float] = (0.7, 0.2, 0.1)
    split_seed: int = 0
    split_lists: str | None = None
    artist_index: str | None = None
    allow_shared_groups: bool = False
    skip_short: bool = False
    pad_short: bool = False
    train_share: float = 1.0
    shots: int | None = None
    folds: int = 1
    fold: int = 0
    draw: int = 0

    def __post_init__(self):
        check_finite(self)
        check_counts(shots=self.shots, folds=self.folds)
        if self.classes is not None and (len({*self.classes}) < max(2, len(self.classes))):
            raise ValueError(
                f"--classes takes two or more, each once; found {', '.join(self.classes)}"
            )
        if not 0 <= self.fold < self.folds or self.draw < 0:
            raise ValueError(f"fold {self.fold} of {self.folds} and draw {self.draw} are none")
        if self.skip_short and self.pad_short:
            raise ValueError("--skip-short leaves out what --pad-short fills up: give one of them")
        if not 0 < self.train_share <= 1:
            raise ValueError(f"--train-share lies above 0 and up to 1, found {self.train_share}")
        if self.shots is not None and self.train_share < 1:
            raise ValueError("--shots and --train-share both say what is used: give one of them")
        if self.split not in SPLITS:
            raise ValueError(f"--split must be one of {', '.join(SPLITS)}; found {self.split!r}")
        listed = "lists" in SPLITS[self.split].needs
        if listed and self.split_lists is None:
            raise ValueError(
                f"--split {self.split} takes its sides from lists: give --split-lists, the folder "
                "of train_filtered.txt, valid_filtered.txt and test_filtered.txt"
            )
        if listed and self.folds > 1:
            raise ValueError(
                f"--split {self.split} takes its sides from lists, so that there are no --folds of "
                "it: leave them out"
            )
        check_fractions(self.fractions)
        if self.holds_back and SPLITS[self.split].leaks:
            raise ValueError(
                f"--split {self.split} keeps no track whole, so that none can be held back: leave "
                "--train-share and --shots out"
            )

    @property
    def holds_back(self) -> bool:
        """Whether some training tracks may be held back."""
        return self.shots is not None or self.train_share < 1

    @property
    def amount(self) -> str:
        """How much of the training side is used, in words; empty of all."""
        if self.shots is not None:
            return f"{self.shots} track{'s' * (self.shots > 1)} a class"
        return f"{self.train_share:.3g} of the training tracks" if self.holds_back else ""

    @property
    def name(self) -> str:
        """What tells these sides from others of the same tracks and seed."""
        parts = [self.split]
        if self.holds_back:
            parts.append(f"{self.shots}shots" if self.shots else f"{self.train_share:g}")
        parts += [f"draw{self.draw}"] * bool(self.draw)
        parts += [f"fold{self.fold}"] * (self.folds > 1)
        return "-".join(parts)

    def refuse_chunks(self, what: str) -> None:
        """Raise ValueError where GANs would hear the tracks that are tested on."""
        if SPLITS[self.split].leaks:
            whole = (name for name, rule in SPLITS.items() if not rule.leaks)
            raise ValueError(
                f"--split {self.split} puts chunks of one track on both sides, so that every GAN "
                f"would have seen test tracks: {what} takes {', '.join(whole)}"
            )

    def refuse_unvalidated(self, why: str) -> None:
        """Raise ValueError where nothing validates, which is needed for what ``why`` says."""
        if self.fractions[1] == 0 and "lists" not in SPLITS[self.split].needs:
            raise ValueError(
                f"--fractions leaves the validation side empty, {why}: give a middle value above 0"
            )


def as_dict(config: Any) -> dict[str, Any]:
    """A configuration dataclass as JSON holds it, its nested parts with their type's name."""
    out: dict[str, Any] = {}
    for field in fields(config):
        value = getattr(config, field.name)
        if is_dataclass(value):
            value = {"type": type(value).__name__, **as_dict(value)}
        elif isinstance(value, tuple):
            value = list(value)
        elif isinstance(value, Path):
            value = str(value)
        out[field.name] = value
    return out
