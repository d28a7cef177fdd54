"""A folder of class folders as a sorted tuple of tracks."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from features.generated import generated_manifest, is_generated, refuse_generated
from features.storage import plain_name, readable

SUFFIXES = (".wav", ".au", ".flac", ".ogg", ".mp3")


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


def scan_tracks(root: str | Path, *, artist_index: str | Path | None = None) -> tuple[Track, ...]:
    """The tracks below a folder that has one folder per class.

    GTZAN's ``genres/`` and ``genres_original/`` are entered, ``hip-hop`` is ``hiphop``; hidden
    files (AppleDouble's ``._*`` too), ``__MACOSX`` and folders without audio are passed over.
    Files named ``<speaker>_<take>`` or ``<label>_<speaker>_<take>`` throughout (FSDD, Speech
    Commands) give the speaker as the group.

    Parameters
    ----------
    root : the data set's folder; its class folders hold wav, au, flac, ogg or mp3 files.
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
        Fewer than two classes, audio at another depth than in the class folders, two files of
        one name (``x.wav``, ``x.flac``) in a class, an index that names no track, audio that a
        GAN generated, a class that is no name for a folder elsewhere.
    """
    given, root = Path(root), _entered(Path(root))
    tracks = [
        Track(
            path,
            plain_name(_label(readable(folder.name)), root),
            name := readable(path.stem),
            name,
        )
        for folder in _visible(root)
        if folder.is_dir()
        for path in _audio_files(folder)
    ]
    paths = [track.path for track in tracks]
    refuse_generated([given, root, *(path.parent for path in paths)], paths)
    labels = sorted({track.label for track in tracks})
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
        files = (path for path in sorted(holder.glob("[!.]*")) if path.suffix.lower() in SUFFIXES)
        if found := next((f for f in files if f.is_file() and not is_generated(f)), None):
            raise ValueError(
                f"--out {folder} holds recordings, such as {found}, among which generated clips "
                "would pass for real ones: choose a folder that is new, or has generated clips "
                "alone"
            )


def gtzan_name(name: str) -> str:
    """A GTZAN file name in one spelling: ``hip-hop.00000.au`` → ``hiphop.00000``."""
    stem = Path(name).stem if Path(name).suffix.lower() in SUFFIXES else Path(name).name
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


def _visible(folder: Path) -> Iterator[Path]:
    return (p for p in sorted(folder.iterdir()) if p.name[0] != "." and p.name != "__MACOSX")


def _is_audio(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and path.is_file()


def _audio_files(folder: Path) -> list[Path]:
    entries = list(_visible(folder))
    for below in (entry for entry in entries if entry.is_dir()):
        deeper = next((path for path in _visible(below) if _is_audio(path)), None)
        if deeper:
            raise ValueError(
                f"{deeper}: audio below the class folder {folder.name!r}; "
                f"put files straight into class folders, or give {folder} as the data set"
            )
    return [entry for entry in entries if _is_audio(entry)]


def _label(name: str) -> str:
    return "hiphop" if name.lower() in ("hip-hop", "hip_hop", "hip hop") else name


def _too_few_classes(root: Path, labels: list[str]) -> str:
    wanted = (
        f"at least two class folders with {', '.join(s[1:] for s in SUFFIXES)} files are needed"
    )
    if labels:
        return f"{root}: one class only ({labels[0]!r}); {wanted}"
    direct = sum(_is_audio(path) for path in _visible(root))
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
    for line in index.read_text(encoding="utf-8").splitlines():
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
