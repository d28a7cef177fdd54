"""Ready-made spectrogram pictures of tracks, a file each, as `images_original` beside GTZAN."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

_SUFFIXES = {".png", ".jpg", ".jpeg"}
_MOST_PIXELS = 1 << 24  # of a file; a few bytes can say that they are billions
_KAGGLE = "as images_original/blues/blues00000.png of the track blues.00000"


def read_pictures(
    root: str | Path,
    track_ids: Sequence[str],
    *,
    size: tuple[int, int] = (180, 180),
    on_progress: Callable[[int, int, str], object] | None = None,
) -> np.ndarray:
    """The picture of each track, (N, height, width, 3) float32 in [0, 1].

    A picture belongs to the track whose name has the same letters and digits, in whatever folder
    below ``root`` it lies; to "a/001" belongs a/001.png. What is transparent is left as its colour;
    the size is changed by Pillow's bilinear filter, as torchvision's ``Resize`` does it.

    Parameters
    ----------
    size : height and width.
    on_progress : called with how many are read, of how many, and the name of the track.

    Raises
    ------
    FileNotFoundError
        ``root`` is no folder.
    ValueError
        Tracks without a picture, two files for one track, or a file that is none; all are named.
    """
    root = Path(root)
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: no such folder of pictures")
    files = _by_name(root)
    if missing := [name for name in track_ids if _key(name) not in files]:
        shown = ", ".join(missing[:5]) + (", …" if len(missing) > 5 else "")
        raise ValueError(
            f"{root} has no picture of {len(missing)} of {len(track_ids)} tracks ({shown}); a file "
            f"is named {_KAGGLE}: add what is missing, or take those tracks out of the data"
        )
    found = np.empty((len(track_ids), *size, 3), np.float32)
    for i, name in enumerate(track_ids):
        found[i] = _read(_only(files[_key(name)]), size)
        if on_progress is not None:
            on_progress(i + 1, len(track_ids), name)
    return found


def _key(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


def _by_name(root: Path) -> dict[str, list[Path]]:
    """The files of each name, by itself and with its folders."""
    found = defaultdict[str, list[Path]](list)
    for file in sorted(root.rglob("*")):
        if file.suffix.lower() in _SUFFIXES and not file.name.startswith("."):
            place = file.relative_to(root).with_suffix("")
            for key in {_key(file.stem), _key(str(place))}:
                found[key].append(file)
    return found


def _only(files: Sequence[Path]) -> Path:
    if len(files) > 1:
        raise ValueError(
            f"{files[0]} and {files[1]} would both be the picture of one track: keep one of them"
        )
    return files[0]


def _read(file: Path, size: tuple[int, int]) -> np.ndarray:
    """A picture (height, width, 3) in [0, 1]."""
    from PIL import Image

    height, width = size
    try:
        with Image.open(file, formats=("PNG", "JPEG")) as image:
            if image.width * image.height > _MOST_PIXELS:
                raise ValueError(f"it has {image.width} x {image.height} pixels")
            scaled = image.convert("RGB").resize((width, height), Image.Resampling.BILINEAR)
    except Exception as error:  # what the parsers raise at damage has many types
        raise ValueError(
            f"{file} can't be read as a picture ({error}): give a PNG or JPEG of at most "
            f"{_MOST_PIXELS:,} pixels, or take the track out of the data"
        ) from None
    return np.asarray(scaled, np.float32) / 255
