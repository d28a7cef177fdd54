"""Blind tests: what their files tell (nothing), and from a page's answers to what they say."""

import base64
import csv
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import yaml
from html_page import HOSTILE, check_page

from experiments import ListenConfig, analyse, listen
from experiments.cli import main
from experiments.listening.answers import seal
from experiments.report.listen import render_answers
from features import save_audio
from features.loudness import loudness
from features.storage import write_json

RATE, LENGTH = 4000, 4096
GENRES = ["drone", "march", "techno"]


@pytest.fixture(scope="module")
def genres(genres_file) -> Path:
    return genres_file(LENGTH)


def fails(capsys, *arguments: object) -> str:
    assert main(["listen", *map(str, arguments)]) == 2
    said = capsys.readouterr().err.strip()
    assert "Traceback" not in said
    return said.splitlines()[-1]


def read(out: Path) -> tuple[dict, dict, dict[str, bytes]]:
    """The key, what the page knows, and its sounds."""
    html = (out / "test.html").read_text()
    (about,) = re.findall(r'<script type="application/json" id="about">(.*?)</script>', html)
    found = re.findall(r'<script type="text/plain" id="sound-(\w+)">([\w+/=]+)</script>', html)
    assert [number for number, _ in found] == sorted(number for number, _ in found)
    sounds = {number: base64.b64decode(content) for number, content in found}
    return json.loads((out / "key.json").read_text()), json.loads(about), sounds


def answered(out: Path, listener: str, choose, *, attentive: bool = True) -> Path:
    """The file that a page saves for a listener who ``choose``s."""
    key, _, _ = read(out)
    rows = []
    for one in key["trials"]:
        wrong = next(x for x in one["choices"] if x != one["right"])
        choice = choose(one) if one["right"] is None else one["right"] if attentive else wrong
        rows.append({"trial": one["trial"], "choice": choice, "milliseconds": 1500, "plays": 2})
    said = {"format": "wavegan answers", "version": 1, "test": key["test"], "listener": listener,
            "started": "2026-01-01T00:00:00Z", "ended": "2026-01-01T00:09:00Z",
            "answers": rows}  # fmt: skip
    file = out / "answers" / f"answers-{listener}.json"
    write_json(file, said | {"seal": seal(said)})
    return file


@pytest.mark.parametrize("kind", ["ab", "mos", "genre"])
def test_nothing_of_a_page_tells_what_its_sounds_are(kind, genres, music, tmp_path):
    config = ListenConfig((genres,), kind, count=6, checks=1, data=str(music), truncation=0.5)
    out = tmp_path / "test"
    assert listen(config, out) == out / "test.html"
    key, about, sounds = read(out)
    of = {s["sound"]: s for one in key["trials"] for s in one["sounds"]}
    assert sounds.keys() == of.keys()
    assert [s["source"] for s in of.values()].count("real") == 6
    assert [s["source"] for s in of.values()].count("genres") == 6
    assert {len(content) for content in sounds.values()} == {44 + 2 * LENGTH}
    html = (out / "test.html").read_text()
    hidden = {"genres", "real clip", "training", *(s["name"] for s in of.values())}
    assert {word for word in hidden if word in html} == set()
    if kind != "genre":
        assert not any(genre in html for genre in GENRES)
    assert html.count('"right"') == 0
    levels = [loudness(sf.read(io.BytesIO(sounds[n]))[0], sample_rate=RATE)
              for n, s in of.items() if s["source"] != "check"]  # fmt: skip
    assert np.ptp(levels) < 0.1
    assert len(about["trials"]) == len(key["trials"]) == (7 if kind == "ab" else 13)
    assert "://" not in html


def test_a_check_has_as_many_beeps_as_it_says(genres, music, tmp_path):
    out = tmp_path / "test"
    listen(ListenConfig((genres,), "mos", count=3, checks=12, data=str(music)), out)
    key, _, sounds = read(out)
    checks = [one for one in key["trials"] if one["right"]]
    assert len({one["right"] for one in checks}) > 1
    for one in checks:
        sound = np.abs(sf.read(io.BytesIO(sounds[one["sounds"][0]["sound"]]))[0])
        loud = np.convolve(sound, np.ones(256) / 256, "same") > 0.1 * sound.max()
        assert (np.diff(loud.astype(int)) == 1).sum() + loud[0] == int(one["right"])


