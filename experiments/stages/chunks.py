"""What GANs hear of tracks whose other chunks are held out: the training chunks, as recordings."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from experiments.run import Run
from features import Clips, Recording
from features.cache import writing_entry

CHUNKS = "chunks"  # the name of their stages


def chunk_recordings(
    recordings: Sequence[Recording], chunks: Clips, folder: Path
) -> list[Recording]:
    """Of each recording its ``chunks``, one after another, as a recording in ``folder``."""
    starts = _starts(chunks)
    found = []
    for recording in recordings:
        if of := starts.get(recording.digest):
            text = f"{recording.digest} {chunks.num_samples} {of}"
            digest = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
            size = len(of) * chunks.num_samples
            path = folder / f"{digest}.npy"
            found.append(replace(recording, digest=digest, path=path, num_samples=size))
    return found


def written_chunks(run: Run, recordings: Sequence[Recording], chunks: Clips) -> Path:
    """The folder, a stage of the run, with what `chunk_recordings` finds there."""
    starts, by_digest = _starts(chunks), {r.digest: r for r in recordings}
    places = chunk_recordings(recordings, chunks, Path())

    def build(folder: Path) -> None:
        kept = [by_digest[digest] for digest in by_digest if digest in starts]
        for recording, place in zip(kept, places, strict=True):
            with writing_entry(folder / place.path, recording.channels) as entry:
                for start in starts[recording.digest]:
                    entry.write(recording.read(start, start + chunks.num_samples))

    return run.stage(CHUNKS, {"chunks": [place.digest for place in places]}, build)


def _starts(chunks: Clips) -> dict[str, list[int]]:
    """Where the chunks of each recording begin, in order, by its digest."""
    found: dict[str, list[int]] = {}
    for digest, start in zip(chunks.digests.tolist(), chunks.starts.tolist(), strict=True):
        found.setdefault(digest, []).append(start)
    return {digest: sorted(of) for digest, of in found.items()}
