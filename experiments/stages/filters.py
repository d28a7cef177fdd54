"""Generated clips that are chosen before use: those that a judge or their GAN's critic likes best.

Judge and critic have heard, and are calibrated on, training tracks alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import nnx

from experiments.stages.examples import Examples, Material, of_gans
from experiments.stages.gans import Gan, write_clips
from experiments.stages.judge import Judge, load_judge
from features.audio import to_pcm
from wavegan import Discriminator
from wavegan.run_folder import RunFolder
from wavegan.sampling import draw_latents, generate_batches
from wavegan.start import read_networks
from wavegan.train_config import DATA
from wavegan.windows import Windows

SUREST = 2  # candidates of `confident` for each clip that is asked for
MOST = 8  # those of `accepted`, at most
CALIBRATION = 1024  # real windows that a critic is calibrated on, and as many generated clips
_BATCH = 64


class Chosen(NamedTuple):
    """Which candidates are kept.

    Attributes
    ----------
    rows : of the candidates, ascending.
    candidates : how many were looked at.
    filled : of those kept, the ones that were not accepted: the likeliest of the rest.
    """

    rows: np.ndarray
    candidates: int
    filled: int = 0

    @property
    def accepted(self) -> float:
        """Share of the candidates."""
        return (len(self.rows) - self.filled) / self.candidates


Candidates = Callable[[int, int], Iterator[np.ndarray]]  # clips start … stop - 1, in batches


def confident(material: Material, seed: int) -> list[Examples]:
    """Of `SUREST` times as many generated clips those that the judge is surest of.

    They are those that it takes most surely for the class asked for, as many of each class as
    are wanted, however unsure it is.
    """
    return of_gans(material, seed, partial(_confident, material))


def accepted(material: Material, seed: int) -> list[Examples]:
    """Generated clips by discriminator rejection sampling (Azadi et al., arXiv 1810.06758).

    What a critic says is no density ratio; the odds of a logistic head on its scores are one
    (Turner et al., arXiv 1811.11357). The head is calibrated for each class on `CALIBRATION` real
    windows of training tracks and as many generated clips. A candidate is accepted with the
    probability ratio / largest ratio among those generated clips, at most 1. Candidates are
    drawn until enough are accepted, at most `MOST` times as many as are wanted; then the likeliest
    of the others fill up.

    The critic was trained on the same tracks, since a filter may hear no others: the better it
    knows them by heart, the fewer clips it accepts.
    """
    return of_gans(material, seed, partial(_accepted, material))


# --- their stages --------------------------------------------------------------------------------


def _confident(material: Material, gan: Gan, label: str, count: int) -> tuple[np.ndarray, str]:
    folder, names, most = material.judge, material.clips.label_names, SUREST * count
    if folder is None:
        raise ValueError('material has no judge: a source that wants one says "judge" in its needs')

    def choose(candidates: Candidates) -> Chosen:
        judge = load_judge(folder, material.clips.sample_rate)
        sure = sureness(judge, candidates(0, most), names.index(label))
        return Chosen(likeliest(sure, count), most)

    inputs = {"judge": folder.name, "most": most}
    return _kept(material, gan, label, count, "confident", inputs, choose)


def _accepted(material: Material, gan: Gan, label: str, count: int) -> tuple[np.ndarray, str]:
    if gan.folder.is_file():
        raise ValueError(
            f"{gan.folder} is an exported generator, without the critic that accepts its clips: "
            "give the run folder that it was exported from, or take the source confident"
        )
    settings: dict[str, Any] = {name: getattr(material.recipe.gan_train, name) for name in DATA}
    recordings = [r for r in material.heard if r.track.label == label]
    (index, seed), most = gan.draws(label), MOST * count

    def choose(candidates: Candidates) -> Chosen:
        _, critic = read_networks(RunFolder(gan.folder), gan.choice)
        shape = {name: getattr(critic.config, name) for name in ("num_samples", "channels")}
        windows = Windows(recordings, **shape, **settings)
        keys = jax.random.split(jax.random.key(seed), CALIBRATION // _BATCH)
        real = (np.asarray(batch.clips) for batch in windows.stream(keys, (_BATCH,)))
        made = candidates(most, most + CALIBRATION)  # none that may be chosen
        heard, own = (np.concatenate([*scores(critic, side, index)]) for side in (real, made))
        ratio = log_ratio(heard, own)
        largest = ratio(own).max()
        found = scores(critic, candidates(0, most), index)
        chances = (np.exp(np.minimum(ratio(batch) - largest, 0)) for batch in found)
        return accept(chances, count, np.random.default_rng(seed))

    tracks = {r.track.track_id: r.digest for r in recordings}
    inputs = {"tracks": tracks, "windows": settings, "calibration": CALIBRATION, "most": most}
    return _kept(material, gan, label, count, "accepted", inputs, choose)


def _kept(
    material: Material,
    gan: Gan,
    label: str,
    count: int,
    name: str,
    inputs: Mapping[str, Any],
    choose: Callable[[Candidates], Chosen],
) -> tuple[np.ndarray, str]:
    """The clips that a filter chooses, kept as a stage, and the stage's name."""
    index, seed = gan.draws(label)

    def build(folder: Path) -> None:
        generator, _ = gan.generator(gan.choice)
        latents = partial(draw_latents, seed, latent_dim=generator.config.latent_dim)

        def candidates(start: int, stop: int) -> Iterator[np.ndarray]:
            z = np.asarray(latents(stop - start, start=start))
            for batch in generate_batches(generator, latents=z, label=index):
                # rounded, as those are that a classifier trains on
                yield to_pcm(batch.audio).astype(np.float32) / 32768

        chosen = choose(candidates)
        about = {**chosen._asdict(), "accepted": chosen.accepted, "rows": chosen.rows.tolist()}
        z = np.asarray(latents(chosen.candidates))[chosen.rows]
        write_clips(folder, gan, generator, count, about, latents=z, label=index)
        rest = f", {chosen.filled} of them the likeliest of the rest" if chosen.filled else ""
        material.progress.say(
            f"{name} clips of {label}, GAN {gan.seed}: {count} of {chosen.candidates} candidates"
            f"{rest} ({chosen.accepted:.0%} accepted)"
        )

    known = {"gan": gan.key, "step": gan.choice, "label": label, "count": count, "seed": seed}
    folder = material.run.stage(f"{name}-{label}-{gan.seed}", {**known, **inputs}, build)
    return np.load(folder / "audio.npy", mmap_mode="r"), folder.name


