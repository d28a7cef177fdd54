"""Recordings as the clips that a recipe takes."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import numpy as np
from flax import nnx

from classifiers import create
from experiments.recipes import Recipe
from experiments.report.terminal import Progress
from experiments.stages.data import too_short
from features import Clips, Recording, cut_clips
from features.silence import without_silence


def cut_recordings(
    recipe: Recipe,
    recordings: Sequence[Recording],
    *,
    labels: Sequence[str],
    skip_short: bool,
    progress: Progress,
) -> Clips:
    """The clips of a recipe: silence taken out where it asks for that, then cut end to end.

    Raises
    ------
    ValueError
        For a track too short for a clip (unless ``skip_short``), or a clip too short for the
        recipe's features or network.
    """
    if recipe.silence is not None:
        recordings = without_silence(
            recordings,
            by=recipe.silence,
            on_progress=lambda done, total, name: progress.update(
                "taking out silence", done, total, name, "track"
            ),
        )
    if recipe.per_track is None:
        num_samples = recipe.num_samples
    else:
        recordings, num_samples = _shared_length(recipe, recordings, skip_short)
    seconds = num_samples / recipe.sample_rate
    if num_samples < recipe.num_samples:
        progress.say(
            f"clips of {seconds:.2f} s instead of {recipe.clip_seconds:.2f} s: the shortest track "
            f"has {recipe.per_track} of them"
        )
    check_input(recipe, num_samples, len(labels))
    short = [r for r in recordings if r.num_samples < num_samples]
    if short and (len(short) == len(recordings) or not skip_short):
        advice = "choose a smaller --num-samples, or leave them out with --skip-short"
        if recipe.silence is not None:
            advice += " (these are lengths without silence, which --silence none keeps)"
        raise ValueError(too_short(short, num_samples, recipe.sample_rate, advice))
    clips = cut_clips(
        recordings,
        num_samples=num_samples,
        label_names=labels,
        on_short="skip",
    )
    if recipe.per_track is None:
        return clips
    return clips.select(clips.starts < recipe.per_track * num_samples)


def check_input(recipe: Recipe, num_samples: int, num_classes: int) -> None:
    """Raise ValueError unless features and network can take a clip of ``num_samples``."""
    audio = jax.ShapeDtypeStruct((1, num_samples, 1), np.float32)
    try:
        shape = jax.eval_shape(lambda x: recipe.input(x, recipe.sample_rate), audio).shape[1:]
        nnx.eval_shape(  # nothing is computed
            lambda: create(
                recipe.architecture,
                input_shape=shape,
                num_classes=num_classes,
                rngs=nnx.Rngs(0),
                **recipe.options,
            )
        )
    except ValueError as error:
        raise ValueError(
            f"a clip of {num_samples / recipe.sample_rate:.3g} s does not fit the recipe "
            f"{recipe.name}, whose own clips have {recipe.clip_seconds:.3g} s: {error}; "
            "give longer tracks or another --num-samples"
        ) from None


def _shared_length(
    recipe: Recipe, recordings: Sequence[Recording], skip_short: bool
) -> tuple[Sequence[Recording], int]:
    """The tracks to use, and the length that ``per_track`` clips have in each of them."""
    assert recipe.per_track is not None
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
    shortest = min(r.num_samples for r in kept)
    return kept, min(recipe.num_samples, shortest // recipe.per_track)
