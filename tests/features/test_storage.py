"""Whole files, and names fit for them."""

import json
from contextlib import suppress
from typing import Any

import pytest

from features.storage import (
    Unfit,
    plain_name,
    read_json,
    remove_leftovers,
    replacing,
    shortened,
    understanding,
    write_json,
    write_text,
)


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    file = tmp_path / "deeper" / "file.json"
    write_json(file, {"a": 1})
    with pytest.raises(ValueError, match="nan"):
        write_json(file, {"a": float("nan")})
    with suppress(KeyError), replacing(file) as temporary:
        temporary.write_text("half")
        raise KeyError
    assert json.loads(file.read_text()) == {"a": 1}
    assert [path.name for path in file.parent.iterdir()] == ["file.json"]
    assert file.stat().st_mode & 0o600 == 0o600


@pytest.mark.parametrize("name", ["blues", "..a", "a b", ".hidden", "…", "Ü" * 127, "x" * 255])
def test_a_name_may_become_a_part_of_a_path(name):
    assert plain_name(name, "x.json") == name


@pytest.mark.parametrize(
    "text",
    [
        *("", ".", "..", "/x/y", "../x", "a/b", "..\\x", "C:\\x", "a\0b", "a\nb", "\x1b[2J"),
        *("a\x9bb", "a\u2028b", "\udcff", "Ü" * 128, "x" * 256, "x" * 9999),
        *(7, None, ["a"], True, b"a"),
    ],
)
def test_whatever_leads_elsewhere_is_refused_with_the_file_that_says_it(text):
    with pytest.raises(ValueError, match=r"^runs/x/gans\.json: .* name of a file") as caught:
        plain_name(text, "runs/x/gans.json")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600


def test_a_name_that_something_is_added_to_is_shorter():
    with pytest.raises(ValueError, match="has 11 bytes"):
        plain_name("x" * 11, "x.json", most=10)


@pytest.mark.parametrize(
    ("text", "short"),
    [("blues", "blues"), ("x" * 300, "x" * 200), ("Ü" * 300, "Ü" * 100), ("a\udcff", "a?")],
)
def test_a_shortened_text_is_a_name_with_room(text, short):
    assert plain_name(shortened(text), "x.json", most=200) == short


def test_leftovers_of_killed_writers_go_and_those_of_live_ones_stay(tmp_path):
    below = tmp_path / "stages" / "one"
    with replacing(tmp_path / "results.json"), replacing(below / ("x" * 240 + ".npy")):
        live = {path.name for path in tmp_path.rglob(".*")}
        dead = [tmp_path / ".results-a1b2c3_4.part.json", below / ".audio-abcdefgh.part.npy"]
        dead += [tmp_path / ".config-abcdefgh.json", tmp_path / f".{'0f' * 16}-8-1-abcdefgh.npy"]
        for path in (*dead, tmp_path / ".my-settings.json", tmp_path / ".gitignore"):
            path.write_text("half")
        remove_leftovers(tmp_path, "**/.*")
        kept = {path.name for path in tmp_path.rglob(".*")}
        assert kept == live | {".my-settings.json", ".gitignore"}
        assert len(live) == 2
    assert (tmp_path / "results.json").exists()


def test_a_writer_whose_file_was_taken_for_a_leftover_takes_another(tmp_path, monkeypatch):
    """Between the making of the file and its lock another process removes it."""
    import features.storage as storage

    real, names = storage.tempfile.mkstemp, []

    def made_and_removed(**options):
        handle, name = real(**options)
        names.append(name)
        if len(names) == 1:
            remove_leftovers(tmp_path)
        return handle, name

    monkeypatch.setattr(storage.tempfile, "mkstemp", made_and_removed)
    write_text(tmp_path / "a.txt", "whole")
    assert (tmp_path / "a.txt").read_text() == "whole"
    assert len(names) == 2


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    import features.storage as storage

    done, sync, replace = [], storage.os.fsync, type(tmp_path).replace
    monkeypatch.setattr(storage.os, "fsync", lambda handle: (done.append("sync"), sync(handle)))
    monkeypatch.setattr(
        type(tmp_path), "replace", lambda self, to: (done.append("name"), replace(self, to))
    )
    write_text(tmp_path / "a.txt", "whole")
    assert done == ["sync", "name", "sync"]


def test_a_name_that_is_not_utf8_is_written_with_a_replacement(tmp_path):
    write_text(tmp_path / "a.txt", "caf\udce9.wav")
    assert (tmp_path / "a.txt").read_text() == "caf?.wav"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[1]", "it holds a list"),
        ('{"a": 1', "Expecting"),
        ('{"rate": Infinity}', "Infinity is no finite number"),
        ('{"rate": 1e999}', "1e999 is no finite number"),
        ("[" * 100_000, "RecursionError"),
        (b"\xff\xfe", "utf-8"),
    ],
)
def test_json_of_another_shape_names_the_file_and_what_to_do(tmp_path, text, said):
    file = tmp_path / "results.json"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=rf"results\.json is damaged \(.*{said}.*\): do that"):
        read_json(file, "do that")


def test_what_is_not_where_it_belongs_names_the_file():
    seven: Any = 7
    for wrong in (lambda: {}["a"], lambda: seven["a"], lambda: seven.a, lambda: [][1]):
        with (
            pytest.raises(ValueError, match=r"^x\.json is damaged \(\w+: .*\): do that"),
            understanding("x.json", "do that"),
        ):
            wrong()


def test_a_part_that_does_not_fit_names_the_file_beside_its_own_advice():
    with (
        pytest.raises(ValueError, match=r"^x\.json is damaged: no hash: give one; or do that$"),
        understanding("x.json", "do that"),
    ):
        raise Unfit("no hash: give one")
