"""The clips of a recipe, cut from the tracks of a data set."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from flax import nnx

from experiments.recipes import Recipe, recorded_search
from experiments.report.terminal import Progress
from experiments.stages.data import TOO_SHORT, Dataset, Rows, too_short
from features import Clips, LeakError, Recording, cut_clips
from features import Rows as FeatureRows
from features.augmentation import AUGMENTATIONS, WaveformAugmentation
from features.clips import LazyAudio
from features.embeddings import Embeddings
from features.extractors import Augmented, Extractor, Supplied, SuppliedPictures
from features.in_memory import InMemory
from features.picture_files import read_pictures
from features.silence import without_silence


def cut(
    dataset: Dataset,
    recipe: Recipe,
    *,
    skip_short: bool,
    pad_short: bool = False,
    progress: Progress,
) -> tuple[Dataset, Clips]:
    """The clips of a recipe, and the data set without the tracks that hold none.

    Errors are those of `cut_tracks`.
    """
    clips = cut_tracks(
        dataset.recordings,
        dataset.labels,
        recipe,
        skip_short=skip_short,
        pad_short=pad_short,
        progress=progress,
    )
    return dataset.only(set(clips.track_ids.tolist()), progress), clips


def cut_tracks(
    recordings: Sequence[Recording | InMemory],
    labels: tuple[str, ...],
    recipe: Recipe,
    *,
    skip_short: bool = False,
    pad_short: bool = False,
    advice: str = TOO_SHORT,
    progress: Progress,
) -> Clips:
    """The clips of a recipe: silence is taken out where it asks for that, then they lie end to end.

    ``advice`` is what to do about tracks that are too short.

    Raises
    ------
    ValueError
        For a track too short for a clip (unless ``skip_short`` or ``pad_short``), or a clip too
        short for the recipe's features or network.
    """
    if recipe.silence is not None:
        shown = progress.of("taking out silence", "track")
        recordings = without_silence(recordings, by=recipe.silence, on_progress=shown)
    recordings, num_samples = _shared_length(recipe, recordings, skip_short)
    if num_samples < recipe.num_samples:
        progress.say(
            f"clips of {num_samples / recipe.sample_rate:.2f} s instead of "
            f"{recipe.clip_seconds:.2f} s: the shortest track has {recipe.per_track} of them"
        )
    check_input(recipe, num_samples, len(labels))
    short = [r for r in recordings if r.num_samples < num_samples]
    if short and pad_short:
        progress.say(f"filled up with zeros: {len(short)} tracks shorter than a clip")
    elif short and (len(short) == len(recordings) or not skip_short):
        if recipe.silence is not None:
            advice += " (these are lengths without silence, which --silence none keeps)"
        raise too_short(short, num_samples, advice)
    clips = cut_clips(
        recordings,
        num_samples=num_samples,
        label_names=labels,
        on_short="pad" if pad_short else "skip",
    )
    if recipe.per_track is not None:
        clips = clips.select(clips.starts < recipe.per_track * num_samples)
    return clips


def check_input(recipe: Recipe, num_samples: int, num_classes: int) -> None:
    """Raise ValueError unless features and network can take a clip of ``num_samples``."""
    if recipe.missing:
        raise ValueError(recipe.missing)
    try:
        shape = recipe.input_shape(num_samples)
        nnx.eval_shape(lambda: recipe.network(shape, num_classes))  # nothing is computed
    except ValueError as error:
        raise ValueError(
            f"a clip of {num_samples / recipe.sample_rate:.3g} s does not fit the recipe "
            f"{recipe.name}, whose own clips have {recipe.clip_seconds:.3g} s: {error}; "
            "give longer tracks or another --num-samples"
        ) from None


def _shared_length(
    recipe: Recipe, recordings: Sequence[Recording | InMemory], skip_short: bool
) -> tuple[Sequence[Recording | InMemory], int]:
    """The tracks to use, and the length that ``per_track`` clips have in each of them."""
    if recipe.per_track is None:
        return recordings, recipe.num_samples
    wanted = recipe.per_track * recipe.num_samples
    usual = min(wanted, int(np.median([r.num_samples for r in recordings])))
    short = [r for r in recordings if r.num_samples < usual / 2]
    if short and not skip_short:
        first = short[0]
        raise ValueError(
            f"{len(short)} tracks are less than half as long as is usual here, and all clips of "
            f"{recipe.name} would have to follow them: {first.track.path.name} has "
            f"{first.num_samples / first.sample_rate:.2f} s, most have "
            f"{usual / first.sample_rate:.2f} s or more; leave them out with --skip-short"
        )
    kept = [r for r in recordings if r.num_samples >= usual / 2]
    return kept, min(recipe.num_samples, min(r.num_samples for r in kept) // recipe.per_track)


def with_embeddings(
    dataset: Dataset, recipe: Recipe, found: Embeddings, progress: Progress
) -> tuple[Recipe, Clips, FeatureRows]:
    """A recipe for embeddings that a file supplies, a clip for each, and the embeddings of these.

    A track of several embeddings is cut into as many clips: that is where they are listened to,
    wherever in the track they are from.

    Raises
    ------
    ValueError
        A track without embeddings, naming it.
    """
    recordings = dataset.recordings
    found.check_tracks(recording.track.track_id for recording in recordings)
    rows = [found.rows[recording.track.track_id] for recording in recordings]
    counts = np.array([len(one) for one in rows])
    each = np.array([recording.num_samples for recording in recordings]) // counts
    source = np.repeat(np.arange(len(recordings)), counts)
    number = np.concatenate([np.arange(count) for count in counts])
    starts = number * each[source]
    tracks = [recording.track for recording in recordings]
    clips = Clips(
        LazyAudio(recordings, source, starts, max(1, int(each.min())), recordings[0].channels),
        np.array([dataset.labels.index(tracks[i].label) for i in source], np.int32),
        np.array([tracks[i].track_id for i in source]),
        dataset.labels,
        recipe.sample_rate,
        np.array([recordings[i].digest for i in source]),
        starts.astype(np.int64),
    )
    if unused := len(found.rows) - len(recordings):
        progress.say(f"{found.path}: {unused} further tracks are not in the data, and not used")
    recipe = replace(
        recipe,
        input=Supplied(found.vectors.shape[1], found.digest),
        per_track=1 if counts.max() == 1 else None,  # no split of these can leak
    )
    check_input(recipe, clips.num_samples, len(dataset.labels))
    return recipe, clips, FeatureRows([found.vectors], np.concatenate(rows))


def with_pictures(
    recipe: Recipe, clips: Clips, root: str | Path, progress: Progress
) -> tuple[Recipe, FeatureRows]:
    """A recipe for pictures that a folder supplies, and those of its clips, which are whole tracks.

    Errors are those of `read_pictures`.
    """
    height, width, _ = recipe.input_shape(clips.num_samples)
    ids, shown = clips.track_ids.tolist(), progress.of("pictures", "track")
    found = read_pictures(root, ids, size=(height, width), on_progress=shown)
    digest = hashlib.blake2b("\n".join(ids).encode(), digest_size=16)
    digest.update(found.tobytes())
    made = SuppliedPictures(height, width, digest.hexdigest())
    return replace(recipe, input=made), FeatureRows([found])


def with_copies(clips: Clips, to: WaveformAugmentation) -> Clips:
    """The clips, and of each a copy for every alteration, which are clips of their own.

    A copy has the name of its track and of the alteration, so that a split of chunks deals it out
    by itself. Its audio is that of the clip: what is altered are its features (`one_by_one`).
    """
    names = ["", *(f"+{name}" for name in to.names)]
    every = clips.select(np.tile(np.arange(len(clips)), len(names)))
    ids, digests = (
        np.array([f"{one}{name}" for name in names for one in of.tolist()])
        for of in (clips.track_ids, clips.digests)
    )
    return replace(every, track_ids=ids, digests=digests)


def one_by_one(make: Extractor, to: WaveformAugmentation) -> dict[str, Augmented]:
    """The extractor of clips to which one of the alterations is done, by its name."""
    found = {}
    for name, limits in zip(to.names, to.ranges, strict=True):
        setting = AUGMENTATIONS[name].setting
        given = {setting: limits} if setting and limits else {}
        found[name] = Augmented(make, WaveformAugmentation([name], **given), 0)
    return found


def refuse_searched(recipe: Recipe, clips: Clips, rows: Rows, split_seed: int) -> None:
    """Make sure that no test track was seen by the search that found the recipe's sizes.

    Raises
    ------
    LeakError
        Naming the tracks.
    """
    if recipe.search is None:
        return
    seen = list(recorded_search(recipe.search)["best"]["tracks"].values())
    test = clips.select(rows["test"])
    both = list(dict.fromkeys(test.track_ids[np.isin(test.digests, seen)].tolist()))
    if both:
        raise LeakError(
            f"the search that found the sizes of {recipe.name} saw {len(both)} test tracks of "
            f"split seed {split_seed} ({', '.join(both[:5])}): test on splits that it left out, or "
            "search again with `wavegan search` on this data and give its file with --sizes"
        )
