"""Changes of a file's content, as strategies of hypothesis: of its bytes, and of its structure."""

import json
import struct
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

OTHERS = (  # the beginning of files of other kinds, or the whole
    b"",
    b"\0" * 100,
    b"\xff\xfe\xfd",
    b"[]",
    b"{}",
    b"a: [1",
    b"\x89PNG\r\n\x1a\n" + b"\0" * 50,
    b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0",
    b"PK\x03\x04" + b"\0" * 40,
    b"PK\x05\x06" + b"\0" * 18,
    b"\x80\x04\x95\x0b\0\0\0\0\0\0\0}\x94\x8c\x01x\x94K\x01s.",
    b"\x93NUMPY\x01\0v\0" + b"{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }".ljust(117),
    b"\xff\xff\xff\xff\xff\xff\xff\x7f{}",
    b"fLaC\0\0\0\x22",
    b"OggS",
)
# JSON texts, some of them numbers that are none, or that few programs expect.
VALUES = (
    *("null", "true", "0", "-1", "1e999", "-1e999", "NaN", "-Infinity", "1e-999", "1.5"),
    *("9" * 30, "9" * 5000, '""', "[]", "{}", '"."', '".."', '"../../x"', '"/x"', '"a/b"'),
    *('"a\\\\b"', '"a\\u0000b"', '"a\\nb"', '"\\ud800"', f'"{"Ü" * 250}"', '"best"', "[[[]]]"),
    *("[" * 200 + "]" * 200, "[" * 100_000, '{"a":' * 3000 + "1" + "}" * 3000, '{"x": "y"}'),
    *('["x"]', "[0.5, null]", "16000", '"drone"'),
)
_HERE = "\ue000"  # stands for a value that is put in as it is


@st.composite
def bytes_of(draw: st.DrawFn, whole: bytes) -> bytes:
    """A bit flipped, bytes cut out or said twice, or another kind of file."""
    start, stop = sorted(draw(st.tuples(*2 * [st.integers(0, len(whole) - 1)])))
    bit = 1 << draw(st.integers(0, 7))
    changed = {
        "bit": whole[:start] + bytes([whole[start] ^ bit]) + whole[start + 1 :],
        "end": whole[:stop],
        "middle": whole[:start] + whole[stop:],
        "twice": whole[:stop] + whole[start:],
    }
    what = draw(st.sampled_from([*changed, "bit", "other"]))
    return changed[what] if what in changed else draw(st.sampled_from(OTHERS))


@st.composite
def json_of(draw: st.DrawFn, whole: bytes) -> bytes:
    """A value replaced by another, a member removed or added, or the whole of another shape."""
    value = json.loads(whole)
    new, what = draw(st.sampled_from(VALUES)), draw(st.sampled_from("rrrrrdaw"))
    if what == "w":
        return new.encode()
    holder, key = draw(st.sampled_from([*_places(value)]))
    if what == "d":
        del holder[key]
    elif what == "a" and isinstance(holder, dict):
        holder[draw(st.sampled_from(["x", "../x", "", "seed", "label", "a\0"]))] = _HERE
    else:
        holder[key] = _HERE
    return json.dumps(value).replace(json.dumps(_HERE), new).encode()


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Each member and item below a value, as what holds it and its key there."""
    inside = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in list(inside):
        yield value, key
        if isinstance(item, dict | list):
            yield from _places(item)


@st.composite
def safetensors_of(draw: st.DrawFn, whole: bytes) -> bytes:
    """The header changed as JSON, or a JSON text in it; its length is right."""
    (size,) = struct.unpack("<Q", whole[:8])
    header = json.loads(whole[8 : 8 + size])
    said = header["__metadata__"]
    if draw(st.booleans()):
        key = draw(st.sampled_from(sorted(said)))
        said[key] = draw(json_of(said[key].encode())).decode()
        text = json.dumps(header).encode()
    else:
        text = draw(json_of(whole[8 : 8 + size]))
    return struct.pack("<Q", len(text)) + text + whole[8 + size :]


@st.composite
def identity_of(draw: st.DrawFn, whole: bytes) -> bytes:
    """Another version, samples or print, some of them of another length, or a part too many."""
    identity, _, key = whole.decode().partition(" ")
    version, samples, landmarks = identity.split(":")
    parts = {
        "version": draw(st.sampled_from(["0", "2", "", "1.0", "9" * 5000, "\x00"])),
        "samples": draw(st.sampled_from([samples[::-1], samples[:-1], samples * 2, "../x", "G"])),
        "print": draw(
            st.sampled_from(["", landmarks[4:], landmarks * 2, landmarks[::-1], "A===="])
        ),
    }
    kept = {"version": version, "samples": samples, "print": landmarks}
    name = draw(st.sampled_from([*parts, "more", "key"]))
    if name in parts:
        kept[name] = parts[name]
    text = ":".join(kept.values()) + (":" if name == "more" else "")
    return f"{text} {key[::-1] if name == 'key' else key}".encode()


@st.composite
def npy_of(draw: st.DrawFn, whole: bytes) -> bytes:
    """The header with another type, order or shape; its length is right."""
    size = int.from_bytes(whole[8:10], "little")
    descr = draw(st.sampled_from(["'<f4'", "'<i2'", "'<f8'", "'|O'", "'<U4'", "'|V0'", "[]", "7"]))
    order = draw(st.sampled_from(["False", "True", "None"]))
    shape = draw(
        st.sampled_from(
            [
                *("()", "(3,)", "(2, 4)", "(-1, 4)", "(" + "9" * 20 + ",)", "(0, 4)", "(True, 4)"),
                *("(1" + ", 1" * 40 + ")", "(" * 90, "{", "'x'", "(2.5,)", "((1, 2),)"),
            ]
        )
    )
    text = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}".encode()
    text = text.ljust(size - 1) + b"\n"
    return whole[:8] + len(text).to_bytes(2, "little") + text + whole[10 + size :]
