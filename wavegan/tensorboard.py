"""The logged metrics for TensorBoard, beside ``metrics.jsonl``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from features.audio import load_audio


class TensorBoard:
    """Writes each logged row to TensorBoard: give it to `train` as ``on_log``.

    A resumed run goes on in the same folder: what was written of the steps that are trained
    again is hidden.

    Parameters
    ----------
    folder : the log directory, created where missing.
    previews : folder of `Previews` whose sounds (mixed to mono) and pictures are shown, too.

    Raises
    ------
    ImportError
        Where the extra ``tensorboard`` is not installed.
    """

    def __init__(self, folder: str | Path, *, previews: str | Path | None = None):
        try:
            import tensorboardX  # noqa: F401  said now, not at the first logged step
        except ImportError:
            raise ImportError(
                "TensorBoard's files need the package tensorboardX: pip install "
                "'wavegan[tensorboard]', or leave it out (metrics.jsonl has the same numbers)"
            ) from None
        self.folder = Path(folder)
        self.previews = None if previews is None else Path(previews)
        self._writer: Any = None

    def __call__(self, metrics: Mapping[str, float]) -> None:
        """Write the terms of a row at its ``gan/step``."""
        step = int(metrics["gan/step"])
        if self._writer is None:
            self._writer = self._open(step)
        for name, value in metrics.items():
            if name != "gan/step":
                self._writer.add_scalar(name, value, step)
        if self.previews:
            self._show(self.previews / f"step-{step:08d}", step)

    def close(self) -> None:
        """Write what is pending; done at the program's end, too."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _open(self, step: int):
        from tensorboardX import SummaryWriter

        return SummaryWriter(
            str(self.folder),
            purge_step=step,
            flush_secs=5,
            # The file's name has only seconds: a run resumed at once needs another one.
            filename_suffix=f".{step:08d}",
        )

    def _show(self, preview: Path, step: int) -> None:
        sound, picture = preview.with_suffix(".flac"), preview.with_suffix(".png")
        if not (sound.exists() and picture.exists()):
            return
        from PIL import Image

        audio, sample_rate = load_audio(sound)
        self._writer.add_audio("previews", audio, step, sample_rate=sample_rate)
        with Image.open(picture) as image:
            self._writer.add_image(
                "previews", np.asarray(image.convert("RGB")), step, dataformats="HWC"
            )