def test_from_answers_to_what_they_say(genres, music, tmp_path, capsys):
    out = tmp_path / "test"
    line = ["listen", genres, "--count", 9, "--data", music, "--out", out]
    assert main([*map(str, line)]) == 0
    assert "give listeners" in capsys.readouterr().out

    def find(one: dict) -> str:
        return next(s["sound"] for s in one["sounds"] if s["source"] == "real")

    for name in ("ann", "bob", "cy"):
        answered(out, name, find)
    answered(out, "dozy", lambda one: one["choices"][0], attentive=False)
    assert main(["listen", "analyse", str(out / "answers")]) == 0
    said = capsys.readouterr().out
    assert "27 of 27" in said
    assert (
        "3 listeners, 9 questions each, agreement (Krippendorff's alpha) 1.00; intervals " in said
    )
    assert "; intervals for other listeners and other clips\n" in said
    assert "left out for a wrong answer to a check: dozy" in said
    found = json.loads((out / "listening.json").read_text())
    assert found["pairs"][0]["share"] == 1
    page = check_page((out / "listening.html").read_text())
    assert "Recordings were told from genres." in page.text
    assert "The interval is for other listeners and other clips. Each pale dot is" in page.text
    with (out / "listening.csv").open() as file:
        rows = [*csv.DictReader(file)]
    assert len(rows) == 4 * 11
    assert {(r["source"], r["against"]) for r in rows if r["listener"] == "ann"} == {
        ("real", "genres"), ("check", ""),
    }  # fmt: skip


def test_two_generators_are_preferred_by_the_ear(genres, tmp_path):
    theirs = tmp_path / "theirs"
    for i in range(6):
        noise = np.random.default_rng(i).normal(0, 0.1, (LENGTH, 1))
        save_audio(theirs / GENRES[i % 3] / f"{i}.wav", noise, 2 * RATE)
    out = tmp_path / "test"
    listen(ListenConfig((genres, theirs), count=6, checks=0), out)
    key, about, sounds = read(out)
    assert key["sources"] == ["genres", "theirs"]
    assert {one["question"] for one in about["trials"]} == {"Which of the two sounds better?"}
    assert {sf.info(io.BytesIO(x)).samplerate for x in sounds.values()} == {2 * RATE}
    for one in key["trials"]:
        assert len({s["label"] for s in one["sounds"]}) == 1
    choice = {one["trial"]: next(s["sound"] for s in one["sounds"] if s["source"] == "theirs")
              for one in key["trials"]}  # fmt: skip
    file = answered(out, "ann", lambda one: choice[one["trial"]])
    (pair,) = analyse([file])["pairs"]
    assert (pair["chosen"], pair["hits"]) == ("theirs", 6)


def test_pages_of_scores_and_of_classes(genres, music, tmp_path, capsys):
    for kind, answer in (("mos", lambda one: "4"), ("genre", lambda one: one["choices"][0])):
        out = tmp_path / kind
        listen(ListenConfig((genres,), kind, count=6, data=str(music)), out)
        files = [answered(out, name, answer) for name in ("ann", "bob")]
        assert main(["listen", "analyse", *map(str, files)]) == 0
        page = check_page((out / "listening.html").read_text())
        if kind == "mos":
            assert "Real clips scored 4.00 of 5; genres scored 4.00 of 5." in page.text
        else:
            assert "The class of real clips was heard in 33 %, which may be chance" in page.text
            assert [row for row in page.rows if row[:2] == ["drone", "4"]]
    assert "mean opinion score" in capsys.readouterr().out


def test_names_with_markup_are_text_on_the_page_of_answers():
    listener = {"listener": HOSTILE[0], "wrong_checks": 0, "counts": True}
    share = {"hits": 1, "count": 2, "share": 0.5, "ci95": [0.0, 1.0], "exact": [0.1, 0.9],
             "p": 1.0, "by_listener": [0.5]}  # fmt: skip
    found = {"kind": "genre", "labels": list(HOSTILE), "sources": list(HOSTILE), "test": "x",
             "trials": 2, "listeners": [listener], "agreement": None,
             "classes": [{"source": HOSTILE[1], **share,
                          "counts": np.eye(3).tolist()}]}  # fmt: skip
    page = check_page(render_answers(found))
    assert all(text in page.text for text in HOSTILE)


def of_classes(share, interval, listeners=2) -> dict:
    """What answers say of the class of a generator's clips, of four."""
    names = [{"listener": str(i), "wrong_checks": 0, "counts": True} for i in range(listeners)]
    one = {"source": "gan", "hits": 1, "count": 40, "share": share, "ci95": interval,
           "exact": interval, "p": 0.1, "by_listener": [share] * listeners,
           "counts": np.eye(4).tolist()}  # fmt: skip
    return {"kind": "genre", "labels": list("abcd"), "sources": ["gan"], "test": "x",
            "trials": 20, "listeners": names, "agreement": None, "classes": [one]}  # fmt: skip


