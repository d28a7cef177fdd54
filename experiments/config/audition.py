"""What `experiments.audition` is asked to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from features.limits import check_counts, check_finite, check_rate

STEPS = ("all", "best", "newest")  # beside numbers


@dataclass(frozen=True)
class AuditionConfig:
    """A page on which clips are heard, compared and chosen.

    Attributes
    ----------
    run : run folders of GANs, exported generators, names of those in the package, or folders of
        clips of any generator, with a folder for each class.
    steps : checkpoints, one below the other: numbers, "best", "newest" or "all"; None is all of
        one run (of many some), the best of several.
    classes : those that are heard; None is all.
    count : clips of each class in a row.
    between : sounds on the way from one latent to another, and from class to class; 0 leaves
        these strips out.
    seed : of the latents, which are the same in every row.
    truncation : latents are drawn from ± this; less is more typical.
    data : folder of class folders with the recordings that the GANs heard, for the real clips and
        the nearest ones; None is the one that the run says.
    sample_rate : Hz, where a generator does not say.
    single_file : write all into one file of HTML, which is a third larger.
    serve : answer a browser on this machine until Ctrl-C, so that the page makes new clips, too.
    host : address of this machine that it answers on, and to; others may ask where it is not
        127.0.0.1.
    port : that it answers on; 0 takes a free one.
    """

    run: tuple[Path, ...]
    steps: tuple[str, ...] | None = None
    classes: tuple[str, ...] | None = None
    count: int = 4
    between: int = 7
    seed: int = 0
    truncation: float = 1.0
    data: str | None = None
    sample_rate: int | None = None
    single_file: bool = False
    serve: bool = False
    host: str = "127.0.0.1"
    port: int = 8765

    def __post_init__(self):
        check_finite(self)
        check_counts(most=1000, count=self.count)
        check_rate(self.sample_rate)
        if not self.run:
            raise ValueError("run is missing: give a run folder, an exported generator or a folder")
        if self.steps is not None and (
            not self.steps or any(s not in STEPS and not s.isdecimal() for s in self.steps)
        ):
            raise ValueError(
                f"steps takes numbers, {', '.join(STEPS)}; found {','.join(self.steps) or 'none'}"
            )
        if self.classes is not None and not self.classes:
            raise ValueError("classes takes at least one class")
        if not (self.between == 0 or 2 <= self.between <= 100):
            raise ValueError(f"between lies in 2 … 100, or is 0; found {self.between}")
        if not 0 < self.truncation <= 1:
            raise ValueError(f"truncation lies above 0 and up to 1, found {self.truncation}")
        if not 0 <= self.port < 2**16:
            raise ValueError(f"port lies in 0 … {2**16 - 1}, found {self.port}")
        if self.serve and self.single_file:
            raise ValueError("serve answers with a folder: leave single_file out")
