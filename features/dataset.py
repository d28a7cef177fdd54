"""A folder of class folders as a sorted tuple of tracks."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from features.formats import is_audio, is_readable, readable_suffixes, unread
from features.generated import generated_manifest, is_generated, refuse_generated
from features.storage import plain_name, read_text, readable

# Sturm, "The GTZAN dataset" (arXiv 1306.1461): one that does not decode, two badly distorted.
KNOWN_FAULTS = {
    "jazz.00054": "does not decode in the usual release",
    "pop.00037": "badly distorted",
    "reggae.00086": "badly distorted",
}
_NAMED = 10  # files passed over for one reason
_LONGEST_LABEL = 100  # bytes: names of files and folders are made from it


@dataclass(frozen=True)
class Track:
    """One recording.

    Attributes
    ----------
    path : the audio file.
    label : its class, the name of its folder.
    track_id : unique in the data set: the file's stem, ``label/stem`` where stems recur.
    group : artist or speaker where known, else ``track_id``; by="group" keeps it on one side.
    """

    path: Path
    label: str
    track_id: str
    group: str


@dataclass(frozen=True)
class PassedOver:
    """A file or folder of a data set that is no track of it.

    Attributes
    ----------
    path : the file or folder.
    reason : why, in a few words.
    audio : whether it may be audio that was meant to be used.
    """

    path: Path
    reason: str
    audio: bool = False


def scan_tracks(root: str | Path, *, artist_index: str | Path | None = None) -> tuple[Track, ...]:
    """The tracks below a folder that has one folder per class.

    GTZAN's ``genres/`` and ``genres_original/`` are entered, ``hip-hop`` is ``hiphop``; hidden
    files (AppleDouble's ``._*`` too), ``__MACOSX`` and folders without audio are passed over.
    Files named ``<speaker>_<take>`` or ``<label>_<speaker>_<take>`` throughout (FSDD, Speech
    Commands) give the speaker as the group.

    Parameters
    ----------
    root : the data set's folder; its class folders hold files that libsndfile reads (wav, au, flac,
        ogg, opus, mp3, aiff …) or, with the extra ``decode``, PyAV (m4a, wma, mp4 …).
    artist_index : GTZAN's index, lines ``blues.00000.wav ::: artist ::: title``, which gives the
        artist as the group; a track with a blank artist or none is a group of its own.

    Returns
    -------
    tuple of Track, sorted by label and file name.

    Raises
    ------
    FileNotFoundError, NotADirectoryError
        No such folder or index; a file where the folder should be.
    ValueError
        Fewer than two classes, audio below the class folders, a class whose audio is all of
        kinds that are not read, classes whose names differ in case or composition alone, two
        files of one name (``x.wav``, ``x.flac``) in a class, an index that names no track, audio
        that a GAN generated, a class that is no name for a folder elsewhere.
    """
    given, root = Path(root), _entered(Path(root))
    tracks = [
        Track(path, plain_name(_label(folder), root), name := readable(path.stem), name)
        for folder, files in _scanned(root)[0].items()
        for path in files
    ]
    paths = [track.path for track in tracks]
    refuse_generated([given, root, *(path.parent for path in paths)], paths)
    labels = sorted({track.label for track in tracks})
    _refuse_one_class_twice(root, labels)
    if len(labels) < 2:
        raise ValueError(_too_few_classes(root, labels))
    tracks = _with_unique_ids(sorted(tracks, key=lambda t: (t.label, t.path.name, t.path)))
    if artist_index is not None:
        return _grouped_by_artist(tracks, Path(artist_index))
    return _grouped_by_speaker(tracks)


def refuse_recordings(folder: Path) -> None:
    """Raise ValueError where ``folder``, or a folder in it, holds audio that no GAN generated.

    Generated clips beside it would pass for recordings of its classes.
    """
    if not folder.is_dir():
        return
    tops = dict.fromkeys([folder, _entered(folder)])
    for holder in (*tops, *(below for top in tops for below in sorted(top.glob("[!.]*/")))):
        if generated_manifest(holder) is not None:
            continue
        files = (path for path in sorted(holder.glob("[!.]*")) if is_audio(path))
        if found := next((f for f in files if f.is_file() and not is_generated(f)), None):
            raise ValueError(
                f"--out {folder} holds recordings, such as {found}, among which generated clips "
                "would pass for real ones: choose a folder that is new, or has generated clips "
                "alone"
            )


def passed_over(root: str | Path) -> tuple[PassedOver, ...]:
    """What `scan_tracks` of the same folder passes over; errors are its."""
    root = Path(root)
    found = _entered(root)
    beside = () if found == root else (p for p in sorted(root.iterdir()) if p != found)
    left = [PassedOver(path, f"beside {found.name}") for path in beside]
    return (*left, *_scanned(found)[1])


def by_reason(passed: Iterable[PassedOver], root: Path) -> list[str]:
    """A line for each reason, with how often it comes and the first files below ``root``."""
    names = defaultdict[str, list[str]](list)
    for one in passed:
        names[one.reason].append(os.path.relpath(one.path, root))
    return [
        f"{len(found)}, {reason}: {', '.join(found[:_NAMED])}"
        + (f" and {len(found) - _NAMED} more" if len(found) > _NAMED else "")
        for reason, found in names.items()
    ]


def audio_files(paths: Iterable[Path]) -> list[Path]:
    """Files as they are given, and the audio files in folders, however deep, sorted.

    Raises
    ------
    ValueError
        No such file or folder, or a folder without audio.
    PermissionError
        A folder that may not be read.
    """
    files: list[Path] = []
    for path in paths:
        inside = [path]
        if path.is_dir():
            inside = sorted(p for p in _below(path) if p.name[0] != "." and is_readable(p))
        elif not path.exists():
            raise ValueError(f"{path}: no such file or folder")
        if not inside:
            raise ValueError(f"{path} holds no audio ({', '.join(readable_suffixes())})")
        files += inside
    return files


def _below(folder: Path) -> Iterator[Path]:
    """All files below a folder; one that may not be read is a PermissionError."""

    def refuse(error: OSError) -> None:
        raise error

    for place, _, names in os.walk(folder, onerror=refuse):
        yield from (Path(place, name) for name in names)


def gtzan_name(name: str) -> str:
    """A GTZAN file name in one spelling: ``hip-hop.00000.au`` → ``hiphop.00000``."""
    stem = Path(name).stem if is_audio(Path(name)) else Path(name).name
    return re.sub(r"^hip[-_ ]hop", "hiphop", stem, flags=re.IGNORECASE)


def _entered(root: Path) -> Path:
    if not root.exists():
        raise FileNotFoundError(f"{root}: no such folder; give one that holds a folder per class")
    if not root.is_dir():
        raise NotADirectoryError(f"{root}: a file; give the folder that holds a folder per class")
    for name in ("genres", "genres_original"):
        if (root / name).is_dir():
            return root / name
    return root


def _is_visible(path: Path) -> bool:
    return path.name[0] != "." and path.name != "__MACOSX"


def _scanned(root: Path) -> tuple[dict[Path, list[Path]], list[PassedOver]]:
    """The audio files of each class folder, and what is passed over."""
    classes: dict[Path, list[Path]] = {}
    passed = list[PassedOver]()
    above = {root.resolve(), *root.resolve().parents}
    for entry in sorted(root.iterdir()):
        if not _is_visible(entry):
            passed.append(PassedOver(entry, "hidden"))
        elif not entry.is_dir():
            left = _left_out(entry)
            beside = PassedOver(entry, "audio beside the class folders", audio=True)
            passed.append(left or beside)
        elif entry.resolve() in above:
            passed.append(PassedOver(entry, "a link to a folder that it lies in"))
        else:
            files, left_here = _audio_files(entry)
            passed += left_here
            if files:
                classes[entry] = files
            else:
                passed.append(PassedOver(entry, "a folder without audio"))
    return classes, passed


def _left_out(path: Path) -> PassedOver | None:
    """Why a file is no track; None where it is one."""
    audio = is_audio(path)
    if path.is_symlink() and not path.exists():
        return PassedOver(path, "a link that leads nowhere", audio)
    if not path.is_file():
        return PassedOver(path, "neither a file nor a folder", audio)
    if not audio:
        return PassedOver(path, "no audio, by its suffix")
    return PassedOver(path, why, audio) if (why := unread(path)) else None


def _audio_files(folder: Path) -> tuple[list[Path], list[PassedOver]]:
    """The tracks of a class folder, and what is passed over."""
    files, passed = list[Path](), list[PassedOver]()
    for entry in sorted(folder.iterdir()):
        if not _is_visible(entry):
            passed.append(PassedOver(entry, "hidden"))
        elif entry.is_dir():
            _refuse_audio_below(folder, entry)
            reason = "a link to a folder" if entry.is_symlink() else "a folder in a class folder"
            passed.append(PassedOver(entry, reason))
        elif left := _left_out(entry):
            passed.append(left)
        else:
            files.append(entry)
    lost = [one for one in passed if one.audio]
    if lost and not files:
        raise ValueError(
            f"{folder}: none of its {len(lost)} audio files can be used ({lost[0].path.name}: "
            f"{lost[0].reason}): mend that, or move the folder away"
        )
    return files, passed


def _refuse_audio_below(folder: Path, below: Path) -> None:
    """Raise ValueError for audio at any depth of a folder in a class folder; links are not gone."""
    if below.is_symlink():
        return
    for place, folders, names in os.walk(below):
        folders[:] = sorted(name for name in folders if _is_visible(Path(name)))
        for path in (Path(place, name) for name in sorted(names)):
            if _is_visible(path) and is_readable(path) and path.is_file():
                raise ValueError(
                    f"{path}: audio below the class folder {folder.name!r}; "
                    f"put files straight into class folders, or give {folder} as the data set"
                )


def _label(folder: Path) -> str:
    name = folder.name
    if (size := len(os.fsencode(name))) > _LONGEST_LABEL:
        raise ValueError(
            f"{folder}: a class name of {size} bytes; at most {_LONGEST_LABEL} are accepted, since "
            "names of files are made from it: rename the folder"
        )
    return "hiphop" if name.lower() in ("hip-hop", "hip_hop", "hip hop") else name


def _refuse_one_class_twice(root: Path, labels: list[str]) -> None:
    """Raise ValueError for classes whose names a reader, or another file system, can't tell."""
    known: dict[str, str] = {}
    for label in labels:
        key = " ".join(unicodedata.normalize("NFC", label).casefold().split())
        if (other := known.setdefault(key, label)) != label:
            raise ValueError(
                f"{root}: the class folders {other!a} and {label!a} differ in case, "
                "spaces or composed letters alone: put their files into one, or rename one"
            )


