"""The data of a comparison, opened: its cells, which are folds and draws, and their materials."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from experiments.config import CompareConfig, DataConfig, as_dict, inspected
from experiments.recipes import Recipe
from experiments.report.terminal import Progress
from experiments.run import Run
from experiments.stages.clips import check_input, cut, refuse_searched
from experiments.stages.data import Dataset, Rows, open_dataset
from experiments.stages.examples import Material
from experiments.stages.folders import FolderClips, open_folder
from experiments.stages.gan_stages import GanTraining
from experiments.stages.gan_training import keep_judge
from experiments.stages.gans import Gan, Tracks, refuse_leaks
from features import Clips, Recording, Split, Track, extract


@dataclass(frozen=True)
class Sides:
    """Of a cell which tracks and clips are on each side, and the training of its GANs."""

    data: DataConfig
    seeds: Sequence[int]
    split: Split[tuple[Track, ...]]
    rows: Rows
    held_out: tuple[Sequence[Recording], Sequence[Recording]]  # that validate, and that test
    training: GanTraining


@dataclass(frozen=True)
class Opened:
    """A comparison whose data are read: what every part of it is done from.

    Attributes
    ----------
    amounts : the cells of each amount of training tracks.
    """

    config: CompareConfig
    recipe: Recipe
    dataset: Dataset
    clips: Clips
    amounts: Sequence[Sequence[Sides]]

    @property
    def recipes(self) -> tuple[Recipe, ...]:
        return self.config.with_beside(self.recipe)

    @property
    def every(self) -> list[Sides]:
        return [cell for cells in self.amounts for cell in cells]

    @property
    def fixed(self) -> dict[str, Any]:
        """What a run folder keeps for good."""
        data = self.dataset.digest
        return {"recipe": self.recipe.name, "data": data, "split": as_dict(self.config.data)}

    @property
    def judged(self) -> bool:
        return any(arm.needs("judge") for arm in self.config.declared)


def open_cells(config: CompareConfig, progress: Progress) -> Opened:
    """Read the tracks of a comparison and cut them; a ValueError says what can't be used."""
    config.check_clips()
    recipe, data = _clips_recipe(config), config.data
    rate, channels = recipe.sample_rate, recipe.gan.channels
    dataset = open_dataset(data, sample_rate=rate, channels=channels, progress=progress)
    short = {"skip_short": data.skip_short, "pad_short": data.pad_short}
    dataset, clips = cut(dataset, recipe, **short, progress=progress)
    for other in config.with_beside(recipe)[1:]:
        check_input(other, clips.num_samples, len(dataset.labels))
    amounts = [_cells(config, amount, dataset, clips, recipe) for amount in config.amounts]
    found = Opened(config, recipe, dataset, clips, amounts)
    for one, cell in product(found.recipes, found.every):
        refuse_searched(one, clips, cell.rows, data.split_seed)
    return found


def _clips_recipe(config: CompareConfig) -> Recipe:
    """The recipe whose clips all arms have: as long as the GAN's where GANs make some."""
    recipe = config.recipe
    if config.data.pad_short:
        recipe = replace(recipe, gan_train=replace(recipe.gan_train, pad_end=True))
    if not config.generates:
        return recipe
    recipe = replace(recipe, per_track=None)  # end to end
    return inspected(recipe) if config.quality else recipe


def _cells(
    config: CompareConfig, amount: DataConfig, dataset: Dataset, clips: Clips, recipe: Recipe
) -> list[Sides]:
    """The folds and draws of an amount of training tracks."""
    found = []
    for data, seeds in config.cells(amount):
        split, rows = dataset.split(data), dataset.sides(clips, data)
        held_out = dataset.of(split.valid), dataset.of(split.test)
        gans = sorted({seed % config.gan_seeds for seed in seeds})
        heard, held = dataset.of(split.train), dataset.held_back(data)
        drawn = config.draws > 1 and amount == config.amounts[0]
        if drawn or any(arm.needs("held-back tracks") for arm in config.declared):
            _refuse_none_held_back(held, split.train, dataset.labels, data.amount)
        training = GanTraining(
            heard, dataset.labels, recipe, gans, held_out[0], quality=config.quality
        )
        found.append(Sides(data, seeds, split, rows, held_out, training))
    return found


def _refuse_none_held_back(
    held: Sequence[Track], train: Sequence[Track], labels: Sequence[str], amount: str
) -> None:
    """Raise ValueError, naming it, where a class has no training track but those that are used."""
    for label in labels:
        if not any(track.label == label for track in held):
            count = sum(track.label == label for track in train)
            raise ValueError(
                f"{amount} are all {count} that {label} has, so that none is held back for another "
                "draw or for the oracle: give a smaller --train-share, fewer --shots, or more "
                "tracks"
            )


def open_folders(opened: Opened, progress: Progress) -> dict[str, FolderClips]:
    """The clips of other generators, none of which may have heard what any cell holds out."""
    config, cells, num_samples = opened.config, opened.every, opened.clips.num_samples
    held_out = ({r.digest: r for cell in cells for r in cell.held_out[side]} for side in (0, 1))
    folders, (validate, tests) = {}, (list(found.values()) for found in held_out)
    valid, test = Tracks.of(validate), Tracks.of(tests)
    for said in config.folders:
        folder = open_folder(said, opened.dataset.labels, opened.recipe, num_samples)
        vouched = bool({folder.name, "all"} & {*config.vouch})
        for gan in folder.gans:
            vouch = f"--vouch {folder.name}"
            refuse_leaks(gan, valid=valid, test=test, vouch=vouch, vouched=vouched)
        folder.say(progress)
        folder.refuse_excerpts(list({r.digest: r for r in (*validate, *tests)}.values()), progress)
        folders[folder.name] = folder
    return folders


def whole_material(
    opened: Opened,
    recipe: Recipe,
    run: Run,
    folders: dict[str, FolderClips],
    progress: Progress,
) -> Material:
    """What the arms of all cells have in common, for one of the comparison's recipes."""
    config, clips = opened.config, opened.clips
    features = extract(clips, recipe.input, on_progress=progress.of("features", "clip"))
    return Material(
        run,
        recipe,
        clips,
        {},
        features,
        progress,
        folders=folders,
        ratio=config.synthetic_ratio,
        waveform=config.augmentations[0],
    )


def of_cell(opened: Opened, whole: Material, cell: Sides, gans: Sequence[Gan]) -> Material:
    """What the arms of a cell are made from."""
    training, judge = cell.training, None
    if opened.judged:
        judge = keep_judge(whole.run, training, whole.progress)
    return replace(whole, rows=cell.rows, gans=gans, heard=training.recordings, judge=judge)
