"""`wavegan doctor`: is this machine ready, is this data set sound, is this run whole?"""

from __future__ import annotations

import os
from collections import Counter
from importlib import metadata
from pathlib import Path

import numpy as np

from experiments.report.terminal import Progress, safe
from experiments.run import OUTCOME, STAGES, Run
from experiments.stages.gans import GAN_LIST, find_gans
from features import scan_tracks
from features.checksums import HASHES, problems_below, was_sealed
from features.dataset import KNOWN_FAULTS, by_reason, passed_over
from features.formats import CONTAINERS, EXTRA, LIBSNDFILE, PYAV, has_pyav
from features.soundness import QUIET, QUIET_PEAK, Checked, check_tracks
from features.storage import plain_name, read_json, refuse_links
from wavegan.environment import environment
from wavegan.run_folder import CheckpointError, RunFolder

CLIPPED_SHARE = 1e-3  # of samples at full scale, from which a track counts as clipped


def check_machine() -> list[str]:
    """Lines on versions, hardware and disk."""
    found = environment()
    return [
        f"hardware: {found['hardware']}",
        f"python {found['python']} on {found['system']}; {found['free_disk_gb']} GB of disk free",
        ", ".join(f"{name} {version}" for name, version in found["versions"].items()),
        f"audio is read by {_decoders()}",
    ]


def _decoders() -> str:
    """What reads audio here, in the order in which it is tried, and what is missing."""
    import soundfile

    kinds = ", ".join(suffix[1:] for suffix in CONTAINERS)
    pyav = f"; {kinds} are not read without PyAV: {EXTRA}"
    if has_pyav():
        pyav = f", then {PYAV} {metadata.version('av')} ({kinds})"
    return f"{LIBSNDFILE} {soundfile.__libsndfile_version__}{pyav}"


def check_data(root: str | Path, progress: Progress) -> tuple[list[str], bool]:
    """Lines on a data set, and whether every track of it can be used; a ValueError if none can."""
    tracks = scan_tracks(root)
    shown = progress.of("checking tracks", "track")
    used, bad = check_tracks(tracks, processes=os.cpu_count() or 1, on_progress=shown)
    by_label = Counter(track.label for track in tracks)
    labels = ", ".join(f"{label} {count}" for label, count in sorted(by_label.items()))
    seconds = np.array([r.num_samples / r.sample_rate for r in used])
    lines = [
        f"{len(tracks)} tracks in {len(by_label)} classes: {labels}",
        f"durations: {seconds.min():.2f} to {seconds.max():.2f} s, "
        f"median {np.median(seconds):.2f} s, {seconds.sum() / 60:.1f} min in all",
    ]
    formats = sorted(Counter(map(_format, used)).items())
    lines += [f"format: {name}: {count} tracks" for name, count in formats]
    groups = len({track.group for track in tracks})
    if groups < len(tracks):
        lines.append(f"{groups} groups (artists or speakers): a split by group keeps each whole")
    lines += [
        f"clipped: {one.track.track_id}: {one.clipped:.1%} of samples at full scale"
        for one in used
        if one.clipped >= CLIPPED_SHARE
    ]
    lines += [
        f"quiet: {one.track.path}: {QUIET} (peak {one.peak}/32768); take a louder copy"
        for one in used
        if one.peak <= QUIET_PEAK
    ]
    names = [track.track_id for track in tracks if track.track_id in KNOWN_FAULTS]
    lines += [f"known fault: {name}: {KNOWN_FAULTS[name]}" for name in names]
    lines += [f"cannot be used: {one.track.path}: {one.reason}" for one in bad]
    lines += [f"passed over: {line}" for line in by_reason(passed_over(root), Path(root))]
    left = Counter(recording.track.label for recording in used)
    few = [label for label in sorted(by_label) if left[label] < 2]
    lines += [f"too few: {label}: a split needs two tracks of it at least" for label in few]
    share = f"{len(used)} of {len(tracks)} tracks" if bad else "every track"
    lines.append(f"{share} can be used")
    return [safe(line) for line in lines], not (bad or few)


def check_run(path: Path) -> tuple[list[str], bool]:
    """Lines on what of a run is missing, changed, unfinished or left over, and whether none is.

    A folder that is no run is a ValueError.
    """
    if not path.is_dir():
        raise ValueError(f"RUN {path}: no such folder")
    if not (path / "config.json").exists() and (runs := sorted(path.glob("*/config.json"))):
        checked = [check_run(file.parent) for file in runs]  # of several recipes
        return [line for lines, _ in checked for line in lines], all(whole for _, whole in checked)
    command = Run(path).read_config().get("command", "")
    failed = {f"unfinished: {path / 'stages' / name}:" for name in _failed_gans(path)}
    lines = [line for line in problems_below(path) if not line.startswith(tuple(failed))]
    listed = {name for file in (STAGES, GAN_LIST) for name in _names(path / file)}
    files = [f"stages/{name}" for name in sorted(listed)]
    files += [HASHES, *OUTCOME.get(command, ())]
    lines += [f"missing: {path / name}" for name in files if not (path / name).exists()]
    told = ("config.json", *(name for name in OUTCOME.get(command, ()) if name.endswith(".json")))
    bare = (path / name for name in told if (path / name).exists() and (path / HASHES).exists())
    lines += [f"unknown: {f}, of which {HASHES} says nothing" for f in bare if not was_sealed(f)]
    try:
        refuse_links(path)
    except ValueError as error:
        lines.append(f"a link: {error}")
    try:
        for gan in find_gans(path) if (path / GAN_LIST).exists() and not lines else ():
            RunFolder(gan.folder).whole_step()
    except (ValueError, CheckpointError) as error:
        lines.append(f"changed: {error}")
    said = f"{len(lines)} things are not as written" if lines else "all is as it was written"
    said = f"{path}: a run of `wavegan {command}`, {said}"
    return [safe(line) for line in (*lines, said)], not lines


def _failed_gans(path: Path) -> list[str]:
    """The folders of GANs of which the results tell that they failed."""
    file = path / "results.json"
    found = read_json(file, "restore it from a copy") if file.exists() else {}
    gan = found.get("gan")
    failed = gan.get("failed") if isinstance(gan, dict) else None
    return [plain_name(name, file) for name in failed] if isinstance(failed, dict) else []


def _names(file: Path) -> list[str]:
    """The folders in ``stages`` that a file of a run lists; none where it is not there."""
    names = read_json(file, "restore it from a copy", list) if file.exists() else []
    return [plain_name(name, file) for name in names]


def _format(one: Checked) -> str:
    channels = {1: "mono", 2: "stereo"}.get(one.channels, f"{one.channels} channels")
    read = "" if one.decoder == LIBSNDFILE else f", read by {one.decoder}"
    return f"{one.encoding} {one.sample_rate} Hz {channels}{read}"