def _too_few_classes(root: Path, labels: list[str]) -> str:
    wanted = (
        f"at least two class folders with {', '.join(s[1:] for s in readable_suffixes())} files "
        "are needed"
    )
    if labels:
        return f"{root}: one class only ({labels[0]!r}); {wanted}"
    direct = sum(is_readable(p) and p.is_file() for p in root.glob("[!.]*"))
    if direct:
        return f"{root}: {direct} audio files lie directly in it; {wanted}: <class>/<file>"
    return f"{root}: no class folder with audio; {wanted}"


def _with_unique_ids(tracks: list[Track]) -> list[Track]:
    stems = Counter(track.track_id for track in tracks)
    tracks = [
        track
        if stems[track.track_id] == 1
        else replace(track, track_id=(both := f"{track.label}/{track.track_id}"), group=both)
        for track in tracks
    ]
    by_id: dict[str, Track] = {}
    for track in tracks:
        twin = by_id.setdefault(track.track_id, track)
        if twin is not track:
            raise ValueError(
                f"{track.path} and {twin.path} have one name and may be one recording, which would "
                "leak across a split; remove or rename one"
            )
    return tracks


def _grouped_by_artist(tracks: list[Track], index: Path) -> tuple[Track, ...]:
    if not index.is_file():
        raise FileNotFoundError(
            f"{index}: no such artist index; its lines are 'file ::: artist ::: title'"
        )
    artists = {}
    for line in read_text(index, "save it as UTF-8").splitlines():
        name, *rest = (part.strip() for part in line.split(":::"))
        if rest and rest[0]:
            artists[gtzan_name(name)] = rest[0]
    if not any(gtzan_name(track.path.name) in artists for track in tracks):
        raise ValueError(
            f"{index}: names none of the {len(tracks)} tracks (e.g. {tracks[0].path.name}); "
            "its lines should read 'file ::: artist ::: title'"
        )
    return tuple(
        replace(track, group=artists.get(gtzan_name(track.path.name), track.group))
        for track in tracks
    )


def _grouped_by_speaker(tracks: list[Track]) -> tuple[Track, ...]:
    """Groups by speaker, if every name has one and they cannot be anything else.

    ``blues_001`` or ``take_001`` must not make a class, or all of them, one speaker: each class
    needs two speakers at least, none called like the class, and some speaker has to recur.
    """
    speakers: list[str] = []
    by_label: dict[str, set[str]] = defaultdict(set)
    for track in tracks:
        name = re.fullmatch(rf"(?:{re.escape(track.label)}_)?(.+)_\d+", track.path.stem)
        if name is None or name[1] == track.label:
            return tuple(tracks)
        speakers.append(name[1])
        by_label[track.label].add(name[1])
    recur = len(set(speakers)) < len(speakers)
    if not recur or min(len(names) for names in by_label.values()) < 2:
        return tuple(tracks)
    return tuple(replace(t, group=speaker) for t, speaker in zip(tracks, speakers, strict=True))
