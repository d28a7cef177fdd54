"""Files with one bit changed."""

from collections.abc import Iterator
from pathlib import Path


def with_a_bit_changed(file: Path, word: bytes) -> Iterator[None]:
    """Write ``file`` with a bit of its last byte changed, then with one of ``word`` instead."""
    whole = file.read_bytes()
    for place in (len(whole) - 1, whole.index(word)):
        changed = bytearray(whole)
        changed[place] ^= 1
        file.write_bytes(changed)
        yield
