"""What GANs start from, where not from scratch: the GANs of a run, a file, one GAN for all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.stages.gans import Gan, Tracks, find_gans, refuse_heard
from features.soundness import file_digest
from wavegan import Discriminator, WaveGANConfig, of_class
from wavegan.run_folder import RunFolder
from wavegan.start import Start, lineage, read_networks, read_start

_REFERENCE = ".npz"  # of the reference's variables


@dataclass(frozen=True)
class Ancestor:
    """What a GAN starts from.

    Attributes
    ----------
    path : folder of a GAN, or a file.
    labels : the classes of a conditional GAN; none of another one.
    lineage : what the provenance of a GAN that starts from it says of its ancestors.
    step : of which checkpoint; None is the newest.
    """

    path: Path
    labels: tuple[str, ...]
    lineage: Sequence[Mapping[str, Any]]
    step: int | None = None

    def start(self, config: WaveGANConfig, labels: Sequence[str]) -> Start:
        """The networks that a GAN of ``labels`` starts from: where it is one of several, its own.

        Where no layer of it fits ``config``, a ValueError names its folder or file.
        """
        critic: Discriminator | None
        if self.path.is_dir():
            generator, critic = read_networks(RunFolder(self.path), self.step)
        else:
            given = read_start(self.path, config)
            generator, critic = given.generator, given.critic
        if self.labels and len(labels) == 1:
            index = self.labels.index(labels[0])
            generator = of_class(generator, index)
            # A normalised output can't take up its class, whose projection is then left out.
            if critic is not None and not critic.config.spectral_norm:
                critic = of_class(critic, index)
        start = Start(str(self.path), generator, critic)
        start.problems(config)
        return start


Ancestry = Callable[[Sequence[str], int], Ancestor]  # of the GAN of some labels and a seed


def ancestors_in(init: Path, *, valid: Tracks, test: Tracks) -> Ancestry:
    """What GANs start from whose ``--init`` is a run, or a file.

    One GAN without classes is the ancestor of all; else each has one of its own labels.

    Parameters
    ----------
    valid, test : tracks that no ancestor may have heard, nor been chosen by those of the test side.

    Raises
    ------
    ValueError, OSError
        There is no GAN; when it is called, none of these labels, with those that there are.
    LeakError
        When it is called: the ancestor heard a track that is held out, or was chosen by it.
    """
    if init.suffix == _REFERENCE:
        reference = Ancestor(init, (), lineage(init.name, file_digest(init), None))
        return lambda labels, seed: reference
    gans = find_gans(init)

    def find(labels: Sequence[str], seed: int) -> Ancestor:
        gan = _fitting(init, gans, labels, seed)
        refuse_heard(
            gan,
            valid=valid,
            test=test,
            advice=f"as --init {init} it would bring what it heard of them with it: start from "
            "GANs of this split's training tracks, or from scratch",
        )
        return _ancestor(gan)

    return find


def _fitting(init: Path, gans: Sequence[Gan], labels: Sequence[str], seed: int) -> Gan:
    """The GAN that one of ``labels`` and ``seed`` starts from: in turn where there are several."""
    if len(gans) == 1 and not gans[0].conditional:
        return gans[0]
    wanted, alone = tuple(labels), len(labels) == 1
    fitting = [g for g in gans if g.labels == wanted or (alone and wanted[0] in g.labels)]
    if not fitting:
        known = "; ".join(sorted({gan.label for gan in gans}))
        several = "GAN of" if alone else "one GAN of all of"
        raise ValueError(f"--init {init} has no {several} {', '.join(wanted)}, only of {known}")
    return fitting[seed % len(fitting)]


def _ancestor(gan: Gan) -> Ancestor:
    """A GAN as an ancestor: its best checkpoint, or else its newest."""
    labels = gan.labels if gan.conditional else ()
    if gan.folder.is_file():
        return Ancestor(gan.folder, labels, lineage(gan.folder.name, gan.key, gan.provenance))
    folder = RunFolder(gan.folder)
    step = folder.whole_step("best" if folder.best_step() else None)
    told = {**gan.provenance, "step": step}
    return Ancestor(gan.folder, labels, lineage(gan.folder.name, folder.digest(step), told), step)
