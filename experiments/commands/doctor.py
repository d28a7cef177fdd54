"""`wavegan doctor`: is this machine ready, and is this data set sound?"""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import soundfile as sf

from experiments.report.terminal import Progress
from experiments.run import environment
from features import Decoded, Recording, Track, decode_tracks, scan_tracks

# Sturm, "The GTZAN dataset" (arXiv 1306.1461): one that does not decode, two badly distorted.
KNOWN_FAULTS = {
    "jazz.00054": "does not decode in the usual release",
    "pop.00037": "badly distorted",
    "reggae.00086": "badly distorted",
}
CLIPPED_SHARE = 1e-3  # of samples at full scale, from which a track counts as clipped
_RATE = 22050  # Hz at which tracks are checked


def check_machine() -> list[str]:
    """Lines on versions, hardware and disk."""
    found = environment()
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    return [
        f"hardware: {found['hardware']}",
        f"python {found['python']} on {found['system']}; {found['free_disk_gb']} GB of disk free",
        versions,
    ]


def check_data(root: str | Path, progress: Progress) -> tuple[list[str], bool]:
    """Lines on a data set, and whether every track of it can be used.

    Raises
    ------
    ValueError
        As `features.scan_tracks`, and where no track can be used.
    """
    tracks = scan_tracks(root)
    shown = progress.of("checking tracks", "track")
    decoded = decode_tracks(tracks, sample_rate=_RATE, on_progress=shown)
    by_label = Counter(track.label for track in tracks)
    lines = [
        f"{len(tracks)} tracks in {len(by_label)} classes: "
        + ", ".join(f"{label} {count}" for label, count in sorted(by_label.items())),
        *_durations(decoded),
        *_formats(decoded),
    ]
    groups = len({track.group for track in tracks})
    if groups < len(tracks):
        lines.append(f"{groups} groups (artists or speakers): a split by group keeps each whole")
    lines += [
        f"clipped: {name}: {share:.1%} of samples at full scale"
        for name, share in _clipped(decoded)
    ]
    lines += [
        f"known fault: {t.track_id}: {KNOWN_FAULTS[t.track_id]}"
        for t in tracks
        if t.track_id in KNOWN_FAULTS
    ]
    lines += [f"cannot be used: {bad.track.path}: {bad.reason}" for bad in decoded.quarantined]
    lines.append(
        f"{len(decoded.recordings)} of {len(tracks)} tracks can be used"
        if decoded.quarantined
        else "every track can be used"
    )
    return lines, not decoded.quarantined


def _durations(decoded: Decoded) -> list[str]:
    seconds = np.array([r.num_samples / r.sample_rate for r in decoded.recordings])
    return [
        f"durations: {seconds.min():.2f} to {seconds.max():.2f} s, "
        f"median {np.median(seconds):.2f} s, {seconds.sum() / 60:.1f} min in all"
    ]


def _formats(decoded: Decoded) -> list[str]:
    formats: dict[str, list[Track]] = defaultdict(list)
    for recording in decoded.recordings:
        info = sf.info(str(recording.track.path))
        channels = {1: "mono", 2: "stereo"}.get(info.channels, f"{info.channels} channels")
        formats[f"{info.format} {info.subtype} {info.samplerate} Hz {channels}"].append(
            recording.track
        )
    return [f"format: {name}: {len(tracks)} tracks" for name, tracks in sorted(formats.items())]


def _clipped(decoded: Decoded) -> list[tuple[str, float]]:
    def share(recording: Recording) -> float:
        return float(np.mean(np.abs(recording.samples.astype(np.int32)) >= 32767))

    shares = [(recording.track.track_id, share(recording)) for recording in decoded.recordings]
    return [(name, value) for name, value in shares if value >= CLIPPED_SHARE]
