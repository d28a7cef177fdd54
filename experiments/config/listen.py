"""What `experiments.listen` and `analyse` are asked to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from experiments.config.audition import check_heard

TESTS = {
    "ab": "two sounds: which is the recording, or of two generators, which is better?",
    "mos": "one sound: how good is it, from 1 to 5?",
    "genre": "one sound: which class is this?",
}


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
        check_heard(self)
        if self.test not in TESTS:
            raise ValueError(f"test is one of {', '.join(TESTS)}; found {self.test!r}")
        if not 0 <= self.checks <= 20:
            raise ValueError(f"checks lies in 0 … 20, found {self.checks}")
