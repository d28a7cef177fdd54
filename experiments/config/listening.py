"""What `experiments.audition`, `listen` and `analyse` are asked to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from features.limits import check_counts, check_finite, check_rate

STEPS = ("all", "best", "newest")  # beside numbers
# What clips are heard, and of which recordings: asked of a page and of a test alike.
HEARD = ("run", "classes", "count", "seed", "truncation", "data", "sample_rate")
TESTS = {
    "ab": "two sounds: which is the recording, or of two generators, which is better?",
    "mos": "one sound: how good is it, from 1 to 5?",
    "genre": "one sound: which class is this?",
}
CHOICES = {"test": TESTS}


@dataclass(frozen=True)
class AuditionConfig:
    """A page on which clips are heard, compared and chosen.

    Attributes
    ----------
    run : run folders of GANs, exported generators, names of those in the package, or folders of any
        generator's clips, with a folder for each class.
    steps : checkpoints, each a row of the page: steps, "best", "newest" or "all". None shows all
        checkpoints of one run (some of them where there are many), the best one of several runs.
    classes : the classes to show; None shows all of them.
    count : clips of each class in a row.
    between : sounds in a strip from one latent to another, and from class to class; 0 leaves the
        strips out.
    seed : seed of the latents, which are the same in every row.
    truncation : latents are drawn between plus and minus this; less makes clips more typical.
    data : folder with a folder for each class, of the recordings that the GANs heard: for real
        clips and the nearest training clips. None takes the folder that the run names.
    sample_rate : Hz, where a generator does not say it.
    single_file : write one HTML file with everything in it, a third larger than the folder.
    serve : also serve the page to a browser on this machine, until Ctrl-C, so that it can make new
        clips.
    host : address to serve on; anything but 127.0.0.1 lets other machines in.
    port : port to serve on; 0 takes a free one.
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
        _check_heard(self)
        if self.steps is not None and (
            not self.steps or any(s not in STEPS and not s.isdecimal() for s in self.steps)
        ):
            raise ValueError(
                f"steps takes numbers, {', '.join(STEPS)}; found {','.join(self.steps) or 'none'}"
            )
        if not (self.between == 0 or 2 <= self.between <= 100):
            raise ValueError(f"between lies in 2 … 100, or is 0; found {self.between}")
        if not 0 <= self.port < 2**16:
            raise ValueError(f"port lies in 0 … {2**16 - 1}, found {self.port}")
        if self.serve and self.single_file:
            raise ValueError("serve answers with a folder: leave single_file out")


@dataclass(frozen=True)
class ListenConfig:
    """A blind listening test.

    Attributes
    ----------
    run : run folders of GANs, exported generators, names of those in the package, or folders of
        clips, with a folder for each class; or "analyse" and files of answers.
    test : what listeners are asked.
    classes : the classes to use; None uses all of them.
    count : questions about each generator (and about the real clips, where they are rated), spread
        over the classes.
    checks : extra questions that anyone who listens gets right.
    seed : seed of the latents and of the order.
    truncation : latents are drawn between plus and minus this; less makes clips more typical.
    data : folder with a folder for each class, of the recordings that the GANs heard, for the real
        clips. None takes the folder that the run names.
    sample_rate : Hz, where a generator does not say it.
    consent : text file that listeners agree to before they begin; None takes a short text.
    webmushra : also write a configuration and files for a webMUSHRA server.
    key : for `listen analyse`: the key.json of the test; None looks beside the answers.
    """

    run: tuple[Path, ...]
    test: str = "ab"
    classes: tuple[str, ...] | None = None
    count: int = 20
    checks: int = 2
    seed: int = 0
    truncation: float = 1.0
    data: str | None = None
    sample_rate: int | None = None
    consent: Path | None = None
    webmushra: bool = False
    key: Path | None = None

    def __post_init__(self):
        _check_heard(self)
        if self.test not in TESTS:
            raise ValueError(f"test is one of {', '.join(TESTS)}; found {self.test!r}")
        if not 0 <= self.checks <= 20:
            raise ValueError(f"checks lies in 0 … 20, found {self.checks}")


def _check_heard(config: Any) -> None:
    """Raise ValueError where the clips that a page or a test is asked for can't be."""
    check_finite(config)
    check_counts(most=1000, count=config.count)
    check_rate(config.sample_rate)
    if not config.run:
        raise ValueError("run is missing: give a run folder, an exported generator or a folder")
    if config.classes is not None and not config.classes:
        raise ValueError("classes takes at least one class")
    if not 0 < config.truncation <= 1:
        raise ValueError(f"truncation lies above 0 and up to 1, found {config.truncation}")
