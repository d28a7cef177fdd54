"""The page of a training run, written anew from what its folder holds."""

from __future__ import annotations

from pathlib import Path

from experiments.report.train import render_training
from experiments.stages.trained import read_training
from features.storage import write_text


def write_training_page(run: Path) -> Path:
    """Write the page of a `wavegan train` run, or of one GAN, to ``report.html`` in its folder.

    Raises
    ------
    ValueError
        Where no GAN is there, saying what was found.
    """
    page = run / "report.html"
    write_text(page, render_training(read_training(run)))
    return page
