"""One GAN a genre: trained on training tracks alone, and sampled."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from experiments.presets import Recipe
from experiments.progress import Progress
from experiments.runs import Run
from experiments.settings import as_dict
from experiments.sources import Source
from features import LeakError, save_audio
from features.audio import to_pcm
from features.files import replacing, write_json
from wavegan import Samples, TrainingDiverged, generate, load, train
from wavegan.run_folder import RunFolder

GAN_LIST = "gans.json"  # in a run folder: the stages of its GANs


@dataclass(frozen=True)
class Gan:
    """A trained GAN of a run.

    Attributes
    ----------
    folder : the run folder that `wavegan.load` reads.
    provenance : its label, seed, sample rate, and the hash of each training track.
    """

    folder: Path
    provenance: Mapping[str, Any]

    @property
    def label(self) -> str:
        return self.provenance["label"]

    @property
    def seed(self) -> int:
        return self.provenance["seed"]

    def curves(self) -> list[dict[str, float]]:
        """The logged metrics, oldest first."""
        return RunFolder(self.folder).read_metrics()


def train_gans(
    run: Run,
    source: Source,
    recipe: Recipe,
    *,
    seeds: int,
    progress: Progress,
    should_stop: Callable[[], bool] | None = None,
) -> list[Gan]:
    """A GAN for each class and seed, on that class's training tracks; finished ones are kept.

    Raises
    ------
    TrainingDiverged, TrainingInterrupted
        As `wavegan.train`, naming the class.
    """
    config, train_config = recipe.clip_gan, recipe.gan_train
    gans: list[Gan] = []
    for seed in range(seeds):
        for label in source.labels:
            recordings = source.training(label)
            provenance = {
                "label": label,
                "seed": seed,
                "sample_rate": recipe.sample_rate,
                "tracks": {r.track.track_id: r.digest for r in recordings},
            }
            settings = replace(train_config, seed=_gan_seed(seed, source.labels.index(label)))
            task = f"GAN {len(gans) + 1}/{seeds * len(source.labels)} {label}"

            def build(
                folder: Path,
                recordings=recordings,
                settings=settings,
                provenance=provenance,
                task=task,
            ):
                def on_log(metrics: dict[str, float]) -> None:
                    run.append_metrics(
                        {"gan": provenance["label"], "seed": provenance["seed"]} | metrics
                    )
                    note = (
                        f"gap {metrics['gan/critic_gap']:.3g}  penalty {metrics['gan/penalty']:.3g}"
                    )
                    progress.update(task, int(metrics["gan/step"]), settings.steps, note)

                try:
                    train(
                        [r.samples for r in recordings],
                        config,
                        settings,
                        run_dir=folder,
                        provenance=provenance,
                        on_log=on_log,
                        should_stop=should_stop,
                    )
                except TrainingDiverged as error:
                    raise TrainingDiverged(f"the GAN of {provenance['label']}: {error}") from None

            parts = {"wavegan": as_dict(config), "train": as_dict(settings)}
            folder = run.stage(f"gan-{label}-{seed}", parts | {"provenance": provenance}, build)
            gans.append(_opened(folder))
    write_json(run.path / GAN_LIST, [gan.folder.name for gan in gans])
    return gans


def find_gans(path: Path) -> list[Gan]:
    """The GANs that a run last trained, or the one whose own folder ``path`` is.

    Raises
    ------
    ValueError
        Where there is none, saying what was found.
    """
    if not path.is_dir():
        raise ValueError(f"RUN {path}: no such folder")
    if (path / GAN_LIST).exists():
        return [_opened(path / "stages" / name) for name in Run(path).read_json(GAN_LIST)]
    if (path / "checkpoints").is_dir():
        return [_opened(path)]
    raise ValueError(
        f"RUN {path} holds no finished GAN: make one with `wavegan train --out {path}`; one that "
        "is not finished is a folder in its stages that ends in .part, and can be named"
    )


def _opened(folder: Path) -> Gan:
    """The GAN in ``folder``, with what it says itself that it was trained on."""
    provenance = RunFolder(folder).read_config().get("provenance", {})
    return Gan(folder, {"label": "clip", "seed": 0, "tracks": {}, **provenance})


def sample_gan(run: Run, gan: Gan, count: int) -> np.ndarray:
    """``count`` clips (count, L, C) of a GAN, int16 as real clips are, kept as a stage.

    The reading is memory-mapped.
    """

    def build(folder: Path) -> None:
        samples = generate(load(gan.folder), count, seed=gan.seed)
        for name, array in (
            ("audio", to_pcm(samples.audio).astype(np.int16)),
            ("latents", samples.latents),
        ):
            with replacing(folder / f"{name}.npy") as temporary:
                np.save(temporary, array)
        write_json(folder / "manifest.json", {"provenance": dict(gan.provenance)})

    inputs = {"gan": gan.folder.name, "count": count, "seed": gan.seed}
    folder = run.stage(f"samples-{gan.label}-{gan.seed}", inputs, build)
    return np.load(folder / "audio.npy", mmap_mode="r")


def refuse_leaks(gan: Gan, held_out: Collection[str]) -> None:
    """Make sure that a GAN saw none of the tracks with the hashes ``held_out``.

    Raises
    ------
    LeakError
        Naming the tracks.
    """
    seen = [name for name, digest in gan.provenance["tracks"].items() if digest in held_out]
    if seen:
        raise LeakError(
            f"the GAN of {gan.label} in {gan.folder} was trained on tracks of the validation or "
            f"test side: {', '.join(seen)}; train it on this split's training tracks"
        )


def write_samples(
    gan: Gan, folder: Path, count: int, *, seed: int, step: int | None, suffix: str
) -> Iterator[int]:
    """Write ``count`` clips, their latents and a manifest below ``folder``.

    Files are ``<label>.<seed>.<number>.<suffix>``, the latents ``latents.npy`` row by row, the
    manifest ``manifest.json`` (run, step, seed, training tracks' hashes, file of each row).

    Yields
    ------
    int
        How many clips are written so far.
    """
    step = RunFolder(gan.folder).whole_step(step)
    generator = load(gan.folder, step=step)
    sample_rate = gan.provenance.get("sample_rate")
    if sample_rate is None:
        raise ValueError(f"{gan.folder} does not say at which sample rate its GAN was trained")
    samples: Samples = generate(generator, count, seed=seed)
    names = [f"{gan.label}.s{seed}.{i:05d}.{suffix}" for i in range(count)]
    for done, (name, clip) in enumerate(zip(names, samples.audio, strict=True), 1):
        save_audio(folder / name, clip, sample_rate)
        yield done
    with replacing(folder / "latents.npy") as temporary:
        np.save(temporary, samples.latents)
    manifest = {
        "run": gan.folder.name,
        "step": step,
        "seed": seed,
        "ema": True,
        "provenance": dict(gan.provenance),
        "files": names,
        "latents": "latents.npy, row i makes file i",
    }
    write_json(folder / "manifest.json", manifest)


def _gan_seed(seed: int, label: int) -> int:
    """Another seed for each class, so that no two GANs start from the same weights."""
    return 1000 * seed + label