@pytest.mark.parametrize(
    ("share", "interval", "told"),
    [
        (0.6, [0.4, 0.8], "The class of gan was heard in 60 %."),
        (0.3, [0.1, 0.5], "The class of gan was heard in 30 %, which may be chance."),
        (
            0.05,
            [0.0, 0.2],
            "The class of gan was heard in 5 %, worse than guessing, as where labels are turned a",
        ),
    ],
)
def test_what_is_below_chance_is_not_told_as_chance(share, interval, told):
    assert told in check_page(render_answers(of_classes(share, interval))).text


def test_what_one_listener_heard_is_said_of_them_alone():
    found = of_classes(0.6, [0.4, 0.8], listeners=1)
    found["holding_for"] = "this listener alone and other clips"
    page = check_page(render_answers(found)).text
    assert "For this listener alone: the class of gan was heard in 60 %." in page
    assert "The interval is for this listener alone and other clips. The dashed line is" in page
    assert "1 listener answered 20 questions, blind" in page
    assert "other listeners" not in page
    assert "dot" not in page


def test_a_configuration_for_webmushra_names_files_that_are_there(genres, music, tmp_path):
    for kind in ("ab", "mos", "genre"):
        out = tmp_path / kind
        listen(ListenConfig((genres,), kind, count=3, checks=1, data=str(music),
                            webmushra=True), out)  # fmt: skip
        root = out / "webmushra"
        (file,) = (root / "configs").glob("*.yaml")
        config = yaml.safe_load(file.read_text())
        consent, (mode, *pages), finish = config["pages"]
        assert (consent["type"], mode, finish["type"]) == ("generic", "random", "finish")
        kinds = {page["type"] for page in pages}
        assert kinds == {"likert_single_stimulus"} | (
            {"paired_comparison"} if kind == "ab" else set()
        )
        key = json.loads((out / "key.json").read_text())
        of = {s["sound"]: s["source"] for one in key["trials"] for s in one["sounds"]}
        for page in pages:
            files = [
                *page["stimuli"].values(),
                *([page["reference"]] if "reference" in page else []),
            ]
            assert all((root / name).is_file() for name in files)
            if "reference" in page:
                assert of[Path(page["reference"]).stem] == "real"
            else:
                assert all({"value", "label"} == one.keys() for one in page["response"])


def test_a_page_that_could_not_be_written_leaves_no_key(genres, music, tmp_path, monkeypatch):
    """Which would bar the folder from the next try."""
    config, out = ListenConfig((genres,), count=3, data=str(music)), tmp_path / "test"

    def full(path: Path, text: str) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("experiments.commands.listen.write_text", full)
        with pytest.raises(OSError, match="No space"):
            listen(config, out)
    assert list(out.iterdir()) == []
    assert listen(config, out).is_file()


def test_what_cannot_be_listened_to(genres, music, tmp_path, capsys):
    out = tmp_path / "test"
    assert "no real clips" in fails(capsys, genres, "--out", out)
    assert "ab, mos, genre; found abx" in fails(capsys, genres, "--test", "abx")
    assert "--count 99: there are" in fails(capsys, genres, "--data", music, "--count", 99)
    assert "no such file" in fails(capsys, genres, "--data", music, "--consent", tmp_path / "x")
    (tmp_path / "blank.txt").write_text(" \n")
    blank = ("--data", music, "--consent", tmp_path / "blank.txt")
    assert "blank.txt is empty: give a text" in fails(capsys, genres, *blank)
    assert "after analyse" in fails(capsys, "analyse")
    assert "--key belongs to" in fails(capsys, genres, "--key", "x")
    assert "--count belongs to making a test" in fails(capsys, "analyse", "x", "--count", 3)
    assert "no such file or folder" in fails(capsys, "analyse", tmp_path / "x")
    assert "holds no answers-*.json" in fails(capsys, "analyse", tmp_path)
    assert not out.exists()

    listen(ListenConfig((genres,), count=3, data=str(music)), out)
    assert "holds the key of a test" in fails(capsys, genres, "--data", music, "--out", out)
    file = answered(out, "ann", lambda one: one["choices"][0])
    alone = tmp_path / "alone.json"
    alone.write_text(file.read_text())
    assert "no key.json beside" in fails(capsys, "analyse", alone)
    assert "is there twice" in fails(capsys, "analyse", file, alone)
    other = tmp_path / "other"
    listen(ListenConfig((genres,), count=3, data=str(music)), other)
    assert "not to" in fails(capsys, "analyse", file, "--key", other / "key.json")
    file.write_text(file.read_text().replace('"plays": 2', '"plays": 3', 1))
    assert "somebody has changed them" in fails(capsys, "analyse", file)
    assert not (out / "listening.json").exists()
