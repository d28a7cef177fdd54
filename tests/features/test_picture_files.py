"""Ready-made pictures of tracks: found by name, read, resized, and refused."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from features import read_pictures


def drawn(file, colours, mode="RGB"):
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(colours, np.uint8), mode).save(file)


@pytest.fixture
def pictures(tmp_path):
    """As they lie beside GTZAN, one of them as a JPEG somewhere else."""
    root = tmp_path / "images_original"
    halves = np.zeros((4, 8, 3))
    halves[:, 4:] = [255, 0, 102]
    drawn(root / "blues" / "blues00000.png", halves)
    clear = np.full((4, 8, 4), 51)
    clear[..., 3] = 0
    drawn(root / "jazz" / "jazz00007.png", clear, "RGBA")
    drawn(root / "Pop.00001.JPG", np.full((16, 16, 3), 200))
    (root / "blues" / "._blues00000.png").write_bytes(b"of another system")
    (root / "notes.txt").write_text("no picture")
    return root


def test_a_track_has_the_picture_of_its_letters_and_digits(pictures):
    told = []
    names = ["jazz.00007", "blues.00000", "pop.00001"]
    found = read_pictures(pictures, names, size=(2, 4), on_progress=lambda *x: told.append(x))
    assert (found.shape, found.dtype) == ((3, 2, 4, 3), np.float32)
    np.testing.assert_allclose(found[0], 0.2)  # what is clear keeps its colour
    np.testing.assert_allclose(found[1][:, 0], 0)
    np.testing.assert_allclose(found[1][:, 3], np.tile([1, 0, 0.4], (2, 1)), rtol=1e-6)
    np.testing.assert_allclose(found[2], 200 / 255, atol=0.01)
    assert told == [(1, 3, "jazz.00007"), (2, 3, "blues.00000"), (3, 3, "pop.00001")]


def test_half_the_size_is_weighted_by_a_triangle(tmp_path):
    """The bilinear filter of torchvision's ``Resize``: twice as wide where it halves."""
    row = np.array([0, 0, 240, 0, 0, 0, 0, 0])
    drawn(tmp_path / "a.png", np.tile(row[None, :, None], (8, 1, 3)))
    found = read_pictures(tmp_path, ["a"], size=(4, 4))[0, 1, :, 0] * 255
    centres, pixels = 2 * np.arange(4) + 0.5, np.arange(8)
    weights = np.maximum(0, 1 - np.abs(pixels - centres[:, None]) / 2)
    np.testing.assert_allclose(found, weights / weights.sum(1, keepdims=True) @ row, atol=1)


def test_tracks_without_a_picture_are_named(pictures):
    with pytest.raises(ValueError, match=r"no picture of 2 of 3 tracks \(rock.00000, a\); a file"):
        read_pictures(pictures, ["blues.00000", "rock.00000", "a"])


def test_tracks_of_one_name_in_two_folders_have_pictures_in_theirs(tmp_path):
    for name, grey in (("a", 0), ("b", 255)):
        drawn(tmp_path / name / "001.png", np.full((2, 2, 3), grey))
    found = read_pictures(tmp_path, ["b/001", "a/001"], size=(2, 2))
    assert found.mean((1, 2, 3)).tolist() == [1.0, 0.0]
    with pytest.raises(ValueError, match=r"a/001.png and .*b/001.png would both be"):
        read_pictures(tmp_path, ["001"])


def test_two_pictures_of_a_track_are_refused(pictures):
    drawn(pictures / "more" / "blues.00000.png", np.zeros((2, 2, 3)))
    with pytest.raises(ValueError, match=r"blues00000.png and .*blues.00000.png would both be"):
        read_pictures(pictures, ["jazz.00007", "blues.00000"])


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="none: no such folder of pictures"):
        read_pictures(tmp_path / "none", ["a"])


@pytest.mark.parametrize("cut", [0, 8, 40, -30])
def test_a_damaged_picture_is_named(pictures, cut):
    file = pictures / "blues" / "blues00000.png"
    file.write_bytes(file.read_bytes()[:cut])
    with pytest.raises(ValueError, match=r"blues00000.png can't be read as a picture"):
        read_pictures(pictures, ["blues.00000"])


def test_a_picture_of_billions_of_pixels_is_refused_before_it_is_opened(tmp_path):
    def part(kind, content):
        checked = kind + content
        return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))

    head = struct.pack(">IIBBBBB", 1 << 13, 1 << 13, 8, 2, 0, 0, 0)
    parts = part(b"IHDR", head) + part(b"IDAT", zlib.compress(bytes(9))) + part(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + parts)
    with pytest.raises(ValueError, match=r"8192 x 8192 pixels.*at most 16,777,216"):
        read_pictures(tmp_path, ["a"])


def test_another_kind_of_picture_under_that_name_is_refused(tmp_path):
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "a.png", format="BMP")
    with pytest.raises(ValueError, match=r"a.png can't be read .* give a PNG or JPEG"):
        read_pictures(tmp_path, ["a"])
