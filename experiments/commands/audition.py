"""A page to hear, compare and choose clips on, in a folder that opens from the disk."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from experiments.config import AuditionConfig
from experiments.listening.auditions import gather, makers
from experiments.listening.studio import Studio
from experiments.report.audition import FOLDER, Page, render_audition
from experiments.report.terminal import Progress
from experiments.run import own_folder
from experiments.server import PageServer, serve_until, warm_up
from features.limits import check_disk
from features.storage import alone, inside, remove_leftovers, replacing, write_text

_OURS = re.compile(r"[0-9a-f]{12}\.(js|webp)")  # of the files beside a page


@dataclass(frozen=True)
class Auditioned:
    """What `audition` wrote.

    Attributes
    ----------
    page : the file to open.
    clips : on it.
    """

    page: Path
    clips: int


def audition(
    config: AuditionConfig, out: str | Path | None = None, *, progress: Progress | None = None
) -> Auditioned:
    """Write the page of an audition into ``out`` (RUN/audition if None), over an earlier one.

    With ``config.serve`` it answers a browser then, and ends with Ctrl-C.

    Raises
    ------
    ValueError
        For what holds neither GANs nor clips, a class that is not there, data that hold nothing
        of what the GANs heard, a folder that holds something else.
    CheckpointError
        For a step without a checkpoint, or a damaged one.
    """
    progress = progress or Progress(quiet=True)
    out = own_folder(out, config.run[0], "audition")
    _refuse_others(out)
    found = gather(config, progress)
    studio = Studio(makers(config), config.seed) if config.serve else None
    progress.say("drawing the page")
    page = render_audition(
        found,
        runs=[str(path) for path in config.run],
        single_file=config.single_file,
        studio=studio.about() if studio else (),
    )
    size = len(page.html) + sum(map(len, page.files.values()))
    check_disk(size, out, "the page and its clips", "ask for fewer, or another folder")
    with alone(out):
        written = Auditioned(_write(out, page), page.clips)
    if studio:
        warm_up(studio)
        serve_until(PageServer(out, studio, config.host, config.port), progress.say)
    return written


def _refuse_others(out: Path) -> None:
    """Raise ValueError where a folder holds another page than one of `audition`."""
    file = out / "index.html"
    if file.exists() and '<body class="audition">' not in file.read_text("utf-8", "replace"):
        raise ValueError(f"--out {out} holds another page, index.html: choose another folder")


def _write(out: Path, page: Page) -> Path:
    """The page, after what lies beside it; what an earlier one had goes last."""
    remove_leftovers(out, "**/.*")
    folder = inside(out, FOLDER)
    for name, content in page.files.items():
        with replacing(folder / name, sync=False) as temporary:
            temporary.write_bytes(content)
    write_text(file := out / "index.html", page.html)
    for old in folder.glob("*"):
        if old.name not in page.files and _OURS.fullmatch(old.name):
            old.unlink()
    if not page.files and folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
    return file
