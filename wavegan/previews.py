"""What a generator sounds like while it learns: the same latents at every inspection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32, Num

from features.generated import GENERATED
from features.saving import save_audio
from features.storage import read_json, replacing, understanding, write_json
from wavegan.display import clip_pictures
from wavegan.networks import Generator
from wavegan.sampling import generate
from wavegan.windows import Recordings

_AGAIN = "delete the folder of previews"
SILENCE = 0.1  # seconds between the clips of a file
_MARGIN = 4  # columns between the pictures
_MOST_CHANNELS = 8  # that a FLAC file holds
_MOST_AT_ONCE = 16  # clips
STEPS = 8  # of a GAN's previews that are heard, at most
LATENTS = 4  # of a GAN that makes one class, at most
SAMPLES = 4_000_000  # of all sounds that are heard, about: a page of them stays below some 12 MB


class Previews:
    """An inspector for `train`: clips of fixed latents, to hear and see the training by.

    A call at step 200 writes ``step-00000200.flac``, the clips one after another with 0.1 s of
    silence between, and ``step-00000200.png``, their log-mel spectrograms side by side, each
    from 80 dB below its loudest point. A step that is trained again is written again.

    Parameters
    ----------
    folder : where the files go; created where missing. ``previews.json`` says what they are.
    sample_rate : Hz.
    count : clips; a conditional generator makes one of each class at least.
    seed : of the latents; `wavegan.generate` makes the same clips from it.
    labels : of a conditional generator: the class of each clip, instead of ``count`` clips of
        the classes in turn.
    real : recordings (L_i, C) or (L_i,) in [-1, 1] or int16 to hear beside: the middles of the
        first ``count`` go to ``real.flac``, shorter ones with silence around. For a conditional
        generator, of the classes that the clips have.

    Raises
    ------
    ValueError
        For a ``count`` below 1, or a folder that holds previews of other latents.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        sample_rate: int,
        count: int = 8,
        seed: int = 0,
        labels: Sequence[int] | None = None,
        real: Recordings = (),
    ):
        self.folder = Path(folder)
        self.sample_rate, self.seed, self.real = sample_rate, seed, real
        self.labels = None if labels is None else np.asarray(labels, np.int32)
        self.count = count if labels is None else len(labels)
        if self.count < 1:
            raise ValueError(f"count must be at least 1, found {self.count}")
        if (self.folder / "previews.json").exists():
            found = _read_json(self.folder).get("seed")
            if found != seed:
                raise ValueError(
                    f"{self.folder} holds previews of seed {found}, not {seed}: take that seed, "
                    "or another folder"
                )

    def __call__(self, step: int, generator: Generator) -> dict[str, float]:
        """Write the previews of ``step``; there are no terms to log."""
        config = generator.config
        count = self.count if self.labels is not None else max(self.count, config.num_classes)
        samples = generate(
            generator,
            count,
            seed=self.seed,
            label=self.labels,
            batch_size=min(count, _MOST_AT_ONCE),
        )
        labels = None if samples.labels is None else samples.labels.tolist()
        description = {"seed": self.seed, "num_samples": config.num_samples, "labels": labels}
        write_json(self.folder / "previews.json", description)
        if len(self.real) and not (self.folder / "real.png").exists():  # which comes last
            heard = [np.asarray(self.real[i]) for i in range(min(count, len(self.real)))]
            self._write("real", np.stack([_middle(r, config.num_samples) for r in heard]))
        self._write(f"step-{step:08d}", samples.audio, GENERATED)
        return {}

    def _write(self, name: str, clips: Float32[np.ndarray, "n l c"], comment: str = "") -> None:
        gap = np.zeros((round(SILENCE * self.sample_rate), clips.shape[2]), np.float32)
        parts = [part for clip in clips for part in (clip, gap)][:-1]
        sound = np.concatenate(parts)[:, :_MOST_CHANNELS]
        save_audio(self.folder / f"{name}.flac", sound, self.sample_rate, comment=comment)
        from PIL import Image

        picture = Image.fromarray(_side_by_side(clips, self.sample_rate)).quantize(64)
        with replacing(self.folder / f"{name}.png") as temporary:
            picture.save(temporary, "PNG", optimize=True)


def preview_steps(folder: str | Path) -> list[int]:
    """The steps that `Previews` wrote to ``folder``, ascending."""
    return sorted(int(file.stem.removeprefix("step-")) for file in Path(folder).glob("step-*.flac"))