# --- how they choose -----------------------------------------------------------------------------


def sureness(judge: Judge, batches: Iterable[np.ndarray], index: int) -> np.ndarray:
    """How probable a judge finds one class (n,) in each clip of the batches (·, L, C)."""
    return np.concatenate([np.asarray(judge(clips))[:, index] for clips in batches])


def scores(
    critic: Discriminator, batches: Iterable[np.ndarray], index: int | None
) -> Iterator[np.ndarray]:
    """What a critic says of batches of clips (·, L, C), of class ``index`` if it knows classes."""
    graphdef, weights = nnx.split(critic)
    for clips in batches:
        whole = np.resize(clips, (_BATCH, *clips.shape[1:]))  # one program
        labels = None if index is None else np.full(_BATCH, index, np.int32)
        yield np.asarray(_logits(graphdef, weights, whole, labels))[: len(clips)]


@partial(jax.jit, static_argnums=0)
def _logits(graphdef, weights, clips, labels):
    return nnx.merge(graphdef, weights)(clips, labels)


def log_ratio(real: np.ndarray, made: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """A function of scores to the log density ratio of real to generated clips, of logistic odds.

    Parameters
    ----------
    real, made : (n,) and (m,) scores of clips of either kind, on which it is calibrated.
    """
    from sklearn.linear_model import LogisticRegression

    both = np.concatenate([real, made]).astype(np.float64)
    middle, spread = both.mean(), both.std() or 1.0
    # Its default penalty holds the slope where no score is of both kinds, and is nothing elsewhere.
    head = LogisticRegression().fit(
        (both[:, None] - middle) / spread, np.repeat([1, 0], [len(real), len(made)])
    )
    more = np.log(len(made) / len(real))  # the odds are those of the two counts, too
    return lambda score: head.decision_function((score[:, None] - middle) / spread) + more


def accept(chances: Iterable[np.ndarray], count: int, rng: np.random.Generator) -> Chosen:
    """The first ``count`` candidates that are accepted, each with its chance (batches of them).

    Where there are too few, the likeliest of the others fill up.
    """
    chance, taken = np.empty(0), np.empty(0, bool)
    for batch in chances:
        chance = np.append(chance, batch)
        taken = np.append(taken, rng.random(len(batch)) < batch)
        if taken.sum() >= count:
            rows = np.flatnonzero(taken)[:count]
            return Chosen(rows, int(rows[-1]) + 1)
    missing = count - int(taken.sum())
    best = likeliest(np.where(taken, np.inf, chance), count)
    return Chosen(best, len(chance), missing)


def likeliest(chances: np.ndarray, count: int) -> np.ndarray:
    """The rows of the ``count`` largest, ascending; of those alike the first."""
    return np.sort(np.argsort(-chances, kind="stable")[:count])