def read_previews(
    folder: str | Path, step: int | None
) -> tuple[Float32[np.ndarray, "n l c"], list[int] | None, int]:
    """The clips of a step, as `Previews` wrote them.

    Parameters
    ----------
    step : one of `preview_steps`; None is the real clips.

    Returns
    -------
    clips : (n, num_samples, channels) in [-1, 1].
    labels : the class of each generated clip, None for an unconditional generator.
    sample_rate : Hz.
    """
    import soundfile as sf

    folder = Path(folder)
    description = _read_json(folder)
    name = "real" if step is None else f"step-{step:08d}"
    file = folder / f"{name}.flac"
    try:
        sound, sample_rate = sf.read(file, dtype="float32", always_2d=True)
    except sf.SoundFileError as error:
        raise ValueError(f"{file} is damaged ({error}): {_AGAIN}") from None
    with understanding(folder / "previews.json", _AGAIN):
        length, gap = description["num_samples"], round(SILENCE * sample_rate)
        starts = range(0, len(sound), length + gap)
        if length < 1 or not starts or starts[-1] + length != len(sound):
            raise ValueError(f"{file} holds no clips of {length} samples: {_AGAIN}")
        clips = np.stack([sound[start : start + length] for start in starts])
        return clips, description["labels"], sample_rate


@dataclass(frozen=True)
class Heard:
    """Some of a GAN's previews: the same latents at several steps of its training.

    Attributes
    ----------
    audio : (latents, steps, L, C) in [-1, 1].
    latents : what each row is called.
    steps : of each column, ascending.
    real : (n, L, C), training clips to hear beside.
    real_labels : the class of each, of a conditional GAN.
    sample_rate : Hz.
    """

    audio: Float32[np.ndarray, "latents steps l c"]
    latents: Sequence[str]
    steps: Sequence[int]
    real: Float32[np.ndarray, "n l c"]
    real_labels: Sequence[str]
    sample_rate: int


def hear(
    folder: str | Path,
    *,
    label_names: Sequence[str] = (),
    best: int | None = None,
    samples: int = SAMPLES,
) -> Heard | None:
    """As many of the previews in ``folder`` as have about ``samples`` in all; None without any.

    Parameters
    ----------
    label_names : of the classes, for a conditional generator.
    best : a step that is to be among them.
    """
    folder = Path(folder)
    steps = preview_steps(folder)
    if not steps:
        return None
    clips, classes, sample_rate = read_previews(folder, steps[-1])
    shown = max(2, samples // clips[0].size)
    steps = _chosen(steps, min(STEPS, shown), best)
    most = len(set(classes)) if classes else LATENTS
    rows = min(len(clips), max(1, shown // len(steps)), most)
    audio = np.stack([read_previews(folder, step)[0][:rows] for step in steps], axis=1)
    real = np.zeros((0, *clips.shape[1:]), np.float32)
    if (folder / "real.flac").exists():
        real = read_previews(folder, None)[0][: max(rows, len(steps))]
    names = [label_names[i] for i in classes] if classes else []
    titles = [f"Latent {i + 1}" + (f": {names[i]}" if names else "") for i in range(rows)]
    return Heard(audio, titles, steps, real, names[: len(real)], sample_rate)


def _chosen(steps: Sequence[int], count: int, best: int | None) -> list[int]:
    """At most ``count`` steps, denser at the start, with the first, the last and the best one."""
    if len(steps) > count:
        places = np.rint((len(steps) - 1) * np.linspace(0, 1, count) ** 1.5).astype(int)
        chosen = [steps[i] for i in np.unique(np.maximum(places, np.arange(count)))]
    else:
        chosen = list(steps)
    if best in steps and best not in chosen:
        inner = chosen[1:-1] or chosen[:1]
        nearest = min(inner, key=lambda step: abs(step - best))
        chosen[chosen.index(nearest)] = best
    return sorted(chosen)


def _read_json(folder: Path) -> dict:
    try:
        return read_json(folder / "previews.json", _AGAIN)
    except FileNotFoundError:
        raise ValueError(f"{folder} holds no previews: it has no previews.json") from None


def _middle(
    recording: Num[np.ndarray, "length ..."], num_samples: int
) -> Float32[np.ndarray, "l c"]:
    recording = recording if recording.ndim == 2 else recording[:, None]
    short = max(0, num_samples - len(recording))
    start = max(0, len(recording) - num_samples) // 2
    part = recording[start : start + num_samples]
    scaled = part.astype(np.float32) / (32768 if part.dtype == np.int16 else 1)
    return np.pad(scaled, ((short // 2, short - short // 2), (0, 0)))


def _side_by_side(clips: Float[np.ndarray, "n l c"], sample_rate: int) -> np.ndarray:
    """Spectrograms of the clips, as one picture (rows, columns, 3) of bytes."""
    pictures = clip_pictures(clips, sample_rate)
    margin = np.full((len(pictures[0]), _MARGIN, 3), 255, np.uint8)
    return np.concatenate([part for p in pictures for part in (p, margin)][:-1], axis=1)
